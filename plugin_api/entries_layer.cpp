// SPDX-License-Identifier: MIT
//
// Entries for layers: what a device supports, estimates, weight transactions.
#include <algorithm>

#include "plugin_api/entries.h"

namespace moevk {

// What query_support and begin_weights agree on.
static Result<LayerSpec> spec_for_device(const moe_device* device, const moe_layer_desc* desc) {
  moe_layer_desc d;
  MOE_RETURN_IF_ERROR(read_struct(desc, "desc", &d));
  MOE_ASSIGN_OR_RETURN(LayerSpec spec, make_layer_spec(d));
  MOE_RETURN_IF_ERROR(device->object->check_limits(spec));
  return spec;
}

moe_status MOE_CALL query_support(moe_device* device, const moe_layer_desc* desc, moe_support* out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    Result<LayerSpec> spec = spec_for_device(device, desc);
    moe_support support = moe_init<moe_support>();
    support.supported = spec.ok() ? 1 : 0;
    if (!spec.ok()) {
      if (spec.status().code() != MOE_ERROR_UNSUPPORTED) return std::move(spec.status());
      copy_text(support.argument, spec.status().argument());
      copy_text(support.reason, spec.status().text());
    }
    return write_struct(support, out, "out");
  });
}

moe_status MOE_CALL estimate(moe_device* device, const moe_layer_desc* const* descs, uint32_t count,
                             uint64_t max_tokens, moe_estimate* out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    if (descs == nullptr && count != 0) return invalid("descs", "is NULL");
    if (max_tokens == 0 || max_tokens > kMostTokens)
      return invalid("max_tokens", "must be within 1.." + std::to_string(kMostTokens));
    std::vector<LayerSpec> specs;
    for (uint32_t i = 0; i < count; ++i) {
      MOE_ASSIGN_OR_RETURN(LayerSpec spec, spec_for_device(device, descs[i]));
      specs.push_back(std::move(spec));
    }
    MOE_ASSIGN_OR_RETURN(const moe_estimate estimate, device->object->estimate(specs, max_tokens));
    return write_struct(estimate, out, "out");
  });
}

moe_status MOE_CALL list_layer_tensors(moe_device* device, const moe_layer_desc* desc, moe_tensor_info* out,
                                       uint32_t* count, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    MOE_RETURN_IF_ERROR(check_out(count, "count"));
    MOE_ASSIGN_OR_RETURN(const LayerSpec spec, spec_for_device(device, desc));
    const std::vector<TensorSpec> tensors = list_tensors(spec);
    return write_array<moe_tensor_info>(tensors.size(), out, count, [&](size_t i) {
      moe_tensor_info info = moe_init<moe_tensor_info>();
      copy_text(info.name, tensors[i].name);
      info.experts = tensors[i].experts;
      info.rows = tensors[i].rows;
      info.columns = tensors[i].columns;
      info.dtype = tensors[i].dtype;
      info.bytes = tensors[i].total_bytes();
      return info;
    });
  });
}

static Result<std::vector<TensorBinding>> read_bindings(const moe_upload_desc& upload) {
  if (upload.bindings == nullptr && upload.binding_count != 0) return invalid("upload.bindings", "is NULL");
  if (upload.binding_count > 64) return invalid("upload.binding_count", "is above 64");
  if (upload.reserved != 0) return invalid("upload.reserved", "is not 0");
  std::vector<TensorBinding> bindings;
  for (uint32_t i = 0; i < upload.binding_count; ++i) {
    const std::string path = "upload.bindings[" + std::to_string(i) + "]";
    const auto* at = reinterpret_cast<const moe_tensor_binding*>(reinterpret_cast<const char*>(upload.bindings) +
                                                                 i * upload.bindings->struct_size);
    moe_tensor_binding b;
    MOE_RETURN_IF_ERROR(read_struct(at, path.c_str(), &b));
    if (b.tensor == nullptr) return invalid(path + ".tensor", "is NULL");
    if ((b.flags & ~(MOE_BINDING_MUST_NOT_COPY | MOE_BINDING_PACKED)) != 0)
      return invalid(path + ".flags", "has unknown bits");
    if (b.reserved != 0) return invalid(path + ".reserved", "is not 0");
    MOE_RETURN_IF_ERROR(check_handle(b.buffer, (path + ".buffer").c_str()));
    bindings.push_back({b.tensor, b.buffer->object, b.offset_bytes, b.flags == 0, (b.flags & MOE_BINDING_PACKED) != 0});
  }
  return bindings;
}

moe_status MOE_CALL begin_weights(moe_device* device, const moe_layer_desc* desc, const moe_upload_desc* upload,
                                  moe_upload** out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    MOE_ASSIGN_OR_RETURN(const LayerSpec spec, spec_for_device(device, desc));
    moe_upload_desc u = moe_init<moe_upload_desc>();
    if (upload != nullptr) MOE_RETURN_IF_ERROR(read_struct(upload, "upload", &u));
    MOE_ASSIGN_OR_RETURN(const std::vector<TensorBinding> bindings, read_bindings(u));
    MOE_ASSIGN_OR_RETURN(std::shared_ptr<WeightUpload> object,
                         WeightUpload::begin(device->object, device->state, spec, bindings, {u.user, u.progress}));
    *out = new_handle<moe_upload>(device->state, std::move(object));
    return {};
  });
}

moe_status MOE_CALL add_tensor(moe_upload* upload, const moe_tensor_source* source, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(upload, "upload"));
    moe_tensor_source s;
    MOE_RETURN_IF_ERROR(read_struct(source, "source", &s));
    return upload->object->add_tensor(s);
  });
}

moe_status MOE_CALL commit_weights(moe_upload* upload, moe_layer** out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    MOE_RETURN_IF_ERROR(check_handle(upload, "upload"));
    MOE_ASSIGN_OR_RETURN(std::shared_ptr<Layer> layer, upload->object->commit());
    *out = new_handle<moe_layer>(upload->state, std::move(layer));
    delete_handle(upload);
    return {};
  });
}

moe_status MOE_CALL get_layer_info(moe_layer* layer, moe_layer_info* out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(layer, "layer"));
    moe_layer_info info = moe_init<moe_layer_info>();
    const LayerSpec& spec = layer->object->spec();
    info.slots_per_token = spec.slots;
    info.shared_slots = spec.shared_slots;
    info.experts_total = spec.experts_total;
    info.weight_bytes = layer->object->weight_bytes();
    info.in_place_bytes = layer->object->in_place_bytes();
    info.max_stage_tokens = std::min(layer->object->max_stage_tokens(), kMostTokens);
    return write_struct(info, out, "out");
  });
}

moe_status MOE_CALL prepare(moe_layer* layer, uint64_t first_tokens, uint64_t last_tokens, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(layer, "layer"));
    if (first_tokens == 0 || first_tokens > last_tokens)
      return invalid("first_tokens", "must be within 1..last_tokens");
    if (last_tokens > kMostTokens) return invalid("last_tokens", "is above " + std::to_string(kMostTokens));
    return layer->object->prepare(first_tokens, last_tokens);
  });
}

}  // namespace moevk
