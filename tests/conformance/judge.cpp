// SPDX-License-Identifier: MIT
//
// The verdict on one case. Routing, in three parts: (a) logits against float64 within the bound of
// the summation tree; (b) the device's own scores, given to the reference, must give the same ids
// in the same order; (c) ids agree with the reference wherever no deciding gap is within the bound.
// Then weights and y.
#include "tests/conformance/judge.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <exception>

#include "plugin_api/moe_plugin.hpp"
#include "tests/conformance/numbers.h"
#include "tests/conformance/oracle.h"

namespace moe_conformance {

void fail(CaseResult& result, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  constexpr size_t kMost = 12;
  if (result.failures.size() < kMost) result.failures.emplace_back(text);
}

namespace {

// 0 finite, 1 +inf, 2 -inf, 3 NaN
int class_of(double v) { return std::isnan(v) ? 3 : std::isinf(v) ? (v > 0 ? 1 : 2) : 0; }

struct Context {
  const LayerCase& c;
  const RouteOracle& oracle;
  CaseResult& result;
};

// Ids or weights, k of each token.
template <class T>
std::vector<T> top_k_columns(const LayerCase& c, const CallResult& call, const std::vector<T>& rows) {
  std::vector<T> columns;
  for (uint64_t t = 0; t < c.tokens; ++t) {
    const auto row = rows.begin() + static_cast<std::ptrdiff_t>(t * call.route_columns);
    columns.insert(columns.end(), row, row + c.desc.top_k);
  }
  return columns;
}

// Sparsemixer's weights jump where a logit crosses a border: no bound holds for a token that is near one. What a dropped
// route's expert was is not told.
bool weights_decided(const Context& j, size_t token) {
  const moe_layer_desc& d = j.c.desc;
  const bool follow = d.selection != MOE_SELECT_SPARSEMIXER && d.capacity == MOE_CAPACITY_NONE;
  return follow || j.oracle.decided[token] != 0;
}

// (a)
void judge_logits(const Context& j, const CallResult& call, const char* who) {
  for (size_t i = 0; i < call.logits.size(); ++i) {
    const double logit = static_cast<double>(call.logits[i]), truth = j.oracle.logits[i];
    const size_t token = i / candidates(j.c.desc), expert = i % candidates(j.c.desc);
    if (class_of(logit) != class_of(truth)) {
      fail(j.result, "%s: logit of token %zu expert %zu is %g, float64 has %g", who, token, expert, logit, truth);
    } else if (class_of(logit) == 0) {
      // Integers are exact as long as they fit into 24 bits; a float32 result has no other error
      // then.
      const double bound = j.c.exact_logits ? 0 : j.oracle.logit_bound[i];
      const double error = std::fabs(logit - truth);
      if (error > 0) j.result.logit_error = std::max(j.result.logit_error, bound > 0 ? error / bound : 1e9);
      if (error > bound) {
        fail(j.result, "%s: logit of token %zu expert %zu is %.9g, float64 has %.9g: off by %.3g, bound %.3g", who,
             token, expert, logit, truth, error, bound);
      }
    }
  }
}

// (b): a layer of width 1 whose scores are the device's own.
void judge_own_scores(const Context& j, Session& s, const CallResult& call, const std::vector<int32_t>& ids) {
  if (call.scores.empty()) return;
  LayerCase tiny;
  tiny.desc = MOE_INIT(moe_layer_desc);
  tiny.desc.hidden = tiny.desc.intermediate = 1;
  tiny.desc.experts = j.c.desc.experts;
  tiny.desc.identity_experts = j.c.desc.identity_experts;
  tiny.desc.top_k = j.c.desc.top_k;
  tiny.desc.groups = j.c.desc.groups;
  tiny.desc.groups_kept = j.c.desc.groups_kept;
  tiny.desc.group_score = j.c.desc.group_score;
  tiny.desc.group_top_n = j.c.desc.group_top_n;
  tiny.desc.capacity = j.c.desc.capacity;
  tiny.desc.capacity_factor = j.c.desc.capacity_factor;
  tiny.desc.capacity_minimum = j.c.desc.capacity_minimum;
  tiny.desc.flags = MOE_LAYER_UNGATED;
  tiny.desc.route_source = MOE_ROUTE_FROM_SCORES;
  tiny.tokens = j.c.tokens;
  tiny.weights.up.assign(tiny.desc.experts, 1.0f);
  tiny.weights.down.assign(tiny.desc.experts, 1.0f);
  tiny.inputs.x.assign(tiny.tokens, 1.0f);
  tiny.inputs.scores = call.scores;
  tiny.inputs.weights.assign(call.scores.size(), 1.0f);
  DeviceRunner reference(s.api, s.reference.get(), tiny);
  const CallResult expected = reference.forward(tiny.inputs, tiny.tokens, Arrangement{});
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == expected.ids[i]) continue;
    const size_t token = i / j.c.desc.top_k;
    const auto score = [&](int32_t id) {
      const bool inside = id >= 0 && id < static_cast<int32_t>(candidates(tiny.desc));
      return inside ? static_cast<double>(call.scores[token * candidates(tiny.desc) + static_cast<size_t>(id)]) : NAN;
    };
    fail(j.result,
         "(b) from the device's own scores: token %zu slot %zu is expert %d (score %.9g), the "
         "reference takes %d (score %.9g)",
         token, i % j.c.desc.top_k, ids[i], score(ids[i]), expected.ids[i], score(expected.ids[i]));
    return;
  }
}

// (c): agree[t] tells where outputs can be compared.
std::vector<uint8_t> judge_ids(const Context& j, const std::vector<int32_t>& ids, const std::vector<int32_t>& expected,
                               const char* who, const char* whom) {
  const size_t k = j.c.desc.top_k, experts = candidates(j.c.desc);
  std::vector<uint8_t> agree(j.c.tokens, 1);
  for (size_t t = 0; t < j.c.tokens; ++t) {
    if (!weights_decided(j, t)) agree[t] = 0;
    for (size_t slot = 0; slot < k; ++slot) {
      const int32_t id = ids[t * k + slot], want = expected[t * k + slot];
      if (id == want) continue;
      agree[t] = 0;
      if (j.oracle.decided[t] == 0) continue;
      const auto key = [&](int32_t e) {
        const bool inside = !j.oracle.key.empty() && e >= 0 && e < static_cast<int32_t>(experts);
        return inside ? j.oracle.key[t * experts + static_cast<size_t>(e)] : NAN;
      };
      fail(j.result, "(c) token %zu slot %zu: %s has expert %d (float64 key %.9g), %s has %d (%.9g)", t, slot, who, id,
           key(id), whom, want, key(want));
      break;
    }
  }
  return agree;
}

// Weights that are scores times a number inherit the absolute error that (a) allows a logit near zero: relative to
// such a weight it may be large. `key_share` of it counts: 1 for f32 sums, 0 for the reference's float64.
void judge_weights(const Context& j, const CallResult& call, const std::vector<int32_t>& ids, double bound,
                   double key_share, const char* who) {
  const bool plain = j.c.desc.weight == MOE_WEIGHT_IDENTITY && j.c.desc.normalize == MOE_NORMALIZE_NONE;
  const size_t k = j.c.desc.top_k;
  for (const int32_t id : ids) {
    if (id < -1 || id >= static_cast<int32_t>(candidates(j.c.desc))) {
      fail(j.result, "%s: returned expert id %d, of %zu experts", who, id, candidates(j.c.desc));
      return;
    }
  }
  const std::vector<double> truth = weights_oracle(j.c, j.oracle, ids);
  for (size_t t = 0; t < j.c.tokens; ++t) {
    if (!weights_decided(j, t)) continue;
    double largest = 0;
    for (size_t slot = 0; slot < k; ++slot) {
      if (std::isfinite(truth[t * k + slot])) largest = std::max(largest, std::fabs(truth[t * k + slot]));
    }
    for (size_t slot = 0; slot < k; ++slot) {
      if (ids[t * k + slot] < 0) continue;
      const double weight = static_cast<double>(call.weights[t * call.route_columns + slot]),
                   want = truth[t * k + slot];
      const size_t key = t * candidates(j.c.desc) + static_cast<size_t>(ids[t * k + slot]);
      const double inherited =
          plain && key < j.oracle.key_bound.size()
              ? key_share * std::fabs(static_cast<double>(or_one(j.c.desc.routed_scale))) * j.oracle.key_bound[key]
              : 0;
      const bool same = class_of(weight) == class_of(want) &&
                        (class_of(want) != 0 || std::fabs(weight - want) <= bound * largest + inherited + 0x1p-125);
      if (!same) {
        fail(j.result, "%s: weight of token %zu slot %zu (expert %d) is %.9g, float64 has %.9g", who, t, slot,
             ids[t * k + slot], weight, want);
        return;
      }
    }
  }
}

// All [T, H]; tokens with agree[t] == 0 are left out. Returns the largest error over what is
// allowed.
template <class Want>
double judge_outputs(const Context& j, const std::vector<float>& y, const std::vector<Want>& truth, uint32_t dtype,
                     double bound, const std::vector<double>& slack, const std::vector<uint8_t>& agree, const char* who,
                     const char* whom) {
  const size_t hidden = j.c.desc.hidden;
  double largest = 0, worst = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    const double want = static_cast<double>(truth[i]);
    if (agree[i / hidden] != 0 && std::isfinite(want)) largest = std::max(largest, std::fabs(want));
  }
  bool told_class = false;
  size_t at = 0;
  double at_allowed = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    if (agree[i / hidden] == 0) continue;
    const double want = static_cast<double>(truth[i]), have = static_cast<double>(y[i]);
    if (class_of(want) != class_of(have)) {
      if (!told_class)
        fail(j.result, "y of token %zu column %zu: %s has %g, %s has %g", i / hidden, i % hidden, who, have, whom,
             want);
      told_class = true;
      continue;
    }
    if (class_of(want) != 0) continue;
    double allowed = bound * largest + slack[i];
    if (dtype == MOE_DTYPE_F16) allowed += std::fabs(want) * 0x1p-11 + 0x1p-25;
    if (dtype == MOE_DTYPE_BF16) allowed += std::fabs(want) * 0x1p-8;
    const double error = std::fabs(want - have);
    const double ratio = error == 0 ? 0 : allowed > 0 ? error / allowed : 1e9;
    if (ratio > worst) {
      worst = ratio;
      at = i;
      at_allowed = allowed;
    }
  }
  if (worst > 1) {
    fail(j.result,
         "y of token %zu column %zu: %s has %.9g, %s has %.9g: off by %.3g, allowed %.3g (max|y| "
         "%.6g)",
         at / hidden, at % hidden, who, static_cast<double>(y[at]), whom, static_cast<double>(truth[at]),
         std::fabs(static_cast<double>(y[at]) - static_cast<double>(truth[at])), at_allowed, largest);
  }
  return worst;
}

std::vector<float> decode(const std::vector<std::byte>& bytes, uint32_t dtype) {
  const size_t size = dtype_bytes(dtype);
  std::vector<float> values(bytes.size() / size);
  for (size_t i = 0; i < values.size(); ++i) values[i] = load(dtype, bytes.data() + i * size);
  return values;
}

// False if the case cannot run here: a refusal that names a limit of the device skips it, any other
// fails it. The reference has no limits.
bool supported(Session& s, moe_device* device, const LayerCase& c, CaseResult& result) {
  moe_support support = MOE_INIT(moe_support);
  moe::check([&](moe_error* error) { return s.api->query_support(device, &c.desc, &support, error); });
  if (support.supported != 0) return true;
  const std::string text = std::string(support.argument) + ": " + support.reason;
  if (device != s.reference.get() && names_a_limit(support.reason)) {
    result.skipped = "the device refuses: " + text;
  } else {
    fail(result, "query_support refuses: %s", text.c_str());
  }
  return false;
}

void judge(Session& s, const LayerCase& c, CaseResult& result) {
  if (!supported(s, s.device.get(), c, result) || !supported(s, s.reference.get(), c, result)) return;
  const RouteOracle oracle = route_oracle(c);
  const Context j{c, oracle, result};

  DeviceRunner runner(s.api, s.device.get(), c);
  if (c.desc.capacity != MOE_CAPACITY_NONE && c.tokens > runner.info().max_stage_tokens) {
    result.skipped = "the device takes " + std::to_string(runner.info().max_stage_tokens) + " tokens in one pass";
    return;
  }
  const CallResult call = runner.forward(c.inputs, c.tokens, c.arrangement);
  for (const std::string& problem : call.problems) fail(result, "forward: %s", problem.c_str());

  // The reference gives f32 in plain host memory, whatever the case asks of the device.
  DeviceRunner reference_runner(s.api, s.reference.get(), c);
  LayerInputs plain = c.inputs;
  plain.y_dtype = MOE_DTYPE_F32;
  const CallResult reference = reference_runner.forward(plain, c.tokens, Arrangement{});

  const std::vector<int32_t> ids = top_k_columns(c, call, call.ids);
  const std::vector<int32_t> reference_ids = top_k_columns(c, reference, reference.ids);
  if (c.desc.route_source == MOE_ROUTE_FROM_ROUTER || c.desc.route_source == MOE_ROUTE_FROM_LOGITS) {
    result.tokens = c.tokens;
    result.excluded_tokens =
        static_cast<uint64_t>(std::count(oracle.decided.begin(), oracle.decided.end(), uint8_t{0}));
  }
  judge_logits(j, call, "(a) device");
  judge_logits(j, reference, "(a) reference");
  judge_own_scores(j, s, call, ids);
  const std::vector<uint8_t> agree = judge_ids(j, ids, reference_ids, "the device", "the reference");
  judge_ids(j, reference_ids, oracle.ids, "the reference", "the oracle");
  std::vector<uint8_t> all(c.tokens, 1);
  for (size_t t = 0; t < c.tokens; ++t) all[t] = weights_decided(j, t) ? 1 : 0;
  judge_weights(j, call, ids, kOutputBound, 1, "device");
  judge_weights(j, reference, reference_ids, kReferenceBound, 0, "reference");
  if (!result.failures.empty()) return;  // outputs follow from routes

  const std::vector<float> y = decode(call.y, c.inputs.y_dtype), reference_y = decode(reference.y, MOE_DTYPE_F32);
  // The reference's own routes have been judged; what follows from them is.
  const std::vector<float> reference_weights = top_k_columns(c, reference, reference.weights);
  const std::vector<double> weights(reference_weights.begin(), reference_weights.end());
  const OutputOracle truth = output_oracle(c, reference_ids, weights);
  result.reference_error = judge_outputs(j, reference_y, truth.y, MOE_DTYPE_F32, kReferenceBound, truth.slack, all,
                                         "the reference", "the oracle");
  result.output_error = judge_outputs(j, y, reference_y, c.inputs.y_dtype, kOutputBound, truth.slack, agree,
                                      "the device", "the reference");
  if (c.desc.precision != MOE_PRECISION_EXACT) {
    result.rounded_tokens = c.tokens;
    result.uncertain_tokens = uncertain_tokens(c, truth, 10 * kOutputBound);
  }
  check_invariants(runner, c, call, result);
}

}  // namespace

void judge_case(Session& s, const LayerCase& c, CaseResult& result) {
  try {
    const uint64_t before = validation_messages(s);
    judge(s, c, result);
    const uint64_t after = validation_messages(s);
    if (after != before) {
      fail(result, "%llu new validation message(s); see the log", static_cast<unsigned long long>(after - before));
    }
  } catch (const moe::Error& error) {
    fail(result, "error %d: %s", error.code(), error.what());
  } catch (const std::exception& error) {
    fail(result, "%s", error.what());
  }
}

}  // namespace moe_conformance
