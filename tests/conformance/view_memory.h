// SPDX-License-Identifier: MIT
//
// The memory behind one view: host or device, with an offset, space between rows, and a known
// pattern wherever no row lies, so that a stray write is found. Also owners for the ABI's objects.
#ifndef MOE_TESTS_CONFORMANCE_VIEW_MEMORY_H_
#define MOE_TESTS_CONFORMANCE_VIEW_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "tests/conformance/layer_case.h"

namespace moe_conformance {

template <class T>
struct Destroyer {
  void(MOE_CALL* destroy)(T*) = nullptr;
  void operator()(T* object) const { destroy(object); }
};
template <class T>
using Owner = std::unique_ptr<T, Destroyer<T>>;

template <class T>
Owner<T> own(T* object, void(MOE_CALL* destroy)(T*)) {
  return Owner<T>(object, Destroyer<T>{destroy});
}

class ViewMemory {
 public:
  // Throws moe::Error if the device has no room.
  ViewMemory(const moe_api* api, moe_device* device, const Placement& placement, uint32_t dtype, uint64_t rows,
             uint64_t columns);

  // Rows, packed. Everything else becomes the pattern.
  void write_rows(const std::vector<std::byte>& packed);
  // Rows that nothing but the library fills: the pattern as well.
  void write_pattern();
  std::vector<std::byte> read_rows();
  // Where bytes outside of the rows (or anywhere, if the rows are inputs too) are not what was
  // written; empty if nowhere.
  std::string changed(bool rows_are_inputs);
  const moe_view* view() const { return &view_; }

 private:
  void upload();
  void download();

  const moe_api* api_;
  moe_view view_;
  size_t row_bytes_ = 0;
  size_t stride_ = 0;
  size_t offset_ = 0;
  bool spare_half_ = false;         // the half-word behind an odd 16-bit row may be overwritten
  std::vector<std::byte> written_;  // the whole memory, as write_* left it
  std::vector<std::byte> memory_;   // host: what the view points to; device: the last download
  Owner<moe_buffer> buffer_;
};

// A vector of numbers as packed bytes, and back.
template <class T>
std::vector<std::byte> to_bytes(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}
template <class T>
std::vector<T> from_bytes(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

}  // namespace moe_conformance

#endif  // MOE_TESTS_CONFORMANCE_VIEW_MEMORY_H_
