"""What do the tags of a TIFF say, and of EXIF, which is laid out like one? Read and rewritten without decoding."""

import struct
from collections.abc import Mapping, Set
from typing import Final

from nin.errors import PhotoError

_MOST_TAGS: Final = 4096
_MOST_VALUES: Final = 200_000  # of a tag: a colour map of 16 bits has 196,608
_TYPES: Final = {1: "B", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q"}  # TIFF 6.0 and BigTIFF

_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 11: 4, 13: 4}  # bytes of one value; 8 of all others


class Directory:
    """The first directory of a TIFF or BigTIFF, in either byte order. A damaged one is empty, or has fewer tags."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.large = 43 in data[2:4]
        self._entry = struct.Struct(self.order + ("HHQ8s" if self.large else "HHI4s"))  # tag, type, count, value
        self._entries: dict[int, tuple[int, int, bytes]] = {}
        try:
            (start,) = struct.unpack_from(self.order + "IQ"[self.large], data, 8 if self.large else 4)
            (count,) = struct.unpack_from(self.order + "HQ"[self.large], data, start)
        except struct.error:
            return
        if count > _MOST_TAGS:
            raise PhotoError(f"{count:,} tags are too many, where {_MOST_TAGS:,} are read; save it as PNG")
        first = start + (8 if self.large else 2)
        whole = min(count, (len(data) - first) // self._entry.size)
        for tag, kind, values, value in self._entry.iter_unpack(data[first : first + whole * self._entry.size]):
            self._entries.setdefault(tag, (kind, values, value))

    def count(self, tag: int) -> int:
        """Return how many values a tag claims to have; 0 without the tag."""
        return self._entries.get(tag, (0, 0, b""))[1]

    def values(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return the integers of a tag (two for each fraction); `default` where it is missing, damaged or too long."""
        kind, count, value = self._entries.get(tag, (0, 0, b""))
        if kind not in _TYPES or not 0 < count <= _MOST_VALUES:
            return default
        one = struct.calcsize("=" + _TYPES[kind])
        if one * count > len(value):
            (offset,) = struct.unpack(self.order + "IQ"[self.large], value)
            value = self.data[offset : offset + one * count]
        if len(value) < one * count:
            return default
        return struct.unpack_from(f"{self.order}{count * len(_TYPES[kind])}{_TYPES[kind][0]}", value)

    def rewritten(self, keep: Set[int], changes: Mapping[int, int | None]) -> bytes:
        """Return the file as a plain TIFF with one directory: tags to `keep`, some changed to a number or left out.

        Everything else stays where it was. A BigTIFF becomes a TIFF, for Pillow reads those in one byte order only.
        """
        data = bytearray(self.data)
        data += bytes(len(data) % 2)
        packed: dict[int, bytes] = {}
        for tag in self._entries.keys() & keep:
            kind, count, value = self._entries[tag]
            if count > _MOST_VALUES:
                continue
            if kind == 16:  # 64 bits
                kind, value = 4, struct.pack(f"{self.order}{count}I", *self.values(tag))
            elif self.large and _SIZES.get(kind, 8) * count > 8:
                value = struct.pack(self.order + "I", *struct.unpack(self.order + "Q", value))
            elif self.large:
                value = value[: _SIZES.get(kind, 8) * count]
            if len(value) > 4:
                value, data = struct.pack(self.order + "I", len(data)), data + value + bytes(len(value) % 2)
            packed[tag] = struct.pack(self.order + "HHI4s", tag, kind, count, value)
        for tag, number in changes.items():
            packed.pop(tag, None)
            if number is not None:
                packed[tag] = struct.pack(self.order + "HHIHxx", tag, 3, 1, number)
        data[:8] = (b"II" if self.order == "<" else b"MM") + struct.pack(self.order + "HI", 42, len(data))
        data += struct.pack(self.order + "H", len(packed)) + b"".join(packed[tag] for tag in sorted(packed)) + bytes(4)
        return bytes(data)
