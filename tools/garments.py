"""How do garments look that a shop has photographed on white? Drawn by us, for the tests and for the documentation.

`python tools/garments.py` writes them to docs/garments, the same bytes each time.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

WIDTH, HEIGHT = 400, 500
FINE = 4  # drawn so many times larger, then shrunk: smooth edges

Points = Sequence[tuple[float, float]]
Colour = tuple[int, int, int]


def scaled(points: Points) -> list[tuple[float, float]]:
    """Return points in the pixels of the enlarged drawing."""
    return [(x * FINE, y * FINE) for x, y in points]


def mirrored(half: Points) -> Points:
    """Close an outline, given from the top of the middle down its right side, by the same on the left."""
    return [*half, *((WIDTH - x, y) for x, y in reversed(half))]


def blank(mode: str, colour: int | Colour) -> Image.Image:
    """Return an enlarged drawing of one colour."""
    return Image.new(mode, (WIDTH * FINE, HEIGHT * FINE), colour)


def shape(*outlines: Points, soft: float = 4) -> Image.Image:
    """Fill outlines, with corners rounded by about `soft` pixels: what was blurred is cut at one half."""
    mask = blank("L", 0)
    for outline in outlines:
        ImageDraw.Draw(mask).polygon(scaled(outline), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(soft * FINE)).point([0] * 128 + [255] * 128)


def oval(left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Return the mask of an ellipse in a box."""
    mask = blank("L", 0)
    ImageDraw.Draw(mask).ellipse(scaled([(left, top), (right, bottom)]), fill=255)
    return mask


def lines(paths: Sequence[Points], width: float, soft: float = 0) -> Image.Image:
    """Return the mask of lines, `width` pixels wide and blurred by `soft`."""
    mask = blank("L", 0)
    for path in paths:
        ImageDraw.Draw(mask).line(scaled(path), fill=255, width=round(width * FINE), joint="curve")
    return mask.filter(ImageFilter.GaussianBlur(soft * FINE)) if soft else mask


def both_sides(paths: Sequence[Points]) -> list[Points]:
    """Return paths of the right side and the same of the left."""
    return [*paths, *([(WIDTH - x, y) for x, y in path] for path in paths)]


class Photograph:
    """A garment that grows by parts, on white."""

    def __init__(self) -> None:
        self.image = blank("RGB", (255, 255, 255))

    def cloth(self, mask: Image.Image, colour: Colour, rounding: float = 18) -> None:
        """Lay a piece of cloth of the shape of `mask`: darker towards its edges, as round things are."""
        self.image.paste(colour, mask=mask)
        middle = mask.filter(ImageFilter.GaussianBlur(rounding * FINE))
        edge = ImageChops.multiply(ImageChops.invert(middle), mask).point(lambda value: value * 0.45)
        self.image.paste((0, 0, 0), mask=edge)

    def shade(self, marks: Image.Image, within: Image.Image, strength: float, light: bool = False) -> None:
        """Darken or lighten the cloth `within` where the marks are."""
        mask = ImageChops.multiply(marks, within).point(lambda value: value * strength)
        self.image.paste((255, 255, 255) if light else (0, 0, 0), mask=mask)

    def finished(self) -> Image.Image:
        """Return the photograph at its own size."""
        return self.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def t_shirt() -> Image.Image:
    """Draw a T-shirt."""
    photograph = Photograph()
    body = [(200, 52), (244, 40), (306, 64), (372, 158), (318, 190), (294, 158), (298, 466), (200, 470)]
    cloth = ImageChops.subtract(shape(mirrored(body)), oval(157, 0, 243, 84))
    photograph.cloth(shape([(154, 44), (246, 44), (246, 88), (154, 88)]), (46, 92, 116))  # the back, in the neck
    photograph.cloth(cloth, (64, 122, 150))
    photograph.shade(lines(both_sides([[(292, 84), (284, 130), (293, 160)]]), 2.5, 1), cloth, 0.6)  # sleeve seams
    folds = both_sides([[(286, 170), (262, 250), (268, 330)], [(292, 300), (250, 400)], [(230, 120), (250, 190)]])
    photograph.shade(lines(folds, 8, 7), cloth, 0.45)
    photograph.shade(lines(both_sides([[(232, 210), (238, 420)]]), 14, 9), cloth, 0.25, light=True)
    hems = [[(80, 456), (320, 456)], *both_sides([[(312, 182), (366, 151)]])]
    photograph.shade(lines(hems, 1.5), cloth, 0.5)
    collar = ImageChops.subtract(oval(149, -8, 251, 93), oval(157, 0, 243, 84))
    photograph.shade(collar, cloth, 0.3)
    return photograph.finished()


def trousers() -> Image.Image:
    """Draw trousers."""
    photograph = Photograph()
    half = [(200, 18), (262, 16), (268, 60), (284, 150), (282, 300), (268, 484), (218, 484), (212, 330), (203, 176)]
    cloth = shape(mirrored(half), soft=3)
    photograph.cloth(cloth, (58, 76, 118), rounding=14)
    fly = [[(130, 42), (270, 42)], [(200, 42), (201, 178)], [(210, 42), (213, 120), (201, 140)]]
    photograph.shade(lines(fly, 2), cloth, 0.6)
    pockets = both_sides([[(236, 42), (244, 76), (276, 84)], [(277, 120), (272, 300), (260, 482)]])
    photograph.shade(lines(pockets, 2), cloth, 0.6)
    photograph.shade(lines(both_sides([[(246, 170), (244, 300), (242, 440)]]), 22, 10), cloth, 0.3, light=True)
    creases = [[(206, 178), (250, 200)], [(208, 190), (240, 226)], [(216, 300), (262, 314)], [(264, 330), (222, 344)]]
    photograph.shade(lines(both_sides(creases), 5, 4), cloth, 0.5)
    photograph.shade(lines([[(x, 16), (x, 40)] for x in (150, 175, 225, 250)], 5), cloth, 0.4)  # belt loops
    photograph.shade(lines(both_sides([[(214, 474), (272, 474)]]), 1.5), cloth, 0.6)
    return photograph.finished()


def pullover() -> Image.Image:
    """Draw a pullover."""
    photograph = Photograph()
    body = [
        (200, 58), (240, 44), (296, 66), (330, 130), (366, 410), (360, 440), (318, 440), (292, 210), (296, 440),
        (290, 462), (200, 464),
    ]  # fmt: skip
    cloth = ImageChops.subtract(shape(mirrored(body)), oval(162, 4, 238, 80))
    photograph.cloth(shape([(156, 48), (244, 48), (244, 86), (156, 86)]), (104, 38, 48))
    photograph.cloth(cloth, (142, 54, 66))
    cuffs = both_sides([[(x, 414), (x + 2, 446)] for x in range(312, 370, 6)])
    photograph.shade(lines([[(x, 436), (x, 470)] for x in range(100, 304, 6)] + cuffs, 2), cloth, 0.35)
    photograph.shade(lines([[(100, 434), (300, 434)], *both_sides([[(312, 412), (372, 408)]])], 2, 1), cloth, 0.5)
    knit = [[(30, y), (370, y)] for y in range(70, 430, 8)]
    photograph.shade(lines(knit, 2, 1), cloth, 0.1)
    elbow = [[(318, 240), (338, 250)], [(326, 300), (350, 306)]]
    folds = [[(290, 92), (280, 150), (292, 214)], [(292, 230), (256, 320)], *elbow]
    photograph.shade(lines(both_sides(folds), 7, 5), cloth, 0.5)
    shine = both_sides([[(230, 150), (236, 400)], [(326, 190), (346, 390)]])
    photograph.shade(lines(shine, 12, 8), cloth, 0.2, light=True)
    collar = ImageChops.subtract(oval(150, -8, 250, 94), oval(162, 4, 238, 80))
    photograph.shade(collar, cloth, 0.3)
    return photograph.finished()


def dress() -> Image.Image:
    """Draw a dress."""
    photograph = Photograph()
    body = [
        (200, 66), (222, 62), (230, 18), (248, 18), (256, 70), (262, 104), (246, 190), (262, 250), (300, 474),
        (200, 484),
    ]  # fmt: skip
    cloth = shape(mirrored(body), soft=3)
    photograph.cloth(cloth, (46, 118, 92), rounding=14)
    pleats = both_sides([[(206, 206), (212, 480)], [(220, 206), (244, 478)], [(234, 208), (276, 474)]])
    photograph.shade(lines(pleats, 7, 4), cloth, 0.55)
    shine = both_sides([[(213, 210), (228, 478)], [(228, 210), (260, 476)]])
    photograph.shade(lines(shine, 8, 5), cloth, 0.3, light=True)
    photograph.shade(shape([(140, 186), (260, 186), (260, 204), (140, 204)]), cloth, 0.4)  # belt
    photograph.shade(lines(both_sides([[(258, 110), (226, 140)], [(222, 64), (214, 120)]]), 3, 2), cloth, 0.4)
    return photograph.finished()


def ankle_boot() -> Image.Image:
    """Draw an ankle boot."""
    photograph = Photograph()
    upper = [
        (206, 96), (340, 84), (346, 120), (338, 210), (352, 300), (352, 360), (34, 366), (28, 330), (52, 302),
        (120, 276), (186, 240), (210, 180),
    ]  # fmt: skip
    cloth = shape(upper, soft=7)
    sole = shape([(26, 358), (354, 352), (356, 420), (272, 420), (262, 384), (30, 384)], soft=3)
    photograph.cloth(cloth, (122, 78, 48))
    photograph.cloth(sole, (54, 40, 32), rounding=4)
    toe = [(60, 356), (120, 306), (196, 300), (252, 312)]
    seams = [[(208, 116), (342, 106)], [(196, 232), (250, 290), (262, 356)], [(262, 300), (354, 292)], toe]
    photograph.shade(lines(seams, 2.5, 0.6), cloth, 0.7)
    elastic = shape([(250, 104), (300, 100), (296, 250), (262, 252)], soft=6)
    photograph.shade(elastic, cloth, 0.35)
    photograph.shade(lines([[(x, 100), (x, 250)] for x in range(252, 300, 5)], 1.5), elastic, 0.4)
    photograph.shade(lines([[(206, 250), (246, 232)], [(214, 218), (250, 206)]], 5, 3), cloth, 0.5)
    shine = [[(70, 318), (110, 298), (170, 280)], [(230, 130), (226, 210)]]
    photograph.shade(lines(shine, 10, 7), cloth, 0.45, light=True)
    return photograph.finished()


def bag() -> Image.Image:
    """Draw a bag."""
    photograph = Photograph()
    ring = ImageChops.subtract(oval(118, 60, 282, 330), oval(134, 76, 266, 314))
    handle = ImageChops.multiply(ring, shape([(100, 40), (300, 40), (300, 212), (100, 212)]))
    photograph.cloth(handle, (96, 58, 34), rounding=5)
    half = [(200, 190), (308, 190), (330, 206), (364, 424), (356, 448), (200, 452)]
    cloth = shape(mirrored(half), soft=7)
    photograph.cloth(cloth, (168, 108, 62))
    flap = shape(mirrored([(200, 190), (308, 190), (328, 204), (336, 250), (300, 292), (200, 304)]), soft=8)
    photograph.shade(flap, cloth, 0.18)
    rim = ImageChops.subtract(flap, ImageChops.offset(flap, 0, -4 * FINE))
    photograph.shade(rim, cloth, 0.6)
    photograph.shade(lines([[(48, 436), (352, 436)], *both_sides([[(318, 262), (346, 430)]])], 2), cloth, 0.5)
    photograph.shade(lines([[(110, 214), (290, 214)], [(90, 350), (310, 350)]], 18, 12), cloth, 0.25, light=True)
    photograph.cloth(shape([(186, 286), (214, 286), (214, 322), (186, 322)]), (206, 178, 96), rounding=3)  # clasp
    return photograph.finished()


GARMENTS: dict[str, Callable[[], Image.Image]] = {
    "t-shirt": t_shirt,
    "trousers": trousers,
    "pullover": pullover,
    "dress": dress,
    "ankle-boot": ankle_boot,
    "bag": bag,
}

if __name__ == "__main__":
    folder = Path(__file__).parents[1] / "docs/garments"
    folder.mkdir(exist_ok=True)
    for name, draw in GARMENTS.items():
        draw().save(folder / f"{name}.jpg", quality=85)
