// SPDX-License-Identifier: MIT
//
// Pipelines by kernel and specialization constants, their layouts, and the cache on disk. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/probe_caps.h"
#include "runtime/plan.h"
#include "runtime/shared_state.h"

namespace moevk {

struct Pipeline {
  VkPipeline handle = VK_NULL_HANDLE;
  VkPipelineLayout layout = VK_NULL_HANDLE;
};

class Pipelines {
 public:
  Pipelines(const DeviceFunctions& vk, VkDevice device, const ProbedDevice& probed, std::shared_ptr<SharedState> state);
  Pipelines(const Pipelines&) = delete;
  Pipelines& operator=(const Pipelines&) = delete;
  ~Pipelines();

  Status open();
  Result<Pipeline> get(const Dispatch& dispatch);
  // Storage buffers of set 0; push descriptors where the device has them.
  Result<VkDescriptorSetLayout> buffers_layout(uint32_t bindings);
  VkDescriptorSetLayout windows_layout() const { return windows_layout_; }
  // Writes the cache to disk if there is anything new. A cache that cannot be written is a warning.
  void save();

 private:
  struct Key {
    KernelId kernel;
    std::array<uint32_t, kConstantCount> constants;
    bool operator<(const Key& o) const { return kernel != o.kernel ? kernel < o.kernel : constants < o.constants; }
  };
  Result<VkDescriptorSetLayout> buffers_layout_locked(uint32_t bindings);
  Result<VkPipelineLayout> pipeline_layout(const KernelInfo& kernel);
  Result<VkPipeline> create(const Dispatch& dispatch, VkPipelineLayout layout);
  std::string cache_path() const;

  const DeviceFunctions& vk_;
  VkDevice device_;
  const ProbedDevice& probed_;
  std::shared_ptr<SharedState> state_;
  std::mutex mutex_;
  std::map<Key, Pipeline> pipelines_;
  std::map<uint32_t, VkDescriptorSetLayout> buffers_layouts_;               // by number of bindings
  std::map<std::pair<uint32_t, bool>, VkPipelineLayout> pipeline_layouts_;  // and windows
  VkDescriptorSetLayout windows_layout_ = VK_NULL_HANDLE;
  VkPipelineCache cache_ = VK_NULL_HANDLE;
  bool unsaved_ = false;
};

}  // namespace moevk
