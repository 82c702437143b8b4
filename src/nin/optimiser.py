"""How do the weights move? SGD, and Muon for the convolutions' weights."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nin.recipe import Recipe

QUINTIC = (3.4445, -4.775, 2.0315)  # of the odd polynomial a x + b x^3 + c x^5: steep at 0, near 1 after five times
ITERATIONS = 5


class Optimiser:
    """Moves a network's parameters by its gradients, as a recipe says: convolutions' weights by Muon, the rest by SGD.

    The rest is norms, biases and dense layers. `precision` is that of Muon's matrix products, "bfloat16" or "float32".
    """

    def __init__(self, network: nn.Module, recipe: Recipe, precision: str = "float32") -> None:
        weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)] if recipe.muon else []
        mine = {id(weight) for weight in weights}
        rest = [parameter for parameter in network.parameters() if id(parameter) not in mine]
        self.movers: list[tuple[torch.optim.Optimizer, float]] = []  # each with its highest learning rate
        if weights:
            muon = Muon(weights, recipe.muon, recipe.momentum, getattr(torch, precision))
            self.movers.append((muon, recipe.muon))
        if rest:
            sgd = torch.optim.SGD(
                rest,
                lr=recipe.learning_rate,
                momentum=recipe.momentum,
                nesterov=recipe.momentum > 0,
                weight_decay=recipe.weight_decay,
            )
            self.movers.append((sgd, recipe.learning_rate))

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for mover, _ in self.movers:
            mover.zero_grad()

    def step(self, rate: float) -> None:
        """Move every parameter by its gradient, at the share `rate` of the recipe's learning rates."""
        for mover, highest in self.movers:
            for group in mover.param_groups:
                group["lr"] = highest * rate
            mover.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """Give what is needed to go on: the momentum of every parameter."""
        return [mover.state_dict() for mover, _ in self.movers]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Go on from what `state_dict` gave."""
        for (mover, _), part in zip(self.movers, state, strict=True):
            mover.load_state_dict(part)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised, for convolutions' weights (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

    Makes of each weight's momentum the nearest orthogonal matrix, so that a step changes what the layer does equally in
    all directions. The same as `torch.optim.Muon` without weight decay, which takes matrices only, and computes in bf16
    on every processor: a hundred times slower where the processor cannot.
    """

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float, precision: torch.dtype) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})
        self.precision = precision

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move the weights that have gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(state["momentum"], group["momentum"])  # Nesterov's
                # (out channels, kernel height x kernel width x in channels), as channels-last memory has them.
                rows = ahead.permute(0, 2, 3, 1)
                move = orthogonalised(rows.flatten(1), self.precision)
                wide = math.sqrt(max(1.0, move.shape[0] / move.shape[1]))
                weight.add_(move.view(rows.shape).permute(0, 3, 1, 2), alpha=-group["lr"] * wide)


def orthogonalised(matrix: Float[Tensor, "rows columns"], precision: torch.dtype) -> Float[Tensor, "rows columns"]:
    """Give nearly U V' of a matrix U S V', by five iterations of Newton and Schulz; singular values end near 1."""
    a, b, c = QUINTIC
    x = matrix.to(precision)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).contiguous()
