# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# The part of scripts/test that packs scripts/gpu-kit, runs it on a software driver, and reads its report.
# Sourced by scripts/test, whose begin, end, expect and counters it uses.

kit=build/gpu-kit-test kit_report=$reports/gpu-kit.md
kit_is_small() {
  local bytes
  bytes=$(find "$kit" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
  echo "$bytes bytes"
  [ "$bytes" -le 60000000 ]
}
kit_runs() {
  on_driver "$(icd lavapipe)"
  env "${environment[@]}" timeout -k 10 420 "$kit/run" --small --report "$kit_report" >"$logs/gpu-kit.log" 2>&1 || {
    cat "$logs/gpu-kit.log"
    return 1
  }
  tail -n 1 "$logs/gpu-kit.log"
}
kit_report_has() { grep -E "$1" "$kit_report" | head -n 1 | grep . || { tail -n 40 "$kit_report"; return 1; }; }

gpu_kit() {
  begin "gpu-kit: packs, runs, reports"
  expect "packs" env "MOEVK_LAB_DIR=$lab" scripts/gpu-kit --no-build "$kit"
  if [ "$failed" = 0 ]; then
    expect "less than 60 MB" kit_is_small
    expect "runs, every part" kit_runs
    expect "reports the result" kit_report_has '^Every part ran and passed'
    expect "reports the device" kit_report_has '^max_storage_buffer_range = [0-9]+'
    expect "reports conformance" kit_report_has '^([6-9][0-9]|[1-9][0-9]{2}) passed, 0 failed'
    expect "reports the vectors of model families" kit_report_has '^pass    mixtral '
    expect "reports interop, imported" kit_report_has "^## Interop: a host's device, imported"
    expect "reports interop, recorded" kit_report_has "^## Interop: a host's device, recorded"
    expect "reports the cost of encoding" kit_report_has '^ +512 '
    expect "reports a real model" kit_report_has '^ok: 1 of 1 layers agree'
    expect "reports what the device can do" kit_report_has 'multiply-adds in registers \| [0-9.]+ GFLOP/s'
    expect "reports the time of a layer" kit_report_has '^\| f32 \| 4 \| [0-9.]+ \| [0-9.]+ \|'
    expect "names no folder of this machine" kit_has_no_paths
    if [ -e "$kit/peer.tar.gz" ]; then
      expect "reports whole layers beside the peer" kit_report_has '^4 compared, 0 differ, 0 skipped$'
      expect "reports the peer" kit_report_has '^\| f16 \| 1 \|.*\| [0-9.]+ \| [0-9.]+ \|$'
    else
      echo "   skipped: no peer here; add it with: scripts/lab hosts"
      skipped=1
    fi
  fi
  rm -rf "$kit"
  end
}
kit_has_no_paths() { ! grep -nF "$repo" "$kit_report"; }
