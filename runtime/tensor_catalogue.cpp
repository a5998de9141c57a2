// SPDX-License-Identifier: MIT
//
// Descriptor -> list of tensors. A name means the same in every layer; layout and order fields change shapes only.
#include "runtime/tensor_catalogue.h"

#include "runtime/affine_format.h"

namespace moevk {
namespace {

class Lister {
 public:
  explicit Lister(const LayerSpec& spec) : spec_(spec) {}

  std::vector<TensorSpec> list() {
    const moe_layer_desc& d = spec_.desc;
    const bool router = spec_.computes_logits();
    const uint32_t candidates = spec_.candidates();
    if (router) vector("router.weight", VectorKind::kRouter, candidates, d.hidden, true);
    if (spec_.has(MOE_LAYER_ROUTER_BIAS)) vector("router.bias", VectorKind::kRouterBias, candidates, 1, true);
    if (spec_.has(MOE_LAYER_SELECTION_BIAS)) {
      vector("router.selection_bias", VectorKind::kSelectionBias, candidates, 1, true);
    }
    if (spec_.has(MOE_LAYER_ROUTER_INPUT_SCALE)) {
      vector("router.input_scale", VectorKind::kRouterScale, 0, d.hidden, false);
    }
    if (spec_.has(MOE_LAYER_PER_EXPERT_SCALE)) {
      vector("router.expert_scale", VectorKind::kExpertScale, d.experts, 1, true);
    }
    if (d.route_source == MOE_ROUTE_FROM_TOKEN_TABLE) {
      vector("router.token_table", VectorKind::kTokenTable, 0, d.top_k, false);
      tensors_.back().rows = d.token_table_rows;
      tensors_.back().dtype = MOE_DTYPE_I32;
    }
    if (spec_.has(MOE_LAYER_INPUT_NORM)) vector("norm.weight", VectorKind::kNorm, 0, d.hidden, false);
    feed_forward("experts", 0, d.experts, spec_.segment[0]);
    if (spec_.has(MOE_LAYER_EXPERT_BIAS)) biases();
    if (d.shared_intermediate != 0) {
      Segment shared = spec_.segment[spec_.segments - 1];
      shared.intermediate = d.shared_intermediate;  // of all of them, where they join the routed ones
      feed_forward("shared", spec_.segments - 1, 0, shared);
      if (spec_.shared_router()) {
        vector("shared.router", VectorKind::kRouter, 0, d.hidden, false);
        tensors_.back().vector_first = uint64_t{router ? candidates : 0} * d.hidden;
      }
    }
    if (spec_.latent()) {
      const Segment& s = spec_.latent_segment();
      matrix("latent.down", TensorSpec::Role::kMatrix, MatrixKind::kUp, spec_.segments, 0, d.latent, d.hidden, s.up);
      if (spec_.has(MOE_LAYER_LATENT_NORM)) vector("latent.norm", VectorKind::kLatentNorm, 0, d.latent, false);
      matrix("latent.up", TensorSpec::Role::kMatrix, MatrixKind::kDown, spec_.segments, 0, d.hidden, d.latent, s.down);
    }
    return std::move(tensors_);
  }

 private:
  // per_expert: the first axis is the expert's, so that a host may give some experts only.
  void vector(const char* name, VectorKind kind, uint32_t experts, uint32_t columns, bool per_expert) {
    TensorSpec t;
    t.name = name;
    t.role = TensorSpec::Role::kVector;
    t.vector = kind;
    t.experts = per_expert ? experts : 0;
    t.rows = 1;
    t.columns = columns;
    tensors_.push_back(t);
  }

  void matrix(const std::string& name, TensorSpec::Role role, MatrixKind kind, uint32_t segment, uint32_t experts,
              uint32_t rows, uint32_t columns, WeightFormat format) {
    TensorSpec t;
    t.name = name;
    t.role = role;
    t.segment = segment;
    t.shared = experts == 0 && segment != spec_.segments;
    t.matrix = kind;
    t.experts = experts;
    t.transposed = spec_.desc.matrix_order == MOE_MATRIX_IN_OUT && segment != spec_.segments;
    t.rows = t.transposed ? columns : rows;
    t.columns = t.transposed ? rows : columns;
    t.dtype = dtype_of(format);
    t.format = format;
    if (const std::optional<AffineFormat> affine = find_affine_format(format); affine) parts(t, *affine);
    tensors_.push_back(t);
  }

  void parts(const TensorSpec& matrix, const AffineFormat& affine) {
    TensorSpec t = matrix;
    t.name += kScaleSuffix;
    t.role = TensorSpec::Role::kScales;
    t.rows = static_cast<uint32_t>(affine.scale_rows(matrix.rows));
    t.columns = static_cast<uint32_t>(affine.groups(matrix.columns));
    t.dtype = affine.scale_dtype();
    tensors_.push_back(t);
    if (!affine.stores_zeros()) return;
    t.name = matrix.name + kZeroSuffix;
    t.role = TensorSpec::Role::kZeroPoints;
    t.dtype = MOE_DTYPE_BLOCKS;
    if (affine.group == 0) {  // packed along the rows
      t.rows = 1;
      t.columns = matrix.rows;
    }
    tensors_.push_back(t);
  }

  void feed_forward(const std::string& prefix, uint32_t segment, uint32_t experts, const Segment& s) {
    const uint32_t hidden = s.hidden, width = s.intermediate;
    using Role = TensorSpec::Role;
    if (s.gated && spec_.desc.gate_up_layout != MOE_GATE_UP_SEPARATE) {
      matrix(prefix + ".gate_up", Role::kGateUpMatrix, MatrixKind::kUp, segment, experts, 2 * width, hidden, s.up);
    } else {
      if (s.gated) matrix(prefix + ".gate", Role::kMatrix, MatrixKind::kGate, segment, experts, width, hidden, s.gate);
      matrix(prefix + ".up", Role::kMatrix, MatrixKind::kUp, segment, experts, width, hidden, s.up);
    }
    matrix(prefix + ".down", Role::kMatrix, MatrixKind::kDown, segment, experts, hidden, width, s.down);
  }

  void biases() {
    const moe_layer_desc& d = spec_.desc;
    if (spec_.gated && d.gate_up_layout != MOE_GATE_UP_SEPARATE) {
      vector("experts.gate_up.bias", VectorKind::kUpBias, d.experts, 2 * d.intermediate, true);
      tensors_.back().role = TensorSpec::Role::kGateUpVector;
    } else {
      if (spec_.gated) vector("experts.gate.bias", VectorKind::kGateBias, d.experts, d.intermediate, true);
      vector("experts.up.bias", VectorKind::kUpBias, d.experts, d.intermediate, true);
    }
    vector("experts.down.bias", VectorKind::kDownBias, d.experts, spec_.segment[0].hidden, true);
  }

  const LayerSpec& spec_;
  std::vector<TensorSpec> tensors_;
};

}  // namespace

uint64_t TensorSpec::bytes_per_row(uint32_t type) const {
  if (role == Role::kZeroPoints) return (uint64_t{columns} * find_affine_format(format)->bits + 7) / 8;
  if (role == Role::kScales) return columns * find_affine_format(format)->scale_size();
  if (is_matrix()) return tensor_row_bytes(format, columns);
  return type == MOE_DTYPE_BLOCKS ? row_bytes(format, columns) : columns * dtype_bytes(type);
}

std::vector<TensorSpec> list_tensors(const LayerSpec& spec) { return Lister(spec).list(); }

}  // namespace moevk
