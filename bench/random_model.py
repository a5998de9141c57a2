#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# In:  a small qwen3moe GGUF file (models/tiny-moe-f16.gguf), a number of experts, widths and layers.
# Out: a GGUF file of that shape with random f16 matrices, and the tokenizer and all else of the first.
# Why: speed and memory do not depend on what the weights say, and a model with many experts is too large to ship.
# Python's standard library alone. Usage: random_model.py FROM.gguf TO.gguf [--experts 128] [--used 8] ...
import argparse
import random
import struct

STRING, ARRAY, F32, F16 = 8, 9, 0, 1
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        value = struct.unpack_from("<" + form, self.data, self.at)[0]
        self.at += struct.calcsize("<" + form)
        return value

    def string(self):
        length = self.take("Q")
        self.at += length
        return self.data[self.at - length:self.at]

    def skip(self, kind):
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            inner, count = self.take("I"), self.take("Q")
            for _ in range(count):
                self.skip(inner)
        else:
            self.at += SIZES[kind]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("target")
    for name, value in (("experts", 128), ("used", 8), ("hidden", 512), ("width", 256), ("layers", 2), ("seed", 1)):
        parser.add_argument("--" + name, type=int, default=value)
    args = parser.parse_args()
    with open(args.source, "rb") as file:
        reader = Reader(file.read())
    magic, version, tensors, pairs = reader.take("I"), reader.take("I"), reader.take("Q"), reader.take("Q")
    if magic != 0x46554747 or version != 3:
        raise SystemExit(args.source + " is no GGUF file of version 3")
    changed = {
        b"qwen3moe.block_count": args.layers, b"qwen3moe.embedding_length": args.hidden,
        b"qwen3moe.expert_count": args.experts, b"qwen3moe.expert_used_count": args.used,
        b"qwen3moe.expert_feed_forward_length": args.width,
    }
    metadata, found = b"", set()
    for _ in range(pairs):
        begin = reader.at
        key, kind = reader.string(), reader.take("I")
        value = reader.at
        reader.skip(kind)
        if key in changed:
            found.add(key)
            metadata += reader.data[begin:value] + struct.pack("<I", changed[key])
        else:
            metadata += reader.data[begin:reader.at]
    if found != set(changed):
        raise SystemExit("%s lacks %s" % (args.source, set(changed) - found))
    old = {}
    for _ in range(tensors):
        name, dims = reader.string(), reader.take("I")
        shape = [reader.take("Q") for _ in range(dims)]
        old[name.decode()] = (shape, reader.take("I"))
        reader.take("Q")

    # The first layer's tensors in the new shape: only what hangs on hidden, experts and their width changes.
    new = {}
    for name, (shape, kind) in old.items():
        if name.startswith("blk.") and not name.startswith("blk.0."):
            continue
        if "_exps." in name:
            wide = [args.width, args.hidden] if "down" in name else [args.hidden, args.width]
            shape = wide + [args.experts]
        elif "ffn_gate_inp" in name:
            shape = [args.hidden, args.experts]
        elif "attn_output" in name:
            shape = [shape[0], args.hidden]
        elif "attn_q_norm" not in name and "attn_k_norm" not in name:
            shape = [args.hidden] + shape[1:]
        for layer in range(args.layers if name.startswith("blk.0.") else 1):
            new[name.replace("blk.0.", "blk.%d." % layer)] = (shape, kind)

    draw = random.Random(args.seed)
    # Bytes of random halves near +-0.03, drawn once and repeated from a random place.
    pool = b"".join(struct.pack("<e", draw.gauss(0, 0.03)) for _ in range(1 << 16)) * 2
    infos, sizes, offset = b"", [], 0
    for name, (shape, kind) in new.items():
        count = 1
        for extent in shape:
            count *= extent
        size = count * (4 if kind == F32 else 2)
        infos += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(shape))
        infos += struct.pack("<%dQ" % len(shape), *shape) + struct.pack("<IQ", kind, offset)
        sizes.append((name, kind, count, size))
        offset += (size + 31) // 32 * 32
    with open(args.target, "wb") as file:
        file.write(struct.pack("<IIQQ", magic, version, len(new), pairs) + metadata + infos)
        file.write(b"\0" * (-file.tell() % 32))
        for name, kind, count, size in sizes:
            if kind == F32:
                norm = "norm" in name
                block = b"".join(struct.pack("<f", 1.0 if norm else draw.gauss(0, 0.1)) for _ in range(count))
                file.write(block)
            else:
                left = size
                while left:
                    at = draw.randrange(1 << 16) * 2
                    piece = pool[at:at + min(left, 1 << 17)]
                    file.write(piece)
                    left -= len(piece)
            file.write(b"\0" * (-size % 32))


main()
