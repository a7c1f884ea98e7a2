#!/bin/sh
# run and bench: inputs by name or from a folder, outputs, what does not fit.
. "$(dirname "$0")/lib.sh"

mkdir model
"$make_model" external model
m=model/external.onnx
npy x.npy 'f32[2,2]' '1, 2, 3, 4'
good "$tenon" run $m --input x=x.npy
says '^y: f32\[2,2\] 1.5 1 3.5 3$'
good "$tenon" run $m --input x=x.npy --output-dir made
only output_0.npy
npy want.npy 'f32[2,2]' '1.5, 1, 3.5, 3'
same made/output_0.npy want.npy
good "$tenon" run $m --input x=x.npy --output-dir made # the folder may be there
mkdir inputs
cp x.npy inputs/input_0.npy
good "$tenon" run $m --inputs inputs
says '^y: f32\[2,2\] 1.5 1 3.5 3$'
for flags in -O0 -Os --threads=2 --dim=n=2 --shape=x=2x2 --bind=x=x.npy; do
  good "$tenon" run $m --input x=x.npy $flags
  says '^y: f32\[2,2\] 1.5 1 3.5 3$'
done

bad 1 "input 'x' \(f32 \[n, 2\]\) has no value: --input x=FILE.npy" "$tenon" run $m
bad 1 "no input 'z'; see tenon inspect" "$tenon" run $m --input x=x.npy --input z=x.npy
bad 1 'missing.npy: error: cannot open' "$tenon" run $m --input x=missing.npy
bad 1 'no input_0.npy or input_0.pb' "$tenon" run $m --inputs made
bad 1 'not a NumPy file' "$tenon" run $m --input x=$m
npy wide.npy 'f32[2,3]' '1, 2, 3, 4, 5, 6'
bad 1 "'x' .*dimension 1 is 2 in the model, and is given as 3" "$tenon" run $m --input x=wide.npy
npy flat.npy 'f32[4]' '1, 2, 3, 4'
bad 1 "'x' .*2 dimensions.*given a shape of 1" "$tenon" run $m --input x=flat.npy
npy int.npy 'i32[2,2]' '1, 2, 3, 4'
bad 1 "'x' \(graph input\): it is f32\[2,2\], and the value given for it is i32\[2,2\]" "$tenon" run $m --input x=int.npy
bad 1 "given as 2|given as 3|'n'" "$tenon" run $m --input x=x.npy --dim n=3
bad 1 'this folder cannot be made' "$tenon" run $m --input x=x.npy --output-dir nowhere/deep
bad 1 'this folder cannot be made' "$tenon" run $m --input x=x.npy --output-dir x.npy

# bench: what --json must have, and inputs that are given.
good "$tenon" bench "$digits" --runs 7
says '^digits: median [0-9.]+ us, min [0-9.]+ us, p95 [0-9.]+ us over 7 runs, 1 thread'
says 'GFLOP/s'
says 'conv1$'
good "$tenon" bench "$digits" --runs 3 --json
[ "$(wc -l <stdout.txt)" = 1 ] || fail "more than one line of JSON"
for key in threads runs median_us min_us p95_us flops; do
  grep -q "\"$key\": [0-9]" stdout.txt || fail "--json has no $key"
done
says '"runs": 3,'
says '"threads": 1,'
says '"kernels": \[\{"name": "conv1", "us": [0-9.]+, [^}]*"flops": [0-9]+'
! command -v python3 >/dev/null || python3 -c 'import json,sys; json.load(sys.stdin)' <stdout.txt || fail "no JSON"
good "$tenon" bench "$digits" --runs 3 --json --threads=2
says '"threads": 2,'
good "$tenon" bench $m --runs 1 --input x=x.npy # the input's shape binds the dimension
bad 1 "--dim 'n=1'" "$tenon" bench $m --runs 1
bad 1 "it is f32\[2,2\], and the value given for it is i32\[2,2\]" "$tenon" bench $m --runs 1 --input x=int.npy

# inspect
good "$tenon" inspect $m
says 'IR version 8'
says 'opset  ai.onnx 17'
says 'input  x: f32 \[n, 2\]'
says 'output y: f32 \[n, 2\]'
says '1 nodes, 2 parameters in 8 B'
says 'Add x1'
good "$tenon" inspect "$digits" --json
[ "$(wc -l <stdout.txt)" = 1 ] || fail "more than one line of JSON"
says '"inputs": \[\{"name": "image", "dtype": "f32", "shape": "\[1, 1, 8, 8\]"\}\]'
says '"outputs": \[\{"name": "scores"'
says '"ops": \{.*"Conv": 2'
says '"parameters": [0-9]+'
says '"unsupported": \[\]'
! command -v python3 >/dev/null || python3 -c 'import json,sys; json.load(sys.stdin)' <stdout.txt || fail "no JSON"
bad 1 "dimension 'k'" "$tenon" inspect $m --dim k=1
bad 1 'none.onnx: error: cannot open' "$tenon" inspect none.onnx
