// SPDX-License-Identifier: MIT
//
// In:  what llamacpp_dump wrote; libmoevk.
// Out: for each family that llama.cpp computes, whether its MoE layers give the same on our reference and on a Vulkan
//      device, when our own reader takes the layer from the same file.
// Why: llama.cpp's graphs are written by other people from the families' own code. What differs on purpose is said in
//      llamacpp_cases.cpp.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <stdexcept>

#include "tests/peers/captured_layer.h"
#include "tests/peers/llamacpp_cases.h"
#include "tests/peers/result_lines.h"
#include "tools/model/gguf.h"
#include "tools/model/moe_model.h"

namespace {

using namespace moevk::peers;
namespace model = moevk::model;

struct Options {
  moevk::cli::GlobalOptions global;
  std::string captures, device, results, only;
};

std::vector<float> f32_tensor(const model::GgufFile& file, const model::TensorInfo& tensor) {
  const auto bytes = file.tensor_bytes(tensor);
  std::vector<float> numbers(bytes.size() / sizeof(float));
  std::memcpy(numbers.data(), bytes.data(), bytes.size());
  return numbers;
}

// llama.cpp multiplies what an expert gives by its own scale; we multiply its routing weight.
void scale_weights(const model::GgufFile& file, const model::MoeLayer& layer, CapturedLayer& captured) {
  for (const model::TensorSource& tensor : layer.tensors) {
    if (tensor.name != "router.expert_scale") continue;
    const std::vector<float> scale = f32_tensor(file, *tensor.tensor);
    for (size_t i = 0; i < captured.weights.size(); ++i) {
      captured.weights[i] *= scale.at(static_cast<size_t>(captured.ids[i]));
    }
  }
}

// One block of the file on one device, added to `comparison`.
void compare_layer(const moevk::cli::Host& host, const JudgedDevice& judged, const model::GgufFile& file,
                   const model::MoeLayer& layer, const CapturedLayer& captured, double output_bound,
                   Comparison& comparison) {
  if (!layer.refusal.empty()) throw std::runtime_error(layer.refusal);
  std::vector<moe_tensor_source> tensors;
  const model::TensorInfo* router = nullptr;
  for (const model::TensorSource& tensor : layer.tensors) {
    tensors.push_back(model::memory_source(file, tensor));
    if (tensor.name == "router.weight") router = tensor.tensor;
  }
  if (router == nullptr || router->bytes != router->numbers * sizeof(float)) {
    throw std::runtime_error("the router is not in f32");
  }
  const LayerOutputs ours = run_layer(host, judged.device, layer.desc, tensors, captured.inputs);
  const auto bounds = logit_bounds_of(captured.router_x, f32_tensor(file, *router), layer.desc.hidden);
  compare(captured, ours, layer.desc, bounds, output_bound, comparison);
}

void run_case(const moevk::cli::Host& host, const JudgedDevice& judged, const LlamaCase& one, const Options& options,
              ResultLines& results) {
  Comparison comparison;
  uint32_t layers = 0;
  try {
    const std::string folder = options.captures + "/" + one.name;
    auto file = model::GgufFile::open(folder + "/model.gguf");
    if (!file) throw std::runtime_error(folder + "/model.gguf: " + file.error().text());
    auto found = model::find_moe_layers(*file);
    if (!found) throw std::runtime_error(found.error().text());
    for (model::MoeLayer& layer : found->layers) {
      if (one.divergence.as_llamacpp != nullptr) one.divergence.as_llamacpp(layer.desc);
      CapturedLayer captured;
      if (!read_captured_layer(folder, layer.block, layer.desc, captured)) {
        throw std::runtime_error("llama.cpp has no MoE layer in block " + std::to_string(layer.block));
      }
      scale_weights(*file, layer, captured);
      compare_layer(host, judged, *file, layer, captured, one.output_bound, comparison);
      ++layers;
    }
  } catch (const std::exception& error) {
    comparison.problem = error.what();
  }
  // Routes that fall either way are rare, or something else is wrong.
  if (comparison.problem.empty() && 200 * comparison.close_tokens > comparison.tokens) {
    comparison.problem = std::to_string(comparison.close_tokens) + " of " + std::to_string(comparison.tokens) +
                         " tokens have other experts of nearly equal scores";
  }
  std::string figure = comparison.y.text() + "; " + std::to_string(layers) + (layers == 1 ? " layer, " : " layers, ") +
                       std::to_string(comparison.tokens) + " tokens, the same experts";
  if (one.divergence.text != nullptr) figure += std::string("; ") + one.divergence.text;
  results.add(one.name, one.family, judged.name, comparison.problem.empty() ? Verdict::pass : Verdict::fail,
              comparison.problem.empty() ? figure : comparison.problem);
}

int run(const Options& options) {
  const moevk::cli::Host host(options.global);
  std::string why;
  const std::vector<JudgedDevice> devices = open_judged_devices(host, options.device, why);
  ResultLines results("llama.cpp", options.results);
  for (const LlamaCase& one : llama_cases()) {
    if (!options.only.empty() && options.only != one.name) continue;
    for (const JudgedDevice& judged : devices) run_case(host, judged, one, options, results);
    if (devices.size() == 1) results.add(one.name, one.family, "vulkan", Verdict::skip, why);
  }
  for (const Unjudged& one : families_without_llamacpp()) {
    if (options.only.empty()) results.add(one.family, one.family, "reference", Verdict::skip, one.reason);
  }
  refuse_validation_messages(host);
  return results.finish();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Compares MoE layers with what llama.cpp computed");
  app.add_option("--captures", options.captures, "folder that llamacpp_dump wrote")->required();
  app.add_option("--library", options.global.library, "libmoevk.so");
  app.add_option("--device", options.device, "index or part of a name");
  app.add_option("--results", options.results, "file to append result lines to");
  app.add_option("--case", options.only, "this case alone");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const std::exception& error) {
    std::cerr << "peer_llamacpp: " << error.what() << "\n";
    return 2;
  }
}
