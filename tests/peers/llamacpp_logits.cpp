// SPDX-License-Identifier: MIT
//
// In:  llama.cpp's libraries, folders with a model.gguf each, and, or not, hosts/ggml's plugin.
// Out: each model's logits for a prompt and some single tokens, as a file; where a folder of another run is given, the
//      normalised mean squared error against it, and how many MoE blocks ran as one layer on our device.
// Why: what a host's user gets is judged against a process that never heard of us.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/normalized_error.h"
#include "tests/peers/llama_library.h"
#include "tests/peers/plugin_trace.h"

namespace {

namespace fs = std::filesystem;
using moevk::peers::LlamaLibrary;
using moevk::peers::plugin_trace;

constexpr int kPrompt = 24, kSingle = 4;
constexpr int kVocabulary = 128;  // of the models that llamacpp_dump makes
constexpr double kMostError = 5e-4;

struct Options {
  std::string libraries, cpu_backend, plugin, models, out, reference, only;
  bool verbose = false;
};

std::vector<float> logits_of(const LlamaLibrary& llama, const std::string& file) {
  llama_model* model = llama.model_load_from_file(file.c_str(), llama.model_default_params());
  if (model == nullptr) throw std::runtime_error("llama.cpp does not load " + file);
  llama_context_params params = llama.context_default_params();
  params.n_ctx = 64;
  params.n_batch = params.n_ubatch = kPrompt;
  params.n_threads = params.n_threads_batch = 2;
  llama_context* context = llama.init_from_model(model, params);
  if (context == nullptr) throw std::runtime_error("llama.cpp makes no context for " + file);
  const auto words = static_cast<size_t>(llama.vocab_n_tokens(llama.model_get_vocab(model)));
  std::vector<float> all;
  int position = 0;
  for (int call = 0; call <= kSingle; ++call) {
    llama_batch batch = llama.batch_init(kPrompt, 0, 1);
    batch.n_tokens = call == 0 ? kPrompt : 1;
    for (int t = 0; t < batch.n_tokens; ++t, ++position) {
      batch.token[t] = (position * 37 + 11) % kVocabulary;
      batch.pos[t] = position;
      batch.n_seq_id[t] = 1;
      batch.seq_id[t][0] = 0;
      batch.logits[t] = 1;
    }
    const int status = llama.decode(context, batch);
    if (status != 0) throw std::runtime_error("llama_decode gives " + std::to_string(status) + " for " + file);
    for (int t = 0; t < batch.n_tokens; ++t) {
      const float* row = llama.get_logits_ith(context, t);
      all.insert(all.end(), row, row + words);
    }
    llama.batch_free(batch);
  }
  llama.free(context);
  llama.model_free(model);
  return all;
}

std::vector<float> read_floats(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + " cannot be read");
  std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<float> numbers(bytes.size() / sizeof(float));
  std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(float));
  return numbers;
}

// True if the model's logits are as the reference has them.
bool run_model(const LlamaLibrary& llama, const fs::path& folder, const Options& options) {
  const std::string name = folder.filename().string();
  plugin_trace.fused.clear();
  plugin_trace.told.clear();
  const std::vector<float> logits = logits_of(llama, (folder / "model.gguf").string());
  std::ofstream(options.out + "/" + name + ".logits", std::ios::binary)
      .write(reinterpret_cast<const char*>(logits.data()), static_cast<std::streamsize>(logits.size() * sizeof(float)));
  if (options.reference.empty()) return true;
  const std::vector<float> expected = read_floats(options.reference + "/" + name + ".logits");
  if (expected.size() != logits.size()) throw std::runtime_error("the reference has other logits");
  const double nmse = moevk::bench::normalized_error(logits, expected);
  const bool good = nmse <= kMostError;
  std::cout << (good ? "pass: " : "FAIL: ") << name << ": NMSE " << nmse << ", " << plugin_trace.fused.size()
            << " MoE blocks as one layer\n";
  for (const std::string& line : plugin_trace.told) std::cout << "      " << line << "\n";
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Logits of small models through llama.cpp, with moevk's plugin and without");
  app.add_option("--libraries", options.libraries, "folder of libllama.so.0")->required();
  app.add_option("--cpu-backend", options.cpu_backend, "ggml's CPU backend")->required();
  app.add_option("--plugin", options.plugin, "libggml-moevk.so");
  app.add_option("--models", options.models, "folder of folders with a model.gguf")->required();
  app.add_option("--out", options.out, "folder to write to")->required();
  app.add_option("--reference", options.reference, "folder that a run without the plugin wrote");
  app.add_option("--case", options.only, "this model alone");
  app.add_flag("--verbose", plugin_trace.verbose, "print what the plugin traces");
  CLI11_PARSE(app, argc, argv);
  int failed = 0;
  try {
    setenv("MOEVK_TRACE", "ggml", 1);
    const LlamaLibrary llama(options.libraries, options.cpu_backend);
    llama.log_set(moevk::peers::trace_log, nullptr);
    if (!options.plugin.empty() && llama.backend_load(options.plugin.c_str()) == nullptr) {
      throw std::runtime_error(options.plugin + " does not load");
    }
    fs::create_directories(options.out);
    std::set<fs::path> folders;
    for (const auto& entry : fs::directory_iterator(options.models)) folders.insert(entry.path());
    for (const fs::path& folder : folders) {
      if (!options.only.empty() && folder.filename() != options.only) continue;
      try {
        if (!run_model(llama, folder, options)) ++failed;
      } catch (const std::exception& error) {
        std::cout << "FAIL: " << folder.filename().string() << ": " << error.what() << "\n";
        ++failed;
      }
      std::cout.flush();
    }
  } catch (const std::exception& error) {
    std::cerr << "llamacpp_logits: " << error.what() << "\n";
    return 2;
  }
  return failed == 0 ? 0 : 1;
}
