"""Is an IDX file read only if it holds exactly what it should, and is every defect told in one line?"""

import gzip
import hashlib
import os
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from data.idx_files import GOOD, LABELS, OTHER, PACKED, SHAPES, SMALL, any_idx, flip_a_bit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nin.data.sources.idx import read_any_idx, read_idx, read_idx_labels
from nin.errors import DataError


def read(path: Path) -> torch.Tensor:
    """Read a file that should hold what `SMALL` has under its name."""
    name = path.name.removesuffix(".gz")
    return read_idx(path, SHAPES[name], hashlib.sha256(SMALL[name]).hexdigest())


def defect(path: Path) -> str:
    """Return the one line of the DataError that reading must end in."""
    with pytest.raises(DataError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("suffix", [".gz", ""])
def test_a_good_file_gives_its_bytes_in_their_shape_packed_or_plain(tmp_path: Path, name: str, suffix: str):
    path = tmp_path / f"{name}{suffix}"
    path.write_bytes(gzip.compress(SMALL[name]) if suffix else SMALL[name])
    values = read(path)
    assert (values.dtype, tuple(values.shape)) == (torch.uint8, SHAPES[name])
    assert values.flatten().tolist() == list(SMALL[name][-values.numel() :])


DEFECTS = {
    "cut off": ("", GOOD[:15], "holds 15 bytes and needs 28$"),
    "empty": ("", b"", "holds 0 bytes and needs 28$"),
    "too long": ("", GOOD + b"\0", "holds too many bytes and needs 28$"),
    "flipped": ("", flip_a_bit(GOOD, 20), "SHA-256 starts with .* damaged"),
    "other labels": ("", OTHER, "SHA-256 starts with 4147652a, and 1fa0406e was expected: .* MNIST"),
    "a web page": ("", b"<html>Not found</html>", "magic number is 0x3c68746d, and 0x00000801 was expected"),
    "images": ("", SMALL["t10k-images-idx3-ubyte"], "magic number is 0x00000803, and 0x00000801 was expected"),
    "another part": ("", SMALL["train-labels-idx1-ubyte"], r"shape \(30,\), and \(20,\) was expected"),
    "gzip cut off": (".gz", PACKED[:-12], "cut off"),
    "gzip cut off in its header": (".gz", PACKED[:7], "cut off"),
    "gzip empty": (".gz", b"", "holds 0 bytes and needs 28$"),
    "gzip flipped": (".gz", flip_a_bit(PACKED, 15), "damaged"),
    "gzip's checksum flipped": (".gz", flip_a_bit(PACKED, len(PACKED) - 6), "damaged.*CRC"),
    "gzip of no known kind of block": (".gz", PACKED[:10] + b"\7" + PACKED[11:], "damaged.*invalid block type"),
    "gzip and then more": (".gz", PACKED + b"more", "damaged or not a gzip"),
    "no gzip": (".gz", GOOD, "not a gzip"),
    "gzip of a file cut off": (".gz", gzip.compress(GOOD[:15]), "holds 15 bytes and needs 28$"),
    "gzip of other labels": (".gz", gzip.compress(OTHER), "MNIST"),
}


@pytest.mark.parametrize("kind", DEFECTS)
def test_each_defect_is_told(tmp_path: Path, kind: str):
    suffix, written, said = DEFECTS[kind]
    path = tmp_path / f"{LABELS}{suffix}"
    path.write_bytes(written)
    assert re.search(said, defect(path))


@pytest.mark.parametrize("kind", ["folder", "missing", "link to itself", "forbidden"])
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, kind: str):
    path = tmp_path / f"{LABELS}.gz"
    if kind == "forbidden":
        path.write_bytes(PACKED)
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("root may read everything")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to itself":
        path.symlink_to(path)
    assert re.fullmatch(r"it cannot be read \(.+\)", defect(path))


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(list(SMALL)), suffix=st.sampled_from(["", ".gz"]), draw=st.data())
def test_no_damage_goes_through_or_ends_in_another_exception(
    tmp_path: Path, name: str, suffix: str, draw: st.DataObject
):
    content = gzip.compress(SMALL[name]) if suffix else SMALL[name]
    position = draw.draw(st.integers(0, len(content) - 1))
    cut, mask = draw.draw(st.booleans()), draw.draw(st.integers(1, 255))
    damaged = content[:position] + (b"" if cut else bytes([content[position] ^ mask]) + content[position + 1 :])
    path = tmp_path / f"{name}{suffix}"
    path.write_bytes(damaged)
    try:
        read(path)
    except DataError:
        return
    assert suffix
    assert gzip.decompress(damaged) == SMALL[name]  # gzip's date, say, or the bits that fill its last byte


def test_a_file_that_would_inflate_without_end_is_left_at_the_expected_size(tmp_path: Path):
    path = tmp_path / f"{LABELS}.gz"
    path.write_bytes(gzip.compress(GOOD + bytes(50_000_000), 1))
    tracemalloc.start()
    assert "too many bytes" in defect(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


# --- Files of any content ---


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("shape", [(7,), (3, 4), (5, 4, 3), (2, 3, 4, 5)])
def test_bytes_of_any_rank_are_read(tmp_path: Path, shape: tuple[int, ...], suffix: str):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / f"any{suffix}"
    path.write_bytes(gzip.compress(any_idx(values)) if suffix else any_idx(values))
    found = read_any_idx(path)
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), values)
    found += 1  # it is the caller's own


@pytest.mark.parametrize(("kind", "dtype"), [(0x08, "u1"), (0x0B, "i2"), (0x0C, "i4")])
def test_labels_of_every_integer_type_come_out_as_int64(tmp_path: Path, kind: int, dtype: str):
    values = np.array([0, 100, 7] if dtype == "u1" else [0, 300, -7], dtype=dtype)
    path = tmp_path / "labels"
    path.write_bytes(any_idx(values, kind))
    found = read_idx_labels(path)
    assert (found.dtype, found.tolist()) == (torch.int64, values.tolist())


HUGE = struct.pack(">4I", 0x803, 70_000, 300, 300)
ANY_DEFECTS = {
    "empty": ("", b"", "no IDX file of 1 to 4 dimensions: it starts with 0x$"),
    "a web page": ("", b"<html>", "no IDX file of 1 to 4 dimensions: it starts with 0x3c68746d$"),
    "an unknown type": ("", b"\0\0\x0a\1" + bytes(9), "no IDX file"),
    "no dimension": ("", b"\0\0\x08\0" + bytes(9), "no IDX file"),
    "five dimensions": ("", any_idx(np.zeros((1, 1, 1, 1, 1), np.uint8)), "no IDX file of 1 to 4 dimensions"),
    "half a header": ("", any_idx(np.zeros((2, 2), np.uint8))[:9], "ends within its header$"),
    "cut off": ("", any_idx(np.zeros((2, 2), np.uint8))[:-1], r"holds 3 bytes .* shape \(2, 2\) in that needs 4$"),
    "too long": ("", any_idx(np.zeros((2, 2), np.uint8)) + b"\0", "holds more bytes .* needs 4$"),
    "too large": ("", HUGE, r"shape \(70000, 300, 300\): 6,300,000,000 bytes, and from 1 to 4,294,967,296 are taken$"),
    "without images": ("", any_idx(np.zeros((0, 2), np.uint8)), r"shape \(0, 2\): 0 bytes"),
    "signed bytes": ("", any_idx(np.zeros(3, "i1"), 0x09), "holds signed bytes, and images are unsigned bytes$"),
    "shorts": ("", any_idx(np.zeros(3, "i2"), 0x0B), "holds 16-bit integers"),
    "integers": ("", any_idx(np.zeros(3, "i4"), 0x0C), "holds 32-bit integers"),
    "floats": ("", any_idx(np.zeros(3, "f4"), 0x0D), "holds 32-bit floats"),
    "doubles": ("", any_idx(np.zeros(3, "f8"), 0x0E), "holds 64-bit floats"),
    "gzip cut off": (".gz", gzip.compress(GOOD)[:-12], "cut off, and does not decompress to the size that its header"),
    "no gzip": (".gz", GOOD, "not a gzip"),
}


@pytest.mark.parametrize("kind", ANY_DEFECTS)
def test_each_defect_of_a_file_of_any_content_is_told(tmp_path: Path, kind: str):
    suffix, written, said = ANY_DEFECTS[kind]
    path = tmp_path / f"any{suffix}"
    path.write_bytes(written)
    with pytest.raises(DataError, match=said):
        read_any_idx(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (any_idx(np.zeros(3, "f4"), 0x0D), "holds 32-bit floats, and labels are unsigned bytes or integers"),
        (any_idx(np.zeros(3, "i1"), 0x09), "holds signed bytes, and labels"),
        (any_idx(np.zeros((3, 8), "i4"), 0x0C), r"holds \(3, 8\), and labels are one number for each image"),
    ],
)
def test_what_are_no_labels_is_told(tmp_path: Path, content: bytes, said: str):
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_idx_labels(tmp_path / "labels")


def test_a_header_that_promises_much_costs_no_memory(tmp_path: Path):
    path = tmp_path / "any"
    path.write_bytes(struct.pack(">4I", 0x803, 40_000, 300, 300) + bytes(1000))
    tracemalloc.start()
    with pytest.raises(DataError, match="holds 1,000 bytes"):
        read_any_idx(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40_000_000
