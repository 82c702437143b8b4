"""Can every network learn a batch by heart? One that cannot has a gradient that does not arrive somewhere."""

import pytest
import torch
import torch.nn.functional as F

from nin.device import autocast, fastest_precision
from nin.networks.batch_norm import with_batch_norm
from nin.networks.initialisation import initialise
from nin.networks.registry import NETWORKS, build_network
from nin.training.named_recipes import quick
from nin.training.optimizer import Optimizer

IMAGES, CLASSES, MOST_STEPS = 64, 10, 1000  # of which only LeNet, whose sigmoids saturate, needs more than 50


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_learns_64_images_with_random_labels_by_heart(name: str):
    size = max(16, NETWORKS[name].smallest_size)
    torch.manual_seed(0)
    network = build_network(name, 1, CLASSES, size, final_relu=False, dropout=0.0)
    initialise(network, "he")
    network = with_batch_norm(network).train()
    cpu = torch.device("cpu")
    precision = fastest_precision(cpu)
    optimizer = Optimizer(network, quick(network=name), precision)
    images = torch.randn(IMAGES, 1, size, size)
    labels = torch.arange(IMAGES) % CLASSES
    loss = torch.tensor(torch.inf)
    for step in range(MOST_STEPS):
        with autocast(cpu, precision):
            logits = network(images).float()
        loss = F.cross_entropy(logits, labels)
        if loss < 0.05:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(min(1.0, (step + 1) / 10))
    assert loss < 0.05
