// SPDX-License-Identifier: MIT
//
// The extension "moe.packed_rows": a device's order of a row's bits, for hosts that write it themselves.
#include "plugin_api/handles.h"
#include "runtime/affine_format.h"
#include "runtime/layer_spec.h"
#include "runtime/packed_rows.h"

namespace moevk {
namespace {

Result<PackedRow> read_row(const moe_device* device, const moe_weight_format* format, uint32_t columns) {
  MOE_RETURN_IF_ERROR(check_handle(device, "device"));
  if (format == nullptr) return invalid("format", "is NULL");
  MOE_ASSIGN_OR_RETURN(const WeightFormat f, weight_format(*format, "format"));
  if (device->object->caps().kind == MOE_DEVICE_KIND_REFERENCE) {
    return unsupported("device", "the reference keeps rows as they come");
  }
  if (is_affine(f)) return unsupported("format", "rows of " + format_name(f) + " come in several tensors");
  if (columns == 0 || columns > kMaxWidth || columns % block_elements(f) != 0) {
    return invalid("columns", "is " + std::to_string(columns) + "; must be 1.." + std::to_string(kMaxWidth) +
                                  ", a multiple of " + std::to_string(block_elements(f)));
  }
  return packed_row(f, columns);
}

moe_status MOE_CALL packed_row_bytes(moe_device* device, const moe_weight_format* format, uint32_t columns,
                                     uint64_t* out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    MOE_ASSIGN_OR_RETURN(const PackedRow row, read_row(device, format, columns));
    *out = row.bytes;
    return {};
  });
}

template <bool kPack>
moe_status MOE_CALL move_rows(moe_device* device, const moe_weight_format* format, uint32_t columns, uint64_t rows,
                              const void* source, void* destination, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_ASSIGN_OR_RETURN(const PackedRow row, read_row(device, format, columns));
    if (rows == 0) return {};
    if (source == nullptr) return invalid("source", "is NULL");
    MOE_RETURN_IF_ERROR(check_out(destination, "destination"));
    const auto* from = static_cast<const std::byte*>(source);
    auto* to = static_cast<std::byte*>(destination);
    for (uint64_t i = 0; i < rows; ++i) {
      if (kPack) {
        row.pack(from + i * row.host_bytes, to + i * row.bytes);
      } else {
        row.unpack(from + i * row.bytes, to + i * row.host_bytes);
      }
    }
    return {};
  });
}

}  // namespace

const moe_packed_rows* packed_rows_table() {
  static const moe_packed_rows table = [] {
    moe_packed_rows t = moe_init<moe_packed_rows>();
    t.row_bytes = packed_row_bytes;
    t.pack = move_rows<true>;
    t.unpack = move_rows<false>;
    return t;
  }();
  return &table;
}

}  // namespace moevk
