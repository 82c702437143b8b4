"""What is our speed compared with? The textbook's NiN as listed and its loop in plain PyTorch, with nothing of ours.

No command of its own: `speed.py`, `optimisations.py` and `predict.py` import it.

Eager, float32, contiguous, a `DataLoader` over the data set. Images are resized a batch at a time, which is kinder to
the reference than the usual resize of each image by itself in the data set.
"""

import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


def network() -> nn.Module:
    """Build the textbook's NiN as listed, with the textbook's Xavier-uniform initialisation."""

    def block(channels: int, out: int, kernel: int, stride: int, padding: int) -> list[nn.Module]:
        return [
            nn.Conv2d(channels, out, kernel, stride, padding),
            nn.ReLU(),
            nn.Conv2d(out, out, 1),
            nn.ReLU(),
            nn.Conv2d(out, out, 1),
            nn.ReLU(),
        ]

    net = nn.Sequential(
        *block(1, 96, 11, 4, 0),
        nn.MaxPool2d(3, 2),
        *block(96, 256, 5, 1, 2),
        nn.MaxPool2d(3, 2),
        *block(256, 384, 3, 1, 1),
        nn.MaxPool2d(3, 2),
        nn.Dropout2d(0.5),
        *block(384, 10, 3, 1, 1),
        nn.AdaptiveMaxPool2d((1, 1)),
        nn.Flatten(),
    )
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
    return net


def preprocess(images: Tensor, size: int) -> Tensor:
    """Scale uint8 images of (batch, 1, 28, 28) to 0..1 and resize them to `size` pixels a side."""
    return F.interpolate(images.float() / 255, size=(size, size), mode="bilinear")


def train(images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[int, float]]:
    """Train without end by plain SGD; yield each step's number of images and seconds, data loading included."""
    net = network().train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(images, labels), batch_size=128, shuffle=True, drop_last=True)
    while True:
        started = time.perf_counter()
        for batch, targets in loader:
            loss = F.cross_entropy(net(preprocess(batch, size)), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            _ = loss.item()
            yield len(batch), time.perf_counter() - started
            started = time.perf_counter()


def predict(net: nn.Module, images: Tensor, size: int) -> Tensor:
    """Predict the class of each image, 256 at a time."""
    net.eval()
    with torch.no_grad():
        return torch.cat([net(preprocess(batch, size)).argmax(dim=1) for batch in images.split(256)])
