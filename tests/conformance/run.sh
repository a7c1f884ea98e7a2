#!/bin/sh
# Runs `tenon verify` on every case of an official ONNX test suite: folders that hold model.onnx and test_data_set_*.
#
#   run.sh TENON EXPECTED FOLDER...
#
# EXPECTED lists the cases that do not pass, one a line, `name: reason`.  The run fails when a case that is not
# listed does not pass, when a listed one passes (the list is out of date), and on any crash or hang, listed or not.
# With EXPECTED `-` nothing is expected: the lines that such a list would hold are printed.
set -u
tenon=$1 expected=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
one() {
  case_dir=$1
  name=$(basename "$case_dir")
  timeout 60 "$2" verify "$case_dir/model.onnx" "$case_dir" >"$3/$name.out" 2>"$3/$name.err"
  status=$?
  reason=$(sed -n 's/^FAIL [^:]*: *//p' "$3/$name.out" | head -n 1 | sed 's|[^ ]*/model.onnx: ||; s|[^ ]*/test_data_set_[0-9]*/||' | cut -c1-240)
  case $status in
  0) echo "pass $name" ;;
  1) echo "fail $name: $reason" ;;
  124) echo "hang $name: no answer within 60 s" ;;
  *) echo "crash $name: exit status $status: $reason" ;;
  esac
}
if [ "${CONFORMANCE_ONE:-}" ]; then
  one "$CONFORMANCE_ONE" "$tenon" "$1"
  exit 0
fi
for folder in "$@"; do
  find -L "$folder" -name model.onnx
done | sort | sed 's|/model.onnx$||' >"$work/cases"
xargs -P "$(nproc)" -I{} env CONFORMANCE_ONE={} sh "$0" "$tenon" - "$work" <"$work/cases" >"$work/results"
sort -o "$work/results" "$work/results"
passed=$(grep -c '^pass ' "$work/results")
total=$(wc -l <"$work/cases")
if [ "$expected" = - ]; then
  sed -n 's/^fail //p; /^hang /p; /^crash /p' "$work/results"
  echo "# $passed of $total pass" >&2
  exit 0
fi
bad=0
sed -n 's/:.*//; /^[^#]/p' "$expected" | sort >"$work/listed"
sed -n 's/^pass //p' "$work/results" | sort >"$work/passing"
sed -n 's/^fail \([^:]*\):.*/\1/p' "$work/results" | sort >"$work/failing"
for name in $(comm -23 "$work/failing" "$work/listed"); do
  grep "^fail $name:" "$work/results"
  bad=1
done
for name in $(comm -12 "$work/passing" "$work/listed"); do
  echo "passes now, take it off $(basename "$expected"): $name"
  bad=1
done
grep -E '^(crash|hang) ' "$work/results" && bad=1
echo "$passed of $total conformance cases pass, $((total - passed)) do not ($(grep -c . "$work/listed") expected)"
exit $bad
