# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# What scripts/setup, scripts/demo and scripts/test share: where things lie, how they talk, which
# system this is. Sourced by bash, never run; changes nothing by itself.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$repo/build/deps

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

# icd NAME: path of a Vulkan driver's manifest, or nothing if that driver is not here.
#   lavapipe    the system's software driver
#   lavapipe25  lavapipe 25.0 (unpacked under build/deps on Debian 12, the system's on Debian 13)
#   swiftshader the least capable driver there is
icd() {
  local candidates=("$deps/icd/$1.json") file
  # Debian 12 names the manifest by machine, later ones do not.
  [ "$1" != lavapipe ] ||
    candidates=(/usr/share/vulkan/icd.d/lvp_icd{."$(uname -m)",}.json)
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
