// SPDX-License-Identifier: MIT
//
// Objects of the reference device: weights and buffers in the host allocator's memory, a context that keeps calls
// until flush. A byte budget is honoured as on a GPU.
#include "runtime/reference/reference_device.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <mutex>
#include <utility>

#include "runtime/reference/reference_layer.h"

namespace moevk {
namespace {

// The part of a device's byte budget that one object holds.
class Reservation {
 public:
  Reservation() = default;
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() {
    if (state_ != nullptr) state_->allocated_bytes -= bytes_;
    if (used_ != nullptr) *used_ -= bytes_;
  }
  Status take(std::shared_ptr<SharedState> state, std::atomic<uint64_t>* used, uint64_t budget, uint64_t bytes) {
    const uint64_t before = used->fetch_add(bytes);
    if (budget != 0 && (bytes > budget || before > budget - bytes)) {
      *used -= bytes;
      return {MOE_ERROR_OUT_OF_DEVICE_MEMORY, "",
              std::to_string(bytes) + " bytes do not fit: " + std::to_string(before) + " of the budget of " +
                  std::to_string(budget) + " are in use"};
    }
    state_ = std::move(state);
    state_->allocated_bytes += bytes;
    used_ = used;
    bytes_ = bytes;
    return {};
  }

 private:
  std::shared_ptr<SharedState> state_;
  std::atomic<uint64_t>* used_ = nullptr;
  uint64_t bytes_ = 0;
};

class ReferenceDevice;

class ReferenceLayer final : public Layer {
 public:
  ReferenceLayer(std::shared_ptr<Device> device, LayerSpec spec, ReferenceWeights weights,
                 std::unique_ptr<Reservation> reservation, uint64_t bytes)
      : Layer(std::move(device), std::move(spec)),
        weights_(std::move(weights)),
        reservation_(std::move(reservation)),
        bytes_(bytes) {}
  uint64_t weight_bytes() const override { return bytes_; }
  uint64_t in_place_bytes() const override { return 0; }
  uint64_t max_stage_tokens() const override { return UINT64_MAX; }
  Status prepare(uint64_t, uint64_t) override { return {}; }
  const ReferenceWeights& weights() const { return weights_; }

 private:
  ReferenceWeights weights_;
  std::unique_ptr<Reservation> reservation_;
  uint64_t bytes_;
};

class ReferenceBuffer final : public Buffer {
 public:
  ReferenceBuffer(std::shared_ptr<Device> device, HostMemory memory, std::unique_ptr<Reservation> reservation,
                  uint64_t bytes)
      : Buffer(std::move(device)),
        memory_(std::move(memory)),
        data_(memory_.data()),
        reservation_(std::move(reservation)),
        bytes_(bytes) {}
  // A host's memory, not owned.
  ReferenceBuffer(std::shared_ptr<Device> device, std::byte* data, uint64_t bytes)
      : Buffer(std::move(device)), data_(data), bytes_(bytes) {}
  uint64_t bytes() const override { return bytes_; }
  Status write(uint64_t offset, const void* source, uint64_t bytes) override {
    if (bytes != 0) std::memcpy(data_ + offset, source, bytes);
    return {};
  }
  Status read(uint64_t offset, void* destination, uint64_t bytes) override {
    if (bytes != 0) std::memcpy(destination, data_ + offset, bytes);
    return {};
  }
  std::byte* data() const { return data_; }
  BufferPlace place() const override { return {0, reinterpret_cast<uintptr_t>(data_), false, false}; }

 private:
  HostMemory memory_;
  std::byte* data_;
  std::unique_ptr<Reservation> reservation_;
  uint64_t bytes_;
};

class ReferenceSink final : public WeightSink {
 public:
  ReferenceSink(std::shared_ptr<Device> device, LayerSpec spec, ReferenceWeights weights,
                std::unique_ptr<Reservation> reservation, uint64_t bytes)
      : device_(std::move(device)),
        spec_(std::move(spec)),
        weights_(std::move(weights)),
        reservation_(std::move(reservation)),
        bytes_(bytes) {}

  Status store_rows(uint32_t segment, MatrixKind kind, uint32_t expert, uint32_t first_row, uint32_t rows,
                    const std::byte* source, uint64_t stride) override {
    const ReferenceMatrix& m = weights_.matrix[segment][static_cast<size_t>(kind)];
    for (uint32_t i = 0; i < rows; ++i) {
      std::memcpy(const_cast<std::byte*>(m.row(expert, first_row + i)), source + i * stride, m.row_bytes());
    }
    return {};
  }
  Status store_vector(VectorKind kind, uint64_t first, const float* values, uint64_t count) override {
    std::memcpy(weights_.vectors[static_cast<size_t>(kind)].data() + first * sizeof(float), values,
                count * sizeof(float));
    return {};
  }
  Result<std::shared_ptr<Layer>> finish() override {
    return std::shared_ptr<Layer>(std::make_shared<ReferenceLayer>(
        std::move(device_), std::move(spec_), std::move(weights_), std::move(reservation_), bytes_));
  }

 private:
  std::shared_ptr<Device> device_;
  LayerSpec spec_;
  ReferenceWeights weights_;
  std::unique_ptr<Reservation> reservation_;
  uint64_t bytes_;
};

class ReferenceContext final : public Context {
 public:
  ReferenceContext(std::shared_ptr<Device> device, ContextDesc desc)
      : device_(std::move(device)), desc_(std::move(desc)) {}
  Device* device() const override { return device_.get(); }
  uint64_t max_tokens() const override { return desc_.max_tokens; }

  Status encode(const Call& call) override {
    calls_.push_back(call);
    for (View& view : calls_.back().views) {
      if (view.buffer != nullptr)
        view.host = static_cast<ReferenceBuffer*>(view.buffer.get())->data() + view.offset_bytes;
    }
    return {};
  }

  Result<uint64_t> flush(const SubmitSync*) override {
    timings_.clear();
    const std::vector<Call> calls = std::exchange(calls_, {});  // dropped even if one of them throws
    for (size_t i = 0; i < calls.size(); ++i) {
      const auto begin = std::chrono::steady_clock::now();
      const auto* layer = static_cast<const ReferenceLayer*>(calls[i].layer.get());
      run_reference(layer->spec(), layer->weights(), calls[i]);
      const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
      if (profiling_) timings_.push_back({static_cast<uint32_t>(i), 1, stage_name(calls[i].stage), took.count(), 0, 0});
    }
    return ++value_;
  }
  Status wait(uint64_t value, uint64_t) override {
    if (value > value_)
      return invalid("value",
                     std::to_string(value) + " has not been flushed yet; the newest is " + std::to_string(value_));
    return {};
  }
  Result<uint64_t> completed() override { return uint64_t{value_}; }
  Status abort() override {
    calls_.clear();
    return {};
  }
  Status set_profiling(bool enabled) override {
    profiling_ = enabled;
    return {};
  }
  const std::vector<StepTiming>& timings() const override { return timings_; }

 private:
  std::shared_ptr<Device> device_;
  ContextDesc desc_;
  std::vector<Call> calls_;
  uint64_t value_ = 0;
  bool profiling_ = false;
  std::vector<StepTiming> timings_;
};

class ReferenceDevice final : public Device {
 public:
  ReferenceDevice(std::shared_ptr<SharedState> state, uint64_t budget) : state_(std::move(state)), budget_(budget) {
    caps_.name = "CPU reference";
    caps_.driver = "moevk, float64";
    caps_.kind = MOE_DEVICE_KIND_REFERENCE;
  }
  const DeviceCaps& caps() const override { return caps_; }
  Status check_limits(const LayerSpec&) const override { return {}; }

  Result<moe_estimate> estimate(const std::vector<LayerSpec>& specs, uint64_t) const override {
    moe_estimate estimate = moe_init<moe_estimate>();
    for (const LayerSpec& spec : specs) {
      estimate.weight_bytes += weight_bytes(spec);
      estimate.total_parameters += total_parameters(spec);
      estimate.active_parameters += active_parameters(spec);
    }
    return estimate;
  }

  Result<std::unique_ptr<WeightSink>> begin_weights(const LayerSpec& spec, const InPlaceWeights&) override {
    auto reservation = std::make_unique<Reservation>();
    const uint64_t bytes = weight_bytes(spec);
    MOE_RETURN_IF_ERROR(reservation->take(state_, &used_, budget_, bytes));
    ReferenceWeights weights;
    for (uint32_t i = 0; i < spec.weight_segments(); ++i) {
      const Segment& s = spec.segment[i];
      const WeightFormat formats[3] = {s.gate, s.up, s.down};
      for (uint32_t kind = s.gated ? 0 : 1; kind < 3; ++kind) {
        ReferenceMatrix& m = weights.matrix[i][kind];
        m.format = formats[kind];
        m.rows = kind == 2 ? s.hidden : s.intermediate;
        m.columns = kind == 2 ? s.intermediate : s.hidden;
        MOE_ASSIGN_OR_RETURN(m.data, HostMemory::allocate(state_, s.experts * m.rows * m.row_bytes()));
      }
    }
    const std::array<uint64_t, kVectorKinds> sizes = vector_sizes(spec);
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (sizes[i] == 0) continue;
      MOE_ASSIGN_OR_RETURN(weights.vectors[i], HostMemory::allocate(state_, sizes[i] * sizeof(float)));
    }
    return std::unique_ptr<WeightSink>(
        std::make_unique<ReferenceSink>(shared_from_this(), spec, std::move(weights), std::move(reservation), bytes));
  }

  Result<std::shared_ptr<Buffer>> create_buffer(uint64_t bytes) override {
    auto reservation = std::make_unique<Reservation>();
    MOE_RETURN_IF_ERROR(reservation->take(state_, &used_, budget_, bytes));
    MOE_ASSIGN_OR_RETURN(HostMemory memory, HostMemory::allocate(state_, bytes));
    return std::shared_ptr<Buffer>(
        std::make_shared<ReferenceBuffer>(shared_from_this(), std::move(memory), std::move(reservation), bytes));
  }

  moe_memory_support memory_support(uint32_t kind) const override {
    moe_memory_support support = moe_init<moe_memory_support>();
    support.can_import = kind == MOE_MEMORY_HOST_POINTER ? 1 : 0;
    support.alignment_bytes = 4;
    if (support.can_import == 0) std::strcpy(support.reason, "the CPU reference works on host memory alone");
    return support;
  }

  Result<std::shared_ptr<Buffer>> import_buffer(const moe_memory_desc& desc, moe_memory_info*) override {
    if (desc.kind != MOE_MEMORY_HOST_POINTER) return unsupported("desc.kind", memory_support(desc.kind).reason);
    if (reinterpret_cast<uintptr_t>(desc.from.host.pointer) % 4 != 0) {
      return invalid("desc.from.host.pointer", "is no multiple of 4");
    }
    return std::shared_ptr<Buffer>(std::make_shared<ReferenceBuffer>(
        shared_from_this(), static_cast<std::byte*>(desc.from.host.pointer), desc.bytes));
  }

  Result<std::shared_ptr<Buffer>> create_exportable_buffer(uint32_t kind, uint64_t) override {
    return unsupported("kind", memory_support(kind).reason);
  }

  Result<std::shared_ptr<Context>> create_context(const ContextDesc& desc) override {
    return std::shared_ptr<Context>(std::make_shared<ReferenceContext>(shared_from_this(), desc));
  }

 private:
  // Numbers of each vector, by VectorKind.
  static std::array<uint64_t, kVectorKinds> vector_sizes(const LayerSpec& spec) {
    const uint64_t experts = spec.desc.experts, hidden = spec.desc.hidden;
    const uint64_t biased = spec.has(MOE_LAYER_EXPERT_BIAS) ? experts : 0;
    return {spec.router_rows() * hidden,
            spec.has(MOE_LAYER_ROUTER_BIAS) ? spec.candidates() : 0,
            spec.has(MOE_LAYER_SELECTION_BIAS) ? spec.candidates() : 0,
            spec.has(MOE_LAYER_INPUT_NORM) ? hidden : 0,
            spec.gated ? biased * spec.segment[0].intermediate : 0,
            biased * spec.segment[0].intermediate,
            biased * spec.segment[0].hidden,
            spec.has(MOE_LAYER_ROUTER_INPUT_SCALE) ? hidden : 0,
            spec.has(MOE_LAYER_PER_EXPERT_SCALE) ? experts : 0,
            uint64_t{spec.desc.token_table_rows} * spec.desc.top_k,
            spec.has(MOE_LAYER_LATENT_NORM) ? spec.desc.latent : 0};
  }

  static uint64_t weight_bytes(const LayerSpec& spec) {
    uint64_t bytes = 0;
    for (uint64_t size : vector_sizes(spec)) bytes += size * sizeof(float);
    for (uint32_t i = 0; i < spec.weight_segments(); ++i) {
      const Segment& s = spec.segment[i];
      const uint64_t gate_up = row_bytes(s.up, s.hidden) + (s.gated ? row_bytes(s.gate, s.hidden) : 0);
      bytes += s.experts * (s.intermediate * gate_up + s.hidden * row_bytes(s.down, s.intermediate));
    }
    return bytes;
  }

  std::shared_ptr<SharedState> state_;
  std::atomic<uint64_t> used_{0};
  uint64_t budget_;
  DeviceCaps caps_;
};

}  // namespace

std::shared_ptr<Device> make_reference_device(std::shared_ptr<SharedState> state, uint64_t budget_bytes) {
  return std::make_shared<ReferenceDevice>(std::move(state), budget_bytes);
}

}  // namespace moevk
