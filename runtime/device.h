// SPDX-License-Identifier: MIT
//
// What stands behind the ABI's opaque objects: one interface, two implementations (Vulkan in backend/, the CPU
// reference in runtime/reference/). Objects are shared_ptrs: children keep their parents alive, so a host may
// destroy in any order.
#pragma once

#include <memory>
#include <vector>

#include "plugin_api/moe_plugin_introspection.h"
#include "plugin_api/moe_plugin_memory.h"
#include "runtime/call.h"
#include "runtime/layer_spec.h"
#include "runtime/shared_state.h"
#include "runtime/tensor_catalogue.h"

namespace moevk {

class Buffer;
class Device;

// Committed weights. Immutable, shared between threads and contexts.
class Layer {
 public:
  Layer(std::shared_ptr<Device> device, LayerSpec spec) : device_(std::move(device)), spec_(std::move(spec)) {}
  virtual ~Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;
  const LayerSpec& spec() const { return spec_; }
  Device* device() const { return device_.get(); }
  virtual uint64_t weight_bytes() const = 0;    // device memory held
  virtual uint64_t in_place_bytes() const = 0;  // in the host's buffers
  virtual uint64_t max_stage_tokens() const = 0;
  virtual Status prepare(uint64_t first_tokens, uint64_t last_tokens) = 0;

 private:
  std::shared_ptr<Device> device_;
  LayerSpec spec_;
};

// Receives a layer's weights, already cut into rows of the device's own matrices.
class WeightSink {
 public:
  virtual ~WeightSink() = default;
  // `rows` rows of packed elements of the matrix's format, `stride` bytes apart. A failure ends the transaction.
  virtual Status store_rows(uint32_t segment, MatrixKind kind, uint32_t expert, uint32_t first_row, uint32_t rows,
                            const std::byte* source, uint64_t stride) = 0;
  virtual Status store_vector(VectorKind kind, uint64_t first, const float* values, uint64_t count) = 0;
  // All tensors are there: wait for transfers and hand out the layer.
  virtual Result<std::shared_ptr<Layer>> finish() = 0;
};

// Where a buffer's bytes are, so that two buffers over the same memory are recognised.
struct BufferPlace {
  uint64_t memory = 0;        // a VkBuffer, or an address
  uint64_t offset_bytes = 0;  // of the buffer's first byte in it
  bool in_vulkan = false;
  bool has_address = false;  // created with SHADER_DEVICE_ADDRESS usage
};

// Matrices that stay in buffers of the host, InPlaceMatrix::host_buffer numbering these.
struct InPlaceWeights {
  std::vector<InPlaceMatrix> matrices;
  std::vector<std::shared_ptr<Buffer>> buffers;
  uint64_t bytes = 0;
};

class Buffer {
 public:
  explicit Buffer(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  virtual ~Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  Device* device() const { return device_.get(); }
  virtual uint64_t bytes() const = 0;
  virtual BufferPlace place() const = 0;
  // Within bounds: the entry has checked.
  virtual Status write(uint64_t offset, const void* source, uint64_t bytes) = 0;
  virtual Status read(uint64_t offset, void* destination, uint64_t bytes) = 0;
  virtual Result<moe_memory_handle> export_handle() const {
    return unsupported("buffer", "was not made by create_exportable_buffer");
  }

 private:
  std::shared_ptr<Device> device_;
};

struct SubmitSync;  // backend/vulkan_device.h; the reference takes none

struct StepTiming {
  uint32_t call = 0;
  uint32_t dispatches = 0;
  std::string name;
  double milliseconds = 0;
  double bytes = 0;
  double flops = 0;
};

class Context {
 public:
  virtual ~Context() = default;
  virtual Device* device() const = 0;
  virtual uint64_t max_tokens() const = 0;
  virtual Status encode(const Call& call) = 0;
  // sync: the host's semaphores and fence, or null.
  virtual Result<uint64_t> flush(const SubmitSync* sync) = 0;
  virtual Status wait(uint64_t value, uint64_t timeout_ns) = 0;
  virtual Result<uint64_t> completed() = 0;
  virtual Status abort() = 0;
  virtual Status set_profiling(bool enabled) = 0;
  virtual const std::vector<StepTiming>& timings() const = 0;
};

struct ContextDesc {
  uint64_t max_tokens = 0;
  uint32_t flushes_in_flight = 2;
  std::shared_ptr<Buffer> workspace;  // null: the context's own
  uint64_t workspace_offset = 0;
  uint64_t workspace_bytes = 0;
};

class Device : public std::enable_shared_from_this<Device> {
 public:
  virtual ~Device() = default;
  virtual const DeviceCaps& caps() const = 0;
  // The facts that plans are made from: caps, less what the driver was found unable to compile.
  virtual DeviceCaps planning_caps() const { return caps(); }
  // Refuses what this device's limits cannot hold; the descriptor itself is checked already.
  virtual Status check_limits(const LayerSpec& spec) const = 0;
  virtual Result<moe_estimate> estimate(const std::vector<LayerSpec>& specs, uint64_t max_tokens) const = 0;
  virtual Result<std::unique_ptr<WeightSink>> begin_weights(const LayerSpec& spec, const InPlaceWeights& in_place) = 0;
  virtual Result<std::shared_ptr<Buffer>> create_buffer(uint64_t bytes) = 0;
  // External memory; `kind` and the descriptor's fields are checked already.
  virtual moe_memory_support memory_support(uint32_t kind) const = 0;
  virtual Result<std::shared_ptr<Buffer>> import_buffer(const moe_memory_desc& desc, moe_memory_info* info) = 0;
  virtual Result<std::shared_ptr<Buffer>> create_exportable_buffer(uint32_t kind, uint64_t bytes) = 0;
  virtual Result<std::shared_ptr<Context>> create_context(const ContextDesc& desc) = 0;
};

}  // namespace moevk
