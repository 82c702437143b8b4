"""How large are signal and gradient in each layer before the first step? The figure of docs/why-nin-collapses.md.

    python benchmarks/collapse.py docs/collapse.png

The signal of a convolution is how far its output differs from picture to picture: the standard deviation over
pictures, averaged over channels and places (root mean square). What is alike for all pictures says nothing about any.
The gradient is that of one picture's loss by the convolution's output, root mean square.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib import style
from matplotlib.figure import Figure
from torch import Tensor, nn

from nin.data import LabelledImages, fashion_mnist
from nin.experiment import build
from nin.figures import BLUE, GREY, RED, STYLE, to_png
from nin.planning import resolve
from nin.preprocessing import prepare
from nin.recipe import Recipe, quick, seed

PICTURES, SEEDS = 256, 5
PLAIN = seed(1.0).at(67)
STARTS: dict[str, tuple[Recipe, str, str]] = {
    "PyTorch's default": (replace(PLAIN, initialisation="default"), RED, "-"),
    "Xavier": (PLAIN, "#c47f00", "--"),
    "He": (replace(PLAIN, initialisation="he"), GREY, "-."),
    "identity": (replace(PLAIN, initialisation="identity"), "#2a7f62", ":"),
    "with batch norm, as quick begins": (quick(1.0), BLUE, "-"),
}


def main(path: Path) -> None:
    """Measure and draw."""
    train = fashion_mnist().train.subset(torch.arange(PICTURES))
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for name, (recipe, colour, line) in STARTS.items():
            measured = torch.stack([sizes(recipe, train, start) for start in range(SEEDS)]).log().mean(dim=0).exp()
            for axes, values in zip((left, right), measured, strict=True):
                axes.plot(range(1, 13), values, line, marker="o", markersize=3, color=colour, label=name)
            print(name, *(f"{value:.2g}" for value in measured[:, [0, 5, 11]].flatten()))
        for axes, title in ((left, "signal: spread over pictures"), (right, "gradient by a layer's output")):
            axes.set(yscale="log", xlabel="convolution, 1 to 12", title=title, xticks=range(1, 13))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
        path.write_bytes(to_png(figure))


def sizes(recipe: Recipe, train: LabelledImages, start: int) -> Tensor:
    """Give the size of signal and gradient at each of the 12 convolutions, (2, 12), at this seed's first weights."""
    plan = resolve(replace(recipe, batch_size=2), train, start, torch.device("cpu"))
    network = build(plan, 1).train()
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        outputs.append(output)

    for module in network.modules():
        # Behind the norm where there is one: that is what the next layer gets.
        pair = isinstance(module, nn.Sequential) and isinstance(list(module)[-1], nn.BatchNorm2d)
        if pair or (isinstance(module, nn.Conv2d) and not recipe.batch_norm):
            module.register_forward_hook(keep)
    for dropout in (module for module in network.modules() if isinstance(module, nn.Dropout2d)):
        dropout.eval()
    scores = network(prepare(train.images, 67, plan.mean, plan.std))
    gradients = torch.autograd.grad(F.cross_entropy(scores, train.labels, reduction="sum"), outputs)
    signal = [output.var(dim=0).mean().sqrt() for output in outputs]
    gradient = [part.square().mean().sqrt() for part in gradients]
    return torch.tensor([[part.item() for part in row] for row in (signal, gradient)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
