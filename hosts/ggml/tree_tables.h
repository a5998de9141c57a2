// SPDX-License-Identifier: MIT
//
// In:  a build for a tree of ggml (MOEVK_GGML_SOURCE_DIR).
// Out: that tree's backend API, and the place of what its table of a buffer type holds.
// Why: this table has changed with every API; the others are checked to be as vtables.h has them.
#ifndef MOEVK_HOSTS_GGML_TREE_TABLES_H_
#define MOEVK_HOSTS_GGML_TREE_TABLES_H_

#include <cstdint>

#include "hosts/ggml/vtables.h"

namespace moevk::ggml {

int32_t tree_api_version();
BufferTypePlaces tree_buffer_type();

}  // namespace moevk::ggml

#endif  // MOEVK_HOSTS_GGML_TREE_TABLES_H_
