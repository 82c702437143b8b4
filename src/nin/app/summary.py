"""How is `nin summary` carried out? Prints a network and the cost of its layers."""

import torch
from rich.table import Table

from nin.app.console import print_table
from nin.app.options import Summary
from nin.errors import OptionError
from nin.networks.registry import build_network, find_architecture
from nin.networks.summary import layers


def main(options: Summary) -> int:
    """Print the network and its table of layers."""
    if options.name is not None and options.network is not None:
        raise OptionError(f"the network is given twice, as {options.name} and as {options.network}: give it once")
    name = options.name or options.network or "nin"
    architecture = find_architecture(name)
    size = architecture.default_size if options.size is None else options.size
    in_channels = architecture.channels[0] if options.channels is None else options.channels
    with torch.device("meta"):  # shapes are enough
        network = build_network(name, in_channels, 10, size)
    found = layers(network, in_channels, size)
    grey_or_colour = {1: "grey", 3: "colour"}[in_channels]
    table = Table("layer", "kind", title=f"{architecture.title} at {size}x{size}, {grey_or_colour}")
    for heading in ("output shape", "parameters", "multiply-adds"):
        table.add_column(heading, justify="right", overflow="fold")
    for layer in found:
        shape = " x ".join(map(str, layer.output_shape))
        table.add_row(layer.name, layer.kind, shape, f"{layer.parameters:,}", f"{layer.multiply_adds:,}")
    table.add_section()
    totals = (sum(layer.parameters for layer in found), sum(layer.multiply_adds for layer in found))
    table.add_row("total", "", "", *(f"{total:,}" for total in totals))
    print(network)
    print_table(table)
    return 0
