// SPDX-License-Identifier: MIT
//
// The door: which versions agree, what the table holds, how structs of older and newer hosts are
// taken, NULL in every place, instances and devices.
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "plugin_api/moe_loader.h"
#include "tests/abi/abi_fixture.h"
#include "tests/support/system.h"

namespace moe_abi_tests {
namespace {

moe_plugin_entry_fn entry() {
  static moe_library library{};
  if (library.handle == nullptr) moe_library_open(&library, MOEVK_TEST_LIBRARY, nullptr);
#if defined(_WIN32)
  const FARPROC symbol = GetProcAddress(static_cast<HMODULE>(library.handle), MOE_PLUGIN_ENTRY_NAME);
#else
  void* const symbol = dlsym(library.handle, MOE_PLUGIN_ENTRY_NAME);
#endif
  moe_plugin_entry_fn function = nullptr;
  std::memcpy(&function, &symbol, sizeof function);
  return function;
}

constexpr uint32_t kCurrent = MOE_ABI_VERSION_CURRENT;

TEST(Entry, AgreesOnTheVersionBothKnow) {
  const moe_api* table = nullptr;
  EXPECT_WORKS(entry()(kCurrent, kCurrent, &table, &error));
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(table->version, kCurrent);
  EXPECT_EQ(table->struct_size, sizeof(moe_api));
  ASSERT_NE(table->build, nullptr);
  EXPECT_NE(table->build[0], '\0');
  const moe_api* wide = nullptr;
  EXPECT_WORKS(entry()(MOE_ABI_VERSION(0, 0), MOE_ABI_VERSION(7, 9), &wide, &error));
  EXPECT_EQ(wide->version, kCurrent);
  EXPECT_EQ(entry()(kCurrent, kCurrent, &table, nullptr), MOE_OK);
}

TEST(Entry, RefusesOtherVersions) {
  const moe_api* table = nullptr;
  EXPECT_FAILS(VERSION, "", "version|0.1", entry()(MOE_ABI_VERSION(0, 0), MOE_ABI_VERSION(0, 0), &table, &error));
  EXPECT_FAILS(VERSION, "", "version|0.1", entry()(MOE_ABI_VERSION(0, 2), MOE_ABI_VERSION(9, 0), &table, &error));
  EXPECT_EQ(entry()(MOE_ABI_VERSION(0, 2), MOE_ABI_VERSION(9, 0), &table, nullptr), MOE_ERROR_VERSION);
  EXPECT_EQ(table, nullptr);
  EXPECT_FAILS(INVALID_ARGUMENT, "", "version|min|max",
               entry()(MOE_ABI_VERSION(1, 0), MOE_ABI_VERSION(0, 1), &table, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "out", "NULL", entry()(kCurrent, kCurrent, nullptr, &error));
}

TEST(Entry, LoaderChecksTheTable) {
  moe_error error = MOE_INIT(moe_error);
  EXPECT_EQ(moe_loader_check(&api(), &error), MOE_OK);
  moe_api gap = api();
  gap.flush = nullptr;
  EXPECT_EQ(moe_loader_check(&gap, &error), MOE_ERROR_VERSION);
  EXPECT_NE(std::strstr(error.text, "NULL"), nullptr);
  moe_api old = api();
  old.struct_size = offsetof(moe_api, abort);
  EXPECT_EQ(moe_loader_check(&old, &error), MOE_ERROR_VERSION);
  moe_library library;
  EXPECT_EQ(moe_library_open(&library, "/nowhere/libmoevk.so", &error), MOE_ERROR_NO_DEVICE);
  EXPECT_NE(std::strstr(error.text, "/nowhere/libmoevk.so"), nullptr) << error.text;
  EXPECT_EQ(library.handle, nullptr);
  EXPECT_STREQ(error.argument, "path");
  EXPECT_EQ(moe_loader_check(&gap, &error), MOE_ERROR_VERSION);
  EXPECT_STREQ(error.argument, "library");
  // A moe_error that is too short is refused, and not written.
  error = dirty_error();
  error.struct_size = 40;
  EXPECT_EQ(moe_library_open(&library, "/nowhere/libmoevk.so", &error), MOE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(moe_loader_check(&gap, &error), MOE_ERROR_VERSION);
  EXPECT_EQ(error.code, 77);
  EXPECT_STREQ(error.text, "?");
}

// A path is UTF-8 on every system.
TEST(Entry, LoaderTakesUtf8) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() /
      moe_tests::path_of("moe-abi-Größe-重み-" + std::to_string(moe_tests::process_id()));
  std::filesystem::create_directories(folder);
  const std::filesystem::path copy = folder / moe_tests::path_of(MOEVK_TEST_LIBRARY).filename();
  std::filesystem::copy_file(moe_tests::path_of(MOEVK_TEST_LIBRARY), copy);
  moe_error error = MOE_INIT(moe_error);
  moe_library library;
  EXPECT_EQ(moe_library_open(&library, moe_tests::utf8_of(copy).c_str(), &error), MOE_OK) << error.text;
  EXPECT_NE(library.api, &api());
  moe_library_close(&library);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

TEST(Entry, ExtensionsByName) {
  EXPECT_NE(api().get_extension(MOE_EXTENSION_INTROSPECTION), nullptr);
  EXPECT_EQ(introspection().struct_size, sizeof(moe_introspection));
  EXPECT_EQ(api().get_extension("moe.does_not_exist"), nullptr);
  EXPECT_EQ(api().get_extension(""), nullptr);
  EXPECT_EQ(api().get_extension(nullptr), nullptr);
}

class InstanceTest : public AbiTest {};

TEST_F(InstanceTest, StructSizes) {
  moe_instance* out = nullptr;
  moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  desc.struct_size = 0;
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.struct_size", "0|short|small", api().create_instance(&desc, &out, &error));
  desc.struct_size = 8;
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.struct_size", "8|short|small", api().create_instance(&desc, &out, &error));

  struct Newer {
    moe_instance_desc known;
    uint8_t tail[16];
  } newer{};
  newer.known = MOE_INIT(moe_instance_desc);
  newer.known.flags = MOE_INSTANCE_NO_VULKAN;
  newer.known.struct_size = sizeof(Newer);
  EXPECT_WORKS(api().create_instance(&newer.known, &out, &error));
  api().destroy_instance(out);
  out = nullptr;
  newer.tail[5] = 1;
  const std::string offset = std::to_string(sizeof(moe_instance_desc) + 5);
  EXPECT_FAILS(INVALID_ARGUMENT, "desc", offset, api().create_instance(&newer.known, &out, &error));
  EXPECT_EQ(out, nullptr);
}

TEST_F(InstanceTest, UnknownChainedStruct) {
  const moe_chain chain = {sizeof(moe_chain), nullptr, 12345};
  moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  desc.next = &chain;
  moe_instance* out = nullptr;
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.next", "12345", api().create_instance(&desc, &out, &error));
  moe_layer_desc layer = small_.desc;
  layer.next = &chain;
  moe_support support = MOE_INIT(moe_support);
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.next", "12345", api().query_support(device_, &layer, &support, &error));
}

TEST_F(InstanceTest, BadDescriptors) {
  moe_instance* out = nullptr;
  moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  desc.flags = 1u << 30;
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.flags", "unknown|flag|bit", api().create_instance(&desc, &out, &error));
  desc.flags = 0;
  desc.reserved = 4;
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.reserved", "0|zero", api().create_instance(&desc, &out, &error));
  desc.reserved = 0;
  desc.allocate = [](void*, uint64_t, uint64_t) -> void* { return nullptr; };
  EXPECT_FAILS(INVALID_ARGUMENT, "desc.", "allocate", api().create_instance(&desc, &out, &error));
  EXPECT_EQ(out, nullptr);
}

TEST_F(InstanceTest, NullPointers) {
  moe_instance* instance = nullptr;
  moe_device* device = nullptr;
  uint32_t number = 0;
  const moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  const moe_device_desc device_desc = MOE_INIT(moe_device_desc);
  moe_device_info info = MOE_INIT(moe_device_info);
  EXPECT_FAILS(INVALID_ARGUMENT, "desc", "NULL", api().create_instance(nullptr, &instance, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "out", "NULL", api().create_instance(&desc, nullptr, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "instance", "NULL", api().get_device_count(nullptr, &number, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "count", "NULL", api().get_device_count(instance_, nullptr, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "instance", "NULL", api().get_device_info(nullptr, 0, &info, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "info", "NULL", api().get_device_info(instance_, 0, nullptr, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "instance", "NULL", api().choose_device(nullptr, &number, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "index", "NULL", api().choose_device(instance_, nullptr, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "instance", "NULL", api().open_device(nullptr, &device_desc, &device, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "desc", "NULL", api().open_device(instance_, nullptr, &device, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "out", "NULL", api().open_device(instance_, &device_desc, nullptr, &error));
  EXPECT_NE(api().why_no_gpu(nullptr), nullptr);
  // Nothing is there to destroy.
  api().destroy_instance(nullptr);
  api().close_device(nullptr);
  api().cancel_weights(nullptr);
  api().destroy_layer(nullptr);
  api().destroy_buffer(nullptr);
  api().destroy_context(nullptr);
  // Without an error struct the code alone is given.
  EXPECT_EQ(api().create_instance(nullptr, &instance, nullptr), MOE_ERROR_INVALID_ARGUMENT);
}

TEST_F(InstanceTest, ErrorStructs) {
  // One that cannot hold the text stays as it is; the code is given anyway.
  moe_error error = dirty_error();
  error.struct_size = 40;
  EXPECT_EQ(api().get_device_count(instance_, nullptr, &error), MOE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(error.code, 77);
  EXPECT_STREQ(error.text, "?");
  // A newer one is written as far as it is known.
  struct Newer {
    moe_error known;
    uint8_t tail[8];
  } newer{};
  newer.known = dirty_error();
  newer.known.struct_size = sizeof(Newer);
  EXPECT_EQ(api().get_device_count(instance_, nullptr, &newer.known), MOE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(newer.known.code, MOE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(newer.known.vk_result, 0);
  EXPECT_STREQ(newer.known.argument, "count");
}

TEST_F(InstanceTest, Devices) {
  moe_device_info info = MOE_INIT(moe_device_info);
  EXPECT_WORKS(api().get_device_info(instance_, reference_index_, &info, &error));
  EXPECT_EQ(info.kind, MOE_DEVICE_KIND_REFERENCE);
  EXPECT_EQ(info.usable, 1u);
  EXPECT_NE(info.name[0], '\0');
  moe_device* out = nullptr;
  EXPECT_FAILS(NO_DEVICE, "desc.index", "device", status_of_open(reference_index_ + 1, &out, &error));
  EXPECT_FAILS(NO_DEVICE, "index", "device", api().get_device_info(instance_, 0xffffffffu, &info, &error));
  EXPECT_EQ(out, nullptr);
  info.struct_size = 12;
  EXPECT_FAILS(INVALID_ARGUMENT, "info.struct_size", "12|short|small",
               api().get_device_info(instance_, 0, &info, &error));
}

TEST_F(InstanceTest, WithoutVulkanThereIsTheReferenceAndAReason) {
  moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  desc.flags = MOE_INSTANCE_NO_VULKAN;
  moe_instance* bare = nullptr;
  EXPECT_WORKS(api().create_instance(&desc, &bare, &error));
  uint32_t count = 0, best = 7;
  EXPECT_WORKS(api().get_device_count(bare, &count, &error));
  EXPECT_EQ(count, 1u);
  EXPECT_WORKS(api().choose_device(bare, &best, &error));
  EXPECT_EQ(best, 0u);
  EXPECT_STRNE(api().why_no_gpu(bare), "");
  api().destroy_instance(bare);
}

// The reference in place of the device that was meant would pass for it.
TEST_F(InstanceTest, BadLimitsAreAnError) {
  moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  moe_instance* out = nullptr;
  uint32_t best = 0;
  EXPECT_WORKS(api().choose_device(instance_, &best, &error));
  for (const uint32_t flags : {0u, MOE_INSTANCE_NO_VULKAN}) {
    desc.flags = flags;
    for (const char* bad : {"no_such=1", "max_bound_sets=many", "max_bound_sets", "name=x"}) {
      moe_tests::set_environment("MOEVK_LIMITS", bad);
      EXPECT_FAILS(INVALID_ARGUMENT, "MOEVK_LIMITS", "fact|value|lowered", api().create_instance(&desc, &out, &error));
    }
  }
  desc.flags = 0;
  moe_tests::set_environment("MOEVK_LIMITS", "max_workgroup_size_x=4294967295");
  if (best != reference_index_) {
    EXPECT_FAILS(INVALID_ARGUMENT, "MOEVK_LIMITS", "only go down", api().create_instance(&desc, &out, &error));
  } else {
    EXPECT_WORKS(api().create_instance(&desc, &out, &error));
    api().destroy_instance(out);
  }
  moe_tests::unset_environment("MOEVK_LIMITS");
}

TEST_F(InstanceTest, ValidationThatCannotStartIsAnError) {
  uint32_t best = 0;
  EXPECT_WORKS(api().choose_device(instance_, &best, &error));
  if (best == reference_index_) GTEST_SKIP() << "no Vulkan device: " << api().why_no_gpu(instance_);
  // A layer of the right name without a library and without the extensions that come with it.
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("moevk-layer-" + std::to_string(moe_tests::process_id()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "layer.json") << R"({"file_format_version": "1.1.2", "layer": {
    "name": "VK_LAYER_KHRONOS_validation", "type": "GLOBAL", "library_path": "./nowhere.so",
    "api_version": "1.3.0", "implementation_version": "1", "description": "not there"}})";
  const char* before = std::getenv("VK_LAYER_PATH");
  const std::string path = before != nullptr ? before : "";
  moe_tests::set_environment("VK_LAYER_PATH", moe_tests::utf8_of(folder).c_str());
  moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  desc.flags = MOE_INSTANCE_VALIDATION;
  moe_instance* out = nullptr;
  EXPECT_FAILS(DRIVER, "validation", "vkCreateInstance", api().create_instance(&desc, &out, &error));
  before != nullptr ? moe_tests::set_environment("VK_LAYER_PATH", path.c_str())
                    : moe_tests::unset_environment("VK_LAYER_PATH");
  std::filesystem::remove_all(folder);
}

// Bulk memory that a host's allocator has given and not got back.
struct Counter {
  std::mutex mutex;
  int64_t bytes = 0, calls = 0;

  moe_instance_desc desc() {
    moe_instance_desc desc = MOE_INIT(moe_instance_desc);
    desc.user = this;
    desc.log = [](void*, uint32_t, const char*) {};
    desc.allocate = [](void* user, uint64_t bytes, uint64_t alignment) -> void* {
      Counter& c = *static_cast<Counter*>(user);
      const std::lock_guard<std::mutex> lock(c.mutex);
      c.bytes += static_cast<int64_t>(bytes);
      ++c.calls;
      return moe_tests::allocate_aligned(static_cast<size_t>(bytes), static_cast<size_t>(alignment));
    };
    desc.deallocate = [](void* user, void* pointer, uint64_t bytes, uint64_t) {
      Counter& c = *static_cast<Counter*>(user);
      const std::lock_guard<std::mutex> lock(c.mutex);
      c.bytes -= static_cast<int64_t>(bytes);
      moe_tests::free_aligned(pointer);
    };
    return desc;
  }
};

TEST_F(InstanceTest, HostAllocatorGetsEverythingBack) {
  Counter counter;
  const moe_instance_desc desc = counter.desc();
  moe_instance* own = nullptr;
  EXPECT_WORKS(api().create_instance(&desc, &own, &error));
  std::swap(own, instance_);
  moe_device* device = nullptr;
  EXPECT_WORKS(status_of_open(reference_index_, &device, &error));
  std::swap(device, device_);
  expect_usable("with the host's allocator");
  // Every weight of the reference is bulk memory: matrices, router, biases, norm.
  moe_layer_desc layer = small_.desc;
  layer.flags = MOE_LAYER_ROUTER_BIAS | MOE_LAYER_SELECTION_BIAS | MOE_LAYER_EXPERT_BIAS | MOE_LAYER_INPUT_NORM;
  const moe_layer_desc* const descs[] = {&layer};
  moe_estimate estimate = MOE_INIT(moe_estimate);
  EXPECT_WORKS(api().estimate(device_, descs, 1, 5, &estimate, &error));
  const int64_t before = counter.bytes;
  moe_upload* upload = nullptr;
  EXPECT_WORKS(api().begin_weights(device_, &layer, nullptr, &upload, &error));
  EXPECT_EQ(counter.bytes - before, static_cast<int64_t>(estimate.weight_bytes));
  api().cancel_weights(upload);
  std::swap(device, device_);
  std::swap(own, instance_);
  api().close_device(device);
  api().destroy_instance(own);
  EXPECT_GT(counter.calls, 0);
  EXPECT_EQ(counter.bytes, 0);
}

}  // namespace
}  // namespace moe_abi_tests
