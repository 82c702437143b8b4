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
    pairs: dict[nn.Conv2d, nn.Sequential] = {}  # a convolution may stand in several places
    for parent, name, convolution in _children(variant, nn.Conv2d):
        if convolution not in pairs:
            weight = convolution.weight
            norm = nn.BatchNorm2d(convolution.out_channels, device=weight.device, dtype=weight.dtype)
            if convolution.bias is not None:
                with torch.no_grad():
                    norm.bias.copy_(convolution.bias)
                convolution.bias = None
            pairs[convolution] = nn.Sequential(convolution, norm)
        setattr(parent, name, pairs[convolution])
    return variant


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether a network has batch norms, of its own or as the batch-norm variant of another."""
    return any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def takes_batch_norm(network: nn.Module) -> bool:
    """Return whether a network can have its batch-norm variant.

    Not if it has batch norms of its own, or frozen layers, which a norm and its folding would change.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    frozen = any(not parameter.requires_grad for layer in layers for parameter in layer.parameters())
    return not frozen and not has_batch_norm(network)


def fold(variant: nn.Module) -> nn.Module:
    """Fold the batch norms away: every pair of convolution and norm becomes one convolution with the same output.

    Returns a copy in `eval` mode with the state dict keys of the plain network; equal to the variant in `eval` mode up
    to rounding, since the running averages that a norm then uses are constants. A network without pairs is copied.
    """
    network = copy.deepcopy(variant).eval()
    folded: dict[nn.Sequential, nn.Conv2d] = {}
    for parent, name, pair in _children(network, nn.Sequential):
        match list(pair.children()):
            case [nn.Conv2d() as convolution, nn.BatchNorm2d() as norm]:
                if pair not in folded:
                    folded[pair] = fuse_conv_bn_eval(convolution, norm)
                setattr(parent, name, folded[pair])
            case _:
                pass
    return network


def _children(root: nn.Module, kind: type[Module]) -> list[tuple[nn.Module, str, Module]]:
    """List (parent, attribute name, child) of every place below `root` where a module of `kind` stands."""
    return [
        (root.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2], module)
        for path, module in root.named_modules(remove_duplicate=False)
        if path and isinstance(module, kind)
    ]
