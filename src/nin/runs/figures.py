"""Which figures does a run leave? Its results, drawn, by the names of their files."""

from collections.abc import Mapping
from typing import Any

import msgspec
import torch
from matplotlib.figure import Figure

from nin.data.images import LabelledImages, Splits
from nin.figures.curves import loss
from nin.figures.evaluation import confusion, reliability
from nin.figures.images import prediction, sample
from nin.figures.structure import structure
from nin.figures.style import to_png, to_svg
from nin.metrics import Evaluation, most_confident_mistakes
from nin.networks.imported import is_import_path
from nin.networks.registry import build_without_weights, find_architecture, side_by_side
from nin.networks.summary import layers, parameter_count
from nin.runs.evaluate import evaluated_split, with_names
from nin.runs.result import Result
from nin.training.events import Validation
from nin.training.plan import Plan

PREDICTIONS = 30  # shown
MISTAKES = 30  # shown


def run_figures(result: Result, plan: Plan, validations: list[Validation], data: Splits) -> dict[str, bytes]:
    """Draw the figures of a run's report: the content of each file by its name."""
    evaluation, (_, images) = result.evaluation, evaluated_split(data)
    # At random, for images may come class by class; by a seed of its own, for the same ones are to be seen each time.
    drawn = torch.randperm(len(images), generator=torch.Generator().manual_seed(0), device="cpu")[:PREDICTIONS]
    shown, names, grid = images.subset(drawn), images.names, find_architecture(plan.recipe.network).cells
    confidence, predicted = evaluation.probabilities[drawn].max(dim=1)
    maps = None
    if grid is not None:
        maps = result.classifier.class_maps(shown.images)[torch.arange(len(predicted), device="cpu"), predicted]
    lines = [msgspec.structs.asdict(one) for one in validations]
    figures = {
        "sample.png": sample(data.train.images, data.train.labels, names),
        "loss.png": loss(lines, plan.num_classes, plan.recipe.label_smoothing),
        "prediction.png": prediction(
            shown.images, shown.labels, predicted, confidence, names, maps=maps, grid=grid, size=plan.recipe.size
        ),
        **evaluation_figures(evaluation, images),
    }
    svg = to_svg(structure_figure(plan.recipe.network, plan.preprocessing.channels, plan.num_classes, plan.recipe.size))
    return {name: to_png(figure) for name, figure in figures.items()} | {"structure.svg": svg}


def structure_figure(network: str, in_channels: int, num_classes: int, size: int | None = None) -> Figure:
    """Draw a network, or NiN if it is a baseline, beside AlexNet and VGG: each at the size of its paper or textbook.

    A network that is not of this package has no such size, and is drawn at `size`.
    """
    columns: list[Any] = []
    for name in side_by_side(network):
        architecture = find_architecture(name)
        side = size if size is not None and is_import_path(name) else architecture.default_size
        built = build_without_weights(name, in_channels, num_classes, side)
        columns.append((architecture.title, parameter_count(built), layers(built, in_channels, side)))
    return structure(columns)


def evaluation_figures(evaluation: Evaluation, images: LabelledImages) -> Mapping[str, Figure]:
    """Draw an evaluation: confusion matrix, reliability diagram and, if there are any, the most confident mistakes.

    Args:
        evaluation: what to draw.
        images: those that it is of.

    Returns:
        The figures by the names of their files.

    Raises:
        ModelError: they are other images, of a class that the evaluation does not know.

    """
    images = with_names(images, evaluation.labels)
    figures = {
        "confusion.png": confusion(evaluation.confusion, evaluation.labels),
        "reliability.png": reliability(evaluation.calibration),
    }
    wrong = most_confident_mistakes(evaluation.probabilities, images.labels, MISTAKES)
    if len(wrong):
        confidence, predicted = evaluation.probabilities[wrong].max(dim=1)
        shown = images.subset(wrong)
        headline = f"The {len(wrong)} most confident mistakes" if len(wrong) > 1 else "The only mistake"
        figures["mistakes.png"] = prediction(
            shown.images, shown.labels, predicted, confidence, evaluation.labels, headline=headline
        )
    return figures
