// SPDX-License-Identifier: MIT
//
// Named cases that need more than one layer, several flushes, a file, or an instance of their own:
// chained layers in one submit, flushes in flight, weights from a file, weights beyond one storage
// window.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "plugin_api/moe_plugin.hpp"
#include "tests/conformance/block_decode_case.h"
#include "tests/conformance/fixed_cases.h"
#include "tests/conformance/numbers.h"
#include "tests/conformance/random_layer.h"
#include "tests/support/system.h"

namespace moe_conformance {
namespace {

LayerCase small_layer(uint32_t experts, uint32_t top_k, uint32_t hidden, uint32_t intermediate, uint64_t tokens,
                      uint64_t seed, uint32_t dtype = MOE_DTYPE_F32) {
  return softmax_layer(experts, top_k, hidden, intermediate, tokens, Random(seed, 78, tokens), dtype);
}

Owner<moe_context> make_context(Session& s, uint64_t tokens, uint32_t in_flight) {
  moe_context_desc desc = MOE_INIT(moe_context_desc);
  desc.max_tokens = tokens;
  desc.flushes_in_flight = in_flight;
  moe_context* context = nullptr;
  moe::check([&](moe_error* error) { return s.api->create_context(s.device.get(), &desc, &context, error); });
  return own(context, s.api->destroy_context);
}

void encode(Session& s, moe_context* context, moe_layer* layer, const moe_call_args& args) {
  moe::check([&](moe_error* error) { return s.api->forward(context, layer, &args, error); });
}

uint64_t flush(Session& s, moe_context* context) {
  uint64_t value = 0;
  moe::check([&](moe_error* error) { return s.api->flush(context, &value, error); });
  return value;
}

void wait(Session& s, moe_context* context, uint64_t value) {
  moe::check([&](moe_error* error) { return s.api->wait(context, value, UINT64_MAX, error); });
}

// Two layers of different shape, several times: each call reads what the one before wrote, in one
// submit and then in a submit each. In place (y on x, which is the residual too) from the second
// call on.
void chain(Session& s, CaseResult& result) {
  for (const uint64_t tokens : {1, 12, 70}) {
    const LayerCase a = small_layer(8, 2, 48, 36, tokens, 1), b = small_layer(33, 5, 48, 20, tokens, 2);
    const Owner<moe_layer> layer_a = upload_layer(s.api, s.device.get(), a),
                           layer_b = upload_layer(s.api, s.device.get(), b);
    const Owner<moe_context> context = make_context(s, tokens, 2);
    std::vector<std::byte> together;
    for (const bool apart : {false, true}) {
      Placement place;
      place.device = true;
      ViewMemory x(s.api, s.device.get(), place, MOE_DTYPE_F32, tokens, 48),
          y(s.api, s.device.get(), place, MOE_DTYPE_F32, tokens, 48);
      x.write_rows(to_bytes(a.inputs.x));
      for (int call = 0; call < 4; ++call) {
        moe_call_args args = MOE_INIT(moe_call_args);
        args.tokens = tokens;
        args.x = args.residual = call == 0 ? x.view() : y.view();
        args.y = y.view();
        args.beta = 1;
        encode(s, context.get(), call % 2 == 0 ? layer_a.get() : layer_b.get(), args);
        if (apart) wait(s, context.get(), flush(s, context.get()));
      }
      if (!apart) wait(s, context.get(), flush(s, context.get()));
      const std::vector<std::byte> rows = y.read_rows();
      if (apart && rows != together)
        fail(result, "%llu tokens: four chained calls in one submit and in four give other bits",
             static_cast<unsigned long long>(tokens));
      together = rows;
    }
  }
}

// More flushes than may be in flight, on host memory, with nothing waited for until the end.
void flushes_in_flight(Session& s, CaseResult& result) {
  const LayerCase c = small_layer(12, 3, 40, 28, 20, 3);
  DeviceRunner runner(s.api, s.device.get(), c);
  const std::vector<std::byte> expected = runner.forward_y_alone(c.inputs, c.tokens, Arrangement{});
  const Owner<moe_context> context = make_context(s, c.tokens, 2);
  std::vector<ViewMemory> outputs;
  outputs.reserve(5);
  std::vector<float> x = c.inputs.x;
  const moe_view x_view = moe::host_view(x.data(), MOE_DTYPE_F32, c.tokens, c.desc.hidden);
  uint64_t last = 0;
  for (int i = 0; i < 5; ++i) {
    ViewMemory& y = outputs.emplace_back(s.api, s.device.get(), Placement{}, MOE_DTYPE_F32, c.tokens, c.desc.hidden);
    moe_call_args args = MOE_INIT(moe_call_args);
    args.tokens = c.tokens;
    args.x = &x_view;
    args.y = y.view();
    encode(s, context.get(), runner.layer(), args);
    const uint64_t value = flush(s, context.get());
    if (value != last + 1)
      fail(result, "flush gives value %llu after %llu", static_cast<unsigned long long>(value),
           static_cast<unsigned long long>(last));
    last = value;
  }
  wait(s, context.get(), last);
  uint64_t completed = 0;
  moe::check([&](moe_error* error) { return s.api->get_completed(context.get(), &completed, error); });
  if (completed != last)
    fail(result, "get_completed gives %llu after wait for %llu", static_cast<unsigned long long>(completed),
         static_cast<unsigned long long>(last));
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].read_rows() != expected)
      fail(result, "flush %zu of 5 in flight gives other bits than a call alone", i + 1);
  }
}

// The file of one run; removed at the end.
class TemporaryFile {
 public:
  TemporaryFile()
      : path_(std::filesystem::temp_directory_path() /
              ("moe-conformance-" + std::to_string(moe_tests::process_id()) + ".bin")),
        utf8_(moe_tests::utf8_of(path_)) {}
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::filesystem::path& path() const { return path_; }
  const std::string& utf8() const { return utf8_; }

 private:
  std::filesystem::path path_;
  std::string utf8_;
};

// All tensors in one file at odd offsets, in two ranges of experts each.
void upload_from_file(Session& s, CaseResult& result) {
  for (const uint32_t order : {MOE_MATRIX_OUT_IN, MOE_MATRIX_IN_OUT}) {
    LayerCase c = small_layer(10, 3, 37, 29, 9, 4, MOE_DTYPE_F16);
    c.desc.matrix_order = order;
    DeviceRunner runner(s.api, s.device.get(), c);
    const std::vector<std::byte> expected = runner.forward_y_alone(c.inputs, c.tokens, Arrangement{});

    const TemporaryFile file;
    const std::vector<PackedTensor> tensors = pack_tensors(c);
    std::vector<uint64_t> offsets;
    {
      std::ofstream out(file.path(), std::ios::binary);
      uint64_t at = 0;
      for (const PackedTensor& tensor : tensors) {
        out.write("unaligned", 9);
        offsets.push_back(at += 9);
        out.write(reinterpret_cast<const char*>(tensor.bytes.data()),
                  static_cast<std::streamsize>(tensor.bytes.size()));
        at += tensor.bytes.size();
      }
      if (!out.flush()) throw std::runtime_error("cannot write " + file.utf8());
    }
    moe_upload* upload = nullptr;
    moe::check(
        [&](moe_error* error) { return s.api->begin_weights(s.device.get(), &c.desc, nullptr, &upload, error); });
    Owner<moe_upload> owner = own(upload, s.api->cancel_weights);
    for (size_t i = 0; i < tensors.size(); ++i) {
      const uint32_t experts = tensors[i].experts;
      for (uint32_t part = 0; part < (experts == 0 ? 1u : 2u); ++part) {
        moe_tensor_source source = MOE_INIT(moe_tensor_source);
        source.name = tensors[i].name.c_str();
        source.source = MOE_SOURCE_FILE;
        source.dtype = tensors[i].dtype;
        source.path = file.utf8().c_str();
        source.expert_first = part == 0 ? 0 : experts / 2;
        source.expert_count = experts == 0 ? 0 : part == 0 ? experts / 2 : experts - experts / 2;
        source.bytes = experts == 0 ? tensors[i].bytes.size() : tensors[i].bytes.size() / experts * source.expert_count;
        source.file_offset = offsets[i] + (part == 0 ? 0 : tensors[i].bytes.size() / experts * source.expert_first);
        moe::check([&](moe_error* error) { return s.api->add_tensor(upload, &source, error); });
      }
    }
    moe_layer* layer = nullptr;
    moe::check([&](moe_error* error) { return s.api->commit_weights(upload, &layer, error); });
    owner.release();
    const Owner<moe_layer> layer_owner = own(layer, s.api->destroy_layer);
    const Owner<moe_context> context = make_context(s, c.tokens, 0);
    ViewMemory y(s.api, s.device.get(), Placement{}, MOE_DTYPE_F32, c.tokens, c.desc.hidden);
    const moe_view x = moe::host_view(c.inputs.x.data(), MOE_DTYPE_F32, c.tokens, c.desc.hidden);
    moe_call_args args = MOE_INIT(moe_call_args);
    args.tokens = c.tokens;
    args.x = &x;
    args.y = y.view();
    encode(s, context.get(), layer, args);
    wait(s, context.get(), flush(s, context.get()));
    if (y.read_rows() != expected)
      fail(result, "weights from a file and from memory give other bits (matrix order %u)", order);
  }
}

// Adds to an environment variable while it lives; the library reads it when an instance is created.
class ScopedEnvironment {
 public:
  ScopedEnvironment(const char* name, const std::string& added) : name_(name) {
    const char* old = std::getenv(name);
    had_ = old != nullptr;
    if (had_) old_ = old;
    moe_tests::set_environment(name, (old_.empty() ? added : old_ + "," + added).c_str());
  }
  ~ScopedEnvironment() {
    if (had_) {
      moe_tests::set_environment(name_, old_.c_str());
    } else {
      moe_tests::unset_environment(name_);
    }
  }
  ScopedEnvironment(const ScopedEnvironment&) = delete;
  ScopedEnvironment& operator=(const ScopedEnvironment&) = delete;

 private:
  const char* name_;
  bool had_ = false;
  std::string old_;
};

// A device without addresses whose storage buffers are bound in windows of 1 MiB.
void windows(Session& outer, CaseResult& result, const LayerCase& c) {
  if (outer.introspection == nullptr) {
    result.skipped = "the library has no introspection to lower a limit with";
    return;
  }
  const ScopedEnvironment limits("MOEVK_LIMITS", "max_storage_buffer_range=1048576"), disable("MOEVK_DISABLE", "bda");
  Session s;
  try {
    s = open_session(outer.api, outer.device_index, outer.validation);
  } catch (const moe::Error& error) {
    if (error.code() != MOE_ERROR_NO_DEVICE) throw;
    result.skipped = std::string("not without addresses: ") + error.what();
    return;
  }
  if (caps_text(s).find("max_storage_buffer_range = 1048576") == std::string::npos) {
    result.skipped = "the limit of this device cannot be lowered";
    return;
  }
  judge_case(s, c, result);
}

// Blocks beyond a window: matrices of 1.6 MB in two pieces each, and codebooks before the pieces in the table.
LayerCase blocks_in_windows(uint64_t tokens) {
  LayerCase c = small_layer(3, 2, 1280, 1536, tokens, 8);
  moe_weight_format q6_k{}, iq3_s{};
  q6_k.preset = 1 + 14;
  iq3_s.preset = 1 + 21;
  c.desc.gate_format = c.desc.down_format = q6_k;
  c.desc.up_format = iq3_s;
  Random random(8, 79, tokens);
  draw_weights(c, random);
  return c;
}

std::vector<SpecialCase> make_cases() {
  std::vector<SpecialCase> all;
  all.push_back({"chain", false, chain});
  all.push_back({"flushes_in_flight", false, flushes_in_flight});
  all.push_back({"upload_from_file", false, upload_from_file});
  all.push_back({"block_decode", false, block_decode});
  all.push_back({"decode_affine", false, affine_decode});
  // A stacked tensor of several windows, whole experts in each; then an expert's matrix of more
  // than one.
  all.push_back(
      {"windows_stacked", false, [](Session& s, CaseResult& r) { windows(s, r, small_layer(9, 3, 250, 200, 20, 5)); }});
  all.push_back({"windows_stacked_one_token", false,
                 [](Session& s, CaseResult& r) { windows(s, r, small_layer(9, 3, 250, 200, 1, 5)); }});
  all.push_back({"windows_in_expert", false,
                 [](Session& s, CaseResult& r) { windows(s, r, small_layer(3, 2, 643, 521, 18, 6)); }});
  all.push_back({"windows_in_expert_one_token", false,
                 [](Session& s, CaseResult& r) { windows(s, r, small_layer(3, 2, 643, 521, 1, 6)); }});
  all.push_back({"windows_in_expert_f16", false,
                 [](Session& s, CaseResult& r) { windows(s, r, small_layer(3, 2, 1021, 531, 3, 7, MOE_DTYPE_F16)); }});
  all.push_back({"windows_in_expert_blocks", false, [](Session& s, CaseResult& r) {
                   windows(s, r, blocks_in_windows(18));
                   windows(s, r, blocks_in_windows(1));
                 }});
  return all;
}

}  // namespace

const std::vector<SpecialCase>& special_cases() {
  static const std::vector<SpecialCase> all = make_cases();
  return all;
}

}  // namespace moe_conformance
