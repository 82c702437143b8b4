"""Does the structure figure say what the modules are, and does its text fit into its boxes?"""

import re
from collections import Counter
from xml.etree import ElementTree

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox
from torch import Tensor, nn

from nin.figures.structure import COLUMN, structure
from nin.figures.style import to_svg
from nin.networks.alexnet import AlexNet
from nin.networks.googlenet import GoogLeNet
from nin.networks.nin import NiN
from nin.networks.nin_2013 import NiN2013
from nin.networks.resnet import ResNet18
from nin.networks.summary import layers, parameter_count
from nin.networks.vgg import VGG

WIDER_FONT = 1.05  # a browser's font may be wider than ours


def baselines() -> list[nn.Module]:
    """Build AlexNet and VGG without weights, which nothing here needs."""
    with torch.device("meta"):
        return [AlexNet(), VGG()]


def draw(*networks: nn.Module, size: int = 224) -> Figure:
    return structure([(type(one).__name__, parameter_count(one), layers(one, 1, size)) for one in networks])


def written(figure: Figure) -> list[str]:
    """Return the texts of the figure, as a reader of its SVG file finds them."""
    root = ElementTree.fromstring(to_svg(figure))  # noqa: S314 - we wrote it ourselves a line before
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def three() -> Figure:
    return draw(*baselines(), NiN())


def test_every_convolution_and_dense_layer_of_the_modules_is_there(three: Figure) -> None:
    expected: Counter[str] = Counter()
    for network in (*baselines(), NiN()):
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                side, stride, pad = module.kernel_size[0], module.stride[0], module.padding[0]
                steps = (f", stride {stride}" if stride != 1 else "") + (f", pad {pad}" if pad else "")
                expected[f"{side}×{side} conv ({module.out_channels}){steps}"] += 1
            elif isinstance(module, nn.Linear):
                expected[f"dense ({module.out_features})"] += 1
    found = Counter(text for text in written(three) if re.match(r"\d+×\d+ conv |dense \(", text))
    assert found == expected
    assert found["1×1 conv (256)"] == 2
    assert found["11×11 conv (96), stride 4, pad 1"] == 1  # AlexNet's
    assert found["11×11 conv (96), stride 4"] == 1  # NiN's


def test_parameters_and_their_share_in_dense_layers_stand_under_each_name(three: Figure) -> None:
    words = written(three)
    for network in (*baselines(), NiN()):
        assert f"{parameter_count(network):,} parameters" in words
    assert [text for text in words if "of them" in text] == [
        "92 % of them in dense layers",
        "93 % of them in dense layers",
        "none of them in a dense layer",
    ]


def test_shapes_are_written_where_they_change() -> None:
    shapes = [text for text in written(draw(NiN())) if re.fullmatch(r"\d+ × \d+ × \d+", text)]
    assert shapes == [
        "96 × 54 × 54", "96 × 26 × 26", "256 × 26 × 26", "256 × 12 × 12", "384 × 12 × 12", "384 × 5 × 5", "10 × 5 × 5",
        "10 × 1 × 1",
    ]  # fmt: skip


def test_the_figure_starts_at_the_image_and_ends_in_logits(three: Figure) -> None:
    words = written(three)
    assert words.count("image") == words.count("10 logits") == 3


def test_the_figure_follows_the_modules() -> None:
    listed, other = written(draw(NiN())), written(draw(NiN(num_classes=7, global_pool="avg"), size=67))
    assert {"3×3 conv (10), pad 1", "1×1 conv (10)", "10 logits", "global max pool"} <= set(listed)
    assert {"3×3 conv (7), pad 1", "1×1 conv (7)", "7 logits", "global average pool"} <= set(other)
    assert not [text for text in other if "(10)" in text or text == "global max pool"]


def test_mlpconv_blocks_and_class_maps_are_named_in_nin_alone() -> None:
    nin, others = written(draw(NiN())), written(draw(*baselines()))
    assert [text for text in nin if "mlpconv" in text] == [f"n{i}: mlpconv block" for i in range(1, 5)]
    assert "class maps" in nin
    assert not [text for text in others if "mlpconv" in text or text == "class maps"]


def test_nin_2013_has_its_pools_its_dropout_and_its_blocks_but_no_last_relu() -> None:
    figure = structure([("NiN2013", parameter_count(NiN2013()), layers(NiN2013(), 3, 32))])
    words = written(figure)
    assert "966,986 parameters" in words
    assert words.count("dropout") == 2
    for said in ("3×3 max pool, stride 2, pad 1", "3×3 average pool, stride 2, pad 1", "global average pool"):
        assert words.count(said) == 1
    assert [text for text in words if "mlpconv" in text] == [f"n{i}: mlpconv block" for i in range(1, 4)]
    shapes = [text for text in words if re.fullmatch(r"\d+ × \d+ × \d+", text)]
    assert shapes == [
        "192 × 32 × 32", "160 × 32 × 32", "96 × 32 × 32", "96 × 16 × 16", "192 × 16 × 16", "192 × 8 × 8", "192 × 8 × 8",
        "10 × 8 × 8", "10 × 1 × 1",
    ]  # fmt: skip
    assert "class maps" in words
    with_relu = NiN2013()
    with_relu.n3.append(nn.ReLU())
    other = structure([("NiN2013", parameter_count(with_relu), layers(with_relu, 3, 32))])
    assert len(other.axes[0].patches) == len(figure.axes[0].patches) + 1


class Twice(nn.Module):
    """A dense layer that is passed twice, and parameters outside layers."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.dense = nn.Flatten(), nn.Linear(64, 64)
        self.scale = nn.Parameter(torch.ones(64))

    def forward(self, images: Tensor) -> Tensor:
        return self.dense(self.dense(self.flat(images))) * self.scale


class Own(nn.Module):
    """Parameters outside layers only."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.weight = nn.Flatten(), nn.Parameter(torch.ones(64, 10))

    def forward(self, images: Tensor) -> Tensor:
        return self.flat(images) @ self.weight


class Listed(nn.Module):
    """Parameters in a list, and no layers."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList([torch.ones(64, 10)])

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weights[0]


def test_the_parameters_are_those_of_the_network_each_counted_once() -> None:
    words = written(draw(Twice(), Own(), Listed(), size=8))
    assert {"4,224 parameters", "98 % of them in dense layers"} <= set(words)
    assert words.count("640 parameters") == words.count("none of them in a dense layer") == 2
    assert "listed" in words, "a network without layers is a box of its own"


class Tokens(nn.Module):
    """A dense layer on each of several vectors, and a pool that is not global."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.pool = nn.Linear(8, 5), nn.AdaptiveAvgPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.dense(images)).flatten(1)


def test_layers_of_others_are_described_as_they_are() -> None:
    words = written(draw(Tokens(), size=8))
    assert "dense (5)" in words
    assert "average pool to 2×2" in words


def test_a_missing_relu_is_a_missing_bar() -> None:
    assert len(draw(NiN()).axes[0].patches) == len(draw(NiN(final_relu=False)).axes[0].patches) + 1


def test_text_stays_in_its_box_and_off_other_text(three: Figure) -> None:
    FigureCanvasAgg(three).draw()
    (axes,) = three.axes
    words = [(text.get_text(), text.get_window_extent()) for text in axes.texts if text.get_text()]
    boxes = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_width() > COLUMN / 2 and p.get_height() > 10]
    drawn = [layer for network in (*baselines(), NiN()) for layer in layers(network, 1, 224) if layer.kind != "ReLU"]
    assert len(boxes) == len(drawn)
    for rectangle in boxes:
        box = rectangle.get_window_extent()
        inside = [extent for _, extent in words if box.contains(extent.x0, (extent.y0 + extent.y1) / 2)]
        assert inside
        assert sum(extent.width * WIDER_FONT for extent in inside) + 4 * (len(inside) + 1) < box.width
        for extent in inside:
            assert box.x0 < extent.x0
            assert extent.x1 < box.x1
            assert box.y0 <= extent.y0
            assert extent.y1 <= box.y1
    overlaps = [(a, b) for i, (a, one) in enumerate(words) for b, two in words[:i] if one.overlaps(two)]
    assert overlaps == []
    assert three.bbox.padded(1).count_contains(Bbox.union([extent for _, extent in words]).corners()) == 4


def test_text_is_no_smaller_than_ten_pixels_on_a_page(three: Figure) -> None:
    pixels_a_point = 900 / (72 * three.get_figwidth())
    assert min(float(text.get_fontsize()) for text in three.axes[0].texts if text.get_text()) * pixels_a_point > 10


def test_the_svg_stands_alone_and_is_the_same_each_time(three: Figure) -> None:
    svg = to_svg(three)
    assert to_svg(three) == svg == to_svg(draw(*baselines(), NiN()))
    markup = svg.decode().split("<svg", 1)[1]
    assert not re.findall(
        r"https?://(?!www\.w3\.org/(?:2000/svg|1999/xlink)\")", markup
    )  # names of languages, not places
    assert not re.findall(r"<(?:script|image|foreignObject)|@import|data:", markup)
    assert "<path" in markup


# --- Blocks with branches ---


def test_branches_stand_side_by_side_and_the_block_says_how_they_are_joined() -> None:
    words = written(draw(GoogLeNet(), ResNet18(), size=96))
    assert len([text for text in words if text.endswith("Inception block; branches concatenated")]) == 9
    assert len([text for text in words if text.endswith("Residual block; branches added")]) == 8
    assert words.count("identity") == 5
    assert words.count("3×3 (512), stride 2") == words.count("1×1 (512), stride 2") == 1
    assert {"1×1 (64)", "3×3 (128)", "5×5 (32)", "3×3 max"} <= set(words)


def test_what_follows_a_block_has_an_arrow_with_the_shape_of_all_branches() -> None:
    words = written(draw(GoogLeNet(), size=96))
    shapes = [text for text in words if re.fullmatch(r"\d+ × \d+ × \d+", text)]
    assert "256 × 12 × 12" in shapes  # 64 + 128 + 32 + 32 channels
    assert shapes[-3:] == ["832 × 3 × 3", "1024 × 3 × 3", "1024 × 1 × 1"]


@pytest.mark.parametrize("network", [GoogLeNet(), ResNet18()], ids=["googlenet", "resnet18"])
def test_no_text_leaves_its_column_or_meets_another(network: nn.Module) -> None:
    figure = draw(network, NiN(), size=96)
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    words = [(text.get_text(), text.get_window_extent()) for text in axes.texts if text.get_text()]
    assert [(a, b) for i, (a, one) in enumerate(words) for b, two in words[:i] if one.overlaps(two)] == []
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, Rectangle) and p.get_height() > 10]
    for text, extent in words:
        around = [box for box in boxes if box.contains((extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2)]
        assert all(box.x0 < extent.x0 and extent.x1 < box.x1 for box in around), text
    assert figure.bbox.padded(1).count_contains(Bbox.union([extent for _, extent in words]).corners()) == 4


def test_the_legend_takes_more_lines_where_the_figure_is_narrow() -> None:
    figure = draw(NiN())
    FigureCanvasAgg(figure).draw()
    extents = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert max(extent.x1 for extent in extents) <= figure.bbox.x1 + 1
    assert min(extent.x0 for extent in extents) >= figure.bbox.x0 - 1
