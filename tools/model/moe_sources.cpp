// SPDX-License-Identifier: MIT
//
// In:  where a layer's tensor lies in a model's files.
// Out: what the plugin's add_tensor takes (see moe_model.h).
// Why: the ways of handing weights over, from the mapping, by path or repacked, differ in few fields.
#include <utility>

#include "tools/model/moe_layer_reader.h"
#include "tools/model/moe_model.h"

namespace moevk::model {

moe_tensor_source memory_source(const TensorStore& store, const TensorSource& source) {
  moe_tensor_source result = MOE_INIT(moe_tensor_source);
  result.name = source.name.c_str();
  result.expert_first = source.expert_first;
  result.expert_count = source.expert_count;
  result.source = MOE_SOURCE_MEMORY;
  result.dtype = source.dtype;
  if (is_router(source.name) && source.dtype == MOE_DTYPE_BLOCKS)
    result.format = format_of_type(source.tensor->type->id);
  result.memory = store.tensor_bytes(*source.tensor).data();
  result.bytes = source.tensor->bytes;
  return result;
}

moe_tensor_source file_source(const TensorStore& store, const TensorSource& source) {
  moe_tensor_source result = memory_source(store, source);
  result.source = MOE_SOURCE_FILE;
  result.memory = nullptr;
  result.path = store.tensor_path(*source.tensor).c_str();
  result.file_offset = source.tensor->offset;
  return result;
}

Result<moe_tensor_source> upload_source(const TensorStore& store, const TensorSource& source,
                                        std::vector<std::byte>& own) {
  if (source.repacking.order == WordOrder::as_stored) {
    return store.tensor_path(*source.tensor).empty() ? memory_source(store, source) : file_source(store, source);
  }
  auto bytes = repacked(source.repacking, store.tensor_bytes(*source.tensor));
  if (!bytes) return ParseError{0, printable(source.tensor->name), bytes.error().message};
  own = std::move(*bytes);
  moe_tensor_source result = memory_source(store, source);
  result.memory = own.data();
  result.bytes = own.size();
  return result;
}

}  // namespace moevk::model
