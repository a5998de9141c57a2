// SPDX-License-Identifier: MIT
//
// GPTQ, AWQ and compressed-tensors checkpoints against tests/model/make_packed_checkpoint.py, which shares no code and no
// language with the reader: every weight is the generator's, bit for bit; layers give what the same weights in float32
// give, bit for bit on the reference; and a device agrees with the reference.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "tests/conformance/affine_codec.h"
#include "tests/real_model/same_model.h"

namespace {

using namespace moevk::model;
using moe_tests::Bytes;

class PackedModel : public moe_tests::SameModel, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    const std::string python = MOEVK_PYTHON;
    if (python.empty()) GTEST_SKIP() << "there was no Python 3 when this was configured";
    const std::string command = "\"" + python + "\" \"" MOEVK_SOURCE_DIR "/tests/model/make_packed_checkpoint.py\" " +
                                GetParam() + " \"" + folder_.path().string() + "\"";
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }

  std::string packed() const { return (folder_ / "packed").string(); }
  std::string plain() const { return (folder_ / "plain").string(); }
};

Bytes bytes_of(const OpenModel& opened, const TensorSource& source) {
  Bytes own;
  const auto handed = upload_source(*opened.store, source, own);
  if (!handed) throw std::runtime_error(handed.error().text());
  if (!own.empty()) return own;
  const auto stored = opened.store->tensor_bytes(*source.tensor);
  return {stored.begin(), stored.end()};
}

const moe_weight_format& format_of(const moe_layer_desc& desc, const std::string& name) {
  return name == "experts.gate" ? desc.gate_format : name == "experts.up" ? desc.up_format : desc.down_format;
}

// Zero points as numbers, as docs/weights.md packs them.
std::vector<uint8_t> unpacked_zeros(const moe_weight_format& format, const Bytes& packed, size_t rows, size_t groups) {
  std::vector<uint8_t> zeros;
  const size_t row_bits = format.block_columns == 0 ? format.bits : (groups * format.bits + 7) / 8 * 8;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t group = 0; group < groups; ++group) {
      const size_t bit = row * row_bits + group * format.bits;
      zeros.push_back(
          static_cast<uint8_t>(static_cast<uint32_t>(packed.at(bit / 8)) >> (bit % 8) & ((1u << format.bits) - 1)));
    }
  }
  return zeros;
}

TEST_P(PackedModel, EveryWeightIsTheGenerators) {
  const auto a = open_model(packed()), b = open_model(plain());
  ASSERT_TRUE(a.ok()) << a.error().text();
  ASSERT_TRUE(b.ok()) << b.error().text();
  size_t compared = 0;
  for (size_t l = 0; l < a->model.layers.size(); ++l) {
    const MoeLayer &layer = a->model.layers[l], &truth = b->model.layers[l];
    ASSERT_EQ(layer.refusal, "");
    moe_conformance::AffineParts parts;
    for (const TensorSource& source : layer.tensors) {
      if (source.name.ends_with(".scale")) {
        parts = {bytes_of(*a, source), {}};
        continue;
      }
      const bool zeros = source.name.ends_with(".zero");
      const std::string name = source.name.substr(0, source.name.size() - (zeros ? 5 : 0));
      if (!name.starts_with("experts.")) continue;
      const moe_weight_format& format = format_of(layer.desc, name);
      const bool down = name == "experts.down";
      const moe_conformance::AffineShape shape{1, down ? layer.desc.hidden : layer.desc.intermediate,
                                               down ? layer.desc.intermediate : layer.desc.hidden};
      if (zeros) {
        const size_t groups = moe_conformance::affine_groups(format, shape.columns);
        parts.zeros = unpacked_zeros(format, bytes_of(*a, source), shape.rows, groups);
        continue;
      }
      const auto same = std::find_if(truth.tensors.begin(), truth.tensors.end(), [&](const TensorSource& other) {
        return other.name == name && other.expert_first == source.expert_first;
      });
      ASSERT_NE(same, truth.tensors.end());
      const Bytes expected = bytes_of(*b, *same);
      const std::vector<float> have = moe_conformance::decode_affine(format, shape, bytes_of(*a, source), parts);
      ASSERT_EQ(have.size() * 4, expected.size());
      for (size_t i = 0; i < have.size(); ++i) {
        float want = 0;
        std::memcpy(&want, expected.data() + 4 * i, 4);
        ASSERT_EQ(have[i] == 0 ? 0 : std::bit_cast<uint32_t>(have[i]), want == 0 ? 0 : std::bit_cast<uint32_t>(want))
            << source.tensor->name << ", weight " << i << ": " << have[i] << ", not " << want;
      }
      ++compared;
    }
  }
  EXPECT_EQ(compared, 2 * 4 * 3u);
}

TEST_P(PackedModel, GivesWhatTheSameWeightsInFloat32Give) { expect_same_outputs(plain(), packed()); }

// Kinds whose layers differ for a device: with groups, without, without stored zero points, and of other widths.
class PackedModelOnADevice : public PackedModel {};

TEST_P(PackedModelOnADevice, AgreesWithTheReference) {
  uint32_t count = 0, index = 0;
  moe::check([&](moe_error* e) { return library_->get_device_count(instance_, &count, e); });
  moe::check([&](moe_error* e) { return library_->choose_device(instance_, &index, e); });
  if (index == count - 1) GTEST_SKIP() << "no Vulkan device";
  const moe::Device device = moe::open_device(library_, instance_, index);
  const auto opened = open_model(packed());
  ASSERT_TRUE(opened.ok()) << opened.error().text();
  std::mt19937 random(3);
  for (const MoeLayer& layer : opened->model.layers) {
    for (const uint64_t tokens : {1, 40}) {
      const std::vector<float> x = draw(random, tokens * layer.desc.hidden);
      const std::vector<float> expected = run(reference_, *opened, layer, x), have = run(device, *opened, layer, x);
      double difference = 0, size = 0;
      for (size_t i = 0; i < have.size(); ++i) {
        difference += std::pow(static_cast<double>(have[i]) - static_cast<double>(expected[i]), 2);
        size += std::pow(static_cast<double>(expected[i]), 2);
      }
      ASSERT_GT(size, 0);
      EXPECT_LE(std::sqrt(difference / size), 1e-5) << "layer " << layer.block << ", " << tokens << " tokens";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, PackedModel,
                         testing::Values("gptq", "gptq_v2", "gptq_sym", "gptq_rows", "gptq8", "gptq2", "awq",
                                         "compressed", "compressed_zeros"),
                         [](const auto& one) { return std::string(one.param); });
INSTANTIATE_TEST_SUITE_P(Kinds, PackedModelOnADevice, testing::Values("awq", "gptq8", "gptq_rows", "compressed"),
                         [](const auto& one) { return std::string(one.param); });

}  // namespace
