"""What do figures share? Colours and sizes, text cut to fit, panels placed in inches, and the way into a file."""

import io
from bisect import bisect_right
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.style import context
from matplotlib.textpath import text_to_path
from torch import Tensor

WIDTH = 9  # inches; a page shows it about 900 pixels wide, so a point is 1.4 pixels
DPI = 130
INK, GREY = "#222222", "#5f5f5f"
GREEN, RED, BLUE = "#1a6e3c", "#b3261e", "#0b5c9e"

# Every figure is drawn and written under `matplotlib.style.context(["default", STYLE])`, so that the user's settings
# change nothing. Writing reads settings too: the font size, for instance, decides how many ticks an axis has.
STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # a "$" in a class name is a dollar, not the start of a formula
    "text.color": INK,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def fit_line(text: str, width: int | float, size: int | float, pattern: str = "{}", weight: str = "normal") -> str:
    """Return `text` as one line that fits the width, set into `pattern` in place of its "{}".

    Text that is too long loses its middle to an ellipsis. White space of any kind becomes a space; a character that
    cannot be printed, or that the font lacks, becomes "�".

    Args:
        text: the part that may be shortened.
        width: the room for the whole line, in inches.
        size: the font size in points.
        pattern: the text around it, which is kept whole.
        weight: the font weight, "normal" or "bold".

    """
    font = FontProperties(weight=weight, size=size)
    known = get_font(findfont(font)).get_charmap()
    text = " ".join(text.split())
    text = "".join(letter if letter.isprintable() and ord(letter) in known else "�" for letter in text)

    def shortened(letters: int) -> str:
        ends = text[: (letters + 1) // 2], text[len(text) - letters // 2 :]
        return pattern.format(text if letters == len(text) else "…".join(ends))

    def inches(letters: int) -> float:
        points = text_to_path.get_text_width_height_descent(shortened(letters), font, ismath=False)[0]
        return 1.03 * points / 72  # letters are drawn at whole pixels, so a line may come out wider than computed

    if inches(len(text)) <= width:
        return shortened(len(text))
    return shortened(max(0, bisect_right(range(len(text)), width, key=inches) - 1))


def add_panel(figure: Figure, left: int | float, top: int | float, width: int | float, height: int | float) -> Axes:
    """Add axes without ticks and spines at a place in inches; `left` and `top` count from the upper left corner."""
    figure_width, figure_height = figure.get_size_inches()
    bottom = 1 - (top + height) / figure_height
    place = (left / figure_width, bottom, width / figure_width, height / figure_height)
    axes = figure.add_axes(place, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def rgb_pixels(image: UInt8[Tensor, "channels height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """Return an image of 1 or 3 channels as matplotlib takes it; a single channel is repeated."""
    return image.expand(3, *image.shape[1:]).permute(1, 2, 0).numpy(force=True)


def settle_layout(figure: Figure) -> Figure:
    """Run the layout engine once and switch it off, and return the figure.

    The engine moves things slightly at every drawing, so a figure drawn twice would not give the same bytes.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


@context(["default", STYLE])
def to_png(figure: Figure) -> bytes:
    """Return the figure as a PNG file; the same figure always gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    return file.getvalue()


@context(["default", STYLE])
def to_svg(figure: Figure) -> bytes:
    """Return the figure as an SVG file whose text is stored as text; the same figure always gives the same bytes."""
    file = io.BytesIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nin"}):
        figure.savefig(file, format="svg", bbox_inches="tight", metadata=no_metadata)
    return file.getvalue()
