#!/usr/bin/env python3
"""Trains the digits network: 8x8 grey digits (UCI, as scikit-learn ships them), two convolutions and a linear layer.

    python3 train.py        writes digits.onnx and digits_test.h beside this file

Plain NumPy: forward, backward and Adam, a few seconds on one core.  The split is fixed by its seed: 1,347 digits to train on,
450 to test with; the test digits go into digits_test.h as bytes 0 to 16.  Needs numpy, scikit-learn and onnx.
"""
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = os.path.dirname(os.path.abspath(__file__))
random = np.random.default_rng(1)


def patches(x):
    """[n, c, h, w] -> [n, h, w, c * 9]: the 3x3 neighbourhood of every pixel, zeros outside."""
    n, c, h, w = x.shape
    p = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    cut = [p[:, :, i:i + h, j:j + w] for i in range(3) for j in range(3)]
    return np.stack(cut, 2).reshape(n, c * 9, h, w).transpose(0, 2, 3, 1)


def unpatches(g, shape):
    n, c, h, w = shape
    g = g.transpose(0, 3, 1, 2).reshape(n, c, 9, h, w)
    p = np.zeros((n, c, h + 2, w + 2), g.dtype)
    for k in range(9):
        p[:, :, k // 3:k // 3 + h, k % 3:k % 3 + w] += g[:, :, k]
    return p[:, :, 1:-1, 1:-1]


def conv(x, w, b):
    cols = patches(x)
    return (cols @ w.reshape(len(w), -1).T + b).transpose(0, 3, 1, 2), cols


def pool(x):
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
    out = blocks.max((3, 5))
    return out, blocks == out[:, :, :, None, :, None]


def unpool(g, mask):
    spread = mask * g[:, :, :, None, :, None]
    n, c, h, _, w, _ = mask.shape
    return spread.reshape(n, c, 2 * h, 2 * w)


def forward(p, x):
    a1, cols1 = conv(x, p["w1"], p["b1"])
    r1, m1 = pool(np.maximum(a1, 0))
    a2, cols2 = conv(r1, p["w2"], p["b2"])
    r2, m2 = pool(np.maximum(a2, 0))
    flat = r2.reshape(len(x), -1)
    return flat @ p["w3"] + p["b3"], (x, a1, cols1, r1, m1, a2, cols2, m2, flat)


def gradients(p, x, y):
    logits, (x, a1, cols1, r1, m1, a2, cols2, m2, flat) = forward(p, x)
    e = np.exp(logits - logits.max(1, keepdims=True))
    d = e / e.sum(1, keepdims=True)
    d[np.arange(len(y)), y] -= 1
    d /= len(y)
    g = {"w3": flat.T @ d, "b3": d.sum(0)}
    d2 = unpool((d @ p["w3"].T).reshape(m2.shape[0], m2.shape[1], m2.shape[2], m2.shape[4]), m2) * (a2 > 0)
    t2 = d2.transpose(0, 2, 3, 1)
    g["w2"] = np.einsum("nhwo,nhwk->ok", t2, cols2).reshape(p["w2"].shape)
    g["b2"] = t2.sum((0, 1, 2))
    back = unpatches(t2 @ p["w2"].reshape(len(p["w2"]), -1), r1.shape)
    t1 = (unpool(back, m1) * (a1 > 0)).transpose(0, 2, 3, 1)
    g["w1"] = np.einsum("nhwo,nhwk->ok", t1, cols1).reshape(p["w1"].shape)
    g["b1"] = t1.sum((0, 1, 2))
    return g


def shifted(x):
    """Each digit moved by up to one pixel: more kinds of the same digits."""
    p = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    dy, dx = random.integers(0, 3, 2)
    return p[:, :, dy:dy + 8, dx:dx + 8]


def main():
    digits = load_digits()
    images = digits.images.astype(np.float32)[:, None]
    train_x, test_x, train_y, test_y = train_test_split(images, digits.target, test_size=450, random_state=0,
                                                        stratify=digits.target)
    p = {"w1": random.normal(0, 0.4, (8, 1, 3, 3)), "b1": np.zeros(8),
         "w2": random.normal(0, 0.15, (16, 8, 3, 3)), "b2": np.zeros(16),
         "w3": random.normal(0, 0.1, (64, 10)), "b3": np.zeros(10)}
    p = {k: v.astype(np.float32) for k, v in p.items()}
    mean = {k: np.zeros_like(v) for k, v in p.items()}
    square = {k: np.zeros_like(v) for k, v in p.items()}
    step = 0
    for epoch in range(80):
        order = random.permutation(len(train_x))
        rate = 3e-3 * 0.5 * (1 + np.cos(np.pi * epoch / 80))
        for start in range(0, len(order), 64):
            batch = order[start:start + 64]
            x = train_x[batch] / 16
            g = gradients(p, shifted(x) if random.random() < 0.7 else x, train_y[batch])
            step += 1
            for k in p:
                mean[k] = 0.9 * mean[k] + 0.1 * g[k]
                square[k] = 0.999 * square[k] + 0.001 * g[k] ** 2
                p[k] -= (rate * (mean[k] / (1 - 0.9 ** step)) /
                         (np.sqrt(square[k] / (1 - 0.999 ** step)) + 1e-8)).astype(np.float32)
    right = int((forward(p, test_x / 16)[0].argmax(1) == test_y).sum())
    print(f"{right} of {len(test_y)} test digits right ({100 * right / len(test_y):.2f} %)")

    init = [numpy_helper.from_array(p[k].astype(np.float32), k) for k in p]
    init.append(numpy_helper.from_array(np.array(16, np.float32), "sixteen"))
    init.append(numpy_helper.from_array(np.array([1, 64], np.int64), "flat_shape"))
    node = helper.make_node
    nodes = [
        node("Div", ["image", "sixteen"], ["scaled"], "scale"),
        node("Conv", ["scaled", "w1", "b1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["a1"], "relu1"),
        node("MaxPool", ["a1"], ["p1"], "pool1", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p1", "w2", "b2"], ["c2"], "conv2", pads=[1, 1, 1, 1]),
        node("Relu", ["c2"], ["a2"], "relu2"),
        node("MaxPool", ["a2"], ["p2"], "pool2", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", ["p2", "flat_shape"], ["flat"], "flatten"),
        node("Gemm", ["flat", "w3", "b3"], ["scores"], "linear"),
    ]
    graph = helper.make_graph(nodes, "digits", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])],
                              [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])], init)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="tenon samples/digits")
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, f"{HERE}/digits.onnx")
    with open(f"{HERE}/digits_test.h", "w") as f:
        f.write("/* The test split of train.py: grey values 0 to 16, row by row, and what digit each is. */\n")
        f.write(f"#define DIGITS_TEST_COUNT {len(test_y)}\n")
        f.write("static const unsigned char digits_test_label[DIGITS_TEST_COUNT] = {\n")
        labels = [str(v) for v in test_y]
        for i in range(0, len(labels), 40):
            f.write("    " + ",".join(labels[i:i + 40]) + ",\n")
        f.write("};\nstatic const unsigned char digits_test_image[DIGITS_TEST_COUNT][64] = {\n")
        for image in test_x:
            f.write("    {" + ",".join(str(int(v)) for v in image.reshape(-1)) + "},\n")
        f.write("};\n")


if __name__ == "__main__":
    main()
