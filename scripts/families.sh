# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154
# The rows of scripts/test that judge model families: hand-checked vectors, and the real model, each on one device. They
# and the conformance rows write lines for scripts/family-table to build/reports/families.txt. Sourced by scripts/test,
# whose begin, end, counters and variables it uses.
#
# A line is: family, oracle, device, result, detail; with tabs between them.
#   family   the name of its first preset (tools/model/presets/presets.h); further models have no rows of their own
#   oracle   hand (tests/vectors), float64 (the conformance suite), model (a trained model's dump), and whatever else
#            appends lines of this form
#   device   the driver as it names itself, or reference
#   result   pass, fail or skip
#   detail   a figure, or the reason; "NAME: " may stand before it, where an oracle has several cases of a family; in that
#            of a pass "; ORACLE ..." may follow, a sentence on what the oracle does otherwise than the family

families=build/reports/families.txt

# float64_lines REPORT: lines of the families whose twins a conformance report tells of.
float64_lines() {
  local device
  device=$(sed -nE 's/^    "driver": "(.*)",$/\1/p' "$1" | head -n 1 | sed -E 's/ *$//; s/^moevk, float64$/reference/')
  # A twin that lacks something of its family is a pass of what it has, and a skip of the rest.
  sed -nE 's/^    \{"family": "([^"]*)", "case": "([^"]*)", "result": "([a-z]*)", "output_error": ([^,}]*)(, "lacks": "([^"]*)")?\},?$/\1\t\3\t\2\t\4\t\6/p' "$1" |
    awk -F '\t' -v OFS='\t' -v device="$device" '{ print $1, "float64", device, $2, $3 ": " $4 " of the bound" }
      $5 != "" { print $1, "float64", device, "skip", substr($3, 8) ": " $5 }'
}

# model_line LOG RC: the line of a run of models/tiny-moe-f16.gguf, which is of the family qwen3-moe.
model_line() {
  awk -v OFS='\t' -v rc="$2" '
    /^device / { device = $0; sub(/ +$/, "", device); sub(/^.*  /, "", device) }
    /^  oracle +max abs/ { layers++; for (i = 1; i < NF; ++i) if ($i == "relative" && $(i + 3) + 0 > worst) worst = $(i + 3) + 0 }
    /^  oracle .*FAIL/ { bad = 1 }
    END {
      if (device == "moevk, float64") device = "reference"
      verdict = (rc == 0 && layers > 0 && !bad) ? "pass" : "fail"
      if (device != "") print "qwen3-moe", "model", device, verdict,
        "tiny-moe: " (layers + 0) " layers, relative RMS error at most " worst
    }' "$1"
}

# family_row NAME DRIVER: vectors and the real model on one driver, or on the reference.
family_row() {
  local driver=$2 file='' environment=() loader=() device=() log=$logs/vectors-$2.log rc=0 add='scripts/setup --tests'
  begin "vectors and the real model, $1"
  if [ "$driver" = reference ]; then
    device=(--device reference)
  else
    [ "$driver" != lavapipe26 ] || { on_lab_hosts; add='scripts/lab hosts'; }
    file=$(icd "$driver")
    if [ -z "$file" ]; then
      echo "   skipped: no $driver here; add it with: $add"
      skipped=1
      end
      return
    fi
    on_driver "$file"
    environment+=(MESA_SHADER_CACHE_DISABLE=true "MOEVK_VALIDATION=$validation")
    [ "$driver" != lavapipe26 ] || environment+=("VK_LAYER_PATH=$lab/hosts/usr/share/vulkan/explicit_layer.d")
  fi
  local run=(env "${environment[@]}" timeout -k 10 600 "${loader[@]}" build/release/bin/moevk --library "$repo/$library")
  "${run[@]}" vectors "${device[@]}" --require-all --results "$families" tests/vectors >"$log" 2>&1 </dev/null || rc=$?
  counts_of "$log" "$rc"
  # A driver that does not load must not pass as another device.
  if [ "$driver" != reference ] && ! grep -qE "^device .*  $(driver_words "$driver")" "$log"; then
    echo "   $log does not say that $driver was judged"
    failed=$((failed + 1))
  fi
  if [ "$failed" != 0 ]; then
    grep -v '^pass ' "$log" | tail -n 40 || true
    echo "rerun: ${run[*]} vectors ${device[*]} tests/vectors"
  fi
  log=$logs/model-$driver.log rc=0
  "${run[@]}" run "${device[@]}" models/tiny-moe-f16.gguf >"$log" 2>&1 </dev/null || rc=$?
  model_line "$log" "$rc" >>"$families"
  if [ "$rc" = 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    tail -n 20 "$log"
    echo "rerun: ${run[*]} run ${device[*]} models/tiny-moe-f16.gguf"
  fi
  end
}
