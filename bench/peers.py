"""The engines that the benchmarks time, behind one interface: an engine is made of a model file and its inputs by
name, `seconds(count)` is what `count` runs take, `results()` the outputs by name.  `Refused` says why an engine does
not take a model.

Tenon and ONNX Runtime are called from C (loop.c), with inputs and outputs in place; OpenVINO and LiteRT from Python,
whose share of a call, a few microseconds, counts for models of under a tenth of a millisecond.
"""
import ctypes
import functools
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx

HERE = os.path.dirname(os.path.abspath(__file__))
P = ctypes.c_void_p


# What runs are timed with.  use_processor_time() leaves out what else runs on a busy machine; it is right for one
# thread alone, where nothing waits.
CLOCK = time.perf_counter


def use_processor_time():
    global CLOCK
    CLOCK = time.process_time


class Refused(Exception):
    pass


def first_line(error):
    """The first line that says something: without the engine's own source file, and without the model's."""
    dull = ("Exception from ", "Check '")
    lines = [t for t in str(error).strip().splitlines() if t.strip() and not t.startswith(dull)]
    return (lines or [type(error).__name__])[0].rpartition(": error: ")[2][:200]


@functools.cache
def loop():
    """loop.c, built."""
    with tempfile.TemporaryDirectory() as temp:
        path = f"{temp}/loop.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-pthread", f"{HERE}/loop.c",
                        f"{HERE}/../runtime/tenon_threads.c", "-o", path], check=True)
        library = ctypes.CDLL(path)
    library.bench_tenon.restype = library.bench_onnxruntime.restype = ctypes.c_double
    library.tenon_threads_create.restype = P
    library.bench_fact.restype = library.bench_bytes.restype = ctypes.c_int64
    library.bench_name.restype = ctypes.c_char_p
    return library


@functools.cache
def pool(threads):
    return P(loop().tenon_threads_create(threads))


def aligned(size):
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + size]


def pointers(items):
    return (P * max(1, len(items)))(*items)


def read_model(folder):
    """NAME -> array of a model folder's inputs, in the graph's order."""
    graph = onnx.load(f"{folder}/model.onnx", load_external_data=False).graph
    constant = {t.name for t in graph.initializer}
    named = {}
    for k, value in enumerate(v for v in graph.input if v.name not in constant):
        path = f"{folder}/io/input_{k}.npy"
        if not os.path.exists(path):
            raise Refused(f"no io/input_{k}.npy")
        named[value.name] = np.load(path)
    return named


# ---- Tenon ---------------------------------------------------------------------------------------------------------

def shape_options(named):
    return [f"--shape={name}=" + "x".join(map(str, array.shape)) for name, array in named.items() if array.ndim]


class Tenon:
    name = "tenon"

    def __init__(self, path, named, threads=1, tenon="build/tenon", options=()):
        with tempfile.TemporaryDirectory() as temp:
            out = f"{temp}/bench.so"
            command = [tenon, "compile", path, "--name=bench", f"--threads={threads}", f"--cache={temp}/cache", *options,
                       *shape_options(named)]
            # an object with an empty cache and from it; then what can be loaded
            as_object = [*command, "-o", f"{temp}/bench.o"]
            self.compile_seconds, self.cached_seconds = self.compile(as_object), self.compile(as_object)
            self.compile([*command, "-o", out])
            self.loaded = ctypes.CDLL(out)
        self.model = P(ctypes.addressof(ctypes.c_char.in_dll(self.loaded, "bench_model")))
        version, arena_bytes, self.weight_bytes, inputs, outputs = (loop().bench_fact(self.model, i) for i in range(5))
        if version:
            raise Refused("the artifact's descriptor is not of the version of runtime/tenon.h")
        self.inputs = []
        for i in range(inputs):
            name, size = self.tensor(0, i)
            data = named[name].tobytes()
            if len(data) != size:
                raise Refused(f"input '{name}' has {len(data)} bytes, the artifact takes {size}")
            buffer = aligned(size)
            buffer[:] = np.frombuffer(data, np.uint8)
            self.inputs.append(buffer)
        self.outputs = {name: aligned(size) for name, size in (self.tensor(1, i) for i in range(outputs))}
        self.arena = aligned(arena_bytes)
        self.args = (self.model, pointers([b.ctypes.data for b in self.inputs]),
                     pointers([b.ctypes.data for b in self.outputs.values()]), P(self.arena.ctypes.data),
                     pool(threads) if threads > 1 else None)

    @staticmethod
    def compile(command):
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Refused(first_line(done.stderr))
        return time.perf_counter() - start

    def tensor(self, output, i):
        return loop().bench_name(self.model, output, i).decode(), loop().bench_bytes(self.model, output, i)

    def seconds(self, count):
        took = loop().bench_tenon(*self.args, ctypes.c_int64(count), ctypes.c_int(CLOCK is time.process_time))
        if took < 0:
            raise Refused("the compiled model's run function failed")
        return took

    def results(self):
        """Bytes by name: the peer's results say what they are."""
        return self.outputs


# ---- ONNX Runtime --------------------------------------------------------------------------------------------------

# Entries of OrtApi, whose order never changes.
ORT = {"GetErrorMessage": 2, "CreateEnv": 3, "CreateSession": 7, "Run": 9, "CreateSessionOptions": 10,
       "SetSessionLogSeverityLevel": 22, "SetSessionGraphOptimizationLevel": 23, "SetIntraOpNumThreads": 24,
       "CreateTensorWithDataAsOrtValue": 49, "CreateCpuMemoryInfo": 69}
ORT_LEVELS = {"full": 99, "extended": 2, "basic": 1}
ORT_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9,
             "float16": 10, "float64": 11, "uint32": 12, "uint64": 13}


@functools.cache
def ort_api():
    import glob

    import onnxruntime
    (path,) = glob.glob(f"{os.path.dirname(onnxruntime.__file__)}/capi/libonnxruntime.so*")
    base = ctypes.CDLL(path).OrtGetApiBase
    base.restype = ctypes.POINTER(P)
    get = ctypes.CFUNCTYPE(P, ctypes.c_uint32)(base()[0])
    table = ctypes.cast(get(1), ctypes.POINTER(P))
    return {name: table[i] for name, i in ORT.items()}


def ort_call(entry, *args):
    status = ctypes.CFUNCTYPE(P, *[type(a) for a in args])(ort_api()[entry])(*args)
    if status:
        text = ctypes.CFUNCTYPE(ctypes.c_char_p, P)(ort_api()["GetErrorMessage"])(P(status))
        raise Refused(first_line(text.decode()))


def ort_make(entry, *args):
    made = P()
    ort_call(entry, *args, ctypes.pointer(made))
    return made


@functools.cache
def ort_env():
    return ort_make("CreateEnv", ctypes.c_int(4), ctypes.c_char_p(b"bench"))


def ort_results(path, named):
    """One run from Python: the outputs by name, for their values and shapes."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [o.name for o in session.get_outputs()]
        return dict(zip(names, session.run(names, named)))
    except Exception as error:
        raise Refused(first_line(error)) from error


class OnnxRuntime:
    """One optimization level.  `expected`: ort_results of the same inputs, which gives the outputs' shapes."""
    name = "onnxruntime"

    def __init__(self, path, named, expected, threads=1, level="full"):
        if any(not isinstance(a, np.ndarray) or str(a.dtype) not in ORT_TYPES for a in expected.values()):
            raise Refused("an output is not a tensor of numbers")
        options = ort_make("CreateSessionOptions")
        ort_call("SetSessionLogSeverityLevel", options, ctypes.c_int(4))
        ort_call("SetSessionGraphOptimizationLevel", options, ctypes.c_int(ORT_LEVELS[level]))
        ort_call("SetIntraOpNumThreads", options, ctypes.c_int(threads))
        self.session = ort_make("CreateSession", ort_env(), ctypes.c_char_p(path.encode()), options)
        self.memory = ort_make("CreateCpuMemoryInfo", ctypes.c_int(1), ctypes.c_int(0))
        self.arrays = {n: np.ascontiguousarray(a) for n, a in named.items()}
        self.outputs = {n: np.zeros_like(a) for n, a in expected.items()}
        names = lambda d: (ctypes.c_char_p * max(1, len(d)))(*[n.encode() for n in d])
        self.args = (P(ort_api()["Run"]), self.session, names(self.arrays), self.values(self.arrays),
                     ctypes.c_size_t(len(self.arrays)), names(self.outputs), self.values(self.outputs),
                     ctypes.c_size_t(len(self.outputs)))

    def values(self, arrays):
        made = []
        for a in arrays.values():
            dims = (ctypes.c_int64 * max(1, a.ndim))(*a.shape)
            made.append(ort_make("CreateTensorWithDataAsOrtValue", self.memory, P(a.ctypes.data),
                                 ctypes.c_size_t(a.nbytes), dims, ctypes.c_size_t(a.ndim),
                                 ctypes.c_int(ORT_TYPES[str(a.dtype)])).value)
        return pointers(made)

    def seconds(self, count):
        took = loop().bench_onnxruntime(*self.args, ctypes.c_int64(count), ctypes.c_int(CLOCK is time.process_time))
        if took < 0:
            raise Refused("ONNX Runtime's Run failed")
        return took

    def results(self):
        return self.outputs


# ---- OpenVINO, LiteRT ----------------------------------------------------------------------------------------------

def timed(run, count):
    start = CLOCK()
    for _ in range(count):
        run()
    return CLOCK() - start


class OpenVino:
    name = "openvino"

    def __init__(self, path, named, threads=1):
        try:
            import openvino
            core = openvino.Core()
            model = core.read_model(path)
            by_name = {n: i for i in model.inputs for n in i.get_names()}
            if set(named) - set(by_name):
                raise Refused(f"its reader dropped input '{sorted(set(named) - set(by_name))[0]}'")
            model.reshape({by_name[n]: openvino.PartialShape(list(a.shape)) for n, a in named.items()})
            # float32 arithmetic, as the others do; the default on some machines is bfloat16
            compiled = core.compile_model(model, "CPU", {
                "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32",
                "ENABLE_CPU_PINNING": False})
            self.request = compiled.create_infer_request()
            self.arrays = {n: np.ascontiguousarray(a) for n, a in named.items()}
            for n, a in self.arrays.items():
                self.request.set_tensor(n, openvino.Tensor(a, shared_memory=True))
            self.request.infer()
            self.ports = compiled.outputs
        except Refused:
            raise
        except Exception as error:
            raise Refused(first_line(error)) from error

    def seconds(self, count):
        return timed(self.request.infer, count)

    def results(self):
        return {n: self.request.get_tensor(p).data for p in self.ports for n in p.get_names()}


class LiteRt:
    """LiteRT with XNNPACK, which it uses for float models by itself.  The model is model.tflite beside model.onnx."""
    name = "litert"

    def __init__(self, path, named, threads=1):
        lite = os.path.splitext(path)[0] + ".tflite"
        if not os.path.exists(lite):
            raise Refused("no .tflite of it (make_models.py --tflite writes them for PyTorch's models)")
        from ai_edge_litert.interpreter import Interpreter
        try:
            self.interpreter = Interpreter(model_path=lite, num_threads=threads)
            self.interpreter.allocate_tensors()
            details = self.interpreter.get_input_details()
            for detail, array in zip(details, named.values()):
                self.interpreter.set_tensor(detail["index"], array.astype(detail["dtype"]))
            self.interpreter.invoke()
        except Exception as error:
            raise Refused(first_line(error)) from error

    def seconds(self, count):
        return timed(self.interpreter.invoke, count)

    def results(self):
        """In the order of the outputs; a converter gives them names of its own."""
        return {i: self.interpreter.get_tensor(d["index"])
                for i, d in enumerate(self.interpreter.get_output_details())}


# ---- timing and checking -------------------------------------------------------------------------------------------

def difference(results, expected, rtol, atol):
    """None when Tenon's results agree with a peer's, else the first that does not, in words."""
    for name, want in expected.items():
        if name not in results:
            return f"no output '{name}'"
        got = np.frombuffer(results[name].tobytes()[:want.nbytes], want.dtype).reshape(want.shape)
        with np.errstate(all="ignore"):
            close = np.isclose(got.astype(np.float64), want.astype(np.float64), rtol=rtol, atol=atol, equal_nan=True)
        if not close.all():
            worst = np.abs(got.astype(np.float64) - want.astype(np.float64)).max()
            return f"output '{name}': {np.count_nonzero(~close)} of {close.size} differ, by {worst:.3g} at most"
    return None


def median(values):
    return sorted(values)[len(values) // 2]


# After its last run ONNX Runtime's pool of threads keeps the other cores busy for 30 ms, Tenon's and OpenVINO's for one
# or two.  With several threads an engine starts when those of the one before it sleep, and wakes its own untimed.
PAUSE, WARM_UP = 0.06, 0.01


def settle(engine, once):
    time.sleep(PAUSE)
    engine.seconds(max(1, int(WARM_UP / once)))


def interleave(engines, rounds, seconds, threads=1, choose=median):
    """Seconds a run of each engine, chosen of `rounds` rounds: each engine in turn for about seconds / rounds."""
    counts, each = [], []
    for e in engines:
        e.seconds(1)
        each.append(max(min(e.seconds(1), e.seconds(1)), 1e-7))
        counts.append(max(1, min(20000, int(seconds / rounds / each[-1]))))
    times = [[] for _ in engines]
    for _ in range(rounds):
        for e, once, count, list_ in zip(engines, each, counts, times):
            if threads > 1:
                settle(e, once)
            list_.append(e.seconds(count) / count)
    return [choose(t) for t in times]


def versions():
    found = {}
    for module in ("onnxruntime", "openvino", "ai_edge_litert"):
        try:
            found[module] = __import__(module).__version__.split("-")[0]
        except Exception:
            found[module] = None
    return found


if __name__ == "__main__":
    sys.exit("peers.py is the benchmarks' library: run compare.py or kernels.py")
