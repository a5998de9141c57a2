// SPDX-License-Identifier: MIT
//
// In:  a name.
// Out: a preset (see presets.h).
// Why: the one list of them. Further models of a family follow its first.
#include "tools/model/presets/presets.h"

#include "tools/model/presets/deepseek_families.h"
#include "tools/model/presets/early_families.h"
#include "tools/model/presets/softmax_families.h"
#include "tools/model/presets/special_families.h"

namespace moevk::model {
namespace {

// A further model of a family: the same form in other sizes.
Preset also(const char* family, Preset preset) {
  preset.family = family;
  return preset;
}

// Families by name. A file says how it stores its weights; here they are in bf16, as models are published and resident bytes counted.
std::vector<Preset> completed(std::vector<Preset> presets) {
  for (Preset& preset : presets) {
    if (*preset.family == '\0') preset.family = preset.name;
    moe_layer_desc& desc = preset.desc;
    const bool gated = (desc.flags & MOE_LAYER_UNGATED) == 0;
    const bool shared = desc.shared_intermediate > 0;
    desc.up_format.element = desc.down_format.element = MOE_ELEMENT_BF16;
    if (gated) desc.gate_format.element = MOE_ELEMENT_BF16;
    if (shared) desc.shared_up_format.element = desc.shared_down_format.element = MOE_ELEMENT_BF16;
    if (desc.latent > 0) desc.latent_down_format.element = desc.latent_up_format.element = MOE_ELEMENT_BF16;
    if (shared && gated) desc.shared_gate_format.element = MOE_ELEMENT_BF16;
  }
  return presets;
}

}  // namespace

const std::vector<Preset>& all_presets() {
  static const std::vector<Preset> presets = completed({
      switch_preset(),
      gshard_preset(),
      mixtral_preset(),
      also("mixtral", mixtral_8x22b_preset()),
      qwen2_moe_preset(),
      qwen3_moe_preset(),
      also("qwen3-moe", qwen3_moe_235b_preset()),
      qwen3_next_preset(),
      deepseek_v2_preset(),
      deepseek_v2_lite_preset(),
      deepseek_v3_preset(),
      deepseek_v4_preset(),
      kimi_k2_preset(),
      kimi_k3_preset(),
      glm45_preset(),
      also("glm-4.5", glm45_air_preset()),
      llama4_preset(),
      also("llama4", llama4_maverick_preset()),
      gpt_oss_preset(),
      also("gpt-oss", gpt_oss_120b_preset()),
      olmoe_preset(),
      phimoe_preset(),
      dbrx_preset(),
      grok1_preset(),
      jamba_preset(),
      arctic_preset(),
      minimax_m2_preset(),
      ernie45_preset(),
      hunyuan_preset(),
      granite_moe_preset(),
      also("granite-moe", granite_moe_1b_preset()),
      gemma4_preset(),
      longcat_preset(),
      laguna_preset(),
      nemotron_h_preset(),
  });
  return presets;
}

const Preset* find_preset(std::string_view name) {
  for (const Preset& preset : all_presets()) {
    if (name == preset.name) return &preset;
  }
  return nullptr;
}

}  // namespace moevk::model
