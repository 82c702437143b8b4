"""How do the weights change in a step? SGD, and Muon for the weights of convolutions."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nin.choices import Precision
from nin.distributed import gather_tensors, processes, rank
from nin.training.recipe import Recipe

QUINTIC = (3.4445, -4.775, 2.0315)  # a, b, c of a x + b x^3 + c x^5, which takes 0..1 near 1 in five iterations
ITERATIONS = 5


class Optimizer:
    """Updates a network's parameters as a recipe says: the weights of convolutions by Muon, everything else by SGD.

    Everything else is norms, biases and dense layers. `precision` is that of Muon's matrix products.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, precision: Precision = "float32") -> None:
        muon_peak = recipe.muon_learning_rate
        weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)] if muon_peak else []
        ids = {id(weight) for weight in weights}
        rest = [parameter for parameter in network.parameters() if id(parameter) not in ids]
        self.optimizers: list[tuple[torch.optim.Optimizer, float]] = []  # each with its peak learning rate
        if weights:
            muon = Muon(weights, muon_peak, recipe.momentum, recipe.muon_weight_decay, getattr(torch, precision))
            self.optimizers.append((muon, muon_peak))
        if rest:
            sgd = torch.optim.SGD(
                rest,
                lr=recipe.learning_rate,
                momentum=recipe.momentum,
                nesterov=recipe.momentum > 0,
                weight_decay=recipe.weight_decay,
            )
            self.optimizers.append((sgd, recipe.learning_rate))

    def zero_grad(self) -> None:
        """Reset the gradients."""
        for optimizer, _ in self.optimizers:
            optimizer.zero_grad()

    def step(self, factor: float) -> None:
        """Update every parameter by its gradient, at `factor` times the recipe's learning rates."""
        for optimizer, peak in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
            optimizer.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the state dict of each optimizer."""
        return [optimizer.state_dict() for optimizer, _ in self.optimizers]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Restore what `state_dict` returned."""
        for (optimizer, _), state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)
            for group in optimizer.param_groups:
                group.setdefault("weight_decay", 0.0)  # a state of a version before Muon had it


class Muon(torch.optim.Optimizer):
    """Muon for the weights of convolutions (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

    Each weight's momentum is replaced by the nearest orthogonal matrix, so that a step changes the layer equally in all
    directions. Equals `torch.optim.Muon`, which takes only matrices and always computes in bf16: a hundred times slower
    on processors that emulate it.
    """

    def __init__(
        self, weights: Iterable[Tensor], lr: float, momentum: float, weight_decay: float, precision: torch.dtype
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.precision = precision

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update the weights that have gradients."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            # (out channels, kernel height, kernel width, in channels), as channels-last memory has them.
            rows = [self._momentum(weight, group["momentum"]).permute(0, 2, 3, 1) for weight in weights]
            updates = orthogonalise_all([one.flatten(1) for one in rows], self.precision)
            for weight, before, update in zip(weights, rows, updates, strict=True):
                scale = math.sqrt(max(1.0, update.shape[0] / update.shape[1]))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.view(before.shape).permute(0, 3, 1, 2), alpha=-group["lr"] * scale)

    def _momentum(self, weight: Tensor, momentum: float) -> Tensor:
        """Return the weight's gradient with Nesterov momentum."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(state["momentum"], momentum)


def orthogonalise_all(matrices: Sequence[Tensor], precision: torch.dtype) -> list[Tensor]:
    """Return what `orthogonalise` makes of each matrix; several processes divide them, and each returns all."""
    owners = divide([min(matrix.shape) * matrix.numel() for matrix in matrices], processes())
    mine = [orthogonalise(one, precision) for one, owner in zip(matrices, owners, strict=True) if owner == rank()]
    if processes() == 1 or not matrices:
        return mine
    given = list(zip(matrices, owners, strict=True))
    shapes = [[one.shape for one, owner in given if owner == its] for its in range(processes())]
    theirs = [iter(found) for found in gather_tensors(mine, shapes, precision, matrices[0].device)]
    return [next(theirs[owner]) for owner in owners]


def divide(costs: Sequence[int], among: int) -> list[int]:
    """Return to which of so many processes each task goes: the dearest first, each to the one that has least to do."""
    owners, load = [0] * len(costs), [0] * among
    for task in sorted(range(len(costs)), key=lambda task: -costs[task]):
        owners[task] = load.index(min(load))
        load[owners[task]] += costs[task]
    return owners


def orthogonalise(matrix: Float[Tensor, "rows columns"], precision: torch.dtype) -> Float[Tensor, "rows columns"]:
    """Return nearly U V' of a matrix U S V', by five Newton-Schulz iterations; singular values end near 1."""
    a, b, c = QUINTIC
    x = matrix.to(precision)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).contiguous()
