#!/bin/sh
# Installs what is missing, builds Tenon with its tests and runs them.
set -eu
cd "$(dirname "$0")/.."
tools/setup.sh --tests
cmake --preset release -DTENON_TESTS=ON
cmake --build --preset release
ctest --preset release -j "$(nproc)"
