// SPDX-License-Identifier: MIT
//
// Loads the Vulkan loader at run time, creates the instance, listens to validation, lists the devices.
#include "backend/vulkan_backend.h"

#include <volk.h>

#include <algorithm>
#include <cstring>

#include "backend/probe_caps.h"
#include "backend/vulkan_device.h"

namespace moevk {
namespace {

constexpr const char* kValidationLayer = "VK_LAYER_KHRONOS_validation";

VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                          VkDebugUtilsMessageTypeFlagsEXT,
                                          const VkDebugUtilsMessengerCallbackDataEXT* data, void* user) {
  auto* state = static_cast<SharedState*>(user);
  const bool error = (severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT) != 0;
  // What a layer says of its own settings (GPU-assisted validation adjusts them) is no finding.
  const char* id = data->pMessageIdName != nullptr ? data->pMessageIdName : "";
  const bool settings = std::strstr(id, "SETTINGS") != nullptr || std::strstr(id, "WARNING-Setting") != nullptr;
  if (!settings) ++state->validation_messages;
  state->log(error ? MOE_LOG_ERROR : MOE_LOG_WARNING, std::string("validation: ") + data->pMessage);
  return VK_FALSE;
}

class Backend final : public VulkanBackend {
 public:
  explicit Backend(std::shared_ptr<SharedState> state) : state_(std::move(state)) {}
  const std::string& why_no_gpu() const override { return why_; }
  const std::vector<moe_device_info>& devices() const override { return infos_; }

  Result<std::shared_ptr<Device>> open(uint32_t index, uint64_t budget_bytes) override {
    const ProbedDevice& probed = probed_[index];
    if (probed.info.usable == 0) {
      return Status(MOE_ERROR_NO_DEVICE, "desc.index", probed.caps.name + " cannot be used: " + probed.info.reason);
    }
    auto device = std::make_shared<VulkanDevice>(instance_, probed, state_);
    MOE_RETURN_IF_ERROR(device->open(budget_bytes));
    return std::shared_ptr<Device>(std::move(device));
  }

  Status start(bool validation);

 private:
  Status create_instance(bool validation);
  Status list_devices();

  std::shared_ptr<SharedState> state_;
  std::shared_ptr<VulkanInstance> instance_ = std::make_shared<VulkanInstance>();
  uint32_t version_ = 0;
  std::string why_;
  std::vector<ProbedDevice> probed_;
  std::vector<moe_device_info> infos_;
};

Status Backend::start(bool validation) {
  static const VkResult loader = volkInitialize();  // volk keeps it in globals: once for all threads
  if (loader != VK_SUCCESS) {
#if defined(_WIN32)
    why_ = "no Vulkan loader (vulkan-1.dll) was found";
#else
    why_ = "no Vulkan loader (libvulkan.so.1) was found";
#endif
    return {};
  }
  version_ = volkGetInstanceVersion();
  if (version_ < VK_API_VERSION_1_1) {
    why_ = "the Vulkan loader is older than 1.1, or does not start";
    return {};
  }
  MOE_RETURN_IF_ERROR(create_instance(validation));
  if (instance_->handle == VK_NULL_HANDLE) return {};
  MOE_RETURN_IF_ERROR(list_devices());
  const bool usable = std::any_of(infos_.begin(), infos_.end(), [](const moe_device_info& i) { return i.usable != 0; });
  if (infos_.empty() && why_.empty()) why_ = "the Vulkan loader found no driver";
  if (!infos_.empty() && !usable)
    why_ = std::string("no Vulkan device can be used; ") + infos_[0].name + ": " + infos_[0].reason;
  return {};
}

Status Backend::create_instance(bool validation) {
  version_ = std::min({version_ & ~0xFFFu, VK_API_VERSION_1_3, api_version_limit(state_->options().limits)});
  VkApplicationInfo app{};
  app.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
  app.pApplicationName = "moevk";
  app.apiVersion = version_;
  std::vector<const char*> layers, extensions;
  if (validation) {
    uint32_t count = 0;
    MOEVK_TRY(vkEnumerateInstanceLayerProperties(&count, nullptr));
    std::vector<VkLayerProperties> properties(count);
    MOEVK_TRY(vkEnumerateInstanceLayerProperties(&count, properties.data()));
    const bool found = std::any_of(properties.begin(), properties.end(),
                                   [](const auto& p) { return std::strcmp(p.layerName, kValidationLayer) == 0; });
    if (!found)
      return {MOE_ERROR_UNSUPPORTED, "validation",
              std::string(kValidationLayer) + ", asked for by MOEVK_VALIDATION or desc.flags, is not installed"};
    layers.push_back(kValidationLayer);
    extensions.push_back(VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    extensions.push_back(VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME);
  }
  VkDebugUtilsMessengerCreateInfoEXT messenger{};
  messenger.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
  messenger.messageSeverity =
      VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT;
  messenger.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
  messenger.pfnUserCallback = on_message;
  messenger.pUserData = state_.get();
  const VkValidationFeatureEnableEXT enables[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
  VkValidationFeaturesEXT features{};
  features.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT;
  features.pNext = &messenger;
  features.enabledValidationFeatureCount = 1;
  features.pEnabledValidationFeatures = enables;
  VkInstanceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pNext = validation ? &features : nullptr;
  info.pApplicationInfo = &app;
  info.enabledLayerCount = static_cast<uint32_t>(layers.size());
  info.ppEnabledLayerNames = layers.data();
  info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  VkInstance handle = VK_NULL_HANDLE;
  const VkResult result = vkCreateInstance(&info, nullptr, &handle);
  if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
    why_ = "the Vulkan loader found no driver";
    return {};
  }
  if (result != VK_SUCCESS && validation)  // asked for: going on without it would pass for a clean run
    return {MOE_ERROR_DRIVER, "validation", "vkCreateInstance with " + std::string(kValidationLayer) + " failed",
            static_cast<int32_t>(result)};
  if (result != VK_SUCCESS) {
    why_ = "vkCreateInstance failed with VkResult " + std::to_string(result);
    return {};
  }
  instance_->handle = handle;
  const auto destroy_instance =
      reinterpret_cast<PFN_vkDestroyInstance>(vkGetInstanceProcAddr(handle, "vkDestroyInstance"));
  instance_->destroy = [handle, destroy_instance] { destroy_instance(handle, nullptr); };
  MOE_RETURN_IF_ERROR(instance_->vk.load(vkGetInstanceProcAddr, handle));
  if (!validation) return {};
  const auto create = reinterpret_cast<PFN_vkCreateDebugUtilsMessengerEXT>(
      vkGetInstanceProcAddr(handle, "vkCreateDebugUtilsMessengerEXT"));
  const auto destroy = reinterpret_cast<PFN_vkDestroyDebugUtilsMessengerEXT>(
      vkGetInstanceProcAddr(handle, "vkDestroyDebugUtilsMessengerEXT"));
  if (create == nullptr || destroy == nullptr) return {MOE_ERROR_DRIVER, "", "the loader has no VK_EXT_debug_utils"};
  VkDebugUtilsMessengerEXT object = VK_NULL_HANDLE;
  MOEVK_TRY(create(handle, &messenger, nullptr, &object));
  const std::shared_ptr<SharedState> state = state_;  // the callback's
  instance_->destroy = [handle, destroy_instance, destroy, object, state] {
    destroy(handle, object, nullptr);
    destroy_instance(handle, nullptr);
  };
  return {};
}

Status Backend::list_devices() {
  const InstanceFunctions& vk = instance_->vk;
  uint32_t count = 0;
  VkResult result = vk.vkEnumeratePhysicalDevices(instance_->handle, &count, nullptr);
  std::vector<VkPhysicalDevice> devices(count);
  if (result == VK_SUCCESS && count != 0)
    result = vk.vkEnumeratePhysicalDevices(instance_->handle, &count, devices.data());
  if (result != VK_SUCCESS && result != VK_INCOMPLETE) {  // a broken driver does not take the reference away
    why_ = "vkEnumeratePhysicalDevices failed with VkResult " + std::to_string(result);
    return {};
  }
  for (uint32_t i = 0; i < count; ++i) {
    ProbedDevice probed = probe_device(vk, devices[i], version_, state_->options());
    // The reference in its place would pass for the limited device.
    if (!probed.refused_limits.empty()) return invalid("MOEVK_LIMITS", probed.caps.name + ": " + probed.refused_limits);
    for (const std::string& quirk : probed.quirks)
      state_->log(MOE_LOG_WARNING, probed.caps.name + " has a known defect; " + quirk);
    infos_.push_back(probed.info);
    probed_.push_back(std::move(probed));
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<VulkanBackend>> VulkanBackend::create(std::shared_ptr<SharedState> state, bool validation) {
  auto backend = std::make_shared<Backend>(std::move(state));
  MOE_RETURN_IF_ERROR(backend->start(validation));
  return std::shared_ptr<VulkanBackend>(std::move(backend));
}

}  // namespace moevk
