#!/usr/bin/env bash
# Installs hmtl from a checkout on a machine without a network, without root:
#   install.sh CHECKOUT
# Checks that all parts of the bundle that bundle.sha256 names lie beside this script and are whole,
# unpacks them, installs their wheels into the environment of PYTHON (python3 unless set) and builds
# hmtl there against the unpacked libraries.
# pip's own variables hold, such as PIP_BREAK_SYSTEM_PACKAGES=1. The folder must stay where it is:
# hmtl loads libjpeg and libpng from its sysroot.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
python=${PYTHON:-python3}

fail() {
  echo "install.sh: $1" >&2
  exit "${2:-1}"
}

# Names every part that is missing or damaged, and ends if there is one.
check_parts() {
  local folder=$1 sum part faults=""
  [ -f "$folder/bundle.sha256" ] || fail "bundle.sha256 is missing in $folder: it names the parts"
  while read -r sum part; do
    if [ ! -f "$folder/$part" ]; then
      faults+=" $part is missing;"
    elif [ "$(sha256sum < "$folder/$part")" != "$sum  -" ]; then
      faults+=" $part is damaged;"
    fi
  done < "$folder/bundle.sha256"
  [ -z "$faults" ] || fail "the bundle in $folder is not whole:${faults%;}"
}

# Puts the files below folder $1 together that were cut into pieces.
join_pieces() {
  local folder=$1 sum file
  [ -f "$folder/joined.sha256" ] || return 0
  while read -r sum file; do
    cat "$folder/$file".piece-* > "$folder/$file"
    rm "$folder/$file".piece-*
    [ "$(sha256sum < "$folder/$file")" = "$sum  -" ] || fail "$file is not what it was cut from"
  done < "$folder/joined.sha256"
}

# Prints what stands behind a .deb's headers; dpkg-deb is only on Debian's kin.
unpack_package() {
  if command -v dpkg-deb > /dev/null; then
    dpkg-deb -x "$1" "$2"
  else
    ar p "$1" "$(ar t "$1" | grep '^data\.tar')" > "$2.data"
    tar -C "$2" -xf "$2.data"
    rm "$2.data"
  fi
}

# Links to /lib/… as the machine sees them become links into the sysroot.
rebase_links() {
  local link target
  while IFS= read -r -d '' link; do
    target=$(readlink "$link")
    case $target in /*) ln -sfn "$sysroot$target" "$link" ;; esac
  done < <(find "$sysroot" -type l -print0)
}

case ${1:---help} in
  --help | -h) sed -n '2,/^set /{/^# /s/^# //p}' "$0" && exit 0 ;;
  -*) fail "unknown option $1, see --help" 2 ;;
esac
checkout=$(realpath "$1")
[ -f "$checkout/pyproject.toml" ] || fail "$checkout is no checkout of hmtl" 2

check_parts "$here"
# Of an earlier bundle nothing may be left.
rm -rf "$here/wheels" "$here/debs" "$here/joined.sha256"
while read -r _ part; do tar -C "$here" -xf "$here/$part"; done < "$here/bundle.sha256"
join_pieces "$here"
wheels=("$here"/wheels/*.whl)
debs=("$here"/debs/*.deb)

sysroot=$here/sysroot
rm -rf "$sysroot"
mkdir "$sysroot"
for deb in "${debs[@]}"; do unpack_package "$deb" "$sysroot"; done
rebase_links

"$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps "${wheels[@]}"

# Where the compiler is not Debian's, CMake and gcc do not look into folders named after the target.
target=x86_64-linux-gnu
libraries=$sysroot/usr/lib/$target
export CPATH="$sysroot/usr/include/$target${CPATH:+:$CPATH}"
export CMAKE_PREFIX_PATH="$sysroot/usr${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}"
export CMAKE_LIBRARY_PATH="$libraries"
# DT_RPATH and not DT_RUNPATH: libpng must find its zlib there, too.
"$python" -m pip install --disable-pip-version-check --no-index --no-deps --no-build-isolation \
  --config-settings "cmake.define.CMAKE_INSTALL_RPATH=$libraries;$sysroot/lib/$target" \
  --config-settings "cmake.define.CMAKE_MODULE_LINKER_FLAGS=-Wl,--disable-new-dtags" \
  "$checkout"
cd /
"$python" -c "from hmtl import _core; print('hmtl is installed:', _core.__file__)"
for wheel in "${wheels[@]}"; do
  case $wheel in
    */nvidia_dali_*)
      "$python" -c "import nvidia.dali; print('DALI is installed:', nvidia.dali.__version__)"
      ;;
  esac
done
