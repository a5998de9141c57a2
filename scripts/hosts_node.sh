# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154
# The part of scripts/test that loads our adapter into llama.cpp as Node's package node-llama-cpp has it: ggml 0.25.1, which
# speaks backend API 2 (docs/llama.cpp.md). Sourced by scripts/hosts.sh, whose variables it uses.

# node_text with|without [VARIABLE=VALUE...]: greedy text of the small model.
node_text() {
  local with=$1 environment=() variables=()
  shift
  on_driver "$(icd lavapipe)"
  [ "$with" = without ] ||
    variables+=("GGML_BACKEND_PATH=$repo/$plugin" MOEVK_DEVICE=llvmpipe MOEVK_TRACE=ggml "MOEVK_LIBRARY=$repo/$library")
  (cd "$lab/node" && timeout -k 10 300 env "${environment[@]}" "${variables[@]}" "$@" node "$repo/scripts/hosts_node.mjs" \
    "$repo/models/tiny-moe-f16.gguf" "In the beginning " 100) 2>"$logs/host-node-$with.log" </dev/null
}

node_same_text() {
  local ours theirs
  if ! { ours=$(node_text with) && theirs=$(node_text without); }; then
    tail -n 3 "$logs"/host-node-with*.log
    return 1
  fi
  echo "${#ours} characters"
  [ ${#ours} -ge 90 ] && [ "$ours" = "$theirs" ]
}

node_every_block() {
  local log=$logs/host-node-with.log
  [ "$(grep -oE 'ffn_moe_out-[0-9]+: [0-9]+ nodes, [0-9]+ tokens, routed here' "$log" | cut -d: -f1 | sort -u | wc -l)" = 4 ] &&
    ! grep -q 'runs on the CPU\|operation by operation' "$log"
}

host_node() {
  begin "host, unmodified node-llama-cpp, ggml 0.25 (API 2)"
  if [ ! -d "$lab/node/node_modules/node-llama-cpp" ] || ! have node || [ -z "$(icd lavapipe)" ]; then
    echo "   skipped: no node-llama-cpp here; add it with: scripts/lab node"
    skipped=1
    end
    return
  fi
  if ! node -e 'process.exit(+(parseInt(process.versions.node) < 20))'; then
    echo "   skipped: node-llama-cpp needs Node.js 20 or later, here is $(node --version)"
    skipped=1
    end
    return
  fi
  expect "greedy text as without us" node_same_text
  expect "every MoE block is one layer" node_every_block
  end
}
