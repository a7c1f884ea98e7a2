#!/bin/sh
# -MD: every output depends on every file that was read; make takes it.
. "$(dirname "$0")/lib.sh"

mkdir 'a model'
"$make_model" external 'a model'
good "$tenon" compile 'a model/external.onnx' -o net.o --dim n=1 -MD
[ "$(cat net.d)" = 'net.o net.h: a\ model/external.onnx a\ model/w.bin' ] || fail "net.d: $(cat net.d)"
npy x.npy 'f32[1,2]' '1, 2'
good "$tenon" compile 'a model/external.onnx' -o bound.so --bind x=x.npy -MD
[ "$(cat bound.d)" = 'bound.so bound.h: x.npy a\ model/external.onnx a\ model/w.bin' ] || fail "bound.d: $(cat bound.d)"
good "$tenon" compile "$digits" -o d.s --emit=asm,nest -MD
[ "$(cat d.d)" = "d.s d.nest: $digits" ] || fail "d.d: $(cat d.d)"
bad 1 'no -MD' "$tenon" compile "$digits" -o - --emit=ir -MD

command -v make >/dev/null || exit 0
printf 'include net.d\nnet.o:\n\t@echo again\n' >makefile
[ "$(make -s net.o)" != again ] || fail "make finds net.o old right after it was made"
touch -d '+1 minute' 'a model/w.bin'
[ "$(make -s net.o)" = again ] || fail "make does not see that w.bin changed"
