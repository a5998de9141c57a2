// SPDX-License-Identifier: MIT
//
// What a host may lend: advice before vkCreateDevice, refusals by name, hosts that enabled only the floor, several
// devices in one process, and that nothing of the host's is created or destroyed.
#include <algorithm>
#include <cstdlib>

#include "tests/interop/interop_fixture.h"
#include "tests/interop/interposer.h"

namespace moe_interop {
namespace {

using Import = InteropTest;

TEST_F(Import, AdviceNamesWhatIsRequired) {
  uint32_t count = 0;
  EXPECT_OK(interop().get_requirements(vkGetInstanceProcAddr, host_->instance(), host_->physical(), VK_API_VERSION_1_3,
                                       nullptr, &count, &error));
  ASSERT_GT(count, 3u);
  std::vector<moe_vulkan_requirement> list(count);
  list[0].struct_size = sizeof list[0];  // the first one says how far apart they are
  list[0].next = nullptr;
  EXPECT_OK(interop().get_requirements(vkGetInstanceProcAddr, host_->instance(), host_->physical(), VK_API_VERSION_1_3,
                                       list.data(), &count, &error));
  const auto find = [&](const std::string& name) {
    return std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.name == name; });
  };
  ASSERT_NE(find("timelineSemaphore"), list.end());
  EXPECT_EQ(find("timelineSemaphore")->level, MOE_VULKAN_REQUIRED);
  EXPECT_EQ(find("timelineSemaphore")->supported, 1u);
  EXPECT_EQ(find("timelineSemaphore")->kind, MOE_VULKAN_FEATURE);
  ASSERT_NE(find("bufferDeviceAddress"), list.end());
  EXPECT_EQ(find("bufferDeviceAddress")->level, MOE_VULKAN_RECOMMENDED);
  ASSERT_NE(find("VK_KHR_push_descriptor"), list.end());
  EXPECT_EQ(find("VK_KHR_push_descriptor")->kind, MOE_VULKAN_EXTENSION);
  EXPECT_EQ(find("VK_KHR_timeline_semaphore"), list.end()) << "core in 1.2";
  for (const auto& one : list) EXPECT_NE(one.reason[0], '\0') << one.name;

  EXPECT_OK(interop().get_requirements(vkGetInstanceProcAddr, host_->instance(), host_->physical(), VK_API_VERSION_1_1,
                                       nullptr, &count, &error));
  std::vector<moe_vulkan_requirement> old(count, moe_init<moe_vulkan_requirement>());
  EXPECT_OK(interop().get_requirements(vkGetInstanceProcAddr, host_->instance(), host_->physical(), VK_API_VERSION_1_1,
                                       old.data(), &count, &error));
  EXPECT_TRUE(std::any_of(old.begin(), old.end(), [](const auto& one) {
    return std::string(one.name) == "VK_KHR_timeline_semaphore" && one.level == MOE_VULKAN_REQUIRED;
  }));
}

TEST_F(Import, AddFeaturesFillsTheHostsChain) {
  VkPhysicalDeviceBufferDeviceAddressFeatures addresses{};
  addresses.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES;
  VkPhysicalDeviceTimelineSemaphoreFeatures timeline{};
  timeline.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES;
  timeline.pNext = &addresses;
  VkPhysicalDeviceFeatures2 features{};
  features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  features.pNext = &timeline;
  features.features.wideLines = VK_TRUE;  // the host's own wish
  const auto add = [&](moe_error* error) {
    return interop().add_features(vkGetInstanceProcAddr, host_->instance(), host_->physical(), VK_API_VERSION_1_3,
                                  &features, error);
  };
  EXPECT_OK(add(&error));
  EXPECT_EQ(timeline.timelineSemaphore, VK_TRUE);
  EXPECT_EQ(addresses.bufferDeviceAddress, VK_TRUE);
  EXPECT_EQ(features.features.wideLines, VK_TRUE);
  EXPECT_EQ(features.features.robustBufferAccess, VK_FALSE);
  features.pNext = nullptr;
  EXPECT_REFUSED(MOE_ERROR_UNSUPPORTED, "timelineSemaphore needs VkPhysicalDeviceVulkan12Features", add(&error));
}

TEST_F(Import, WhatIsNotEnabledIsRefusedByName) {
  moe_device* device = nullptr;
  {
    HostOptions poor;
    poor.timeline = false;
    VulkanHost host(&interop(), poor, uuid_);
    const moe_vulkan_device_desc desc = host.import_desc();
    EXPECT_REFUSED(MOE_ERROR_UNSUPPORTED, "timelineSemaphore is not enabled",
                   interop().import_device(instance_, &desc, &device, &error));
  }
  HostOptions poor;
  poor.timeline = poor.device_addresses = poor.array_indexing = false;
  VulkanHost host(&interop(), poor, uuid_);
  const moe_vulkan_device_desc desc = host.import_desc();
  EXPECT_REFUSED(MOE_ERROR_UNSUPPORTED,
                 "timelineSemaphore is not enabled; shaderStorageBufferArrayDynamicIndexing is not",
                 interop().import_device(instance_, &desc, &device, &error));
  EXPECT_EQ(device, nullptr);
}

TEST_F(Import, AnOldHostMustNameTheExtension) {
  moe_vulkan_device_desc desc = host_->import_desc();  // says 1.1, so that nothing of 1.2 may be taken for granted
  desc.api_version = VK_API_VERSION_1_1;
  desc.enabled_extension_count = 0;
  moe_device* device = nullptr;
  EXPECT_REFUSED(MOE_ERROR_UNSUPPORTED, "VK_KHR_timeline_semaphore is not enabled; timelineSemaphore is not enabled",
                 interop().import_device(instance_, &desc, &device, &error));
}

TEST_F(Import, BadArgumentsAreRefused) {
  moe_device* device = nullptr;
  const auto refused = [&](const char* words, auto change) {
    moe_vulkan_device_desc desc = host_->import_desc();
    change(desc);
    EXPECT_REFUSED(MOE_ERROR_INVALID_ARGUMENT, words, interop().import_device(instance_, &desc, &device, &error));
  };
  using Desc = moe_vulkan_device_desc;
  refused("desc.get_instance_proc_addr: is NULL", [](Desc& d) { d.get_instance_proc_addr = nullptr; });
  refused("desc.instance: is NULL", [](Desc& d) { d.instance = nullptr; });
  refused("desc.physical_device: is NULL", [](Desc& d) { d.physical_device = nullptr; });
  refused("desc.device: is NULL", [](Desc& d) { d.device = nullptr; });
  refused("desc.queue: is NULL", [](Desc& d) { d.queue = nullptr; });
  refused("desc.enabled_features: is NULL", [](Desc& d) { d.enabled_features = nullptr; });
  refused("desc.enabled_extensions: is NULL", [](Desc& d) { d.enabled_extensions = nullptr; });
  refused("desc.api_version", [](Desc& d) { d.api_version = VK_API_VERSION_1_0; });
  refused("desc.lock_queue", [](Desc& d) { d.unlock_queue = nullptr; });
  refused("desc.struct_size", [](Desc& d) { d.struct_size = 8; });
  moe_vulkan_device_desc desc = host_->import_desc();
  desc.queue_family = 99;
  EXPECT_REFUSED(MOE_ERROR_NO_DEVICE, "the queue family does not compute",
                 interop().import_device(instance_, &desc, &device, &error));
}

// Only the floor: windows instead of addresses, descriptor sets instead of pushes, and the same bits.
TEST_F(Import, AHostWithTheFloorGetsTheBaseline) {
  HostOptions floor;
  floor.device_addresses = floor.recommended_extensions = false;
  VulkanHost host(&interop(), floor, uuid_);
  moe_device* device = host.import(instance_);
  const std::string caps = caps_text(device);
  EXPECT_NE(caps.find("buffer_device_address = 0"), std::string::npos) << caps;
  EXPECT_NE(caps.find("push_descriptors = 0"), std::string::npos) << caps;
  const moe_conformance::LayerCase c = make_case(16, 2, 48, 40, 21, 4);
  std::string plan;
  const auto write = [](void* user, const char* part, uint64_t bytes) {
    static_cast<std::string*>(user)->append(part, bytes);
  };
  EXPECT_OK(introspection().get_plan_text(caps.c_str(), &c.desc, c.tokens, write, &plan, &error));
  EXPECT_NE(plan.find("windows"), std::string::npos) << plan;
  const std::vector<float> expected = run_on_context(owned_, upload(owned_, c), c);
  EXPECT_EQ(run_on_context(device, upload(device, c), c), expected);
  api().destroy_layer(layers_.back());
  layers_.pop_back();
  api().close_device(device);
}

TEST_F(Import, AnInstanceWithoutVulkanServesToo) {
  moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  desc.flags = MOE_INSTANCE_NO_VULKAN;
  moe_instance* instance = nullptr;
  EXPECT_OK(api().create_instance(&desc, &instance, &error));
  moe_device* device = host_->import(instance);
  const moe_conformance::LayerCase c = make_case(8, 2, 32, 24, 3, 5);
  const std::vector<float> expected = run_on_context(owned_, upload(owned_, c), c);
  moe_layer* layer = moe_conformance::upload_layer(&api(), device, c).release();
  EXPECT_EQ(run_on_context(device, layer, c), expected);
  api().destroy_instance(instance);  // first: children keep what they need
  api().close_device(device);
  api().destroy_layer(layer);
}

TEST_F(Import, EverySubmitIsLocked) {
  const moe_conformance::LayerCase c = make_case(8, 2, 32, 24, 3, 5);
  moe_layer* layer = upload(imported_, c);
  const uint64_t before = host_->locks();
  moe_statistics statistics = MOE_INIT(moe_statistics);
  EXPECT_OK(introspection().get_statistics(instance_, &statistics, &error));
  const uint64_t submits = statistics.submits;
  run_on_context(imported_, layer, c);
  EXPECT_OK(introspection().get_statistics(instance_, &statistics, &error));
  EXPECT_EQ(host_->locks() - before, statistics.submits - submits);
  EXPECT_GT(host_->locks(), before);
}

TEST_F(Import, NothingOfTheHostsIsTouched) {
  HostOptions options;
  options.get_instance_proc_addr = counting_get_instance_proc_addr;
  VulkanHost host(&interop(), options, uuid_);
  reset_driver_calls();
  moe_device* device = host.import(instance_);
  const moe_conformance::LayerCase c = make_case(8, 2, 32, 24, 3, 5);
  run_on_context(device, upload(device, c), c);
  api().destroy_layer(layers_.back());
  layers_.pop_back();
  api().close_device(device);
  const DriverCalls calls = driver_calls();
  EXPECT_EQ(calls.counts.count("vkDestroyDevice"), 0u);
  EXPECT_EQ(calls.counts.count("vkGetDeviceQueue"), 0u);
  EXPECT_GT(calls.counts.at("vkQueueSubmit"), 0u);
  EXPECT_TRUE(uncounted_functions().empty()) << "loaded but not counted: " << uncounted_functions().front();
}

// Two imported devices and one owned in a process, closed in every order, layers before and after.
TEST_F(Import, ThreeDevicesEndInAnyOrder) {
  const moe_conformance::LayerCase c = make_case(8, 2, 32, 24, 3, 5);
  const std::vector<float> expected = run_on_context(owned_, upload(owned_, c), c);
  int order[] = {0, 1, 2};
  do {
    VulkanHost second(&interop(), {}, uuid_), third(&interop(), {}, uuid_);
    moe_device_desc desc = MOE_INIT(moe_device_desc);
    EXPECT_OK(api().choose_device(instance_, &desc.index, &error));
    moe_device* devices[3] = {second.import(instance_), third.import(instance_), nullptr};
    EXPECT_OK(api().open_device(instance_, &desc, &devices[2], &error));
    moe_layer* layers[3];
    for (int i : order) layers[i] = moe_conformance::upload_layer(&api(), devices[i], c).release();
    for (int i : order) EXPECT_EQ(run_on_context(devices[i], layers[i], c), expected);
    for (int i : order) {
      if (i % 2 == 0) api().close_device(devices[i]);
      api().destroy_layer(layers[i]);
      if (i % 2 == 1) api().close_device(devices[i]);
    }
  } while (std::next_permutation(order, order + 3));
  moe_statistics statistics = MOE_INIT(moe_statistics);
  EXPECT_OK(introspection().get_statistics(instance_, &statistics, &error));
  EXPECT_EQ(statistics.live_objects, 3u) << "the fixture's two devices and the layer";
}

}  // namespace
}  // namespace moe_interop
