// SPDX-License-Identifier: MIT
//
// In:  text.
// Out: a VectorFile, or the line at fault (see vector_file.h).
// Why: a vector that is read wrongly judges wrongly, so whatever is not understood is refused: an unknown word, a row
//      too long, a tensor that the layer does not have, one that is missing.
#include "tools/model/vector_file.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "tools/model/expression.h"
#include "tools/model/layer_fields.h"

namespace moevk::model {
namespace {

constexpr std::string_view kBlanks = " \t\r";
constexpr uint64_t kMostSize = 4096;  // of one axis: vectors are small, and a typing error should not ask for gigabytes
constexpr std::string_view kKeywords[] = {"moe-vector", "family", "preset", "title", "departs", "needs",
                                          "layer",      "let",    "tensor", "input", "expect"};

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string> split(std::string_view text, std::string_view separators) {
  std::vector<std::string> words;
  for (size_t at = text.find_first_not_of(separators); at != std::string_view::npos;
       at = text.find_first_not_of(separators, at)) {
    const size_t end = std::min(text.find_first_of(separators, at), text.size());
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

// Rows as they stand in the file; shapes are known when all of it is read.
struct Block {
  std::string keyword;
  std::string name;
  uint32_t line = 0;
  double within = kVectorTolerance;
  bool within_given = false;
  std::vector<std::vector<double>> rows;
  std::vector<uint32_t> row_lines;
};

class Reader {
 public:
  explicit Reader(VectorFile& file) : file_(file) { file_.desc = MOE_INIT(moe_layer_desc); }

  std::optional<VectorError> read(std::string_view text) {
    size_t at = 0;
    while (at < text.size() && message_.empty()) {
      const size_t end = std::min(text.find('\n', at), text.size());
      ++line_;
      std::string_view line = text.substr(at, end - at);
      line = trimmed(line.substr(0, line.find('#')));
      if (!line.empty()) read_line(line);
      at = end + 1;
    }
    if (message_.empty()) finish();
    if (message_.empty()) return std::nullopt;
    return VectorError{line_, message_};
  }

 private:
  void fail(const std::string& message) {
    if (message_.empty()) message_ = message;
  }
  void fail_at(uint32_t line, const std::string& message) {
    if (!message_.empty()) return;
    line_ = line;
    message_ = message;
  }

  void read_line(std::string_view line) {
    const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
    const std::string_view rest = trimmed(line.substr(word.size()));
    if (!started_) {
      started_ = true;
      if (word != "moe-vector" || rest != "1") fail("a vector begins with the line 'moe-vector 1'");
      return;
    }
    if (std::find(std::begin(kKeywords), std::end(kKeywords), word) != std::end(kKeywords)) {
      in_layer_ = in_block_ = false;
      read_statement(word, rest);
    } else if (in_layer_) {
      read_field(word, rest);
    } else if (in_block_) {
      read_row(line);
    } else {
      fail("'" + std::string(word) + "' is no word of this format");
    }
  }

  void read_statement(std::string_view word, std::string_view rest) {
    if (word == "layer") {
      if (!rest.empty()) fail("fields of the layer stand in the lines below");
      in_layer_ = true;
    } else if (rest.empty()) {
      fail("'" + std::string(word) + "' wants something behind it");
    } else if (word == "family") {
      set_once(file_.family, rest, word);
    } else if (word == "preset") {
      set_once(file_.preset, rest, word);
    } else if (word == "title") {
      set_once(file_.title, rest, word);
    } else if (word == "departs") {
      read_departure(rest);
    } else if (word == "needs") {
      for (std::string& argument : split(rest, ", \t")) file_.needs.push_back(std::move(argument));
    } else if (word == "let") {
      read_let(rest);
    } else if (word == "moe-vector") {
      fail("stands twice");
    } else {
      begin_block(word, rest);
    }
  }

  void set_once(std::string& field, std::string_view value, std::string_view word) {
    if (!field.empty()) fail("'" + std::string(word) + "' stands twice");
    field = value;
  }

  void read_departure(std::string_view rest) {
    const size_t colon = rest.find(':');
    const std::string_view reason = colon == std::string_view::npos ? "" : trimmed(rest.substr(colon + 1));
    if (reason.empty()) return fail("'departs' wants fields, a colon, and why");
    for (const std::string& name : split(rest.substr(0, colon), ", \t")) {
      if (find_layer_field(name) == nullptr) return fail("moe_layer_desc has no field '" + name + "'");
      file_.departures.push_back({name, std::string(reason)});
    }
  }

  void read_let(std::string_view rest) {
    const size_t equals = rest.find('=');
    const std::string name(trimmed(rest.substr(0, equals)));
    const bool keyword = std::find(std::begin(kKeywords), std::end(kKeywords), name) != std::end(kKeywords);
    if (equals == std::string_view::npos || keyword || !is_free_name(name)) {
      return fail("'let' wants NAME = VALUE, with a name that means nothing else");
    }
    const ExpressionValue value = evaluate(rest.substr(equals + 1), names_);
    if (!value.error.empty()) return fail(value.error);
    if (!names_.emplace(name, value.value).second) fail("'" + name + "' has a value already");
  }

  void read_field(std::string_view name, std::string_view rest) {
    const LayerField* field = find_layer_field(name);
    if (field == nullptr) return fail("moe_layer_desc has no field '" + std::string(name) + "'");
    if (!fields_.insert(field->name).second) return fail("'" + std::string(name) + "' stands twice");
    if (field->kind == FieldKind::kFormat)
      return fail("matrices of a vector are f32: leave '" + std::string(name) + "'");
    std::string problem;
    if (!field->words.empty()) {
      problem = set_field(*field, split(rest, ", \t"), file_.desc);
    } else {
      const ExpressionValue value = evaluate(rest, names_);
      problem = value.error.empty() ? set_field(*field, value.value, file_.desc) : value.error;
    }
    if (!problem.empty()) fail(std::string(name) + ": " + problem);
  }

  void begin_block(std::string_view keyword, std::string_view rest) {
    const std::vector<std::string> words = split(rest, kBlanks);
    Block block;
    block.keyword = keyword;
    block.name = words[0];
    block.line = line_;
    if (words.size() > 1) {
      if (keyword != "expect" || words.size() != 3 || words[1] != "within") {
        return fail("'" + std::string(keyword) + "' wants one name" +
                    (keyword == "expect" ? ", or NAME within SIZE" : ""));
      }
      const ExpressionValue value = evaluate(words[2], names_);
      if (!value.error.empty()) return fail(value.error);
      if (!(value.value > 0 && value.value < 1)) return fail("'within' wants a number between 0 and 1");
      block.within = value.value;
      block.within_given = true;
    }
    for (const Block& other : blocks_) {
      if (other.keyword == keyword && other.name == block.name) {
        return fail(block.keyword + " " + block.name + " stands twice");
      }
    }
    blocks_.push_back(std::move(block));
    in_block_ = true;
  }

  void read_row(std::string_view line) {
    std::vector<double> row;
    for (const std::string& word : split(line, kBlanks)) {
      const ExpressionValue value = evaluate(word, names_);
      if (!value.error.empty()) return fail("value " + std::to_string(row.size() + 1) + ": " + value.error);
      row.push_back(value.value);
    }
    blocks_.back().rows.push_back(std::move(row));
    blocks_.back().row_lines.push_back(line_);
  }

  void finish() {
    if (!started_) return fail("is empty: a vector begins with the line 'moe-vector 1'");
    if (file_.family.empty()) return fail("names no family");
    const moe_layer_desc& d = file_.desc;
    if (d.hidden == 0 || d.intermediate == 0 || d.experts == 0 || d.top_k == 0) {
      return fail("the layer has no hidden, intermediate, experts or top_k");
    }
    for (const uint32_t size : {d.hidden, d.intermediate, d.experts, d.top_k, d.identity_experts, d.token_table_rows,
                                d.shared_intermediate, d.latent}) {
      if (size > kMostSize) return fail("the layer is wider than a vector may be (" + std::to_string(kMostSize) + ")");
    }
    if (d.lora_rank != 0 || (d.flags & MOE_LAYER_NOISY_TOP_K) != 0) {
      return fail("this format has no names for the tensors of expert LoRA and noisy top-k");
    }
    for (const Block& block : blocks_) {
      if (block.keyword == "input" && block.name == "x") file_.tokens = block.rows.size();
    }
    if (file_.tokens == 0) return fail("there is no input x");
    assign("tensor", tensor_shapes(d), file_.tensors);
    assign("input", input_shapes(d, file_.tokens), file_.inputs);
    assign("expect", output_shapes(d, file_.tokens), file_.expected);
    if (message_.empty() && (file_.input("residual") == nullptr) != (file_.input("beta") == nullptr)) {
      fail("input residual and input beta go together");
    }
  }

  void assign(const std::string& keyword, const std::vector<ValueShape>& shapes, std::vector<VectorValues>& out) {
    for (const Block& block : blocks_) {
      if (block.keyword != keyword) continue;
      const auto shape =
          std::find_if(shapes.begin(), shapes.end(), [&](const ValueShape& one) { return one.name == block.name; });
      if (shape == shapes.end()) return fail_at(block.line, "this layer has no " + keyword + " " + block.name);
      if (shape->integers && block.within_given) return fail_at(block.line, block.name + " is compared exactly");
      take_rows(block, *shape, out);
    }
    for (const ValueShape& shape : shapes) {
      const bool there =
          std::any_of(out.begin(), out.end(), [&](const VectorValues& one) { return one.shape.name == shape.name; });
      if (shape.required && !there) return fail("there is no " + keyword + " " + shape.name);
    }
  }

  void take_rows(const Block& block, const ValueShape& shape, std::vector<VectorValues>& out) {
    VectorValues values{shape, {}, shape.integers ? 0 : block.within, block.line};
    const uint64_t rows = std::max<uint64_t>(shape.experts, 1) * shape.rows;
    for (size_t r = 0; r < block.rows.size(); ++r) {
      if (block.rows[r].size() != shape.columns) {
        return fail_at(block.row_lines[r], block.name + " has rows of " + std::to_string(shape.columns) +
                                               " values, this one has " + std::to_string(block.rows[r].size()));
      }
      for (const double value : block.rows[r]) {
        if (shape.integers && (value != std::floor(value) || std::fabs(value) > 2147483647)) {
          return fail_at(block.row_lines[r], block.name + " has whole numbers of 32 bits");
        }
        values.values.push_back(value);
      }
    }
    if (block.rows.size() != rows) {
      return fail_at(block.line, block.name + " has " + std::to_string(rows) + " rows, here are " +
                                     std::to_string(block.rows.size()));
    }
    out.push_back(std::move(values));
  }

  VectorFile& file_;
  uint32_t line_ = 0;
  std::string message_;
  bool started_ = false, in_layer_ = false, in_block_ = false;
  NamedValues names_;
  std::set<std::string> fields_;
  std::vector<Block> blocks_;
};

const VectorValues* find(const std::vector<VectorValues>& all, std::string_view name) {
  for (const VectorValues& one : all) {
    if (one.shape.name == name) return &one;
  }
  return nullptr;
}

}  // namespace

const VectorValues* VectorFile::input(std::string_view name) const { return find(inputs, name); }
const VectorValues* VectorFile::output(std::string_view name) const { return find(expected, name); }

std::optional<VectorError> read_vector(std::string_view text, VectorFile& file) {
  file = VectorFile{};
  return Reader(file).read(text);
}

}  // namespace moevk::model
