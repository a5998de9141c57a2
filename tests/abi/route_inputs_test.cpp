// SPDX-License-Identifier: MIT
//
// Layers whose router has an input of its own, or whose experts come from a table: what a call must and must not give,
// and how the table comes in.
#include <cstring>
#include <vector>

#include "tests/abi/call_fixture.h"
#include "tests/conformance/random_layer.h"

namespace moe_abi_tests {
namespace {

using moe_conformance::LayerCase;

LayerCase drawn(LayerCase c) {
  moe_conformance::Random random(12);
  c.weights = {};
  c.inputs = {};
  moe_conformance::draw_weights(c, random);
  moe_conformance::draw_inputs(c, random, 1);
  return c;
}

LayerCase table_case(uint32_t rows) {
  LayerCase c = small_layer();
  c.desc.route_source = MOE_ROUTE_FROM_TOKEN_TABLE;
  c.desc.token_table_rows = rows;
  return drawn(c);
}

class RouteInputs : public CallTest {};
MOE_ON_BOTH_DEVICES(RouteInputs);

TEST_P(RouteInputs, ARouterInputOfItsOwn) {
  LayerCase c = small_layer();
  c.desc.flags |= MOE_LAYER_SEPARATE_ROUTER_INPUT;
  c = drawn(c);
  moe_layer* const layer = make_layer(c);
  const auto bent = [&](const char* argument, const char* words,
                        const std::function<void(GoodCall&, moe_view&)>& bend) {
    GoodCall call(c);
    moe_view router_x = GoodCall::make(c.inputs.router_x.data(), MOE_DTYPE_F32, 5, 8);
    call.args.router_x = &router_x;
    bend(call, router_x);
    EXPECT_FAILS(INVALID_ARGUMENT, argument, words, api().forward(context_, layer, &call.args, &error));
  };
  bent("args.router_x", "need", [](GoodCall& call, moe_view&) { call.args.router_x = nullptr; });
  bent("args.router_x.dtype", "f32", [](GoodCall&, moe_view& x) { x.dtype = MOE_DTYPE_I32; });
  bent("args.router_x.rows", "5 x 8", [](GoodCall&, moe_view& x) { x.rows = 4; });
  bent("args.router_x.columns", "5 x 8", [](GoodCall&, moe_view& x) { x.columns = 7; });
  bent("args.y", "router_x", [](GoodCall& call, moe_view& x) { call.y.host = x.host; });
}

TEST_P(RouteInputs, TokenIds) {
  const LayerCase c = table_case(9);
  moe_layer* const layer = make_layer(c);
  std::vector<int32_t> tokens(5, 3);
  const auto bent = [&](const char* argument, const char* words,
                        const std::function<void(GoodCall&, moe_view&)>& bend) {
    GoodCall call(c);
    call.args.scores = nullptr;
    moe_view view = GoodCall::make(tokens.data(), MOE_DTYPE_I32, 5, 1);
    call.args.token_ids = &view;
    bend(call, view);
    EXPECT_FAILS(INVALID_ARGUMENT, argument, words, api().forward(context_, layer, &call.args, &error));
  };
  bent("args.token_ids", "need", [](GoodCall& call, moe_view&) { call.args.token_ids = nullptr; });
  bent("args.token_ids.dtype", "i32", [](GoodCall&, moe_view& v) { v.dtype = MOE_DTYPE_F32; });
  bent("args.token_ids.columns", "5 x 1", [](GoodCall&, moe_view& v) { v.columns = 2; });
  bent("args.scores", "NULL", [](GoodCall& call, moe_view&) { call.args.scores = &call.scores; });
}

// A table larger than what is read at a time, with ids of no expert in it.
TEST_P(RouteInputs, ALargeTableByCallback) {
  LayerCase c = table_case(600'000);
  for (size_t i = 0; i < c.weights.token_table.size(); i += 7) c.weights.token_table[i] = i % 2 == 0 ? -5 : 1 << 30;
  c.arrangement.upload_by_callback = true;
  c.inputs.token_ids = {0, 599'999, 524'287, 524'288, 299'999};
  moe_layer* const layer = make_layer(c);
  GoodCall call(c);
  call.args.scores = nullptr;
  const moe_view tokens = GoodCall::make(c.inputs.token_ids.data(), MOE_DTYPE_I32, 5, 1);
  call.args.token_ids = &tokens;
  uint64_t value = 0;
  EXPECT_WORKS(api().forward(context_, layer, &call.args, &error));
  EXPECT_WORKS(api().flush(context_, &value, &error));
  EXPECT_WORKS(api().wait(context_, value, UINT64_MAX, &error));
  for (size_t t = 0; t < 5; ++t) {
    for (size_t slot = 0; slot < 2; ++slot) {
      const int32_t id = c.weights.token_table[static_cast<size_t>(c.inputs.token_ids[t]) * 2 + slot];
      EXPECT_EQ(call.ids_data[t * 2 + slot], id >= 0 && id < 4 ? id : -1) << "token " << t << " slot " << slot;
    }
  }
}

TEST_P(RouteInputs, TheTableIsOfIntegers) {
  const LayerCase c = table_case(3);
  moe_upload* upload = nullptr;
  EXPECT_WORKS(api().begin_weights(device_, &c.desc, nullptr, &upload, &error));
  const std::vector<float> floats(64, 1.0f);
  moe_tensor_source source = MOE_INIT(moe_tensor_source);
  source.memory = floats.data();
  source.name = "router.token_table";
  source.bytes = 3 * 2 * 4;
  EXPECT_FAILS(INVALID_ARGUMENT, "source.dtype", "i32", api().add_tensor(upload, &source, &error));
  source.dtype = MOE_DTYPE_I32;
  EXPECT_WORKS(api().add_tensor(upload, &source, &error));
  source.name = "router.weight";
  source.bytes = 4 * 8 * 4;
  EXPECT_FAILS(INVALID_ARGUMENT, "source.dtype", "f32", api().add_tensor(upload, &source, &error));
  api().cancel_weights(upload);
}

}  // namespace
}  // namespace moe_abi_tests
