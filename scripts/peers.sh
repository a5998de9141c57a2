# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154
# The parts of scripts/test in which other people's implementations judge our layers (docs/peers.md). Sourced by
# scripts/test, whose begin, end, counters and variables it uses. What they say of each family is appended to
# build/reports/families.txt.

# no_peer PART: says how to get what is missing.
no_peer() {
  echo "   skipped: not here; add it with: scripts/lab $1"
  skipped=1
  end
}

# tell_peer DRIVER LOG RC COMMAND...: counts; the log where something failed, and the command that runs it again.
tell_peer() {
  local driver=$1
  shift
  counts_of "$1" "$2"
  # A driver that does not load must not pass as the reference.
  if [ "$failed" = 0 ] && [ -n "$(icd "$driver")" ] && ! grep -qE "^pass: .*$(driver_words "$driver")" "$1"; then
    echo "   nothing was compared on $driver"
    failed=1
  fi
  if [ "$failed" != 0 ]; then
    grep -v '^pass: ' "$1" | tail -n 40 || true
    echo "   the whole log: $1 (exit code $2)"
    echo "rerun: ${*:3}"
  fi
  end
}

# on_peer_driver DRIVER: sets `environment` for a peer's comparison.
on_peer_driver() {
  on_driver "$(icd "$1")"
  environment+=(MESA_SHADER_CACHE_DISABLE=true "MOEVK_VALIDATION=$validation")
}

# peer_onnxruntime DRIVER: com.microsoft::MoE on the CPU provider.
peer_onnxruntime() {
  local log=$logs/peer-onnxruntime.log rc=0 command environment
  begin "peer, ONNX Runtime's CPU provider, $1"
  if [ ! -e "$lab/onnxruntime/libonnxruntime.so.1" ]; then
    no_peer onnxruntime
    return
  fi
  on_peer_driver "$1"
  command=(env "${environment[@]}" build/release/bin/peer_onnxruntime --library "$repo/$library"
    --onnxruntime "$lab/onnxruntime/libonnxruntime.so.1")
  timeout -k 10 300 "${command[@]}" --results "$reports/families.txt" >"$log" 2>&1 </dev/null || rc=$?
  tell_peer "$1" "$log" "$rc" "${command[@]}"
}

# capture_llamacpp DIR LOG: llama.cpp's own test program saves a small model of each architecture to DIR/models;
# llamacpp_dump makes models with more experts of them, and runs them. Both want the C library of the part `hosts`.
capture_llamacpp() {
  local libraries=$lab/hosts/usr/lib/x86_64-linux-gnu loader=() architectures
  local backend=$libraries/ggml/backends0/libggml-cpu-x64.so
  architectures=$(build/release/bin/llamacpp_dump --architectures) || return 1
  on_lab_hosts
  rm -rf "$1"
  mkdir -p "$1/models" "$1/captures"
  GGML_BACKEND_PATH=$backend timeout -k 10 300 "${loader[@]}" \
    "$lab/hosts/usr/libexec/x86_64-linux-gnu/llama.cpp-tests/test-llama-archs" \
    -a "$architectures" -s 1 -o "$1/models" >"$2" 2>&1 </dev/null || return 1
  timeout -k 10 300 "${loader[@]}" build/release/bin/llamacpp_dump --libraries "$libraries" --cpu-backend "$backend" \
    --models "$1/models" --out "$1/captures" >>"$2" 2>&1 </dev/null
}

# peer_llamacpp DRIVER: whole small models on llama.cpp's CPU backend, their MoE layers against ours.
peer_llamacpp() {
  local dir=build/peers log=$logs/peer-llamacpp.log rc=0 command environment
  begin "peer, llama.cpp's graphs on its CPU backend, $1"
  if [ ! -e "$lab/hosts/usr/include/llama.h" ]; then
    no_peer hosts
    return
  fi
  if ! capture_llamacpp "$dir" "$logs/capture-llamacpp.log"; then
    # The comparison then says which models are missing.
    tail -n 20 "$logs/capture-llamacpp.log"
    echo "   the whole log: $logs/capture-llamacpp.log"
  fi
  on_peer_driver "$1"
  command=(env "${environment[@]}" build/release/bin/peer_llamacpp --library "$repo/$library"
    --captures "$dir/captures")
  timeout -k 10 600 "${command[@]}" --results "$reports/families.txt" >"$log" 2>&1 </dev/null || rc=$?
  rm -rf "$dir/models"
  tell_peer "$1" "$log" "$rc" "${command[@]}"
}

# peer_ggml: a layer on ggml-vulkan and ggml-cpu in one process with ours, all on the lab's lavapipe. That the outputs
# agree is judged, times are not.
peer_ggml() {
  local libraries=$lab/hosts/usr/lib/x86_64-linux-gnu log=$logs/peer-ggml.log environment loader=()
  begin "peer, a layer on ggml-vulkan and ggml-cpu"
  if [ ! -x build/release/bin/peer_ggml ] || [ -z "$(icd lavapipe26)" ]; then
    no_peer hosts
    return
  fi
  on_lab_hosts
  on_driver "$(icd lavapipe26)"
  expect "outputs agree, in four formats" small_peer_ggml
  expect "the device is the lab's lavapipe" grep -E "^device .*$(driver_words lavapipe26)" "$log"
  expect "ggml-vulkan ran on it" grep -E '^ggml .*Vulkan0 \(llvmpipe' "$log"
  end
}
small_peer_ggml() {
  env "${environment[@]}" timeout -k 10 300 "${loader[@]}" build/release/bin/peer_ggml --library "$repo/$library" \
    --libraries "$libraries" --device llvmpipe --shape 256,256,8,2 --format f32,f16,q8_0,q4_K --tokens 1,9 \
    --routing uniform,onehot --seconds 0 --least 1 >"$log" 2>&1 </dev/null || {
    cat "$log"
    return 1
  }
  tail -n 1 "$log"
}

# ggml_oracle: decoding of every block format against ggml's own, on the lab's C library, which ggml's needs.
ggml_oracle() {
  local library=$lab/hosts/usr/lib/x86_64-linux-gnu/libggml-base.so.0 loader=()
  begin "block formats against ggml's decoder"
  if [ ! -e "$library" ]; then
    echo "   skipped: no ggml here; add it with: scripts/lab hosts"
    skipped=1
    end
    return
  fi
  on_lab_hosts
  expect "every test passes" env "MOEVK_GGML_LIBRARY=$library" "${loader[@]}" \
    build/release/bin/ggml_oracle --gtest_brief=1
  end
}

# quantised_files: the real model in every type that llama-quantize makes without an importance matrix, each against the
# reference on the same weights.
quantised_files() {
  local libraries=$lab/hosts/usr/lib/x86_64-linux-gnu type file environment loader=()
  begin "files of llama-quantize"
  if [ ! -e "$lab/hosts/usr/bin/llama-quantize" ]; then
    echo "   skipped: no llama-quantize here; add it with: scripts/lab hosts"
    skipped=1
    end
    return
  fi
  on_lab_hosts
  loader[2]=$libraries:$libraries/llama
  on_driver "$(icd lavapipe)"
  file=$(mktemp --suffix=.gguf)
  for type in Q1_0 Q2_0 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K_S Q4_K_S Q5_K_S Q6_K IQ3_S IQ4_NL IQ4_XS TQ1_0 TQ2_0 MXFP4_MOE; do
    if ! "${loader[@]}" "$lab/hosts/usr/bin/llama-quantize" --pure models/tiny-moe-f16.gguf "$file" "$type" \
      >"$logs/quantise.log" 2>&1 </dev/null; then
      failed=$((failed + 1))
      printf '   FAIL: llama-quantize %s\n%s\n' "$type" "$(tail -n 3 "$logs/quantise.log")"
      continue
    fi
    expect "$type" env "${environment[@]}" build/release/bin/moevk --library "$repo/$library" run "$file" \
      --tokens 18 --device llvmpipe
  done
  rm -f "$file"
  end
}
