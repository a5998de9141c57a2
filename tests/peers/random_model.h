// SPDX-License-Identifier: MIT
//
// In:  a case, and the model of its architecture that test-llama-archs saved.
// Out: a GGUF file of the same architecture with the case's experts and routing keys, and random weights in f32.
// Why: what test-llama-archs saves has two experts, of which one is chosen, and sigmoid scores for all: that says
//      nothing of a router.
#pragma once

#include <string>

#include "tests/peers/llama_library.h"
#include "tests/peers/llamacpp_cases.h"

namespace moevk::peers {

// llama.cpp makes the tensors out of the metadata; names and shapes are its own. Throws std::runtime_error.
void write_random_model(const LlamaLibrary& llama, const LlamaCase& one, const std::string& base,
                        const std::string& file);

}  // namespace moevk::peers
