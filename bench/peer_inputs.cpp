// SPDX-License-Identifier: MIT
//
// A bias in the router's first column, tokens drawn until their routes are clear (see peer_inputs.h).
#include "bench/peer_inputs.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "tools/moevk/random_data.h"

namespace moevk::bench {
namespace {

constexpr float kChosenBias = 12;  // beyond the spread of 1024 normal deviates, and exact in every format
constexpr int kMostDraws = 1000;   // of one token; about one in ten is drawn again

std::vector<double> logits_of(const float* x, const std::vector<float>& router, uint64_t hidden) {
  std::vector<double> logits(router.size() / hidden);
  for (size_t expert = 0; expert < logits.size(); ++expert) {
    const float* const w = &router[expert * hidden];
    double sum[8] = {};  // eight chains, so that a processor does them side by side
    uint64_t i = 0;
    for (; i + 8 <= hidden; i += 8) {
      for (uint64_t part = 0; part < 8; ++part) sum[part] += static_cast<double>(x[i + part]) * w[i + part];
    }
    for (; i < hidden; ++i) sum[0] += static_cast<double>(x[i]) * w[i];
    logits[expert] = std::accumulate(std::begin(sum), std::end(sum), 0.0);
  }
  return logits;
}

}  // namespace

void bias_router(std::vector<float>& router, uint64_t hidden, uint64_t top_k, const std::string& routing) {
  for (uint64_t expert = 0; expert < router.size() / hidden; ++expert) {
    float bias = 0;
    if (routing == "zipf") bias = -std::log(static_cast<float>(expert + 1));
    if (routing == "onehot" && expert < top_k) bias = kChosenBias;
    router[expert * hidden] = bias;
  }
}

std::vector<float> routed_tokens(uint64_t tokens, const std::vector<float>& router, uint64_t hidden, uint64_t top_k,
                                 uint64_t seed) {
  std::vector<float> x;
  x.reserve(tokens * hidden);
  uint64_t draw = 0;
  for (uint64_t token = 0; token < tokens; ++token) {
    for (int tries = 0;; ++tries) {
      if (tries == kMostDraws) throw std::runtime_error("no token has routes that do not hang on rounding");
      std::vector<float> row = cli::random_tokens(1, hidden, seed * 0x10001 + draw++);
      row[0] = 1;
      std::vector<double> logits = logits_of(row.data(), router, hidden);
      if (top_k < logits.size()) {
        const auto last = logits.begin() + static_cast<std::ptrdiff_t>(top_k);
        std::nth_element(logits.begin(), last, logits.end(), std::greater<>());
        if (*std::min_element(logits.begin(), last) - *last < kLeastGap) continue;
      }
      x.insert(x.end(), row.begin(), row.end());
      break;
    }
  }
  return x;
}

uint64_t distinct_experts(const std::vector<float>& x, const std::vector<float>& router, uint64_t hidden,
                          uint64_t top_k) {
  std::vector<bool> used(router.size() / hidden);
  std::vector<size_t> order(used.size());
  for (uint64_t token = 0; token < x.size() / hidden; ++token) {
    const std::vector<double> logits = logits_of(&x[token * hidden], router, hidden);
    std::iota(order.begin(), order.end(), size_t{0});
    const auto last = order.begin() + static_cast<std::ptrdiff_t>(top_k);
    std::partial_sort(order.begin(), last, order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
    for (auto expert = order.begin(); expert != last; ++expert) used[*expert] = true;
  }
  return static_cast<uint64_t>(std::count(used.begin(), used.end(), true));
}

}  // namespace moevk::bench
