#!/bin/sh
# Help, version, exit status 2 for what is no use of the command, 1 for what is not supported.
. "$(dirname "$0")/lib.sh"

good "$tenon" --help
for command in compile run verify bench inspect; do
  says "tenon $command MODEL"
  grep -q "exits\?\|Exit status" stdout.txt || fail "no exit status in the overview"
done
good "$tenon" help
good "$tenon" --version
says '^tenon [0-9.]+ \(LLVM [0-9.]+\)$'
for command in compile run verify bench inspect; do
  good "$tenon" $command --help
  says "^usage: tenon $command MODEL"
  cp stdout.txt help.txt
  # Every option that it lists is one: with its value left out or a wrong one it is not unknown.
  sed -n 's/^  \(-[-A-Za-z0-9]*\).*/\1/p' help.txt >options.txt
  [ "$(wc -l <options.txt)" -ge 5 ] || fail "$command has few options"
  while read -r option; do
    status=0
    "$tenon" $command none.onnx "$option" >/dev/null 2>stderr.txt || status=$?
    ! grep -q 'has no option' stderr.txt || fail "$command --help lists $option, which it has not"
    [ $status -le 2 ] || fail "$command $option: exit status $status"
  done <options.txt
done
# The options that the design promises, where they belong.
has() { # COMMAND OPTION...
  command=$1
  shift
  "$tenon" $command --help >help.txt
  for option in "$@"; do
    grep -Eq -- "^  $option[ =]" help.txt || fail "$command has no $option"
  done
}
for command in compile run verify bench; do
  has $command --target --cpu --features --dim --shape -O0 -O1 -O2 -O3 -Os --threads --quantize --calibrate --prune \
    --prune-channels --low-rank
done
has compile -o --emit --name -MD --json --weights-section --weights-file
has run --input --output-dir
has verify --rtol --atol --per-node --runner
has bench --runs --json
has inspect --json

bad 2 '' "$tenon"
bad 2 "no command 'frobnicate'" "$tenon" frobnicate
bad 2 "no option '--frobnicate'" "$tenon" compile "$digits" --frobnicate
bad 2 "no option '--frobnicate=3'" "$tenon" run "$digits" --frobnicate=3
bad 2 "no option '-o'" "$tenon" run "$digits" -o x
bad 2 "no option '--json'" "$tenon" verify "$digits" --json
bad 2 "no option '-O4'" "$tenon" compile "$digits" -O4
bad 2 'which model' "$tenon" compile -o x.o
bad 2 'which test vectors' "$tenon" verify "$digits"
bad 2 "one model .* 'b.onnx'" "$tenon" compile a.onnx b.onnx
bad 2 "wants a value after '-o'" "$tenon" compile "$digits" -o
bad 2 "no value belongs after '--json'" "$tenon" inspect "$digits" --json=yes
bad 2 "--dim wants NAME=N, not 'batch'" "$tenon" compile "$digits" -o x.o --dim batch
bad 2 "--dim wants NAME=N, not '=3'" "$tenon" compile "$digits" -o x.o --dim =3
bad 2 "--dim is given twice for 'n'" "$tenon" compile "$digits" -o x.o --dim n=1 --dim n=2
bad 2 "--input is given twice for 'image'" "$tenon" run "$digits" --input image=a --input image=b
bad 2 "--runs wants a number from 1 up, not '0'" "$tenon" bench "$digits" --runs 0
bad 2 "not 'many'" "$tenon" bench "$digits" --runs=many
bad 2 "not '-1'" "$tenon" verify "$digits" . --rtol=-1
bad 2 "not 'nan'" "$tenon" verify "$digits" . --atol=nan
bad 2 "not '0'" "$tenon" compile "$digits" -o x.o --threads=0
bad 2 "at most" "$tenon" compile "$digits" -o x.o --threads=100000
bad 2 "C identifier, not 'a-b'" "$tenon" compile "$digits" -o x.o --name=a-b
bad 2 "C identifier, not '1a'" "$tenon" compile "$digits" -o x.o --name=1a
bad 2 "C identifier, not ''" "$tenon" compile "$digits" -o x.o --name=

for flag in --quantize=int8 --calibrate=x --prune=0.8 --prune-channels=0.3 --low-rank=0.5; do
  for command in compile run verify bench; do
    bad 1 "error: ${flag%%=*} is not supported yet" "$tenon" $command "$digits" "$flag"
  done
done
[ ! -e x.o ] || fail "an output of a refused use"
