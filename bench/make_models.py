#!/usr/bin/env python3
"""Writes the benchmark's big models: real architectures with seeded random weights, exported by PyTorch to ONNX, each
with inputs and PyTorch's own results, so that `tenon verify` checks what `bench/compare.py` times.

    bench/make_models.py [--out build/bench-models] [--only NAME,...] [--tflite] [--light DIR]

Writes OUT/NAME/model.onnx and OUT/NAME/io/{input,output}_N.npy at batch 1; with --tflite also model.tflite of the same
module, for LiteRT and its XNNPACK.  Needs torch, onnx, onnxscript, numpy and transformers from PyPI, and litert-torch
for --tflite; nothing is downloaded: every weight is drawn here.  The architectures are those of transformers
(timm wants torchvision, which needs a build of its own); VGG-19 is not among them and is written below.  Numbers mean
nothing, the work does.  --light DIR also gives weights to a folder of ONNX's light_*.onnx models, whose reference results then come
from ONNX Runtime.
"""
import argparse
import glob
import os
import subprocess
import sys

import numpy as np


def vgg19(torch):
    """Simonyan and Zisserman 2014, configuration E: sixteen 3x3 convolutions and three dense layers."""
    nn, layers, channels = torch.nn, [], 3
    for width, count in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(),
               nn.Linear(4096, 1000)]
    return nn.Sequential(*layers)


def first_output(torch, model):
    """The model's first result alone: what a program deploys, without the dictionary that transformers returns."""

    class First(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *args):
            return self.model(*args, return_dict=False)[0]

    return First()


def efficientnet_b0(torch, transformers):
    config = transformers.EfficientNetConfig(num_labels=1000, image_size=224, width_coefficient=1.0,
                                             depth_coefficient=1.0, hidden_dim=1280, dropout_rate=0.2)
    model = transformers.EfficientNetForImageClassification(config)
    # transformers pools with a window of hidden_dim squared, which some engines add up in full
    model.efficientnet.pooler = torch.nn.AdaptiveAvgPool2d(1)
    return model


def architectures(torch):
    """name -> (maker of the module, maker of its inputs)"""
    import transformers as t

    image = lambda: (torch.randn(1, 3, 224, 224),)
    tokens = lambda vocabulary, length: (torch.randint(0, vocabulary, (1, length)),)
    first = lambda model: first_output(torch, model)
    resnet = lambda **k: first(t.ResNetForImageClassification(t.ResNetConfig(num_labels=1000, **k)))
    return {
        "mobilenetv2": (lambda: first(t.MobileNetV2ForImageClassification(
            t.MobileNetV2Config(num_labels=1000, tf_padding=False))), image),
        "efficientnet-b0": (lambda: first(efficientnet_b0(torch, t)), image),
        "resnet18": (lambda: resnet(depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic"),
                     image),
        "resnet50": (lambda: resnet(), image),
        "vgg19": (lambda: vgg19(torch), image),
        "vit-tiny": (lambda: first(t.ViTForImageClassification(t.ViTConfig(
            num_labels=1000, hidden_size=192, num_attention_heads=3, intermediate_size=768))), image),
        "bert-6": (lambda: first(t.BertModel(t.BertConfig(num_hidden_layers=6))),
                   lambda: tokens(30522, 128)),
        "gpt-small": (lambda: first(t.GPT2LMHeadModel(t.GPT2Config(
            n_layer=6, n_embd=384, n_head=6, vocab_size=8192, n_positions=256, use_cache=False))),
                      lambda: tokens(8192, 128)),
    }


def settle(torch, module):
    """Weights whose activations neither vanish nor blow up: He's scale before a rectifier, statistics near one."""
    for m in module.modules():
        if isinstance(m, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(m.weight, mode="fan_in", nonlinearity="relu")
            if m.bias is not None:
                torch.nn.init.normal_(m.bias, std=0.05)
        elif isinstance(m, torch.nn.Linear):
            torch.nn.init.normal_(m.weight, std=0.6 / m.in_features ** 0.5)
            if m.bias is not None:
                torch.nn.init.normal_(m.bias, std=0.05)
        elif isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(m.weight, 0.3, 0.9)
            torch.nn.init.normal_(m.bias, std=0.1)
            torch.nn.init.normal_(m.running_mean, std=0.1)
            torch.nn.init.uniform_(m.running_var, 0.5, 1.5)


def write_io(folder, kind, arrays):
    os.makedirs(f"{folder}/io", exist_ok=True)
    for k, array in enumerate(arrays):
        np.save(f"{folder}/io/{kind}_{k}.npy", array)


def export(torch, name, make, inputs, out, tflite):
    torch.manual_seed(7)
    module = make().eval()
    settle(torch, module)
    args = inputs()
    folder = f"{out}/{name}"
    with torch.no_grad():
        result = module(*args)
        os.makedirs(folder, exist_ok=True)
        torch.onnx.export(module, args, f"{folder}/model.onnx", dynamo=True, external_data=False, verbose=False)
    write_io(folder, "input", [a.numpy() for a in args])
    write_io(folder, "output", [result.numpy()])
    if tflite:
        import litert_torch
        litert_torch.convert(module, args).export(f"{folder}/model.tflite")
    return result


def full_size(light, out):
    """Gives one light_*.onnx its weights (by the script beside the models) and ONNX Runtime's results."""
    import onnx
    import onnxruntime

    folder = f"{out}/{os.path.splitext(os.path.basename(light))[0].replace('light_', 'light-')}"
    tool = os.path.join(os.path.dirname(light), "../../tools/full_size_light_models.py")
    os.makedirs(folder, exist_ok=True)
    subprocess.run([sys.executable, tool, light, f"{folder}/model.onnx"], check=True)
    graph = onnx.load(f"{folder}/model.onnx").graph
    constant = {i.name for i in graph.initializer}
    rng, named = np.random.default_rng(7), {}
    for value in graph.input:
        if value.name not in constant:
            shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
            named[value.name] = rng.standard_normal(shape).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])
    write_io(folder, "input", named.values())
    write_io(folder, "output", session.run(None, named))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="build/bench-models")
    parser.add_argument("--only", default="")
    parser.add_argument("--tflite", action="store_true", help="write model.tflite too")
    parser.add_argument("--light", help="a folder with ONNX's light_*.onnx")
    options = parser.parse_args()
    only = set(filter(None, options.only.split(",")))
    if options.light:
        for light in sorted(glob.glob(f"{options.light}/light_*.onnx")):
            full_size(light, options.out)
        if not only:
            return
    import torch
    known = architectures(torch)
    if only - known.keys():
        sys.exit(f"no such architecture: {', '.join(sorted(only - known.keys()))}; there are {', '.join(known)}")
    for name, (make, inputs) in known.items():
        if only and name not in only:
            continue
        result = export(torch, name, make, inputs, options.out, options.tflite)
        print(f"{name}: result {tuple(result.shape)}, standard deviation {float(result.std()):.3g}")


if __name__ == "__main__":
    main()
