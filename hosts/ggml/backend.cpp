// SPDX-License-Identifier: MIT
//
// In:  ggml's calls through its backend tables.
// Out: ggml_backend_init, the one symbol by which ggml loads this file (GGML_BACKEND_PATH).
// Why: the shell around the parts: registry, devices, buffers, backends. No exception leaves it, and a host that this
//      adapter does not know gets a line in its log and no devices.
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "hosts/ggml/buffer_type.h"
#include "hosts/ggml/claims.h"
#include "hosts/ggml/run_graph.h"
#include "hosts/ggml/vtables.h"

namespace moevk::ggml {
namespace {

constexpr size_t kAlignment = 64;  // of tensors in a buffer, which begins at a page

struct OurDevice {
  std::string name, description;
  std::unique_ptr<Accelerator> accelerator;
  std::atomic<bool> transfer_failed = false;
  BufferTypeObject buffer_type;   // what the host allocates
  BufferTypeObject weights_type;  // what becomes of it where weights lie on the device
  Device device{};
};

struct Adapter {
  HostGgml host{};
  moe::Library library;
  moe::Instance instance;
  std::vector<std::unique_ptr<OurDevice>> devices;
  Registry registry{};
};

Adapter* adapter = nullptr;  // lives as long as the process: ggml keeps pointers into it

OurDevice& of(Device* device) { return *static_cast<OurDevice*>(device->context); }
OurDevice& of(BufferType* type) { return of(adapter->host.buft_get_device(type)); }
OurDevice& of(const Buffer* buffer) { return of(buffer->type); }

// An empty buffer has an address, too: ggml asks for it.
size_t mapped_bytes(size_t bytes) { return bytes != 0 ? bytes : 1; }

// Runs `call`; what it throws becomes a line in the log and `failed`.
template <class Call, class Value>
Value fenced(Value failed, Call&& call) noexcept {
  try {
    return call();
  } catch (const std::exception& error) {
    log_line(kLogError, error.what());
  } catch (...) {
    log_line(kLogError, "an unknown exception");
  }
  return failed;
}

// ---- buffers ---------------------------------------------------------------------------------------------------
// Host memory, which takes none until it is written; the matrices of experts lie on the device instead, and the buffer
// has their addresses alone. A buffer with such matrices is of the second buffer type, which is no host memory.

// What a host cannot be told when it happens: reads and writes return nothing. Every later graph of the device fails,
// since its weights may be wrong.
template <class Call>
void fenced_transfer(OurDevice& ours, Call&& call) noexcept {
  if (!fenced(false, [&] {
        call();
        return true;
      })) {
    ours.transfer_failed = true;
  }
}

void free_buffer(Buffer* buffer) {
  if (buffer->bytes != 0) {
    fenced_transfer(of(buffer), [&] {
      of(buffer).accelerator->forget(buffer->context, buffer->bytes);
      of(buffer).accelerator->device_tensors().release(buffer->context, buffer->bytes);
    });
  }
  munmap(buffer->context, mapped_bytes(buffer->bytes));
}

int32_t init_tensor(Buffer* buffer, Tensor* tensor) {
  return fenced(kStatusFailed, [&] {
    Accelerator& accelerator = *of(buffer).accelerator;
    std::string why;
    if (!is_expert_matrix(adapter->host.ops, *tensor) || !accelerator.is_packed(*tensor)) return kStatusSuccess;
    if (accelerator.device_tensors().take(*tensor, why)) {
      buffer->type = of(buffer).weights_type.get();
    } else {
      log_line(kLogInfo, std::string(tensor->name) + " stays in host memory, with a copy on the device: " + why);
    }
    return kStatusSuccess;
  });
}

void memset_tensor(Buffer* buffer, Tensor* tensor, uint8_t value, size_t offset, size_t bytes) {
  fenced_transfer(of(buffer), [&] {
    Accelerator& accelerator = *of(buffer).accelerator;
    char* begin = static_cast<char*>(tensor->data) + offset;
    if (accelerator.device_tensors().has(begin)) {
      accelerator.device_tensors().fill(begin, value, bytes);
    } else {
      std::memset(begin, value, bytes);
    }
    accelerator.forget(begin, bytes);
  });
}

void set_tensor(Buffer* buffer, Tensor* tensor, const void* data, size_t offset, size_t bytes) {
  fenced_transfer(of(buffer), [&] {
    Accelerator& accelerator = *of(buffer).accelerator;
    char* begin = static_cast<char*>(tensor->data) + offset;
    if (accelerator.device_tensors().has(begin)) {
      accelerator.device_tensors().write(begin, data, bytes);
    } else {
      std::memcpy(begin, data, bytes);
    }
    accelerator.forget(begin, bytes);
  });
}

void get_tensor(Buffer* buffer, const Tensor* tensor, void* data, size_t offset, size_t bytes) {
  fenced_transfer(of(buffer), [&] {
    const char* begin = static_cast<const char*>(tensor->data) + offset;
    const DeviceTensors& tensors = of(buffer).accelerator->device_tensors();
    if (tensors.has(begin)) {
      tensors.read(begin, data, bytes);
    } else {
      std::memcpy(data, begin, bytes);
    }
  });
}

void clear(Buffer* buffer, uint8_t value) {
  if (buffer->bytes == 0) return;
  fenced_transfer(of(buffer), [&] {
    Accelerator& accelerator = *of(buffer).accelerator;
    char* at = static_cast<char*>(buffer->context);
    char* const end = at + buffer->bytes;
    for (const auto& [begin, bytes] : accelerator.device_tensors().ranges(at, buffer->bytes)) {
      std::memset(at, value, static_cast<size_t>(begin - at));
      accelerator.device_tensors().fill(begin, value, bytes);
      at = begin + bytes;
    }
    std::memset(at, value, static_cast<size_t>(end - at));
    accelerator.forget(buffer->context, buffer->bytes);
  });
}

Buffer* (*buffer_init)(BufferType*, BufferTable, void* context, size_t bytes) = nullptr;

Buffer* alloc_buffer(BufferType* type, size_t bytes) {
  void* memory =
      mmap(nullptr, mapped_bytes(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    log_line(kLogError, "no memory for a buffer of " + std::to_string(bytes) + " bytes");
    return nullptr;
  }
  BufferTable table{};
  table.free_buffer = free_buffer;
  table.get_base = [](Buffer* buffer) { return buffer->context; };
  table.init_tensor = init_tensor;
  table.memset_tensor = memset_tensor;
  table.set_tensor = set_tensor;
  table.get_tensor = get_tensor;
  table.clear = clear;
  return buffer_init(type, table, memory, bytes);
}

// ---- backends --------------------------------------------------------------------------------------------------

uint8_t guid[16] = {0x6d, 0x6f, 0x65, 0x76, 0x6b, 0x2e, 0x67, 0x67, 0x6d, 0x6c, 0x2e, 0x76, 0x31, 0x00, 0x00, 0x01};

int32_t graph_compute(Backend* backend, Graph* graph) {
  return fenced(kStatusFailed, [&] {
    if (of(backend->device).transfer_failed) {
      log_line(kLogError, "a read or write of weights on the device failed before");
      return kStatusFailed;
    }
    return static_cast<GraphRunner*>(backend->context)->run(graph);
  });
}

void free_backend(Backend* backend) {
  delete static_cast<GraphRunner*>(backend->context);
  delete backend;
}

void set_threads(Backend* backend, int threads) {
  if (backend != nullptr && backend->guid == &guid) static_cast<GraphRunner*>(backend->context)->set_threads(threads);
}

Backend* init_backend(Device* device, const char*) {
  return fenced(static_cast<Backend*>(nullptr), [&] {
    auto runner = std::make_unique<GraphRunner>(adapter->host, *of(device).accelerator);
    auto backend = std::make_unique<Backend>();
    backend->guid = &guid;
    backend->table.get_name = [](Backend* self) { return of(self->device).name.c_str(); };
    backend->table.free = free_backend;
    backend->table.graph_compute = graph_compute;
    backend->device = device;
    backend->context = runner.release();
    return backend.release();
  });
}

// ---- devices ---------------------------------------------------------------------------------------------------

bool is_ours(const OurDevice& ours, const BufferType* type) {
  return type == ours.buffer_type.get() || type == ours.weights_type.get();
}

bool supports_op(Device* device, const Tensor* op) {
  return fenced(false, [&] {
    OurDevice& ours = of(device);
    const HostGgml& host = adapter->host;
    const ClaimRules rules{host.ops,
                           [&](const Tensor& tensor) {
                             Buffer* buffer = tensor.view_src != nullptr ? tensor.view_src->buffer : tensor.buffer;
                             return buffer == nullptr || is_ours(ours, host.buffer_get_type(buffer));
                           },
                           [&](const Tensor& product, std::string& why) {
                             // Nobody else has what lies on the device: a host would copy all of the matrix to its CPU
                             // backend.
                             return ours.accelerator->device_tensors().has(product.src[0]->data) ||
                                    ours.accelerator->supports_product(product, why);
                           }};
    std::string why;
    const bool taken = claims(rules, *op, why);
    if (tracing()) {
      log_line(kLogDebug,
               std::string(host.op_name(op->op)) + " " + op->name + (taken ? ": taken" : ": declined, ") + why);
    }
    return taken;
  });
}

void get_memory(Device* device, size_t* free_bytes, size_t* total) {
  *free_bytes = of(device).accelerator->free_bytes();
  *total = of(device).accelerator->info().memory_bytes;
}

void get_props(Device* device, DeviceProps* props) {
  props->name = of(device).name.c_str();
  props->description = of(device).description.c_str();
  get_memory(device, &props->memory_free, &props->memory_total);
  props->type = kDeviceAccel;
  props->device_id = nullptr;
  props->async = props->host_buffer = props->buffer_from_host_ptr = props->events = false;
  props->mmap_support = true;
}

void fill(OurDevice& ours, int32_t api) {
  ours.device.registry = &adapter->registry;
  ours.device.context = &ours;
  DeviceTable& table = ours.device.table;
  table.get_name = [](Device* device) { return of(device).name.c_str(); };
  table.get_description = [](Device* device) { return of(device).description.c_str(); };
  table.get_memory = get_memory;
  table.get_type = [](Device*) { return kDeviceAccel; };
  table.get_props = get_props;
  table.init_backend = init_backend;
  table.get_buffer_type = [](Device* device) { return of(device).buffer_type.get(); };
  table.supports_op = supports_op;
  table.supports_buft = [](Device* device, BufferType* type) {
    return is_ours(of(device), type) || adapter->host.buft_is_host(type);
  };
  BufferTypeCalls calls{[](BufferType* self) { return of(self).name.c_str(); }, alloc_buffer,
                        [](BufferType*) { return kAlignment; }, [](BufferType*) { return true; }};
  ours.buffer_type.fill(api, calls, &ours.device);
  calls.is_host = [](BufferType*) { return false; };
  ours.weights_type.fill(api, calls, &ours.device);
}

// The devices to offer: GPUs; with MOEVK_DEVICE, the one that it names, which may be a software driver.
std::vector<uint32_t> offered(const moe_api* api, moe_instance* instance) {
  std::vector<uint32_t> indices;
  const char* named = std::getenv("MOEVK_DEVICE");
  if (named != nullptr && named[0] != '\0') {
    indices.resize(1);
    moe::check([&](moe_error* error) { return api->choose_device(instance, indices.data(), error); });
    return indices;
  }
  uint32_t count = 0;
  moe::check([&](moe_error* error) { return api->get_device_count(instance, &count, error); });
  for (uint32_t i = 0; i < count; ++i) {
    moe_device_info info = MOE_INIT(moe_device_info);
    moe::check([&](moe_error* error) { return api->get_device_info(instance, i, &info, error); });
    const bool gpu = info.kind != MOE_DEVICE_KIND_REFERENCE && info.kind != MOE_DEVICE_KIND_CPU_VULKAN;
    if (gpu && info.usable != 0) indices.push_back(i);
    if (gpu && info.usable == 0) log_line(kLogInfo, std::string(info.name) + " cannot be used: " + info.reason);
  }
  return indices;
}

// ggml's own functions must find in our tables what we put there; they only read pointers.
void check_layout() {
  const HostGgml& host = adapter->host;
  for (const auto& ours : adapter->devices) {
    Backend backend{};
    backend.device = &ours->device;
    if (host.dev_backend_reg(&ours->device) != &adapter->registry ||
        host.buft_get_device(ours->buffer_type.get()) != &ours->device ||
        host.backend_get_device(&backend) != &ours->device || !host.buft_is_host(ours->buffer_type.get())) {
      throw std::runtime_error(std::string("the backend tables of ggml ") + host.version() +
                               " are not laid out as this adapter knows them");
    }
  }
}

void MOE_CALL log_of_library(void*, uint32_t level, const char* message) {
  log_line(level == MOE_LOG_ERROR ? kLogError : level == MOE_LOG_WARNING ? kLogWarn : kLogInfo, message);
}

// Instance, devices and the registry of the new adapter.
void fill(int32_t version) {
  moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  desc.log = log_of_library;
  adapter->instance = moe::create_instance(adapter->library, desc);
  for (const uint32_t index : offered(adapter->library.api(), adapter->instance)) {
    auto ours = std::make_unique<OurDevice>();
    ours->accelerator = std::make_unique<Accelerator>(adapter->host, adapter->library, adapter->instance, index);
    ours->name = "MoEVK" + std::to_string(adapter->devices.size());
    ours->description = ours->accelerator->info().name;
    fill(*ours, version);
    adapter->devices.push_back(std::move(ours));
  }
  if (adapter->devices.empty()) {
    const char* reason = adapter->library->why_no_gpu(adapter->instance);
    log_line(kLogWarn, std::string("no GPU is offered") + (reason[0] != '\0' ? std::string(": ") + reason : "") +
                           "; MOEVK_DEVICE names a software driver");
  }
  Registry& registry = adapter->registry;
  registry.api_version = version;
  registry.table.get_name = [](Registry*) { return "MoEVK"; };
  registry.table.get_device_count = [](Registry*) { return adapter->devices.size(); };
  registry.table.get_device = [](Registry*, size_t index) { return &adapter->devices.at(index)->device; };
  registry.table.get_proc_address = [](Registry*, const char* name) -> void* {
    if (std::strcmp(name, "ggml_backend_set_n_threads") == 0) return reinterpret_cast<void*>(&set_threads);
    return nullptr;
  };
  check_layout();
}

Registry* registry() {
  if (adapter != nullptr) return &adapter->registry;
  HostGgml host{};
  std::string why;
  int32_t version = 0;
  if (!find_symbol(host, "ggml_version", host.version)) {
    why =
        "this process has no ggml_version: the host links ggml statically, and a host with shared libraries is needed";
  } else {
    version = known_api_version(host.version(), why);
  }
  if (version == 0 || !find_host_ggml(host, why)) {
    log_line(kLogError, why);
    return nullptr;
  }
  if (!find_symbol(host, "ggml_backend_buffer_init", buffer_init)) {
    log_line(kLogError, "this process has no ggml_backend_buffer_init");
    return nullptr;
  }
  auto made = std::make_unique<Adapter>();
  made->host = host;
  adapter = made.get();  // what follows refers to it
  set_log_host(&adapter->host);
  try {
    fill(version);
  } catch (...) {
    adapter = nullptr;
    set_log_host(nullptr);
    throw;
  }
  return &made.release()->registry;
}

}  // namespace
}  // namespace moevk::ggml

extern "C" MOE_EXPORT void* ggml_backend_init(void) {
  using moevk::ggml::Registry;
  return moevk::ggml::fenced(static_cast<Registry*>(nullptr), [] { return moevk::ggml::registry(); });
}
