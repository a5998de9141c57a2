// SPDX-License-Identifier: MIT
//
// Which views each stage takes, as a table, and the checks of a view. Errors name the view ("args.x.columns").
#include "runtime/call.h"

#include <algorithm>

#include "runtime/device.h"

namespace moevk {
namespace {

// r: required input, i: optional input, w: required output, o: optional output, -: must be NULL.
struct Use {
  const char* name;
  char forward, route, plan_dispatch, experts, combine;
};
constexpr Use kUses[kViewCount] = {
    {"x", 'r', 'r', '-', 'r', '-'},          {"residual", 'i', '-', '-', '-', 'i'},
    {"y", 'w', '-', '-', '-', 'w'},          {"logits_in", 'i', 'i', '-', '-', '-'},
    {"scores_in", 'i', 'i', '-', '-', '-'},  {"weights_in", 'i', 'i', '-', '-', '-'},
    {"ids_in", 'i', 'i', '-', '-', '-'},     {"ids", 'o', 'w', 'r', 'r', 'r'},
    {"weights", 'o', 'w', '-', 'r', '-'},    {"logits", 'o', 'o', '-', '-', '-'},
    {"scores", 'o', 'o', '-', '-', '-'},     {"counts", 'o', 'o', 'o', '-', '-'},
    {"order", '-', '-', 'w', 'r', '-'},      {"offsets", '-', '-', 'w', 'r', '-'},
    {"expert_out", '-', '-', '-', 'w', 'r'}, {"router_x", 'i', 'i', '-', '-', '-'},
    {"token_ids", 'i', 'i', '-', '-', '-'},
};

char use_of(Stage stage, ViewId id) {
  const Use& use = kUses[static_cast<size_t>(id)];
  switch (stage) {
    case Stage::kForward: return use.forward;
    case Stage::kRoute: return use.route;
    case Stage::kPlanDispatch: return use.plan_dispatch;
    case Stage::kExperts: return use.experts;
    case Stage::kCombine: return use.combine;
  }
  return '-';
}

std::string path(ViewId id, const char* field = nullptr) {
  return std::string("args.") + view_name(id) + (field != nullptr ? std::string(".") + field : std::string());
}

// Whether the host gives this input of the route, by route_source.
bool source_needs(uint32_t source, ViewId id) {
  switch (id) {
    case ViewId::kLogitsIn: return source == MOE_ROUTE_FROM_LOGITS;
    case ViewId::kScoresIn: return source == MOE_ROUTE_FROM_SCORES;
    case ViewId::kIdsIn: return source == MOE_ROUTE_FROM_IDS;
    case ViewId::kWeightsIn: return source == MOE_ROUTE_FROM_SCORES || source == MOE_ROUTE_FROM_IDS;
    case ViewId::kTokenIds: return source == MOE_ROUTE_FROM_TOKEN_TABLE;
    default: return false;
  }
}

Status check_presence(const Call& call, ViewId id) {
  const moe_layer_desc& d = call.layer->spec().desc;
  char use = use_of(call.stage, id);
  const bool route_input = (id >= ViewId::kLogitsIn && id <= ViewId::kIdsIn) || id == ViewId::kTokenIds;
  if (route_input && use == 'i') use = source_needs(d.route_source, id) ? 'r' : '-';
  if (id == ViewId::kRouterX && use == 'i') use = (d.flags & MOE_LAYER_SEPARATE_ROUTER_INPUT) != 0 ? 'r' : '-';
  if (id == ViewId::kLogits && use == 'o' && !call.layer->spec().computes_logits()) use = '-';
  if (id == ViewId::kScores && use == 'o' && d.route_source > MOE_ROUTE_FROM_SCORES) use = '-';
  const bool needed = use == 'r' || use == 'w';
  if (needed && !call.has(id)) return invalid(path(id), std::string("is needed by ") + stage_name(call.stage));
  if (use == '-' && call.has(id)) {
    return invalid(path(id),
                   std::string("is not used by ") + stage_name(call.stage) + " of this layer and must be NULL");
  }
  return {};
}

struct Shape {
  uint64_t rows, columns;
  uint64_t other_columns;  // also accepted; 0: none
};

Shape shape_of(const Call& call, ViewId id) {
  const LayerSpec& spec = call.layer->spec();
  const uint64_t t = call.tokens, k = spec.desc.top_k, slots = spec.slots;
  const bool whole = call.stage != Stage::kForward;  // stages pass on all slots
  switch (id) {
    case ViewId::kX:
    case ViewId::kRouterX:
    case ViewId::kResidual:
    case ViewId::kY: return {t, spec.desc.hidden, 0};
    case ViewId::kLogitsIn:
    case ViewId::kScoresIn:
    case ViewId::kLogits:
    case ViewId::kScores: return {t, spec.candidates(), 0};
    case ViewId::kWeightsIn: return {t, spec.desc.route_source == MOE_ROUTE_FROM_SCORES ? spec.candidates() : k, 0};
    case ViewId::kIdsIn: return {t, k, 0};
    case ViewId::kIds:
    case ViewId::kWeights: return {t, whole ? slots : k, whole ? 0 : slots};
    case ViewId::kCounts: return {1, spec.candidates(), 0};
    case ViewId::kOrder: return {1, t * slots, 0};
    case ViewId::kOffsets: return {1, uint64_t{spec.experts_total} + 1, 0};
    case ViewId::kExpertOut: return {t * slots, spec.desc.hidden, 0};
    case ViewId::kTokenIds: return {t, 1, 0};
  }
  return {};
}

Status check_view(const Call& call, ViewId id, const Device* device) {
  const View& v = call.view(id);
  const Shape shape = shape_of(call, id);
  const auto show = [](uint64_t rows, uint64_t columns) {
    return std::to_string(rows) + " x " + std::to_string(columns);
  };
  if (v.rows != shape.rows) {
    return invalid(path(id, "rows"),
                   "is " + show(v.rows, v.columns) + "; needed are " + show(shape.rows, shape.columns));
  }
  if (v.columns != shape.columns && (shape.other_columns == 0 || v.columns != shape.other_columns)) {
    return invalid(path(id, "columns"),
                   "is " + show(v.rows, v.columns) + "; needed are " + show(shape.rows, shape.columns));
  }
  const bool activations = id == ViewId::kX || id == ViewId::kResidual || id == ViewId::kY || id == ViewId::kRouterX;
  const bool integers = id == ViewId::kIdsIn || id == ViewId::kIds || id == ViewId::kCounts || id == ViewId::kOrder ||
                        id == ViewId::kOffsets || id == ViewId::kTokenIds;
  const bool good = activations ? v.dtype <= MOE_DTYPE_BF16 : v.dtype == (integers ? MOE_DTYPE_I32 : MOE_DTYPE_F32);
  if (!good) {
    return invalid(path(id, "dtype"), std::string("is ") + dtype_name(v.dtype) + "; needed is " +
                                          (activations ? "f32, f16 or bf16"
                                           : integers  ? "i32"
                                                       : "f32"));
  }
  if (v.stride_bytes < v.row_bytes()) {
    return invalid(path(id, "row_stride_bytes"),
                   "is " + std::to_string(v.stride_bytes) + ", less than a row's " + std::to_string(v.row_bytes()));
  }
  if (v.rows > 1 && v.stride_bytes > (UINT64_MAX >> 2) / v.rows) {
    return invalid(path(id, "row_stride_bytes"), "is " + std::to_string(v.stride_bytes) + ", a size beyond any memory");
  }
  if (v.stride_bytes % dtype_bytes(v.dtype) != 0) {
    return invalid(path(id, "row_stride_bytes"), "is no multiple of the element size");
  }
  if ((v.host != nullptr) == (v.buffer != nullptr)) {
    return invalid(path(id),
                   v.host != nullptr ? "has both host memory and a buffer" : "has neither host memory nor a buffer");
  }
  if (v.buffer == nullptr) return {};
  if (v.buffer->device() != device) return invalid(path(id, "buffer"), "belongs to another device than the context");
  if (v.offset_bytes % 4 != 0) return invalid(path(id, "offset_bytes"), "is no multiple of 4");
  if (v.rows > 1 && v.stride_bytes % 4 != 0)
    return invalid(path(id, "row_stride_bytes"), "is no multiple of 4, as a buffer needs");
  if (v.offset_bytes > v.buffer->bytes() || v.span_bytes() > v.buffer->bytes() - v.offset_bytes) {
    return invalid(path(id, "offset_bytes"), "the view ends " +
                                                 std::to_string(v.offset_bytes + v.span_bytes() - v.buffer->bytes()) +
                                                 " bytes beyond the buffer's " + std::to_string(v.buffer->bytes()));
  }
  return {};
}

// Host memory is filled row by row: rows of equal stride may lie between each other.
bool overlap_in_host(const View& a, const View& b) {
  const auto first = [](const View& v) { return reinterpret_cast<uintptr_t>(v.host); };
  const auto last = [&](const View& v) { return first(v) + (v.rows - 1) * v.stride_bytes + v.row_bytes(); };
  if (first(a) >= last(b) || first(b) >= last(a)) return false;
  if (a.stride_bytes != b.stride_bytes) return true;
  const uint64_t stride = a.stride_bytes;
  const uint64_t behind = (first(b) % stride + stride - first(a) % stride) % stride;  // b's rows behind a's
  return behind < a.row_bytes() || behind + b.row_bytes() > stride;
}

bool overlap(const View& a, const View& b) {
  if (a.host != nullptr && b.host != nullptr) return overlap_in_host(a, b);
  if (a.buffer == nullptr || b.buffer == nullptr) return false;
  const BufferPlace pa = a.buffer->place(), pb = b.buffer->place();
  const uint64_t a0 = pa.offset_bytes + a.offset_bytes, b0 = pb.offset_bytes + b.offset_bytes;
  return pa.memory == pb.memory && a0 < b0 + b.span_bytes() && b0 < a0 + a.span_bytes();
}

// Outputs may overlap nothing, except that y may be x or the residual, row for row.
Status check_overlaps(const Call& call) {
  for (size_t i = 0; i < kViewCount; ++i) {
    const auto out = static_cast<ViewId>(i);
    if (!call.has(out) || is_input(call.stage, out)) continue;
    for (size_t j = 0; j < kViewCount; ++j) {
      const auto other = static_cast<ViewId>(j);
      const View& a = call.view(out);
      const View& b = call.view(other);
      if (i == j || !call.has(other) || !overlap(a, b)) continue;
      const auto first = [](const View& v) {
        return v.host != nullptr ? reinterpret_cast<uintptr_t>(v.host)
                                 : v.buffer->place().offset_bytes + v.offset_bytes;
      };
      const bool same_rows = first(a) == first(b) && a.stride_bytes == b.stride_bytes && a.dtype == b.dtype;
      const bool alias = out == ViewId::kY && (other == ViewId::kX || other == ViewId::kResidual) && same_rows;
      if (!alias) return invalid(path(out), std::string("overlaps args.") + view_name(other) + " in memory");
    }
  }
  return {};
}

}  // namespace

const char* stage_name(Stage stage) {
  switch (stage) {
    case Stage::kForward: return "forward";
    case Stage::kRoute: return "route";
    case Stage::kPlanDispatch: return "plan_dispatch";
    case Stage::kExperts: return "experts";
    case Stage::kCombine: return "combine";
  }
  return "unknown";
}

const char* view_name(ViewId id) { return kUses[static_cast<size_t>(id)].name; }

bool is_input(Stage stage, ViewId id) {
  const char use = use_of(stage, id);
  return use == 'r' || use == 'i';
}

Status check_call(const Call& call, const Device* device, uint64_t max_tokens) {
  if (call.layer->device() != device) return invalid("layer", "belongs to another device than the context");
  if (call.tokens == 0) return invalid("args.tokens", "is 0");
  if (call.tokens > max_tokens) {
    return invalid("args.tokens",
                   "is " + std::to_string(call.tokens) + "; the context was made for " + std::to_string(max_tokens));
  }
  for (size_t i = 0; i < kViewCount; ++i) MOE_RETURN_IF_ERROR(check_presence(call, static_cast<ViewId>(i)));
  for (size_t i = 0; i < kViewCount; ++i) {
    const auto id = static_cast<ViewId>(i);
    if (call.has(id)) MOE_RETURN_IF_ERROR(check_view(call, id, device));
  }
  return check_overlaps(call);
}

}  // namespace moevk
