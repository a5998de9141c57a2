// SPDX-License-Identifier: MIT
//
// What gate and up read, as the precision has it: x, or in a latent layer the routed experts' rows of the latent space.
// Needs x[], latent_x[] and, where it is used, is_latent.

vec4 input_at(bool is_latent, uint at) { return is_latent ? latent_x[at] : x[at]; }
#define ACTIVATION(at) input_at(is_latent, at)
#include "precision.glsl"
