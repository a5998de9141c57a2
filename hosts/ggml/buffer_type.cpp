// SPDX-License-Identifier: MIT
//
// In:  see buffer_type.h.
// Out: see buffer_type.h.
// Why: every member is a pointer, so that a layout is the place of each.
#include "hosts/ggml/buffer_type.h"

#include "hosts/ggml/tree_tables.h"

namespace moevk::ggml {
namespace {

BufferTypePlaces places_for(int32_t api) {
#if defined(MOEVK_GGML_VERSION)
  if (api == tree_api_version()) return tree_buffer_type();
#endif
  return api == 2 ? places_of<BufferType2>() : places_of<BufferType3>();
}

}  // namespace

void BufferTypeObject::fill(int32_t api, const BufferTypeCalls& calls, Device* device) {
  const BufferTypePlaces places = places_for(api);
  words_.assign(places.words, nullptr);
  words_[places.get_name] = reinterpret_cast<void*>(calls.get_name);
  words_[places.alloc_buffer] = reinterpret_cast<void*>(calls.alloc_buffer);
  words_[places.get_alignment] = reinterpret_cast<void*>(calls.get_alignment);
  words_[places.is_host] = reinterpret_cast<void*>(calls.is_host);
  words_[places.device] = device;
}

}  // namespace moevk::ggml
