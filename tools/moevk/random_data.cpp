// SPDX-License-Identifier: MIT
//
// In:  (seed, position).
// Out: random words by splitmix64, made into tokens or weights.
// Why: a weight is looked up in a table of 4096 evenly spaced values in its format: one word makes four
//      weights, so making them does not hide the speed of the upload.
#include "tools/moevk/random_data.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <variant>

#include "tools/model/half.h"
#include "tools/moevk/random_blocks.h"

namespace moevk::cli {

uint64_t random_word(uint64_t seed, uint64_t position) {
  uint64_t word = seed * 0xD1342543DE82EF95u + position * 0x9E3779B97F4A7C15u + 0x2545F4914F6CDD1Du;
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
  return word ^ (word >> 31);
}

namespace {

// One tensor: 16 random bits an element, of which 12 choose a value.
class RandomTensor {
 public:
  RandomTensor(uint32_t dtype, float amplitude, uint64_t seed)
      : element_bytes_(dtype == MOE_DTYPE_F32 ? 4 : 2), seed_(seed), table_(kValues * element_bytes_) {
    for (size_t index = 0; index < kValues; ++index) {
      const float unit = (static_cast<float>(index) - (kValues - 1) / 2.0f) / (kValues / 2.0f);
      const float value = unit * amplitude;
      const uint32_t bits = dtype == MOE_DTYPE_F32   ? std::bit_cast<uint32_t>(value)
                            : dtype == MOE_DTYPE_F16 ? model::float_to_half(value)
                                                     : model::float_to_bfloat(value);
      std::memcpy(&table_[index * element_bytes_], &bits, element_bytes_);  // little-endian
    }
  }

  bool read(uint64_t offset, void* destination, uint64_t bytes) const {
    const uint64_t size = element_bytes_;
    if (offset % size != 0 || bytes % size != 0) return false;
    auto* out = static_cast<unsigned char*>(destination);
    uint64_t word = 0;
    for (uint64_t element = offset / size, end = element + bytes / size; element < end; ++element) {
      if (element % 4 == 0 || element == offset / size) word = random_word(seed_, element / 4);
      const uint64_t index = (word >> (16 * (element % 4))) % kValues;
      std::memcpy(out, &table_[index * size], size);
      out += size;
    }
    return true;
  }

 private:
  static constexpr size_t kValues = 4096;
  uint64_t element_bytes_;
  uint64_t seed_;
  std::vector<unsigned char> table_;
};

// A matrix in blocks; read whole blocks at a time.
bool read_blocks(const RandomBlocks& random, uint64_t offset, void* destination, uint64_t bytes) {
  const uint64_t size = random.block_bytes();
  if (offset % size != 0 || bytes % size != 0) return false;
  auto* out = static_cast<unsigned char*>(destination);
  for (uint64_t i = 0; i < bytes / size; ++i) std::memcpy(out + i * size, random.block(offset / size + i), size);
  return true;
}

// The format of a matrix by its name.
const moe_weight_format& format_of(const std::string& tensor, const moe_layer_desc& d) {
  const bool shared = tensor.starts_with("shared.");
  if (tensor == "latent.down") return d.latent_down_format;
  if (tensor == "latent.up") return d.latent_up_format;
  if (tensor.ends_with(".down")) return shared ? d.shared_down_format : d.down_format;
  if (tensor.ends_with(".gate")) return shared ? d.shared_gate_format : d.gate_format;
  return shared ? d.shared_up_format : d.up_format;
}

float amplitude_of(const moe_tensor_info& tensor, const moe_layer_desc& desc) {
  const std::string name = tensor.name;
  if (name.ends_with("bias") || name.ends_with("scale")) return 0.1f;
  if (name.ends_with("norm.weight")) return 1.0f;
  // Uniform in +-a has variance a*a/3. The stored order may be transposed: find the input width.
  const bool reduces_hidden = name.find("down") == std::string::npos;
  const bool shared = name.starts_with("shared.");
  const uint32_t width = reduces_hidden ? desc.hidden : shared ? desc.shared_intermediate : desc.intermediate;
  return std::sqrt(3.0f / static_cast<float>(width));
}

}  // namespace

std::vector<float> random_tokens(uint64_t tokens, uint64_t hidden, uint64_t seed) {
  std::vector<float> values(tokens * hidden);
  for (uint64_t row = 0; row < tokens; ++row) {
    double square = 0;
    for (uint64_t column = 0; column < hidden; ++column) {
      const uint64_t position = row * hidden + column;
      // The sum of twelve uniform deviates has variance 1 and is the same on every machine.
      uint32_t sum = 0;
      for (uint64_t part = 0; part < 3; ++part) {
        const uint64_t word = random_word(seed, 3 * position + part);
        for (uint32_t shift = 0; shift < 64; shift += 16) sum += static_cast<uint32_t>((word >> shift) & 0xFFFFu);
      }
      const double deviate = (sum + 6.0) / 65536.0 - 6.0;
      values[position] = static_cast<float>(deviate);
      square += deviate * deviate;
    }
    const double scale = square > 0 ? std::sqrt(static_cast<double>(hidden) / square) : 0;
    for (uint64_t column = 0; column < hidden; ++column) {
      float& value = values[row * hidden + column];
      value = static_cast<float>(value * scale);
    }
  }
  return values;
}

int32_t MOE_CALL draw_upload(void* user, uint64_t done_bytes, uint64_t total_bytes) {
  auto& progress = *static_cast<Progress*>(user);
  const double rate = static_cast<double>(done_bytes) / std::max(progress.seconds(), 1e-6);
  progress.update(done_bytes, total_bytes, bytes_text(rate) + "/s");
  return 0;
}

struct RandomSource::State {
  std::variant<RandomTensor, RandomBlocks> values;
};

RandomSource::RandomSource(const moe_tensor_info& tensor, const moe_layer_desc& desc, uint64_t seed) {
  const float amplitude = amplitude_of(tensor, desc);
  if (tensor.dtype == MOE_DTYPE_BLOCKS) {
    const RandomBlocks blocks(format_of(tensor.name, desc).preset - 1, amplitude / std::sqrt(3.0), seed);
    state_ = std::make_unique<State>(State{blocks});
  } else {
    state_ = std::make_unique<State>(State{RandomTensor(tensor.dtype, amplitude, seed)});
  }
}

RandomSource::~RandomSource() = default;

bool RandomSource::read(uint64_t offset, void* destination, uint64_t bytes) const {
  if (const auto* blocks = std::get_if<RandomBlocks>(&state_->values)) {
    return read_blocks(*blocks, offset, destination, bytes);
  }
  return std::get<RandomTensor>(state_->values).read(offset, destination, bytes);
}

void RandomSource::lend_to(moe_tensor_source& source) const {
  source.source = MOE_SOURCE_CALLBACK;
  source.user = const_cast<RandomSource*>(this);
  source.read = [](void* user, uint64_t offset, void* destination, uint64_t bytes) -> int32_t {
    return static_cast<const RandomSource*>(user)->read(offset, destination, bytes) ? 0 : 1;
  };
}

std::vector<moe_tensor_info> tensors_of(const Host& host, moe_device* device, const moe_layer_desc& desc) {
  uint32_t count = 0;
  moe::check([&](moe_error* e) { return host.api().list_tensors(device, &desc, nullptr, &count, e); });
  std::vector<moe_tensor_info> tensors(count, moe_init<moe_tensor_info>());
  moe::check([&](moe_error* e) { return host.api().list_tensors(device, &desc, tensors.data(), &count, e); });
  return tensors;
}

moe::Layer upload_random_layer(const Host& host, moe_device* device, const moe_layer_desc& desc, uint64_t seed,
                               const std::vector<float>& router_bias, const std::string& label,
                               const std::vector<float>& router) {
  const moe_api& api = host.api();
  const std::vector<moe_tensor_info> tensors = tensors_of(host, device, desc);
  Progress progress(label);
  moe_upload_desc upload_desc = moe_init<moe_upload_desc>();
  upload_desc.user = &progress;
  upload_desc.progress = draw_upload;
  moe::Upload upload = moe::begin_weights(host.library(), device, desc, &upload_desc);
  for (const moe_tensor_info& tensor : tensors) {
    const RandomSource random(tensor, desc, ++seed);
    moe_tensor_source source = moe_init<moe_tensor_source>();
    source.name = tensor.name;
    source.dtype = tensor.dtype;
    source.bytes = tensor.bytes;
    random.lend_to(source);
    if (source.name == std::string("router.bias") && !router_bias.empty()) {
      source.source = MOE_SOURCE_MEMORY;
      source.memory = router_bias.data();
    } else if (source.name == std::string("router.weight") && !router.empty()) {
      source.source = MOE_SOURCE_MEMORY;
      source.memory = router.data();
      source.dtype = MOE_DTYPE_F32;
      source.bytes = router.size() * sizeof(float);
    }
    moe::check([&](moe_error* e) { return api.add_tensor(upload, &source, e); });
  }
  return moe::commit_weights(host.library(), upload);
}

}  // namespace moevk::cli
