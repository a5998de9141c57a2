// SPDX-License-Identifier: MIT
//
// In:  version numbers, the layouts that vtables.h declares, and the built plugin in a process without ggml.
// Out: tests of which ggml is spoken to, by which tables, and of what a host hears that has none.
// Why: a wrong table would be called through; an unknown host must be left in peace, with the reason.
#include "hosts/ggml/host_ggml.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include "hosts/ggml/vtables.h"

namespace moevk::ggml {
namespace {

TEST(HostGgml, KnowsTwoVersions) {
#if defined(MOEVK_GGML_VERSION)
  GTEST_SKIP() << "built for ggml " << MOEVK_GGML_VERSION << " alone";
#else
  std::string why;
  EXPECT_EQ(known_api_version("0.27.0", why), 3);
  EXPECT_EQ(known_api_version("0.25.1", why), 2);
  for (const char* version : {"0.26.0", "0.28.1", "0.24.9", "1.25.0", "0.2.7"}) {
    why.clear();
    EXPECT_EQ(known_api_version(version, why), 0) << version;
    EXPECT_NE(why.find(version), std::string::npos) << why;
  }
  EXPECT_EQ(known_api_version("unknown", why), 0);
  EXPECT_NE(why.find("is not a version number"), std::string::npos) << why;
#endif
}

// Facts of ggml-backend-impl.h: API 3 has two more functions.
TEST(HostGgml, PlacesOfABufferType) {
  constexpr BufferTypePlaces two = places_of<BufferType2>(), three = places_of<BufferType3>();
  EXPECT_EQ(two.get_name, 0u);
  EXPECT_EQ(two.alloc_buffer, 1u);
  EXPECT_EQ(two.get_alignment, 2u);
  EXPECT_EQ(two.is_host, 5u);
  EXPECT_EQ(two.device, 6u);
  EXPECT_EQ(two.words, 8u);
  EXPECT_EQ(three.get_alignment, 3u);
  EXPECT_EQ(three.is_host, 7u);
  EXPECT_EQ(three.device, 8u);
  EXPECT_EQ(three.words, 10u);
}

TEST(HostGgml, TellsAHostWithoutItsSymbols) {
  void* plugin = dlopen(MOEVK_GGML_PLUGIN, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(plugin, nullptr) << dlerror();
  void* (*init)() = nullptr;
  void* symbol = dlsym(plugin, "ggml_backend_init");
  std::memcpy(reinterpret_cast<void*>(&init), &symbol, sizeof init);
  ASSERT_NE(init, nullptr);
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(init(), nullptr);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("the host links ggml statically"), std::string::npos) << said;
  dlclose(plugin);
}

}  // namespace
}  // namespace moevk::ggml
