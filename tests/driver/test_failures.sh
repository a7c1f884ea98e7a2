#!/bin/sh
# compile, when something fails: exit status 1, one clear message, nothing new is left and what was there is whole.
. "$(dirname "$0")/lib.sh"

untouched() { # after a failure in `made`, which held net.o and net.h
  only net.o net.h
  same made/net.o net.o
  same made/net.h net.h
}
good "$tenon" compile "$digits" -o net.o -O1
fresh
cp net.o net.h made

bad 1 'none.onnx: error: cannot open: No such file' "$tenon" compile none.onnx -o made/net.o
untouched
bad 1 'Is a directory' "$tenon" compile made -o made/net.o
untouched
bad 1 'cannot (create|write)' "$tenon" compile "$digits" -o nowhere/net.o
bad 1 'cannot (create|write)' "$tenon" compile "$digits" -o nowhere/net.so
[ ! -e nowhere ] || fail "a folder was made"
bad 1 'No space left' "$tenon" compile "$digits" -o /dev/full --emit=obj
bad 1 'standard output cannot be written' sh -c "\"$tenon\" inspect \"$digits\" >/dev/full"
bad 1 'standard output cannot be written' sh -c "\"$tenon\" compile \"$digits\" -o - --emit=ir >/dev/full"

# The disk fills: a limit on the size of files makes writes fail as a full one does.  The header fits, the object does not.
limited() { # LIMIT in blocks of 512 bytes, arguments
  limit=$1
  shift
  bad 1 'cannot write|failed with' sh -c "ulimit -f $limit; exec \"\$@\"" sh "$tenon" compile "$digits" "$@"
}
limited 10 -o made/net.o
untouched
limited 10 -o made/net.a
untouched
limited 10 -o made/net.so
untouched
limited 10 -o made/net.o --emit=obj,header,asm,ir,report -MD
untouched
limited 10 -o made/net.o --weights-file=made/net.weights
untouched
# Each of several outputs that cannot be written undoes all of them.
mkdir made/net.s
bad 1 'net.s: error: cannot write: Is a directory' "$tenon" compile "$digits" -o made/net.o --emit=obj,header,asm
rmdir made/net.s
untouched
mkdir made/net.d
bad 1 'net.d' "$tenon" compile "$digits" -o made/net.o -MD
rmdir made/net.d
untouched
if [ "$(id -u)" != 0 ]; then
  chmod a-w made
  bad 1 'Permission denied' "$tenon" compile "$digits" -o made/new.o
  bad 1 'Permission denied' "$tenon" compile "$digits" -o made/new.so
  chmod u+w made
  untouched
fi

# A model that is cut off anywhere is refused; one bit more or less is no crash.
size=$(wc -c <"$digits")
for bytes in 0 1 2 7 100 $((size / 3)) $((size / 2)) $((size - 100)) $((size - 1)); do
  head -c "$bytes" "$digits" >cut.onnx
  bad 1 'cut.onnx: error' "$tenon" compile cut.onnx -o made/net.o
  untouched
done
for command in inspect run bench; do
  bad 1 'cut.onnx: error' "$tenon" $command cut.onnx
done
printf 'this is no model' >text.onnx
bad 1 'text.onnx: error' "$tenon" compile text.onnx -o made/net.o
untouched

# External data that is missing or too short is named.
mkdir model
"$make_model" external model
printf 'x' >model/w.bin
bad 1 "'w' .*needs 8 bytes.* it has 1" "$tenon" compile model/external.onnx -o made/net.o --dim n=1
rm model/w.bin
bad 1 'w.bin' "$tenon" compile model/external.onnx -o made/net.o --dim n=1
untouched

# Everything that is not supported, at once, by node and operator.
"$make_model" unsupported model
bad 1 "'first' \(NoSuchOp\)" "$tenon" compile model/unsupported.onnx -o made/net.o
grep -q "'second' (com.example.Other)" stderr.txt || fail "the second node is not named"
untouched
good "$tenon" inspect model/unsupported.onnx
says "unsupported: node 'first' \(NoSuchOp\)"
says "unsupported: node 'second' \(com.example.Other\)"
good "$tenon" inspect model/unsupported.onnx --json
says '"unsupported": \[\{"node": "first", "op": "NoSuchOp", "reason": ".+"\}, \{"node": "second"'
