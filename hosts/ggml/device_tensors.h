// SPDX-License-Identifier: MIT
//
// In:  expert matrices of the host, and what it writes to them.
// Out: the same matrices in device memory, packed as the device's kernels read them; their bytes again, bit for bit.
// Why: weights are held once. Layers use these buffers where they are; the host's buffer keeps the addresses alone.
#ifndef MOEVK_HOSTS_GGML_DEVICE_TENSORS_H_
#define MOEVK_HOSTS_GGML_DEVICE_TENSORS_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "hosts/ggml/host_ggml.h"
#include "plugin_api/moe_plugin.hpp"
#include "plugin_api/moe_plugin_packed.h"

namespace moevk::ggml {

// Keyed by the host's addresses, which stay reserved while a tensor is here. [thread-safe], but for reads and writes
// of the same tensor at once. Functions throw moe::Error, or std::bad_alloc.
class DeviceTensors {
 public:
  DeviceTensors(const HostGgml& host, const moe::Library& library, moe_device* device);

  // Device memory for this matrix from now on, filled with zeros; false with the reason where it must stay the host's.
  bool take(const Tensor& tensor, std::string& why);

  // Whether this byte is of a matrix here.
  bool has(const void* address) const { return find(address) != nullptr; }
  // The buffer of the matrix that begins there, for MOE_BINDING_PACKED; NULL if there is none.
  moe_buffer* buffer(const void* begin) const;
  uint64_t bytes() const;  // device memory held

  // Host bytes of [address, address + bytes), which are of one matrix.
  void write(void* address, const void* source, size_t bytes);
  void fill(void* address, uint8_t value, size_t bytes);
  void read(const void* address, void* destination, size_t bytes) const;
  // All of the matrix that `address` is of, and where it begins in the host's addresses.
  std::vector<char> copy(const void* address, const char*& begin) const;

  // Those that begin in [begin, begin + bytes), as begin and length.
  std::vector<std::pair<char*, size_t>> ranges(void* begin, size_t bytes) const;
  void release(void* begin, size_t bytes);

 private:
  struct Held {
    char* begin = nullptr;
    moe_weight_format format{};
    uint32_t columns = 0;
    uint64_t rows = 0;
    uint64_t row_bytes = 0;     // the host's
    uint64_t packed_bytes = 0;  // of a row
    moe::Buffer buffer;
  };
  std::shared_ptr<const Held> find(const void* address) const;
  std::shared_ptr<const Held> at(const void* address, size_t bytes) const;
  template <class Change>
  void change(void* address, size_t bytes, Change&& rows);
  void read_rows(const Held& held, uint64_t first, uint64_t rows, char* destination) const;
  void write_rows(const Held& held, uint64_t first, uint64_t rows, const char* source) const;

  const HostGgml& host_;
  moe::Library library_;
  moe_device* device_;
  const moe_packed_rows* packing_;
  mutable std::mutex mutex_;  // guards what follows
  std::map<uintptr_t, std::shared_ptr<const Held>> held_;
  uint64_t bytes_ = 0;
};

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_DEVICE_TENSORS_H_
