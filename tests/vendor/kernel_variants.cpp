// SPDX-License-Identifier: MIT
//
// All models in each format; options and pairs of formats on one of them, since constants do not depend on sizes.
#include "tests/vendor/kernel_variants.h"

#include <map>

#include "runtime/upload_plan.h"
#include "tests/layers/layer_shapes.h"

namespace moevk::vendor {
namespace {

// Each number of tokens that the small kernels know (1, 2, 4, 8 a group), one sort, several blocks, several chunks.
constexpr uint64_t kTokens[] = {1, 2, 4, 9, 16, 32, 512, 4096};
constexpr WeightFormat kFormats[] = {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kBf16};
// Of each way to decode one that people run: 4 bits with 6-bit scales, 4 + 2 bits, 4 bits by table, a codebook.
constexpr WeightFormat kBlockFormats[] = {WeightFormat::kQ4K, WeightFormat::kQ6K, WeightFormat::kMxfp4,
                                          WeightFormat::kIq3S};
// Multiplied as integers: bytes, nibbles, nibbles with minima, a scale for 16.
constexpr WeightFormat kDotFormats[] = {WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kQ4K,
                                        WeightFormat::kQ6K};
constexpr uint32_t kDtypes[] = {MOE_DTYPE_F32, MOE_DTYPE_F16, MOE_DTYPE_BF16};
constexpr Stage kStages[] = {Stage::kForward, Stage::kRoute, Stage::kPlanDispatch, Stage::kExperts, Stage::kCombine};

constexpr uint32_t bit(ViewId id) { return 1u << static_cast<uint32_t>(id); }

class Collector {
 public:
  explicit Collector(const DeviceCaps& caps) : caps_(caps) {}

  void layer(const moe_layer_desc& desc) {
    const LayerSpec spec = make_spec(desc);
    Result<WeightLayout> layout = make_weight_layout(spec, caps_);
    if (!layout.ok()) return;  // too large for the device, which the host is told
    for (const Stage stage : kStages) {
      for (const uint64_t tokens : kTokens) {
        for (const uint32_t dtype : kDtypes) {
          for (const bool all_outputs : {false, true}) call(spec, layout.value(), stage, tokens, dtype, all_outputs);
        }
      }
    }
  }

  std::vector<Dispatch> take() {
    std::vector<Dispatch> all;
    for (auto& [key, dispatch] : found_) all.push_back(std::move(dispatch));
    return all;
  }

 private:
  void call(const LayerSpec& spec, const WeightLayout& layout, Stage stage, uint64_t tokens, uint32_t dtype,
            bool all_outputs) {
    CallShape shape;
    shape.stage = stage;
    shape.tokens = tokens;
    shape.x_dtype = shape.router_x_dtype = shape.y_dtype = dtype;
    shape.x_direct =
        dtype == MOE_DTYPE_F32 && spec.hidden_padded == spec.desc.hidden && !spec.has(MOE_LAYER_INPUT_NORM);
    if (all_outputs) {
      shape.residual_dtype = dtype;
      shape.outputs = bit(ViewId::kIds) | bit(ViewId::kWeights) | bit(ViewId::kCounts);
      if (spec.computes_logits()) shape.outputs |= bit(ViewId::kLogits);
      if (spec.desc.route_source <= MOE_ROUTE_FROM_SCORES) shape.outputs |= bit(ViewId::kScores);
      shape.ids_columns = shape.weights_columns = spec.slots;
    }
    Result<Plan> plan = plan_call(spec, layout, caps_, shape);
    if (!plan.ok()) return;  // more tokens than this stage takes in one piece
    for (const Step& step : plan.value().steps) {
      for (const Dispatch& d : step.dispatches) found_.try_emplace({d.kernel, d.constants}, d);
    }
  }

  const DeviceCaps& caps_;
  std::map<std::pair<KernelId, std::array<uint32_t, kConstantCount>>, Dispatch> found_;
};

moe_layer_desc routed_by(moe_layer_desc d, uint32_t source) {
  d.route_source = source;
  d.flags &= ~static_cast<uint32_t>(MOE_LAYER_ROUTER_BIAS | MOE_LAYER_SELECTION_BIAS);
  const bool scored = source == MOE_ROUTE_FROM_LOGITS || source == MOE_ROUTE_FROM_TOKEN_TABLE;
  d.score = scored ? MOE_SCORE_SOFTMAX : MOE_SCORE_IDENTITY;
  if (source == MOE_ROUTE_FROM_TOKEN_TABLE) d.token_table_rows = 1000;
  if (source == MOE_ROUTE_DENSE) d.experts = d.top_k = 1;
  return d;
}

}  // namespace

std::vector<Dispatch> kernel_variants(const DeviceCaps& caps) {
  Collector all(caps);
  for (const LayerShape& shape : layer_shapes()) {
    for (const WeightFormat format : kFormats) all.layer(describe(shape, format));
  }
  for (const WeightFormat format : kFormats) {
    for (const char* name : {"qwen3-30b", "qwen1.5-moe"}) {  // without and with a gate on shared experts
      const moe_layer_desc plain = describe(layer_shape(name), format);
      moe_layer_desc d = plain;
      d.flags |= MOE_LAYER_INPUT_NORM;
      all.layer(d);
      d = plain;
      d.flags |= MOE_LAYER_UNGATED;
      d.activation = MOE_ACTIVATION_RELU2;
      all.layer(d);
      for (const uint32_t source : {MOE_ROUTE_FROM_LOGITS, MOE_ROUTE_FROM_SCORES, MOE_ROUTE_FROM_IDS, MOE_ROUTE_DENSE,
                                    MOE_ROUTE_FROM_TOKEN_TABLE}) {
        all.layer(routed_by(plain, source));
      }
    }
    moe_layer_desc own_input = describe(layer_shape("qwen3-30b"), format);
    own_input.router_input_multiplier = 0.5f;
    all.layer(own_input);
    own_input.flags |= MOE_LAYER_SEPARATE_ROUTER_INPUT | MOE_LAYER_ROUTER_INPUT_NORM | MOE_LAYER_ROUTER_INPUT_SCALE;
    all.layer(own_input);
    // Two formats in a layer: gate and up apart, or shared experts that are kept in f32.
    for (const WeightFormat other : kFormats) {
      if (other == format) continue;
      moe_layer_desc d = describe(layer_shape("qwen3-30b"), format);
      d.gate_format.element = static_cast<uint32_t>(other);
      all.layer(d);
    }
    moe_layer_desc latent = describe(layer_shape("qwen3-30b"), format);  // kimi-k3 has it with shared experts
    latent.latent = latent.hidden / 2;
    all.layer(latent);
    latent.precision = MOE_PRECISION_INT8;
    latent.flags |= MOE_LAYER_LATENT_NORM;
    if (format == WeightFormat::kF16) all.layer(latent);
    for (const uint32_t precision : {MOE_PRECISION_MATRIX, MOE_PRECISION_INT8}) {
      moe_layer_desc d = describe(layer_shape("qwen3-30b"), format);
      d.precision = precision;
      if (format == WeightFormat::kF16) all.layer(d);
    }
    if (format == WeightFormat::kF32) continue;
    moe_layer_desc d = describe(layer_shape("qwen3-next"), format);
    for (moe_weight_format* f : {&d.shared_gate_format, &d.shared_up_format, &d.shared_down_format}) {
      f->element = MOE_ELEMENT_F32;
    }
    all.layer(d);
  }
  moe_layer_desc limited = describe(layer_shape("qwen3-30b"), WeightFormat::kF16);
  limited.capacity = MOE_CAPACITY_POSITION;
  limited.capacity_factor = 1.25f;
  all.layer(limited);
  // Scales apart: groups of int4 with zero points, fp8 with squares of scales.
  moe_weight_format int4 = {}, fp8 = {};
  int4.element = MOE_ELEMENT_INT, int4.bits = 4, int4.block_columns = 128, int4.scale = MOE_SCALE_F16;
  int4.zero_point = MOE_ZERO_POINT_STORED;
  fp8.element = MOE_ELEMENT_FP8_E4M3, fp8.block_columns = fp8.block_rows = 128, fp8.scale = MOE_SCALE_F32;
  for (const moe_weight_format& apart : {int4, fp8}) {
    moe_layer_desc d = describe(layer_shape("qwen3-30b"), WeightFormat::kF16);
    d.gate_format = d.up_format = d.down_format = apart;
    all.layer(d);
  }
  for (const WeightFormat format : kBlockFormats) all.layer(describe(layer_shape("qwen3-30b"), format));
  for (const WeightFormat format : kDotFormats) {
    moe_layer_desc d = describe(layer_shape("qwen3-30b"), format);
    d.precision = MOE_PRECISION_INT8;
    all.layer(d);
  }
  std::vector<Dispatch> variants = all.take();
  variants.push_back(pack_rows_kernel());  // of an upload
  return variants;
}

std::string variant_name(const Dispatch& dispatch) {
  std::string text;
  for (size_t i = 0; i < kConstantCount; ++i) {
    if (dispatch.constants[i] == kConstantDefaults[i]) continue;
    text += (text.empty() ? "" : ",") + std::string(kConstantNames[i]) + "=" + std::to_string(dispatch.constants[i]);
  }
  const std::string kernel = kKernels[static_cast<size_t>(dispatch.kernel)].name;
  return text.empty() ? kernel : kernel + "{" + text + "}";
}

}  // namespace moevk::vendor
