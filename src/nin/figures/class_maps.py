"""Where in an image does a network find evidence for a class? Class maps, drawn over their image."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.style import context
from torch import Tensor

from nin.figures.style import GREY, INK, STYLE, WIDTH, add_panel, fit_line, rgb_pixels
from nin.networks.registry import CellGrid

MAP_SIDE, TEXT_HEIGHT, COLOUR_BAR, FOOTNOTE = 1.75, 0.95, 0.7, 0.35  # inches: a map, the text of a row, and the rest
COLOUR_MAP = "viridis"  # its lightness rises evenly, so that colour-blind readers can read it too
OPACITY = 0.7  # of a map over its image
DARKEST = 0.35  # grey of the image's black, from 0 to 1: black would make the colours over it look like a zero


@context(["default", STYLE])
def explanation(
    images: UInt8[Tensor, "images channels height width"],
    maps: Float[Tensor, "images classes map_height map_width"],
    names: Sequence[str],
    probabilities: Float[Tensor, "images classes"],
    titles: Sequence[str],
    *,
    grid: CellGrid,
    size: int,
    top: int = 3,
) -> Figure:
    """Draw each image, a row each, beside the class maps of its `top` most probable classes.

    Args:
        images: the images before they were resized for the network.
        maps: the class maps, with values from 0 up; the highest cell of a map is the logit. The maps of one image
            share a colour scale.
        names: the names of the classes.
        probabilities: of every class, from 0 to 1.
        titles: the heading of each row, such as the name of the image's file.
        grid: where the cells of the maps lie in the network's input.
        size: pixels a side of the network's input.
        top: the number of classes to draw.

    """
    top = min(top, len(names))
    step = min(MAP_SIDE + 0.35, (WIDTH - COLOUR_BAR) / (1 + top))
    side = min(MAP_SIDE, step - 0.2)
    figure = Figure(figsize=(WIDTH, len(images) * (TEXT_HEIGHT + side) + FOOTNOTE))
    height = figure.get_figheight()
    for row, (image, image_maps, shares, title) in enumerate(zip(images, maps, probabilities, titles, strict=True)):
        down = row * (TEXT_HEIGHT + side)
        heading = fit_line(title, WIDTH, 10, weight="bold")
        figure.text(0, 1 - down / height, heading, fontsize=10, weight="bold", va="top")
        down += 0.45
        add_panel(figure, 0, down, side, side).imshow(rgb_pixels(image), aspect="auto")
        maximum = scale_maximum(image_maps)
        most_probable = shares.argsort(descending=True, stable=True)[:top]
        for column, index in enumerate(map(int, most_probable), start=1):
            axes = add_panel(figure, column * step, down, side, side)
            draw_class_map(axes, image_maps[index], image, grid, size, maximum)
            share = f"{100 * float(shares[index]):.0f} %"
            axes.set_title(fit_line(names[index], step - 0.05, 9.5, f"{{}} {share}"), fontsize=9.5)
            axes.set_xlabel(f"logit {float(image_maps[index].max()):.1f}", fontsize=8.5)
        _draw_colour_bar(add_panel(figure, top * step + side + 0.15, down, 0.12, side), maximum)
    rows, columns = maps.shape[2:]
    figure.text(0, 0, _footnote(grid, size, rows, columns), fontsize=8.5, color=GREY, va="bottom")
    return figure


def draw_class_map(
    axes: Axes,
    class_map: Float[Tensor, "map_height map_width"],
    image: UInt8[Tensor, "channels height width"],
    grid: CellGrid,
    size: int,
    maximum: float,
) -> None:
    """Draw a class map over its image in pale grey, cell by cell without interpolation, and frame the highest cell.

    Args:
        axes: where to draw; one unit is a pixel of the image.
        class_map: the map, of any range.
        image: the image that the map was computed from, of any size.
        grid: where the cells lie in the network's input.
        size: pixels a side of the network's input.
        maximum: the value at the top of the colour scale, which starts at 0.

    """
    pale = DARKEST + (1 - DARKEST) * image.float().mean(dim=0) / 255
    axes.imshow(pale.numpy(force=True), cmap="gray", vmin=0, vmax=1, aspect="auto")
    sides = zip(image.shape[1:], class_map.shape, strict=True)
    rows, columns = (pixels * np.array(grid.edges(size, cells)) - 0.5 for pixels, cells in sides)
    axes.pcolormesh(
        columns, rows, class_map.float().numpy(force=True), cmap=COLOUR_MAP, vmin=0, vmax=maximum, alpha=OPACITY,
        edgecolors="white", linewidth=0.4,
    )  # fmt: skip
    if class_map.max() > class_map.min():  # in a map of equal cells, none is the highest
        row, column = divmod(int(class_map.argmax()), class_map.shape[1])
        axes.add_patch(
            Rectangle(
                (columns[column], rows[row]), np.diff(columns)[column], np.diff(rows)[row],
                fill=False, edgecolor=INK, linewidth=1.5, path_effects=[withStroke(linewidth=3.5, foreground="white")],
            )
        )  # fmt: skip


def scale_maximum(maps: Float[Tensor, "..."]) -> float:
    """Return the value at the top of the colour scale that the maps share: their highest cell."""
    highest = float(maps.max())
    return highest if highest > 0 else 1.0  # the maps of a dead network are all 0, or NaN


def _draw_colour_bar(axes: Axes, maximum: float) -> None:
    """Draw the colours that `draw_class_map` uses, from 0 at the bottom to `maximum`."""
    axes.set_facecolor(str((1 + DARKEST) / 2))  # the grey of an average image, so that the colours look as in a map
    colours = np.linspace(0, 1, 256)[:, np.newaxis]
    axes.imshow(colours, cmap=COLOUR_MAP, alpha=OPACITY, origin="lower", extent=(0, 1, 0, maximum), aspect="auto")
    axes.set_yticks([0, maximum], ["0", f"{maximum:.1f}"], fontsize=8)
    axes.yaxis.tick_right()
    axes.tick_params(length=2)


def _footnote(grid: CellGrid, size: int, rows: int, columns: int) -> str:
    if rows == columns == 1:
        return "A class map of one cell covers the whole image: it shows how strong the evidence is, but not where."
    reach = (grid.receptive_field - 1) / 2
    return (
        f"Framed: the highest of {rows}×{columns} cells, whose value is the logit. "
        "The maps of an image share one colour scale.\n"
        f"A cell is drawn {grid.stride} pixels wide and sees {reach:g} on each side of its centre; "
        f"the network's input is {size}×{size} pixels."
    )
