// SPDX-License-Identifier: MIT
//
// In:  a path.
// Out: a model (see open_model.h).
// Why: both readers are opened in the same way.
#include "tools/model/open_model.h"

#include <utility>

namespace moevk::model {
namespace {

template <class Store>
Result<OpenModel> with_layers(Result<Store> opened, bool is_gguf) {
  if (!opened) return opened.error();
  auto store = std::make_unique<Store>(std::move(*opened));  // before the layers point into it
  auto layers = find_moe_layers(*store);
  if (!layers) return layers.error();
  return OpenModel{std::move(store), std::move(*layers), is_gguf};
}

}  // namespace

Result<OpenModel> open_model(const std::string& path) {
  return Checkpoint::is_path_of_one(path) ? with_layers(Checkpoint::open(path), false)
                                          : with_layers(GgufFile::open(path), true);
}

}  // namespace moevk::model
