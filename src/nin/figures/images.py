"""Which images are in the data, and what was predicted for them?"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.style import context
from torch import Tensor

from nin.figures.class_maps import colour_scale, draw_class_map, draw_key, has_negative
from nin.figures.style import GREEN, RED, STYLE, WIDTH, add_panel, fit_line, rgb_pixels, settle_layout
from nin.networks.architecture import CellGrid

IMAGES_PER_CLASS, MOST_CLASSES = 14, 20  # of a sample
IMAGES_PER_ROW = 6  # of predictions
HEADLINE, IMAGE, ROW = 0.55, 1.2, 2.05  # heights in inches: the headline, an image, an image with its text
KEY, KEY_ROOM = 0.9, 2.3  # inches: the colours of the key at the right of the headline, and those with their words
MAP_STEP = 1.05 * IMAGE  # inches from the top of an image to the top of the class map below it


@context(["default", STYLE])
def sample(
    images: UInt8[Tensor, "images channels height width"], labels: Int64[Tensor, "images"], names: Sequence[str]
) -> Figure:
    """Draw the first images of each of the first 20 classes, a row each, blank for a class without images."""
    names = names[:MOST_CLASSES]
    height, width = (side + 2 for side in images.shape[2:])  # a gap of two pixels
    mosaic = np.full((len(names) * height, IMAGES_PER_CLASS * width, 3), 255, dtype=np.uint8)
    for row in range(len(names)):
        for column, index in enumerate((labels == row).nonzero().flatten()[:IMAGES_PER_CLASS].tolist()):
            top, left = row * height + 1, column * width + 1
            mosaic[top : top + height - 2, left : left + width - 2] = rgb_pixels(images[index])

    figure = Figure(figsize=(WIDTH, 0.9 * WIDTH * mosaic.shape[0] / mosaic.shape[1]), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(mosaic)
    row_labels = [fit_line(name, 2, 10) for name in names]
    axes.set_yticks([(row + 0.5) * height - 0.5 for row in range(len(names))], row_labels, fontsize=10)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return settle_layout(figure)


@context(["default", STYLE])
def prediction(
    images: UInt8[Tensor, "images channels height width"],
    labels: Int64[Tensor, "images"],
    predicted: Int64[Tensor, "images"],
    confidence: Float[Tensor, "images"],
    names: Sequence[str],
    *,
    maps: Float[Tensor, "images map_height map_width"] | None = None,
    grid: CellGrid | None = None,
    size: int | None = None,
    headline: str | None = None,
) -> Figure:
    """Draw each image with its true class, its predicted class and the confidence.

    Args:
        images: the images to draw.
        labels: the true classes.
        predicted: the predicted classes.
        confidence: the probabilities of the predicted classes, from 0 to 1.
        names: the names of the classes.
        maps: the class map of each predicted class, drawn below its image on a colour scale of its own; if a cell of
            any is negative, a key says which colours are. Maps of a single cell show no place, and are left out.
        grid: where the cells of the maps lie in the network's input; needed with `maps`.
        size: pixels a side of the network's input; needed with `maps`.
        headline: the line above the images; by default, how many predictions are right.

    """
    if maps is not None and maps.shape[1:] == (1, 1):
        maps = None
    correct = labels.cpu() == predicted.cpu()
    if headline is None:
        headline = f"{int(correct.sum())} of these {len(images)} are right"
    row_height = ROW if maps is None else ROW + MAP_STEP
    signed = maps is not None and has_negative(maps)
    figure = Figure(figsize=(WIDTH, HEADLINE + row_height * math.ceil(len(images) / IMAGES_PER_ROW)))
    room = WIDTH - 2 * KEY_ROOM if signed else WIDTH
    figure.text(0.5, 1, fit_line(headline, room, 11), fontsize=11, ha="center", va="top")
    if signed:
        draw_key(add_panel(figure, WIDTH - KEY - 0.35, 0.03, KEY, 0.11))
    for index, image in enumerate(images):
        row, column = divmod(index, IMAGES_PER_ROW)
        left = (column + 0.5) * WIDTH / IMAGES_PER_ROW - IMAGE / 2
        top = HEADLINE + row * row_height
        lowest = add_panel(figure, left, top, IMAGE, IMAGE)
        _draw_judged_image(lowest, image, bool(correct[index]))
        if maps is not None:
            assert grid is not None, "the cells of a map lie where the grid says"
            assert size is not None, "the grid is in pixels of the network's input"
            lowest = add_panel(figure, left, top + MAP_STEP, IMAGE, IMAGE)
            draw_class_map(lowest, maps[index], image, grid, size, colour_scale(maps[index], signed=signed))
        text = _class_lines(names[int(labels[index])], names[int(predicted[index])], float(confidence[index]))
        lowest.set_xlabel(text, fontsize=8.25)
    return figure


def _draw_judged_image(axes: Axes, image: UInt8[Tensor, "channels height width"], correct: bool) -> None:
    """Draw an image under "right" or "wrong", in a frame whose colour and width say the same."""
    axes.imshow(rgb_pixels(image), aspect="auto")
    if correct:
        verdict, colour, weight, frame = "✓ right", GREEN, "normal", 1
    else:
        verdict, colour, weight, frame = "✗ wrong", RED, "bold", 3
    axes.spines[:].set(visible=True, color=colour, linewidth=frame)
    axes.set_title(verdict, color=colour, weight=weight, fontsize=8.5)


def _class_lines(true_name: str, predicted_name: str, confidence: float) -> str:
    """Return the three lines below an image, as wide as its column at most."""
    room = WIDTH / IMAGES_PER_ROW - 0.02
    true_line = fit_line(true_name, room, 8.25, "true: {}")
    predicted_line = fit_line(predicted_name, room, 8.25, "predicted: {}")
    return f"{true_line}\n{predicted_line}\nconfidence: {100 * confidence:.0f} %"
