#!/usr/bin/env bash
# Collects what building, running and testing hmtl needs on a machine without a network:
#   scripts/offline_bundle.sh [--python 3.12] [--dali] [--script-only] OUT_DIR
# The machine must be x86-64 Linux with this Python, its headers, pip, torch, torchvision, numpy,
# CMake and a C++ compiler. OUT_DIR gets install.sh, bundle.part-NN.tar and bundle.sha256, which names
# the parts: at most 60 MB each, a tar of its own, with the wheels that constraints.txt names and the
# development packages of libjpeg-turbo, libpng and zlib of the distribution that this runs on; what
# is larger is in pieces. --dali: NVIDIA DALI for CUDA 13, too, 270 MB. --script-only: no parts.
# Wheels come through pip (PYTHON names the Python that has it), packages through apt-get download.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
python=${PYTHON:-python3}

part_limit=60000000
# 2 kB for the headers of a long name, 20 kB for the end of the tar.
part_overhead=22528
# Without DALI and with it.
total_limit=200000000
dali_limit=500000000

# All by name, as pip is kept from following torch's dependencies.
wheels=(
  scipy h5py safetensors click jinja2 markupsafe pillow
  rich markdown-it-py mdurl pygments
  matplotlib contourpy cycler fonttools kiwisolver packaging pyparsing python-dateutil tzdata
  scikit-build-core pathspec pybind11 ninja
  pytest iniconfig pluggy pytest-timeout pytest-xdist execnet hypothesis sortedcontainers timm
)
# What DALI's wheels require, beside numpy and packaging; pinned where they name versions. As tar.xz it
# would be 143 MB instead of 199, which is not worth an installer that makes wheels of its own.
dali_wheels=(
  nvidia-dali-cuda130==2.4.0 nvidia-nvimgcodec-cu13==0.9.0.20 nvidia-libnvcomp-cu13==5.3.0.16
  nvidia-nvjpeg nvidia-nvjpeg2k-cu13 nvidia-nvtiff-cu13
  astunparse==1.6.3 gast==0.7.0 six==1.17.0 wheel libcst==1.9.0 pyyaml makefun nvtx optree
)
# Of Debian and of Ubuntu; the names that the distribution does not have are left out.
packages=(
  libjpeg62-turbo libjpeg62-turbo-dev libjpeg-turbo8 libjpeg-turbo8-dev libjpeg8 libjpeg8-dev
  libjpeg-dev libpng16-16 libpng16-16t64 libpng-dev zlib1g zlib1g-dev
)

usage() {
  sed -n '2,/^set /{/^# /s/^# //p}' "$0"
}

fail() {
  echo "offline_bundle.sh: $1" >&2
  exit "${2:-1}"
}

# Cuts the files below folder $1 that no part can hold into numbered pieces; their sums are kept.
cut_large() {
  local from=$1 most=$((part_limit - part_overhead)) file
  local -a large
  mapfile -d '' -t large < <(find "$from" -type f -size "+${most}c" -printf '%P\0')
  for file in "${large[@]}"; do
    (cd "$from" && sha256sum "$file") >> "$from/joined.sha256"
    split --bytes="$most" --numeric-suffixes --suffix-length=2 "$from/$file" "$from/$file.piece-"
    rm "$from/$file"
  done
}

# The files of folder $1, none of them too large, as parts of at most part_limit bytes in folder $2.
pack() {
  local from=$1 to=$2 part=0 used=0 size file
  local -a members=()
  flush() {
    [ ${#members[@]} -gt 0 ] || return 0
    tar -C "$from" -cf "$to/bundle.part-$(printf %02d "$part").tar" "${members[@]}"
    part=$((part + 1)) used=0 members=()
  }
  # The largest first.
  while IFS=$'\t' read -r size file; do
    size=$((size + 2048))
    [ $((used + size + part_overhead - 2048)) -le $part_limit ] || flush
    used=$((used + size)) members+=("$file")
  done < <(find "$from" -type f -printf '%s\t%P\n' | sort -k1,1nr -k2)
  flush
}

download_wheels() {
  local version=$1 to=$2
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps \
    --constraint "$here/../constraints.txt" --dest "$to" \
    --only-binary=:all: --implementation cp --python-version "$version" \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
    --platform manylinux2014_x86_64 --platform any \
    "${wheels[@]}" "${@:3}"
}

download_packages() {
  local to=$1 name
  local -a found=()
  command -v apt-get > /dev/null || fail "apt-get is missing: run this on Debian or Ubuntu"
  for name in "${packages[@]}"; do
    [ -z "$(apt-cache policy "$name" | sed -n '/Candidate: [^(]/p')" ] || found+=("$name")
  done
  [ ${#found[@]} -gt 0 ] || fail "apt knows no package of libjpeg: run apt-get update first"
  # As root, apt would drop its rights and then be kept out of the folder.
  (cd "$to" && apt-get -qq -o APT::Sandbox::User=root download "${found[@]}")
}

version=3.12
script_only=false
dali=false
out=""
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage && exit 0 ;;
    --python) [ $# -ge 2 ] || fail "--python needs a version" 2 && version=$2 && shift ;;
    --script-only) script_only=true ;;
    --dali) dali=true ;;
    -*) fail "unknown option $1, see --help" 2 ;;
    *) [ -z "$out" ] || fail "one OUT_DIR, got $out and $1" 2 && out=$1 ;;
  esac
  shift
done
[ -n "$out" ] || fail "OUT_DIR is missing, see --help" 2

mkdir -p "$out"
cp "$here/offline_install.sh" "$out/install.sh"
! $script_only || exit 0

collected=$(mktemp -d)
trap 'rm -rf "$collected"' EXIT
mkdir "$collected/wheels" "$collected/debs"
if $dali; then
  total_limit=$dali_limit
  download_wheels "$version" "$collected/wheels" "${dali_wheels[@]}"
else
  download_wheels "$version" "$collected/wheels"
fi
download_packages "$collected/debs"
rm -f "$out"/bundle.part-*.tar
cut_large "$collected"
pack "$collected" "$out"
(cd "$out" && sha256sum bundle.part-*.tar > bundle.sha256)

total=$(find "$out" -maxdepth 1 -name 'bundle.part-*.tar' -printf '%s\n' | awk '{s += $1} END {print s}')
find "$out" -maxdepth 1 -name 'bundle.part-*.tar' -printf '%f\t%s bytes\n' | sort
echo "total $total bytes for Python $version; there: $out/install.sh CHECKOUT"
[ "$total" -le $total_limit ] || fail "the bundle must not exceed $total_limit bytes"
