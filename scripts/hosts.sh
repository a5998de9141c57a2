# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154
# Unmodified hosts that load our adapters (docs/llama.cpp.md). Sourced by scripts/test, whose begin, end, expect and
# variables the parts use, and by scripts/demo, which uses llamacpp alone.

. "$(dirname "${BASH_SOURCE[0]}")/hosts_routes.sh"
. "$(dirname "${BASH_SOURCE[0]}")/hosts_node.sh"

hosts_dir=build/hosts
plugin=build/release/lib/libggml-moevk.so

# llamacpp with|without PROGRAM ARGUMENT...: a program of Debian's llama.cpp, with our plugin or without. ggml looks for its
# own CPU backend in the current folder, since its root is not ours. VARIABLE=VALUE may stand before PROGRAM.
llamacpp() {
  local with=$1 libraries=$lab/hosts/usr/lib/x86_64-linux-gnu loader=() environment=() variables=()
  shift
  on_lab_hosts
  loader[2]=$libraries:$libraries/llama
  on_driver "$(icd lavapipe26)"
  while [[ ${1:-} == *=* ]]; do variables+=("$1"); shift; done
  mkdir -p "$hosts_dir/backends"
  ln -sfn "$libraries/ggml/backends0/libggml-cpu-x64.so" "$hosts_dir/backends/"
  [ "$with" = without ] || variables+=("GGML_BACKEND_PATH=$repo/$plugin" MOEVK_DEVICE=llvmpipe)
  (cd "$hosts_dir/backends" && timeout -k 10 "${host_seconds:-600}" env "MESA_SHADER_CACHE_DIR=$repo/build/hosts" "${environment[@]}" "${variables[@]}" "${loader[@]}" "$@")
}
llamacpp_program() { echo "$lab/hosts/usr/bin/$1"; }

# but_the_last TEXT BYTES: so many bytes of a text, less the last two: about one run in forty of llama-completion 0.7.0
# (Debian, November 2026) ends before its last token is printed, without our plugin too. To retest: run it a hundred times
# and count the bytes.
but_the_last() { printf '%s' "$1" | head -c $(($2 - 2)); }

# generate with|without MODEL PROMPT TOKENS: greedy text, a byte for each token.
generate() {
  local text
  text=$(llamacpp "$1" "$(llamacpp_program llama-completion)" -m "$(realpath "$2")" -p "$3" -n "$4" --temp 0 --seed 1 -no-cnv \
    -t 2 --ignore-eos 2>>"$logs/host-llamacpp.log" </dev/null) || return 1
  but_the_last "$text" $(($(printf '%s' "$3" | wc -c) + $4))
}

same_text() {
  local ours theirs
  ours=$(generate with "$1" "$2" 200) && theirs=$(generate without "$1" "$2" 200) || return 1
  [ ${#ours} -ge 190 ] || { echo "no text"; return 1; }
  [ "$ours" = "$theirs" ] || { printf 'with: %s\nwithout: %s\n' "$ours" "$theirs"; return 1; }
  echo "${#ours} characters"
}

# In pieces of which most ask for no output, so that the last block has no tokens.
same_text_in_pieces() {
  local texts=() with text
  head -c 400 README.md >"$hosts_dir/prompt.txt"
  for with in with without; do
    text=$(llamacpp "$with" "$(llamacpp_program llama-completion)" -m "$repo/models/tiny-moe-f16.gguf" \
      -f "$repo/$hosts_dir/prompt.txt" -n 20 -c 512 -b 64 -ub 7 --temp 0 --seed 1 -no-cnv -t 2 --ignore-eos \
      2>>"$logs/host-llamacpp.log" </dev/null) || return 1
    texts+=("$(but_the_last "$text" 420)")
  done
  [ ${#texts[0]} -ge 410 ] && [ "${texts[0]}" = "${texts[1]}" ]
}

# beside_vulkan ARGUMENT...: ggml's Vulkan backend has the rest of the model, and text and splits are as they should be.
beside_vulkan() {
  local texts=() with text libraries=$lab/hosts/usr/lib/x86_64-linux-gnu most rc=0
  mkdir -p "$hosts_dir/backends"
  ln -sfn "$libraries/ggml/backends0/libggml-vulkan.so" "$hosts_dir/backends/"
  llamacpp with GGML_VK_VISIBLE_DEVICES=0 GGML_SCHED_DEBUG=2 "$(llamacpp_program llama-completion)" \
    -m "$repo/models/tiny-moe-f16.gguf" -p "In the beginning " -n 2 --temp 0 -no-cnv -t 2 --no-warmup -lv 5 -ngl 99 "$@" \
    </dev/null >"$logs/host-scheduler.log" 2>&1 || rc=1
  for with in with without; do
    text=$(llamacpp "$with" GGML_VK_VISIBLE_DEVICES=0 "$(llamacpp_program llama-completion)" \
      -m "$repo/models/tiny-moe-f16.gguf" -p "In the beginning " -n 64 --temp 0 --seed 1 -no-cnv -t 2 --ignore-eos -ngl 99 \
      "${@//exps=MoEVK0/exps=CPU}" 2>>"$logs/host-llamacpp.log" </dev/null) || rc=1
    texts+=("$(but_the_last "$text" 81)")
  done
  rm -f "$hosts_dir/backends/libggml-vulkan.so"
  most=$(sed -nE 's/.*## SPLIT #([0-9]+): .*/\1/p' "$logs/host-scheduler.log" | sort -n | tail -n 1)
  echo "$((most + 1)) splits"
  [ "$rc" = 0 ] && [ "$((most + 1))" -le 10 ] && grep -q '## SPLIT #[0-9]*: MoEVK0' "$logs/host-scheduler.log" &&
    [ "${texts[0]}" = "${texts[1]}" ] && [ ${#texts[0]} -ge 60 ]
}

# How the scheduler cut the graph, and which weights it reads on our device.
scheduled() {
  llamacpp with GGML_SCHED_DEBUG=2 MOEVK_TRACE=ggml "$(llamacpp_program llama-completion)" \
    -m "$repo/models/tiny-moe-f16.gguf" -p "In the beginning " -n 4 --temp 0 -no-cnv -t 2 --no-warmup -lv 5 </dev/null \
    >"$logs/host-scheduler.log" 2>&1
}
splits_are() {
  local most
  most=$(sed -nE 's/.*## SPLIT #([0-9]+): .*/\1/p' "$logs/host-scheduler.log" | sort -n | tail -n 1)
  echo "$((most + 1)) splits"
  [ "$((most + 1))" = "$1" ]
}
moe_weights_alone() {
  local names
  names=$(grep -oE 'blk\.[0-9]+\.[a-z_.]+ +\( *[0-9]+[KM]\) \[MoEVK' "$logs/host-scheduler.log" |  # names are cut short
    sed -E 's/blk\.[0-9]+\.([a-z_]+).*/\1/' | sort -u | paste -sd ' ')
  echo "$names"
  [ "$names" = "ffn_down_exps ffn_gate_exps ffn_gate_inp ffn_up_exps" ]
}
every_block_is_a_layer() {
  local layers
  layers=$(grep -oE 'ffn_moe_out-[0-9]+: [0-9]+ nodes, [0-9]+ tokens, routed here' "$logs/host-scheduler.log" |
    cut -d: -f1 | sort -u | wc -l)
  echo "$layers layers"
  [ "$layers" = 4 ] && ! grep -q 'runs on the CPU\|operation by operation' "$logs/host-scheduler.log"
}

# every_type: a MUL_MAT_ID of each type of weights that ggml's own test has.
every_type() {
  llamacpp with "$lab/hosts/usr/libexec/x86_64-linux-gnu/llama.cpp-tests/test-backend-ops" test -b MoEVK0 -o MUL_MAT_ID \
    -p 'type_a=[a-z0-9_A-Z]*,type_b=f32,n_mats=4,n_used=2,b=0,m=512,n=1,k=256' >"$logs/host-backend-ops.log" 2>&1 </dev/null ||
    { tail -n 5 "$logs/host-backend-ops.log"; return 1; }
  echo "$(grep -c 'MUL_MAT_ID(.*OK' "$logs/host-backend-ops.log") types, $(
    grep -c 'not supported' "$logs/host-backend-ops.log" || true) not supported"
  ! grep -q 'FAIL\|not supported' "$logs/host-backend-ops.log" && [ "$(grep -c 'MUL_MAT_ID(.*OK' "$logs/host-backend-ops.log")" -ge 20 ]
}

# every_case: whatever ggml's own test has for operations that we claim. Some 950 cases, for scripts/test --long.
every_case() {
  host_seconds=3000 llamacpp with OMP_WAIT_POLICY=passive "$lab/hosts/usr/libexec/x86_64-linux-gnu/llama.cpp-tests/test-backend-ops" test -b MoEVK0 \
    >"$logs/host-backend-ops-all.log" 2>&1 </dev/null || { tail -n 5 "$logs/host-backend-ops-all.log"; return 1; }
  echo "$(grep -c '): .*OK' "$logs/host-backend-ops-all.log") cases"
  ! grep -q 'FAIL' "$logs/host-backend-ops-all.log" && [ "$(grep -c '): .*OK' "$logs/host-backend-ops-all.log")" -ge 900 ]
}

# divergence with|without|vulkan ARGUMENT...: how far a model's predictions are from those of another run; "with" is our
# plugin, "vulkan" ggml's own backend for the whole model. Its cooperative matrices are left out: on lavapipe 26.1 (2026-11)
# its results with them are wrong by nats, with any of these files.
divergence() {
  local with=$1 libraries=$lab/hosts/usr/lib/x86_64-linux-gnu variables=() arguments=()
  shift
  case $with in
    with) variables=(MOEVK_DEVICE=llvmpipe) arguments=(--backend "$repo/$plugin") ;;
    vulkan) variables=(GGML_VK_VISIBLE_DEVICES=0 GGML_VK_DISABLE_COOPMAT=1 GGML_VK_DISABLE_COOPMAT2=1)
      arguments=(--backend "$libraries/ggml/backends0/libggml-vulkan.so" --gpu-layers 99) ;;
  esac
  while [[ ${1:-} == *=* ]]; do variables+=("$1"); shift; done
  llamacpp without "${variables[@]}" "$repo/build/release/bin/llamacpp_divergence" --libraries "$libraries" \
    --cpu-backend "$libraries/ggml/backends0/libggml-cpu-x64.so" "${arguments[@]}" "$@"
}

# quantised TYPE: the model with weights of that type, by llama-quantize, in the hosts' folder.
quantised() {
  llamacpp without "$(llamacpp_program llama-quantize)" "$repo/models/tiny-moe-f16.gguf" "$repo/$hosts_dir/$1.gguf" "$1" \
    >>"$logs/host-llamacpp.log" 2>&1
}

# As near to the CPU backend as ggml's Vulkan backend is, or nearer: 768 tokens of three texts.
no_further_than_vulkan() {
  local model=$repo/$hosts_dir/$1.gguf figures=() run text arguments=()
  quantised "$1" || return 1
  for text in LICENSE plugin_api/moe_plugin.h docs/semantics.md; do arguments+=(--text "$repo/$text"); done
  arguments+=(--model "$model" --tokens 256)
  divergence without "${arguments[@]}" --out "$model.logits" || return 1
  for run in with vulkan; do
    figures+=("$(divergence "$run" "${arguments[@]}" --reference "$model.logits" 2>>"$logs/host-llamacpp.log" |
      sed -n 's/^divergence \([^ ]*\) .*/\1/p')")
  done
  rm -f "$model" "$model.logits"
  echo "${figures[0]} nats a token, ggml-vulkan ${figures[1]}"
  awk -v ours="${figures[0]}" -v theirs="${figures[1]}" 'BEGIN { exit !(ours != "" && theirs != "" && ours + 0 <= theirs + 0) }'
}

# The same bits each time, whatever fresh memory holds and however many threads the driver has; next to the CPU backend's.
same_bits() {
  local arguments=(--model "$repo/models/tiny-moe-f16.gguf" --text "$repo/docs/semantics.md" --tokens 600 --single 12
    --no-flash-attention) logits=$repo/$hosts_dir/same-bits
  divergence without "${arguments[@]}" --out "$logits.cpu" &&
    divergence with "${arguments[@]}" --blocks 4 --reference "$logits.cpu" --most 1e-6 --out "$logits.ours" &&
    divergence with MALLOC_PERTURB_=165 LP_NUM_THREADS=1 "${arguments[@]}" --blocks 4 --reference "$logits.ours" --most 0 \
      --repeat 2 &&
    divergence with MALLOC_PERTURB_=90 LP_NUM_THREADS=7 "${arguments[@]}" --blocks 4 --reference "$logits.ours" --most 0 \
      --repeat 2
}

# as_a_user_would: three texts as parallel sequences of one batch, in micro-batches; a run that is aborted; two contexts in two
# threads; the model loaded again. Next to the CPU backend, and always the same bits.
as_a_user_would() {
  local text arguments=(--model "$repo/models/tiny-moe-f16.gguf" --tokens 64 --single 3 --micro-batch 80 --no-flash-attention --together)
  for text in LICENSE plugin_api/moe_plugin.h docs/semantics.md; do arguments+=(--text "$repo/$text"); done
  divergence without "${arguments[@]}" --out "$repo/$hosts_dir/user" &&
    divergence with "${arguments[@]}" --reference "$repo/$hosts_dir/user" --most 1e-6 --blocks 4 --abort --two-contexts --reload
}
long_prompt() {
  local arguments=(--model "$repo/models/tiny-moe-f16.gguf" --text "$repo/docs/semantics.md" --tokens 3000 --micro-batch 1024)
  divergence without "${arguments[@]}" --out "$repo/$hosts_dir/long" &&
    divergence with "${arguments[@]}" --reference "$repo/$hosts_dir/long" --most 1e-6 --blocks 4
}

# random_model NAME ARGUMENT...: a large model, whose logits are the CPU backend's.
random_model() {
  local model=$repo/$hosts_dir/$1.gguf
  shift
  python3 bench/random_model.py models/tiny-moe-f16.gguf "$model" "$@" &&
    divergence without --model "$model" --text "$repo/LICENSE" --tokens 24 --out "$model.logits"
}
# runs_whole NAME LAYERS VARIABLE=VALUE...: all its layers run on our device. A random router has near ties: of
# random128's 24 tokens one, the 19th, falls the other way and moves by 0.036, all others by 0.001.
runs_whole() {
  local model=$repo/$hosts_dir/$1.gguf layers=$2
  shift 2
  divergence with "$@" --model "$model" --text "$repo/LICENSE" --tokens 24 --reference "$model.logits" --blocks "$layers" \
    --most 1e-5 --memory --out "$model.ours" | tee "$logs/host-memory.log"
}
# same_with NAME LAYERS VARIABLE=VALUE...: the bits of runs_whole, on less of a device.
same_with() {
  local model=$repo/$hosts_dir/$1.gguf layers=$2
  shift 2
  divergence with "$@" --model "$model" --text "$repo/LICENSE" --tokens 24 --reference "$model.ours" --blocks "$layers" --most 0
}
# All 128 experts of each token, as in a warm-up run: more than a layer can have, and the CPU backend's bits.
warms_up() {
  local model=$repo/$hosts_dir/random128.gguf arguments
  arguments=(--model "$model" --text "$repo/LICENSE" --tokens 2 --all-experts)
  divergence without "${arguments[@]}" --out "$model.all" &&
    divergence with "${arguments[@]}" --reference "$model.all" --blocks 0 --most 0 --memory | tee "$logs/host-memory.log" &&
    grep -q 'the device reports 192 and' "$logs/host-memory.log"
}
# The experts of random128 take 192 MiB, which are not to be held twice, nor to be missing in what the device reports.
held_once() {
  runs_whole random128 2 >/dev/null || return 1
  sed -n 's/^MiB: //p' "$logs/host-memory.log"
  awk '/^MiB:/ { gsub(/[,;]/, ""); good = $4 + $8 < 260 && $12 >= 192 && $12 + $14 < 220 } END { exit !good }' \
    "$logs/host-memory.log"
}

# same_logits: small models of every MoE architecture that peer_llamacpp left, in two processes.
same_logits() {
  local libraries=$lab/hosts/usr/lib/x86_64-linux-gnu command
  command=("$repo/build/release/bin/llamacpp_logits" --libraries "$libraries"
    --cpu-backend "$libraries/ggml/backends0/libggml-cpu-x64.so" --models "$repo/build/peers/captures")
  llamacpp without "${command[@]}" --out "$repo/$hosts_dir/without" >"$logs/host-logits.log" 2>&1 </dev/null &&
    llamacpp without MOEVK_DEVICE=llvmpipe "${command[@]}" --out "$repo/$hosts_dir/with" \
      --reference "$repo/$hosts_dir/without" --plugin "$repo/$plugin" >>"$logs/host-logits.log" 2>&1 </dev/null ||
    { grep '^FAIL' "$logs/host-logits.log"; tail -n 3 "$logs/host-logits.log"; return 1; }
  echo "$(grep -c '^pass: ' "$logs/host-logits.log") models, $(
    grep -c '^pass: .* [1-9][0-9]* MoE blocks as one layer' "$logs/host-logits.log") of them fused"
  [ "$(grep -c '^pass: ' "$logs/host-logits.log")" -ge 20 ]
}

# host_llamacpp: the whole part.
host_llamacpp() {
  local prompt type
  begin "host, unmodified llama.cpp, lavapipe 26.1 or later"
  if [ ! -x "$(llamacpp_program llama-completion)" ]; then
    echo "   skipped: no llama.cpp here; add it with: scripts/lab hosts"
    skipped=1
    end
    return
  fi
  : >"$logs/host-llamacpp.log"
  expect "it loads our plugin and runs" scheduled
  expect "a layer costs two splits" splits_are 9
  expect "MoE tensors alone are ours" moe_weights_alone
  expect "every MoE block is one layer" every_block_is_a_layer
  expect "the same model in f32" quantised F32
  for prompt in "In the beginning " "#define " "Le fichier "; do
    expect "f16, greedy, as without us: $prompt" same_text models/tiny-moe-f16.gguf "$prompt"
    expect "f32, greedy, as without us: $prompt" same_text "$hosts_dir/F32.gguf" "$prompt"
  done
  rm -f "$hosts_dir/F32.gguf"
  expect "a prompt in pieces of 7 tokens" same_text_in_pieces
  expect "f16, the same bits each time" same_bits
  expect "parallel sequences, abort, two contexts, reload" as_a_user_would
  expect "a prompt of 3000 tokens" long_prompt
  expect "beside ggml's Vulkan backend, --cpu-moe" beside_vulkan --cpu-moe
  expect "beside ggml's Vulkan backend, --n-cpu-moe 2" beside_vulkan --n-cpu-moe 2
  expect "beside ggml's Vulkan backend, -ot exps=MoEVK0" beside_vulkan -ot exps=MoEVK0
  host_routes
  expect "test-backend-ops, MUL_MAT_ID of each type" every_type
  if [ "${times:-1}" != 1 ]; then expect "test-backend-ops, all cases of what we claim" every_case; fi
  for type in Q8_0 Q6_K Q4_K_M Q4_0 MXFP4_MOE; do
    expect "$type: as near to the CPU backend as ggml's Vulkan backend" no_further_than_vulkan "$type"
  done
  expect "a random model with 128 experts" random_model random128
  expect "its experts are held once" held_once
  expect "the same bits where a storage buffer has 4 MiB" same_with random128 2 MOEVK_LIMITS=max_storage_buffer_range=4194304
  expect "and without device addresses" same_with random128 2 MOEVK_LIMITS=max_storage_buffer_range=4194304 \
    MOEVK_DISABLE=bda
  expect "node by node, its products on the device" runs_whole random128 0 --each-node
  expect "a warm-up run, on the CPU, which reads copies of what the device holds" warms_up
  expect "a random model with stacked experts of 136 MiB" random_model random136 --experts 136 --hidden 1024 --width 512 \
    --layers 1
  expect "it runs, on a device whose storage buffers end at 128 MiB" runs_whole random136 1 MOEVK_DISABLE=bda
  rm -f "$hosts_dir"/random*.gguf*
  if [ -d build/peers/captures ]; then
    expect "logits of each architecture, as without us" same_logits
  else
    echo "   skipped: no captures of llama.cpp's graphs (peer, llama.cpp)"
    skipped=$((skipped + 1))
  fi
  end
}
