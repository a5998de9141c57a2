// SPDX-License-Identifier: MIT
//
// In:  see device_tensors.h.
// Out: see device_tensors.h.
// Why: a device keeps whole rows, and the host may write any bytes, so rows that are written in part are read first.
#include "hosts/ggml/device_tensors.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "hosts/ggml/weight_types.h"

namespace moevk::ggml {
namespace {

constexpr uint64_t kPieceBytes = 4u << 20;  // moved at a time

uint64_t rows_in_piece(uint64_t row_bytes) { return std::max<uint64_t>(1, kPieceBytes / row_bytes); }

}  // namespace

DeviceTensors::DeviceTensors(const HostGgml& host, const moe::Library& library, moe_device* device)
    : host_(host),
      library_(library),
      device_(device),
      packing_(static_cast<const moe_packed_rows*>(library->get_extension(MOE_EXTENSION_PACKED_ROWS))) {}

bool DeviceTensors::take(const Tensor& tensor, std::string& why) {
  auto held = std::make_shared<Held>();
  uint32_t dtype;
  if (packing_ == nullptr) {
    why = "the library packs no rows";
    return false;
  }
  if (!weight_format(host_.type_name(tensor.type), held->format, dtype)) {
    why = std::string("moevk does not read ") + host_.type_name(tensor.type);
    return false;
  }
  held->begin = static_cast<char*>(tensor.data);
  held->columns = static_cast<uint32_t>(tensor.ne[0]);
  held->rows = static_cast<uint64_t>(tensor.ne[1] * tensor.ne[2] * tensor.ne[3]);
  held->row_bytes =
      static_cast<uint64_t>(tensor.ne[0] / host_.block_columns(tensor.type)) * host_.type_bytes(tensor.type);
  if (held->rows == 0) {
    why = "it is empty";
    return false;
  }
  moe_error error = MOE_INIT(moe_error);
  moe_buffer* buffer = nullptr;
  if (packing_->row_bytes(device_, &held->format, held->columns, &held->packed_bytes, &error) != MOE_OK ||
      library_->create_buffer(device_, held->rows * held->packed_bytes, &buffer, &error) != MOE_OK) {
    why = error.text;
    return false;
  }
  held->buffer = {library_, buffer};
  // Addresses that a host gives to another tensor, or to the same one again, hold nothing of before.
  std::lock_guard lock(mutex_);
  const auto key = reinterpret_cast<uintptr_t>(held->begin);
  const uintptr_t end = key + held->rows * held->row_bytes;
  for (auto it = held_.begin(); it != held_.end();) {
    const Held& old = *it->second;
    const bool apart = it->first >= end || it->first + old.rows * old.row_bytes <= key;
    if (!apart) bytes_ -= old.rows * old.packed_bytes;
    it = apart ? std::next(it) : held_.erase(it);
  }
  bytes_ += held->rows * held->packed_bytes;
  held_[key] = std::move(held);
  return true;
}

std::shared_ptr<const DeviceTensors::Held> DeviceTensors::find(const void* address) const {
  const auto key = reinterpret_cast<uintptr_t>(address);
  std::lock_guard lock(mutex_);
  auto it = held_.upper_bound(key);
  if (it == held_.begin()) return nullptr;
  --it;
  return key - it->first < it->second->rows * it->second->row_bytes ? it->second : nullptr;
}

std::shared_ptr<const DeviceTensors::Held> DeviceTensors::at(const void* address, size_t bytes) const {
  std::shared_ptr<const Held> held = find(address);
  if (held == nullptr || static_cast<const char*>(address) + bytes > held->begin + held->rows * held->row_bytes) {
    throw std::runtime_error("bytes that are of no matrix on the device, or of two");
  }
  return held;
}

moe_buffer* DeviceTensors::buffer(const void* begin) const {
  const std::shared_ptr<const Held> held = find(begin);
  return held != nullptr && held->begin == begin ? held->buffer.get() : nullptr;
}

uint64_t DeviceTensors::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

void DeviceTensors::read_rows(const Held& held, uint64_t first, uint64_t rows, char* destination) const {
  std::vector<char> packed(std::min(rows, rows_in_piece(held.packed_bytes)) * held.packed_bytes);
  while (rows != 0) {
    const uint64_t run = std::min(rows, packed.size() / held.packed_bytes);
    moe::check([&](moe_error* error) {
      return library_->read_buffer(held.buffer, first * held.packed_bytes, packed.data(), run * held.packed_bytes,
                                   error);
    });
    moe::check([&](moe_error* error) {
      return packing_->unpack(device_, &held.format, held.columns, run, packed.data(), destination, error);
    });
    first += run;
    rows -= run;
    destination += run * held.row_bytes;
  }
}

void DeviceTensors::write_rows(const Held& held, uint64_t first, uint64_t rows, const char* source) const {
  std::vector<char> packed(std::min(rows, rows_in_piece(held.packed_bytes)) * held.packed_bytes);
  while (rows != 0) {
    const uint64_t run = std::min(rows, packed.size() / held.packed_bytes);
    moe::check([&](moe_error* error) {
      return packing_->pack(device_, &held.format, held.columns, run, source, packed.data(), error);
    });
    moe::check([&](moe_error* error) {
      return library_->write_buffer(held.buffer, first * held.packed_bytes, packed.data(), run * held.packed_bytes,
                                    error);
    });
    first += run;
    rows -= run;
    source += run * held.row_bytes;
  }
}

// Whole rows go as they are; of others the rest is read first. `put(to, offset, bytes)` gives bytes of what is written.
template <class Change>
void DeviceTensors::change(void* address, size_t bytes, Change&& put) {
  if (bytes == 0) return;
  const std::shared_ptr<const Held> held = at(address, bytes);
  const auto begin = static_cast<uint64_t>(static_cast<char*>(address) - held->begin), end = begin + bytes;
  std::vector<char> rows;
  for (uint64_t from = begin; from < end;) {
    const uint64_t first = from / held->row_bytes;
    const uint64_t most = first + rows_in_piece(held->row_bytes);
    const uint64_t last = std::min(most, (end + held->row_bytes - 1) / held->row_bytes);
    const uint64_t to = std::min(end, last * held->row_bytes);
    rows.resize((last - first) * held->row_bytes);
    if (from != first * held->row_bytes) read_rows(*held, first, 1, rows.data());
    if (to != last * held->row_bytes) {
      read_rows(*held, last - 1, 1, rows.data() + (last - 1 - first) * held->row_bytes);
    }
    put(rows.data() + (from - first * held->row_bytes), from - begin, to - from);
    write_rows(*held, first, last - first, rows.data());
    from = to;
  }
}

void DeviceTensors::write(void* address, const void* source, size_t bytes) {
  change(address, bytes, [&](char* to, uint64_t offset, uint64_t count) {
    std::memcpy(to, static_cast<const char*>(source) + offset, count);
  });
}

void DeviceTensors::fill(void* address, uint8_t value, size_t bytes) {
  change(address, bytes, [&](char* to, uint64_t, uint64_t count) { std::memset(to, value, count); });
}

void DeviceTensors::read(const void* address, void* destination, size_t bytes) const {
  if (bytes == 0) return;
  const std::shared_ptr<const Held> held = at(address, bytes);
  const auto begin = static_cast<uint64_t>(static_cast<const char*>(address) - held->begin), end = begin + bytes;
  std::vector<char> rows;
  for (uint64_t from = begin; from < end;) {
    const uint64_t first = from / held->row_bytes;
    const uint64_t last =
        std::min(first + rows_in_piece(held->row_bytes), (end + held->row_bytes - 1) / held->row_bytes);
    const uint64_t to = std::min(end, last * held->row_bytes);
    rows.resize((last - first) * held->row_bytes);
    read_rows(*held, first, last - first, rows.data());
    std::memcpy(static_cast<char*>(destination) + (from - begin), rows.data() + (from - first * held->row_bytes),
                to - from);
    from = to;
  }
}

std::vector<char> DeviceTensors::copy(const void* address, const char*& begin) const {
  const std::shared_ptr<const Held> held = at(address, 1);
  begin = held->begin;
  std::vector<char> all(held->rows * held->row_bytes);
  read_rows(*held, 0, held->rows, all.data());
  return all;
}

std::vector<std::pair<char*, size_t>> DeviceTensors::ranges(void* begin, size_t bytes) const {
  const auto first = reinterpret_cast<uintptr_t>(begin);
  std::vector<std::pair<char*, size_t>> found;
  std::lock_guard lock(mutex_);
  for (auto it = held_.lower_bound(first); it != held_.end() && it->first < first + bytes; ++it) {
    found.emplace_back(it->second->begin, it->second->rows * it->second->row_bytes);
  }
  return found;
}

void DeviceTensors::release(void* begin, size_t bytes) {
  const auto first = reinterpret_cast<uintptr_t>(begin);
  std::lock_guard lock(mutex_);
  for (auto it = held_.lower_bound(first); it != held_.end() && it->first < first + bytes;) {
    bytes_ -= it->second->rows * it->second->packed_bytes;
    it = held_.erase(it);
  }
}

}  // namespace moevk::ggml
