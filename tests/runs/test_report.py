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
from nin.errors import OptionError, RunError
from nin.files import read_json, read_json_lines, write_json, write_json_lines
from nin.runs.report import render, write_report
from nin.training.named_recipes import d2l, quick
from nin.training.plan import Plan, resolve_schedule

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
        "epochs": 429 * 256 / 55_000,
        "evaluated": "test",
        "validation_accuracy": 0.9184,
        "temperature": 0.81,
        "parameters": 1_992_166,
        "multiply_adds": 53_978_112,
        "images_per_second": 1040.4,
        "training_seconds": 105.6,
        "seconds": 125.2,
        "network": "NiN(\n  (n1): Sequential(\n    (0): Conv2d(1, 96, kernel_size=(11, 11), stride=(4, 4))\n  )\n)",
    }
    write_json(tmp_path / "result.json", result)
    evaluation = {
        "split": "test",
        "images": 3000,
        "accuracy": 0.92134,
        "accuracy_low": 0.91589,
        "accuracy_high": 0.92645,
        "balanced_accuracy": 0.8712,
        "loss": 0.2345,
        "confusion": [[900, 60, 40], [0, 1000, 0], [113, 0, 887]],
        "mistakes": [[2, 0, 113], [0, 1, 60], [0, 2, 40]],
        "images_per_class": [1000, 1000, 1000],
        "recall": [0.9, 1.0, 0.887],
        "precision": [0.888, 0.943, None],
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
        "data": {
            "name": "Fashion-MNIST",
            "place": "/usr/share/datasets/fashion-mnist",
            "images": {"train": 55_000, "validation": 5000, "test": 3000},
            "width": 28,
            "height": 28,
            "channels": 1,
            "order": "of the data set",
            "cut": {"validation": 0.0833},
            "cut_seed": 0,
            "preparation": "made light on dark",
            "unreadable_photos": 0,
            "unreadable": [],
            "notes": [],
        },
        "names": NAMES,
    }
    write_json(tmp_path / "environment.json", environment)
    return tmp_path


def change(file: Path, **values: Any) -> None:
    """Put other values into a JSON file."""
    write_json(file, read_json(file) | values)


def change_data(run: Path, **values: Any) -> None:
    """Put other values into what the run knows of its data."""
    change(run / "environment.json", data=read_json(run / "environment.json")["data"] | values)


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
    assert "NiN on Fashion-MNIST, recipe quick" in text
    assert "Balanced accuracy is the same, as the classes are equal in size." in text
    assert "no test images" not in text
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


def test_where_classes_differ_in_size_balanced_accuracy_stands_beside_accuracy(run: Path) -> None:
    change(run / "evaluation.json", images_per_class=[1000, 20, 1000])
    text = Page(render(run)).text
    assert "Balanced accuracy 0.871 : the mean of the classes’ recall" in text
    assert "equal in size" not in text


def test_a_run_without_test_images_says_so_and_that_its_figures_flatter(run: Path) -> None:
    change(run / "evaluation.json", split="validation")
    change_data(run, images={"train": 900, "validation": 100})
    html = render(run)
    text = Page(html).text
    for said in (
        "Validation accuracy 0.921 95 % interval",
        "There were no test images.",
        "on which the temperature was fitted",
        "flatter",
        "900 for training, 100 for validation, none for testing",
        "Some validation images, drawn at random.",
        "Confusion matrix of the validation images",
        "The validation images that were classified wrongly",
    ):
        assert said in text
    assert "Test accuracy" not in text
    assert "test images" not in html.replace("There were no test images", "")
    assert "NiN on Fashion-MNIST: validation accuracy 0.921" in text, "the title"


def test_the_data_are_described(run: Path) -> None:
    text = Page(render(run)).text
    for said in (
        "Data Fashion-MNIST Images 55,000 for training, 5,000 for validation, 3,000 for testing; held out of the "
        "training images by seed 0: 8.33 % for validation Size 28×28 pixels each, grey",
        "Classes 3; their order: of the data set Photos made light on dark",
    ):
        assert said in text
    assert "Unreadable" not in text
    assert "Notes" not in text
    unreadable = [[f"cats/{number}.jpg", "cut off"] for number in range(100)]
    change_data(
        run, name="my photos", channels=3, width=131, height=99, cut={}, unreadable_photos=2000,
        unreadable=unreadable, notes=["eval is taken as test", "1, 2, 10 would differ"],
    )  # fmt: skip
    html = render(run)
    text = Page(html).text
    for said in (
        "NiN on my photos, recipe quick", "131×99 pixels each, in colour", "3,000 for testing Size",
        "eval is taken as test 1, 2, 10 would differ", "2,000 photos, left out cats/0.jpg : cut off", "and 1,980 more",
    ):  # fmt: skip
        assert said in text
    assert "Fashion-MNIST" not in html


@pytest.mark.parametrize("classes", [31, 1000])
def test_many_classes_are_told_by_their_worst_mistakes(run: Path, classes: int) -> None:
    names = [f"class {number}" for number in range(classes)]
    change(run / "environment.json", names=names)
    change(
        run / "evaluation.json",
        confusion=None if classes > 100 else [[1] * classes] * classes,
        mistakes=[[number % classes, (number + 3) % classes, 40 - number] for number in range(40)],
        images_per_class=[50] * classes,
        recall=[1.0] * (classes - 1) + [0.25],
        precision=[1.0] * classes,
    )
    html = render(run)
    text = Page(html).text
    assert "Most frequent mistake: class 0 taken for class 3, 40 times" in text
    assert (
        "The most frequent mistakes True class Predicted class Images Share of the class class 0 class 3 40 80.0 %"
        in text
    )
    assert "11 22.0 %" in text
    assert "10 20.0 %" not in text, "30 are listed"
    assert "The confusion matrix in numbers" not in text
    if classes > 50:
        assert "The 20 classes of lowest recall Class Images Recall Precision class 999 50 0.250 1.000" in text
    else:
        assert "Each class in numbers Class Images Recall Precision class 0 50 1.000 1.000" in text
    shown = f"the first 20 of {classes:,} classes"
    assert f"The first training images of {shown}." in text
    sample = next(attributes["alt"] or "" for tag, attributes in Page(html).elements if tag == "img")
    assert sample.endswith("class 18, class 19.")
    assert shown in sample


def test_a_run_that_started_from_a_model_says_so(run: Path) -> None:
    change(run / "plan.json", start={"model": "fashion-mnist", "sha256": "0"})
    assert "Initialisation the weights of fashion-mnist , but for a new last block" in Page(render(run)).text


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
    for key in ("command", "commit", "python", "torch", "numpy", "platform", "processor"):
        assert environment[key] in text
    assert "Data /usr/share/datasets/fashion-mnist" in text


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
    assert "Validation after 430 steps, 3 times" in text
    assert "Shifts none Erased none Flips none" in text


def test_a_plan_made_for_minutes_says_how_to_replay_it(run: Path) -> None:
    change(run / "plan.json", minutes=5.0)
    text = Page(render(run)).text
    assert "Epochs 2, in 429 steps; the run was planned to take 5 minutes" in text
    assert "nin train --plan plan.json" in text
    for other in ("(planned:", "at the start", "during the run"):
        assert other not in text


def test_a_plan_revised_during_the_run_is_told_as_executed_and_as_first_planned(run: Path) -> None:
    change(run / "plan.json", minutes=5.0, steps_per_interval=[214, 86], revisions=[[[20, 1.0], [300, 0.0]]])
    change(run / "plan.json", thread_changes=[[40, 1], [90, 2]])
    change(run / "result.json", epochs=300 * 256 / 55_000)
    text = Page(render(run)).text
    for said in (
        "Epochs 1.4, in 300 steps (planned: 2); the run was planned to take 5 minutes",
        "Validation after 86 to 214 steps, 2 times",
        "linear warm-up from 0 over the first 20 % of the steps planned at the start, then linear decay to 0; revised "
        "1 time during the run",
        "Device cpu, 2 threads, changed 2 times during the run ( plan.json )",
    ):
        assert said in text
    change(run / "result.json", ended="interrupted", epochs=150 * 256 / 55_000)
    assert "interrupted after 0.698 of 1.4 epochs" in Page(render(run)).text


def test_augmentation_is_told_in_words(run: Path) -> None:
    recipe = read_json(run / "plan.json")["recipe"] | {"shift": 2, "erase": 8}
    for reflect, filled in ((True, "filled by reflection"), (False, "filled with black")):
        change(run / "plan.json", recipe=recipe | {"reflect": reflect})
        text = Page(render(run)).text
        assert f"Shifts each image by up to 2 pixels, at random, {filled} Erased" in text
        assert "Erased a square of 8×8 pixels in each image, filled with the mean colour Flips" in text


def test_images_are_said_to_be_resized_only_if_they_are(run: Path) -> None:
    assert "The network takes them resized to 67×67 pixels." in Page(render(run)).text
    change_data(run, width=67)
    assert "resized to 67×67" in Page(render(run)).text, "their height differs"
    change_data(run, height=67)
    assert "resized" not in Page(render(run)).text


def test_maps_of_one_cell_are_told_apart_from_larger_ones(run: Path) -> None:
    assert "single cell" in Page(render(run)).text
    plan = read_json(run / "plan.json")
    write_json(run / "plan.json", plan | {"recipe": plan["recipe"] | {"size": 131}})
    text = Page(render(run)).text
    assert "single cell" not in text
    assert "Below each image is the class map of the predicted class" in text


def of_network(run: Path, network: str, size: int, channels: int = 1) -> str:
    """Let the run be of another network, and return what the page then says."""
    plan = read_json(run / "plan.json")
    recipe = plan["recipe"] | {"network": network, "size": size}
    preprocessing = {"size": size, "mean": channels * [0.5], "std": channels * [0.3]}
    change(run / "plan.json", recipe=recipe, preprocessing=preprocessing)
    return Page(render(run)).text


def test_a_baseline_says_that_it_is_one(run: Path) -> None:
    text = of_network(run, "alexnet", 67)
    assert "This run trained AlexNet" in text
    assert "single cell" not in text
    assert "AlexNet, VGG-11 and NiN, layer by layer" in text
    assert "Last ReLU" not in text


def test_the_largest_value_of_a_map_is_the_logit_of_nin(run: Path) -> None:
    text = of_network(run, "nin", 131)
    for said in (
        "one number from each map, here the largest, and that is the logit of the class",
        "AlexNet, VGG-11 and NiN, layer by layer, for images of 1 × 224 × 224, the textbook’s size. A shape is",
        "AlexNet, VGG-11 and NiN side by side", "NiN has none, and ends in a global pool of its class maps.",
        "The framed cell is the highest, which alone is the logit.", "Last ReLU left out in training",
    ):  # fmt: skip
        assert said in text


@pytest.mark.parametrize("size", [8, 32])
def test_the_mean_of_a_map_is_the_logit_of_nin_2013_which_has_no_last_relu_to_leave_out(run: Path, size: int) -> None:
    text = of_network(run, "nin-2013", size, channels=3)
    for said in (
        "NiN2013 on Fashion-MNIST",
        "one number from each map, here its mean, and that is the logit of the class",
        "AlexNet and VGG-11 for images of 3 × 224 × 224 (the textbook’s size), NiN2013 for 3 × 32 × 32, layer by "
        "layer. A shape is",
        "AlexNet, VGG-11 and NiN2013 side by side", "NiN2013 has none, and ends in a global pool of its class maps.",
        "blue is evidence for the class, orange against it. The mean of the cells is the logit.",
    ):  # fmt: skip
        assert said in text
    for other in ("the largest", "framed", "Last ReLU", "single cell"):
        assert other not in text


@pytest.mark.parametrize("ended", ["interrupted", "dead"])
def test_a_run_without_a_validation_has_a_page(run: Path, ended: str) -> None:
    write_json_lines(run / "metrics.jsonl", [])
    change(run / "result.json", ended=ended, epochs=0, images_per_second=None, training_seconds=0)
    change(run / "evaluation.json", loss=None)
    text = Page(render(run)).text
    assert {"interrupted": "interrupted after 0 of 2 epochs", "dead": "died after 0 of 2 epochs"}[ended] in text
    assert "ended before its first validation" in text


def test_the_calibration_and_the_mistakes_are_shown_and_a_run_without_mistakes_says_so(run: Path) -> None:
    html = render(run)
    text = Page(html).text
    assert "Expected calibration error: 0.033" in text
    assert "classified wrongly with the highest confidence" in text
    (run / "figures" / "mistakes.png").unlink()
    change(run / "evaluation.json", confusion=[[9, 0, 0], [0, 9, 0], [0, 0, 9]], mistakes=[])
    text = Page(render(run)).text
    assert "classified wrongly" not in text
    assert "The most frequent mistakes" not in text
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
    change(run / "environment.json", command=hostile, commit=hostile, names=[hostile, "a", "b"])
    change_data(
        run, name=hostile, place=hostile, order=hostile, preparation=hostile, notes=[hostile], unreadable_photos=1,
        unreadable=[[hostile, hostile]],
    )  # fmt: skip
    page = Page(render(run))
    assert "script" not in {tag for tag, _ in page.elements}
    assert [tag for tag, _ in page.elements].count("img") == len(FIGURES)
    assert page.text.count("<script>alert('1')</script>") >= 14
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
        ("plan.json", {"num_classes", "schedule", "revisions", "thread_changes"}),
        ("result.json", {"evaluated"}),
        ("evaluation.json", set()),
        ("environment.json", set()),
    ],
)
def test_every_missing_key_is_named_with_its_file(run: Path, name: str, unused: set[str]) -> None:
    change(run / "result.json", ended="interrupted")
    change(run / "evaluation.json", images_per_class=[1000, 20, 1000])
    whole = read_json(run / name)
    for key in whole.keys() - unused:
        write_json(run / name, {other: value for other, value in whole.items() if other != key})
        assert f"{run / name} has no {key!r}" in refusal(run)


def test_every_missing_key_of_the_data_is_named(run: Path) -> None:
    change_data(run, unreadable_photos=1, unreadable=[["cats/0.jpg", "cut off"]])
    whole = read_json(run / "environment.json")
    for key in whole["data"]:
        change(run / "environment.json", data={other: value for other, value in whole["data"].items() if other != key})
        assert f"{run / 'environment.json'} has no {key!r}" in refusal(run)


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


def test_a_run_of_ones_own_network_says_how_it_is_named(run: Path) -> None:
    plan = read_json(run / "plan.json")
    plan["recipe"]["network"] = "my_nets:make"
    write_json(run / "plan.json", plan)
    with pytest.raises(OptionError, match=r"^my_nets:make is not a network of this package.* --network my_nets:make"):
        render(run)


def test_a_run_of_version_0_1_is_one_line_that_says_so(run: Path) -> None:
    (run / "evaluation.json").unlink()
    assert refusal(run).endswith(f"is {run} the folder of a finished run of this version?")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: write_json(run / "result.json", [1, 2]),
        lambda run: change(run / "evaluation.json", accuracy="high"),
        lambda run: change(run / "evaluation.json", mistakes=[[0, 3, 5]]),
        lambda run: change(run / "evaluation.json", recall=[1.0]),
        lambda run: change(run / "environment.json", data="/data"),
        lambda run: change_data(run, channels=2),
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
    long = "/data" + 30 * "/longer"
    change(run / "environment.json", command="nin train --run " + 60 * "deeper/", names=["W" * 99, "a", "b"])
    change_data(
        run, name=long, place=long, notes=[long], unreadable_photos=1, unreadable=[[long, long]], preparation=long
    )
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
