// SPDX-License-Identifier: MIT
//
// The layout of every struct of the ABI as version 0.1 ships it, for 64-bit hosts. A line that no
// longer compiles means that a released host would read the wrong bytes: fields are appended, never
// moved. A new field is a new line and a new size; nothing here may change otherwise.
#include <cstddef>

#include "plugin_api/moe_plugin.h"
#include "plugin_api/moe_plugin_introspection.h"
#include "plugin_api/moe_plugin_packed.h"

#define PIN_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type " has changed its size")
#define PIN(type, field, at) static_assert(offsetof(type, field) == (at), #type "." #field " has moved")

static_assert(sizeof(void*) == 8, "the table below is for 64-bit hosts");
static_assert(MOE_ABI_VERSION_CURRENT == MOE_ABI_VERSION(0, 1), "pin the layout of the new version too");

PIN_SIZE(moe_chain, 24);
PIN(moe_chain, struct_size, 0);
PIN(moe_chain, next, 8);
PIN(moe_chain, type, 16);

PIN_SIZE(moe_error, 648);
PIN(moe_error, struct_size, 0);
PIN(moe_error, next, 8);
PIN(moe_error, code, 16);
PIN(moe_error, vk_result, 20);
PIN(moe_error, argument, 24);
PIN(moe_error, text, 152);

PIN_SIZE(moe_instance_desc, 56);
PIN(moe_instance_desc, struct_size, 0);
PIN(moe_instance_desc, next, 8);
PIN(moe_instance_desc, user, 16);
PIN(moe_instance_desc, log, 24);
PIN(moe_instance_desc, allocate, 32);
PIN(moe_instance_desc, deallocate, 40);
PIN(moe_instance_desc, flags, 48);
PIN(moe_instance_desc, reserved, 52);

PIN_SIZE(moe_device_info, 856);
PIN(moe_device_info, struct_size, 0);
PIN(moe_device_info, next, 8);
PIN(moe_device_info, kind, 16);
PIN(moe_device_info, usable, 20);
PIN(moe_device_info, name, 24);
PIN(moe_device_info, driver, 280);
PIN(moe_device_info, reason, 536);
PIN(moe_device_info, vendor_id, 792);
PIN(moe_device_info, device_id, 796);
PIN(moe_device_info, vulkan_version, 800);
PIN(moe_device_info, reserved, 804);
PIN(moe_device_info, device_uuid, 808);
PIN(moe_device_info, driver_uuid, 824);
PIN(moe_device_info, memory_bytes, 840);
PIN(moe_device_info, free_bytes, 848);

PIN_SIZE(moe_device_desc, 32);
PIN(moe_device_desc, struct_size, 0);
PIN(moe_device_desc, next, 8);
PIN(moe_device_desc, index, 16);
PIN(moe_device_desc, reserved, 20);
PIN(moe_device_desc, memory_budget_bytes, 24);

PIN_SIZE(moe_weight_format, 32);
PIN(moe_weight_format, element, 0);
PIN(moe_weight_format, bits, 4);
PIN(moe_weight_format, block_columns, 8);
PIN(moe_weight_format, block_rows, 12);
PIN(moe_weight_format, scale, 16);
PIN(moe_weight_format, zero_point, 20);
PIN(moe_weight_format, packing, 24);
PIN(moe_weight_format, preset, 28);

PIN_SIZE(moe_layer_desc, 440);
PIN(moe_layer_desc, struct_size, 0);
PIN(moe_layer_desc, next, 8);
PIN(moe_layer_desc, hidden, 16);
PIN(moe_layer_desc, intermediate, 20);
PIN(moe_layer_desc, experts, 24);
PIN(moe_layer_desc, top_k, 28);
PIN(moe_layer_desc, identity_experts, 32);
PIN(moe_layer_desc, flags, 36);
PIN(moe_layer_desc, route_source, 40);
PIN(moe_layer_desc, logit_soft_cap, 44);
PIN(moe_layer_desc, score, 48);
PIN(moe_layer_desc, selection, 52);
PIN(moe_layer_desc, groups, 56);
PIN(moe_layer_desc, groups_kept, 60);
PIN(moe_layer_desc, group_score, 64);
PIN(moe_layer_desc, group_top_n, 68);
PIN(moe_layer_desc, weight, 72);
PIN(moe_layer_desc, normalize, 76);
PIN(moe_layer_desc, normalize_eps, 80);
PIN(moe_layer_desc, normalize_p, 84);
PIN(moe_layer_desc, routed_scale, 88);
PIN(moe_layer_desc, sparsemixer_eps, 92);
PIN(moe_layer_desc, router_input_multiplier, 96);
PIN(moe_layer_desc, token_table_rows, 100);
PIN(moe_layer_desc, capacity, 104);
PIN(moe_layer_desc, capacity_factor, 108);
PIN(moe_layer_desc, capacity_minimum, 112);
PIN(moe_layer_desc, noise_seed, 116);
PIN(moe_layer_desc, activation, 120);
PIN(moe_layer_desc, activation_alpha, 124);
PIN(moe_layer_desc, activation_beta, 128);
PIN(moe_layer_desc, activation_limit, 132);
PIN(moe_layer_desc, gate_up_layout, 136);
PIN(moe_layer_desc, matrix_order, 140);
PIN(moe_layer_desc, latent, 144);
PIN(moe_layer_desc, lora_rank, 148);
PIN(moe_layer_desc, lora_alpha, 152);
PIN(moe_layer_desc, norm_eps, 156);
PIN(moe_layer_desc, shared_intermediate, 160);
PIN(moe_layer_desc, shared_gate, 164);
PIN(moe_layer_desc, shared_constant, 168);
PIN(moe_layer_desc, out_scale, 172);
PIN(moe_layer_desc, precision, 176);
PIN(moe_layer_desc, reserved, 180);
PIN(moe_layer_desc, gate_format, 184);
PIN(moe_layer_desc, up_format, 216);
PIN(moe_layer_desc, down_format, 248);
PIN(moe_layer_desc, shared_gate_format, 280);
PIN(moe_layer_desc, shared_up_format, 312);
PIN(moe_layer_desc, shared_down_format, 344);
PIN(moe_layer_desc, latent_down_format, 376);
PIN(moe_layer_desc, latent_up_format, 408);

PIN_SIZE(moe_support, 520);
PIN(moe_support, struct_size, 0);
PIN(moe_support, next, 8);
PIN(moe_support, supported, 16);
PIN(moe_support, reserved, 20);
PIN(moe_support, argument, 24);
PIN(moe_support, reason, 152);

PIN_SIZE(moe_estimate, 56);
PIN(moe_estimate, struct_size, 0);
PIN(moe_estimate, next, 8);
PIN(moe_estimate, weight_bytes, 16);
PIN(moe_estimate, workspace_bytes, 24);
PIN(moe_estimate, staging_bytes, 32);
PIN(moe_estimate, total_parameters, 40);
PIN(moe_estimate, active_parameters, 48);

PIN_SIZE(moe_tensor_source, 120);
PIN(moe_tensor_source, struct_size, 0);
PIN(moe_tensor_source, next, 8);
PIN(moe_tensor_source, name, 16);
PIN(moe_tensor_source, expert_first, 24);
PIN(moe_tensor_source, expert_count, 28);
PIN(moe_tensor_source, source, 32);
PIN(moe_tensor_source, dtype, 36);
PIN(moe_tensor_source, memory, 40);
PIN(moe_tensor_source, bytes, 48);
PIN(moe_tensor_source, path, 56);
PIN(moe_tensor_source, file_offset, 64);
PIN(moe_tensor_source, read, 72);
PIN(moe_tensor_source, user, 80);
PIN(moe_tensor_source, format, 88);

PIN_SIZE(moe_upload_desc, 48);
PIN(moe_upload_desc, struct_size, 0);
PIN(moe_upload_desc, next, 8);
PIN(moe_upload_desc, user, 16);
PIN(moe_upload_desc, progress, 24);
PIN(moe_upload_desc, bindings, 32);
PIN(moe_upload_desc, binding_count, 40);
PIN(moe_upload_desc, reserved, 44);

PIN_SIZE(moe_tensor_binding, 48);
PIN(moe_tensor_binding, struct_size, 0);
PIN(moe_tensor_binding, next, 8);
PIN(moe_tensor_binding, tensor, 16);
PIN(moe_tensor_binding, buffer, 24);
PIN(moe_tensor_binding, offset_bytes, 32);
PIN(moe_tensor_binding, flags, 40);
PIN(moe_tensor_binding, reserved, 44);

PIN_SIZE(moe_tensor_info, 104);
PIN(moe_tensor_info, struct_size, 0);
PIN(moe_tensor_info, next, 8);
PIN(moe_tensor_info, name, 16);
PIN(moe_tensor_info, experts, 80);
PIN(moe_tensor_info, rows, 84);
PIN(moe_tensor_info, columns, 88);
PIN(moe_tensor_info, dtype, 92);
PIN(moe_tensor_info, bytes, 96);

PIN_SIZE(moe_layer_info, 56);
PIN(moe_layer_info, struct_size, 0);
PIN(moe_layer_info, next, 8);
PIN(moe_layer_info, slots_per_token, 16);
PIN(moe_layer_info, shared_slots, 20);
PIN(moe_layer_info, experts_total, 24);
PIN(moe_layer_info, reserved, 28);
PIN(moe_layer_info, weight_bytes, 32);
PIN(moe_layer_info, in_place_bytes, 40);
PIN(moe_layer_info, max_stage_tokens, 48);

PIN_SIZE(moe_view, 72);
PIN(moe_view, struct_size, 0);
PIN(moe_view, next, 8);
PIN(moe_view, dtype, 16);
PIN(moe_view, reserved, 20);
PIN(moe_view, rows, 24);
PIN(moe_view, columns, 32);
PIN(moe_view, row_stride_bytes, 40);
PIN(moe_view, host, 48);
PIN(moe_view, buffer, 56);
PIN(moe_view, offset_bytes, 64);

PIN_SIZE(moe_call_args, 168);
PIN(moe_call_args, struct_size, 0);
PIN(moe_call_args, next, 8);
PIN(moe_call_args, tokens, 16);
PIN(moe_call_args, x, 24);
PIN(moe_call_args, router_x, 32);
PIN(moe_call_args, residual, 40);
PIN(moe_call_args, y, 48);
PIN(moe_call_args, beta, 56);
PIN(moe_call_args, reserved, 60);
PIN(moe_call_args, logits_in, 64);
PIN(moe_call_args, scores_in, 72);
PIN(moe_call_args, weights_in, 80);
PIN(moe_call_args, ids_in, 88);
PIN(moe_call_args, token_ids, 96);
PIN(moe_call_args, ids, 104);
PIN(moe_call_args, weights, 112);
PIN(moe_call_args, logits, 120);
PIN(moe_call_args, scores, 128);
PIN(moe_call_args, counts, 136);
PIN(moe_call_args, order, 144);
PIN(moe_call_args, offsets, 152);
PIN(moe_call_args, expert_out, 160);

PIN_SIZE(moe_context_desc, 56);
PIN(moe_context_desc, struct_size, 0);
PIN(moe_context_desc, next, 8);
PIN(moe_context_desc, max_tokens, 16);
PIN(moe_context_desc, flushes_in_flight, 24);
PIN(moe_context_desc, reserved, 28);
PIN(moe_context_desc, workspace, 32);
PIN(moe_context_desc, workspace_offset_bytes, 40);
PIN(moe_context_desc, workspace_bytes, 48);

PIN_SIZE(moe_api, 304);
PIN(moe_api, struct_size, 0);
PIN(moe_api, next, 8);
PIN(moe_api, version, 16);
PIN(moe_api, reserved, 20);
PIN(moe_api, build, 24);
PIN(moe_api, create_instance, 32);
PIN(moe_api, destroy_instance, 40);
PIN(moe_api, get_device_count, 48);
PIN(moe_api, get_device_info, 56);
PIN(moe_api, choose_device, 64);
PIN(moe_api, why_no_gpu, 72);
PIN(moe_api, open_device, 80);
PIN(moe_api, close_device, 88);
PIN(moe_api, query_support, 96);
PIN(moe_api, estimate, 104);
PIN(moe_api, list_tensors, 112);
PIN(moe_api, begin_weights, 120);
PIN(moe_api, add_tensor, 128);
PIN(moe_api, commit_weights, 136);
PIN(moe_api, cancel_weights, 144);
PIN(moe_api, get_layer_info, 152);
PIN(moe_api, destroy_layer, 160);
PIN(moe_api, prepare, 168);
PIN(moe_api, create_buffer, 176);
PIN(moe_api, destroy_buffer, 184);
PIN(moe_api, write_buffer, 192);
PIN(moe_api, read_buffer, 200);
PIN(moe_api, create_context, 208);
PIN(moe_api, destroy_context, 216);
PIN(moe_api, forward, 224);
PIN(moe_api, route, 232);
PIN(moe_api, plan_dispatch, 240);
PIN(moe_api, experts, 248);
PIN(moe_api, combine, 256);
PIN(moe_api, flush, 264);
PIN(moe_api, wait, 272);
PIN(moe_api, get_completed, 280);
PIN(moe_api, abort, 288);
PIN(moe_api, get_extension, 296);

PIN_SIZE(moe_step_timing, 112);
PIN(moe_step_timing, struct_size, 0);
PIN(moe_step_timing, next, 8);
PIN(moe_step_timing, call, 16);
PIN(moe_step_timing, dispatches, 20);
PIN(moe_step_timing, name, 24);
PIN(moe_step_timing, milliseconds, 88);
PIN(moe_step_timing, bytes, 96);
PIN(moe_step_timing, flops, 104);

PIN_SIZE(moe_packed_rows, 40);
PIN(moe_packed_rows, struct_size, 0);
PIN(moe_packed_rows, next, 8);
PIN(moe_packed_rows, row_bytes, 16);
PIN(moe_packed_rows, pack, 24);
PIN(moe_packed_rows, unpack, 32);

PIN_SIZE(moe_statistics, 96);
PIN(moe_statistics, struct_size, 0);
PIN(moe_statistics, next, 8);
PIN(moe_statistics, live_objects, 16);
PIN(moe_statistics, allocated_bytes, 24);
PIN(moe_statistics, pipelines_created, 32);
PIN(moe_statistics, pipelines_from_cache, 40);
PIN(moe_statistics, pipeline_milliseconds, 48);
PIN(moe_statistics, validation_messages, 56);
PIN(moe_statistics, submits, 64);
PIN(moe_statistics, largest_binding_bytes, 72);
PIN(moe_statistics, largest_allocation_bytes, 80);
PIN(moe_statistics, peak_driver_bytes, 88);

PIN_SIZE(moe_introspection, 56);
PIN(moe_introspection, struct_size, 0);
PIN(moe_introspection, next, 8);
PIN(moe_introspection, get_caps_text, 16);
PIN(moe_introspection, get_plan_text, 24);
PIN(moe_introspection, set_profiling, 32);
PIN(moe_introspection, get_timings, 40);
PIN(moe_introspection, get_statistics, 48);

// Numbers that hosts store and compare.
static_assert(MOE_OK == 0 && MOE_ERROR_INVALID_ARGUMENT == -1 && MOE_ERROR_UNSUPPORTED == -2);
static_assert(MOE_ERROR_OUT_OF_HOST_MEMORY == -3 && MOE_ERROR_OUT_OF_DEVICE_MEMORY == -4 &&
              MOE_ERROR_DEVICE_LOST == -5);
static_assert(MOE_ERROR_NO_DEVICE == -6 && MOE_ERROR_VERSION == -7 && MOE_ERROR_IO == -8 && MOE_ERROR_CANCELLED == -9);
static_assert(MOE_ERROR_TIMEOUT == -10 && MOE_ERROR_STATE == -11 && MOE_ERROR_DRIVER == -12 &&
              MOE_ERROR_INTERNAL == -13);
static_assert(MOE_DTYPE_F32 == 0 && MOE_DTYPE_F16 == 1 && MOE_DTYPE_BF16 == 2 && MOE_DTYPE_I32 == 3);
static_assert(MOE_ROUTE_FROM_ROUTER == 0 && MOE_ROUTE_FROM_LOGITS == 1 && MOE_ROUTE_FROM_SCORES == 2);
static_assert(MOE_ROUTE_FROM_IDS == 3 && MOE_ROUTE_DENSE == 4 && MOE_ROUTE_FROM_TOKEN_TABLE == 5);
static_assert(MOE_ACTIVATION_SILU == 0 && MOE_ACTIVATION_SWIGLU_OAI == 5 && MOE_ACTIVATION_SITU == 8);
static_assert(MOE_LAYER_UNGATED == 1 && MOE_LAYER_BATCH_INVARIANT == 8192);
static_assert(MOE_SOURCE_MEMORY == 0 && MOE_SOURCE_FILE == 1 && MOE_SOURCE_CALLBACK == 2);
static_assert(MOE_DEVICE_KIND_REFERENCE == 0 && MOE_DEVICE_KIND_OTHER == 5);
