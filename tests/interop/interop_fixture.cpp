// SPDX-License-Identifier: MIT
//
// Host and library side by side; at the end nothing may be left and no validation message may have come.
#include "tests/interop/interop_fixture.h"

#include <cstring>

#include "tests/conformance/random_layer.h"

namespace moe_interop {

namespace {

const moe::Library& library() {
  static const moe::Library library(MOEVK_TEST_LIBRARY);
  return library;
}

}  // namespace

const moe_api& api() { return *library().api(); }
const moe_vulkan_interop& interop() { return *library().extension<moe_vulkan_interop>(MOE_EXTENSION_VULKAN_INTEROP); }
const moe_external_memory& memory() { return *library().extension<moe_external_memory>(MOE_EXTENSION_EXTERNAL_MEMORY); }
const moe_introspection& introspection() {
  return *library().extension<moe_introspection>(MOE_EXTENSION_INTROSPECTION);
}

moe_conformance::LayerCase make_case(uint32_t experts, uint32_t top_k, uint32_t hidden, uint32_t intermediate,
                                     uint64_t tokens, uint64_t seed) {
  moe_conformance::LayerCase c =
      moe_conformance::softmax_layer(experts, top_k, hidden, intermediate, tokens, moe_conformance::Random(seed));
  c.desc.normalize = MOE_NORMALIZE_SUM_EPS;
  return c;
}

void InteropTest::SetUp() {
  const moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  EXPECT_OK(api().create_instance(&desc, &instance_, &error));
  ASSERT_NE(instance_, nullptr);
  uint32_t best = 0, count = 0;
  EXPECT_OK(api().choose_device(instance_, &best, &error));
  EXPECT_OK(api().get_device_count(instance_, &count, &error));
  if (best == count - 1) GTEST_SKIP() << "no Vulkan device: " << api().why_no_gpu(instance_);
  moe_device_info info = MOE_INIT(moe_device_info);
  EXPECT_OK(api().get_device_info(instance_, best, &info, &error));
  std::memcpy(uuid_, info.device_uuid, sizeof uuid_);
  moe_device_desc device = MOE_INIT(moe_device_desc);
  device.index = best;
  EXPECT_OK(api().open_device(instance_, &device, &owned_, &error));
  host_ = std::make_unique<VulkanHost>(&interop(), HostOptions{}, uuid_);
  imported_ = host_->import(instance_);
}

void InteropTest::TearDown() {
  for (moe_recording* recording : recordings_) interop().destroy_recording(recording);
  for (moe_layer* layer : layers_) api().destroy_layer(layer);
  for (Shared& one : shared_) {
    api().destroy_buffer(one.buffer);
    host_->destroy_buffer(one.host);
  }
  if (imported_ != nullptr) api().close_device(imported_);
  if (owned_ != nullptr) api().close_device(owned_);
  host_.reset();
  if (instance_ == nullptr) return;
  moe_statistics end = MOE_INIT(moe_statistics);
  EXPECT_OK(introspection().get_statistics(instance_, &end, &error));
  EXPECT_EQ(end.live_objects, 0u);
  EXPECT_EQ(end.allocated_bytes, 0u);
  EXPECT_EQ(end.validation_messages, 0u);
  EXPECT_EQ(validation_messages(), 0u) << validation_text();
  api().destroy_instance(instance_);
}

std::string InteropTest::caps_text(moe_device* device) {
  std::string text;
  const auto write = [](void* user, const char* part, uint64_t bytes) {
    static_cast<std::string*>(user)->append(part, bytes);
  };
  EXPECT_OK(introspection().get_caps_text(device, write, &text, &error));
  return text;
}

moe_layer* InteropTest::upload(moe_device* device, const moe_conformance::LayerCase& c) {
  layers_.push_back(moe_conformance::upload_layer(&api(), device, c).release());
  return layers_.back();
}

std::vector<float> InteropTest::run_on_context(moe_device* device, moe_layer* layer,
                                               const moe_conformance::LayerCase& c) {
  moe_context_desc desc = MOE_INIT(moe_context_desc);
  desc.max_tokens = c.tokens;
  moe_context* context = nullptr;
  EXPECT_OK(api().create_context(device, &desc, &context, &error));
  std::vector<float> y(c.tokens * c.desc.hidden);
  const moe_view x_view = moe::host_view(c.inputs.x.data(), MOE_DTYPE_F32, c.tokens, c.desc.hidden);
  const moe_view y_view = moe::host_view(y.data(), MOE_DTYPE_F32, c.tokens, c.desc.hidden);
  moe_call_args args = MOE_INIT(moe_call_args);
  args.tokens = c.tokens;
  args.x = &x_view;
  args.y = &y_view;
  uint64_t value = 0;
  EXPECT_OK(api().forward(context, layer, &args, &error));
  EXPECT_OK(api().flush(context, &value, &error));
  EXPECT_OK(api().wait(context, value, UINT64_MAX, &error));
  api().destroy_context(context);
  return y;
}

InteropTest::Shared InteropTest::share(uint64_t bytes, VkBufferUsageFlags usage) {
  Shared one;
  one.host = host_->create_buffer(bytes, usage);
  one.buffer = import_buffer(&memory(), imported_, one.host, 0, bytes);
  shared_.push_back(one);
  return one;
}

moe_recording* InteropTest::record_forward(moe_layer* layer, const moe_conformance::LayerCase& c, const Shared& x,
                                           const Shared& y, moe_buffer* workspace, uint64_t workspace_bytes) {
  return record_on(layer, moe::buffer_view(x.buffer, 0, MOE_DTYPE_F32, c.tokens, c.desc.hidden),
                   moe::buffer_view(y.buffer, 0, MOE_DTYPE_F32, c.tokens, c.desc.hidden), nullptr, workspace,
                   workspace_bytes);
}

moe_recording* InteropTest::record_on(moe_layer* layer, const moe_view& x, const moe_view& y, const moe_view* ids,
                                      moe_buffer* workspace, uint64_t workspace_bytes) {
  moe_call_args args = MOE_INIT(moe_call_args);
  args.tokens = x.rows;
  args.x = &x;
  args.y = &y;
  args.ids = ids;
  moe_recording_desc desc = MOE_INIT(moe_recording_desc);
  desc.args = &args;
  desc.workspace = workspace;
  desc.workspace_bytes = workspace_bytes;
  moe_recording* recording = nullptr;
  EXPECT_OK(interop().create_recording(layer, &desc, &recording, &error));
  if (recording != nullptr) recordings_.push_back(recording);
  return recording;
}

}  // namespace moe_interop
