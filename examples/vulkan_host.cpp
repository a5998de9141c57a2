// SPDX-License-Identifier: MIT
//
// vulkan_host.cpp - an engine that runs on Vulkan itself: one command buffer and one submit hold its own dispatch,
// two MoE layers of the plugin, and its own dispatch again. Checks the bits against a device that the library owns,
// and replays against fresh recordings. usage: vulkan_host [LIBRARY [REPLAYS]]
#define VOLK_IMPLEMENTATION
#include <volk.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <stdexcept>
#include <vector>

#include "plugin_api/moe_plugin.hpp"
#include "plugin_api/moe_plugin_memory.h"
#include "plugin_api/moe_plugin_vulkan.h"
#include "vulkan_host_comp.h"

namespace {

constexpr uint32_t kHidden = 64, kIntermediate = 96, kExperts = 16, kTopK = 2, kTokens = 24;
constexpr uint32_t kValues = kTokens * kHidden;

void vk(VkResult result) {
  if (result != VK_SUCCESS) throw std::runtime_error("Vulkan gave " + std::to_string(result));
}

// What every engine has: instance, device, queue, and a way to make buffers.
struct Engine {
  VkInstance instance = VK_NULL_HANDLE;
  VkPhysicalDevice physical = VK_NULL_HANDLE;
  VkDevice device = VK_NULL_HANDLE;
  VkQueue queue = VK_NULL_HANDLE;
  uint32_t family = 0;
  VkCommandPool pool = VK_NULL_HANDLE;
  std::vector<moe_vulkan_requirement> wishes;
  std::vector<const char*> extensions;
  VkPhysicalDeviceVulkan12Features features12{};
  VkPhysicalDeviceFeatures2 features{};

  void open(const moe_vulkan_interop* interop, const uint8_t* uuid) {
    vk(volkInitialize());
    VkApplicationInfo app{};
    app.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, app.apiVersion = VK_API_VERSION_1_2;
    VkInstanceCreateInfo instance_info{};
    instance_info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, instance_info.pApplicationInfo = &app;
    vk(vkCreateInstance(&instance_info, nullptr, &instance));
    volkLoadInstance(instance);
    uint32_t count = 16;
    VkPhysicalDevice all[16];
    if (const VkResult result = vkEnumeratePhysicalDevices(instance, &count, all); result != VK_INCOMPLETE) vk(result);
    for (uint32_t i = 0; i < count && physical == VK_NULL_HANDLE; ++i) {
      VkPhysicalDeviceIDProperties id{};
      id.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES;
      VkPhysicalDeviceProperties2 properties{};
      properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, properties.pNext = &id;
      vkGetPhysicalDeviceProperties2(all[i], &properties);
      if (std::memcmp(id.deviceUUID, uuid, sizeof id.deviceUUID) == 0) physical = all[i];
    }
    if (physical == VK_NULL_HANDLE) throw std::runtime_error("the library's device is not among the engine's");
    VkQueueFamilyProperties families[16];
    count = 16;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    while ((families[family].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0) {
      if (++family == count) throw std::runtime_error("no queue computes");
    }

    // What the plugin needs and would like, set in the engine's own chain before the device exists.
    features12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, features.pNext = &features12;
    const auto ask = [&](auto call) { moe::check([&](moe_error* error) { return call(error); }); };
    ask([&](moe_error* error) {
      return interop->add_features(vkGetInstanceProcAddr, instance, physical, app.apiVersion, &features, error);
    });
    wishes.assign(64, moe_init<moe_vulkan_requirement>());
    count = 64;
    ask([&](moe_error* error) {
      return interop->get_requirements(vkGetInstanceProcAddr, instance, physical, app.apiVersion, wishes.data(), &count,
                                       error);
    });
    for (uint32_t i = 0; i < count; ++i) {
      if (wishes[i].kind == MOE_VULKAN_EXTENSION && wishes[i].supported != 0) extensions.push_back(wishes[i].name);
    }
    const float priority = 1;
    VkDeviceQueueCreateInfo queue_info{};
    queue_info.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, queue_info.queueFamilyIndex = family;
    queue_info.queueCount = 1, queue_info.pQueuePriorities = &priority;
    VkDeviceCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, info.pNext = &features;
    info.queueCreateInfoCount = 1, info.pQueueCreateInfos = &queue_info;
    info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
    info.ppEnabledExtensionNames = extensions.data();
    vk(vkCreateDevice(physical, &info, nullptr, &device));
    vkGetDeviceQueue(device, family, 0, &queue);
    VkCommandPoolCreateInfo pool_info{};
    pool_info.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, pool_info.queueFamilyIndex = family;
    pool_info.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
    vk(vkCreateCommandPool(device, &pool_info, nullptr, &pool));
  }

  ~Engine() {
    if (pool != VK_NULL_HANDLE) vkDestroyCommandPool(device, pool, nullptr);
    if (device != VK_NULL_HANDLE) vkDestroyDevice(device, nullptr);
    if (instance != VK_NULL_HANDLE) vkDestroyInstance(instance, nullptr);
  }
};

// A host-visible storage buffer of the engine's.
struct Buffer {
  static constexpr VkBufferUsageFlags kUsage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT;
  Engine& engine;
  uint64_t bytes;
  VkBuffer handle = VK_NULL_HANDLE;
  VkDeviceMemory memory = VK_NULL_HANDLE;
  void* mapped = nullptr;

  Buffer(Engine& e, uint64_t size) : engine(e), bytes(size) {
    VkBufferCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, info.size = size, info.usage = kUsage;
    vk(vkCreateBuffer(engine.device, &info, nullptr, &handle));
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(engine.device, handle, &needs);
    VkPhysicalDeviceMemoryProperties types;
    vkGetPhysicalDeviceMemoryProperties(engine.physical, &types);
    constexpr VkMemoryPropertyFlags kMapped =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkMemoryAllocateInfo allocate{};
    allocate.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, allocate.allocationSize = needs.size;
    while ((needs.memoryTypeBits >> allocate.memoryTypeIndex & 1) == 0 ||
           (types.memoryTypes[allocate.memoryTypeIndex].propertyFlags & kMapped) != kMapped) {
      ++allocate.memoryTypeIndex;
    }
    vk(vkAllocateMemory(engine.device, &allocate, nullptr, &memory));
    vk(vkBindBufferMemory(engine.device, handle, memory, 0));
    vk(vkMapMemory(engine.device, memory, 0, VK_WHOLE_SIZE, 0, &mapped));
  }
  ~Buffer() {
    vkDestroyBuffer(engine.device, handle, nullptr);
    vkFreeMemory(engine.device, memory, nullptr);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  std::vector<float> floats() const {
    std::vector<float> values(bytes / 4);
    std::memcpy(values.data(), mapped, bytes);
    return values;
  }
};

// The engine's own kernel on (seed, source, target).
struct Kernel {
  Engine& engine;
  VkDescriptorSetLayout set_layout = VK_NULL_HANDLE;
  VkPipelineLayout layout = VK_NULL_HANDLE;
  VkDescriptorPool pool = VK_NULL_HANDLE;
  VkDescriptorSet set = VK_NULL_HANDLE;
  VkPipeline pipeline = VK_NULL_HANDLE;

  Kernel(Engine& e, uint32_t step, const Buffer& seed, const Buffer& source, const Buffer& target) : engine(e) {
    VkDescriptorSetLayoutBinding bindings[3];
    VkDescriptorBufferInfo buffers[3] = {
        {seed.handle, 0, VK_WHOLE_SIZE}, {source.handle, 0, VK_WHOLE_SIZE}, {target.handle, 0, VK_WHOLE_SIZE}};
    for (uint32_t i = 0; i < 3; ++i) {
      bindings[i] = {i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr};
    }
    VkDescriptorSetLayoutCreateInfo set_info{};
    set_info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
    set_info.bindingCount = 3, set_info.pBindings = bindings;
    vk(vkCreateDescriptorSetLayout(engine.device, &set_info, nullptr, &set_layout));
    VkPipelineLayoutCreateInfo layout_info{};
    layout_info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
    layout_info.setLayoutCount = 1, layout_info.pSetLayouts = &set_layout;
    vk(vkCreatePipelineLayout(engine.device, &layout_info, nullptr, &layout));
    const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 3};
    VkDescriptorPoolCreateInfo pool_info{};
    pool_info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
    pool_info.maxSets = 1, pool_info.poolSizeCount = 1, pool_info.pPoolSizes = &size;
    vk(vkCreateDescriptorPool(engine.device, &pool_info, nullptr, &pool));
    VkDescriptorSetAllocateInfo allocate{};
    allocate.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
    allocate.descriptorPool = pool, allocate.descriptorSetCount = 1, allocate.pSetLayouts = &set_layout;
    vk(vkAllocateDescriptorSets(engine.device, &allocate, &set));
    for (uint32_t i = 0; i < 3; ++i) {
      VkWriteDescriptorSet write{};
      write.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
      write.dstSet = set, write.dstBinding = i, write.descriptorCount = 1, write.pBufferInfo = &buffers[i];
      write.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
      vkUpdateDescriptorSets(engine.device, 1, &write, 0, nullptr);
    }
    VkShaderModuleCreateInfo module_info{};
    module_info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
    module_info.codeSize = sizeof vulkan_host_comp, module_info.pCode = vulkan_host_comp;
    VkShaderModule module = VK_NULL_HANDLE;
    vk(vkCreateShaderModule(engine.device, &module_info, nullptr, &module));
    const VkSpecializationMapEntry entry{0, 0, 4};
    const VkSpecializationInfo constants{1, &entry, 4, &step};
    VkComputePipelineCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO, info.layout = layout;
    info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT, info.stage.module = module, info.stage.pName = "main";
    info.stage.pSpecializationInfo = &constants;
    vk(vkCreateComputePipelines(engine.device, VK_NULL_HANDLE, 1, &info, nullptr, &pipeline));
    vkDestroyShaderModule(engine.device, module, nullptr);
  }
  ~Kernel() {
    vkDestroyPipeline(engine.device, pipeline, nullptr);
    vkDestroyDescriptorPool(engine.device, pool, nullptr);
    vkDestroyPipelineLayout(engine.device, layout, nullptr);
    vkDestroyDescriptorSetLayout(engine.device, set_layout, nullptr);
  }
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  void record(VkCommandBuffer commands) const {
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, nullptr);
    vkCmdDispatch(commands, (kValues + 63) / 64, 1, 1);
  }
};

moe::Layer upload_layer(const moe::Library& library, moe_device* device, uint32_t seed) {
  moe_layer_desc desc = moe_init<moe_layer_desc>();
  desc.hidden = kHidden, desc.intermediate = kIntermediate, desc.experts = kExperts, desc.top_k = kTopK;
  desc.score = MOE_SCORE_SOFTMAX, desc.normalize = MOE_NORMALIZE_SUM_EPS;
  moe::Upload upload = moe::begin_weights(library, device, desc);
  const auto add = [&](const char* name, size_t count) {
    std::vector<float> numbers(count);
    for (float& number : numbers) {
      seed = seed * 1664525u + 1013904223u;
      number = 0.3f * (static_cast<float>(seed >> 8) / 8388608.0f - 1.0f);
    }
    moe::add_tensor(library, upload, name, MOE_DTYPE_F32, numbers.data(), count * sizeof(float));
  };
  add("router.weight", kExperts * kHidden);
  for (const char* name : {"experts.gate", "experts.up", "experts.down"}) add(name, kExperts * kIntermediate * kHidden);
  return moe::commit_weights(library, upload);
}

// x through both layers on a device that the library owns, then doubled: what the command buffer must give.
std::vector<float> run_owned(const moe::Library& library, moe_device* device, std::vector<float> x) {
  const moe::Context context = moe::create_context(library, device, kTokens);
  for (uint32_t seed : {1u, 2u}) {
    const moe::Layer layer = upload_layer(library, device, seed);
    std::vector<float> y(kValues);
    const moe_view x_view = moe::host_view(x.data(), MOE_DTYPE_F32, kTokens, kHidden);
    const moe_view y_view = moe::host_view(y.data(), MOE_DTYPE_F32, kTokens, kHidden);
    moe_call_args args = moe_init<moe_call_args>();
    args.tokens = kTokens, args.x = &x_view, args.y = &y_view;
    moe::check([&](moe_error* error) { return library->forward(context, layer, &args, error); });
    moe::wait(library, context, moe::flush(library, context));
    x = y;
  }
  for (float& value : x) value *= 2;
  return x;
}

int run(const char* path, int replays) {
  const moe::Library library(path);
  const auto* interop = library.extension<moe_vulkan_interop>(MOE_EXTENSION_VULKAN_INTEROP);
  const auto* memory = library.extension<moe_external_memory>(MOE_EXTENSION_EXTERNAL_MEMORY);
  const moe::Instance instance = moe::create_instance(library);
  uint32_t best = 0;
  moe_device_info chosen = moe_init<moe_device_info>();
  moe::check([&](moe_error* error) { return library->choose_device(instance, &best, error); });
  moe::check([&](moe_error* error) { return library->get_device_info(instance, best, &chosen, error); });
  if (chosen.kind == MOE_DEVICE_KIND_REFERENCE) throw std::runtime_error(library->why_no_gpu(instance));

  Engine engine;
  engine.open(interop, chosen.device_uuid);
  moe_vulkan_device_desc lent = moe_init<moe_vulkan_device_desc>();
  lent.get_instance_proc_addr = vkGetInstanceProcAddr, lent.instance = engine.instance;
  lent.physical_device = engine.physical, lent.device = engine.device, lent.queue = engine.queue;
  lent.queue_family = engine.family, lent.api_version = VK_API_VERSION_1_2;
  lent.enabled_extensions = engine.extensions.data();
  lent.enabled_extension_count = static_cast<uint32_t>(engine.extensions.size());
  lent.enabled_features = &engine.features;
  moe_device* raw = nullptr;
  moe::check([&](moe_error* error) { return interop->import_device(instance, &lent, &raw, error); });
  const moe::Device device(library, raw);

  // x -> layer 1 -> middle -> layer 2 -> y; the engine makes x out of seed and z out of y.
  Buffer seed(engine, 4), x(engine, kValues * 4), middle(engine, kValues * 4), y(engine, kValues * 4),
      z(engine, kValues * 4), ids(engine, kTokens * kTopK * 4);
  const auto lend = [&](const Buffer& buffer) {
    moe_memory_desc desc = moe_init<moe_memory_desc>();
    desc.kind = MOE_MEMORY_VK_BUFFER, desc.bytes = buffer.bytes, desc.from.vulkan.usage = Buffer::kUsage;
    std::memcpy(&desc.from.vulkan.buffer, &buffer.handle, sizeof buffer.handle);
    moe_buffer* out = nullptr;
    moe::check([&](moe_error* error) { return memory->import_buffer(device, &desc, &out, nullptr, error); });
    return moe::Buffer(library, out);
  };
  const moe::Buffer lent_x = lend(x), lent_middle = lend(middle), lent_y = lend(y), lent_ids = lend(ids);
  const moe::Layer layers[2] = {upload_layer(library, device, 1), upload_layer(library, device, 2)};
  const moe_view views[3] = {moe::buffer_view(lent_x, 0, MOE_DTYPE_F32, kTokens, kHidden),
                             moe::buffer_view(lent_middle, 0, MOE_DTYPE_F32, kTokens, kHidden),
                             moe::buffer_view(lent_y, 0, MOE_DTYPE_F32, kTokens, kHidden)};
  const moe_view ids_view = moe::buffer_view(lent_ids, 0, MOE_DTYPE_I32, kTokens, kTopK);
  moe_recording* recordings[2] = {};
  for (int i = 0; i < 2; ++i) {
    moe_call_args args = moe_init<moe_call_args>();
    args.tokens = kTokens, args.x = &views[i], args.y = &views[i + 1], args.ids = i == 0 ? &ids_view : nullptr;
    moe_recording_desc desc = moe_init<moe_recording_desc>();
    desc.args = &args;
    moe::check([&](moe_error* error) { return interop->create_recording(layers[i], &desc, &recordings[i], error); });
  }
  const Kernel before(engine, 0, seed, y, x), behind(engine, 1, seed, y, z);

  // Host writes are visible at submit; the plugin's entry barrier stands between the engine's dispatch and its own.
  const auto record = [&](VkCommandBuffer commands) {
    VkCommandBufferBeginInfo begin{};
    begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    vk(vkBeginCommandBuffer(commands, &begin));
    const auto barrier = [&](VkPipelineStageFlags to, VkAccessFlags access) {
      const VkMemoryBarrier b{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, VK_ACCESS_SHADER_WRITE_BIT, access};
      vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, to, 0, 1, &b, 0, nullptr, 0, nullptr);
    };
    before.record(commands);
    for (moe_recording* recording : recordings) {
      moe::check([&](moe_error* error) { return interop->record(recording, commands, 0, error); });
    }
    barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_READ_BIT);
    behind.record(commands);
    barrier(VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    vk(vkEndCommandBuffer(commands));
  };
  VkCommandBuffer commands[2];  // one that is replayed, one that is recorded anew each time
  VkCommandBufferAllocateInfo allocate{};
  allocate.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  allocate.commandPool = engine.pool, allocate.commandBufferCount = 2;
  vk(vkAllocateCommandBuffers(engine.device, &allocate, commands));
  const auto submit = [&](VkCommandBuffer one) {
    VkSubmitInfo info{};
    info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, info.commandBufferCount = 1, info.pCommandBuffers = &one;
    vk(vkQueueSubmit(engine.queue, 1, &info, VK_NULL_HANDLE));
    vk(vkQueueWaitIdle(engine.queue));
    return z.floats();
  };
  record(commands[0]);
  int wrong = 0;
  std::set<std::vector<float>> routings;
  for (int turn = 0; turn < replays; ++turn) {
    std::memcpy(seed.mapped, &turn, 4);
    const std::vector<float> replayed = submit(commands[0]);
    routings.insert(ids.floats());
    record(commands[1]);
    wrong += submit(commands[1]) != replayed ? 1 : 0;
    if (turn == 0) {
      const moe::Device owned = moe::open_device(library, instance, best);
      const bool same = run_owned(library, owned, x.floats()) == replayed;
      std::printf(
          "%s: one submit with two dispatches of the host and two layers %s\n", chosen.name,
          same ? "gives the bits of a device of the library's own" : "gives OTHER BITS than a device of its own");
      wrong += same ? 0 : 1;
    }
  }
  std::printf("%d replays with %zu routings, %d wrong\n", replays, routings.size(), wrong);
  for (moe_recording* recording : recordings) interop->destroy_recording(recording);
  return wrong == 0 && routings.size() * 2 > static_cast<size_t>(replays) ? 0 : 1;  // the routing must have changed
}

}  // namespace

int main(int argc, char** argv) try {
  return run(argc > 1 ? argv[1] : nullptr, argc > 2 ? std::atoi(argv[2]) : 16);
} catch (const std::exception& error) {
  std::fprintf(stderr, "vulkan_host: %s\n", error.what());
  return 1;
}
