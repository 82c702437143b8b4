"""How large are signal and gradient in each layer before the first step? The figure of docs/why-nin-collapses.md.

    python benchmarks/collapse.py docs/collapse.png

The signal of a convolution is how much its output differs from image to image: the standard deviation over images,
averaged over channels and pixels (root mean square). What is the same for all images says nothing about any of them.
The gradient is that of one image's loss with respect to the convolution's output, root mean square.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib import style
from matplotlib.figure import Figure
from msgspec.structs import replace
from torch import Tensor, nn

from nin.data.images import LabelledImages
from nin.data.sources.fashion_mnist import fashion_mnist
from nin.figures.style import BLUE, GREY, RED, STYLE, to_png
from nin.training.named_recipes import d2l, quick
from nin.training.network import initial_network
from nin.training.plan import resolve
from nin.training.recipe import Recipe

IMAGES, SEEDS = 256, 5
PLAIN = replace(d2l(1.0), size=67)
INITIALISATIONS: dict[str, tuple[Recipe, str, str]] = {
    "PyTorch's default": (replace(PLAIN, initialisation="default"), RED, "-"),
    "Xavier": (PLAIN, "#c47f00", "--"),
    "He": (replace(PLAIN, initialisation="he"), GREY, "-."),
    "identity": (replace(PLAIN, initialisation="identity"), "#2a7f62", ":"),
    "He and batch norm, as in quick": (quick(1.0), BLUE, "-"),
}


def main(path: Path) -> None:
    """Measure and draw."""
    train = fashion_mnist().train.first(IMAGES)
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for name, (recipe, colour, line) in INITIALISATIONS.items():
            measured = torch.stack([signal_and_gradient(recipe, train, seed) for seed in range(SEEDS)])
            means = measured.log().mean(dim=0).exp()
            for axes, values in zip((left, right), means, strict=True):
                axes.plot(range(1, 13), values, line, marker="o", markersize=3, color=colour, label=name)
            print(name, *(f"{value:.2g}" for value in means[:, [0, 5, 11]].flatten()))
        for axes, title in (
            (left, "signal: standard deviation over images"),
            (right, "gradient with respect to a layer's output"),
        ):
            axes.set(yscale="log", xlabel="convolution, 1 to 12", title=title, xticks=range(1, 13))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
        path.write_bytes(to_png(figure))


def signal_and_gradient(recipe: Recipe, train: LabelledImages, seed: int) -> Tensor:
    """Return the sizes of signal and gradient at each of the 12 convolutions, (2, 12), as initialised by this seed."""
    plan = resolve(replace(recipe, batch_size=2), train, seed, torch.device("cpu"))
    network = initial_network(plan).train()
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        outputs.append(output)

    for module in network.modules():
        # After the norm where there is one: that is what the next layer gets.
        pair = isinstance(module, nn.Sequential) and isinstance(list(module)[-1], nn.BatchNorm2d)
        if pair or (isinstance(module, nn.Conv2d) and not recipe.batch_norm):
            module.register_forward_hook(keep)
    for dropout in (module for module in network.modules() if isinstance(module, nn.Dropout2d)):
        dropout.eval()
    logits = network(plan.preprocessing(train.images))
    gradients = torch.autograd.grad(F.cross_entropy(logits, train.labels, reduction="sum"), outputs)
    signal = [output.var(dim=0).mean().sqrt() for output in outputs]
    gradient = [part.square().mean().sqrt() for part in gradients]
    return torch.tensor([[part.item() for part in row] for row in (signal, gradient)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
