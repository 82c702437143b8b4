"""How does batch norm help training and cost nothing afterwards? The batch-norm variant, and folding it away."""

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from nin.errors import OptionError

Module = TypeVar("Module", bound=nn.Module)


def with_batch_norm(network: nn.Module) -> nn.Module:
    """Return the batch-norm variant: a copy with a batch norm after every convolution (Ioffe, Szegedy 2015).

    Each convolution becomes `Sequential(convolution, norm)`. The norm takes over the convolution's bias, so that the
    variant in `eval` mode gives the same output as `network`, which is left as it is.

    Raises:
        OptionError: the network has batch norms already.

    """
    if has_batch_norm(network):
        raise OptionError("the network has batch norms already; give one without")
    variant = copy.deepcopy(network)
    for parent, name, convolution in _children(variant, nn.Conv2d):
        weight = convolution.weight
        norm = nn.BatchNorm2d(convolution.out_channels, device=weight.device, dtype=weight.dtype)
        if convolution.bias is not None:
            with torch.no_grad():
                norm.bias.copy_(convolution.bias)
            convolution.bias = None
        setattr(parent, name, nn.Sequential(convolution, norm))
    return variant


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether a network has batch norms, of its own or as the batch-norm variant of another."""
    return any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def fold(variant: nn.Module) -> nn.Module:
    """Fold the batch norms away: every pair of convolution and norm becomes one convolution with the same output.

    Returns a copy in `eval` mode with the state dict keys of the plain network; equal to the variant in `eval` mode up
    to rounding, since the running averages that a norm then uses are constants. A network without pairs is copied.
    """
    network = copy.deepcopy(variant).eval()
    for parent, name, pair in _children(network, nn.Sequential):
        match list(pair.children()):
            case [nn.Conv2d() as convolution, nn.BatchNorm2d() as norm]:
                setattr(parent, name, fuse_conv_bn_eval(convolution, norm))
            case _:
                pass
    return network


def _children(root: nn.Module, kind: type[Module]) -> list[tuple[nn.Module, str, Module]]:
    """List (parent, attribute name, child) of every module of `kind` below `root`."""
    return [
        (parent, name, child)
        for parent in root.modules()
        for name, child in parent.named_children()
        if isinstance(child, kind)
    ]
