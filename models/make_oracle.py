#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes or checks the oracle of the small model's MoE layers, in float64 from its exact f16 weights.

In:  tiny-moe-f16.gguf, and router inputs: a folder with the full oracle of all validation texts
     (l{i}.*.npy with 256 rows a domain, and index.json), or no folder: the inputs in oracle/.
Out: oracle/l{i}.{moe_in,logits,selected,weights,moe_out}.npy for 128 english and 128 c tokens.
Why: an answer that shares no line of code with the library: standard-library Python only, its own
     readers, every dot product summed by math.fsum, that is with one rounding.

usage: make_oracle.py SOURCE_FOLDER   write the oracle, and compare it with the source's
       make_oracle.py                 recompute from oracle/l{i}.moe_in.npy, and compare
"""

import ast
import json
import math
import operator
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROWS_PER_DOMAIN = 128
DOMAINS = ("english", "c")


# ---- files -------------------------------------------------------------------------------------

class Gguf:
    """The parts of a little-endian GGUF v3 file that this script needs: metadata and f32 / f16 tensors."""

    SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def __init__(self, path):
        self.data = Path(path).read_bytes()
        self.at = 4
        if self.data[:4] != b"GGUF" or self._read("I") != 3:
            raise SystemExit(f"{path}: not a GGUF v3 file")
        tensor_count, value_count = self._read("Q"), self._read("Q")
        self.values = {}
        for _ in range(value_count):
            key = self._string()
            self.values[key] = self._value(self._read("I"))
        self.tensors = {}
        for _ in range(tensor_count):
            name = self._string()
            ne = [self._read("Q") for _ in range(self._read("I"))]
            self.tensors[name] = (ne, self._read("I"), self._read("Q"))
        alignment = self.values.get("general.alignment", 32)
        self.start = (self.at + alignment - 1) // alignment * alignment

    def _read(self, code):
        value, = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def _string(self):
        length = self._read("Q")
        self.at += length
        return self.data[self.at - length:self.at].decode()

    def _value(self, kind):
        if kind == 8:
            return self._string()
        if kind == 9:
            element = self._read("I")
            return [self._value(element) for _ in range(self._read("Q"))]
        return self._read(self.SCALARS[kind])

    def rows(self, name, shape):
        """A tensor as a list of rows of floats. ne[0] is the fastest axis: shape is ne reversed."""
        ne, kind, offset = self.tensors[name]
        if ne != list(reversed(shape)) or kind not in (0, 1):
            raise SystemExit(f"{name}: ne {ne}, type {kind}; expected {list(reversed(shape))} in f32 or f16")
        count = math.prod(ne)
        numbers = struct.unpack_from(f"<{count}{'fe'[kind]}", self.data, self.start + offset)
        return [numbers[i:i + ne[0]] for i in range(0, count, ne[0])]


def read_npy(path):
    """A C-order f4 or i4 array of one or two dimensions, as a list of rows."""
    data = Path(path).read_bytes()
    if data[:8] != b"\x93NUMPY\x01\x00":
        raise SystemExit(f"{path}: not a .npy file of version 1")
    length, = struct.unpack_from("<H", data, 8)
    header = ast.literal_eval(data[10:10 + length].decode("latin1"))
    if header["fortran_order"] or header["descr"] not in ("<f4", "<i4"):
        raise SystemExit(f"{path}: {header} is not C-order f4 or i4")
    numbers = struct.unpack_from(f"<{math.prod(header['shape'])}{header['descr'][1]}",
                                 data, 10 + length)
    width = header["shape"][-1]
    return [numbers[i:i + width] for i in range(0, len(numbers), width)]


def write_npy(path, rows, descr):
    code = {"<f4": "f", "<i4": "i"}[descr]
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    body = b"".join(struct.pack(f"<{len(row)}{code}", *row) for row in rows)
    Path(path).write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body)


# ---- the layer ---------------------------------------------------------------------------------

def dot(a, b):
    return math.fsum(map(operator.mul, a, b))


def silu(v):
    return v / (1.0 + math.exp(-v)) if v >= 0 else v * math.exp(v) / (1.0 + math.exp(v))


def expert_ffn(x, gate, up, down):
    h = [silu(dot(g, x)) * dot(u, x) for g, u in zip(gate, up)]
    return [dot(row, h) for row in down]


def moe_layer(inputs, router, gate, up, down, used):
    """softmax over all experts, top-k by logit (ties to the lowest id), weights renormalised."""
    logits, selected, weights, outputs = [], [], [], []
    for x in inputs:
        l = [dot(row, x) for row in router]
        top = max(l)
        p = [math.exp(v - top) for v in l]
        total = math.fsum(p)
        p = [v / total for v in p]
        ids = sorted(range(len(l)), key=lambda e: (-l[e], e))[:used]
        kept = math.fsum(p[e] for e in ids)
        w = [p[e] / kept for e in ids]
        parts = [expert_ffn(x, gate[e], up[e], down[e]) for e in ids]
        logits.append(l)
        selected.append(ids)
        weights.append(w)
        outputs.append([math.fsum(map(operator.mul, w, column)) for column in zip(*parts)])
    return logits, selected, weights, outputs


# ---- inputs and comparison ---------------------------------------------------------------------

def source_rows(folder, layers):
    """Which rows of the source belong to the wanted domains; index.json must agree with the files."""
    index = json.loads((folder / "index.json").read_text())
    per_domain = index["n"]
    picked = []
    for domain in DOMAINS:
        first = index["domains"].index(domain) * per_domain
        for layer in range(layers):
            chosen = read_npy(folder / f"l{layer}.selected.npy")[first:first + per_domain]
            counts = [0] * len(index["layers"][layer]["counts_by_domain"][domain])
            for row in chosen:
                for e in row:
                    counts[e] += 1
            if counts != index["layers"][layer]["counts_by_domain"][domain]:
                raise SystemExit(f"{folder}: rows from {first} are not '{domain}' by index.json "
                                 f"(layer {layer})")
        picked += range(first, first + ROWS_PER_DOMAIN)
        print(f"{domain}: source rows {first}..{first + ROWS_PER_DOMAIN - 1}, "
              "expert counts agree with index.json")
    return picked


def pick(rows, picked):
    return [rows[i] for i in picked] if picked else rows


def rms(rows):
    values = [v for row in rows for v in row]
    return math.sqrt(math.fsum(v * v for v in values) / len(values))


def difference(a, b):
    return [[x - y for x, y in zip(r, s)] for r, s in zip(a, b)]


def main(arguments):
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        raise SystemExit(__doc__)
    source = Path(arguments[0]) if arguments else None
    model = Gguf(HERE / "tiny-moe-f16.gguf")
    key = lambda name: model.values["qwen3moe." + name]
    layers, hidden, experts = key("block_count"), key("embedding_length"), key("expert_count")
    ffn, used = key("expert_feed_forward_length"), key("expert_used_count")
    oracle = HERE / "oracle"
    oracle.mkdir(exist_ok=True)
    picked = source_rows(source, layers) if source else None
    compare_with = source or oracle
    # From f32 weights the answers differ by the f16 rounding of three matrices. It moves each matrix by
    # 2.1e-4 relative RMS; three independent errors add up to about sqrt(3) times that. Against our own
    # oracle only its storage in float32 is left. The router is f32 in both models.
    output_limit = 3.6e-4 if source else 1e-7
    failed = False
    for layer in range(layers):
        read = lambda what: pick(read_npy(compare_with / f"l{layer}.{what}.npy"), picked)
        inputs = read("moe_in")
        name = f"blk.{layer}.ffn_"
        router = model.rows(name + "gate_inp.weight", [experts, hidden])

        def stacked(kind, rows, columns):
            flat = model.rows(f"{name}{kind}_exps.weight", [experts, rows, columns])
            return [flat[e * rows:(e + 1) * rows] for e in range(experts)]

        logits, selected, weights, outputs = moe_layer(
            inputs, router, stacked("gate", ffn, hidden), stacked("up", ffn, hidden),
            stacked("down", hidden, ffn), used)
        same = sum(tuple(a) == tuple(b) for a, b in zip(selected, read("selected")))
        reference = read("moe_out")
        relative = rms(difference(outputs, reference)) / rms(reference)
        logit_error = rms(difference(logits, read("logits"))) / rms(logits)
        weight_error = rms(difference(weights, read("weights")))
        margin = min(l[s[-1]] - max(v for e, v in enumerate(l) if e not in s)
                     for l, s in zip(logits, selected))
        print(f"layer {layer}: same experts {same}/{len(inputs)}, relative rms difference: "
              f"moe_out {relative:.3e}, logits {logit_error:.3e}; weights rms {weight_error:.3e}; "
              f"moe_out rms {rms(outputs):.4f}, smallest logit margin {margin:.3e}", flush=True)
        failed |= same != len(inputs) or relative > output_limit
        failed |= logit_error > 1e-6 or weight_error > 1e-6
        if source:
            write_npy(oracle / f"l{layer}.moe_in.npy", inputs, "<f4")
            write_npy(oracle / f"l{layer}.logits.npy", logits, "<f4")
            write_npy(oracle / f"l{layer}.selected.npy", selected, "<i4")
            write_npy(oracle / f"l{layer}.weights.npy", weights, "<f4")
            write_npy(oracle / f"l{layer}.moe_out.npy", outputs, "<f4")
    print("FAILED" if failed else "ok")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
