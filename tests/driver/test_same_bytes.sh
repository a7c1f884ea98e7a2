#!/bin/sh
# The same model and options give the same bytes wherever the model, the output and the working directory are; no output
# holds a path.
. "$(dirname "$0")/lib.sh"

mkdir -p first/deep/models second_checkout third/other
kinds='o h a so s ll tir nest html'
emit=obj,header,static-lib,shared-lib,asm,llvm,ir,nest,report
for m in "$digits" model/external.onnx; do
  flags=
  if [ "$m" != "$digits" ]; then
    mkdir -p model
    "$make_model" external model
    cp model/w.bin first/deep/models
    cp model/w.bin second_checkout
    flags=--dim=n=2
  fi
  file=$(basename "$m")
  cp "$m" first/deep/models
  cp "$m" second_checkout
  # shellcheck disable=SC2086
  {
    (cd first/deep && "$tenon" compile "models/$file" -o net.o --emit=$emit --weights-section=.rodata.w $flags >/dev/null)
    (cd second_checkout && "$tenon" compile "$PWD/$file" -o "$out/third/other/net.o" --emit=$emit --weights-section=.rodata.w $flags >/dev/null)
    (cd / && HOME=/ TMPDIR=/tmp LANG=xx "$tenon" compile "$out/second_checkout/$file" -o "$out/second_checkout/net.o" --emit=$emit --weights-section=.rodata.w $flags >/dev/null)
  }
  for kind in $kinds; do
    [ -s first/deep/net.$kind ] || fail "no net.$kind"
    same first/deep/net.$kind third/other/net.$kind
    same first/deep/net.$kind second_checkout/net.$kind
  done
  for f in third/other/net.*; do
    for word in "$out" second_checkout third/other "$root" "$(id -un)@" "$file"; do
      if grep -aFq -- "$word" "$f"; then fail "$f holds '$word'"; fi
    done
  done
  # On one processor as on all of them: LLVM works on parts of the program at a time.
  # shellcheck disable=SC2086
  (cd second_checkout && taskset -c "$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')" \
    "$tenon" compile "$file" -o one.o --name=net --weights-section=.rodata.w $flags >/dev/null)
  same first/deep/net.o second_checkout/one.o
  # With threads and with weights apart, too.
  # shellcheck disable=SC2086
  for n in first/deep/models second_checkout; do
    (cd $n && "$tenon" compile "$file" -o p.o --threads=2 --weights-file=p.weights $flags >/dev/null)
  done
  for kind in o h weights; do
    same first/deep/models/p.$kind second_checkout/p.$kind
  done
done
