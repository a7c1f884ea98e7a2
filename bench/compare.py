#!/usr/bin/env python3
"""Tenon against ONNX Runtime on one thread: same model, same inputs, runs interleaved, medians, ratios.

    bench/compare.py --tenon build/tenon --models DIR [--only NAME,...] [--seconds 1.0]

DIR holds NAME/model.onnx and NAME/io/input_N.npy.  A ratio above 1 means that Tenon is faster.  Needs NumPy, onnx and
onnxruntime from PyPI; models that Tenon refuses are listed with its reason, not skipped in silence.
"""
import argparse
import ctypes
import glob
import json
import math
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime


class Tensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int32), ("rank", ctypes.c_int32),
                ("dims", ctypes.POINTER(ctypes.c_int64)), ("bytes", ctypes.c_int64), ("quant_count", ctypes.c_int64),
                ("scale", ctypes.c_void_p), ("zero_point", ctypes.c_void_p)]


RUN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Model(ctypes.Structure):
    _fields_ = [("abi", ctypes.c_int32), ("arena_align", ctypes.c_int32), ("name", ctypes.c_char_p),
                ("hash", ctypes.c_char_p), ("arena_bytes", ctypes.c_int64), ("weight_bytes", ctypes.c_int64),
                ("macs", ctypes.c_int64), ("input_count", ctypes.c_int32), ("output_count", ctypes.c_int32),
                ("inputs", ctypes.POINTER(Tensor)), ("outputs", ctypes.POINTER(Tensor)), ("run", RUN)]


def aligned(size):
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + size]


class Compiled:
    def __init__(self, path, inputs):
        self.library = ctypes.CDLL(path)
        self.model = Model.in_dll(self.library, "bench_model")
        m = self.model
        self.buffers = []
        for i in range(m.input_count):
            name = m.inputs[i].name.decode()
            buffer = aligned(m.inputs[i].bytes)
            data = inputs[name].tobytes()
            assert len(data) == m.inputs[i].bytes, (name, len(data), m.inputs[i].bytes)
            buffer[:] = np.frombuffer(data, np.uint8)
            self.buffers.append(buffer)
        self.outputs = [aligned(m.outputs[i].bytes) for i in range(m.output_count)]
        self.arena = aligned(m.arena_bytes)
        pointer = ctypes.c_void_p
        self.ins = (pointer * max(1, m.input_count))(*[b.ctypes.data for b in self.buffers])
        self.outs = (pointer * max(1, m.output_count))(*[b.ctypes.data for b in self.outputs])
        self.at = self.arena.ctypes.data

    def run(self):
        status = self.model.run(self.ins, self.outs, self.at)
        assert status == 0, status


def load_inputs(folder):
    graph = onnx.load(f"{folder}/model.onnx", load_external_data=False).graph
    constant = {t.name for t in graph.initializer}
    named, dims = {}, {}
    for k, value in enumerate(v for v in graph.input if v.name not in constant):
        array = np.load(f"{folder}/io/input_{k}.npy")
        named[value.name] = array
        for dim, extent in zip(value.type.tensor_type.shape.dim, array.shape):
            if dim.dim_param:
                dims[dim.dim_param] = extent
    return named, dims


def compile_model(tenon, folder, named, out):
    command = [tenon, "compile", f"{folder}/model.onnx", "-o", out, "--name=bench"]
    for name, array in named.items():
        command.append(f"--shape={name}=" + "x".join(map(str, array.shape)) if array.ndim else "")
    start = time.perf_counter()
    done = subprocess.run([c for c in command if c], capture_output=True, text=True)
    return done, time.perf_counter() - start


def session(path, level):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = level
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def sample(run, count):
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


def compare(tenon, folder, seconds):
    named, _ = load_inputs(folder)
    with tempfile.TemporaryDirectory() as temp:
        library = f"{temp}/bench.so"
        done, compile_seconds = compile_model(tenon, folder, named, library)
        if done.returncode:
            return {"refused": (done.stderr.strip().splitlines() or ["?"])[0]}
        ours = Compiled(library, named)
        levels = onnxruntime.GraphOptimizationLevel
        peers = []
        for level in (levels.ORT_ENABLE_ALL, levels.ORT_ENABLE_BASIC):
            s = session(f"{folder}/model.onnx", level)
            peers.append(lambda s=s: s.run(None, named))
        runs = [ours.run] + peers
        for run in runs:
            run()
        counts = [max(1, int(seconds / 20 / max(sample(run, 1), 1e-7))) for run in runs]
        counts = [min(c, 2000) for c in counts]
        times = [[] for _ in runs]
        for _ in range(11):
            for i, run in enumerate(runs):
                times[i].append(sample(run, counts[i]))
        median = [sorted(t)[len(t) // 2] for t in times]
        return {"tenon_ms": median[0] * 1e3, "ort_ms": min(median[1:]) * 1e3, "ratio": min(median[1:]) / median[0],
                "compile_s": compile_seconds}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tenon", required=True)
    p.add_argument("--models", required=True)
    p.add_argument("--only", default="")
    p.add_argument("--seconds", type=float, default=1.0)
    p.add_argument("--json")
    a = p.parse_args()
    names = sorted(os.path.basename(os.path.dirname(f)) for f in glob.glob(f"{a.models}/*/model.onnx"))
    if a.only:
        names = [n for n in names if n in a.only.split(",")]
    rows, ratios = {}, []
    print(f"{'model':32} {'tenon ms':>10} {'ort ms':>10} {'ratio':>7} {'compile s':>10}")
    for name in names:
        try:
            row = compare(a.tenon, f"{a.models}/{name}", a.seconds)
        except Exception as error:  # a peer that cannot run the model is a finding too
            row = {"refused": f"not compared: {error}"}
        rows[name] = row
        if "ratio" in row:
            ratios.append(row["ratio"])
            print(f"{name:32} {row['tenon_ms']:10.4f} {row['ort_ms']:10.4f} {row['ratio']:7.2f} {row['compile_s']:10.2f}",
                  flush=True)
        else:
            print(f"{name:32} {row['refused'][:160]}", flush=True)
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"{len(ratios)} models, geometric mean {mean:.2f}, lowest {min(ratios):.2f}, "
              f"faster on {sum(r > 1 for r in ratios)}; onnxruntime {onnxruntime.__version__}")
    if a.json:
        with open(a.json, "w") as f:
            json.dump(rows, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
