// SPDX-License-Identifier: MIT
//
// A host that runs on Vulkan itself: instance (with validation), device, queue, buffers and command buffers of its
// own. What it enables is chosen by the test, so that poor hosts can be played too.
#ifndef MOE_TESTS_INTEROP_VULKAN_HOST_H_
#define MOE_TESTS_INTEROP_VULKAN_HOST_H_

#include <volk.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.hpp"
#include "plugin_api/moe_plugin_memory.h"
#include "plugin_api/moe_plugin_vulkan.h"

namespace moe_interop {

void check(VkResult result, const char* call);  // throws std::runtime_error
#define MOE_VK(call) ::moe_interop::check((call), #call)

struct HostOptions {
  bool timeline = true;
  bool device_addresses = true;
  bool array_indexing = true;
  bool recommended_extensions = true;
  PFN_vkGetInstanceProcAddr get_instance_proc_addr = nullptr;  // null: the loader's
  uint32_t api_version = VK_API_VERSION_1_3;
};

class VulkanHost {
 public:
  // The physical device of a moe_device_info with the same UUID; the first one where `uuid` is null.
  explicit VulkanHost(const moe_vulkan_interop* interop, const HostOptions& options = {},
                      const uint8_t* uuid = nullptr);
  VulkanHost(const VulkanHost&) = delete;
  VulkanHost& operator=(const VulkanHost&) = delete;
  ~VulkanHost();

  // What import_device is told. Pointers into this object.
  moe_vulkan_device_desc import_desc();
  // Throws moe::Error.
  moe_device* import(moe_instance* instance);

  const VolkDeviceTable& vk() const { return vk_; }
  VkInstance instance() const { return instance_; }
  VkPhysicalDevice physical() const { return physical_; }
  VkDevice device() const { return device_; }
  VkQueue queue() const { return queue_; }
  const VkPhysicalDeviceFeatures2& features() const { return features_; }
  bool has(const char* extension) const;
  uint64_t locks() const { return locks_; }
  std::mutex& queue_mutex() { return queue_mutex_; }

  struct Buffer {
    VkBuffer handle = VK_NULL_HANDLE;
    VkDeviceMemory memory = VK_NULL_HANDLE;
    std::byte* mapped = nullptr;
    uint64_t bytes = 0;
    VkBufferUsageFlags usage = 0;
  };
  // `usage` 0: all that a moe_buffer may be used for. Zero-filled and mapped if `memory` is host-visible.
  static constexpr VkMemoryPropertyFlags kHostMemory =
      VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  Buffer create_buffer(uint64_t bytes, VkBufferUsageFlags usage = 0, VkMemoryPropertyFlags memory = kHostMemory);
  void destroy_buffer(Buffer& buffer);

  VkCommandBuffer allocate_commands(VkCommandBufferLevel level = VK_COMMAND_BUFFER_LEVEL_PRIMARY);
  void begin(VkCommandBuffer commands, VkCommandBufferUsageFlags flags = 0, bool secondary = false);
  void end(VkCommandBuffer commands) { MOE_VK(vk_.vkEndCommandBuffer(commands)); }
  // COMPUTE_SHADER writes become visible to the host, host writes to COMPUTE_SHADER.
  void barrier_to_host(VkCommandBuffer commands);
  void submit(VkCommandBuffer commands, uint32_t times, VkFence fence);
  void submit_and_wait(VkCommandBuffer commands, uint32_t times = 1);

 private:
  void create_instance(const HostOptions& options);
  void choose_physical(const uint8_t* uuid);
  void create_device(const HostOptions& options);

  const moe_vulkan_interop* interop_;
  PFN_vkGetInstanceProcAddr get_ = nullptr;
  VkInstance instance_ = VK_NULL_HANDLE;
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  VkPhysicalDevice physical_ = VK_NULL_HANDLE;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE;
  uint32_t queue_family_ = 0;
  uint32_t api_version_ = 0;
  VolkDeviceTable vk_{};
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkPhysicalDeviceFeatures2 features_{};
  VkPhysicalDeviceVulkan12Features features12_{};
  std::vector<const char*> extensions_;
  std::vector<moe_vulkan_requirement> requirements_;  // hold the names
  std::mutex queue_mutex_;
  std::atomic<uint64_t> locks_{0};
};

// The Vulkan device that the library would choose. Throws where there is none.
moe_device_info chosen_gpu(const moe::Library& library, moe_instance* instance);

// Messages of validation layers since the program began, of all hosts; and whether there are any layers.
uint64_t validation_messages();
std::string validation_text();
bool validation_wanted();

// A host's buffer as a moe_buffer. Throws moe::Error.
moe_buffer* import_buffer(const moe_external_memory* memory, moe_device* device, const VulkanHost::Buffer& buffer,
                          uint64_t offset, uint64_t bytes);

}  // namespace moe_interop

#endif  // MOE_TESTS_INTEROP_VULKAN_HOST_H_
