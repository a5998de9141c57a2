// SPDX-License-Identifier: MIT
//
// The IQ formats whose codes name short vectors of a codebook. The codebooks stand at the beginning of the expert table
// (runtime/codebooks.cpp): two code vectors a word, 8 levels of 2 bits or 4 of 3. In and out as in block_formats.glsl.

bool is_codebook_format(uint format) {
  return HAS_FORMAT(FORMAT_IQ2_XXS) || HAS_FORMAT(FORMAT_IQ2_XS) || HAS_FORMAT(FORMAT_IQ2_S) ||
         HAS_FORMAT(FORMAT_IQ3_XXS) || HAS_FORMAT(FORMAT_IQ3_S) || HAS_FORMAT(FORMAT_IQ1_S) ||
         HAS_FORMAT(FORMAT_IQ1_M);
}

uint code_levels(uint book, uint code) {
  uint at = book + code / 2u;
  uint word = at % 2u == 0u ? table[at / 2u].x : table[at / 2u].y;
  return word >> (code % 2u * 16u) & 0xFFFFu;
}

// Seven signs; the eighth makes the number of minuses even.
uint even_signs(uint seven) { return seven | (uint(bitCount(seven)) & 1u) << 7; }

vec4 with_signs(uvec4 values, uint signs, uint first) {
  return vec4(values) * (1.0 - 2.0 * vec4(bits_of(signs, first, 1u)));
}

// Levels 8, 25, 43.
void set_iq2(uint levels, uint signs, inout BlockChunk k) {
  uvec4 a = bits_of(levels, 0u, 2u), b = bits_of(levels, 8u, 2u);
  k.a = with_signs(8u + 17u * a + (a >> 1u), signs, 0u);
  k.b = with_signs(8u + 17u * b + (b >> 1u), signs, 4u);
}

// Levels -1, 0, 1, moved by an eighth.
void set_iq1(uint code, bool down, inout BlockChunk k) {
  uint levels = code_levels(CODEBOOK_IQ1, code);
  float shift = down ? -1.125 : -0.875;
  k.a = vec4(bits_of(levels, 0u, 2u)) + shift;
  k.b = vec4(bits_of(levels, 8u, 2u)) + shift;
}

void load_code_vectors(uint format, uvec2 piece, uint row, uint chunks, uint chunk, inout BlockChunk k) {
  uint block = chunk / 32u;
  if (HAS_FORMAT(FORMAT_IQ2_XXS)) {
    uint at = row + chunk / 4u * 2u;
    uint rest = weight_word(piece, at + 1u);
    uint code = weight_word(piece, at) >> (chunk % 4u * 8u) & 255u;
    set_iq2(code_levels(CODEBOOK_IQ2_XXS, code), even_signs(rest >> (chunk % 4u * 7u) & 127u), k);
    precise float d = half_at(piece, row + chunks / 2u, block) * (0.5 + float(rest >> 28)) * 0.25;
    k.d = d;
  }
  if (HAS_FORMAT(FORMAT_IQ2_XS)) {
    uint word = half_word(piece, row, chunk);
    uint rest = row + chunks / 2u;
    set_iq2(code_levels(CODEBOOK_IQ2_XS, word & 511u), even_signs(word >> 9), k);
    precise float d = half_at(piece, rest + chunks / 16u, block) *
                      (0.5 + float(nibble_at(piece, rest, chunk / 2u))) * 0.25;
    k.d = d;
  }
  if (HAS_FORMAT(FORMAT_IQ2_S)) {
    uint rest = row + chunks / 2u;
    uint high = weight_word(piece, rest + chunk / 16u) >> (chunk % 16u * 2u) & 3u;
    uint code = byte_at(piece, row, chunk) | high << 8;
    set_iq2(code_levels(CODEBOOK_IQ2_S, code), byte_at(piece, row + chunks / 4u, chunk), k);
    precise float d = half_at(piece, rest + chunks / 8u, block) *
                      (0.5 + float(nibble_at(piece, rest + chunks / 16u, chunk / 2u))) * 0.25;
    k.d = d;
  }
  if (HAS_FORMAT(FORMAT_IQ3_XXS)) {  // levels 4, 12, .. 52, 62
    uint codes = half_word(piece, row, chunk);
    uint rest = weight_word(piece, row + chunks / 2u + chunk / 4u);
    uint signs = even_signs(rest >> (chunk % 4u * 7u) & 127u);
    uvec4 a = bits_of(code_levels(CODEBOOK_IQ3_XXS, codes & 255u), 0u, 3u);
    uvec4 b = bits_of(code_levels(CODEBOOK_IQ3_XXS, codes >> 8), 0u, 3u);
    k.a = with_signs(4u + 8u * a + (a + 1u >> 3u) * 2u, signs, 0u);
    k.b = with_signs(4u + 8u * b + (b + 1u >> 3u) * 2u, signs, 4u);
    precise float d = half_at(piece, row + chunks / 4u * 3u, block) * (0.5 + float(rest >> 28)) * 0.5;
    k.d = d;
  }
  if (HAS_FORMAT(FORMAT_IQ3_S)) {  // levels 1, 3, .. 15
    uint codes = half_word(piece, row, chunk);
    uint rest = row + chunks / 2u;
    uint signs = byte_at(piece, rest, chunk);
    rest += chunks / 4u;
    uint high = weight_word(piece, rest + chunk / 16u) >> (chunk % 16u * 2u);
    uvec4 a = bits_of(code_levels(CODEBOOK_IQ3_S, codes & 255u | (high & 1u) << 8), 0u, 3u);
    uvec4 b = bits_of(code_levels(CODEBOOK_IQ3_S, codes >> 8 | (high & 2u) << 7), 0u, 3u);
    k.a = with_signs(2u * a + 1u, signs, 0u);
    k.b = with_signs(2u * b + 1u, signs, 4u);
    rest += chunks / 16u;
    precise float d = half_at(piece, rest + chunks / 32u, block) *
                      float(1u + 2u * nibble_at(piece, rest, chunk / 4u));
    k.d = d;
  }
  if (HAS_FORMAT(FORMAT_IQ1_S)) {
    uint rest = row + chunks / 4u;
    uint word = half_word(piece, rest, chunk / 4u);
    set_iq1(byte_at(piece, row, chunk) | (word >> (chunk % 4u * 3u) & 7u) << 8, (word & 0x8000u) != 0u, k);
    precise float d = half_at(piece, rest + chunks / 8u, block) * float(2u * (word >> 12 & 7u) + 1u);
    k.d = d;
  }
  if (HAS_FORMAT(FORMAT_IQ1_M)) {  // d is spread over the top bits of the scales
    uint rest = row + chunks / 4u;
    uint high = nibble_at(piece, rest, chunk);
    set_iq1(byte_at(piece, row, chunk) | (high & 7u) << 8, (high & 8u) != 0u, k);
    rest += chunks / 8u + block * 2u;
    uint low_scales = weight_word(piece, rest), high_scales = weight_word(piece, rest + 1u);
    uint bits = (low_scales >> 12 & 15u) | (low_scales >> 28) << 4 | (high_scales >> 12 & 15u) << 8 |
                (high_scales >> 28) << 12;
    uint scales = chunk % 32u < 16u ? low_scales : high_scales;
    uint scale = scales >> (chunk / 8u % 2u * 16u + chunk / 2u % 4u * 3u) & 7u;
    precise float d = half_to_float(bits) * float(2u * scale + 1u);
    k.d = d;
  }
}
