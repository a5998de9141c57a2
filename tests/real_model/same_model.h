// SPDX-License-Identifier: MIT
//
// In:  two files or folders with the same model.
// Out: whether their layers give the same outputs, to the bit, on the reference.
// Why: shared by the tests of checkpoints.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "plugin_api/moe_plugin.hpp"
#include "tests/support/scratch_folder.h"
#include "tests/validation.h"
#include "tools/model/open_model.h"

namespace moe_tests {

using Bytes = std::vector<std::byte>;

class SameModel : public ::testing::Test {
 protected:
  SameModel() : library_(MOEVK_TEST_LIBRARY) {
    instance_ = moe_tests::create_instance(library_);
    uint32_t count = 0;
    moe::check([&](moe_error* e) { return library_->get_device_count(instance_, &count, e); });
    reference_ = moe::open_device(library_, instance_, count - 1);
  }

  void write(const std::string& name, const void* data, size_t bytes) {
    std::ofstream stream(folder_ / name, std::ios::binary);
    stream.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
  }
  void write(const std::string& name, const Bytes& bytes) { write(name, bytes.data(), bytes.size()); }

  // y of one layer, its weights read by path and offset, or repacked.
  std::vector<float> run(moe_device* device, const moevk::model::OpenModel& opened, const moevk::model::MoeLayer& layer,
                         const std::vector<float>& x) {
    moe::Upload upload = moe::begin_weights(library_, device, layer.desc);
    Bytes own;
    for (const moevk::model::TensorSource& tensor : layer.tensors) {
      const auto source = moevk::model::upload_source(*opened.store, tensor, own);
      if (!source) throw std::runtime_error(source.error().text());
      moe::check([&](moe_error* e) { return library_->add_tensor(upload, &*source, e); });
    }
    const moe::Layer weights = moe::commit_weights(library_, upload);
    const uint64_t tokens = x.size() / layer.desc.hidden;
    const moe::Context context = moe::create_context(library_, device, tokens);
    std::vector<float> y(x.size());
    const moe_view x_view = moe::host_view(x.data(), MOE_DTYPE_F32, tokens, layer.desc.hidden);
    const moe_view y_view = moe::host_view(y.data(), MOE_DTYPE_F32, tokens, layer.desc.hidden);
    moe_call_args args = moe_init<moe_call_args>();
    args.tokens = tokens;
    args.x = &x_view;
    args.y = &y_view;
    moe::check([&](moe_error* e) { return library_->forward(context, weights, &args, e); });
    moe::wait(library_, context, moe::flush(library_, context));
    return y;
  }

  static std::vector<float> draw(std::mt19937& random, size_t numbers) {
    std::vector<float> x(numbers);
    for (float& value : x) value = static_cast<float>(random() % 2001) / 1000.0f - 1;
    return x;
  }

  void expect_same_outputs(const std::string& gguf, const std::string& checkpoint) {
    const auto a = moevk::model::open_model(gguf), b = moevk::model::open_model(checkpoint);
    ASSERT_TRUE(a.ok()) << a.error().text();
    ASSERT_TRUE(b.ok()) << b.error().text();
    ASSERT_EQ(a->model.layers.size(), b->model.layers.size());
    EXPECT_EQ(a->model.totals.moe_parameters, b->model.totals.moe_parameters);
    std::mt19937 random(7);
    for (size_t i = 0; i < a->model.layers.size(); ++i) {
      const std::vector<float> x = draw(random, a->model.hidden * size_t{5});
      const std::vector<float> expected = run(reference_, *a, a->model.layers[i], x);
      EXPECT_NE(expected, std::vector<float>(x.size())) << "layer " << i << " gives zeros";
      EXPECT_EQ(run(reference_, *b, b->model.layers[i], x), expected) << "layer " << i;
    }
  }

  moe::Library library_;
  moe::Instance instance_;
  moe::Device reference_;
  ScratchFolder folder_;
};

}  // namespace moe_tests
