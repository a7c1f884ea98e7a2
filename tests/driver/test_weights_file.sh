#!/bin/sh
# --weights-file: the object without weights, a program that maps and checks them, and what is refused.
. "$(dirname "$0")/lib.sh"

good "$tenon" compile "$digits" -o digits.o --weights-file=digits.weights
says 'weights 9?[0-9.]+ .*in digits.weights'
bytes=$(sed -n 's/#define DIGITS_WEIGHTS_BYTES //p' digits.h)
[ "$(wc -c <digits.weights)" = "$bytes" ] || fail "the header says $bytes bytes, the file has $(wc -c <digits.weights)"
grep -q '#define DIGITS_WEIGHTS_ALIGN 64$' digits.h || fail "no alignment in the header"
hash=$(sed -n 's/#define DIGITS_WEIGHTS_HASH "\(.*\)"/\1/p' digits.h)
if command -v xxhsum >/dev/null; then
  [ "$(xxhsum -H2 digits.weights | cut -d' ' -f1)" = "$hash" ] || fail "xxhsum does not say $hash"
fi
if objdump -h digits.o | grep weights; then fail "the object has weights"; fi
[ "$(wc -c <digits.o)" -lt 20000 ] || fail "the object is large"

program() { # flags: compiles and links
  good "$tenon" compile "$digits" -o digits.o --weights-file=digits.weights "$@"
  gcc -std=c11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -I. -I"$root/runtime" -I"$root/samples/digits" -o program "$root/tests/driver/weights_file.c" \
    "$root/runtime/tenon_weights.c" digits.o
}
for flags in -O3 -O0 --threads=2; do
  program $flags
  good ./program digits.weights
  printf 'check 0\nwithout -1\nmisaligned -3\nright 441\n' | cmp - stdout.txt || fail "$flags: $(cat stdout.txt)"
done
refused() { # STATUS FILE
  status=0
  ./program "$2" >stdout.txt || status=$?
  [ $status = 1 ] && [ "$(cat stdout.txt)" = "check $1" ] || fail "$2: $(cat stdout.txt), not $1"
}
head -c $((bytes - 64)) digits.weights >cut.weights
refused -4 cut.weights
{
  cat digits.weights
  printf x
} >longer.weights
refused -4 longer.weights
{
  head -c 1000 digits.weights
  printf '\377\377\377\377'
  tail -c +1005 digits.weights
} >wrong.weights
refused -5 wrong.weights

# tenon_weights.c asks for nothing of a C library.
gcc -std=c99 -Wall -Wextra -Wpedantic -Werror -O2 -ffreestanding -I"$root/runtime" -c "$root/runtime/tenon_weights.c" -o check.o
[ -z "$(nm -u check.o | grep -vE 'mem(cpy|set)$')" ] || fail "tenon_weights.c asks for $(nm -u check.o)"

# The generic loader.
good "$tenon" compile "$digits" -o net.so --weights-file=net.weights
gcc -std=c11 -O1 -Wall -Wextra -Wpedantic -Werror -I"$root/runtime" -o loader "$root/samples/loader/loader.c" "$root/runtime/tenon_weights.c" -ldl
good ./loader ./net.so net --weights=net.weights
says '^output scores'
bad 1 'its weights are in a file' ./loader ./net.so net
bad 1 'not its weights \(-4\)' ./loader ./net.so net --weights=cut.weights
good "$tenon" compile "$digits" -o whole.so
good ./loader ./whole.so whole
bad 1 'its weights are in the library' ./loader ./whole.so whole --weights=net.weights

# An input of the name "weights", no inputs, no weights, two uses of one file.
cat >odd.tir <<'END'
module "odd"
graph(%weights: f32[1,2]) {
  %c = constant {value = f32[2,2] [1, 2, 3, 4]} : f32[2,2]
  %y = matmul(%weights, %c) : f32[1,2]
  return %y
}
END
good "$tenon" compile odd.tir -o odd.o --weights-file=odd.weights
printf '#include "odd.h"\nint main(void) { struct odd_inputs i = {.weights_1 = 0, .weights = 0}; return i.weights != 0; }\n' >odd.c
gcc -std=c99 -Wall -Wextra -Werror -o odd odd.c
printf 'module "m"\ngraph(%%x: f32[2]) {\n  %%y = neg(%%x) : f32[2]\n  return %%y\n}\n' >none.tir
bad 1 'no weights' "$tenon" compile none.tir -o none.o --weights-file=none.weights
[ ! -e none.o ] && [ ! -e none.weights ] || fail "something is left behind"
bad 1 'two outputs' "$tenon" compile odd.tir -o odd.o --weights-file=odd.h
bad 2 'weights-section' "$tenon" compile odd.tir -o odd.o --weights-file=odd.weights --weights-section=.w
good "$tenon" compile "$digits" -o again.o --name=digits --weights-file=again.weights
same digits.weights again.weights
