// SPDX-License-Identifier: MIT
//
// In:  llama.cpp's libraries, a model, texts, and, or not, one more backend to load.
// Out: the logits of every token of the texts, as a file; where a file of another run is given, the mean
//      Kullback-Leibler divergence from it. With --repeat, whether a run gives the same bits each time, and likewise
//      after an abort, in two contexts, and loaded again; with --memory, what the model takes.
// Why: texts that are equal say little about numbers, and texts that differ may hang on a tie.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <future>
#include <iostream>
#include <memory>
#include <optional>
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
  bool together = false, reload = false, abort = false, two_contexts = false;
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

using Model = std::shared_ptr<llama_model>;

Model load_model(const LlamaLibrary& llama, const Options& options) {
  llama_model_params params = llama.model_default_params();
  params.n_gpu_layers = options.gpu_layers;
  llama_model* const model = llama.model_load_from_file(options.model.c_str(), params);
  if (model == nullptr) throw std::runtime_error("llama.cpp does not load " + options.model);
  return {model, llama.model_free};
}

// One context.
class Runner {
 public:
  Runner(const LlamaLibrary& llama, const Options& options, Model model)
      : llama_(llama), options_(options), model_(std::move(model)) {
    llama_context_params params = llama.context_default_params();
    sequences_ = options.together ? options.texts.size() : 1;
    params.n_seq_max = static_cast<uint32_t>(sequences_);
    params.n_ctx = params.n_batch = static_cast<uint32_t>(sequences_) * static_cast<uint32_t>(options.tokens);
    params.n_ubatch = static_cast<uint32_t>(options.micro_batch);
    params.n_threads = params.n_threads_batch = 2;
    if (options.no_flash_attention) params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    if (options.each_node) params.cb_eval = [](ggml_tensor*, bool, void*) { return true; };
    params.abort_callback = [](void* user) {
      int& left = *static_cast<int*>(user);
      return left > 0 && --left == 0;
    };
    params.abort_callback_data = &until_abort_;
    context_ = llama.init_from_model(model_.get(), params);
    if (context_ == nullptr) throw std::runtime_error("llama.cpp makes no context for " + options.model);
    llama.set_warmup(context_, options.all_experts);
    vocab_ = llama.model_get_vocab(model_.get());
    for (const std::string& path : options.texts) texts_.push_back(tokens_of(path));
  }
  ~Runner() { llama_.free(context_); }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  size_t words() const { return static_cast<size_t>(llama_.vocab_n_tokens(vocab_)); }

  // [tokens of all texts, words]; of texts in one batch, piece by piece.
  std::vector<float> run() {
    std::vector<float> all;
    for (size_t text = 0; text < texts_.size(); text += sequences_) {
      llama_.memory_clear(llama_.get_memory(context_), true);
      const int count = options_.tokens, first = count - options_.single;
      decode(text, 0, first, all);
      for (int at = first; at < count; ++at) decode(text, at, at + 1, all);
    }
    return all;
  }

  // A run that is stopped in the middle of a graph, as a user's Ctrl-C does.
  void run_and_abort() {
    until_abort_ = 20;
    std::vector<float> none;
    llama_.memory_clear(llama_.get_memory(context_), true);
    constexpr int kAborted = 2;
    if (decode(0, 0, options_.tokens, none, kAborted) != kAborted) throw std::runtime_error("nothing was aborted");
    until_abort_ = 0;
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

  // Tokens first..last - 1 of a text, or of as many as there are sequences; other statuses than 0 and `allowed` throw.
  int decode(size_t text, int first, int last, std::vector<float>& all, int allowed = 0) const {
    const int each = last - first, sequences = static_cast<int>(sequences_);
    llama_batch batch = llama_.batch_init(each * sequences, 0, 1);
    batch.n_tokens = each * sequences;
    for (int t = 0; t < batch.n_tokens; ++t) {
      const int sequence = t % sequences, at = first + t / sequences;
      batch.token[t] = texts_[text + static_cast<size_t>(sequence)][static_cast<size_t>(at)];
      batch.pos[t] = at;
      batch.n_seq_id[t] = 1;
      batch.seq_id[t][0] = sequence;
      batch.logits[t] = 1;
    }
    const int status = llama_.decode(context_, batch);
    for (int t = 0; t < batch.n_tokens && status == 0; ++t) {
      const float* row = llama_.get_logits_ith(context_, t);
      all.insert(all.end(), row, row + words());
    }
    llama_.batch_free(batch);
    if (status != 0 && status != allowed) throw std::runtime_error("llama_decode gives " + std::to_string(status));
    return status;
  }

  const LlamaLibrary& llama_;
  const Options& options_;
  Model model_;
  llama_context* context_ = nullptr;
  size_t sequences_ = 1;  // in one batch
  int until_abort_ = 0;   // questions whether to stop; 0: never
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

bool same_bits(const std::vector<float>& a, const std::vector<float>& b, const char* what) {
  const bool same = a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  std::cout << what << ": " << (same ? "the same bits" : "OTHER BITS") << "\n";
  return same;
}

// The model in two contexts of two threads, both while the caller's context lives.
bool runs_in_two_contexts(const LlamaLibrary& llama, const Options& options, const Model& model,
                          const std::vector<float>& first) {
  Runner one(llama, options, model), other(llama, options, model);
  std::future<std::vector<float>> beside = std::async(std::launch::async, [&] { return other.run(); });
  const bool good = same_bits(one.run(), first, "one of two contexts");
  return same_bits(beside.get(), first, "the other context") && good;
}

// The model given back and loaded again: what the device has free is then as at first.
bool reloads(const LlamaLibrary& llama, const Options& options, double free, const std::vector<float>& first) {
  bool good = true;
  for (int round = 0; round < 2; ++round) {
    const double left = free_on_device(llama);
    std::cout << "MiB free: " << left << " of " << free << "\n";
    Runner runner(llama, options, load_model(llama, options));
    good = same_bits(runner.run(), first, "loaded again") && good && left == free;
  }
  return good;
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
  app.add_flag("--together", options.together, "all texts in one batch, a sequence each");
  app.add_flag("--abort", options.abort, "stop a further run in the middle; the one after it must give the same bits");
  app.add_flag("--two-contexts", options.two_contexts, "of the model, in two threads; both must give the same bits");
  app.add_flag("--reload", options.reload, "load the model twice more, which must give the same bits");
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
    Model model = load_model(llama, options);
    std::optional<Runner> runner(std::in_place, llama, options, model);
    const double own_loaded = own_memory(), free_loaded = free_on_device(llama);
    const std::vector<float> logits = runner->run();
    if (options.memory) {
      std::printf("MiB: loading took %.0f, the first run %.0f; the device reports %.0f and %.0f less\n",
                  own_loaded - own, own_memory() - own_loaded, free - free_loaded, free_loaded - free_on_device(llama));
    }
    bool good = repeats(*runner, logits, options);
    if (options.abort) {
      runner->run_and_abort();
      good = same_bits(runner->run(), logits, "after an aborted run") && good;
    }
    if (options.two_contexts) good = runs_in_two_contexts(llama, options, model, logits) && good;
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
      good = compare(expected, logits, runner->words(), options) && good;
    }
    if (options.reload) {
      runner.reset();
      model.reset();
      good = reloads(llama, options, free, logits) && good;
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
