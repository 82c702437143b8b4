"""How is `nin summary` carried out? Prints networks and the cost of their layers, or draws them side by side."""

import os

from rich.table import Table
from torch import nn

from nin.app.console import print_table
from nin.app.options import Summary
from nin.errors import NinError, OptionError
from nin.files import write
from nin.networks.registry import build_without_weights, find_architecture
from nin.networks.summary import Layer, layers, parameter_count
from nin.text import printable

CLASSES = 10
COLOURS = {1: "grey", 3: "colour"}  # by channels


def main(options: Summary) -> int:
    """Print each network and its table of layers, or write the figure of them."""
    file = options.figure
    if file is not None and (os.path.lexists(file) or file.suffix not in (".svg", ".png")):
        raise OptionError(f"--figure needs the name of a new file that ends in .svg or .png, not {file}")
    found = [_built(name, options) for name in options.networks or ("nin",)]
    if file is None:
        for network, title, costs in found:
            print(network)
            _print_layers(title, parameter_count(network), costs)
        return 0
    from nin.figures.structure import structure  # matplotlib takes time, and a folder that it can write
    from nin.figures.style import to_png, to_svg

    columns = [(title.partition(" at ")[0], parameter_count(network), costs) for network, title, costs in found]
    drawn = structure(columns)
    write(file, (to_svg if file.suffix == ".svg" else to_png)(drawn))
    print(file)
    return 0


def _built(name: str, options: Summary) -> tuple[nn.Module, str, list[Layer]]:
    """Return a network, its title, and its layers."""
    architecture = find_architecture(name)
    size = architecture.default_size if options.size is None else options.size
    in_channels = architecture.channels[0] if options.channels is None else options.channels
    network = build_without_weights(name, in_channels, CLASSES, size)
    try:
        return (
            network,
            f"{architecture.title} at {size}x{size}, {COLOURS[in_channels]}",
            layers(network, in_channels, size),
        )
    except NinError:
        raise
    except Exception as error:  # of a network that is not ours
        reason = printable(str(error).partition("\n")[0])
        raise OptionError(
            f"{name} cannot take {COLOURS[in_channels]} images of {size}x{size} pixels: {reason}"
        ) from error


def _print_layers(title: str, parameters: int, costs: list[Layer]) -> None:
    table = Table("layer", "kind", title=title)
    for heading in ("output shape", "parameters", "multiply-adds"):
        table.add_column(heading, justify="right", overflow="fold")
    for layer in costs:
        shape = " x ".join(map(str, layer.output_shape))
        table.add_row(layer.name, layer.kind, shape, f"{layer.parameters:,}", f"{layer.multiply_adds:,}")
    table.add_section()
    table.add_row("total", "", "", f"{parameters:,}", f"{sum(layer.multiply_adds for layer in costs):,}")
    print_table(table)
