"""Does `nin predict` answer for every photo, and say what is wrong with each other file?"""

import contextlib
import json
import re
import socket
import threading
from pathlib import Path

import pytest
import torch
from app.program import ENVIRONMENT, GARMENTS, Nin, start
from PIL import Image

from nin.data.photos.preparation import Preparation
from nin.data.preprocessing import Preprocessing
from nin.inference.classifier import Classifier
from nin.inference.load import load
from nin.inference.model_folder import Config
from nin.networks.lenet import LeNet
from nin.networks.nin_2013 import NiN2013

BOOT = next(GARMENTS.glob("*boot*"))


def test_the_labels_of_photos_are_printed(nin: Nin):
    answer = nin("predict", GARMENTS)
    assert answer.returncode == 0, answer.stderr
    for photo in GARMENTS.iterdir():
        assert photo.name in answer.stdout
    assert re.search(r"trousers\.\w+ .*Trouser ", answer.stdout)
    assert re.search(r"ankle-boot\.\w+ .*Ankle boot ", answer.stdout)
    assert "were inverted, as the training images are light on black" in answer.stdout


def test_the_good_photos_of_a_mixed_folder_are_answered_and_each_bad_one_gets_a_line(nin: Nin, tmp_path: Path):
    Image.new("RGB", (50, 80), "white").save(tmp_path / "[red]good.png")
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "empty.jpg").touch()
    answer = nin("predict", tmp_path, tmp_path / "missing.png")
    assert answer.returncode == 2
    assert "[red]good.png" in answer.stdout
    lines = answer.stderr.splitlines()
    assert len(lines) == 3
    for line, name in zip(lines, ("empty.jpg", "notes.txt", "missing.png"), strict=True):
        assert line.startswith("nin: ")
        assert name in line


def test_machine_readable_predictions_are_a_list_with_one_object_a_photo(nin: Nin, tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    broken = tmp_path / "broken.png"
    answer = nin("predict", "--json", broken, BOOT)
    assert answer.returncode == 2
    bad, good = json.loads(answer.stdout)
    assert (bad["photo"], set(bad)) == (str(broken), {"photo", "error"})
    assert good["photo"] == str(BOOT)
    assert good["probabilities"][good["label"]] == good["probability"] == max(good["probabilities"].values())
    assert sum(good["probabilities"].values()) == pytest.approx(1)
    assert good["inverted"] is True
    kept = json.loads(nin("predict", "--json", "--invert", "no", BOOT).stdout)
    assert kept[0]["inverted"] is False
    assert kept[0]["probabilities"] != good["probabilities"]


def test_predictions_are_the_classifiers_own_and_explained_in_a_figure(nin: Nin, tmp_path: Path):
    answer = nin("predict", "--json", "--explain", tmp_path / "why.png", BOOT)
    assert answer.returncode == 0, answer.stderr
    [prediction] = load().predict(BOOT)
    [printed] = json.loads(answer.stdout)
    assert (printed["label"], printed["probability"]) == (prediction.label, prediction.probability)
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.width > 600


def test_a_photo_is_explained_by_a_network_of_the_2013_paper(nin: Nin, tmp_path: Path):
    config = Config("nin-2013", Preprocessing(32, 3 * (0.5,), 3 * (0.3,)), 32, ("a", "b"), Preparation("photo"))
    Classifier(NiN2013(3, 2), config, device=torch.device("cpu")).save(tmp_path / "model")
    answer = nin("predict", BOOT, "--model", tmp_path / "model", "--explain", tmp_path / "why.png")
    assert (answer.returncode, answer.stderr) == (0, "")
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.width > 600


def test_of_many_photos_the_first_eight_are_explained(nin: Nin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nin.figures.style.to_png", lambda figure: b"drawn")
    answer = nin("predict", "--explain", tmp_path / "why.png", "--model", "fashion-mnist", *9 * [BOOT])
    assert answer.returncode == 0, answer.stderr
    assert f"{tmp_path / 'why.png'} shows the first 8 of 9 photos." in answer.stdout
    assert (tmp_path / "why.png").read_bytes() == b"drawn"


def test_a_name_that_a_terminal_would_obey_is_escaped(nin: Nin, tmp_path: Path):
    photo = tmp_path / "x\x1b[31mred\nline.png"
    Image.new("RGB", (50, 80), "white").save(photo)
    answer = nin("predict", photo)
    assert answer.returncode == 0, answer.stderr
    assert "x\\x1b[31mred\\nline.png" in answer.stdout
    assert "\x1b" not in answer.stdout


def test_what_cannot_be_explained_is_said_before_any_photo_is_predicted(nin: Nin, tmp_path: Path):
    answer = nin("predict", GARMENTS, "--explain", tmp_path / "why.png", "--resume", tmp_path / "a.jsonl")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "--explain draws photos that are predicted now, and --resume skips some" in answer.stderr
    config = Config("lenet", Preprocessing(28, (0.3,), (0.4,)), 28, tuple("abcdefghij"))
    Classifier(LeNet(), config).save(tmp_path / "lenet")
    answer = nin("predict", GARMENTS, "--model", tmp_path / "lenet", "--explain", tmp_path / "why.png")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert f"{tmp_path / 'lenet'} has no class maps to explain by" in answer.stderr


def test_an_explanation_never_takes_the_place_of_a_file(nin: Nin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine.png").write_text("mine")
    monkeypatch.chdir(tmp_path)
    for taken in ("mine.png", "shirt.jpg"):
        answer = nin("predict", "--explain", taken, BOOT)
        assert answer.returncode == 2
        assert taken in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
    assert (tmp_path / "mine.png").read_text() == "mine"


# --- Models of the Hugging Face hub, whose settings are read once a process ---


@pytest.mark.slow
def test_a_model_in_the_hubs_cache_is_found_without_a_connection(tmp_path: Path):
    cache = tmp_path / "hub" / "models--someone--nin"
    load("fashion-mnist-fast").save(cache / "snapshots" / "1234")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("1234")
    offline = {**ENVIRONMENT, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    answer = start("predict", "--json", "--model", "someone/nin", BOOT, env=offline)
    assert answer.returncode == 0, answer.stderr
    answer = start("predict", "--json", "--model", "someone/else", BOOT, env=offline)
    assert answer.returncode == 2
    assert answer.stderr.startswith("nin: someone/else is not a folder here and cannot be fetched from the hub")
    assert answer.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_hub_that_hangs_up_is_one_line(tmp_path: Path):
    server = socket.create_server(("127.0.0.1", 0))

    def hang_up() -> None:
        with contextlib.suppress(OSError):  # the server's end
            while True:
                server.accept()[0].close()

    threading.Thread(target=hang_up, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
    environment = {**ENVIRONMENT, "HF_HOME": str(tmp_path), "HF_ENDPOINT": endpoint}
    answer = start("predict", "--model", "someone/nin", BOOT, env=environment, timeout=100)
    server.close()
    assert answer.returncode == 2
    assert "cannot be fetched from the hub" in answer.stderr
    assert "Traceback" not in answer.stderr
