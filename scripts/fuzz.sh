# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# The part of scripts/test that looks for files which break a promise of the readers, with libFuzzer under the address
# and undefined-behaviour sanitizers. Sourced by scripts/test, whose begin, expect, end and variables it uses.

# fuzz_readers SECONDS: the readers side by side, from the seeds in tests/corpus. What breaks is kept in build/fuzz.
fuzz_readers() {
  local log=$logs/build-fuzz.log reader rc options
  local -A limits=([gguf]='-max_len=4096 -malloc_limit_mb=16' [safetensors]='-max_len=16384 -malloc_limit_mb=64'
    [routes]='-max_len=4096 -malloc_limit_mb=64')
  begin "readers under the fuzzer, $1 s each"
  if ! printf 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }\n' |
    clang++ -fsanitize=fuzzer -x c++ - -o build/fuzz-probe >"$log" 2>&1; then
    echo "   skipped: no clang with libFuzzer here; add it with: scripts/setup --fuzz"
    skipped=3
    end
    return
  fi
  rm -f build/fuzz-probe
  if ! { cmake -G Ninja -S . -B build/fuzz -D CMAKE_C_COMPILER=clang -D CMAKE_CXX_COMPILER=clang++ \
    -D CMAKE_BUILD_TYPE=RelWithDebInfo -D MOEVK_FUZZ=ON -D "MOEVK_LAB_DIR=$lab" &&
    cmake --build build/fuzz -j "$jobs" --target fuzz_gguf fuzz_safetensors fuzz_routes; } >"$log" 2>&1 </dev/null; then
    failed=1
    tail -n 40 "$log"
    echo "   the whole log: $log"
    end
    return
  fi
  for reader in gguf safetensors routes; do
    mkdir -p "build/fuzz/found-$reader"
    read -ra options <<<"${limits[$reader]}"
    (
      rc=0
      "build/fuzz/bin/fuzz_$reader" -timeout=30 -max_total_time="$1" "${options[@]}" \
        -artifact_prefix="build/fuzz/$reader-" "build/fuzz/found-$reader" "tests/corpus/$reader" \
        >"$logs/fuzz-$reader.log" 2>&1 </dev/null || rc=$?
      echo "$rc" >"$logs/fuzz-$reader.end"
    ) &
  done
  wait
  for reader in gguf safetensors routes; do
    expect "$reader" fuzz_verdict "$reader"
  done
  end
}

# fuzz_verdict READER: shows the report, or how many files were tried.
fuzz_verdict() {
  local log=$logs/fuzz-$1.log
  if [ "$(cat "$logs/fuzz-$1.end")" != 0 ]; then
    grep -m 1 -A 30 -E '^==|ERROR|runtime error' "$log" || tail -n 30 "$log"
    echo "the file: $(grep -oE 'build/fuzz/[^ ]+' "$log" | tail -n 1); rerun: build/fuzz/bin/fuzz_$1 FILE"
    return 1
  fi
  grep -oE '^Done [0-9]+ runs' "$log"
}
