// SPDX-License-Identifier: MIT
//
// In:  the path of other people's library.
// Out: its functions, by name.
// Why: nothing links to a peer. Its headers are those of the package that the library comes from; a library of another
//      version than the headers is refused, since its structs may differ.
#pragma once

#include <dlfcn.h>

#include <stdexcept>
#include <string>

namespace moe_tests {

// A library that stays loaded until the process ends: peers keep threads and static state.
class SharedLibrary {
 public:
  // Becomes a pointer to a function of any type; which one is right, the caller knows from the peer's header.
  class Symbol {
   public:
    explicit Symbol(void* address) : address_(address) {}
    template <class Function>
    operator Function*() const {
      return reinterpret_cast<Function*>(address_);
    }

   private:
    void* address_;
  };

  // Throws std::runtime_error, as find does.
  explicit SharedLibrary(const std::string& path) : path_(path), handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw std::runtime_error(dlerror());
  }
  // `version_function` names one that returns the version as text, which must be that of the headers.
  SharedLibrary(const std::string& path, const char* version_function, const std::string& headers_version)
      : SharedLibrary(path) {
    const char* (*const version)() = find(version_function);
    if (version() != headers_version) {
      throw std::runtime_error(path + " is version " + version() + ", the headers are of " + headers_version);
    }
  }

  // Of the library, or of one that it links to.
  Symbol find(const char* name) const {
    void* const address = dlsym(handle_, name);
    if (address == nullptr) throw std::runtime_error(path_ + " has no " + name);
    return Symbol(address);
  }

 private:
  std::string path_;
  void* handle_;
};

}  // namespace moe_tests

// A member of a class derived from SharedLibrary: a function by its name, with the type that its header declares.
#define MOEVK_PEER_FUNCTION(member, name) decltype(&::name) member = find(#name)
