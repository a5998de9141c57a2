// SPDX-License-Identifier: MIT
//
// In:  the library and the device that it chooses, or that MOEVK_DEVICE names.
// Out: a test that is skipped with the reason where nothing can be counted, and fails if validation says anything.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

#include "tests/bytes/counted_layer.h"
#include "tests/validation.h"

namespace moe_bytes {

class BytesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    moe_tests::create_instance(moe::Library(MOEVK_TEST_LIBRARY));  // validation is dropped where it is not installed
    library_host_ = std::make_unique<moevk::cli::Host>(moevk::cli::GlobalOptions{MOEVK_TEST_LIBRARY});
    const char* const named = std::getenv("MOEVK_DEVICE");
    device_index_ = library_host_->find(named != nullptr ? named : "");
    if (device_index_ == library_host_->reference()) GTEST_SKIP() << "no Vulkan device";
    const std::string why_not = cannot_count(*library_host_, device_index_);
    if (!why_not.empty()) GTEST_SKIP() << why_not;
  }
  void TearDown() override { EXPECT_EQ(moe_interop::validation_messages(), 0u) << moe_interop::validation_text(); }

  std::unique_ptr<moevk::cli::Host> library_host_;
  uint32_t device_index_ = 0;
};

}  // namespace moe_bytes
