"""Does training that starts from a model begin with what the model computes, and with a new last block?"""

import pytest
import torch
from msgspec.structs import replace

from nin.data.images import Splits
from nin.networks.batch_norm import fold, with_batch_norm
from nin.networks.forward import compute_logits
from nin.networks.registry import NETWORKS, build_network, head_parameters
from nin.training.fine_tuning import calibrate
from nin.training.network import initial_network
from nin.training.plan import resolve
from nin.training.recipe import quick

CPU = torch.device("cpu")


def test_the_last_block_is_what_depends_on_the_number_of_classes():
    assert head_parameters("nin", 1, 67) == {f"n4.{layer}.{kind}" for layer in (0, 2, 4) for kind in ("weight", "bias")}
    for name, architecture in NETWORKS.items():
        head = head_parameters(name, 3, architecture.default_size)
        with torch.device("meta"):
            names = build_network(name, 3, 10, architecture.default_size).state_dict().keys()
        assert head
        assert head < names


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_blocks_are_the_models_and_the_last_one_is_new(splits: Splits, batch_norm: bool):
    recipe = replace(quick(1.0), batch_size=32, batch_norm=batch_norm)
    plan = resolve(recipe, splits.train, 0, CPU)
    torch.manual_seed(5)
    model = build_network("nin", 1, 10, 67)  # of another number of classes
    network = fold(initial_network(plan, splits.train, model.state_dict())).eval()
    images = plan.preprocessing(splits.train.first(20).images)
    with torch.no_grad():
        for block in ("n1", "m1", "n2", "m2", "n3", "m3"):
            images, expected = getattr(network, block)(images), getattr(model, block)(images)
            torch.testing.assert_close(images, expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(network.n4[0].weight, fold(initial_network(plan)).n4[0].weight) or batch_norm
    assert network.n4[4].out_channels == 4


def test_a_calibrated_batch_norm_leaves_the_output_as_it_was_in_training_too(splits: Splits):
    torch.manual_seed(0)
    plain = build_network("nin", 1, 4, 67, dropout=0.0)
    variant = with_batch_norm(plain)
    preprocessing = resolve(replace(quick(1.0), batch_size=32), splits.train, 0, CPU).preprocessing
    images = splits.train.first(64).images
    calibrate(variant, images, preprocessing)
    expected = compute_logits(plain, images, preprocessing)
    torch.testing.assert_close(compute_logits(variant, images, preprocessing), expected, rtol=1e-3, atol=1e-4)
    with torch.no_grad():  # with the statistics of this batch
        torch.testing.assert_close(variant.train()(preprocessing(images)), expected, rtol=1e-2, atol=1e-3)
