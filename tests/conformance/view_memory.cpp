// SPDX-License-Identifier: MIT
//
// Lays out the memory of a view, moves it to and from the device, and compares what lies around the
// rows. A view without padding ends with its last row, so that reading past it leaves the buffer.
#include "tests/conformance/view_memory.h"

#include <sstream>

#include "plugin_api/moe_plugin.hpp"
#include "tests/conformance/numbers.h"

namespace moe_conformance {
namespace {

std::byte pattern_at(size_t i) { return static_cast<std::byte>((i * 37 + 0xa5) & 0xff); }

}  // namespace

ViewMemory::ViewMemory(const moe_api* api, moe_device* device, const Placement& placement, uint32_t dtype,
                       uint64_t rows, uint64_t columns)
    : api_(api), view_(moe_init<moe_view>()) {
  row_bytes_ = static_cast<size_t>(columns) * dtype_bytes(dtype);
  const size_t least = placement.device ? (row_bytes_ + 3) / 4 * 4 : row_bytes_;
  stride_ = least + placement.padding_bytes;
  offset_ = placement.offset_bytes;
  spare_half_ = placement.device && least != row_bytes_;
  const size_t guard = placement.padding_bytes == 0 ? 0 : 64;
  size_t bytes = offset_ + (static_cast<size_t>(rows) - 1) * stride_ + row_bytes_ + guard;
  if (placement.device) bytes = (bytes + 3) / 4 * 4;
  written_.resize(bytes);
  view_.dtype = dtype;
  view_.rows = rows;
  view_.columns = columns;
  view_.row_stride_bytes = stride_ == row_bytes_ ? 0 : stride_;
  if (placement.device) {
    moe_buffer* buffer = nullptr;
    moe::check([&](moe_error* error) { return api->create_buffer(device, bytes, &buffer, error); });
    buffer_ = own(buffer, api->destroy_buffer);
    view_.buffer = buffer;
    view_.offset_bytes = offset_;
  } else {
    memory_.resize(bytes);
    view_.host = memory_.data() + offset_;
  }
  write_pattern();
}

void ViewMemory::write_pattern() {
  for (size_t i = 0; i < written_.size(); ++i) written_[i] = pattern_at(i);
  upload();
}

void ViewMemory::write_rows(const std::vector<std::byte>& packed) {
  for (size_t i = 0; i < written_.size(); ++i) written_[i] = pattern_at(i);
  for (size_t r = 0; r < view_.rows; ++r) {
    std::memcpy(written_.data() + offset_ + r * stride_, packed.data() + r * row_bytes_, row_bytes_);
  }
  upload();
}

void ViewMemory::upload() {
  if (buffer_ == nullptr) {
    std::memcpy(memory_.data(), written_.data(), written_.size());
  } else {
    moe::check([&](moe_error* error) {
      return api_->write_buffer(buffer_.get(), 0, written_.data(), written_.size(), error);
    });
  }
}

void ViewMemory::download() {
  if (buffer_ == nullptr) return;
  memory_.resize(written_.size());
  moe::check(
      [&](moe_error* error) { return api_->read_buffer(buffer_.get(), 0, memory_.data(), memory_.size(), error); });
}

std::vector<std::byte> ViewMemory::read_rows() {
  download();
  std::vector<std::byte> packed(static_cast<size_t>(view_.rows) * row_bytes_);
  for (size_t r = 0; r < view_.rows; ++r) {
    std::memcpy(packed.data() + r * row_bytes_, memory_.data() + offset_ + r * stride_, row_bytes_);
  }
  return packed;
}

std::string ViewMemory::changed(bool rows_are_inputs) {
  download();
  for (size_t i = 0; i < written_.size(); ++i) {
    if (memory_[i] == written_[i]) continue;
    size_t row = 0, column = row_bytes_;  // before the first row
    if (i >= offset_) {
      row = (i - offset_) / stride_;
      column = (i - offset_) % stride_;
      const bool inside = row < view_.rows && column < row_bytes_;
      const bool spare = spare_half_ && row < view_.rows && column >= row_bytes_ && column < row_bytes_ + 2;
      if ((inside && !rows_are_inputs) || (spare && !rows_are_inputs)) continue;
    }
    std::ostringstream out;
    out << "byte " << i << " of " << written_.size() << " changed from " << std::to_integer<int>(written_[i]) << " to "
        << std::to_integer<int>(memory_[i]);
    if (i < offset_) {
      out << ", before the first row";
    } else {
      out << ", at byte " << column << " of row " << row << " (" << view_.rows << " rows of " << row_bytes_
          << " bytes, stride " << stride_ << ')';
    }
    return std::move(out).str();
  }
  return {};
}

}  // namespace moe_conformance
