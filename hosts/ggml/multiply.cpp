// SPDX-License-Identifier: MIT
//
// In:  a MUL_MAT_ID that is in no block which is known as a layer, or stands alone.
// Out: its result, computed by the device.
// Why: the ABI has whole feed-forward networks and no single product. relu(Wx) - relu(-Wx) is Wx, bit for bit, and a
//      down matrix that is the identity hands it out: the matrices W are up matrices of such a layer, whose routes are
//      tokens of their own. It takes two forwards, and memory for the identities.
#include <algorithm>
#include <cstring>

#include "hosts/ggml/accelerator.h"
#include "hosts/ggml/weight_types.h"

namespace moevk::ggml {
namespace {

constexpr uint64_t kMostRoutes = 1u << 20;  // tokens of a context
constexpr uint32_t kMostTopK = 32;          // of the ABI
constexpr uint64_t kBlock = 32, kBlockBytes = 18;
constexpr uint16_t kHalfOne = 0x3c00;

// Whole blocks of Q4_0 take little memory; other widths take halves.
bool in_blocks(uint64_t columns) { return columns % kBlock == 0; }

moe_weight_format identity_format(uint64_t columns) {
  moe_weight_format format{};
  if (in_blocks(columns)) {
    format.preset = 1 + 2;  // Q4_0
  } else {
    format.element = MOE_ELEMENT_F16;
  }
  return format;
}

// [rows, columns] with ones on the diagonal.
std::vector<uint8_t> identity(uint64_t rows, uint64_t columns) {
  if (!in_blocks(columns)) {
    std::vector<uint8_t> bytes(rows * columns * sizeof kHalfOne);
    for (uint64_t i = 0; i < std::min(rows, columns); ++i) {
      std::memcpy(bytes.data() + (i * columns + i) * sizeof kHalfOne, &kHalfOne, sizeof kHalfOne);
    }
    return bytes;
  }
  // A block is its scale, 1 here, and 32 codes of 4 bits, of which 8 is zero: the first 16 in the low halves of bytes.
  const uint64_t blocks = columns / kBlock;
  std::vector<uint8_t> bytes(rows * blocks * kBlockBytes);
  for (uint64_t i = 0; i < rows * blocks; ++i) {
    std::memcpy(bytes.data() + i * kBlockBytes, &kHalfOne, sizeof kHalfOne);
    std::memset(bytes.data() + i * kBlockBytes + sizeof kHalfOne, 0x88, kBlock / 2);
  }
  for (uint64_t i = 0; i < std::min(rows, columns); ++i) {
    const uint64_t at = i % kBlock;
    uint8_t& byte = bytes[(i * blocks + i / kBlock) * kBlockBytes + sizeof kHalfOne + at % (kBlock / 2)];
    byte = at < kBlock / 2 ? 0x89 : 0x98;
  }
  return bytes;
}

// Rows [first, first + desc.intermediate) of every expert's matrix.
moe_layer_desc layer_of_rows(const Tensor& matrix, uint64_t rows, const moe_weight_format& format) {
  moe_layer_desc desc = MOE_INIT(moe_layer_desc);
  desc.hidden = static_cast<uint32_t>(matrix.ne[0]);
  desc.intermediate = static_cast<uint32_t>(rows);
  desc.experts = static_cast<uint32_t>(matrix.ne[2]);
  desc.top_k = 1;
  desc.flags = MOE_LAYER_UNGATED;
  desc.activation = MOE_ACTIVATION_RELU;
  desc.route_source = MOE_ROUTE_FROM_IDS;
  desc.up_format = format;
  desc.down_format = identity_format(rows);
  return desc;
}

}  // namespace

bool Accelerator::supports_product(const Tensor& product, std::string& why) const {
  const Tensor& matrix = *product.src[0];
  const Tensor *x = product.src[1], *ids = product.src[2];
  moe_weight_format format;
  uint32_t dtype;
  if (!weight_format(host_.type_name(matrix.type), format, dtype)) {
    why = std::string("moevk does not read ") + host_.type_name(matrix.type);
    return false;
  }
  if (matrix.ne[3] != 1 || matrix.nb[0] != host_.type_bytes(matrix.type) ||
      matrix.nb[1] != matrix.nb[0] * static_cast<size_t>(matrix.ne[0] / host_.block_columns(matrix.type))) {
    why = "the experts' rows are not packed";
    return false;
  }
  if (x == nullptr || ids == nullptr || x->type != host_.ops.f32 || x->nb[0] != sizeof(float) ||
      ids->type != host_.ops.i32 || ids->nb[0] != sizeof(int32_t) || product.nb[0] != sizeof(float)) {
    why = "the rows of x, ids or the result are not packed f32 and i32";
    return false;
  }
  if (ids->ne[0] > kMostTopK) {
    why = "a token has more than 32 routes";
    return false;
  }
  if (static_cast<uint64_t>(ids->ne[0] * ids->ne[1]) > kMostRoutes) {
    why = "there are more than 2^20 routes";
    return false;
  }
  for (const int64_t rows : {std::min(matrix.ne[1], matrix.ne[0]), matrix.ne[1] % matrix.ne[0]}) {
    if (rows != 0) why = why_not(layer_of_rows(matrix, static_cast<uint64_t>(rows), format));
    if (!why.empty()) return false;
  }
  return true;
}

moe::Layer Accelerator::upload_product(const moe_layer_desc& desc, const Tensor& matrix, const char* data,
                                       uint64_t first_row) const {
  moe::Upload upload = moe::begin_weights(library_, device_, desc);
  const std::vector<uint8_t> ones = identity(desc.hidden, desc.intermediate);
  for (uint32_t expert = 0; expert < desc.experts; ++expert) {
    moe_tensor_source source = MOE_INIT(moe_tensor_source);
    moe_weight_format format;
    source.expert_first = expert;
    source.expert_count = 1;
    source.name = "experts.up";
    weight_format(host_.type_name(matrix.type), format, source.dtype);
    source.memory = data + expert * matrix.nb[2] + first_row * matrix.nb[1];
    source.bytes = desc.intermediate * matrix.nb[1];
    moe::check([&](moe_error* error) { return library_->add_tensor(upload, &source, error); });
    source.name = "experts.down";
    source.dtype = in_blocks(desc.intermediate) ? MOE_DTYPE_BLOCKS : MOE_DTYPE_F16;
    source.memory = ones.data();
    source.bytes = ones.size();
    moe::check([&](moe_error* error) { return library_->add_tensor(upload, &source, error); });
  }
  return moe::commit_weights(library_, upload);
}

void Accelerator::multiply(Stream& stream, const Tensor& product, bool keep) {
  const Tensor& matrix = *product.src[0];
  const Tensor &input = *product.src[1], &ids = *product.src[2];
  const auto columns = static_cast<uint64_t>(matrix.ne[0]), rows = static_cast<uint64_t>(matrix.ne[1]);
  const auto per_token = static_cast<uint64_t>(ids.ne[0]), tokens = static_cast<uint64_t>(ids.ne[1]);
  const uint64_t routes = per_token * tokens;
  if (routes == 0) return;
  moe_weight_format format;
  uint32_t dtype;
  weight_format(host_.type_name(matrix.type), format, dtype);

  // Every route is a token.
  std::vector<float> x(routes * columns), negated(routes * columns), weights(routes, 1.0f);
  std::vector<float> positive(routes * columns), negative(routes * columns);
  std::vector<int32_t> experts(routes);
  for (uint64_t route = 0; route < routes; ++route) {
    const uint64_t token = route / per_token, slot = route % per_token;
    const char* row = static_cast<const char*>(input.data) + (slot % static_cast<uint64_t>(input.ne[1])) * input.nb[1] +
                      token * input.nb[2];
    std::memcpy(x.data() + route * columns, row, columns * sizeof(float));
    std::memcpy(&experts[route], static_cast<const char*>(ids.data) + token * ids.nb[1] + slot * sizeof(int32_t),
                sizeof(int32_t));
  }
  std::transform(x.begin(), x.end(), negated.begin(), [](float value) { return -value; });
  const moe_view ids_view = moe::host_view(experts.data(), MOE_DTYPE_I32, routes, 1);
  const moe_view weights_view = moe::host_view(weights.data(), MOE_DTYPE_F32, routes, 1);
  const moe_view inputs[2] = {moe::host_view(x.data(), MOE_DTYPE_F32, routes, columns),
                              moe::host_view(negated.data(), MOE_DTYPE_F32, routes, columns)};
  const moe_view outputs[2] = {moe::host_view(positive.data(), MOE_DTYPE_F32, routes, columns),
                               moe::host_view(negative.data(), MOE_DTYPE_F32, routes, columns)};

  moe_context* context = context_for(stream, routes);
  const char* begin = static_cast<const char*>(matrix.data);
  const char* end = begin + static_cast<size_t>(matrix.ne[2]) * matrix.nb[2];
  keep = keep || tensors_.has(begin);  // a copy of what is on the device is not made each time
  for (uint64_t first = 0; first < rows; first += columns) {
    const moe_layer_desc desc = layer_of_rows(matrix, std::min(columns, rows - first), format);
    moe::Layer passing;
    moe_layer* layer = nullptr;
    if (keep) {
      std::string key(reinterpret_cast<const char*>(&desc), sizeof desc);
      key += "product " + std::to_string(reinterpret_cast<uintptr_t>(begin)) + " " + std::to_string(first);
      layer = keep_layer(key, {{begin, end}}, [&] {
        if (!tensors_.has(begin)) return upload_product(desc, matrix, begin, first);
        const char* held = nullptr;
        const std::vector<char> copy = tensors_.copy(begin, held);
        return upload_product(desc, matrix, copy.data() + (begin - held), first);
      });
    } else {
      passing = upload_product(desc, matrix, begin, first);
      layer = passing.get();
    }
    for (int sign = 0; sign < 2; ++sign) {
      moe_call_args args = MOE_INIT(moe_call_args);
      args.tokens = routes;
      args.x = &inputs[sign];
      args.y = &outputs[sign];
      args.ids_in = &ids_view;
      args.weights_in = &weights_view;
      moe::check([&](moe_error* error) { return library_->forward(context, layer, &args, error); });
    }
    moe::wait(library_, context, moe::flush(library_, context));
    for (uint64_t route = 0; route < routes; ++route) {
      auto* out = reinterpret_cast<float*>(static_cast<char*>(product.data) + (route / per_token) * product.nb[2] +
                                           (route % per_token) * product.nb[1]) +
                  first;
      for (uint64_t i = 0; i < desc.intermediate; ++i) {
        out[i] = positive[route * columns + i] - negative[route * columns + i];
      }
    }
  }
}

}  // namespace moevk::ggml
