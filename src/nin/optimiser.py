"""How do the weights move? SGD, and Muon for the convolutions' weights."""

from typing import Any

import torch
from torch import nn

from nin.recipe import Recipe


class Optimiser:
    """Moves a network's parameters by its gradients, as a recipe says.

    Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) makes of each matrix's momentum the nearest
    orthogonal matrix, so that a step changes what a layer does equally in all directions. A convolution is such a
    matrix, (out channels, kernel height x kernel width x in channels), which shares the convolution's memory: the
    network has to be channels-last. Everything else, norms and biases and dense layers, moves by SGD with Nesterov
    momentum and weight decay.
    """

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        self.weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)] if recipe.muon else []
        mine = {id(weight) for weight in self.weights}
        rest = [parameter for parameter in network.parameters() if id(parameter) not in mine]
        self.matrices = [nn.Parameter(_rows(weight.detach()).view(len(weight), -1)) for weight in self.weights]
        self.moved: list[tuple[torch.optim.Optimizer, float]] = []
        if self.matrices:
            muon = torch.optim.Muon(
                self.matrices, lr=recipe.muon, momentum=recipe.momentum, nesterov=recipe.momentum > 0, weight_decay=0.0
            )
            self.moved.append((muon, recipe.muon))
        if rest:
            sgd = torch.optim.SGD(
                rest,
                lr=recipe.learning_rate,
                momentum=recipe.momentum,
                nesterov=recipe.momentum > 0,
                weight_decay=recipe.weight_decay,
            )
            self.moved.append((sgd, recipe.learning_rate))
        self.parameters = [*self.weights, *rest]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self, rate: float) -> None:
        """Move every parameter by its gradient, at the share `rate` of the recipe's learning rates."""
        for matrix, weight in zip(self.matrices, self.weights, strict=True):
            matrix.grad = None if weight.grad is None else _rows(weight.grad).reshape(len(weight), -1)
        for optimiser, highest in self.moved:
            for group in optimiser.param_groups:
                group["lr"] = highest * rate
            optimiser.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """Give what is needed to go on: the momentum of every parameter."""
        return [optimiser.state_dict() for optimiser, _ in self.moved]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Go on from what `state_dict` gave."""
        for (optimiser, _), part in zip(self.moved, state, strict=True):
            optimiser.load_state_dict(part)


def _rows(weight: torch.Tensor) -> torch.Tensor:
    """Order a convolution's axes as channels-last memory has them, so that each row of its matrix is a view.

    The order within a row does not matter: Muon's step is the same for any.
    """
    return weight.permute(0, 2, 3, 1)
