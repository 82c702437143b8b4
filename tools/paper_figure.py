"""How do class maps look as the paper draws them? As in its figure 4, for a test image of each class of CIFAR-10.

    python tools/paper_figure.py docs/class-maps-paper.png

A row for each class: its first test image, whatever is predicted for it, and the maps of all ten classes, of which only
the largest tenth of the image's cells is drawn (Lin, Chen, Yan 2013, section 4.7). The map of the image's own class is
framed.
"""

from pathlib import Path

import torch
import tyro
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor
from tyro.conf import Positional

import nin
from nin.data.load import load_dataset
from nin.figures.style import BLUE, GREY, rgb_pixels, to_png
from nin.files import write

SHOWN = 0.1  # of an image's cells


def main(file: Positional[Path], model: str = "cifar10", source: str = "cifar10") -> None:
    """Compute the maps of the first test image of each class, and draw them."""
    test = load_dataset(source).parts()["test"]
    firsts = [int((test.labels == label).nonzero()[0]) for label in range(len(test.names))]
    # In float32: bf16 has ties at the edge of the largest tenth.
    maps = nin.load(model, device="cpu", precision="float32").class_maps(test.images[firsts])
    write(file, to_png(draw(test.images[firsts], maps, test.names)))


def largest(maps: Float[Tensor, "classes rows columns"], share: float) -> Float[Tensor, "classes rows columns"]:
    """Return the largest `share` of all the cells of an image's maps, with their equals, and 0 for others and below."""
    least = maps.flatten().topk(max(1, round(share * maps.numel()))).values[-1]
    return torch.where(maps >= least, maps, 0.0).clamp(min=0)


def draw(
    images: UInt8[Tensor, "classes channels height width"],
    maps: Float[Tensor, "classes classes rows columns"],
    names: tuple[str, ...],
) -> Figure:
    """Draw a row for each image: itself, then a column for each class's map."""
    figure = Figure(figsize=(9, 8.6), layout="constrained")
    panels = figure.subplots(len(images), 1 + len(names), squeeze=False)
    for row, (image, of_image) in enumerate(zip(images, maps, strict=True)):
        strongest = largest(of_image, SHOWN)
        shown = [rgb_pixels(image), *strongest]
        for column, (axes, content) in enumerate(zip(panels[row], shown, strict=True)):
            if column == 0:
                axes.imshow(content)
                axes.set_ylabel(names[row], rotation=0, ha="right", va="center", fontsize=8)
            else:
                axes.imshow(content, cmap="Blues", vmin=0, vmax=float(strongest.max()))
            axes.set(xticks=[], yticks=[])
            own = column == row + 1
            for spine in axes.spines.values():
                spine.set(visible=column > 0, color=BLUE if own else GREY, linewidth=2 if own else 0.5)
            if row == 0 and column > 0:
                axes.set_title(names[column - 1], fontsize=8)
    return figure


if __name__ == "__main__":
    tyro.cli(main)
