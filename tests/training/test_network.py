"""Does training start from the network that the seed decides, and end with one that is plain, complete and the same?"""

import pytest
import torch
from msgspec.structs import replace
from program_around import SETTINGS, program_around
from torch import nn

from nin.data.images import LabelledImages, Splits
from nin.device import pytorch_defaults
from nin.networks.batch_norm import with_batch_norm
from nin.networks.forward import compute_logits
from nin.networks.nin import NiN
from nin.networks.registry import NETWORKS, build_network, head_parameters
from nin.training.named_recipes import d2l, quick
from nin.training.network import final_network, initial_network, shift_logits, trained_without_final_relu
from nin.training.plan import Plan, resolve
from nin.training.recipe import Recipe

CPU = torch.device("cpu")
SMALL = replace(quick(epochs=1.0), batch_size=32)


def plan_of(splits: Splits, recipe: Recipe = SMALL, seed: int = 0) -> Plan:
    return resolve(recipe, splits.train, seed, CPU)


def same(one: nn.Module, other: nn.Module) -> bool:
    """Return whether two networks have the same names and bits in their state dicts."""
    first, second = one.state_dict(), other.state_dict()
    return list(first) == list(second) and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


# --- The initial network ---


def test_the_seed_alone_decides_the_initial_network(splits: Splits):
    torch.manual_seed(1)
    first = initial_network(plan_of(splits))
    torch.manual_seed(2)
    assert same(first, initial_network(plan_of(splits)))
    assert not torch.equal(next(first.parameters()), next(initial_network(plan_of(splits, seed=1)).parameters()))


def test_the_programs_own_random_numbers_are_left_as_they_were(splits: Splits):
    before = torch.get_rng_state()
    initial_network(plan_of(splits))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_initial_network_is_as_the_recipe_says(splits: Splits):
    variant = initial_network(plan_of(splits))
    assert sum(isinstance(module, nn.BatchNorm2d) for module in variant.modules()) == 12
    assert isinstance(variant.n4[-1], nn.Sequential), "without its last ReLU it ends in a convolution with its norm"
    textbook = initial_network(plan_of(splits, replace(d2l(), size=67)))
    assert repr(textbook) == repr(NiN(1, 4, dropout=0.5))


def test_the_initial_network_fits_the_images(splits: Splits):
    colour = LabelledImages(splits.train.images.expand(-1, 3, -1, -1), splits.train.labels, (*splits.train.names, "x"))
    network = initial_network(resolve(replace(SMALL, network="alexnet", size=80), colour, 0, CPU))
    assert network.eval()(torch.zeros(1, 3, 80, 80)).shape == (1, 5)


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_the_program_around_change_no_network(splits: Splits, setting: str):
    plan = plan_of(splits)
    few = splits.train.first(40)
    expected = initial_network(plan)
    with program_around(setting), pytorch_defaults():
        assert resolve(SMALL, splits.train, 0, CPU) == plan
        found = initial_network(plan)
        assert same(found, expected)
        final = final_network(found, plan, few)
    assert same(final, final_network(expected, plan, few))


# --- The final network ---


def trained(plan: Plan) -> nn.Module:
    """Return the initial network with norms and biases as far from their start as training makes them."""
    network = initial_network(plan)
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 2, generator=generator)
            module.bias.data.normal_(generator=generator)
            module.running_mean = torch.randn(module.num_features, generator=generator)
            module.running_var = 0.5 + torch.rand(module.num_features, generator=generator)
    return network.train()


def test_the_final_network_is_plain_and_complete_and_gives_the_same_probabilities(splits: Splits):
    plan = plan_of(splits, replace(SMALL, dropout=0.3))
    network = trained(plan)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    few = splits.train.first(60)
    final = final_network(network, plan, few)
    assert repr(final) == repr(NiN(1, 4, dropout=0.3))
    assert not any(module.training for module in final.modules())
    assert final.n2[0].weight.is_contiguous(memory_format=torch.channels_last)
    logits, expected = (compute_logits(one, few.images, plan.preprocessing) for one in (final, network))
    assert expected.min() < -0.1, "a ReLU would cut here, and the test would show nothing"
    torch.testing.assert_close(logits.log_softmax(dim=1), expected.log_softmax(dim=1), rtol=1e-3, atol=1e-3)
    assert network.training, "what is trained is left as it is"
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_network_that_was_trained_complete_keeps_its_weights(splits: Splits):
    plan = plan_of(splits, replace(d2l(), size=67))
    network = trained(plan)
    final = final_network(network, plan, splits.train)
    assert same(final, network)
    assert not final.training


def test_a_network_without_class_maps_is_folded_and_not_shifted(splits: Splits):
    plan = plan_of(splits, replace(SMALL, network="alexnet"))
    network = trained(plan)
    few = splits.train.first(20)
    final = final_network(network, plan, few)
    assert repr(final) == repr(build_network("alexnet", 1, 4, 67, dropout=0.0).eval())
    logits, expected = (compute_logits(one, few.images, plan.preprocessing) for one in (final, network))
    assert expected.std() > 1e-3
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)


def test_only_a_network_with_class_maps_can_have_been_trained_without_its_final_relu():
    assert trained_without_final_relu(quick())
    assert not trained_without_final_relu(d2l())
    assert not trained_without_final_relu(replace(quick(), network="vgg"))


# --- Shifting the logits ---


def test_shifted_logits_pass_the_last_relu_and_keep_the_probabilities():
    network = NiN(final_relu=False, dropout=0.0).eval()
    nn.init.normal_(network.n4[4].bias, generator=torch.Generator().manual_seed(0))
    images = torch.randn(16, 1, 131, 131)
    logits = network(images)
    assert logits.min() < -0.5, "a ReLU would cut here, and the test would show nothing"
    complete = NiN(dropout=0.0).eval()
    complete.load_state_dict(network.state_dict())
    assert not torch.allclose(complete(images).softmax(dim=1), logits.softmax(dim=1))
    shifted = shift_logits(complete, logits.min().item())
    assert repr(shifted) == repr(complete)
    torch.testing.assert_close(shifted(images).softmax(dim=1), logits.softmax(dim=1))
    torch.testing.assert_close(shifted(images), logits - logits.min())


@pytest.mark.parametrize("lowest", [0.0, 3.0])
def test_where_the_last_relu_cuts_nothing_no_weight_changes(lowest: float):
    network = NiN().train()
    shifted = shift_logits(network, lowest)
    assert same(shifted, network)
    assert network.training
    assert not shifted.training


def test_the_network_that_is_shifted_is_a_copy():
    network = NiN()
    before = network.n4[4].bias.detach().clone()
    shifted = shift_logits(network, -2.0)
    assert torch.equal(network.n4[4].bias, before)
    torch.testing.assert_close(shifted.n4[4].bias, before + 2)


def test_the_batch_norm_variant_is_not_what_is_shifted():
    with pytest.raises(AssertionError):
        shift_logits(with_batch_norm(NiN()), -1.0)


# --- Starting from a model ---


def test_the_last_block_is_what_depends_on_the_number_of_classes():
    assert head_parameters("nin", 1, 67) == {f"n4.{layer}.{kind}" for layer in (0, 2, 4) for kind in ("weight", "bias")}
    for name, architecture in NETWORKS.items():
        head = head_parameters(name, 3, architecture.default_size)
        with torch.device("meta"):
            names = build_network(name, 3, 10, architecture.default_size).state_dict().keys()
        assert head
        assert head < names


@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_training_that_starts_from_a_model_has_its_blocks_and_a_new_last_one(splits: Splits, batch_norm: bool):
    plan = plan_of(splits, replace(SMALL, batch_norm=batch_norm))
    torch.manual_seed(5)
    model = build_network("nin", 1, 10, 67)  # of another number of classes
    network, fresh = initial_network(plan, model.state_dict()), initial_network(plan)
    for block in ("n1", "n2", "n3", "n4"):
        convolutions, models, new = (
            [module for module in getattr(one, block).modules() if isinstance(module, nn.Conv2d)]
            for one in (network, model, fresh)
        )
        for ours, its, other in zip(convolutions, models, new, strict=True):
            assert torch.equal(ours.weight, (other if block == "n4" else its).weight)
    assert network.n4[-1] is not None
    assert same(initial_network(plan, model.state_dict()), network)
