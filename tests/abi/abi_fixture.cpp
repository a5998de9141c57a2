// SPDX-License-Identifier: MIT
//
// Loads the library through the public loader, opens devices, and checks at the end of each test
// that the device still works and that nothing is left.
#include "tests/abi/abi_fixture.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "plugin_api/moe_loader.h"
#include "plugin_api/moe_plugin.hpp"
#include "tests/conformance/numbers.h"
#include "tests/conformance/oracle.h"
#include "tests/conformance/random_layer.h"
#include "tests/validation.h"

namespace moe_abi_tests {
namespace {

using moe_conformance::LayerCase;

const moe_library& library() {
  static const moe_library loaded = [] {
    moe_library result{};
    moe_error error = MOE_INIT(moe_error);
    if (moe_library_open(&result, MOEVK_TEST_LIBRARY, &error) != MOE_OK) {
      std::fprintf(stderr, "%s: %s\n", MOEVK_TEST_LIBRARY, error.text);
      std::abort();
    }
    return result;
  }();
  return loaded;
}

void MOE_CALL keep_log(void* user, uint32_t, const char* message) {
  Log& log = *static_cast<Log*>(user);
  const std::lock_guard<std::mutex> lock(log.mutex);
  log.text += message;
  log.text += '\n';
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char ch) { return static_cast<char>(std::tolower(ch)); });
  return text;
}

}  // namespace

const moe_api& api() { return *library().api; }

const moe_introspection& introspection() {
  const void* table = api().get_extension(MOE_EXTENSION_INTROSPECTION);
  if (table == nullptr) {
    std::fprintf(stderr, "the library does not offer %s\n", MOE_EXTENSION_INTROSPECTION);
    std::abort();
  }
  return *static_cast<const moe_introspection*>(table);
}

::testing::AssertionResult failed_with(moe_status status, const moe_error& error, moe_status code,
                                       const std::string& argument, const std::string& words) {
  const auto bad = [&] {
    return ::testing::AssertionFailure() << "status " << status << ", error {" << error.code << ", '" << error.argument
                                         << "', '" << error.text << "'}: ";
  };
  if (status != code) return bad() << "the status must be " << code;
  if (error.code != code) return bad() << "the error's code must be " << code;
  const std::string path = error.argument;
  if (path.compare(0, argument.size(), argument) != 0) return bad() << "the argument must be " << argument;
  if (error.text[0] == '\0') return bad() << "there is no text";
  const std::string text = lower(error.text);
  size_t begin = 0;
  while (begin <= words.size()) {
    const size_t end = std::min(words.find('|', begin), words.size());
    if (text.find(lower(words.substr(begin, end - begin))) != std::string::npos) return ::testing::AssertionSuccess();
    begin = end + 1;
  }
  return bad() << "the text must say " << words;
}

moe_error dirty_error() {
  moe_error error = MOE_INIT(moe_error);
  error.code = 77;
  error.vk_result = 77;
  std::strcpy(error.argument, "nothing");
  std::strcpy(error.text, "?");
  return error;
}

LayerCase small_layer() { return moe_conformance::softmax_layer(4, 2, 8, 6, 5, moe_conformance::Random(11)); }

void AbiTest::open_instance(const moe_instance_desc* given) {
  moe_instance_desc desc = MOE_INIT(moe_instance_desc);
  desc.user = &log_;
  desc.log = keep_log;
  moe_error error = dirty_error();
  const auto create = [&] { return api().create_instance(given != nullptr ? given : &desc, &instance_, &error); };
  moe_status status = create();
  if (moe_tests::drop_missing_validation(status, error.argument)) status = create();
  EXPECT_EQ(status, MOE_OK) << error.argument << ": " << error.text;
  EXPECT_EQ(error.code, MOE_OK) << "the error is not cleared on success";
  ASSERT_NE(instance_, nullptr);
  uint32_t count = 0;
  EXPECT_WORKS(api().get_device_count(instance_, &count, &error));
  ASSERT_GE(count, 1u);
  reference_index_ = count - 1;
}

void AbiTest::open_device(uint64_t budget_bytes) {
  moe_device_desc desc = MOE_INIT(moe_device_desc);
  desc.index = device_index_;
  desc.memory_budget_bytes = budget_bytes;
  EXPECT_WORKS(api().open_device(instance_, &desc, &device_, &error));
  ASSERT_NE(device_, nullptr);
}

void AbiTest::SetUp() {
  ASSERT_NO_FATAL_FAILURE(open_instance());
  device_index_ = reference_index_;
  if (!wants_reference()) {
    EXPECT_WORKS(api().choose_device(instance_, &device_index_, &error));
    if (device_index_ == reference_index_) GTEST_SKIP() << "no Vulkan device: " << api().why_no_gpu(instance_);
  }
  ASSERT_NO_FATAL_FAILURE(open_device());
}

void AbiTest::TearDown() {
  for (moe_context* context : contexts_) api().destroy_context(context);
  for (moe_layer* layer : layers_) api().destroy_layer(layer);
  for (moe_buffer* buffer : buffers_) api().destroy_buffer(buffer);
  if (instance_ == nullptr) return;
  if (device_ != nullptr) {
    expect_usable("at the end of the test");
    api().close_device(device_);
  }
  const moe_statistics end = statistics();
  EXPECT_EQ(end.live_objects, 0u);
  EXPECT_EQ(end.allocated_bytes, 0u);
  EXPECT_EQ(end.validation_messages, 0u) << log_.text;
  api().destroy_instance(instance_);
}

moe_status AbiTest::status_of_open(uint32_t index, moe_device** out, moe_error* error) {
  moe_device_desc desc = MOE_INIT(moe_device_desc);
  desc.index = index;
  return api().open_device(instance_, &desc, out, error);
}

moe_statistics AbiTest::statistics() const {
  moe_statistics result = MOE_INIT(moe_statistics);
  EXPECT_WORKS(introspection().get_statistics(instance_, &result, &error));
  return result;
}

void AbiTest::expect_right(const std::vector<float>& y) const {
  const moe_conformance::RouteOracle route = moe_conformance::route_oracle(small_);
  const std::vector<double> truth =
      moe_conformance::output_oracle(small_, route.ids, moe_conformance::weights_oracle(small_, route, route.ids)).y;
  ASSERT_EQ(y.size(), truth.size());
  double largest = 0;
  for (const double value : truth) largest = std::max(largest, std::fabs(value));
  for (size_t i = 0; i < y.size(); ++i)
    ASSERT_NEAR(static_cast<double>(y[i]), truth[i], 1e-5 * largest) << "y[" << i << "]";
}

void AbiTest::expect_usable(const char* when) {
  SCOPED_TRACE(when);
  try {
    moe_conformance::DeviceRunner runner(&api(), device_, small_);
    expect_right(
        moe_conformance::from_bytes<float>(runner.forward_y_alone(small_.inputs, small_.tokens, small_.arrangement)));
  } catch (const std::exception& error) {
    ADD_FAILURE() << "a normal forward fails: " << error.what();
  }
}

moe_layer* AbiTest::make_layer(const LayerCase& c) {
  layers_.push_back(moe_conformance::upload_layer(&api(), device_, c).release());
  return layers_.back();
}

moe_context* AbiTest::make_context(uint64_t tokens, uint32_t in_flight) {
  moe_context_desc desc = MOE_INIT(moe_context_desc);
  desc.max_tokens = tokens;
  desc.flushes_in_flight = in_flight;
  moe_context* context = nullptr;
  EXPECT_WORKS(api().create_context(device_, &desc, &context, &error));
  if (context != nullptr) contexts_.push_back(context);
  return context;
}

moe_buffer* AbiTest::make_buffer(uint64_t bytes) {
  moe_buffer* buffer = nullptr;
  EXPECT_WORKS(api().create_buffer(device_, bytes, &buffer, &error));
  if (buffer != nullptr) buffers_.push_back(buffer);
  return buffer;
}

}  // namespace moe_abi_tests
