// SPDX-License-Identifier: MIT
//
// Recording into a host's command buffers: the bits of an owned device, chains in one buffer, a thousand replays
// with changing routing, secondary and simultaneous use, and that record is vkCmd* without allocation.
#include <cstdlib>
#include <cstring>
#include <set>

#include "tests/conformance/numbers.h"
#include "tests/interop/heap_count.h"
#include "tests/interop/interop_fixture.h"
#include "tests/interop/interposer.h"

namespace moe_interop {
namespace {

using moe_conformance::LayerCase;
using Recording = InteropTest;

std::vector<float> floats(const VulkanHost::Buffer& buffer, size_t count) {
  std::vector<float> values(count);
  std::memcpy(values.data(), buffer.mapped, count * 4);
  return values;
}

TEST_F(Recording, GivesTheBitsOfTheOwnedDevice) {
  for (const uint64_t tokens : {1, 7, 16, 17, 64, 300}) {
    const LayerCase c = make_case(24, 3, 64, 52, tokens, tokens);
    const std::vector<float> expected = run_on_context(owned_, upload(owned_, c), c);
    const Shared x = share(expected.size() * 4), y = share(expected.size() * 4);
    std::memcpy(x.host.mapped, c.inputs.x.data(), expected.size() * 4);
    moe_recording* recording = record_forward(upload(imported_, c), c, x, y);
    VkCommandBuffer commands = host_->allocate_commands();
    host_->begin(commands);
    EXPECT_OK(interop().record(recording, commands, 0, &error));
    host_->barrier_to_host(commands);
    host_->end(commands);
    host_->submit_and_wait(commands);
    EXPECT_EQ(floats(y.host, expected.size()), expected) << tokens << " tokens";
  }
}

// Two layers on the host's workspace, replayed with new inputs, against a fresh recording each time.
TEST_F(Recording, ReplaysAThousandTimesWithChangingRouting) {
  const uint64_t tokens = 20;
  const LayerCase a = make_case(16, 2, 32, 24, tokens, 1), b = make_case(9, 3, 32, 16, tokens, 2);
  moe_layer* const layer_a = upload(imported_, a);
  moe_layer* const layer_b = upload(imported_, b);
  const uint64_t bytes = tokens * 32 * 4;
  const Shared x = share(bytes), middle = share(bytes), y = share(bytes), fresh_y = share(bytes);
  const Shared ids = share(tokens * 2 * 4), workspace = share(1 << 20);
  const auto view = [&](const Shared& s) { return moe::buffer_view(s.buffer, 0, MOE_DTYPE_F32, tokens, 32); };
  const moe_view x_view = view(x), middle_view = view(middle), y_view = view(y), fresh_view = view(fresh_y);
  const moe_view ids_view = moe::buffer_view(ids.buffer, 0, MOE_DTYPE_I32, tokens, 2);
  const auto make = [&](moe_layer* layer, const moe_view& in, const moe_view& out, const moe_view* chosen) {
    return record_on(layer, in, out, chosen, workspace.buffer, 1 << 20);
  };
  moe_recording* const first = make(layer_a, x_view, middle_view, &ids_view);
  moe_recording* const second = make(layer_b, middle_view, y_view, nullptr);
  moe_recording* const fresh_second = make(layer_b, middle_view, fresh_view, nullptr);
  VkCommandBuffer replayed = host_->allocate_commands(), fresh = host_->allocate_commands();
  host_->begin(replayed);
  EXPECT_OK(interop().record(first, replayed, 0, &error));
  EXPECT_OK(interop().record(second, replayed, 0, &error));
  host_->barrier_to_host(replayed);
  host_->end(replayed);
  moe_conformance::Random random(3);
  std::set<std::vector<int32_t>> routings;
  for (int turn = 0; turn < 1000; ++turn) {
    for (uint64_t i = 0; i < tokens * 32; ++i) x.floats()[i] = random.normal();
    host_->submit_and_wait(replayed);
    const std::vector<float> got = floats(y.host, tokens * 32);
    std::vector<int32_t> chosen(tokens * 2);
    std::memcpy(chosen.data(), ids.host.mapped, chosen.size() * 4);
    routings.insert(chosen);
    std::memset(ids.host.mapped, 0x55, chosen.size() * 4);
    std::memset(middle.host.mapped, 0x55, bytes);
    host_->begin(fresh);  // resets it
    EXPECT_OK(interop().record(first, fresh, 0, &error));
    EXPECT_OK(interop().record(fresh_second, fresh, 0, &error));
    host_->barrier_to_host(fresh);
    host_->end(fresh);
    host_->submit_and_wait(fresh);
    ASSERT_EQ(got, floats(fresh_y.host, tokens * 32)) << "replay " << turn;
  }
  EXPECT_GT(routings.size(), 900u) << "the routing must have changed";
}

TEST_F(Recording, SecondaryAndSimultaneousUse) {
  const LayerCase c = make_case(12, 2, 32, 24, 40, 6);
  const std::vector<float> expected = run_on_context(owned_, upload(owned_, c), c);
  const Shared x = share(expected.size() * 4), y = share(expected.size() * 4);
  std::memcpy(x.host.mapped, c.inputs.x.data(), expected.size() * 4);
  moe_recording* recording = record_forward(upload(imported_, c), c, x, y);
  VkCommandBuffer secondary = host_->allocate_commands(VK_COMMAND_BUFFER_LEVEL_SECONDARY);
  host_->begin(secondary, VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT, true);
  EXPECT_OK(interop().record(recording, secondary, 0, &error));
  host_->end(secondary);
  VkCommandBuffer primary = host_->allocate_commands();
  host_->begin(primary, VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT);
  host_->vk().vkCmdExecuteCommands(primary, 1, &secondary);
  host_->vk().vkCmdExecuteCommands(primary, 1, &secondary);
  host_->barrier_to_host(primary);
  host_->end(primary);
  host_->submit(primary, 2, VK_NULL_HANDLE);
  host_->submit_and_wait(primary);
  EXPECT_EQ(floats(y.host, expected.size()), expected);
}

// The four stages, each a recording of its own, chained by the host.
TEST_F(Recording, StagesGiveTheBitsOfForward) {
  const LayerCase c = make_case(24, 3, 64, 52, 37, 7);
  const uint64_t tokens = c.tokens, slots = 3, hidden = 64;
  const std::vector<float> expected = run_on_context(owned_, upload(owned_, c), c);
  moe_layer* layer = upload(imported_, c);
  const Shared x = share(expected.size() * 4), y = share(expected.size() * 4), ids = share(tokens * slots * 4),
               weights = share(tokens * slots * 4), order = share(tokens * slots * 4), offsets = share(25 * 4),
               expert_out = share(tokens * slots * hidden * 4);
  std::memcpy(x.host.mapped, c.inputs.x.data(), expected.size() * 4);
  const auto view = [](const Shared& s, uint32_t dtype, uint64_t rows, uint64_t columns) {
    return moe::buffer_view(s.buffer, 0, dtype, rows, columns);
  };
  const moe_view x_view = view(x, MOE_DTYPE_F32, tokens, hidden), y_view = view(y, MOE_DTYPE_F32, tokens, hidden),
                 ids_view = view(ids, MOE_DTYPE_I32, tokens, slots),
                 weights_view = view(weights, MOE_DTYPE_F32, tokens, slots),
                 order_view = view(order, MOE_DTYPE_I32, 1, tokens * slots),
                 offsets_view = view(offsets, MOE_DTYPE_I32, 1, 25),
                 out_view = view(expert_out, MOE_DTYPE_F32, tokens * slots, hidden);
  VkCommandBuffer commands = host_->allocate_commands();
  host_->begin(commands);
  for (uint32_t stage = MOE_STAGE_ROUTE; stage <= MOE_STAGE_COMBINE; ++stage) {
    moe_call_args args = MOE_INIT(moe_call_args);
    args.tokens = tokens;
    args.ids = &ids_view;
    if (stage == MOE_STAGE_ROUTE || stage == MOE_STAGE_EXPERTS) args.x = &x_view, args.weights = &weights_view;
    if (stage == MOE_STAGE_PLAN_DISPATCH || stage == MOE_STAGE_EXPERTS) {
      args.order = &order_view, args.offsets = &offsets_view;
    }
    if (stage == MOE_STAGE_EXPERTS || stage == MOE_STAGE_COMBINE) args.expert_out = &out_view;
    if (stage == MOE_STAGE_COMBINE) args.y = &y_view;
    moe_recording_desc desc = MOE_INIT(moe_recording_desc);
    desc.stage = stage;
    desc.args = &args;
    moe_recording* recording = nullptr;
    EXPECT_OK(interop().create_recording(layer, &desc, &recording, &error));
    recordings_.push_back(recording);
    EXPECT_OK(interop().record(recording, commands, 0, &error));
  }
  host_->barrier_to_host(commands);
  host_->end(commands);
  host_->submit_and_wait(commands);
  EXPECT_EQ(floats(y.host, expected.size()), expected);
}

// Parameter: push descriptors, or sets.
class RecordingCost : public InteropTest, public ::testing::WithParamInterface<bool> {};

TEST_P(RecordingCost, IsCommandsAloneAndNoAllocation) {
  HostOptions options;
  options.get_instance_proc_addr = counting_get_instance_proc_addr;
  options.recommended_extensions = GetParam();
  VulkanHost host(&interop(), options, uuid_);
  if (GetParam() && !host.has(VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME)) GTEST_SKIP() << "no push descriptors here";
  moe_device* device = host.import(instance_);
  for (const uint64_t tokens : {1, 64, 600}) {
    const LayerCase c = make_case(24, 3, 64, 52, tokens, 8);
    moe_layer* layer = moe_conformance::upload_layer(&api(), device, c).release();
    VulkanHost::Buffer memory_of_x = host.create_buffer(tokens * 64 * 4),
                       memory_of_y = host.create_buffer(tokens * 64 * 4);
    const Shared x{memory_of_x, import_buffer(&memory(), device, memory_of_x, 0, memory_of_x.bytes)};
    const Shared y{memory_of_y, import_buffer(&memory(), device, memory_of_y, 0, memory_of_y.bytes)};
    reset_driver_calls();
    const uint64_t before_making = heap_allocations();
    moe_recording* recording = record_forward(layer, c, x, y);
    recordings_.pop_back();
    EXPECT_TRUE(!kHeapIsCounted || heap_allocations() > before_making)
        << "the library's allocations are not seen: the counter is broken";
    EXPECT_GT(driver_calls().others(), 0u) << "the library's calls are not seen: the interposer is broken";
    VkCommandBuffer commands = host.allocate_commands();
    host.begin(commands);
    reset_driver_calls();
    moe_error error = MOE_INIT(moe_error);
    const uint64_t before = heap_allocations();
    const moe_status status = interop().record(recording, commands, 0, &error);
    const uint64_t allocated = heap_allocations() - before;
    EXPECT_EQ(status, MOE_OK) << error.text;
    EXPECT_EQ(allocated, 0u) << tokens << " tokens";
    const DriverCalls calls = driver_calls();
    EXPECT_EQ(calls.others(), 0u) << tokens << " tokens";
    EXPECT_GT(calls.commands(), 5u);
    EXPECT_EQ(calls.counts.count("vkCmdPushDescriptorSetKHR"), GetParam() ? 1u : 0u);
    host.end(commands);
    host.submit_and_wait(commands);
    interop().destroy_recording(recording);
    api().destroy_layer(layer);
    for (const Shared& one : {x, y}) api().destroy_buffer(one.buffer);
    host.destroy_buffer(memory_of_x);
    host.destroy_buffer(memory_of_y);
  }
  api().close_device(device);
}
INSTANTIATE_TEST_SUITE_P(Descriptors, RecordingCost, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "pushed" : "sets"; });

TEST_F(Recording, UpdateBindsOtherBuffers) {
  const LayerCase c = make_case(12, 2, 32, 24, 9, 6), other = make_case(12, 2, 32, 24, 10, 6);
  const std::vector<float> expected = run_on_context(owned_, upload(owned_, c), c);
  const uint64_t bytes = expected.size() * 4;
  const Shared x = share(bytes), y = share(bytes), x2 = share(bytes + 64), y2 = share(bytes);
  moe_layer* layer = upload(imported_, c);
  moe_recording* recording = record_forward(layer, c, x, y);
  std::memcpy(x2.host.mapped, c.inputs.x.data(), bytes);
  moe_view x_view = moe::buffer_view(x2.buffer, 0, MOE_DTYPE_F32, 9, 32);
  moe_view y_view = moe::buffer_view(y2.buffer, 0, MOE_DTYPE_F32, 9, 32);
  moe_call_args args = MOE_INIT(moe_call_args);
  args.tokens = 9;
  args.x = &x_view;
  args.y = &y_view;
  moe_recording_desc desc = MOE_INIT(moe_recording_desc);
  desc.args = &args;
  EXPECT_OK(interop().update_recording(recording, &desc, &error));
  VkCommandBuffer commands = host_->allocate_commands();
  host_->begin(commands);
  EXPECT_OK(interop().record(recording, commands, MOE_RECORD_NO_ENTRY_BARRIER, &error));
  host_->barrier_to_host(commands);
  host_->end(commands);
  host_->submit_and_wait(commands);
  EXPECT_EQ(floats(y2.host, expected.size()), expected);
  x_view.offset_bytes = 4;  // kernels read x as it is only at multiples of 16
  EXPECT_REFUSED(MOE_ERROR_INVALID_ARGUMENT, "multiple of 16", interop().update_recording(recording, &desc, &error));
  args.tokens = 8;
  x_view = moe::buffer_view(x2.buffer, 0, MOE_DTYPE_F32, 8, 32);
  y_view = moe::buffer_view(y2.buffer, 0, MOE_DTYPE_F32, 8, 32);
  EXPECT_REFUSED(MOE_ERROR_INVALID_ARGUMENT, "tokens", interop().update_recording(recording, &desc, &error));
}

TEST_F(Recording, BadArgumentsAreRefused) {
  const LayerCase c = make_case(12, 2, 32, 24, 300, 6);
  const uint64_t bytes = c.tokens * 32 * 4;
  const Shared x = share(bytes), y = share(bytes), small = share(256),
               no_indirect = share(1 << 22, VK_BUFFER_USAGE_STORAGE_BUFFER_BIT);
  moe_layer* layer = upload(imported_, c);
  moe_view x_view = moe::buffer_view(x.buffer, 0, MOE_DTYPE_F32, c.tokens, 32);
  moe_view y_view = moe::buffer_view(y.buffer, 0, MOE_DTYPE_F32, c.tokens, 32);
  moe_call_args args = MOE_INIT(moe_call_args);
  args.tokens = c.tokens;
  args.x = &x_view;
  args.y = &y_view;
  moe_recording_desc desc = MOE_INIT(moe_recording_desc);
  desc.args = &args;
  moe_recording* out = nullptr;
  const auto refused = [&](moe_status code, const char* words) {
    EXPECT_REFUSED(code, words, interop().create_recording(layer, &desc, &out, &error));
    EXPECT_EQ(out, nullptr);
  };
  moe_recording_info info = MOE_INIT(moe_recording_info);
  EXPECT_OK(interop().query_recording(layer, &desc, &info, &error));
  EXPECT_GT(info.workspace_bytes, 0u);
  EXPECT_GT(info.dispatches, info.barriers);
  desc.workspace = small.buffer;
  desc.workspace_bytes = 256;
  refused(MOE_ERROR_INVALID_ARGUMENT, "this call needs");
  desc.workspace = no_indirect.buffer;
  desc.workspace_bytes = 1 << 22;
  refused(MOE_ERROR_INVALID_ARGUMENT, "INDIRECT_BUFFER");
  desc.workspace = x.buffer;
  desc.workspace_bytes = bytes + 1;
  refused(MOE_ERROR_INVALID_ARGUMENT, "beyond the buffer");
  desc.workspace = nullptr;
  refused(MOE_ERROR_INVALID_ARGUMENT, "desc.workspace");
  desc.workspace_bytes = 0;
  std::vector<float> host_memory(c.tokens * 32);
  x_view = moe::host_view(host_memory.data(), MOE_DTYPE_F32, c.tokens, 32);
  refused(MOE_ERROR_INVALID_ARGUMENT, "args.x.host: is set: a recording works on buffers");
  // A second moe_buffer over the same VkBuffer does not hide that y lies on x.
  moe_buffer* again = import_buffer(&memory(), imported_, x.host, 0, bytes);
  x_view = moe::buffer_view(x.buffer, 128, MOE_DTYPE_F32, c.tokens - 1, 32);
  y_view = moe::buffer_view(again, 0, MOE_DTYPE_F32, c.tokens - 1, 32);
  args.tokens = c.tokens - 1;
  refused(MOE_ERROR_INVALID_ARGUMENT, "args.y: overlaps args.x");
  api().destroy_buffer(again);
  desc.stage = 9;
  refused(MOE_ERROR_INVALID_ARGUMENT, "desc.stage");
  VkCommandBuffer commands = host_->allocate_commands();
  EXPECT_REFUSED(MOE_ERROR_INVALID_ARGUMENT, "recording: is NULL", interop().record(nullptr, commands, 0, &error));
  const LayerCase tiny = make_case(4, 1, 16, 16, 2, 6);
  const Shared tx = share(2 * 64), ty = share(2 * 64);
  moe_recording* recording = record_forward(upload(imported_, tiny), tiny, tx, ty);
  EXPECT_REFUSED(MOE_ERROR_INVALID_ARGUMENT, "commands: is NULL", interop().record(recording, nullptr, 0, &error));
  EXPECT_REFUSED(MOE_ERROR_INVALID_ARGUMENT, "flags", interop().record(recording, commands, 8, &error));
}

}  // namespace
}  // namespace moe_interop
