#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# In:  a kind of checkpoint (gptq, gptq_v2, gptq_sym, gptq_rows, gptq8, gptq2, awq, compressed, compressed_zeros), a folder.
# Out: FOLDER/packed, a checkpoint of two small Mixtral layers in that kind, from random codes, zero points and scales;
#      FOLDER/plain, the same weights as float32: (code - zero) * scale, one multiplication.
# Why: an oracle for the reader of packed checkpoints that shares no code with it, nor a language. Layouts as AutoGPTQ's
#      QuantLinear.pack, AutoAWQ's WQLinear_GEMM and compressed-tensors' pack_to_int32 define them; Python's standard
#      library only.
import json
import os
import random
import struct
import sys

HIDDEN, WIDTH, EXPERTS, LAYERS, TOP_K = 64, 32, 4, 2, 2
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # outputs of a word, lowest bits first


class File:
    """A safetensors file."""

    def __init__(self):
        self.header, self.data = {}, bytearray()

    def add(self, name, dtype, shape, data):
        begin = len(self.data)
        self.data += data
        self.header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, len(self.data)]}

    def write(self, path):
        header = json.dumps(self.header).encode()
        header += b" " * (-len(header) % 8)
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header + self.data)


def f32(values):
    return struct.pack("<%df" % len(values), *values)


def f16(values):
    return struct.pack("<%de" % len(values), *values)


def words(values):
    return struct.pack("<%dI" % len(values), *values)


def joined(numbers, bits):
    """One word, the first number in the lowest bits."""
    word = 0
    for place, number in enumerate(numbers):
        word |= number << (bits * place)
    return word


class Matrix:
    """Codes [out][in], zero points and scales [out][group]."""

    def __init__(self, rng, out, inputs, bits, group, zero):
        self.out, self.inputs, self.bits = out, inputs, bits
        self.group = inputs if group == -1 else group
        self.groups = inputs // self.group
        top = 2 ** bits - 1
        self.codes = [[rng.randint(0, top) for _ in range(inputs)] for _ in range(out)]
        self.zeros = [[zero(rng, top) for _ in range(self.groups)] for _ in range(out)]
        # Any f16 of a likely size, negative ones and a subnormal too.
        halves = [[rng.choice((-1, 1, 1)) * rng.uniform(0.001, 0.1) * 8 / (top + 1) for _ in range(self.groups)]
                  for _ in range(out)]
        halves[0][0] = 3.0e-6
        self.scales = [list(struct.unpack("<%de" % self.groups, f16(row))) for row in halves]

    def plain(self):
        return [(self.codes[o][i] - self.zeros[o][i // self.group]) * self.scales[o][i // self.group]
                for o in range(self.out) for i in range(self.inputs)]

    def gptq(self, file, stem, stored_less):
        per = 32 // self.bits
        code = [joined([self.codes[o][w * per + n] for n in range(per)], self.bits)
                for w in range(self.inputs // per) for o in range(self.out)]
        zero = [joined([self.zeros[w * per + n][g] - stored_less for n in range(per)], self.bits)
                for g in range(self.groups) for w in range(self.out // per)]
        scale = [self.scales[o][g] for g in range(self.groups) for o in range(self.out)]
        file.add(stem + ".qweight", "I32", [self.inputs // per, self.out], words(code))
        file.add(stem + ".qzeros", "I32", [self.groups, self.out // per], words(zero))
        file.add(stem + ".scales", "F16", [self.groups, self.out], f16(scale))
        file.add(stem + ".g_idx", "I32", [self.inputs], words([i // self.group for i in range(self.inputs)]))

    def awq(self, file, stem):
        code = [joined([self.codes[8 * w + n][i] for n in AWQ_ORDER], 4)
                for i in range(self.inputs) for w in range(self.out // 8)]
        zero = [joined([self.zeros[8 * w + n][g] for n in AWQ_ORDER], 4)
                for g in range(self.groups) for w in range(self.out // 8)]
        scale = [self.scales[o][g] for g in range(self.groups) for o in range(self.out)]
        file.add(stem + ".qweight", "I32", [self.inputs, self.out // 8], words(code))
        file.add(stem + ".qzeros", "I32", [self.groups, self.out // 8], words(zero))
        file.add(stem + ".scales", "F16", [self.groups, self.out], f16(scale))

    def compressed(self, file, stem, zeros):
        per = 32 // self.bits
        code = [joined(row[w * per:(w + 1) * per], self.bits) for row in self.codes for w in range(self.inputs // per)]
        file.add(stem + ".weight_packed", "I32", [self.out, self.inputs // per], words(code))
        file.add(stem + ".weight_scale", "F16", [self.out, self.groups], f16([s for row in self.scales for s in row]))
        file.add(stem + ".weight_shape", "I64", [2], struct.pack("<2q", self.out, self.inputs))
        if zeros:
            packed = [joined([self.zeros[w * per + n][g] for n in range(per)], self.bits)
                      for w in range(self.out // per) for g in range(self.groups)]
            file.add(stem + ".weight_zero_point", "I32", [self.out // per, self.groups], words(packed))


def weights_group(bits, group, symmetric):
    return {"group_0": {"targets": ["Linear"], "input_activations": None, "output_activations": None,
                        "weights": {"num_bits": bits, "group_size": group, "strategy": "group", "type": "int",
                                    "symmetric": symmetric, "dynamic": False, "actorder": None}}}


def any_zero(rng, top):
    return rng.randint(0, top)


def zero_above_0(rng, top):  # the first format stores one less
    return rng.randint(1, top)


def middle(_, top):
    return (top + 1) // 2


# bits, group, zero points, quantization_config beside bits and group_size
GPTQ = {"quant_method": "gptq", "desc_act": False}
KINDS = {
    "gptq": (4, 32, zero_above_0, {**GPTQ, "sym": False, "checkpoint_format": "gptq"}),
    "gptq_v2": (4, 16, any_zero, {**GPTQ, "sym": False, "checkpoint_format": "gptq_v2"}),
    "gptq_sym": (4, 32, middle, {**GPTQ, "sym": True}),
    "gptq_rows": (4, -1, zero_above_0, {**GPTQ, "sym": False}),
    "gptq8": (8, 32, zero_above_0, {**GPTQ, "sym": False}),
    "gptq2": (2, 32, any_zero, {**GPTQ, "sym": False, "checkpoint_format": "gptq_v2"}),
    "awq": (4, 32, any_zero, {"quant_method": "awq", "version": "gemm", "zero_point": True}),
    "compressed": (4, 32, middle, {"quant_method": "compressed-tensors", "format": "pack-quantized",
                                   "config_groups": weights_group(4, 32, True)}),
    "compressed_zeros": (4, 16, any_zero, {"quant_method": "compressed-tensors", "format": "pack-quantized",
                                           "config_groups": weights_group(4, 16, False)}),
}


def main():
    kind, folder = sys.argv[1], sys.argv[2]
    bits, group, zero, quantization = KINDS[kind]
    rng = random.Random(kind)
    packed, plain = File(), File()
    for file in (packed, plain):
        file.add("model.embed_tokens.weight", "F32", [5, HIDDEN], f32([0.5] * 5 * HIDDEN))
    for layer in range(LAYERS):
        prefix = "model.layers.%d.block_sparse_moe." % layer
        router = [rng.gauss(0, 1) for _ in range(EXPERTS * HIDDEN)]
        for file in (packed, plain):
            file.add(prefix + "gate.weight", "F32", [EXPERTS, HIDDEN], f32(router))
        for expert in range(EXPERTS):
            for name, out, inputs in (("w1", WIDTH, HIDDEN), ("w2", HIDDEN, WIDTH), ("w3", WIDTH, HIDDEN)):
                stem = "%sexperts.%d.%s" % (prefix, expert, name)
                matrix = Matrix(rng, out, inputs, bits, group, zero)
                plain.add(stem + ".weight", "F32", [out, inputs], f32(matrix.plain()))
                if kind.startswith("gptq"):
                    matrix.gptq(packed, stem, 0 if kind in ("gptq_v2", "gptq2") else 1)
                elif kind == "awq":
                    matrix.awq(packed, stem)
                else:
                    matrix.compressed(packed, stem, kind == "compressed_zeros")
    config = {"model_type": "mixtral", "hidden_act": "silu", "hidden_size": HIDDEN, "intermediate_size": WIDTH,
              "num_hidden_layers": LAYERS, "num_local_experts": EXPERTS, "num_experts_per_tok": TOP_K}
    if not kind.startswith("compressed"):
        quantization = {**quantization, "bits": bits, "group_size": group}
    for name, file, more in (("packed", packed, {"quantization_config": quantization}), ("plain", plain, {})):
        os.makedirs(os.path.join(folder, name))
        file.write(os.path.join(folder, name, "model.safetensors"))
        with open(os.path.join(folder, name, "config.json"), "w") as out:
            json.dump({**config, **more}, out)


main()
