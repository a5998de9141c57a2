// SPDX-License-Identifier: MIT
//
// A few functions of the device are taken over; all others are the driver's. Around each dispatch: counters are zeroed
// and told where the bindings lie; behind it they are copied into the log.
#include "tests/bytes/byte_counter.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>
#include <stdexcept>

#include "tests/bytes/count_accesses.h"
#include "tests/bytes/counter_places.h"

namespace moe_bytes {
namespace {

struct Dispatch {
  std::vector<std::string> names;
  std::array<Range, kCountedBindings> bindings{};  // where they lie in the counters
};

struct Kernel {
  std::vector<std::string> names;
};

struct State {
  VkDevice device = VK_NULL_HANDLE;
  VkBuffer counters = VK_NULL_HANDLE, log = VK_NULL_HANDLE;
  uint64_t counters_address = 0;
  uint32_t most_dispatches = 0, subgroup_size = 0;
  std::map<VkShaderModule, Kernel> modules;
  std::map<VkPipeline, Kernel> pipelines;
  std::map<VkBuffer, uint64_t> buffer_bytes;
  std::map<VkBuffer, Range> weights;  // buffers whose address the plugin has asked for
  Kernel bound;
  std::array<Range, kCountedBindings> bindings{};
  std::vector<Dispatch> dispatches;
  std::vector<std::string> problems;
};

std::mutex mutex;
State* state = nullptr;
PFN_vkGetDeviceProcAddr next_device_proc = nullptr;

template <class Function>
Function next(const char* name) {
  const PFN_vkVoidFunction found = next_device_proc(state->device, name);
  return reinterpret_cast<Function>(found);
}
#define MOE_NEXT(name) next<PFN_##name>(#name)

uint64_t address_of(VkBuffer buffer) {
  const VkBufferDeviceAddressInfo info{VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, nullptr, buffer};
  return MOE_NEXT(vkGetBufferDeviceAddress)(state->device, &info);
}

VkResult VKAPI_CALL create_module(VkDevice device, const VkShaderModuleCreateInfo* info,
                                  const VkAllocationCallbacks* allocator, VkShaderModule* out) {
  const std::lock_guard lock(mutex);
  const CountedKernel counted =
      count_accesses(info->pCode, info->codeSize / 4, state->counters_address, state->subgroup_size);
  VkShaderModuleCreateInfo rewritten = *info;
  if (counted.code.empty()) {
    state->problems.push_back("a kernel cannot be counted: " + counted.why_not);
  } else {
    rewritten.codeSize = counted.code.size() * 4;
    rewritten.pCode = counted.code.data();
  }
  const VkResult result = MOE_NEXT(vkCreateShaderModule)(device, &rewritten, allocator, out);
  if (result == VK_SUCCESS) state->modules[*out] = {counted.binding_names};
  return result;
}

VkResult VKAPI_CALL create_pipelines(VkDevice device, VkPipelineCache cache, uint32_t count,
                                     const VkComputePipelineCreateInfo* infos, const VkAllocationCallbacks* allocator,
                                     VkPipeline* out) {
  const std::lock_guard lock(mutex);
  const VkResult result = MOE_NEXT(vkCreateComputePipelines)(device, cache, count, infos, allocator, out);
  for (uint32_t i = 0; i < count && result == VK_SUCCESS; ++i) {
    state->pipelines[out[i]] = state->modules[infos[i].stage.module];
  }
  if (result != VK_SUCCESS) state->problems.push_back("a counted kernel does not compile");
  return result;
}

void VKAPI_CALL bind_pipeline(VkCommandBuffer commands, VkPipelineBindPoint point, VkPipeline pipeline) {
  const std::lock_guard lock(mutex);
  state->bound = state->pipelines[pipeline];
  MOE_NEXT(vkCmdBindPipeline)(commands, point, pipeline);
}

void VKAPI_CALL push_descriptors(VkCommandBuffer commands, VkPipelineBindPoint point, VkPipelineLayout layout,
                                 uint32_t set, uint32_t count, const VkWriteDescriptorSet* writes) {
  const std::lock_guard lock(mutex);
  for (uint32_t i = 0; i < count; ++i) {
    const VkDescriptorBufferInfo& buffer = *writes[i].pBufferInfo;
    if (set != 0 || writes[i].dstBinding >= kCountedBindings || writes[i].descriptorCount != 1) {
      state->problems.push_back("a descriptor that is not counted");
      continue;
    }
    state->bindings[writes[i].dstBinding] = {address_of(buffer.buffer) + buffer.offset, buffer.range};
  }
  MOE_NEXT(vkCmdPushDescriptorSetKHR)(commands, point, layout, set, count, writes);
}

void VKAPI_CALL update_sets(VkDevice device, uint32_t writes, const VkWriteDescriptorSet* write, uint32_t copies,
                            const VkCopyDescriptorSet* copy) {
  const std::lock_guard lock(mutex);
  state->problems.push_back("descriptor sets are not counted: the device has no push descriptors");
  MOE_NEXT(vkUpdateDescriptorSets)(device, writes, write, copies, copy);
}

void barrier(VkCommandBuffer commands, VkPipelineStageFlags from, VkAccessFlags written, VkPipelineStageFlags to,
             VkAccessFlags used) {
  const VkMemoryBarrier memory{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, written, used};
  MOE_NEXT(vkCmdPipelineBarrier)(commands, from, to, 0, 1, &memory, 0, nullptr, 0, nullptr);
}

constexpr VkDeviceSize kCounterBytes = VkDeviceSize{kCounterWords} * 4;

void before_dispatch(VkCommandBuffer commands) {
  barrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_READ_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT,
          VK_ACCESS_TRANSFER_WRITE_BIT);
  std::vector<Range> weights;
  for (const auto& [buffer, range] : state->weights) weights.push_back(range);
  Places places(weights);
  if (places.meet()) state->problems.push_back("windows of weights lie more than 4 GiB apart");
  if (!places.give(&state->bindings)) state->problems.push_back("more memory than the counters stand for");
  std::array<uint32_t, kSlots> bases{};
  for (size_t i = 0; i < kCountedBindings; ++i) bases[i] = static_cast<uint32_t>(state->bindings[i].address);
  MOE_NEXT(vkCmdUpdateBuffer)(commands, state->counters, kBases * 4, sizeof bases, bases.data());
  MOE_NEXT(vkCmdFillBuffer)(commands, state->counters, sizeof bases, kCounterBytes - sizeof bases, 0);
  barrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
          VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
}

void after_dispatch(VkCommandBuffer commands) {
  barrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT,
          VK_ACCESS_TRANSFER_READ_BIT);
  if (state->dispatches.size() == state->most_dispatches) {
    state->problems.push_back("more dispatches than the log has room for");
    return;
  }
  const VkBufferCopy copy{0, state->dispatches.size() * kCounterBytes, kCounterBytes};
  MOE_NEXT(vkCmdCopyBuffer)(commands, state->counters, state->log, 1, &copy);
  barrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_HOST_BIT,
          VK_ACCESS_HOST_READ_BIT);
  state->dispatches.push_back({state->bound.names, state->bindings});
  state->bindings = {};
}

void VKAPI_CALL dispatch(VkCommandBuffer commands, uint32_t x, uint32_t y, uint32_t z) {
  const std::lock_guard lock(mutex);
  before_dispatch(commands);
  MOE_NEXT(vkCmdDispatch)(commands, x, y, z);
  after_dispatch(commands);
}

void VKAPI_CALL dispatch_indirect(VkCommandBuffer commands, VkBuffer buffer, VkDeviceSize offset) {
  const std::lock_guard lock(mutex);
  before_dispatch(commands);
  MOE_NEXT(vkCmdDispatchIndirect)(commands, buffer, offset);
  after_dispatch(commands);
}

VkResult VKAPI_CALL create_buffer(VkDevice device, const VkBufferCreateInfo* info,
                                  const VkAllocationCallbacks* allocator, VkBuffer* out) {
  const std::lock_guard lock(mutex);
  const VkResult result = MOE_NEXT(vkCreateBuffer)(device, info, allocator, out);
  if (result == VK_SUCCESS) state->buffer_bytes[*out] = info->size;
  return result;
}

void VKAPI_CALL destroy_buffer(VkDevice device, VkBuffer buffer, const VkAllocationCallbacks* allocator) {
  const std::lock_guard lock(mutex);
  state->buffer_bytes.erase(buffer);
  state->weights.erase(buffer);
  MOE_NEXT(vkDestroyBuffer)(device, buffer, allocator);
}

VkDeviceAddress VKAPI_CALL buffer_address(VkDevice device, const VkBufferDeviceAddressInfo* info) {
  const std::lock_guard lock(mutex);
  const VkDeviceAddress address = MOE_NEXT(vkGetBufferDeviceAddress)(device, info);
  state->weights[info->buffer] = {address, state->buffer_bytes[info->buffer]};
  return address;
}

PFN_vkVoidFunction VKAPI_CALL get_device_proc(VkDevice device, const char* name) {
  const PFN_vkVoidFunction real = next_device_proc(device, name);
  if (real == nullptr) return nullptr;
  const std::pair<const char*, PFN_vkVoidFunction> taken_over[] = {
      {"vkCreateShaderModule", reinterpret_cast<PFN_vkVoidFunction>(&create_module)},
      {"vkCreateComputePipelines", reinterpret_cast<PFN_vkVoidFunction>(&create_pipelines)},
      {"vkCmdBindPipeline", reinterpret_cast<PFN_vkVoidFunction>(&bind_pipeline)},
      {"vkCmdPushDescriptorSetKHR", reinterpret_cast<PFN_vkVoidFunction>(&push_descriptors)},
      {"vkUpdateDescriptorSets", reinterpret_cast<PFN_vkVoidFunction>(&update_sets)},
      {"vkCmdDispatch", reinterpret_cast<PFN_vkVoidFunction>(&dispatch)},
      {"vkCmdDispatchIndirect", reinterpret_cast<PFN_vkVoidFunction>(&dispatch_indirect)},
      {"vkCreateBuffer", reinterpret_cast<PFN_vkVoidFunction>(&create_buffer)},
      {"vkDestroyBuffer", reinterpret_cast<PFN_vkVoidFunction>(&destroy_buffer)},
      {"vkGetBufferDeviceAddress", reinterpret_cast<PFN_vkVoidFunction>(&buffer_address)},
  };
  for (const auto& [taken, ours] : taken_over) {
    if (std::strcmp(name, taken) == 0) return ours;
  }
  return real;
}

// Lines of one half of the counters, taken out of it as they are counted.
class Lines {
 public:
  explicit Lines(const uint32_t* words) : words_(words, words + kLineWords) {}

  uint64_t take(const Range& range) {
    if (range.bytes == 0) return 0;
    uint64_t taken = 0;
    for (uint64_t line = range.address / kLineBytes; line <= (range.address + range.bytes - 1) / kLineBytes; ++line) {
      uint32_t& word = words_[line / 32 % kLineWords];
      if (line % 32 == 0 && word == 0) {
        line += 31;  // most are empty
        continue;
      }
      const uint32_t bit = 1u << line % 32;
      taken += (word & bit) != 0 ? 1 : 0;
      word &= ~bit;
    }
    return taken * kLineBytes;
  }

  uint64_t left() const {
    uint64_t lines = 0;
    for (const uint32_t word : words_) lines += static_cast<uint64_t>(std::popcount(word));
    return lines * kLineBytes;
  }

 private:
  std::vector<uint32_t> words_;
};

DispatchBytes read_dispatch(const Dispatch& dispatch, const uint32_t* counters) {
  DispatchBytes bytes;
  for (const bool writes : {false, true}) {
    Lines lines(counters + kLines + (writes ? kLineWords : 0));
    for (uint32_t binding = 0; binding <= kThroughAddresses; ++binding) {
      const uint32_t slot = slot_of(binding, writes);
      AccessBytes access;
      access.writes = writes;
      access.requested = uint64_t{counters[kRequested + slot]} * 4;
      access.coalesced = uint64_t{counters[kCoalesced + slot]} * 4;
      if (access.requested == 0) continue;
      if (binding == kThroughAddresses) {
        access.name = "weights";
        for (const auto& [buffer, range] : state->weights) access.distinct += lines.take(range);
      } else {
        access.name = binding < dispatch.names.size() ? dispatch.names[binding] : "?";
        access.distinct = lines.take(dispatch.bindings[binding]);
      }
      bytes.accesses.push_back(std::move(access));
    }
    if (lines.left() != 0) throw std::runtime_error("lines of no buffer: " + std::to_string(lines.left()) + " bytes");
  }
  return bytes;
}

uint32_t subgroup_size_of(VkPhysicalDevice device) {
  VkPhysicalDeviceSubgroupProperties subgroup{};
  subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES;
  VkPhysicalDeviceProperties2 properties{};
  properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  properties.pNext = &subgroup;
  vkGetPhysicalDeviceProperties2(device, &properties);
  if ((subgroup.supportedOperations & VK_SUBGROUP_FEATURE_BALLOT_BIT) == 0) {
    throw std::runtime_error("the device has no ballots in subgroups");
  }
  return subgroup.subgroupSize;
}

}  // namespace

uint64_t DispatchBytes::distinct() const {
  uint64_t sum = 0;
  for (const AccessBytes& access : accesses) sum += access.distinct;
  return sum;
}

ByteCounter::ByteCounter(moe_interop::VulkanHost& host, bool by_subgroups, uint32_t most_dispatches)
    : host_(host),
      counters_(host.create_buffer(kCounterBytes)),
      log_(host.create_buffer(most_dispatches * kCounterBytes, VK_BUFFER_USAGE_TRANSFER_DST_BIT)) {
  static State only;
  const std::lock_guard lock(mutex);
  if (state != nullptr) throw std::runtime_error("one ByteCounter at a time");
  only = {};
  state = &only;
  state->device = host.device();
  state->counters = counters_.handle;
  state->log = log_.handle;
  state->most_dispatches = most_dispatches;
  next_device_proc =
      reinterpret_cast<PFN_vkGetDeviceProcAddr>(vkGetInstanceProcAddr(host.instance(), "vkGetDeviceProcAddr"));
  state->subgroup_size = by_subgroups ? subgroup_size_of(host.physical()) : 0;
  state->counters_address = address_of(counters_.handle);
}

ByteCounter::~ByteCounter() {
  const std::lock_guard lock(mutex);
  state = nullptr;
  host_.destroy_buffer(counters_);
  host_.destroy_buffer(log_);
}

PFN_vkVoidFunction VKAPI_CALL ByteCounter::get_instance_proc_addr(VkInstance instance, const char* name) {
  const PFN_vkVoidFunction real = vkGetInstanceProcAddr(instance, name);
  if (std::strcmp(name, "vkGetDeviceProcAddr") != 0 || real == nullptr) return real;
  return reinterpret_cast<PFN_vkVoidFunction>(&get_device_proc);
}

void ByteCounter::reset() {
  const std::lock_guard lock(mutex);
  state->dispatches.clear();
}

std::vector<DispatchBytes> ByteCounter::read() const {
  const std::lock_guard lock(mutex);
  if (!state->problems.empty()) throw std::runtime_error(state->problems.front());
  std::vector<DispatchBytes> all;
  const auto* words = reinterpret_cast<const uint32_t*>(log_.mapped);
  for (size_t i = 0; i < state->dispatches.size(); ++i) {
    all.push_back(read_dispatch(state->dispatches[i], words + i * kCounterWords));
  }
  return all;
}

}  // namespace moe_bytes
