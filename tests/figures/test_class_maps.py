"""Are class maps drawn cell for cell, over the part of the image that each cell is centred on?"""

import math
from collections.abc import Sequence

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
    signed_explanation,
    signed_maps,
    texts_are_apart,
    written,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nin.figures.class_maps import explanation
from nin.networks.architecture import CellGrid
from nin.networks.nin import NiN
from nin.networks.nin_2013 import NiN2013
from nin.networks.registry import NIN_2013_CELLS, NIN_CELLS

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of red, green and blue


def explain(cells: int, titles: Sequence[str], names: Sequence[str] = NAMES, top: int = 3) -> Figure:
    maps = random_maps(len(titles), cells)
    logits = maps.amax(dim=(2, 3))
    images, size = random_images(len(titles)), 35 + 32 * cells
    return explanation(images, maps, logits, names, logits.softmax(dim=1), titles, grid=NIN_CELLS, size=size, top=top)


def test_cells_of_nin_are_drawn_at_the_centre_of_what_they_see() -> None:
    size, cells, reach = 259, 7, (NIN_CELLS.receptive_field - 1) / 2
    edges = np.array(NIN_CELLS.edges(size, cells)) * size
    centres = (edges[:-1] + edges[1:]) / 2 - 0.5  # the middle of a pixel is half a pixel after its number
    columns = np.array([31, 32, 226, 227])  # just outside and just inside the reach of the cell in the middle
    images = torch.zeros(4, 1, 67, size, dtype=torch.float64)
    images[range(4), :, :, columns] = math.nan  # NaN reaches every cell that sees it
    # In double precision no convolution uses a fast algorithm that would spread NaN further.
    maps = NiN(num_classes=1).double().eval().class_maps(images)
    assert maps.shape == (4, 1, 1, cells)
    sees = np.abs(columns[:, None] - centres) <= reach
    assert sees[:, 3].tolist() == [False, True, True, False]
    np.testing.assert_array_equal(maps[:, 0, 0].isnan().numpy(), sees)


def test_cells_of_nin_2013_are_drawn_at_the_centre_of_what_they_see_and_reach_the_edges() -> None:
    size, cells, reach = 32, 8, (NIN_2013_CELLS.receptive_field - 1) / 2
    edges = np.array(NIN_2013_CELLS.edges(size, cells)) * size
    np.testing.assert_allclose(edges, [0, 2.5, 6.5, 10.5, 14.5, 18.5, 22.5, 26.5, 32])
    centres = 4.0 * np.arange(cells)  # of the first cell half lies outside, and the last is drawn wider
    np.testing.assert_allclose((edges[1:-2] + edges[2:-1]) / 2 - 0.5, centres[1:-1])
    columns = np.arange(size)
    images = torch.zeros(size, 1, size, size, dtype=torch.float64)
    images[range(size), :, :, columns] = math.nan  # NaN reaches every cell that sees it
    maps = NiN2013(1, 1).double().eval().class_maps(images)
    assert maps.shape == (size, 1, cells, cells)
    sees = np.abs(columns[:, None] - centres) <= reach
    assert (sees.sum(axis=0) == [14, 18, 22, 26, 27, 25, 21, 17]).all()
    np.testing.assert_array_equal(maps[:, 0, 0].isnan().numpy(), sees)


def test_a_class_map_is_drawn_as_it_is_with_its_highest_cell_framed() -> None:
    images, maps = random_images(2), random_maps(2, 3)
    maps[1, 0, 2, 0] = 20
    probabilities = torch.tensor([[0.2, 0.7, 0.1], [0.9, 0.04, 0.06]])
    # Logits that nobody can compute from the maps again.
    logits, said = torch.tensor([[1.3, 2.5, -0.01], [3.0, 4.0, -5.0]]), (("2.5", "1.3", "0.0"), ("3.0", "−5.0", "4.0"))
    figure = explanation(images, maps, logits, NAMES, probabilities, ["a.jpg", "b.jpg"], grid=NIN_CELLS, size=131)
    expected = [("Ankle boot 70 %", "T-shirt/top 20 %", "costs $5 or $6 10 %")]
    expected += [("T-shirt/top 90 %", "costs $5 or $6 6 %", "Ankle boot 4 %")]
    for row, order in enumerate([(1, 0, 2), (0, 2, 1)]):
        image_axes, *map_axes, _ = figure.axes[5 * row : 5 * row + 5]
        assert (np.asarray(image_axes.images[0].get_array()) == images[row].permute(1, 2, 0).numpy()).all()
        for axes, index, title, logit in zip(map_axes, order, expected[row], said[row], strict=True):
            class_map = maps[row, index]
            mesh = drawn_map(axes)
            np.testing.assert_array_equal(np.asarray(mesh.get_array()), class_map.numpy())
            assert mesh.get_clim() == (0, pytest.approx(float(maps[row].max())))
            corners = np.asarray(mesh.get_coordinates())
            np.testing.assert_allclose(corners[0, :, 0], (17.5 + 32 * np.arange(4)) / 131 * 28 - 0.5)
            np.testing.assert_allclose(corners[:, 0, 1], corners[0, :, 0])
            assert framed_cells(axes) == [tuple((class_map == class_map.max()).nonzero()[0].tolist())]
            assert axes.get_ylim() == (27.5, -0.5), "the first row is at the top"
            assert (axes.get_title(), axes.get_xlabel()) == (title, f"logit {logit}")
    assert framed_cells(figure.axes[6]) == [(2, 0)]
    assert {"a.jpg", "b.jpg", "20.0"} <= set(written(figure))


def test_cells_are_drawn_and_described_as_the_grid_says() -> None:
    grid, maps = CellGrid(stride=4, start=0.0, receptive_field=26, pool="avg", single_up_to=4), random_maps(1, 6)
    one = torch.eye(3)[:1]
    figure = explanation(random_images(1), maps, one, NAMES, one, ["a.jpg"], grid=grid, size=28)
    corners = np.asarray(drawn_map(figure.axes[1]).get_coordinates())
    np.testing.assert_allclose(corners[0, :, 0], 4 * np.arange(7) - 0.5)
    footnote = "\n".join(written(figure))
    assert "The mean of the 6×6 cells is the logit." in footnote
    assert "Cells are 4 pixels apart and each sees 12.5 pixels on each side of its centre" in footnote
    assert "28×28 pixels" in footnote
    footnote = "\n".join(written(explain(3, ["a.jpg"])))
    assert (
        "the highest of 3×3 cells, whose value is the logit. The maps of an image share one colour scale.\n" in footnote
    )
    assert "Cells are 32 pixels apart and each sees 97 pixels on each side of its centre" in footnote


def colour(axes: Axes, value: float) -> np.ndarray:
    """Return the colour that a map shows a value in."""
    return np.array(drawn_map(axes).to_rgba(value)[:3])


def test_negative_cells_are_drawn_on_a_scale_that_is_symmetric_around_a_white_zero() -> None:
    figure = signed_explanation(8, ["a.jpg", "b.jpg"])
    maps = signed_maps(2, 8)
    for row in range(2):
        farthest = float(maps[row].abs().max())
        for axes in figure.axes[5 * row + 1 : 5 * row + 4]:
            assert drawn_map(axes).get_clim() == pytest.approx((-farthest, farthest))
            assert framed_cells(axes) == [], "every cell counts"
            assert (colour(axes, 0.0) > 0.98).all(), "zero is white"
            for value in (0.3 * farthest, farthest):
                above, below = colour(axes, value), colour(axes, -value)
                assert above[2] > above[0] + 0.1, "blue speaks for the class"
                assert below[0] > below[2] + 0.1, "orange speaks against it"
                assert abs(LUMINANCE @ above - LUMINANCE @ below) < 0.06, "neither side looks stronger"
        bar = figure.axes[5 * row + 4]
        ticks = [tick.get_text() for tick in bar.get_yticklabels()]
        assert ticks == [f"−{farthest:.1f}", "0", f"{farthest:.1f}"]
        assert bar.get_ylim() == pytest.approx((-farthest, farthest))
    said = written(figure)
    assert any(
        "Cells are 4 pixels apart (at the edges narrower or wider) and each sees 13 pixels" in text for text in said
    )
    assert said.count("for") == said.count("against") == 2
    assert any("The mean of the 8×8 cells is the logit." in text and "orange against it" in text for text in said)
    assert texts_are_apart(figure)


def test_the_scale_is_that_of_the_maps_which_are_drawn_and_its_kind_that_of_the_whole_figure() -> None:
    maps = torch.ones(2, 3, 4, 4)
    maps[0, 0, 0, 0], maps[0, 1, 1, 1], maps[0, 2, 2, 2] = 2.0, -0.5, -80.0
    probabilities = torch.tensor([[0.6, 0.3, 0.1]]).expand(2, 3)
    logits = maps.mean(dim=(2, 3))
    figure = explanation(
        random_images(2), maps, logits, NAMES, probabilities, ["a", "b"], grid=NIN_2013_CELLS, size=16, top=2
    )
    assert [drawn_map(figure.axes[place]).get_clim() for place in (1, 2)] == [(-2, 2), (-2, 2)]
    assert [drawn_map(figure.axes[place]).get_clim() for place in (5, 6)] == [(-1, 1), (-1, 1)]


def test_a_map_of_equal_cells_has_no_frame_and_the_maps_of_a_dead_network_can_be_drawn() -> None:
    for value in (0.0, math.nan):
        maps, probabilities = torch.full((1, 3, 3, 3), value), torch.full((1, 3), 1 / 3)
        logits = maps.amax(dim=(2, 3))
        figure = explanation(random_images(1), maps, logits, NAMES, probabilities, ["dead"], grid=NIN_CELLS, size=131)
        assert [framed_cells(axes) for axes in figure.axes[1:4]] == [[], [], []]
        assert f"logit {value:.1f}" in written(figure)


def test_a_single_cell_is_drawn_over_the_whole_image_and_the_footnote_says_so() -> None:
    figure = explain(1, ["single"])
    assert np.asarray(drawn_map(figure.axes[1]).get_coordinates())[:, :, 0].tolist() == [[-0.5, 27.5]] * 2
    assert framed_cells(figure.axes[1]) == []
    assert any("one cell covers the whole image" in text for text in written(figure))


@pytest.mark.parametrize(("cells", "images", "top"), [(1, 1, 1), (3, 3, 3), (9, 8, 2)])
def test_odd_and_endless_names_do_not_run_into_each_other(cells: int, images: int, top: int) -> None:
    titles = [name * 9 for name in ODD_NAMES] + ["short"] * 5
    assert texts_are_apart(explain(cells, titles[:images], ODD_NAMES, top))
    if cells > 1:
        assert texts_are_apart(signed_explanation(cells, titles[:images], ODD_NAMES))
