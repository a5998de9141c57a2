// SPDX-License-Identifier: MIT
//
// A host's layer descriptor, checked, with defaults filled in and with what follows from it: formats the kernels
// know, slots, and segments (runs of experts of one width and format). Everything later works on this.
#pragma once

#include "runtime/weight_format.h"

namespace moevk {

constexpr uint32_t kMaxWidth = 262128;  // of hidden and intermediate: in blocks of 4 rows a grid of at most 65535

// Experts that share a width and formats. Shared experts join the routed ones where both agree (a shared width of
// n times F becomes n further experts); else they are a segment of their own, one expert wide.
struct Segment {
  uint32_t first_expert = 0;
  uint32_t experts = 0;
  uint32_t hidden = 0;               // columns of gate and up, rows of down: H, or L of experts in a latent space
  uint32_t intermediate = 0;         // F of this segment
  uint32_t hidden_padded = 0;        // to kNumberPadColumns
  uint32_t intermediate_padded = 0;  // likewise
  bool gated = true;
  WeightFormat gate = WeightFormat::kF32;
  WeightFormat up = WeightFormat::kF32;
  WeightFormat down = WeightFormat::kF32;
};

struct LayerSpec {
  moe_layer_desc desc{};  // defaults resolved
  bool gated = true;
  uint32_t hidden_padded = 0;
  uint32_t shared_slots = 0;   // routes that every token has besides its k
  uint32_t slots = 0;          // k + shared_slots
  uint32_t experts_total = 0;  // E + shared experts
  uint32_t segments = 1;
  // The last one in use, after those of experts, is of a latent layer: up is latent.down [L, H], down latent.up [H, L].
  Segment segment[3];

  bool latent() const { return desc.latent != 0; }
  const Segment& latent_segment() const { return segment[segments]; }
  uint32_t weight_segments() const { return segments + (latent() ? 1 : 0); }
  bool has(uint32_t flag) const { return (desc.flags & flag) != 0; }
  bool shared_router() const { return desc.shared_intermediate != 0 && desc.shared_gate == MOE_SHARED_GATE_SIGMOID; }
  bool computes_logits() const {
    return desc.route_source == MOE_ROUTE_FROM_ROUTER || desc.route_source == MOE_ROUTE_FROM_TOKEN_TABLE;
  }
  // What the router chooses from: experts, then identity experts.
  uint32_t candidates() const { return desc.experts + desc.identity_experts; }
  // Ids as the host sees them: candidates, then shared experts. The device has the identity experts last, since they
  // have no weights and are not sorted.
  uint32_t host_ids() const { return candidates() + shared_slots; }
  int32_t device_id(int32_t host) const { return turned(host, shared_slots); }
  int32_t host_id(int32_t device) const { return turned(device, desc.identity_experts); }
  // Routes that each routed expert serves of a call's tokens.
  uint32_t expert_capacity(uint64_t tokens) const;
  // Rows of the router matrix as the device holds it: the candidates', then the shared gate's.
  uint32_t router_rows() const { return (computes_logits() ? candidates() : 0) + (shared_router() ? 1 : 0); }
  int32_t turned(int32_t id, uint32_t by) const {
    const auto first = static_cast<int32_t>(desc.experts), last = static_cast<int32_t>(host_ids());
    return id < first || id >= last ? id : first + (id - first + static_cast<int32_t>(by)) % (last - first);
  }
  uint32_t widest() const {  // padded
    return segments == 2 && segment[1].intermediate_padded > segment[0].intermediate_padded
               ? segment[1].intermediate_padded
               : segment[0].intermediate_padded;
  }
};

// MOE_ERROR_INVALID_ARGUMENT where the descriptor contradicts itself.
Status validate_layer(const moe_layer_desc& desc);
// MOE_ERROR_UNSUPPORTED, with the field and the reason, where it asks for what is not done yet.
Status check_layer_supported(const moe_layer_desc& desc);
// Both of the above, then the spec.
Result<LayerSpec> make_layer_spec(const moe_layer_desc& desc);

// Parameters of the whole layer, and those that one token meets.
uint64_t total_parameters(const LayerSpec& spec);
uint64_t active_parameters(const LayerSpec& spec);

}  // namespace moevk
