// SPDX-License-Identifier: MIT
//
// The counter itself: a kernel whose accesses are counted by hand, and kernels that it has to refuse.
#include "tests/bytes/count_accesses.h"

#include <gtest/gtest.h>

#include <cstring>

#include "byte_probe_array_comp.h"
#include "byte_probe_atomic_comp.h"
#include "byte_probe_comp.h"
#include "tests/bytes/byte_counter.h"
#include "tests/bytes/bytes_fixture.h"
#include "tests/bytes/counter_places.h"

namespace moe_bytes {
namespace {

constexpr uint32_t kInvocations = 256;

// What a host does to run one kernel, through the functions that the counter gives.
class Probe {
 public:
  explicit Probe(moe_interop::VulkanHost& host) : host_(host) {
    const auto get = reinterpret_cast<PFN_vkGetDeviceProcAddr>(
        ByteCounter::get_instance_proc_addr(host.instance(), "vkGetDeviceProcAddr"));
    device_ = host.device();
    get_ = get;
  }

  template <class Function>
  Function function(const char* name) const {
    return reinterpret_cast<Function>(get_(device_, name));
  }
#define MOE_COUNTED(name) function<PFN_##name>(#name)

  void create_pipeline(const uint32_t* code, size_t bytes) {
    VkShaderModuleCreateInfo module{};
    module.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
    module.codeSize = bytes;
    module.pCode = code;
    MOE_VK(MOE_COUNTED(vkCreateShaderModule)(device_, &module, nullptr, &module_));
    std::vector<VkDescriptorSetLayoutBinding> bindings;
    for (uint32_t i = 0; i < 4; ++i) {
      bindings.push_back({i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr});
    }
    VkDescriptorSetLayoutCreateInfo set{};
    set.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
    set.flags = VK_DESCRIPTOR_SET_LAYOUT_CREATE_PUSH_DESCRIPTOR_BIT_KHR;
    set.bindingCount = 4;
    set.pBindings = bindings.data();
    MOE_VK(host_.vk().vkCreateDescriptorSetLayout(device_, &set, nullptr, &set_));
    const VkPushConstantRange push{VK_SHADER_STAGE_COMPUTE_BIT, 0, 8};
    VkPipelineLayoutCreateInfo layout{};
    layout.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
    layout.setLayoutCount = 1;
    layout.pSetLayouts = &set_;
    layout.pushConstantRangeCount = 1;
    layout.pPushConstantRanges = &push;
    MOE_VK(host_.vk().vkCreatePipelineLayout(device_, &layout, nullptr, &layout_));
    VkComputePipelineCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
    info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    info.stage.module = module_;
    info.stage.pName = "main";
    info.layout = layout_;
    MOE_VK(MOE_COUNTED(vkCreateComputePipelines)(device_, VK_NULL_HANDLE, 1, &info, nullptr, &pipeline_));
  }

  // A buffer that the counter knows, as it knows those of the plugin.
  VkBuffer create_buffer(uint64_t bytes) {
    VkBufferCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
    info.size = bytes;
    info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT;
    VkBuffer buffer = VK_NULL_HANDLE;
    MOE_VK(MOE_COUNTED(vkCreateBuffer)(device_, &info, nullptr, &buffer));
    buffers_.push_back(buffer);
    // All in one allocation, each at a multiple of what any of them wants.
    VkMemoryRequirements needs;
    host_.vk().vkGetBufferMemoryRequirements(device_, buffer, &needs);
    if (memory_ == VK_NULL_HANDLE) {
      VkMemoryAllocateFlagsInfo flags{};
      flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
      flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
      VkMemoryAllocateInfo allocate{};
      allocate.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
      allocate.pNext = &flags;
      allocate.allocationSize = 1 << 20;
      while ((needs.memoryTypeBits >> allocate.memoryTypeIndex & 1) == 0) ++allocate.memoryTypeIndex;
      MOE_VK(host_.vk().vkAllocateMemory(device_, &allocate, nullptr, &memory_));
    }
    MOE_VK(host_.vk().vkBindBufferMemory(device_, buffer, memory_, used_));
    used_ += (std::max(needs.size, needs.alignment) + 4095) / 4096 * 4096;
    return buffer;
  }

  uint64_t address_of(VkBuffer buffer) {
    const VkBufferDeviceAddressInfo info{VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, nullptr, buffer};
    return MOE_COUNTED(vkGetBufferDeviceAddress)(device_, &info);
  }

  // offset: of the first binding, in bytes.
  void run(const VkBuffer* buffers, uint64_t offset, uint64_t address) {
    const VkCommandBuffer commands = host_.allocate_commands();
    host_.begin(commands);
    MOE_COUNTED(vkCmdBindPipeline)(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline_);
    VkDescriptorBufferInfo ranges[4];
    VkWriteDescriptorSet writes[4];
    for (uint32_t i = 0; i < 4; ++i) {
      const VkDeviceSize from = i == 0 ? offset : 0;
      ranges[i] = {buffers[i], from, kBytes - from};
      writes[i] = {VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, nullptr, VK_NULL_HANDLE, i,      0, 1,
                   VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,      nullptr, &ranges[i],     nullptr};
    }
    MOE_COUNTED(vkCmdPushDescriptorSetKHR)(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout_, 0, 4, writes);
    host_.vk().vkCmdPushConstants(commands, layout_, VK_SHADER_STAGE_COMPUTE_BIT, 0, 8, &address);
    MOE_COUNTED(vkCmdDispatch)(commands, kInvocations / 64, 1, 1);
    host_.end(commands);
    host_.submit_and_wait(commands);
  }

  ~Probe() {
    host_.vk().vkDestroyPipeline(device_, pipeline_, nullptr);
    host_.vk().vkDestroyPipelineLayout(device_, layout_, nullptr);
    host_.vk().vkDestroyDescriptorSetLayout(device_, set_, nullptr);
    host_.vk().vkDestroyShaderModule(device_, module_, nullptr);
    for (const VkBuffer buffer : buffers_) MOE_COUNTED(vkDestroyBuffer)(device_, buffer, nullptr);
    host_.vk().vkFreeMemory(device_, memory_, nullptr);
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  static constexpr uint64_t kBytes = 32768;

 private:
  moe_interop::VulkanHost& host_;
  VkDevice device_;
  PFN_vkGetDeviceProcAddr get_;
  VkShaderModule module_ = VK_NULL_HANDLE;
  VkDescriptorSetLayout set_ = VK_NULL_HANDLE;
  VkPipelineLayout layout_ = VK_NULL_HANDLE;
  VkPipeline pipeline_ = VK_NULL_HANDLE;
  VkDeviceMemory memory_ = VK_NULL_HANDLE;
  VkDeviceSize used_ = 0;
  std::vector<VkBuffer> buffers_;
};

class CountAccesses : public BytesTest {};

TEST_F(CountAccesses, AgreesWithCountsByHand) {
  const std::unique_ptr<moe_interop::VulkanHost> host = counted_host(*library_host_, device_index_);
  ByteCounter counter(*host);
  Probe probe(*host);
  probe.create_pipeline(byte_probe_comp, sizeof byte_probe_comp);
  VkBuffer buffers[4];
  for (VkBuffer& buffer : buffers) buffer = probe.create_buffer(Probe::kBytes);
  const VkBuffer words = probe.create_buffer(Probe::kBytes);
  const uint64_t address = probe.address_of(words);
  for (const uint64_t offset : {0, 256}) {
    counter.reset();
    probe.run(buffers, offset, address);
    const std::vector<DispatchBytes> counted = counter.read();
    ASSERT_EQ(counted.size(), 1u);
    VkPhysicalDeviceSubgroupProperties subgroup{};
    subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES;
    VkPhysicalDeviceProperties2 properties{};
    properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    properties.pNext = &subgroup;
    vkGetPhysicalDeviceProperties2(host->physical(), &properties);
    const uint64_t n = kInvocations, groups = n / subgroup.subgroupSize;
    const AccessBytes expected[] = {
        {"Own", false, 4 * n, 4 * n, 16 * n},         // lines of 4 elements
        {"Same", false, 4 * n, 4 * groups, 64},       // one word at byte 20
        {"Rows", false, 2 * n, 2 * n, 64 * (n / 2)},  // rows of 32 bytes: two rows a line, one of them read
        {"weights", false, 4 * n, 2 * n, 2 * n},      // through an address
        {"Out", true, 4 * n, 4 * n, 64 * n},
    };
    ASSERT_EQ(counted[0].accesses.size(), std::size(expected));
    uint64_t distinct = 0;
    for (const AccessBytes& want : expected) {
      const auto got = std::find_if(counted[0].accesses.begin(), counted[0].accesses.end(),
                                    [&](const AccessBytes& one) { return one.name == want.name; });
      ASSERT_NE(got, counted[0].accesses.end()) << want.name;
      EXPECT_EQ(got->writes, want.writes) << want.name;
      EXPECT_EQ(got->requested, want.requested) << want.name;
      EXPECT_EQ(got->coalesced, want.coalesced) << want.name;
      EXPECT_EQ(got->distinct, want.distinct) << want.name;
      distinct += want.distinct;
    }
    EXPECT_EQ(counted[0].distinct(), distinct);
  }
}

TEST_F(CountAccesses, FailsWhereALineBelongsToNoBuffer) {
  const std::unique_ptr<moe_interop::VulkanHost> host = counted_host(*library_host_, device_index_);
  ByteCounter counter(*host);
  Probe probe(*host);
  probe.create_pipeline(byte_probe_comp, sizeof byte_probe_comp);
  VkBuffer buffers[4];
  for (VkBuffer& buffer : buffers) buffer = probe.create_buffer(Probe::kBytes);
  moe_interop::VulkanHost::Buffer unknown = host->create_buffer(Probe::kBytes);
  const VkBufferDeviceAddressInfo info{VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, nullptr, unknown.handle};
  probe.run(buffers, 0, host->vk().vkGetBufferDeviceAddress(host->device(), &info));
  EXPECT_THROW(counter.read(), std::runtime_error);
  host->destroy_buffer(unknown);
}

TEST(CountedKernels, RefuseWhatCannotBeCounted) {
  const CountedKernel good = count_accesses(byte_probe_comp, std::size(byte_probe_comp), 4096, 8);
  EXPECT_EQ(good.why_not, "");
  EXPECT_GT(good.code.size(), std::size(byte_probe_comp));
  const std::vector<std::string> names = {"Own", "Same", "Rows", "Out"};
  EXPECT_EQ(good.binding_names, names);
  const CountedKernel atomic = count_accesses(byte_probe_atomic_comp, std::size(byte_probe_atomic_comp), 4096, 8);
  EXPECT_TRUE(atomic.code.empty());
  EXPECT_EQ(atomic.why_not, "an atomic or a copy");
  const CountedKernel array = count_accesses(byte_probe_array_comp, std::size(byte_probe_array_comp), 4096, 8);
  EXPECT_TRUE(array.code.empty());
  EXPECT_EQ(array.why_not, "an array of descriptors");
  const uint32_t none[] = {1, 2, 3};
  EXPECT_EQ(count_accesses(none, 3, 4096, 8).why_not, "no SPIR-V");
}

TEST(Places, ShareCountersWhereRangesShareMemoryAlone) {
  constexpr uint64_t kGiB = 1ull << 30;
  Places places({{7 * kGiB + 64, kGiB}, {12 * kGiB, 128}});  // the first goes over a multiple of 4 GiB
  EXPECT_TRUE(places.meet());
  Places apart({{7 * kGiB, kGiB}, {8 * kGiB, 128}});
  EXPECT_FALSE(apart.meet());
  std::array<Range, kCountedBindings> ranges{};
  ranges[0] = {100 * kGiB + 32, 64};  // two lines
  ranges[1] = {100 * kGiB + 64, 64};  // the second of them
  ranges[5] = {200 * kGiB, 10};
  ASSERT_TRUE(apart.give(&ranges));
  EXPECT_EQ(ranges[0].address, 128u + 32);  // behind the weights at 0
  EXPECT_EQ(ranges[1].address, 128u + 64);
  EXPECT_EQ(ranges[5].address, 128u + 128);
  std::array<Range, kCountedBindings> large{};
  large[0] = {0, 3 * kGiB};  // what is left has no such piece
  EXPECT_FALSE(apart.give(&large));
}

}  // namespace
}  // namespace moe_bytes
