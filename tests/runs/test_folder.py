"""Is every file of a run whole or absent, and is an existing run safe?"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nin.errors import RunError
from nin.runs import (
    new_run,
    read_json,
    read_lines,
    read_state,
    remove_leftovers,
    write,
    write_json,
    write_lines,
    write_state,
)


def test_an_existing_folder_is_never_taken(tmp_path: Path):
    with pytest.raises(RunError, match=str(tmp_path)):
        new_run(tmp_path)


def test_runs_of_one_second_get_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda *_: "2026-11-22T15-04-05")
    folders = [new_run() for _ in range(3)]
    assert [folder.name for folder in folders] == [
        "2026-11-22T15-04-05",
        "2026-11-22T15-04-05_2",
        "2026-11-22T15-04-05_3",
    ]


def test_a_link_to_nowhere_is_there_already(tmp_path: Path):
    (tmp_path / "run").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RunError, match="is there already"):
        new_run(tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_name_too_long_is_one_line(tmp_path: Path):
    with pytest.raises(RunError, match="File name too long"):
        new_run(tmp_path / ("x" * 300))


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Not a directory"):
        new_run(tmp_path / "file" / "run")


def test_a_write_that_fails_leaves_what_was_there_and_nothing_beside(tmp_path: Path):
    path = tmp_path / "result.json"
    write(path, "whole")
    # A file size limit makes the system refuse in the middle of the write, as a full disk does.
    program = """
import resource, sys, pathlib
from nin.runs import write
from nin.errors import RunError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write(pathlib.Path(sys.argv[1]), b"x" * 100_000)
except RunError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True).stdout
    assert "cannot write" in said
    assert "result.json: File too large" in said
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_json_comes_back_and_numbers_that_are_not_finite_become_null(tmp_path: Path):
    write_json(
        tmp_path / "a.json", {"loss": float("nan"), "sizes": (67, 99), "name": "é\udcff", "deep": [{"x": float("inf")}]}
    )
    assert read_json(tmp_path / "a.json") == {"loss": None, "sizes": [67, 99], "name": "é\udcff", "deep": [{"x": None}]}
    write_lines(tmp_path / "a.jsonl", [{"epoch": 1}, {"epoch": 2}])
    assert read_lines(tmp_path / "a.jsonl") == [{"epoch": 1}, {"epoch": 2}]


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe", b"1" * 5000, b"[" * 100_000])
def test_what_cannot_be_read_is_one_line_with_the_path(tmp_path: Path, content: bytes | None):
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=r"plan\.json") as error:
        read_json(path)
    assert "\n" not in str(error.value)


def test_the_latest_state_is_read_and_the_one_before_it_kept(tmp_path: Path):
    for step in (5, 60, 700):
        write_state(tmp_path, step, {"step": step, "weights": torch.full((3,), float(step))})
    assert read_state(tmp_path)["step"] == 700
    assert torch.equal(read_state(tmp_path)["weights"], torch.full((3,), 700.0))
    assert len(list((tmp_path / "state").iterdir())) == 2


@pytest.mark.parametrize("damage", ["truncated", "empty", "changed"])
def test_a_damaged_state_is_one_line_that_offers_the_last_good_one(tmp_path: Path, damage: str):
    for step in (5, 60):
        write_state(tmp_path, step, {"step": step})
    good, latest = sorted((tmp_path / "state").iterdir())
    whole = latest.read_bytes()
    middle = len(whole) // 2
    latest.write_bytes(
        {"truncated": whole[:middle], "empty": b"", "changed": whole[:middle] + b"?" + whole[middle:]}[damage]
    )
    with pytest.raises(RunError, match=rf"^\S*{latest.name} is damaged .*{good.name}: remove {latest.name} .*$"):
        read_state(tmp_path)
    latest.unlink()
    assert read_state(tmp_path)["step"] == 5


def test_a_state_that_would_run_code_is_refused(tmp_path: Path):
    write_state(tmp_path, 5, {"step": Path})  # a class: weights_only=True loads none
    with pytest.raises(RunError, match="is damaged"):
        read_state(tmp_path)


def test_a_run_stopped_before_its_first_state_begins_anew_and_an_ended_one_is_refused(tmp_path: Path):
    assert read_state(tmp_path) == {}
    write_json(tmp_path / "result.json", {"ended": "finished"})
    assert read_state(tmp_path) == {}, "killed before the report"
    (tmp_path / "report.html").touch()
    with pytest.raises(RunError, match="has ended"):
        read_state(tmp_path)


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path):
    for name in (".plan.json.4711", "plan.json", ".hidden", ".notes.2024", "state/.5-ab.pt.4711", "state/5-ab.pt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    kept = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == {"plan.json", ".hidden", ".notes.2024", "state/5-ab.pt"}
