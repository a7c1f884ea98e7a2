#!/bin/sh
# Installs what is missing of the Debian packages that Tenon is built with; with --tests also what its tests need.
# Root, or sudo, is needed only when something is missing.
set -eu
packages="llvm-22-dev lld-22 cmake ninja-build gcc libc6-dev binutils pkg-config libxxhash-dev libprotobuf-c-dev
protobuf-c-compiler"
if [ "${1:-}" = --tests ]; then
  packages="$packages llvm-22-tools libcmocka-dev libonnx-testdata qemu-user qemu-system-arm gcc-arm-none-eabi
libnewlib-arm-none-eabi gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-arm-linux-gnueabihf libc6-dev-armhf-cross
gcc-riscv64-linux-gnu libc6-dev-riscv64-cross"
fi
missing=
for p in $packages; do
  case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
  *" installed") ;;
  *) missing="$missing $p" ;;
  esac
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# Debian 12 has LLVM 22 among its security updates, which a bare debootstrap does not list.
for p in $missing; do
  apt-cache show "$p" >/dev/null 2>&1 && continue
  # shellcheck source=/dev/null
  . /etc/os-release
  list=/etc/apt/sources.list.d/${VERSION_CODENAME}-security.list
  echo "not all of them are in the package lists: adding $list"
  echo "deb http://deb.debian.org/debian-security ${VERSION_CODENAME}-security main" | $sudo tee "$list" >/dev/null
  $sudo apt-get update -qq
  break
done
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
