// SPDX-License-Identifier: MIT
//
// In:  the functions of a buffer type, the backend API of the running ggml.
// Out: a buffer type laid out as that ggml has it.
// Why: this table is the one whose layout differs between the APIs (vtables.h).
#ifndef MOEVK_HOSTS_GGML_BUFFER_TYPE_H_
#define MOEVK_HOSTS_GGML_BUFFER_TYPE_H_

#include <cstdint>
#include <vector>

#include "hosts/ggml/vtables.h"

namespace moevk::ggml {

struct BufferTypeCalls {
  const char* (*get_name)(BufferType*);
  Buffer* (*alloc_buffer)(BufferType*, size_t bytes);
  size_t (*get_alignment)(BufferType*);
  bool (*is_host)(BufferType*);
};

// Lies where it is filled: ggml keeps the pointer.
class BufferTypeObject {
 public:
  BufferTypeObject() = default;
  BufferTypeObject(const BufferTypeObject&) = delete;
  BufferTypeObject& operator=(const BufferTypeObject&) = delete;

  // `api`: what known_api_version gave.
  void fill(int32_t api, const BufferTypeCalls& calls, Device* device);
  BufferType* get() const { return reinterpret_cast<BufferType*>(const_cast<void**>(words_.data())); }

 private:
  std::vector<void*> words_;
};

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_BUFFER_TYPE_H_
