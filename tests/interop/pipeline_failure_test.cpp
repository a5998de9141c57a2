// SPDX-License-Identifier: MIT
//
// Drivers that cannot compile a kernel: each pipeline of a call fails once, by an error and by a null handle. The
// kernel is struck with a warning and another takes its place, or the call is refused by the kernel's name. An upload
// whose kernel fails packs rows on the host.
#include <cmath>
#include <cstdlib>
#include <set>

#include "tests/conformance/oracle.h"
#include "tests/conformance/random_layer.h"
#include "tests/interop/interop_fixture.h"
#include "tests/interop/interposer.h"
#include "tests/support/system.h"

namespace moe_interop {
namespace {

using moe_conformance::LayerCase;

class PipelineFailures : public InteropTest, public ::testing::WithParamInterface<PipelineFailure> {};

void MOE_CALL keep_warnings(void* user, uint32_t level, const char* message) {
  if (level == MOE_LOG_WARNING) static_cast<std::vector<std::string>*>(user)->push_back(message);
}

void expect_near_truth(const LayerCase& c, const std::vector<float>& y, const std::string& when) {
  const moe_conformance::RouteOracle route = moe_conformance::route_oracle(c);
  const std::vector<double> truth =
      moe_conformance::output_oracle(c, route.ids, moe_conformance::weights_oracle(c, route, route.ids)).y;
  double largest = 0;
  for (const double value : truth) largest = std::max(largest, std::fabs(value));
  for (size_t i = 0; i < y.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(y[i]), truth[i], 1e-5 * largest) << when << ", y[" << i << "]";
  }
}

TEST_P(PipelineFailures, AnotherKernelTakesItsPlaceOrTheCallIsRefused) {
  std::set<std::string> replaced, refused;
  for (const uint64_t tokens : {3, 40, 700}) {
    const LayerCase c = make_case(16, 2, 32, 24, tokens, 21);
    for (uint64_t number = 0;; ++number) {
      std::vector<std::string> warnings;
      moe_instance_desc desc = MOE_INIT(moe_instance_desc);
      desc.user = &warnings;
      desc.log = keep_warnings;
      desc.flags = MOE_INSTANCE_NO_VULKAN;
      moe_instance* instance = nullptr;
      EXPECT_OK(api().create_instance(&desc, &instance, &error));
      HostOptions options;
      options.get_instance_proc_addr = counting_get_instance_proc_addr;
      VulkanHost host(&interop(), options, uuid_);
      moe_device* device = host.import(instance);
      moe_layer* layer = moe_conformance::upload_layer(&api(), device, c).release();
      moe_context_desc context_desc = MOE_INIT(moe_context_desc);
      context_desc.max_tokens = tokens;
      moe_context* context = nullptr;
      EXPECT_OK(api().create_context(device, &context_desc, &context, &error));
      std::vector<float> y(tokens * 32);
      const moe_view x_view = moe::host_view(c.inputs.x.data(), MOE_DTYPE_F32, tokens, 32);
      const moe_view y_view = moe::host_view(y.data(), MOE_DTYPE_F32, tokens, 32);
      moe_call_args args = MOE_INIT(moe_call_args);
      args.tokens = tokens;
      args.x = &x_view;
      args.y = &y_view;
      moe_error error = MOE_INIT(moe_error);
      fail_pipeline(number, GetParam());
      const moe_status status = api().forward(context, layer, &args, &error);
      const bool failed = pipeline_failed();
      fail_pipeline(UINT32_MAX, GetParam());
      if (status == MOE_OK) {
        uint64_t value = 0;
        EXPECT_OK(api().flush(context, &value, &error));
        EXPECT_OK(api().wait(context, value, UINT64_MAX, &error));
        expect_near_truth(c, y, "pipeline " + std::to_string(number));
      } else {
        EXPECT_EQ(status, MOE_ERROR_UNSUPPORTED) << error.text;
        EXPECT_NE(std::string(error.text).find("cannot compile the kernel"), std::string::npos) << error.text;
        refused.insert(error.text);
      }
      if (failed) {
        ASSERT_EQ(warnings.size(), 1u) << "pipeline " << number;
        EXPECT_NE(warnings[0].find("plans do without it"), std::string::npos) << warnings[0];
        const std::string caps = caps_text(device);
        EXPECT_NE(caps.find("struck_kernels = "), std::string::npos);
        if (status == MOE_OK) replaced.insert(caps.substr(caps.find("struck_kernels = ")));
      }
      api().destroy_context(context);
      api().destroy_layer(layer);
      api().close_device(device);
      api().destroy_instance(instance);
      if (!failed) break;
    }
  }
  for (const char* name : {"router_logits", "sort_small", "gate_up_small", "down_small", "gate_up_tile", "down_tile"}) {
    EXPECT_EQ(replaced.count(std::string("struck_kernels = ") + name + "\n"), 1u) << name;
  }
  for (const std::string& text : refused) {
    EXPECT_TRUE(text.find("kernel route") != std::string::npos || text.find("kernel combine") != std::string::npos)
        << text;
  }
}

TEST_P(PipelineFailures, AnUploadWithoutItsKernelPacksOnTheHost) {
  LayerCase c = make_case(4, 2, 256, 512, 5, 3);
  for (moe_weight_format* format : {&c.desc.gate_format, &c.desc.up_format, &c.desc.down_format}) {
    format->preset = 1 + 11;  // Q3_K: fields of 1, 2, 4 and 8 bits
  }
  moe_conformance::Random random(4);
  draw_weights(c, random);
  const std::vector<float> expected = run_on_context(owned_, upload(owned_, c), c);
  const char* const set = std::getenv("MOEVK_LIMITS");
  const std::string limits = set == nullptr ? "" : set;
  if (limits.find("pack_rows") != std::string::npos) GTEST_SKIP() << "MOEVK_LIMITS has struck the kernel";
  for (const bool fails : {false, true}) {
    moe_tests::set_environment("MOEVK_LIMITS", (limits + ",host_packing=0").c_str());
    std::vector<std::string> warnings;
    moe_instance_desc desc = MOE_INIT(moe_instance_desc);
    desc.user = &warnings;
    desc.log = keep_warnings;
    desc.flags = MOE_INSTANCE_NO_VULKAN;
    moe_instance* instance = nullptr;
    EXPECT_OK(api().create_instance(&desc, &instance, &error));
    moe_tests::set_environment("MOEVK_LIMITS", limits.c_str());
    HostOptions options;
    options.get_instance_proc_addr = counting_get_instance_proc_addr;
    VulkanHost host(&interop(), options, uuid_);
    moe_device* device = host.import(instance);
    for (int round = 0; round < 2; ++round) {  // the second upload does not try again
      if (fails) fail_pipeline(0, GetParam());
      reset_driver_calls();
      moe_layer* layer = moe_conformance::upload_layer(&api(), device, c).release();
      EXPECT_EQ(driver_calls().counts["vkCmdDispatch"] != 0, !fails) << "by the kernel, on the host's queue";
      EXPECT_EQ(fails && pipeline_failed(), fails && round == 0);
      fail_pipeline(UINT32_MAX, GetParam());
      EXPECT_EQ(run_on_context(device, layer, c), expected);
      api().destroy_layer(layer);
    }
    EXPECT_EQ(warnings.size(), fails ? 1u : 0u);
    if (fails && !warnings.empty()) {
      EXPECT_NE(warnings[0].find("the kernel pack_rows"), std::string::npos) << warnings[0];
      EXPECT_NE(caps_text(device).find("struck_kernels = pack_rows\n"), std::string::npos);
    }
    api().close_device(device);
    api().destroy_instance(instance);
  }
}

INSTANTIATE_TEST_SUITE_P(How, PipelineFailures, ::testing::Values(PipelineFailure::kError, PipelineFailure::kNull),
                         [](const auto& info) { return info.param == PipelineFailure::kNull ? "null" : "error"; });

}  // namespace
}  // namespace moe_interop
