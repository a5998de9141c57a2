// SPDX-License-Identifier: MIT
//
// moevk bench. In: layer shapes, numbers of tokens, weight formats. Out: the time of a whole layer,
// and GB/s and GFLOP/s by the roofline formulas, as a table and as JSON. Why: one layer's time,
// measured the same way on every device: weights and tokens on the device, nothing copied in the
// timed part, which is encode, submit and wait.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>
#include <utility>

#include "tools/model/json_text.h"
#include "tools/model/utf8_path.h"
#include "tools/moevk/bench_case.h"
#include "tools/moevk/commands.h"
#include "tools/moevk/forward.h"
#include "tools/moevk/layer_options.h"
#include "tools/moevk/random_data.h"
#include "tools/moevk/roofline.h"
#include "tools/moevk/table.h"
#include "tools/moevk/terminal.h"

namespace moevk::cli {
namespace {

struct BenchOptions {
  LayerOptions layer;
  std::vector<uint64_t> tokens = {1, 8, 64};
  std::vector<std::string> formats = {"f16"};
  std::string device;
  uint32_t repeat = 0;  // 0: for about a second, 5 to 200 times
  std::vector<uint32_t> per_submit = {1};
  std::string routing = "uniform";
  uint64_t seed = 1;
  std::string json;  // "-": stdout
};

struct Row {
  std::string format;
  uint64_t tokens = 0;
  double experts = 0;  // distinct ones that are read
  double median_ms = 0;
  double p95_ms = 0;
  double gbps = 0;
  double gflops = 0;
  size_t repeats = 0;
  uint32_t calls = 1;  // in one submit
};

// Added to the logits, whose spread is 1: nothing, the logarithm of Zipf's law, or k experts for
// all.
std::vector<float> routing_bias(const moe_layer_desc& desc, const std::string& routing) {
  std::vector<float> bias;
  if (routing == "uniform") return bias;
  for (uint32_t expert = 0; expert < desc.experts; ++expert) {
    const float zipf = -std::log(static_cast<float>(expert + 1));
    bias.push_back(routing == "zipf" ? zipf : expert < desc.top_k ? 1000.0f : 0.0f);
  }
  return bias;
}

// So many calls in a submit that it does not last half a second: some systems end longer ones.
uint32_t fitting_calls(BenchCase& bench, uint32_t calls) {
  constexpr double kMostSubmitMs = 500;
  if (calls == 1) return calls;
  const double cold = bench.time(1), warm = bench.time(1);
  while (calls > 1 && calls * std::min(cold, warm) > kMostSubmitMs) calls /= 2;
  return calls;
}

Row measure(BenchCase& bench, const BenchOptions& options, const moe_layer_desc& desc, const std::string& format,
            uint64_t tokens, uint32_t calls) {
  constexpr double kSeconds = 1;
  constexpr size_t kLeast = 5;
  constexpr size_t kMost = 200;
  Row row;
  row.format = format;
  row.tokens = tokens;
  std::optional<double> distinct;
  if (options.routing != "uniform") distinct = bench.count_experts();
  bench.time(calls);  // warm-up
  bench.time(calls);

  Progress progress(format + " T=" + std::to_string(tokens));
  std::vector<double> samples;
  const auto enough = [&] {
    if (options.repeat > 0) return samples.size() >= options.repeat;
    return samples.size() >= kMost || (samples.size() >= kLeast && progress.seconds() >= kSeconds);
  };
  while (!enough()) {
    samples.push_back(bench.time(calls));
    progress.update(samples.size(), options.repeat > 0 ? options.repeat : kMost);
  }
  const Roofline work = roofline(desc, tokens, bits_of_format(format), distinct);
  row.experts = work.distinct_experts;
  row.median_ms = quantile(samples, 0.5);
  row.p95_ms = quantile(samples, 0.95);
  row.gbps = work.bytes / row.median_ms * 1e-6;
  row.gflops = work.flops / row.median_ms * 1e-6;
  row.repeats = samples.size();
  row.calls = calls;
  return row;
}

std::string json_object(const Row& row, const BenchOptions& options, const moe_device_info& device) {
  return "{\"shape\": " + model::json_string(options.layer.shape) +
         formatted(", \"shared\": %u, \"tokens\": %llu, \"format\": \"%s\", \"routing\": \"%s\"", options.layer.shared,
                   static_cast<unsigned long long>(row.tokens), row.format.c_str(), options.routing.c_str()) +
         formatted(", \"median_ms\": %.6g, \"p95_ms\": %.6g, \"gbps\": %.6g, \"gflops\": %.6g", row.median_ms,
                   row.p95_ms, row.gbps, row.gflops) +
         formatted(", \"distinct_experts\": %.6g, \"repeats\": %zu, \"calls_per_submit\": %u", row.experts, row.repeats,
                   row.calls) +
         ", \"device\": " + model::json_string(device.name) + ", \"driver\": " + model::json_string(device.driver) +
         "}";
}

void write_json(FILE* file, const std::string& text) {
  if (file == nullptr) return;
  if (std::fwrite(text.data(), 1, text.size(), file) != text.size() || std::fflush(file) != 0) {
    throw UsageError("--json", "could not be written");
  }
}

int bench(const GlobalOptions& globals, const BenchOptions& options) {
  moe_layer_desc first = describe_layer(options.layer, options.formats.front());
  if (first.route_source != MOE_ROUTE_FROM_ROUTER && first.route_source != MOE_ROUTE_DENSE) {
    throw UsageError("--route", "bench measures whole layers: router or dense");
  }
  FILE* json_file = nullptr;
  if (!options.json.empty() && options.json != "-") {  // before the long work: the path may be wrong
    json_file = model::create_file(options.json);
    if (json_file == nullptr) throw UsageError("--json", options.json + " cannot be written");
  }
  const std::unique_ptr<FILE, int (*)(FILE*)> closer(
      json_file, [](FILE* file) { return file != nullptr ? std::fclose(file) : 0; });
  const Host host(globals);
  const uint32_t index = host.find(options.device);
  const moe::Device device = host.open(index);
  const moe_device_info& info = host.devices()[index];
  const bool table_wanted = options.json != "-";
  if (table_wanted) {
    std::printf("device  %u  %s  %s\n", index, info.name, remark(info.driver).c_str());
    std::printf("layer   %s, %s routing\n", layer_text(first).c_str(), options.routing.c_str());
    std::fflush(stdout);
  }
  // Each row as soon as it is known: whoever ends a long run keeps what was measured.
  FILE* const json = options.json == "-" ? stdout : json_file;
  std::vector<Row> rows;
  for (const std::string& format : options.formats) {
    moe_layer_desc desc = describe_layer(options.layer, format);
    const std::vector<float> bias = routing_bias(desc, options.routing);
    if (!bias.empty() && desc.route_source == MOE_ROUTE_FROM_ROUTER) desc.flags |= MOE_LAYER_ROUTER_BIAS;
    const moe::Layer layer = upload_random_layer(host, device, desc, options.seed, bias, format + ": random weights");
    for (const uint64_t tokens : options.tokens) {
      BenchCase bench_case(host, device, layer, desc, random_tokens(tokens, desc.hidden, options.seed));
      uint32_t last = 0;
      for (const uint32_t wanted : options.per_submit) {
        const uint32_t calls = fitting_calls(bench_case, wanted);
        if (calls == std::exchange(last, calls)) continue;
        rows.push_back(measure(bench_case, options, desc, format, tokens, calls));
        write_json(json, (rows.size() == 1 ? "[\n " : ",\n ") + json_object(rows.back(), options, info));
      }
    }
  }
  write_json(json, "\n]\n");
  if (table_wanted) {
    Table table({"format", ">T", ">experts", ">calls", ">median ms", ">p95 ms", ">GB/s", ">GFLOP/s", ">repeats"});
    for (const Row& row : rows) {
      table.add({row.format, std::to_string(row.tokens), formatted("%.1f", row.experts), std::to_string(row.calls),
                 formatted("%.3f", row.median_ms), formatted("%.3f", row.p95_ms), formatted("%.2f", row.gbps),
                 formatted("%.2f", row.gflops), std::to_string(row.repeats)});
    }
    table.print();
  }
  return kExitOk;
}

}  // namespace

void register_bench(CLI::App& app, const GlobalOptions& globals, int& exit_code) {
  CLI::App* command = app.add_subcommand("bench", "the time of a whole layer with random weights");
  command->footer(
      "Examples:\n"
      "  moevk bench --shape 512,256,32,4 --tokens 1,9,64 --format f16,bf16,f32\n"
      "  moevk bench --shape 2048,768,128,8 --tokens 1 --json | jq '.[0].median_ms'\n"
      "  moevk bench --shape 2048,1408,60,4 --shared 5632 --routing zipf --json rows.json\n"
      "GB/s and GFLOP/s count what the layer needs (each weight of each expert that is used read "
      "once), not\n"
      "what a plan does. With --json alone the array goes to stdout in place of the table.");
  auto options = std::make_shared<BenchOptions>();
  add_layer_options(*command, options->layer);
  add_token_list(*command, options->tokens);
  command->get_option("--tokens")->capture_default_str();
  command->add_option("--format", options->formats, "of the experts' matrices, with commas between them")
      ->delimiter(',')
      ->check(CLI::IsMember(format_names()))
      ->capture_default_str();
  command->add_option("--device", options->device, "index, part of a name, or reference (default: the best)");
  command->add_option("--repeat", options->repeat, "measurements of each row (0: for about a second)")
      ->capture_default_str();
  command
      ->add_option("--per-submit", options->per_submit,
                   "calls in one submit, whose time is divided by it; fewer where it would last half a second")
      ->delimiter(',')
      ->check(CLI::Range(1u, 1000u))
      ->capture_default_str();
  command->add_option("--routing", options->routing, "how tokens spread over experts (onehot: all on the same k)")
      ->check(CLI::IsMember({"uniform", "zipf", "onehot"}))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "of weights and tokens")->capture_default_str();
  command->add_option("--json", options->json, "write rows as JSON, to FILE or stdout")
      ->type_name("[FILE]")
      ->expected(0, 1)
      ->default_str("-");
  command->callback([options, &globals, &exit_code] { exit_code = bench(globals, *options); });
}

}  // namespace moevk::cli
