// SPDX-License-Identifier: MIT
//
// Pieces of real disassembly of each driver (Mesa 25.0.7), counted by hand.
#include "tests/vendor/inner_loop.h"

#include <gtest/gtest.h>

namespace moevk::vendor {
namespace {

void expect_counts(Assembly assembly, const std::string& text, const LoopCounts& by_hand) {
  const std::optional<LoopCounts> loop = inner_loop(assembly, text);
  ASSERT_TRUE(loop.has_value());
  EXPECT_EQ(loop->multiply_adds, by_hand.multiply_adds);
  EXPECT_EQ(loop->instructions, by_hand.instructions);
  EXPECT_EQ(loop->fma, by_hand.fma);
  EXPECT_EQ(loop->loads, by_hand.loads);
  EXPECT_EQ(loop->shared, by_hand.shared);
  EXPECT_EQ(loop->waits, by_hand.waits);
}

TEST(InnerLoop, Amd) {
  // A loop over tiles, inside it one that copies and one that multiplies what it reads; behind it a polynomial.
  const std::string text =
      "BB0:\n"
      "\ts_mov_b32 s0, 0                              ; be800380\n"
      "BB1:\n"
      "BB2:\n"
      "\tglobal_load_dwordx4 v[0:3], v4, s[2:3]       ; dc5c8000\n"
      "\tds_write_b32 v5, v0                          ; d8340000\n"
      "\ts_cbranch_scc1 BB2                           ; bf850000\n"
      "BB3:\n"
      "\tds_read2_b32 v[22:23], v6 offset1:1          ; d8dc0100\n"
      "\ts_waitcnt lgkmcnt(0)                         ; bf8cc07f\n"
      "\tv_fmac_f32_e32 v7, v39, v36                  ; 560e4927\n"
      "\ts_cbranch_scc0 BB4                           ; bf840000\n"
      "\tv_dual_fmac_f32 v1, v39, v35 :: v_dual_fmac_f32 v8, v39, v37 ; 56024727\n"
      "BB4:\n"
      "\ts_cbranch_scc1 BB3                           ; bf850000\n"
      "\ts_cbranch_scc1 BB1                           ; bf850000\n"
      "BB5:\n"
      "\tv_fma_f32 v1, v2, v3, v1                     ; d54b0001\n"
      "\tv_fma_f32 v1, v2, v3, v1                     ; d54b0001\n"
      "\tv_fma_f32 v1, v2, v3, v1                     ; d54b0001\n"
      "\tv_fma_f32 v1, v2, v3, v1                     ; d54b0001\n"
      "\ts_cbranch_scc1 BB5                           ; bf850000\n";
  expect_counts(Assembly::kAmd, text, {3, 6, 2, 0, 1, 1});
}

TEST(InnerLoop, Intel) {
  const std::string text =
      "   START B4 <-B3 <-B5 (120 cycles)\n"
      "\nLABEL17:\n"
      "sync nop(1)                     null<0,1,0>UB                   { align1 WE_all 1N $3.src };\n"
      "(+f0.0) sel(16) g19<1>UD        g89<8,8,1>UD    g97<8,8,1>UD    { align1 1H $14.dst compacted };\n"
      "send(16)        g19UD           g27UD           nullUD          0x088450fd                0x00000000\n"
      "                            dp data 1 MsgDesc: (DC A64 untyped surface read, Surface = 253, SIMD16, Mask = "
      "0x0)\n"
      "send(16)        g27UD           g39UD           nullUD          0x088450fd                0x00000000\n"
      "                            dp data 1 MsgDesc: (untyped surface read, Surface = 254, SIMD16, Mask = 0x0)\n"
      "send(16)        g27UD           g39UD           nullUD          0x088450fd                0x00000000\n"
      "                            slm MsgDesc: ( load, a32, d32, V4, L1STATE_L3MOCS dst_len = 8, src0_len = 2 )\n"
      "mad(16)         g5<1>F          g5<8,8,1>F      g19<8,8,1>F     g27<1,1,1>F { align1 1H };\n"
      "   END B4 ->B4 ->B6\n"
      "(-f0.0) while(16) JIP:  LABEL17                                 { align1 1H };\n"
      "mad(16)         g5<1>F          g5<8,8,1>F      g19<8,8,1>F     g27<1,1,1>F { align1 1H };\n";
  expect_counts(Assembly::kIntel, text, {1, 7, 1, 1, 2, 1});
}

TEST(InnerLoop, Adreno) {
  const std::string text =
      "; num_ubos: 0\n"
      "l521:\n"
      "(nop3) cmps.u.ge p0.z, 0, r9.z\n"
      "(rpt2)nop\n"
      "brao p0.z, p0.y, #l556\n"
      "(ss)isam.v.base0 (u32)(xyzw)r7.y, r6.w, s#0, t#1\n"
      "ldg.u32 r3.z, g[r7.z], 4\n"
      "ldl.u32 r3.z, l[r7.z], 1\n"
      "(sy)(rpt3)mad.f32 r7.y, (r)r5.w, r7.y, (r)r6.w\n"
      "(nop1) mad.f32 r7.z, r6.x, r7.z, r7.y\n"
      "sad.s32 r1.z, c504.z, r8.y, r9.w\n"
      "jump #l521\n"
      "l556:\n"
      "end\n";
  // 10 lines; 3 + 1 cycles of delay, 2 more nops, 3 more of the repeated mad.
  expect_counts(Assembly::kAdreno, text, {5, 19, 5, 2, 1, 7});
}

TEST(InnerLoop, ThereMayBeNone) {
  EXPECT_FALSE(inner_loop(Assembly::kAmd, "").has_value());
  EXPECT_FALSE(inner_loop(Assembly::kAmd, "BB0:\n\tv_fma_f32 v1, v2, v3, v1\n\ts_endpgm\n").has_value());
  EXPECT_FALSE(inner_loop(Assembly::kAmd, "BB0:\n\tv_add_f32 v1, v2, v3\n\ts_branch BB0\n").has_value());
  EXPECT_FALSE(inner_loop(Assembly::kAmd, "BB0:\n\tv_fma_f32 v1, v2, v3, v1\n\ts_branch BB1\nBB1:\n").has_value());
}

TEST(InnerLoop, DriversByName) {
  EXPECT_EQ(assembly_of("radv Mesa 25.0.7-2+deb13u1"), Assembly::kAmd);
  EXPECT_EQ(assembly_of("Intel open-source Mesa driver Mesa 25.0.7"), Assembly::kIntel);
  EXPECT_EQ(assembly_of("turnip Mesa driver Mesa 25.0.7"), Assembly::kAdreno);
  EXPECT_FALSE(assembly_of("panvk Mesa 25.0.7").has_value());
}

}  // namespace
}  // namespace moevk::vendor
