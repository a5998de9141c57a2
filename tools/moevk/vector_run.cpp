// SPDX-License-Identifier: MIT
//
// In:  a vector's numbers.
// Out: see vector_run.h.
// Why: ids are compared exactly and in order, everything else relative to the largest value of its kind.
#include "tools/moevk/vector_run.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

constexpr size_t kMostProblems = 12;

// f32 or i32, as the shape says.
std::vector<std::byte> encode(const model::VectorValues& values) {
  std::vector<std::byte> bytes(values.values.size() * 4);
  for (size_t i = 0; i < values.values.size(); ++i) {
    const auto integer = values.shape.integers ? static_cast<int32_t>(values.values[i]) : 0;
    const auto real = static_cast<float>(values.values[i]);
    std::memcpy(bytes.data() + 4 * i, values.shape.integers ? static_cast<const void*>(&integer) : &real, 4);
  }
  return bytes;
}

moe::Layer upload(const Host& host, moe_device* device, const model::VectorFile& file) {
  moe::Upload upload = moe::begin_weights(host.library(), device, file.desc);
  for (const model::VectorValues& tensor : file.tensors) {
    const std::vector<std::byte> bytes = encode(tensor);
    moe::add_tensor(host.library(), upload, tensor.shape.name.c_str(),
                    tensor.shape.integers ? MOE_DTYPE_I32 : MOE_DTYPE_F32, bytes.data(), bytes.size());
  }
  return moe::commit_weights(host.library(), upload);
}

// Memory and views of one call.
class Call {
 public:
  explicit Call(const model::VectorFile& file) {
    args_.tokens = file.tokens;
    for (const model::VectorValues& values : file.inputs) {
      if (values.shape.name == "beta") {
        args_.beta = static_cast<float>(values.values[0]);
      } else {
        connect(values.shape, encode(values));
      }
    }
    for (const model::VectorValues& values : file.expected) {
      // A pattern that no result has by chance: an output that is not written shows.
      connect(values.shape, std::vector<std::byte>(values.values.size() * 4, std::byte{0xa5}));
    }
  }
  const moe_call_args& args() const { return args_; }

  double value(const model::VectorValues& wanted, size_t at) const {
    const std::byte* bytes = memory_.at(wanted.shape.name).data() + 4 * at;
    int32_t integer = 0;
    float real = 0;
    std::memcpy(&integer, bytes, 4);
    std::memcpy(&real, bytes, 4);
    return wanted.shape.integers ? integer : static_cast<double>(real);
  }

 private:
  void connect(const model::ValueShape& shape, std::vector<std::byte> bytes) {
    std::vector<std::byte>& memory = memory_[shape.name] = std::move(bytes);
    moe_view& view = views_[shape.name] =
        moe::host_view(memory.data(), shape.integers ? MOE_DTYPE_I32 : MOE_DTYPE_F32, shape.rows, shape.columns);
    *argument(shape.name) = &view;
  }
  const moe_view** argument(const std::string& name) {
    const std::map<std::string, const moe_view**> arguments = {{"x", &args_.x},
                                                               {"router_x", &args_.router_x},
                                                               {"residual", &args_.residual},
                                                               {"logits_in", &args_.logits_in},
                                                               {"scores_in", &args_.scores_in},
                                                               {"weights_in", &args_.weights_in},
                                                               {"ids_in", &args_.ids_in},
                                                               {"token_ids", &args_.token_ids},
                                                               {"y", &args_.y},
                                                               {"ids", &args_.ids},
                                                               {"weights", &args_.weights},
                                                               {"logits", &args_.logits},
                                                               {"scores", &args_.scores},
                                                               {"counts", &args_.counts}};
    return arguments.at(name);
  }

  moe_call_args args_ = moe_init<moe_call_args>();
  std::map<std::string, std::vector<std::byte>> memory_;  // a map's elements stay where they are
  std::map<std::string, moe_view> views_;
};

// "token 1 slot 0", as the output's columns are.
std::string place(const model::ValueShape& shape, size_t at) {
  const size_t row = at / shape.columns, column = at % shape.columns;
  if (shape.name == "counts") return formatted("expert %zu", column);
  const bool slots = shape.name == "ids" || shape.name == "weights";
  return formatted("token %zu %s %zu", row, slots ? "slot" : shape.name == "y" ? "column" : "expert", column);
}

bool same_kind(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return std::isinf(a) || std::isinf(b) ? a == b : true;
}

void compare(const Call& call, const model::VectorValues& wanted, VectorResult& result) {
  double largest = 0;
  for (const double value : wanted.values) {
    if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
  }
  const double allowed = wanted.within * largest;
  for (size_t at = 0; at < wanted.values.size(); ++at) {
    const double have = call.value(wanted, at), want = wanted.values[at];
    const double error = std::isfinite(have) && std::isfinite(want) ? std::fabs(have - want) : 0;
    if (allowed > 0) result.largest_error = std::max(result.largest_error, error / allowed);
    if (same_kind(have, want) && error <= allowed) continue;
    result.outcome = Outcome::kFail;
    if (result.problems.size() >= kMostProblems) continue;
    std::string text =
        wanted.shape.name + ": " + place(wanted.shape, at) + " is " + formatted("%.9g, expected %.9g", have, want);
    if (allowed > 0) text += formatted(", off by %.3g, allowed %.3g", error, allowed);
    result.problems.push_back(std::move(text));
  }
}

}  // namespace

VectorResult run_vector(const Host& host, moe_device* device, const model::VectorFile& file) {
  VectorResult result;
  try {
    moe_support support = MOE_INIT(moe_support);
    moe::check([&](moe_error* e) { return host.api().query_support(device, &file.desc, &support, e); });
    if (support.supported == 0) {
      result.outcome = Outcome::kSkip;
      result.refused = support.argument;
      result.reason = support.reason;
      return result;
    }
    const moe::Layer layer = upload(host, device, file);
    const moe::Context context = moe::create_context(host.library(), device, file.tokens);
    const Call call(file);
    moe::check([&](moe_error* e) { return host.api().forward(context, layer, &call.args(), e); });
    moe::wait(host.library(), context, moe::flush(host.library(), context));
    for (const model::VectorValues& wanted : file.expected) compare(call, wanted, result);
  } catch (const moe::Error& error) {
    result.outcome = Outcome::kFail;
    result.problems.emplace_back(error.what());
  }
  return result;
}

}  // namespace moevk::cli
