#!/bin/sh
# Threads as a program uses them: the pool of runtime/ as strict C99, under ThreadSanitizer where it works, its header
# as C++, and a model compiled with --threads.
#
#   run.sh TENON SOURCE_ROOT OUT
set -eu
tenon=$1 root=$2 out=$3
mkdir -p "$out"
cd "$out"
strict="-Wall -Wextra -Wpedantic -Werror -I. -I$root/runtime"
build() {
  # shellcheck disable=SC2086
  gcc $strict "$@" -pthread
}
build -std=c99 -O2 -c "$root/runtime/tenon_threads.c" -o tenon_threads.o
if command -v g++ >/dev/null; then
  # shellcheck disable=SC2086
  echo '#include "tenon_threads.h"' | g++ $strict -std=c++11 -fsyntax-only -x c++ -
fi
build -std=c99 -D_POSIX_C_SOURCE=200809L -O2 "$root/tests/threads/pool.c" tenon_threads.o -o pool
./pool
# The sanitizer needs an address-space layout that not every kernel gives: an empty program tells.
echo 'int main(void) { return 0; }' >empty.c
if gcc -fsanitize=thread empty.c -o empty 2>/dev/null && ./empty 2>/dev/null; then
  build -std=c99 -D_POSIX_C_SOURCE=200809L -DTENON_SPIN_NS=20000 -O1 -g -fsanitize=thread "$root/tests/threads/pool.c" \
    "$root/runtime/tenon_threads.c" -o pool_tsan
  ./pool_tsan
else
  echo "left out: ThreadSanitizer does not work here"
fi
"$tenon" compile "$root/tests/threads/net.tir" -o net.o --threads=2 >/dev/null
build -std=c11 -O1 "$root/tests/threads/model.c" net.o tenon_threads.o -o model
./model
# Compiled for one thread, nothing of threads is in the object or declared in the header.
"$tenon" compile "$root/tests/threads/net.tir" -o one.o >/dev/null
if grep -q "one_run_parallel" one.h || nm one.o | grep -q _run_parallel; then
  echo "threads in a model compiled for one"
  exit 1
fi
if "$tenon" compile "$root/tests/threads/net.tir" -o none.o --threads=0 2>message; then
  echo "--threads=0 was taken"
  exit 1
fi
grep -q "wants a number from 1 up" message
