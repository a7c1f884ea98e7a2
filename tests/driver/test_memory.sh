#!/bin/sh
# Compiling takes at most 200 MiB and 6 times the model's file of memory.
. "$(dirname "$0")/lib.sh"

"$make_model" large .
size=$(wc -c <large.onnx)
most=$((200 * 1024 + 6 * size / 1024))
for flags in -o=large.o -o=large.so '-o=apart.o --weights-file=large.weights'; do
  # shellcheck disable=SC2086
  good "$make_model" measure "$tenon" compile large.onnx -o ${flags#-o=} --dim k=2048
  used=$(sed -n 's/ KiB$//p' stdout.txt | tail -n 1)
  echo "$flags: $used KiB of $most"
  [ "$used" -le "$most" ] || fail "$flags: $used KiB, at most $most"
done
rm -f large.*
