"""Do the figures of images show the right image, in its place, with the right words?"""

import numpy as np
import pytest
import torch
from figures.reading import (
    NAMES,
    ODD_NAMES,
    drawn_map,
    framed_cells,
    random_images,
    random_maps,
    signed_maps,
    texts_are_apart,
    written,
)

from nin.figures.images import IMAGES_PER_CLASS, MOST_CLASSES, prediction, sample
from nin.figures.style import to_png
from nin.networks.registry import NIN_2013_CELLS, NIN_CELLS


@pytest.mark.parametrize("channels", [1, 3])
def test_the_sample_shows_the_first_images_of_each_class_in_its_row(channels: int) -> None:
    images, labels = random_images(9, channels), torch.tensor([2, 0, 2, 0, 2, 0, 2, 0, 2])
    (axes,) = sample(images, labels, NAMES).axes
    rows = np.asarray(axes.images[0].get_array()).reshape(3, 30, IMAGES_PER_CLASS, 30, 3).swapaxes(1, 2)
    for row, indexes in enumerate([[1, 3, 5, 7], [], [0, 2, 4, 6, 8]]):
        for column in range(IMAGES_PER_CLASS):
            tile = rows[row, column, 1:-1, 1:-1]
            if column < len(indexes):
                assert (tile == images[indexes[column]].permute(1, 2, 0).numpy()).all()
            else:
                assert (tile == 255).all()
    assert [label.get_text() for label in axes.get_yticklabels()] == list(NAMES)


def test_the_sample_shows_no_more_images_than_fit_in_a_row() -> None:
    labels = torch.zeros(IMAGES_PER_CLASS + 1, dtype=torch.int64)
    (axes,) = sample(random_images(IMAGES_PER_CLASS + 1), labels, NAMES[:1]).axes
    assert np.asarray(axes.images[0].get_array()).shape == (30, 30 * IMAGES_PER_CLASS, 3)


def test_of_many_classes_the_sample_shows_the_first() -> None:
    labels = torch.arange(MOST_CLASSES + 5)
    names = [f"class {index}" for index in range(len(labels))]
    (axes,) = sample(random_images(len(labels), 3), labels, names).axes
    assert np.asarray(axes.images[0].get_array()).shape == (30 * MOST_CLASSES, 30 * IMAGES_PER_CLASS, 3)
    assert [label.get_text() for label in axes.get_yticklabels()] == names[:MOST_CLASSES]


def test_a_prediction_says_right_or_wrong_in_words_and_names_both_classes_and_the_confidence() -> None:
    labels, predicted = torch.tensor([0, 1, 2, 1]), torch.tensor([0, 2, 2, 1])
    figure = prediction(random_images(4), labels, predicted, torch.tensor([0.5, 0.25, 1.0, 0.9]), NAMES)
    assert [axes.get_title() for axes in figure.axes] == ["✓ right", "✗ wrong", "✓ right", "✓ right"]
    assert figure.axes[1].get_xlabel() == "true: Ankle boot\npredicted: costs $5 or $6\nconfidence: 25 %"
    confidences = [axes.get_xlabel().splitlines()[2] for axes in figure.axes]
    assert confidences == ["confidence: 50 %", "confidence: 25 %", "confidence: 100 %", "confidence: 90 %"]
    assert "3 of these 4 are right" in written(figure)
    shown = np.asarray(figure.axes[3].images[0].get_array())
    assert (shown == random_images(4)[3].permute(1, 2, 0).numpy()).all()


def test_predictions_do_not_run_into_each_other() -> None:
    labels = torch.zeros(13, dtype=torch.int64)
    figure = prediction(random_images(13), labels, labels + torch.arange(13) % 2, torch.ones(13), NAMES)
    assert texts_are_apart(figure)


def test_a_given_headline_is_written_even_without_images() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    figure = prediction(random_images(0), none, none, torch.zeros(0), NAMES, headline="no mistake")
    assert written(figure) == ["no mistake"]


def test_a_prediction_shows_the_map_of_the_predicted_class_below_each_image() -> None:
    labels, maps = torch.arange(7) % 3, random_maps(7, 2)[:, 0]
    figure = prediction(random_images(7), labels, labels, torch.ones(7), ODD_NAMES, maps=maps, grid=NIN_CELLS, size=99)
    assert texts_are_apart(figure)
    for axes, class_map in zip(figure.axes[1::2], maps, strict=True):
        np.testing.assert_array_equal(np.asarray(drawn_map(axes).get_array()), class_map.numpy())
        assert drawn_map(axes).get_clim() == (0, pytest.approx(float(class_map.max())))
        assert framed_cells(axes) == [tuple((class_map == class_map.max()).nonzero()[0].tolist())]
        true_line, predicted_line, confidence_line = axes.get_xlabel().splitlines()
        assert true_line.startswith("true: ")
        assert predicted_line.startswith("predicted: ")
        assert confidence_line == "confidence: 100 %"


def test_a_prediction_says_which_colours_are_evidence_against_the_class_where_there_is_any() -> None:
    labels, maps = torch.arange(7) % 3, signed_maps(7, 8)[:, 0]
    maps[3] = maps[3].abs()  # one without negative cells is drawn in the same colours
    figure = prediction(
        random_images(7, 3), labels, labels, torch.ones(7), ODD_NAMES, maps=maps, grid=NIN_2013_CELLS, size=32,
        headline="W" * 99,
    )  # fmt: skip
    assert texts_are_apart(figure)
    assert {"evidence against", "0", "for"} <= set(written(figure))
    key, *axes = figure.axes
    for one, class_map in zip(axes[1::2], maps, strict=True):
        farthest = float(class_map.abs().max())
        assert drawn_map(one).get_clim() == pytest.approx((-farthest, farthest))
        assert drawn_map(one).get_cmap() == key.images[0].get_cmap()
    positive = prediction(
        random_images(7, 3), labels, labels, torch.ones(7), NAMES, maps=maps.abs(), grid=NIN_2013_CELLS, size=32
    )
    assert len(positive.axes) == len(figure.axes) - 1
    assert "evidence against" not in written(positive)


def test_a_prediction_leaves_out_maps_of_a_single_cell() -> None:
    images, labels, maps = random_images(2), torch.tensor([0, 1]), random_maps(2, 1)[:, 0]
    plain = prediction(images, labels, labels, torch.ones(2), NAMES)
    single = prediction(images, labels, labels, torch.ones(2), NAMES, maps=maps, grid=NIN_CELLS, size=67)
    assert to_png(single) == to_png(plain)
