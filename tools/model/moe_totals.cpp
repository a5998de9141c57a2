// SPDX-License-Identifier: MIT
//
// In:  the tensors of a model and the MoE layers found in it.
// Out: parameters and bytes, total and per token (see moe_totals.h).
// Why: sums cannot overflow: tensors do not overlap, so their bytes are at most the file's, and a
//      number takes more than one bit in every type.
#include "tools/model/moe_totals.h"

#include <algorithm>
#include <charconv>

namespace moevk::model {

void count_layer(MoeLayer& layer) {
  uint64_t expert_parameters = 0;
  uint64_t expert_bytes = 0;
  for (const TensorSource& source : layer.tensors) {
    layer.parameters += source.tensor->numbers;
    layer.bytes += source.tensor->bytes;
    if (source.expert_count > 0) {
      expert_parameters += source.tensor->numbers;
      expert_bytes += source.tensor->bytes;
    }
  }
  // All experts have the same shape and types: one is an exact E-th part.
  const uint64_t experts = layer.desc.experts;
  const uint64_t unused = experts - layer.desc.top_k;
  layer.active_parameters = layer.parameters - expert_parameters / experts * unused;
  layer.bytes_per_token = layer.bytes - expert_bytes / experts * unused;
}

namespace {

bool is_of_a_draft(std::string_view name, const TotalNames& names) {
  if (!name.starts_with(names.block)) return false;
  uint32_t block = 0;
  const char* first = name.data() + names.block.size();
  const auto parsed = std::from_chars(first, name.data() + name.size(), block);
  return parsed.ec == std::errc() && block >= names.blocks;
}

}  // namespace

ModelTotals count_totals(const TensorStore& store, const std::vector<MoeLayer>& layers, const TotalNames& names) {
  ModelTotals totals;
  uint64_t draft_parameters = 0, draft_bytes = 0;
  for (const TensorInfo& tensor : store.tensors()) {
    if (is_of_a_draft(tensor.name, names)) {
      draft_parameters += tensor.numbers;
      draft_bytes += tensor.bytes;
    }
    totals.parameters += tensor.numbers;
    totals.bytes += tensor.bytes;
    auto row = std::find_if(totals.types.begin(), totals.types.end(),
                            [&](const TypeTotal& total) { return total.type == tensor.type; });
    if (row == totals.types.end()) {
      row = totals.types.insert(row, TypeTotal{tensor.type, 0, 0, 0});
    }
    row->tensors += 1;
    row->parameters += tensor.numbers;
    row->bytes += tensor.bytes;
  }
  std::sort(totals.types.begin(), totals.types.end(), [](const TypeTotal& a, const TypeTotal& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.type->id < b.type->id;
  });
  for (const MoeLayer& layer : layers) {
    totals.moe_parameters += layer.parameters;
    totals.moe_active_parameters += layer.active_parameters;
    totals.moe_bytes += layer.bytes;
    totals.moe_bytes_per_token += layer.bytes_per_token;
  }
  totals.active_parameters = totals.parameters - draft_parameters - totals.moe_parameters + totals.moe_active_parameters;
  totals.bytes_per_token = totals.bytes - draft_bytes - totals.moe_bytes + totals.moe_bytes_per_token;
  const TensorInfo* embedding = store.find_tensor(names.embedding);
  if (embedding != nullptr && store.find_tensor(names.output) != nullptr && embedding->numbers > 0) {
    const uint64_t rows = embedding->numbers / embedding->ne[0];
    totals.bytes_per_token -= embedding->bytes - embedding->bytes / rows;
  }
  return totals;
}

}  // namespace moevk::model
