// SPDX-License-Identifier: MIT
//
// Flushes of a context that wait for and signal a host's semaphores, timeline and binary, and its fence.
#include <cstring>

#include "tests/interop/interop_fixture.h"

namespace moe_interop {
namespace {

using moe_conformance::LayerCase;

class Submit : public InteropTest {
 protected:
  void SetUp() override {
    InteropTest::SetUp();
    if (imported_ == nullptr) return;
    expected_ = run_on_context(owned_, upload(owned_, case_), case_);
    x_ = share(expected_.size() * 4);
    y_ = share(expected_.size() * 4);
    layer_ = upload(imported_, case_);
    moe_context_desc desc = MOE_INIT(moe_context_desc);
    desc.max_tokens = case_.tokens;
    EXPECT_OK(api().create_context(imported_, &desc, &context_, &error));
  }
  void TearDown() override {
    if (context_ != nullptr) api().destroy_context(context_);
    InteropTest::TearDown();
  }
  void encode() {
    const moe_view x = moe::buffer_view(x_.buffer, 0, MOE_DTYPE_F32, case_.tokens, 32);
    const moe_view y = moe::buffer_view(y_.buffer, 0, MOE_DTYPE_F32, case_.tokens, 32);
    moe_call_args args = MOE_INIT(moe_call_args);
    args.tokens = case_.tokens;
    args.x = &x;
    args.y = &y;
    EXPECT_OK(api().forward(context_, layer_, &args, &error));
  }
  VkSemaphore semaphore(VkSemaphoreType type) {
    VkSemaphoreTypeCreateInfo kind{};
    kind.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
    kind.semaphoreType = type;
    VkSemaphoreCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
    info.pNext = &kind;
    VkSemaphore out = VK_NULL_HANDLE;
    MOE_VK(host_->vk().vkCreateSemaphore(host_->device(), &info, nullptr, &out));
    return out;
  }
  void destroy(VkSemaphore semaphore) { host_->vk().vkDestroySemaphore(host_->device(), semaphore, nullptr); }
  std::vector<float> y() const { return {y_.floats(), y_.floats() + expected_.size()}; }

  LayerCase case_ = make_case(12, 2, 32, 24, 9, 6);
  std::vector<float> expected_;
  Shared x_, y_;
  moe_layer* layer_ = nullptr;
  moe_context* context_ = nullptr;
};

TEST_F(Submit, WaitsForAndSignalsTimelines) {
  VkSemaphore semaphores[2] = {semaphore(VK_SEMAPHORE_TYPE_TIMELINE), semaphore(VK_SEMAPHORE_TYPE_TIMELINE)};
  encode();
  moe_vulkan_semaphore wait{}, signal{};
  wait.semaphore = semaphores[0];
  wait.value = 5;
  wait.stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
  signal.semaphore = semaphores[1];
  signal.value = 9;
  moe_vulkan_submit submit = MOE_INIT(moe_vulkan_submit);
  submit.waits = &wait;
  submit.signals = &signal;
  submit.wait_count = submit.signal_count = 1;
  uint64_t value = 0;
  EXPECT_OK(interop().flush(context_, &submit, &value, &error));
  moe_error error = MOE_INIT(moe_error);
  EXPECT_EQ(api().wait(context_, value, 20'000'000, &error), MOE_ERROR_TIMEOUT)
      << "nothing runs before the wait's value";
  std::memcpy(x_.host.mapped, case_.inputs.x.data(), expected_.size() * 4);  // still in time
  VkSemaphoreSignalInfo go{};
  go.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO;
  go.semaphore = semaphores[0];
  go.value = 5;
  MOE_VK(host_->vk().vkSignalSemaphore(host_->device(), &go));
  const uint64_t nine = 9;
  VkSemaphoreWaitInfo done{};
  done.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
  done.semaphoreCount = 1;
  done.pSemaphores = &semaphores[1];
  done.pValues = &nine;
  MOE_VK(host_->vk().vkWaitSemaphores(host_->device(), &done, UINT64_MAX));
  EXPECT_EQ(y(), expected_);
  VkSemaphore own = VK_NULL_HANDLE;
  EXPECT_OK(interop().get_timeline(context_, &own, &error));
  uint64_t reached = 0;
  EXPECT_OK(api().wait(context_, value, UINT64_MAX, &error));
  MOE_VK(host_->vk().vkGetSemaphoreCounterValue(host_->device(), own, &reached));
  EXPECT_EQ(reached, value);
  for (VkSemaphore one : semaphores) destroy(one);
}

TEST_F(Submit, BinarySemaphoresAndAFence) {
  std::memcpy(x_.host.mapped, case_.inputs.x.data(), expected_.size() * 4);
  VkSemaphore between = semaphore(VK_SEMAPHORE_TYPE_BINARY);
  VkFenceCreateInfo fence_info{};
  fence_info.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
  VkFence fence = VK_NULL_HANDLE;
  MOE_VK(host_->vk().vkCreateFence(host_->device(), &fence_info, nullptr, &fence));
  moe_vulkan_semaphore one{};
  one.semaphore = between;
  uint64_t value = 0;
  encode();
  moe_vulkan_submit submit = MOE_INIT(moe_vulkan_submit);
  submit.signals = &one;
  submit.signal_count = 1;
  EXPECT_OK(interop().flush(context_, &submit, &value, &error));
  encode();
  submit = MOE_INIT(moe_vulkan_submit);
  submit.waits = &one;
  submit.wait_count = 1;
  submit.fence = fence;
  EXPECT_OK(interop().flush(context_, &submit, &value, &error));
  MOE_VK(host_->vk().vkWaitForFences(host_->device(), 1, &fence, VK_TRUE, UINT64_MAX));
  EXPECT_EQ(y(), expected_);
  EXPECT_OK(api().wait(context_, value, UINT64_MAX, &error));
  host_->vk().vkDestroyFence(host_->device(), fence, nullptr);
  destroy(between);
}

TEST_F(Submit, BadArgumentsAreRefusedAndNothingIsDropped) {
  std::memcpy(x_.host.mapped, case_.inputs.x.data(), expected_.size() * 4);
  encode();
  uint64_t value = 0;
  moe_vulkan_submit submit = MOE_INIT(moe_vulkan_submit);
  submit.wait_count = 1;
  EXPECT_REFUSED(MOE_ERROR_INVALID_ARGUMENT, "submit.waits: is NULL",
                 interop().flush(context_, &submit, &value, &error));
  moe_vulkan_semaphore none{};
  submit.waits = &none;
  EXPECT_REFUSED(MOE_ERROR_INVALID_ARGUMENT, "submit.waits[0].semaphore",
                 interop().flush(context_, &submit, &value, &error));
  EXPECT_REFUSED(MOE_ERROR_INVALID_ARGUMENT, "submit: is NULL", interop().flush(context_, nullptr, &value, &error));
  EXPECT_OK(api().flush(context_, &value, &error));
  EXPECT_OK(api().wait(context_, value, UINT64_MAX, &error));
  EXPECT_EQ(y(), expected_);
}

}  // namespace
}  // namespace moe_interop
