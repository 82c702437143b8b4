"""Export an untrained network in every way, or every network in one; a program without the shape checks of the tests.

Tracing runs our code with shapes that are not numbers, which the checks would take for wrong.
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn

from nin.data.preprocessing import Preprocessing
from nin.inference.classifier import Classifier
from nin.inference.export import ExportedModel, export, to_onnx, to_torch
from nin.inference.model_folder import Config
from nin.inference.parity import onnx_runner, torch_runner
from nin.networks.initialisation import initialise
from nin.networks.registry import NETWORKS, build_network

LABELS = ("cat", "dog", "naïve", 'a "quoted" label')


def classifier_of(name: str, size: int, channels: int, image_size: int) -> Classifier:
    torch.manual_seed(0)
    network = build_network(name, channels, len(LABELS), size, dropout=0.5)
    initialise(network, "he")
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.bias, std=0.1)
    preprocessing = Preprocessing(size, (0.3,) * channels, (0.2,) * channels)
    config = Config(name, preprocessing, image_size, LABELS, temperature=1.7)
    return Classifier(network, config, device=torch.device("cpu"), precision="float32")


def differences(classifier: Classifier, run: object, images: torch.Tensor) -> dict[str, float]:
    """Return by how much each output of a file differs from the classifier's."""
    found = {name: torch.from_numpy(values) for name, values in run(images.numpy()).items()}
    expected = {"probabilities": classifier.probabilities(images), "logits": classifier.logits(images)}
    if "class_maps" in found:
        expected["class_maps"] = classifier.class_maps(images)
    assert found.keys() == expected.keys()
    assert all(found[name].shape == expected[name].shape for name in found)
    return {name: (found[name] - expected[name]).abs().max().item() for name in found}


def registry(folder: Path) -> None:
    """Export every network but the one of the other tests, and print the differences of each."""
    found: dict[str, object] = {}
    for name in NETWORKS:
        if name != "nin-2013":
            classifier = classifier_of(name, max(28, NETWORKS[name].smallest_size), 1, 28)
            images = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8)
            export(classifier, folder / f"{name}.onnx", images)
            fixed = onnx_runner((folder / f"{name}.onnx").read_bytes())
            found[name] = {f"batch of {batch}": differences(classifier, fixed, images[:batch]) for batch in (1, 5)}
    print(json.dumps(found))


def main() -> None:
    if sys.argv[1] == "registry":
        registry(Path(sys.argv[2]))
        return
    name, size, channels, image_size, folder = sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5])
    classifier = classifier_of(name, size, channels, image_size)
    images = torch.randint(0, 256, (5, channels, image_size, image_size), dtype=torch.uint8)
    export(classifier, folder / "model.onnx", images)
    fixed = onnx_runner((folder / "model.onnx").read_bytes())
    found = {f"onnx, batch of {batch}": differences(classifier, fixed, images[:batch]) for batch in (1, 5)}
    anything = onnx_runner(to_onnx(classifier, None))
    for shape in ((image_size, image_size), (size, size), (17, 90), (200, 33)):
        others = torch.randint(0, 256, (2, channels, *shape), dtype=torch.uint8)
        found[f"any size, {shape}"] = differences(classifier, anything, others)
    names = ExportedModel(classifier, None).output_names
    for shape in ((image_size, image_size), None):
        found[f"torch, {shape}"] = differences(classifier, torch_runner(to_torch(classifier, shape), names), images)
    print(json.dumps(found))


main()
