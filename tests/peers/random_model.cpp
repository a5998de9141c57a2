// SPDX-License-Identifier: MIT
//
// In:  see random_model.h.
// Out: see random_model.h.
// Why: weights are drawn by name, so that a tensor is the same whatever else the model has.
#include "tests/peers/random_model.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <list>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "tests/conformance/numbers.h"

namespace moevk::peers {
namespace {

using moe_conformance::Random;

// Written by test-llama-archs for every architecture, by a converter only for those that have a choice.
constexpr const char* kRouterKeys[] = {"expert_gating_func", "expert_weights_norm",     "expert_weights_scale",
                                       "expert_group_count", "expert_group_used_count", "expert_group_scale",
                                       "experts_per_group"};

// Likewise, as 0 where the architecture has no such width.
constexpr const char* kWidthKeys[] = {"expert_feed_forward_length", "expert_shared_feed_forward_length"};

uint64_t hash_of(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const unsigned char c : text) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

struct Filler {
  const LlamaLibrary& llama;
  const LlamaCase& one;
  std::vector<ggml_tensor> tensors;  // for the file; their memory is the model's, or that of `parts`
  std::list<std::vector<float>> parts;
  std::string problem;
};

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

// Sums over ne[0] terms come out near one, router logits near two, gates near three, so that clamps are reached; vectors
// stay small, norms near one.
float spread_of(const std::string& name, const ggml_tensor& tensor) {
  const float fan_in = 1.0f / std::sqrt(static_cast<float>(tensor.ne[0]));
  if (has(name, "token_embd")) return 1;
  if (has(name, "ffn_gate_inp.weight")) return 2 * fan_in;
  if (has(name, "gate_exps.weight") || has(name, "up_exps.weight")) return 3 * fan_in;  // joined ones, too
  if (has(name, "exps.bias") || has(name, "exp_probs_b") || has(name, "ffn_gate_inp.bias")) return 0.25f;
  return tensor.ne[1] > 1 ? fan_in : 0.1f;
}

void fill_ids(Filler& filler, ggml_tensor* tensor, Random& random) {
  const auto k = static_cast<size_t>(tensor->ne[0]), rows = static_cast<size_t>(tensor->ne[1]);
  std::vector<int32_t> ids(filler.one.experts), all;
  std::iota(ids.begin(), ids.end(), 0);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < k; ++i) {
      std::swap(ids[i], ids[i + random.below(filler.one.experts - static_cast<uint32_t>(i))]);
    }
    all.insert(all.end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(k));
  }
  filler.llama.tensor_set(tensor, all.data(), 0, all.size() * sizeof all[0]);
}

// llama.cpp asks for all that any file may have. Scales of weights stand in files of formats that carry them apart; the
// frequencies of rotary embeddings belong to every layer, and are asked for again.
bool is_in_files(const Filler& filler, const std::string& name) {
  const bool kept =
      std::any_of(filler.one.keeps.begin(), filler.one.keeps.end(), [&](const char* part) { return has(name, part); });
  if ((name.ends_with(".scale") && !kept) || name.ends_with(".input_scale")) return false;
  for (const char* part : filler.one.without) {
    if (has(name, part)) return false;
  }
  return std::none_of(filler.tensors.begin(), filler.tensors.end(),
                      [&](const ggml_tensor& other) { return name == other.name; });
}

// Converters write gate and up apart.
void add_to_file(Filler& filler, const ggml_tensor& tensor) {
  constexpr char kJoined[] = "ffn_gate_up_exps";
  const std::string name = tensor.name;
  const size_t at = name.find(kJoined);
  if (at == std::string::npos) {
    filler.tensors.push_back(tensor);
    return;
  }
  const bool matrix = name.ends_with(".weight");  // [hidden, 2F, experts]; a bias: [2F, experts]
  const size_t run = static_cast<size_t>(matrix ? tensor.ne[0] * tensor.ne[1] : tensor.ne[0]) / 2;
  const size_t experts = static_cast<size_t>(matrix ? tensor.ne[2] : tensor.ne[1]);
  const auto* numbers = static_cast<const float*>(tensor.data);
  for (size_t half = 0; half < 2; ++half) {
    std::vector<float>& part = filler.parts.emplace_back();
    for (size_t e = 0; e < experts; ++e) {
      part.insert(part.end(), numbers + (2 * e + half) * run, numbers + (2 * e + half + 1) * run);
    }
    ggml_tensor one = tensor;
    one.ne[matrix ? 1 : 0] /= 2;
    for (size_t axis = 1; axis < GGML_MAX_DIMS; ++axis) {
      one.nb[axis] = one.nb[axis - 1] * static_cast<size_t>(one.ne[axis - 1]);
    }
    one.buffer = nullptr;
    one.data = part.data();
    std::string own = name;
    own.replace(at, sizeof kJoined - 1, half == 0 ? "ffn_gate_exps" : "ffn_up_exps");
    std::memcpy(one.name, own.c_str(), own.size() + 1);
    filler.tensors.push_back(one);
  }
}

void fill(ggml_tensor* tensor, void* user) {
  Filler& filler = *static_cast<Filler*>(user);
  const std::string name = tensor->name;
  Random random(hash_of(name));
  const size_t count = static_cast<size_t>(tensor->ne[0] * tensor->ne[1] * tensor->ne[2] * tensor->ne[3]);
  if (tensor->type == GGML_TYPE_F32 || tensor->type == GGML_TYPE_F16) {
    const bool norm = (has(name, "norm") && has(name, ".weight")) || has(name, "rope_freqs");
    const float spread = spread_of(name, *tensor);
    std::vector<float> numbers(count);
    for (float& number : numbers) number = (norm ? 1.0f : 0.0f) + spread * random.normal();
    if (tensor->type == GGML_TYPE_F32) {
      filler.llama.tensor_set(tensor, numbers.data(), 0, count * sizeof(float));
    } else {
      std::vector<uint16_t> halves(count);
      std::transform(numbers.begin(), numbers.end(), halves.begin(), moe_conformance::encode_f16);
      filler.llama.tensor_set(tensor, halves.data(), 0, count * sizeof(uint16_t));
    }
  } else if (tensor->type == GGML_TYPE_I32 && tensor->ne[0] <= filler.one.experts) {
    fill_ids(filler, tensor, random);
  } else {
    filler.problem = name + " has ggml type " + std::to_string(tensor->type);
  }
  if (is_in_files(filler, name)) add_to_file(filler, *tensor);
}

using Metadata = std::unique_ptr<gguf_context, decltype(&::gguf_free)>;

void set(const LlamaLibrary& llama, gguf_context* metadata, const std::string& key,
         const std::variant<uint32_t, float, bool, std::vector<bool>>& value) {
  if (const auto* number = std::get_if<uint32_t>(&value)) llama.gguf_set_val_u32(metadata, key.c_str(), *number);
  if (const auto* real = std::get_if<float>(&value)) llama.gguf_set_val_f32(metadata, key.c_str(), *real);
  if (const auto* flags = std::get_if<std::vector<bool>>(&value)) {
    const std::vector<int8_t> bytes(flags->begin(), flags->end());
    llama.gguf_set_arr_data(metadata, key.c_str(), GGUF_TYPE_BOOL, bytes.data(), bytes.size());
  }
  if (const auto* flag = std::get_if<bool>(&value)) llama.gguf_set_val_bool(metadata, key.c_str(), *flag);
}

// The base's file, under the case's architecture: that stands in front of every key.
std::string bytes_of(const std::string& base, const LlamaCase& one) {
  std::ifstream file(base, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (bytes.empty()) throw std::runtime_error(base + " is not there: test-llama-archs has not saved it");
  if (one.base_architecture == nullptr) return bytes;
  const std::string from = one.base_architecture, to = one.architecture;
  if (from.size() != to.size()) throw std::runtime_error(from + " and " + to + " differ in length");
  for (size_t at = bytes.find(from); at != std::string::npos; at = bytes.find(from, at + to.size())) {
    bytes.replace(at, to.size(), to);
  }
  return bytes;
}

// llama.cpp makes tensors in f32, unless the metadata name one of another type. Shapes are its own all the same.
void add_token_tables(const LlamaLibrary& llama, gguf_context* metadata, const LlamaCase& one) {
  for (uint32_t block = 0; block < one.token_tables; ++block) {
    ggml_tensor tensor = {};
    tensor.type = GGML_TYPE_I32;
    std::fill(std::begin(tensor.ne), std::end(tensor.ne), 1);
    std::snprintf(tensor.name, sizeof tensor.name, "blk.%u.ffn_gate_tid2eid.weight", block);
    llama.gguf_add_tensor(metadata, &tensor);
  }
}

}  // namespace

void write_random_model(const LlamaLibrary& llama, const LlamaCase& one, const std::string& base,
                        const std::string& file) {
  const std::string bytes = bytes_of(base, one);
  const Metadata metadata(llama.gguf_init_from_buffer(bytes.data(), bytes.size(), {.no_alloc = true, .ctx = nullptr}),
                          llama.gguf_free);
  if (metadata == nullptr) throw std::runtime_error(base + " is not a GGUF file");
  const std::string prefix = std::string(one.architecture) + ".";
  for (const char* key : kRouterKeys) llama.gguf_remove_key(metadata.get(), (prefix + key).c_str());
  for (const char* key : kWidthKeys) {
    const int64_t id = llama.gguf_find_key(metadata.get(), (prefix + key).c_str());
    if (id >= 0 && llama.gguf_get_val_u32(metadata.get(), id) == 0) {
      llama.gguf_remove_key(metadata.get(), (prefix + key).c_str());
    }
  }
  set(llama, metadata.get(), prefix + "expert_count", one.experts);
  set(llama, metadata.get(), prefix + "expert_used_count", one.top_k);
  for (const MetadataKey& key : one.keys) set(llama, metadata.get(), prefix + key.name, key.value);

  add_token_tables(llama, metadata.get(), one);

  Filler filler{llama, one, {}, {}, {}};
  llama_model* model = llama.model_init_from_user(metadata.get(), fill, &filler, llama.model_default_params());
  if (model == nullptr) throw std::runtime_error("llama.cpp makes no model of these metadata");
  const Metadata out(llama.gguf_init_empty(), llama.gguf_free);
  llama.gguf_set_kv(out.get(), metadata.get());
  for (const ggml_tensor& tensor : filler.tensors) llama.gguf_add_tensor(out.get(), &tensor);
  const bool written = llama.gguf_write_to_file(out.get(), file.c_str(), false);
  llama.model_free(model);
  if (!filler.problem.empty()) throw std::runtime_error(filler.problem);
  if (!written) throw std::runtime_error(file + " cannot be written");
}

}  // namespace moevk::peers
