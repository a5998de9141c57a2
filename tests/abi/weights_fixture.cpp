// SPDX-License-Identifier: MIT
//
// Opens a transaction, fills it from the layer's packed tensors, and runs the layer that comes out of it.
#include "tests/abi/weights_fixture.h"

#include <algorithm>

#include "plugin_api/moe_plugin.hpp"

namespace moe_abi_tests {

using moe_conformance::PackedTensor;

void OpenUploadTest::SetUp() {
  AbiDeviceTest::SetUp();
  if (IsSkipped() || HasFatalFailure()) return;
  tensors_ = moe_conformance::pack_tensors(small_);
  before_ = statistics();
  begin();
}

void OpenUploadTest::TearDown() {
  cancel();
  AbiDeviceTest::TearDown();
}

void OpenUploadTest::begin(const moe_upload_desc* upload) {
  EXPECT_WORKS(api().begin_weights(device_, &small_.desc, upload, &upload_, &error));
  ASSERT_NE(upload_, nullptr);
}

void OpenUploadTest::cancel() {
  if (upload_ == nullptr) return;
  api().cancel_weights(upload_);
  upload_ = nullptr;
  EXPECT_EQ(statistics().allocated_bytes, before_.allocated_bytes);
  EXPECT_EQ(statistics().live_objects, before_.live_objects);
}

void OpenUploadTest::commit_and_check() {
  moe_layer* layer = nullptr;
  EXPECT_WORKS(api().commit_weights(upload_, &layer, &error));
  ASSERT_NE(layer, nullptr);
  upload_ = nullptr;
  layers_.push_back(layer);
  const uint64_t tokens = small_.tokens, hidden = small_.desc.hidden;
  std::vector<float> y(tokens * hidden);
  const moe_view x_view = moe::host_view(small_.inputs.x.data(), MOE_DTYPE_F32, tokens, hidden);
  const moe_view y_view = moe::host_view(y.data(), MOE_DTYPE_F32, tokens, hidden);
  moe_call_args args = MOE_INIT(moe_call_args);
  args.tokens = tokens;
  args.x = &x_view;
  args.y = &y_view;
  moe_context* context = make_context(tokens);
  uint64_t value = 0;
  EXPECT_WORKS(api().forward(context, layer, &args, &error));
  EXPECT_WORKS(api().flush(context, &value, &error));
  EXPECT_WORKS(api().wait(context, value, UINT64_MAX, &error));
  expect_right(y);
}

const PackedTensor& OpenUploadTest::tensor(const std::string& name) const {
  return *std::find_if(tensors_.begin(), tensors_.end(), [&](const PackedTensor& t) { return t.name == name; });
}

moe_tensor_source OpenUploadTest::good(const std::string& name) const {
  moe_tensor_source source = MOE_INIT(moe_tensor_source);
  const PackedTensor& t = tensor(name);
  source.name = t.name.c_str();
  source.dtype = t.dtype;
  source.memory = t.bytes.data();
  source.bytes = t.bytes.size();
  return source;
}

void OpenUploadTest::add(const moe_tensor_source& source) { EXPECT_WORKS(api().add_tensor(upload_, &source, &error)); }

void OpenUploadTest::add_all_but(const std::string& prefix) {
  for (const PackedTensor& t : tensors_) {
    if (!t.name.starts_with(prefix)) add(good(t.name));
  }
}

void OpenUploadTest::add_all() {
  for (const PackedTensor& t : tensors_) add(good(t.name));
}

}  // namespace moe_abi_tests
