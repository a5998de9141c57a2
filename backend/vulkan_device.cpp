// SPDX-License-Identifier: MIT
//
// Opening the device with exactly the features that the caps promise, submitting, and the device's objects.
#include "backend/vulkan_device.h"

#include <algorithm>

#include "backend/vulkan_buffer.h"
#include "backend/vulkan_context.h"
#include "backend/vulkan_layer.h"
#include "backend/weight_sink.h"
#include "runtime/upload_plan.h"

namespace moevk {

Status Timeline::open() {
  VkSemaphoreTypeCreateInfo type{};
  type.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  VkSemaphoreCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
  info.pNext = &type;
  MOEVK_TRY(vk_.vkCreateSemaphore(device_, &info, nullptr, &handle_));
  return {};
}

Status Timeline::wait(uint64_t value, uint64_t timeout_ns) const {
  VkSemaphoreWaitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
  info.semaphoreCount = 1;
  info.pSemaphores = &handle_;
  info.pValues = &value;
  const VkResult result = vk_.vkWaitSemaphores(device_, &info, timeout_ns);
  if (result == VK_SUCCESS) return {};
  if (result == VK_TIMEOUT)
    return {MOE_ERROR_TIMEOUT, "timeout_ns", "value " + std::to_string(value) + " was not reached in time"};
  return vk_status(result, "vkWaitSemaphores", __FILE__, __LINE__);
}

Result<uint64_t> Timeline::completed() const {
  uint64_t value = 0;
  MOEVK_TRY(vk_.vkGetSemaphoreCounterValue(device_, handle_, &value));
  return value;
}

Status CommandBuffer::open(uint32_t queue_family) {
  VkCommandPoolCreateInfo pool{};
  pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  pool.queueFamilyIndex = queue_family;
  MOEVK_TRY(vk_.vkCreateCommandPool(device_, &pool, nullptr, &pool_));
  VkCommandBufferAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  info.commandPool = pool_;
  info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  info.commandBufferCount = 1;
  MOEVK_TRY(vk_.vkAllocateCommandBuffers(device_, &info, &handle_));
  return {};
}

Status CommandBuffer::begin() {
  MOEVK_TRY(vk_.vkResetCommandPool(device_, pool_, 0));
  VkCommandBufferBeginInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
  info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  MOEVK_TRY(vk_.vkBeginCommandBuffer(handle_, &info));
  return {};
}

Status CommandBuffer::end() {
  MOEVK_TRY(vk_.vkEndCommandBuffer(handle_));
  return {};
}

VulkanDevice::VulkanDevice(std::shared_ptr<VulkanInstance> instance, ProbedDevice probed,
                           std::shared_ptr<SharedState> state)
    : instance_(std::move(instance)), probed_(std::move(probed)), state_(std::move(state)) {}

VulkanDevice::~VulkanDevice() {
  if (pipelines_ != nullptr) pipelines_->save();
  pipelines_.reset();
  allocator_.reset();
  if (owns_device_) vk_.vkDestroyDevice(device_, nullptr);
}

Status VulkanDevice::open(uint64_t budget_bytes) {
  MOE_RETURN_IF_ERROR(create_device());
  vk_.vkGetDeviceQueue(device_, probed_.queue_family, 0, &queue_);
  return start(budget_bytes);
}

Status VulkanDevice::adopt(const LentQueue& lent, uint64_t budget_bytes) {
  device_ = lent.device;
  queue_ = lent.queue;
  lent_ = lent;
  MOE_RETURN_IF_ERROR(vk_.load(instance_->vk.vkGetDeviceProcAddr, device_));
  return start(budget_bytes);
}

Status VulkanDevice::create_device() {
  const bool v12 = probed_.api_version >= VK_API_VERSION_1_2;
  const DeviceCaps& caps = probed_.caps;
  std::vector<const char*> extensions;
  if (!v12) extensions.push_back(VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME);
  if (!v12 && caps.buffer_device_address != 0) extensions.push_back(VK_KHR_BUFFER_DEVICE_ADDRESS_EXTENSION_NAME);
  if (!v12 && (caps.float_controls_rte != 0 || caps.float_controls_inf_nan != 0 || caps.unpack_half == 2)) {
    extensions.push_back(VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME);
  }
  if (probed_.api_version < VK_API_VERSION_1_3 && caps.integer_dot != 0) {
    extensions.push_back(VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
  }
  if (caps.push_descriptors != 0) extensions.push_back(VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME);
  if (probed_.memory_budget) extensions.push_back(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  if (probed_.creation_feedback && probed_.api_version < VK_API_VERSION_1_3) {
    extensions.push_back(VK_EXT_PIPELINE_CREATION_FEEDBACK_EXTENSION_NAME);
  }
  const ExternalMemoryCaps& external = probed_.external;
  if (external.host_pointer_alignment != 0) extensions.push_back(VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
  if (external.opaque_fd) extensions.push_back(VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME);
  if (external.dma_buf) extensions.push_back(VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME);
  if (external.win32) extensions.push_back("VK_KHR_external_memory_win32");

  VkPhysicalDeviceTimelineSemaphoreFeatures timeline{};
  timeline.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES;
  timeline.timelineSemaphore = VK_TRUE;
  VkPhysicalDeviceBufferDeviceAddressFeatures addresses{};
  addresses.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES;
  addresses.bufferDeviceAddress = VK_TRUE;
  if (caps.buffer_device_address != 0) timeline.pNext = &addresses;
  VkPhysicalDeviceShaderIntegerDotProductFeatures dots{};
  dots.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES;
  dots.shaderIntegerDotProduct = VK_TRUE;
  dots.pNext = timeline.pNext;
  if (caps.integer_dot != 0) timeline.pNext = &dots;
  VkPhysicalDeviceFeatures features{};
  features.shaderStorageBufferArrayDynamicIndexing = caps.storage_buffer_array_indexing != 0 ? VK_TRUE : VK_FALSE;

  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR reports{};
  reports.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR;
  reports.pipelineExecutableInfo = VK_TRUE;
  reports.pNext = &timeline;
  if (probed_.pipeline_reports) extensions.push_back(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);

  const float priority = 1.0f;
  VkDeviceQueueCreateInfo queue{};
  queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queue.queueFamilyIndex = probed_.queue_family;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  VkDeviceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.pNext = probed_.pipeline_reports ? static_cast<const void*>(&reports) : &timeline;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  info.pEnabledFeatures = &features;
  MOEVK_TRY(instance_->vk.vkCreateDevice(probed_.handle, &info, nullptr, &device_));
  owns_device_ = true;
  return vk_.load(instance_->vk.vkGetDeviceProcAddr, device_);
}

Status VulkanDevice::start(uint64_t budget_bytes) {
  const DeviceCaps& caps = probed_.caps;
  allocator_ = std::make_shared<GpuAllocator>();
  MOE_RETURN_IF_ERROR(allocator_->open(
      {instance_->handle, probed_.handle, device_, probed_.api_version, instance_->vk.vkGetInstanceProcAddr,
       instance_->vk.vkGetDeviceProcAddr, probed_.memory_budget,
       probed_.caps.device_local_bytes < probed_.info.memory_bytes ? probed_.caps.device_local_bytes : 0},
      caps, state_, budget_bytes));
  pipelines_ = std::make_unique<Pipelines>(vk_, device_, probed_, state_);
  return pipelines_->open();
}

Status VulkanDevice::check_lost() const {
  if (!lost_) return {};
  return {MOE_ERROR_DEVICE_LOST, "", "the device was lost; close it and open it again", VK_ERROR_DEVICE_LOST};
}

Status VulkanDevice::note(Status status) {
  if (status.code() == MOE_ERROR_DEVICE_LOST) lost_ = true;
  return status;
}

Status VulkanDevice::submit(VkCommandBuffer commands, const Timeline& timeline, uint64_t value,
                            const SubmitSync* sync) {
  MOE_RETURN_IF_ERROR(check_lost());
  VkTimelineSemaphoreSubmitInfo values{};
  values.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO;
  VkSubmitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
  info.pNext = &values;
  info.commandBufferCount = 1;
  info.pCommandBuffers = &commands;
  const VkSemaphore own = timeline.handle();
  std::vector<VkSemaphore> signals;
  std::vector<uint64_t> signal_values;
  VkFence fence = VK_NULL_HANDLE;
  if (sync == nullptr) {
    info.signalSemaphoreCount = 1;
    info.pSignalSemaphores = &own;
    values.pSignalSemaphoreValues = &value;
  } else {
    signals = sync->signals;
    signals.push_back(own);
    signal_values = sync->signal_values;
    signal_values.push_back(value);
    info.signalSemaphoreCount = static_cast<uint32_t>(signals.size());
    info.pSignalSemaphores = signals.data();
    values.pSignalSemaphoreValues = signal_values.data();
    info.waitSemaphoreCount = static_cast<uint32_t>(sync->waits.size());
    info.pWaitSemaphores = sync->waits.data();
    info.pWaitDstStageMask = sync->wait_stages.data();
    values.waitSemaphoreValueCount = info.waitSemaphoreCount;
    values.pWaitSemaphoreValues = sync->wait_values.data();
    fence = sync->fence;
  }
  values.signalSemaphoreValueCount = info.signalSemaphoreCount;
  const auto locked_submit = [&]() -> Status {
    const std::lock_guard lock(queue_mutex_);
    if (lent_.lock != nullptr) lent_.lock(lent_.user);
    const VkResult result = vk_.vkQueueSubmit(queue_, 1, &info, fence);
    if (lent_.unlock != nullptr) lent_.unlock(lent_.user);
    if (result != VK_SUCCESS) return vk_status(result, "vkQueueSubmit", __FILE__, __LINE__);
    return {};
  };
  ++state_->submits;
  return note(locked_submit());
}

Status VulkanDevice::run_now(const std::function<void(VkCommandBuffer)>& record) {
  CommandBuffer commands(vk_, device_);
  MOE_RETURN_IF_ERROR(commands.open(probed_.queue_family));
  Timeline timeline(vk_, device_);
  MOE_RETURN_IF_ERROR(timeline.open());
  MOE_RETURN_IF_ERROR(commands.begin());
  // Behind everything that this queue did before, whoever submitted it.
  const VkMemoryBarrier barrier{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, VK_ACCESS_MEMORY_WRITE_BIT,
                                VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT};
  vk_.vkCmdPipelineBarrier(commands.handle(), VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0,
                           1, &barrier, 0, nullptr, 0, nullptr);
  record(commands.handle());
  MOE_RETURN_IF_ERROR(commands.end());
  MOE_RETURN_IF_ERROR(submit(commands.handle(), timeline, 1));
  return note(timeline.wait(1, UINT64_MAX));
}

Status VulkanDevice::check_limits(const LayerSpec& spec) const {
  Result<WeightLayout> layout = make_weight_layout(spec, probed_.caps);
  return std::move(layout.status());
}

DeviceCaps VulkanDevice::planning_caps() const {
  DeviceCaps caps = probed_.caps;
  for (uint32_t i = 0; i < kKernelCount; ++i) {
    if ((struck_ >> i & 1) == 0 || is_struck(caps, kKernels[i].name)) continue;
    caps.struck_kernels += (caps.struck_kernels.empty() ? "" : "+") + std::string(kKernels[i].name);
  }
  return caps;
}

bool VulkanDevice::strike(KernelId kernel, const Status& why) {
  static_assert(kKernelCount <= 32);
  const bool passes = why.code() == MOE_ERROR_DEVICE_LOST || why.code() == MOE_ERROR_OUT_OF_HOST_MEMORY ||
                      why.code() == MOE_ERROR_OUT_OF_DEVICE_MEMORY;
  const uint32_t bit = 1u << static_cast<uint32_t>(kernel);
  if (passes) return false;
  if ((struck_.fetch_or(bit) & bit) != 0) return true;  // another thread was first
  state_->log(MOE_LOG_WARNING, probed_.caps.name + " cannot compile the kernel " +
                                   kKernels[static_cast<size_t>(kernel)].name +
                                   ", plans do without it from now on: " + why.text());
  return true;
}

Result<moe_estimate> VulkanDevice::estimate(const std::vector<LayerSpec>& specs, uint64_t max_tokens) const {
  moe_estimate estimate = moe_init<moe_estimate>();
  const DeviceCaps caps = planning_caps();
  for (const LayerSpec& spec : specs) {
    MOE_ASSIGN_OR_RETURN(const WeightLayout layout, make_weight_layout(spec, probed_.caps));
    MOE_ASSIGN_OR_RETURN(const uint64_t workspace, largest_workspace(spec, layout, caps, max_tokens));
    estimate.staging_bytes = std::max(estimate.staging_bytes, plan_upload(spec, layout, caps).staging_bytes);
    estimate.weight_bytes += layout.total_bytes(spec);
    estimate.workspace_bytes = std::max<uint64_t>(estimate.workspace_bytes, workspace);
    estimate.total_parameters += total_parameters(spec);
    estimate.active_parameters += active_parameters(spec);
  }
  return estimate;
}

Result<std::unique_ptr<WeightSink>> VulkanDevice::begin_weights(const LayerSpec& spec, const InPlaceWeights& in_place) {
  MOE_RETURN_IF_ERROR(check_lost());
  return make_vulkan_sink(self(), spec, in_place);
}

Status VulkanDevice::zero_fill(VkBuffer buffer) {
  return run_now([&](VkCommandBuffer commands) {
    vk_.vkCmdFillBuffer(commands, buffer, 0, VK_WHOLE_SIZE, 0);
    const VkMemoryBarrier barrier{
        VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, VK_ACCESS_TRANSFER_WRITE_BIT,
        VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_HOST_READ_BIT | VK_ACCESS_HOST_WRITE_BIT};
    vk_.vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT,
                             VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0,
                             nullptr, 0, nullptr);
  });
}

Result<std::shared_ptr<Buffer>> VulkanDevice::create_buffer(uint64_t bytes) {
  MOE_RETURN_IF_ERROR(check_lost());
  MOE_ASSIGN_OR_RETURN(GpuBuffer memory,
                       GpuBuffer::create(allocator_, bytes, GpuBuffer::Use::kDevice, "a host's buffer"));
  MOE_RETURN_IF_ERROR(zero_fill(memory.handle()));
  return std::shared_ptr<Buffer>(std::make_shared<VulkanBuffer>(self(), std::move(memory), bytes));
}

moe_memory_support VulkanDevice::memory_support(uint32_t kind) const { return external_memory_support(*this, kind); }

Result<std::shared_ptr<Buffer>> VulkanDevice::import_buffer(const moe_memory_desc& desc, moe_memory_info* info) {
  MOE_RETURN_IF_ERROR(check_lost());
  return import_vulkan_buffer(self(), desc, info);
}

Result<std::shared_ptr<Buffer>> VulkanDevice::create_exportable_buffer(uint32_t kind, uint64_t bytes) {
  MOE_RETURN_IF_ERROR(check_lost());
  MOE_ASSIGN_OR_RETURN(std::unique_ptr<ExternalBuffer> memory, ExternalBuffer::create_exportable(self(), kind, bytes));
  MOE_RETURN_IF_ERROR(zero_fill(memory->handle()));
  return std::shared_ptr<Buffer>(std::make_shared<VulkanBuffer>(self(), std::move(memory), 0, bytes));
}

Result<std::shared_ptr<Context>> VulkanDevice::create_context(const ContextDesc& desc) {
  MOE_RETURN_IF_ERROR(check_lost());
  return make_vulkan_context(self(), desc);
}

}  // namespace moevk
