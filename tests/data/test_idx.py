"""Is an IDX file read only if it holds exactly the expected bytes, and is every defect told in one line?"""

import gzip
import hashlib
import os
import re
import tracemalloc
from pathlib import Path

import pytest
import torch
from data.idx_files import GOOD, LABELS, OTHER, PACKED, SHAPES, SMALL, flip_a_bit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nin.data.idx import read_idx
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
