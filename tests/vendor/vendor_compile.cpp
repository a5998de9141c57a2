// SPDX-License-Identifier: MIT
//
// vendor_compile check|write NAME FOLDER: compiles every kernel variant of the device that the Vulkan driver shows,
// and compares what the compiler says with FOLDER/stats/NAME.txt, and the probed facts with FOLDER/NAME.caps; or
// writes both files. vendor_compile show PART: statistics and disassembly of the variants with PART in their name.
// scripts/on-device runs it on GPUs that are not here.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/vendor/device_records.h"

namespace moevk::vendor {
namespace {

namespace fs = std::filesystem;

// Belongs to the machine that asked, not to the GPU: drivers of GPUs without memory of their own give a share of it.
constexpr uint64_t kMostLocalBytes = 8ull << 30;

struct Files {
  fs::path caps, stats;
};

std::string caps_file(const DeviceCaps& caps) {
  return "# Probed: moevk devices --caps 0, on Mesa's driver for this GPU without the hardware "
         "(scripts/update-budgets).\n" +
         caps_text(caps);
}

std::string stats_file(const DeviceCaps& caps, const std::vector<KernelRecord>& records) {
  std::string text = "# " + caps.name + ", " + caps.driver +
                     ".\n# What its compiler made of each kernel that a plan may choose (scripts/update-budgets); "
                     "docs/vendor-compilers.md explains the words.\n";
  for (const KernelRecord& record : records) text += record_text(record) + "\n";
  return text;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool write_file(const fs::path& path, const std::string& text) {
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return !file.fail();
}

// Facts that differ; the driver's version may, as its packages are updated, and a name that a table of the system has.
std::vector<std::string> changed_facts(const DeviceCaps& now, const fs::path& path) {
  Result<DeviceCaps> parsed = caps_from_text(read_file(path));
  if (!parsed.ok()) return {path.string() + " cannot be read"};
  std::istringstream a(caps_text(now)), b(caps_text(parsed.value()));
  std::vector<std::string> changed;
  for (std::string x, y; std::getline(a, x) && std::getline(b, y);) {
    if (x != y && !x.starts_with("driver =") && !x.starts_with("name ="))
      changed.push_back(path.filename().string() + ": " + y + ", but probed " + x);
  }
  return changed;
}

int check(const DeviceCaps& caps, DeviceRecords made, const Files& files) {
  std::vector<std::string> problems = std::move(made.failures);
  Result<std::vector<KernelRecord>> before = records_from_text(read_file(files.stats));
  if (!before.ok()) {
    problems.push_back(files.stats.string() + ": " + before.status().argument() + ": " + before.status().text());
  } else {
    for (std::string& problem : worse(made.records, before.value())) problems.push_back(std::move(problem));
  }
  for (std::string& fact : changed_facts(caps, files.caps)) problems.push_back(std::move(fact));
  for (const std::string& problem : problems) std::printf("FAIL: %s\n", problem.c_str());
  // Several problems may belong to one variant; each counts as a failure.
  std::printf("%zu passed, %zu failed, 0 skipped\n",
              made.records.size() - std::min(made.records.size(), problems.size()), problems.size());
  return problems.empty() && !made.records.empty() ? 0 : 1;
}

int write(const DeviceCaps& caps, const DeviceRecords& made, const Files& files) {
  for (const std::string& failure : made.failures) std::printf("FAIL: %s\n", failure.c_str());
  if (!write_file(files.caps, caps_file(caps)) || !write_file(files.stats, stats_file(caps, made.records))) {
    std::printf("FAIL: cannot write %s\n", files.stats.c_str());
    return 1;
  }
  std::printf("%zu kernels written\n", made.records.size());
  return made.failures.empty() ? 0 : 1;
}

int run(const std::vector<std::string>& arguments) {
  const std::string mode = arguments.empty() ? "" : arguments[0];
  const bool with_files = (mode == "check" || mode == "write") && arguments.size() == 3;
  if (!with_files && !(mode == "show" && arguments.size() == 2)) {
    std::fprintf(stderr, "vendor_compile check|write NAME FOLDER, or vendor_compile show PART\n");
    return 2;
  }
  Result<std::shared_ptr<VulkanDevice>> opened = open_device();
  if (!opened.ok()) {
    std::printf("no device: %s\n", opened.status().text().c_str());
    return 1;
  }
  VulkanDevice* device = opened.value().get();
  if (mode == "show") {
    const Status status = show_variants(device, arguments[1]);
    if (!status.ok()) std::printf("%s\n", status.text().c_str());
    return status.ok() ? 0 : 1;
  }
  DeviceCaps caps = device->caps();
  caps.device_local_bytes = std::min(caps.device_local_bytes, kMostLocalBytes);
  const Files files = {fs::path(arguments[2]) / (arguments[1] + ".caps"),
                       fs::path(arguments[2]) / "stats" / (arguments[1] + ".txt")};
  DeviceRecords made = compile_variants(device);
  return mode == "check" ? check(caps, std::move(made), files) : write(caps, made, files);
}

}  // namespace
}  // namespace moevk::vendor

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a driver may crash; what was said until then helps
  return moevk::vendor::run({argv + 1, argv + argc});
}
