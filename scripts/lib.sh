# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# What the scripts of this folder share: where things lie, how they talk, which system this is, how a
# program runs on one driver. Sourced by bash, never run; changes nothing by itself.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$repo/build/deps
lab=${MOEVK_LAB_DIR:-$repo/build/lab}  # made by scripts/lab

say() { printf '%s: %s\n' "${0##*/}" "$*"; }
note() { printf '%s: note: %s\n' "${0##*/}" "$*" >&2; }
die() { printf '%s: error: %s\n' "${0##*/}" "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# usage: the comment block under the SPDX line of the calling script, without its hashes.
usage() { awk 'NR <= 2 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"; }

# system: "debian12", "debian13", or "other": the systems whose packages scripts/setup knows.
system() {
  local id='' version=''
  if [ -r /etc/os-release ]; then
    id=$(. /etc/os-release && printf '%s' "${ID:-}")
    version=$(. /etc/os-release && printf '%s' "${VERSION_ID:-}")
  fi
  case $id:$version in
    debian:12) echo debian12 ;;
    debian:13) echo debian13 ;;
    *) echo other ;;
  esac
}

# ---- other Debian suites: what scripts/setup and scripts/lab take from them --------------------

# mirror: where this machine's own apt gets Debian from; apt reads both kinds of sources files.
mirror() {
  local codename=bookworm
  [ "$(system)" = debian12 ] || codename=trixie
  apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk -v suite="$codename" '$1 == suite && $2 == "main" { print $3; exit }'
}

# keyring: the file with the keys of Debian's archive, or nothing.
keyring() {
  local key
  for key in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
    if [ -r "$key" ]; then
      echo "$key"
      return
    fi
  done
}

# unpack SUITE DIR PACKAGE...: downloads and unpacks under DIR. Uses an apt of its own (lists,
# cache, status), so the system's apt never hears of the other suite. Signatures and hashes are
# checked.
unpack() {
  local suite=$1 into=$2 from key apt
  shift 2
  from=$(mirror)
  [ -n "$from" ] || { note "no Debian mirror found in this machine's apt sources"; return 1; }
  key=$(keyring)
  [ -n "$key" ] || { note "no Debian archive keyring (package debian-archive-keyring)"; return 1; }
  apt=$into/.apt
  mkdir -p "$apt"/{lists/partial,cache/archives/partial,none}
  : >"$apt/status"
  echo "deb [signed-by=$key] $from $suite main" >"$apt/sources.list"
  # Valid-Until is not asked for, so that a mirror frozen at some day serves too.
  local options=(-qq
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o "Dir::Etc::sourceparts=$apt/none"
    -o "Dir::Etc::preferences=$apt/none/none" -o "Dir::Etc::preferencesparts=$apt/none"
    -o "Dir::State::Lists=$apt/lists" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
    -o APT::Sandbox::User= -o APT::Default-Release= -o Acquire::Languages=none
    -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3)
  apt-get "${options[@]}" update || return 1
  (cd "$apt" && apt-get "${options[@]}" download "$@") || return 1
  local deb
  for deb in "$apt"/*.deb; do dpkg-deb -x "$deb" "$into" || return 1; done
  rm -rf "$apt" "$into"/usr/share/{doc,man,lintian,locale,bug}
}

# ---- drivers ----------------------------------------------------------------------------------

# icd NAME: path of a Vulkan driver's manifest, or nothing if that driver is not here.
#   lavapipe    the system's software driver
#   lavapipe25  lavapipe 25.0 (unpacked under build/deps on Debian 12, the system's on Debian 13)
#   lavapipe26  lavapipe 26.1 or later, with cooperative matrices (scripts/lab hosts)
#   swiftshader the least capable driver there is
icd() {
  local candidates=("$deps/icd/$1.json") file
  # Debian 12 names the manifest by machine, later ones do not.
  [ "$1" != lavapipe ] ||
    candidates=(/usr/share/vulkan/icd.d/lvp_icd{."$(uname -m)",}.json)
  [ "$1" != lavapipe26 ] ||
    candidates=("$lab"/hosts/usr/share/vulkan/icd.d/lvp_icd{."$(uname -m)",}.json)
  for file in "${candidates[@]}"; do
    if [ -r "$file" ]; then
      echo "$file"
      return
    fi
  done
}

# validation_layer: path of the manifest of Vulkan's validation layer, or nothing if it is not here.
validation_layer() {
  local folders folder file
  if [ -n "${VK_LAYER_PATH:-}" ]; then
    IFS=: read -ra folders <<<"$VK_LAYER_PATH"  # the loader then looks nowhere else
  else
    folders=({/etc,/usr/local/etc,/usr/local/share,/usr/share,"${HOME:-}/.local/share"}/vulkan/explicit_layer.d)
  fi
  for folder in "${folders[@]}"; do
    file=$folder/VkLayer_khronos_validation.json
    if [ -r "$file" ]; then
      echo "$file"
      return
    fi
  done
}

# on_driver FILE: sets the array `environment` so that the Vulkan loader sees this driver alone.
# Loaders before 1.3.207 know only the second variable.
on_driver() { environment=("VK_DRIVER_FILES=$1" "VK_ICD_FILENAMES=$1"); }

# Devices whose real drivers compile here without the hardware (scripts/lab drivers), as those drivers
# spell them.
lab_devices=(polaris10 vega10 navi10 navi21 navi31 gfx1150 tgl dg2 mtl lnl bmg a630 a660 a730 a740 a750
  g610 tu102 ga102)

# on_lab_device NAME: sets `environment` and `loader`, so that `env "${environment[@]}" "${loader[@]}"
# PROGRAM ...` runs a program on that device's driver: pipelines compile, submits do nothing. The
# driver comes with a loader and C library of its own, newer than the system's may be.
on_lab_device() {
  local drivers=$lab/drivers driver shim select=()
  case $1 in
    tgl | dg2 | mtl | lnl | bmg) driver=intel shim=intel select=("INTEL_STUB_GPU_PLATFORM=$1") ;;
    a[67]??) driver=freedreno shim=freedreno select=("FD_GPU_ID=${1#a}") ;;
    # PanVK 25.0 is not conformant on this GPU yet, and wants that to be said.
    g610) driver=panfrost shim=panfrost select=(PAN_GPU_ID=a867 PAN_I_WANT_A_BROKEN_VULKAN_DRIVER=1) ;;
    tu102) driver=nouveau shim=nouveau select=(NOUVEAU_CHIPSET=162) ;;
    ga102) driver=nouveau shim=nouveau select=(NOUVEAU_CHIPSET=172) ;;
    *) driver=radeon shim=amdgpu select=("AMDGPU_GPU_ID=$1") ;;
  esac
  on_driver "$drivers/icd/$driver.json"
  environment+=("LD_PRELOAD=$drivers/lib/lib${shim}_noop_drm_shim.so" MESA_SHADER_CACHE_DISABLE=true
    "${select[@]}")
  loader=("$drivers/lib/ld-linux-x86-64.so.2" --library-path "$drivers/lib")
}

# on_lab_hosts: sets `loader`, so that a program runs with the Vulkan loader, the layers and the C
# library of the part `hosts`.
on_lab_hosts() {
  local libraries=$lab/hosts/usr/lib/x86_64-linux-gnu
  loader=("$libraries/ld-linux-x86-64.so.2" --library-path "$libraries")
}
