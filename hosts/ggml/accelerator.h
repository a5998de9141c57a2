// SPDX-License-Identifier: MIT
//
// In:  one device of moevk, matched layers, and their tensors in host memory.
// Out: forwards on that device.
// Why: the one place that calls the plugin ABI. Layers are uploaded when they first run, and kept while the memory of
//      their weights stays as it is.
#ifndef MOEVK_HOSTS_GGML_ACCELERATOR_H_
#define MOEVK_HOSTS_GGML_ACCELERATOR_H_

#include <list>
#include <map>
#include <mutex>
#include <string>

#include "hosts/ggml/device_tensors.h"
#include "hosts/ggml/match_layer.h"
#include "plugin_api/moe_plugin.hpp"
#include "plugin_api/moe_routes.hpp"

namespace moevk::ggml {

// Functions throw moe::Error, or std::bad_alloc. [thread-safe] but for run, which a Stream's owner calls from one
// thread at a time.
class Accelerator {
 public:
  Accelerator(const HostGgml& host, const moe::Library& library, moe_instance* instance, uint32_t index);

  const moe_device_info& info() const { return info_; }
  uint64_t free_bytes() const;  // what is not held by layers and matrices of this adapter
  // Matrices that lie on the device alone; layers use them there.
  DeviceTensors& device_tensors() { return tensors_; }

  // The descriptor with the formats of the match's tensors; false with the reason where moevk cannot run it.
  bool supports(LayerMatch& match, std::string& why) const;
  bool is_packed(const Tensor& tensor) const;  // no gaps between rows or matrices

  // A stream of work: one backend of the host.
  struct Stream {
    moe::Context context;
    uint64_t max_tokens = 0;
    std::vector<float> y;  // where the host's own y overlaps what is read
    moe::RouteStream routes;
  };
  // Runs the layer, and returns when y is written. `keep`: its weights stay as they are until forget().
  void run(Stream& stream, const LayerMatch& match, bool keep);

  // A lone MUL_MAT_ID, as a layer whose down matrices are the identity (multiply.cpp).
  bool supports_product(const Tensor& product, std::string& why) const;
  void multiply(Stream& stream, const Tensor& product, bool keep);

  // Layers with weights in this memory are of the past.
  void forget(const void* begin, size_t bytes);

 private:
  struct Kept {
    std::string key;
    std::vector<std::pair<const char*, const char*>> memory;  // begin and end of each tensor
    moe::Layer layer;
    uint64_t bytes = 0;
  };
  std::string why_not(const moe_layer_desc& desc) const;
  // The layer of `key`, made by `make` and charged to the device if it is not there yet.
  template <class Make>
  moe_layer* keep_layer(const std::string& key, const std::vector<std::pair<const char*, const char*>>& memory,
                        Make&& make);
  moe_context* context_for(Stream& stream, uint64_t tokens) const;
  moe::Layer upload(const LayerMatch& match) const;
  moe::Layer upload_product(const moe_layer_desc& desc, const Tensor& matrix, const char* data,
                            uint64_t first_row) const;
  void forward(Stream& stream, moe_layer* layer, const LayerMatch& match) const;

  const HostGgml& host_;
  moe::Library library_;
  moe_device_info info_;
  moe::Device device_;
  DeviceTensors tensors_;
  mutable std::mutex mutex_;  // guards what follows
  std::list<Kept> kept_;
  uint64_t kept_bytes_ = 0;
  mutable std::map<std::string, std::string> answers_;  // by descriptor: why not, empty if supported
};

template <class Make>
moe_layer* Accelerator::keep_layer(const std::string& key,
                                   const std::vector<std::pair<const char*, const char*>>& memory, Make&& make) {
  std::lock_guard lock(mutex_);
  for (const Kept& one : kept_) {
    if (one.key == key) return one.layer.get();
  }
  Kept fresh;
  fresh.key = key;
  fresh.memory = memory;
  fresh.layer = make();
  moe_layer_info info = MOE_INIT(moe_layer_info);
  moe::check([&](moe_error* error) { return library_->get_layer_info(fresh.layer, &info, error); });
  fresh.bytes = info.weight_bytes;
  kept_bytes_ += fresh.bytes;
  kept_.push_back(std::move(fresh));
  return kept_.back().layer.get();
}

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_ACCELERATOR_H_
