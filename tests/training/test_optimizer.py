"""Are the weights updated as the recipe says, and does the momentum go on from what was saved?"""

import pytest
import torch
from msgspec.structs import replace
from torch import nn

from nin.networks.forward import channels_last
from nin.training.named_recipes import quick
from nin.training.optimizer import Muon, Optimizer, orthogonalise

RECIPE = replace(quick(), muon_learning_rate=0.1, learning_rate=0.2, momentum=0.0, weight_decay=0.0)


def network() -> nn.Module:
    torch.manual_seed(0)
    return channels_last(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 4, 2)))


def set_gradients(of: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    for parameter in of.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_muon_updates_a_convolution_by_a_nearly_orthogonal_matrix_and_sgd_the_rest():
    module = network()
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    set_gradients(module)
    Optimizer(module, RECIPE).step(0.5)
    updates = {name: before[name] - parameter.detach() for name, parameter in module.named_parameters()}
    # Muon's five iterations bring the singular values near 1, not onto it (Jordan et al. 2024).
    singular = torch.linalg.svdvals(updates["0.weight"].flatten(1)) / (0.5 * 0.1)
    assert ((singular > 0.5) & (singular < 1.5)).all()
    # The update points where the gradient's own nearest orthogonal matrix does, whatever the memory format.
    left, _, right = torch.linalg.svd(module[0].weight.grad.flatten(1), full_matrices=False)
    assert torch.cosine_similarity(updates["0.weight"].flatten(), (left @ right).flatten(), dim=0) > 0.95
    for name in ("0.bias", "1.weight", "3.weight"):
        gradient = module.get_parameter(name).grad
        assert gradient is not None
        torch.testing.assert_close(updates[name], 0.5 * 0.2 * gradient)


@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
@pytest.mark.parametrize("shape", [(8, 3, 3, 3), (32, 2, 3, 3), (16, 16, 1, 1)])
def test_muon_is_pytorchs_own_for_convolutions(shape: tuple[int, ...], weight_decay: float):
    ours = nn.Parameter(torch.randn(shape).to(memory_format=torch.channels_last))
    theirs = nn.Parameter(ours.detach().permute(0, 2, 3, 1).flatten(1).clone())
    muon = Muon([ours], 0.1, 0.9, weight_decay, torch.bfloat16)
    reference = torch.optim.Muon([theirs], lr=0.1, momentum=0.9, weight_decay=weight_decay)
    for _ in range(3):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.permute(0, 2, 3, 1).flatten(1)
        muon.step()
        reference.step()
    assert torch.equal(ours.detach().permute(0, 2, 3, 1).flatten(1), theirs)


def test_without_muon_sgd_updates_everything():
    module = network()
    before = module[0].weight.detach().clone()
    set_gradients(module)
    Optimizer(module, replace(RECIPE, muon_learning_rate=0.0)).step(1.0)
    torch.testing.assert_close(before - module[0].weight.detach(), 0.2 * module[0].weight.grad)


def test_the_momentum_of_sgd_is_nesterovs():
    module = network()
    optimizer = Optimizer(module, replace(RECIPE, muon_learning_rate=0.0, momentum=0.9))
    before = module[0].weight.detach().clone()
    set_gradients(module)
    for _ in range(2):
        optimizer.step(1.0)
    # The momentum is g after the first step and 1.9 g after the second, and each step looks ahead: g + 0.9 of it.
    expected = before - 0.2 * (1.9 + 2.71) * module[0].weight.grad
    torch.testing.assert_close(module[0].weight.detach(), expected)


@pytest.mark.parametrize("muon", [0.1, 0.0])
def test_the_momentum_goes_on_from_what_was_saved(muon: float):
    recipe = replace(RECIPE, muon_learning_rate=muon, momentum=0.9, weight_decay=0.01)
    through, stopped = network(), network()
    optimizer, first = Optimizer(through, recipe), Optimizer(stopped, recipe)
    for module, used in ((through, optimizer), (stopped, first)):
        set_gradients(module)
        used.step(1.0)
    second = Optimizer(stopped, recipe)
    second.load_state_dict(first.state_dict())
    for used in (optimizer, second):
        used.step(1.0)
    for one, other in zip(through.parameters(), stopped.parameters(), strict=True):
        assert torch.equal(one, other)


def test_zero_grad_resets_every_gradient():
    module = network()
    set_gradients(module)
    Optimizer(module, RECIPE).zero_grad()
    assert all(parameter.grad is None for parameter in module.parameters())


def test_weights_decay_by_sgd_alone():
    module = network()
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    Optimizer(module, replace(RECIPE, weight_decay=0.5)).step(1.0)
    assert torch.equal(module[0].weight, before["0.weight"])
    torch.testing.assert_close(module[3].weight.detach(), before["3.weight"] * (1 - 0.2 * 0.5))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_orthogonalising_keeps_the_directions_of_a_matrix(precision: torch.dtype):
    generator = torch.Generator().manual_seed(2)
    matrix = torch.randn(12, 30, generator=generator)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    for given, expected in ((matrix, left @ right), (matrix.T, (left @ right).T)):
        found = orthogonalise(given, precision).float()
        assert torch.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.97
    assert not orthogonalise(torch.zeros(3, 4), precision).any()


def test_a_state_of_before_muon_had_weight_decay_is_still_restored():
    module = network()
    optimizer = Optimizer(module, RECIPE)
    states = optimizer.state_dict()
    for group in states[0]["param_groups"]:
        del group["weight_decay"]
    optimizer.load_state_dict(states)
    set_gradients(module)
    optimizer.step(1.0)
