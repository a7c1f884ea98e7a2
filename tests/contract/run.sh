#!/bin/sh
# The promises of contract.c, at each level of optimization and for each family of x86 processors that runs here.
#
#   run.sh TENON SOURCE_ROOT OUT
set -eu
tenon=$1 root=$2 out=$3
mkdir -p "$out"
cd "$out"
try() {
  echo "$@"
  "$tenon" compile "$root/samples/digits/digits.onnx" -o digits.o "$@" >/dev/null
  gcc -std=c11 -O1 -Wall -Wextra -Werror -I. -I"$root/samples/digits" -o contract "$root/tests/contract/contract.c" digits.o \
    -pthread
  ./contract
}
for level in -O0 -O1 -O2 -O3 -Os; do
  try $level
done
if [ "$(uname -m)" = x86_64 ]; then
  try --cpu=x86-64
  if grep -q avx2 /proc/cpuinfo; then try --cpu=haswell; fi
fi
