// SPDX-License-Identifier: MIT
//
// Packs the canonical weights of a case into the tensors of the ABI, and describes a case in one
// line. Layouts: gate and up apart, one after the other, or row by row; [out, in] or [in, out].
#include "tests/conformance/layer_case.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "tests/conformance/block_codec.h"
#include "tests/conformance/numbers.h"
#include "tests/conformance/view_memory.h"

namespace moe_conformance {
namespace {

std::vector<std::byte> encode(const std::vector<float>& values, uint32_t dtype) {
  const size_t size = dtype_bytes(dtype);
  std::vector<std::byte> bytes(values.size() * size);
  for (size_t i = 0; i < values.size(); ++i) store(dtype, bytes.data() + i * size, values[i]);
  return bytes;
}

// [experts, out, in] -> [experts, in, out]
std::vector<float> transpose(const std::vector<float>& values, size_t experts, size_t out, size_t in) {
  std::vector<float> result(values.size());
  for (size_t e = 0; e < experts; ++e) {
    for (size_t o = 0; o < out; ++o) {
      for (size_t i = 0; i < in; ++i) {
        result[(e * in + i) * out + o] = values[(e * out + o) * in + i];
      }
    }
  }
  return result;
}

// gate and up [experts, width, in] -> [experts, 2 width, in] in a joint layout. Of blocks, `in` is a row's bytes.
template <class T>
std::vector<T> join(const std::vector<T>& gate, const std::vector<T>& up, size_t experts, size_t width, size_t in,
                    uint32_t layout) {
  std::vector<T> result(gate.size() + up.size());
  for (size_t e = 0; e < experts; ++e) {
    for (size_t f = 0; f < width; ++f) {
      size_t gate_row = f;
      size_t up_row = width + f;
      if (layout == MOE_GATE_UP_CONCATENATED_UP_FIRST) std::swap(gate_row, up_row);
      if (layout == MOE_GATE_UP_INTERLEAVED) {
        gate_row = 2 * f;
        up_row = 2 * f + 1;
      }
      for (size_t i = 0; i < in; ++i) {
        result[(e * 2 * width + gate_row) * in + i] = gate[(e * width + f) * in + i];
        result[(e * 2 * width + up_row) * in + i] = up[(e * width + f) * in + i];
      }
    }
  }
  return result;
}

class Packer {
 public:
  explicit Packer(const LayerCase& layer_case)
      : desc_(layer_case.desc), router_dtype_(layer_case.weights.router_dtype) {}

  // rows x columns in canonical order; the descriptor's order decides how it is stored.
  void matrix(const char* name, const std::vector<float>& values, const std::vector<std::byte>& blocks,
              const AffineParts& parts, uint32_t experts, uint32_t rows, uint32_t columns,
              const moe_weight_format& format) {
    add(name, values, blocks, parts, experts, rows, columns, format, desc_.matrix_order == MOE_MATRIX_IN_OUT);
  }
  // Always [out, in].
  void projection(const char* name, const std::vector<float>& values, const std::vector<std::byte>& blocks,
                  const AffineParts& parts, uint32_t rows, uint32_t columns, const moe_weight_format& format) {
    add(name, values, blocks, parts, 0, rows, columns, format, false);
  }
  // The router, biases and norms: never transposed, all in the router's type.
  void plain(const char* name, const std::vector<float>& values, uint32_t experts, uint32_t rows, uint32_t columns) {
    if (values.empty()) return;
    tensors.push_back({name, experts, rows, columns, router_dtype_, encode(values, router_dtype_)});
  }
  void integers(const char* name, const std::vector<int32_t>& values, uint32_t rows, uint32_t columns) {
    if (!values.empty()) tensors.push_back({name, 0, rows, columns, MOE_DTYPE_I32, to_bytes(values)});
  }

  std::vector<PackedTensor> tensors;

 private:
  void add(const char* name, const std::vector<float>& values, const std::vector<std::byte>& blocks,
           const AffineParts& parts, uint32_t experts, uint32_t rows, uint32_t columns, const moe_weight_format& format,
           bool transposed) {
    if (values.empty()) return;
    if (is_affine(format)) add_parts(name, parts, experts, rows, columns, format);
    if (block_kind(format) != nullptr || is_affine(format)) {  // never transposed
      tensors.push_back({name, experts, rows, columns, MOE_DTYPE_BLOCKS, blocks});
      return;
    }
    PackedTensor tensor;
    tensor.name = name;
    tensor.experts = experts;
    tensor.rows = transposed ? columns : rows;
    tensor.columns = transposed ? rows : columns;
    tensor.dtype = format.element;
    tensor.bytes =
        encode(transposed ? transpose(values, experts == 0 ? 1 : experts, rows, columns) : values, tensor.dtype);
    tensors.push_back(std::move(tensor));
  }

  void add_parts(const std::string& name, const AffineParts& parts, uint32_t experts, uint32_t rows, uint32_t columns,
                 const moe_weight_format& format) {
    const auto groups = static_cast<uint32_t>(affine_groups(format, columns));
    const auto scale_rows = static_cast<uint32_t>(affine_scale_rows(format, rows));
    tensors.push_back({name + ".scale", experts, scale_rows, groups, affine_scale_dtype(format), parts.scales});
    if (format.zero_point != MOE_ZERO_POINT_STORED) return;
    const bool along_rows = format.block_columns == 0;
    tensors.push_back({name + ".zero", experts, along_rows ? 1 : rows, along_rows ? rows : groups, MOE_DTYPE_BLOCKS,
                       pack_zeros(format, {std::max(experts, 1u), rows, columns}, parts.zeros)});
  }

  const moe_layer_desc& desc_;
  uint32_t router_dtype_;
};

}  // namespace

std::vector<PackedTensor> pack_tensors(const LayerCase& layer_case) {
  const moe_layer_desc& d = layer_case.desc;
  const LayerWeights& w = layer_case.weights;
  const uint32_t experts = d.experts, hidden = d.hidden, width = d.intermediate, shared = d.shared_intermediate;
  const auto inner = static_cast<uint32_t>(expert_hidden(d));
  const bool joint = d.gate_up_layout != MOE_GATE_UP_SEPARATE && !has_flag(d, MOE_LAYER_UNGATED);
  Packer packer(layer_case);
  const auto choices = static_cast<uint32_t>(candidates(d));
  if (w.blocks.router.empty()) {
    packer.plain("router.weight", w.router, 0, choices, hidden);
  } else {
    packer.tensors.push_back({"router.weight", 0, choices, hidden, MOE_DTYPE_BLOCKS, w.blocks.router, w.router_format});
  }
  packer.plain("router.bias", w.router_bias, 0, 1, choices);
  packer.plain("router.selection_bias", w.selection_bias, 0, 1, choices);
  packer.plain("router.input_scale", w.router_scale, 0, 1, hidden);
  packer.plain("router.expert_scale", w.expert_scale, 0, 1, experts);
  packer.integers("router.token_table", w.token_table, d.token_table_rows, d.top_k);
  packer.plain("norm.weight", w.norm, 0, 1, hidden);
  const auto joined_blocks = [&](const auto& gate, const auto& up, uint32_t count, uint32_t rows) {
    return join(gate, up, count, rows, gate.size() / (size_t{count} * std::max(rows, 1u)), d.gate_up_layout);
  };
  const auto joined_parts = [&](const AffineParts& gate, const AffineParts& up, uint32_t count, uint32_t rows,
                                const moe_weight_format& format) {
    if (!is_affine(format) || rows == 0) return AffineParts{};
    const size_t scale_rows = affine_scale_rows(format, rows);  // a block has rows of gate, or of up
    return AffineParts{
        join(gate.scales, up.scales, count, scale_rows, gate.scales.size() / (count * scale_rows), d.gate_up_layout),
        join(gate.zeros, up.zeros, count, rows, gate.zeros.size() / (size_t{count} * rows), d.gate_up_layout)};
  };
  if (joint) {
    packer.matrix("experts.gate_up", join(w.gate, w.up, experts, width, inner, d.gate_up_layout),
                  joined_blocks(w.blocks.gate, w.blocks.up, experts, width),
                  joined_parts(w.parts.gate, w.parts.up, experts, width, d.gate_format), experts, 2 * width, inner,
                  d.gate_format);
    packer.plain("experts.gate_up.bias",
                 join(w.gate_bias, w.up_bias, experts, width, w.up_bias.empty() ? 0 : 1, d.gate_up_layout), experts, 1,
                 2 * width);
    packer.matrix("shared.gate_up", join(w.shared_gate, w.shared_up, 1, shared, hidden, d.gate_up_layout),
                  joined_blocks(w.blocks.shared_gate, w.blocks.shared_up, 1, shared),
                  joined_parts(w.parts.shared_gate, w.parts.shared_up, 1, shared, d.shared_gate_format), 0, 2 * shared,
                  hidden, d.shared_gate_format);
  } else {
    packer.matrix("experts.gate", w.gate, w.blocks.gate, w.parts.gate, experts, width, inner, d.gate_format);
    packer.matrix("experts.up", w.up, w.blocks.up, w.parts.up, experts, width, inner, d.up_format);
    packer.plain("experts.gate.bias", w.gate_bias, experts, 1, width);
    packer.plain("experts.up.bias", w.up_bias, experts, 1, width);
    packer.matrix("shared.gate", w.shared_gate, w.blocks.shared_gate, w.parts.shared_gate, 0, shared, hidden,
                  d.shared_gate_format);
    packer.matrix("shared.up", w.shared_up, w.blocks.shared_up, w.parts.shared_up, 0, shared, hidden,
                  d.shared_up_format);
  }
  packer.matrix("experts.down", w.down, w.blocks.down, w.parts.down, experts, inner, width, d.down_format);
  packer.plain("experts.down.bias", w.down_bias, experts, 1, inner);
  packer.matrix("shared.down", w.shared_down, w.blocks.shared_down, w.parts.shared_down, 0, hidden, shared,
                d.shared_down_format);
  packer.plain("shared.router", w.shared_router, 0, 1, hidden);
  packer.projection("latent.down", w.latent_down, w.blocks.latent_down, w.parts.latent_down, d.latent, hidden,
                    d.latent_down_format);
  packer.plain("latent.norm", w.latent_norm, 0, 1, d.latent);
  packer.projection("latent.up", w.latent_up, w.blocks.latent_up, w.parts.latent_up, hidden, d.latent,
                    d.latent_up_format);
  return std::move(packer.tensors);
}

namespace {

const char* name_of(const char* const* names, size_t count, uint32_t value) {
  return value < count ? names[value] : "?";
}
template <size_t N>
const char* name_of(const char* const (&names)[N], uint32_t value) {
  return name_of(names, N, value);
}

void describe_numbers(std::ostringstream& out, const LayerCase& layer_case) {
  const moe_layer_desc& d = layer_case.desc;
  const LayerInputs& in = layer_case.inputs;
  const LayerWeights& w = layer_case.weights;
  out << " | weights router " << (w.blocks.router.empty() ? dtype_name(w.router_dtype) : format_text(w.router_format))
      << " gate " << format_text(d.gate_format) << " up " << format_text(d.up_format) << " down "
      << format_text(d.down_format);
  if (d.shared_intermediate != 0) {
    out << " shared " << format_text(d.shared_gate_format) << '/' << format_text(d.shared_up_format) << '/'
        << format_text(d.shared_down_format);
  }
  if (d.latent != 0) {
    out << " latent " << format_text(d.latent_down_format) << '/' << format_text(d.latent_up_format);
  }
  out << " | x " << dtype_name(in.x_dtype) << " y " << dtype_name(in.y_dtype);
  if (!in.residual.empty()) out << " residual " << dtype_name(in.residual_dtype) << " beta " << in.beta;
  if (d.precision != MOE_PRECISION_EXACT)
    out << " precision " << (d.precision == MOE_PRECISION_INT8 ? "int8" : "matrix");
  const Arrangement& a = layer_case.arrangement;
  const auto place = [&](const char* name, const Placement& p) {
    out << ' ' << name << (p.device ? ":dev" : ":host");
    if (p.offset_bytes + p.padding_bytes != 0) out << '+' << p.offset_bytes << '/' << p.padding_bytes;
  };
  place("x", a.x);
  place("y", a.y);
  place("in", a.route_in);
  place("out", a.route_out);
  if (a.y_alias != Alias::kNone) out << (a.y_alias == Alias::kX ? " y=x" : " y=residual");
}

void describe_route(std::ostringstream& out, const moe_layer_desc& d) {
  static constexpr const char* kSources[] = {"router", "logits", "scores", "ids", "dense", "table"};
  static constexpr const char* kScores[] = {"identity", "softmax", "sigmoid", "sqrt-softplus"};
  static constexpr const char* kWeights[] = {"", " then softmax", " then sigmoid"};
  static constexpr const char* kNormalize[] = {"", " /sum+", " /max(sum, ", " /norm "};
  out << " | " << name_of(kSources, d.route_source);
  if (d.logit_soft_cap > 0) out << " cap " << d.logit_soft_cap;
  if (selects(d) || d.route_source == MOE_ROUTE_FROM_TOKEN_TABLE) out << ' ' << name_of(kScores, d.score);
  if (d.selection == MOE_SELECT_SPARSEMIXER) out << " sparsemixer " << d.sparsemixer_eps;
  if (d.groups > 1) {
    out << " groups " << d.groups_kept << '/' << d.groups;
    if (d.group_score == MOE_GROUP_SCORE_SUM_TOP_N) out << " by sum of " << d.group_top_n;
  }
  out << name_of(kWeights, d.weight) << name_of(kNormalize, d.normalize);
  if (d.normalize == MOE_NORMALIZE_SUM_EPS) out << d.normalize_eps;
  if (d.normalize == MOE_NORMALIZE_SUM_FLOOR) out << d.normalize_eps << ')';
  if (d.normalize == MOE_NORMALIZE_P_NORM) out << d.normalize_p;
  static constexpr struct {
    uint32_t flag;
    const char* text;
  } kFlags[] = {{MOE_LAYER_NORMALIZE_SINGLE, " single"},         {MOE_LAYER_ROUTER_BIAS, " bias"},
                {MOE_LAYER_SELECTION_BIAS, " selection-bias"},   {MOE_LAYER_PER_EXPERT_SCALE, " expert-scale"},
                {MOE_LAYER_WEIGHT_ON_INPUT, " weight-on-input"}, {MOE_LAYER_SEPARATE_ROUTER_INPUT, " router-x"},
                {MOE_LAYER_ROUTER_INPUT_NORM, " router-norm"},   {MOE_LAYER_ROUTER_INPUT_SCALE, " router-scale"}};
  for (const auto& one : kFlags) out << (has_flag(d, one.flag) ? one.text : "");
  if (d.router_input_multiplier != 0) out << " router x " << d.router_input_multiplier;
  if (d.routed_scale != 0) out << " scale " << d.routed_scale;
  if (d.capacity != MOE_CAPACITY_NONE) out << " capacity " << d.capacity_factor << " at least " << d.capacity_minimum;
}

}  // namespace

std::string describe(const LayerCase& layer_case) {
  static constexpr const char* kActivations[] = {"silu",       "gelu_tanh", "gelu_erf",   "relu", "relu2",
                                                 "swiglu_oai", "clamp_pre", "clamp_post", "situ"};
  static constexpr const char* kLayouts[] = {"separate", "gate|up", "up|gate", "interleaved"};
  const moe_layer_desc& d = layer_case.desc;
  std::ostringstream out;
  out << "E=" << d.experts;
  if (d.identity_experts != 0) out << '+' << d.identity_experts;
  out << " k=" << d.top_k << " H=" << d.hidden << " F=" << d.intermediate << " T=" << layer_case.tokens;
  describe_route(out, d);
  out << " | " << name_of(kActivations, d.activation) << (has_flag(d, MOE_LAYER_UNGATED) ? " ungated" : "");
  if (d.activation_limit > 0) out << " L=" << d.activation_limit;
  out << ' ' << name_of(kLayouts, d.gate_up_layout) << (d.matrix_order == MOE_MATRIX_IN_OUT ? " in-out" : "");
  if (has_flag(d, MOE_LAYER_EXPERT_BIAS)) out << " expert-bias";
  if (has_flag(d, MOE_LAYER_INPUT_NORM)) out << " norm";
  if (d.shared_intermediate != 0) {
    static constexpr const char* kGates[] = {"one", "sigmoid", "constant"};
    out << " | shared " << d.shared_intermediate << ' ' << name_of(kGates, d.shared_gate);
  }
  if (d.latent != 0) out << " | latent " << d.latent << (has_flag(d, MOE_LAYER_LATENT_NORM) ? " norm" : "");
  if (d.out_scale != 0) out << " out " << d.out_scale;
  describe_numbers(out, layer_case);
  return std::move(out).str();
}

}  // namespace moe_conformance
