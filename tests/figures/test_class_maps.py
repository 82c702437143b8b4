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
    texts_are_apart,
    written,
)
from matplotlib.figure import Figure

from nin.figures.class_maps import explanation
from nin.networks.nin import NiN
from nin.networks.registry import NIN_CELLS, CellGrid


def explain(cells: int, titles: Sequence[str], names: Sequence[str] = NAMES, top: int = 3) -> Figure:
    maps = random_maps(len(titles), cells)
    probabilities = maps.amax(dim=(2, 3)).softmax(dim=1)
    images, size = random_images(len(titles)), 35 + 32 * cells
    return explanation(images, maps, names, probabilities, titles, grid=NIN_CELLS, size=size, top=top)


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


def test_a_class_map_is_drawn_as_it_is_with_its_highest_cell_framed() -> None:
    images, maps = random_images(2), random_maps(2, 3)
    maps[1, 0, 2, 0] = 20
    probabilities = torch.tensor([[0.2, 0.7, 0.1], [0.9, 0.04, 0.06]])
    figure = explanation(images, maps, NAMES, probabilities, ["a.jpg", "b.jpg"], grid=NIN_CELLS, size=131)
    expected = [("Ankle boot 70 %", "T-shirt/top 20 %", "costs $5 or $6 10 %")]
    expected += [("T-shirt/top 90 %", "costs $5 or $6 6 %", "Ankle boot 4 %")]
    for row, order in enumerate([(1, 0, 2), (0, 2, 1)]):
        image_axes, *map_axes, _ = figure.axes[5 * row : 5 * row + 5]
        assert (np.asarray(image_axes.images[0].get_array()) == images[row].permute(1, 2, 0).numpy()).all()
        for axes, index, title in zip(map_axes, order, expected[row], strict=True):
            class_map = maps[row, index]
            mesh = drawn_map(axes)
            np.testing.assert_array_equal(np.asarray(mesh.get_array()), class_map.numpy())
            assert mesh.get_clim() == (0, pytest.approx(float(maps[row].max())))
            corners = np.asarray(mesh.get_coordinates())
            np.testing.assert_allclose(corners[0, :, 0], (17.5 + 32 * np.arange(4)) / 131 * 28 - 0.5)
            np.testing.assert_allclose(corners[:, 0, 1], corners[0, :, 0])
            assert framed_cells(axes) == [tuple((class_map == class_map.max()).nonzero()[0].tolist())]
            assert axes.get_ylim() == (27.5, -0.5), "the first row is at the top"
            assert (axes.get_title(), axes.get_xlabel()) == (title, f"logit {float(class_map.max()):.1f}")
    assert framed_cells(figure.axes[6]) == [(2, 0)]
    assert {"a.jpg", "b.jpg", "20.0"} <= set(written(figure))


def test_cells_are_drawn_and_described_as_the_grid_says() -> None:
    grid, maps = CellGrid(stride=4, start=0.0, receptive_field=26), random_maps(1, 6)
    figure = explanation(random_images(1), maps, NAMES, torch.eye(3)[:1], ["a.jpg"], grid=grid, size=28)
    corners = np.asarray(drawn_map(figure.axes[1]).get_coordinates())
    np.testing.assert_allclose(corners[0, :, 0], 4 * np.arange(7) - 0.5)
    footnote = "\n".join(written(figure))
    assert "6×6 cells" in footnote
    assert "4 pixels wide and sees 12.5 on each side of its centre" in footnote
    assert "28×28 pixels" in footnote
    assert "32 pixels wide and sees 97 on each side of its centre" in "\n".join(written(explain(3, ["a.jpg"])))


def test_a_map_of_equal_cells_has_no_frame_and_the_maps_of_a_dead_network_can_be_drawn() -> None:
    for value in (0.0, math.nan):
        maps, probabilities = torch.full((1, 3, 3, 3), value), torch.full((1, 3), 1 / 3)
        figure = explanation(random_images(1), maps, NAMES, probabilities, ["dead"], grid=NIN_CELLS, size=131)
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
