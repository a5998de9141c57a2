// SPDX-License-Identifier: MIT
//
// In:  llama.cpp's libraries, a folder of models that test-llama-archs saved.
// Out: for each case a folder with model.gguf (random weights) and, for each of its MoE layers, what llama.cpp's own
//      graph on its CPU backend put in and got out: l{block}.{name}.npy.
// Why: peer_llamacpp compares our layers with these. Two programs, since llama.cpp's libraries want a newer C library
//      than the system has (scripts/lab hosts), and our drivers the system's.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/model/npy_writer.h"
#include "tests/peers/layer_capture.h"
#include "tests/peers/llama_library.h"
#include "tests/peers/llamacpp_cases.h"
#include "tests/peers/random_model.h"

namespace {

namespace fs = std::filesystem;
using moevk::peers::LayerCapture;
using moevk::peers::LlamaCase;
using moevk::peers::LlamaLibrary;

constexpr int kTokens = 32;
constexpr int kVocabulary = 128;  // of the models that test-llama-archs saves

struct Options {
  std::string libraries, cpu_backend, models, out, only;
  bool print = false, list = false;
};

// What test-llama-archs -a takes, for the models that the cases start from.
std::string architectures() {
  std::set<std::string> names;
  for (const LlamaCase& one : moevk::peers::llama_cases()) {
    names.insert(one.base_architecture != nullptr ? one.base_architecture : one.architecture);
  }
  std::string pattern;
  for (const std::string& name : names) pattern += (pattern.empty() ? "^(" : "|") + name;
  return pattern + ")$";
}

// Runs one batch through the model of `file`; all tokens are outputs, so that no layer sees fewer of them.
void evaluate(const LlamaLibrary& llama, const std::string& file, const std::vector<int32_t>& tokens,
              LayerCapture& capture) {
  llama_model_params model_params = llama.model_default_params();
  llama_model* model = llama.model_load_from_file(file.c_str(), model_params);
  if (model == nullptr) throw std::runtime_error("llama.cpp does not load " + file);
  llama_context_params params = llama.context_default_params();
  params.n_ctx = kTokens;
  params.n_batch = params.n_ubatch = kTokens;
  params.n_threads = params.n_threads_batch = 2;
  params.cb_eval = LayerCapture::on_node;
  params.cb_eval_user_data = &capture;
  llama_context* context = llama.init_from_model(model, params);
  if (context == nullptr) throw std::runtime_error("llama.cpp makes no context for " + file);
  llama_batch batch = llama.batch_init(kTokens, 0, 1);
  batch.n_tokens = kTokens;
  for (int t = 0; t < kTokens; ++t) {
    batch.token[t] = tokens[static_cast<size_t>(t)];
    batch.pos[t] = t;
    batch.n_seq_id[t] = 1;
    batch.seq_id[t][0] = 0;
    batch.logits[t] = 1;
  }
  const int status = llama.decode(context, batch);
  llama.batch_free(batch);
  llama.free(context);
  llama.model_free(model);
  if (status != 0) throw std::runtime_error("llama_decode gives " + std::to_string(status) + " for " + file);
}

void run_case(const LlamaLibrary& llama, const LlamaCase& one, const Options& options) {
  const std::string base = options.models + "/" + one.base + ".gguf";
  const fs::path folder = fs::path(options.out) / one.name;
  fs::create_directories(folder);
  const std::string file = (folder / "model.gguf").string();
  moevk::peers::write_random_model(llama, one, base, file);
  LayerCapture capture(llama, options.print);
  std::vector<int32_t> tokens(kTokens);
  for (int t = 0; t < kTokens; ++t) tokens[static_cast<size_t>(t)] = (t * 37 + 11) % kVocabulary;
  evaluate(llama, file, tokens, capture);
  capture.write(folder.string());
  if (!moevk::model::write_npy((folder / "tokens.npy").string(), tokens, tokens.size(), 1)) {
    throw std::runtime_error("tokens.npy cannot be written");
  }
  std::cout << one.name << ": " << capture.layers() << " MoE layers of " << kTokens << " tokens\n";
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Captures MoE layers that llama.cpp computes");
  app.add_option("--libraries", options.libraries, "folder of libllama.so.0");
  app.add_option("--cpu-backend", options.cpu_backend, "ggml's CPU backend");
  app.add_option("--models", options.models, "folder of what test-llama-archs -o saved");
  app.add_option("--out", options.out, "folder to write to");
  app.add_flag("--architectures", options.list, "print the regular expression for test-llama-archs -a, and stop");
  app.add_option("--case", options.only, "this case alone");
  app.add_flag("--print", options.print, "print the graph's nodes");
  CLI11_PARSE(app, argc, argv);
  if (options.list) {
    std::cout << architectures() << "\n";
    return 0;
  }
  int failed = 0;
  try {
    if (options.libraries.empty() || options.cpu_backend.empty() || options.models.empty() || options.out.empty()) {
      throw std::runtime_error("--libraries, --cpu-backend, --models and --out are needed");
    }
    const LlamaLibrary llama(options.libraries, options.cpu_backend);
    for (const LlamaCase& one : moevk::peers::llama_cases()) {
      if (!options.only.empty() && options.only != one.name) continue;
      try {
        run_case(llama, one, options);
      } catch (const std::exception& error) {
        std::cout << one.name << ": FAILED: " << error.what() << "\n";
        ++failed;
      }
    }
  } catch (const std::exception& error) {
    std::cerr << "llamacpp_dump: " << error.what() << "\n";
    return 2;
  }
  return failed == 0 ? 0 : 1;
}
