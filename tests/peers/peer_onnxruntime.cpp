// SPDX-License-Identifier: MIT
//
// In:  ONNX Runtime's library; libmoevk.
// Out: for each layer that its operator com.microsoft::MoE expresses, whether its CPU provider, our reference and a
//      Vulkan device give the same.
// Why: an implementation that nobody here wrote. Which experts a token went to the operator does not tell: a wrong one
//      shows in the output.
#include <CLI/CLI.hpp>
#include <iostream>
#include <stdexcept>

#include "tests/peers/judged_device.h"
#include "tests/peers/onnxruntime_cases.h"
#include "tests/peers/onnxruntime_session.h"
#include "tests/peers/result_lines.h"

namespace {

using namespace moevk::peers;

struct Options {
  moevk::cli::GlobalOptions global;
  std::string onnxruntime, device, results;
};

OnnxNode without(OnnxNode node, const std::string& attribute) {
  std::erase_if(node.attributes, [&](const auto& one) { return one.first == attribute; });
  return node;
}

void run_case(const moevk::cli::Host& host, const std::vector<JudgedDevice>& devices, const std::string& why,
              const OnnxRuntime& runtime, const OnnxCase& one, ResultLines& results) {
  const OnnxLayer layer = make_onnx_layer(one);
  const std::vector<std::vector<float>> inputs = {layer.inputs.x, layer.inputs.logits};
  const std::vector<float> theirs = runtime.run(layer.node, inputs);
  if (!one.may_be_ignored.empty() && runtime.run(without(layer.node, one.may_be_ignored), inputs) == theirs) {
    results.add(
        one.name, one.family, "reference", Verdict::skip,
        "the CPU provider of " + runtime.version() + " ignores " + one.may_be_ignored + ": the same output without it");
    return;
  }
  for (const JudgedDevice& judged : devices) {
    try {
      const LayerOutputs ours = run_layer(host, judged.device, one.desc, layer.tensors, layer.inputs);
      Difference difference;
      difference.add(ours.y, theirs);
      results.add(one.name, one.family, judged.name, difference.is_within(one.bound) ? Verdict::pass : Verdict::fail,
                  difference.text() + "; " + std::to_string(one.tokens) + " tokens");
    } catch (const std::exception& error) {
      results.add(one.name, one.family, judged.name, Verdict::fail, error.what());
    }
  }
  if (devices.size() == 1) results.add(one.name, one.family, "vulkan", Verdict::skip, why);
}

int run(const Options& options) {
  const OnnxRuntime runtime(options.onnxruntime);
  std::cout << "ONNX Runtime " << runtime.version() << ", CPU provider\n";
  const moevk::cli::Host host(options.global);
  std::string why;
  const std::vector<JudgedDevice> devices = open_judged_devices(host, options.device, why);
  ResultLines results("onnxruntime", options.results);
  std::vector<OnnxCase> cases = onnx_moe_cases(), quantised = onnx_qmoe_cases();
  cases.insert(cases.end(), quantised.begin(), quantised.end());
  for (const OnnxCase& one : cases) {
    try {
      run_case(host, devices, why, runtime, one, results);
    } catch (const NotExpressible& error) {
      results.add(one.name, one.family, "reference", one.expressible ? Verdict::fail : Verdict::skip, error.what());
    } catch (const std::exception& error) {
      results.add(one.name, one.family, "reference", Verdict::fail, error.what());
    }
  }
  refuse_validation_messages(host);
  return results.finish();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Compares MoE layers with ONNX Runtime's CPU provider");
  app.add_option("--onnxruntime", options.onnxruntime, "libonnxruntime.so.1")->required();
  app.add_option("--library", options.global.library, "libmoevk.so");
  app.add_option("--device", options.device, "index or part of a name");
  app.add_option("--results", options.results, "file to append result lines to");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const std::exception& error) {
    std::cerr << "peer_onnxruntime: " << error.what() << "\n";
    return 2;
  }
}
