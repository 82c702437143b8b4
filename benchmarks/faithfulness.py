"""Does the answer hang on the places that class maps point at? Deletion and insertion, against two other orders.

    python benchmarks/faithfulness.py docs/faithfulness.png

takes pixels of test pictures away, and brings them back, in the order of the predicted class's map, of Grad-CAM at the
layer before (Selvaraju et al. 2016, https://arxiv.org/abs/1610.02391) and of chance, at three sizes of the input. It
prints a table and draws the curves. Intervals are of the mean over the pictures, 95 %, and differences are taken
picture by picture. Chooses nothing, so it may look at the test split.
"""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor
from tyro.conf import Positional

import nin
from nin import runs
from nin.classifier import Classifier
from nin.explanation import STEPS, Curves, curves, ranked, relevance
from nin.figures import to_png
from nin.network import NiN
from nin.preprocessing import prepare

COLOURS = {"class map": "#0b5c9e", "Grad-CAM": "#1a6e3c", "chance": "#5f5f5f"}


def main(
    picture: Positional[Path],
    model: str = "fashion-mnist",
    sizes: tuple[int, ...] = (131, 195, 259),
    pictures: int = 200,
) -> None:
    """Measure the first test pictures at each size, print the table and draw the curves."""
    loaded = nin.load(model, device="cpu")
    test = nin.fashion_mnist().test.subset(torch.arange(pictures))
    found: dict[int, dict[str, Curves]] = {}
    print("| input | cells | accuracy | order | deletion, area (less is better) | insertion, area (more is better) | "
          "deletion, beyond the class map's | insertion, beyond the class map's |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for size in sizes:
        config = replace(loaded.config, size=size)
        fast = Classifier(loaded.network, config, device=loaded.device, precision=loaded.precision)
        # Maps in float32: bf16 has ties between cells, which chance would break.
        classifier = Classifier(loaded.network, config, device=loaded.device, precision="float32")
        predicted = classifier.scores(test.images).argmax(dim=1)
        accuracy = (predicted == test.labels).float().mean().item()
        maps = classifier.class_maps(test.images)[torch.arange(pictures), predicted]
        side = test.images.shape[2]
        orders = {
            "class map": ranked(relevance(maps, size, side)),
            "Grad-CAM": ranked(relevance(grad_cam(classifier, test.images, predicted), size, side)),
            "chance": ranked(torch.zeros(pictures, side, side)),
        }
        found[size] = {name: curves(fast, test.images, order) for name, order in orders.items()}
        first = found[size]["class map"]
        for name, one in found[size].items():
            areas = [spoken(area(one.deletion)), spoken(area(one.insertion))]
            beyond = [spoken(area(one.deletion) - area(first.deletion), "+")]
            beyond += [spoken(area(one.insertion) - area(first.insertion), "+")]
            columns = [size, f"{maps.shape[1]}x{maps.shape[2]}", f"{accuracy:.3f}", name, *areas]
            print("|", " | ".join(map(str, columns + (beyond if one is not first else ["", ""]))), "|", flush=True)
    runs.write(picture, to_png(drawn(found)))


def grad_cam(classifier: Classifier, images: Tensor, predicted: Tensor) -> Tensor:
    """Weight the channels before the last block by the mean gradient of the class's score: (images, cells, cells)."""
    network, config = cast(NiN, classifier.network), classifier.config
    found: list[Tensor] = []
    for batch, classes in zip(images.split(100), predicted.split(100), strict=True):
        pictures = prepare(batch, config.size, config.mean, config.std)
        with torch.no_grad():
            channels = network.m3(network.n3(network.m2(network.n2(network.m1(network.n1(pictures))))))
        channels.requires_grad_(True)
        scores = network.flat(network.avg1(network.n4(channels)))
        (gradient,) = torch.autograd.grad(scores.gather(1, classes[:, None]).sum(), channels)
        found.append((gradient.mean((2, 3), keepdim=True) * channels).sum(1).relu().detach())
    return torch.cat(found)


def area(curves: Tensor) -> Tensor:
    """Give the area under each picture's curve over the share of the pixels, 0 to 1."""
    return torch.trapezoid(curves, dx=1 / STEPS, dim=1)


def spoken(values: Tensor, sign: str = "") -> str:
    """Write the mean over the pictures and half of its 95 % interval."""
    return f"{values.mean():{sign}.3f} ± {1.96 * values.std() / len(values) ** 0.5:.3f}"


def drawn(found: dict[int, dict[str, Curves]]) -> Figure:
    """Draw a column a size: deletion above, insertion below."""
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    axes = figure.subplots(2, len(found), sharex=True, sharey=True, squeeze=False)
    shares = np.linspace(0, 1, STEPS + 1)
    for column, (size, orders) in enumerate(found.items()):
        for row, kind in enumerate(("deletion", "insertion")):
            panel = axes[row, column]
            for name, one in orders.items():
                panel.plot(
                    shares,
                    getattr(one, kind).mean(dim=0),
                    color=COLOURS[name],
                    label=name,
                    linestyle="-" if row else "--",
                )
            panel.set_title(f"{kind}, {size}×{size}", fontsize=10)
            panel.spines[["top", "right"]].set_visible(False)
            panel.grid(alpha=0.3)
        axes[1, column].set_xlabel("share of the pixels")
    for row in range(2):
        axes[row, 0].set_ylabel("probability of the class")
    figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


if __name__ == "__main__":
    tyro.cli(main)
