"""Does the answer depend on the pixels that class maps point at? Deletion and insertion, against other orders.

    python benchmarks/faithfulness.py docs/faithfulness.png --images 300 --sizes 131 195 259
    python benchmarks/faithfulness.py docs/faithfulness-cifar10.png --images 300 --model cifar10 --source cifar10

removes pixels of test images, and brings them back, in the order of the predicted class's map, in that of Grad-CAM at
the layer before the last block (Selvaraju et al. 2016, https://arxiv.org/abs/1610.02391), in that of a map of random
cells, and by chance, pixel by pixel, which makes noise of an image. It prints a table and draws the curves. A removed
pixel is black in grey images, and of the training images' mean colour in colour ones. Intervals are of the mean over
the images, 95 %, and differences are taken image by image. It decides nothing, so it may look at the test images.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from jaxtyping import Float, Int64, UInt8
from matplotlib.figure import Figure
from msgspec.structs import replace
from torch import Tensor, nn
from tyro.conf import Positional

import nin
from nin.data.load import load_dataset
from nin.errors import NinError
from nin.figures.style import to_png
from nin.files import write
from nin.inference.classifier import Classifier
from nin.networks.architecture import CellGrid
from nin.networks.registry import find_architecture

COLOURS = {"class map": "#0b5c9e", "Grad-CAM": "#1a6e3c", "random map": "#c47f00", "chance": "#5f5f5f"}
STEPS = 28  # of the curves: each removes or adds 1/28 of the pixels


def main(
    figure: Positional[Path],
    model: str = "fashion-mnist",
    source: str = "fashion-mnist",
    sizes: tuple[int, ...] = (),
    images: int = 200,
) -> None:
    """Measure the first test images at each size, by default the model's; print the table and draw the curves."""
    loaded = nin.load(model, device="cpu")
    grid = find_architecture(loaded.config.architecture).cells
    if grid is None:
        raise NinError(f"{model} has no class maps")
    test = load_dataset(source).parts()["test"].first(images)
    found: dict[int, dict[str, Curves]] = {}
    chance = torch.Generator().manual_seed(0)
    print("| input | cells | accuracy | order | deletion, area (less is better) | insertion, area (more is better) | "
          "deletion, minus the class map's | insertion, minus the class map's |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for size in sizes or (loaded.config.preprocessing.size,):
        config = replace(loaded.config, preprocessing=replace(loaded.config.preprocessing, size=size))
        fast = Classifier(loaded.network, config, device=loaded.device, precision=loaded.precision)
        # Maps in float32: bf16 has ties between cells, which would be broken by chance.
        classifier = Classifier(loaded.network, config, device=loaded.device, precision="float32")
        predicted = classifier.logits(test.images).argmax(dim=1)
        accuracy = (predicted == test.labels).float().mean().item()
        maps = classifier.class_maps(test.images)[torch.arange(len(test)), predicted]
        side = test.images.shape[2]
        orders = {
            "class map": rank_pixels(relevance(maps, grid, size, side)),
            "Grad-CAM": rank_pixels(relevance(grad_cam(classifier, test.images, predicted), grid, size, side)),
            "random map": rank_pixels(relevance(torch.rand(maps.shape, generator=chance), grid, size, side)),
            "chance": rank_pixels(torch.zeros(len(test), side, side)),
        }
        found[size] = {name: curves(fast, test.images, order) for name, order in orders.items()}
        first = found[size]["class map"]
        for name, one in found[size].items():
            areas = [mean_and_interval(area(one.deletion)), mean_and_interval(area(one.insertion))]
            differences = [
                mean_and_interval(area(one.deletion) - area(first.deletion), "+"),
                mean_and_interval(area(one.insertion) - area(first.insertion), "+"),
            ]
            columns = [size, f"{maps.shape[1]}x{maps.shape[2]}", f"{accuracy:.3f}", name, *areas]
            columns += differences if one is not first else ["", ""]
            print("|", " | ".join(map(str, columns)), "|", flush=True)
    write(figure, to_png(draw(found)))


# --- Four orders of the pixels ---


def relevance(
    maps: Float[Tensor, "images cells cells"], grid: CellGrid, size: int, side: int
) -> Float[Tensor, "images {side} {side}"]:
    """Spread a map over the pixels of an image: bilinear between the centres of the cells, constant outside.

    `size` is the side of the network's input, `side` that of the image that was resized to it. A cell's receptive field
    reaches beyond its neighbours: only its centre has a place.
    """
    cells = maps.shape[1]
    centres = (grid.start + grid.stride * (np.arange(cells) + 0.5)) * side / size
    cell_of_pixel = np.interp(np.arange(side) + 0.5, centres, np.arange(cells))  # with fractions
    place = torch.from_numpy(cell_of_pixel).float() * 2 / max(1, cells - 1) - 1  # as grid_sample counts, from -1 to 1
    places = torch.stack(torch.meshgrid(place, place, indexing="xy"), dim=-1).expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps[:, None], places, mode="bilinear", padding_mode="border", align_corners=True)[:, 0]


def grad_cam(
    classifier: Classifier, images: UInt8[Tensor, "images channels height width"], predicted: Int64[Tensor, "images"]
) -> Float[Tensor, "images cells cells"]:
    """Weight the channels before the last block by the mean gradient of the class's logit with respect to them."""
    *_, last_block = (module for module in classifier.network.modules() if isinstance(module, nn.Sequential))
    entering: list[Tensor] = []

    def enter(module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        entering.append(inputs[0].detach().requires_grad_(True))
        return entering[-1]

    found: list[Tensor] = []
    hook = last_block.register_forward_pre_hook(enter)
    for batch, classes in zip(images.split(100), predicted.split(100), strict=True):
        logits = classifier.network(classifier.config.preprocessing(batch))
        channels = entering.pop()
        (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), channels)
        found.append((gradient.mean((2, 3), keepdim=True) * channels).sum(1).relu().detach())
    hook.remove()
    return torch.cat(found)


def rank_pixels(relevance: Float[Tensor, "images side side"], seed: int = 0) -> Int64[Tensor, "images pixels"]:
    """Order the pixels of each image, the most relevant first; equally relevant ones by chance."""
    flat = relevance.flatten(1)
    shuffled = torch.rand(flat.shape, generator=torch.Generator().manual_seed(seed)).argsort(dim=1)
    return shuffled.gather(1, flat.gather(1, shuffled).argsort(dim=1, descending=True, stable=True))


# --- Deletion and insertion ---


@dataclass(frozen=True, eq=False)
class Curves:
    """Probability of the class that is predicted for the whole image, by image, after each step.

    `deletion` begins with the whole image and removes the most relevant pixels first: the faster it falls, the more the
    answer depends on them. `insertion` begins with nothing and adds them first: the faster it rises, the better.
    """

    deletion: Float[Tensor, "images steps"]
    insertion: Float[Tensor, "images steps"]


def curves(
    classifier: Classifier,
    images: UInt8[Tensor, "images channels side side"],
    order: Int64[Tensor, "images pixels"],
    steps: int = STEPS,
) -> Curves:
    """Remove pixels, and bring them back, in an order, and record the probabilities.

    After Petsiuk, Das, Saenko 2018, https://arxiv.org/abs/1806.07421, section 4.1.
    """
    rank = order.argsort(dim=1).view(len(images), 1, *images.shape[2:])  # the position of each pixel in the order
    predicted = classifier.probabilities(images).argmax(dim=1)
    mean = torch.tensor(classifier.config.preprocessing.mean) * 255
    removed = mean.round().to(torch.uint8)[:, None, None] if len(mean) > 1 else torch.zeros(1, 1, 1, dtype=torch.uint8)
    deletion, insertion = [], []
    for step in range(steps + 1):
        gone = rank < step * order.shape[1] / steps
        for curve, kept in ((deletion, ~gone), (insertion, gone)):
            curve.append(classifier.probabilities(torch.where(kept, images, removed)).gather(1, predicted[:, None]))
    return Curves(torch.cat(deletion, dim=1), torch.cat(insertion, dim=1))


def area(curve: Float[Tensor, "images steps"]) -> Float[Tensor, "images"]:
    """Return the area under each image's curve over the share of the pixels, 0 to 1."""
    return torch.trapezoid(curve, dx=1 / STEPS, dim=1)


# --- Output ---


def mean_and_interval(values: Float[Tensor, "images"], sign: str = "") -> str:
    """Write the mean over the images and half of its 95 % interval."""
    return f"{values.mean():{sign}.3f} ± {1.96 * values.std() / len(values) ** 0.5:.3f}"


def draw(found: dict[int, dict[str, Curves]]) -> Figure:
    """Draw a column per size: deletion above, insertion below."""
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    axes = figure.subplots(2, len(found), sharex=True, sharey=True, squeeze=False)
    shares = np.linspace(0, 1, STEPS + 1)
    for column, (size, orders) in enumerate(found.items()):
        for row, kind in enumerate(("deletion", "insertion")):
            panel = axes[row, column]
            for name, one in orders.items():
                means, line = getattr(one, kind).mean(dim=0), "-" if row else "--"
                panel.plot(shares, means, line, color=COLOURS[name], label=name)
            panel.set_title(f"{kind}, {size}×{size}", fontsize=10)
            panel.spines[["top", "right"]].set_visible(False)
            panel.grid(alpha=0.3)
        axes[1, column].set_xlabel("share of the pixels")
    for row in range(2):
        axes[row, 0].set_ylabel("probability of the class")
    figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return figure


if __name__ == "__main__":
    tyro.cli(main)
