// SPDX-License-Identifier: MIT
//
// Builds the steps of one chunk of tokens. The stages of the ABI are the same pieces in other company: a stage
// imports what an earlier one exported, so that staged and fused calls run the same kernels on the same numbers.
#pragma once

#include <cstring>

#include "push_constants.h"
#include "runtime/plan.h"

namespace moevk {

// Tokens that the small-token kernels serve a pass, and the rows that one workgroup then makes: kRows of
// small_tokens.glsl.
uint32_t small_tokens_per_group(uint32_t tokens);
// The same for routed experts, few of which share tokens: the least that reads weights, under uniform routing, at most
// 1.25 times. A token's result is the same with each.
uint32_t routed_tokens_per_group(const LayerSpec& spec, uint32_t tokens);
uint32_t small_rows(uint32_t tokens_per_group);
// Columns of activations that share a unit in int8 precision; bytes of a row as quantise.comp writes it.
inline constexpr uint32_t kCodeBlock = 32;
uint64_t code_row_bytes(uint32_t columns);
// For a dispatch's reason; empty where one pass binds all windows.
std::string binding_pass_text(size_t pass, size_t passes);
// Of y and the residual, as push constants have them.
uint32_t output_dtypes(const CallShape& shape);

class PlanBuilder {
 public:
  PlanBuilder(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps, const CallShape& shape,
              Plan* plan, uint64_t first_token, uint64_t tokens);
  void build();

  // Tokens per workgroup of the fused router: as many as share reads of the router, while 32 workgroups remain.
  static uint32_t fused_tokens_per_group(const LayerSpec& spec, uint64_t tokens);

 private:
  // plan_route.cpp
  void route();
  void router_logits();
  void route_tokens();
  void set_router_input(Dispatch* d, RoutePush* push) const;
  bool needs_histogram() const;
  void drop_routes();
  void export_routes();
  void sort(bool from_ids);
  SortPush sort_push() const;
  uint32_t tile_room() const;
  Dispatch count_routes(uint32_t accumulate);
  // plan_experts.cpp
  void prepare();
  Binding matmul_input(Dispatch* d);
  void gate_up();
  void down();
  void combine();
  void import_for_experts();
  void export_expert_out();
  Binding identity_input(Dispatch* d, size_t x_offset, size_t x_stride) const;
  GateUpPush gate_up_push() const;
  DownPush down_push() const;
  bool fuses_combine();
  void set_formats(Dispatch* d) const;
  void estimate_matmul(Dispatch* d, bool gate_up, size_t passes) const;
  // plan_dots.cpp
  std::string no_dots(WeightSet weights) const;
  bool takes_dots(WeightSet weights);
  Dispatch quantise(Region to, uint32_t rows, uint32_t columns, const char* why);
  void quantise_x();
  // Constant::kIntegerDot: 1 weights as signed bytes, 2 as unsigned ones.
  uint32_t dot_kind() const { return caps_.integer_dot == 3 ? 2 : 1; }
  void quantise_h();
  // plan_latent.cpp
  void latent_down();
  void latent_up();
  uint32_t latent_padded() const { return spec_.latent_segment().intermediate_padded; }
  Binding latent_rows(bool used);
  Binding latent_sum();
  Binding beside(bool used);
  Dispatch projection(WeightSet weights, size_t pass, const char* why);
  void set_y(Dispatch* d, size_t y_offset, size_t y_stride, size_t residual_offset, size_t residual_stride,
             size_t beta) const;
  // plan_builder.cpp
  Step& step(const char* name);
  Dispatch dispatch(KernelId kernel, std::string why) const;
  void add(Dispatch d);
  void add_next(Dispatch d);  // with the next step: nothing in between waits for it
  Dispatch copy_rows(Binding from, Binding to, uint32_t rows, uint32_t columns, std::string why) const;
  void import_rows(ViewId from, Region to, uint32_t rows, uint32_t columns);
  void import_ids();
  void export_rows(Region from, uint32_t from_stride, ViewId to, uint32_t rows, uint32_t columns);
  Binding region(Region r, uint64_t bytes);
  Binding unused();
  static Binding view(ViewId id) { return {Binding::Kind::kView, static_cast<uint8_t>(id), 0}; }
  static Binding aux() { return {Binding::Kind::kAux, 0, 0}; }
  void refuse(std::string text);
  bool compiles(std::initializer_list<KernelId> kernels, const char* candidate);

  template <class Push>
  static void set_push(Dispatch* d, const Push& push) {
    static_assert(sizeof(Push) <= sizeof d->push);
    d->push_words = sizeof(Push) / 4;
    std::memcpy(d->push.data(), &push, sizeof(Push));
  }
  static void set(Dispatch* d, Constant constant, uint32_t value) {
    d->constants[static_cast<size_t>(constant)] = value;
  }
  static void patch(Dispatch* d, size_t byte, ViewId id, Patch::Kind kind) {
    d->patches.push_back({kind, static_cast<uint8_t>(byte / 4), id});
  }

  const LayerSpec& spec_;
  const WeightLayout& layout_;
  const DeviceCaps& caps_;
  const CallShape& shape_;
  Plan* plan_;
  uint64_t first_token_;
  uint32_t tokens_;
  uint32_t routes_;
  bool small_;       // the small-token kernels: no sort
  bool one_sort_;    // one workgroup sorts
  bool split_;       // router logits in a step of their own
  bool has_logits_;  // the logits region is filled before route_tokens, or by it
  std::vector<Dispatch> next_;
  uint32_t unused_in_step_ = 0;
  const char* waits_for_ = nullptr;  // what is made with the next step, which must not be the experts' own
  bool dots_gate_up_ = false, dots_down_ = false;  // int8 precision by integer dot products
};

}  // namespace moevk
