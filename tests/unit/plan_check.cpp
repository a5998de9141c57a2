// SPDX-License-Identifier: MIT
//
// The rules, from the whole (tokens, workspace) to the dispatch; the hazards inside a step come last.
#include "tests/unit/plan_check.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <tuple>

#include "push_constants.h"
#include "runtime/plan_builder.h"
#include "tests/unit/spirv_module.h"

namespace moevk::unit {
namespace {

constexpr uint32_t kMostGrid = 65535;
constexpr uint32_t kMostPushBytes = 128;
constexpr uint32_t kMostBindings = 10;
constexpr uint32_t kMostSharedBytes = 16384;

const std::map<uint32_t, SpirvBinding>& bindings_of(KernelId kernel) {
  static std::map<KernelId, std::map<uint32_t, SpirvBinding>> known;
  auto at = known.find(kernel);
  if (at == known.end()) at = known.emplace(kernel, SpirvModule::of(kernel).bindings(0)).first;
  return at->second;
}

uint64_t shared_bytes(const Dispatch& d, bool addresses) {
  const size_t variant = kKernels[static_cast<size_t>(d.kernel)].reads_weights && addresses ? 1 : 0;
  static std::map<std::tuple<KernelId, size_t, std::array<uint32_t, kConstantCount>>, uint64_t> known;
  const auto key = std::make_tuple(d.kernel, variant, d.constants);
  auto at = known.find(key);
  if (at == known.end()) {
    at = known.emplace(key, SpirvModule::of(d.kernel, variant).shared_bytes(d.constants.data(), kConstantCount)).first;
  }
  return at->second;
}

class Checker {
 public:
  Checker(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps, const Plan& plan)
      : spec_(spec), layout_(layout), caps_(caps), plan_(plan) {}

  std::vector<std::string> run() {
    tokens();
    regions();
    for (const Step& step : plan_.steps) {
      place_ = {&step, nullptr, nullptr};
      expect(!step.dispatches.empty(), "has no dispatch");
      if (step.first_token != chunk_) written_.clear();
      chunk_ = step.first_token;
      for (const Dispatch& d : step.dispatches) dispatch(step, d);
      hazards(step);
    }
    return std::move(problems_);
  }

 private:
  // Text is made of what is wrong alone: thousands of plans are right.
  template <class... Words>
  void expect(bool good, const Words&... words) {
    if (good) return;
    std::ostringstream text;
    if (place_.step == nullptr) {
      text << place_.part;
    } else {
      text << "step " << place_.step->name << " at token " << place_.step->first_token;
      if (place_.kernel != nullptr) text << ", " << place_.kernel;
    }
    ((text << ": ") << ... << words);
    problems_.push_back(text.str());
  }

  uint64_t bytes(Region region) const { return plan_.region_bytes[static_cast<size_t>(region)]; }

  // Chunks follow each other without gap or overlap, and cover every token once.
  void tokens() {
    place_ = {nullptr, nullptr, "plan"};
    const uint64_t limit = chunk_limit(spec_, caps_);
    uint64_t first = 0, next = 0;
    for (const Step& step : plan_.steps) {
      if (step.first_token != first || next == 0) {
        expect(step.first_token == next, "a chunk begins at token ", step.first_token, ", not at ", next);
        first = step.first_token;
        next = first + step.tokens;
      }
      expect(first + step.tokens == next, "step ", step.name, " takes other tokens than its chunk");
      expect(step.tokens != 0 && step.tokens <= limit, step.tokens, " tokens at once, at most ", limit);
    }
    expect(next == plan_.shape.tokens, "covers ", next, " of ", plan_.shape.tokens, " tokens");
  }

  void regions() {
    place_ = {nullptr, nullptr, "workspace"};
    uint64_t end = 0;
    std::vector<std::pair<uint64_t, size_t>> order;
    for (size_t i = 0; i < kRegionCount; ++i) {
      if (plan_.region_bytes[i] != 0) order.push_back({plan_.region_offset[i], i});
    }
    std::sort(order.begin(), order.end());
    for (const auto& [offset, i] : order) {
      const char* const name = region_name(static_cast<Region>(i));
      expect(offset >= end, name, " overlaps the region before it");
      expect(offset % std::max(caps_.storage_offset_alignment, 16u) == 0, name, " is not aligned");
      expect(plan_.region_bytes[i] <= caps_.max_storage_buffer_range, name, " has ", plan_.region_bytes[i], " bytes");
      end = offset + plan_.region_bytes[i];
    }
    expect(end <= plan_.workspace_bytes, "regions end at ", end, " of ", plan_.workspace_bytes, " bytes");
  }

  void dispatch(const Step& step, const Dispatch& d) {
    const KernelInfo& kernel = kKernels[static_cast<size_t>(d.kernel)];
    place_ = {&step, kernel.name, nullptr};
    step_tokens_ = step.tokens;
    expect(!d.why.empty(), "does not say why");
    expect(d.bindings.size() == kernel.bindings && d.bindings.size() <= kMostBindings, "has ", d.bindings.size(),
           " bindings");
    expect(d.push_words * 4 <= std::min(kMostPushBytes, caps_.push_constant_bytes), "has too many push constants");
    for (const Patch& patch : d.patches) expect(patch.word < d.push_words, "patches beyond its push constants");
    for (uint32_t size : d.grid) {
      expect(size >= 1 && size <= std::min(kMostGrid, caps_.max_workgroup_count), "has a grid dimension of ", size);
    }
    const uint64_t shared = shared_bytes(d, caps_.buffer_device_address != 0);
    expect(shared <= std::min(kMostSharedBytes, caps_.shared_memory_bytes), "takes ", shared,
           " bytes of shared memory");
    for (uint32_t i = 0; i < kConstantCount; ++i) {
      const bool read = (kernel.constants >> i & 1) != 0;
      expect(read || d.constants[i] == kConstantDefaults[i], "sets ", kConstantNames[i], ", which it does not read");
    }
    if (d.indirect) {
      const uint32_t tiles = static_cast<uint32_t>(bytes(Region::kTiles) / 16);
      expect(d.indirect_offset_bytes % 12 == 0 && d.indirect_offset_bytes + 12ull <= bytes(Region::kIndirect),
             "reads a grid that is not there");
      expect(tiles >= 1 && tiles <= kMostGrid, tiles, " tiles");
      expect(written_.count(Region::kIndirect) != 0, "reads a grid that nothing has written");
    }
    weights(d, kernel);
    sizes(d);
  }

  void weights(const Dispatch& d, const KernelInfo& kernel) {
    expect(kernel.reads_weights == (d.weight_set != WeightSet::kNone), "does not agree with its kernel about weights");
    if (d.weight_set == WeightSet::kNone) return;
    const auto& passes = layout_.passes_of(d.weight_set);
    expect(d.binding_pass < passes.size(), "binding pass ", d.binding_pass, " of ", passes.size());
    expect(caps_.buffer_device_address != 0 || passes.at(d.binding_pass).windows <= kNumberMaxBoundWindows,
           "binds too many windows");
  }

  template <class Push>
  static Push push(const Dispatch& d) {
    Push p;
    std::memcpy(&p, d.push.data(), sizeof p);
    return p;
  }

  // kRows of small_tokens.glsl.
  static uint32_t small_rows(const Dispatch& d) {
    const uint32_t together = d.constants[static_cast<size_t>(Constant::kTokensPerGroup)];
    return kNumberGroups * (together <= 2 ? 4 : together == 4 ? 2 : 1);
  }

  // Of a matmul of every token with one matrix.
  static bool reaches(const Dispatch& d, uint64_t tokens, uint64_t rows) {
    if (d.kernel == KernelId::kGateUpSmall || d.kernel == KernelId::kDownSmall) {
      return uint64_t{d.grid[0]} * small_rows(d) >= rows;
    }
    return uint64_t{d.grid[0]} * kNumberTileRows >= tokens && uint64_t{d.grid[1]} * kNumberTileColumns >= rows;
  }

  // What stands between the experts and the projection back.
  void latent_sums(uint64_t tokens, uint64_t stride, uint64_t hidden) {
    expect(tokens == step_tokens_, "does not add every token's slots");
    expect(stride >= spec_.desc.latent && bytes(Region::kLatentSum) >= tokens * stride * 4,
           "the latent sum does not fit");
    expect(bytes(Region::kBeside) >= tokens * hidden * 4, "what stands beside the latent sum does not fit");
  }

  // Regions hold what the push constants let a kernel touch.
  void sizes(const Dispatch& d) {
    const auto room = [&](Region region, uint64_t needed) {
      expect(bytes(region) >= needed, region_name(region), " has ", bytes(region), " of ", needed, " bytes");
    };
    const bool small = d.kernel == KernelId::kGateUpSmall || d.kernel == KernelId::kDownSmall;
    if (small) {
      const uint32_t invocations = d.constants[static_cast<size_t>(Constant::kInvocations)];
      expect(invocations == 32 || invocations == 64 || invocations == kNumberWorkgroup, "not 8, 16 or 32 lanes a row");
    }
    const uint32_t together = d.constants[static_cast<size_t>(Constant::kTokensPerGroup)];
    const bool dots = d.constants[static_cast<size_t>(Constant::kIntegerDot)] != 0;
    expect(!dots || (caps_.integer_dot != 0 && spec_.desc.precision == MOE_PRECISION_INT8),
           "multiplies integers where it must not");
    if (d.kernel == KernelId::kQuantise) {
      const auto p = push<QuantisePush>(d);
      const Region to = d.bindings.size() == 2 ? static_cast<Region>(d.bindings[1].index) : Region::kUnused;
      const uint64_t blocks = (p.quads + 7) / 8;
      expect(to == Region::kXCodes || to == Region::kHCodes, "writes something else than codes");
      room(to, d.grid[1] * (64 * blocks + (blocks + 1) / 2 * 16));
      expect(uint64_t{d.grid[0]} * kNumberWorkgroup >= 8 * blocks, "the grid does not reach every column");
      expect(d.grid[1] == (to == Region::kXCodes ? step_tokens_ : step_tokens_ * spec_.slots), "leaves rows out");
      expect(4 * p.quads == (to == Region::kXCodes ? spec_.hidden_padded : spec_.widest()), "has other columns");
    } else if (d.weight_set == WeightSet::kGateUp) {
      const auto p = push<GateUpPush>(d);
      room(Region::kXCodes, dots ? step_tokens_ * code_row_bytes(spec_.hidden_padded) : 0);
      room(Region::kH, uint64_t{p.routes} * p.h_stride * 4);
      expect(p.h_stride >= spec_.widest(), "rows of h are too short");
      expect(!small || uint64_t{d.grid[0]} * small_rows(d) >= spec_.widest(), "the grid does not reach every row");
      expect(!small || uint64_t{d.grid[1]} == p.routes, "the grid does not reach every route");
    } else if (d.weight_set == WeightSet::kDown) {
      const auto p = push<DownPush>(d);
      room(Region::kH, uint64_t{p.routes} * p.h_stride4 * 16);
      room(Region::kHCodes, dots ? uint64_t{p.routes} * code_row_bytes(4 * p.h_stride4) : 0);
      room(Region::kWeights, uint64_t{p.routes} * 4);
      if (d.constants[static_cast<size_t>(Constant::kCombine)] == 0)
        room(Region::kExpertOut, uint64_t{p.routes} * p.out_stride * 4);
      else
        expect(p.routes <= (together == 8 ? kNumberMaxFusedRoutes : together * kNumberMaxSlots),
               "combines too many routes");
      expect(!small || p.routes <= (together == 8 ? kNumberMaxSmallTokens : together) * kNumberMaxSlots,
             "links too many routes");
      const bool to_latent = d.constants[static_cast<size_t>(Constant::kCombine)] != 0 && spec_.latent();
      const uint64_t rows = std::max<uint64_t>(p.hidden, to_latent ? p.out_stride : 0);  // padding is written, too
      expect(!small || uint64_t{d.grid[0]} * small_rows(d) >= rows, "the grid does not reach every row");
      if (to_latent) latent_sums(p.routes / p.slots, p.out_stride, p.hidden);
    } else if (d.weight_set == WeightSet::kLatentDown) {
      const auto p = push<GateUpPush>(d);
      expect(p.routes == step_tokens_ && p.slots == 1, "does not serve each token once");
      expect(p.h_stride >= spec_.desc.latent, "latent rows are too short");
      room(Region::kLatent, uint64_t{p.routes} * p.h_stride * 4);
      expect(reaches(d, p.routes, p.h_stride), "the grid does not reach every latent row");
    } else if (d.weight_set == WeightSet::kLatentUp) {
      const auto p = push<DownPush>(d);
      expect(p.routes == step_tokens_ && p.slots == 1, "does not serve each token once");
      room(Region::kLatentSum, uint64_t{p.routes} * p.h_stride4 * 16);
      room(Region::kBeside, uint64_t{p.routes} * p.x_stride * 4);
      expect(reaches(d, p.routes, p.hidden), "the grid does not reach every column of y");
    } else if (d.kernel == KernelId::kCombine && d.constants[static_cast<size_t>(Constant::kLatent)] != 0) {
      const auto p = push<CombinePush>(d);
      expect(uint64_t{d.grid[0]} * kNumberWorkgroup * 2 >= std::max(p.hidden, p.latent_stride),
             "the grid does not reach every column");
      latent_sums(d.grid[1], p.latent_stride, p.hidden);
    } else if (d.kernel == KernelId::kScan || d.kernel == KernelId::kSortSmall) {
      const auto p = push<SortPush>(d);
      // Per expert whole tiles and one remainder.
      room(Region::kTiles, (uint64_t{p.routes} / kNumberTileRows + std::min(p.experts_total, p.routes)) * 16);
      room(Region::kOffsets, (uint64_t{p.experts_total} + 1) * 4);
      const bool reads_histogram =
          d.kernel == KernelId::kScan && d.constants[static_cast<size_t>(Constant::kFromOffsets)] == 0;
      room(Region::kHistogram, reads_histogram ? uint64_t{p.blocks} * p.experts_total * 4 : 0);
      expect(std::max(p.gate_up_blocks, p.down_blocks) <= kMostGrid, "writes a grid beyond the limit");
      expect(d.kernel == KernelId::kScan || p.routes <= kNumberMaxSortRoutes, "sorts too many routes");
    } else if (d.kernel == KernelId::kScatter) {
      const auto p = push<SortPush>(d);
      room(Region::kOrder, uint64_t{p.routes} * 4);
      expect(uint64_t{p.blocks} * p.routes_per_block >= p.routes && d.grid[0] == p.blocks,
             "does not reach every route");
      expect(p.routes_per_block <= kNumberMaxSortRoutes, "has too many routes in a block");
    }
  }

  // Inside a step nothing is written that another dispatch touches - binding passes of one matmul write different
  // rows - and nothing is read that no step has written.
  void hazards(const Step& step) {
    place_ = {&step, nullptr, nullptr};
    std::map<std::pair<Region, uint32_t>, std::pair<const Dispatch*, bool>> seen;  // last user, and whether one wrote
    std::set<Region> now;
    for (const Dispatch& d : step.dispatches) {
      for (uint32_t i = 0; i < d.bindings.size(); ++i) {
        const Binding& b = d.bindings[i];
        if (b.kind != Binding::Kind::kRegion) continue;
        const auto region = static_cast<Region>(b.index);
        const auto access = bindings_of(d.kernel).find(i);
        const bool writes = access != bindings_of(d.kernel).end() && access->second.writes;
        const bool reads_only = access != bindings_of(d.kernel).end() && !access->second.writes;
        const char* const kernel = kKernels[static_cast<size_t>(d.kernel)].name;
        const char* const what = region_name(region);
        expect(bytes(region) != 0, kernel, "'s ", what, " has no bytes");
        if (region == Region::kUnused) {
          expect((b.unused + 1u) * 256u <= bytes(region), kernel, "'s ", what, " is beyond its memory");
        } else {
          expect(!reads_only || written_.count(region) != 0, kernel, "'s ", what, " is read before it is written");
          if (writes) now.insert(region);
        }
        const auto [at, fresh] = seen.try_emplace({region, b.unused}, std::make_pair(&d, writes));
        if (fresh) continue;
        const Dispatch& before = *at->second.first;
        const bool passes = d.weight_set != WeightSet::kNone && d.weight_set == before.weight_set &&
                            d.kernel == before.kernel && d.binding_pass != before.binding_pass;
        const bool other = &before != &d && !passes;
        expect(!other || !(writes || at->second.second), kernel, "'s ", what,
               " is written and used by two dispatches of a step");
        at->second.second = at->second.second || writes;
      }
    }
    written_.insert(now.begin(), now.end());
  }

  const LayerSpec& spec_;
  const WeightLayout& layout_;
  const DeviceCaps& caps_;
  const Plan& plan_;
  std::vector<std::string> problems_;
  struct Place {
    const Step* step;
    const char* kernel;
    const char* part;
  } place_ = {};
  std::set<Region> written_;
  uint64_t chunk_ = 0;
  uint64_t step_tokens_ = 0;
};

bool same_dispatch(const Dispatch& a, const Dispatch& b) {
  const auto same_binding = [](const Binding& x, const Binding& y) {
    return x.kind == y.kind && x.index == y.index && x.unused == y.unused;
  };
  const auto same_patch = [](const Patch& x, const Patch& y) {
    return x.kind == y.kind && x.word == y.word && x.view == y.view;
  };
  return a.kernel == b.kernel && a.constants == b.constants && a.push == b.push && a.push_words == b.push_words &&
         a.grid == b.grid && a.indirect == b.indirect && a.indirect_offset_bytes == b.indirect_offset_bytes &&
         a.weight_set == b.weight_set && a.binding_pass == b.binding_pass && a.bytes == b.bytes && a.flops == b.flops &&
         a.why == b.why &&
         std::equal(a.bindings.begin(), a.bindings.end(), b.bindings.begin(), b.bindings.end(), same_binding) &&
         std::equal(a.patches.begin(), a.patches.end(), b.patches.begin(), b.patches.end(), same_patch);
}

}  // namespace

std::vector<std::string> check_plan(const LayerSpec& spec, const WeightLayout& layout, const DeviceCaps& caps,
                                    const Plan& plan) {
  return Checker(spec, layout, caps, plan).run();
}

bool same_plan(const Plan& a, const Plan& b) {
  const auto same_step = [](const Step& x, const Step& y) {
    return x.name == y.name && x.first_token == y.first_token && x.tokens == y.tokens &&
           std::equal(x.dispatches.begin(), x.dispatches.end(), y.dispatches.begin(), y.dispatches.end(),
                      same_dispatch);
  };
  return a.shape == b.shape && a.region_bytes == b.region_bytes && a.region_offset == b.region_offset &&
         a.workspace_bytes == b.workspace_bytes && a.refused == b.refused &&
         std::equal(a.steps.begin(), a.steps.end(), b.steps.begin(), b.steps.end(), same_step);
}

CallShape forward_shape(const LayerSpec& spec, uint64_t tokens) {
  CallShape shape;
  shape.tokens = tokens;
  shape.x_direct = spec.hidden_padded == spec.desc.hidden && !spec.has(MOE_LAYER_INPUT_NORM);
  return shape;
}

Plan Planned::plan(const CallShape& shape) {
  if (!layout.ok()) throw std::runtime_error(layout.status().text());
  Result<Plan> plan = plan_call(spec, layout.value(), caps, shape);
  if (!plan.ok()) throw std::runtime_error(plan.status().argument() + ": " + plan.status().text());
  return plan.value();
}

}  // namespace moevk::unit
