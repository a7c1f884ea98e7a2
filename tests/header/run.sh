#!/bin/sh
# The generated header compiles without a warning as strict C99, as C in GNU mode and as C++, before and after
# runtime/tenon.h, and says what the descriptor says.
#
#   run.sh TENON SOURCE_ROOT OUT
set -eu
tenon=$1 root=$2 out=$3
mkdir -p "$out"
cd "$out"
"$tenon" compile "$root/tests/header/names.tir" -o names.o >/dev/null
strict="-Wall -Wextra -Wpedantic -Werror -I. -I$root"
try() {
  echo "$@"
  # shellcheck disable=SC2086
  "$@" $strict "$root/tests/header/names.c" -x none names.o -o names
  ./names
}
try gcc -std=c99 -x c
try gcc -std=c99 -DTENON_H_FIRST -x c
try gcc -std=gnu17 -x c
if command -v g++ >/dev/null; then
  try g++ -std=c++11 -x c++
  try g++ -std=c++17 -DTENON_H_FIRST -x c++
fi
