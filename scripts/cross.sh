# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# The rows of scripts/test for other platforms: cross-builds, and their tests under an emulator, on the
# CPU reference. Sourced by scripts/test, whose begin, end, build, expect and counters it uses. Vulkan
# is not there under either emulator; tests that want it are skipped and say so.

# wine_program, wine_server: the loader and server of Wine; Debian keeps them out of PATH.
wine_program() { PATH=$PATH:/usr/lib/wine command -v wine64 || command -v wine; }
wine_server() { PATH=$PATH:/usr/lib/wine command -v wineserver64 || command -v wineserver; }

missing_for() {
  local program
  for program; do have "$program" || { echo "$program"; return; }; done
}

# gtest PRESET SUITE COMMAND...: runs one test program and adds its counts; its closing lines decide.
gtest() {
  local preset=$1 suite=$2 log rc=0 ran='' ok=0 bad=0 passed_over=0 start=$SECONDS
  shift 2
  log=$logs/$preset-$suite.log
  timeout -k 10 900 "$@" 2>&1 </dev/null | tr -d '\r' >"$log" || rc=$?
  count() { sed -nE "s/^\[ *$1 *\] ([0-9]+) tests?.*/\1/p" "$log" | tail -n 1; }
  ran=$(sed -nE 's/^\[=+\] ([0-9]+) tests? from .* ran\..*/\1/p' "$log")
  ok=$(count PASSED) bad=$(count FAILED) passed_over=$(count SKIPPED)
  ok=${ok:-0} bad=${bad:-0} passed_over=${passed_over:-0}
  # A crash, or an exit code that the counts do not explain, is a failure.
  if [ -z "$ran" ] || { [ "$rc" != 0 ] && [ "$bad" = 0 ]; } || [ $((ok + bad + passed_over)) != "${ran:-0}" ]; then
    bad=$((bad + 1))
  fi
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + passed_over))
  printf '   %s: %d passed, %d failed, %d skipped (%d s)\n' "$suite" "$ok" "$bad" "$passed_over" \
    $((SECONDS - start))
  # Each reason once, with the number of tests that gave it.
  sed -n '/: Skipped$/{n;p;}' "$log" | sort | uniq -c |
    while read -r times reason; do echo "   skipped $times: $reason"; done
  if [ "$bad" != 0 ]; then
    grep -A 12 -E 'Failure$' "$log" | head -n 60 || tail -n 40 "$log"
    echo "   the whole log: $log (exit code $rc)"
  fi
}

# conformance PRESET COMMAND...: the conformance suite with the reference as the device under test: an
# oracle that shares no code with it judges it.
conformance() {
  local log=$logs/$1-check.log line rc=0 ok=0 bad=0 passed_over=0 start=$SECONDS
  shift
  timeout -k 10 900 "$@" check --device reference --count 20 --without "$formats" 2>&1 </dev/null |
    tr -d '\r' >"$log" || rc=$?
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1) || true
  [ -z "$line" ] || read -r ok _ bad _ passed_over _ <<<"$line"
  if [ "$ok" = 0 ] || { [ "$rc" != 0 ] && [ "$bad" = 0 ]; }; then bad=$((bad + 1)); fi
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + passed_over))
  printf '   check of the reference: %d passed, %d failed, %d skipped (%d s)\n' "$ok" "$bad" \
    "$passed_over" $((SECONDS - start))
  grep -E '^skipped' "$log" | sed 's/^/   /' || true
  if [ "$bad" != 0 ]; then
    tail -n 40 "$log"
    echo "   the whole log: $log (exit code $rc)"
  fi
}

# What the command prints without a GPU: the reference, and why there is nothing else.
offers_the_reference() { "$@" devices | tr -d '\r' | grep -E '^no GPU: no Vulkan loader'; }
runs_a_model() { "$@" run models/tiny-moe-f16.gguf --layer 0 --device reference | tr -d '\r' | grep -E '^ok: 1 of 1'; }

# platform NAME PRESET LIBRARY EXE COMMAND...: builds for it and runs its tests by COMMAND, which take one core: they run
# in the background, beside the next platform's build. finish_platforms tells of them, in order.
platforms=()
platform() {
  local name=$1 preset=$2
  build "$preset" || return 0
  platforms+=("$preset")
  rm -f "$logs/platform-$preset.counts"
  (
    begin "$name"
    test_platform "${@:2}"
    echo "$passed $failed $skipped $((SECONDS - part_start))" >"$logs/platform-$preset.counts"
  ) >"$logs/platform-$preset.log" 2>&1 &
}

finish_platforms() {
  local preset
  wait
  for preset in "${platforms[@]}"; do
    cat "$logs/platform-$preset.log"
    begin "$(sed -n 's/^== //p' "$logs/platform-$preset.log" | head -n 1)" >/dev/null
    read -r passed failed skipped part_seconds <"$logs/platform-$preset.counts" || failed=1
    end
  done
}

test_platform() {
  local preset=$1 library=$2 exe=$3 suite
  shift 3
  for suite in unit_tests abi_tests thread_tests model_tests; do
    gtest "$preset" "$suite" "$@" "build/$preset/bin/$suite$exe"
  done
  conformance "$preset" "$@" "build/$preset/bin/moevk$exe"
  expect "without Vulkan it says why there is no GPU" offers_the_reference "$@" "build/$preset/bin/moevk$exe"
  expect "the command runs a model's layer on the reference" runs_a_model "$@" "build/$preset/bin/moevk$exe"
  expect "the example in C" "$@" "build/$preset/bin/c_host$exe" "build/$preset/$library"
  "${preset}_checks" "build/$preset/$library"
}

skip_platform() {
  begin "$1"
  echo "   skipped: no $2 here; add it with: scripts/setup --cross"
  skipped=1
  end
}

aarch64_checks() { expect "is for aarch64" is_aarch64 "$1"; }
is_aarch64() { readelf -h "$1" | grep -o AArch64; }

mingw_checks() {
  expect "exports moe_plugin_entry alone" exports_one_name "$1"
  expect "needs no DLL but the system's" needs_no_dlls "$1"
}
exports_one_name() {
  local names
  names=$(x86_64-w64-mingw32-objdump -p "$1" |
    awk '/^\[Ordinal\/Name Pointer\] Table/ { on = 1; next } on && /^$/ { exit } on && /^[ \t]*\[/ { print $NF }')
  echo "$names"
  [ "$names" = moe_plugin_entry ]
}
needs_no_dlls() {
  local names
  names=$(x86_64-w64-mingw32-objdump -p "$1" | sed -nE 's/.*DLL Name: //p' | sort -u | paste -sd ' ')
  echo "$names"
  [ -n "$names" ] && ! tr ' ' '\n' <<<"$names" | grep -viE '^(kernel32|msvcrt|ucrtbase|api-ms-win-crt-.*)\.dll$'
}

other_platforms() {
  local missing wine environment=()
  missing=$(missing_for aarch64-linux-gnu-g++ qemu-aarch64)
  if [ -n "$missing" ]; then
    skip_platform "aarch64 Linux under qemu-user" "$missing"
  else
    platform "aarch64 Linux under qemu-user" aarch64 lib/libmoevk.so '' qemu-aarch64 -L /usr/aarch64-linux-gnu
  fi
  wine=$(wine_program) || true
  missing=$(missing_for x86_64-w64-mingw32-g++-posix)
  [ -n "$wine" ] || missing=${missing:-wine}
  if [ -n "$missing" ]; then
    skip_platform "Windows under wine" "$missing"
  else
    # Its own prefix, no display, no dialogs, and no vulkan-1.dll: Wine's own one needs a display.
    environment=("WINEPREFIX=$repo/build/wine" WINEDEBUG=-all LC_ALL=C.UTF-8
      'WINEDLLOVERRIDES=vulkan-1=;mscoree=;mshtml=' "WINESERVER=$(wine_server)")
    platform "Windows under wine" mingw bin/moevk.dll .exe env -u DISPLAY "${environment[@]}" "$wine"
  fi
  finish_platforms
  [ -n "$missing" ] || env "${environment[@]}" "$(wine_server)" -k 2>/dev/null || true
}
