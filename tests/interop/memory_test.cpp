// SPDX-License-Identifier: MIT
//
// External memory: host pointers in place and copied, file descriptors between devices and between processes, who
// owns them after success and failure, and weights that stay in a host's buffer.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "tests/interop/interop_fixture.h"

namespace moe_interop {
namespace {

using moe_conformance::LayerCase;
using Memory = InteropTest;

moe_memory_support support_of(moe_device* device, uint32_t kind) {
  moe_memory_support support = MOE_INIT(moe_memory_support);
  EXPECT_OK(memory().query(device, kind, &support, &error));
  return support;
}

bool is_open(int64_t fd) { return fcntl(static_cast<int>(fd), F_GETFD) != -1; }

struct AlignedBlock {
  AlignedBlock(uint64_t alignment, uint64_t size) : bytes(size), data(std::aligned_alloc(alignment, size)) {}
  ~AlignedBlock() { std::free(data); }
  uint64_t bytes;
  void* data;
};

TEST_F(Memory, HostPointersAreUsedInPlaceOrRefusedOrCopiedAndSaidSo) {
  const moe_memory_support support = support_of(imported_, MOE_MEMORY_HOST_POINTER);
  if (support.can_import == 0) GTEST_SKIP() << support.reason;
  const LayerCase c = make_case(8, 2, 64, 32, 32, 9);
  const std::vector<float> expected = run_on_context(owned_, upload(owned_, c), c);
  const uint64_t bytes = c.tokens * 64 * 4;
  AlignedBlock block(support.alignment_bytes, 2 * std::max<uint64_t>(bytes, support.alignment_bytes));
  moe_memory_desc desc = MOE_INIT(moe_memory_desc);
  desc.kind = MOE_MEMORY_HOST_POINTER;
  desc.bytes = block.bytes;
  desc.from.host.pointer = block.data;
  moe_memory_info info = MOE_INIT(moe_memory_info);
  moe_buffer* buffer = nullptr;
  EXPECT_OK(memory().import_buffer(imported_, &desc, &buffer, &info, &error));
  EXPECT_EQ(info.copied, 0u);
  // x in the first half and y in the second, both in the host's own pages.
  auto* x = static_cast<float*>(block.data);
  auto* y = x + block.bytes / 8;
  std::memcpy(x, c.inputs.x.data(), bytes);
  std::memset(y, 0x55, bytes);
  const moe_view x_view = moe::buffer_view(buffer, 0, MOE_DTYPE_F32, c.tokens, 64);
  const moe_view y_view = moe::buffer_view(buffer, block.bytes / 2, MOE_DTYPE_F32, c.tokens, 64);
  moe_recording* recording = record_on(upload(imported_, c), x_view, y_view);
  VkCommandBuffer commands = host_->allocate_commands();
  host_->begin(commands);
  EXPECT_OK(interop().record(recording, commands, 0, &error));
  host_->barrier_to_host(commands);
  host_->end(commands);
  host_->submit_and_wait(commands);
  EXPECT_EQ(std::vector<float>(y, y + expected.size()), expected);
  api().destroy_buffer(buffer);

  desc.from.host.pointer = x + 1;  // not aligned: only by a copy
  desc.bytes = bytes - 4;
  EXPECT_REFUSED(MOE_ERROR_UNSUPPORTED, "multiples of",
                 memory().import_buffer(imported_, &desc, &buffer, &info, &error));
  EXPECT_EQ(buffer, nullptr);
  desc.flags = MOE_MEMORY_ALLOW_COPY;
  EXPECT_OK(memory().import_buffer(imported_, &desc, &buffer, &info, &error));
  EXPECT_EQ(info.copied, 1u);
  EXPECT_NE(std::string(info.reason).find("multiples of"), std::string::npos) << info.reason;
  std::vector<float> back(bytes / 4 - 1);
  EXPECT_OK(api().read_buffer(buffer, 0, back.data(), bytes - 4, &error));
  EXPECT_EQ(back, std::vector<float>(x + 1, x + bytes / 4));
  api().destroy_buffer(buffer);
}

TEST_F(Memory, TheReferenceTakesHostPointersToo) {
  uint32_t count = 0;
  EXPECT_OK(api().get_device_count(instance_, &count, &error));
  moe_device_desc open = MOE_INIT(moe_device_desc);
  open.index = count - 1;
  moe_device* reference = nullptr;
  EXPECT_OK(api().open_device(instance_, &open, &reference, &error));
  float numbers[4] = {1, 2, 3, 4};
  moe_memory_desc desc = MOE_INIT(moe_memory_desc);
  desc.bytes = sizeof numbers;
  desc.from.host.pointer = numbers;
  moe_buffer* buffer = nullptr;
  EXPECT_OK(memory().import_buffer(reference, &desc, &buffer, nullptr, &error));
  const float five = 5;
  EXPECT_OK(api().write_buffer(buffer, 8, &five, 4, &error));
  EXPECT_EQ(numbers[2], 5);
  api().destroy_buffer(buffer);
  desc.kind = MOE_MEMORY_OPAQUE_FD;
  EXPECT_REFUSED(MOE_ERROR_UNSUPPORTED, "host memory alone",
                 memory().import_buffer(reference, &desc, &buffer, nullptr, &error));
  api().close_device(reference);
}

moe_memory_desc import_desc(uint32_t kind, const moe_memory_handle& handle) {
  moe_memory_desc desc = MOE_INIT(moe_memory_desc);
  desc.kind = kind;
  desc.bytes = handle.bytes;
  desc.offset_bytes = handle.offset_bytes;
  desc.from.handle.handle = handle.handle;
  desc.from.handle.allocation_bytes = handle.allocation_bytes;
  desc.from.handle.memory_type = handle.memory_type;
  desc.from.handle.dedicated = handle.dedicated;
  return desc;
}

class SharedHandle : public InteropTest, public ::testing::WithParamInterface<uint32_t> {
 protected:
  static constexpr uint64_t kBytes = 10000;
};

// What one device writes the other reads, both ways; descriptors change hands as documented.
TEST_P(SharedHandle, TwoDevicesExchangeMemory) {
  const moe_memory_support from = support_of(owned_, GetParam()), to = support_of(imported_, GetParam());
  if (from.can_export == 0) GTEST_SKIP() << from.reason;
  if (to.can_import == 0) GTEST_SKIP() << to.reason;
  moe_buffer* made = nullptr;
  EXPECT_OK(memory().create_exportable_buffer(owned_, GetParam(), kBytes, &made, &error));
  std::vector<uint8_t> bytes(kBytes), back(kBytes);
  EXPECT_OK(api().read_buffer(made, 0, back.data(), kBytes, &error));
  EXPECT_EQ(back, bytes) << "zero-filled";
  moe_memory_handle handle = MOE_INIT(moe_memory_handle);
  EXPECT_OK(memory().export_buffer(made, &handle, &error));
  EXPECT_EQ(handle.bytes, kBytes);
  EXPECT_EQ(std::memcmp(handle.device_uuid, uuid_, 16), 0);
  ASSERT_TRUE(is_open(handle.handle));

  moe_buffer* other = nullptr;
  moe_memory_desc desc = import_desc(GetParam(), handle);
  const auto fails = [&](const char* words) {
    EXPECT_REFUSED(MOE_ERROR_INVALID_ARGUMENT, words,
                   memory().import_buffer(imported_, &desc, &other, nullptr, &error));
    EXPECT_TRUE(is_open(handle.handle)) << "after a failure the descriptor is the caller's";
  };
  desc.from.handle.allocation_bytes = 64;
  fails("desc.bytes");
  desc = import_desc(GetParam(), handle);
  desc.from.handle.memory_type = 31;
  fails("memory_type");
  desc = import_desc(GetParam(), handle);
  desc.offset_bytes = 2;
  fails("desc.offset_bytes");
  desc = import_desc(GetParam(), handle);
  EXPECT_OK(memory().import_buffer(imported_, &desc, &other, nullptr, &error));
  EXPECT_FALSE(is_open(handle.handle)) << "after success the library has closed or keeps it";
  ASSERT_NE(other, nullptr);

  for (size_t i = 0; i < kBytes; ++i) bytes[i] = static_cast<uint8_t>(i * 7);
  EXPECT_OK(api().write_buffer(made, 0, bytes.data(), kBytes, &error));
  EXPECT_OK(api().read_buffer(other, 0, back.data(), kBytes, &error));
  EXPECT_EQ(back, bytes);
  for (size_t i = 0; i < kBytes; ++i) bytes[i] = static_cast<uint8_t>(i * 11);
  EXPECT_OK(api().write_buffer(other, 0, bytes.data(), kBytes, &error));
  api().destroy_buffer(other);
  EXPECT_OK(api().read_buffer(made, 0, back.data(), kBytes, &error));
  EXPECT_EQ(back, bytes);
  api().destroy_buffer(made);
}

TEST_P(SharedHandle, ExportedMemoryCountsInTheBudget) {
  moe_device_desc desc = MOE_INIT(moe_device_desc);
  EXPECT_OK(api().choose_device(instance_, &desc.index, &error));
  desc.memory_budget_bytes = 1 << 20;
  moe_device* device = nullptr;
  EXPECT_OK(api().open_device(instance_, &desc, &device, &error));
  const moe_memory_support support = support_of(device, GetParam());
  moe_buffer* buffer = nullptr;
  if (support.can_export != 0) {
    EXPECT_REFUSED(MOE_ERROR_OUT_OF_DEVICE_MEMORY, "the budget is 1048576",
                   memory().create_exportable_buffer(device, GetParam(), 2 << 20, &buffer, &error));
    EXPECT_OK(memory().create_exportable_buffer(device, GetParam(), 900'000, &buffer, &error));
    moe_buffer* second = nullptr;
    EXPECT_REFUSED(MOE_ERROR_OUT_OF_DEVICE_MEMORY, "no room",
                   memory().create_exportable_buffer(device, GetParam(), 900'000, &second, &error));
    api().destroy_buffer(buffer);
    EXPECT_OK(memory().create_exportable_buffer(device, GetParam(), 900'000, &second, &error));
    api().destroy_buffer(second);
  }
  api().close_device(device);
  if (support.can_export == 0) GTEST_SKIP() << support.reason;
}

TEST_P(SharedHandle, ABadDescriptorIsRefused) {
  const moe_memory_support to = support_of(imported_, GetParam());
  if (to.can_import == 0) GTEST_SKIP() << to.reason;
  moe_memory_desc desc = MOE_INIT(moe_memory_desc);
  desc.kind = GetParam();
  desc.bytes = 4096;
  desc.from.handle.handle = -1;
  moe_buffer* buffer = nullptr;
  EXPECT_REFUSED(MOE_ERROR_INVALID_ARGUMENT, "desc.from.handle.handle",
                 memory().import_buffer(imported_, &desc, &buffer, nullptr, &error));
}
INSTANTIATE_TEST_SUITE_P(Kinds, SharedHandle, ::testing::Values(MOE_MEMORY_OPAQUE_FD, MOE_MEMORY_DMA_BUF),
                         [](const auto& info) { return info.param == MOE_MEMORY_DMA_BUF ? "dma_buf" : "opaque_fd"; });

// ---- two processes ------------------------------------------------------------------------------

// Sends a descriptor and what belongs to it over a socket, as processes do.
void send_handle(int socket, const moe_memory_handle& handle) {
  iovec data{const_cast<moe_memory_handle*>(&handle), sizeof handle};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = static_cast<int>(handle.handle);
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  ASSERT_EQ(sendmsg(socket, &message, 0), static_cast<ssize_t>(sizeof handle));
}

moe_memory_handle receive_handle(int socket) {
  moe_memory_handle handle = MOE_INIT(moe_memory_handle);
  iovec data{&handle, sizeof handle};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (recvmsg(socket, &message, 0) != static_cast<ssize_t>(sizeof handle)) std::_Exit(10);
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  handle.handle = fd;
  return handle;
}

// The other process: doubles every float of the memory it is sent. Its exit code says how far it came.
[[noreturn]] void double_in_another_process(int socket) {
  moe_memory_handle handle = receive_handle(socket);
  moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  moe_instance* instance = nullptr;
  moe_device* device = nullptr;
  moe_device_desc open = MOE_INIT(moe_device_desc);
  if (api().create_instance(&desc, &instance, nullptr) != MOE_OK) std::_Exit(11);
  if (api().choose_device(instance, &open.index, nullptr) != MOE_OK) std::_Exit(12);
  if (api().open_device(instance, &open, &device, nullptr) != MOE_OK) std::_Exit(13);
  const moe_memory_desc import = import_desc(MOE_MEMORY_OPAQUE_FD, handle);
  moe_buffer* buffer = nullptr;
  if (memory().import_buffer(device, &import, &buffer, nullptr, nullptr) != MOE_OK) std::_Exit(14);
  std::vector<float> values(handle.bytes / 4);
  if (api().read_buffer(buffer, 0, values.data(), handle.bytes, nullptr) != MOE_OK) std::_Exit(15);
  for (float& value : values) value *= 2;
  if (api().write_buffer(buffer, 0, values.data(), handle.bytes, nullptr) != MOE_OK) std::_Exit(16);
  api().destroy_buffer(buffer);
  api().close_device(device);
  api().destroy_instance(instance);
  std::_Exit(0);
}

// Forked before this process touches Vulkan: drivers do not survive a fork.
TEST(MemoryBetweenProcesses, ADescriptorSentOverASocketSharesMemory) {
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(sockets[0]);
    double_in_another_process(sockets[1]);
  }
  close(sockets[1]);
  const auto end_child = [&] {
    close(sockets[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return status;
  };
  const moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  moe_instance* instance = nullptr;
  EXPECT_OK(api().create_instance(&desc, &instance, &error));
  moe_device_desc open = MOE_INIT(moe_device_desc);
  EXPECT_OK(api().choose_device(instance, &open.index, &error));
  moe_device* device = nullptr;
  EXPECT_OK(api().open_device(instance, &open, &device, &error));
  const moe_memory_support support = support_of(device, MOE_MEMORY_OPAQUE_FD);
  if (support.can_export == 0 || support.can_import == 0) {
    end_child();
    api().close_device(device);
    api().destroy_instance(instance);
    GTEST_SKIP() << support.reason;
  }
  std::vector<float> values(1000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  moe_buffer* buffer = nullptr;
  EXPECT_OK(memory().create_exportable_buffer(device, MOE_MEMORY_OPAQUE_FD, 4000, &buffer, &error));
  EXPECT_OK(api().write_buffer(buffer, 0, values.data(), 4000, &error));
  moe_memory_handle handle = MOE_INIT(moe_memory_handle);
  EXPECT_OK(memory().export_buffer(buffer, &handle, &error));
  send_handle(sockets[0], handle);
  close(static_cast<int>(handle.handle));
  EXPECT_EQ(end_child(), 0) << "exit status of the other process";
  EXPECT_OK(api().read_buffer(buffer, 0, values.data(), 4000, &error));
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], 2 * static_cast<float>(i));
  api().destroy_buffer(buffer);
  api().close_device(device);
  api().destroy_instance(instance);
}

}  // namespace
}  // namespace moe_interop
