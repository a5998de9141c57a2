// SPDX-License-Identifier: MIT
//
// Contexts over time: abort, waiting, a device that is full, the host's own workspace, who may be
// destroyed before whom, and what the counters say. Nothing here depends on how fast anything is.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "tests/abi/call_fixture.h"
#include "tests/support/system.h"

namespace moe_abi_tests {
namespace {

class LifetimeTest : public CallTest {};
MOE_ON_BOTH_DEVICES(LifetimeTest);

TEST_P(LifetimeTest, AbortDropsWhatWasEncoded) {
  GoodCall dropped(small_), kept(small_);
  uint64_t value = 0;
  EXPECT_WORKS(api().abort(context_, &error));  // nothing there
  EXPECT_WORKS(api().forward(context_, layer_, &dropped.args, &error));
  EXPECT_WORKS(api().forward(context_, layer_, &dropped.args, &error));
  EXPECT_WORKS(api().abort(context_, &error));
  EXPECT_WORKS(api().forward(context_, layer_, &kept.args, &error));
  EXPECT_WORKS(api().flush(context_, &value, &error));
  EXPECT_WORKS(api().abort(context_, &error));  // what is submitted stays
  EXPECT_WORKS(api().wait(context_, value, UINT64_MAX, &error));
  expect_right(kept.y_data);
  EXPECT_EQ(dropped.y_data, std::vector<float>(40, -1.0f));
}

TEST_P(LifetimeTest, WaitAndCompleted) {
  uint64_t first = 0, second = 0, completed = 99;
  GoodCall a(small_), b(small_);
  EXPECT_WORKS(api().get_completed(context_, &completed, &error));
  EXPECT_EQ(completed, 0u);
  EXPECT_WORKS(api().wait(context_, 0, 0, &error));
  EXPECT_WORKS(api().forward(context_, layer_, &a.args, &error));
  EXPECT_WORKS(api().flush(context_, &first, &error));
  EXPECT_WORKS(api().forward(context_, layer_, &b.args, &error));
  EXPECT_WORKS(api().flush(context_, &second, &error));
  EXPECT_EQ(first, 1u);
  EXPECT_EQ(second, 2u);
  // Whether it is done already is not known; both answers are right, and both leave it to be waited
  // for.
  moe_error late = dirty_error();
  const moe_status status = api().wait(context_, second, 0, &late);
  if (status != MOE_OK) {
    EXPECT_TRUE(failed_with(status, late, MOE_ERROR_TIMEOUT, "", "time|reached"));
  }
  EXPECT_WORKS(api().wait(context_, second, UINT64_MAX, &error));
  EXPECT_WORKS(api().wait(context_, first, 0, &error));
  EXPECT_WORKS(api().wait(context_, second, 0, &error));
  EXPECT_WORKS(api().get_completed(context_, &completed, &error));
  EXPECT_EQ(completed, second);
  expect_right(a.y_data);
  expect_right(b.y_data);
  // A value that no flush has given is never reached: told at once, whatever the timeout.
  EXPECT_FAILS(INVALID_ARGUMENT, "value", "3", api().wait(context_, second + 1, UINT64_MAX, &error));
}

TEST_P(LifetimeTest, ForwardsInFlightAreBounded) {
  // More flushes than two in flight, and many calls in one flush, without a wait between.
  std::vector<std::unique_ptr<GoodCall>> calls;
  uint64_t value = 0;
  for (int flush = 0; flush < 6; ++flush) {
    for (int i = 0; i < 5; ++i) {
      calls.push_back(std::make_unique<GoodCall>(small_));
      EXPECT_WORKS(api().forward(context_, layer_, &calls.back()->args, &error));
    }
    EXPECT_WORKS(api().flush(context_, &value, &error));
  }
  EXPECT_WORKS(api().wait(context_, value, UINT64_MAX, &error));
  for (const auto& call : calls) expect_right(call->y_data);
}

TEST_P(LifetimeTest, HostInputsAreNotWritten) {
  GoodCall call(small_);
  uint64_t value = 0;
  EXPECT_WORKS(api().forward(context_, layer_, &call.args, &error));
  EXPECT_WORKS(api().flush(context_, &value, &error));
  EXPECT_WORKS(api().wait(context_, value, UINT64_MAX, &error));
  expect_right(call.y_data);
  EXPECT_EQ(call.x_data, small_.inputs.x) << "inputs are not written";
}

TEST_P(LifetimeTest, BadContexts) {
  moe_context* out = nullptr;
  moe_context_desc desc = MOE_INIT(moe_context_desc);
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.max_tokens", "0|1", api().create_context(device_, &desc, &out, &error));
  desc.max_tokens = 5;
  EXPECT_FAILS(INVALID_ARGUMENT, "device", "NULL", api().create_context(nullptr, &desc, &out, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "desc", "NULL", api().create_context(device_, nullptr, &out, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "out", "NULL", api().create_context(device_, &desc, nullptr, &error));
  desc.reserved = 1;
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.reserved", "0", api().create_context(device_, &desc, &out, &error));
  desc.reserved = 0;
  desc.flushes_in_flight = 0xffffffffu;
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.flushes_in_flight", "64|many|flight",
               api().create_context(device_, &desc, &out, &error));
  desc.flushes_in_flight = 0;
  desc.workspace_bytes = 1024;
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.workspace", "NULL", api().create_context(device_, &desc, &out, &error));
  desc.workspace = make_buffer(512);
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.workspace_bytes", "512", api().create_context(device_, &desc, &out, &error));
  desc.workspace = reinterpret_cast<moe_buffer*>(layer_);
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.workspace", "kind", api().create_context(device_, &desc, &out, &error));
  moe_device* other = nullptr;
  EXPECT_WORKS(status_of_open(device_index_, &other, &error));
  moe_buffer* foreign = nullptr;
  EXPECT_WORKS(api().create_buffer(other, 1024, &foreign, &error));
  desc.workspace = foreign;
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.workspace", "device", api().create_context(device_, &desc, &out, &error));
  EXPECT_EQ(out, nullptr);
  api().destroy_buffer(foreign);
  api().close_device(other);
  EXPECT_FAILS(INVALID_ARGUMENT, "layer", "NULL", api().prepare(nullptr, 1, 2, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "first_tokens", "1", api().prepare(layer_, 0, 2, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "first_tokens", "last", api().prepare(layer_, 3, 2, &error));
  EXPECT_WORKS(api().prepare(layer_, 1, 5, &error));
}

TEST_P(LifetimeTest, WorkspaceOfTheHost) {
  const moe_layer_desc* const descs[] = {&small_.desc};
  moe_estimate estimate = MOE_INIT(moe_estimate);
  EXPECT_WORKS(api().estimate(device_, descs, 1, 5, &estimate, &error));
  moe_context_desc desc = MOE_INIT(moe_context_desc);
  desc.max_tokens = 5;
  desc.flushes_in_flight = 1;
  desc.workspace_offset_bytes = 256;
  desc.workspace_bytes = std::max<uint64_t>(estimate.workspace_bytes, 256);
  desc.workspace = make_buffer(256 + desc.workspace_bytes);
  moe_context* context = nullptr;
  EXPECT_WORKS(api().create_context(device_, &desc, &context, &error));
  contexts_.push_back(context);
  std::swap(context, context_);
  expect_context_usable();
  std::swap(context, context_);
  if (estimate.workspace_bytes <= 256) return;  // the reference needs hardly any
  desc.workspace_bytes = 256;
  moe_context* small = nullptr;
  EXPECT_WORKS(api().create_context(device_, &desc, &small, &error));
  contexts_.push_back(small);
  const GoodCall call(small_);
  moe_error error = dirty_error();
  const moe_status status = api().forward(small, layer_, &call.args, &error);
  EXPECT_NE(status, MOE_OK);
  EXPECT_TRUE(failed_with(status, error, status, "", "workspace")) << "a workspace that is too small";
}

TEST_P(LifetimeTest, FullDevice) {
  constexpr uint64_t kMiB = 1 << 20;
  moe_device* const roomy = device_;
  device_ = nullptr;
  open_device(16 * kMiB);
  const moe_statistics before = statistics();
  moe_buffer* buffer = nullptr;
  EXPECT_FAILS(OUT_OF_DEVICE_MEMORY, "", "memory|budget", api().create_buffer(device_, 17 * kMiB, &buffer, &error));
  EXPECT_FAILS(OUT_OF_DEVICE_MEMORY, "", "memory|budget",
               api().create_buffer(device_, uint64_t{1} << 50, &buffer, &error));
  EXPECT_EQ(buffer, nullptr);
  moe_layer_desc large = small_.desc;
  large.experts = 64;
  large.hidden = large.intermediate = 512;  // 192 MiB of weights
  moe_upload* upload = nullptr;
  EXPECT_FAILS(OUT_OF_DEVICE_MEMORY, "", "memory|budget",
               api().begin_weights(device_, &large, nullptr, &upload, &error));
  EXPECT_EQ(upload, nullptr);
  EXPECT_EQ(statistics().allocated_bytes, before.allocated_bytes) << "a refused allocation leaves something behind";
  EXPECT_EQ(statistics().live_objects, before.live_objects);
  expect_usable("after a layer that did not fit");
  // Fill it up by and by: what fits is given, then the refusal comes, and what is freed can be had
  // again.
  std::vector<moe_buffer*> parts;
  moe_status status = MOE_OK;
  while (parts.size() < 17) {
    moe_error error = dirty_error();
    status = api().create_buffer(device_, kMiB, &buffer, &error);
    if (status != MOE_OK) {
      EXPECT_TRUE(failed_with(status, error, MOE_ERROR_OUT_OF_DEVICE_MEMORY, "", "memory|budget"));
      break;
    }
    parts.push_back(buffer);
  }
  EXPECT_EQ(status, MOE_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_GE(parts.size(), 8u);
  for (moe_buffer* part : parts) api().destroy_buffer(part);
  expect_usable("after the device was filled and emptied");
  api().close_device(device_);
  device_ = roomy;
}

TEST_P(LifetimeTest, ACacheThatCannotBeWrittenIsTriedAgain) {
  if (GetParam()) GTEST_SKIP() << "the reference has no pipelines";
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("moevk-cache-" + std::to_string(moe_tests::process_id()));
  fs::remove_all(folder);
  std::ofstream(folder) << "a file where the folder should be";
  moe_instance* const outer = instance_;
  moe_device* const outer_device = device_;
  const char* before = std::getenv("MOEVK_CACHE_DIR");
  const std::string old = before != nullptr ? before : "";
  moe_tests::set_environment("MOEVK_CACHE_DIR", moe_tests::utf8_of(folder).c_str());
  moe_tests::set_environment("MOEVK_CACHE", "1");
  open_instance();
  open_device();
  {
    const auto layer = moe_conformance::upload_layer(&api(), device_, small_);
    EXPECT_WORKS(api().prepare(layer.get(), 1, 1, &error));
    EXPECT_NE(log_.text.find("the pipeline cache was not written"), std::string::npos) << log_.text;
    fs::remove(folder);
    EXPECT_WORKS(api().prepare(layer.get(), 1, 1, &error));
    EXPECT_TRUE(fs::is_directory(folder) && !fs::is_empty(folder)) << log_.text;
  }
  api().close_device(device_);
  api().destroy_instance(instance_);
  device_ = outer_device;
  instance_ = outer;
  before != nullptr ? moe_tests::set_environment("MOEVK_CACHE_DIR", old.c_str())
                    : moe_tests::unset_environment("MOEVK_CACHE_DIR");
  moe_tests::unset_environment("MOEVK_CACHE");
  fs::remove_all(folder);
}

TEST_P(LifetimeTest, AnyOrderOfDestruction) {
  std::array<int, 5> order = {0, 1, 2, 3, 4};  // instance, device, layer, buffer, context
  int count = 0;
  do {
    // A third of the orders, which still has every object first and last.
    if (count++ % 3 != 0) continue;
    moe_instance_desc desc = MOE_INIT(moe_instance_desc);
    desc.log = [](void*, uint32_t, const char*) {};
    desc.flags = GetParam() ? MOE_INSTANCE_NO_VULKAN : 0;
    if (!GetParam() && count > 30) break;  // a Vulkan instance takes long to make
    moe_instance* instance = nullptr;
    EXPECT_WORKS(api().create_instance(&desc, &instance, &error));
    moe_device_desc device_desc = MOE_INIT(moe_device_desc);
    device_desc.index = GetParam() ? 0 : device_index_;
    moe_device* device = nullptr;
    EXPECT_WORKS(api().open_device(instance, &device_desc, &device, &error));
    moe_layer* layer = moe_conformance::upload_layer(&api(), device, small_).release();
    moe_buffer* buffer = nullptr;
    EXPECT_WORKS(api().create_buffer(device, 160, &buffer, &error));
    moe_context_desc context_desc = MOE_INIT(moe_context_desc);
    context_desc.max_tokens = 5;
    moe_context* context = nullptr;
    EXPECT_WORKS(api().create_context(device, &context_desc, &context, &error));
    GoodCall call(small_);
    call.y.host = nullptr;
    call.y.buffer = buffer;
    uint64_t value = 0;
    EXPECT_WORKS(api().forward(context, layer, &call.args, &error));
    EXPECT_WORKS(api().flush(context, &value, &error));
    EXPECT_WORKS(api().forward(context, layer, &call.args, &error));  // encoded, never flushed
    for (const int which : order) {
      if (which == 0) api().destroy_instance(instance);
      if (which == 1) api().close_device(device);
      if (which == 2) api().destroy_layer(layer);
      if (which == 3) api().destroy_buffer(buffer);
      if (which == 4) api().destroy_context(context);
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_P(LifetimeTest, ChildrenKeepTheirParentsAlive) {
  moe_device* second = nullptr;
  EXPECT_WORKS(status_of_open(device_index_, &second, &error));
  std::swap(device_, second);
  moe_layer* layer = make_layer(small_);
  moe_context* context = make_context();
  std::swap(device_, second);
  api().close_device(second);
  GoodCall call(small_);
  uint64_t value = 0;
  EXPECT_WORKS(api().forward(context, layer, &call.args, &error));
  api().destroy_layer(layer);  // the encoded call holds it
  layers_.pop_back();
  EXPECT_WORKS(api().flush(context, &value, &error));
  EXPECT_WORKS(api().wait(context, value, UINT64_MAX, &error));
  expect_right(call.y_data);
}

TEST_P(LifetimeTest, CountersFollow) {
  const moe_statistics start = statistics();
  moe_buffer* buffer = nullptr;
  EXPECT_WORKS(api().create_buffer(device_, 4096, &buffer, &error));
  moe_statistics now = statistics();
  EXPECT_EQ(now.live_objects, start.live_objects + 1);
  EXPECT_GE(now.allocated_bytes, start.allocated_bytes + 4096);
  moe_upload* upload = nullptr;
  EXPECT_WORKS(api().begin_weights(device_, &small_.desc, nullptr, &upload, &error));
  EXPECT_EQ(statistics().live_objects, start.live_objects + 2);
  api().cancel_weights(upload);
  api().destroy_buffer(buffer);
  now = statistics();
  EXPECT_EQ(now.live_objects, start.live_objects);
  EXPECT_EQ(now.allocated_bytes, start.allocated_bytes);
}

}  // namespace
}  // namespace moe_abi_tests
