#!/bin/sh
# verify: a line a folder and a count; vectors that are wrong; tolerances; --per-node.
. "$(dirname "$0")/lib.sh"

mkdir -p model right wrong half set/test_data_set_0 set/test_data_set_1
"$make_model" external model
m=model/external.onnx
npy x.npy 'f32[1,2]' '1, 2'
npy y.npy 'f32[1,2]' '1.5, 1'
npy off.npy 'f32[1,2]' '1.5, 1.01'
npy long.npy 'f32[2,1]' '1.5, 1'
for d in right wrong set/test_data_set_0 set/test_data_set_1; do
  cp x.npy $d/input_0.npy
  cp y.npy $d/output_0.npy
done
cp off.npy wrong/output_0.npy

good "$tenon" verify $m right
[ "$(cat stdout.txt)" = "PASS right
1 passed, 0 failed" ] || fail "$(cat stdout.txt)"
good "$tenon" verify $m set right
[ "$(cat stdout.txt)" = "PASS set/test_data_set_0
PASS set/test_data_set_1
PASS right
3 passed, 0 failed" ] || fail "$(cat stdout.txt)"
bad 1 '' "$tenon" verify $m right wrong
says '^PASS right$'
says "^FAIL wrong: output 'y': 1 of 2 elements differ, most element 1: 1, expected 1.0"
says '^1 passed, 1 failed$'
for flags in --rtol=0.02 --atol=0.02 '--rtol 0 --atol 0.0101'; do
  good "$tenon" verify $m wrong $flags
done
bad 1 '' "$tenon" verify $m wrong --rtol=0 --atol=0.0099
good "$tenon" verify $m right --rtol=0 --atol=0
bad 1 '' "$tenon" verify $m wrong --per-node
says "^FAIL wrong: .*; every node's code computes what its definition says"
for flags in -O0 -O1 -Os --threads=2 --cpu=x86-64; do
  [ "$flags" != --cpu=x86-64 ] || [ "$(uname -m)" = x86_64 ] || continue
  good "$tenon" verify $m right $flags
done

# What is in the folder does not fit the model.
vector() { # NAME: a new one that is right so far
  rm -rf "$1"
  cp -r right "$1"
}
vector bad
cp long.npy bad/output_0.npy
bad 1 '' "$tenon" verify $m bad
says "^FAIL bad: output 'y' is f32\[1,2\], expected f32\[2,1\]$"
npy bad/output_0.npy 'f64[1,2]' '1.5, 1'
bad 1 '' "$tenon" verify $m bad
says "^FAIL bad: output 'y' is f32\[1,2\], expected f64\[1,2\]$"
vector bad
cp y.npy bad/output_1.npy
bad 1 '' "$tenon" verify $m bad
says '^FAIL bad: the folder holds 2 outputs, the model has 1$'
vector bad
cp x.npy bad/input_1.npy
bad 1 '' "$tenon" verify $m bad
says '^FAIL bad: .*the model has 1 inputs, 2 are given'
vector bad
npy bad/input_0.npy 'i64[1,2]' '1, 2'
bad 1 '' "$tenon" verify $m bad
says "^FAIL bad: .*it is f32\[1,2\], and the value given for it is i64\[1,2\]"
vector bad
head -c 130 y.npy >bad/output_0.npy
bad 1 '' "$tenon" verify $m bad
says '^FAIL bad: bad/output_0.npy: .*fewer elements than its shape'
bad 1 'holds no test vectors' "$tenon" verify $m model
says '^0 passed, 1 failed$'
bad 1 'cannot be opened' "$tenon" verify $m nowhere right
says '^1 passed, 1 failed$'
bad 1 '' "$tenon" verify none.onnx right
says '^FAIL right: none.onnx: error: cannot open'
bad 1 '--target needs --runner' "$tenon" verify $m right --target=aarch64-linux-gnu

# NaN and infinity are themselves, and nothing else.
printf 'module "m"\ngraph(%%x: f32[1,3]) {\n  %%y = div(%%x, %%x) : f32[1,3]\n  %%z = log(%%x) : f32[1,3]\n  return %%y, %%z\n}\n' >odd.tir
mkdir nan
npy nan/input_0.npy 'f32[1,3]' '0, 1, -1'
npy nan/output_0.npy 'f32[1,3]' 'nan, 1, 1'
npy nan/output_1.npy 'f32[1,3]' '-inf, 0, nan'
good "$tenon" verify odd.tir nan
npy nan/output_1.npy 'f32[1,3]' '-inf, nan, nan'
bad 1 '' "$tenon" verify odd.tir nan
npy nan/output_1.npy 'f32[1,3]' 'inf, 0, nan'
bad 1 '' "$tenon" verify odd.tir nan
says "output 'z': 1 of 3 elements differ, most element 0: -inf, expected inf"

# Control flow: --per-node goes into the branch that is taken and through every turn of a loop.
cat >loop.tir <<'END'
module "loop"
graph(%x: f32[4], %big: bool[]) {
  %n = constant {value = i64[] [3]} : i64[]
  %go = constant {value = bool[] [true]} : bool[]
  %sum, %rows = loop(%n, %go, %x) {trip = 3} graph(%i: i64[], %c: bool[], %a: f32[4]) {
    %b = add(%a, %x) : f32[4]
    %same = or(%c, %c) : bool[]
    return %same, %b, %b
  } : f32[4], f32[3,4]
  %y = if(%big) graph() {
    %p = mul(%sum, %sum) : f32[4]
    return %p
  } graph() {
    %q = neg(%sum) : f32[4]
    return %q
  } : f32[4]
  return %y, %rows
}
END
mkdir loop
npy loop/input_0.npy 'f32[4]' '1, 2, 3, 4'
npy loop/output_1.npy 'f32[3,4]' '2, 4, 6, 8, 3, 6, 9, 12, 4, 8, 12, 16'
for case in 'true:16, 64, 144, 256' 'false:-4, -8, -12, -16'; do
  npy loop/input_1.npy 'bool[]' "${case%%:*}"
  npy loop/output_0.npy 'f32[4]' "${case#*:}"
  good "$tenon" verify loop.tir loop
done
npy loop/output_0.npy 'f32[4]' '0, 0, 0, 0'
bad 1 '' "$tenon" verify loop.tir loop --per-node
says "^FAIL loop: .*; every node's code computes what its definition says"

# float16, bit for bit but for NaNs: what the definitions compute when the input is a constant, and what code computes.
npy zero.npy 'i32[]' 0
good "$tenon" run "$root/tests/driver/half.tir" --bind base=zero.npy --output-dir half
cp zero.npy half/input_0.npy
for flags in --cpu=native -O0 --cpu=x86-64 --cpu=haswell; do
  case $flags in
  --cpu=x86-64) [ "$(uname -m)" = x86_64 ] || continue ;;
  --cpu=haswell) grep -q avx2 /proc/cpuinfo || continue ;;
  esac
  good "$tenon" verify "$root/tests/driver/half.tir" half --rtol=0 --atol=0 $flags
done

# Official vectors, as .pb.
if [ -d "$data/node" ]; then
  good "$tenon" verify "$data/node/test_relu/model.onnx" "$data/node/test_relu"
  says '^1 passed, 0 failed$'
  bad 1 '' "$tenon" verify "$data/node/test_relu/model.onnx" "$data/node/test_abs"
  says '^0 passed, 1 failed$'
fi
