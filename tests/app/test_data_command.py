"""Does `nin data` say what is in a source and what is wrong with it, and prove that a named set is the one?"""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from app.program import Nin
from data.test_duplicates import scenes
from PIL import Image


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Keep decoded images in a folder of the test."""
    if "fashion_mnist_folder" not in request.fixturenames:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Make a folder of 20 cats and 21 dogs, among them a copy, a JPEG of a cat, a blank and an unreadable photo."""
    images = scenes(40, side=50).permute(0, 2, 3, 1).numpy()
    for number, pixels in enumerate(images):
        save(tmp_path / f"pets/{'cat' if number < 20 else 'dog'}/{number:02}.png", pixels)
    save(tmp_path / "pets/dog/copy of a cat.png", images[3])
    save(tmp_path / "pets/cat/04.jpg", images[4])
    save(tmp_path / "pets/dog/blank.png", np.full((60, 30, 3), 9, dtype=np.uint8))
    (tmp_path / "pets/dog/20.png").write_bytes(b"no photo")
    return tmp_path / "pets"


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_images_classes_and_findings_are_printed(nin: Nin, photos: Path):
    answer = nin("data", photos)
    assert answer.returncode == 0
    place, images, sizes, classes, *table = answer.stdout.splitlines()
    assert place == f"pets  {photos}"
    assert images.startswith("images   34 train, 4 validation, 4 test; 67x67 pixels in 3 channels")
    assert sizes == "photos   42 of 2 sizes: 30 to 50 pixels wide, 50 to 60 high"
    assert classes == "classes  2; order: folder names, sorted as text"
    assert [line.split()[1] for line in table[:6] if "│" in line or "┃" in line] == ["class", "cat", "dog"]
    findings = [line for line in table if line.startswith(("error: ", "warning: ", "note: "))]
    assert [line for line in findings if "1 group of equal images has different labels, cat/03.png in " in line]
    assert [line for line in findings if "1 of 43 photos cannot be read, dog/20.png (" in line]
    assert [line for line in findings if line.startswith("warning: 1 image shows one colour only, dog/blank.png in ")]
    assert [line for line in findings if "nearly equal" in line and "cat/04.jpg in" in line and "cat/04.png in" in line]


def test_json_says_the_same_and_nothing_else_is_on_stdout(nin: Nin, photos: Path):
    printed = nin("data", photos, "--validation", "0.2", "--test", "0")
    answer = nin("data", photos, "--validation", "0.2", "--test", "0", "--json")
    assert answer.returncode == 0
    values = json.loads(answer.stdout)
    assert values["place"] == str(photos)
    assert list(values["images"]) == ["train", "validation"]
    assert {image["key"] for image in values["equal"][0]} == {"cat/03.png", "dog/copy of a cat.png"}
    assert list(values["unreadable"]) == ["dog/20.png"]
    for finding in values["findings"]:
        assert f"{finding['severity']}: {finding['text']}\n" in printed.stdout
    assert "sha256" not in values


def test_a_report_is_written_and_none_is_overwritten(nin: Nin, photos: Path, tmp_path: Path):
    report = tmp_path / "found.html"
    answer = nin("data", photos, "--report", report)
    assert answer.returncode == 0
    assert answer.stdout.endswith(f"report  {report}\n")
    page = report.read_text()
    assert "<h1>pets</h1>" in page
    assert "copy of a cat.png" in page
    again = nin("data", photos, "--report", report)
    assert again == (2, "", f"nin: --report needs the name of a new file that ends in .html, not {report}\n")
    assert report.read_text() == page
    other = nin("data", photos, "--report", tmp_path / "found.txt")
    assert other.returncode == 2
    assert not (tmp_path / "found.txt").exists()


def test_what_cannot_be_trained_on_ends_with_2_and_is_still_reported(nin: Nin, photos: Path, tmp_path: Path):
    save(photos / "bird/only.png", scenes(1, seed=9)[0].permute(1, 2, 0).numpy())
    answer = nin("data", photos, "--report", tmp_path / "found.html")
    assert answer.returncode == 2
    assert "\nerror: the class bird has a single image; add images, or leave the class out\n" in answer.stdout
    assert "the class bird has a single image" in (tmp_path / "found.html").read_text()


def test_of_many_classes_those_with_the_fewest_images_are_listed(nin: Nin, tmp_path: Path):
    images = iter(scenes(40 * 6, side=20).permute(0, 2, 3, 1).numpy())
    for label in range(40):
        for number in range(4 + 2 * (label != 17)):
            save(tmp_path / f"many/{label:02}/{number}.png", next(images))
    answer = nin("data", tmp_path / "many", "--test", "0")
    (line,) = (line for line in answer.stdout.splitlines() if line.startswith("A class has "))
    assert line.endswith("The 10 with the fewest; --report lists all:")
    rows = [line.split()[1] for line in answer.stdout.splitlines() if line.startswith("│")]
    assert len(rows) == 10
    assert rows[0] == "17"


def test_the_size_and_fit_of_photos_can_be_chosen(nin: Nin, photos: Path):
    assert "; 20x20 pixels in 3 channels\n" in nin("data", photos, "--size", "20", "--fit", "crop").stdout
    assert nin("data", photos, "--fit", "squeeze").returncode == 2


@pytest.mark.slow
def test_of_a_named_set_the_hashes_are_printed(nin: Nin, fashion_mnist_folder: str):
    answer = nin("data", fashion_mnist_folder)
    assert answer.returncode == 0
    first, second, *lines = answer.stdout.splitlines()
    assert first == f"Fashion-MNIST  {fashion_mnist_folder}"
    assert second.startswith("images   55,000 train, 5,000 validation, 10,000 test; 28x28 pixels in 1 channel")
    begin = lines.index("SHA-256 of the uncompressed files, all verified:")
    found = dict(line.split("  ")[::-1] for line in lines[begin + 1 :])
    labels = next(path for path in Path(fashion_mnist_folder).iterdir() if path.name.startswith("t10k-labels"))
    content = gzip.decompress(labels.read_bytes()) if labels.suffix == ".gz" else labels.read_bytes()
    assert found["t10k-labels-idx1-ubyte"] == hashlib.sha256(content).hexdigest()
    assert len(found) == 4
