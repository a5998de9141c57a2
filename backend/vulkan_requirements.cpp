// SPDX-License-Identifier: MIT
//
// The table of what is needed and wanted, and the walk through a host's chain of feature structs.
#include "backend/vulkan_requirements.h"

#include <algorithm>

namespace moevk {
namespace {

// A feature, and where it stands in the structs that a host may chain.
struct Feature {
  const char* name;
  bool EnabledFeatures::*fact;
  VkBool32 VkPhysicalDeviceFeatures::*core;                  // null: not a core feature
  VkBool32 VkPhysicalDeviceVulkan12Features::*in_vulkan_12;  // null: none
  VkBool32 VkPhysicalDeviceVulkan13Features::*in_vulkan_13;  // null: none
  const char* structs;                                       // that hold it
};

const Feature kFeatures[] = {
    {"timelineSemaphore", &EnabledFeatures::timeline_semaphore, nullptr,
     &VkPhysicalDeviceVulkan12Features::timelineSemaphore, nullptr,
     "VkPhysicalDeviceVulkan12Features or VkPhysicalDeviceTimelineSemaphoreFeatures"},
    {"shaderStorageBufferArrayDynamicIndexing", &EnabledFeatures::storage_buffer_array_indexing,
     &VkPhysicalDeviceFeatures::shaderStorageBufferArrayDynamicIndexing, nullptr, nullptr, "VkPhysicalDeviceFeatures2"},
    {"bufferDeviceAddress", &EnabledFeatures::buffer_device_address, nullptr,
     &VkPhysicalDeviceVulkan12Features::bufferDeviceAddress, nullptr,
     "VkPhysicalDeviceVulkan12Features or VkPhysicalDeviceBufferDeviceAddressFeatures"},
    {"shaderIntegerDotProduct", &EnabledFeatures::integer_dot, nullptr, nullptr,
     &VkPhysicalDeviceVulkan13Features::shaderIntegerDotProduct,
     "VkPhysicalDeviceVulkan13Features or VkPhysicalDeviceShaderIntegerDotProductFeatures"},
};

// The member for `feature` in one struct of a chain, or null.
const VkBool32* member(const Feature& feature, const VkBaseInStructure* item) {
  switch (item->sType) {
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2:
      if (feature.core == nullptr) return nullptr;
      return &(reinterpret_cast<const VkPhysicalDeviceFeatures2*>(item)->features.*feature.core);
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES:
      if (feature.in_vulkan_12 == nullptr) return nullptr;
      return &(reinterpret_cast<const VkPhysicalDeviceVulkan12Features*>(item)->*feature.in_vulkan_12);
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES:
      if (feature.in_vulkan_13 == nullptr) return nullptr;
      return &(reinterpret_cast<const VkPhysicalDeviceVulkan13Features*>(item)->*feature.in_vulkan_13);
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES:
      if (feature.fact != &EnabledFeatures::integer_dot) return nullptr;
      return &reinterpret_cast<const VkPhysicalDeviceShaderIntegerDotProductFeatures*>(item)->shaderIntegerDotProduct;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES:
      if (feature.fact != &EnabledFeatures::timeline_semaphore) return nullptr;
      return &reinterpret_cast<const VkPhysicalDeviceTimelineSemaphoreFeatures*>(item)->timelineSemaphore;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES:
      if (feature.fact != &EnabledFeatures::buffer_device_address) return nullptr;
      return &reinterpret_cast<const VkPhysicalDeviceBufferDeviceAddressFeatures*>(item)->bufferDeviceAddress;
    default: return nullptr;
  }
}

const VkBool32* find_member(const Feature& feature, const VkPhysicalDeviceFeatures2* features) {
  for (auto* item = reinterpret_cast<const VkBaseInStructure*>(features); item != nullptr; item = item->pNext) {
    if (const VkBool32* found = member(feature, item); found != nullptr) return found;
  }
  return nullptr;
}

bool needs_extension(const HostPhysicalDevice& device, const Feature& feature) {
  return (device.api_version < VK_API_VERSION_1_2 && feature.in_vulkan_12 != nullptr) ||
         (device.api_version < VK_API_VERSION_1_3 && feature.in_vulkan_13 != nullptr);
}

const char* extension_of(const Feature& feature) {
  if (feature.fact == &EnabledFeatures::integer_dot) return VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME;
  return feature.fact == &EnabledFeatures::timeline_semaphore ? VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME
                                                              : VK_KHR_BUFFER_DEVICE_ADDRESS_EXTENSION_NAME;
}

}  // namespace

Result<HostPhysicalDevice> ask_physical_device(PFN_vkGetInstanceProcAddr get, VkInstance instance,
                                               VkPhysicalDevice device, uint32_t api_version) {
  if (get == nullptr) return invalid("get_instance_proc_addr", "is NULL");
  if (instance == VK_NULL_HANDLE) return invalid("instance", "is NULL");
  if (device == VK_NULL_HANDLE) return invalid("physical_device", "is NULL");
  if (api_version < VK_API_VERSION_1_1 || VK_API_VERSION_VARIANT(api_version) != 0) {
    return invalid("api_version", "is " + std::to_string(api_version) + "; at least Vulkan 1.1 (" +
                                      std::to_string(VK_API_VERSION_1_1) + ") is needed");
  }
  HostPhysicalDevice out;
  MOE_RETURN_IF_ERROR(out.vk.load(get, instance));
  out.handle = device;
  VkPhysicalDeviceProperties properties;
  out.vk.vkGetPhysicalDeviceProperties(device, &properties);
  out.api_version = std::min({api_version & ~0xFFFu, properties.apiVersion & ~0xFFFu, VK_API_VERSION_1_3});
  if (out.api_version < VK_API_VERSION_1_1) {
    return unsupported("physical_device", std::string(properties.deviceName) + " is below Vulkan 1.1");
  }
  MOE_ASSIGN_OR_RETURN(out.extensions, device_extensions(out.vk, device));
  out.supported = supported_features(out.vk, device, out.api_version, out.extensions);
  return out;
}

std::vector<Requirement> list_requirements(const HostPhysicalDevice& device) {
  std::vector<Requirement> list;
  const auto extension = [&](bool required, const char* name, const char* reason) {
    list.push_back({true, required, device.extensions.count(name) != 0, name, reason});
  };
  const bool indexing = device.supported.storage_buffer_array_indexing;
  if (device.api_version < VK_API_VERSION_1_2) {
    extension(true, VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME, "uploads and contexts are ordered by timelines");
    extension(!indexing, VK_KHR_BUFFER_DEVICE_ADDRESS_EXTENSION_NAME, "weights by address, of any size");
    extension(false, VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME, "rounding and NaN are then declared, not assumed");
  }
  const bool required[] = {true, indexing, !indexing, false};
  const char* const reasons[] = {
      "uploads and contexts are ordered by timelines", "weights without device addresses: an array of buffers",
      "weights by address, of any size; without it they are bound as windows", "int8 precision multiplies integers"};
  for (size_t i = 0; i < std::size(kFeatures); ++i) {
    list.push_back({false, required[i], device.supported.*kFeatures[i].fact, kFeatures[i].name, reasons[i]});
  }
  extension(false, VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME, "recordings without descriptor sets");
  extension(false, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME, "the driver's own budget is respected");
  if (device.api_version < VK_API_VERSION_1_3) {
    extension(false, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME, "int8 precision multiplies integers");
    extension(false, VK_EXT_PIPELINE_CREATION_FEEDBACK_EXTENSION_NAME, "says what the pipeline cache gave");
  }
  extension(false, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME, "host memory used in place");
#if defined(_WIN32)
  extension(false, "VK_KHR_external_memory_win32", "memory shared with other devices, APIs and processes");
#else
  extension(false, VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME, "memory shared with other devices, APIs and processes");
  extension(false, VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME, "memory shared with other drivers");
#endif
  return list;
}

Status add_features(const HostPhysicalDevice& device, VkPhysicalDeviceFeatures2* features) {
  if (features == nullptr) return invalid("features", "is NULL");
  if (features->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2) {
    return invalid("features.sType", "is not VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2");
  }
  std::string problems;
  const auto problem = [&](const std::string& text) { problems += (problems.empty() ? "" : "; ") + text; };
  for (const Requirement& one : list_requirements(device)) {
    if (one.extension) continue;
    const auto feature = std::find_if(std::begin(kFeatures), std::end(kFeatures),
                                      [&](const Feature& f) { return std::string(f.name) == one.name; });
    const VkBool32* found = find_member(*feature, features);
    if (one.required && !one.supported) problem(std::string(one.name) + " is not supported by the device");
    if (one.required && found == nullptr) {
      problem(std::string(one.name) + " needs " + feature->structs + " in the chain");
    }
    // The chain is the host's own writable one: member() only reads it as const.
    if (one.supported && found != nullptr) *const_cast<VkBool32*>(found) = VK_TRUE;
  }
  return problems.empty() ? Status() : unsupported("features", problems);
}

EnabledFeatures read_enabled(const HostPhysicalDevice& device, const VkPhysicalDeviceFeatures2* features,
                             const char* const* extensions, uint32_t extension_count) {
  EnabledFeatures enabled;
  for (uint32_t i = 0; i < extension_count; ++i) {
    if (device.extensions.count(extensions[i]) != 0) enabled.extensions.insert(extensions[i]);
  }
  for (const Feature& feature : kFeatures) {
    const VkBool32* found = find_member(feature, features);
    const bool reachable = !needs_extension(device, feature) || enabled.extensions.count(extension_of(feature)) != 0;
    enabled.*feature.fact = found != nullptr && *found != VK_FALSE && reachable && device.supported.*feature.fact;
  }
  return enabled;
}

std::string missing_requirements(const HostPhysicalDevice& device, const EnabledFeatures& enabled) {
  // Addresses do instead of indexing, whichever of the two is called required.
  const bool reaches_weights = enabled.buffer_device_address || enabled.storage_buffer_array_indexing;
  std::string text;
  for (const Requirement& one : list_requirements(device)) {
    if (!one.required) continue;
    bool there = enabled.extensions.count(one.name) != 0;
    for (const Feature& feature : kFeatures) {
      if (std::string(feature.name) != one.name) continue;
      there = enabled.*feature.fact || (feature.fact != &EnabledFeatures::timeline_semaphore && reaches_weights);
    }
    if (there || (one.extension && std::string(one.name) == VK_KHR_BUFFER_DEVICE_ADDRESS_EXTENSION_NAME)) continue;
    text += (text.empty() ? "" : "; ") + std::string(one.name) +
            (one.supported ? " is not enabled" : " is not supported by the device");
  }
  return text;
}

}  // namespace moevk
