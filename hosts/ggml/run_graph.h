// SPDX-License-Identifier: MIT
//
// In:  a split of ggml's graph.
// Out: its nodes, computed: MoE blocks as forwards on the device, what is in none by ggml's CPU backend.
// Why: all memory of this backend is the host's, so the rest of a split runs where it lies.
#ifndef MOEVK_HOSTS_GGML_RUN_GRAPH_H_
#define MOEVK_HOSTS_GGML_RUN_GRAPH_H_

#include "hosts/ggml/accelerator.h"

namespace moevk::ggml {

// One backend of the host, used by one thread at a time.
class GraphRunner {
 public:
  GraphRunner(const HostGgml& host, Accelerator& accelerator) : host_(host), accelerator_(accelerator) {}
  ~GraphRunner();
  GraphRunner(const GraphRunner&) = delete;
  GraphRunner& operator=(const GraphRunner&) = delete;

  // A ggml_status; what went wrong is in the log.
  int32_t run(Graph* graph);
  void set_threads(int threads);

 private:
  bool is_safe(const LayerMatch& match, const std::vector<Tensor*>& nodes) const;
  bool weights_stay(const LayerMatch& match) const;
  bool is_for_device(const Tensor& product);
  bool multiply(const Tensor& product);
  int32_t run_on_cpu(const std::vector<Tensor*>& nodes);
  void say_once(const std::string& what);

  const HostGgml& host_;
  Accelerator& accelerator_;
  Accelerator::Stream stream_;
  Backend* cpu_ = nullptr;
  int threads_ = 0;
  std::vector<char> graph_memory_;
  std::unordered_set<std::string> said_;
  std::unordered_set<const void*> too_large_;  // matrices of layers for which the device has no memory
};

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_RUN_GRAPH_H_
