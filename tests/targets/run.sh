#!/bin/sh
# One model's object on one target: two compilations give the same bytes, it links freestanding with nothing but
# memcpy, memmove and memset, holds no writable data, uses the target's instructions for the model's arithmetic, and
# gives the results that are expected everywhere.
#
#   run.sh TENON SAMPLES TARGETS OUT NAME MODEL
#
# MODEL: digits, the sample's network of floats; int8, the network of bytes that make_int8 wrote to OUT.
set -eu
tenon=$1 samples=$2 targets=$3 out=$4 name=$5 model=$6
case $model in
digits) onnx=$samples/digits.onnx program=$samples/classify.c expected=$samples/expected_predictions.txt ;;
int8) onnx=$out/int8.onnx program=$targets/int8.c expected=$targets/expected_int8.txt ;;
*)
  echo "no such model: $model"
  exit 2
  ;;
esac
mkdir -p "$out/$model-$name"
cd "$out/$model-$name"
flags="-O2 -Wall -Wextra -I. -I$samples"
compile() { # twice: equal input, equal bytes
  "$tenon" compile "$onnx" -o "$model.o" "$@" >/dev/null
  "$tenon" compile "$onnx" -o again.o --name="$model" "$@" >/dev/null
  "$tenon" compile "$onnx" -o "$model.s" "$@" >/dev/null
  cmp "$model.o" again.o
  cmp "$model.h" again.h
}
need() {
  command -v "$1" >/dev/null || {
    echo "SKIP $name: $1 is not installed (tools/setup.sh --tests installs it)"
    exit 77
  }
}
user() { # cross compiler, emulator
  need "$1-gcc"
  prefix=$1 emulator=$2
  [ -z "$emulator" ] || need "${emulator%% *}"
  # shellcheck disable=SC2086
  "$1-gcc" $flags -static -o program "$samples/main.c" "$program" "$model.o"
  $emulator ./program quiet >results
}
has() { # what the processor of this machine must have
  for feature in "$@"; do
    grep -qw "$feature" /proc/cpuinfo || {
      echo "SKIP $name: this processor has no $feature"
      exit 77
    }
  done
}
bare() { # cpu flags, machine, start of code, of RAM, its size
  need arm-none-eabi-gcc
  need qemu-system-arm
  prefix=arm-none-eabi
  # shellcheck disable=SC2086
  arm-none-eabi-gcc $1 $flags -ffreestanding -nostdlib -Wl,--defsym=flash_origin="$3" -Wl,--defsym=ram_origin="$4" \
    -Wl,--defsym=ram_length="$5" -T "$targets/cortex_m.ld" -o program.elf "$targets/cortex_m.c" "$program" "$model.o" -lgcc
  timeout 120 qemu-system-arm -M "$2" -nographic -semihosting-config enable=on,target=native -icount shift=0 \
    -kernel program.elf </dev/null >results 2>&1
}
# What a mean of bytes takes where doubles are the compiler library's: its sum is exact in them.
doubles='__aeabi_(f2d|dadd|d2f)'
provided='memcpy|memset|memmove|__aeabi_mem(cpy|set|clr|move)[48]?|_GLOBAL_OFFSET_TABLE_'
# Patterns that the assembly must hold, one for each model: its multiply-adds in the target's vectors, or the sums of
# products of bytes that the target has.  Empty: no claim.
digits= int8=
case $name in
host)
  compile
  user x86_64-linux-gnu ""
  ;;
x86-64-sse)
  compile --target=x86_64-linux-gnu --cpu=x86-64
  user x86_64-linux-gnu ""
  digits='mulps.*xmm' int8='pmaddwd.*xmm'
  ;;
x86-64-avx2)
  compile --target=x86_64-linux-gnu --cpu=haswell
  has avx2 fma
  user x86_64-linux-gnu ""
  digits='vfmadd.*ymm' int8='vpmaddwd.*ymm'
  ;;
x86-64-avx512)
  compile --target=x86_64-linux-gnu --cpu=skylake-avx512
  has avx512f avx512bw avx512vl avx512dq
  user x86_64-linux-gnu ""
  digits='vfmadd.*zmm' int8='vpmaddwd.*zmm'
  ;;
x86-64-vnni)
  compile --target=x86_64-linux-gnu --cpu=cascadelake
  has avx512f avx512bw avx512vl avx512dq avx512_vnni
  user x86_64-linux-gnu ""
  digits='vfmadd.*zmm' int8='vpdpbusd.*zmm'
  ;;
aarch64)
  compile --target=aarch64-linux-gnu
  user aarch64-linux-gnu qemu-aarch64
  digits='fmla.*v[0-9]*[.]4s' int8='smull.*[.]8h'
  ;;
aarch64-dotprod)
  compile --target=aarch64-linux-gnu --features=+dotprod
  user aarch64-linux-gnu "qemu-aarch64 -cpu max"
  digits='fmla.*v[0-9]*[.]4s' int8='sdot.*[.]16b'
  ;;
aarch64-i8mm)
  compile --target=aarch64-linux-gnu --features=+dotprod,+i8mm
  user aarch64-linux-gnu "qemu-aarch64 -cpu max"
  digits='fmla.*v[0-9]*[.]4s' int8='usdot.*[.]16b'
  ;;
armv7)
  compile --target=armv7-linux-gnueabihf
  user arm-linux-gnueabihf qemu-arm
  digits='vmla.f32.*q[0-9].*d[0-9]*\[[01]\]' int8='vmlal.s16.*q[0-9]'
  ;;
armv7-vfp4)
  compile --target=armv7-linux-gnueabihf --features=+vfp4
  user arm-linux-gnueabihf qemu-arm
  digits='vfma.f32.*q[0-9]' int8='vmlal.s16.*q[0-9]'
  ;;
armv7-cortex-a9)
  compile --target=armv7-linux-gnueabihf --cpu=cortex-a9
  user arm-linux-gnueabihf "qemu-arm -cpu cortex-a9"
  digits='vmla.f32.*q[0-9].*d[0-9]*\[[01]\]' int8='vmlal.s16.*q[0-9]'
  ;;
armhf) # no NEON
  compile --target=arm-linux-gnueabihf
  user arm-linux-gnueabihf qemu-arm
  digits='vmla.f32.*s[0-9]' int8='smlabb'
  ;;
riscv64)
  compile --target=riscv64-linux-gnu
  user riscv64-linux-gnu qemu-riscv64
  ;;
riscv64-v)
  compile --target=riscv64-linux-gnu --features=+v
  user riscv64-linux-gnu "qemu-riscv64 -cpu rv64,v=true,vext_spec=v1.0"
  digits='vfm(add|acc).vf' int8='vw?macc'
  ;;
cortex-m0) # no floating-point unit: the compiler's own library adds and multiplies
  compile --target=thumbv6m-none-eabi --cpu=cortex-m0
  bare "-mthumb -mcpu=cortex-m0 -mfloat-abi=soft" microbit 0 0x20000000 0x4000
  provided="$provided|__aeabi_[fdiul][a-z0-9]*"
  ;;
cortex-m4)
  compile --target=thumbv7em-none-eabihf --cpu=cortex-m4
  bare "-mthumb -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16" mps2-an386 0 0x20000000 0x40000
  digits='vfma.f32.*s[0-9]' int8='smlad'
  provided="$provided|$doubles"
  ;;
cortex-m7)
  compile --target=thumbv7em-none-eabihf --cpu=cortex-m7
  bare "-mthumb -mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-d16" mps2-an500 0 0x20000000 0x40000
  digits='vfma.f32.*s[0-9]' int8='smlad'
  ;;
cortex-m33)
  compile --target=thumbv8m.main-none-eabihf --cpu=cortex-m33
  bare "-mthumb -mcpu=cortex-m33 -mfloat-abi=hard -mfpu=fpv5-sp-d16" mps2-an505 0x10000000 0x38000000 0x40000
  digits='vfma.f32.*s[0-9]' int8='smlad'
  provided="$provided|$doubles"
  ;;
cortex-m55)
  compile --target=thumbv8.1m.main-none-eabihf --cpu=cortex-m55
  bare "-mthumb -mcpu=cortex-m55 -mfloat-abi=hard -mfpu=auto" mps3-an547 0 0x21000000 0x40000
  digits='vfma.f32.*q[0-9]' int8='vmla.*q[0-9]'
  ;;
*)
  echo "no such target: $name"
  exit 2
  ;;
esac
# Sections that a program can write to: none, but addresses that a position-independent Linux program fixes at its start.
case $name in cortex-*) fixed=none ;; *) fixed='^[.]data[.]rel[.]ro' ;; esac
"$prefix-objdump" -h "$model.o" | awk -v fixed="$fixed" '
  $1 ~ /^[0-9]+$/ { section = $2; size = $3; next }
  /ALLOC/ && !/READONLY/ && section !~ fixed && size !~ /^0+$/ { print "writable data: " section ", " size; bad = 1 }
  END { exit bad }'
case $model in digits) pattern=$digits ;; *) pattern=$int8 ;; esac
if [ -n "$pattern" ] && ! grep -Eq "$pattern" "$model.s"; then
  echo "no '$pattern' in the code for $name"
  exit 1
fi
# Nothing but these may be asked for.  With them, the object links alone at a fixed place.
unresolved=$("$prefix-nm" -u "$model.o" | awk '{ print $2 }' | grep -Ev "^($provided)\$" || true)
if [ -n "$unresolved" ]; then
  echo "the object asks for more than a freestanding toolchain gives:" $unresolved
  exit 1
fi
printf 'typedef __SIZE_TYPE__ z;
void *memcpy(void *t, const void *f, z n) { char *a = t; const char *b = f; while (n--) *a++ = *b++; return t; }
void *memmove(void *t, const void *f, z n) { return memcpy(t, f, n); }
void *memset(void *t, int v, z n) { char *a = t; while (n--) *a++ = (char)v; return t; }
' >three.c
case $name in
cortex-*) ;; # linked so above
*)
  "$prefix-gcc" -O2 -ffreestanding -fno-tree-loop-distribute-patterns -nostdlib -static -Wl,-e,"${model}_run" \
    -Wl,--no-undefined -o alone three.c "$model.o"
  ;;
esac
cat results
cmp results "$expected"
