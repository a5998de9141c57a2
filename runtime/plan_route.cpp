// SPDX-License-Identifier: MIT
//
// Steps of routing and sorting: x or the host's logits -> ids and weights -> routes sorted by expert, tiles.
#include <algorithm>

#include "runtime/plan_builder.h"

namespace moevk {
namespace {

// Never less for more tokens: fewer tokens come in smaller blocks, of which there are at most 64.
uint64_t histogram_bytes(uint32_t blocks, uint32_t experts) { return uint64_t{std::max(blocks, 64u)} * experts * 4; }

}  // namespace

uint32_t PlanBuilder::fused_tokens_per_group(const LayerSpec& spec, uint64_t tokens) {
  uint32_t block = 8;
  while (block > 2 && (block * spec.candidates() > kNumberLogitCapacity || tokens / block < 32)) block /= 2;
  if (block * spec.candidates() > kNumberLogitCapacity) block = 1;
  return block;
}

void PlanBuilder::route() {
  const bool router = spec_.computes_logits();
  if (split_ || (has_logits_ && !router)) {
    router_logits();
  } else if (router) {
    if (!one_sort_) {
      refuse("split router: " + std::to_string(routes_) +
             " routes need a block sort, and token blocks are enough to fill a device");
    }
  }
  route_tokens();
}

// One workgroup for few experts and a few tokens; every invocation of the device gets a share of the router.
void PlanBuilder::router_logits() {
  step("logits");
  prepare();
  const uint32_t rows = spec_.router_rows();
  const uint32_t block = tokens_ >= 8 ? 8 : tokens_ > 2 ? 4 : tokens_;
  Dispatch d = dispatch(KernelId::kRouterLogits,
                        spec_.computes_logits() ? "few tokens: the router is split over experts, the selection follows"
                                                : "the shared experts' gate; the routes come from the host");
  set(&d, Constant::kTokensPerGroup, block);
  RoutePush push{};
  push.tokens = tokens_;
  push.experts = spec_.computes_logits() ? spec_.candidates() : 0;
  push.router_bias = layout_.router_bias;
  push.logit_stride = rows;
  set_router_input(&d, &push);
  set_push(&d, push);
  d.bindings.push_back(region(Region::kLogits, uint64_t{tokens_} * rows * 4));
  d.grid = {(rows + kNumberGroups - 1) / kNumberGroups, (tokens_ + block - 1) / block, 1};
  d.flops = 2.0 * tokens_ * rows * spec_.desc.hidden;
  d.bytes = 4.0 * rows * spec_.desc.hidden * d.grid[1] + 4.0 * tokens_ * (spec_.desc.hidden + rows);
  add(std::move(d));
}

// What the router reads, and how; bindings 0 to 2 of both kernels that compute logits.
void PlanBuilder::set_router_input(Dispatch* d, RoutePush* push) const {
  const bool separate = spec_.has(MOE_LAYER_SEPARATE_ROUTER_INPUT);
  const bool scaled = spec_.has(MOE_LAYER_ROUTER_INPUT_SCALE);
  const ViewId x = separate ? ViewId::kRouterX : ViewId::kX;
  set(d, Constant::kXDtype, separate ? shape_.router_x_dtype : shape_.x_dtype);
  set(d, Constant::kInputNorm, spec_.has(MOE_LAYER_INPUT_NORM) && !separate ? 1 : 0);
  set(d, Constant::kRouterNorm, spec_.has(MOE_LAYER_ROUTER_INPUT_NORM) ? 1 : 0);
  set(d, Constant::kRouterScale, scaled ? 2 : spec_.desc.router_input_multiplier != 1 ? 1 : 0);
  push->hidden = spec_.desc.hidden;
  push->router_stride = layout_.router_stride;
  push->norm_offset = layout_.norm;
  push->norm_eps = spec_.desc.norm_eps;
  push->router_scale = layout_.router_scale;
  push->router_multiplier = spec_.desc.router_input_multiplier;
  patch(d, offsetof(RoutePush, x_offset), x, Patch::Kind::kOffsetWords);
  patch(d, offsetof(RoutePush, x_stride), x, Patch::Kind::kStrideWords);
  d->bindings = {view(x), {Binding::Kind::kRouter, 0, 0}, aux()};
}

void PlanBuilder::route_tokens() {
  const moe_layer_desc& desc = spec_.desc;
  const bool router = spec_.computes_logits();
  const bool table = desc.route_source == MOE_ROUTE_FROM_TOKEN_TABLE;
  const bool fused = router && !split_;
  step("route");
  if (!split_ && !(has_logits_ && !router)) prepare();
  const bool limited = desc.capacity != MOE_CAPACITY_NONE;
  const bool histogram = needs_histogram() && !limited;
  const uint32_t wide = spec_.candidates() * kNumberGroups <= kNumberLogitCapacity ? kNumberGroups : 1;
  const uint32_t block = histogram || fused ? fused_tokens_per_group(spec_, tokens_) : wide;
  Dispatch d = dispatch(KernelId::kRoute, fused ? "router and selection in one: no trip of the logits through a barrier"
                                          : router ? "selection from the logits of the step before"
                                                   : "selection from what the host gave");
  set(&d, Constant::kTokensPerGroup, block);
  set(&d, Constant::kRouteSource, !split_ ? desc.route_source : table ? kNumberTableAndLogits : MOE_ROUTE_FROM_LOGITS);

  const uint32_t rows = spec_.router_rows(), candidates = spec_.candidates();
  const uint32_t a_stride = rows;  // of the split logits; the host's are patched in
  RoutePush push{};
  push.tokens = tokens_;
  push.experts = candidates;
  push.routed_experts = desc.experts;
  push.experts_total = spec_.experts_total;
  push.top_k = desc.top_k;
  push.slots = spec_.slots;
  push.a_stride = a_stride;
  push.router_bias = layout_.router_bias;
  push.selection_bias = layout_.selection_bias;
  push.expert_scale = layout_.expert_scale;
  push.token_table = layout_.token_table;
  push.token_rows = desc.token_table_rows;
  push.soft_cap = desc.logit_soft_cap;
  push.sparsemixer_eps = desc.selection == MOE_SELECT_SPARSEMIXER ? 2 * desc.sparsemixer_eps : -1;
  push.normalize_eps = desc.normalize == MOE_NORMALIZE_P_NORM ? desc.normalize_p : desc.normalize_eps;
  push.routed_scale = desc.routed_scale;
  push.shared_constant = desc.shared_constant;
  if (desc.groups > 1) {
    const uint32_t summed = desc.group_score == MOE_GROUP_SCORE_SUM_TOP_N ? desc.group_top_n : 0;
    push.groups = desc.groups | desc.groups_kept << 8 | summed << 16;
  }
  push.modes = desc.score | desc.weight << 4 | desc.normalize << 8 |
               (spec_.has(MOE_LAYER_NORMALIZE_SINGLE) ? 1u << 12 : 0u) | desc.shared_gate << 13 |
               (shape_.wants(ViewId::kScores) ? 1u << 15 : 0u) | (histogram ? 1u << 16 : 0u);
  push.logit_stride = rows;
  if (fused) set_router_input(&d, &push);
  set_push(&d, push);

  const uint64_t routes_bytes = uint64_t{routes_} * 4;
  const Binding logits = has_logits_ ? region(Region::kLogits, uint64_t{tokens_} * rows * 4) : unused();
  Binding input_a = aux(), input_b = aux();
  const auto take = [&](ViewId id, size_t offset, size_t stride) {
    patch(&d, offset, id, Patch::Kind::kOffsetWords);
    patch(&d, stride, id, Patch::Kind::kStrideWords);
    return view(id);
  };
  constexpr size_t kAOffset = offsetof(RoutePush, a_offset), kAStride = offsetof(RoutePush, a_stride);
  if (split_) input_a = logits;
  if (desc.route_source == MOE_ROUTE_FROM_LOGITS) input_a = take(ViewId::kLogitsIn, kAOffset, kAStride);
  if (desc.route_source == MOE_ROUTE_FROM_SCORES) input_a = take(ViewId::kScoresIn, kAOffset, kAStride);
  if (desc.route_source == MOE_ROUTE_FROM_IDS) input_a = take(ViewId::kIdsIn, kAOffset, kAStride);
  if (table || desc.route_source == MOE_ROUTE_FROM_SCORES || desc.route_source == MOE_ROUTE_FROM_IDS) {
    input_b = take(table ? ViewId::kTokenIds : ViewId::kWeightsIn, offsetof(RoutePush, b_offset),
                   offsetof(RoutePush, b_stride));
  }
  const uint32_t blocks = (tokens_ + block - 1) / block;
  d.bindings = {fused ? d.bindings[0] : aux(),
                fused ? d.bindings[1] : aux(),
                aux(),
                input_a,
                input_b,
                logits,
                shape_.wants(ViewId::kScores) ? region(Region::kScores, uint64_t{tokens_} * candidates * 4) : unused(),
                region(limited ? Region::kChosen : Region::kIds, routes_bytes),
                region(Region::kWeights, routes_bytes),
                histogram ? region(Region::kHistogram, histogram_bytes(blocks, spec_.experts_total)) : unused()};
  d.grid = {blocks, 1, 1};
  d.flops = fused ? 2.0 * tokens_ * rows * desc.hidden : 0;
  d.bytes = 8.0 * tokens_ * candidates + (fused ? 4.0 * rows * desc.hidden * blocks + 4.0 * tokens_ * desc.hidden : 0);
  add(std::move(d));
  if (limited) drop_routes();
  export_routes();
}

bool PlanBuilder::needs_histogram() const { return shape_.stage == Stage::kForward && !one_sort_; }

// They are counted in the same step.
void PlanBuilder::drop_routes() {
  const uint32_t capacity = spec_.expert_capacity(tokens_);
  step("capacity");
  Dispatch d = dispatch(KernelId::kCapacity, "an expert serves at most " + std::to_string(capacity) + " routes");
  const bool histogram = needs_histogram();
  const uint32_t block_tokens = fused_tokens_per_group(spec_, tokens_);
  const uint32_t blocks = histogram ? (tokens_ + block_tokens - 1) / block_tokens : 0;
  d.bindings = {region(Region::kChosen, 0), region(Region::kIds, uint64_t{routes_} * 4),
                histogram ? region(Region::kHistogram, histogram_bytes(blocks, spec_.experts_total)) : unused()};
  set_push(&d,
           CapacityPush{tokens_, spec_.slots, spec_.experts_total, spec_.desc.experts, capacity, blocks, block_tokens});
  d.grid = {spec_.experts_total / kNumberWorkgroup + 1, 1, 1};
  d.bytes = 8.0 * routes_;
  add(std::move(d));
}

void PlanBuilder::export_routes() {
  const uint32_t experts = spec_.candidates();
  if (shape_.wants(ViewId::kIds)) export_rows(Region::kIds, spec_.slots, ViewId::kIds, tokens_, shape_.ids_columns);
  if (shape_.wants(ViewId::kWeights))
    export_rows(Region::kWeights, spec_.slots, ViewId::kWeights, tokens_, shape_.weights_columns);
  if (shape_.wants(ViewId::kLogits))
    export_rows(Region::kLogits, spec_.router_rows(), ViewId::kLogits, tokens_, experts);
  if (shape_.wants(ViewId::kScores)) export_rows(Region::kScores, experts, ViewId::kScores, tokens_, experts);
  if (shape_.wants(ViewId::kCounts)) add_next(count_routes(first_token_ != 0 ? 1 : 0));
}

Dispatch PlanBuilder::count_routes(uint32_t accumulate) {
  const uint32_t experts = spec_.candidates();
  Dispatch d = dispatch(KernelId::kCounts, "routes per expert for the host");
  d.bindings = {region(Region::kIds, 0), view(ViewId::kCounts)};
  set_push(&d, CountsPush{routes_, experts, spec_.desc.experts, spec_.shared_slots, 0, accumulate});
  patch(&d, offsetof(CountsPush, out_offset), ViewId::kCounts, Patch::Kind::kOffsetWords);
  d.grid = {(experts + kNumberWorkgroup - 1) / kNumberWorkgroup, 1, 1};
  return d;
}

// Each expert's last tile may be partly filled.
uint32_t PlanBuilder::tile_room() const { return routes_ / kNumberTileRows + std::min(spec_.experts_total, routes_); }

SortPush PlanBuilder::sort_push() const {
  const uint32_t block_tokens = fused_tokens_per_group(spec_, tokens_);
  const auto column_blocks = [](uint32_t columns) { return (columns + kNumberTileColumns - 1) / kNumberTileColumns; };
  return {routes_,
          spec_.experts_total,
          (tokens_ + block_tokens - 1) / block_tokens,
          block_tokens * spec_.slots,
          column_blocks(spec_.widest()),
          column_blocks(spec_.desc.hidden)};
}

// from_ids: the ids came from a host, so there is no histogram yet.
void PlanBuilder::sort(bool from_ids) {
  const uint32_t total = spec_.experts_total;
  const SortPush push = sort_push();
  const uint32_t blocks = push.blocks;

  const Binding ids = region(Region::kIds, uint64_t{routes_} * 4);
  const Binding offsets = region(Region::kOffsets, (uint64_t{total} + 1) * 4);
  const Binding tile_list = region(Region::kTiles, uint64_t{tile_room()} * 16);
  const Binding indirect = region(Region::kIndirect, 24);
  const Binding order = region(Region::kOrder, uint64_t{routes_} * 4);
  if (one_sort_) {
    step("sort");
    Dispatch d =
        dispatch(KernelId::kSortSmall, std::to_string(routes_) + " routes: one workgroup sorts them in one step");
    d.bindings = {ids, offsets, tile_list, indirect, order};
    set_push(&d, push);
    add(std::move(d));
    return;
  }
  if (routes_ > kNumberMaxSortRoutes) {
    refuse("one-workgroup sort: " + std::to_string(routes_) + " routes, at most " +
           std::to_string(kNumberMaxSortRoutes));
  }
  const Binding histogram = region(Region::kHistogram, histogram_bytes(blocks, total));
  if (from_ids) {
    step("histogram");
    Dispatch d = dispatch(KernelId::kHistogram, "the ids come from the host");
    d.bindings = {ids, histogram};
    set_push(&d, push);
    d.grid = {blocks, 1, 1};
    add(std::move(d));
  }
  step("scan");
  Dispatch scan = dispatch(KernelId::kScan, std::to_string(blocks) + " histograms become positions, tiles and grids");
  scan.bindings = {histogram, offsets, tile_list, indirect};
  set_push(&scan, push);
  scan.bytes = 8.0 * blocks * total;
  add(std::move(scan));
  step("scatter");
  Dispatch scatter = dispatch(KernelId::kScatter, "routes go to their places, stable in token order");
  scatter.bindings = {ids, histogram, offsets, order};
  set_push(&scatter, push);
  scatter.grid = {blocks, 1, 1};
  scatter.bytes = 8.0 * routes_;
  add(std::move(scatter));
}

}  // namespace moevk
