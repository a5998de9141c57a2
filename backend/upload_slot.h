// SPDX-License-Identifier: MIT
//
// In:  bytes that the host puts into staging memory, and where in the weights' windows they belong.
// Out: one submission that takes all of them there: copies, and rows that the kernel pack_rows turns.
// Why: an upload has two of these. Commands are recorded when a slot is full, so that rows that follow each other are one
//      dispatch, and the host never waits for a row.
#pragma once

#include <memory>

#include "backend/descriptor_sets.h"
#include "runtime/upload_plan.h"

namespace moevk {

class UploadSlot {
 public:
  explicit UploadSlot(VulkanDevice* device)
      : device_(device), commands_(device->vk(), device->handle()), sets_(device) {}

  // pack: of the kernel pack_rows, where the plan needs it.
  Status open(const UploadPlan& plan, const Pipeline& pack);
  // Waits until the device is done with what was submitted; the slot is then empty.
  Status reuse(const Timeline& timeline);
  // Of the next piece of work.
  uint64_t room() const { return kUploadSlotBytes - begin(); }
  // Memory for `bytes` that go to byte `offset` of `to` as they are; at most room().
  std::byte* copy(uint64_t bytes, VkBuffer to, uint64_t offset);
  // Memory for `rows` rows, at most upload.most_rows, that arrive packed at byte `offset` of `to`; at most room().
  std::byte* pack(const MatrixUpload& upload, uint32_t rows, VkBuffer to, uint64_t offset);
  // Later submissions of the queue see what this one wrote.
  Status submit(const Timeline& timeline, uint64_t value);

 private:
  struct Part {
    const MatrixUpload* upload;  // null: a copy
    uint32_t rows;
    uint64_t from;  // byte of the slot
    uint64_t bytes;
    VkBuffer to;
    uint64_t offset;
    uint64_t written;  // bytes
  };
  struct Bound {
    VkDescriptorBufferInfo from, to;
    Dispatch dispatch;
  };

  uint64_t begin() const { return (used_ + 15) / 16 * 16; }
  std::byte* add(const Part& part);
  Bound bind(const Part& part) const;
  void record_copies() const;
  Status record_packing();
  void barrier_to_kernels(VkPipelineStageFlags from, VkAccessFlags written) const;

  VulkanDevice* device_;
  GpuBuffer staging_, twin_;
  CommandBuffer commands_;
  DescriptorSets sets_;
  Pipeline pack_;
  uint64_t alignment_ = 0;  // of what it binds
  std::vector<Part> parts_;
  uint64_t used_ = 0;
  uint64_t value_ = 0;  // of the submission that reads it
};

}  // namespace moevk
