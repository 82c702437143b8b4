"""Do the commands of docs/own-images.md do what the page says, in its order?"""

import json
import re
import shlex
from pathlib import Path

import pytest
from app.program import Nin
from drawings import SHAPES, draw, write_photos

DOCS = Path(__file__).parents[2] / "docs"


def commands_of(page: Path) -> list[list[str]]:
    """Return the command lines of a page's blocks, with two epochs in place of minutes."""
    blocks = re.findall(r"^```\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("nin ")]
    return [shlex.split(re.sub(r"--minutes \S+", "--epochs 2", line), comments=True)[1:] for line in lines]


@pytest.mark.slow
def test_the_walk_through(nin: Nin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_photos(tmp_path / "photos", 40)
    (tmp_path / "photos" / "circle" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "new").mkdir()
    for shape in SHAPES:
        draw(shape, 777).save(tmp_path / "new" / f"{shape}.png")
    commands = [one for one in commands_of(DOCS / "own-images.md") if one[:2] != ["train", "cifar10"]]  # minutes
    said = {}
    for command in commands:
        if "--init-from" in command:  # a model that the page's reader has
            command = ["runs/photos/model" if part == "runs/cifar10/model" else part for part in command]
        if command[0] == "train":
            command = [*command, "--epochs", "2"] if "--epochs" not in command else command
        answer = nin(*command)
        assert answer.returncode == 0, answer
        said[" ".join(command[:2])] = answer
    assert {command[0] for command in commands} == {"data", "train", "evaluate", "predict"}
    assert "broken.png" in said["data photos"].stdout
    assert (tmp_path / "photos.html").exists()
    assert (tmp_path / "why.png").exists()
    report = (tmp_path / "runs" / "photos" / "report.html").read_text(encoding="utf-8")
    assert "on photos" in report
    assert "broken.png" in report
    split = json.loads((tmp_path / "runs" / "photos" / "split.json").read_text())
    assert split["images"] == {"train": 96, "validation": 12, "test": 12}
    assert "12 test images of photos" in said["evaluate --model"].stdout
    assert all(shape in said["predict new"].stdout for shape in SHAPES)
