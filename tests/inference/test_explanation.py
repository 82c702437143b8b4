"""Does relevance lie where the cells look, and do the curves measure what the answer hangs on?"""

import pytest
import torch
from torch import nn

from nin.classifier import Classifier
from nin.errors import NinError
from nin.explanation import curves, explain, ranked, relevance
from nin.initialisation import initialise
from nin.model_folder import Config
from nin.network import NiN

CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [131, 195])
def test_a_cell_alone_is_most_relevant_in_the_middle_of_its_view(size: int):
    cells = (size - 35) // 32
    maps = torch.zeros(1, cells, cells)
    maps[0, 1, 2] = 1.0
    found = relevance(maps, size, size)[0]
    row, column = divmod(int(found.argmax()), size)
    assert row == 33 + 32
    assert column in range(33 + 64, size if cells == 3 else 33 + 65)  # beyond the last cell it is level
    assert found[33, 0] == 0


def test_a_map_of_one_cell_has_no_place():
    found = relevance(torch.tensor([[[3.0]]]), 67, 28)
    assert found.shape == (1, 28, 28)
    assert torch.equal(found, torch.full((1, 28, 28), 3.0))


def test_pixels_are_ranked_by_relevance_and_equal_ones_by_chance():
    found = torch.zeros(2, 4, 4)
    found[0, 1, 2], found[0, 3, 3] = 2.0, 1.0
    order = ranked(found)
    assert order[0, :2].tolist() == [6, 15]
    assert sorted(order[1].tolist()) == list(range(16))
    assert order[1].tolist() != list(range(16))
    assert torch.equal(order, ranked(found))
    assert not torch.equal(order[1], ranked(found, seed=1)[1])


class Brightest(nn.Module):
    """Says class 0 by the light in the left half of a picture, and class 1 by that in the right half."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(8.0))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        half = pictures.shape[3] // 2
        return self.scale * torch.stack([pictures[..., :half].mean((1, 2, 3)), pictures[..., half:].mean((1, 2, 3))], 1)


def test_the_curves_fall_and_rise_faster_in_the_order_that_matters():
    config = Config("nin", 1, 2, 8, 8, (0.0,), (1.0,), ("left", "right"))
    classifier = Classifier(Brightest(), config, device=CPU, precision="float32")
    images = torch.full((3, 1, 8, 8), 30, dtype=torch.uint8)
    images[..., :4] = 250
    matters = torch.zeros(3, 8, 8)
    matters[..., :4] = 1.0
    right, wrong = (curves(classifier, images, ranked(order), steps=4) for order in (matters, -matters))
    whole, nothing = classifier.probabilities(images)[0, 0], 0.5
    for found in (right, wrong):
        assert found.deletion.shape == found.insertion.shape == (3, 5)
        assert found.deletion[:, 0].tolist() == found.insertion[:, -1].tolist() == pytest.approx([whole.item()] * 3)
        assert found.deletion[:, -1].tolist() == found.insertion[:, 0].tolist() == pytest.approx([nothing] * 3)
    assert right.deletion.mean() < wrong.deletion.mean() - 0.1
    assert right.insertion.mean() > wrong.insertion.mean() + 0.1


def test_an_explanation_needs_class_maps():
    config = Config("alexnet", 1, 2, 67, 28, (0.0,), (1.0,), ("a", "b"))
    classifier = Classifier(Brightest(), config, device=CPU)
    with pytest.raises(NinError, match="no class maps"):
        explain(classifier, torch.zeros(1, 1, 28, 28, dtype=torch.uint8), ["one"])


def test_a_picture_is_explained_by_the_maps_of_its_likeliest_classes():
    torch.manual_seed(0)
    network = NiN(1, 4)
    initialise(network, "he")
    config = Config("nin", 1, 4, 131, 28, (0.3,), (0.4,), ("tulip", "rose", "lily", "daisy"))
    classifier = Classifier(network, config, device=CPU)
    images = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    figure = explain(classifier, images, ["one.png", "two.png"])
    words = " ".join(text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text")))
    assert "one.png" in words
    assert "two.png" in words
    assert classifier.predict(images)[0].label in words
