// SPDX-License-Identifier: MIT
//
// In:  each layer's load by expert.
// Out: a heat map as SVG, a file of its own.
// Why: a glance over all layers and experts shows what a table of figures hides: experts that never serve, a layer that
//      leans on few.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "tools/model/route_load.h"

namespace moevk::cli {

// A row for each layer, a column for each expert; the colour is load / even load, on a scale of powers of two. Not
// empty.
std::string route_map_svg(const std::map<uint32_t, model::LayerLoad>& layers);

}  // namespace moevk::cli
