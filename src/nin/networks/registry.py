"""Which networks are there, by name? A line for each: how to build it, for which images, where its class maps lie.

A network is a callable `(in_channels, num_classes, ...)` that returns an `nn.Module` from images to logits. If it has
parameters named `size` (of the square images, in pixels), `dropout` or `final_relu`, it is given those too. Other
networks are named by their import path, "package.module:callable".
"""

import inspect
from typing import TYPE_CHECKING

from nin.errors import OptionError
from nin.networks.architecture import LARGEST_SIZE, Architecture, CellGrid, builder
from nin.networks.imported import IMPORTED, is_import_path
from nin.text import printable

if TYPE_CHECKING:
    from torch import nn

OPTIONS = frozenset({"size", "dropout", "final_relu"})

# NiN's strides of 4, 2, 2 and 2 put its cells 32 pixels apart, the first centred on pixel 33, counted from 0.
NIN_CELLS = CellGrid(stride=32, start=17.5, receptive_field=195, pool="max", single_up_to=98)
# NiN2013's pools put its cells 4 pixels apart, the first centred on pixel 0.
NIN_2013_CELLS = CellGrid(stride=4, start=-1.5, receptive_field=27, pool="avg", single_up_to=4)

NETWORKS = {
    "lenet": Architecture(
        "LeNet-5", "nin.networks.lenet:LeNet", smallest_size=12, default_size=28, sizes=(32,), enlarges=False
    ),
    "alexnet": Architecture("AlexNet", "nin.networks.alexnet:AlexNet", smallest_size=65, default_size=224, sizes=(67,)),
    "vgg": Architecture("VGG-11", "nin.networks.vgg:VGG", smallest_size=32, default_size=224, sizes=(32, 64, 96)),
    "nin": Architecture(
        "NiN", "nin.networks.nin:NiN", smallest_size=67, default_size=224, sizes=(67, 99, 131), cells=NIN_CELLS
    ),
    "nin-2013": Architecture(
        "NiN2013",
        "nin.networks.nin_2013:NiN2013",
        smallest_size=8,
        default_size=32,
        sizes=(32,),
        enlarges=False,
        channels=(3, 1),
        cells=NIN_2013_CELLS,
    ),
    "googlenet": Architecture(
        "GoogLeNet", "nin.networks.googlenet:GoogLeNet", smallest_size=32, default_size=96, sizes=(32, 64, 96)
    ),
    "resnet18": Architecture(
        "ResNet-18", "nin.networks.resnet:ResNet18", smallest_size=32, default_size=96, sizes=(32, 64, 96)
    ),
}
BASELINES = ("alexnet", "vgg")  # shown beside a network in the structure figure


def find_architecture(name: str) -> Architecture:
    """Look up what is known of a network, by its name or import path.

    Raises:
        OptionError: there is no such network, or it is an import path that `import_network` has not been given.

    """
    known = NETWORKS | IMPORTED
    if name in known:
        return known[name]
    if is_import_path(name):
        raise OptionError(
            f"{name} is not a network of this package, and importing it runs its code: if you trust it, name it, with "
            f"--network {name} or, in Python, network={name!r}"
        )
    raise OptionError(
        f"there is no network {name!r}: the networks are {', '.join(NETWORKS)}, or the import path of another, as "
        "package.module:callable"
    )


def side_by_side(name: str) -> tuple[str, str, str]:
    """Return the networks of the structure figure: the baselines and `name`, or NiN if `name` is a baseline."""
    return *BASELINES, "nin" if name in BASELINES else name


def network_options(name: str) -> frozenset[str]:
    """Return which of `OPTIONS` a network can be built with. Raises what `find_architecture` does."""
    return OPTIONS & set(inspect.signature(builder(find_architecture(name).target)).parameters)


def build_network(
    name: str, in_channels: int, num_classes: int, size: int, *, final_relu: bool = True, dropout: float = 0.5
) -> "nn.Module":
    """Build a network for square images of `size` pixels a side, with PyTorch's default weights.

    `final_relu` and `dropout` reach the networks that have them.

    Raises:
        OptionError: there is no such network, or not for this size or this number of channels.

    """
    architecture = find_architecture(name)
    if not architecture.smallest_size <= size <= LARGEST_SIZE:
        smallest = architecture.smallest_size
        raise OptionError(
            f"{architecture.title} takes images from {smallest}x{smallest} to {LARGEST_SIZE}x{LARGEST_SIZE} pixels, "
            f"not {size}x{size}"
        )
    if in_channels not in architecture.channels:
        allowed = " or ".join(map(str, sorted(architecture.channels)))
        raise OptionError(f"{architecture.title} takes images of {allowed} channels, not {in_channels}")
    options = {"size": size, "final_relu": final_relu, "dropout": dropout}
    taken = {key: value for key, value in options.items() if key in network_options(name)}
    build = builder(architecture.target)
    if name not in IMPORTED:
        return build(in_channels, num_classes, **taken)
    from torch import nn  # here, since the command line's options need this file and no torch

    try:
        network = build(in_channels, num_classes, **taken)
    except (Exception, SystemExit) as error:
        reason = printable(str(error).partition("\n")[0])
        raise OptionError(
            f"{name} failed for {in_channels} channels and {num_classes} classes: {type(error).__name__}: {reason}"
        ) from error
    if not isinstance(network, nn.Module):
        raise OptionError(f"{name} must return a torch.nn.Module, not {type(network).__name__}")
    if any(map(nn.parameter.is_lazy, network.parameters())):
        raise OptionError(f"{name} has lazy layers, whose shapes are not known yet: give in_channels or in_features")
    return network


def build_without_weights(
    name: str, in_channels: int, num_classes: int, size: int, *, final_relu: bool = True, dropout: float = 0.5
) -> "nn.Module":
    """Build a network of which only the shapes matter, or which is given weights: on the meta device, if it is ours.

    Another's may compute with numbers while it is built, or have tensors that no file keeps: it is built on the CPU,
    whose generator is left as it was. Takes and raises what `build_network` does.
    """
    import torch

    with torch.random.fork_rng(devices=[]), torch.device("cpu" if is_import_path(name) else "meta"):
        return build_network(name, in_channels, num_classes, size, final_relu=final_relu, dropout=dropout)


def head_parameters(name: str, in_channels: int, size: int) -> frozenset[str]:
    """Return the names of the tensors whose shape depends on the number of classes: NiN's last block, for example.

    Raises what `build_network` does.
    """
    two, three = (build_without_weights(name, in_channels, classes, size).state_dict() for classes in (2, 3))
    return frozenset(key for key in two if two[key].shape != three[key].shape)
