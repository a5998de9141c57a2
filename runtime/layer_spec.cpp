// SPDX-License-Identifier: MIT
//
// Descriptor -> LayerSpec. Contradictions and unsupported wishes are told apart: the first are the caller's
// mistake, the second a list that shrinks.
#include "runtime/layer_spec.h"

#include <algorithm>
#include <cmath>

#include "kernel_table.h"
#include "runtime/affine_format.h"

namespace moevk {
namespace {

constexpr uint32_t kKnownFlags = (MOE_LAYER_BATCH_INVARIANT << 1) - 1;
constexpr uint32_t kMaxGroupTopN = 32;     // one lane looks through its group that many times
constexpr uint32_t kActivationBlock = 32;  // of MOE_PRECISION_INT8
constexpr uint32_t kMaxJoinedShared = 8;   // shared experts that become slots of their own

std::string number(uint64_t value) { return std::to_string(value); }

Status check_range(const char* field, uint32_t value, uint32_t least, uint32_t most) {
  if (value >= least && value <= most) return {};
  return invalid(std::string("desc.") + field,
                 "is " + number(value) + "; it must be within " + number(least) + ".." + number(most));
}

Status validate_enums(const moe_layer_desc& d) {
  MOE_RETURN_IF_ERROR(check_range("route_source", d.route_source, 0, MOE_ROUTE_FROM_TOKEN_TABLE));
  MOE_RETURN_IF_ERROR(check_range("score", d.score, 0, MOE_SCORE_SQRT_SOFTPLUS));
  MOE_RETURN_IF_ERROR(check_range("selection", d.selection, 0, MOE_SELECT_EXPERT_CHOICE));
  MOE_RETURN_IF_ERROR(check_range("group_score", d.group_score, 0, MOE_GROUP_SCORE_SUM_TOP_N));
  MOE_RETURN_IF_ERROR(check_range("weight", d.weight, 0, MOE_WEIGHT_SIGMOID));
  MOE_RETURN_IF_ERROR(check_range("normalize", d.normalize, 0, MOE_NORMALIZE_P_NORM));
  MOE_RETURN_IF_ERROR(check_range("capacity", d.capacity, 0, MOE_CAPACITY_BATCH_PRIORITISED));
  MOE_RETURN_IF_ERROR(check_range("activation", d.activation, 0, MOE_ACTIVATION_SITU));
  MOE_RETURN_IF_ERROR(check_range("gate_up_layout", d.gate_up_layout, 0, MOE_GATE_UP_INTERLEAVED));
  MOE_RETURN_IF_ERROR(check_range("matrix_order", d.matrix_order, 0, MOE_MATRIX_IN_OUT));
  MOE_RETURN_IF_ERROR(check_range("shared_gate", d.shared_gate, 0, MOE_SHARED_GATE_CONSTANT));
  MOE_RETURN_IF_ERROR(check_range("precision", d.precision, 0, MOE_PRECISION_INT8));
  MOE_RETURN_IF_ERROR(check_range("reserved", d.reserved, 0, 0));
  if ((d.flags & ~kKnownFlags) != 0) {
    return invalid("desc.flags", "has unknown bits: " + number(d.flags & ~kKnownFlags));
  }
  return {};
}

Status validate_floats(const moe_layer_desc& d) {
  const struct {
    const char* field;
    float value;
    bool may_be_negative;
  } floats[] = {{"logit_soft_cap", d.logit_soft_cap, false},
                {"normalize_eps", d.normalize_eps, false},
                {"normalize_p", d.normalize_p, false},
                {"routed_scale", d.routed_scale, true},
                {"sparsemixer_eps", d.sparsemixer_eps, false},
                {"router_input_multiplier", d.router_input_multiplier, true},
                {"capacity_factor", d.capacity_factor, false},
                {"activation_alpha", d.activation_alpha, true},
                {"activation_beta", d.activation_beta, true},
                {"activation_limit", d.activation_limit, true},
                {"lora_alpha", d.lora_alpha, true},
                {"norm_eps", d.norm_eps, false},
                {"shared_constant", d.shared_constant, true},
                {"out_scale", d.out_scale, true}};
  for (const auto& one : floats) {
    if (!std::isfinite(one.value)) return invalid(std::string("desc.") + one.field, "is not finite");
    if (!one.may_be_negative && one.value < 0) return invalid(std::string("desc.") + one.field, "is negative");
  }
  return {};
}

Status validate_groups(const moe_layer_desc& d) {
  if (d.groups <= 1) return {};
  const uint32_t candidates = d.experts + d.identity_experts;
  if (d.route_source > MOE_ROUTE_FROM_SCORES) {
    return invalid("desc.groups", "needs a selection: with this route_source the experts are given");
  }
  if (d.groups > kNumberMaxGroups || candidates % d.groups != 0) {
    return invalid("desc.groups", "is " + number(d.groups) + "; it must divide the " + number(candidates) +
                                      " experts, and be at most " + number(kNumberMaxGroups));
  }
  const uint32_t size = candidates / d.groups;
  if (d.groups_kept == 0 || d.groups_kept > d.groups || d.groups_kept * size < d.top_k) {
    return invalid("desc.groups_kept", "is " + number(d.groups_kept) + "; it must be within 1..groups, and that many" +
                                           " groups of " + number(size) + " must hold top_k experts");
  }
  if (d.group_score != MOE_GROUP_SCORE_SUM_TOP_N) return {};
  return check_range("group_top_n", d.group_top_n, 1, std::min(size, kMaxGroupTopN));
}

Status validate_sparsemixer(const moe_layer_desc& d) {
  if (d.selection != MOE_SELECT_SPARSEMIXER) return {};
  if (d.route_source != MOE_ROUTE_FROM_ROUTER && d.route_source != MOE_ROUTE_FROM_LOGITS) {
    return invalid("desc.selection",
                   "MOE_SELECT_SPARSEMIXER needs logits to select by: with this route_source there are none");
  }
  const bool other = d.score != MOE_SCORE_IDENTITY || d.logit_soft_cap != 0 || d.groups > 1 ||
                     (d.flags & MOE_LAYER_SELECTION_BIAS) != 0;
  if (!other) return {};
  return invalid("desc.selection", "MOE_SELECT_SPARSEMIXER compares plain logits: no score, soft cap, groups or bias");
}

Status validate_router_input(const moe_layer_desc& d, bool computed) {
  constexpr uint32_t kFlags =
      MOE_LAYER_SEPARATE_ROUTER_INPUT | MOE_LAYER_ROUTER_INPUT_NORM | MOE_LAYER_ROUTER_INPUT_SCALE;
  if (!computed && (d.flags & kFlags) != 0) {
    return invalid("desc.flags", "MOE_LAYER_*ROUTER_INPUT* needs a router: route_source gives routes from elsewhere");
  }
  if (!computed && d.router_input_multiplier != 0) {
    return invalid("desc.router_input_multiplier", "needs a router: route_source gives routes from elsewhere");
  }
  return {};
}

Status validate_routing(const moe_layer_desc& d) {
  const bool computed = d.route_source == MOE_ROUTE_FROM_ROUTER || d.route_source == MOE_ROUTE_FROM_TOKEN_TABLE;
  const bool scored = computed || d.route_source == MOE_ROUTE_FROM_LOGITS;
  if (!computed && (d.flags & MOE_LAYER_ROUTER_BIAS) != 0) {
    return invalid("desc.flags", "MOE_LAYER_ROUTER_BIAS needs a router: route_source gives routes from elsewhere");
  }
  if (!scored && (d.flags & MOE_LAYER_SELECTION_BIAS) != 0) {
    return invalid("desc.flags",
                   "MOE_LAYER_SELECTION_BIAS needs logits: with this route_source the host has selected or scored");
  }
  if (!scored && d.score != MOE_SCORE_IDENTITY) {
    return invalid("desc.score", "must be MOE_SCORE_IDENTITY: with this route_source no logits are scored");
  }
  if (d.route_source == MOE_ROUTE_DENSE && (d.experts != 1 || d.top_k != 1)) {
    return invalid("desc.route_source", "MOE_ROUTE_DENSE needs experts = 1 and top_k = 1");
  }
  if (d.normalize == MOE_NORMALIZE_SUM_FLOOR && d.normalize_eps <= 0) {
    return invalid("desc.normalize_eps", "must be positive: it is the floor");
  }
  if (d.normalize == MOE_NORMALIZE_P_NORM && d.normalize_p <= 0) {
    return invalid("desc.normalize_p", "must be positive: it is the p of the norm");
  }
  if (d.logit_soft_cap > 0 && !scored) {
    return invalid("desc.logit_soft_cap", "needs logits: with this route_source there are none");
  }
  if (d.capacity != MOE_CAPACITY_NONE) {
    if (d.route_source == MOE_ROUTE_DENSE) return invalid("desc.capacity", "has no routes to drop: MOE_ROUTE_DENSE");
    if (d.capacity_factor == 0 && d.capacity_minimum == 0) {
      return invalid("desc.capacity_factor", "is 0, and so is capacity_minimum: experts would serve nothing");
    }
  }
  MOE_RETURN_IF_ERROR(validate_groups(d));
  MOE_RETURN_IF_ERROR(validate_sparsemixer(d));
  MOE_RETURN_IF_ERROR(validate_router_input(d, computed));
  if ((d.route_source == MOE_ROUTE_FROM_TOKEN_TABLE) != (d.token_table_rows != 0)) {
    return invalid("desc.token_table_rows", d.token_table_rows == 0
                                                ? "is 0: route_source takes the experts from a table"
                                                : "is set, but route_source takes no experts from a table");
  }
  if (d.route_source == MOE_ROUTE_FROM_TOKEN_TABLE && (d.flags & MOE_LAYER_SELECTION_BIAS) != 0) {
    return invalid("desc.flags", "MOE_LAYER_SELECTION_BIAS has nothing to select: the table names the experts");
  }
  return {};
}

// A field that only another one gives a meaning.
Status validate_dependent_fields(const moe_layer_desc& d) {
  const bool clamps = d.activation >= MOE_ACTIVATION_SWIGLU_OAI && d.activation <= MOE_ACTIVATION_SWIGLU_CLAMP_POST;
  const bool shaped = d.activation == MOE_ACTIVATION_SWIGLU_OAI || d.activation == MOE_ACTIVATION_SITU;
  const struct {
    bool set;
    bool used;
    const char* field;
    const char* needs;
  } fields[] = {
      {d.normalize_p != 0, d.normalize == MOE_NORMALIZE_P_NORM, "normalize_p", "normalize = MOE_NORMALIZE_P_NORM"},
      {d.normalize_eps != 0, d.normalize == MOE_NORMALIZE_SUM_EPS || d.normalize == MOE_NORMALIZE_SUM_FLOOR,
       "normalize_eps", "MOE_NORMALIZE_SUM_EPS or _FLOOR"},
      {d.sparsemixer_eps != 0, d.selection == MOE_SELECT_SPARSEMIXER, "sparsemixer_eps", "MOE_SELECT_SPARSEMIXER"},
      {d.groups_kept != 0, d.groups > 1, "groups_kept", "groups > 1"},
      {d.group_score != MOE_GROUP_SCORE_MAX, d.groups > 1, "group_score", "groups > 1"},
      {d.group_top_n != 0, d.groups > 1 && d.group_score == MOE_GROUP_SCORE_SUM_TOP_N, "group_top_n",
       "MOE_GROUP_SCORE_SUM_TOP_N"},
      {d.capacity_factor != 0, d.capacity != MOE_CAPACITY_NONE || d.selection == MOE_SELECT_EXPERT_CHOICE,
       "capacity_factor", "capacity or MOE_SELECT_EXPERT_CHOICE"},
      {d.capacity_minimum != 0, d.capacity != MOE_CAPACITY_NONE, "capacity_minimum", "capacity"},
      {d.noise_seed != 0, (d.flags & MOE_LAYER_NOISY_TOP_K) != 0, "noise_seed", "MOE_LAYER_NOISY_TOP_K"},
      {d.activation_alpha != 0, shaped, "activation_alpha", "MOE_ACTIVATION_SWIGLU_OAI or _SITU"},
      {d.activation_beta != 0, shaped, "activation_beta", "MOE_ACTIVATION_SWIGLU_OAI or _SITU"},
      {d.activation_limit > 0, clamps, "activation_limit", "an activation that clamps"},
      {d.norm_eps != 0, (d.flags & (MOE_LAYER_INPUT_NORM | MOE_LAYER_ROUTER_INPUT_NORM | MOE_LAYER_LATENT_NORM)) != 0,
       "norm_eps", "a norm"},
      {d.lora_alpha != 0, d.lora_rank != 0, "lora_alpha", "lora_rank"},
      {d.shared_constant != 0, d.shared_gate == MOE_SHARED_GATE_CONSTANT, "shared_constant",
       "MOE_SHARED_GATE_CONSTANT"},
      {(d.flags & MOE_LAYER_LATENT_NORM) != 0, d.latent != 0, "flags", "MOE_LAYER_LATENT_NORM: latent"},
      {(d.flags & MOE_LAYER_NORMALIZE_SINGLE) != 0, d.normalize != MOE_NORMALIZE_NONE, "flags",
       "MOE_LAYER_NORMALIZE_SINGLE: normalize"},
      {d.identity_experts != 0, d.route_source != MOE_ROUTE_DENSE, "identity_experts", "routes"},
      {(d.flags & MOE_LAYER_PER_EXPERT_SCALE) != 0, d.route_source != MOE_ROUTE_DENSE, "flags",
       "MOE_LAYER_PER_EXPERT_SCALE: routes"},
  };
  for (const auto& one : fields) {
    if (one.set && !one.used) {
      return invalid(std::string("desc.") + one.field, std::string("is set, but has no meaning without ") + one.needs);
    }
  }
  return {};
}

Status validate_ffn(const moe_layer_desc& d) {
  const bool ungated = (d.flags & MOE_LAYER_UNGATED) != 0;
  if (ungated && d.activation >= MOE_ACTIVATION_SWIGLU_OAI) {
    return invalid("desc.activation", "needs a gate, but MOE_LAYER_UNGATED is set");
  }
  if (ungated && d.gate_up_layout != MOE_GATE_UP_SEPARATE) {
    return invalid("desc.gate_up_layout", "must be MOE_GATE_UP_SEPARATE: there is no gate");
  }
  const bool joined = d.gate_up_layout != MOE_GATE_UP_SEPARATE;
  const auto differ = [](const moe_weight_format& a, const moe_weight_format& b) {
    return a.element != b.element || a.bits != b.bits || a.block_columns != b.block_columns ||
           a.block_rows != b.block_rows || a.scale != b.scale || a.zero_point != b.zero_point ||
           a.packing != b.packing || a.preset != b.preset;
  };
  if (joined && differ(d.gate_format, d.up_format)) {
    return invalid("desc.up_format", "must equal gate_format: both are in one tensor");
  }
  if (joined && d.shared_intermediate != 0 && differ(d.shared_gate_format, d.shared_up_format)) {
    return invalid("desc.shared_up_format", "must equal shared_gate_format: both are in one tensor");
  }
  if (d.shared_intermediate == 0 && d.shared_gate != MOE_SHARED_GATE_ONE) {
    return invalid("desc.shared_gate", "is set, but shared_intermediate is 0");
  }
  return {};
}

}  // namespace

Status validate_layer(const moe_layer_desc& d) {
  MOE_RETURN_IF_ERROR(check_range("hidden", d.hidden, 1, kMaxWidth));
  MOE_RETURN_IF_ERROR(check_range("intermediate", d.intermediate, 1, kMaxWidth));
  MOE_RETURN_IF_ERROR(check_range("shared_intermediate", d.shared_intermediate, 0, kMaxWidth));
  MOE_RETURN_IF_ERROR(check_range("latent", d.latent, 0, d.hidden));
  MOE_RETURN_IF_ERROR(check_range("experts", d.experts, 1, kNumberMaxExperts));
  MOE_RETURN_IF_ERROR(check_range("identity_experts", d.identity_experts, 0, kNumberMaxExperts));
  MOE_RETURN_IF_ERROR(check_range("token_table_rows", d.token_table_rows, 0, INT32_MAX));
  MOE_RETURN_IF_ERROR(check_range("top_k", d.top_k, 1, std::min(kNumberLanes, d.experts + d.identity_experts)));
  MOE_RETURN_IF_ERROR(validate_enums(d));
  MOE_RETURN_IF_ERROR(validate_floats(d));
  MOE_RETURN_IF_ERROR(validate_routing(d));
  MOE_RETURN_IF_ERROR(validate_dependent_fields(d));
  return validate_ffn(d);
}

Status check_layer_supported(const moe_layer_desc& d) {
  const auto flag = [&](uint32_t bit) { return (d.flags & bit) != 0; };
  // The gate's row is one of the router's, which all have the same input.
  const bool own_router_input = flag(MOE_LAYER_SEPARATE_ROUTER_INPUT) || flag(MOE_LAYER_ROUTER_INPUT_NORM) ||
                                flag(MOE_LAYER_ROUTER_INPUT_SCALE) ||
                                (d.router_input_multiplier != 0 && d.router_input_multiplier != 1);
  const struct {
    bool asked;
    const char* field;
    const char* what;
  } wishes[] = {
      {d.selection == MOE_SELECT_EXPERT_CHOICE, "selection", "expert choice is"},
      {d.capacity > MOE_CAPACITY_POSITION, "capacity", "expert capacity in another order than by position is"},
      {d.lora_rank != 0, "lora_rank", "expert LoRA is"},
      {d.shared_gate == MOE_SHARED_GATE_SIGMOID && own_router_input, "shared_gate",
       "a sigmoid gate beside a router with an input of its own is"},
      {flag(MOE_LAYER_NOISY_TOP_K), "flags", "MOE_LAYER_NOISY_TOP_K is"},
      {flag(MOE_LAYER_BATCH_INVARIANT), "flags", "MOE_LAYER_BATCH_INVARIANT is"},
  };
  for (const auto& wish : wishes) {
    if (wish.asked) return unsupported(std::string("desc.") + wish.field, std::string(wish.what) + " not done yet");
  }
  return {};
}

namespace {

// Blocks lie along a matrix's rows: a row must be whole blocks, and so must not be a column.
Status check_rows(const LayerSpec& spec, WeightFormat format, uint32_t columns, const std::string& field) {
  if (is_plain(format)) return {};
  const std::string name = format_name(format);
  if (is_affine(format) && columns % kAffineColumns != 0) {
    return unsupported("desc." + field, name + " needs rows of a multiple of " + number(kAffineColumns) +
                                            " weights; a row has " + number(columns));
  }
  if (columns % block_elements(format) != 0) {
    return invalid("desc." + field, name + " has blocks of " + number(block_elements(format)) + " weights; a row of " +
                                        number(columns) + " is no multiple of that");
  }
  if (spec.desc.matrix_order != MOE_MATRIX_IN_OUT || field.starts_with("latent")) return {};
  return unsupported("desc.matrix_order", "[in, out] is not done for quantised weights, whose blocks lie along rows (" +
                                              field + " is " + name + ")");
}

Status check_blocks(const LayerSpec& spec) {
  for (uint32_t i = 0; i < spec.weight_segments(); ++i) {
    const Segment& s = spec.segment[i];
    const bool latent = i == spec.segments;
    const std::string prefix = i == 0 ? "" : "shared_";
    MOE_RETURN_IF_ERROR(check_rows(spec, s.gate, s.hidden, latent ? "latent_down_format" : prefix + "gate_format"));
    MOE_RETURN_IF_ERROR(check_rows(spec, s.up, s.hidden, latent ? "latent_down_format" : prefix + "up_format"));
    MOE_RETURN_IF_ERROR(check_rows(spec, s.down, s.intermediate, latent ? "latent_up_format" : prefix + "down_format"));
  }
  return {};
}

}  // namespace

Result<LayerSpec> make_layer_spec(const moe_layer_desc& desc) {
  MOE_RETURN_IF_ERROR(validate_layer(desc));
  MOE_RETURN_IF_ERROR(check_layer_supported(desc));
  LayerSpec spec;
  spec.desc = desc;
  spec.desc.next = nullptr;
  moe_layer_desc& d = spec.desc;
  if (d.routed_scale == 0) d.routed_scale = 1;
  if (d.router_input_multiplier == 0) d.router_input_multiplier = 1;
  if (d.out_scale == 0) d.out_scale = 1;
  if (d.norm_eps == 0) d.norm_eps = 1e-6f;
  if (d.activation == MOE_ACTIVATION_SWIGLU_OAI && d.activation_alpha == 0) d.activation_alpha = 1.702f;
  if (d.activation == MOE_ACTIVATION_SITU && d.activation_alpha == 0) d.activation_alpha = 4;
  spec.gated = !spec.has(MOE_LAYER_UNGATED);

  const auto pad = [](uint32_t columns) {
    return (columns + kNumberPadColumns - 1) / kNumberPadColumns * kNumberPadColumns;
  };
  const auto segment = [&](uint32_t first, uint32_t experts, uint32_t hidden, uint32_t width, bool gated) {
    return Segment{first, experts, hidden, width, pad(hidden), pad(width), gated, {}, {}, {}};
  };
  spec.hidden_padded = pad(d.hidden);
  Segment& routed = spec.segment[0];
  routed = segment(0, d.experts, d.latent != 0 ? d.latent : d.hidden, d.intermediate, spec.gated);
  MOE_ASSIGN_OR_RETURN(routed.up, weight_format(d.up_format, "desc.up_format"));
  MOE_ASSIGN_OR_RETURN(routed.down, weight_format(d.down_format, "desc.down_format"));
  routed.gate = routed.up;
  if (spec.gated) {
    MOE_ASSIGN_OR_RETURN(routed.gate, weight_format(d.gate_format, "desc.gate_format"));
  }
  if (d.shared_intermediate != 0) {
    Segment shared = segment(d.experts, 1, d.hidden, d.shared_intermediate, spec.gated);
    MOE_ASSIGN_OR_RETURN(shared.up, weight_format(d.shared_up_format, "desc.shared_up_format"));
    MOE_ASSIGN_OR_RETURN(shared.down, weight_format(d.shared_down_format, "desc.shared_down_format"));
    shared.gate = shared.up;
    if (spec.gated) {
      MOE_ASSIGN_OR_RETURN(shared.gate, weight_format(d.shared_gate_format, "desc.shared_gate_format"));
    }
    const uint32_t times = d.shared_intermediate / d.intermediate;
    // Cut in parts, its blocks of activations must stay what they are.
    const bool whole_blocks = d.precision != MOE_PRECISION_INT8 || d.intermediate % kActivationBlock == 0;
    const bool joins = d.latent == 0 && d.shared_intermediate % d.intermediate == 0 && times <= kMaxJoinedShared &&
                       (whole_blocks || times == 1) && shared.gate == routed.gate && shared.up == routed.up &&
                       shared.down == routed.down && (times == 1 || !is_affine(shared.down));
    if (joins) {
      routed.experts += times;
      spec.shared_slots = times;
    } else {
      spec.segments = 2;
      spec.segment[1] = shared;
      spec.shared_slots = 1;
    }
  }
  if (spec.latent()) {
    Segment& latent = spec.segment[spec.segments] = segment(0, 1, d.hidden, d.latent, false);
    MOE_ASSIGN_OR_RETURN(latent.up, weight_format(d.latent_down_format, "desc.latent_down_format"));
    MOE_ASSIGN_OR_RETURN(latent.down, weight_format(d.latent_up_format, "desc.latent_up_format"));
    latent.gate = latent.up;
  }
  MOE_RETURN_IF_ERROR(check_blocks(spec));
  spec.slots = d.top_k + spec.shared_slots;
  spec.experts_total = d.experts + spec.shared_slots;
  return spec;
}

}  // namespace moevk
