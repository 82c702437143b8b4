"""What does each layer do to the shape, and what does it cost? Read from the real modules."""

import copy
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Layer:
    """One layer as a picture went through it.

    `name` is the parameter prefix ("n1.0"), `kind` the class's name ("Conv2d"). Shapes are without the batch.
    `kernel`, `stride` and `padding` are pixels, 0 where the layer has none. `multiply_adds` counts padding taps too.
    """

    name: str
    kind: str
    kernel: int
    stride: int
    padding: int
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def layers(network: nn.Module, in_channels: int, size: int) -> list[Layer]:
    """Send one picture of (in_channels, size, size) through `network` and describe each layer in the order met.

    Works on a copy without storage, so there is no arithmetic and `network` is not touched. A network that was itself
    made under `torch.device("meta")` costs no memory either.

    Raises:
        NinError: `network` cannot take that size.

    """
    found: list[Layer] = []
    twin = copy.deepcopy(network).to("meta").eval()
    names = {module: name for name, module in twin.named_modules()}

    def describe(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        parameters = sum(p.numel() for p in module.parameters())
        if isinstance(module, nn.Conv2d):
            per_cell = module.weight[0].numel()
            multiply_adds = per_cell * output[0].numel()
        else:
            multiply_adds = module.weight.numel() if isinstance(module, nn.Linear) else 0
        found.append(
            Layer(
                names[module],
                type(module).__name__,
                _side(module, "kernel_size"),
                _side(module, "stride"),
                _side(module, "padding"),
                tuple(output.shape[1:]),
                parameters,
                multiply_adds,
            )
        )

    for module in twin.modules():
        if not list(module.children()):
            module.register_forward_hook(describe)
    with torch.no_grad():
        twin(torch.zeros(1, in_channels, size, size, device="meta"))
    return found


def parameter_count(network: nn.Module) -> int:
    """Count the trainable numbers of `network`."""
    return sum(p.numel() for p in network.parameters())


def _side(module: nn.Module, field: str) -> int:
    value = getattr(module, field, 0)
    return value if isinstance(value, int) else value[0]
