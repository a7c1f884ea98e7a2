#!/bin/sh
# The generic loader on the digits network as a shared library: the first test digit is recognized; files of a wrong
# size, too many files and a wrong name are refused.
#
#   run.sh TENON SOURCE_ROOT OUT
set -eu
tenon=$1 root=$2 out=$3
samples=$root/samples
mkdir -p "$out"
cd "$out"
"$tenon" compile "$samples/digits/digits.onnx" -o net.so >/dev/null
gcc -std=c11 -O1 -Wall -Wextra -Wpedantic -Werror -I"$root/runtime" -o loader "$samples/loader/loader.c" "$root/runtime/tenon_weights.c" -ldl

# Pixels 0 to 16 as little-endian floats: the two low bytes are zero.
high='000:000 200:077 000:100 100:100 200:100 240:100 300:100 340:100 000:101 020:101 040:101 060:101 100:101 120:101 140:101
160:101 200:101'
pixels=$(grep -m 1 '^    {' "$samples/digits/digits_test.h" | tr -d '{} ')
label=$(grep -A 1 'digits_test_label\[' "$samples/digits/digits_test.h" | tail -n 1 | cut -d, -f1 | tr -d ' ')
octal=$(echo "$pixels" | tr ',' '\n' | awk -v high="$(echo $high)" '
  NF { split(high, h, " "); split(h[$1 + 1], b, ":"); printf "\\000\\000\\%s\\%s", b[1], b[2] }')
printf "$octal" >digit.f32
./loader ./net.so net digit.f32 | tee shown
best=$(awk '/^output scores: f32\[1,10\]/ { b = 4; for (i = 4; i <= NF; i++) if ($i > $b) b = i; print b - 4 }' shown)
[ "$best" = "$label" ] || {
  echo "the digit is $label, the loader's scores say '$best'"
  exit 1
}
refused() {
  if "$@" >/dev/null 2>why; then
    echo "not refused: $*"
    exit 1
  fi
  cat why
}
head -c 255 digit.f32 >short.f32
refused ./loader ./net.so net short.f32
refused ./loader ./net.so net digit.f32 digit.f32
refused ./loader ./net.so other digit.f32
refused ./loader ./none.so net
