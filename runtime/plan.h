// SPDX-License-Identifier: MIT
//
// A plan: everything that running one call will do, as plain data. Made from descriptor, caps, layout and the
// call's shape alone - no GPU, no time, no memory state - so it can be printed, compared and replayed. backend/
// records it; docs/how-a-call-flows.md walks through one.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "kernel_table.h"
#include "runtime/call.h"
#include "runtime/device_caps.h"
#include "runtime/weight_layout.h"

namespace moevk {

// What of a call decides its plan.
struct CallShape {
  Stage stage = Stage::kForward;
  uint64_t tokens = 0;
  uint32_t x_dtype = MOE_DTYPE_F32;
  uint32_t router_x_dtype = MOE_DTYPE_F32;  // of the router's own input, where it has one
  bool x_direct = false;  // f32 rows that kernels can read as they are: 16-byte offset and stride, no padding needed
  uint32_t y_dtype = MOE_DTYPE_F32;
  uint32_t residual_dtype = kNumberNone;
  uint32_t outputs = 0;  // bit per ViewId: optional outputs of the route that were asked for
  uint32_t ids_columns = 0;
  uint32_t weights_columns = 0;

  bool wants(ViewId id) const { return (outputs >> static_cast<uint32_t>(id) & 1) != 0; }
  bool operator==(const CallShape&) const = default;
};

// Parts of the workspace. Dead ones have no bytes.
enum class Region : uint32_t {
  kPrepared,
  kLogits,
  kScores,
  kChosen,  // ids before those of full experts are dropped
  kIds,
  kWeights,
  kHistogram,
  kOffsets,
  kOrder,
  kTiles,
  kIndirect,
  kH,
  kExpertOut,
  kLatent,     // x in the latent space
  kLatentSum,  // of the routed experts' outputs
  kBeside,     // what is added to the projection of that sum
  kXCodes,     // x and h in int8 precision, for integer dot products
  kHCodes,
  kUnused,
};
inline constexpr size_t kRegionCount = 19;
const char* region_name(Region region);

struct Binding {
  enum class Kind : uint8_t { kView, kRegion, kRouter, kAux, kTable } kind = Kind::kAux;
  uint8_t index = 0;   // ViewId or Region
  uint8_t unused = 0;  // Region::kUnused: which 256 bytes; a kernel variant declares but never touches them
};

// A push constant that only the host's view knows.
struct Patch {
  enum class Kind : uint8_t { kOffsetWords, kStrideWords, kOffsetVec4, kStrideVec4, kBeta } kind = Kind::kOffsetWords;
  uint8_t word = 0;
  ViewId view = ViewId::kX;
};

struct Dispatch {
  KernelId kernel{};
  std::array<uint32_t, kConstantCount> constants{};
  std::vector<Binding> bindings;
  std::array<uint32_t, 32> push{};
  uint32_t push_words = 0;
  std::vector<Patch> patches;
  std::array<uint32_t, 3> grid{1, 1, 1};
  bool indirect = false;  // grid from Region::kIndirect
  uint32_t indirect_offset_bytes = 0;
  WeightSet weight_set = WeightSet::kNone;
  uint32_t binding_pass = 0;
  double bytes = 0;  // read and written, under uniform routing
  double flops = 0;
  std::string why;
};

// What runs between two barriers; its dispatches do not depend on each other.
struct Step {
  std::string name;
  uint64_t first_token = 0;  // views are bound from this row on
  uint64_t tokens = 0;
  std::vector<Dispatch> dispatches;
};

struct Plan {
  CallShape shape;
  std::vector<Step> steps;
  std::array<uint64_t, kRegionCount> region_bytes{};
  std::array<uint64_t, kRegionCount> region_offset{};
  uint64_t workspace_bytes = 0;
  std::vector<std::string> refused;  // candidates not taken, with the reason

  size_t barriers() const { return steps.empty() ? 0 : steps.size() - 1; }
  size_t dispatches() const;
};

Result<Plan> plan_call(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps,
                       const CallShape& shape);

// Tokens that one pass over the workspace takes; longer calls run in chunks of at most this many.
uint64_t chunk_limit(const LayerSpec& spec, const DeviceCaps& caps);

}  // namespace moevk
