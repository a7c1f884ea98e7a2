#!/bin/sh
# The compile cache: what it gives is what a build gives, whatever happens to the folder.
#
#   run.sh TENON SOURCE_ROOT OUT
set -eu
tenon=$1 root=$2 out=$3
rm -rf "$out"
mkdir -p "$out"
cd "$out"
cache=$out/kept
unset TENON_CACHE_DIR
fail() {
  echo "$*"
  exit 1
}
entries() { find "$cache" -name '*.tno' | wc -l; }
expect() { [ "$(entries)" = "$1" ] || fail "$2: $(entries) entries, expected $1"; }

# 50 KiB of weights, all of one value.
net() {
  printf 'module "net"\ngraph(%%x: f32[1,128]) {\n  %%w = constant {value = f32[128,100] hex"'
  head -c 102400 /dev/zero | tr '\0' "$1"
  printf '"} : f32[128,100]\n  %%y = matmul(%%x, %%w) : f32[1,100]\n  return %%y\n}\n'
}
net 3 >net.tir

# build CACHE [OPTIONS]: made.o, made.h, made.txt
build() {
  kept=$1
  shift
  "$tenon" compile net.tir -o made.o --name=net --json --cache="$kept" "$@" >made.txt
}
# The same with the cache and without.
same() {
  build off "$@"
  mv made.o plain.o
  mv made.h plain.h
  mv made.txt plain.txt
  build "$cache" "$@"
  for kind in o h txt; do
    cmp plain.$kind made.$kind || fail "another .$kind with the cache ($*)"
  done
}

same
expect 1 "the first build"
touch -d 2001-01-01 "$cache"/*.tno
same
expect 1 "the second build"
[ -z "$(find "$cache" -name '*.tno' ! -newermt 2002-01-01)" ] || fail "a hit does not count as a use"

# What changes the object misses.
n=1
for option in -O1 -Os --threads=2 --weights-section=.flash --cpu=x86-64 --features=-avx512f --target=aarch64-linux-gnu; do
  same $option
  same $option
  n=$((n + 1))
  expect $n "$option"
done
net 4 >net.tir # the weights only
same
n=$((n + 1))
expect $n "other weights"
cp "$tenon" ./another
printf x >>./another # another build of the compiler
./another compile net.tir -o made.o --name=net --cache="$cache" >/dev/null
cmp plain.o made.o
n=$((n + 1))
expect $n "another compiler"

# Assembly is not kept, and is right after a hit.
"$tenon" compile net.tir -o a.s --name=net --cache=off >/dev/null
"$tenon" compile net.tir --emit=obj,asm -o b.o --name=net --cache="$cache" >/dev/null
cmp a.s b.s || fail "another .s after a hit"
cmp plain.o b.o || fail "another .o beside assembly"
expect $n "assembly"

# What is not whole is made again.
rm -r "$cache"
same
entry=$(echo "$cache"/*.tno)
size=$(wc -c <"$entry")
cp "$entry" whole
for at in 0 9 30 44 60 200 $((size / 2)) $((size - 1)); do
  printf '\377' | dd of="$entry" bs=1 seek=$at conv=notrunc 2>/dev/null
  cmp -s "$entry" whole && fail "nothing was changed at $at"
  same
  cmp "$entry" whole || fail "an entry that was wrong at $at was not replaced"
done
for size in 0 5 48 $((size - 1)); do
  head -c "$size" whole >"$entry"
  same
  cmp "$entry" whole || fail "an entry of $size bytes was not replaced"
done
(cat whole && echo more) >"$entry"
same
cmp "$entry" whole || fail "an entry with more behind it was not replaced"
rm "$entry"
mkdir "$entry" # cannot be read, removed or replaced
same
rmdir "$entry"

# Where nothing can be kept, a build is a build.
echo file >file
build "$out/file/cache"
cmp plain.o made.o
mkdir locked
chmod 555 locked
build "$out/locked/cache"
cmp plain.o made.o
chmod 755 locked
for missing in "" relative; do
  env -u HOME XDG_CACHE_HOME="$missing" "$tenon" compile net.tir -o made.o --name=net >/dev/null
  cmp plain.o made.o
done
[ ! -e relative ] || fail "a relative XDG_CACHE_HOME was used"

# Where it is.
HOME=$out/home XDG_CACHE_HOME="" "$tenon" compile net.tir -o made.o >/dev/null
HOME=$out/home XDG_CACHE_HOME="$out/xdg" "$tenon" compile net.tir -o made.o >/dev/null
HOME=$out/home XDG_CACHE_HOME="$out/xdg" TENON_CACHE_DIR=$out/own "$tenon" compile net.tir -o made.o >/dev/null
HOME=$out/none TENON_CACHE_DIR=off "$tenon" compile net.tir -o made.o >/dev/null
for place in home/.cache/tenon xdg/tenon own; do
  [ "$(ls "$place")" ] || fail "nothing in $place"
done
[ ! -e none ] || fail "off is not off"

# Processes that share a folder.
rm -r "$cache"
pids=
for i in 1 2 3 4 5 6; do
  "$tenon" compile net.tir -o "p$i.o" --name=net --cache="$cache" >/dev/null &
  pids="$pids $!"
done
for pid in $pids; do wait "$pid"; done
for i in 1 2 3 4 5 6; do cmp plain.o "p$i.o"; done
expect 1 "processes at a time"
[ "$(find "$cache" -type f | wc -l)" = 1 ] || fail "something was left behind"

# Bounded: the least recently used go first. An entry is some 55 KiB.
export TENON_CACHE_MIB=1
build "$cache"
entry=$(echo "$cache"/*.tno)
for i in $(seq 1 30); do
  touch -d "2001-01-01 00:00:$i" "$cache"/*.tno
  touch "$entry" # used all the time
  "$tenon" compile net.tir -o made.o --name="net$i" --cache="$cache" >/dev/null
  [ "$(cat "$cache"/*.tno | wc -c)" -le 1048576 ] || fail "more than may be kept"
done
[ -e "$entry" ] || fail "what is used was removed"
[ "$(entries)" -ge 8 ] || fail "too much was removed"
touch -d 2001-01-01 "$cache/0.tno.1" # left by a process that died
"$tenon" compile net.tir -o made.o --name=last --cache="$cache" >/dev/null
[ ! -e "$cache/0.tno.1" ] || fail "what a process left stays for ever"
unset TENON_CACHE_MIB

# The commands that run a model take from it too, and get the same.
{
  printf '\223NUMPY\001\000\166\000'
  printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 128), }"
  head -c 512 /dev/zero | tr '\0' 3
} >x.npy
rm -r "$cache"
"$tenon" run net.tir --input x=x.npy --cache=off >plain.txt
grep -q 'y: f32\[1,100\]' plain.txt
for i in 1 2; do
  "$tenon" run net.tir --input x=x.npy --cache="$cache" >made.txt
  cmp plain.txt made.txt
  expect 1 "run"
done
