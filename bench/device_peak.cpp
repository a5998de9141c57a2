// SPDX-License-Identifier: MIT
//
// device_peak [--library PATH] [--seconds S]: what a device can do at most, measured: GB/s of a kernel that only reads,
// GB/s of a copy, GFLOP/s of multiply-adds in registers, and what a dispatch costs that waits for the one before it. In:
// the device that the library would choose. Out: one line of JSON. Why: `moevk bench` tells what a layer moves and
// computes; these numbers tell how far that is from the end.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "device_peak_comp.h"
#include "plugin_api/moe_plugin.hpp"
#include "tests/interop/vulkan_host.h"

namespace {

using moe_interop::VulkanHost;

constexpr uint32_t kGroup = 256;          // invocations of a workgroup
constexpr uint32_t kMostGroups = 65535;   // of a dispatch: what Vulkan promises
constexpr uint32_t kChains = 8;           // of vec4
constexpr uint32_t kLoops = 512;          // of multiply_add
constexpr uint64_t kMostBytes = 1 << 30;  // beyond the caches of every device of today
constexpr double kLeastSeconds = 0.02;    // of one submit, so that its own cost vanishes

constexpr VkBufferUsageFlags kUsage =
    VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;

struct Push {
  uint32_t vectors;
  float factor;
};

// A buffer in the device's own memory.
struct DeviceBuffer {
  VulkanHost& host;
  VulkanHost::Buffer buffer;

  DeviceBuffer(VulkanHost& lender, uint64_t bytes)
      : host(lender), buffer(lender.create_buffer(bytes, kUsage, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT)) {}
  ~DeviceBuffer() { host.destroy_buffer(buffer); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
};

// device_peak.comp on a source and a target.
class Kernels {
 public:
  Kernels(VulkanHost& host, const DeviceBuffer& source, const DeviceBuffer& target) : host_(host) {
    VkDescriptorSetLayoutBinding bindings[2];
    for (uint32_t i = 0; i < 2; ++i) {
      bindings[i] = {i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr};
    }
    VkDescriptorSetLayoutCreateInfo set_info{};
    set_info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
    set_info.bindingCount = 2, set_info.pBindings = bindings;
    MOE_VK(host.vk().vkCreateDescriptorSetLayout(host.device(), &set_info, nullptr, &set_layout_));
    const VkPushConstantRange range{VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(Push)};
    VkPipelineLayoutCreateInfo layout_info{};
    layout_info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
    layout_info.setLayoutCount = 1, layout_info.pSetLayouts = &set_layout_;
    layout_info.pushConstantRangeCount = 1, layout_info.pPushConstantRanges = &range;
    MOE_VK(host.vk().vkCreatePipelineLayout(host.device(), &layout_info, nullptr, &layout_));
    const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 2};
    VkDescriptorPoolCreateInfo pool_info{};
    pool_info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
    pool_info.maxSets = 1, pool_info.poolSizeCount = 1, pool_info.pPoolSizes = &size;
    MOE_VK(host.vk().vkCreateDescriptorPool(host.device(), &pool_info, nullptr, &pool_));
    VkDescriptorSetAllocateInfo allocate{};
    allocate.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
    allocate.descriptorPool = pool_, allocate.descriptorSetCount = 1, allocate.pSetLayouts = &set_layout_;
    MOE_VK(host.vk().vkAllocateDescriptorSets(host.device(), &allocate, &set_));
    const VkDescriptorBufferInfo buffers[2] = {{source.buffer.handle, 0, VK_WHOLE_SIZE},
                                               {target.buffer.handle, 0, VK_WHOLE_SIZE}};
    for (uint32_t i = 0; i < 2; ++i) {
      VkWriteDescriptorSet write{};
      write.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
      write.dstSet = set_, write.dstBinding = i, write.descriptorCount = 1, write.pBufferInfo = &buffers[i];
      write.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
      host.vk().vkUpdateDescriptorSets(host.device(), 1, &write, 0, nullptr);
    }
  }
  ~Kernels() {
    host_.vk().vkDestroyPipeline(host_.device(), pipeline_, nullptr);
    host_.vk().vkDestroyDescriptorPool(host_.device(), pool_, nullptr);
    host_.vk().vkDestroyPipelineLayout(host_.device(), layout_, nullptr);
    host_.vk().vkDestroyDescriptorSetLayout(host_.device(), set_layout_, nullptr);
  }
  Kernels(const Kernels&) = delete;
  Kernels& operator=(const Kernels&) = delete;

  // MODE, UNROLL and LOOPS of the shader, until the next choice.
  void choose(uint32_t mode, uint32_t unroll, uint32_t loops) {
    host_.vk().vkDestroyPipeline(host_.device(), pipeline_, nullptr);
    pipeline_ = VK_NULL_HANDLE;
    VkShaderModuleCreateInfo module_info{};
    module_info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
    module_info.codeSize = sizeof device_peak_comp, module_info.pCode = device_peak_comp;
    VkShaderModule module = VK_NULL_HANDLE;
    MOE_VK(host_.vk().vkCreateShaderModule(host_.device(), &module_info, nullptr, &module));
    const uint32_t values[3] = {mode, unroll, loops};
    const VkSpecializationMapEntry entries[3] = {{0, 0, 4}, {1, 4, 4}, {2, 8, 4}};
    const VkSpecializationInfo constants{3, entries, sizeof values, values};
    VkComputePipelineCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO, info.layout = layout_;
    info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT, info.stage.module = module, info.stage.pName = "main";
    info.stage.pSpecializationInfo = &constants;
    const VkResult result =
        host_.vk().vkCreateComputePipelines(host_.device(), VK_NULL_HANDLE, 1, &info, nullptr, &pipeline_);
    host_.vk().vkDestroyShaderModule(host_.device(), module, nullptr);
    MOE_VK(result);
  }
  void record(VkCommandBuffer commands, uint32_t groups, uint64_t vectors) const {
    const Push push{static_cast<uint32_t>(vectors), 1.0f};
    host_.vk().vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline_);
    host_.vk().vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout_, 0, 1, &set_, 0, nullptr);
    host_.vk().vkCmdPushConstants(commands, layout_, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof push, &push);
    host_.vk().vkCmdDispatch(commands, groups, 1, 1);
  }

 private:
  VulkanHost& host_;
  VkDescriptorSetLayout set_layout_ = VK_NULL_HANDLE;
  VkPipelineLayout layout_ = VK_NULL_HANDLE;
  VkDescriptorPool pool_ = VK_NULL_HANDLE;
  VkDescriptorSet set_ = VK_NULL_HANDLE;
  VkPipeline pipeline_ = VK_NULL_HANDLE;
};

// The best of several submits, in units a second; `encode(commands, n)` records n of something, of `unit` each. n
// grows until a submit is long.
template <typename Encode>
double best_rate(VulkanHost& host, double unit, double seconds, uint32_t most, const Encode& encode) {
  const VkCommandBuffer commands = host.allocate_commands();
  const auto clock = [] { return std::chrono::steady_clock::now(); };
  const auto run = [&] {
    const auto begin = clock();
    host.submit_and_wait(commands);
    return std::chrono::duration<double>(clock() - begin).count();
  };
  uint32_t count = 1;
  double best = 0;
  const auto start = clock();
  for (;;) {
    host.begin(commands, VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT);
    encode(commands, count);
    host.end(commands);
    const double took = run();
    best = std::max(best, unit * count / took);
    if (took >= kLeastSeconds || count >= most) break;
    count = std::min(most, 2 * count);
  }
  while (std::chrono::duration<double>(clock() - start).count() < seconds) {
    best = std::max(best, unit * count / run());
  }
  return best;
}

struct DispatchCost {
  double seconds;         // of a dispatch that does nothing and waits for the one before it
  double submit_seconds;  // of an empty submit and the wait for it
};

// From submits of few and of many dispatches, the best of several of each: what is the same in both falls out.
DispatchCost dispatch_cost(VulkanHost& host, const Kernels& kernels, uint64_t vectors, double seconds) {
  constexpr uint32_t kCounts[3] = {0, 16, 272};
  double best[3] = {1e9, 1e9, 1e9};
  VkCommandBuffer commands[3];
  for (int i = 0; i < 3; ++i) {
    commands[i] = host.allocate_commands();
    host.begin(commands[i], VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT);
    VkMemoryBarrier barrier{};
    barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
    barrier.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT;
    barrier.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT;
    for (uint32_t n = 0; n < kCounts[i]; ++n) {
      kernels.record(commands[i], 1, vectors);
      host.vk().vkCmdPipelineBarrier(commands[i], VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                     VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &barrier, 0, nullptr, 0, nullptr);
    }
    host.end(commands[i]);
  }
  const auto start = std::chrono::steady_clock::now();
  for (int round = 0;; ++round) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    if (round >= 5 && spent.count() >= seconds) break;
    for (int i = 0; i < 3; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      host.submit_and_wait(commands[i]);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      best[i] = std::min(best[i], took.count());
    }
  }
  return {std::max(0.0, best[2] - best[1]) / (kCounts[2] - kCounts[1]), best[0]};
}

int run(const char* path, double seconds) {
  const moe::Library library(path);
  const auto* interop = library.extension<moe_vulkan_interop>(MOE_EXTENSION_VULKAN_INTEROP);
  const moe::Instance instance = moe::create_instance(library);
  const moe_device_info info = moe_interop::chosen_gpu(library, instance);
  VulkanHost host(interop, {}, info.device_uuid);
  VkPhysicalDeviceProperties properties;
  vkGetPhysicalDeviceProperties(host.physical(), &properties);

  uint64_t bytes = std::min<uint64_t>(kMostBytes, properties.limits.maxStorageBufferRange);
  bytes = std::min(bytes, info.memory_bytes / 8) / 65536 * 65536;
  const DeviceBuffer source(host, bytes), target(host, bytes);
  const VkCommandBuffer fill = host.allocate_commands();
  host.begin(fill);
  host.vk().vkCmdFillBuffer(fill, source.buffer.handle, 0, bytes, 0x3c5a69a5);
  host.end(fill);
  host.submit_and_wait(fill);

  Kernels kernels(host, source, target);
  double read = 0;
  for (const uint32_t unroll : {4u, 8u, 16u}) {
    kernels.choose(0, unroll, 1);
    const uint64_t group_bytes = uint64_t{16} * kGroup * unroll;
    const auto groups = static_cast<uint32_t>(std::min<uint64_t>(kMostGroups, bytes / group_bytes));
    const double rate = best_rate(host, static_cast<double>(groups * group_bytes), seconds, 4096,
                                  [&](VkCommandBuffer commands, uint32_t count) {
                                    for (uint32_t i = 0; i < count; ++i) kernels.record(commands, groups, bytes / 16);
                                  });
    read = std::max(read, rate);
  }
  const double copy =
      best_rate(host, 2 * static_cast<double>(bytes), seconds, 4096, [&](VkCommandBuffer commands, uint32_t count) {
        const VkBufferCopy region{0, 0, bytes};
        for (uint32_t i = 0; i < count; ++i) {
          host.vk().vkCmdCopyBuffer(commands, source.buffer.handle, target.buffer.handle, 1, &region);
        }
      });
  kernels.choose(1, kChains, kLoops);
  const double group_flops = 2.0 * 4 * kChains * kLoops * kGroup;
  const double flops =
      best_rate(host, group_flops, seconds, kMostGroups,
                [&](VkCommandBuffer commands, uint32_t groups) { kernels.record(commands, groups, bytes / 16); });
  kernels.choose(1, 1, 1);
  const DispatchCost cost = dispatch_cost(host, kernels, bytes / 16, seconds);
  std::string name;
  for (const char* c = info.name; *c != '\0'; ++c) name += *c == '"' || *c == '\\' ? '\'' : *c;
  std::printf("{\"device\": \"%s\", \"buffer_bytes\": %llu, \"read_gbps\": %.4g, \"copy_gbps\": %.4g, ", name.c_str(),
              static_cast<unsigned long long>(bytes), read * 1e-9, copy * 1e-9);
  std::printf("\"f32_gflops\": %.4g, \"dispatch_us\": %.4g, \"submit_us\": %.4g}\n", flops * 1e-9, cost.seconds * 1e6,
              cost.submit_seconds * 1e6);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  const char* path = MOEVK_LIBRARY_PATH;
  double seconds = 0.5;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc || (name != "--library" && name != "--seconds")) {
      std::fprintf(stderr, "usage: device_peak [--library PATH] [--seconds S]  (S: of each of six measurements)\n");
      return 2;
    }
    if (name == "--library") path = argv[i + 1];
    if (name == "--seconds") seconds = std::atof(argv[i + 1]);
  }
  return run(path, seconds);
} catch (const std::exception& error) {
  std::fprintf(stderr, "device_peak: %s\n", error.what());
  return 1;
}
