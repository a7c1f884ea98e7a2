"""What compare.py measured, as a page: tables, the bars that the project sets itself, a plot.  Input is compare.py's
--json."""
import html
import json
import math
import os


def machine():
    """The processor's family by what it can do, the cores, the memory."""
    flags, model = set(), "unknown processor"
    try:
        with open("/proc/cpuinfo") as file:
            for text in file:
                if text.startswith("flags"):
                    flags = set(text.split(":", 1)[1].split())
                if text.startswith("vendor_id"):
                    model = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD"}.get(text.split(":", 1)[1].strip(), "other")
    except OSError:
        pass
    widest = next((n for f, n in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if f in flags), "no AVX2")
    return f"{model} server core with {widest}{' and AMX' if 'amx_tile' in flags else ''}, " \
           f"{os.cpu_count()} cores in a virtual machine"


def joined(paths):
    """Several results as one: later files add to and replace what earlier ones have."""
    data = None
    for path in paths:
        with open(path) as file:
            more = json.load(file)
        if "rows" in more:  # of kernels.py
            more = {"kernels": {more["cpu"] or "native": more}}
        if data is None:
            data = {"runs": {}, "kernels": {}, "clocks": {}}
        for threads, rows in more.get("runs", {}).items():
            data["runs"].setdefault(threads, {}).update(rows)
            data["clocks"][threads] = more["clock"]
        data["kernels"].update(more.get("kernels", {}))
        for key in ("machine", "versions", "clock", "peers"):
            if key in more:
                data[key] = more[key]
    return data


def mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def rows_of(data, threads, group=None):
    return {n: r for n, r in data["runs"].get(threads, {}).items() if not group or r["group"] == group}


def ratios_of(rows, peer="onnxruntime", kinds=("float", "half")):
    return {n: r[f"{peer}_ratio"] for n, r in rows.items() if f"{peer}_ratio" in r and r["kind"] in kinds}


def verdict(good):
    return "met" if good else "NOT met"


def shares(data, cpu, group):
    found = data["kernels"].get(cpu, {}).get("rows", [])
    return {r["name"]: r["share"] for r in found if r["group"] == group and "share" in r}


def share_bar(data, cpu, group, least):
    s = shares(data, cpu, group)
    if not s:
        return "not measured in this run"
    name = min(s, key=s.get)
    return f"{verdict(s[name] >= least)}: {s[name]:.0%} at least ({name}), " \
           f"{sum(v >= least for v in s.values())} of {len(s)} reach {least:.0%}"


def speed_bar(ratios, least_mean, least_part=0, least=0):
    if not ratios:
        return "not measured in this run"
    average, part = mean(ratios.values()), sum(r > 1 for r in ratios.values()) / len(ratios)
    low = sorted(n for n, r in ratios.items() if r < least)
    good = average >= least_mean and part >= least_part and not low
    text = f"{verdict(good)}: geometric mean {average:.2f} over {len(ratios)} models, {part:.0%} faster, lowest " \
           f"{min(ratios.values()):.2f}"
    return text + (f"; under {least}: {', '.join(low)}" if low else "")


def bars(data):
    """A line a bar."""
    one = rows_of(data, "1")
    models, big = ratios_of(rows_of(data, "1", "models")), ratios_of(rows_of(data, "1", "big"))
    two = ratios_of(rows_of(data, "2"))
    under = lambda kinds: {n: r for n, r in ratios_of(one, kinds=kinds).items() if one[n]["onnxruntime_us"] < 200}
    small, quantized = under(("float", "half")), under(("quantized",))
    compiled = {n: r["compile_s"] for n, r in one.items() if "compile_s" in r}
    yield "1. products of 256, 512, 1024, at least 85 % of the peak: " + share_bar(data, "native", "products, square", .85)
    yield "1. convolutions of ResNet-50, at least 75 %: " + share_bar(data, "native", "ResNet-50", .75)
    yield "1. convolutions of VGG-19, at least 75 %: " + share_bar(data, "native", "VGG-19", .75)
    yield "2. one thread, float models, mean 1.3, 80 % faster, none under 0.7: " + speed_bar(models, 1.3, .8, .7)
    yield "2. one thread, big architectures, mean 1.0: " + speed_bar(big, 1.0)
    yield "3. two threads, all of them, mean 1.2: " + speed_bar(two, 1.2)
    yield "4. ONNX Runtime under 0.2 ms, 4 times: " + speed_bar(small, 4) + (
        f" (and {len(quantized)} quantized ones, {mean(quantized.values()):.2f})" if quantized else "")
    yield "5. AVX2 alone, the products at 75 % of its peak: " + share_bar(data, "haswell", "products, square", .75)
    cached = {n: r["cached_s"] for n, r in one.items() if "cached_s" in r}
    for title, times, limit in (("cold, under 10 s", compiled, 10), ("from the cache, under 0.1 s", cached, 0.1)):
        if times:
            slow = sorted((n for n in times if times[n] >= limit), key=times.get, reverse=True)
            yield f"6. every model compiles {title}: {verdict(not slow)}: {len(times)} models, median " \
                  f"{sorted(times.values())[len(times) // 2]:.2f} s, most {max(times.values()):.2f} s" + \
                  (f"; {len(slow)} slower: {', '.join(slow[:8])}" if slow else "")
    wrong = sorted({n for rows in data["runs"].values() for n, r in rows.items() if r["wrong"]})
    yield f"results that differ from ONNX Runtime's: {', '.join(wrong) or 'none'}"


# ---- the plot ------------------------------------------------------------------------------------------------------

COLOURS = {"onnxruntime": "#2f6db5", "openvino": "#7a4fb0", "litert": "#c7702e"}
NAMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "litert": "LiteRT (XNNPACK)"}


def plot(data, threads="1"):
    """A row a model, a dot a peer, at Tenon's speed over the peer's, on a logarithmic axis."""
    rows = {n: r for n, r in rows_of(data, threads).items() if "onnxruntime_ratio" in r}
    order = sorted(rows, key=lambda n: rows[n]["onnxruntime_ratio"])
    left, right, step, top = 190, 30, 13, 46
    width, height = 860, top + step * len(order) + 34
    low, high = math.log10(0.2), math.log10(100)

    def x(ratio):
        return left + (width - left - right) * (min(max(math.log10(ratio), low), high) - low) / (high - low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
           f'height="{height}" font-family="sans-serif" font-size="10">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="10" y="18" font-size="14">Tenon\'s speed over the peer\'s, {threads} '
           f'thread{"s" if threads != "1" else ""}: right of 1 is faster</text>']
    for k, peer in enumerate(p for p in data["peers"] if any(f"{p}_ratio" in r for r in rows.values())):
        out.append(f'<circle cx="{left + 150 * k}" cy="31" r="4" fill="{COLOURS[peer]}"/>'
                   f'<text x="{left + 8 + 150 * k}" y="35">{NAMES[peer]}</text>')
    for mark in (.2, .5, 1, 2, 5, 10, 20, 50, 100):
        stroke = "#333" if mark == 1 else "#ddd"
        out.append(f'<line x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{top}" y2="{height - 24}" stroke="{stroke}"/>'
                   f'<text x="{x(mark):.1f}" y="{height - 10}" text-anchor="middle">{mark:g}</text>')
    for k, name in enumerate(order):
        y = top + step * k + 8
        out.append(f'<text x="{left - 8}" y="{y + 3}" text-anchor="end">{html.escape(name)}</text>')
        for peer in reversed(data["peers"]):
            if f"{peer}_ratio" in rows[name]:
                out.append(f'<circle cx="{x(rows[name][f"{peer}_ratio"]):.1f}" cy="{y}" r="3.5" '
                           f'fill="{COLOURS[peer]}" fill-opacity="0.8"/>')
    return "\n".join(out + ["</svg>"]) + "\n"


# ---- tables --------------------------------------------------------------------------------------------------------

def milliseconds(us):
    return f"{us / 1e3:.4f}" if us < 1e4 else f"{us / 1e3:.2f}"


def model_table(data, threads, group):
    """(header, rows) of cells; slowest against ONNX Runtime first."""
    rows = rows_of(data, threads, group)
    timed = [n for n in rows if "tenon_us" in rows[n]]
    timed.sort(key=lambda n: rows[n].get("onnxruntime_ratio", 0))
    kinds = [p for p in data["peers"] if any(f"{p}_us" in rows[n] for n in timed)]
    head = ["model", "kind", "Tenon ms"] + [c for p in kinds for c in (f"{NAMES[p]} ms", "ratio")] + ["compile s"]
    body = []
    for n in timed:
        r = rows[n]
        cells = [n, r["kind"], milliseconds(r["tenon_us"])]
        for p in kinds:
            cells += [milliseconds(r[f"{p}_us"]), f"{r[f'{p}_ratio']:.2f}"] if f"{p}_us" in r else ["-", "-"]
        body.append(cells + [f"{r['compile_s']:.2f}"])
    return head, body


def means(data, threads):
    """A row a group and peer: geometric mean, share faster, lowest."""
    head = ["group", "peer", "models", "geometric mean", "faster", "lowest"]
    body, everything = [], rows_of(data, threads)
    groups = (("float models", "models", ("float", "half")), ("quantized models", "models", ("quantized",)),
              ("big architectures", "big", ("float", "half")))
    for peer in data["peers"]:
        for title, group, kinds in groups:
            found = list(ratios_of(rows_of(data, threads, group), peer, kinds).values())
            if found:
                body.append([title, NAMES[peer], str(len(found)), f"{mean(found):.2f}",
                             f"{sum(r > 1 for r in found)}", f"{min(found):.2f}"])
        tiny = [r[f"{peer}_ratio"] for r in everything.values() if f"{peer}_ratio" in r and r[f"{peer}_us"] < 200]
        if tiny:
            body.append(["under 0.2 ms there", NAMES[peer], str(len(tiny)), f"{mean(tiny):.2f}",
                         f"{sum(r > 1 for r in tiny)}", f"{min(tiny):.2f}"])
    return head, body


def kernel_table(data, cpu):
    found = data["kernels"].get(cpu, {}).get("rows", [])
    head = ["shapes", "number", "least share of the limit", "median share", "ONNX Runtime, geometric mean", "lowest"]
    body = []
    for group in dict.fromkeys(r["group"] for r in found):
        s = sorted(r["share"] for r in found if r["group"] == group and "share" in r)
        ratios = [r["ratio"] for r in found if r["group"] == group and "ratio" in r]
        if s:
            body.append([group, str(len(s)), f"{s[0]:.0%}", f"{s[len(s) // 2]:.0%}"] +
                        ([f"{mean(ratios):.2f}", f"{min(ratios):.2f}"] if ratios else ["-", "-"]))
    return head, body


def kernel_rows(data, cpu):
    head = ["group", "shape", "us", "rate", "share of the limit", "call us", "ONNX Runtime us", "ratio"]
    body = []
    for r in data["kernels"].get(cpu, {}).get("rows", []):
        if "share" not in r:
            continue
        rate = f"{r['gflops']:.1f} GFLOP/s" if "gflops" in r else f"{r['gbytes']:.1f} GB/s"
        body.append([r["group"], r["name"], f"{r['kernel_us']:.2f}", rate,
                     f"{r['share']:.0%}{' (bytes)' if r['by_bytes'] else ''}", f"{r['call_us']:.2f}",
                     *([f"{r['ort_us']:.2f}", f"{r['ratio']:.2f}"] if "ratio" in r else ["-", "-"])])
    return head, body


def refusals(data):
    """name -> who: why, of one thread's run."""
    for name, row in sorted(rows_of(data, "1").items()):
        for who, why in row["refused"].items():
            if who != "litert":
                yield name, who, why


def markdown(table):
    head, body = table
    text = len(head) and [i for i, cell in enumerate(head) if cell in ("model", "kind", "group", "peer", "shapes",
                                                                       "shape", "who", "why")]
    yield "| " + " | ".join(head) + " |"
    yield "| " + " | ".join("---" if i in text else "---:" for i in range(len(head))) + " |"
    for cells in body:
        yield "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def clock_words(data, threads):
    return "processor time" if data.get("clocks", {}).get(threads, data["clock"]) == "cpu" else "wall time"


def preface(data):
    versions = ", ".join(f"{n} {v}" for n, v in data["versions"].items() if v)
    return (f"Measured on: {data['machine']}. Peers: {versions}. The same model, inputs and number of threads; engines "
            "take turns, and a model's time is the median of the rounds. With several threads an engine starts when those "
            "of the one before it sleep (ONNX Runtime's spin for 30 ms), and wakes its own untimed. ONNX Runtime counts "
            "with the best of its optimization levels. Tenon and ONNX Runtime are called from C with their outputs in place; OpenVINO and "
            "LiteRT from Python, whose share of a call, some microseconds, counts for the smallest models. OpenVINO is "
            "held to float32. A ratio above 1 means that Tenon is faster.")


def write_markdown(data, path):
    """The page without its words of judgement: those stand between the markers `<!-- words -->` and are kept."""
    words = ""
    if os.path.exists(path):
        with open(path) as file:
            old = file.read()
        if "<!-- words -->" in old:
            words = old.split("<!-- words -->")[1].strip("\n")
    picture = os.path.splitext(os.path.basename(path))[0] + ".svg"
    out = ["# Performance", "", preface(data), "", "<!-- words -->", words, "<!-- words -->", "", "## Bars", ""]
    out += [f"* {b}" for b in bars(data)]
    out += ["", f"![Tenon's speed over each peer's, by model]({picture})", ""]
    for threads in sorted(data["runs"]):
        plural = "s" if threads != "1" else ""
        out += [f"## {threads} thread{plural}, {clock_words(data, threads)}", "", *markdown(means(data, threads)), ""]
        for title, group in (("Big architectures", "big"), ("Models", "models")):
            table = model_table(data, threads, group)
            if table[1]:
                out += [f"### {title}, {threads} thread{plural}", "", *markdown(table), ""]
    for cpu, title in (("native", "Kernels"), ("haswell", "Kernels with AVX2 alone")):
        table = kernel_table(data, cpu)
        if table[1]:
            peak = data["kernels"][cpu]["peak_flops_per_s"] * 1e-9
            burst = data["kernels"][cpu]["burst_flops_per_s"] * 1e-9
            out += [f"## {title}", "",
                    f"One core's peak between the passes of this run: {peak:.0f} GFLOP/s float32 multiply-adds, {burst:.0f} from "
                    "rest. `bench/kernels.py` prints a row a shape.", "", *markdown(table), ""]
    odd = list(refusals(data))
    if odd:
        out += ["## Not compared", "", *markdown((["model", "who", "why"], [[n, w, y] for n, w, y in odd])), ""]
    with open(path, "w") as file:
        file.write("\n".join(out))
    with open(os.path.join(os.path.dirname(path), picture), "w") as file:
        file.write(plot(data))


STYLE = """body{font:14px sans-serif;margin:2em;max-width:1100px}table{border-collapse:collapse;margin:1em 0}
td,th{padding:2px 9px;border-bottom:1px solid #ddd;text-align:right}td:first-child,th:first-child,td:nth-child(2)
{text-align:left}"""


def html_table(table):
    head, body = table
    cells = lambda tag, row: "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in row)
    return ("<table><tr>" + cells("th", head) + "</tr>" + "".join(f"<tr>{cells('td', r)}</tr>" for r in body) +
            "</table>")


def write_html(data, path):
    """Everything on one page, each kernel's row too."""
    out = ["<!doctype html><meta charset='utf-8'><title>Tenon: performance</title>", f"<style>{STYLE}</style>",
           "<h1>Performance</h1>", f"<p>{html.escape(preface(data))}</p>", "<h2>Bars</h2><ul>"]
    out += [f"<li>{html.escape(b)}</li>" for b in bars(data)]
    out.append("</ul>")
    for threads in sorted(data["runs"]):
        out += [f"<h2>{threads} thread(s), {clock_words(data, threads)}</h2>", plot(data, threads),
                html_table(means(data, threads)), html_table(model_table(data, threads, "big")),
                html_table(model_table(data, threads, "models"))]
    for cpu in data["kernels"]:
        peak = data["kernels"][cpu]["peak_flops_per_s"] * 1e-9
        out += [f"<h2>Kernels, {html.escape(cpu)}: one core's peak {peak:.0f} GFLOP/s</h2>",
                html_table(kernel_table(data, cpu)), html_table(kernel_rows(data, cpu))]
    out.append(html_table((["model", "who", "why"], [[n, w, y] for n, w, y in refusals(data)])))
    with open(path, "w") as file:
        file.write("\n".join(out))
