// SPDX-License-Identifier: MIT
//
// Objects of the library are handed through; what the host adds to them (its device, its buffers, what it has
// recorded) is kept beside them in maps by handle.
#include "tests/interop/host_api.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "tests/interop/vulkan_host.h"

namespace moe_interop {
namespace {

const moe_api* library = nullptr;
const moe_vulkan_interop* interop = nullptr;
const moe_external_memory* memory = nullptr;
HostMode mode = HostMode::kImported;

struct HostBuffer {
  std::shared_ptr<VulkanHost> host;
  VulkanHost::Buffer memory;
  ~HostBuffer() {
    if (host != nullptr) host->destroy_buffer(memory);
  }
};

// A view in host memory, staged in a buffer of the host's.
struct Staged {
  moe_buffer* buffer;
  moe_view view;  // the caller's
  bool is_output;
};

struct Stream {
  moe_device* device;
  std::shared_ptr<VulkanHost> host;
  moe_context_desc desc;
  VkCommandBuffer commands = VK_NULL_HANDLE;
  bool recording = false;
  uint64_t value = 0;
  std::vector<moe_recording*> recordings;  // of what is encoded
  std::vector<Staged> staged;
};

std::mutex mutex;
std::map<moe_device*, std::shared_ptr<VulkanHost>> hosts;
std::map<moe_buffer*, std::unique_ptr<HostBuffer>> buffers;
std::map<moe_context*, Stream> streams;
// Destroyed while a call that is encoded may still hold them.
std::vector<std::unique_ptr<HostBuffer>> ended;

moe_status failed(moe_status status, const char* text, moe_error* error) {
  if (error != nullptr) {
    error->code = status;
    std::strncpy(error->text, text, sizeof error->text - 1);
  }
  return status;
}

// Runs a body that throws; what the host's own Vulkan refuses becomes an error of the call.
template <class Body>
moe_status guarded(moe_error* error, Body body) {
  try {
    return body();
  } catch (const moe::Error& e) {
    return failed(e.code(), e.what(), error);
  } catch (const std::exception& e) {
    return failed(MOE_ERROR_DRIVER, e.what(), error);
  }
}

moe_status MOE_CALL open_device(moe_instance* instance, const moe_device_desc* desc, moe_device** out,
                                moe_error* error) {
  return guarded(error, [&] {
    moe_device_info info = moe_init<moe_device_info>();
    const moe_status known = library->get_device_info(instance, desc->index, &info, error);
    if (known != MOE_OK || info.kind == MOE_DEVICE_KIND_REFERENCE || info.usable == 0) {
      return library->open_device(instance, desc, out, error);
    }
    auto host = std::make_shared<VulkanHost>(interop, HostOptions{}, info.device_uuid);
    moe_vulkan_device_desc lent = host->import_desc();
    lent.memory_budget_bytes = desc->memory_budget_bytes;
    const moe_status status = interop->import_device(instance, &lent, out, error);
    if (status == MOE_OK) {
      const std::lock_guard lock(mutex);
      hosts[*out] = std::move(host);
    }
    return status;
  });
}

std::shared_ptr<VulkanHost> host_of(moe_device* device) {
  const std::lock_guard lock(mutex);
  const auto found = hosts.find(device);
  return found != hosts.end() ? found->second : nullptr;
}

// The VkDevice must outlive what the library made on it, and layers may outlive their moe_device: hosts stay until
// the process ends.
std::vector<std::shared_ptr<VulkanHost>>& graveyard() {
  static std::vector<std::shared_ptr<VulkanHost>> all;
  return all;
}

void MOE_CALL close_device(moe_device* device) {
  {
    const std::lock_guard lock(mutex);
    const auto found = hosts.find(device);
    if (found != hosts.end()) {
      graveyard().push_back(found->second);
      hosts.erase(found);
    }
  }
  library->close_device(device);
}

moe_status MOE_CALL create_buffer(moe_device* device, uint64_t bytes, moe_buffer** out, moe_error* error) {
  const std::shared_ptr<VulkanHost> host = host_of(device);
  if (host == nullptr || bytes == 0 || bytes > (1u << 28)) return library->create_buffer(device, bytes, out, error);
  return guarded(error, [&] {
    auto made = std::make_unique<HostBuffer>();
    // Somewhere inside a larger VkBuffer: offsets count.
    constexpr uint64_t kBefore = 512;
    made->memory = host->create_buffer(bytes + kBefore + 256);
    made->host = host;
    *out = import_buffer(memory, device, made->memory, kBefore, bytes);
    const std::lock_guard lock(mutex);
    buffers[*out] = std::move(made);
    return MOE_OK;
  });
}

// With the mutex held. Drivers hold few allocations at a time, so what can be freed is.
void free_ended() {
  const bool held =
      std::any_of(streams.begin(), streams.end(), [](const auto& s) { return !s.second.recordings.empty(); });
  if (!held) ended.clear();
}

void MOE_CALL destroy_buffer(moe_buffer* buffer) {
  library->destroy_buffer(buffer);
  const std::lock_guard lock(mutex);
  const auto found = buffers.find(buffer);
  if (found == buffers.end()) return;
  ended.push_back(std::move(found->second));
  buffers.erase(found);
  free_ended();
}

moe_status MOE_CALL create_context(moe_device* device, const moe_context_desc* desc, moe_context** out,
                                   moe_error* error) {
  const moe_status status = library->create_context(device, desc, out, error);
  const std::shared_ptr<VulkanHost> host = host_of(device);
  if (status != MOE_OK || host == nullptr) return status;
  const std::lock_guard lock(mutex);
  Stream& stream = streams[*out];
  stream.device = device;
  stream.host = host;
  stream.desc = *desc;
  return MOE_OK;
}

Stream* stream_of(moe_context* context) {
  const std::lock_guard lock(mutex);
  const auto found = streams.find(context);
  return found != streams.end() ? &found->second : nullptr;
}

void release(Stream& stream) {
  for (moe_recording* recording : stream.recordings) interop->destroy_recording(recording);
  for (const Staged& one : stream.staged) destroy_buffer(one.buffer);
  stream.staged.clear();
  const std::lock_guard lock(mutex);
  stream.recordings.clear();
  free_ended();
}

void MOE_CALL destroy_context(moe_context* context) {
  if (Stream* stream = stream_of(context); stream != nullptr) {
    release(*stream);
    const std::lock_guard lock(mutex);
    streams.erase(context);
  }
  library->destroy_context(context);
}

uint64_t element_bytes(uint32_t dtype) { return dtype == MOE_DTYPE_F16 || dtype == MOE_DTYPE_BF16 ? 2 : 4; }

// A view in host memory becomes one in a buffer; rows begin at multiples of 4 there.
moe_status stage_view(Stream& stream, const moe_view*& argument, moe_view& replaced, bool is_output, moe_error* error) {
  if (argument == nullptr || argument->host == nullptr || argument->buffer != nullptr) return MOE_OK;
  const moe_view& view = *argument;
  const uint64_t row = view.columns * element_bytes(view.dtype);
  const uint64_t stride = (row + 3) / 4 * 4;
  const uint64_t from_stride = view.row_stride_bytes != 0 ? view.row_stride_bytes : row;
  if (view.rows == 0 || row == 0 || view.rows > (1u << 20) || from_stride < row) return MOE_OK;  // refused below
  Staged staged{nullptr, view, is_output};
  const moe_status status = create_buffer(stream.device, view.rows * stride, &staged.buffer, error);
  if (status != MOE_OK) return status;
  std::byte* to = nullptr;
  {
    const std::lock_guard lock(mutex);
    to = buffers[staged.buffer]->memory.mapped + 512;
  }
  for (uint64_t i = 0; i < view.rows && !is_output; ++i) {
    std::memcpy(to + i * stride, static_cast<const std::byte*>(view.host) + i * from_stride, row);
  }
  replaced = view;
  replaced.host = nullptr;
  replaced.buffer = staged.buffer;
  replaced.row_stride_bytes = stride;
  argument = &replaced;
  stream.staged.push_back(staged);
  return MOE_OK;
}

moe_status encode(uint32_t stage, moe_context* context, moe_layer* layer, const moe_call_args* args, moe_error* error) {
  Stream* stream = stream_of(context);
  return guarded(error, [&] {
    moe_call_args call = *args;
    moe_view views[17];
    const bool route_is_output = stage == MOE_STAGE_FORWARD || stage == MOE_STAGE_ROUTE;
    const bool plans = stage == MOE_STAGE_PLAN_DISPATCH;
    const std::pair<const moe_view**, bool> all[] = {{&call.x, false},
                                                     {&call.router_x, false},
                                                     {&call.residual, false},
                                                     {&call.logits_in, false},
                                                     {&call.scores_in, false},
                                                     {&call.weights_in, false},
                                                     {&call.ids_in, false},
                                                     {&call.token_ids, false},
                                                     {&call.ids, route_is_output},
                                                     {&call.logits, true},
                                                     {&call.weights, route_is_output},
                                                     {&call.scores, true},
                                                     {&call.counts, true},
                                                     {&call.order, plans},
                                                     {&call.offsets, plans},
                                                     {&call.expert_out, stage == MOE_STAGE_EXPERTS},
                                                     {&call.y, true}};
    // y may lie on x or on the residual in host memory too.
    const moe_view* const y = args->y;
    size_t n = 0;
    for (const auto& [view, is_output] : all) {
      const moe_view* before = *view;
      if (is_output && before != nullptr && before == y && before->host != nullptr) {
        if (args->x != nullptr && args->x->host == before->host) {
          call.y = call.x;
          stream->staged.push_back({call.x->buffer, *before, true});
          continue;
        }
        if (args->residual != nullptr && args->residual->host == before->host) {
          call.y = call.residual;
          stream->staged.push_back({call.residual->buffer, *before, true});
          continue;
        }
      }
      if (const moe_status status = stage_view(*stream, *view, views[n++], is_output, error); status != MOE_OK) {
        return status;
      }
    }
    moe_recording_desc desc = moe_init<moe_recording_desc>();
    desc.stage = stage;
    desc.args = &call;
    desc.workspace = stream->desc.workspace;
    desc.workspace_offset_bytes = stream->desc.workspace_offset_bytes;
    desc.workspace_bytes = stream->desc.workspace_bytes;
    moe_recording* recording = nullptr;
    moe_status status = interop->create_recording(layer, &desc, &recording, error);
    if (status != MOE_OK) return status;
    stream->recordings.push_back(recording);
    if (stream->commands == VK_NULL_HANDLE) stream->commands = stream->host->allocate_commands();
    if (!stream->recording) stream->host->begin(stream->commands);
    stream->recording = true;
    return interop->record(recording, stream->commands, 0, error);
  });
}

moe_status MOE_CALL forward(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) {
  return stream_of(c) != nullptr ? encode(MOE_STAGE_FORWARD, c, l, a, e) : library->forward(c, l, a, e);
}
moe_status MOE_CALL route(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) {
  return stream_of(c) != nullptr ? encode(MOE_STAGE_ROUTE, c, l, a, e) : library->route(c, l, a, e);
}
moe_status MOE_CALL plan_dispatch(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) {
  return stream_of(c) != nullptr ? encode(MOE_STAGE_PLAN_DISPATCH, c, l, a, e) : library->plan_dispatch(c, l, a, e);
}
moe_status MOE_CALL experts(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) {
  return stream_of(c) != nullptr ? encode(MOE_STAGE_EXPERTS, c, l, a, e) : library->experts(c, l, a, e);
}
moe_status MOE_CALL combine(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) {
  return stream_of(c) != nullptr ? encode(MOE_STAGE_COMBINE, c, l, a, e) : library->combine(c, l, a, e);
}

// Submits and waits: the host's own loop is not what is tested here.
moe_status MOE_CALL flush(moe_context* context, uint64_t* value, moe_error* error) {
  Stream* stream = stream_of(context);
  if (stream == nullptr) return library->flush(context, value, error);
  return guarded(error, [&] {
    if (stream->recording) {
      stream->host->barrier_to_host(stream->commands);
      stream->host->end(stream->commands);
      stream->recording = false;
      stream->host->submit_and_wait(stream->commands);
    }
    for (const Staged& one : stream->staged) {
      if (!one.is_output) continue;
      const uint64_t row = one.view.columns * element_bytes(one.view.dtype);
      const uint64_t stride = (row + 3) / 4 * 4;
      const uint64_t to_stride = one.view.row_stride_bytes != 0 ? one.view.row_stride_bytes : row;
      const std::lock_guard lock(mutex);
      const std::byte* from = buffers[one.buffer]->memory.mapped + 512;
      for (uint64_t i = 0; i < one.view.rows; ++i) {
        std::memcpy(static_cast<std::byte*>(one.view.host) + i * to_stride, from + i * stride, row);
      }
    }
    std::map<moe_buffer*, bool> once;  // x staged for y as well
    for (const Staged& one : stream->staged) once[one.buffer] = true;
    stream->staged.clear();
    for (const auto& [buffer, unused] : once) destroy_buffer(buffer);
    release(*stream);
    *value = ++stream->value;
    return MOE_OK;
  });
}

moe_status MOE_CALL wait(moe_context* context, uint64_t value, uint64_t timeout_ns, moe_error* error) {
  return stream_of(context) != nullptr ? MOE_OK : library->wait(context, value, timeout_ns, error);
}

moe_status MOE_CALL get_completed(moe_context* context, uint64_t* value, moe_error* error) {
  const Stream* stream = stream_of(context);
  if (stream == nullptr) return library->get_completed(context, value, error);
  *value = stream->value;
  return MOE_OK;
}

moe_status MOE_CALL abort_encoded(moe_context* context, moe_error* error) {
  Stream* stream = stream_of(context);
  if (stream == nullptr) return library->abort(context, error);
  if (stream->recording) stream->host->end(stream->commands);
  stream->recording = false;
  release(*stream);
  return MOE_OK;
}

}  // namespace

const moe_api* host_api(const moe_api* real, HostMode wanted) {
  library = real;
  interop = static_cast<const moe_vulkan_interop*>(real->get_extension(MOE_EXTENSION_VULKAN_INTEROP));
  memory = static_cast<const moe_external_memory*>(real->get_extension(MOE_EXTENSION_EXTERNAL_MEMORY));
  mode = wanted;
  static moe_api table;
  table = *real;
  table.open_device = open_device;
  table.close_device = close_device;
  if (mode == HostMode::kImported) return &table;
  table.create_buffer = create_buffer;
  table.destroy_buffer = destroy_buffer;
  table.create_context = create_context;
  table.destroy_context = destroy_context;
  table.forward = forward;
  table.route = route;
  table.plan_dispatch = plan_dispatch;
  table.experts = experts;
  table.combine = combine;
  table.flush = flush;
  table.wait = wait;
  table.get_completed = get_completed;
  table.abort = abort_encoded;
  return &table;
}

}  // namespace moe_interop
