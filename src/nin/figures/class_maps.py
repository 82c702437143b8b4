"""Where in an image does a network find evidence for a class? Class maps, drawn over their image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.style import context
from torch import Tensor

from nin.figures.style import GREY, INK, STYLE, WIDTH, add_panel, fit_line, rgb_pixels
from nin.networks.architecture import CellGrid

MAP_SIDE, TEXT_HEIGHT, COLOUR_BAR, FOOTNOTE = 1.75, 0.95, 0.7, 0.35  # inches: a map, the text of a row, and the rest
EVIDENCE = "viridis"  # its lightness rises evenly, so that colour-blind readers can read it too
# From orange over white at 0 to blue, which colour-blind readers can tell apart; both sides darken alike.
FOR_AND_AGAINST = LinearSegmentedColormap.from_list(
    "for and against", ["#843400", "#d97914", "#f9cf9b", "#ffffff", "#b9d9f5", "#4c96d6", "#0b4d93"]
)
OPACITY = 0.7  # of a map over its image
OUTLINE = "#9a9a9a"
# Grey of the image's black, from 0 to 1. Black would make the colours over it look like a zero; and where white is the
# zero, any dark grey would look like a colour.
DARKEST, DARKEST_UNDER_WHITE = 0.35, 0.6


@dataclass(frozen=True)
class Scale:
    """The colours of class maps, up to the value `highest`, and whether there are colours for negative values."""

    highest: float
    signed: bool

    @property
    def lowest(self) -> float:
        """The value of the first colour: as far below 0 as `highest` is above, or 0."""
        return -self.highest if self.signed else 0.0

    @property
    def colours(self) -> str | Colormap:
        """The colours as matplotlib takes them."""
        return FOR_AND_AGAINST if self.signed else EVIDENCE

    @property
    def darkest(self) -> float:
        """The grey of an image's black under these colours, from 0 to 1."""
        return DARKEST_UNDER_WHITE if self.signed else DARKEST


@context(["default", STYLE])
def explanation(
    images: UInt8[Tensor, "images channels height width"],
    maps: Float[Tensor, "images classes map_height map_width"],
    logits: Float[Tensor, "images classes"],
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
        maps: the class maps. Those of one image that are drawn share a colour scale.
        logits: what the network's pool makes of the maps.
        names: the names of the classes.
        probabilities: of every class, from 0 to 1.
        titles: the heading of each row, such as the name of the image's file.
        grid: where the cells of the maps lie in the network's input, and how they make the logit.
        size: pixels a side of the network's input.
        top: the number of classes to draw.

    """
    top = min(top, len(names))
    step = min(MAP_SIDE + 0.35, (WIDTH - COLOUR_BAR) / (1 + top))
    side = min(MAP_SIDE, step - 0.2)
    figure = Figure(figsize=(WIDTH, len(images) * (TEXT_HEIGHT + side) + FOOTNOTE))
    height = figure.get_figheight()
    order = probabilities.argsort(dim=1, descending=True, stable=True)[:, :top]
    drawn = [image_maps[most_probable] for image_maps, most_probable in zip(maps, order, strict=True)]
    signed = any(has_negative(shown) for shown in drawn)
    for row, (image, shown, title) in enumerate(zip(images, drawn, titles, strict=True)):
        down = row * (TEXT_HEIGHT + side)
        heading = fit_line(title, WIDTH, 10, weight="bold")
        figure.text(0, 1 - down / height, heading, fontsize=10, weight="bold", va="top")
        down += 0.45
        add_panel(figure, 0, down, side, side).imshow(rgb_pixels(image), aspect="auto")
        scale = colour_scale(shown, signed=signed)
        for column, (index, class_map) in enumerate(zip(map(int, order[row]), shown, strict=True), start=1):
            axes = add_panel(figure, column * step, down, side, side)
            draw_class_map(axes, class_map, image, grid, size, scale)
            share = f"{100 * float(probabilities[row, index]):.0f} %"
            axes.set_title(fit_line(names[index], step - 0.05, 9.5, f"{{}} {share}"), fontsize=9.5)
            axes.set_xlabel(f"logit {decimal(float(logits[row, index]))}", fontsize=8.5)
        _draw_colour_bar(add_panel(figure, top * step + side + 0.15, down, 0.12, side), scale)
    rows, columns = maps.shape[2:]
    figure.text(0, 0, _footnote(grid, size, rows, columns, signed=signed), fontsize=8.5, color=GREY, va="bottom")
    return figure


def draw_class_map(
    axes: Axes,
    class_map: Float[Tensor, "map_height map_width"],
    image: UInt8[Tensor, "channels height width"],
    grid: CellGrid,
    size: int,
    scale: Scale,
) -> None:
    """Draw a class map over its image in pale grey, cell by cell without interpolation.

    Where the highest cell is the logit, it has a frame.

    Args:
        axes: where to draw; one unit is a pixel of the image.
        class_map: the map, of any range.
        image: the image that the map was computed from, of any size.
        grid: where the cells lie in the network's input.
        size: pixels a side of the network's input.
        scale: the colours.

    """
    pale = scale.darkest + (1 - scale.darkest) * image.float().mean(dim=0) / 255
    axes.imshow(pale.numpy(force=True), cmap="gray", vmin=0, vmax=1, aspect="auto")
    sides = zip(image.shape[1:], class_map.shape, strict=True)
    rows, columns = (pixels * np.array(grid.edges(size, cells)) - 0.5 for pixels, cells in sides)
    axes.pcolormesh(
        columns, rows, class_map.float().numpy(force=True), cmap=scale.colours, vmin=scale.lowest, vmax=scale.highest,
        alpha=OPACITY, edgecolors="white", linewidth=0.4,
    )  # fmt: skip
    axes.spines[:].set(visible=True, color=OUTLINE, linewidth=0.6)  # near zero, map and page are equally pale
    if grid.pool == "max" and class_map.max() > class_map.min():  # in a map of equal cells, none is the highest
        row, column = divmod(int(class_map.argmax()), class_map.shape[1])
        axes.add_patch(
            Rectangle(
                (columns[column], rows[row]), np.diff(columns)[column], np.diff(rows)[row],
                fill=False, edgecolor=INK, linewidth=1.5, path_effects=[withStroke(linewidth=3.5, foreground="white")],
            )
        )  # fmt: skip


def has_negative(maps: Float[Tensor, "..."]) -> bool:
    """Return whether a cell of the maps speaks against its class."""
    return bool((maps < 0).any())


def colour_scale(maps: Float[Tensor, "..."], *, signed: bool) -> Scale:
    """Return the colour scale that the maps share: from 0 to their highest cell.

    If they are `signed`, it is symmetric: as far below 0 as above, up to the cell that is farthest from 0.
    """
    farthest = float(maps.abs().max()) if signed else float(maps.max())
    highest = farthest if farthest > 0 else 1.0  # the maps of a dead network are all 0, or NaN
    return Scale(highest, signed)


def decimal(value: float) -> str:
    """Write a number with one decimal, a minus sign as long as a plus, and no sign at 0."""
    return f"{value:z.1f}".replace("-", "−")


def draw_key(axes: Axes) -> None:
    """Draw from left to right what the colours of signed maps mean, for maps that have different scales."""
    _draw_colours(axes, Scale(1.0, signed=True), horizontal=True)
    axes.set_xticks([0], ["0"], fontsize=8)
    axes.tick_params(length=2, pad=1.5)
    for place, text, alignment in ((-0.06, "evidence against", "right"), (1.06, "for", "left")):
        axes.text(place, 0.45, text, fontsize=8, ha=alignment, va="center", transform=axes.transAxes)


def _draw_colour_bar(axes: Axes, scale: Scale) -> None:
    """Draw the colours that `draw_class_map` uses, from the lowest value at the bottom to the highest."""
    _draw_colours(axes, scale)
    ticks = [scale.lowest, 0, scale.highest] if scale.signed else [0, scale.highest]
    axes.set_yticks(ticks, [decimal(tick) if tick else "0" for tick in ticks], fontsize=8)
    axes.yaxis.tick_right()
    axes.tick_params(length=2)
    if scale.signed:
        for place, text, alignment in ((1.05, "for", "bottom"), (-0.05, "against", "top")):
            axes.text(0, place, text, fontsize=8, va=alignment, transform=axes.transAxes)


def _draw_colours(axes: Axes, scale: Scale, *, horizontal: bool = False) -> None:
    axes.set_facecolor(str((1 + scale.darkest) / 2))  # of an average image, so that the colours look as in a map
    colours, extent = np.linspace(0, 1, 256)[:, np.newaxis], (0, 1, scale.lowest, scale.highest)
    if horizontal:
        colours, extent = colours.T, (*extent[2:], *extent[:2])
    axes.imshow(colours, cmap=scale.colours, alpha=OPACITY, origin="lower", extent=extent, aspect="auto")


def _footnote(grid: CellGrid, size: int, rows: int, columns: int, *, signed: bool) -> str:
    if rows == columns == 1:
        return "A class map of one cell covers the whole image: it shows how strong the evidence is, but not where."
    side = f"{rows}×{columns}"
    logit = f"Framed: the highest of {side} cells, whose value is the logit."
    if grid.pool == "avg":
        logit = f"The mean of the {side} cells is the logit."
    colours = ": blue is for the class, orange against it" if signed else ""
    widths = size * np.diff(grid.edges(size, columns))
    at_the_edges = "" if np.allclose(widths, grid.stride) else " (at the edges narrower or wider)"
    reach = (grid.receptive_field - 1) / 2
    return (
        f"{logit} The maps of an image share one colour scale{colours}.\n"
        f"Cells are {grid.stride} pixels apart{at_the_edges} and each sees {reach:g} pixels on each side of its "
        f"centre; the network's input is {size}×{size} pixels."
    )
