#!/usr/bin/env python3
"""Tenon against ONNX Runtime, OpenVINO and XNNPACK (by LiteRT): the same models, inputs and number of threads, runs
interleaved, medians, ratios.  With several threads each engine starts when the threads of the one before sleep.

    bench/compare.py --models DIR [--big DIR] [--tenon build/tenon] [--threads 1,2] [--peers onnxruntime,openvino,litert]
                     [--kernels] [--json FILE] [--report docs/performance.md] [--html FILE]

DIR holds NAME/model.onnx and NAME/io/input_N.npy; --big names the folders of big architectures (make_models.py).  A
ratio above 1 means that Tenon is faster.  ONNX Runtime counts with the best of its optimization levels.  Before a
model is timed, Tenon's results are held against ONNX Runtime's from the same inputs.  --kernels runs kernels.py too,
for this processor and for AVX2.  --report writes a page with tables and, beside it, a plot as .svg; --from FILE makes
the report from an earlier --json instead of measuring.

--clock cpu counts processor time, so that what else runs on a busy machine is left out; for one thread only.

Needs NumPy, onnx and onnxruntime from PyPI; openvino and ai-edge-litert are compared with where they are installed,
and named where they are not.  A model that Tenon or a peer does not take is listed with the reason.
"""
import argparse
import glob
import json
import os
import platform
import subprocess
import sys
import tempfile

import numpy as np
import onnx

import peers
import report

QUANTIZED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger",
             "QLinearConv", "QLinearMatMul", "MatMulNBits"}


def kind_of(path):
    """"quantized", "half" or "float"."""
    model = onnx.load(path, load_external_data=False)
    ops, types = set(), {t.data_type for t in model.graph.initializer}
    graphs = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        for node in graph.node:
            ops.add(node.op_type)
            graphs += [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    if ops & QUANTIZED:
        return "quantized"
    return "half" if onnx.TensorProto.FLOAT16 in types else "float"


def tolerance(kind, expected):
    """A share of each output's largest value: float sums differ by their order, quantized ones by a step."""
    share = {"float": 2e-3, "half": 2e-2, "quantized": 6e-2}[kind]
    largest = max((float(np.abs(a[np.isfinite(a)]).max(initial=0)) for a in expected.values()
                   if isinstance(a, np.ndarray) and a.dtype.kind == "f"), default=0)
    return share, share * largest


def make(kind, path, named, expected, threads, options):
    """The engines of one name, or the reason why there is none: ONNX Runtime has one a level."""
    try:
        if kind == "onnxruntime":
            return [peers.OnnxRuntime(path, named, expected, threads, level) for level in peers.ORT_LEVELS], None
        return [{"openvino": peers.OpenVino, "litert": peers.LiteRt}[kind](path, named, threads)], None
    except ImportError as error:
        return [], f"not installed: {error}"
    except peers.Refused as error:
        return [], str(error)


def compare(folder, threads, options):
    path = f"{folder}/model.onnx"
    row = {"kind": kind_of(path), "refused": {}, "wrong": {}}
    try:
        named = peers.read_model(folder)
        ours = peers.Tenon(path, named, threads, options.tenon)
    except peers.Refused as error:
        row["refused"]["tenon"] = str(error)
        return row
    row["compile_s"], row["cached_s"] = ours.compile_seconds, ours.cached_seconds
    row["weight_bytes"] = ours.weight_bytes
    try:
        expected = peers.ort_results(path, named)
    except peers.Refused as error:
        row["refused"]["onnxruntime"] = str(error)
        return row
    engines = [ours]
    for kind in options.peers:
        made, why = make(kind, path, named, expected, threads, options)
        engines += made
        if why:
            row["refused"][kind] = why
    times = peers.interleave(engines, options.rounds, options.seconds, threads)
    for engine, seconds in zip(engines, times):
        row[f"{engine.name}_us"] = min(seconds * 1e6, row.get(f"{engine.name}_us", float("inf")))
    rtol, atol = tolerance(row["kind"], expected)
    arrays = {n: a for n, a in expected.items() if isinstance(a, np.ndarray)}
    wrong = peers.difference(ours.results(), arrays, rtol, atol)
    if wrong:
        row["wrong"]["tenon"] = wrong
    for kind in options.peers:
        if f"{kind}_us" in row:
            row[f"{kind}_ratio"] = row[f"{kind}_us"] / row["tenon_us"]
    return row


def line(name, row, kinds):
    cells = [f"{name:30}"]
    if "tenon_us" not in row:
        who, why = next(iter(row["refused"].items()))
        return f"{cells[0]} {who}: {why[:120]}"
    cells.append(f"{row['tenon_us']:11.2f}")
    for kind in kinds:
        cells.append(f"{row[f'{kind}_us']:11.2f} {row[f'{kind}_ratio']:6.2f}" if f"{kind}_us" in row else
                     f"{'-':>11} {'-':>6}")
    cells.append(f"{row['compile_s']:7.2f}")
    cells += [f"DIFFERS: {why[:80]}" for why in row["wrong"].values()]
    return " ".join(cells)


def run_kernels(options, cpu):
    with tempfile.TemporaryDirectory() as temp:
        command = [sys.executable, f"{peers.HERE}/kernels.py", "--tenon", options.tenon, "--json", f"{temp}/k.json"]
        done = subprocess.run(command + ([f"--cpu={cpu}"] if cpu else []), stdout=subprocess.DEVNULL)
        if done.returncode not in (0, 1):
            sys.exit(f"kernels.py failed with {done.returncode}")
        with open(f"{temp}/k.json") as file:
            return json.load(file)


def measure(options):
    data = {"machine": report.machine(), "python": platform.python_version(), "versions": peers.versions(),
            "clock": options.clock, "peers": options.peers, "runs": {}, "kernels": {}}
    for threads in options.threads:
        rows = data["runs"][str(threads)] = {}
        for group, directory in (("models", options.models), ("big", options.big)):
            if not directory:
                continue
            print(f"\n{directory}, {threads} thread{'s' if threads > 1 else ''}\n{'model':30} {'tenon us':>11} " +
                  " ".join(f"{k + ' us':>11} {'ratio':>6}"[-18:] for k in options.peers) + f" {'compile':>7}")
            for path in sorted(glob.glob(f"{directory}/*/model.onnx")):
                folder = os.path.dirname(path)
                name = os.path.basename(folder)
                if options.only and not any(t in name for t in options.only):
                    continue
                try:
                    row = compare(folder, threads, options)
                except Exception as error:  # what a peer's library throws is a finding about this model
                    row = {"kind": "float", "wrong": {}, "refused": {"benchmark": peers.first_line(error)}}
                rows[name] = {"group": group, **row}
                print(line(name, row, options.peers), flush=True)
                save(options, data)
    if options.kernels:
        for cpu in (None, "haswell"):
            data["kernels"][cpu or "native"] = run_kernels(options, cpu)
            save(options, data)
    return data


def save(options, data):
    if options.json:
        with open(options.json, "w") as file:
            json.dump(data, file, indent=1)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tenon", default="build/tenon")
    p.add_argument("--models", help="a folder of models")
    p.add_argument("--big", help="a folder of big architectures")
    p.add_argument("--only", default="", help="models whose name has one of these texts")
    p.add_argument("--threads", default="1", help="a list, as 1,2")
    p.add_argument("--peers", default="onnxruntime,openvino,litert")
    p.add_argument("--seconds", type=float, default=0.5, help="of timed runs an engine and model")
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    p.add_argument("--kernels", action="store_true")
    p.add_argument("--json")
    p.add_argument("--report")
    p.add_argument("--html")
    p.add_argument("--from", dest="source", action="append", help="report on this file; several are joined")
    options = p.parse_args()
    options.threads = [int(t) for t in options.threads.split(",")]
    options.peers = [t for t in options.peers.split(",") if t]
    options.only = [t for t in options.only.split(",") if t]
    if unknown := set(options.peers) - {"onnxruntime", "openvino", "litert"}:
        sys.exit(f"no such peer: {', '.join(sorted(unknown))}; there are onnxruntime, openvino, litert")
    if options.clock == "cpu":
        if options.threads != [1]:
            sys.exit("--clock cpu is for --threads 1: it would add up the threads' time")
        peers.use_processor_time()
    if options.source:
        data = report.joined(options.source)
    elif options.models or options.big:
        data = measure(options)
    else:
        sys.exit("give --models DIR, --big DIR or --from FILE")
    print()
    print("\n".join(report.bars(data)))
    if options.report:
        report.write_markdown(data, options.report)
    if options.html:
        report.write_html(data, options.html)
    return 1 if any(r["wrong"] for rows in data["runs"].values() for r in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
