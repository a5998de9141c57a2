# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# The rows of host_llamacpp about recorded routes (docs/routes.md): unmodified llama.cpp writes them, and the oracle of the
# real model (models/oracle, made in float64 by another program) has the same. Sourced by scripts/hosts.sh.

# The first of the oracle's tokens are the bytes of this verse (Genesis 6:1, King James Bible).
verse=$'\nAnd it came to pass, when men began to multiply on the face of the\nearth, and daughters were born unto'

# record FILE [ARGUMENT...]: llama.cpp reads the verse and writes its routes to FILE.
record() {
  local file=$1
  shift
  printf '%s' "$verse" >"$hosts_dir/verse.txt"
  llamacpp with GGML_VK_VISIBLE_DEVICES=0 "MOEVK_ROUTES=$file" "$(llamacpp_program llama-completion)" \
    -m "$repo/models/tiny-moe-f16.gguf" -f "$repo/$hosts_dir/verse.txt" -n 4 --temp 0 --seed 1 -no-cnv -t 2 --ignore-eos --no-warmup \
    "$@" </dev/null 2>"$logs/host-routes.log"
}

# of_oracle LAYER: "TOKEN EXPERT EXPERT" of each token of the verse. The last layer computes the last token alone, whose
# number there is 0.
of_oracle() {
  od -An -t d4 -v -w8 -j 128 "models/oracle/l$1.selected.npy" | head -n ${#verse} |
    if [ "$1" = 3 ]; then tail -n 1; else cat; fi | awk '{ print NR - 1, $1, $2 }'
}
of_record() {
  build/release/bin/moevk routes "$1" --layer "$2" --csv - | awk -F, -v most="$([ "$2" = 3 ] && echo 1 || echo ${#verse})" \
    '$3 < most && NR > 1 { if ($4 == 0) first = $5; else print $3, first, $5 }'
}

# as_the_oracle FILE [ARGUMENT...]
as_the_oracle() {
  local file=$repo/$hosts_dir/$1 layer
  shift
  rm -f "$file"
  record "$file" "$@" >/dev/null || { tail -n 3 "$logs/host-routes.log"; return 1; }
  for layer in 0 1 2 3; do
    diff <(of_oracle "$layer") <(of_record "$file" "$layer") >"$logs/host-routes.diff" ||
      { echo "layer $layer, <: the oracle"; head -n 6 "$logs/host-routes.diff"; return 1; }
  done
  echo "$(build/release/bin/moevk routes "$file" --csv - | wc -l) lines, $((3 * ${#verse} + 1)) tokens of the prompt compared"
}

# Two processes append to one file at a time.
two_recorders() {
  local file=$repo/$hosts_dir/two.routes told
  rm -f "$file"
  record "$file" >/dev/null & record "$file" >/dev/null || { wait; return 1; }
  wait $! || return 1
  told=$(build/release/bin/moevk routes "$file" 2>&1 | head -n 1)
  echo "$told"
  [[ $told == *" records, 2 streams, 4 layers" ]]
}

# A full disk: a line in the log, once, and the same text.
recorder_without_room() {
  local text
  text=$(record /dev/full) && [ "${text:0:$((${#verse} + 2))}" = "$(generate without models/tiny-moe-f16.gguf "$verse" 4)" ] || return 1
  grep -o 'MOEVK_ROUTES: .*' "$logs/host-routes.log"
  [ "$(grep -c 'MOEVK_ROUTES' "$logs/host-routes.log")" = 1 ]
}

host_routes() {
  local libraries=$lab/hosts/usr/lib/x86_64-linux-gnu
  expect "routes recorded, as the oracle has them" as_the_oracle llamacpp.routes
  ln -sfn "$libraries/ggml/backends0/libggml-vulkan.so" "$hosts_dir/backends/"
  # In pieces of 32: ggml-vulkan 0.27 with lavapipe's cooperative matrices (Mesa 26.1, November 2026) computes more than 64
  # tokens at a time wrongly, with us or without. To retest: leave out -ub.
  expect "the same of routes that ggml's Vulkan backend gives" as_the_oracle given.routes -ngl 99 --cpu-moe -ub 32
  rm -f "$hosts_dir/backends/libggml-vulkan.so"
  expect "two processes record to one file" two_recorders
  expect "routes for which there is no room" recorder_without_room
}
