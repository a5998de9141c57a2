// SPDX-License-Identifier: MIT
//
// What holds for every call on every device: the same bits twice, the same bits in stages, the same
// route for a token alone and in any batch, counts that count, an order that is sorted and stable,
// and no write beside the rows.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "tests/conformance/judge.h"

namespace moe_conformance {
namespace {

// Rows first..first+count-1 of `all` against every row of `part`, the first `columns` of each, bit
// for bit.
template <class T>
void same_bits(CaseResult& result, const char* what, const char* when, const std::vector<T>& all, size_t all_stride,
               size_t first, const std::vector<T>& part, size_t part_stride, size_t count, size_t columns) {
  if (all.empty() && part.empty()) return;
  if (all.size() < (first + count) * all_stride || part.size() < count * part_stride) {
    fail(result, "%s: %s is missing", when, what);
    return;
  }
  for (size_t r = 0; r < count; ++r) {
    for (size_t column = 0; column < columns; ++column) {
      const T& a = all[(first + r) * all_stride + column];
      const T& b = part[r * part_stride + column];
      if (std::memcmp(&a, &b, sizeof(T)) == 0) continue;
      fail(result, "%s: %s of token %zu column %zu is %.9g, was %.9g", when, what, first + r, column,
           static_cast<double>(b), static_cast<double>(a));
      return;
    }
  }
}

void same_route(CaseResult& result, const char* when, const LayerCase& c, const CallResult& all, size_t first,
                const CallResult& part, size_t count) {
  const size_t k = c.desc.top_k, experts = candidates(c.desc);
  same_bits(result, "id", when, all.ids, all.route_columns, first, part.ids, part.route_columns, count, k);
  same_bits(result, "weight", when, all.weights, all.route_columns, first, part.weights, part.route_columns, count, k);
  same_bits(result, "logit", when, all.logits, experts, first, part.logits, experts, count, experts);
  same_bits(result, "score", when, all.scores, experts, first, part.scores, experts, count, experts);
}

// `part` against the bytes of `all` from `first` on.
void same_y(CaseResult& result, const char* when, const std::vector<std::byte>& all, const std::vector<std::byte>& part,
            size_t first = 0) {
  if (part.empty() || all.size() < first + part.size()) return fail(result, "%s: y is missing", when);
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first);
  const auto end = begin + static_cast<std::ptrdiff_t>(part.size());
  const auto differs = std::mismatch(begin, end, part.begin()).first;
  if (differs == end) return;
  fail(result, "%s: y has other bits, first at byte %td of %zu", when, differs - all.begin(), all.size());
}

void check_counts(CaseResult& result, const char* when, const LayerCase& c, const CallResult& call) {
  const size_t experts = candidates(c.desc);
  std::vector<int32_t> histogram(experts, 0);
  for (size_t t = 0; t * call.route_columns < call.ids.size(); ++t) {
    for (size_t slot = 0; slot < c.desc.top_k; ++slot) {
      const int32_t id = call.ids[t * call.route_columns + slot];
      if (id >= 0 && id < static_cast<int32_t>(experts)) ++histogram[static_cast<size_t>(id)];
    }
  }
  for (size_t e = 0; e < experts; ++e) {
    if (call.counts[e] != histogram[e]) {
      fail(result, "%s: counts[%zu] is %d, the returned ids hold it %d times", when, e, call.counts[e], histogram[e]);
      return;
    }
  }
}

// order[offsets[e]..offsets[e + 1]) are the routes of e, rising; ids are [T, slots], shared experts included, which
// stand behind the identity experts: those have no routes to sort.
void check_order(CaseResult& result, const LayerCase& c, const CallResult& call) {
  const auto identity = static_cast<int32_t>(c.desc.identity_experts);
  const auto has_place = [&](int32_t id, size_t e) {
    const auto place = static_cast<int32_t>(e);
    return id == (e < c.desc.experts ? place : place + identity);
  };
  if (call.offsets.front() != 0) fail(result, "plan_dispatch: offsets[0] is %d", call.offsets.front());
  size_t at = 0;
  for (size_t e = 0; e + 1 < call.offsets.size(); ++e) {
    for (size_t route = 0; route < call.ids.size(); ++route) {
      if (!has_place(call.ids[route], e)) continue;
      if (call.order[at] != static_cast<int32_t>(route)) {
        fail(result, "plan_dispatch: order[%zu] is route %d, expert %zu has route %zu next", at, call.order[at], e,
             route);
        return;
      }
      ++at;
    }
    if (call.offsets[e + 1] != static_cast<int32_t>(at)) {
      fail(result, "plan_dispatch: offsets[%zu] is %d, %zu routes lie before", e + 1, call.offsets[e + 1], at);
      return;
    }
  }
  const auto skipped = static_cast<size_t>(std::count_if(call.ids.begin(), call.ids.end(), [&](int32_t id) {
    const auto first = static_cast<int32_t>(c.desc.experts);
    return id == -1 || (id >= first && id < first + identity);
  }));
  if (at + skipped != call.ids.size())
    fail(result, "plan_dispatch: %zu of %zu routes are sorted, %zu skipped", at, call.ids.size(), skipped);
}

}  // namespace

void check_invariants(DeviceRunner& runner, const LayerCase& c, const CallResult& first, CaseResult& result) {
  const auto problems = [&](const char* when, const CallResult& call) {
    for (const std::string& problem : call.problems) fail(result, "%s: %s", when, problem.c_str());
  };
  check_counts(result, "forward", c, first);

  const CallResult again = runner.forward(c.inputs, c.tokens, c.arrangement);
  problems("second call", again);
  same_route(result, "second call", c, first, 0, again, c.tokens);
  same_bits(result, "count", "second call", first.counts, first.counts.size(), 0, again.counts, first.counts.size(), 1,
            first.counts.size());
  same_y(result, "second call", first.y, again.y);
  same_y(result, "without route outputs", first.y, runner.forward_y_alone(c.inputs, c.tokens, c.arrangement));

  const size_t tokens = static_cast<size_t>(c.tokens);
  const size_t piece = static_cast<size_t>(std::min(c.tokens, runner.info().max_stage_tokens));
  for (size_t begin = 0; begin < tokens; begin += piece) {
    const size_t count = std::min(piece, tokens - begin);
    const CallResult staged = runner.staged(slice_tokens(c, begin, count), count, c.arrangement);
    problems("stages", staged);
    same_route(result, "stages", c, first, begin, staged, count);
    same_y(result, "stages", first.y, staged.y, first.y.size() / tokens * begin);
    check_counts(result, "stages", c, staged);
    check_order(result, c, staged);
  }

  if (c.tokens == 1 || c.desc.capacity != MOE_CAPACITY_NONE) return;  // which is shared by the tokens of a call
  std::vector<std::pair<size_t, size_t>> parts = {{0, 1}, {tokens / 2, 1}, {tokens - 1, 1}};
  parts.emplace_back(tokens / 3, std::min(tokens - tokens / 3, tokens > 40 ? size_t{18} : size_t{5}));
  for (const auto& [begin, count] : parts) {
    if (count == tokens) continue;
    char when[64];
    std::snprintf(when, sizeof when, "tokens %zu..%zu alone", begin, begin + count - 1);
    const CallResult part = runner.forward(slice_tokens(c, begin, count), count, c.arrangement);
    problems(when, part);
    same_route(result, when, c, first, begin, part, count);
  }
}

}  // namespace moe_conformance
