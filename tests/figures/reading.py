"""What do the tests of figures share? Images and names to draw, and ways to read a drawn figure."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from torch import Tensor

from nin.figures.class_maps import explanation
from nin.networks.registry import NIN_2013_CELLS

NAMES = ("T-shirt/top", "Ankle boot", "costs $5 or $6")
ODD_NAMES = ("W" * 99, "two\nlines\a", "\u202ecoat\xa0中\udcff")  # a bell, right to left, half a surrogate pair


def random_images(count: int, channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, 28, 28), dtype=torch.uint8, generator=generator)


def random_maps(count: int, cells: int) -> Tensor:
    """Return class maps of 3 classes: (count, 3, cells, cells)."""
    return 9 * torch.rand(count, 3, cells, cells, generator=torch.Generator().manual_seed(1))


def signed_maps(count: int, cells: int) -> Tensor:
    """Return class maps of 3 classes, with values from -6 to 3: (count, 3, cells, cells)."""
    return random_maps(count, cells) - 6


def signed_explanation(cells: int, titles: Sequence[str], names: Sequence[str] = NAMES) -> Figure:
    """Draw class maps of NiN2013's kind: with negative cells, whose mean is the logit."""
    maps, images = signed_maps(len(titles), cells), random_images(len(titles), 3)
    logits = maps.mean(dim=(2, 3))
    size = 4 * cells
    return explanation(images, maps, logits, names, logits.softmax(dim=1), titles, grid=NIN_2013_CELLS, size=size)


def visible_texts(figure: Figure) -> list[Text]:
    """Draw the figure, and return every text that can be seen."""
    FigureCanvasAgg(figure).draw()
    beyond: list[Text] = []  # labels of ticks beyond the ends of an axis
    for axes in figure.axes:
        for axis, ends in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            ticks = [tick for tick in axis.get_major_ticks() if not min(ends) <= tick.get_loc() <= max(ends)]
            beyond += [label for tick in ticks for label in (tick.label1, tick.label2)]
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible() and artist.get_text() != "")
    texts = [text for text in found if isinstance(text, Text) and text not in beyond]
    return [text for text in texts if text.get_window_extent().bounds != (0, 0, 1, 1)]  # an annotation out of view


def written(figure: Figure) -> list[str]:
    return [text.get_text() for text in visible_texts(figure)]


def texts_are_apart(figure: Figure) -> bool:
    """Return whether every text keeps clear of the others and of the figure's sides."""
    boxes = [text.get_window_extent() for text in visible_texts(figure)]
    within = all(figure.bbox.padded(2).containsx(x) for box in boxes for x in box.intervalx)
    return within and not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def drawn_map(axes: Axes) -> QuadMesh:
    (mesh,) = (collection for collection in axes.collections if isinstance(collection, QuadMesh))
    return mesh


def framed_cells(axes: Axes) -> list[tuple[int, int]]:
    """Return row and column of each cell that a frame surrounds exactly."""
    corners = np.asarray(drawn_map(axes).get_coordinates())
    frames = [patch.get_bbox() for patch in axes.patches if isinstance(patch, Rectangle)]
    return [
        (row, column)
        for frame in frames
        for row, column in np.ndindex(corners.shape[0] - 1, corners.shape[1] - 1)
        if np.allclose(frame.get_points(), [corners[row, column], corners[row + 1, column + 1]])
    ]
