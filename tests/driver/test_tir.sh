#!/bin/sh
# Models in tensor IR's text: every command takes them, and --dim, --shape and --bind apply or are refused by name.
. "$(dirname "$0")/lib.sh"

cat >sum.tir <<'END'
module "sum"
symbol N = 1..100
graph(%x: f32[N,2], %y: f32[(N * 2),2]) {
  %c = concat(%x, %y) {axis = 0} : f32[(N * 3),2]
  %s = reshape(%c) {shape = [(N * 6)]} : f32[(N * 6)]
  return %s
}
END
npy x.npy 'f32[1,2]' '1, 2'
npy y.npy 'f32[2,2]' '3, 4, 5, 6'
npy s.npy 'f32[6]' '1, 2, 3, 4, 5, 6'
npy wide.npy 'f32[1,3]' '1, 2, 3'
npy int.npy 'i64[1,2]' '1, 2'

good "$tenon" inspect sum.tir
says 'input  x: f32 \[N, 2\]'
says 'concat x1 reshape x1'
good "$tenon" inspect sum.tir --json --dim N=3
says '"name": "y", "dtype": "f32", "shape": "\[6, 2\]"'
says '"unsupported": \[\]'

good "$tenon" run sum.tir --input x=x.npy --input y=y.npy
says '^s: f32\[6\] 1 2 3 4 5 6$'
good "$tenon" run sum.tir --input y=y.npy --bind x=x.npy
says '^s: f32\[6\] 1 2 3 4 5 6$'
mkdir vector
cp x.npy vector/input_0.npy
cp y.npy vector/input_1.npy
cp s.npy vector/output_0.npy
good "$tenon" verify sum.tir vector
says '^PASS vector$'
good "$tenon" verify sum.tir vector --bind y=y.npy --dim N=1
says '^1 passed, 0 failed$'
good "$tenon" bench sum.tir --dim N=4 --runs 3
says 'over 3 runs'
good "$tenon" bench sum.tir --input x=x.npy --runs 1

bad 1 "dimensions without an extent.*--dim 'N=1'" "$tenon" compile sum.tir -o sum.o
for flags in --dim=N=2 --shape=x=2x2; do
  good "$tenon" compile sum.tir -o sum.o "$flags"
  grep -q 'SUM_OUTPUT0_DIMS {12}' sum.h || fail "$flags does not apply"
done
good "$tenon" compile sum.tir -o bound.o --bind x=x.npy
grep -q 'BOUND_INPUTS 1$' bound.h || fail "--bind does not apply"
bad 1 "no dimension 'M'" "$tenon" compile sum.tir -o sum.o --dim M=2
bad 1 "'N' is given as 101; it lies between 1 and 100" "$tenon" compile sum.tir -o sum.o --dim N=101
bad 1 "no input 'z'; it has x, y" "$tenon" compile sum.tir -o sum.o --shape z=2x2
bad 1 "'x' \(graph input\): it has 2 dimensions, \[N, 2\], and is given a shape of 1" "$tenon" compile sum.tir -o sum.o --shape x=2
bad 1 "'x' \(graph input\): its dimension 1 is 2 in the model, and is given as 3" "$tenon" compile sum.tir -o sum.o --shape x=1x3
bad 1 "'y' \(graph input\): its dimension 0 is 4 in the model, and is given as 3" "$tenon" compile sum.tir -o sum.o --dim N=2 --shape y=3x2
bad 1 "'N' is 2 by --dim and 3 by the shape of 'x'" "$tenon" compile sum.tir -o sum.o --dim N=2 --shape x=3x2
bad 1 "no input 'z'" "$tenon" compile sum.tir -o sum.o --bind z=x.npy
bad 1 "elements of i64" "$tenon" compile sum.tir -o sum.o --bind x=int.npy
bad 1 "dimension 1 is 2 in the model, and is given as 3" "$tenon" compile sum.tir -o sum.o --bind x=wide.npy

# Dims that fit only as symbols do not fit as numbers.
cat >join.tir <<'END'
module "join"
graph(%a: f32[N], %b: f32[M]) {
  %c = add(%a, %b) : f32[max(N, M)]
  return %c
}
END
good "$tenon" compile join.tir -o join.o --dim N=3 --dim M=3
bad 1 "'c' .*do not broadcast: 3 against 2" "$tenon" compile join.tir -o join.o --dim N=3 --dim M=2

# What tenon printed, it reads: the planned text gives the code that the model gives.
good "$tenon" compile "$digits" -o net.tir
good "$tenon" compile net.tir -o from_text.s --name=digits
good "$tenon" compile "$digits" -o from_onnx.s --name=digits
for f in from_text from_onnx; do # but for the hash of the file
  grep -vE '"[0-9a-f]{32}"$' $f.s >$f.code
done
same from_text.code from_onnx.code

printf 'module "m"\ngraph(' >cut.tir
for command in compile run bench inspect; do
  bad 1 'cut.tir' "$tenon" $command cut.tir
done
bad 1 '' "$tenon" verify cut.tir vector
says '^FAIL vector: cut.tir'
