// SPDX-License-Identifier: MIT
//
// A good call of the small layer, in host memory, that tests bend one thing at a time; after each
// refusal the unbent call must still be right on the same context.
#ifndef MOE_TESTS_ABI_CALL_FIXTURE_H_
#define MOE_TESTS_ABI_CALL_FIXTURE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/abi/abi_fixture.h"

namespace moe_abi_tests {

// Every view that forward of the small layer can be given, over its own memory.
struct GoodCall {
  explicit GoodCall(const moe_conformance::LayerCase& c) : x_data(c.inputs.x) {
    x = make(x_data.data(), MOE_DTYPE_F32, 5, 8);
    residual = make(residual_data.data(), MOE_DTYPE_F32, 5, 8);
    y = make(y_data.data(), MOE_DTYPE_F32, 5, 8);
    ids = make(ids_data.data(), MOE_DTYPE_I32, 5, 2);
    weights = make(weights_data.data(), MOE_DTYPE_F32, 5, 2);
    logits = make(logits_data.data(), MOE_DTYPE_F32, 5, 4);
    scores = make(scores_data.data(), MOE_DTYPE_F32, 5, 4);
    counts = make(counts_data.data(), MOE_DTYPE_I32, 1, 4);
    args.tokens = 5;
    args.x = &x;
    args.y = &y;
    args.ids = &ids;
    args.weights = &weights;
    args.logits = &logits;
    args.scores = &scores;
    args.counts = &counts;
  }
  GoodCall(const GoodCall&) = delete;
  GoodCall& operator=(const GoodCall&) = delete;

  static moe_view make(void* data, uint32_t dtype, uint64_t rows, uint64_t columns) {
    moe_view view = MOE_INIT(moe_view);
    view.dtype = dtype;
    view.rows = rows;
    view.columns = columns;
    view.host = data;
    return view;
  }

  std::vector<float> x_data, residual_data = std::vector<float>(40), y_data = std::vector<float>(40, -1.0f);
  std::vector<int32_t> ids_data = std::vector<int32_t>(10), counts_data = std::vector<int32_t>(4);
  std::vector<float> weights_data = std::vector<float>(10), logits_data = std::vector<float>(20),
                     scores_data = std::vector<float>(20);
  moe_view x, residual, y, ids, weights, logits, scores, counts;
  moe_call_args args = MOE_INIT(moe_call_args);
};

class CallTest : public AbiDeviceTest {
 protected:
  void SetUp() override {
    AbiDeviceTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    layer_ = make_layer(small_);
    context_ = make_context();
  }
  using Function = moe_status(MOE_CALL*)(moe_context*, moe_layer*, const moe_call_args*, moe_error*);
  // `bend` may change the call in any way; it must then be refused by `function`.
  void refused(const std::string& argument, const std::string& words, const std::function<void(GoodCall&)>& bend,
               Function function = nullptr) {
    GoodCall call(small_);
    bend(call);
    moe_error error = dirty_error();
    const moe_status status = (function != nullptr ? function : api().forward)(context_, layer_, &call.args, &error);
    EXPECT_TRUE(failed_with(status, error, MOE_ERROR_INVALID_ARGUMENT, argument, words)) << "expected " << argument;
  }
  void run(const moe_call_args& args) {
    uint64_t value = 0;
    EXPECT_WORKS(api().forward(context_, layer_, &args, &error));
    EXPECT_WORKS(api().flush(context_, &value, &error));
    EXPECT_WORKS(api().wait(context_, value, UINT64_MAX, &error));
  }
  // The context of the test itself, after whatever was done to it.
  void expect_context_usable() {
    GoodCall call(small_);
    run(call.args);
    expect_right(call.y_data);
  }
  void TearDown() override {
    if (context_ != nullptr) expect_context_usable();
    AbiDeviceTest::TearDown();
  }

  moe_layer* layer_ = nullptr;
  moe_context* context_ = nullptr;
};

}  // namespace moe_abi_tests

#endif  // MOE_TESTS_ABI_CALL_FIXTURE_H_
