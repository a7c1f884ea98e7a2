#!/bin/sh
# The digits object on one target: links freestanding, holds no writable data, uses the target's vector multiply-adds,
# and gives the same predictions as `expected` (from the host).
#
#   run.sh TENON SAMPLES TARGETS OUT NAME
set -eu
tenon=$1 samples=$2 targets=$3 out=$4 name=$5
mkdir -p "$out/$name"
cd "$out/$name"
flags="-O2 -Wall -Wextra -I. -I$samples"
compile() { "$tenon" compile "$samples/digits.onnx" -o digits.o "$@" >/dev/null; }
need() {
  command -v "$1" >/dev/null || {
    echo "SKIP $name: $1 is not installed (tools/setup.sh --tests installs it)"
    exit 77
  }
}
user() { # cross compiler, emulator
  need "$1-gcc"
  prefix=$1 emulator=$2
  [ -z "$emulator" ] || need "$emulator"
  # shellcheck disable=SC2086
  "$1-gcc" $flags -static -o digits "$samples/main.c" "$samples/classify.c" digits.o
  $emulator ./digits quiet >predictions
}
bare() { # cpu flags, machine, start of RAM
  need arm-none-eabi-gcc
  need qemu-system-arm
  prefix=arm-none-eabi
  # shellcheck disable=SC2086
  arm-none-eabi-gcc $1 $flags -ffreestanding -nostdlib -Wl,--defsym=ram_origin="$3" -T "$targets/cortex_m.ld" \
    -o digits.elf "$targets/cortex_m.c" "$samples/classify.c" digits.o -lgcc
  timeout 120 qemu-system-arm -M "$2" -nographic -semihosting-config enable=on,target=native -icount shift=0 \
    -kernel digits.elf </dev/null >predictions 2>&1
}
vector_fma=
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
  vector_fma='fmla.*v[0-9]*\.4s'
  ;;
armv7)
  compile --target=armv7-linux-gnueabihf --features=+neon,+vfp4
  user arm-linux-gnueabihf qemu-arm
  vector_fma='vfma.f32.*q[0-9]'
  ;;
riscv64)
  compile --target=riscv64-linux-gnu --features=+m,+a,+f,+d,+c
  user riscv64-linux-gnu qemu-riscv64
  ;;
cortex-m4)
  compile --target=thumbv7em-none-eabihf --cpu=cortex-m4
  bare "-mthumb -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16" mps2-an386 0x20000000
  vector_fma='vfma.f32.*s[0-9]'
  ;;
cortex-m55)
  compile --target=thumbv8.1m.main-none-eabihf --cpu=cortex-m55
  bare "-mthumb -mcpu=cortex-m55 -mfloat-abi=hard -mfpu=auto" mps3-an547 0x21000000
  vector_fma='vfma.f32.*q[0-9]'
  ;;
*)
  echo "no such target: $name"
  exit 2
  ;;
esac
sections=$("$prefix-objdump" -h digits.o)
echo "$sections" | awk '$2 ~ /^\.(data|bss)/ && $2 !~ /^\.data\.rel\.ro/ && $3 !~ /^0+$/ { print "writable data: " $2; bad = 1 }
  END { exit bad }'
if [ -n "$vector_fma" ] && ! "$prefix-objdump" -d digits.o | grep -Eq "$vector_fma"; then
  echo "no '$vector_fma' in the code for $name"
  exit 1
fi
unresolved=$("$prefix-nm" -u digits.o | awk '{ print $2 }' | grep -Ev '^(memcpy|memset|memmove|__aeabi_mem(cpy|set|clr|move)[48]?|_GLOBAL_OFFSET_TABLE_)$' || true)
if [ -n "$unresolved" ]; then
  echo "the object asks for more than a freestanding toolchain gives:" $unresolved
  exit 1
fi
cp digits.o first.o
case $name in host) compile && cmp digits.o first.o ;; esac
cat predictions
cmp predictions "$samples/expected_predictions.txt"
