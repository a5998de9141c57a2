// SPDX-License-Identifier: MIT
//
// What the interop tests share: the library, one host with its imported device, a device that the library owns on
// the same driver, and layers whose results both must agree on to the bit.
#ifndef MOE_TESTS_INTEROP_INTEROP_FIXTURE_H_
#define MOE_TESTS_INTEROP_INTEROP_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "plugin_api/moe_plugin_introspection.h"
#include "tests/conformance/device_runner.h"
#include "tests/interop/vulkan_host.h"

namespace moe_interop {

const moe_api& api();
const moe_vulkan_interop& interop();
const moe_external_memory& memory();
const moe_introspection& introspection();

// A layer with odd and even enough sizes to take every path: E experts, k of them, softmax, f32.
moe_conformance::LayerCase make_case(uint32_t experts, uint32_t top_k, uint32_t hidden, uint32_t intermediate,
                                     uint64_t tokens, uint64_t seed);

#define EXPECT_OK(call)                                                                 \
  do {                                                                                  \
    moe_error error = moe_init<moe_error>();                                            \
    EXPECT_EQ((call), MOE_OK) << #call << ": " << error.argument << ": " << error.text; \
  } while (false)

// Fails with this code; the text or the argument contains `words`.
#define EXPECT_REFUSED(status, words, call)                                                     \
  do {                                                                                          \
    moe_error error = moe_init<moe_error>();                                                    \
    EXPECT_EQ((call), status) << #call << ": " << error.argument << ": " << error.text;         \
    EXPECT_NE((std::string(error.argument) + ": " + error.text).find(words), std::string::npos) \
        << #call << ": " << error.argument << ": " << error.text;                               \
  } while (false)

class InteropTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  std::string caps_text(moe_device* device);
  // forward on a context, all views in host memory.
  std::vector<float> run_on_context(moe_device* device, moe_layer* layer, const moe_conformance::LayerCase& c);
  moe_layer* upload(moe_device* device, const moe_conformance::LayerCase& c);
  // A host's buffer and its moe_buffer on host_device_, both gone with the test.
  struct Shared {
    VulkanHost::Buffer host;
    moe_buffer* buffer = nullptr;
    float* floats() const { return reinterpret_cast<float*>(host.mapped); }
  };
  Shared share(uint64_t bytes, VkBufferUsageFlags usage = 0);
  moe_recording* record_forward(moe_layer* layer, const moe_conformance::LayerCase& c, const Shared& x, const Shared& y,
                                moe_buffer* workspace = nullptr, uint64_t workspace_bytes = 0);
  // forward on these views; the recording is gone with the test.
  moe_recording* record_on(moe_layer* layer, const moe_view& x, const moe_view& y, const moe_view* ids = nullptr,
                           moe_buffer* workspace = nullptr, uint64_t workspace_bytes = 0);

  moe_instance* instance_ = nullptr;
  moe_device* owned_ = nullptr;
  std::unique_ptr<VulkanHost> host_;
  moe_device* imported_ = nullptr;
  uint8_t uuid_[16] = {};
  std::vector<moe_layer*> layers_;
  std::vector<moe_recording*> recordings_;
  std::vector<Shared> shared_;
};

}  // namespace moe_interop

#endif  // MOE_TESTS_INTEROP_INTEROP_FIXTURE_H_
