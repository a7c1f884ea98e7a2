#!/usr/bin/env python3
"""One-operator models over a list of shapes: Tenon's GFLOP/s or GB/s, its share of what one core can do, and ONNX
Runtime's time in the same run.

    bench/kernels.py [--tenon build/tenon] [--only TEXT,...] [--cpu haswell] [--no-peers] [--json FILE]

The peak is measured by `tenon bench` between the passes over each kernel (driver/peak.c: multiply-adds in registers with
the target's widest vectors; bytes by level of memory), since a core that computes clocks lower than one that comes from
rest, whose burst is printed too; the share is of the peak beside the kernel.  `kernel` is the operator's own time, the
median of its passes, `call` the whole model's, the least of several, which for a convolution holds two changes of layout
that a real model has at its ends only; the ratio compares calls.  All times are processor time.  The share is of multiply-adds, or of bytes where they
bind.  With --cpu the artifact and its peak are that processor's and peers are left out, since they would use all of
this one.  Convolutions count direct operations, however they are computed.
Needs NumPy, onnx and, for the comparison, onnxruntime from PyPI.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import peers


class Case:
    """A model of one node.  group: the heading it is shown under.  inputs: shapes; weights: shapes of constants; then:
    an operator on the result."""

    def __init__(self, group, name, op, inputs, weights=(), flops=0, attributes=None, constants=(), opset=17,
                 then=None):
        self.group, self.name, self.op, self.flops = group, name, op, flops
        self.inputs, self.weights, self.attributes = inputs, weights, attributes or {}
        self.constants, self.opset, self.then = constants, opset, then
        self.outputs, self.domain = {"y": TensorProto.FLOAT}, ""
        self.dtype = np.float32  # of the inputs

    def write(self, path):
        rng = np.random.default_rng(3)
        named = {f"x{i}": rng.standard_normal(s).astype(np.float32) for i, s in enumerate(self.inputs)}
        if np.issubdtype(self.dtype, np.integer):
            named = {f"x{i}": rng.integers(1, 100, s, self.dtype) for i, s in enumerate(self.inputs)}
        initializers = [numpy_helper.from_array((rng.standard_normal(s) / 8).astype(np.float32), f"w{i}")
                        for i, s in enumerate(self.weights)]
        initializers += [numpy_helper.from_array(a, f"c{i}") for i, a in enumerate(self.constants)]
        names = list(named) + [i.name for i in initializers]
        if self.op == "Resize":  # X, roi, scales
            names.insert(1, "")
        if self.op == "ScatterND":  # data, indices, updates
            names[1:] = [names[2], names[1]]
        outputs = list(self.outputs)
        nodes = [helper.make_node(self.op, names, ["first"] if self.then else outputs, name=self.name, domain=self.domain,
                                  **self.attributes)]
        if self.then:
            nodes.append(helper.make_node(self.then, ["first"], outputs, name=self.then))
        graph = helper.make_graph(nodes, "kernel",
                                  [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
                                   for n, a in named.items()],
                                  [helper.make_tensor_value_info(n, t, None) for n, t in self.outputs.items()],
                                  initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset),
                                                 helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
        onnx.save(onnx.shape_inference.infer_shapes(model), path)
        return named


# ---- the list ------------------------------------------------------------------------------------------------------

def matmul(group, m, k, n, batch=(), constant=True, **more):
    a, b = [*batch, m, k], [*(() if constant else batch), k, n]
    name = "x".join(map(str, batch)) + ("*" if batch else "") + f"{m}x{k}x{n}"
    name += f", {more['then'].lower()}" if "then" in more else ""
    return Case(group, name, "MatMul", [a] if constant else [a, b], [b] if constant else [],
                2 * math.prod(batch) * m * k * n, **more)


def gemm(m, k, n, ta, tb, constant):
    a, b = [k, m] if ta else [m, k], [n, k] if tb else [k, n]
    name = f"{m}x{k}x{n}{' A^T' if ta else ''}{' B^T' if tb else ''}{'' if constant else ' both vary'}"
    return Case("products, transposed", name, "Gemm", [a] if constant else [a, b], [b] if constant else [],
                2 * m * k * n, {"transA": int(ta), "transB": int(tb)})


def conv(group, channels, size, out, kernel, stride=1, dilation=1, groups=1, pad=None, transposed=False):
    """size and kernel: one number (an image), or one a spatial dimension."""
    size = (size, size) if isinstance(size, int) else tuple(size)
    kernel = (kernel,) * len(size) if isinstance(kernel, int) else tuple(kernel)
    pads = [dilation * (k - 1) // 2 if pad is None else pad for k in kernel]
    after = [(s + 2 * p - dilation * (k - 1) - 1) // stride + 1 for s, p, k in zip(size, pads, kernel)]
    weights = [channels, out // groups, *kernel] if transposed else [out, channels // groups, *kernel]
    points = math.prod(size) if transposed else math.prod(after)
    x = "x".join
    name = f"{channels}x{x(map(str, size))}->{out} k{x(map(str, kernel))}"
    name += (f" s{stride}" if stride > 1 else "") + (f" d{dilation}" if dilation > 1 else "")
    name += (f" g{groups}" if groups > 1 else "")
    attributes = {"kernel_shape": kernel, "strides": [stride] * len(size), "pads": pads * 2,
                  "dilations": [dilation] * len(size), "group": groups}
    return Case(group, name, "ConvTranspose" if transposed else "Conv", [[1, channels, *size]], [weights],
                2 * points * math.prod(weights), attributes)


def resnet50():
    yield "", 3, 224, 64, 7, 2, 1
    channels, size = 64, 56
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            step = stride if block == 0 else 1
            yield "", channels, size, width, 1, 1, 1
            yield "", width, size, width, 3, step, 1
            if block == 0:
                yield "", channels, size, 4 * width, 1, step, 1
            size //= step
            yield "", width, size, 4 * width, 1, 1, 1
            channels = 4 * width


def vgg19():
    channels, size = 3, 224
    for width, count in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(count):
            yield "", channels, size, width, 3, 1, 1
            channels = width
        size //= 2


def mobilenetv2():
    yield "", 3, 224, 32, 3, 2, 1
    channels, size = 32, 112
    for expand, out, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                       (6, 160, 3, 2), (6, 320, 1, 1)):
        for block in range(count):
            step, wide = stride if block == 0 else 1, channels * expand
            if expand > 1:
                yield "", channels, size, wide, 1, 1, 1
            yield "", wide, size, wide, 3, step, wide
            size //= step
            yield "", wide, size, out, 1, 1, 1
            channels = out
    yield "", 320, 7, 1280, 1, 1, 1


def convolutions(group, shapes):
    for _, channels, size, out, kernel, stride, groups in dict.fromkeys(shapes):
        yield conv(group, channels, size, out, kernel, stride, groups=groups)


def moved(name, op, inputs, attributes=None, constants=(), opset=17, weights=()):
    return Case("by bytes", name, op, inputs, weights, 0, attributes, constants, opset)


def best(shape, k, axis=-1):
    case = moved(f"the {k} best of {'x'.join(map(str, shape))}", "TopK", [shape], {"axis": axis},
                 (np.array([k], np.int64),))
    case.group, case.outputs = "searches", {"y": TensorProto.FLOAT, "i": TensorProto.INT64}
    return case


def forest(rows, features, trees, depth, full=True, targets=1):
    """Trees of random features and thresholds; full ones, or with leaves at all depths."""
    rng = np.random.default_rng(7)
    nodes = {n: [] for n in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")}
    leaves = {n: [] for n in ("treeids", "nodeids", "ids", "weights")}

    def grow(tree, at, level):  # the number that is free after the node's descendants
        leaf = level == depth or (not full and level > 1 and rng.random() < 0.3)
        values = dict(treeids=tree, nodeids=at, featureids=int(rng.integers(features)) if not leaf else 0,
                      values=float(rng.standard_normal()), modes="LEAF" if leaf else "BRANCH_LEQ", truenodeids=0,
                      falsenodeids=0)
        row = len(nodes["modes"])
        for name, value in values.items():
            nodes[name].append(value)
        if leaf:
            for target in range(targets):
                for name, value in (("treeids", tree), ("nodeids", at), ("ids", target),
                                    ("weights", float(rng.standard_normal()))):
                    leaves[name].append(value)
            return at + 1
        nodes["truenodeids"][row] = at + 1
        nodes["falsenodeids"][row] = grow(tree, at + 1, level + 1)
        return grow(tree, nodes["falsenodeids"][row], level + 1)

    for tree in range(trees):
        grow(tree, 0, 0)
    attributes = {f"nodes_{n}": v for n, v in nodes.items()} | {f"target_{n}": v for n, v in leaves.items()}
    kind = "full" if full else "uneven"
    name = f"{trees} {kind} trees of depth {depth}, {rows} rows of {features}" + \
        (f", {targets} targets" if targets > 1 else "")
    case = Case("forests", name, "TreeEnsembleRegressor", [[rows, features]], (), 0,
                attributes | {"n_targets": targets})
    case.domain = "ai.onnx.ml"
    return case


def integers(op, dtype):
    case = moved(f"{op.lower()} of {dtype.__name__} 64x56x56", op, [[64, 56, 56]] * 2)
    case.dtype, case.outputs = dtype, {"y": helper.np_dtype_to_tensor_dtype(np.dtype(dtype))}
    return case


def cases():
    square, vary = "products, square", "products, both operands vary"
    for n in (256, 512, 1024):
        yield matmul(square, n, n, n)
    for n in (256, 512):
        yield matmul(vary, n, n, n, constant=False)
    yield from convolutions("ResNet-50", resnet50())
    yield from convolutions("VGG-19", vgg19())
    yield from convolutions("MobileNetV2", mobilenetv2())
    for m, k, n in ((128, 768, 768), (128, 768, 3072), (128, 3072, 768), (197, 192, 576), (197, 192, 768),
                    (197, 768, 192)):
        yield matmul("BERT and ViT", m, k, n)
    yield matmul("BERT and ViT", 128, 768, 3072, then="Gelu", opset=20)
    yield matmul("BERT and ViT", 197, 192, 768, then="Gelu", opset=20)
    yield matmul("BERT and ViT", 128, 64, 128, (12,), constant=False)
    yield matmul("BERT and ViT", 128, 128, 64, (12,), constant=False)
    yield matmul("BERT and ViT", 197, 64, 197, (3,), constant=False)
    for ta in (False, True):
        for tb in (False, True):
            yield gemm(256, 256, 256, ta, tb, True)
            yield gemm(256, 256, 256, ta, tb, False)
    for m, k, n in ((1, 1024, 1024), (1, 4096, 4096), (1, 768, 30522), (4, 1024, 1024)):
        yield matmul("matrix-vector", m, k, n)
    yield matmul("matrix-vector", 1024, 1024, 1, constant=False)
    odd = "adversarial products"
    for m, k, n in ((1, 1, 1), (7, 11, 13), (31, 37, 41), (127, 131, 137), (509, 521, 523), (1, 4096, 7),
                    (4096, 7, 1), (2000, 16, 3), (3, 16, 2000), (5, 5000, 5), (17, 1, 1000), (1000, 1000, 15),
                    (15, 1000, 1000), (33, 33, 33), (64, 65, 66)):
        yield matmul(odd, m, k, n)
    few = "few columns"
    for m, k, n in ((4096, 16, 3), (4096, 64, 1), (4096, 64, 4), (3600, 32, 8), (1600, 128, 4), (8400, 16, 2),
                    (65536, 4, 4), (512, 256, 2), (4096, 24, 5)):
        yield matmul(few, m, k, n)
    for channels, size, out, kernel in ((64, 80, 1, 1), (64, 80, 4, 1), (16, 160, 3, 1), (32, 112, 2, 1), (24, 56, 1, 3),
                                        (16, 128, 3, 3), (64, 64, 4, 3)):
        yield conv(few, channels, size, out, kernel)
    other = "other convolutions"
    yield conv(other, 64, 56, 64, 3, dilation=2)
    yield conv(other, 64, 56, 64, 5)
    yield conv(other, 64, 56, 128, 3, groups=4)
    yield conv(other, 256, 14, 256, 3, groups=32)
    yield conv(other, 13, 37, 17, 3)
    yield conv(other, 1, 64, 8, 3)
    yield conv(other, 3, 31, 5, 7)
    yield conv(other, 96, 56, 96, 7, groups=96)
    yield conv(other, 128, 28, 128, 5, 2, groups=128)
    yield conv(other, 198, 28, 792, 3, groups=198)  # several results a channel
    yield conv(other, 32, 56, 64, 3, groups=32)
    yield conv(other, 16, 56, 48, 5, groups=16)
    yield conv(other, 64, (1000,), 128, (9,))
    yield conv(other, 80, (3000,), 80, (3,), groups=80)
    yield conv(other, 1, (16000,), 32, (400,), 160, pad=0)
    yield conv(other, 16, (16, 32, 32), 32, (3, 3, 3))
    yield conv(other, 64, 28, 32, 4, 2, pad=1, transposed=True)
    yield conv(other, 64, 28, 32, 2, 2, pad=0, transposed=True)
    attention = [12, 128, 128]
    yield moved("softmax 12x128x128", "Softmax", [attention], {"axis": -1})
    yield moved("softmax 1x1000", "Softmax", [[1, 1000]], {"axis": -1})
    yield moved("softmax 64x56x56, axis 1", "Softmax", [[1, 64, 56, 56]], {"axis": 1})
    yield moved("layernorm 128x768", "LayerNormalization", [[128, 768]], {"axis": -1}, weights=[[768], [768]])
    yield moved("layernorm 197x192", "LayerNormalization", [[197, 192]], {"axis": -1}, weights=[[192], [192]])
    yield moved("gelu 128x3072", "Gelu", [[128, 3072]], opset=20)
    yield moved("sigmoid 64x112x112", "Sigmoid", [[64, 112, 112]])
    yield moved("exp 128x3072", "Exp", [[128, 3072]])
    yield moved("tanh 128x3072", "Tanh", [[128, 3072]])
    yield moved("relu 64x112x112", "Relu", [[64, 112, 112]])
    yield moved("add 64x112x112", "Add", [[64, 112, 112]] * 2)
    yield moved("add a channel, 64x112x112", "Add", [[64, 112, 112], [64, 1, 1]])
    for axis in (0, 1, 2):
        yield moved(f"mean of 64x112x112, axis {axis}", "ReduceMean", [[64, 112, 112]], {"axes": [axis]})
    plane = [[64, 56, 56]]
    for axis in (1, 2):
        yield moved(f"max of 64x56x56, axis {axis}", "ReduceMax", plane, {"axes": [axis]})
    yield moved("log-sum-exp of 64x56x56, axis 2", "ReduceLogSumExp", plane, {"axes": [2]})
    yield moved("softmax 1000x10", "Softmax", [[1000, 10]], {"axis": -1})
    yield moved("log-softmax 64x56x56, axis 2", "LogSoftmax", plane, {"axis": 2})
    for op in ("Erf", "Log", "Softplus", "Mish", "Sin", "Cos", "Tan", "Atan", "Asin", "Asinh", "Sinh", "Elu"):
        yield moved(f"{op.lower()} 64x56x56", op, plane, opset=18)
    yield moved("pow 64x56x56 of two", "Pow", plane * 2)
    yield moved("pow 64x56x56 by 2.2", "Pow", plane, constants=(np.array(2.2, np.float32),))
    yield moved("mod of floats 64x56x56", "Mod", plane * 2, {"fmod": 1})
    for dtype in (np.int8, np.int16, np.int32, np.int64):
        yield integers("Div", dtype)
        yield integers("Mod", dtype)
    yield moved("max of 1000000", "ReduceMax", [[1000000]], {"axes": [0]})
    yield moved("transpose 1024x1024", "Transpose", [[1024, 1024]], {"perm": [1, 0]})
    yield moved("transpose 509x521", "Transpose", [[509, 521]], {"perm": [1, 0]})
    yield moved("to channels-last 1x64x56x56", "Transpose", [[1, 64, 56, 56]], {"perm": [0, 2, 3, 1]})
    yield moved("to channels-first 1x56x56x64", "Transpose", [[1, 56, 56, 64]], {"perm": [0, 3, 1, 2]})
    yield moved("heads 1x128x12x64", "Transpose", [[1, 128, 12, 64]], {"perm": [0, 2, 1, 3]})
    scales = (np.array([1, 1, 2, 2], np.float32),)
    for mode, more in (("nearest", {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}),
                       ("linear", {}), ("cubic", {})):
        yield moved(f"resize twice, {mode}, 32x64x64", "Resize", [[1, 32, 64, 64]], {"mode": mode, **more}, scales)
    for mode in ("linear", "cubic"):
        yield moved(f"resize by 1.5, {mode}, 32x64x64", "Resize", [[1, 32, 64, 64]], {"mode": mode},
                    (np.array([1, 1, 1.5, 1.5], np.float32),))
    yield moved("resize to 0.4, linear, 3x480x640", "Resize", [[1, 3, 480, 640]], {"mode": "linear"},
                (np.array([1, 1, 0.4, 0.4], np.float32),))
    yield moved("pad by reflection, 64x56x56", "Pad", plane, {"mode": "reflect"},
                (np.array([0, 1, 1, 0, 1, 1], np.int64),))
    yield moved("gather 40 columns of 64x56x56", "Gather", plane, {"axis": 2},
                (np.arange(40, dtype=np.int64) * 23 % 56,))
    yield moved("scatter 128 rows of 1000x256", "ScatterND", [[1000, 256], [128, 256]], {},
                (np.arange(128, dtype=np.int64).reshape(128, 1) * 199 % 1000,))
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    yield moved("max pool 3x3 s2, 64x112x112", "MaxPool", [[1, 64, 112, 112]], pool)
    yield moved("average pool 3x3 s2, 64x112x112", "AveragePool", [[1, 64, 112, 112]], pool)
    yield moved("global average pool 1280x7x7", "GlobalAveragePool", [[1, 1280, 7, 7]])
    yield moved("concat 64x56x56 twice", "Concat", [[1, 64, 56, 56]] * 2, {"axis": 1})
    yield moved("gather 128 rows of 30522x768", "Gather", [[30522, 768]], {},
                (np.arange(128, dtype=np.int64) * 199 % 30522,))
    yield moved("cumsum 64x56x56, axis 1", "CumSum", plane, {}, (np.array(1, np.int64),))
    for n, k in ((1000, 1), (1000, 5), (50000, 10), (10, 3), (100, 10), (8400, 100), (12000, 1000), (100000, 1000),
                 (100000, 3000), (1000, 1000), (50000, 50000)):
        yield best([n], k)
    yield best([1000, 10], 3)
    yield best([64, 1000], 5)
    yield best([1000, 64], 5, axis=0)
    for rows, features, trees, depth in ((1, 30, 100, 6), (1, 30, 500, 8), (16, 30, 100, 6), (100, 30, 500, 6),
                                         (1000, 30, 100, 6), (100, 30, 100, 10)):
        yield forest(rows, features, trees, depth)
    yield forest(1, 30, 100, 20, False)
    yield forest(100, 30, 100, 12, False)
    yield forest(100, 4, 100, 6, targets=3)
    for shape in ([64, 56, 56], [1, 100000], [1000, 10], [128, 768]):
        yield moved(f"cumsum {'x'.join(map(str, shape))}, last axis", "CumSum", [shape], {},
                    (np.array(len(shape) - 1, np.int64),))
    yield moved("cumsum 1024x1024", "CumSum", [[1024, 1024]], {}, (np.array(1, np.int64),))


# ---- measuring -----------------------------------------------------------------------------------------------------

def measure(case, options, folder, peak, burst):
    path = f"{folder}/model.onnx"
    named = case.write(path)
    row = {"group": case.group, "name": case.name, "op": case.op}
    target = [f"--cpu={options.cpu}"] if options.cpu else []
    try:
        expected = peers.ort_results(path, named)
        ours = peers.Tenon(path, named, tenon=options.tenon, options=target)
        engines = [ours]
        if options.peers:
            engines += [peers.OnnxRuntime(path, named, expected, level=level) for level in ("full", "basic")]
        least = peers.interleave(engines, 5, options.seconds, choose=min)
    except peers.Refused as error:
        return {**row, "refused": str(error)}
    row["call_us"] = least[0] * 1e6
    if options.peers:
        row["ort_us"] = min(least[1:]) * 1e6
        row["ratio"] = row["ort_us"] / row["call_us"]
    # sums of k products differ by the order of addition: sqrt(k) roundings of their size
    row["wrong"] = peers.difference(ours.results(), expected, 1e-3, 2e-3)
    runs = max(3, min(2000, int(options.seconds / 3 / least[0])))
    done = subprocess.run([options.tenon, "bench", path, "--json", f"--runs={runs}", *target, "--threads=1"],
                          capture_output=True, text=True)
    if done.returncode:
        return {**row, "refused": peers.first_line(done.stderr)}
    facts = json.loads(done.stdout)
    peak.append(facts["peak_flops_per_s"])
    burst.append(facts["burst_flops_per_s"])
    kernels = facts["kernels"]
    # what computes: not the changes of layout around it, but Winograd's transforms and all of its blocks
    main = [k for k in kernels if k["flops"]] if case.flops else kernels
    # the profiled kernel, or the whole call where that is less (the hook costs some tens of nanoseconds)
    row["kernel_us"] = min(sum(k["us"] for k in main), facts["median_us"])
    arithmetic = sum(k["flops"] for k in main) / facts["peak_flops_per_s"] * 1e6
    limit = sum(k["limit_us"] for k in main)
    if len(main) > 1 and case.flops:  # the transforms are not what was asked for
        limit = arithmetic = case.flops / facts["peak_flops_per_s"] * 1e6
    row["share"] = limit / row["kernel_us"]
    row["by_bytes"] = limit > arithmetic * 1.01
    if case.flops:
        row["gflops"] = case.flops / row["kernel_us"] * 1e-3
    else:
        row["gbytes"] = sum(k["bytes"] for k in main) / row["kernel_us"] * 1e-3
    return row


HEADER = f"{'kernel us':>10} {'call us':>10} {'rate':>13} {'share':>6} {'ort us':>10} {'ratio':>6}  shape"


def show(row):
    if "refused" in row:
        return f"{'refused':>10}  {row['group']}: {row['name']}: {row['refused'][:110]}"
    rate = f"{row['gflops']:6.1f} GFLOP/s" if "gflops" in row else f"{row['gbytes']:6.1f} GB/s   "
    peer = f"{row['ort_us']:10.2f} {row['ratio']:6.2f}" if "ort_us" in row else " " * 17
    wrong = f"  WRONG: {row['wrong']}" if row["wrong"] else ""
    bound = " by bytes" if row["by_bytes"] and "gflops" in row else ""
    return (f"{row['kernel_us']:10.2f} {row['call_us']:10.2f} {rate:>13} {row['share'] * 100:5.0f}% {peer}  "
            f"{row['name']}{bound}{wrong}")


def summary(rows):
    for group in dict.fromkeys(r["group"] for r in rows):
        shares = [r["share"] for r in rows if r["group"] == group and "share" in r]
        ratios = [r["ratio"] for r in rows if r["group"] == group and "ratio" in r]
        if not shares:
            continue
        text = f"{group}: {len(shares)} shapes, share of the limit {min(shares):.0%} at least, median " \
               f"{sorted(shares)[len(shares) // 2]:.0%}"
        if ratios:
            text += f"; {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f} times ONNX Runtime's speed " \
                    f"(geometric mean), {min(ratios):.2f} at least"
        yield text


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tenon", default="build/tenon")
    p.add_argument("--only", default="", help="groups or names that contain one of these texts")
    p.add_argument("--cpu", help="the artifact's processor, as haswell for AVX2 alone")
    p.add_argument("--no-peers", dest="peers", action="store_false")
    p.add_argument("--seconds", type=float, default=0.15, help="of timed runs an engine and shape")
    p.add_argument("--json", help="write the rows to this file")
    p.add_argument("--list", action="store_true", help="print the shapes and stop")
    options = p.parse_args()
    options.peers = options.peers and not options.cpu
    peers.use_processor_time()
    only = [t for t in options.only.split(",") if t]
    chosen = [c for c in cases() if not only or any(t in c.group or t in c.name for t in only)]
    if options.list:
        print("\n".join(f"{c.group}: {c.op} {c.name}" for c in chosen))
        return 0
    if not chosen:
        sys.exit(f"no shape has {options.only} in its name or group; --list shows them")
    rows, peak, burst = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for case in chosen:
            rows.append(measure(case, options, folder, peak, burst))
            print(f"  {case.group}: {case.name}", file=sys.stderr, flush=True)
    if not peak:
        sys.exit("nothing was measured: " + "; ".join(f"{r['name']}: {r['refused']}" for r in rows))
    best = sorted(peak)[len(peak) // 2]
    print(f"one core: {best * 1e-9:.1f} GFLOP/s float32 multiply-adds (median of {len(peak)} measurements, "
          f"{min(peak) * 1e-9:.1f} to {max(peak) * 1e-9:.1f}; from rest {max(burst) * 1e-9:.1f})"
          f"{', ' + options.cpu if options.cpu else ''}")
    for group in dict.fromkeys(r["group"] for r in rows):
        print(f"\n{group}\n{HEADER}")
        for row in rows:
            if row["group"] == group:
                print(show(row))
    print()
    print("\n".join(summary(rows)))
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"peak_flops_per_s": best, "burst_flops_per_s": max(burst), "cpu": options.cpu, "rows": rows}, file,
                      indent=1)
    return 1 if any(r.get("wrong") for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
