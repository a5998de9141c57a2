// SPDX-License-Identifier: MIT
//
// peer_ggml --libraries DIR [options]: the time of a whole MoE layer on libmoevk, on ggml-vulkan on the same device and
// on ggml-cpu, run in turns in this one process on the same weights and tokens. In: ggml's libraries, shapes, formats,
// token counts, routing. Out: medians, p95, the ratio, the difference of the outputs; a table and JSON. Why: figures of
// two runs, or of two programs, say little on a machine whose clock or neighbours change.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <thread>

#include "bench/ggml_layer.h"
#include "bench/normalized_error.h"
#include "bench/peer_inputs.h"
#include "bench/peer_rows.h"
#include "tools/moevk/bench_case.h"
#include "tools/moevk/layer_options.h"
#include "tools/moevk/random_data.h"
#include "tools/moevk/roofline.h"
#include "tools/moevk/terminal.h"

namespace {

using namespace moevk;
using bench::GgmlDevice;
using bench::GgmlLayer;
using bench::GgmlLibrary;
using bench::GgmlWeights;
using bench::PeerRow;
using bench::Timing;

// test-backend-ops of ggml allows one matmul with experts 5e-4. Independent errors add: gate and up meet in a product,
// and down reads it.
constexpr double kMostError = 3 * 5e-4;
// A software driver does about 1 to 10 GFLOP/s.
constexpr double kSoftwareGflop = 2.6;
constexpr size_t kMostRounds = 200;

struct Options {
  cli::GlobalOptions globals;
  std::string libraries, backends, device, json, precision = "exact";
  std::vector<std::string> shapes, formats = {"f32", "f16", "bf16", "Q8_0", "Q4_0", "Q4_K", "MXFP4"};
  std::vector<std::string> routings = {"uniform"};
  std::vector<uint64_t> tokens = {1, 2, 3, 4, 8, 9, 16, 32, 64, 128, 512, 2048};
  bool gpu = false, no_vulkan = false, no_cpu = false;
  double seconds = 1, most_gflop = 0;
  size_t least = 5;
  uint64_t seed = 1;
  int threads = static_cast<int>(std::thread::hardware_concurrency());
};

struct Totals {
  size_t compared = 0, differ = 0, skipped = 0;
};

// Both sides' weights of one shape in one format.
class Weights {
 public:
  Weights(const cli::Host& host, moe_device* device, const moe_layer_desc& desc, uint64_t seed) : desc_(desc) {
    tensors_ = cli::tensors_of(host, device, desc);
    for (const moe_tensor_info& tensor : tensors_) {
      sources_[tensor.name] = std::make_unique<cli::RandomSource>(tensor, desc, ++seed);
    }
    router_.resize(uint64_t{desc.experts} * desc.hidden);
    sources_.at("router.weight")->read(0, router_.data(), router_.size() * sizeof(float));
  }
  void bias(const std::string& routing) { bench::bias_router(router_, desc_.hidden, desc_.top_k, routing); }
  const std::vector<float>& router() const { return router_; }

  moe::Layer upload(const cli::Host& host, moe_device* device) const {
    moe::Upload upload = moe::begin_weights(host.library(), device, desc_);
    for (const moe_tensor_info& tensor : tensors_) {
      moe_tensor_source source = moe_init<moe_tensor_source>();
      source.name = tensor.name, source.dtype = tensor.dtype, source.bytes = tensor.bytes;
      sources_.at(tensor.name)->lend_to(source);
      if (std::strcmp(tensor.name, "router.weight") == 0) {
        source.source = MOE_SOURCE_MEMORY, source.memory = router_.data();
      }
      moe::check([&](moe_error* e) { return host.api().add_tensor(upload, &source, e); });
    }
    return moe::commit_weights(host.library(), upload);
  }
  void read(const std::string& name, uint64_t offset, void* destination, uint64_t bytes) const {
    if (name == "router.weight") {
      std::memcpy(destination, reinterpret_cast<const char*>(router_.data()) + offset, bytes);
    } else if (!sources_.at(name)->read(offset, destination, bytes)) {
      throw std::runtime_error(name + " was not read in whole blocks");
    }
  }

 private:
  moe_layer_desc desc_;
  std::vector<moe_tensor_info> tensors_;
  std::map<std::string, std::unique_ptr<cli::RandomSource>> sources_;
  std::vector<float> router_;
};

ggml_type type_of(const moe_weight_format& format) {
  if (format.preset != 0) return static_cast<ggml_type>(format.preset - 1);
  return format.element == MOE_ELEMENT_F32   ? GGML_TYPE_F32
         : format.element == MOE_ELEMENT_F16 ? GGML_TYPE_F16
                                             : GGML_TYPE_BF16;
}

// ggml's device that is this one, and its CPU.
struct Peers {
  std::unique_ptr<GgmlDevice> vulkan, cpu;
};

Peers open_peers(const GgmlLibrary& ggml, const Options& options, const moe_device_info& info) {
  Peers peers;
  std::string seen;
  for (size_t i = 0; i < ggml.dev_count(); ++i) {
    ggml_backend_dev_t device = ggml.dev_get(i);
    const bool is_cpu = ggml.dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU;
    seen += std::string(seen.empty() ? "" : ", ") + ggml.dev_name(device) + " (" + ggml.dev_description(device) + ")";
    if (is_cpu && !options.no_cpu && !peers.cpu)
      peers.cpu = std::make_unique<GgmlDevice>(ggml, device, options.threads);
    if (!is_cpu && !options.no_vulkan && !peers.vulkan && std::strcmp(ggml.dev_description(device), info.name) == 0) {
      peers.vulkan = std::make_unique<GgmlDevice>(ggml, device, options.threads);
    }
  }
  std::printf("ggml    %s: %s\n", ggml.version(), seen.c_str());
  if (!options.no_vulkan && !peers.vulkan) {
    throw std::runtime_error(std::string("ggml has no device named ") + info.name + "; it has " + seen);
  }
  if (!peers.vulkan && !peers.cpu) throw std::runtime_error("nothing is left to compare with");
  return peers;
}

// Rounds in which every side runs once, each round beginning with another one.
void take_turns(const std::vector<std::pair<Timing*, std::function<double()>>>& sides, const Options& options) {
  for (const auto& [timing, run] : sides) {
    if (run() < 1000) run();  // pipelines are compiled, caches filled
  }
  const auto start = std::chrono::steady_clock::now();
  const double most = options.seconds * static_cast<double>(sides.size());
  for (size_t round = 0; round < kMostRounds; ++round) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    if (round >= options.least && spent.count() >= most) break;
    for (size_t i = 0; i < sides.size(); ++i) {
      const auto& [timing, run] = sides[(round + i) % sides.size()];
      const std::clock_t before = std::clock();
      timing->samples_ms.push_back(run());
      timing->cpu_ms.push_back(1e3 * static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC);
    }
  }
}

class Comparison {
 public:
  Comparison(const Options& options, const cli::Host& host, uint32_t index, const GgmlLibrary& ggml, Peers& peers)
      : options_(options), host_(host), info_(host.devices()[index]), ggml_(ggml), device_(host.open(index)) {
    if (peers.vulkan) peers_.emplace_back("ggml-vulkan", peers.vulkan.get());
    if (peers.cpu) peers_.emplace_back("ggml-cpu", peers.cpu.get());
    for (const auto& [name, device] : peers_) names_.push_back(name);
    if (options.json.empty()) return;
    json_ = std::fopen(options.json.c_str(), "wb");
    if (json_ == nullptr) throw std::runtime_error(options.json + " cannot be written");
  }
  ~Comparison() {
    if (json_ != nullptr) std::fclose(json_);
  }
  Comparison(const Comparison&) = delete;
  Comparison& operator=(const Comparison&) = delete;

  Totals run() {
    for (const std::string& shape : options_.shapes) {
      cli::LayerOptions layer;
      layer.shape = shape, layer.normalize = "floor", layer.precision = options_.precision;
      std::printf("\nlayer   %s\n%s\n", cli::layer_text(cli::describe_layer(layer, "f32")).c_str(),
                  bench::table_heading(names_).c_str());
      for (const std::string& format : options_.formats) {
        for (const std::string& routing : options_.routings) compare_weights(layer, format, routing);
      }
    }
    write("\n]\n");
    return totals_;
  }

 private:
  void compare_weights(const cli::LayerOptions& layer, const std::string& format, const std::string& routing) {
    moe_layer_desc desc = cli::describe_layer(layer, format);
    desc.normalize_eps = bench::kWeightFloor;
    PeerRow row;
    row.shape = layer.shape, row.format = format, row.routing = routing;
    const std::string unsupported = why_not(desc);
    std::vector<uint64_t> fitting;
    for (const uint64_t tokens : options_.tokens) {
      row.tokens = tokens;
      const cli::Roofline work = cli::roofline(desc, tokens, cli::bits_of_format(format));
      row.skipped = unsupported;
      if (options_.most_gflop > 0 && work.flops * 1e-9 > options_.most_gflop) {
        row.skipped = cli::formatted("%.3g GFLOP, more than --most-gflop %.3g", work.flops * 1e-9, options_.most_gflop);
      }
      row.skipped.empty() ? fitting.push_back(tokens) : report(row);
    }
    row.skipped.clear();
    if (fitting.empty()) return;
    size_t done = 0;
    try {
      compare_tokens(row, desc, fitting, done);
    } catch (const bench::GgmlOutOfMemory& error) {
      row.skipped = error.what();
    } catch (const moe::Error& error) {
      if (error.code() != MOE_ERROR_OUT_OF_DEVICE_MEMORY) throw;
      row.skipped = error.what();
    }
    for (; done < fitting.size(); ++done) {
      row.tokens = fitting[done];
      report(row);
    }
  }

  // Why our library does not take such a layer; empty if it does.
  std::string why_not(const moe_layer_desc& desc) const {
    moe_support support = moe_init<moe_support>();
    try {
      moe::check([&](moe_error* e) { return host_.api().query_support(device_, &desc, &support, e); });
    } catch (const moe::Error& error) {
      if (error.code() != MOE_ERROR_INVALID_ARGUMENT) throw;
      return error.what();  // such as a width that is no multiple of the format's blocks
    }
    return support.supported != 0 ? "" : std::string(support.argument) + ": " + support.reason;
  }

  // Both sides' weights, then every number of tokens; `done` counts those that have been reported.
  void compare_tokens(PeerRow row, const moe_layer_desc& desc, const std::vector<uint64_t>& fitting, size_t& done) {
    Weights weights(host_, device_, desc, options_.seed);
    weights.bias(row.routing);
    const moe::Layer ours = weights.upload(host_, device_);
    const bench::GgmlShape shape = {desc.hidden, desc.intermediate, desc.experts, desc.top_k,
                                    type_of(desc.gate_format)};
    std::vector<std::unique_ptr<GgmlWeights>> theirs;
    for (const auto& [name, device] : peers_) {
      theirs.push_back(std::make_unique<GgmlWeights>(
          *device, shape, [&](const std::string& tensor, uint64_t offset, void* to, uint64_t bytes) {
            weights.read(tensor, offset, to, bytes);
          }));
    }
    for (const uint64_t tokens : fitting) {
      row.tokens = tokens;
      compare(row, desc, ours, weights.router(), theirs);
      ++done;
    }
  }

  void compare(PeerRow row, const moe_layer_desc& desc, moe_layer* layer, const std::vector<float>& router,
               const std::vector<std::unique_ptr<GgmlWeights>>& theirs) {
    const std::vector<float> x = bench::routed_tokens(row.tokens, router, desc.hidden, desc.top_k, options_.seed);
    row.experts = bench::distinct_experts(x, router, desc.hidden, desc.top_k);
    const cli::Roofline work =
        cli::roofline(desc, row.tokens, cli::bits_of_format(row.format), static_cast<double>(row.experts));
    row.bytes = work.bytes, row.flops = work.flops;
    cli::BenchCase ours(host_, device_, layer, desc, x);
    std::vector<std::unique_ptr<GgmlLayer>> layers;
    row.timings.resize(1 + theirs.size());
    row.timings[0].name = "ours";
    std::vector<std::pair<Timing*, std::function<double()>>> sides;
    sides.emplace_back(&row.timings[0], [&ours] { return ours.time(1); });
    for (size_t i = 0; i < theirs.size(); ++i) {
      layers.push_back(std::make_unique<GgmlLayer>(*theirs[i], x));
      row.timings[1 + i].name = names_[i];
      row.timings[1 + i].declined = theirs[i]->declined(), row.timings[1 + i].on_cpu = layers[i]->on_cpu();
      sides.emplace_back(&row.timings[1 + i], [one = layers[i].get()] { return one->time(); });
    }
    take_turns(sides, options_);
    const std::vector<float> y = ours.read_y();
    for (size_t i = 0; i < layers.size(); ++i) {
      row.timings[1 + i].error = bench::normalized_error(layers[i]->read_y(), y);
    }
    report(row);
  }

  void report(const PeerRow& row) {
    bool differs = false;
    for (const Timing& timing : row.timings) differs = differs || !(timing.error <= kMostError);
    ++(!row.skipped.empty() ? totals_.skipped : totals_.compared);
    if (differs) ++totals_.differ;
    std::printf("%s%s\n", bench::table_line(row, names_).c_str(), differs ? "  DIFFERS" : "");
    std::fflush(stdout);
    write((first_ ? "[\n " : ",\n ") + bench::json_object(row, info_.name, info_.driver, ggml_.version()));
    first_ = false;
  }

  void write(const std::string& text) {
    if (json_ == nullptr) return;
    if (std::fwrite(text.data(), 1, text.size(), json_) != text.size() || std::fflush(json_) != 0) {
      throw std::runtime_error(options_.json + " could not be written");
    }
  }

  const Options& options_;
  const cli::Host& host_;
  const moe_device_info& info_;
  const GgmlLibrary& ggml_;
  moe::Device device_;
  std::vector<std::pair<std::string, GgmlDevice*>> peers_;
  std::vector<std::string> names_;
  std::FILE* json_ = nullptr;
  bool first_ = true;
  Totals totals_;
};

int compare(Options& options) {
  const cli::Host host(options.globals);
  const uint32_t index = host.find(options.device);
  const moe_device_info& info = host.devices()[index];
  if (info.kind == MOE_DEVICE_KIND_REFERENCE) {
    throw std::runtime_error(std::string("no Vulkan device to compare on: ") + host.api().why_no_gpu(host.instance()));
  }
  std::printf("device  %u  %s  %s\n", index, info.name, info.driver);
  const bool software = info.kind == MOE_DEVICE_KIND_CPU_VULKAN;
  if (options.shapes.empty()) {
    options.shapes = {"512,256,32,4", "2048,768,128,8"};
    if (options.gpu) options.shapes.insert(options.shapes.end(), {"2880,2880,32,4", "4096,14336,8,2"});
  }
  if (options.most_gflop == 0 && software) options.most_gflop = kSoftwareGflop;
  // Both number the devices as the driver does. Devices of the CPU type are left out by ggml unless they are named.
  setenv("GGML_VK_VISIBLE_DEVICES", std::to_string(index).c_str(), 0);
  // Else the CPU backend's idle threads would spin through our turn.
  setenv("OMP_WAIT_POLICY", "passive", 0);
  const GgmlLibrary ggml(options.libraries, options.backends);
  Peers peers = open_peers(ggml, options, info);
  const Totals totals = Comparison(options, host, index, ggml, peers).run();
  std::printf("\n%zu compared, %zu differ, %zu skipped\n", totals.compared, totals.differ, totals.skipped);
  return totals.compared > 0 && totals.differ == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("A MoE layer on libmoevk, ggml-vulkan and ggml-cpu, in turns on the same device");
  app.add_option("--library", options.globals.library,
                 "libmoevk (default: MOEVK_LIBRARY, or ../lib beside the program)");
  app.add_option("--libraries", options.libraries, "folder of libggml.so.0")->required();
  app.add_option("--backends", options.backends,
                 "folder of ggml's backends (default: ggml/backends0 under --libraries)");
  app.add_option("--device", options.device, "index or part of a name (default: the best)");
  app.add_option("--shape", options.shapes, "H,F,E,k; may be given several times")->take_all();
  app.add_flag("--gpu", options.gpu, "also the layers of gpt-oss-20b and Mixtral 8x7B");
  app.add_option("--format", options.formats, "of the experts' matrices, with commas between them")
      ->delimiter(',')
      ->transform(CLI::IsMember(cli::format_names(), CLI::ignore_case))
      ->capture_default_str();
  app.add_option("--tokens", options.tokens, "with commas between them")
      ->delimiter(',')
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 20))
      ->capture_default_str();
  app.add_option("--routing", options.routings, "uniform, zipf, onehot, with commas between them")
      ->delimiter(',')
      ->check(CLI::IsMember({"uniform", "zipf", "onehot"}))
      ->capture_default_str();
  app.add_option("--precision", options.precision, "of our activations")
      ->check(CLI::IsMember({"exact", "matrix", "int8"}))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "of each side of a row, where --least rounds allow it")
      ->capture_default_str();
  app.add_option("--least", options.least, "rounds of a row")->check(CLI::Range(1, 200))->capture_default_str();
  app.add_option("--most-gflop", options.most_gflop,
                 "rows of more are skipped (0: 2.6 on a software driver, else all)");
  app.add_option("--threads", options.threads, "of ggml-cpu")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--seed", options.seed, "of weights and tokens")->capture_default_str();
  app.add_flag("--no-vulkan", options.no_vulkan, "leave out ggml-vulkan");
  app.add_flag("--no-cpu", options.no_cpu, "leave out ggml-cpu");
  app.add_option("--json", options.json, "write rows as JSON to FILE");
  CLI11_PARSE(app, argc, argv);
  if (options.backends.empty()) {
    options.backends = options.libraries + "/ggml/backends0";
    if (!std::filesystem::exists(options.backends)) options.backends = options.libraries;
  }
  try {
    return compare(options);
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "peer_ggml: %s\n", error.what());
    return 2;
  }
}
