"""Is every file whole or absent, and does JSON come back?"""

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nin.errors import FileError
from nin.files import (
    read_bytes,
    read_json,
    read_json_lines,
    remove_temporary_files,
    write,
    write_all,
    write_json,
    write_json_lines,
)


def test_a_write_that_the_system_refuses_leaves_what_was_there_and_nothing_beside(tmp_path: Path):
    path = tmp_path / "result.json"
    write(path, "whole")
    # A file size limit makes the system refuse in the middle of the write, as a full disk does.
    program = """
import resource, sys, pathlib
from nin.files import write
from nin.errors import FileError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write(pathlib.Path(sys.argv[1]), b"x" * 100_000)
except FileError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True).stdout
    assert said == f"cannot write {path}: File too large; make room or write elsewhere\n"
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_of_several_files_none_is_replaced_when_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
):
    names = ("a", "b", "c")
    write_all({tmp_path / name: "old" for name in names})
    writes = 0

    def full_disk(file: int) -> None:
        nonlocal writes
        writes += 1
        if writes == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(FileError, match=rf"cannot write \S*/{names[failing - 1]}: No space left"):
        write_all({tmp_path / name: "new" for name in names})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(names, "old")


def test_a_file_goes_into_a_folder_that_is_made_for_it(tmp_path: Path):
    write(tmp_path / "figures" / "loss.png", b"\x89PNG")
    assert read_bytes(tmp_path / "figures" / "loss.png") == b"\x89PNG"


def test_text_that_is_not_valid_utf_8_is_written_escaped(tmp_path: Path):
    write(tmp_path / "card.md", "caf\udce9 ü")
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == "caf\\udce9 ü"


def test_json_comes_back_and_numbers_that_are_not_finite_become_null(tmp_path: Path):
    content = {"loss": float("nan"), "sizes": (67, 99), "name": "é", "deep": [{"x": float("inf")}]}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == {"loss": None, "sizes": [67, 99], "name": "é", "deep": [{"x": None}]}
    assert read_json(tmp_path / "a.json", dict[str, object])["name"] == "é"
    write_json_lines(tmp_path / "a.jsonl", [{"epoch": 1}, {"epoch": 2}])
    assert read_json_lines(tmp_path / "a.jsonl") == [{"epoch": 1}, {"epoch": 2}]


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe", b'{"a": "\xff"}', b"1" * 5000, b"[" * 100_000])
def test_what_cannot_be_read_is_one_line_with_the_path(tmp_path: Path, content: bytes | None):
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=r"plan\.json") as error:
        read_json(path)
    assert "\n" not in str(error.value)


def test_json_of_another_kind_is_refused_with_the_path(tmp_path: Path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(FileError, match=r"a\.json: Expected `object`"):
        read_json(tmp_path / "a.json", dict[str, int])
    (tmp_path / "a.jsonl").write_text('{"epoch": 1}\n{"epo')
    with pytest.raises(FileError, match=r"a\.jsonl is not JSON"):
        read_json_lines(tmp_path / "a.jsonl")


def test_a_name_that_no_file_can_have_is_one_line():
    with pytest.raises(FileError, match="cannot read"):
        read_bytes(Path("nul\0nul"))


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path):
    for name in (".plan.json.0a1b2c3d.tmp", "plan.json", ".hidden", ".notes.2024", ".mine.tmp", "a.1.tmp"):
        (tmp_path / name).touch()
    (tmp_path / ".folder.00000001.tmp").mkdir()
    remove_temporary_files(tmp_path)
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"plan.json", ".hidden", ".notes.2024", ".mine.tmp", "a.1.tmp", ".folder.00000001.tmp"}


def test_threads_that_write_one_file_never_show_half_of_it(tmp_path: Path):
    path, contents = tmp_path / "file", [bytes([65 + number]) * 200_000 for number in range(4)]
    write(path, contents[0])
    with ThreadPoolExecutor(4) as pool:
        written = [pool.submit(write, path, content) for content in contents * 10]
        while not all(one.done() for one in written):
            assert path.read_bytes() in contents
    assert all(one.exception() is None for one in written)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_of_several_files_none_is_written_where_one_cannot_be(tmp_path: Path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileError, match=r"taken: Is a directory"):
        write_all({tmp_path / "first": "1", tmp_path / "taken": "2"})
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]
