#!/bin/sh
# compile: every kind of output, names, shapes, levels, --json.
. "$(dirname "$0")/lib.sh"

# By suffix; a header comes with what is linked.
kind() { # FILE PATTERN OTHERS...
  file=$1 pattern=$2
  shift 2
  fresh
  good "$tenon" compile "$digits" -o "made/$file"
  says 'flash .* code .* weights'
  says 'RAM .* arena .* stack'
  only "$file" "$@"
  head -c 4000 "made/$file" | grep -aEq -- "$pattern" || fail "$file is not what its suffix says"
}
kind net.o 'ELF' net.h
kind net.a '^!<arch>' net.h
kind net.so 'ELF' net.h
kind net.s '\.section|\.text'
kind net.ll 'target triple'
kind net.nest '^nest '
kind net.html '<!DOCTYPE html>|<!doctype html>'
fresh
good "$tenon" compile "$digits" -o made/net.tir
only net.tir
grep -q '^graph(%image: f32\[1,1,8,8\]' made/net.tir || fail "no IR"
fresh
good "$tenon" compile "$digits" -o made/net.o --emit=obj,header,static-lib,shared-lib,asm,llvm,ir,nest,report
only net.o net.h net.a net.so net.s net.ll net.tir net.nest net.html
fresh
good "$tenon" compile "$digits" -o made/network.bin --emit=obj
only network.bin
fresh
good "$tenon" compile "$digits" -o made/net.o --emit=header
only net.o
grep -q 'int net_run(' made/net.o || fail "--emit=header writes no header"
fresh
cp "$digits" made/my-digits.onnx
(cd made && "$tenon" compile my-digits.onnx >/dev/null)
only my-digits.onnx my_digits.o my_digits.h
for kind in asm llvm ir nest header report; do
  good "$tenon" compile "$digits" -o - --emit=$kind
  [ -s stdout.txt ] || fail "-o - writes no $kind"
  ! grep -q '^  flash' stdout.txt || fail "sizes in the $kind"
done
grep -q . stdout.txt
bad 1 '-o - takes one kind of text' "$tenon" compile "$digits" -o - --emit=obj
bad 1 '-o - takes one kind of text' "$tenon" compile "$digits" -o - --emit=asm,ir
bad 1 "suffix does not say" "$tenon" compile "$digits" -o made/net.bin
bad 1 "suffix does not say" "$tenon" compile "$digits" -o made/net
bad 1 "--emit=elf: expected" "$tenon" compile "$digits" -o made/net.o --emit=obj,elf
bad 1 '--stop-after' "$tenon" compile "$digits" -o made/net.o --stop-after=fuse
good "$tenon" compile "$digits" -o stopped.tir --stop-after=fold
! grep -q 'kernel(' stopped.tir || fail "--stop-after=fold does not stop"
bad 1 "'frob'" "$tenon" compile "$digits" -o stopped.tir --stop-after=frob
bad 1 "'frob'" "$tenon" compile "$digits" -o x.o --disable=frob
good "$tenon" compile "$digits" -o x.o --disable=layout

# Prefixes.
good "$tenon" compile "$digits" -o 'my net-2.o'
grep -q 'int my_net_2_run(' 'my net-2.h' || fail "no prefix from the file name"
good "$tenon" compile "$digits" -o 2net.o
grep -q 'int m2net_run(' 2net.h || fail "a prefix that is no C"
good "$tenon" compile "$digits" -o net.o --name=Digits_3
grep -q 'int Digits_3_run(' net.h && grep -q '#define DIGITS_3_ARENA_BYTES' net.h || fail "--name does not apply"
[ "$(nm -g --defined-only net.o | awk '{ print $3 }' | sort | tr '\n' ' ')" = 'Digits_3_model Digits_3_run ' ] ||
  fail "it defines $(nm -g --defined-only net.o)"
[ "$(nm net.o | grep -c ' t Digits_3_k')" -ge 5 ] || fail "kernels have no names: $(nm net.o)"
[ -z "$(nm -u net.o | grep -vE 'mem(cpy|set|move)$')" ] || fail "it asks for $(nm -u net.o)"
mkdir -p kept/resnet
cp "$digits" kept/resnet/model.onnx
(cd kept && "$tenon" compile resnet/model.onnx >/dev/null)
[ -e kept/resnet.o ] || fail "NAME/model.onnx is not called NAME"

# Levels and families give programs that agree (their numbers are tested elsewhere); -Os is smaller than -O3.
for level in -O0 -O1 -O2 -O3 -Os; do
  good "$tenon" compile "$digits" -o level$level.o --name=digits --json $level
  sed -n 's/.*"code_bytes": \([0-9]*\).*/\1/p' stdout.txt >code$level
done
[ "$(cat code-Os)" -le "$(cat code-O3)" ] || fail "-Os: $(cat code-Os) bytes, -O3: $(cat code-O3)"

# --json: one object with what the design lists, which agrees with the header.
good "$tenon" compile "$digits" -o net.o --json
[ "$(wc -l <stdout.txt)" = 1 ] || fail "more than one line of JSON"
for key in code_bytes weight_bytes arena_bytes io_bytes stack_bytes macs; do
  grep -q "\"$key\": [0-9]" stdout.txt || fail "--json has no $key"
done
says "\"arena_bytes\": $(sed -n 's/#define NET_ARENA_BYTES //p' net.h),"
says '"io_bytes": 296,'
says '"macs": 23680'
if command -v python3 >/dev/null; then
  python3 -c 'import json,sys; json.load(sys.stdin)' <stdout.txt || fail "no JSON"
fi

# Shapes: symbolic dims must be bound, to one extent.
mkdir model
"$make_model" external model
m=model/external.onnx
bad 1 "--dim 'n=1'" "$tenon" compile $m -o ext.o
for flag in --dim=n=3 --shape=x=3x2; do
  good "$tenon" compile $m -o ext.o $flag
  grep -q 'EXT_INPUT0_DIMS {3, 2}' ext.h || fail "$flag does not apply"
done
npy x.npy 'f32[3,2]' '1, 2, 3, 4, 5, 6'
good "$tenon" compile $m -o ext.o --bind x=x.npy
grep -q 'EXT_INPUTS 0$' ext.h || fail "--bind does not apply"
bad 1 "--dim n=1..8: a range of extents is not supported yet" "$tenon" compile $m -o ext.o --dim n=1..8
bad 1 "extent must be a number" "$tenon" compile $m -o ext.o --dim n=many
bad 1 "extent must be a number" "$tenon" compile $m -o ext.o --dim n=-2
bad 1 "'k'" "$tenon" compile $m -o ext.o --dim n=1 --dim k=2
bad 1 "no input 'z'; it has x" "$tenon" compile $m -o ext.o --shape z=3x2
bad 1 "expected extents like" "$tenon" compile $m -o ext.o --shape x=3xx2
bad 1 "expected extents like" "$tenon" compile $m -o ext.o --shape x=3x2x
bad 1 "given as 3|given as 5" "$tenon" compile $m -o ext.o --shape x=3x5
bad 1 "'n'|'x'" "$tenon" compile $m -o ext.o --dim n=2 --shape x=3x2

# float16 needs no library, whatever the processor.
for target in x86_64-linux-gnu aarch64-linux-gnu riscv64-linux-gnu armv7-linux-gnueabihf thumbv7em-none-eabihf thumbv6m-none-eabi; do
  good "$tenon" compile "$root/tests/driver/half.tir" -o half.o --target=$target
  if grep -aoE '__[a-z_]*(hf2|h2f|f2h|sfhf|hfsf)[a-z0-9_]*' half.o; then fail "$target: float16 in a library"; fi
done

# Targets and processors that there are not.
bad 1 "unknown target|is not supported" "$tenon" compile "$digits" -o x.o --target=pdp11-none-none
bad 1 "i686.* is not supported; supported architectures" "$tenon" compile "$digits" -o x.o --target=i686-linux-gnu
bad 1 "x86_64-apple-darwin is not supported: its objects are Mach-O" "$tenon" compile "$digits" -o x.o --target=x86_64-apple-darwin
good "$tenon" compile "$digits" -o x.o --weights-section=.my_weights
objdump -h x.o | grep -q ' \.my_weights ' || fail "--weights-section does not apply"

# Columns that are copied to scratch end in zeros, whatever lay there: subnormal numbers would cost their traps.
cat > columns.tir <<'IR'
module "columns"
graph(%q: f32[20,16], %k: f32[20,16]) {
  %t = transpose(%k) {perm = [1, 0]} : f32[16,20]
  %r = matmul(%q, %t) : f32[20,20]
  return %r
}
IR
fresh
good "$tenon" compile columns.tir -o made/columns.nest --target=x86_64-linux-gnu --cpu=skylake-avx512
grep -Eq '^ +columns\[.*\] = 0:f32 if lt\(l[0-9]+, 12\)' made/columns.nest || fail "no zeros follow the 20 columns"
