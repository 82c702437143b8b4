"""How does training start from a model? Its weights, except the last block's, and batch norms that change nothing."""

from collections.abc import Mapping

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from nin.data.preprocessing import Preprocessing
from nin.networks.forward import evaluating


def copy_blocks(network: nn.Module, weights: Mapping[str, Tensor], head: frozenset[str]) -> None:
    """Copy a model's weights into a network of the same architecture, in place, except the tensors named in `head`."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name not in head:
                tensor.copy_(weights[name])


def calibrate(
    variant: nn.Module, images: UInt8[Tensor, "images channels height width"], preprocessing: Preprocessing
) -> None:
    """Set the batch norms of a variant so that, for images like these, each leaves its convolution's output as it is.

    A fresh batch norm scales every channel to a standard deviation of 1, and so undoes what trained convolutions say by
    their scale. Here each one's weight becomes the standard deviation of its channel over `images`, its bias the mean,
    and its running averages the same, one layer after the other.
    """
    handles = [
        norm.register_forward_pre_hook(_keep_output) for norm in variant.modules() if isinstance(norm, nn.BatchNorm2d)
    ]
    try:
        with evaluating(variant):
            variant(preprocessing(images.to(next(variant.parameters()).device)))
    finally:
        for handle in handles:
            handle.remove()


def _keep_output(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    variance, mean = torch.var_mean(inputs[0].float(), dim=(0, 2, 3), correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.add_(mean)  # which holds the bias of the convolution
