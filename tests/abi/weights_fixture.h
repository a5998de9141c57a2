// SPDX-License-Identifier: MIT
//
// What tests of the weight transaction share: one that is open on each device, sources to bend, and the check that a
// layer whose transaction was mended is right. A transaction that is cancelled must leave no memory and no object.
#ifndef MOE_TESTS_ABI_WEIGHTS_FIXTURE_H_
#define MOE_TESTS_ABI_WEIGHTS_FIXTURE_H_

#include <string>
#include <vector>

#include "tests/abi/abi_fixture.h"

namespace moe_abi_tests {

// Of small_; a test of another layer sets it before SetUp.
class OpenUploadTest : public AbiDeviceTest {
 protected:
  void SetUp() override;
  void TearDown() override;

  void begin(const moe_upload_desc* upload = nullptr);
  // Ends the transaction; nothing of it may stay.
  void cancel();
  // Commits, and checks that the layer computes the right thing.
  void commit_and_check();

  const moe_conformance::PackedTensor& tensor(const std::string& name) const;
  // All of a tensor from memory: what tests bend.
  moe_tensor_source good(const std::string& name) const;
  void add(const moe_tensor_source& source);
  // Every tensor whose name does not begin so.
  void add_all_but(const std::string& prefix);
  void add_all();

  moe_upload* upload_ = nullptr;
  moe_statistics before_{};
  std::vector<moe_conformance::PackedTensor> tensors_;
};

}  // namespace moe_abi_tests

#endif  // MOE_TESTS_ABI_WEIGHTS_FIXTURE_H_
