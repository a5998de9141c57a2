// SPDX-License-Identifier: MIT
//
// In:  texts of test vectors, whole and broken.
// Out: what is read of them; the line and the reason where one is refused.
// Why: a vector that is half understood judges something else than its author meant.
#include "tools/model/vector_file.h"

#include <gtest/gtest.h>

namespace moevk::model {
namespace {

constexpr char kWhole[] =
    "moe-vector 1\n"            // 1
    "family f   # a comment\n"  // 2
    "title  two words\n"        // 3
    "needs  desc.a, desc.b\n"   // 4
    "departs top_k, experts: it is small\n"
    "layer\n"  // 6
    "  hidden 2\n"
    "  intermediate 1\n"
    "  experts 2\n"
    "  top_k 1\n"  // 10
    "  score softmax\n"
    "  flags ungated, router_bias\n"
    "  activation relu\n"
    "  routed_scale 5/2\n"
    "let a = 1 + 1\n"  // 15
    "let b = a*ln(1)\n"
    "input x\n"
    "  1 0\n"
    "  0 a\n"
    "tensor router.weight\n"  // 20
    "  1 0\n"
    "  0 1\n"
    "tensor router.bias\n"
    "  b 1/4\n"
    "tensor experts.up\n"  // 25
    "  1 1\n"
    "  1 1\n"
    "tensor experts.down\n"
    "  1\n"
    "  2\n"  // 30
    "  3\n"
    "  4\n"
    "expect ids\n"
    "  0\n"
    "  1\n"  // 35
    "expect y within 1e-3\n"
    "  1 2\n"
    "  3 4\n";

// kWhole with one piece changed.
std::string changed(const std::string& from, const std::string& to) {
  std::string text = kWhole;
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(VectorFile, ReadsWhatIsThere) {
  VectorFile file;
  const auto error = read_vector(kWhole, file);
  ASSERT_FALSE(error.has_value()) << error->line << ": " << error->message;
  EXPECT_EQ(file.family, "f");
  EXPECT_EQ(file.title, "two words");
  EXPECT_EQ(file.needs, (std::vector<std::string>{"desc.a", "desc.b"}));
  ASSERT_EQ(file.departures.size(), 2u);
  EXPECT_EQ(file.departures[1].field, "experts");
  EXPECT_EQ(file.departures[1].reason, "it is small");
  EXPECT_EQ(file.desc.struct_size, sizeof(moe_layer_desc));
  EXPECT_EQ(file.desc.hidden, 2u);
  EXPECT_EQ(file.desc.flags, MOE_LAYER_UNGATED | MOE_LAYER_ROUTER_BIAS);
  EXPECT_EQ(file.desc.activation, MOE_ACTIVATION_RELU);
  EXPECT_EQ(file.desc.routed_scale, 2.5f);
  EXPECT_EQ(file.tokens, 2u);
  EXPECT_EQ(file.input("x")->values, (std::vector<double>{1, 0, 0, 2}));
  ASSERT_EQ(file.tensors.size(), 4u);
  EXPECT_EQ(file.tensors[1].values, (std::vector<double>{0, 0.25}));
  EXPECT_EQ(file.output("ids")->within, 0);
  EXPECT_EQ(file.output("y")->within, 1e-3);
  EXPECT_EQ(file.output("weights"), nullptr);
  // Lines of any system, and no last line end.
  std::string windows = kWhole;
  for (size_t at = 0; (at = windows.find('\n', at)) != std::string::npos; at += 2) windows.insert(at, "\r");
  windows.resize(windows.size() - 2);
  EXPECT_FALSE(read_vector(windows, file).has_value());
}

TEST(VectorFile, RefusesAndNamesTheLine) {
  const struct {
    std::string text;
    uint32_t line;
    std::string message;
  } cases[] = {
      {"", 0, "is empty"},
      {"# nothing\n\n", 2, "is empty"},
      {"moe-vector 2\n", 1, "begins with the line 'moe-vector 1'"},
      {"family f\n", 1, "begins with the line 'moe-vector 1'"},
      {changed("family f ", "moe-vector 1 "), 2, "stands twice"},
      {changed("family f", "family"), 2, "'family' wants something behind it"},
      {changed("family f   # a comment\n", ""), 37, "names no family"},
      {changed("title  two", "family"), 3, "'family' stands twice"},
      {changed("title  two words", "titel  two words"), 3, "'titel' is no word of this format"},
      {changed(": it is small", ""), 5, "'departs' wants fields, a colon, and why"},
      {changed("top_k, experts:", "topk:"), 5, "no field 'topk'"},
      {changed("layer\n", "layer 2\n"), 6, "in the lines below"},
      {changed("  hidden 2\n", ""), 37, "no hidden"},
      {changed("hidden 2", "hidden 2.5"), 7, "hidden: is no whole number"},
      {changed("hidden 2", "hidden -2"), 7, "hidden: is no whole number"},
      {changed("hidden 2", "hidden 2 2"), 7, "hidden: '2' stands where the value should end"},
      {changed("hidden 2", "hidden 5000"), 38, "wider than a vector may be"},
      {changed("hidden 2", "hide 2"), 7, "no field 'hide'"},
      {changed("intermediate 1", "hidden 1"), 8, "'hidden' stands twice"},
      {changed("score softmax", "score softmaks"), 11, "score: has no value 'softmaks'"},
      {changed("score softmax", "score softmax sigmoid"), 11, "score: has one word"},
      {changed("score softmax", "score 1"), 11, "score: has no value '1'"},
      {changed("router_bias\n", "router_bais\n"), 12, "flags: has no value 'router_bais'"},
      {changed("score softmax", "up_format f16"), 11, "matrices of a vector are f32"},
      {changed("routed_scale 5/2", "routed_scale 1/0"), 14, "routed_scale: divides by zero"},
      {changed("routed_scale 5/2", "routed_scale inf"), 14, "routed_scale: is no finite number"},
      {changed("routed_scale 5/2", "lora_rank 1"), 38, "no names for the tensors of expert LoRA"},
      {changed("let a = 1 + 1", "let a 1"), 15, "'let' wants NAME = VALUE"},
      {changed("let a = 1 + 1", "let ln = 1"), 15, "'let' wants NAME = VALUE"},
      {changed("let a = 1 + 1", "let layer = 1"), 15, "'let' wants NAME = VALUE"},
      {changed("let b = a*ln(1)", "let a = 2"), 16, "'a' has a value already"},
      {changed("let b = a*ln(1)", "let b = c"), 16, "there is no 'c'"},
      {changed("let b = a*ln(1)", "3 4"), 16, "'3' is no word of this format"},
      {changed("input x\n", "input xx\n"), 38, "there is no input x"},
      {changed("  0 a\n", "  0 a a\n"), 19, "x has rows of 2 values, this one has 3"},
      {changed("  0 a\n", "  0 z\n"), 19, "value 2: there is no 'z'"},
      {changed("tensor router.weight", "tensor router.wait"), 20, "this layer has no tensor router.wait"},
      {changed("tensor router.bias\n  b 1/4\n", ""), 36, "there is no tensor router.bias"},
      {changed("tensor router.bias", "tensor experts.gate"), 23, "this layer has no tensor experts.gate"},
      {changed("tensor router.bias", "tensor router.weight"), 23, "tensor router.weight stands twice"},
      {changed("tensor router.bias", "tensor router.bias f16"), 23, "'tensor' wants one name"},
      {changed("  1 1\n  1 1\n", "  1 1\n"), 25, "experts.up has 2 rows, here are 1"},
      {changed("expect ids\n  0\n", "expect ids\n  0.5\n"), 34, "ids has whole numbers"},
      {changed("expect ids\n  0\n", "expect ids\n  nan\n"), 34, "ids has whole numbers"},
      {changed("expect ids\n", "expect ids within 1e-3\n"), 33, "ids is compared exactly"},
      {changed("within 1e-3", "within 2"), 36, "'within' wants a number between 0 and 1"},
      {changed("within 1e-3", "about 2"), 36, "NAME within SIZE"},
      {changed("expect y within 1e-3", "expect z"), 36, "this layer has no expect z"},
      {changed("expect y within 1e-3\n  1 2\n  3 4\n", ""), 35, "there is no expect y"},
      {std::string(kWhole) + "input residual\n 1 1\n 1 1\n", 41, "residual and input beta go together"},
  };
  for (const auto& one : cases) {
    VectorFile file;
    const auto error = read_vector(one.text, file);
    ASSERT_TRUE(error.has_value()) << one.message << "\n" << one.text;
    EXPECT_EQ(error->line, one.line) << error->message;
    EXPECT_NE(error->message.find(one.message), std::string::npos) << error->message << "\nnot: " << one.message;
  }
}

// Any piece of a file is read or refused, and never anything worse.
TEST(VectorFile, EveryBeginningIsReadOrRefused) {
  const std::string whole = kWhole;
  uint32_t refused = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    VectorFile file;
    refused += read_vector(whole.substr(0, size), file).has_value();
    read_vector(whole.substr(size), file);
    std::string hole = whole;
    hole[size] = static_cast<char>(0x80 + size % 0x7f);
    read_vector(hole, file);
  }
  EXPECT_GT(refused, whole.size() - 8);
}

}  // namespace
}  // namespace moevk::model
