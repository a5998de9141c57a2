// SPDX-License-Identifier: MIT
//
// In:  see record_routes.h.
// Out: see record_routes.h.
// Why: routes that the layer chooses are asked for beside y; routes that were given are read where the host has them.
#include "hosts/ggml/record_routes.h"

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <string>

#include "plugin_api/moe_plugin.hpp"

namespace moevk::ggml {
namespace {

void say(const char* why) noexcept {
  try {
    log_line(kLogWarn, std::string("MOEVK_ROUTES: ") + why);
  } catch (...) {  // no memory to say it
  }
}

}  // namespace

std::optional<uint32_t> block_of(std::string_view tensor_name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!tensor_name.starts_with(kPrefix)) return std::nullopt;
  uint32_t block = 0;
  const char* const end = tensor_name.data() + tensor_name.size();
  const auto [at, failed] = std::from_chars(tensor_name.data() + kPrefix.size(), end, block);
  if (failed != std::errc() || at == end || *at != '.') return std::nullopt;
  return block;
}

moe::RouteFile* recorded_routes() {
  // Never destroyed: contexts may run while the process ends.
  static moe::RouteFile* const file = [] {
    const char* path = std::getenv("MOEVK_ROUTES");
    return path != nullptr && path[0] != '\0' ? new moe::RouteFile(path) : nullptr;
  }();
  return file;
}

RouteTap::RouteTap(moe::RouteFile* file, moe::RouteStream& stream, const LayerMatch& match) noexcept
    : file_(file), stream_(stream), match_(match) {}

void RouteTap::ask(moe_call_args& args) noexcept {
  if (file_ == nullptr || match_.ids != nullptr) return;
  const auto tokens = static_cast<uint64_t>(match_.tokens);
  try {
    ids_.resize(tokens * match_.desc.top_k);
    weights_.resize(ids_.size());
  } catch (const std::bad_alloc&) {
    say("no memory for the routes of a call");
    file_ = nullptr;
    return;
  }
  ids_view_ = moe::host_view(ids_.data(), MOE_DTYPE_I32, tokens, match_.desc.top_k);
  weights_view_ = moe::host_view(weights_.data(), MOE_DTYPE_F32, tokens, match_.desc.top_k);
  args.ids = &ids_view_;
  args.weights = &weights_view_;
}

void RouteTap::write() noexcept {
  if (file_ == nullptr) return;
  const std::optional<uint32_t> block = block_of(match_.weights.front().second->name);
  if (!block) {
    static std::atomic<bool> said{false};
    if (!said.exchange(true)) say("a layer's tensors are not named blk.N, so that its routes are not recorded");
    return;
  }
  moe::Routes routes;
  routes.layer = *block;
  routes.experts = match_.desc.experts;
  routes.identity_experts = match_.desc.identity_experts;
  routes.top_k = match_.desc.top_k;
  routes.hidden = match_.desc.hidden;
  routes.intermediate = match_.desc.intermediate;
  routes.tokens = static_cast<uint64_t>(match_.tokens);
  if (match_.ids != nullptr) {
    routes.ids = match_.ids->data;
    routes.ids_row_bytes = match_.ids->nb[1];
    routes.weights = match_.route_weights->data;
    routes.weights_row_bytes = match_.route_weights->nb[2];
  } else {
    routes.ids = ids_.data();
    routes.weights = weights_.data();
  }
  std::string why;
  if (!file_->append(stream_, routes, why) && !why.empty()) say(why.c_str());
}

}  // namespace moevk::ggml
