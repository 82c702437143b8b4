"""What are the logits of many images? The batched forward pass, in `eval` mode."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from nin.choices import Precision
from nin.data.preprocessing import Preprocessing
from nin.device import autocast
from nin.distributed import in_batches

Item = TypeVar("Item")

PIXELS_PER_BATCH = 500 * 67**2  # no part of the result, only of the memory used


def compute_logits(
    network: nn.Module,
    images: UInt8[Tensor, "images channels height width"],
    preprocessing: Preprocessing,
    precision: Precision = "float32",
) -> Float[Tensor, "images classes"]:
    """Return the logits of all images: float32, (images, classes), on the network's device.

    Several processes divide the images, and each returns all logits. The network is put in `eval` mode for that, and
    back in the mode it was in.
    """
    device = next(network.parameters()).device

    def compute(batch: Tensor) -> Tensor:
        return next(forward_batches(network, [batch], preprocessing, device, precision))

    with evaluating(network):
        return in_batches(compute, images, images_per_batch(preprocessing.size), device)


def forward_batches(
    function: Callable[[Tensor], Tensor],
    batches: Iterable[Tensor],
    preprocessing: Preprocessing,
    device: torch.device,
    precision: Precision,
) -> Iterator[Tensor]:
    """Yield what `function`, a network or its class maps, makes of each uint8 batch: float32, on `device`.

    Shapes: (batch, channels, height, width) -> (batch, classes) or (batch, classes, map_height, map_width).
    """
    with autocast(device, precision):
        for batch in batches:
            yield function(preprocessing(batch.to(device))).float()


def images_per_batch(size: int) -> int:
    """Return how many images of `size` pixels a side, before or after resizing, to take through a network at once."""
    return max(1, min(500, PIXELS_PER_BATCH // size**2))


def regular_batches(items: Sequence[Item], most: int = 64) -> Iterator[Sequence[Item]]:
    """Yield items that come in any number in batches of 1, 2, 4, ... and `most`, the larger first.

    oneDNN compiles each layer for every size of a batch, and keeps a thousand of these: where all sizes come, it never
    ends compiling, and takes twice as long.
    """
    begin = 0
    while begin < len(items):
        size = min(most, 1 << ((len(items) - begin).bit_length() - 1))
        yield items[begin : begin + size]
        begin += size


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put the network in `eval` mode, without gradients, and afterwards back in the mode it was in."""
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        network.train(was_training)


def channels_last(network: nn.Module) -> nn.Module:
    """Lay out the weights channels-last, as preprocessed images are, in place: same results, twice as fast on CPUs."""
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - PyTorch's stub lacks it
