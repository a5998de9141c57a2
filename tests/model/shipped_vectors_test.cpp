// SPDX-License-Identifier: MIT
//
// In:  the vectors of tests/vectors, and the presets.
// Out: every vector is read; what it sets is what its family's preset sets; every family has one.
// Why: a vector speaks for a family only as long as its layer is of that family's form.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "tools/model/layer_fields.h"
#include "tools/model/presets/presets.h"
#include "tools/model/vector_file.h"

namespace moevk::model {
namespace {

struct Shipped {
  std::string name;
  VectorFile file;
};

const std::vector<Shipped>& shipped() {
  static const std::vector<Shipped> all = [] {
    std::vector<Shipped> vectors;
    for (const auto& entry : std::filesystem::directory_iterator(MOEVK_SOURCE_DIR "/tests/vectors")) {
      std::ifstream in(entry.path(), std::ios::binary);
      std::ostringstream text;
      text << in.rdbuf();
      Shipped one{entry.path().filename().string(), {}};
      const auto error = read_vector(text.str(), one.file);
      if (error) ADD_FAILURE() << one.name << ":" << error->line << ": " << error->message;
      vectors.push_back(std::move(one));
    }
    return vectors;
  }();
  return all;
}

// Sizes are small in a vector; where zero means that a part is not there, they agree in that.
enum class Size { kNone, kAny, kPresence };
Size size_of(const std::string& field) {
  static const std::set<std::string> any = {"hidden", "intermediate", "experts", "top_k"};
  static const std::set<std::string> presence = {"identity_experts", "shared_intermediate", "latent",
                                                 "token_table_rows"};
  return any.count(field) != 0 ? Size::kAny : presence.count(field) != 0 ? Size::kPresence : Size::kNone;
}

std::string comparable(const LayerField& field, const moe_layer_desc& desc) {
  const std::string value = field_value(field, desc);
  if (size_of(field.name) == Size::kAny || field.kind == FieldKind::kFormat) return "";
  if (size_of(field.name) == Size::kPresence) return value == "0" ? "none" : "some";
  return value;
}

TEST(ShippedVectors, SetWhatTheirPresetsSet) {
  for (const Shipped& one : shipped()) {
    const Preset* preset = find_preset(one.file.preset);
    ASSERT_NE(preset, nullptr) << one.name << ": there is no preset '" << one.file.preset << "'";
    EXPECT_EQ(one.file.family, one.file.preset) << one.name;
    EXPECT_FALSE(one.file.title.empty()) << one.name;
    for (const LayerField& field : layer_fields()) {
      const std::string have = comparable(field, one.file.desc), want = comparable(field, preset->desc);
      const auto departs_in = [&](const char* name) {
        return std::any_of(one.file.departures.begin(), one.file.departures.end(),
                           [&](const Departure& d) { return d.field == name; });
      };
      const bool departs = departs_in(field.name);
      // What another departure brings along: with a table there is a table's size, and no bias.
      const bool follows = std::string(field.name) == "token_table_rows" && departs_in("route_source");
      if (departs) {
        EXPECT_NE(have, want) << one.name << ": " << field.name << " does not depart from the preset";
      } else if (!follows) {
        EXPECT_EQ(have, want) << one.name << ": " << field.name;
      }
    }
  }
}

TEST(ShippedVectors, EveryFamilyHasOneThatNeedsNothingNew) {
  std::set<std::string> families, plain;
  for (const Shipped& one : shipped()) {
    families.insert(one.file.family);
    if (one.file.needs.empty()) plain.insert(one.file.family);
  }
  std::set<std::string> further = {"mixtral-8x22b",   "qwen3-moe-235b", "glm-4.5-air",
                                   "llama4-maverick", "gpt-oss-120b",   "granite-moe-1b"};
  size_t expected = 0;
  for (const Preset& preset : all_presets()) {
    if (further.erase(preset.name) != 0) continue;  // a further model of a family
    ++expected;
    EXPECT_EQ(plain.count(preset.name), 1u) << preset.name;
  }
  EXPECT_TRUE(further.empty());
  EXPECT_EQ(families.size(), expected);
  EXPECT_GE(expected, 29u);
}

TEST(ShippedVectors, SayWhichExpertsWithWhichWeights) {
  for (const Shipped& one : shipped()) {
    EXPECT_NE(one.file.output("ids"), nullptr) << one.name;
    EXPECT_NE(one.file.output("weights"), nullptr) << one.name;
    EXPECT_LE(one.file.output("y")->within, kVectorTolerance) << one.name;
  }
}

}  // namespace
}  // namespace moevk::model
