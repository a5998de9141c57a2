// SPDX-License-Identifier: MIT
//
// The weight transaction: what is refused, what can be mended, what only cancel ends; sources that
// fail. A transaction that went wrong leaves no memory behind, and one that was mended gives the
// right layer.
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/abi/weights_fixture.h"
#include "tests/support/system.h"

namespace moe_abi_tests {
namespace {

class WeightsTest : public OpenUploadTest {
 protected:
  static std::filesystem::path temporary_path() {
    return std::filesystem::temp_directory_path() /
           moe_tests::path_of("moe-abi-Größe-重み-" + std::to_string(moe_tests::process_id()) +
                              (GetParam() ? "r" : "v"));
  }
};
MOE_ON_BOTH_DEVICES(WeightsTest);

TEST_P(WeightsTest, MissingTensorIsNamedAndCanBeAdded) {
  add_all_but("experts.down");
  moe_layer* layer = nullptr;
  EXPECT_FAILS(STATE, "experts.down", "experts.down", api().commit_weights(upload_, &layer, &error));
  EXPECT_EQ(layer, nullptr);
  // One expert less is missing too, and which one is said.
  moe_tensor_source part = good("experts.down");
  part.expert_count = 3;
  part.bytes = part.bytes / 4 * 3;
  add(part);
  EXPECT_FAILS(STATE, "experts.down", "expert 3", api().commit_weights(upload_, &layer, &error));
  part.expert_first = 3;
  part.expert_count = 0;  // all from there on
  part.bytes /= 3;
  part.memory = tensor("experts.down").bytes.data() + 3 * part.bytes;
  add(part);
  commit_and_check();
}

TEST_P(WeightsTest, OverlappingExpertRanges) {
  moe_tensor_source source = good("experts.up");
  const uint64_t each = source.bytes / 4;
  source.expert_first = 1;
  source.expert_count = 2;
  source.bytes = 2 * each;
  source.memory = tensor("experts.up").bytes.data() + each;
  add(source);
  EXPECT_FAILS(INVALID_ARGUMENT, "source.expert_first", "experts.up", api().add_tensor(upload_, &source, &error));
  source.expert_first = 2;
  EXPECT_FAILS(INVALID_ARGUMENT, "source.expert_first", "expert 2", api().add_tensor(upload_, &source, &error));
  const moe_tensor_source all = good("experts.up");
  EXPECT_FAILS(INVALID_ARGUMENT, "source.expert_first", "expert 1", api().add_tensor(upload_, &all, &error));
  for (const uint32_t expert : {3u, 0u}) {  // the gaps, in any order
    source.expert_first = expert;
    source.expert_count = 1;
    source.bytes = each;
    source.memory = tensor("experts.up").bytes.data() + expert * each;
    add(source);
  }
  add(good("router.weight"));
  const moe_tensor_source again = good("router.weight");
  EXPECT_FAILS(INVALID_ARGUMENT, "source", "router.weight", api().add_tensor(upload_, &again, &error));
  add(good("experts.gate"));
  add(good("experts.down"));
  commit_and_check();
}

TEST_P(WeightsTest, BadSources) {
  const auto refused = [&](const char* argument, const char* words,
                           const std::function<void(moe_tensor_source&)>& bend) {
    moe_tensor_source source = good("experts.gate");
    bend(source);
    EXPECT_FAILS(INVALID_ARGUMENT, argument, words, api().add_tensor(upload_, &source, &error));
  };
  refused("source.name", "NULL", [](moe_tensor_source& s) { s.name = nullptr; });
  refused("source.name", "experts.gat", [](moe_tensor_source& s) { s.name = "experts.gat"; });
  refused("source.name", "experts.gate_up", [](moe_tensor_source& s) { s.name = "experts.gate_up"; });
  refused("source.name", "", [](moe_tensor_source& s) { s.name = ""; });
  refused("source.bytes", "768", [](moe_tensor_source& s) { s.bytes -= 1; });
  refused("source.bytes", "768", [](moe_tensor_source& s) { s.bytes += 4; });
  refused("source.bytes", "768", [](moe_tensor_source& s) { s.bytes = UINT64_MAX; });
  refused("source.dtype", "f32", [](moe_tensor_source& s) { s.dtype = MOE_DTYPE_F16, s.bytes /= 2; });
  refused("source.dtype", "f32", [](moe_tensor_source& s) { s.dtype = 99; });
  refused("source.expert_first", "4", [](moe_tensor_source& s) { s.expert_first = 4; });
  refused("source.expert_count", "4", [](moe_tensor_source& s) { s.expert_count = 5; });
  refused("source.expert_count", "4", [](moe_tensor_source& s) { s.expert_first = 1, s.expert_count = 0xffffffffu; });
  refused("source.source", "source", [](moe_tensor_source& s) { s.source = 99; });
  refused("source.memory", "NULL", [](moe_tensor_source& s) { s.memory = nullptr; });
  refused("source.path", "NULL", [](moe_tensor_source& s) { s.source = MOE_SOURCE_FILE; });
  refused("source.read", "NULL", [](moe_tensor_source& s) { s.source = MOE_SOURCE_CALLBACK; });
  refused("source.struct_size", "12", [](moe_tensor_source& s) { s.struct_size = 12; });
  moe_tensor_source router = good("router.weight");
  router.dtype = MOE_DTYPE_I32;
  EXPECT_FAILS(INVALID_ARGUMENT, "source.dtype", "f32", api().add_tensor(upload_, &router, &error));
  const moe_tensor_source fine = good("router.weight");
  EXPECT_FAILS(INVALID_ARGUMENT, "source", "NULL", api().add_tensor(upload_, nullptr, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "upload", "NULL", api().add_tensor(nullptr, &fine, &error));
  moe_layer* layer = nullptr;
  EXPECT_FAILS(INVALID_ARGUMENT, "upload", "NULL", api().commit_weights(nullptr, &layer, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "out", "NULL", api().commit_weights(upload_, nullptr, &error));
  // None of it did harm.
  add_all();
  commit_and_check();
}

TEST_P(WeightsTest, BadBegin) {
  moe_upload* out = nullptr;
  EXPECT_FAILS(INVALID_ARGUMENT, "device", "NULL", api().begin_weights(nullptr, &small_.desc, nullptr, &out, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "desc", "NULL", api().begin_weights(device_, nullptr, nullptr, &out, &error));
  EXPECT_FAILS(INVALID_ARGUMENT, "out", "NULL", api().begin_weights(device_, &small_.desc, nullptr, nullptr, &error));
  moe_upload_desc desc = MOE_INIT(moe_upload_desc);
  desc.struct_size = 4;
  EXPECT_FAILS(INVALID_ARGUMENT, "upload.struct_size", "4",
               api().begin_weights(device_, &small_.desc, &desc, &out, &error));
  EXPECT_EQ(out, nullptr);
}

TEST_P(WeightsTest, Files) {
  const std::filesystem::path file_path = temporary_path();
  const std::string path = moe_tests::utf8_of(file_path);
  moe_tensor_source source = good("experts.gate");
  source.source = MOE_SOURCE_FILE;
  source.memory = nullptr;
  source.path = "/nowhere/model.bin";
  EXPECT_FAILS(IO, "source.path", "/nowhere/model.bin", api().add_tensor(upload_, &source, &error));
  {
    std::ofstream file(file_path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(tensor("experts.gate").bytes.data()), 700);
  }
  source.path = path.c_str();
  EXPECT_FAILS(IO, "source.", "700", api().add_tensor(upload_, &source, &error));
  source.file_offset = 701;
  EXPECT_FAILS(IO, "source.", "700", api().add_tensor(upload_, &source, &error));
  source.file_offset = UINT64_MAX - 3;
  EXPECT_FAILS(IO, "source.", "700", api().add_tensor(upload_, &source, &error));
  {
    std::ofstream file(file_path, std::ios::binary);
    file.write("abc", 3);
    file.write(reinterpret_cast<const char*>(tensor("experts.gate").bytes.data()), 768);
  }
  source.file_offset = 3;
  add(source);
  EXPECT_TRUE(std::filesystem::remove(file_path));  // a file is never held
  add_all_but("experts.gate");
  commit_and_check();
}

// Offsets past 32 bits: a seek that takes a 32-bit off_t would fail, or read elsewhere. The file is sparse.
TEST_P(WeightsTest, FileBeyondFourGigabytes) {
  const std::filesystem::path path = temporary_path();
  const std::string utf8 = moe_tests::utf8_of(path);
  moe_tensor_source source = good("experts.gate");
  source.source = MOE_SOURCE_FILE;
  source.memory = nullptr;
  source.path = utf8.c_str();
  source.file_offset = (uint64_t{1} << 32) + 5;
  {
    std::ofstream file(path, std::ios::binary);
    file.seekp(static_cast<std::streamoff>(source.file_offset));
    file.write(reinterpret_cast<const char*>(tensor("experts.gate").bytes.data()), 768);
    ASSERT_TRUE(file.flush());
  }
  EXPECT_EQ(std::filesystem::file_size(path), source.file_offset + 768);
  add(source);
  EXPECT_TRUE(std::filesystem::remove(path));
  add_all_but("experts.gate");
  commit_and_check();
}

TEST_P(WeightsTest, CallbackThatFails) {
  struct Reader {
    const std::byte* data;
    uint64_t fail_at;  // byte
    bool rising = true;
    uint64_t last = 0;
  } reader{tensor("experts.gate").bytes.data(), 300};
  moe_tensor_source source = good("experts.gate");
  source.source = MOE_SOURCE_CALLBACK;
  source.memory = nullptr;
  source.user = &reader;
  source.read = [](void* user, uint64_t offset, void* destination, uint64_t bytes) -> int32_t {
    Reader& r = *static_cast<Reader*>(user);
    r.rising = r.rising && offset >= r.last;
    r.last = offset;
    if (offset + bytes > r.fail_at) return 4711;
    std::memcpy(destination, r.data + offset, static_cast<size_t>(bytes));
    return 0;
  };
  EXPECT_FAILS(IO, "source.read", "4711", api().add_tensor(upload_, &source, &error));
  EXPECT_TRUE(reader.rising) << "offsets rise";
  cancel();
  begin();
  reader.fail_at = UINT64_MAX;
  reader.last = 0;
  add(source);
  EXPECT_TRUE(reader.rising);
  add_all_but("experts.gate");
  commit_and_check();
}

TEST_P(WeightsTest, ProgressAndCancel) {
  cancel();
  struct State {
    uint64_t stop_at, last = 0, total = 0, calls = 0;
    bool rising = true;
  } state{UINT64_MAX};
  moe_upload_desc desc = MOE_INIT(moe_upload_desc);
  desc.user = &state;
  desc.progress = [](void* user, uint64_t done, uint64_t total) -> int32_t {
    State& s = *static_cast<State*>(user);
    s.rising = s.rising && done >= s.last && done <= total && (s.total == 0 || total == s.total);
    s.last = done;
    s.total = total;
    ++s.calls;
    return done >= s.stop_at ? 1 : 0;
  };
  begin(&desc);
  add_all();
  commit_and_check();
  EXPECT_GT(state.calls, 0u);
  EXPECT_TRUE(state.rising);
  EXPECT_EQ(state.last, state.total) << "the last report is the whole";

  before_ = statistics();
  state = State{1};
  begin(&desc);
  const moe_tensor_source source = good("experts.gate");
  EXPECT_FAILS(CANCELLED, "upload", "stop|cancel", api().add_tensor(upload_, &source, &error));
  EXPECT_FAILS(STATE, "upload", "cancel", api().add_tensor(upload_, &source, &error));
  moe_layer* layer = nullptr;
  EXPECT_FAILS(STATE, "upload", "cancel", api().commit_weights(upload_, &layer, &error));
  EXPECT_EQ(layer, nullptr);
}

}  // namespace
}  // namespace moe_abi_tests
