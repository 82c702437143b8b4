"""Which photos can a network learn in seconds? Coloured shapes, drawn in mixed formats and sizes, in class folders."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "two stripes")
FORMATS = ("png", "jpg", "webp", "gif", "bmp", "tif")


def draw(shape: str, number: int, *, grey: bool = False) -> Image.Image:
    """Draw a shape of some colour, size and place, on some background; another for each number."""
    random = np.random.default_rng([SHAPES.index(shape), number])
    width, height = (int(side) for side in random.integers(40, 160, 2))
    back, ink = (tuple(int(value) for value in random.integers(low, low + 90, 3)) for low in (160, 0))
    image = Image.new("RGB", (width, height), back)
    side = int(random.uniform(0.5, 0.8) * min(width, height))
    left, top = (int(random.integers(0, room - side + 1)) for room in (width, height))
    pen, box = ImageDraw.Draw(image), (left, top, left + side, top + side)
    match shape:
        case "circle":
            pen.ellipse(box, fill=ink)
        case "square":
            pen.rectangle(box, fill=ink)
        case _:
            pen.rectangle((left, top, left + side // 4, top + side), fill=ink)
            pen.rectangle((left + side // 2, top, left + 3 * side // 4, top + side), fill=ink)
    return image.convert("L") if grey else image


def write_photos(
    folder: Path, each: int, shapes: Sequence[str] = SHAPES, first: int = 0, *, grey: bool = False
) -> Path:
    """Write `each` drawings of every shape into `folder/SHAPE/`, in all formats in turn, and return the folder."""
    for shape in shapes:
        (folder / shape).mkdir(parents=True)
        for number in range(first, first + each):
            kind = FORMATS[number % len(FORMATS)]
            draw(shape, number, grey=grey).save(folder / shape / f"{number}.{kind}")
    return folder
