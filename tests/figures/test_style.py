"""Does every figure keep to the shared style: letters that can be drawn, lines that fit, the same bytes each time?"""

from xml.etree import ElementTree

import matplotlib
import pytest
import torch
from figures.reading import NAMES, ODD_NAMES, random_images, random_maps, signed_explanation, written
from matplotlib.figure import Figure

from nin.figures.class_maps import explanation
from nin.figures.curves import loss
from nin.figures.evaluation import confusion, reliability
from nin.figures.images import prediction, sample
from nin.figures.style import fit_line, rgb_pixels, to_png, to_svg
from nin.metrics import Calibration
from nin.networks.registry import NIN_CELLS

METRICS = {"train_loss": 1.0, "validation_loss": 0.5, "train_accuracy": 0.6, "validation_accuracy": 0.7}


def figures_with(names: tuple[str, ...]) -> list[Figure]:
    """Draw every figure that shows the names of classes."""
    images, labels, maps = random_images(3), torch.tensor([0, 1, 2]), random_maps(3, 3)
    probabilities = maps.amax(dim=(2, 3)).softmax(dim=1)
    return [
        sample(images, labels, names),
        prediction(images, labels, labels.flip(0), probabilities.amax(dim=1), names),
        explanation(images, maps, maps.amax(dim=(2, 3)), names, probabilities, names, grid=NIN_CELLS, size=131),
        signed_explanation(3, names, names),
        confusion(((0, 1, 2), (3, 4, 5), (6, 7, 8)), names),
    ]


def all_figures() -> list[Figure]:
    return [
        *figures_with(NAMES),
        loss([{"epoch": 0.5, **METRICS}, {"epoch": 1.0, **METRICS}], 10, 0.1),
        reliability(Calibration((4, 0, 2), (0.2, None, 0.9), (0.25, None, 1.0), 0.1)),
    ]


def svg_texts(figure: Figure) -> list[str]:
    root = ElementTree.fromstring(to_svg(figure))  # noqa: S314 - we wrote it ourselves
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.slow
def test_the_same_figure_gives_the_same_bytes() -> None:
    for figure, again in zip(all_figures(), all_figures(), strict=True):
        png, svg = to_png(figure), to_svg(figure)
        assert png.startswith(b"\x89PNG")
        assert to_png(figure) == png == to_png(again)
        assert to_svg(figure) == svg == to_svg(again)


def test_an_svg_holds_its_text_as_text_and_a_dollar_is_a_dollar() -> None:
    for figure in figures_with(NAMES):
        texts = svg_texts(figure)
        for name in NAMES:
            assert any(name in text for text in texts)


def test_odd_class_names_are_written_in_letters_that_every_figure_can_draw() -> None:
    for figure in figures_with(ODD_NAMES):
        texts = "\n".join(written(figure))
        assert "two lines�" in texts
        assert "�coat ��" in texts
        assert svg_texts(figure)


@pytest.mark.slow
def test_drawing_leaves_matplotlib_s_settings_alone_and_is_not_changed_by_them() -> None:
    before = dict(matplotlib.rcParams)
    pngs = [to_png(figure) for figure in all_figures()]
    for figure in all_figures():
        to_svg(figure)
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 20, "axes.spines.top": True, "lines.linewidth": 9}):
        assert [to_png(figure) for figure in all_figures()] == pngs


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_a_line_loses_its_middle_and_no_more_of_it_than_it_must(weight: str) -> None:
    assert fit_line("Ankle boot", 2, 9, "true: {}", weight) == "true: Ankle boot"
    assert fit_line(" Ankle \n boot ", 2, 9, weight=weight) == "Ankle boot"
    cut = fit_line("a" * 50 + "b" * 50, 1, 9, "true: {}", weight)
    kept = cut.removeprefix("true: ").split("…")
    assert len(kept) == 2
    assert set(kept[0]) == {"a"}
    assert set(kept[1]) == {"b"}
    assert 0 <= len(kept[0]) - len(kept[1]) <= 1
    assert fit_line("a" * 100, 0.1, 9, "true: {}", weight) == "true: …"


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_of_the_image(channels: int) -> None:
    image = random_images(1, channels)[0]
    pixels = torch.from_numpy(rgb_pixels(image).copy()).permute(2, 0, 1)
    assert torch.equal(pixels, image.expand(3, 28, 28))
