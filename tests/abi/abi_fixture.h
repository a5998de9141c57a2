// SPDX-License-Identifier: MIT
//
// What every test of the ABI needs: the library, an instance whose log is kept, one device (the
// reference and the best other one in turn), and a small layer with its right answer. When a test
// ends, a normal forward must still be right, nothing may be left alive, and no validation message
// may have come.
#ifndef MOE_TESTS_ABI_ABI_FIXTURE_H_
#define MOE_TESTS_ABI_ABI_FIXTURE_H_

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.h"
#include "plugin_api/moe_plugin_introspection.h"
#include "tests/conformance/device_runner.h"
#include "tests/conformance/layer_case.h"

namespace moe_abi_tests {

// The library of this build, loaded once.
const moe_api& api();
const moe_introspection& introspection();

// Did a call fail as it must? `argument` must be the path, or begin it; one of `words` (separated
// by '|') must occur in the text, upper or lower case.
::testing::AssertionResult failed_with(moe_status status, const moe_error& error, moe_status code,
                                       const std::string& argument, const std::string& words);

struct Log {
  std::mutex mutex;
  std::string text;
};

// A moe_error that has something in it, so that clearing it can be seen.
moe_error dirty_error();

// Softmax, 2 of 4 experts, hidden 8, intermediate 6, 5 tokens.
moe_conformance::LayerCase small_layer();

class AbiTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // SetUp's parts, for tests that need an instance of their own.
  void open_instance(const moe_instance_desc* desc = nullptr);
  void open_device(uint64_t budget_bytes = 0);

  virtual bool wants_reference() const { return true; }
  moe_status status_of_open(uint32_t index, moe_device** out, moe_error* error);
  moe_statistics statistics() const;
  // A layer of small_layer() and a context for it on device_, from scratch, must give the right
  // result.
  void expect_usable(const char* when);
  void expect_right(const std::vector<float>& y) const;

  // Objects the tests own; destroyed by TearDown if a test has not.
  moe_layer* make_layer(const moe_conformance::LayerCase& layer_case);
  moe_context* make_context(uint64_t tokens = 5, uint32_t in_flight = 0);
  moe_buffer* make_buffer(uint64_t bytes);

  Log log_;
  moe_instance* instance_ = nullptr;
  moe_device* device_ = nullptr;
  uint32_t device_index_ = 0;
  uint32_t reference_index_ = 0;
  moe_conformance::LayerCase small_ = small_layer();
  std::vector<moe_layer*> layers_;
  std::vector<moe_context*> contexts_;
  std::vector<moe_buffer*> buffers_;
};

// Runs on the reference (GetParam() == true) and on the best Vulkan device, if there is one.
class AbiDeviceTest : public AbiTest, public ::testing::WithParamInterface<bool> {
 protected:
  bool wants_reference() const override { return GetParam(); }
};

inline std::string device_test_name(const ::testing::TestParamInfo<bool>& info) {
  return info.param ? "reference" : "vulkan";
}
#define MOE_ON_BOTH_DEVICES(suite) \
  INSTANTIATE_TEST_SUITE_P(Devices, suite, ::testing::Bool(), ::moe_abi_tests::device_test_name)

// The call's error is `error`; use as: EXPECT_FAILS(INVALID_ARGUMENT, "desc", "NULL",
// api().create_instance(nullptr, &out, &error));
#define EXPECT_FAILS(code, argument, words, call)                                                                 \
  do {                                                                                                            \
    moe_error error = ::moe_abi_tests::dirty_error();                                                             \
    const moe_status status_of_call = (call);                                                                     \
    EXPECT_TRUE(::moe_abi_tests::failed_with(status_of_call, error, MOE_ERROR_##code, argument, words)) << #call; \
  } while (false)

#define EXPECT_WORKS(call)                                                              \
  do {                                                                                  \
    moe_error error = ::moe_abi_tests::dirty_error();                                   \
    EXPECT_EQ((call), MOE_OK) << #call << ": " << error.argument << ": " << error.text; \
    EXPECT_EQ(error.code, MOE_OK) << "the error is not cleared on success";             \
  } while (false)

}  // namespace moe_abi_tests

#endif  // MOE_TESTS_ABI_ABI_FIXTURE_H_
