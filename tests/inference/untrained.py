"""What do tests of inference classify with? A network without training, and random images."""

import torch
from torch import nn

from nin.data.preprocessing import Preprocessing
from nin.inference.classifier import Classifier
from nin.inference.model_folder import Config
from nin.networks.initialisation import initialise
from nin.networks.nin import NiN

LABELS = ("a", "b", "c", "d")
CONFIG = Config("nin", Preprocessing(67, (0.3,), (0.4,)), 28, LABELS, temperature=1.5)
CPU = torch.device("cpu")
IMAGES = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def network(num_classes: int = 4, in_channels: int = 1) -> NiN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = NiN(in_channels, num_classes)
        initialise(made, "he")
    return made.eval()


def classifier(config: Config = CONFIG, made: nn.Module | None = None) -> Classifier:
    made = network(config.num_classes, config.in_channels) if made is None else made
    return Classifier(made, config, device=CPU, precision="float32")
