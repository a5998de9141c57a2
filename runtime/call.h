// SPDX-License-Identifier: MIT
//
// One encoded call (forward or a stage), its views checked against the layer: what both devices execute.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "runtime/layer_spec.h"

namespace moevk {

class Buffer;
class Device;
class Layer;

enum class Stage : uint32_t { kForward, kRoute, kPlanDispatch, kExperts, kCombine };
const char* stage_name(Stage stage);

enum class ViewId : uint32_t {
  kX,
  kResidual,
  kY,
  kLogitsIn,
  kScoresIn,
  kWeightsIn,
  kIdsIn,
  kIds,
  kWeights,
  kLogits,
  kScores,
  kCounts,
  kOrder,
  kOffsets,
  kExpertOut,
  kRouterX,
  kTokenIds,
};
inline constexpr size_t kViewCount = 17;
const char* view_name(ViewId id);

// A matrix of the host: its memory, or part of a buffer of the device.
struct View {
  bool present = false;
  uint32_t dtype = MOE_DTYPE_F32;
  uint64_t rows = 0;
  uint64_t columns = 0;
  uint64_t stride_bytes = 0;
  std::byte* host = nullptr;
  std::shared_ptr<Buffer> buffer;
  uint64_t offset_bytes = 0;

  uint64_t row_bytes() const { return columns * dtype_bytes(dtype); }
  uint64_t span_bytes() const { return rows == 0 ? 0 : (rows - 1) * stride_bytes + (row_bytes() + 3) / 4 * 4; }
};

struct Call {
  Stage stage = Stage::kForward;
  std::shared_ptr<Layer> layer;
  uint64_t tokens = 0;
  float beta = 0;
  std::array<View, kViewCount> views;

  const View& view(ViewId id) const { return views[static_cast<size_t>(id)]; }
  View& view(ViewId id) { return views[static_cast<size_t>(id)]; }
  bool has(ViewId id) const { return view(id).present; }
};

// True where the stage reads the view (ids and weights are outputs of route, inputs of the later stages).
bool is_input(Stage stage, ViewId id);
// Presence, shapes, types, strides, bounds, overlaps. `device` is the context's.
Status check_call(const Call& call, const Device* device, uint64_t max_tokens);

}  // namespace moevk
