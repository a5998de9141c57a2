// SPDX-License-Identifier: MIT
//
// moevk run. In: a model file or checkpoint and tokens (from .npy, an oracle, or random). Out: each MoE layer run
// on a device and compared with the CPU reference and the oracle; the time of each step; each
// expert's load. Why: one command that shows a real model's layers at work, and says whether they
// are right.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "plugin_api/moe_routes.hpp"
#include "tools/model/utf8_path.h"
#include "tools/moevk/commands.h"
#include "tools/moevk/compare.h"
#include "tools/moevk/forward.h"
#include "tools/moevk/layer_options.h"
#include "tools/moevk/model_file.h"
#include "tools/moevk/random_data.h"
#include "tools/moevk/run_print.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

// Tokens of one layer, and what is known of the right answer.
struct Question {
  std::vector<float> x;
  std::string origin;
  std::vector<float> oracle_y;  // empty: no oracle
  std::vector<int32_t> oracle_ids;
};

std::vector<const model::MoeLayer*> choose_layers(const ModelFile& file, const std::string& which) {
  std::vector<const model::MoeLayer*> layers;
  for (const model::MoeLayer& layer : file.model.layers) {
    if (which == "all" || which == std::to_string(layer.block)) layers.push_back(&layer);
  }
  if (layers.empty()) {
    throw UsageError("--layer", "'" + which + "' is no MoE layer of " + file.path + "; it has " +
                                    std::to_string(file.model.layers.size()) + " from " +
                                    std::to_string(file.model.layers.front().block) + " to " +
                                    std::to_string(file.model.layers.back().block) + ", or: all");
  }
  return layers;
}

// Directory of the oracle, or empty. One that was named must be there.
std::filesystem::path oracle_directory(const RunOptions& options) {
  if (options.oracle == "none") return {};
  const bool named = !options.oracle.empty();
  std::error_code ignored;
  const std::filesystem::path file = model::path_of(options.file);
  const std::filesystem::path beside = std::filesystem::is_directory(file, ignored) ? file : file.parent_path();
  const std::filesystem::path directory = named ? model::path_of(options.oracle) : beside / "oracle";
  if (std::filesystem::is_directory(directory, ignored)) return directory;
  if (named) throw UsageError("--oracle", "there is no folder " + model::utf8_of(directory));
  return {};
}

Question make_question(const RunOptions& options, const model::MoeLayer& layer) {
  Question question;
  const uint64_t hidden = layer.desc.hidden;
  if (!options.input.empty()) {
    question.x = read_npy_matrix("--input", options.input, 0, hidden).to_f32();
    question.origin = options.input;
    return question;
  }
  const std::filesystem::path oracle =
      options.tokens > 0 && options.oracle.empty() ? std::filesystem::path() : oracle_directory(options);
  const std::string prefix = "l" + std::to_string(layer.block) + ".";
  const auto path = [&](const char* what) { return model::utf8_of(oracle / (prefix + what + ".npy")); };
  if (!oracle.empty() && std::filesystem::exists(model::path_of(path("moe_in")))) {
    question.x = read_npy_matrix("--oracle", path("moe_in"), 0, hidden).to_f32();
    question.origin = path("moe_in");
    const uint64_t rows = question.x.size() / hidden;
    question.oracle_y = read_npy_matrix("--oracle", path("moe_out"), rows, hidden).to_f32();
    question.oracle_ids = read_npy_matrix("--oracle", path("selected"), rows, layer.desc.top_k).to_i32();
    if (question.oracle_ids.empty()) throw UsageError("--oracle", path("selected") + " holds no i4");
    if (options.tokens > rows) {
      throw UsageError("--tokens", "is " + std::to_string(options.tokens) + ", but " + path("moe_in") + " has only " +
                                       std::to_string(rows) + " rows");
    }
    if (options.tokens > 0 && options.tokens < rows) {
      question.x.resize(options.tokens * hidden);
      question.oracle_y.resize(options.tokens * hidden);
      question.oracle_ids.resize(options.tokens * layer.desc.top_k);
    }
    return question;
  }
  if (!oracle.empty() && !options.oracle.empty()) {
    throw UsageError("--oracle", "there is no file " + path("moe_in"));
  }
  const uint64_t tokens = options.tokens > 0 ? options.tokens : 64;
  question.x = random_tokens(tokens, hidden, options.seed + layer.block);
  question.origin = "random normal, RMS 1, seed " + std::to_string(options.seed + layer.block);
  return question;
}

void check_support(const Host& host, moe_device* device, const ModelFile& file, const model::MoeLayer& layer) {
  if (!layer.refusal.empty()) throw UsageError(file.path, layer.refusal);
  moe_support support = moe_init<moe_support>();
  moe::check([&](moe_error* e) { return host.api().query_support(device, &layer.desc, &support, e); });
  if (support.supported == 0) {
    throw UsageError(file.path, "layer " + std::to_string(layer.block) + " is not supported: " + support.argument +
                                    ": " + support.reason);
  }
}

void record_routes(moe::RouteFile& file, moe::RouteStream& stream, const model::MoeLayer& layer,
                   const ForwardResult& result) {
  moe::Routes routes;
  routes.layer = layer.block;
  routes.experts = layer.desc.experts, routes.identity_experts = layer.desc.identity_experts;
  routes.top_k = layer.desc.top_k;
  routes.hidden = layer.desc.hidden, routes.intermediate = layer.desc.intermediate;
  routes.tokens = result.tokens;
  routes.ids = result.ids.data(), routes.weights = result.weights.data();
  std::string why;
  if (!file.append(stream, routes, why) && !why.empty()) std::fprintf(stderr, "moevk: %s\n", why.c_str());
}

// Runs one layer and prints all about it; `result` gets what the device gave. True if everything agrees; empty without
// anything to compare.
std::optional<bool> run_layer(const Host& host, moe_device* device, bool is_reference, moe_device* reference,
                              const ModelFile& file, const model::MoeLayer& layer, const RunOptions& options,
                              ForwardResult& result) {
  const std::string name = "layer " + std::to_string(layer.block);
  check_support(host, device, file, layer);
  const Question question = make_question(options, layer);
  if (const uint64_t tokens = question.x.size() / layer.desc.hidden; tokens > kMostTokens) {
    throw UsageError(question.origin,
                     "has " + std::to_string(tokens) + " tokens; a call takes at most " + std::to_string(kMostTokens));
  }
  std::printf("\n%s  %zu tokens  %s\n", heading(name).c_str(), question.x.size() / layer.desc.hidden,
              remark(question.origin).c_str());

  const moe::Layer on_device = upload_model_layer(host, device, file, layer, name + ": weights");
  result = run_forward(host, device, on_device, layer.desc, question.x, options.repeat, true);
  std::vector<Verdict> verdicts;
  RouteQuestion route{&layer.desc, &question.x, nullptr, nullptr};
  const std::vector<float> router = read_tensor_f32(file, layer, "router.weight");
  route.router = &router;
  std::vector<float> expected_logits = result.logits;
  if (!is_reference) {
    const moe::Layer on_cpu = upload_model_layer(host, reference, file, layer, name + ": reference");
    const ForwardResult expected = run_forward(host, reference, on_cpu, layer.desc, question.x, 1, false);
    expected_logits = expected.logits;
    route.expected_logits = &expected_logits;
    Verdict verdict{"reference", compare_routes(result.ids, expected.ids, route), {}};
    verdict.routes.max_logit_error = max_difference(result.logits, expected.logits);
    verdict.output = compare_outputs(result.y, expected.y, layer.desc.hidden, verdict.routes.excluded);
    verdicts.push_back(verdict);
  }
  if (!question.oracle_y.empty()) {
    route.expected_logits = &expected_logits;
    Verdict verdict{"oracle", compare_routes(result.ids, question.oracle_ids, route), {}};
    verdict.output = compare_outputs(result.y, question.oracle_y, layer.desc.hidden, verdict.routes.excluded);
    verdicts.push_back(verdict);
  }
  bool agrees = true;
  for (const Verdict& verdict : verdicts) {
    print_verdict(verdict);
    agrees = agrees && verdict.routes.ok() && verdict.output.ok();
  }
  const auto used = std::count_if(result.counts.begin(), result.counts.end(), [](int32_t n) { return n > 0; });
  const double bits = bits_per_weight(layer);
  print_steps(result, roofline(layer.desc, result.tokens, bits, static_cast<double>(used)));
  print_loads(result.counts);
  std::fflush(stdout);
  return verdicts.empty() ? std::nullopt : std::optional<bool>(agrees);
}

}  // namespace

int run_model(const GlobalOptions& globals, const RunOptions& options) {
  const ModelFile file(options.file);
  const auto layers = choose_layers(file, options.layer);
  if (options.tokens > 0 && !options.input.empty()) {
    throw UsageError("--tokens", "has no meaning with --input, whose rows are the tokens");
  }
  const Host host(globals);
  const uint32_t index = host.find(options.device);
  const uint32_t reference_index = host.reference();
  const bool is_reference = index == reference_index;
  const moe::Device device = host.open(index);
  const moe::Device reference = is_reference ? moe::Device() : host.open(reference_index);

  const moe_device_info& info = host.devices()[index];
  std::printf("model      %s  %s, %zu MoE layers\n", file.path.c_str(), file.model.architecture.c_str(),
              file.model.layers.size());
  std::printf("layer      %s\n", layer_text(layers.front()->desc).c_str());
  std::printf("device     %u  %s  %s\n", index, info.name, remark(info.driver).c_str());
  if (!is_reference) {
    std::printf("reference  %u  %s\n", reference_index, host.devices()[reference_index].name);
  }
  uint64_t disagree = 0;
  bool compared = false;
  moe::RouteFile recorded(options.routes);
  moe::RouteStream stream;
  for (const model::MoeLayer* layer : layers) {
    ForwardResult result;
    const auto agrees = run_layer(host, device, is_reference, reference, file, *layer, options, result);
    if (!options.routes.empty()) record_routes(recorded, stream, *layer, result);
    compared = compared || agrees.has_value();
    if (!agrees.value_or(true)) ++disagree;
  }
  if (disagree == 0 && !compared) {
    std::printf("\n%s: %zu layers ran, with nothing to compare with\n", good("ok").c_str(), layers.size());
    return kExitOk;
  }
  if (disagree == 0) {
    std::printf("\n%s: %zu of %zu layers agree\n", good("ok").c_str(), layers.size(), layers.size());
    return kExitOk;
  }
  std::printf("\n%s: %zu of %zu layers disagree\n", bad("FAIL").c_str(), static_cast<size_t>(disagree), layers.size());
  return kExitDisagrees;
}

}  // namespace moevk::cli
