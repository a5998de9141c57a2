// SPDX-License-Identifier: MIT
//
// RMSNorm of a row: x / sqrt(mean(x^2) + eps) * weight. One fixed summation tree, whatever the batch: where the router
// has no input of its own, its input and the experts' agree. Needs aux[] and activations_in.glsl.

shared float norm_partial[WORKGROUP];

float normalised(uint row, uint column, float scale, uint norm_offset) {
  float x = x_element(X_DTYPE, row, column);
  return INPUT_NORM != 0u ? x * scale * aux[norm_offset + column] : x;
}

// Of all invocations' parts. Called by the whole workgroup.
float sum_of_squares(float mine) {
  barrier();  // the row before may still be read
  norm_partial[gl_LocalInvocationIndex] = mine;
  barrier();
  float total = 0.0;
  for (uint i = 0u; i < WORKGROUP; ++i) total += norm_partial[i];
  return total;
}

// Called by the whole workgroup.
float inverse_rms(uint row, uint columns, float eps) {
  float sum = 0.0;
  for (uint column = gl_LocalInvocationIndex; column < columns; column += WORKGROUP) {
    float x = x_element(X_DTYPE, row, column);
    sum = fma(x, x, sum);
  }
  precise float scale = 1.0 / sqrt(sum_of_squares(sum) / float(columns) + eps);  // the same in each kernel
  return scale;
}
