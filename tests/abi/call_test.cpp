// SPDX-License-Identifier: MIT
//
// Calls and views: what is missing, superfluous, of the wrong shape, type, place or kind. Each
// refusal names the view and its field, encodes nothing, and leaves the context as it was.
#include <cmath>
#include <cstddef>
#include <limits>

#include "tests/abi/call_fixture.h"

namespace moe_abi_tests {
namespace {

MOE_ON_BOTH_DEVICES(CallTest);

TEST_P(CallTest, NullAndWrongKinds) {
  const GoodCall call(small_);
  EXPECT_FAILS(INVALID_ARGUMENT, "context", "NULL", api().forward(nullptr, layer_, &call.args, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "layer", "NULL", api().forward(context_, nullptr, &call.args, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "args", "NULL", api().forward(context_, layer_, nullptr, &error));
  EXPECT_EQ(api().forward(context_, layer_, nullptr, nullptr), MOE_ERROR_INVALID_ARGUMENT);
  for (const Function stage : {api().route, api().plan_dispatch, api().experts, api().combine}) {
    EXPECT_FAILS(INVALID_ARGUMENT, "context", "NULL", stage(nullptr, layer_, &call.args, &error));
    EXPECT_FAILS(INVALID_ARGUMENT, "layer", "NULL", stage(context_, nullptr, &call.args, &error));
    EXPECT_FAILS(INVALID_ARGUMENT, "args", "NULL", stage(context_, layer_, nullptr, &error));
  }
  uint64_t value = 0;
  EXPECT_FAILS(INVALID_ARGUMENT, "context", "NULL", api().flush(nullptr, &value, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "value", "NULL", api().flush(context_, nullptr, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "context", "NULL", api().wait(nullptr, 0, 0, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "context", "NULL", api().get_completed(nullptr, &value, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "value", "NULL", api().get_completed(context_, nullptr, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "context", "NULL", api().abort(nullptr, &error));

  // An object of another kind, as a host in C may pass by a cast.
  moe_buffer* buffer = make_buffer(64);
  EXPECT_FAILS(INVALID_ARGUMENT, "layer", "kind",
               api().forward(context_, reinterpret_cast<moe_layer*>(buffer), &call.args, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "context", "kind",
               api().forward(reinterpret_cast<moe_context*>(layer_), layer_, &call.args, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "context", "kind",
               api().flush(reinterpret_cast<moe_context*>(device_), &value, &error));
  uint32_t word = 0;
  EXPECT_FAILS(INVALID_ARGUMENT, "buffer", "kind",
               api().read_buffer(reinterpret_cast<moe_buffer*>(context_), 0, &word, 4, &error));
  moe_layer_info info = MOE_INIT(moe_layer_info);
  EXPECT_FAILS(INVALID_ARGUMENT, "layer", "kind",
               api().get_layer_info(reinterpret_cast<moe_layer*>(instance_), &info, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "device", "kind",
               api().create_buffer(reinterpret_cast<moe_device*>(buffer), 4, &buffer, &error));
  refused("args.x.buffer", "kind",
          [&](GoodCall& c) { c.x.host = nullptr, c.x.buffer = reinterpret_cast<moe_buffer*>(layer_); });
}

TEST_P(CallTest, Args) {
  refused("args.tokens", "0", [](GoodCall& c) { c.args.tokens = 0; });
  refused("args.tokens", "6", [](GoodCall& c) { c.args.tokens = 6; });  // the context was made for 5
  refused("args.tokens", "5", [](GoodCall& c) { c.args.tokens = UINT64_MAX; });
  refused("args.reserved", "0", [](GoodCall& c) { c.args.reserved = 1; });
  refused("args.beta", "finite", [](GoodCall& c) { c.args.beta = std::nanf(""), c.args.residual = &c.residual; });
  refused("args.struct_size", "64", [](GoodCall& c) { c.args.struct_size = 64; });
  refused("args.next", "9", [](GoodCall& c) {
    static const moe_chain chain = {sizeof(moe_chain), nullptr, 9};
    c.args.next = &chain;
  });
  refused("args.x.struct_size", "20", [](GoodCall& c) { c.x.struct_size = 20; });
  refused("args.y.reserved", "0", [](GoodCall& c) { c.y.reserved = 1; });
  struct Newer {
    moe_call_args known;
    uint64_t tail;
  } newer{};
  GoodCall call(small_);
  newer.known = call.args;
  newer.known.struct_size = sizeof(Newer);
  run(newer.known);
  expect_right(call.y_data);
  newer.tail = uint64_t{1} << 56;
  EXPECT_FAILS(INVALID_ARGUMENT, "args", std::to_string(sizeof(moe_call_args) + 7),
               api().forward(context_, layer_, &newer.known, &error));
}

TEST_P(CallTest, MissingAndSuperfluousViews) {
  refused("args.x", "need", [](GoodCall& c) { c.args.x = nullptr; });
  refused("args.y", "need", [](GoodCall& c) { c.args.y = nullptr; });
  refused("args.router_x", "NULL", [](GoodCall& c) { c.args.router_x = &c.x; });
  refused("args.logits_in", "NULL", [](GoodCall& c) { c.args.logits_in = &c.logits; });
  refused("args.scores_in", "NULL", [](GoodCall& c) { c.args.scores_in = &c.scores; });
  refused("args.weights_in", "NULL", [](GoodCall& c) { c.args.weights_in = &c.weights; });
  refused("args.ids_in", "NULL", [](GoodCall& c) { c.args.ids_in = &c.ids; });
  refused("args.token_ids", "NULL", [](GoodCall& c) { c.args.token_ids = &c.ids; });
  refused("args.order", "NULL", [](GoodCall& c) { c.args.order = &c.ids; });
  refused("args.offsets", "NULL", [](GoodCall& c) { c.args.offsets = &c.ids; });
  refused("args.expert_out", "NULL", [](GoodCall& c) { c.args.expert_out = &c.y; });
  // Stages: what the others take is refused, what they need is asked for.
  const auto bare = [](GoodCall& c) {
    c.args = MOE_INIT(moe_call_args);
    c.args.tokens = 5;
  };
  const auto stage_refused = [&](Function stage, const char* argument, const char* words,
                                 const std::function<void(GoodCall&)>& bend) {
    refused(
        argument, words, [&](GoodCall& c) { bare(c), bend(c); }, stage);
  };
  stage_refused(api().route, "args.x", "need", [](GoodCall&) {});
  stage_refused(api().route, "args.ids", "need", [](GoodCall& c) { c.args.x = &c.x; });
  stage_refused(api().route, "args.y", "NULL", [](GoodCall& c) {
    c.args.x = &c.x, c.args.ids = &c.ids, c.args.weights = &c.weights, c.args.y = &c.y;
  });
  stage_refused(api().plan_dispatch, "args.ids", "need", [](GoodCall&) {});
  stage_refused(api().plan_dispatch, "args.order", "need", [](GoodCall& c) { c.args.ids = &c.ids; });
  stage_refused(api().plan_dispatch, "args.x", "NULL", [](GoodCall& c) { c.args.x = &c.x, c.args.ids = &c.ids; });
  stage_refused(api().experts, "args.ids", "need", [](GoodCall& c) { c.args.x = &c.x; });
  stage_refused(api().combine, "args.y", "need", [](GoodCall& c) { c.args.ids = &c.ids; });
  stage_refused(api().combine, "args.expert_out", "need", [](GoodCall& c) { c.args.ids = &c.ids, c.args.y = &c.y; });

  // A layer that takes logits needs them, and computes none.
  moe_conformance::LayerCase given = small_;
  given.desc.route_source = MOE_ROUTE_FROM_LOGITS;
  given.weights.router.clear();
  moe_layer* const own = layer_;
  layer_ = make_layer(given);
  refused("args.logits_in", "need", [](GoodCall& c) { c.args.logits = nullptr; });
  refused("args.logits", "NULL", [](GoodCall& c) { c.args.logits_in = &c.logits; });
  layer_ = own;
}

TEST_P(CallTest, TypesAndShapes) {
  refused("args.x.dtype", "i32", [](GoodCall& c) { c.x.dtype = MOE_DTYPE_I32; });
  refused("args.x.dtype", "dtype", [](GoodCall& c) { c.x.dtype = 99; });
  refused("args.y.dtype", "i32", [](GoodCall& c) { c.y.dtype = MOE_DTYPE_I32; });
  refused("args.residual.dtype", "i32",
          [](GoodCall& c) { c.args.residual = &c.residual, c.residual.dtype = MOE_DTYPE_I32; });
  refused("args.ids.dtype", "f32", [](GoodCall& c) { c.ids.dtype = MOE_DTYPE_F32; });
  refused("args.weights.dtype", "f16", [](GoodCall& c) { c.weights.dtype = MOE_DTYPE_F16; });
  refused("args.logits.dtype", "f16", [](GoodCall& c) { c.logits.dtype = MOE_DTYPE_F16; });
  refused("args.counts.dtype", "f32", [](GoodCall& c) { c.counts.dtype = MOE_DTYPE_F32; });
  refused("args.x.rows", "4", [](GoodCall& c) { c.x.rows = 4; });
  refused("args.y.rows", "6", [](GoodCall& c) { c.y.rows = 6; });
  refused("args.x.columns", "7", [](GoodCall& c) { c.x.columns = 7; });
  refused("args.y.columns", "9", [](GoodCall& c) { c.y.columns = 9; });
  refused("args.ids.columns", "3", [](GoodCall& c) { c.ids.columns = 3; });
  refused("args.logits.columns", "5", [](GoodCall& c) { c.logits.columns = 5; });
  refused("args.counts.rows", "5", [](GoodCall& c) { c.counts.rows = 5; });
  refused("args.x", "size|needed", [](GoodCall& c) { c.x.rows = uint64_t{1} << 60, c.x.columns = uint64_t{1} << 60; });
  refused("args.x.row_stride_bytes", "28", [](GoodCall& c) { c.x.row_stride_bytes = 28; });  // a row has 32
  refused("args.x.row_stride_bytes", "size|multiple", [](GoodCall& c) { c.x.row_stride_bytes = 33; });
  refused("args.x", "both", [&](GoodCall& c) { c.x.buffer = make_buffer(160); });
  refused("args.x", "neither", [](GoodCall& c) { c.x.host = nullptr; });
  refused("args.x.offset_bytes", "buffer", [](GoodCall& c) { c.x.offset_bytes = 4; });
}

TEST_P(CallTest, Buffers) {
  moe_buffer* buffer = make_buffer(200);  // x takes 160
  const auto in_buffer = [&](uint64_t offset, uint64_t stride = 0) {
    return [=](GoodCall& c) {
      c.x.host = nullptr;
      c.x.buffer = buffer;
      c.x.offset_bytes = offset;
      c.x.row_stride_bytes = stride;
    };
  };
  refused("args.x.offset_bytes", "200", in_buffer(44));
  refused("args.x.offset_bytes", "200", in_buffer(204));
  refused("args.x", "200|size", in_buffer(UINT64_MAX - 3));
  refused("args.x", "200|size", in_buffer(0, uint64_t{1} << 62));
  refused("args.x", "200", in_buffer(0, 44));
  refused("args.x.offset_bytes", "4", in_buffer(2));
  refused("args.x.row_stride_bytes", "4", [&](GoodCall& c) {
    in_buffer(0, 18)(c);
    c.x.dtype = MOE_DTYPE_F16;
  });
  // Of the same size and on the same hardware, but opened a second time: another device.
  moe_device* other = nullptr;
  EXPECT_WORKS(status_of_open(device_index_, &other, &error));
  moe_buffer* foreign = nullptr;
  EXPECT_WORKS(api().create_buffer(other, 200, &foreign, &error));
  refused("args.x.buffer", "device", [&](GoodCall& c) { c.x.host = nullptr, c.x.buffer = foreign; });
  refused("args.y.buffer", "device", [&](GoodCall& c) { c.y.host = nullptr, c.y.buffer = foreign; });
  moe_context_desc desc = MOE_INIT(moe_context_desc);
  desc.max_tokens = 5;
  moe_context* elsewhere = nullptr;
  EXPECT_WORKS(api().create_context(other, &desc, &elsewhere, &error));
  const GoodCall call(small_);
  EXPECT_FAILS(INVALID_ARGUMENT, "layer", "device", api().forward(elsewhere, layer_, &call.args, &error));
  api().destroy_context(elsewhere);
  api().destroy_buffer(foreign);
  api().close_device(other);

  // y may be x, row for row, and nothing in between.
  moe_buffer* both = make_buffer(400);
  const auto place = [&](moe_view& view, uint64_t offset) {
    view.host = nullptr;
    view.buffer = both;
    view.offset_bytes = offset;
  };
  refused("args.y", "overlap", [&](GoodCall& c) { place(c.x, 0), place(c.y, 64); });
  refused("args.", "overlap", [&](GoodCall& c) { place(c.y, 0), place(c.ids, 156); });
  refused("args.", "overlap", [&](GoodCall& c) { place(c.x, 0), place(c.weights, 0); });
  EXPECT_WORKS(api().write_buffer(both, 200, call.x_data.data(), 160, &error));
  GoodCall aliased(small_);
  place(aliased.x, 200);
  place(aliased.y, 200);
  run(aliased.args);
  std::vector<float> y(40);
  EXPECT_WORKS(api().read_buffer(both, 200, y.data(), 160, &error));
  expect_right(y);
}

TEST_P(CallTest, HostOutputsOverlapNothing) {
  refused("args.y", "overlap", [](GoodCall& c) { c.y.host = c.x_data.data() + 8; });
  refused("args.y", "overlap", [](GoodCall& c) { c.y.host = c.x_data.data(), c.y.dtype = MOE_DTYPE_F16; });
  refused("args.", "overlap", [](GoodCall& c) { c.ids.host = c.y_data.data() + 39; });
  refused("args.", "overlap", [](GoodCall& c) { c.weights.host = c.x_data.data(); });
  refused("args.", "overlap", [](GoodCall& c) { c.scores.host = c.logits_data.data(); });
  refused("args.y", "overlap",
          [](GoodCall& c) { c.args.residual = &c.residual, c.y.host = c.residual_data.data() + 4; });
  GoodCall aliased(small_);
  aliased.y.host = aliased.x.host;
  aliased.args.residual = &aliased.x;  // with beta 0
  run(aliased.args);
  expect_right(aliased.x_data);

  // Rows may lie between each other: weights and scores as columns of one table.
  std::vector<float> table(5 * 6, -1.0f);
  const auto in_table = [&](GoodCall& c, size_t scores_at) {
    c.weights.host = table.data();
    c.scores.host = table.data() + scores_at;
    c.weights.row_stride_bytes = c.scores.row_stride_bytes = 24;
  };
  refused("args.", "overlap", [&](GoodCall& c) { in_table(c, 1); });
  refused("args.", "overlap", [&](GoodCall& c) { in_table(c, 3); });  // its end is the next row's weights
  GoodCall plain(small_), mixed(small_);
  run(plain.args);
  in_table(mixed, 2);
  run(mixed.args);
  for (size_t t = 0; t < 5; ++t) {
    for (size_t i = 0; i < 6; ++i) {
      EXPECT_EQ(table[t * 6 + i], i < 2 ? plain.weights_data[t * 2 + i] : plain.scores_data[t * 4 + i - 2]);
    }
  }
}

TEST_P(CallTest, BufferTransfers) {
  uint32_t words[4] = {1, 2, 3, 4};
  moe_buffer* buffer = make_buffer(16);
  moe_buffer* out = nullptr;
  EXPECT_WORKS(api().read_buffer(buffer, 0, words, 16, &error));
  for (const uint32_t word : words) EXPECT_EQ(word, 0u) << "a new buffer is filled with zeros";
  EXPECT_FAILS(INVALID_ARGUMENT, "device", "NULL", api().create_buffer(nullptr, 16, &out, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "out", "NULL", api().create_buffer(device_, 16, nullptr, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "bytes", "0", api().create_buffer(device_, 0, &out, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "buffer", "NULL", api().write_buffer(nullptr, 0, words, 4, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "source", "NULL", api().write_buffer(buffer, 0, nullptr, 4, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "buffer", "NULL", api().read_buffer(nullptr, 0, words, 4, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "destination", "NULL", api().read_buffer(buffer, 0, nullptr, 4, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "", "16", api().write_buffer(buffer, 4, words, 16, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "", "16", api().read_buffer(buffer, 17, words, 1, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "", "16", api().write_buffer(buffer, UINT64_MAX, words, 4, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "", "16", api().read_buffer(buffer, 8, words, UINT64_MAX - 4, &error));
  // Odd offsets and sizes are fine here.
  const uint8_t bytes[3] = {7, 8, 9};
  EXPECT_WORKS(api().write_buffer(buffer, 5, bytes, 3, &error));
  uint8_t back[6] = {};
  EXPECT_WORKS(api().read_buffer(buffer, 3, back, 6, &error));
  EXPECT_EQ(std::vector<uint8_t>(back, back + 6), (std::vector<uint8_t>{0, 0, 7, 8, 9, 0}));
}

TEST_P(CallTest, NumbersThatAreNone) {
  moe_conformance::LayerCase given = small_;
  given.desc.route_source = MOE_ROUTE_FROM_LOGITS;
  given.weights.router.clear();
  moe_layer* layer = make_layer(given);
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  GoodCall call(small_);
  call.logits_data = {kNan, kNan, kNan,  kNan,  kNan,  -kInf, kNan, kNan, 1, kInf,
                      kInf, kInf, -kInf, -kInf, -kInf, kNan,  0,    3,    2, 1};
  call.args.logits_in = &call.logits;
  call.args.logits = nullptr;
  uint64_t value = 0;
  EXPECT_WORKS(api().forward(context_, layer, &call.args, &error));
  EXPECT_WORKS(api().flush(context_, &value, &error));
  EXPECT_WORKS(api().wait(context_, value, UINT64_MAX, &error));
  EXPECT_EQ(call.ids_data, (std::vector<int32_t>{0, 1, 1, 0, 1, 2, 0, 1, 1, 2}));
  EXPECT_EQ(call.counts_data, (std::vector<int32_t>{3, 5, 2, 0}));
  EXPECT_TRUE(std::isnan(call.y_data[0])) << "a softmax over NaN";
  for (size_t i = 32; i < 40; ++i) EXPECT_TRUE(std::isfinite(call.y_data[i])) << "tokens do not touch each other";
}

}  // namespace
}  // namespace moe_abi_tests
