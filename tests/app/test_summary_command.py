"""Does `nin summary` print the network, and what its layers cost?"""

import re

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


@pytest.mark.parametrize(("network", "parameters"), [("alexnet", "46,764,746"), ("vgg", "128,806,154")])
def test_other_networks_are_built_without_weights_at_any_size(nin: Nin, network: str, parameters: str):
    answer = nin("summary", "--network", network)
    assert re.search(rf"total .*{parameters}", answer.stdout)
    assert "at 96x96" in nin("summary", "--network", network, "--size", "96").stdout
