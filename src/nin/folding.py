"""How is a network trained with help that it ships without? The training twin, the fold, the lift."""

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from nin.network import NiN

Module = TypeVar("Module", bound=nn.Module)


def with_batch_norm(network: nn.Module) -> nn.Module:
    """Make the training twin: a copy with a batch norm after every convolution (Ioffe, Szegedy 2015).

    Where a convolution stood, the twin has `Sequential(convolution, norm)`. The norm takes over the convolution's bias,
    so the twin in `eval` mode gives what `network` gives; `network` itself is not touched. No convolution in it may
    have a norm yet.
    """
    twin = copy.deepcopy(network)
    for parent, name, convolution in _children(twin, nn.Conv2d):
        norm = nn.BatchNorm2d(convolution.out_channels)
        if convolution.bias is not None:
            with torch.no_grad():
                norm.bias.copy_(convolution.bias)
            convolution.bias = None
        setattr(parent, name, nn.Sequential(convolution, norm.to(convolution.weight.device)))
    return twin


def fold(twin: nn.Module) -> nn.Module:
    """Make the plain network back: every pair of convolution and norm becomes one convolution with the same output.

    Returns a copy in `eval` mode with the state dict keys of the network that the twin was made from; equal to the twin
    in `eval` mode up to rounding, since the averages that a norm then uses are constants. A network without pairs is
    copied.
    """
    network = copy.deepcopy(twin).eval()
    for parent, name, pair in _children(network, nn.Sequential):
        match list(pair.children()):
            case [nn.Conv2d() as convolution, nn.BatchNorm2d() as norm]:
                setattr(parent, name, fuse_conv_bn_eval(convolution, norm))
            case _:
                pass
    return network


def lift(network: NiN, lowest: float) -> NiN:
    """Make of a network trained without its last ReLU the printed one, with it, that gives the same probabilities.

    Softmax does not change when one number is added to every score. So -`lowest`, where `lowest` is the least score of
    many pictures, goes into the last biases. The last ReLU then cuts no score, only cells of the class maps that lie
    under every score and that the max pool never picks. A later picture's score under `lowest` is cut to zero, the
    least there is.
    """
    assert isinstance(network.avg1, nn.AdaptiveMaxPool2d), "under an average pool the cells that are cut would count"
    lifted = NiN(network.in_channels, network.classes)
    lifted.load_state_dict(network.state_dict(), strict=True)
    last = lifted.n4[-2]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():
        last.bias -= min(lowest, 0.0)
    return lifted.eval()


def _children(root: nn.Module, kind: type[Module]) -> list[tuple[nn.Module, str, Module]]:
    """List (parent, attribute name, child) of every module of `kind` below `root`."""
    return [
        (parent, name, child)
        for parent in root.modules()
        for name, child in parent.named_children()
        if isinstance(child, kind)
    ]
