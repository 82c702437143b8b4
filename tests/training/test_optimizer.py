"""Do the weights move as the recipe says, and goes the momentum on from what was saved?"""

from dataclasses import replace

import pytest
import torch
from torch import nn

from nin.optimiser import Muon, Optimiser
from nin.preprocessing import channels_last
from nin.recipe import quick

RECIPE = replace(quick(), muon=0.1, learning_rate=0.2, momentum=0.0, weight_decay=0.0)


def network() -> nn.Module:
    torch.manual_seed(0)
    return channels_last(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 4, 2)))


def gradients(of: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    for parameter in of.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_muon_moves_a_convolution_by_a_nearly_orthogonal_matrix_and_sgd_the_rest():
    module = network()
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    gradients(module)
    Optimiser(module, RECIPE).step(0.5)
    moves = {name: before[name] - parameter.detach() for name, parameter in module.named_parameters()}
    # Muon's five iterations bring the singular values near 1, not onto it (Jordan et al. 2024).
    singular = torch.linalg.svdvals(moves["0.weight"].flatten(1)) / (0.5 * 0.1)
    assert ((singular > 0.5) & (singular < 1.5)).all()
    # It goes where the gradient's own nearest orthogonal matrix points, whatever the memory's order.
    left, _, right = torch.linalg.svd(module[0].weight.grad.flatten(1), full_matrices=False)
    assert torch.cosine_similarity(moves["0.weight"].flatten(), (left @ right).flatten(), dim=0) > 0.95
    for name in ("0.bias", "1.weight", "3.weight"):
        gradient = module.get_parameter(name).grad
        assert gradient is not None
        torch.testing.assert_close(moves[name], 0.5 * 0.2 * gradient)


@pytest.mark.parametrize("shape", [(8, 3, 3, 3), (32, 2, 3, 3), (16, 16, 1, 1)])
def test_it_is_pytorchs_own_muon_for_convolutions(shape: tuple[int, ...]):
    ours = nn.Parameter(torch.randn(shape).to(memory_format=torch.channels_last))
    theirs = nn.Parameter(ours.detach().permute(0, 2, 3, 1).flatten(1).clone())
    muon = Muon([ours], 0.1, 0.9, torch.bfloat16)
    reference = torch.optim.Muon([theirs], lr=0.1, momentum=0.9, weight_decay=0.0)
    for _ in range(3):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.permute(0, 2, 3, 1).flatten(1)
        muon.step()
        reference.step()
    assert torch.equal(ours.detach().permute(0, 2, 3, 1).flatten(1), theirs)


def test_without_muon_sgd_moves_everything():
    module = network()
    before = module[0].weight.detach().clone()
    gradients(module)
    Optimiser(module, replace(RECIPE, muon=0.0)).step(1.0)
    torch.testing.assert_close(before - module[0].weight.detach(), 0.2 * module[0].weight.grad)


@pytest.mark.parametrize("muon", [0.1, 0.0])
def test_it_goes_on_from_its_saved_momentum(muon: float):
    recipe = replace(RECIPE, muon=muon, momentum=0.9, weight_decay=0.01)
    through, stopped = network(), network()
    optimiser, first = Optimiser(through, recipe), Optimiser(stopped, recipe)
    for module, moved in ((through, optimiser), (stopped, first)):
        gradients(module)
        moved.step(1.0)
    second = Optimiser(stopped, recipe)
    second.load_state_dict(first.state_dict())
    for moved in (optimiser, second):
        moved.step(1.0)
    for one, other in zip(through.parameters(), stopped.parameters(), strict=True):
        assert torch.equal(one, other)


def test_zero_grad_forgets():
    module = network()
    gradients(module)
    Optimiser(module, RECIPE).zero_grad()
    assert all(parameter.grad is None for parameter in module.parameters())
