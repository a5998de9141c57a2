// SPDX-License-Identifier: MIT
//
// The tensors that a layer needs, by the names and shapes in which a host stores them (docs/weights.md).
#pragma once

#include <string>
#include <vector>

#include "runtime/layer_spec.h"
#include "runtime/weight_layout.h"

namespace moevk {

// f32 vectors and the router, as the device holds them.
enum class VectorKind : uint32_t {
  kRouter,         // [router_rows, hidden], the shared gate's row last
  kRouterBias,     // [candidates]
  kSelectionBias,  // [candidates]
  kNorm,           // [hidden]
  kGateBias,       // [experts, intermediate]
  kUpBias,         // [experts, intermediate]
  kDownBias,       // [experts, hidden or latent]
  kRouterScale,    // [hidden]
  kExpertScale,    // [experts]
  kTokenTable,     // [token_table_rows, top_k], ids as numbers
  kLatentNorm,     // [latent]
};
inline constexpr size_t kVectorKinds = 11;

struct TensorSpec {
  enum class Role { kMatrix, kGateUpMatrix, kVector, kGateUpVector, kScales, kZeroPoints };
  std::string name;
  Role role = Role::kMatrix;
  uint32_t segment = 0;     // of a matrix, see LayerSpec
  bool shared = false;      // of the shared experts
  bool transposed = false;  // [in, out]
  MatrixKind matrix = MatrixKind::kUp;
  VectorKind vector = VectorKind::kRouter;
  uint64_t vector_first = 0;  // where in the vector it begins
  uint32_t experts = 0;       // length of the expert axis; 0: none
  uint32_t rows = 0;          // as the host stores it
  uint32_t columns = 0;
  uint32_t dtype = MOE_DTYPE_F32;            // matrices: fixed by the format; vectors: f16 and bf16 are taken too
  WeightFormat format = WeightFormat::kF32;  // of a matrix, or of a router that comes in blocks; of parts: its matrix's

  bool is_matrix() const { return role == Role::kMatrix || role == Role::kGateUpMatrix; }
  // Scales or zero points of an affine matrix.
  bool is_part() const { return role == Role::kScales || role == Role::kZeroPoints; }
  uint64_t elements_per_expert() const { return uint64_t{rows} * columns; }
  // As `type` has them, which is dtype or another that a vector may come in.
  uint64_t bytes_per_row(uint32_t type) const;
  uint64_t bytes_per_expert(uint32_t type) const { return rows * bytes_per_row(type); }
  uint64_t total_bytes() const { return (experts == 0 ? 1 : experts) * bytes_per_expert(dtype); }
};

// Behind a matrix's name. Both stand before the matrix in the list, since they must come before it.
inline constexpr const char* kScaleSuffix = ".scale";
inline constexpr const char* kZeroSuffix = ".zero";

std::vector<TensorSpec> list_tensors(const LayerSpec& spec);

}  // namespace moevk
