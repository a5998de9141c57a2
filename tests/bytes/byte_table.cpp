// SPDX-License-Identifier: MIT
//
// byte_table SHAPE[/SHAPE] FORMAT[,FORMAT] TOKENS[,TOKENS] [--stages]: what the kernels read and wrote, as a table;
// with --stages also each dispatch by what it read. The tables of docs/performance.md are its output.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <sstream>

#include "tests/bytes/counted_layer.h"

namespace moe_bytes {
namespace {

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, by);) parts.push_back(part);
  return parts;
}

double share(uint64_t bytes, double of) { return static_cast<double>(bytes) / of; }

void print_call(const CountedCall& call) {
  const AccessBytes weights = call.weights();
  std::printf("| %s | %llu | %llu | %.3f | %.3f | **%.3f** | %.3f | %.2f | %.2f |\n", call.format.c_str(),
              static_cast<unsigned long long>(call.tokens), static_cast<unsigned long long>(call.experts),
              call.least / 1e6, static_cast<double>(call.distinct()) / 1e6, share(call.distinct(), call.least),
              share(weights.distinct, call.least_weights), share(weights.coalesced, call.least_weights),
              share(weights.requested, call.least_weights));
}

void print_stages(const CountedCall& call) {
  std::printf(
      "\n%s, T = %llu\n\n| kernel | buffer | | distinct, kB | a subgroup / distinct | an invocation / distinct |\n"
      "|---|---|---|--:|--:|--:|\n",
      call.format.c_str(), static_cast<unsigned long long>(call.tokens));
  for (const CountedDispatch& dispatch : call.dispatches) {
    for (const AccessBytes& access : dispatch.bytes.accesses) {
      std::printf("| %s | %s | %s | %.2f | %.2f | %.2f |\n", dispatch.kernel.c_str(), access.name.c_str(),
                  access.writes ? "written" : "read", static_cast<double>(access.distinct) / 1e3,
                  share(access.coalesced, static_cast<double>(access.distinct)),
                  share(access.requested, static_cast<double>(access.distinct)));
    }
  }
}

int run(int argc, char** argv) {
  const bool stages = argc == 5 && std::string(argv[4]) == "--stages";
  if (argc != 4 && !stages) {
    std::fprintf(stderr, "byte_table H,F,E,k[/H,F,E,k] FORMAT[,FORMAT] TOKENS[,TOKENS] [--stages]\n");
    return moevk::cli::kExitCannot;
  }
  std::vector<uint64_t> tokens;
  for (const std::string& one : split(argv[3], ',')) tokens.push_back(std::stoull(one));
  const char* const which = std::getenv("MOEVK_DEVICE");
  const moevk::cli::Host host({});
  const uint32_t index = host.find(which != nullptr ? which : "");
  std::printf("%s\n", host.devices()[index].name);
  CountedDevice device(host, index, true);
  for (const std::string& shape : split(argv[1], '/')) {
    std::printf(
        "\nH,F,E,k = %s\n\n| format | T | experts | formula, MB | counted, MB | counted / formula | weights: lines | "
        "subgroups | invocations |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        shape.c_str());
    for (const std::string& format : split(argv[2], ',')) {
      for (const CountedCall& call : device.count(shape, format, tokens)) {
        if (static_cast<double>(call.distinct()) < call.least) {
          throw std::runtime_error("less was counted than the formula has, so something was not counted");
        }
        if (stages) {
          print_stages(call);
        } else {
          print_call(call);
        }
        std::fflush(stdout);
      }
    }
  }
  return moevk::cli::kExitOk;
}

}  // namespace
}  // namespace moe_bytes

int main(int argc, char** argv) {
  try {
    return moe_bytes::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "byte_table: %s\n", error.what());
    return moevk::cli::kExitCannot;
  }
}
