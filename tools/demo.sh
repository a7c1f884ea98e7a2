#!/bin/sh
# Installs what is missing, builds Tenon, compiles the digits network, links it into a C program and runs it.
set -eu
cd "$(dirname "$0")/.."
tools/setup.sh
cmake --preset release -DTENON_TESTS=OFF >/dev/null
cmake --build --preset release
mkdir -p build/demo
build/tenon compile samples/digits/digits.onnx -o build/demo/digits.o
gcc -O2 -Wall -Wextra -std=c99 -Ibuild/demo -o build/demo/digits samples/digits/main.c samples/digits/classify.c build/demo/digits.o
build/demo/digits
