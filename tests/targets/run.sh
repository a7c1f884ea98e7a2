#!/bin/sh
# The digits object on one target: two compilations give the same bytes, it links freestanding with nothing but
# memcpy, memmove and memset, holds no writable data, uses the target's vector multiply-adds, and gives the
# predictions in expected_predictions.txt.
#
#   run.sh TENON SAMPLES TARGETS OUT NAME
set -eu
tenon=$1 samples=$2 targets=$3 out=$4 name=$5
mkdir -p "$out/$name"
cd "$out/$name"
flags="-O2 -Wall -Wextra -I. -I$samples"
compile() { # twice: equal input, equal bytes
  "$tenon" compile "$samples/digits.onnx" -o digits.o "$@" >/dev/null
  "$tenon" compile "$samples/digits.onnx" -o again.o --name=digits "$@" >/dev/null
  "$tenon" compile "$samples/digits.onnx" -o digits.s "$@" >/dev/null
  cmp digits.o again.o
  cmp digits.h again.h
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
  "$1-gcc" $flags -static -o digits "$samples/main.c" "$samples/classify.c" digits.o
  $emulator ./digits quiet >predictions
}
bare() { # cpu flags, machine, start of RAM, its size
  need arm-none-eabi-gcc
  need qemu-system-arm
  prefix=arm-none-eabi
  # shellcheck disable=SC2086
  arm-none-eabi-gcc $1 $flags -ffreestanding -nostdlib -Wl,--defsym=ram_origin="$3" -Wl,--defsym=ram_length="$4" -T "$targets/cortex_m.ld" \
    -o digits.elf "$targets/cortex_m.c" "$samples/classify.c" digits.o -lgcc
  timeout 120 qemu-system-arm -M "$2" -nographic -semihosting-config enable=on,target=native -icount shift=0 \
    -kernel digits.elf </dev/null >predictions 2>&1
}
provided='memcpy|memset|memmove|__aeabi_mem(cpy|set|clr|move)[48]?|_GLOBAL_OFFSET_TABLE_'
vector_fma= # a pattern that the assembly must hold; empty: no claim
case $name in
host)
  compile
  user x86_64-linux-gnu ""
  ;;
x86-64-sse)
  compile --target=x86_64-linux-gnu --cpu=x86-64
  user x86_64-linux-gnu ""
  vector_fma='mulps.*xmm'
  ;;
x86-64-avx2)
  compile --target=x86_64-linux-gnu --cpu=haswell
  grep -q avx2 /proc/cpuinfo || {
    echo "SKIP $name: this processor has no AVX2"
    exit 77
  }
  user x86_64-linux-gnu ""
  vector_fma='vfmadd.*ymm'
  ;;
aarch64)
  compile --target=aarch64-linux-gnu
  user aarch64-linux-gnu qemu-aarch64
  vector_fma='fmla.*v[0-9]*[.]4s'
  ;;
armv7)
  compile --target=armv7-linux-gnueabihf
  user arm-linux-gnueabihf qemu-arm
  vector_fma='vmla.f32.*q[0-9]'
  ;;
armv7-vfp4)
  compile --target=armv7-linux-gnueabihf --features=+vfp4
  user arm-linux-gnueabihf qemu-arm
  vector_fma='vfma.f32.*q[0-9]'
  ;;
armv7-cortex-a9)
  compile --target=armv7-linux-gnueabihf --cpu=cortex-a9
  user arm-linux-gnueabihf "qemu-arm -cpu cortex-a9"
  vector_fma='v(mla|add).f32.*q[0-9]'
  ;;
armhf) # no NEON
  compile --target=arm-linux-gnueabihf
  user arm-linux-gnueabihf qemu-arm
  vector_fma='vmla.f32.*s[0-9]'
  ;;
riscv64)
  compile --target=riscv64-linux-gnu
  user riscv64-linux-gnu qemu-riscv64
  ;;
riscv64-v)
  compile --target=riscv64-linux-gnu --features=+v
  user riscv64-linux-gnu "qemu-riscv64 -cpu rv64,v=true,vext_spec=v1.0"
  vector_fma='vfm(add|acc).vf'
  ;;
cortex-m0) # no floating-point unit: the compiler's own library adds and multiplies
  compile --target=thumbv6m-none-eabi --cpu=cortex-m0
  bare "-mthumb -mcpu=cortex-m0 -mfloat-abi=soft" microbit 0x20000000 0x4000
  provided="$provided|__aeabi_[fdiul][a-z0-9]*"
  ;;
cortex-m4)
  compile --target=thumbv7em-none-eabihf --cpu=cortex-m4
  bare "-mthumb -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16" mps2-an386 0x20000000 0x40000
  vector_fma='vfma.f32.*s[0-9]'
  ;;
cortex-m55)
  compile --target=thumbv8.1m.main-none-eabihf --cpu=cortex-m55
  bare "-mthumb -mcpu=cortex-m55 -mfloat-abi=hard -mfpu=auto" mps3-an547 0x21000000 0x40000
  vector_fma='vfma.f32.*q[0-9]'
  ;;
*)
  echo "no such target: $name"
  exit 2
  ;;
esac
# Sections that a program can write to: none, but addresses that a position-independent Linux program fixes at its start.
case $name in cortex-*) fixed=none ;; *) fixed='^[.]data[.]rel[.]ro' ;; esac
"$prefix-objdump" -h digits.o | awk -v fixed="$fixed" '
  $1 ~ /^[0-9]+$/ { section = $2; size = $3; next }
  /ALLOC/ && !/READONLY/ && section !~ fixed && size !~ /^0+$/ { print "writable data: " section ", " size; bad = 1 }
  END { exit bad }'
if [ -n "$vector_fma" ] && ! grep -Eq "$vector_fma" digits.s; then
  echo "no '$vector_fma' in the code for $name"
  exit 1
fi
# Nothing but these may be asked for.  With them, the object links alone at a fixed place.
unresolved=$("$prefix-nm" -u digits.o | awk '{ print $2 }' | grep -Ev "^($provided)\$" || true)
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
  "$prefix-gcc" -O2 -ffreestanding -fno-tree-loop-distribute-patterns -nostdlib -static -Wl,-e,digits_run \
    -Wl,--no-undefined -o alone three.c digits.o
  ;;
esac
cat predictions
cmp predictions "$samples/expected_predictions.txt"
