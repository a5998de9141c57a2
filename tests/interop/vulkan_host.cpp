// SPDX-License-Identifier: MIT
//
// Plain Vulkan, as an engine would write it: nothing of the plugin is used to create the device but its own advice
// on what to enable.
#define VOLK_IMPLEMENTATION
#include "tests/interop/vulkan_host.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace moe_interop {
namespace {

std::atomic<uint64_t> messages{0};
std::mutex text_mutex;
std::string text;

VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                          const VkDebugUtilsMessengerCallbackDataEXT* data, void*) {
  ++messages;
  const std::lock_guard lock(text_mutex);
  text += std::string(data->pMessage) + "\n";
  return VK_FALSE;
}

}  // namespace

void check(VkResult result, const char* call) {
  if (result != VK_SUCCESS) throw std::runtime_error(std::string(call) + " gave " + std::to_string(result));
}

uint64_t validation_messages() { return messages; }
std::string validation_text() {
  const std::lock_guard lock(text_mutex);
  return text;
}
bool validation_wanted() {
  const char* wanted = std::getenv("MOEVK_VALIDATION");
  return wanted != nullptr && std::strcmp(wanted, "0") != 0;
}

VulkanHost::VulkanHost(const moe_vulkan_interop* interop, const HostOptions& options, const uint8_t* uuid)
    : interop_(interop), api_version_(options.api_version) {
  static const VkResult loader = volkInitialize();
  MOE_VK(loader);
  get_ = options.get_instance_proc_addr != nullptr ? options.get_instance_proc_addr : vkGetInstanceProcAddr;
  create_instance(options);
  volkLoadInstanceOnly(instance_);
  choose_physical(uuid);
  create_device(options);
}

VulkanHost::~VulkanHost() {
  if (pool_ != VK_NULL_HANDLE) vk_.vkDestroyCommandPool(device_, pool_, nullptr);
  if (device_ != VK_NULL_HANDLE) vk_.vkDestroyDevice(device_, nullptr);
  if (messenger_ != VK_NULL_HANDLE) vkDestroyDebugUtilsMessengerEXT(instance_, messenger_, nullptr);
  if (instance_ != VK_NULL_HANDLE) vkDestroyInstance(instance_, nullptr);
}

void VulkanHost::create_instance(const HostOptions& options) {
  VkApplicationInfo app{};
  app.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
  app.apiVersion = options.api_version;
  VkDebugUtilsMessengerCreateInfoEXT messenger{};
  messenger.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
  messenger.messageSeverity =
      VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT;
  messenger.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
  messenger.pfnUserCallback = on_message;
  const VkValidationFeatureEnableEXT enables[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
  VkValidationFeaturesEXT validation{};
  validation.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT;
  validation.pNext = &messenger;
  validation.enabledValidationFeatureCount = 1;
  validation.pEnabledValidationFeatures = enables;
  const char* layers[] = {"VK_LAYER_KHRONOS_validation"};
  const char* extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME};
  VkInstanceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pApplicationInfo = &app;
  if (validation_wanted()) {
    info.pNext = &validation;
    info.enabledLayerCount = 1;
    info.ppEnabledLayerNames = layers;
    info.enabledExtensionCount = 2;
    info.ppEnabledExtensionNames = extensions;
  }
  MOE_VK(vkCreateInstance(&info, nullptr, &instance_));
  if (!validation_wanted()) return;
  volkLoadInstanceOnly(instance_);
  MOE_VK(vkCreateDebugUtilsMessengerEXT(instance_, &messenger, nullptr, &messenger_));
}

void VulkanHost::choose_physical(const uint8_t* uuid) {
  uint32_t count = 0;
  MOE_VK(vkEnumeratePhysicalDevices(instance_, &count, nullptr));
  std::vector<VkPhysicalDevice> devices(count);
  MOE_VK(vkEnumeratePhysicalDevices(instance_, &count, devices.data()));
  for (VkPhysicalDevice device : devices) {
    VkPhysicalDeviceIDProperties id{};
    id.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES;
    VkPhysicalDeviceProperties2 properties{};
    properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    properties.pNext = &id;
    vkGetPhysicalDeviceProperties2(device, &properties);
    if (uuid != nullptr && std::memcmp(id.deviceUUID, uuid, 16) != 0) continue;
    physical_ = device;
    return;
  }
  throw std::runtime_error("the host finds no such Vulkan device");
}

void VulkanHost::create_device(const HostOptions& options) {
  uint32_t count = 0;
  vkGetPhysicalDeviceQueueFamilyProperties(physical_, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vkGetPhysicalDeviceQueueFamilyProperties(physical_, &count, families.data());
  const auto computes = std::find_if(families.begin(), families.end(), [](const VkQueueFamilyProperties& family) {
    return (family.queueFlags & VK_QUEUE_COMPUTE_BIT) != 0;
  });
  if (computes == families.end()) throw std::runtime_error("no queue computes");
  queue_family_ = static_cast<uint32_t>(computes - families.begin());

  features12_.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
  features_.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  features_.pNext = &features12_;
  moe::check([&](moe_error* error) {
    return interop_->add_features(get_, instance_, physical_, api_version_, &features_, error);
  });
  if (!options.timeline) features12_.timelineSemaphore = VK_FALSE;
  if (!options.device_addresses) features12_.bufferDeviceAddress = VK_FALSE;
  if (!options.array_indexing) features_.features.shaderStorageBufferArrayDynamicIndexing = VK_FALSE;
  moe::check([&](moe_error* error) {
    return interop_->get_requirements(get_, instance_, physical_, api_version_, nullptr, &count, error);
  });
  requirements_.assign(count, moe_init<moe_vulkan_requirement>());
  moe::check([&](moe_error* error) {
    return interop_->get_requirements(get_, instance_, physical_, api_version_, requirements_.data(), &count, error);
  });
  for (const moe_vulkan_requirement& one : requirements_) {
    const bool wanted = one.level == MOE_VULKAN_REQUIRED || options.recommended_extensions;
    if (one.kind == MOE_VULKAN_EXTENSION && one.supported != 0 && wanted) extensions_.push_back(one.name);
  }

  const float priority = 1;
  VkDeviceQueueCreateInfo queue{};
  queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queue.queueFamilyIndex = queue_family_;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  VkDeviceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.pNext = &features_;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  info.enabledExtensionCount = static_cast<uint32_t>(extensions_.size());
  info.ppEnabledExtensionNames = extensions_.data();
  MOE_VK(vkCreateDevice(physical_, &info, nullptr, &device_));
  volkLoadDeviceTable(&vk_, device_);
  vk_.vkGetDeviceQueue(device_, queue_family_, 0, &queue_);
  VkCommandPoolCreateInfo pool{};
  pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = queue_family_;
  MOE_VK(vk_.vkCreateCommandPool(device_, &pool, nullptr, &pool_));
}

bool VulkanHost::has(const char* extension) const {
  return std::any_of(extensions_.begin(), extensions_.end(),
                     [&](const char* name) { return std::strcmp(name, extension) == 0; });
}

moe_vulkan_device_desc VulkanHost::import_desc() {
  moe_vulkan_device_desc desc = MOE_INIT(moe_vulkan_device_desc);
  desc.get_instance_proc_addr = get_;
  desc.instance = instance_;
  desc.physical_device = physical_;
  desc.device = device_;
  desc.queue = queue_;
  desc.queue_family = queue_family_;
  desc.api_version = api_version_;
  desc.enabled_extensions = extensions_.data();
  desc.enabled_extension_count = static_cast<uint32_t>(extensions_.size());
  desc.enabled_features = &features_;
  desc.user = this;
  desc.lock_queue = [](void* user) {
    auto* self = static_cast<VulkanHost*>(user);
    self->queue_mutex_.lock();
    ++self->locks_;
  };
  desc.unlock_queue = [](void* user) { static_cast<VulkanHost*>(user)->queue_mutex_.unlock(); };
  return desc;
}

VulkanHost::Buffer VulkanHost::create_buffer(uint64_t bytes, VkBufferUsageFlags usage, VkMemoryPropertyFlags memory) {
  Buffer buffer;
  buffer.bytes = bytes;
  buffer.usage = usage != 0 ? usage
                            : VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT |
                                  VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                                  (features12_.bufferDeviceAddress ? VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT : 0);
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = bytes;
  info.usage = buffer.usage;
  MOE_VK(vk_.vkCreateBuffer(device_, &info, nullptr, &buffer.handle));
  VkMemoryRequirements needs;
  vk_.vkGetBufferMemoryRequirements(device_, buffer.handle, &needs);
  VkPhysicalDeviceMemoryProperties types;
  vkGetPhysicalDeviceMemoryProperties(physical_, &types);
  VkMemoryAllocateFlagsInfo flags{};
  flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  VkMemoryAllocateInfo allocate{};
  allocate.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  if ((buffer.usage & VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT) != 0) allocate.pNext = &flags;
  allocate.allocationSize = needs.size;
  while ((needs.memoryTypeBits >> allocate.memoryTypeIndex & 1) == 0 ||
         (types.memoryTypes[allocate.memoryTypeIndex].propertyFlags & memory) != memory) {
    if (++allocate.memoryTypeIndex == types.memoryTypeCount) {
      throw std::runtime_error("no memory type with the properties " + std::to_string(memory));
    }
  }
  MOE_VK(vk_.vkAllocateMemory(device_, &allocate, nullptr, &buffer.memory));
  MOE_VK(vk_.vkBindBufferMemory(device_, buffer.handle, buffer.memory, 0));
  if ((memory & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) == 0) return buffer;
  void* mapped = nullptr;
  MOE_VK(vk_.vkMapMemory(device_, buffer.memory, 0, VK_WHOLE_SIZE, 0, &mapped));
  buffer.mapped = static_cast<std::byte*>(mapped);
  std::memset(mapped, 0, bytes);
  return buffer;
}

void VulkanHost::destroy_buffer(Buffer& buffer) {
  vk_.vkDestroyBuffer(device_, buffer.handle, nullptr);
  vk_.vkFreeMemory(device_, buffer.memory, nullptr);
  buffer = {};
}

VkCommandBuffer VulkanHost::allocate_commands(VkCommandBufferLevel level) {
  VkCommandBufferAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  info.commandPool = pool_;
  info.level = level;
  info.commandBufferCount = 1;
  VkCommandBuffer commands = VK_NULL_HANDLE;
  MOE_VK(vk_.vkAllocateCommandBuffers(device_, &info, &commands));
  return commands;
}

void VulkanHost::begin(VkCommandBuffer commands, VkCommandBufferUsageFlags flags, bool secondary) {
  VkCommandBufferInheritanceInfo inheritance{};
  inheritance.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_INHERITANCE_INFO;
  VkCommandBufferBeginInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
  info.flags = flags;
  info.pInheritanceInfo = secondary ? &inheritance : nullptr;
  MOE_VK(vk_.vkBeginCommandBuffer(commands, &info));
}

void VulkanHost::barrier_to_host(VkCommandBuffer commands) {
  const VkMemoryBarrier barrier{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, VK_ACCESS_SHADER_WRITE_BIT,
                                VK_ACCESS_HOST_READ_BIT};
  vk_.vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier,
                           0, nullptr, 0, nullptr);
}

void VulkanHost::submit(VkCommandBuffer commands, uint32_t times, VkFence fence) {
  const std::vector<VkCommandBuffer> list(times, commands);
  VkSubmitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
  info.commandBufferCount = times;
  info.pCommandBuffers = list.data();
  const std::lock_guard lock(queue_mutex_);
  MOE_VK(vk_.vkQueueSubmit(queue_, 1, &info, fence));
}

void VulkanHost::submit_and_wait(VkCommandBuffer commands, uint32_t times) {
  VkFenceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
  VkFence fence = VK_NULL_HANDLE;
  MOE_VK(vk_.vkCreateFence(device_, &info, nullptr, &fence));
  submit(commands, times, fence);
  MOE_VK(vk_.vkWaitForFences(device_, 1, &fence, VK_TRUE, UINT64_MAX));
  vk_.vkDestroyFence(device_, fence, nullptr);
}

moe_device* VulkanHost::import(moe_instance* instance) {
  const moe_vulkan_device_desc desc = import_desc();
  moe_device* device = nullptr;
  moe::check([&](moe_error* error) { return interop_->import_device(instance, &desc, &device, error); });
  return device;
}

moe_device_info chosen_gpu(const moe::Library& library, moe_instance* instance) {
  uint32_t index = 0;
  moe_device_info info = moe_init<moe_device_info>();
  moe::check([&](moe_error* error) { return library->choose_device(instance, &index, error); });
  moe::check([&](moe_error* error) { return library->get_device_info(instance, index, &info, error); });
  if (info.kind == MOE_DEVICE_KIND_REFERENCE) throw std::runtime_error(library->why_no_gpu(instance));
  return info;
}

moe_buffer* import_buffer(const moe_external_memory* memory, moe_device* device, const VulkanHost::Buffer& buffer,
                          uint64_t offset, uint64_t bytes) {
  moe_memory_desc desc = MOE_INIT(moe_memory_desc);
  desc.kind = MOE_MEMORY_VK_BUFFER;
  desc.bytes = bytes;
  desc.offset_bytes = offset;
  std::memcpy(&desc.from.vulkan.buffer, &buffer.handle, sizeof buffer.handle);
  desc.from.vulkan.usage = buffer.usage;
  moe_buffer* out = nullptr;
  moe::check([&](moe_error* error) { return memory->import_buffer(device, &desc, &out, nullptr, error); });
  return out;
}

}  // namespace moe_interop
