// SPDX-License-Identifier: MIT
//
// moevk vectors. In: files of test vectors, or folders of them. Out: which of them a library gives right on a device,
// and where it does not. Why: hand-checked arithmetic judges any library that speaks moe_plugin.h, ours like others.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tools/model/utf8_path.h"
#include "tools/moevk/commands.h"
#include "tools/moevk/terminal.h"
#include "tools/moevk/vector_run.h"

namespace moevk::cli {
namespace {

struct Vector {
  std::string name;  // of the file, without its ending
  model::VectorFile file;
};

// Of the installed command, or of the build folder's: beside bin/.
std::string default_folder() {
  std::error_code failed;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failed);
  const std::filesystem::path folder = program.parent_path().parent_path() / "share" / "moevk" / "vectors";
  if (!failed && std::filesystem::is_directory(folder, failed)) return model::utf8_of(folder);
  throw UsageError("PATH", failed && program.empty()
                               ? "is needed: this system does not tell where the program lies"
                               : "is missing, and there is no ../share/moevk/vectors where this program lies");
}

std::vector<std::filesystem::path> files_of(const std::string& path) {
  const std::filesystem::path given = model::path_of(path);
  std::error_code failed;
  if (!std::filesystem::is_directory(given, failed)) return {given};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(given)) {
    if (entry.path().extension() == ".vec") files.push_back(entry.path());
  }
  if (files.empty()) throw UsageError(path, "holds no file that ends in .vec");
  std::sort(files.begin(), files.end());
  return files;
}

Vector read_one(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  const std::string name = model::utf8_of(path);
  if (!in || in.bad()) throw UsageError(name, "cannot be read");
  Vector vector;
  vector.name = model::utf8_of(path.stem());
  if (const auto error = model::read_vector(text.str(), vector.file)) {
    throw UsageError(name + ":" + std::to_string(error->line), error->message);
  }
  return vector;
}

// All of them before any runs: a bad file is found at once.
std::vector<Vector> read_all(std::vector<std::string> paths) {
  if (paths.empty()) paths.push_back(default_folder());
  std::vector<Vector> vectors;
  for (const std::string& path : paths) {
    for (const std::filesystem::path& file : files_of(path)) vectors.push_back(read_one(file));
  }
  return vectors;
}

// With --require-all a refusal fails, but for what the vector says that a library may lack.
void judge_refusal(const Vector& vector, bool require_all, VectorResult& result) {
  const auto& needs = vector.file.needs;
  if (!require_all || std::find(needs.begin(), needs.end(), result.refused) != needs.end()) return;
  result.outcome = Outcome::kFail;
  result.problems.push_back("refused: " + result.refused + ": " + result.reason);
}

void print_result(const Vector& vector, const VectorResult& result, bool verbose) {
  switch (result.outcome) {
    case Outcome::kPass:
      std::printf("%s    %-22s %s\n", good("pass").c_str(), vector.name.c_str(), vector.file.title.c_str());
      if (verbose) std::printf("        largest error %.3f of what is allowed\n", result.largest_error);
      break;
    case Outcome::kSkip:
      std::printf("skip    %-22s refused: %s: %s\n", vector.name.c_str(), result.refused.c_str(),
                  result.reason.c_str());
      break;
    case Outcome::kFail:
      std::printf("%s    %-22s %s\n", bad("FAIL").c_str(), vector.name.c_str(), vector.file.title.c_str());
      for (const std::string& problem : result.problems) std::printf("        %s\n", problem.c_str());
      break;
  }
  std::fflush(stdout);
}

// family, oracle, device, verdict, figure or reason, with tabs between them: docs/conformance-kit.md.
std::string result_line(const Vector& vector, const VectorResult& result, const moe_device_info& device) {
  const char* const verdict = result.outcome == Outcome::kPass   ? "pass"
                              : result.outcome == Outcome::kSkip ? "skip"
                                                                 : "fail";
  std::string detail = vector.name + ": ";
  if (result.outcome == Outcome::kPass) {
    detail += formatted("%.3g of the bound", result.largest_error);
  } else if (result.outcome == Outcome::kSkip) {
    detail += result.refused + ": " + result.reason;
  } else {
    detail += result.problems.front();
  }
  std::string name = device.kind == MOE_DEVICE_KIND_REFERENCE ? "reference" : device.driver;
  name.erase(name.find_last_not_of(' ') + 1);
  std::string line = vector.file.family + "\thand\t" + name + "\t" + verdict;
  std::replace(detail.begin(), detail.end(), '\t', ' ');
  std::replace(detail.begin(), detail.end(), '\n', ' ');
  return line + "\t" + detail + "\n";
}

}  // namespace

int run_vectors(const GlobalOptions& globals, const VectorOptions& options) {
  const std::vector<Vector> vectors = read_all(options.paths);
  const Host host(globals);
  const uint32_t index = host.find(options.device);
  const moe_device_info& info = host.devices()[index];
  std::ofstream results;
  if (!options.results.empty()) {
    results.open(model::path_of(options.results), std::ios::binary | std::ios::app);
    if (!results) throw UsageError("--results", options.results + " cannot be written");
  }
  const moe::Device device = host.open(index);
  std::printf("device  %u  %s  %s\n", index, info.name, remark(info.driver).c_str());
  uint64_t counts[3] = {};
  for (const Vector& vector : vectors) {
    VectorResult result = run_vector(host, device, vector.file);
    if (result.outcome == Outcome::kSkip) judge_refusal(vector, options.require_all, result);
    print_result(vector, result, options.verbose);
    ++counts[static_cast<size_t>(result.outcome)];
    if (results.is_open()) results << result_line(vector, result, info);
  }
  if (results.is_open()) {
    results.close();
    if (!results) throw UsageError("--results", options.results + " could not be written");
  }
  const auto count = [&](Outcome outcome) {
    return static_cast<unsigned long long>(counts[static_cast<size_t>(outcome)]);
  };
  std::printf("%llu passed, %llu failed, %llu skipped\n", count(Outcome::kPass), count(Outcome::kFail),
              count(Outcome::kSkip));
  return count(Outcome::kFail) == 0 && count(Outcome::kPass) > 0 ? kExitOk : kExitDisagrees;
}

}  // namespace moevk::cli
