"""What does a TIFF say about its samples: how many, of which bits, colours, planes and compression?"""

import math
from dataclasses import dataclass
from typing import Final, NoReturn

from nin.data.photos.photo_colour import MAX_PIXELS, check_size
from nin.data.photos.tiff_tags import Directory
from nin.errors import PhotoError

_MOST_STRIPS: Final = 100_000  # Pillow keeps 300 bytes for each
_COMPRESSIONS: Final = {
    1: "uncompressed", 2: "CCITT RLE", 3: "CCITT G3", 4: "CCITT G4", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "Deflate",
    32771: "CCITT RLE/W", 32773: "PackBits", 32946: "Deflate", 34925: "LZMA", 50000: "Zstandard",
}  # fmt: skip
_UNREAD: Final = {34712: "JPEG 2000", 34892: "lossy JPEG", 34933: "PNG", 50001: "WebP", 50002: "JPEG XL"}
PHOTOMETRICS: Final = {
    0: ("grey with white at zero", 1), 1: ("grey", 1), 2: ("RGB", 3), 3: ("palette", 1), 5: ("CMYK", 4),
    6: ("YCbCr", 3), 8: ("CIELab", 3),
}  # fmt: skip
SAMPLE_FORMATS: Final = {1: "u", 2: "i", 3: "f"}


@dataclass(frozen=True)
class Layout:
    """What the tags of a TIFF say about its samples, with TIFF's own numbers; checked by `layout_of`."""

    width: int
    height: int
    bits: int
    samples: int
    format: int  # 1 unsigned, 2 signed, 3 float
    photometric: int
    extra: tuple[int, ...]  # 1 alpha that the colours were multiplied with, 2 alpha, others unknown
    separate: bool
    compression: int

    def __str__(self) -> str:
        numbers = {1: "bits", 2: "bits (signed)", 3: "bits (float)"}.get(self.format, f"bits (format {self.format})")
        colours = PHOTOMETRICS.get(self.photometric, (f"photometric {self.photometric}", 0))[0]
        return (
            f"{self.samples} x {self.bits} {numbers}, {colours}"
            f"{', separate planes' if self.separate else ''}"
            f", {(_COMPRESSIONS | _UNREAD).get(self.compression, f'compression {self.compression}')}"
        )

    def refuse(self, why: str = "is not supported", cause: Exception | None = None) -> NoReturn:
        """Raise the PhotoError that says what the file has."""
        raise PhotoError(f"a TIFF of {self} {why}; save it as PNG") from cause


def layout_of(tags: Directory) -> Layout:
    """Read and check the tags of a TIFF. PhotoError for more than is safe to read, or what no reader could know."""
    if max(tags.count(273), tags.count(324)) > _MOST_STRIPS:
        raise PhotoError(f"a TIFF in too many strips, where {_MOST_STRIPS:,} are read; save it again")
    width, height = tags.values(256)[:1], tags.values(257)[:1]
    if not width or not height:
        raise PhotoError("a TIFF without a width and height, damaged or cut off; download it again")
    check_size((width[0], height[0]))
    _check_tiles(tags, width[0], height[0])
    bits, formats = tags.values(258, (1,)), tags.values(339, (1,))
    compression = tags.values(259, (1,))[0]
    photometric = 6 if compression == 6 else tags.values(262, (0,))[0]
    samples = tags.values(277, (3 if compression == 6 else 1,))[0]
    colours = PHOTOMETRICS.get(photometric, ("", samples))[1]
    extra = tags.values(338)
    if photometric == 2 and samples == 4 and not extra:
        extra = (2,)  # as Pillow and others take it
    layout = Layout(
        width[0], height[0], max(bits), samples, 1 if formats[0] == 4 else formats[0], photometric, extra,
        tags.values(284, (1,))[0] == 2 and samples > 1, compression,
    )  # fmt: skip
    if compression not in _COMPRESSIONS or photometric not in PHOTOMETRICS or layout.format not in SAMPLE_FORMATS:
        layout.refuse()
    if len(set(bits)) > 1 or len(set(formats)) > 1:
        layout.refuse("whose samples differ in kind is not supported")
    if samples != colours + len(extra) or samples > 8:
        layout.refuse(f"that says of {len(extra)} samples beyond its colours what they are is not supported")
    if photometric == 5 and tags.values(332, (1,))[0] != 1:
        layout.refuse("whose inks are not CMYK is not supported")
    return layout


def _check_tiles(tags: Directory, width: int, height: int) -> None:
    """Check that the tiles hold not many more pixels than the image has. PhotoError where they would take hours."""
    wide, high = (tags.values(tag, (1,))[0] for tag in (322, 323))
    if tags.count(324) and wide and high:
        held = math.ceil(width / wide) * wide * math.ceil(height / high) * high
        if held > 2 * MAX_PIXELS:
            raise PhotoError(f"a TIFF whose tiles of {wide} x {high} hold {held:,} pixels, too many; save it again")
