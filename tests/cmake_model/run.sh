#!/bin/sh
# Installs Tenon, builds a project that uses find_package(tenon) and tenon_add_model(), runs it; a second build does
# nothing, and a touched model is compiled again.
#
#   run.sh CMAKE BUILD_DIR SOURCE_ROOT OUT GENERATOR
set -eu
cmake=$1 build=$2 root=$3 out=$4 generator=$5
rm -rf "$out"
mkdir -p "$out"
"$cmake" --install "$build" --prefix "$out/prefix" >"$out/install.log"
"$cmake" -S "$root/tests/cmake_model" -B "$out/project" -G "$generator" -DSAMPLES="$root/samples/digits" \
  -DCMAKE_PREFIX_PATH="$out/prefix" >"$out/configure.log"
again() {
  "$cmake" --build "$out/project" >"$out/build.log" 2>&1 || {
    cat "$out/build.log"
    exit 1
  }
}
again
grep -q 'Compiling the network digits' "$out/build.log"
"$out/project/classify" quiet >"$out/predictions"
cmp "$out/predictions" "$root/samples/digits/expected_predictions.txt"
again
if grep 'Compiling the network' "$out/build.log"; then
  echo "an unchanged model was compiled again"
  exit 1
fi
sleep 1
touch "$out/project/network.onnx"
again
grep -q 'Compiling the network digits' "$out/build.log"
