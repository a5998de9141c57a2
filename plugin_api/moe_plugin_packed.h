/* SPDX-License-Identifier: MIT
 *
 * moe_plugin_packed.h - extension "moe.packed_rows": rows of weights in the order in which a device keeps them, so that
 * a host can have its matrices in device memory once: it writes packed rows to a moe_buffer, layers use them there
 * (MOE_BINDING_PACKED), and the same bytes come back by unpacking. Packing moves bits and adds padding, nothing else.
 */
#ifndef MOE_PLUGIN_PACKED_H_
#define MOE_PLUGIN_PACKED_H_

#include "moe_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MOE_EXTENSION_PACKED_ROWS "moe.packed_rows"

/* A row is `columns` weights of one matrix [out, in], along the input dimension: whole blocks. MOE_ERROR_UNSUPPORTED:
 * the device keeps no packed rows (the reference), or the format is affine. */
typedef struct moe_packed_rows {
  uint64_t struct_size;
  const moe_chain* next;
  /* [thread-safe] Bytes of a packed row, a multiple of 16. */
  moe_status(MOE_CALL* row_bytes)(moe_device* device, const moe_weight_format* format, uint32_t columns, uint64_t* out,
                                  moe_error* error);
  /* [thread-safe] Host rows, one after another without gaps, to packed rows, likewise; and back. The two must not
   * overlap. */
  moe_status(MOE_CALL* pack)(moe_device* device, const moe_weight_format* format, uint32_t columns, uint64_t rows,
                             const void* source, void* destination, moe_error* error);
  moe_status(MOE_CALL* unpack)(moe_device* device, const moe_weight_format* format, uint32_t columns, uint64_t rows,
                               const void* source, void* destination, moe_error* error);
} moe_packed_rows;

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* MOE_PLUGIN_PACKED_H_ */
