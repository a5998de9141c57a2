// SPDX-License-Identifier: MIT
//
// In:  --library, --device and the environment.
// Out: a Host: library, instance, devices.
// Why: one place that opens things, so that each failure reads the same everywhere.
#include "tools/moevk/host.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace moevk::cli {
namespace {

moe::Library load(const GlobalOptions& options) {
  const std::string path = library_path(options);
  try {
    return moe::Library(path.empty() ? nullptr : path.c_str());
  } catch (const moe::Error& error) {
    std::string text = error.what();
    const std::string prefix = error.argument() + ": ";  // what the loader calls its argument
    if (text.starts_with(prefix)) text.erase(0, prefix.size());
    const char* const fallback = std::getenv("MOEVK_LIBRARY") != nullptr ? "MOEVK_LIBRARY" : "library";
    throw UsageError(options.library.empty() ? fallback : "--library", text);
  }
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

void MOE_CALL append_text(void* user, const char* text, uint64_t bytes) {
  static_cast<std::string*>(user)->append(text, bytes);
}

std::string program_folder() {
#if defined(_WIN32)
  return {};
#else
  std::error_code failed;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failed);
  return failed ? std::string() : program.parent_path().string();
#endif
}

std::string library_path(const GlobalOptions& options) {
  if (!options.library.empty()) return options.library;
  if (const char* const named = std::getenv("MOEVK_LIBRARY")) return named;
  const std::string folder = program_folder();  // empty on Windows, which looks beside the program by itself
  if (folder.empty()) return {};
  std::error_code failed;
  const auto library = std::filesystem::path(folder).parent_path() / "lib" / MOE_LIBRARY_DEFAULT_NAME;
  return std::filesystem::exists(library, failed) ? library.string() : std::string();
}

Host::Host(const GlobalOptions& options) : library_(load(options)), instance_(moe::create_instance(library_)) {
  uint32_t count = 0;
  moe::check([&](moe_error* e) { return api().get_device_count(instance_, &count, e); });
  devices_.assign(count, moe_init<moe_device_info>());
  for (uint32_t index = 0; index < count; ++index) {
    moe::check([&](moe_error* e) { return api().get_device_info(instance_, index, &devices_[index], e); });
  }
}

const moe_introspection& Host::introspection() const {
  const auto* table = library_.extension<moe_introspection>(MOE_EXTENSION_INTROSPECTION);
  if (table == nullptr) {
    throw UsageError("library", "has no extension " MOE_EXTENSION_INTROSPECTION);
  }
  return *table;
}

uint32_t Host::chosen() const {
  uint32_t index = 0;
  moe::check([&](moe_error* e) { return api().choose_device(instance_, &index, e); });
  return index;
}

uint32_t Host::reference() const {
  for (size_t index = devices_.size(); index-- > 0;) {
    if (devices_[index].kind == MOE_DEVICE_KIND_REFERENCE) return static_cast<uint32_t>(index);
  }
  throw UsageError("library", "offers no CPU reference to compare with");
}

uint32_t Host::find(const std::string& which) const {
  if (which.empty()) return chosen();
  if (which == "reference") return reference();
  const auto count = static_cast<uint32_t>(devices_.size());
  uint32_t found = count;
  if (which.find_first_not_of("0123456789") == std::string::npos) {
    if (which.size() < 9) found = static_cast<uint32_t>(std::stoul(which));
    if (found >= count) {
      throw UsageError("--device", "there is no device " + which + "; the last one is " + std::to_string(count - 1) +
                                       " (see: moevk devices)");
    }
  } else {
    for (uint32_t index = 0; index < count && found == count; ++index) {
      const bool fits = lower(devices_[index].name).find(lower(which)) != std::string::npos;
      if (fits && devices_[index].usable != 0) found = index;
    }
    if (found == count) {
      throw UsageError("--device", "no usable device has '" + which + "' in its name (see: moevk devices)");
    }
  }
  if (devices_[found].usable == 0) {
    throw UsageError("--device", std::string(devices_[found].name) + " cannot be used: " + devices_[found].reason);
  }
  return found;
}

moe::Device Host::open(uint32_t index) const { return moe::open_device(library_, instance_, index); }

std::string Host::caps_text(moe_device* device) const {
  std::string text;
  moe::check([&](moe_error* e) { return introspection().get_caps_text(device, append_text, &text, e); });
  return text;
}

std::string Host::plan_text(const std::string& caps, const moe_layer_desc& desc, uint64_t tokens) const {
  std::string text;
  moe::check(
      [&](moe_error* e) { return introspection().get_plan_text(caps.c_str(), &desc, tokens, append_text, &text, e); });
  return text;
}

}  // namespace moevk::cli
