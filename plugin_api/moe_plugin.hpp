// SPDX-License-Identifier: MIT
//
// moe_plugin.hpp - a thin C++17 wrapper of moe_plugin.h for hosts: move-only owners, errors as exceptions.
// Everything else is called through api() as in C.
#ifndef MOE_PLUGIN_HPP_
#define MOE_PLUGIN_HPP_

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "moe_loader.h"
#include "moe_plugin.h"

namespace moe {

// A failed call: code() is the moe_status, argument() the path of the argument at fault.
class Error : public std::runtime_error {
 public:
  explicit Error(const moe_error& error)
      : std::runtime_error(error.argument[0] != '\0' ? std::string(error.argument) + ": " + error.text : error.text),
        code_(error.code),
        vk_result_(error.vk_result),
        argument_(error.argument) {}
  moe_status code() const noexcept { return code_; }
  int32_t vk_result() const noexcept { return vk_result_; }
  const std::string& argument() const noexcept { return argument_; }

 private:
  moe_status code_;
  int32_t vk_result_;
  std::string argument_;
};

// check([&](moe_error* e) { return api->flush(context, &value, e); });
template <class Call>
void check(Call&& call) {
  moe_error error = moe_init<moe_error>();
  const moe_status status = std::forward<Call>(call)(&error);
  if (status != MOE_OK) throw Error(error);
}

// The loaded library. Copies share it; it is unloaded with the last object made through it.
class Library {
 public:
  explicit Library(const char* path = nullptr) : library_(new moe_library{}, [](moe_library* library) {
    moe_library_close(library);
    delete library;
  }) {
    check([&](moe_error* error) { return moe_library_open(library_.get(), path, error); });
  }
  const moe_api* operator->() const noexcept { return library_->api; }
  const moe_api* api() const noexcept { return library_->api; }
  template <class T>
  const T* extension(const char* name) const {
    return static_cast<const T*>(library_->api->get_extension(name));
  }

 private:
  std::shared_ptr<moe_library> library_;
};

// Owner of one object of the ABI. `Destroy` is the member of moe_api that ends it.
template <class T, auto Destroy>
class Handle {
 public:
  Handle() noexcept = default;
  Handle(Library library, T* object) noexcept : library_(std::make_unique<Library>(std::move(library))), object_(object) {}
  Handle(Handle&& other) noexcept : library_(std::move(other.library_)), object_(std::exchange(other.object_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(library_, other.library_);
    std::swap(object_, other.object_);
    return *this;
  }
  ~Handle() { reset(); }
  void reset() noexcept {
    if (object_ != nullptr) (library_->api()->*Destroy)(object_);
    object_ = nullptr;
  }
  T* release() noexcept { return std::exchange(object_, nullptr); }
  T* get() const noexcept { return object_; }
  operator T*() const noexcept { return object_; }

 private:
  std::unique_ptr<Library> library_;
  T* object_ = nullptr;
};

using Instance = Handle<moe_instance, &moe_api::destroy_instance>;
using Device = Handle<moe_device, &moe_api::close_device>;
using Upload = Handle<moe_upload, &moe_api::cancel_weights>;
using Layer = Handle<moe_layer, &moe_api::destroy_layer>;
using Buffer = Handle<moe_buffer, &moe_api::destroy_buffer>;
using Context = Handle<moe_context, &moe_api::destroy_context>;

inline Instance create_instance(const Library& library, const moe_instance_desc& desc = moe_init<moe_instance_desc>()) {
  moe_instance* out = nullptr;
  check([&](moe_error* error) { return library->create_instance(&desc, &out, error); });
  return {library, out};
}

inline Device open_device(const Library& library, moe_instance* instance, uint32_t index, uint64_t budget_bytes = 0) {
  moe_device_desc desc = moe_init<moe_device_desc>();
  desc.index = index;
  desc.memory_budget_bytes = budget_bytes;
  moe_device* out = nullptr;
  check([&](moe_error* error) { return library->open_device(instance, &desc, &out, error); });
  return {library, out};
}

inline Upload begin_weights(const Library& library, moe_device* device, const moe_layer_desc& desc,
                            const moe_upload_desc* upload = nullptr) {
  moe_upload* out = nullptr;
  check([&](moe_error* error) { return library->begin_weights(device, &desc, upload, &out, error); });
  return {library, out};
}

// A tensor of all experts in host memory.
inline void add_tensor(const Library& library, moe_upload* upload, const char* name, uint32_t dtype, const void* memory,
                       uint64_t bytes) {
  moe_tensor_source source = moe_init<moe_tensor_source>();
  source.name = name;
  source.dtype = dtype;
  source.memory = memory;
  source.bytes = bytes;
  check([&](moe_error* error) { return library->add_tensor(upload, &source, error); });
}

inline Layer commit_weights(const Library& library, Upload& upload) {
  moe_layer* out = nullptr;
  check([&](moe_error* error) { return library->commit_weights(upload, &out, error); });
  upload.release();
  return {library, out};
}

inline Buffer create_buffer(const Library& library, moe_device* device, uint64_t bytes) {
  moe_buffer* out = nullptr;
  check([&](moe_error* error) { return library->create_buffer(device, bytes, &out, error); });
  return {library, out};
}

inline Context create_context(const Library& library, moe_device* device, uint64_t max_tokens) {
  moe_context_desc desc = moe_init<moe_context_desc>();
  desc.max_tokens = max_tokens;
  moe_context* out = nullptr;
  check([&](moe_error* error) { return library->create_context(device, &desc, &out, error); });
  return {library, out};
}

// A packed matrix in host memory, borrowed until the flush that follows has been waited for.
inline moe_view host_view(const void* data, uint32_t dtype, uint64_t rows, uint64_t columns) {
  moe_view view = moe_init<moe_view>();
  view.dtype = dtype;
  view.rows = rows;
  view.columns = columns;
  view.host = const_cast<void*>(data);
  return view;
}

inline moe_view buffer_view(moe_buffer* buffer, uint64_t offset_bytes, uint32_t dtype, uint64_t rows, uint64_t columns) {
  moe_view view = host_view(nullptr, dtype, rows, columns);
  view.buffer = buffer;
  view.offset_bytes = offset_bytes;
  return view;
}

inline uint64_t flush(const Library& library, moe_context* context) {
  uint64_t value = 0;
  check([&](moe_error* error) { return library->flush(context, &value, error); });
  return value;
}

inline void wait(const Library& library, moe_context* context, uint64_t value, uint64_t timeout_ns = UINT64_MAX) {
  check([&](moe_error* error) { return library->wait(context, value, timeout_ns, error); });
}

}  // namespace moe

#endif  // MOE_PLUGIN_HPP_
