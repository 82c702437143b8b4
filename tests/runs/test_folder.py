"""Is an existing run safe, and is a state whole, the latest, and of this version?"""

import hashlib
import io
from pathlib import Path

import pytest
import torch

from nin.errors import RunError
from nin.files import write_json
from nin.runs.folder import lock, new_folder, read_state, remove_leftovers, remove_state, write_state
from nin.training.events import State


def state(step: int, **changes: object) -> State:
    content = {
        "step": step,
        "interval_seconds": 1.5,
        "interval_totals": torch.tensor([2.0, 1.0]),
        "network": {"weights": torch.full((3,), float(step))},
        "optimizer": [],
        "health": {"total": 0.0},
        "validations": [],
        "troubles": [],
        "elapsed": 12.5,
    }
    return State(**content | changes)


# --- The folder ---


def test_an_existing_folder_is_never_taken(tmp_path: Path):
    with pytest.raises(RunError, match=str(tmp_path)):
        new_folder(tmp_path)


def test_runs_of_one_second_get_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda *_: "2026-11-22T15-04-05")
    folders = [new_folder() for _ in range(3)]
    assert [folder.name for folder in folders] == [
        "2026-11-22T15-04-05",
        "2026-11-22T15-04-05_2",
        "2026-11-22T15-04-05_3",
    ]


def test_a_link_to_nowhere_is_there_already(tmp_path: Path):
    (tmp_path / "run").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RunError, match="is there already"):
        new_folder(tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_name_too_long_is_one_line(tmp_path: Path):
    with pytest.raises(RunError, match="File name too long"):
        new_folder(tmp_path / ("x" * 300))


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Not a directory"):
        new_folder(tmp_path / "file" / "run")
    with pytest.raises(RunError, match="cannot make the folder"):
        new_folder(tmp_path / "nul\0nul")


def test_a_run_is_locked_for_one_and_then_free_again(tmp_path: Path):
    with lock(tmp_path), pytest.raises(RunError, match="still running in another process"), lock(tmp_path):
        pass
    with lock(tmp_path):
        pass


def test_what_a_killed_writer_left_in_a_run_is_removed_and_nothing_else(tmp_path: Path):
    for name in (
        ".plan.json.0a1b2c3d.tmp",
        "plan.json",
        ".lock",
        ".notes.2024",
        "state/.5-ab.pt.01234567.tmp",
        "state/5-ab.pt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    kept = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == {"plan.json", ".lock", ".notes.2024", "state/5-ab.pt"}


# --- The state ---


def test_the_latest_state_is_read_and_the_one_before_it_kept(tmp_path: Path):
    for step in (5, 60, 700):
        write_state(tmp_path, state(step))
    found = read_state(tmp_path)
    assert found is not None
    assert (found.step, found.elapsed) == (700, 12.5)
    assert torch.equal(found.network["weights"], torch.full((3,), 700.0))
    assert len(list((tmp_path / "state").iterdir())) == 2
    remove_state(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["truncated", "empty", "changed"])
def test_a_damaged_state_is_one_line_that_offers_the_last_good_one(tmp_path: Path, damage: str):
    for step in (5, 60):
        write_state(tmp_path, state(step))
    good, latest = sorted((tmp_path / "state").iterdir())
    whole = latest.read_bytes()
    middle = len(whole) // 2
    latest.write_bytes(
        {"truncated": whole[:middle], "empty": b"", "changed": whole[:middle] + b"?" + whole[middle:]}[damage]
    )
    with pytest.raises(RunError, match=rf"^\S*{latest.name} is damaged .*{good.name}: remove {latest.name} .*$"):
        read_state(tmp_path)
    latest.unlink()
    found = read_state(tmp_path)
    assert found is not None
    assert found.step == 5


def test_a_state_that_would_run_code_is_refused(tmp_path: Path):
    write_state(tmp_path, state(5, network={"weights": Path}))  # a class: weights_only=True loads none
    with pytest.raises(RunError, match="is damaged"):
        read_state(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        {"network": {}, "optimiser": [], "step": 5, "seconds": 1.0, "total": torch.zeros(2), "watch": {}},
        [1, 2],
        {5: "five"},
    ],
    ids=["of version 0.1", "a list", "no names"],
)
def test_a_state_of_another_version_is_one_line_with_the_way_out(tmp_path: Path, content: object):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / f"00000005-{digest}.pt").write_bytes(buffer.getvalue())
    with pytest.raises(
        RunError, match=rf"^.*of another version of nin; train anew with .* --plan {tmp_path}/plan.json$"
    ):
        read_state(tmp_path)


def test_a_run_stopped_before_its_first_state_begins_anew_and_an_ended_one_is_refused(tmp_path: Path):
    assert read_state(tmp_path) is None
    write_json(tmp_path / "result.json", {"ended": "finished"})
    assert read_state(tmp_path) is None, "killed before the report"
    (tmp_path / "report.html").touch()
    with pytest.raises(RunError, match="has ended"):
        read_state(tmp_path)
