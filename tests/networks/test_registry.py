"""Is every network what its line in the registry says: its sizes, its channels, its logits, its cells?"""

import pytest
import torch
from torch import nn

from nin.errors import OptionError
from nin.networks.architecture import LARGEST_SIZE, CellGrid
from nin.networks.registry import BASELINES, NETWORKS, build_network, find_architecture, network_options, side_by_side

CLASSES = 7
WITH_CELLS = {name: network.cells for name, network in NETWORKS.items() if network.cells is not None}
WITH_FINAL_RELU = [name for name in NETWORKS if "final_relu" in network_options(name)]


def on_meta(name: str, size: int, channels: int = 1) -> tuple[nn.Module, torch.Tensor]:
    """Return the network and two images for it, without any numbers in them."""
    with torch.device("meta"):
        return build_network(name, channels, CLASSES, size), torch.zeros(2, channels, size, size)


def refusal(name: str, channels: int, size: int) -> str:
    """Return the one line of the error that building must end in."""
    with pytest.raises(OptionError) as caught, torch.device("meta"):
        build_network(name, channels, CLASSES, size)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_gives_a_logit_for_each_class_at_its_smallest_default_and_largest_size(name: str):
    known = NETWORKS[name]
    assert known.smallest_size <= known.default_size <= LARGEST_SIZE
    for size in (known.smallest_size, known.default_size, LARGEST_SIZE):
        for channels in known.channels:
            network, images = on_meta(name, size, channels)
            assert network(images).shape == (2, CLASSES)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_size_or_channels_that_it_cannot_take_are_one_line_that_says_which_it_can(name: str):
    known = NETWORKS[name]
    for size in (known.smallest_size - 1, LARGEST_SIZE + 1, 0, -224):
        said = refusal(name, known.channels[0], size)
        assert said.startswith(known.title)
        assert f"from {known.smallest_size}x{known.smallest_size} " in said
        assert said.endswith(f"not {size}x{size}")
    for channels in (0, max(known.channels) + 1, 2):
        assert channels not in known.channels
        said = refusal(name, channels, known.default_size)
        assert said.startswith(known.title)
        assert said.endswith(f" channels, not {channels}")


def test_an_unknown_network_is_refused_with_the_known_ones():
    for look in (find_architecture, lambda name: build_network(name, 1, 10, 224)):
        with pytest.raises(OptionError) as caught:
            look("NiN")
        assert str(caught.value) == (
            f"there is no network 'NiN': the networks are {', '.join(NETWORKS)}, or the import path of another, as "
            "package.module:callable"
        )


@pytest.mark.parametrize("name", [name for name in NETWORKS if "dropout" in network_options(name)])
def test_dropout_reaches_every_network_that_has_one(name: str):
    network = build_with(name, dropout=0.125)
    dropouts = [module.p for module in network.modules() if isinstance(module, nn.Dropout | nn.Dropout2d)]
    assert dropouts
    assert set(dropouts) == {0.125}


@pytest.mark.parametrize("name", WITH_FINAL_RELU)
def test_a_network_with_a_final_relu_leaves_it_out_when_asked(name: str):
    relus = [
        sum(isinstance(module, nn.ReLU) for module in build_with(name, final_relu=final_relu).modules())
        for final_relu in (True, False)
    ]
    assert relus[0] == relus[1] + 1


def test_a_network_without_a_final_relu_to_leave_out_is_the_same_either_way():
    without = NETWORKS.keys() - WITH_FINAL_RELU
    assert "nin-2013" in without
    for name in without:
        assert repr(build_with(name, final_relu=False)) == repr(build_with(name, final_relu=True))


def test_a_network_is_shown_beside_the_baselines_and_a_baseline_beside_nin():
    for name in NETWORKS:
        shown = side_by_side(name)
        assert shown[:2] == BASELINES == ("alexnet", "vgg")
        assert shown[2] == ("nin" if name in BASELINES else name)


def build_with(name: str, **options: object) -> nn.Module:
    """Build a network of the smallest size with these options, without any numbers in it."""
    with torch.device("meta"):
        return build_network(name, 1, CLASSES, NETWORKS[name].smallest_size, **options)


# --- The cells of the class maps ---


@pytest.mark.parametrize("name", NETWORKS)
def test_the_registry_knows_the_cells_of_every_network_that_has_class_maps_and_of_no_other(name: str):
    network, _ = on_meta(name, NETWORKS[name].smallest_size)
    assert hasattr(network, "class_maps") == (NETWORKS[name].cells is not None)


@pytest.mark.parametrize(("name", "cells"), WITH_CELLS.items())
@pytest.mark.parametrize("more", [0, 1, 31, 32, 64, 157])
def test_class_maps_are_square_and_their_cells_lie_within_the_image_in_order(name: str, cells: CellGrid, more: int):
    size = NETWORKS[name].smallest_size + more
    network, images = on_meta(name, size)
    batch, classes, height, width = network.class_maps(images).shape
    assert (batch, classes) == (2, CLASSES)
    assert height == width
    edges = cells.edges(size, width)
    assert len(edges) == width + 1
    assert edges == sorted(set(edges))
    assert 0 <= edges[0] < edges[-1] <= 1


@pytest.mark.parametrize(("name", "cells"), WITH_CELLS.items())
def test_the_logit_is_the_pool_of_the_map_that_the_registry_says(name: str, cells: CellGrid):
    size = max(cells.single_up_to, NETWORKS[name].smallest_size) + 2 * cells.stride
    network = build_network(name, 1, CLASSES, size, final_relu=False).eval()
    images = torch.randn(3, 1, size, size)
    maps = network.class_maps(images).flatten(2)
    expected = {"max": maps.amax(dim=2), "avg": maps.mean(dim=2)}
    assert (expected["max"] - expected["avg"]).abs().min() > 1e-4, "the two pools give the same"
    torch.testing.assert_close(network(images), expected[cells.pool])


@pytest.mark.parametrize(("name", "cells"), WITH_CELLS.items())
def test_maps_are_a_single_cell_up_to_the_size_that_the_registry_says_and_have_more_from_there(
    name: str, cells: CellGrid
):
    for size in range(NETWORKS[name].smallest_size, NETWORKS[name].smallest_size + 2 * cells.stride):
        network, images = on_meta(name, size)
        assert (network.class_maps(images).shape[2:] == (1, 1)) == (size <= cells.single_up_to)


@pytest.mark.parametrize(("name", "cells"), WITH_CELLS.items())
def test_a_single_cell_takes_the_whole_side(name: str, cells: CellGrid):
    assert cells.edges(NETWORKS[name].smallest_size, 1) == [0.0, 1.0]


def linear(network: nn.Module) -> nn.Module:
    """Return the network, in place, as a positive linear map, so that a gradient reaches all that a cell sees."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            nn.init.constant_(module.bias, 0.1)
        for child_name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(module, child_name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
    return network.eval()


@pytest.mark.parametrize(("name", "cells"), WITH_CELLS.items())
def test_a_cell_sees_the_pixels_that_the_registry_says_and_is_drawn_in_their_middle(name: str, cells: CellGrid):
    size = NETWORKS[name].smallest_size + cells.stride * -(-cells.receptive_field // cells.stride)
    network = linear(build_network(name, 1, 1, size))
    images = torch.ones(3, 1, size, size, requires_grad=True)
    maps = network.class_maps(images)
    side = maps.shape[2]
    probed = (0, side // 2, side - 1)
    torch.stack([maps[image, 0, cell, cell] for image, cell in enumerate(probed)]).sum().backward()
    edges = [share * size for share in cells.edges(size, side)]
    for gradient, cell in zip(images.grad, probed, strict=True):
        middle = cells.start + cells.stride * (cell + 0.5)
        end = middle + cells.stride / 2
        if cell == side - 1 and size - end < cells.stride / 2:  # too little for half a cell
            end = size
        assert (edges[cell], edges[cell + 1]) == pytest.approx((max(0, middle - cells.stride / 2), end))
        first, last = middle - cells.receptive_field / 2, middle + cells.receptive_field / 2
        for axis in (1, 2):
            seen = gradient.sum(dim=(0, axis)).nonzero().flatten()
            assert (seen.min().item(), seen.max().item() + 1) == (max(first, 0), min(last, size))
    assert edges[side // 2 + 1] - edges[side // 2] == pytest.approx(cells.stride)
