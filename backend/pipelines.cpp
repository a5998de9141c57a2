// SPDX-License-Identifier: MIT
//
// Creates pipelines on demand. Workgroups are WORKGROUP invocations and shared memory is at most 16 KiB everywhere, so
// any device above the floor takes every kernel.
#include "backend/pipelines.h"

#include <chrono>

#include "backend/cache_file.h"
#include "backend/spirv_float_controls.h"
#include "backend/spirv_integer_dot.h"
#include "backend/spirv_prune.h"

namespace moevk {

Pipelines::Pipelines(const DeviceFunctions& vk, VkDevice device, const ProbedDevice& probed,
                     std::shared_ptr<SharedState> state)
    : vk_(vk), device_(device), probed_(probed), state_(std::move(state)) {}

Pipelines::~Pipelines() {
  for (const auto& [key, pipeline] : pipelines_) vk_.vkDestroyPipeline(device_, pipeline.handle, nullptr);
  for (const auto& [key, layout] : pipeline_layouts_) vk_.vkDestroyPipelineLayout(device_, layout, nullptr);
  for (const auto& [key, layout] : buffers_layouts_) vk_.vkDestroyDescriptorSetLayout(device_, layout, nullptr);
  if (windows_layout_ != VK_NULL_HANDLE) vk_.vkDestroyDescriptorSetLayout(device_, windows_layout_, nullptr);
  if (cache_ != VK_NULL_HANDLE) vk_.vkDestroyPipelineCache(device_, cache_, nullptr);
}

std::string Pipelines::cache_path() const {
  const Options& options = state_->options();
  if (!options.cache || options.cache_dir.empty()) return "";
  return options.cache_dir + "/" + cache_file_name(probed_);
}

Status Pipelines::open() {
  const std::vector<char> stored = read_cache_file(cache_path());
  VkPipelineCacheCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO;
  info.initialDataSize = stored.size();
  info.pInitialData = stored.data();
  MOEVK_TRY(vk_.vkCreatePipelineCache(device_, &info, nullptr, &cache_));

  VkDescriptorSetLayoutBinding binding{0, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, kNumberMaxBoundWindows,
                                       VK_SHADER_STAGE_COMPUTE_BIT, nullptr};
  VkDescriptorSetLayoutCreateInfo layout{};
  layout.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
  layout.bindingCount = 1;
  layout.pBindings = &binding;
  if (probed_.caps.buffer_device_address == 0) {
    MOEVK_TRY(vk_.vkCreateDescriptorSetLayout(device_, &layout, nullptr, &windows_layout_));
  }
  return {};
}

void Pipelines::save() {
  const std::lock_guard lock(mutex_);
  const std::string path = cache_path();
  if (!unsaved_ || path.empty()) return;
  size_t size = 0;
  VkResult result = vk_.vkGetPipelineCacheData(device_, cache_, &size, nullptr);
  std::vector<char> data(size);
  if (result == VK_SUCCESS) result = vk_.vkGetPipelineCacheData(device_, cache_, &size, data.data());
  data.resize(size);
  const std::string problem = result == VK_SUCCESS
                                  ? write_cache_file(path, data)
                                  : "vkGetPipelineCacheData failed with VkResult " + std::to_string(result);
  if (!problem.empty()) {  // tried again at the next occasion
    state_->log(MOE_LOG_WARNING, "the pipeline cache was not written: " + problem);
    return;
  }
  unsaved_ = false;
}

Result<VkDescriptorSetLayout> Pipelines::buffers_layout(uint32_t bindings) {
  const std::lock_guard lock(mutex_);
  return buffers_layout_locked(bindings);
}

Result<VkDescriptorSetLayout> Pipelines::buffers_layout_locked(uint32_t bindings) {
  if (const auto found = buffers_layouts_.find(bindings); found != buffers_layouts_.end()) return found->second;
  std::vector<VkDescriptorSetLayoutBinding> list;
  for (uint32_t i = 0; i < bindings; ++i) {
    list.push_back({i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr});
  }
  VkDescriptorSetLayoutCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
  info.bindingCount = bindings;
  info.pBindings = list.data();
  if (probed_.caps.push_descriptors != 0) info.flags = VK_DESCRIPTOR_SET_LAYOUT_CREATE_PUSH_DESCRIPTOR_BIT_KHR;
  VkDescriptorSetLayout layout = VK_NULL_HANDLE;
  MOEVK_TRY(vk_.vkCreateDescriptorSetLayout(device_, &info, nullptr, &layout));
  buffers_layouts_[bindings] = layout;
  return layout;
}

Result<VkPipelineLayout> Pipelines::pipeline_layout(const KernelInfo& kernel) {
  const bool windows = kernel.reads_weights && probed_.caps.buffer_device_address == 0;
  const auto key = std::make_pair(kernel.bindings, windows);
  if (const auto found = pipeline_layouts_.find(key); found != pipeline_layouts_.end()) return found->second;
  MOE_ASSIGN_OR_RETURN(const VkDescriptorSetLayout buffers, buffers_layout_locked(kernel.bindings));
  const VkDescriptorSetLayout sets[2] = {buffers, windows_layout_};
  const VkPushConstantRange range{VK_SHADER_STAGE_COMPUTE_BIT, 0, 128};
  VkPipelineLayoutCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
  info.setLayoutCount = windows ? 2 : 1;
  info.pSetLayouts = sets;
  info.pushConstantRangeCount = 1;
  info.pPushConstantRanges = &range;
  VkPipelineLayout layout = VK_NULL_HANDLE;
  MOEVK_TRY(vk_.vkCreatePipelineLayout(device_, &info, nullptr, &layout));
  pipeline_layouts_[key] = layout;
  return layout;
}

Result<Pipeline> Pipelines::get(const Dispatch& dispatch) {
  const std::lock_guard lock(mutex_);
  const Key key{dispatch.kernel, dispatch.constants};
  if (const auto found = pipelines_.find(key); found != pipelines_.end()) return found->second;
  MOE_ASSIGN_OR_RETURN(const VkPipelineLayout layout, pipeline_layout(kKernels[static_cast<size_t>(dispatch.kernel)]));
  MOE_ASSIGN_OR_RETURN(const VkPipeline handle, create(dispatch, layout));
  const Pipeline pipeline{handle, layout};
  pipelines_[key] = pipeline;
  return pipeline;
}

Result<VkPipeline> Pipelines::create(const Dispatch& dispatch, VkPipelineLayout layout) {
  const KernelInfo& kernel = kKernels[static_cast<size_t>(dispatch.kernel)];
  const size_t variant = kernel.reads_weights && probed_.caps.buffer_device_address != 0 ? 1 : 0;
  const std::vector<uint32_t> pruned = without_unused_dots(
      prune_spirv(kernel.code[variant], kernel.words[variant], dispatch.constants.data(), dispatch.constants.size()));
  const std::vector<uint32_t> code = with_float_controls(
      pruned.data(), pruned.size(),
      {probed_.caps.float_controls_rte != 0, probed_.caps.float_controls_inf_nan != 0, probed_.caps.unpack_half == 2});
  VkShaderModuleCreateInfo module_info{};
  module_info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  module_info.codeSize = code.size() * 4;
  module_info.pCode = code.data();
  VkShaderModule module = VK_NULL_HANDLE;
  MOEVK_TRY(vk_.vkCreateShaderModule(device_, &module_info, nullptr, &module));

  std::array<VkSpecializationMapEntry, kConstantCount> entries;
  for (uint32_t i = 0; i < kConstantCount; ++i) entries[i] = {i, i * 4, 4};
  const VkSpecializationInfo constants{kConstantCount, entries.data(), sizeof dispatch.constants,
                                       dispatch.constants.data()};
  VkPipelineCreationFeedback feedback{};
  VkPipelineCreationFeedback stage_feedback{};
  VkPipelineCreationFeedbackCreateInfo feedback_info{};
  feedback_info.sType = VK_STRUCTURE_TYPE_PIPELINE_CREATION_FEEDBACK_CREATE_INFO;
  feedback_info.pPipelineCreationFeedback = &feedback;
  feedback_info.pipelineStageCreationFeedbackCount = 1;
  feedback_info.pPipelineStageCreationFeedbacks = &stage_feedback;
  VkComputePipelineCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
  info.pNext = probed_.creation_feedback ? &feedback_info : nullptr;
  if (probed_.pipeline_reports) {
    info.flags =
        VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
  }
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module;
  info.stage.pName = "main";
  info.stage.pSpecializationInfo = &constants;
  info.layout = layout;
  VkPipeline pipeline = VK_NULL_HANDLE;
  const auto begin = std::chrono::steady_clock::now();
  const VkResult result = vk_.vkCreateComputePipelines(device_, cache_, 1, &info, nullptr, &pipeline);
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  vk_.vkDestroyShaderModule(device_, module, nullptr);
  if (result != VK_SUCCESS || pipeline == VK_NULL_HANDLE) {
    return vk_status(result != VK_SUCCESS ? result : VK_ERROR_UNKNOWN,
                     (std::string("vkCreateComputePipelines of ") + kernel.name).c_str(), __FILE__, __LINE__);
  }
  unsaved_ = true;
  ++state_->pipelines_created;
  state_->pipeline_microseconds += static_cast<uint64_t>(took.count());
  constexpr VkPipelineCreationFeedbackFlags kHit =
      VK_PIPELINE_CREATION_FEEDBACK_VALID_BIT | VK_PIPELINE_CREATION_FEEDBACK_APPLICATION_PIPELINE_CACHE_HIT_BIT;
  if ((feedback.flags & kHit) == kHit) ++state_->pipelines_from_cache;
  if (state_->options().trace_timing) {
    state_->log(MOE_LOG_TRACE,
                std::string("timing: pipeline ") + kernel.name + " took " + std::to_string(took.count()) + " us");
  }
  return pipeline;
}

}  // namespace moevk
