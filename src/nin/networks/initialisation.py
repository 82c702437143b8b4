"""Which weights does training start from?"""

from torch import nn

from nin.choices import Initialisation, check_choice


def initialise(network: nn.Module, scheme: str) -> None:
    """Initialise every convolution and dense layer that is not frozen, in place, from PyTorch's global generator.

    - "default": PyTorch's own: weights and biases uniform within 1/sqrt(fan in). The signal shrinks at every ReLU.
    - "xavier": uniform weights that keep the size of signal and gradient through linear layers (Glorot, Bengio 2010);
      biases as PyTorch draws them, as in the textbook's listing.
    - "he": normal weights that keep the size of the signal through ReLUs (He et al. 2015); biases zero.
    - "identity": as "he", but 1x1 convolutions with as many output as input channels start as the identity.

    Raises:
        OptionError: `scheme` is none of these.

    """
    check_choice("initialisation", scheme, Initialisation)
    for module in network.modules():
        if not isinstance(module, (nn.Conv2d, nn.Linear)) or not module.weight.requires_grad:
            continue
        module.reset_parameters()
        if scheme == "xavier":
            nn.init.xavier_uniform_(module.weight)
        elif scheme in ("he", "identity"):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            one_by_one = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)
            if scheme == "identity" and one_by_one and module.in_channels == module.out_channels:
                nn.init.dirac_(module.weight)
