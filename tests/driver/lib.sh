# What the command-line tests share.  Each is run as `test_NAME.sh TENON SOURCE_ROOT OUT MAKE_MODEL`, in an empty
# folder of its own.
set -eu
tenon=$1 root=$2 out=$3 make_model=$4
export LC_ALL=C TENON_CACHE_DIR=off # every compilation is one
rm -rf "$out"
mkdir -p "$out"
cd "$out"
digits=$root/samples/digits/digits.onnx
data=/usr/share/libonnx-testdata/data

fail() {
  echo "FAILED: $*"
  [ ! -s stderr.txt ] || sed 's/^/  stderr: /' stderr.txt
  exit 1
}
# good COMMAND...: exit status 0 and nothing on standard error; standard output is in stdout.txt.
good() {
  status=0
  "$@" >stdout.txt 2>stderr.txt || status=$?
  [ $status = 0 ] || fail "exit status $status instead of 0: $*"
  [ ! -s stderr.txt ] || fail "it says something on standard error: $*"
}
# bad STATUS PATTERN COMMAND...: that exit status, and standard error matches.
bad() {
  wanted=$1 pattern=$2
  shift 2
  status=0
  "$@" >stdout.txt 2>stderr.txt || status=$?
  [ $status = "$wanted" ] || fail "exit status $status instead of $wanted: $*"
  [ -z "$pattern" ] || grep -Eq -- "$pattern" stderr.txt || fail "no '$pattern' on standard error: $*"
  ! grep -q 'bug in Tenon' stderr.txt || [ "$wanted" = 70 ] || fail "a bug is reported: $*"
}
says() { # PATTERN: standard output of the last command matches
  grep -Eq -- "$1" stdout.txt || {
    sed 's/^/  stdout: /' stdout.txt
    fail "no '$1' on standard output"
  }
}
same() {
  cmp "$1" "$2" || fail "$1 and $2 differ"
}
# only FILE...: the folder `made` holds these and nothing else.
only() {
  ls -A made >listed.txt
  for f in "$@"; do echo "$f"; done | sort >wanted.txt
  sort -o listed.txt listed.txt
  cmp -s listed.txt wanted.txt || fail "the folder holds $(tr '\n' ' ' <listed.txt)instead of $*"
}
fresh() {
  rm -rf made
  mkdir made
}
# npy FILE TYPE VALUES: a NumPy file, as `tenon run` writes it: npy a.npy 'f32[1,2]' '1, 2'
npy() {
  printf 'module "m"\ngraph() {\n  %%c = constant {value = %s [%s]} : %s\n  return %%c\n}\n' "$2" "$3" "$2" >npy.tir
  "$tenon" run npy.tir --output-dir npy.dir >/dev/null || fail "no NumPy file of $2 $3"
  mv npy.dir/output_0.npy "$1"
}
