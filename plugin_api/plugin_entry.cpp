// SPDX-License-Identifier: MIT
//
// The one exported symbol and the table behind it: arguments are checked and copied here, then handed to the
// runtime and the backend. What can go wrong in a caller's struct is caught before anything else sees it.
#include <cctype>

#include "kernel_table.h"
#include "plugin_api/handles.h"
#include "runtime/reference/reference_device.h"

namespace moevk {
namespace {

// ---- instance and devices

moe_status MOE_CALL create_instance(const moe_instance_desc* desc, moe_instance** out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    moe_instance_desc d;
    MOE_RETURN_IF_ERROR(read_struct(desc, "desc", &d));
    constexpr uint32_t kKnown = MOE_INSTANCE_VALIDATION | MOE_INSTANCE_NO_VULKAN;
    if ((d.flags & ~kKnown) != 0) return invalid("desc.flags", "has unknown bits: " + std::to_string(d.flags & ~kKnown));
    if (d.reserved != 0) return invalid("desc.reserved", "is not 0");
    if ((d.allocate == nullptr) != (d.deallocate == nullptr)) return invalid("desc.allocate", "allocate and deallocate come both or neither");
    MOE_ASSIGN_OR_RETURN(Options options, options_from_environment());
    const bool validation = options.validation || (d.flags & MOE_INSTANCE_VALIDATION) != 0;
    auto state = std::make_shared<SharedState>(d, std::move(options));
    auto instance = std::make_unique<moe_instance>(moe_instance{kTag<moe_instance>, state, nullptr, ""});
    if ((d.flags & MOE_INSTANCE_NO_VULKAN) != 0) {
      instance->why_no_gpu = "MOE_INSTANCE_NO_VULKAN was set";
    } else {
      MOE_ASSIGN_OR_RETURN(instance->vulkan, VulkanBackend::create(state, validation));
      instance->why_no_gpu = instance->vulkan->why_no_gpu();
    }
    *out = instance.release();
    return {};
  });
}

void MOE_CALL destroy_instance(moe_instance* instance) {
  if (instance == nullptr || instance->tag != kTag<moe_instance>) return;
  instance->tag = 0;
  delete instance;
}

uint32_t vulkan_devices(const moe_instance* instance) {
  return instance->vulkan != nullptr ? static_cast<uint32_t>(instance->vulkan->devices().size()) : 0;
}

moe_status MOE_CALL get_device_count(moe_instance* instance, uint32_t* count, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(instance, "instance"));
    MOE_RETURN_IF_ERROR(check_out(count, "count"));
    *count = vulkan_devices(instance) + 1;
    return {};
  });
}

moe_device_info device_info(const moe_instance* instance, uint32_t index) {
  if (index < vulkan_devices(instance)) return instance->vulkan->devices()[index];
  moe_device_info info = moe_init<moe_device_info>();
  info.kind = MOE_DEVICE_KIND_REFERENCE;
  info.usable = 1;
  copy_text(info.name, "CPU reference");
  copy_text(info.driver, "moevk, float64");
  return info;
}

Status check_device_index(const moe_instance* instance, uint32_t index, const char* name) {
  if (index <= vulkan_devices(instance)) return {};
  return {MOE_ERROR_NO_DEVICE, name, "is " + std::to_string(index) + "; there are " + std::to_string(vulkan_devices(instance) + 1) + " devices"};
}

moe_status MOE_CALL get_device_info(moe_instance* instance, uint32_t index, moe_device_info* info, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(instance, "instance"));
    MOE_RETURN_IF_ERROR(check_out(info, "info"));
    MOE_RETURN_IF_ERROR(check_device_index(instance, index, "index"));
    return write_struct(device_info(instance, index), info, "info");
  });
}

bool contains_ignoring_case(const std::string& text, const std::string& part) {
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b)); };
  return std::search(text.begin(), text.end(), part.begin(), part.end(), same) != text.end();
}

moe_status MOE_CALL choose_device(moe_instance* instance, uint32_t* index, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(instance, "instance"));
    MOE_RETURN_IF_ERROR(check_out(index, "index"));
    const uint32_t count = vulkan_devices(instance) + 1;
    const std::string& wanted = instance->state->options().device;
    if (!wanted.empty()) {
      const bool number = std::all_of(wanted.begin(), wanted.end(), [](char c) { return c >= '0' && c <= '9'; });
      for (uint32_t i = 0; i < count; ++i) {
        const moe_device_info info = device_info(instance, i);
        if (number ? std::to_string(i) != wanted : !contains_ignoring_case(info.name, wanted)) continue;
        if (info.usable == 0) return {MOE_ERROR_NO_DEVICE, "MOEVK_DEVICE", std::string(info.name) + " cannot be used: " + info.reason};
        *index = i;
        return {};
      }
      return {MOE_ERROR_NO_DEVICE, "MOEVK_DEVICE", "no device is called \"" + wanted + "\""};
    }
    constexpr uint32_t kOrder[] = {MOE_DEVICE_KIND_DISCRETE_GPU, MOE_DEVICE_KIND_INTEGRATED_GPU, MOE_DEVICE_KIND_VIRTUAL_GPU,
                                   MOE_DEVICE_KIND_OTHER,        MOE_DEVICE_KIND_CPU_VULKAN,     MOE_DEVICE_KIND_REFERENCE};
    for (uint32_t kind : kOrder) {
      for (uint32_t i = 0; i < count; ++i) {
        const moe_device_info info = device_info(instance, i);
        if (info.kind != kind || info.usable == 0) continue;
        *index = i;
        return {};
      }
    }
    return {MOE_ERROR_INTERNAL, "", "there is always the reference"};
  });
}

const char* MOE_CALL why_no_gpu(moe_instance* instance) {
  return instance != nullptr && instance->tag == kTag<moe_instance> ? instance->why_no_gpu.c_str() : "instance is NULL";
}

moe_status MOE_CALL open_device(moe_instance* instance, const moe_device_desc* desc, moe_device** out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    MOE_RETURN_IF_ERROR(check_handle(instance, "instance"));
    moe_device_desc d;
    MOE_RETURN_IF_ERROR(read_struct(desc, "desc", &d));
    MOE_RETURN_IF_ERROR(check_device_index(instance, d.index, "desc.index"));
    if (d.reserved != 0) return invalid("desc.reserved", "is not 0");
    std::shared_ptr<Device> device;
    if (d.index < vulkan_devices(instance)) {
      MOE_ASSIGN_OR_RETURN(device, instance->vulkan->open(d.index, d.memory_budget_bytes));
    } else {
      device = make_reference_device(instance->state, d.memory_budget_bytes);
    }
    *out = new_handle<moe_device>(instance->state, std::move(device));
    return {};
  });
}

// ---- layers

// What query_support and begin_weights agree on.
Result<LayerSpec> spec_for_device(const moe_device* device, const moe_layer_desc* desc) {
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

moe_status MOE_CALL estimate(moe_device* device, const moe_layer_desc* const* descs, uint32_t count, uint64_t max_tokens,
                             moe_estimate* out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    if (descs == nullptr && count != 0) return invalid("descs", "is NULL");
    if (max_tokens == 0) return invalid("max_tokens", "is 0");
    std::vector<LayerSpec> specs;
    for (uint32_t i = 0; i < count; ++i) {
      MOE_ASSIGN_OR_RETURN(LayerSpec spec, spec_for_device(device, descs[i]));
      specs.push_back(std::move(spec));
    }
    MOE_ASSIGN_OR_RETURN(const moe_estimate estimate, device->object->estimate(specs, max_tokens));
    return write_struct(estimate, out, "out");
  });
}

moe_status MOE_CALL list_layer_tensors(moe_device* device, const moe_layer_desc* desc, moe_tensor_info* out, uint32_t* count,
                                       moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    MOE_RETURN_IF_ERROR(check_out(count, "count"));
    MOE_ASSIGN_OR_RETURN(const LayerSpec spec, spec_for_device(device, desc));
    const std::vector<TensorSpec> tensors = list_tensors(spec);
    const uint32_t room = out != nullptr ? *count : 0;
    *count = static_cast<uint32_t>(tensors.size());
    // Elements are as far apart as the caller's struct is large, which its first element says.
    const size_t stride = room != 0 ? out->struct_size : 0;
    for (uint32_t i = 0; i < room && i < tensors.size(); ++i) {
      auto* to = reinterpret_cast<moe_tensor_info*>(reinterpret_cast<char*>(out) + i * stride);
      moe_tensor_info info = moe_init<moe_tensor_info>();
      copy_text(info.name, tensors[i].name);
      info.experts = tensors[i].experts;
      info.rows = tensors[i].rows;
      info.columns = tensors[i].columns;
      info.dtype = tensors[i].dtype;
      info.bytes = std::max(info.experts, 1u) * tensors[i].elements_per_expert() * dtype_bytes(info.dtype);
      to->struct_size = stride;
      MOE_RETURN_IF_ERROR(write_struct(info, to, "out"));
    }
    return {};
  });
}

moe_status MOE_CALL begin_weights(moe_device* device, const moe_layer_desc* desc, const moe_upload_desc* upload, moe_upload** out,
                                  moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    MOE_ASSIGN_OR_RETURN(const LayerSpec spec, spec_for_device(device, desc));
    moe_upload_desc u = moe_init<moe_upload_desc>();
    if (upload != nullptr) MOE_RETURN_IF_ERROR(read_struct(upload, "upload", &u));
    MOE_ASSIGN_OR_RETURN(std::unique_ptr<WeightSink> sink, device->object->begin_weights(spec));
    auto object = std::make_shared<WeightUpload>(device->object, device->state, spec, std::move(sink),
                                                 WeightUpload::Progress{u.user, u.progress});
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
    return write_struct(info, out, "out");
  });
}

moe_status MOE_CALL prepare(moe_layer* layer, uint64_t first_tokens, uint64_t last_tokens, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(layer, "layer"));
    if (first_tokens == 0 || first_tokens > last_tokens) return invalid("first_tokens", "must be within 1..last_tokens");
    return layer->object->prepare(first_tokens, last_tokens);
  });
}

// ---- buffers

moe_status MOE_CALL create_buffer(moe_device* device, uint64_t bytes, moe_buffer** out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    if (bytes == 0) return invalid("bytes", "is 0");
    MOE_ASSIGN_OR_RETURN(std::shared_ptr<Buffer> buffer, device->object->create_buffer(bytes));
    *out = new_handle<moe_buffer>(device->state, std::move(buffer));
    return {};
  });
}

Status check_range(const moe_buffer* buffer, uint64_t offset, const void* data, const char* name, uint64_t bytes) {
  MOE_RETURN_IF_ERROR(check_handle(buffer, "buffer"));
  if (data == nullptr && bytes != 0) return invalid(name, "is NULL");
  const uint64_t size = buffer->object->bytes();
  if (offset > size || bytes > size - offset) {
    return invalid("bytes", std::to_string(offset) + " + " + std::to_string(bytes) + " is beyond the buffer's " + std::to_string(size));
  }
  return {};
}

moe_status MOE_CALL write_buffer(moe_buffer* buffer, uint64_t offset, const void* source, uint64_t bytes, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_range(buffer, offset, source, "source", bytes));
    return buffer->object->write(offset, source, bytes);
  });
}

moe_status MOE_CALL read_buffer(moe_buffer* buffer, uint64_t offset, void* destination, uint64_t bytes, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_range(buffer, offset, destination, "destination", bytes));
    return buffer->object->read(offset, destination, bytes);
  });
}

// ---- contexts

moe_status MOE_CALL create_context(moe_device* device, const moe_context_desc* desc, moe_context** out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    moe_context_desc d;
    MOE_RETURN_IF_ERROR(read_struct(desc, "desc", &d));
    if (d.reserved != 0) return invalid("desc.reserved", "is not 0");
    if (d.max_tokens == 0 || d.max_tokens > (1u << 24)) return invalid("desc.max_tokens", "must be within 1..16777216");
    if (d.flushes_in_flight > 64) return invalid("desc.flushes_in_flight", "is above 64");
    ContextDesc c;
    c.max_tokens = d.max_tokens;
    c.flushes_in_flight = d.flushes_in_flight != 0 ? d.flushes_in_flight : 2;
    if (d.workspace != nullptr) {
      MOE_RETURN_IF_ERROR(check_handle(d.workspace, "desc.workspace"));
      c.workspace = d.workspace->object;
      if (c.workspace->device() != device->object.get()) return invalid("desc.workspace", "belongs to another device");
      if (d.workspace_offset_bytes % 256 != 0) return invalid("desc.workspace_offset_bytes", "is no multiple of 256");
      const uint64_t size = c.workspace->bytes();
      if (d.workspace_offset_bytes > size || d.workspace_bytes > size - d.workspace_offset_bytes) {
        return invalid("desc.workspace_bytes", "the range is beyond the buffer's " + std::to_string(size));
      }
      c.workspace_offset = d.workspace_offset_bytes;
      c.workspace_bytes = d.workspace_bytes;
    } else if (d.workspace_bytes != 0 || d.workspace_offset_bytes != 0) {
      return invalid("desc.workspace", "is NULL, but a range of it is given");
    }
    MOE_ASSIGN_OR_RETURN(std::shared_ptr<Context> context, device->object->create_context(c));
    *out = new_handle<moe_context>(device->state, std::move(context));
    return {};
  });
}

Status read_view(const moe_view* in, ViewId id, Call* call) {
  if (in == nullptr) return {};
  const std::string path = std::string("args.") + view_name(id);
  moe_view v;
  MOE_RETURN_IF_ERROR(read_struct(in, path.c_str(), &v));
  if (v.dtype > MOE_DTYPE_I32) return invalid(path + ".dtype", "is no MOE_DTYPE_* value");
  if (v.reserved != 0) return invalid(path + ".reserved", "is not 0");
  constexpr uint64_t kMost = 1ull << 40;  // products below stay within 64 bits
  if (v.rows > kMost || v.columns > (1u << 30) || v.row_stride_bytes > kMost) return invalid(path, "has an absurd size");
  View& view = call->view(id);
  view.present = true;
  view.dtype = v.dtype;
  view.rows = v.rows;
  view.columns = v.columns;
  view.stride_bytes = v.row_stride_bytes != 0 ? v.row_stride_bytes : view.row_bytes();
  view.host = static_cast<std::byte*>(v.host);
  view.offset_bytes = v.offset_bytes;
  if (v.buffer != nullptr) {
    MOE_RETURN_IF_ERROR(check_handle(v.buffer, (path + ".buffer").c_str()));
    view.buffer = v.buffer->object;
  } else if (v.offset_bytes != 0) {
    return invalid(path + ".offset_bytes", "is set, but there is no buffer");
  }
  return {};
}

moe_status encode(Stage stage, moe_context* context, moe_layer* layer, const moe_call_args* args, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(context, "context"));
    MOE_RETURN_IF_ERROR(check_handle(layer, "layer"));
    moe_call_args a;
    MOE_RETURN_IF_ERROR(read_struct(args, "args", &a));
    if (a.reserved != 0) return invalid("args.reserved", "is not 0");
    if (a.tokens > context->object->max_tokens()) {  // before shapes are multiplied out
      return invalid("args.tokens", "is " + std::to_string(a.tokens) + "; the context was made for " + std::to_string(context->object->max_tokens()));
    }
    if (!(a.beta - a.beta == 0)) return invalid("args.beta", "is not finite");
    Call call;
    call.stage = stage;
    call.layer = layer->object;
    call.tokens = a.tokens;
    call.beta = a.beta;
    const std::pair<const moe_view*, ViewId> views[kViewCount] = {
        {a.x, ViewId::kX},           {a.residual, ViewId::kResidual},   {a.y, ViewId::kY},
        {a.logits_in, ViewId::kLogitsIn}, {a.scores_in, ViewId::kScoresIn}, {a.weights_in, ViewId::kWeightsIn},
        {a.ids_in, ViewId::kIdsIn},  {a.ids, ViewId::kIds},             {a.weights, ViewId::kWeights},
        {a.logits, ViewId::kLogits}, {a.scores, ViewId::kScores},       {a.counts, ViewId::kCounts},
        {a.order, ViewId::kOrder},   {a.offsets, ViewId::kOffsets},     {a.expert_out, ViewId::kExpertOut},
        {a.router_x, ViewId::kRouterX}, {a.token_ids, ViewId::kTokenIds}};
    for (const auto& [view, id] : views) MOE_RETURN_IF_ERROR(read_view(view, id, &call));
    MOE_RETURN_IF_ERROR(check_call(call, context->object->device(), context->object->max_tokens()));
    return context->object->encode(call);
  });
}

moe_status MOE_CALL forward(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) { return encode(Stage::kForward, c, l, a, e); }
moe_status MOE_CALL route(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) { return encode(Stage::kRoute, c, l, a, e); }
moe_status MOE_CALL plan_dispatch(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) { return encode(Stage::kPlanDispatch, c, l, a, e); }
moe_status MOE_CALL experts(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) { return encode(Stage::kExperts, c, l, a, e); }
moe_status MOE_CALL combine(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) { return encode(Stage::kCombine, c, l, a, e); }

moe_status MOE_CALL flush(moe_context* context, uint64_t* value, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(context, "context"));
    MOE_RETURN_IF_ERROR(check_out(value, "value"));
    MOE_ASSIGN_OR_RETURN(*value, context->object->flush());
    return {};
  });
}

moe_status MOE_CALL wait(moe_context* context, uint64_t value, uint64_t timeout_ns, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(context, "context"));
    return context->object->wait(value, timeout_ns);
  });
}

moe_status MOE_CALL get_completed(moe_context* context, uint64_t* value, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(context, "context"));
    MOE_RETURN_IF_ERROR(check_out(value, "value"));
    MOE_ASSIGN_OR_RETURN(*value, context->object->completed());
    return {};
  });
}

moe_status MOE_CALL abort_encoded(moe_context* context, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(context, "context"));
    return context->object->abort();
  });
}

const void* MOE_CALL get_extension(const char* name) {
  if (name != nullptr && std::strcmp(name, MOE_EXTENSION_INTROSPECTION) == 0) return introspection_table();
  return nullptr;
}

const moe_api* api_table() {
  static const std::string build = std::string("moevk " MOEVK_VERSION ", ") + kKernelCompiler +
#if defined(__VERSION__)
                                   ", C++ compiler " __VERSION__;
#else
                                   "";
#endif
  static const moe_api table = [] {
    moe_api t = moe_init<moe_api>();
    t.version = MOE_ABI_VERSION_CURRENT;
    t.build = build.c_str();
    t.create_instance = create_instance;
    t.destroy_instance = destroy_instance;
    t.get_device_count = get_device_count;
    t.get_device_info = get_device_info;
    t.choose_device = choose_device;
    t.why_no_gpu = why_no_gpu;
    t.open_device = open_device;
    t.close_device = delete_handle<moe_device>;
    t.query_support = query_support;
    t.estimate = estimate;
    t.list_tensors = list_layer_tensors;
    t.begin_weights = begin_weights;
    t.add_tensor = add_tensor;
    t.commit_weights = commit_weights;
    t.cancel_weights = delete_handle<moe_upload>;
    t.get_layer_info = get_layer_info;
    t.destroy_layer = delete_handle<moe_layer>;
    t.prepare = prepare;
    t.create_buffer = create_buffer;
    t.destroy_buffer = delete_handle<moe_buffer>;
    t.write_buffer = write_buffer;
    t.read_buffer = read_buffer;
    t.create_context = create_context;
    t.destroy_context = delete_handle<moe_context>;
    t.forward = forward;
    t.route = route;
    t.plan_dispatch = plan_dispatch;
    t.experts = experts;
    t.combine = combine;
    t.flush = flush;
    t.wait = wait;
    t.get_completed = get_completed;
    t.abort = abort_encoded;
    t.get_extension = get_extension;
    return t;
  }();
  return &table;
}

}  // namespace
}  // namespace moevk

extern "C" MOE_EXPORT moe_status MOE_CALL moe_plugin_entry(uint32_t min_version, uint32_t max_version, const moe_api** out,
                                                           moe_error* error) {
  using namespace moevk;
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    if (min_version > max_version) return invalid("min_version", "is above max_version");
    if (MOE_ABI_VERSION_CURRENT < min_version || MOE_ABI_VERSION_CURRENT > max_version) {
      const auto show = [](uint32_t v) { return std::to_string(v >> 16) + "." + std::to_string(v & 0xFFFF); };
      return {MOE_ERROR_VERSION, "max_version",
              "this library speaks " + show(MOE_ABI_VERSION_CURRENT) + ", the host " + show(min_version) + " to " + show(max_version)};
    }
    *out = api_table();
    return {};
  });
}
