# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# The rows of scripts/test that run the conformance suite, each on one driver. Sourced by scripts/test, whose begin,
# end, counters and variables it uses. Rows run in the background, as many as there are jobs: a software driver uses
# one core while it compiles, and so does the reference. finish_rows waits for them and tells of each, in order.

rows=0 told_rows=0
declare -A row_part row_driver row_count row_rerun
# Rows that differ from another only in what a device lends leave out the fixed cases of weight formats (without=$formats).
# Random layers, the decoding of every format - block_decode and decode_affine - and the odd blocks of int8 precision are
# in all rows.
without='' formats=blocks_,affine_,int8_Q,int8_affine
# row NAME DRIVER COUNT [VARIABLE=VALUE...]: COUNT random layers on one driver (see icd in lib.sh).
row() {
  local checker=(build/release/bin/moevk --library "$repo/$library" check)
  start_row "$@"
}

# host_row MODE NAME DRIVER COUNT: the same on a device that a Vulkan host lends, see interop_check.
host_row() {
  local checker=(build/release/bin/interop_check "$1")
  shift
  start_row "$@"
}

# driver_words NAME: how a driver names itself in a report, as a regular expression.
driver_words() {
  case $1 in
    lavapipe25) echo 'llvmpipe Mesa 25\.' ;;
    lavapipe26) echo 'llvmpipe Mesa (26\.[1-9]|2[7-9]|[3-9][0-9])' ;;
    swiftshader) echo 'SwiftShader' ;;
    *) echo 'llvmpipe Mesa ' ;;
  esac
}

# shader_cache DRIVER [VARIABLE=VALUE...]: rows spend most of their time in a driver's compiler. Those that differ in what
# a device lends share what one driver made for one width of vectors, which is not a part of Mesa's key; nothing is
# left from an earlier run.
shader_caches=$repo/build/shader-caches
rm -rf "$shader_caches"
shader_cache() {
  local width=native variable
  for variable in "${@:2}"; do [[ $variable != LP_NATIVE_VECTOR_WIDTH=* ]] || width=${variable#*=}; done
  mkdir -p "$shader_caches/$1-$width"
  echo "$shader_caches/$1-$width"
}

start_row() {
  local name=$1 driver=$2 count=$(($3 * times)) file log report environment loader=()
  shift 3
  rows=$((rows + 1))
  row_part[$rows]="check, $name, $count random layers" row_driver[$rows]=$driver row_count[$rows]=$count
  log=$logs/check-$rows.log report=$reports/check-$rows.json
  rm -f "$log" "$log.end" "$report"
  [ "$driver" != lavapipe26 ] || on_lab_hosts
  file=$(icd "$driver")
  [ -n "$file" ] || return 0  # finish_rows says so
  on_driver "$file"
  environment+=("MESA_SHADER_CACHE_DIR=$(shader_cache "$driver" "$@")" "MOEVK_VALIDATION=$validation" "$@")
  row_rerun[$rows]="${environment[*]} ${loader[*]}"
  while [ "$(jobs -pr | wc -l)" -ge "$jobs" ]; do wait -n || true; done
  # Each row has a seed of its own: more layers are seen, the same ones every time. The time limit
  # only ends a hang.
  (
    rc=0 start=$SECONDS
    env "${environment[@]}" timeout -k 10 $((2400 * times)) "${loader[@]}" "${checker[@]}" \
      --count "$count" --seed "$rows" --report "$report" ${without:+--without "$without"} \
      >"$log" 2>&1 </dev/null || rc=$?
    echo "$rc $((SECONDS - start))" >"$log.end"
  ) &
}

finish_rows() {
  wait
  while [ "$told_rows" -lt "$rows" ]; do
    told_rows=$((told_rows + 1))
    tell_row "$told_rows"
  done
}

tell_row() {
  local driver=${row_driver[$1]} log=$logs/check-$1.log report=$reports/check-$1.json rc=1 add='scripts/setup --tests'
  begin "${row_part[$1]}"
  if [ -z "${row_rerun[$1]:-}" ]; then
    [ "$driver" != lavapipe26 ] || add='scripts/lab hosts'
    echo "   skipped: no $driver here; add it with: $add"
    skipped=${row_count[$1]}
    end
    return
  fi
  [ ! -s "$log.end" ] || read -r rc part_seconds <"$log.end"
  counts_of "$log" "$rc"
  # A driver that does not load must not pass as the reference, nor as another device.
  if [ "$failed" = 0 ] && { ! grep -qs '^    "kind": "software",$' "$report" ||
    ! grep -qE "^    \"driver\": \"$(driver_words "$driver")" "$report"; }; then
    echo "   $report does not say that $driver was checked"
    failed=1
  fi
  # For scripts/device-table: the driver as it names itself.
  local name=${row_part[$1]#check, }
  [ ! -s "$report" ] || printf '%s\t%s\t%s\t%s\t%s\n' \
    "$(sed -n 's/^    "driver": "\(.*\)",$/\1/p' "$report" | head -n 1)" "${name%, *}" "$passed" "$failed" "$skipped" \
    >>"$reports/runs.txt"
  [ ! -s "$report" ] || float64_lines "$report" >>"$families"
  if [ "$failed" != 0 ]; then
    grep -v '^rerun: ' "$log" | tail -n 40 || true
    grep '^rerun: ' "$log" | head -n 20 | sed "s#^rerun: #rerun: ${row_rerun[$1]} #" || true
    echo "   the whole log: $log (exit code $rc)"
  fi
  end
}
