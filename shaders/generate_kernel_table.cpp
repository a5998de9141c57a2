// SPDX-License-Identifier: MIT
//
// Build tool: kernels.manifest (+ compiled SPIR-V) -> spec_constants.glsl, or kernel_table.h and kernel_table.cpp.
//   generate_kernel_table glsl MANIFEST OUT.glsl
//   generate_kernel_table table MANIFEST SPIRV_DIR COMPILER OUT_DIR
// The table is plain arrays: nothing but <cstdint> stands between a kernel's file and the planner that picks it.
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Kernel {
  std::string name, push;
  int bindings = 0;
  bool weights = false;
  std::vector<std::string> constants;
};
struct Named {
  std::string name;
  uint32_t id, value;
};
struct Manifest {
  std::vector<Named> constants, numbers;
  std::vector<Kernel> kernels;
};

Manifest read_manifest(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  Manifest m;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::istringstream words(line);
    std::string kind;
    if (!(words >> kind) || kind[0] == '#') continue;
    bool good = true;
    if (kind == "constant") {
      Named c{};
      good = static_cast<bool>(words >> c.id >> c.name >> c.value) && c.id == m.constants.size();
      m.constants.push_back(c);
    } else if (kind == "number") {
      Named n{};
      good = static_cast<bool>(words >> n.name >> n.value);
      m.numbers.push_back(n);
    } else if (kind == "kernel") {
      Kernel k;
      std::string list, one;
      good = static_cast<bool>(words >> k.name >> k.push >> k.bindings >> k.weights >> list);
      std::istringstream parts(list == "-" ? "" : list);
      while (std::getline(parts, one, ',')) k.constants.push_back(one);
      m.kernels.push_back(k);
    } else {
      good = false;
    }
    if (!good) throw std::runtime_error(path + ":" + std::to_string(number) + ": not understood: " + line);
  }
  return m;
}

// "MAX_SLOTS" or "gate_up_small" -> "MaxSlots", "GateUpSmall"
std::string camel(const std::string& name) {
  std::string out;
  bool start = true;
  for (char c : name) {
    if (c == '_') {
      start = true;
    } else {
      out += static_cast<char>(start ? std::toupper(c) : std::tolower(c));
      start = false;
    }
  }
  return out;
}

void write_glsl(const Manifest& m, const std::string& path) {
  std::ofstream out(path);
  out << "// Generated from kernels.manifest.\n";
  for (const Named& n : m.numbers) out << "const uint " << n.name << " = " << n.value << "u;\n";
  for (const Named& c : m.constants) {
    out << "layout(constant_id = " << c.id << ") const uint " << c.name << " = " << c.value << "u;\n";
  }
}

std::vector<uint32_t> read_spirv(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (bytes.empty() || bytes.size() % 4 != 0) throw std::runtime_error("no SPIR-V in " + path);
  std::vector<uint32_t> words(bytes.size() / 4);
  for (size_t i = 0; i < bytes.size(); ++i)
    words[i / 4] |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])) << (i % 4 * 8);
  return words;
}

void write_header(const Manifest& m, const std::string& path) {
  std::ofstream out(path);
  out << "// Generated from kernels.manifest.\n#pragma once\n#include <cstddef>\n#include <cstdint>\n\nnamespace moevk "
         "{\n\n";
  for (const Named& n : m.numbers)
    out << "inline constexpr uint32_t kNumber" << camel(n.name) << " = " << n.value << "u;\n";
  out << "\nenum class Constant : uint32_t {\n";
  for (const Named& c : m.constants) out << "  k" << camel(c.name) << ",\n";
  out << "};\ninline constexpr uint32_t kConstantCount = " << m.constants.size() << ";\n";
  out << "inline constexpr uint32_t kConstantDefaults[kConstantCount] = {";
  for (const Named& c : m.constants) out << c.value << "u, ";
  out << "};\n\nenum class KernelId : uint32_t {\n";
  for (const Kernel& k : m.kernels) out << "  k" << camel(k.name) << ",\n";
  out << "};\ninline constexpr uint32_t kKernelCount = " << m.kernels.size() << ";\n\n"
      << "struct KernelInfo {\n  const char* name;\n  uint32_t bindings;\n  uint32_t constants;  // bit per Constant "
         "it reads\n"
      << "  bool reads_weights;\n  const uint32_t* code[2];  // with weights: windows, device addresses\n"
      << "  size_t words[2];\n};\nextern const KernelInfo kKernels[kKernelCount];\nextern const char* const "
         "kConstantNames[kConstantCount];\n"
      << "extern const char* const kKernelCompiler;\n\n}  // namespace moevk\n";
}

void write_table(const Manifest& m, const std::string& spirv, const std::string& compiler, const std::string& dir) {
  write_header(m, dir + "/kernel_table.h");
  std::ofstream out(dir + "/kernel_table.cpp");
  out << "// Generated from kernels.manifest.\n#include \"kernel_table.h\"\n#include \"push_constants.h\"\n\nnamespace "
         "moevk {\nnamespace {\n";
  for (const Kernel& k : m.kernels) {
    out << "static_assert(sizeof(" << k.push << ") <= 128 && sizeof(" << k.push << ") % 4 == 0);\n";
    for (int variant = 0; variant < (k.weights ? 2 : 1); ++variant) {
      const std::string suffix = !k.weights ? "" : variant == 0 ? ".win" : ".bda";
      out << "const uint32_t k" << camel(k.name) << variant << "[] = {";
      const std::vector<uint32_t> words = read_spirv(spirv + "/" + k.name + suffix + ".spv");
      for (size_t i = 0; i < words.size(); ++i) out << (i % 16 == 0 ? "\n" : "") << words[i] << "u,";
      out << "};\n";
    }
  }
  out << "}  // namespace\n\nconst KernelInfo kKernels[kKernelCount] = {\n";
  for (const Kernel& k : m.kernels) {
    uint32_t mask = 0;
    for (const std::string& name : k.constants) {
      bool found = false;
      for (const Named& c : m.constants) {
        if (c.name == name) mask |= 1u << c.id, found = true;
      }
      if (!found) throw std::runtime_error(k.name + ": no constant " + name);
    }
    const std::string id = "k" + camel(k.name);
    const std::string second = k.weights ? id + "1" : "nullptr";
    out << "    {\"" << k.name << "\", " << k.bindings << ", " << mask << "u, " << (k.weights ? "true" : "false")
        << ", {" << id << "0, " << second << "}, {sizeof(" << id << "0) / 4, "
        << (k.weights ? "sizeof(" + second + ") / 4" : "0") << "}},\n";
  }
  out << "};\nconst char* const kConstantNames[kConstantCount] = {";
  for (const Named& c : m.constants) out << "\"" << c.name << "\", ";
  out << "};\nconst char* const kKernelCompiler = \"" << compiler << "\";\n\n}  // namespace moevk\n";
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> args(argv + 1, argv + argc);
    if (args.size() == 3 && args[0] == "glsl") {
      write_glsl(read_manifest(args[1]), args[2]);
    } else if (args.size() == 5 && args[0] == "table") {
      write_table(read_manifest(args[1]), args[2], args[3], args[4]);
    } else {
      std::cerr << "usage: generate_kernel_table glsl MANIFEST OUT | table MANIFEST SPIRV_DIR COMPILER OUT_DIR\n";
      return 2;
    }
  } catch (const std::exception& e) {
    std::cerr << "generate_kernel_table: " << e.what() << "\n";
    return 1;
  }
  return 0;
}
