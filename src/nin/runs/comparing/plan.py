"""What is to be compared? Which cells there are, in their order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nin.choices import BatchNorm, check_choice
from nin.errors import OptionError
from nin.networks.imported import import_network
from nin.networks.registry import NETWORKS, find_architecture
from nin.runs.comparing.cell import Cell, Outcomes

MOST_SEEDS = 21  # for which t-intervals are known


@dataclass(frozen=True)
class Plan:
    """What is to be compared, beside what all cells share.

    Attributes:
        networks: names of the registry, or import paths.
        seeds: how many, from 0 on.
        learning_rates: factors on those of the recipe quick.
        batch_norm: whether to train the batch-norm variants, the networks without batch norm, or both.

    Raises:
        OptionError: one of them cannot be used.

    """

    networks: Sequence[str]
    seeds: int = 3
    learning_rates: Sequence[float] = (1.0,)
    batch_norm: BatchNorm = "yes"

    def __post_init__(self) -> None:
        """Check the values, and import networks that are not ours."""
        if len(set(self.networks)) < max(1, len(self.networks)):
            raise OptionError(f"name each network once; there are {', '.join(NETWORKS)}")
        for network in self.networks:
            import_network(network)
            find_architecture(network)
        if not 1 <= self.seeds <= MOST_SEEDS:
            raise OptionError(f"seeds must be from 1 to {MOST_SEEDS}, not {self.seeds}")
        rates = self.learning_rates
        if not rates or not all(0 < factor <= 1000 for factor in rates):
            raise OptionError(f"learning rates are factors over 0, up to 1000, not {', '.join(map(str, rates))}")
        if len(set(rates)) < len(rates):
            raise OptionError("a factor on the learning rates is given twice: name each once")
        check_choice("batch norm", self.batch_norm, BatchNorm)

    def series(self) -> list[tuple[str, bool]]:
        """Return each network with each way of batch norm."""
        ways = {"yes": (True,), "no": (False,), "both": (True, False)}[self.batch_norm]
        return [(network, way) for way in ways for network in self.networks]

    def cells(self, outcomes: Outcomes) -> Iterator[Cell]:
        """Yield the cells in order; those of the other seeds once the best learning rate is in `outcomes`."""
        for network, way in self.series():
            for factor in self.learning_rates:
                yield Cell(network, way, factor, seed=0)
            best = best_factor(network, way, outcomes, self.learning_rates)
            if best is not None:
                yield from (Cell(network, way, best, seed) for seed in range(1, self.seeds))


def best_factor(
    network: str, batch_norm: bool, outcomes: Outcomes, factors: Sequence[float] | None = None
) -> float | None:
    """Return the factor on the learning rates whose cell of seed 0 has the best validation accuracy, if any has one.

    Of `factors`, or of all that were tried.
    """
    accuracies = {
        cell.factor: outcome.trained.validation_accuracy
        for cell, outcome in outcomes.items()
        if (cell.network, cell.batch_norm, cell.seed) == (network, batch_norm, 0) and outcome.trained is not None
    }
    tried = [factor for factor in accuracies if factors is None or factor in factors]
    return max(tried, key=lambda factor: accuracies[factor], default=None)
