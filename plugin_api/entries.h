// SPDX-License-Identifier: MIT
//
// The functions behind moe_api; plugin_entry.cpp makes the table of them. Each is guarded: no exception leaves.
#pragma once

#include "plugin_api/handles.h"

namespace moevk {

moe_status MOE_CALL create_instance(const moe_instance_desc* desc, moe_instance** out, moe_error* error);
void MOE_CALL destroy_instance(moe_instance* instance);
moe_status MOE_CALL get_device_count(moe_instance* instance, uint32_t* count, moe_error* error);
moe_status MOE_CALL get_device_info(moe_instance* instance, uint32_t index, moe_device_info* info, moe_error* error);
moe_status MOE_CALL choose_device(moe_instance* instance, uint32_t* index, moe_error* error);
const char* MOE_CALL why_no_gpu(moe_instance* instance);
moe_status MOE_CALL open_device(moe_instance* instance, const moe_device_desc* desc, moe_device** out,
                                moe_error* error);
moe_status MOE_CALL query_support(moe_device* device, const moe_layer_desc* desc, moe_support* out, moe_error* error);
moe_status MOE_CALL estimate(moe_device* device, const moe_layer_desc* const* descs, uint32_t count,
                             uint64_t max_tokens, moe_estimate* out, moe_error* error);
moe_status MOE_CALL list_layer_tensors(moe_device* device, const moe_layer_desc* desc, moe_tensor_info* out,
                                       uint32_t* count, moe_error* error);
moe_status MOE_CALL begin_weights(moe_device* device, const moe_layer_desc* desc, const moe_upload_desc* upload,
                                  moe_upload** out, moe_error* error);
moe_status MOE_CALL add_tensor(moe_upload* upload, const moe_tensor_source* source, moe_error* error);
moe_status MOE_CALL commit_weights(moe_upload* upload, moe_layer** out, moe_error* error);
moe_status MOE_CALL get_layer_info(moe_layer* layer, moe_layer_info* out, moe_error* error);
moe_status MOE_CALL prepare(moe_layer* layer, uint64_t first_tokens, uint64_t last_tokens, moe_error* error);
moe_status MOE_CALL create_buffer(moe_device* device, uint64_t bytes, moe_buffer** out, moe_error* error);
moe_status MOE_CALL write_buffer(moe_buffer* buffer, uint64_t offset, const void* source, uint64_t bytes,
                                 moe_error* error);
moe_status MOE_CALL read_buffer(moe_buffer* buffer, uint64_t offset, void* destination, uint64_t bytes,
                                moe_error* error);
moe_status MOE_CALL create_context(moe_device* device, const moe_context_desc* desc, moe_context** out,
                                   moe_error* error);
moe_status MOE_CALL forward(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e);
moe_status MOE_CALL route(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e);
moe_status MOE_CALL plan_dispatch(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e);
moe_status MOE_CALL experts(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e);
moe_status MOE_CALL combine(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e);
moe_status MOE_CALL flush(moe_context* context, uint64_t* value, moe_error* error);
moe_status MOE_CALL wait(moe_context* context, uint64_t value, uint64_t timeout_ns, moe_error* error);
moe_status MOE_CALL get_completed(moe_context* context, uint64_t* value, moe_error* error);
moe_status MOE_CALL abort_encoded(moe_context* context, moe_error* error);

}  // namespace moevk
