// SPDX-License-Identifier: MIT
//
// In:  llama.cpp's libraries, a model, texts, and, or not, one more backend to load.
// Out: the logits of every token of the texts, as a file; where a file of another run is given, the mean
//      Kullback-Leibler divergence from it. With --repeat, whether a run gives the same bits each time; with --memory,
//      what the model takes.
// Why: texts that are equal say little about numbers, and texts that differ may hang on a tie.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/peers/llama_library.h"
#include "tests/peers/plugin_trace.h"

namespace {

using moevk::peers::LlamaLibrary;
using moevk::peers::plugin_trace;

struct Options {
  std::string libraries, cpu_backend, backend, model, out, reference;
  std::vector<std::string> texts;
  int blocks = -1;  // MoE blocks that must run as one layer on our device
  int tokens = 256, single = 0, micro_batch = 512, gpu_layers = 0, repeat = 1;
  double most = -1;
  bool no_flash_attention = false, memory = false, each_node = false, all_experts = false;
};

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + " cannot be read");
  return {(std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>()};
}

// MiB of memory that this process alone has: mapped files are not counted, a software driver's memory is.
double own_memory() {
  std::ifstream status("/proc/self/status");
  double kilobytes = 0;
  for (std::string line; std::getline(status, line);) {
    for (const char* field : {"RssAnon:", "RssShmem:"}) {
      if (line.rfind(field, 0) == 0) kilobytes += std::stod(line.substr(std::strlen(field)));
    }
  }
  return kilobytes / 1024;
}

// MiB that our device says are free; 0 without it.
double free_on_device(const LlamaLibrary& llama) {
  size_t free = 0, total = 0;
  if (ggml_backend_dev_t device = llama.dev_by_name("MoEVK0"); device != nullptr) {
    llama.dev_memory(device, &free, &total);
  }
  return static_cast<double>(free) / (1 << 20);
}

class Runner {
 public:
  Runner(const LlamaLibrary& llama, const Options& options) : llama_(llama), options_(options) {
    llama_model_params model = llama.model_default_params();
    model.n_gpu_layers = options.gpu_layers;
    model_ = llama.model_load_from_file(options.model.c_str(), model);
    if (model_ == nullptr) throw std::runtime_error("llama.cpp does not load " + options.model);
    llama_context_params params = llama.context_default_params();
    params.n_ctx = params.n_batch = static_cast<uint32_t>(options.tokens);
    params.n_ubatch = static_cast<uint32_t>(options.micro_batch);
    params.n_threads = params.n_threads_batch = 2;
    if (options.no_flash_attention) params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    if (options.each_node) params.cb_eval = [](ggml_tensor*, bool, void*) { return true; };
    context_ = llama.init_from_model(model_, params);
    if (context_ == nullptr) throw std::runtime_error("llama.cpp makes no context for " + options.model);
    llama.set_warmup(context_, options.all_experts);
    vocab_ = llama.model_get_vocab(model_);
    for (const std::string& path : options.texts) texts_.push_back(tokens_of(path));
  }
  ~Runner() {
    llama_.free(context_);
    llama_.model_free(model_);
  }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  size_t words() const { return static_cast<size_t>(llama_.vocab_n_tokens(vocab_)); }

  // [tokens of all texts, words]
  std::vector<float> run() {
    std::vector<float> all;
    for (const std::vector<llama_token>& text : texts_) {
      llama_.memory_clear(llama_.get_memory(context_), true);
      const int count = static_cast<int>(text.size()), first = count - options_.single;
      decode(text, 0, first, all);
      for (int at = first; at < count; ++at) decode(text, at, at + 1, all);
    }
    return all;
  }

 private:
  std::vector<llama_token> tokens_of(const std::string& path) const {
    const std::string text = read_file(path);
    std::vector<llama_token> tokens(text.size() + 8);
    const int count = llama_.tokenize(vocab_, text.data(), static_cast<int>(text.size()), tokens.data(),
                                      static_cast<int>(tokens.size()), false, false);
    if (count < options_.tokens) {
      throw std::runtime_error(path + " has fewer than " + std::to_string(options_.tokens) + " tokens");
    }
    tokens.resize(static_cast<size_t>(options_.tokens));
    return tokens;
  }

  void decode(const std::vector<llama_token>& text, int first, int last, std::vector<float>& all) const {
    llama_batch batch = llama_.batch_init(last - first, 0, 1);
    batch.n_tokens = last - first;
    for (int t = 0; t < batch.n_tokens; ++t) {
      batch.token[t] = text[static_cast<size_t>(first + t)];
      batch.pos[t] = first + t;
      batch.n_seq_id[t] = 1;
      batch.seq_id[t][0] = 0;
      batch.logits[t] = 1;
    }
    const int status = llama_.decode(context_, batch);
    if (status != 0) throw std::runtime_error("llama_decode gives " + std::to_string(status));
    for (int t = 0; t < batch.n_tokens; ++t) {
      const float* row = llama_.get_logits_ith(context_, t);
      all.insert(all.end(), row, row + words());
    }
    llama_.batch_free(batch);
  }

  const LlamaLibrary& llama_;
  const Options& options_;
  llama_model* model_ = nullptr;
  llama_context* context_ = nullptr;
  const llama_vocab* vocab_ = nullptr;
  std::vector<std::vector<llama_token>> texts_;
};

// Natural logarithms of the probabilities of one row.
std::vector<double> log_softmax(const float* logits, size_t words) {
  const double largest = *std::max_element(logits, logits + words);
  double sum = 0;
  for (size_t i = 0; i < words; ++i) sum += std::exp(logits[i] - largest);
  std::vector<double> out(words);
  for (size_t i = 0; i < words; ++i) out[i] = logits[i] - largest - std::log(sum);
  return out;
}

// How far `logits` are from `expected`; true if the mean divergence is a number and at most `options.most`, if given.
bool compare(const std::vector<float>& expected, const std::vector<float>& logits, size_t words,
             const Options& options) {
  if (expected.size() != logits.size()) throw std::runtime_error("the reference has other logits");
  const size_t rows = logits.size() / words;
  double divergence = 0, largest = 0, closest_change = INFINITY;
  size_t changed = 0;
  for (size_t row = 0; row < rows; ++row) {
    const float *e = expected.data() + row * words, *l = logits.data() + row * words;
    const std::vector<double> p = log_softmax(e, words), q = log_softmax(l, words);
    double row_divergence = 0;
    for (size_t i = 0; i < words; ++i) {
      row_divergence += std::exp(p[i]) * (p[i] - q[i]);
      largest = std::max(largest, std::fabs(double{e[i]} - l[i]));
    }
    divergence += row_divergence;
    const auto first = std::max_element(e, e + words) - e, other = std::max_element(l, l + words) - l;
    if (first != other) {
      ++changed;
      closest_change = std::min(closest_change, double{e[first]} - e[other]);
    }
  }
  divergence /= static_cast<double>(rows);
  const bool good = std::isfinite(divergence) && (options.most < 0 || divergence <= options.most);
  std::cout << "divergence " << divergence << " nats a token, " << rows << " tokens, largest difference of logits "
            << largest << ", " << changed << " likeliest tokens differ";
  if (changed != 0) std::cout << " (the least of their gaps is " << closest_change << ")";
  std::cout << "\n";
  return good;
}

// True if each further run gives the bits of the first.
bool repeats(Runner& runner, const std::vector<float>& first, const Options& options) {
  int differing = 0;
  for (int round = 1; round < options.repeat; ++round) {
    const std::vector<float> again = runner.run();
    if (std::memcmp(again.data(), first.data(), first.size() * sizeof(float)) == 0) continue;
    ++differing;
    const size_t words = runner.words();
    for (size_t i = 0; i < first.size(); ++i) {
      if (std::memcmp(&again[i], &first[i], sizeof(float)) == 0) continue;
      std::cout << "run " << round << " differs from token " << i / words << " on: " << first[i] << ", then "
                << again[i] << "\n";
      break;
    }
    compare(first, again, words, options);
  }
  if (options.repeat > 1) std::cout << options.repeat << " runs, " << differing << " with other bits\n";
  return differing == 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("How far a model's predictions in llama.cpp are from those of another run");
  app.add_option("--libraries", options.libraries, "folder of libllama.so.0")->required();
  app.add_option("--cpu-backend", options.cpu_backend, "ggml's CPU backend")->required();
  app.add_option("--backend", options.backend, "one more backend");
  app.add_option("--gpu-layers", options.gpu_layers, "as llama.cpp's -ngl");
  app.add_option("--model", options.model, "GGUF file")->required();
  app.add_option("--text", options.texts, "file whose beginning is predicted; may be repeated")->required();
  app.add_option("--tokens", options.tokens, "of each text")->check(CLI::PositiveNumber);
  app.add_option("--single", options.single, "the last tokens of each text, one by one")->check(CLI::NonNegativeNumber);
  app.add_option("--micro-batch", options.micro_batch, "as llama.cpp's -ub")->check(CLI::PositiveNumber);
  app.add_flag("--no-flash-attention", options.no_flash_attention, "as llama.cpp's -fa off");
  app.add_option("--repeat", options.repeat, "runs, which must agree bit for bit")->check(CLI::PositiveNumber);
  app.add_option("--blocks", options.blocks, "MoE blocks of the model, which must each run as one layer of ours");
  app.add_flag("--each-node", options.each_node, "compute each node of a graph by itself, so that no block is known");
  app.add_flag("--all-experts", options.all_experts, "for each token, as in llama.cpp's warm-up run");
  app.add_flag("--memory", options.memory, "print what memory the model takes");
  app.add_option("--out", options.out, "file to write the logits to");
  app.add_option("--reference", options.reference, "file that another run wrote");
  app.add_option("--most", options.most, "the largest mean divergence that passes");
  CLI11_PARSE(app, argc, argv);
  try {
    if (options.single >= options.tokens) throw std::runtime_error("--single must be less than --tokens");
    setenv("MOEVK_TRACE", "ggml", 1);
    const LlamaLibrary llama(options.libraries, options.cpu_backend);
    llama.log_set(moevk::peers::trace_log, nullptr);
    if (!options.backend.empty() && llama.backend_load(options.backend.c_str()) == nullptr) {
      throw std::runtime_error(options.backend + " does not load");
    }
    const double own = own_memory(), free = free_on_device(llama);
    Runner runner(llama, options);
    const double own_loaded = own_memory(), free_loaded = free_on_device(llama);
    const std::vector<float> logits = runner.run();
    if (options.memory) {
      std::printf("MiB: loading took %.0f, the first run %.0f; the device reports %.0f and %.0f less\n",
                  own_loaded - own, own_memory() - own_loaded, free - free_loaded, free_loaded - free_on_device(llama));
    }
    bool good = repeats(runner, logits, options);
    if (!options.out.empty()) {
      std::ofstream file(options.out, std::ios::binary);
      file.write(reinterpret_cast<const char*>(logits.data()),
                 static_cast<std::streamsize>(logits.size() * sizeof(float)));
      if (!file) throw std::runtime_error(options.out + " cannot be written");
    }
    if (!options.reference.empty()) {
      const std::string bytes = read_file(options.reference);
      std::vector<float> expected(bytes.size() / sizeof(float));
      std::memcpy(expected.data(), bytes.data(), expected.size() * sizeof(float));
      good = compare(expected, logits, runner.words(), options) && good;
    }
    for (const std::string& line : plugin_trace.told) std::cout << line << "\n";
    if (options.blocks >= 0) {
      std::cout << plugin_trace.fused.size() << " MoE blocks as one layer\n";
      good = good && plugin_trace.fused.size() == static_cast<size_t>(options.blocks);
    }
    return good ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "llamacpp_divergence: " << error.what() << "\n";
    return 2;
  }
}
