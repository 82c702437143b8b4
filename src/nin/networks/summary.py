"""What does each layer do to the shape, and what does it cost? Read from the modules themselves."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
        input_shape: of one image, without the batch.
        output_shape: the same.
        parameters: the number of its weights and biases.
        multiply_adds: for one image, those on padding included; 0 except for convolutions and dense layers.
        block: the name of the module that has its own `forward` around this layer, such as a residual block; "" where
            that is the network itself.
        block_kind: the name of its class.
        branch: within the block, which of the parallel branches from its input the layer belongs to, counted from 0;
            None for a layer that takes what the branches are joined to.

    Of a layer that takes or gives several tensors, the shapes are of the first.

    """

    name: str
    kind: str
    kernel: int
    stride: int
    padding: int
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    block: str
    block_kind: str
    branch: int | None


class _Branches:
    """Follows tensors through a block: which branch was each of them made by?"""

    def __init__(self) -> None:
        self._kept: list[Tensor] = []  # while they live, no other tensor has their id
        self._input: int | None = None
        self._made_by: dict[int, int | None] = {}
        self._count = 0

    def enter(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Begin with the block's input."""
        entering = _first_tensor((*inputs, *named.values()))
        self._kept.append(entering)
        self._input, self._count = id(entering), 0
        self._made_by.clear()

    def follow(self, layer_input: Tensor, layer_output: Tensor) -> int | None:
        """Return the branch of a layer with this input and output."""
        if id(layer_input) == self._input:
            branch, self._count = self._count, self._count + 1
        else:
            branch = self._made_by.get(id(layer_input))
        if id(layer_output) != self._input:
            self._kept.append(layer_output)
            self._made_by[id(layer_output)] = branch
        return branch


def layers(network: nn.Module, in_channels: int, size: int) -> list[Layer]:
    """Return the layers of `network` in the order in which an image of (in_channels, size, size) passes them.

    Nothing is computed: a copy of the network runs on the meta device, in float32 and `eval` mode. The network itself
    may be on any device, of any dtype and in any mode, and is left as it is.

    Raises:
        NinError: NiN cannot take this size. Other networks raise what they raise for any image that does not fit.

    """
    found: list[Layer] = []
    meta = _on_meta(network)
    names = {module: name for name, module in meta.named_modules()}
    blocks = {name: _Branches() for name, module in meta.named_modules() if name == "" or _is_block(module)}
    for name, block in blocks.items():
        meta.get_submodule(name).register_forward_pre_hook(block.enter, with_kwargs=True)

    def describe(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], outputs: Any) -> None:
        entering, output = _first_tensor((*inputs, *named.values())), _first_tensor(outputs)
        name = names[module]
        block = max((one for one in blocks if name.startswith(f"{one}.")), key=len, default="")
        found.append(
            Layer(
                name=name,
                kind=type(module).__name__,
                kernel=_first_side(module, "kernel_size"),
                stride=_first_side(module, "stride"),
                padding=_first_side(module, "padding"),
                input_shape=tuple(entering.shape[1:]),
                output_shape=tuple(output.shape[1:]),
                parameters=parameter_count(module),
                multiply_adds=_multiply_adds(module, output),
                block=block,
                block_kind=type(meta.get_submodule(block)).__name__ if block else "",
                branch=blocks[block].follow(entering, output),
            )
        )

    for module in meta.modules():
        if not list(module.children()):
            module.register_forward_hook(describe, with_kwargs=True)
    output = _forward(meta, in_channels, size)
    if not found:  # the network computes by itself, with parameters that are in no layer
        describe(meta, (_image(in_channels, size),), {}, output)
    return found


def output_shape(network: nn.Module, in_channels: int, size: int) -> tuple[int, ...]:
    """Return the shape of what `network` makes of one image; it is left as it is. Raises what `layers` does."""
    return tuple(_forward(_on_meta(network), in_channels, size).shape[1:])


def parameter_count(network: nn.Module) -> int:
    """Return the number of weights and biases of `network`."""
    return sum(parameter.numel() for parameter in network.parameters())


def _on_meta(network: nn.Module) -> nn.Module:
    """Return a copy that computes shapes only."""
    meta = copy.deepcopy(network).to(device="meta", dtype=torch.float32).eval()
    for module in meta.modules():
        if isinstance(module, nn.ReLU):
            # On the meta device, ReLU makes PyTorch import its compiler: a second, and a temporary folder to write to.
            module.forward = torch.empty_like
    return meta


def _forward(meta: nn.Module, in_channels: int, size: int) -> Tensor:
    with torch.no_grad():
        return meta(_image(in_channels, size))


def _image(in_channels: int, size: int) -> Tensor:
    return torch.zeros(1, in_channels, size, size, dtype=torch.float32, device="meta")


def _is_block(module: nn.Module) -> bool:
    """Return whether a module with others in it joins them by code of its own, and not by a container of PyTorch's."""
    return bool(list(module.children())) and not type(module).__module__.startswith("torch.nn.")


def _multiply_adds(module: nn.Module, output: Tensor) -> int:
    """Return the multiply-adds that made the output of one image: a value of it takes one per weight that it meets."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        return module.weight[0].numel() * output[0].numel()
    return 0


def _first_side(module: nn.Module, attribute: str) -> int:
    """Return an attribute that PyTorch holds as a number or as (height, width); 0 if there is none, or a word."""
    value = getattr(module, attribute, 0)
    value = value[0] if isinstance(value, tuple | list) else value
    return value if isinstance(value, int) else 0


def _first_tensor(values: Any) -> Tensor:
    """Return the first tensor in what a layer takes or gives; an empty one where there is none."""
    if isinstance(values, Tensor):
        return values
    for value in values.values() if isinstance(values, Mapping) else values if isinstance(values, tuple | list) else ():
        if (found := _first_tensor(value)).numel():
            return found
    return torch.empty(0, device="meta")
