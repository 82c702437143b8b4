"""Does the page say what the run was, hold all that it shows, and fit a phone and a desk? Asked of a small run."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from nin.data.preprocessing import Preprocessing
from nin.errors import RunError
from nin.files import read_json, read_json_lines, write_json, write_json_lines
from nin.runs.report import render, write_report
from nin.training.plan import Plan, resolve_schedule
from nin.training.recipe import d2l, quick

NAMES = ["T-shirt/top", "Trouser", "Pullover"]
FIGURES = {
    "sample": (9, 4), "loss": (9, 3.7), "prediction": (9, 6), "confusion": (7, 6), "reliability": (6, 5),
    "mistakes": (9, 6),
}  # fmt: skip
FILES = ["plan.json", "metrics.jsonl", "result.json", "evaluation.json", "environment.json"]
FIGURE_FILES = [f"figures/{name}.png" for name in FIGURES] + ["figures/structure.svg"]
VOID = {"meta", "img", "br", "hr", "link", "input"}

# --- A run folder ---


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw each figure of a run once, at about its real size."""
    folder = tmp_path_factory.mktemp("drawn")
    for name, inches in FIGURES.items():
        Figure(figsize=inches).savefig(folder / f"{name}.png", dpi=130)
    figure = Figure(figsize=(9, 10))
    figure.text(0.5, 0.5, "mlpconv block")
    figure.savefig(folder / "structure.svg")
    return folder


@pytest.fixture
def run(tmp_path: Path, drawn: Path) -> Path:
    """Make the folder of a finished run of two epochs."""
    shutil.copytree(drawn, tmp_path / "figures")
    steps = resolve_schedule(quick(2.0), 55_000)
    preprocessing = Preprocessing(67, (0.286,), (0.353,))
    plan = Plan(quick(2.0), 7, preprocessing, len(NAMES), *steps, device="cpu", precision="bfloat16", threads=2)
    write_json(tmp_path / "plan.json", plan)
    line = {"train_accuracy": 0.85, "validation_accuracy": 0.8765, "images_per_second": 1040.4}
    line |= {"train_loss": 0.9, "validation_loss": 0.8123, "seconds": 52.8}
    lines = [{"step": 214, "epoch": 1.0} | line, {"step": 429, "epoch": 2.0} | line]
    write_json_lines(tmp_path / "metrics.jsonl", lines)
    result = {
        "ended": "finished",
        "troubles": [],
        "epochs": 2,
        "test_images": 3000,
        "test_accuracy": 0.92134,
        "test_accuracy_low": 0.91589,
        "test_accuracy_high": 0.92645,
        "validation_accuracy": 0.9184,
        "test_loss": 0.2345,
        "temperature": 0.81,
        "calibration_error": 0.0123,
        "validation_loss": 0.24,
        "parameters": 1_992_166,
        "multiply_adds": 53_978_112,
        "images_per_second": 1040.4,
        "training_seconds": 105.6,
        "seconds": 125.2,
        "network": "NiN(\n  (n1): Sequential(\n    (0): Conv2d(1, 96, kernel_size=(11, 11), stride=(4, 4))\n  )\n)",
    }
    write_json(tmp_path / "result.json", result)
    evaluation = {
        "confusion": [[900, 60, 40], [0, 1000, 0], [113, 0, 887]],
        "calibration": {"counts": [1000, 2000], "confidence": [0.4, 0.9], "accuracy": [0.5, 0.9], "error": 0.0333},
    }
    write_json(tmp_path / "evaluation.json", evaluation)
    environment = {
        "command": "nin train --recipe quick --epochs 2 --seed 7",
        "started": "2026-11-22T15:04:05+01:00",
        "nin": "0.1.0",
        "commit": "0123456789abcdef0123456789abcdef01234567+",
        "python": "3.11.2",
        "torch": "2.13.0",
        "numpy": "2.3.1",
        "platform": "Linux-6.1-x86_64",
        "processor": "A processor",
        "device": "cpu",
        "threads": 2,
        "data": "/usr/share/datasets/fashion-mnist",
        "names": NAMES,
    }
    write_json(tmp_path / "environment.json", environment)
    return tmp_path


def change(file: Path, **values: Any) -> None:
    """Put other values into a JSON file."""
    write_json(file, read_json(file) | values)


class Page(HTMLParser):
    """A page taken apart: its elements with their attributes, its text, and the tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.unmatched: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute of <{tag}> is there twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unmatched.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data.split()

    @property
    def text(self) -> str:
        """What a reader reads, with single blanks."""
        return " ".join(self.words)


# --- What it says ---


def test_the_result_opens_the_page(run: Path) -> None:
    text = Page(render(run)).text
    assert "Test accuracy 0.921 95 % interval 0.916 to 0.926." in text
    assert "It covers the test sample only, 3,000 images, and not the seed: another seed gives another accuracy" in text
    for said in (
        "Validation accuracy 0.918",
        "Parameters 1,992,166",
        "Operations per image 54 million multiply-adds at 67×67",
        "Time 2 min 5 s training 1 min 46 s",
        "Speed 1,040 images/s",
    ):
        assert said in text
        assert text.index(said) < text.index("Sample data")
    assert "interrupted" not in text
    assert "warning" not in text


def test_sections_stand_in_the_textbooks_order(run: Path) -> None:
    headings = re.findall("<h[12]>(.*?)</h[12]>", render(run))
    sections = ["Sample data", "Structure", "The network", "Loss against epoch", "Predictions"]
    assert headings == ["Network in Network", *sections, "Calibration", "The plan", "How to reproduce it"]


def test_network_epochs_plan_and_environment_are_there(run: Path) -> None:
    html = render(run)
    assert escape(read_json(run / "result.json")["network"]) in html
    text = Page(html).text
    assert "2.00 429 0.9000 0.8123 0.8500 0.8765 1,040 52.8 s" in text
    assert "Pullover taken for T-shirt/top, 113 times" in text
    assert "linear warm-up from 0 over the first 20 % of the steps, then linear decay to 0" in text
    assert "Seed 7" in text
    assert "bfloat16 in training, float32 in evaluation" in text
    environment = read_json(run / "environment.json")
    for key in ("command", "commit", "python", "torch", "numpy", "platform", "processor", "data"):
        assert environment[key] in text


def test_the_textbooks_recipe_is_told_in_words(run: Path) -> None:
    preprocessing = Preprocessing(224, (0.0,), (1.0,))
    steps = ((430, 430, 430), ((0.0, 1.0), (1290.0, 1.0)))
    plan = Plan(d2l(3.0), 0, preprocessing, len(NAMES), *steps, device="cuda", precision="float32", threads=1)
    write_json(run / "plan.json", plan)
    change(run / "environment.json", device="NVIDIA H200", commit=None)
    text = Page(render(run)).text
    assert "Learning-rate schedule constant" in text
    assert "no momentum" in text
    assert "Pixels scaled to 0..1" in text
    assert "This run used NVIDIA H200, where that is not promised" in text
    assert "not run from a checkout" in text
    assert "single cell" not in text
    assert "after 430 steps each time" in text


def test_a_plan_made_for_minutes_says_how_to_replay_it(run: Path) -> None:
    change(run / "plan.json", minutes=5.0)
    text = Page(render(run)).text
    assert "planned to take 5 minutes" in text
    assert "nin train --plan plan.json" in text


def test_maps_of_one_cell_are_told_apart_from_larger_ones(run: Path) -> None:
    assert "single cell" in Page(render(run)).text
    plan = read_json(run / "plan.json")
    write_json(run / "plan.json", plan | {"recipe": plan["recipe"] | {"size": 131}})
    text = Page(render(run)).text
    assert "single cell" not in text
    assert "Below each image is the class map of the predicted class" in text


def test_a_baseline_says_that_it_is_one(run: Path) -> None:
    change(run / "plan.json", recipe=read_json(run / "plan.json")["recipe"] | {"network": "alexnet"})
    text = Page(render(run)).text
    assert "This run trained AlexNet" in text
    assert "single cell" not in text


@pytest.mark.parametrize("ended", ["interrupted", "dead"])
def test_a_run_without_a_validation_has_a_page(run: Path, ended: str) -> None:
    write_json_lines(run / "metrics.jsonl", [])
    change(run / "result.json", ended=ended, epochs=0, images_per_second=None, test_loss=None, training_seconds=0)
    text = Page(render(run)).text
    assert {"interrupted": "interrupted after 0 of 2 epochs", "dead": "died after 0 of 2 epochs"}[ended] in text
    assert "ended before its first validation" in text


def test_the_calibration_and_the_mistakes_are_shown_and_a_run_without_mistakes_says_so(run: Path) -> None:
    html = render(run)
    text = Page(html).text
    assert "Expected calibration error: 0.033" in text
    assert "classified wrongly with the highest confidence" in text
    (run / "figures" / "mistakes.png").unlink()
    write_json(
        run / "evaluation.json", read_json(run / "evaluation.json") | {"confusion": [[9, 0, 0], [0, 9, 0], [0, 0, 9]]}
    )
    text = Page(render(run)).text
    assert "classified wrongly" not in text
    assert "Most frequent mistake: none." in text


def test_troubles_are_shown(run: Path) -> None:
    change(run / "result.json", ended="dead", epochs=1, troubles=["every logit is exactly zero: try another seed."])
    text = Page(render(run)).text
    assert "This run died after 1 of 2 epochs." in text
    assert "Every logit is exactly zero: try another seed." in text
    change(run / "result.json", ended="finished", troubles=["the loss has stayed at ln(10)."])
    assert "This run finished, with a warning. The loss has stayed at ln(10)." in Page(render(run)).text


def test_a_loss_that_was_not_finite_is_a_dash(run: Path) -> None:
    lines = read_json_lines(run / "metrics.jsonl")
    write_json_lines(
        run / "metrics.jsonl", [lines[0], lines[1] | {"train_loss": None, "validation_loss": float("nan")}]
    )
    assert "2.00 429 – – 0.8500" in Page(render(run)).text


# --- What it is made of ---


def test_nothing_is_loaded_from_elsewhere(run: Path) -> None:
    html = render(run)
    elements = Page(html).elements
    for tag, attributes in elements:
        for name in ("src", "srcset", "data", "poster", "xlink:href", "href"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:", "#")) or (tag, name) == ("a", "href"), (tag, address)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in elements}
    assert all(address.startswith(("data:", "#")) for address in re.findall(r"url\(['\"]?([^)]*)", html))
    assert "@import" not in html
    policies = [
        attributes["content"] or "" for tag, attributes in elements if tag == "meta" and "http-equiv" in attributes
    ]
    assert policies[0].startswith("default-src 'none'")  # the browser sees to it, whatever an edited figure holds


def test_the_page_is_well_formed(run: Path) -> None:
    html = render(run)
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert html.count("<!DOCTYPE") == 1
    assert "<?xml" not in html
    assert (page.unmatched, page.open) == ([], [])
    ids = [element["id"] for _, element in page.elements if "id" in element]
    assert len(ids) == len(set(ids))


def test_figures_are_whole_sized_and_described(run: Path) -> None:
    page = Page(render(run))
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert [(image["width"], image["height"]) for image in images] == [
        (str(int(130 * width)), str(int(130 * height))) for width, height in FIGURES.values()
    ]
    assert all(len(image["alt"] or "") > 40 for image in images)
    assert "validation accuracy 0.876" in " ".join((images[1]["alt"] or "").split())
    drawing = next(attributes for tag, attributes in page.elements if tag == "svg")
    assert drawing["role"] == "img"
    described = {attributes.get("id") for tag, attributes in page.elements if tag in ("title", "desc")}
    assert set((drawing["aria-labelledby"] or "").split()) <= described


def test_markup_in_the_files_is_text_on_the_page(run: Path) -> None:
    hostile = "\"><script>alert('1')</script><img src=http://example.org/x>"
    change(run / "result.json", ended="dead", troubles=[hostile], network=hostile)
    change(run / "environment.json", command=hostile, data=hostile, commit=hostile, names=[hostile, "a", "b"])
    page = Page(render(run))
    assert "script" not in {tag for tag, _ in page.elements}
    assert [tag for tag, _ in page.elements].count("img") == len(FIGURES)
    assert page.text.count("<script>alert('1')</script>") >= 6
    assert (page.unmatched, page.open) == ([], [])


def test_the_page_is_written_beside_the_run(run: Path) -> None:
    path = write_report(run)
    assert path == run / "report.html"
    assert path.read_text(encoding="utf-8") == render(run)


# --- What it refuses ---


def refusal(run: Path) -> str:
    """Give the message of the error, which has one line."""
    with pytest.raises(RunError) as caught:
        render(run)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", [name for name in FILES + FIGURE_FILES if "mistakes" not in name])
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    assert str(run / name) in refusal(run)


@pytest.mark.parametrize("name", FILES + FIGURE_FILES)
def test_a_file_cut_short_is_named(run: Path, name: str) -> None:
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: len(content) // 3])
    assert str(run / name) in refusal(run)


@pytest.mark.parametrize(
    ("name", "unused"),
    [
        ("plan.json", {"num_classes", "schedule"}),
        ("result.json", {"validation_loss", "calibration_error"}),
        ("evaluation.json", set()),
        ("environment.json", set()),
    ],
)
def test_every_missing_key_is_named_with_its_file(run: Path, name: str, unused: set[str]) -> None:
    change(run / "result.json", ended="interrupted")
    whole = read_json(run / name)
    for key in whole.keys() - unused:
        write_json(run / name, {other: value for other, value in whole.items() if other != key})
        assert f"{run / name} has no {key!r}" in refusal(run)


def test_a_missing_key_of_a_validation_is_named(run: Path) -> None:
    lines = read_json_lines(run / "metrics.jsonl")
    for key in lines[1]:
        last = {other: value for other, value in lines[1].items() if other != key}
        write_json_lines(run / "metrics.jsonl", [lines[0], last])
        assert f"{run / 'metrics.jsonl'} has no {key!r}" in refusal(run)


def test_a_missing_key_of_the_recipe_is_named(run: Path) -> None:
    recipe = read_json(run / "plan.json")["recipe"]
    del recipe["warm_up"]
    change(run / "plan.json", recipe=recipe)
    assert f"{run / 'plan.json'} has no 'warm_up'" in refusal(run)


def test_a_run_of_version_0_1_is_one_line_that_says_so(run: Path) -> None:
    (run / "evaluation.json").unlink()
    assert refusal(run).endswith(f"is {run} the folder of a finished run of this version?")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: write_json(run / "result.json", [1, 2]),
        lambda run: change(run / "result.json", test_accuracy="high"),
        lambda run: change(run / "result.json", seconds=None),
        lambda run: change(run / "evaluation.json", confusion=[[1, 2, 3, 4]]),
        lambda run: change(run / "result.json", troubles=3),
        lambda run: change(run / "plan.json", steps_per_interval=5),
        lambda run: change(run / "plan.json", recipe="quick"),
        lambda run: change(run / "environment.json", started="yesterday"),
        lambda run: change(run / "environment.json", names=[]),
    ],
)
def test_a_value_that_no_run_writes_is_refused(run: Path, spoil: Callable[[Path], None]) -> None:
    spoil(run)
    assert str(run) in refusal(run)


# --- How it looks ---


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_never_scrolls_sideways(run: Path, width: int) -> None:
    """Measure in a browser, in a frame: a window of its own has a least width of about 500 pixels."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    change(run / "result.json", ended="dead", troubles=["the loss of /a/path" + 30 * "/longer" + " became nan."])
    change(run / "environment.json", data="/data" + 30 * "/longer", command="nin train --run " + 60 * "deeper/")
    page = render(run).replace("<details>", "<details open>")
    measure = "const d = this.contentDocument.documentElement; document.title = `${this.clientWidth} ${d.scrollWidth}`"
    frame = (
        f'<iframe style="border:0;width:{width}px;height:900px" onload="{measure}" srcdoc="{escape(page)}"></iframe>'
    )
    (run / "frame.html").write_text(f"<!DOCTYPE html><meta charset=utf-8><title></title>{frame}", encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    flags += "--disable-component-update --disable-sync --hide-scrollbars --window-size=1400,1000 --dump-dom"
    dom = subprocess.run(
        [browser, *flags.split(), f"--user-data-dir={run / 'browser'}", (run / "frame.html").as_uri()],
        capture_output=True, text=True, check=True, timeout=60, env=os.environ | {"HOME": str(run)},
    ).stdout  # fmt: skip
    found = re.search(r"<title>(\d+) (\d+)</title>", dom)
    assert found, dom[:200]
    assert found.groups() == (str(width), str(width))
