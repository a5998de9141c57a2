// SPDX-License-Identifier: MIT
//
// Out of the latent space: the routed experts' sum and what stands beside it (shared and identity experts) are kept
// apart, and the projection to the hidden width reads the sum RMS-normalised. latent.norm scales the matrix on the
// way in and 1 / rms the result, so that each row of the sum is read once. Needs aux[] and p.norm_*.

// The norm's weights of 8 columns; their padding is zeros.
void scale_by_norm(uint chunk, inout vec4 a, inout vec4 b) {
  if (p.norm_offset == NONE) return;
  for (uint j = 0u; j < 4u; ++j) {
    a[j] *= aux[p.norm_offset + 8u * chunk + j];
    b[j] *= aux[p.norm_offset + 8u * chunk + 4u + j];
  }
}

float latent_scale(float sum_of_squares) {
  if (p.norm_offset == NONE) return 1.0;
  precise float scale = 1.0 / sqrt(sum_of_squares / float(p.latent) + p.norm_eps);
  return scale;
}
