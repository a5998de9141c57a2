// SPDX-License-Identifier: MIT
//
// In:  a matched layer's call, before and after it runs; MOEVK_ROUTES.
// Out: its routes, appended to that file (docs/routes.md).
// Why: only the adapter knows both which block of the model a call is of, and when its results are there. Nothing that
//      goes wrong here reaches the host: a line in its log says once why no more is recorded.
#ifndef MOEVK_HOSTS_GGML_RECORD_ROUTES_H_
#define MOEVK_HOSTS_GGML_RECORD_ROUTES_H_

#include <optional>
#include <string_view>
#include <vector>

#include "hosts/ggml/match_layer.h"
#include "plugin_api/moe_routes.hpp"

namespace moevk::ggml {

// The N of "blk.N.…", as llama.cpp names a block's tensors.
std::optional<uint32_t> block_of(std::string_view tensor_name);

class RouteTap {
 public:
  // `file`: NULL: nothing is recorded. All are borrowed and must outlive this object.
  RouteTap(moe::RouteFile* file, moe::RouteStream& stream, const LayerMatch& match) noexcept;
  RouteTap(const RouteTap&) = delete;
  RouteTap& operator=(const RouteTap&) = delete;

  // Asks for the routes that the layer itself chooses.
  void ask(moe_call_args& args) noexcept;
  // Once the call is done and before the host's memory changes.
  void write() noexcept;

 private:
  moe::RouteFile* file_;
  moe::RouteStream& stream_;
  const LayerMatch& match_;
  std::vector<int32_t> ids_;
  std::vector<float> weights_;
  moe_view ids_view_{}, weights_view_{};
};

// The file that MOEVK_ROUTES names, of the whole process; else NULL.
moe::RouteFile* recorded_routes();

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_RECORD_ROUTES_H_
