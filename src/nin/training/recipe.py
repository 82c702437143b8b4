"""What will a run do, before anything is known of data and machine? The recipe."""

import msgspec

from nin.choices import Initialisation, check_choice
from nin.errors import OptionError
from nin.files import check_types
from nin.networks.architecture import LARGEST_SIZE
from nin.networks.registry import find_architecture


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do, before anything is known of the data or the machine.

    Attributes:
        name: what the report calls it.
        network: a name of `nin.networks.registry`.
        size: side in pixels to which images are resized.
        epochs: passes through the training images; may be a fraction.
        max_epochs: the most epochs that a budget of minutes is used for; with more, the network would only overfit.
        batch_size: images in a step.
        learning_rate: the peak learning rate of SGD.
        muon_learning_rate: the peak learning rate of Muon, which updates the weights of convolutions; 0 leaves them to
            SGD.
        muon_weight_decay: decoupled weight decay of the weights that Muon updates: each step multiplies them by
            1 - learning rate x this, as in `torch.optim.Muon`.
        momentum: Nesterov momentum of both optimizers.
        weight_decay: of the parameters that SGD updates.
        warm_up: fraction of all steps in which the learning rates rise linearly from 0.
        decay: whether they then fall linearly to 0.
        label_smoothing: of the cross-entropy (Szegedy et al. 2015).
        dropout: probability of the network's dropout.
        flip: whether each image is mirrored in alternate epochs.
        shift: the most pixels by which an image is shifted, before resizing.
        reflect: whether shifted images are filled by reflection padding; otherwise with black.
        erase: the side in pixels of a square that is erased from each image, before resizing.
        initialisation: see `nin.networks.initialisation`.
        normalise: whether the training images' mean is subtracted and their standard deviation divided by; otherwise
            pixels are scaled to 0..1.
        batch_norm: whether to train the batch-norm variant, and fold it.
        final_relu: whether NiN is trained with its last ReLU, which can die; otherwise it is added after training.
        bfloat16: whether to compute in bf16 (autocast) where the hardware has it.

    Raises:
        OptionError: a value of another type or out of its range, or an unknown network.

    """

    name: str
    network: str = "nin"
    size: int = 67
    epochs: float = 8.0
    max_epochs: float = 100.0
    batch_size: int = 256
    learning_rate: float = 0.1
    muon_learning_rate: float = 0.05
    muon_weight_decay: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_up: float = 0.2
    decay: bool = True
    label_smoothing: float = 0.1
    dropout: float = 0.0
    flip: bool = False
    shift: int = 0
    reflect: bool = False
    erase: int = 0
    initialisation: Initialisation = "he"
    normalise: bool = True
    batch_norm: bool = True
    final_relu: bool = False
    bfloat16: bool = True

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_choice("initialisation", self.initialisation, Initialisation)
        check_types(self)
        find_architecture(self.network)
        for field, low, high in (
            ("size", 1, LARGEST_SIZE),
            ("epochs", 0.001, 10_000),
            ("max_epochs", 0.001, 10_000),
            ("batch_size", 2 if self.batch_norm else 1, 1_000_000),
            ("learning_rate", 0, 1000),
            ("muon_learning_rate", 0, 1000),
            ("muon_weight_decay", 0, 1),
            ("momentum", 0, 0.9999),
            ("weight_decay", 0, 1),
            ("warm_up", 0, 1),
            ("label_smoothing", 0, 0.9999),
            ("dropout", 0, 0.9999),
            ("shift", 0, 1000),
            ("erase", 0, 1000),
        ):
            if not low <= getattr(self, field) <= high:
                raise OptionError(f"{field} must be from {low} to {high}, not {getattr(self, field)!r}")
