"""Does `nin summary` print the network, and what its layers cost?"""

import re
from pathlib import Path

import pytest
from app.program import Nin


def test_the_network_and_the_cost_of_its_layers_are_printed(nin: Nin):
    answer = nin("summary")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "(n1): Sequential(" in answer.stdout
    assert "AdaptiveMaxPool2d(output_size=(1, 1))" in answer.stdout
    assert "NiN at 224x224" in answer.stdout
    assert re.search(r"n1\.0 .*Conv2d .*96 x 54 x 54 .*11,712 .*33,872,256", answer.stdout)
    assert re.search(r"total .*1,992,166", answer.stdout)


@pytest.mark.parametrize(
    ("network", "parameters"), [("alexnet", "46,764,746"), ("vgg", "128,806,154"), ("googlenet", "5,977,530")]
)
def test_other_networks_are_built_without_weights_at_any_size(nin: Nin, network: str, parameters: str):
    answer = nin("summary", network)
    assert re.search(rf"total .*{parameters}", answer.stdout)
    assert "at 96x96" in nin("summary", network, "--size", "96").stdout


def test_a_network_is_printed_at_the_size_and_channels_of_its_paper_or_at_others(nin: Nin):
    answer = nin("summary", "nin-2013")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "NiN2013 at 32x32, colour" in answer.stdout
    assert re.search(r"total .*966,986 .*222,486,528", answer.stdout)
    grey = nin("summary", "nin-2013", "--channels", "1", "--size", "28").stdout
    assert "NiN2013 at 28x28, grey" in grey
    assert re.search(r"total .*957,386", grey)


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_networks_are_drawn_side_by_side(nin: Nin, tmp_path: Path, suffix: str):
    file = tmp_path / f"networks{suffix}"
    answer = nin("summary", "nin", "resnet18", "--figure", file)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"{file}\n", "")
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG") if suffix == ".png" else (b"NiN<" in content and b"ResNet-18<" in content)
    again = nin("summary", "nin", "--figure", file)
    assert again.returncode == 2
    assert "needs the name of a new file" in again.stderr
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nin-2014",), "there is no network 'nin-2014': the networks are lenet, alexnet, vgg, nin, nin-2013,"),
        (("nin", "--figure", "networks.pdf"), "--figure needs the name of a new file that ends in .svg or .png"),
        (("no_such_module:net",), "cannot import the network no_such_module:net: ModuleNotFoundError"),
        (("nin-2013", "--channels", "2"), "NiN2013 takes images of 1 or 3 channels, not 2"),
        (("nin-2013", "--size", "7"), "NiN2013 takes images from 8x8 to"),
    ],
)
def test_what_cannot_be_printed_is_one_line(nin: Nin, arguments: tuple[str, ...], said: str):
    answer = nin("summary", *arguments)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1
