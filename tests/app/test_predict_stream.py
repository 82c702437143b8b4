"""Does `nin predict --jsonl` answer photo after photo, in order, and go on where a killed run stopped?"""

import json
import os
import pty
import subprocess
import time
from pathlib import Path

import pytest
from app.program import ENVIRONMENT, GARMENTS, PROGRAM, Nin, start
from PIL import Image

from nin.app.answers import Answers
from nin.inference.load import load

FAST = ("--model", "fashion-mnist-fast")
PHOTOS = sorted(GARMENTS.iterdir())


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_each_photo_is_a_line_in_order_and_a_bad_one_has_its_error(nin: Nin, tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    answer = nin("predict", "--jsonl", *FAST, GARMENTS, tmp_path / "broken.png", PHOTOS[0])
    assert answer.returncode == 2
    found = lines(answer.stdout)
    assert [one["photo"] for one in found] == list(map(str, [*PHOTOS, tmp_path / "broken.png", PHOTOS[0]]))
    assert answer.stderr.startswith(f"nin: {tmp_path / 'broken.png'}: ")
    assert set(found[-2]) == {"photo", "model", "error"}
    assert found[-2]["error"] == answer.stderr.removeprefix("nin: ").strip()
    [expected] = load("fashion-mnist-fast").predict(PHOTOS[0])
    assert found[0]["label"] == expected.label
    assert found[0]["probabilities"] == pytest.approx(expected.probabilities, abs=0.01)
    assert len({one["model"] for one in found}) == 1


@pytest.mark.slow
def test_lines_go_to_standard_output_though_a_bar_is_on_the_terminal():
    ours, theirs = pty.openpty()
    answer = start("predict", "--jsonl", *FAST, GARMENTS, capture_output=False, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    assert answer.returncode == 0
    assert [one["photo"] for one in lines(answer.stdout)] == list(map(str, PHOTOS))
    os.close(ours)


@pytest.mark.slow
def test_a_reader_that_stops_early_is_no_error():
    command = [*PROGRAM, "predict", "--jsonl", *FAST, *20 * [GARMENTS]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        ended = subprocess.run(["head", "-n", "2"], stdin=process.stdout, capture_output=True, text=True, check=True)
        process.stdout.close()
        assert process.wait(60) == 0
        complained = process.stderr.read()
    assert len(ended.stdout.splitlines()) == 2
    assert complained == b""


@pytest.mark.slow
def test_names_that_cannot_be_read_are_an_error():
    answer = start("predict", "--jsonl", *FAST, "-", preexec_fn=lambda: os.close(0))
    assert answer.returncode == 2
    assert answer.stderr.startswith("nin: cannot read names from standard input: ")
    photos = os.fsencode(PHOTOS[0]) + b"\n" + b"x" * 2_000_000
    answer = start("predict", "--jsonl", *FAST, "-", input=photos, text=False)
    assert answer.returncode == 2
    assert len(lines(answer.stdout.decode())) == 1
    assert "a name of over a million bytes" in str(answer.stderr)


@pytest.mark.slow
def test_the_answers_are_none_of_the_photos(nin: Nin, tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(PHOTOS[0].read_bytes())
    for _ in range(2):
        answer = nin("predict", tmp_path, *FAST, "--resume", tmp_path / "answers.jsonl")
        assert (answer.returncode, answer.stderr) == (0, "")
        assert len(lines((tmp_path / "answers.jsonl").read_text())) == 1
    with (tmp_path / "out.jsonl").open("wb") as out:
        (tmp_path / "answers.jsonl").unlink()
        assert start("predict", "--jsonl", tmp_path, *FAST, capture_output=False, stdout=out).returncode == 0


def test_two_runs_never_write_one_file(nin: Nin, tmp_path: Path):
    answers = tmp_path / "answers.jsonl"
    with Answers(answers, "a model"):
        answer = nin("predict", PHOTOS[0], *FAST, "--resume", answers)
        assert answer.returncode == 2
        assert f"another process writes {answers}" in answer.stderr
    assert nin("predict", PHOTOS[0], *FAST, "--resume", answers).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["answers.jsonl"]


def test_another_model_or_inversion_does_not_go_on(nin: Nin, tmp_path: Path):
    answers = tmp_path / "answers.jsonl"
    assert nin("predict", PHOTOS[0], *FAST, "--resume", answers).returncode == 0
    before = answers.read_bytes()
    for other in (("--model", "fashion-mnist"), (*FAST, "--invert", "no")):
        answer = nin("predict", *PHOTOS[:2], *other, "--resume", answers)
        assert answer.returncode == 2
        assert "is of another model, or another --invert" in answer.stderr
    assert answers.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "end"), [(("-",), b"\n"), (("-",), b"\r\n"), (("-0",), b"\0")])
def test_names_come_from_standard_input(tmp_path: Path, arguments: tuple[str, ...], end: bytes):
    odd = tmp_path / ("a\nb.jpg" if end == b"\0" else "a b.jpg")
    odd.write_bytes(PHOTOS[0].read_bytes())
    names = [os.fsencode(name) for name in (odd, GARMENTS)]
    answer = start("predict", "--jsonl", *FAST, *arguments, input=end.join([b"", *names]), text=False)
    assert answer.returncode == 0, answer.stderr
    found = lines(answer.stdout.decode())
    assert [one["photo"] for one in found] == list(map(str, [odd, *PHOTOS]))


@pytest.mark.slow
def test_an_answer_is_there_before_the_next_photo_is_named():
    with subprocess.Popen(
        [*PROGRAM, "predict", "--jsonl", *FAST, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        for photo in PHOTOS[:2]:
            process.stdin.write(os.fsencode(photo) + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["photo"] == str(photo)
        process.send_signal(2)  # it waits for a name
        assert process.wait(20) == 130


def test_a_killed_run_goes_on_to_the_same_answers(nin: Nin, tmp_path: Path):
    answers, photos = tmp_path / "answers.jsonl", [*PHOTOS, tmp_path / "missing.png"] * 2
    arguments = ("predict", "--resume", answers, *FAST, *photos)
    answer = nin(*arguments)
    assert (answer.returncode, answer.stdout) == (2, "")
    whole = answers.read_bytes()
    assert len(lines(whole.decode())) == len(photos)
    for cut in (0, len(whole) // 2, len(whole) - 1):
        answers.write_bytes(whole[:cut])
        assert nin(*arguments).returncode == 2
        resumed = answers.read_bytes()
        kept = whole[:cut].rfind(b"\n") + 1
        assert resumed[:kept] == whole[:kept]
        assert [(one["photo"], one.get("label")) for one in lines(resumed.decode())] == [
            (one["photo"], one.get("label")) for one in lines(whole.decode())
        ]
    answer = nin(*arguments)
    assert answer.returncode == 2
    assert "has 2 photos that could not be read before; remove it to try them again" in answer.stderr
    assert answers.read_bytes() == resumed
    answers.write_bytes(resumed + b"\0" * 100)  # as a crash of the system leaves it
    assert nin(*arguments).returncode == 2
    assert answers.read_bytes() == resumed


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"photo": "other.jpg", "model": "", "label": "Bag"}\n', "line 1 is of other.jpg, and the photo there is"),
        (json.dumps({"photo": str(PHOTOS[0]), "model": "1a"}) + "\n", "line 1 is of another model"),
        ("my only copy, without a line feed", "line 1 is not the beginning of an answer for the photo there"),
        ('{"a": 1}', "line 1 is not the beginning of an answer"),
        ("shopping list\n", "line 1 is no answer of nin predict --jsonl"),
        ("[1]\n", "line 1 is no answer"),
        ('{"photo": 1, "probabilities": 2}\n', "line 1 is no answer"),
    ],
)
def test_a_file_of_something_else_is_left_alone(nin: Nin, tmp_path: Path, content: str, complaint: str):
    answers = tmp_path / "answers.jsonl"
    answers.write_text(content)
    answer = nin("predict", "--resume", answers, *FAST, PHOTOS[0])
    assert answer.returncode == 2
    assert complaint in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert answers.read_text() == content


def test_lines_and_a_list_cannot_both_be_asked_for(nin: Nin, tmp_path: Path):
    assert "leave out one" in nin("predict", "--json", "--jsonl", PHOTOS[0]).stderr
    assert "leave out one" in nin("predict", "--json", "--resume", tmp_path / "x", PHOTOS[0]).stderr
    assert not (tmp_path / "x").exists()
    assert "cannot write" in nin("predict", "--resume", tmp_path, PHOTOS[0]).stderr


def test_photos_of_a_stream_are_explained_too(nin: Nin, tmp_path: Path):
    answer = nin("predict", "--jsonl", *FAST, "--explain", tmp_path / "why.png", GARMENTS)
    assert answer.returncode == 0, answer.stderr
    assert len(lines(answer.stdout)) == len(PHOTOS)
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.width > 600


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for the memory")
def test_memory_does_not_grow_with_the_number_of_photos(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    Image.effect_noise((40, 40), 50).save(tmp_path / "photo.png")
    for number in range(6000):
        os.link(tmp_path / "photo.png", tmp_path / "photos" / f"{number}.png")
    with (
        (tmp_path / "answers.jsonl").open("wb") as file,
        subprocess.Popen(
            [*PROGRAM, "predict", "--jsonl", *FAST, tmp_path / "photos"], stdout=file, env=ENVIRONMENT
        ) as run,
    ):
        resident: list[tuple[int, float]] = []
        while run.poll() is None:
            done = (tmp_path / "answers.jsonl").stat().st_size
            pages = Path(f"/proc/{run.pid}/statm").read_text().split()
            if done and len(pages) > 1:
                resident.append((done, int(pages[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6))
            time.sleep(0.05)
        assert run.returncode == 0
    size = (tmp_path / "answers.jsonl").stat().st_size
    early = max(memory for done, memory in resident if done < size / 3)
    late = max(memory for done, memory in resident if done > size * 2 / 3)
    assert late < early + 60
