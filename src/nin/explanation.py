"""Why did the network decide so? Class maps over the picture, and a measure of how far a map may be believed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from nin import figures
from nin.classifier import Classifier

STEPS = 28  # of the curves: each removes or adds 1/28 of the pixels


def explain(
    classifier: Classifier, images: UInt8[Tensor, "images channels height width"], titles: Sequence[str]
) -> Figure:
    """Draw each picture beside the class maps of its likeliest classes. Raises what `Classifier.class_maps` does."""
    return figures.explanation(
        images,
        classifier.class_maps(images),
        classifier.labels,
        classifier.probabilities(images),
        titles,
        size=classifier.config.size,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Faithfulness: does the network's answer hang on the places that a map points at?


@dataclass(frozen=True, eq=False)
class Curves:
    """Probability of the class that the whole picture is taken for, by picture, after each step.

    `deletion` begins with the whole picture and takes away first what is most relevant: the faster it falls, the more
    the answer hangs on that. `insertion` begins with nothing and brings it back first: the faster it rises, the better.
    """

    deletion: Float[Tensor, "images steps"]
    insertion: Float[Tensor, "images steps"]


def relevance(maps: Float[Tensor, "images cells cells"], size: int, side: int) -> Float[Tensor, "images {side} {side}"]:
    """Spread a class map over the pixels of a picture: bilinear between the middles of the cells, level outside.

    `size` is the side of the network's input, `side` that of the picture that was resized to it. A cell's view of the
    input reaches 195 pixels, far beyond its neighbours: only its middle has a place.
    """
    cells = maps.shape[1]
    edges = figures.cell_edges(size, cells) * side
    middles = (edges[1:] + edges[:-1]) / 2
    between = np.interp(np.arange(side) + 0.5, middles, np.arange(cells))  # on which cell each pixel lies
    place = torch.from_numpy(between).float() * 2 / max(1, cells - 1) - 1  # as grid_sample counts, from -1 to 1
    grid = torch.stack(torch.meshgrid(place, place, indexing="xy"), dim=-1).expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps[:, None], grid, mode="bilinear", padding_mode="border", align_corners=True)[:, 0]


def ranked(relevance: Float[Tensor, "images side side"], seed: int = 0) -> Int64[Tensor, "images pixels"]:
    """Order the pixels of each picture, the most relevant first; those that are equally relevant by chance."""
    flat = relevance.flatten(1)
    shuffled = torch.rand(flat.shape, generator=torch.Generator().manual_seed(seed)).argsort(dim=1)
    return shuffled.gather(1, flat.gather(1, shuffled).argsort(dim=1, descending=True, stable=True))


def curves(
    classifier: Classifier,
    images: UInt8[Tensor, "images channels side side"],
    order: Int64[Tensor, "images pixels"],
    steps: int = STEPS,
) -> Curves:
    """Take pixels away, and bring them back, in an order, and watch the answer; what is taken away is black.

    After Petsiuk, Das, Saenko 2018, https://arxiv.org/abs/1806.07421, section 4.1.
    """
    rank = order.argsort(dim=1).view(len(images), 1, *images.shape[2:])  # at which turn each pixel comes
    predicted = classifier.probabilities(images).argmax(dim=1)
    deletion, insertion = [], []
    for step in range(steps + 1):
        gone = rank < step * order.shape[1] / steps
        for curve, kept in ((deletion, ~gone), (insertion, gone)):
            curve.append(classifier.probabilities(images * kept).gather(1, predicted[:, None]))
    return Curves(torch.cat(deletion, dim=1), torch.cat(insertion, dim=1))
