"""Does relevance lie where the cells look, and do the curves measure what the prediction depends on?"""

from typing import Any

import pytest
import torch
from faithfulness import curves, grad_cam, rank_pixels, relevance
from paper_figure import largest
from pointing import edges_of_highest, usual_cell
from synthetic import small_splits
from torch import nn

import nin
from nin.data.preprocessing import Preprocessing
from nin.inference.classifier import Classifier
from nin.inference.model_folder import Config
from nin.networks.registry import NIN_2013_CELLS, NIN_CELLS

CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [131, 195])
def test_a_cell_alone_is_most_relevant_in_the_middle_of_its_view(size: int):
    cells = (size - 35) // 32
    maps = torch.zeros(1, cells, cells)
    maps[0, 1, 2] = 1.0
    found = relevance(maps, NIN_CELLS, size, size)[0]
    row, column = divmod(int(found.argmax()), size)
    assert row == 33 + 32
    assert column in range(33 + 64, size if cells == 3 else 33 + 65)  # beyond the last cell it is level
    assert found[33, 0] == 0


@pytest.mark.parametrize(
    ("row", "column", "edges"), [(1, 1, 0), (2, 1, 0), (0, 2, 1), (1, 3, 1), (3, 1, 1), (0, 0, 2), (3, 0, 2), (0, 3, 2)]
)
def test_a_highest_cell_lies_inside_its_map_or_at_an_edge_or_in_a_corner(row: int, column: int, edges: int):
    maps = torch.full((2, 4, 4), -1.0)
    maps[1, row, column] = 0.5
    maps[0, 1, 2] = 0.0
    assert edges_of_highest(maps).tolist() == [0, edges]


def test_a_map_of_one_cell_has_no_place():
    found = relevance(torch.tensor([[[3.0]]]), NIN_CELLS, 67, 28)
    assert found.shape == (1, 28, 28)
    assert torch.equal(found, torch.full((1, 28, 28), 3.0))


def test_pixels_are_ranked_by_relevance_and_equal_ones_by_chance():
    found = torch.zeros(2, 4, 4)
    found[0, 1, 2], found[0, 3, 3] = 2.0, 1.0
    order = rank_pixels(found)
    assert order[0, :2].tolist() == [6, 15]
    assert sorted(order[1].tolist()) == list(range(16))
    assert order[1].tolist() != list(range(16))
    assert torch.equal(order, rank_pixels(found))
    assert not torch.equal(order[1], rank_pixels(found, seed=1)[1])


def test_a_cell_of_the_papers_network_lies_where_its_pools_put_it():
    maps = torch.zeros(1, 8, 8)
    maps[0, 3, 5] = 1.0
    found = relevance(maps, NIN_2013_CELLS, 32, 32)[0]
    assert divmod(int(found.argmax()), 32) == (12, 20)
    assert found[12, 24] == found[16, 20] == 0


def test_grad_cam_weights_the_channels_that_enter_the_last_block():
    classifier = nin.load("fashion-mnist", device="cpu", precision="float32")
    images = small_splits().test.images[:3]
    classes = classifier.logits(images).argmax(dim=1)
    network: Any = classifier.network
    with torch.no_grad():
        x = network.m2(network.n2(network.m1(network.n1(classifier.config.preprocessing(images)))))
        channels = network.m3(network.n3(x))
    channels.requires_grad_(True)
    logits = network.n4(channels).amax((2, 3))
    (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), channels)
    expected = (gradient.mean((2, 3), keepdim=True) * channels).sum(1).relu().detach()
    assert expected.max() > 0
    torch.testing.assert_close(grad_cam(classifier, images, classes), expected)
    assert torch.equal(classifier.logits(images).argmax(dim=1), classes), "the network is left as it was"


def test_grad_cam_of_the_papers_network_has_a_value_for_each_cell():
    classifier = nin.load("cifar10", device="cpu", precision="float32")
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = grad_cam(classifier, images, classifier.logits(images).argmax(dim=1))
    assert found.shape == (4, 8, 8)
    assert found.max() > 0


class Brightest(nn.Module):
    """Predicts class 0 by the light in the left half of an image, and class 1 by that in the right half."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(8.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        half = images.shape[3] // 2
        return self.scale * torch.stack([images[..., :half].mean((1, 2, 3)), images[..., half:].mean((1, 2, 3))], 1)


def test_the_curves_fall_and_rise_faster_in_the_order_that_matters():
    config = Config("nin", Preprocessing(8, (0.0,), (1.0,)), 8, ("left", "right"))
    classifier = Classifier(Brightest(), config, device=CPU, precision="float32")
    images = torch.full((3, 1, 8, 8), 30, dtype=torch.uint8)
    images[..., :4] = 250
    matters = torch.zeros(3, 8, 8)
    matters[..., :4] = 1.0
    right, wrong = (curves(classifier, images, rank_pixels(order), steps=4) for order in (matters, -matters))
    whole, nothing = classifier.probabilities(images)[0, 0], 0.5
    for found in (right, wrong):
        assert found.deletion.shape == found.insertion.shape == (3, 5)
        assert found.deletion[:, 0].tolist() == found.insertion[:, -1].tolist() == pytest.approx([whole.item()] * 3)
        assert found.deletion[:, -1].tolist() == found.insertion[:, 0].tolist() == pytest.approx([nothing] * 3)
    assert right.deletion.mean() < wrong.deletion.mean() - 0.1
    assert right.insertion.mean() > wrong.insertion.mean() + 0.1


# --- Which cells are high? ---


def test_the_usual_cell_is_counted_class_by_class():
    maps = torch.zeros(6, 2, 2)
    for image, cell in enumerate([0, 0, 3, 2, 2, 2]):
        maps[image].view(-1)[cell] = 1.0
    predicted = torch.tensor([0, 0, 0, 1, 1, 1])
    assert usual_cell(maps, predicted) == pytest.approx((2 / 3 + 1) / 2)


def test_the_largest_share_of_the_cells_is_of_all_maps_of_an_image_together():
    maps = torch.arange(20.0).view(5, 2, 2) - 10
    found = largest(maps, 0.15)
    assert found[4].tolist() == [[0.0, 7.0], [8.0, 9.0]]
    assert found[:4].count_nonzero() == 0
    assert largest(-maps.abs() - 1, 0.5).count_nonzero() == 0, "a negative cell speaks against the class"
