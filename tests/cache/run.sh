#!/bin/sh
# The compile cache: what it gives is what a build gives, whatever happens to the folder.
#
#   run.sh TENON SOURCE_ROOT OUT MAKE_MODEL
set -eu
tenon=$1 root=$2 out=$3 make_model=$4
rm -rf "$out"
mkdir -p "$out"
cd "$out"
cache=$out/kept
unset TENON_CACHE_DIR
fail() {
  echo "$*"
  exit 1
}
count() { find "$cache" -name "*.$1" | wc -l; } # tnc: compilations; tno: objects; tnb: bytes; tnf: hashes of files
expect() {                                      # COMPILATIONS OBJECTS WHAT
  [ "$(count tnc) $(count tno)" = "$1 $2" ] ||
    fail "$3: $(count tnc) compilations and $(count tno) objects, expected $1 and $2"
}

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
  "$tenon" compile net.tir -o made.o --name=net --json -MD --cache="$kept" "$@" >made.txt 2>made.err
}
# The same with the cache and without.
same() {
  build off "$@"
  for kind in o h d txt err; do
    mv made.$kind plain.$kind
  done
  build "$cache" "$@"
  for kind in o h d txt err; do
    cmp plain.$kind made.$kind || fail "another .$kind with the cache ($*)"
  done
}

same
expect 1 1 "the first build"
[ "$(count tnb)" = 1 ] || fail "$(count tnb) files of bytes"
touch -d 2001-01-01 "$cache"/*
same
expect 1 1 "the second build"
for kind in tnc tnb; do
  [ -z "$(find "$cache" -name "*.$kind" ! -newermt 2002-01-01)" ] || fail "a hit does not count as a use of .$kind"
done
rm "$cache"/*.tnc # without it there is the object
same
expect 1 1 "from the object"
[ -z "$(find "$cache" -name '*.tno' ! -newermt 2002-01-01)" ] || fail "a hit does not count as a use of .tno"
mv net.tir there.tir # a hit does not come with the model alone
printf 'graph() {' >net.tir
build "$cache" && fail "a broken model was compiled"
mv there.tir net.tir

# What changes the object misses.
n=1
for option in -O1 -Os --threads=2 --weights-section=.flash --cpu=x86-64 --features=-avx512f --target=aarch64-linux-gnu; do
  same $option
  same $option
  n=$((n + 1))
  expect $n $n "$option"
done
same --disable=winograd,cse # other options, the same object: the model is of one node
same --disable=winograd,cse
expect $((n + 1)) $n "--disable"
for option in --time-passes --print-after=fold --verify-each; do # what prints on its way is not replayed
  build "$cache" $option
  cmp plain.o made.o
  [ $option = --verify-each ] || [ -s made.err ] || fail "nothing was printed with $option"
done
expect $((n + 1)) $n "what prints"
rm "$cache"/*.tnc
net 4 >net.tir # the weights only
same
n=$((n + 1))
expect 1 $n "other weights"
cp "$tenon" ./another
printf x >>./another # another build of the compiler
./another compile net.tir -o made.o --name=net --cache="$cache" >/dev/null
cmp plain.o made.o
n=$((n + 1))
expect 2 $n "another compiler"

# Assembly is not kept, and is right after a hit.
"$tenon" compile net.tir -o a.s --name=net --cache=off >/dev/null
"$tenon" compile net.tir --emit=obj,asm -o b.o --name=net --cache="$cache" >/dev/null
cmp a.s b.s || fail "another .s after a hit"
cmp plain.o b.o || fail "another .o beside assembly"
expect 2 $n "assembly"

# Libraries are made of the object that is kept.
"$tenon" compile net.tir -o a.so --name=net --cache=off >/dev/null
"$tenon" compile net.tir -o b.so --name=net --cache="$cache" >/dev/null
cmp a.so b.so || fail "another .so after a hit"
cmp a.h b.h

# What is not whole is made again: a compilation, an object's entry, its bytes.
rm -r "$cache"
same
mkdir whole
cp "$cache"/* whole
damaged() { # KIND WHAT: the entry is damaged
  [ "$1" = tnc ] || rm "$cache"/*.tnc
  same
  for f in whole/*.tn[cob]; do
    cmp "$f" "$cache/${f#whole/}" || fail "a .$1 $2 was not replaced"
  done
}
for kind in tnc tno tnb; do
  entry=$(echo "$cache"/*.$kind)
  good=whole/${entry##*/}
  size=$(wc -c <"$entry")
  for at in 0 9 30 44 60 150 $((size / 2)) $((size - 1)); do
    printf '\377' | dd of="$entry" bs=1 seek=$at conv=notrunc 2>/dev/null
    cmp -s "$entry" "$good" && fail "nothing was changed at $at"
    damaged $kind "that was wrong at $at"
  done
  for bytes in 0 5 48 $((size - 1)); do
    head -c "$bytes" "$good" >"$entry"
    damaged $kind "of $bytes bytes"
  done
  (cat "$good" && echo more) >"$entry"
  damaged $kind "with more behind it"
  rm "$entry"
  mkdir "$entry" # cannot be read, removed or replaced
  same
  rmdir "$entry"
  same
done
rm "$cache"/*.tnb # the others name what is not there
same
expect 1 1 "without bytes"

# Where nothing can be kept, a build is a build.
echo file >file
build "$out/file/cache"
cmp plain.o made.o
mkdir locked
chmod 555 locked
build "$out/locked/cache"
cmp plain.o made.o
chmod 755 locked
cp -r "$cache" readable
# As root, permissions keep nobody out: a mount of its own does.
if unshare -m sh -c "mount --bind '$out/readable' '$out/readable' && mount -o remount,bind,ro '$out/readable' &&
    ! touch '$out/readable/x' 2>/dev/null && cd '$out' && rm made.o &&
    '$tenon' compile net.tir -o made.o --name=net --cache='$out/readable' >/dev/null &&
    '$tenon' compile net.tir -o made.o --name=net -O1 --cache='$out/readable' >/dev/null &&
    '$tenon' compile net.tir -o made.o --name=net --cache='$out/readable' >/dev/null" 2>locked.txt; then
  cmp plain.o made.o
  diff -r "$cache" readable
  mkdir full
  unshare -m sh -c "mount -t tmpfs -o size=32k none '$out/full' && cd '$out' && for i in 1 2; do
    '$tenon' compile net.tir -o made.o --name=net --cache='$out/full' >/dev/null || exit 1
    [ -z \"\$(ls full | grep -v '^[0-9a-f]*\\.tn.\$')\" ] || exit 2; done" || fail "a full disk: status $?"
  cmp plain.o made.o
else
  echo "not tried: a folder that cannot be written, a full disk: $(cat locked.txt)"
fi
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
expect 1 1 "processes at a time"
[ "$(find "$cache" -type f | wc -l)" = 3 ] || fail "something was left behind"

# Bounded: the least recently used go first. A model takes some 56 KiB.
export TENON_CACHE_MIB=1
build "$cache"
entry=$(echo "$cache"/*.tnb)
for i in $(seq 1 30); do
  touch -d "2001-01-01 00:00:$i" "$cache"/*
  touch "$entry" # used all the time
  "$tenon" compile net.tir -o made.o --name="net$i" --cache="$cache" >/dev/null
  [ "$(cat "$cache"/* | wc -c)" -le 1060000 ] || fail "more than may be kept"
done
[ -e "$entry" ] || fail "what is used was removed"
[ "$(count tnb)" -ge 8 ] || fail "too much was removed"
left=$cache/0123456789abcdef0123456789abcdef.tnb.1
touch -d 2001-01-01 "$left" # by a process that died
touch -d 2001-01-01 "$cache/0.tno.1" # is not ours
"$tenon" compile net.tir -o made.o --name=last --cache="$cache" >/dev/null
[ ! -e "$left" ] || fail "what a process left stays for ever"
[ -e "$cache/0.tno.1" ] || fail "another's file was removed"
unset TENON_CACHE_MIB

# Messages and files that were read, beside the model: replayed, and looked at again.
rm -r "$cache"
mkdir 'a model'
"$make_model" newer 'a model'
printf '\223NUMPY\001\000\166\000%-117s\nabcdefgh' "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }" >x.npy
beside() { # CACHE [OPTIONS]
  kept=$1
  shift
  "$tenon" compile 'a model/newer.onnx' -o made.o --name=net -MD --cache="$kept" "$@" >made.txt 2>made.err
}
same_beside() { # [OPTIONS]: twice, so that the second time is a hit
  beside off "$@"
  grep -q 'warning: the model uses opset 99' made.err || fail "no warning to replay: $(cat made.err)"
  for kind in o h d txt err; do
    mv made.$kind plain.$kind
  done
  for time in first second; do
    beside "$cache" "$@"
    for kind in o h d txt err; do
      cmp plain.$kind made.$kind || fail "another .$kind of newer.onnx the $time time ($*)"
    done
  done
}
same_beside --dim n=3
expect 1 1 "a model with its weights beside it"
grep -q 'a\\ model/w.bin' made.d || fail "w.bin is not in made.d"
same_beside --dim n=4
expect 2 2 "another shape"
cp 'a model/w.bin' w.bin
cp -p plain.o before.o
printf '\001' | dd of='a model/w.bin' bs=1 seek=1 conv=notrunc 2>/dev/null # as long as before, and at once
same_beside --dim n=4
cmp -s before.o made.o && fail "other weights, the same object"
expect 2 3 "other weights beside it"
cp w.bin 'a model/w.bin'
same_beside --dim n=4
cmp before.o made.o
expect 2 3 "the first weights again"
mv 'a model/w.bin' gone.bin
beside "$cache" --dim n=4 && fail "compiled without its weights"
grep -q 'w.bin' made.err
mv gone.bin 'a model/w.bin'
same_beside --bind x=x.npy
grep -q 'x.npy' made.d
printf 'ABCDEFGH' | dd of=x.npy bs=1 seek=128 conv=notrunc 2>/dev/null
same_beside --bind x=x.npy
same_beside --dim n=3 --weights-file=w
mv w plain.w
beside "$cache" --dim n=3 --weights-file=w
cmp plain.w w

# Large files: hashed once, and written once.
"$make_model" medium .
large() { "$tenon" compile medium.onnx -o large.o --dim k=512 --cache="$1" >made.txt; }
rm -r "$cache"
large off
mv large.o plain.o
touch -d '1 minute ago' medium.onnx
sleep 3 # a file that changed a moment ago is not trusted
large "$cache"
cmp plain.o large.o
[ "$(count tnf)" = 3 ] || fail "$(count tnf) hashes are kept, expected those of model, output and bytes"
stamp() { stat -c '%i %y' "$1"; }
written=$(stamp large.o)
large "$cache"
cmp plain.o large.o
[ "${written%% *}" = "$(stamp large.o | cut -d' ' -f1)" ] || fail "what was there already was written again"
[ "$written" != "$(stamp large.o)" ] || fail "the output is not as new as if it were written"
for i in 1 2 3; do # right after it was written, and without a trace in its size
  printf "$i" | dd of=large.o bs=1 seek=3000000 conv=notrunc 2>/dev/null
  touch -r large.h large.o
  large "$cache"
  cmp plain.o large.o || fail "a changed output was left as it is"
done
large "$cache"
rm large.o
large "$cache"
cmp plain.o large.o
printf x | dd of="$(echo "$cache"/*.tnb)" bs=1 seek=3000000 conv=notrunc 2>/dev/null
rm large.o
large "$cache"
cmp plain.o large.o || fail "damaged bytes were taken"
for i in 1 2 3; do
  printf "$i" | dd of=medium.onnx bs=1 seek=3000000 conv=notrunc 2>/dev/null # not the clock tells
  large "$cache"
  mv large.o other.o
  large off
  cmp large.o other.o || fail "a changed model was not seen"
done
rm -f large.* medium.onnx other.o plain.o

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
  expect 0 1 "run"
done
