"""What do the tags of a TIFF say, and of EXIF, which is laid out like one? Read and rewritten without decoding."""

import struct
from collections.abc import Container, Mapping
from typing import Final

from nin.errors import PhotoError

_MOST_TAGS: Final = 4096
_TYPES: Final = {1: "B", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q"}  # TIFF 6.0 and BigTIFF


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
        """Return the integers of a tag (two for each fraction), or `default` where it is missing or damaged."""
        kind, count, value = self._entries.get(tag, (0, 0, b""))
        if kind not in _TYPES or count == 0:
            return default
        one = struct.calcsize("=" + _TYPES[kind])
        if one * count > len(value):
            (offset,) = struct.unpack(self.order + "IQ"[self.large], value)
            value = self.data[offset : offset + one * count]
        if len(value) < one * count:
            return default
        return struct.unpack_from(f"{self.order}{count * len(_TYPES[kind])}{_TYPES[kind][0]}", value)

    def rewritten(self, keep: Container[int], changes: Mapping[int, int | None]) -> bytes:
        """Return the file with one directory of the tags to `keep`, those in `changes` set to a number or dropped."""
        entries = {tag: entry for tag, entry in self._entries.items() if tag in keep}
        for tag, number in changes.items():
            entries.pop(tag, None)
            if number is not None:
                entries[tag] = (3, 1, struct.pack(self.order + "H", number))
        header = (b"II" if self.order == "<" else b"MM") + struct.pack(self.order + "H", 43 if self.large else 42)
        body = self.data[16:] if self.large else self.data[8:]
        padding = bytes(len(body) % 2)
        at = len(body) + len(padding)
        if self.large:
            header += struct.pack(self.order + "HHQ", 8, 0, 16 + at)
            end = struct.pack(self.order + "Q", len(entries))
        else:
            header += struct.pack(self.order + "I", 8 + at)
            end = struct.pack(self.order + "H", len(entries))
        packed = [self._entry.pack(tag, *entry) for tag, entry in sorted(entries.items())]
        return b"".join([header, body, padding, end, *packed, bytes(8)])
