"""What is known of a network before it is built?"""

import importlib
import operator
from dataclasses import dataclass
from typing import Any, Literal

LARGEST_SIZE = 4096  # pixels a side that any network is built for


@dataclass(frozen=True)
class CellGrid:
    """Where the cells of a class map lie, in pixels of the network's input, and how they make the logit.

    Attributes:
        stride: pixels from the centre of a cell to the next.
        start: where the first cell begins, half a stride before its centre; below 0 where that is beyond the edge.
        receptive_field: pixels a side that a cell sees, far more than it is drawn as.
        pool: the logit of a class is the highest cell of its map ("max"), or the mean of all cells ("avg").
        single_up_to: pixels a side of the largest images whose maps are a single cell.

    """

    stride: int
    start: float
    receptive_field: int
    pool: Literal["max", "avg"]
    single_up_to: int

    def edges(self, size: int, cells: int) -> list[float]:
        """Return where the cells begin and end along a side of the input, as `cells` + 1 fractions of it from 0 to 1.

        What lies beyond the edges of the input is cut off, and the last cell reaches the edge if less than half a
        stride is left. A single cell does not tell one place from another, and takes the whole side.
        """
        if cells == 1:
            return [0.0, 1.0]
        pixels = [self.start + self.stride * cell for cell in range(cells + 1)]
        if size - pixels[-1] < self.stride / 2:
            pixels[-1] = size
        return [max(0.0, pixel) / size for pixel in pixels]


@dataclass(frozen=True)
class Architecture:
    """What is known of a network before it is built.

    Attributes:
        title: what figures and reports call it.
        target: the callable that builds it, as "module:name".
        smallest_size: the smallest images it takes, in pixels a side.
        default_size: the size of its paper or textbook page.
        sizes: those worth training at, from the fastest on.
        enlarges: whether images that are smaller are enlarged to these; otherwise they are taken as they are.
        channels: the numbers of channels that it can be built for; first that of its paper or textbook page.
        cells: of its class maps; None for a network without class maps.

    """

    title: str
    target: str
    smallest_size: int
    default_size: int
    sizes: tuple[int, ...]
    enlarges: bool = True
    channels: tuple[int, ...] = (1, 3)
    cells: CellGrid | None = None


def builder(target: str) -> Any:
    """Return the callable of an `Architecture.target`, imported. Raises what the import raises."""
    module, _, attribute = target.partition(":")
    return operator.attrgetter(attribute)(importlib.import_module(module))
