"""What does each layer do to the shape, and what does it cost? Read from the modules themselves."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """A layer, and what it makes of one image.

    Attributes:
        name: the prefix of its parameters, such as "n1.0".
        kind: the name of its class, such as "Conv2d".
        kernel: pixels a side of the kernel; 0 for a layer without one.
        stride: in pixels; 0 for a layer without one.
        padding: in pixels; 0 for a layer without one.
        output_shape: of one image, without the batch.
        parameters: the number of its weights and biases.
        multiply_adds: for one image, those on padding included; 0 except for convolutions and dense layers.

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
    """Return the layers of `network` in the order in which an image of (in_channels, size, size) passes them.

    Nothing is computed: a copy of the network runs on the meta device, in float32 and `eval` mode. The network itself
    may be on any device, of any dtype and in any mode, and is left as it is.

    Raises:
        NinError: NiN cannot take this size. Other networks raise what they raise for any image that does not fit.

    """
    found: list[Layer] = []
    meta = copy.deepcopy(network).to(device="meta", dtype=torch.float32).eval()
    names = {module: name for name, module in meta.named_modules()}

    def describe(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append(
            Layer(
                name=names[module],
                kind=type(module).__name__,
                kernel=_first_side(module, "kernel_size"),
                stride=_first_side(module, "stride"),
                padding=_first_side(module, "padding"),
                output_shape=tuple(output.shape[1:]),
                parameters=parameter_count(module),
                multiply_adds=_multiply_adds(module, output),
            )
        )

    for module in meta.modules():
        if isinstance(module, nn.ReLU):
            # On the meta device, ReLU makes PyTorch import its compiler: a second, and a temporary folder to write to.
            module.forward = lambda input: input
        if not list(module.children()):
            module.register_forward_hook(describe)
    with torch.no_grad():
        meta(torch.zeros(1, in_channels, size, size, dtype=torch.float32, device="meta"))
    return found


def parameter_count(network: nn.Module) -> int:
    """Return the number of weights and biases of `network`."""
    return sum(parameter.numel() for parameter in network.parameters())


def _multiply_adds(module: nn.Module, output: Tensor) -> int:
    """Return the multiply-adds that made the output of one image: a value of it takes one per weight that it meets."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        return module.weight[0].numel() * output[0].numel()
    return 0


def _first_side(module: nn.Module, attribute: str) -> int:
    """Return an attribute that PyTorch holds as a number or as (height, width); 0 if there is none."""
    value = getattr(module, attribute, 0)
    return value if isinstance(value, int) else value[0]
