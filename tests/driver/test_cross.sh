#!/bin/sh
# verify --target --runner: what was cross-compiled, under an emulator, on the digits and on official vectors.
. "$(dirname "$0")/lib.sh"

# The digits' own vector: an image, and the scores that this machine computes.
image=$(grep -m 1 '^    {' "$root/samples/digits/digits_test.h" | tr -d '{} ' | sed 's/,$//')
mkdir digit
npy digit/input_0.npy 'f32[1,1,8,8]' "$(echo "$image" | sed 's/,/, /g')"
good "$tenon" run "$digits" --inputs digit --output-dir scores
mv scores/output_0.npy digit/output_0.npy

# float16, bit for bit but for NaNs: what the definitions compute when the input is a constant, and what code computes.
npy zero.npy 'i32[]' 0
good "$tenon" run "$root/tests/driver/half.tir" --bind base=zero.npy --output-dir half
cp zero.npy half/input_0.npy

# Columns picked by tables, likewise.
npy x.npy 'f32[3,40]' "$(seq -s ', ' 1 120)"
good "$tenon" run "$root/tests/driver/picks.tir" --bind x=x.npy --output-dir picks
cp x.npy picks/input_0.npy
good "$tenon" compile "$root/tests/driver/picks.tir" --target=aarch64-linux-gnu -o picks.s
[ "$(grep -o 'tbl.*{.*}' picks.s | awk '{print NF - 4}' | sort -u | tr '\n' ' ')" = '1 2 3 4 ' ] ||
  fail "no picks from one to four vectors: $(grep tbl picks.s)"

vectors='conv_with_strides_padding gemm_all_attributes softmax_axis_1_expanded lstm_defaults top_k quantizelinear
cast_FLOAT_to_FLOAT16 if loop11'
ran=
missing=
target() { # TRIPLE, C COMPILER, RUNNER, MORE
  triple=$1 cc=$2 runner=$3
  shift 3
  if ! command -v "$cc" >/dev/null || ! command -v "${runner%% *}" >/dev/null; then
    missing="$missing $triple ($cc, ${runner%% *})"
    return
  fi
  ran="$ran $triple"
  good "$tenon" verify "$digits" digit --target="$triple" --runner="$runner" "$@"
  [ "$(cat stdout.txt)" = "PASS digit
1 passed, 0 failed" ] || fail "$triple: $(cat stdout.txt)"
  good "$tenon" verify "$root/tests/driver/half.tir" half --rtol=0 --atol=0 --target="$triple" --runner="$runner" "$@"
  good "$tenon" verify "$root/tests/driver/picks.tir" picks --rtol=0 --atol=0 --target="$triple" --runner="$runner" "$@"
  [ ! -d "$data/node" ] || for v in $vectors; do
    [ -d "$data/node/test_$v" ] || fail "there is no official vector $v"
    good "$tenon" verify "$data/node/test_$v/model.onnx" "$data/node/test_$v" --target="$triple" --runner="$runner" "$@"
    says '^1 passed, 0 failed$'
  done
}
target aarch64-linux-gnu aarch64-linux-gnu-gcc 'qemu-aarch64 -L /usr/aarch64-linux-gnu'
target armv7-linux-gnueabihf arm-linux-gnueabihf-gcc 'qemu-arm -L /usr/arm-linux-gnueabihf'
target riscv64-linux-gnu riscv64-linux-gnu-gcc 'qemu-riscv64 -L /usr/riscv64-linux-gnu'
vectors='conv_with_strides_padding gemm_all_attributes' # the vectors of QEMU 7.2 fail an assertion of its own in others
target riscv64-linux-gnu riscv64-linux-gnu-gcc 'qemu-riscv64 -cpu rv64,v=true,vext_spec=v1.0' --features=+v

if [ -n "$ran" ]; then
  # shellcheck disable=SC2086
  set -- $ran
  case $1 in aarch64*) runner=qemu-aarch64 ;; arm*) runner=qemu-arm ;; *) runner=qemu-riscv64 ;; esac
  cp -r digit wrong
  npy wrong/output_0.npy 'f32[1,10]' '0, 0, 0, 0, 0, 0, 0, 0, 0, 0'
  bad 1 '' "$tenon" verify "$digits" wrong --target="$1" --runner=$runner
  says "^FAIL wrong: output 'scores': "
  bad 1 '' "$tenon" verify "$digits" digit --target="$1" --runner=false
  says "^FAIL digit: .*the runner 'false' ended with exit status 1"
  bad 1 'not-there' "$tenon" verify "$digits" digit --target="$1" --runner=not-there
  says "^FAIL digit: .*the runner 'not-there' ended with exit status 127"
  TMPDIR=/nowhere bad 1 '' "$tenon" verify "$digits" digit --target="$1" --runner=$runner
  says '^FAIL digit: .*no temporary folder can be made in /nowhere'
  mkdir temp
  TMPDIR=$out/temp good "$tenon" verify "$digits" digit --target="$1" --runner=$runner
  TMPDIR=$out/temp bad 1 '' "$tenon" verify "$digits" digit --target="$1" --runner=false
  [ -z "$(ls -A temp)" ] || fail "temporary files are left: $(ls temp)"
fi
bad 1 '' "$tenon" verify "$digits" digit --target=thumbv7em-none-eabihf --runner=true
says 'runs programs of Linux targets; thumbv7em-unknown-none-eabihf is none'
if [ -n "$missing" ]; then
  echo "SKIP:$missing: not installed (tools/setup.sh --tests installs them)"
  exit 77
fi
