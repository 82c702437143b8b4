"""Can a network that is not ours be trained, kept, loaded and trained again, as ours can?"""

from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from runs.small import RECIPE, blank_figures, tiny_splits, weights

import nin
from nin.choices import Format
from nin.errors import ModelError, OptionError
from nin.inference.export import SUFFIXES, export
from nin.networks import imported
from nin.networks.batch_norm import has_batch_norm
from nin.networks.imported import import_network
from nin.networks.registry import build_network
from nin.networks.summary import parameter_count
from nin.runs.figures import structure_figure
from nin.training.events import Event, Step
from nin.training.plan_file import read_plan

NETS = """
import torch
from torch import nn

def lazy(in_channels, num_classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))

def other_size(in_channels, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 32**2, num_classes))

def normed(in_channels, num_classes):
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(in_channels, 8, 5, stride=2), nn.BatchNorm2d(8)), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, num_classes),
    )

def unnormed(in_channels, num_classes, dropout=0.5):
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
        nn.Dropout(dropout), nn.Linear(128, num_classes),
    )

class Buffered(nn.Module):
    # buffers of other types, not finite, and that no file keeps; keywords; lists of tensors

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 8, 5, stride=2)
        self.cat = Cat()
        self.dense = nn.Linear(16, num_classes)
        self.register_buffer("mask", torch.tensor([True, False] * 8))
        self.register_buffer("low", torch.full((1,), -torch.inf))
        self.register_buffer("scale", torch.full((1,), 2.0), persistent=False)

    def forward(self, images):
        means = self.conv(input=images).relu().mean(dim=(2, 3))
        both = self.cat([means, self.scale * means])
        return self.dense(both.masked_fill(self.mask, 0.0).maximum(self.low))

class Cat(nn.Module):
    def forward(self, tensors):
        return torch.cat(tensors, dim=1)

class Shared(nn.Module):
    # layers that share one; a number that is computed while it is built; an activation that is kept

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.first = nn.Conv2d(in_channels, 8, 5, stride=2)
        self.blocks = nn.ModuleList([nn.Conv2d(8, 8, 1)] * 2)
        self.dense = self.again = nn.Linear(8, 8)
        self.tied = nn.Linear(8, 8)
        self.tied.weight = self.dense.weight
        self.scales = [scale.item() for scale in torch.linspace(1, 2, 2)]
        self.head = nn.Linear(8, num_classes)

    def forward(self, images):
        self.kept = self.first(images).relu()
        x = self.kept
        for block, scale in zip(self.blocks, self.scales):
            x = x + scale * block(x).tanh()
        x = x.mean(dim=(2, 3))
        for dense in (self.dense, self.again, self.tied):
            x = dense(x).tanh()
        return self.head(x)

def frozen(in_channels, num_classes):
    network = unnormed(in_channels, num_classes)
    nn.init.constant_(network[0].weight, 0.5)
    network[0].requires_grad_(False)
    return network

class Deciding(nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.dense = nn.Linear(in_channels * 28**2, num_classes)

    def forward(self, images):
        x = images.flatten(1)
        return self.dense(x if x.is_meta or x.sum() > 0 else -x)

def maps(in_channels, num_classes):
    return nn.Conv2d(in_channels, num_classes, 3)
"""


@pytest.fixture(autouse=True)
def module(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a module `my_nets` on the path, and forget afterwards what was imported; runs leave blank figures."""
    folder = tmp_path_factory.mktemp("nets")
    (folder / "my_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(folder)
    imported.IMPORTED.clear()
    monkeypatch.setattr("nin.runs.run.run_figures", blank_figures)


@pytest.mark.parametrize("name", ["my_nets:normed", "my_nets:unnormed", "my_nets:Buffered", "my_nets:Shared"])
def test_a_model_of_it_gives_in_another_process_what_it_gave_here(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    splits = tiny_splits()
    result = nin.train(splits, network=name, recipe="quick", epochs=6.0, run=tmp_path / "run")
    assert has_batch_norm(result.classifier.network) == (name == "my_nets:normed")
    assert result.parameters == parameter_count(build_network(name, 1, 4, 28))
    expected = result.classifier.logits(splits.test.images)
    imported.IMPORTED.clear()  # as in another process
    with pytest.raises(ModelError, match=f"{name} is not a network of this package"):
        nin.load(result.folder / "model")
    found = nin.load(result.folder / "model", network=name, precision="float32").logits(splits.test.images)
    assert torch.equal(found, expected)


def test_its_plan_is_trained_again_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    splits, recipe = tiny_splits(), replace(RECIPE, epochs=0.5)
    run = nin.train(splits, recipe=recipe, network="my_nets:normed", run=tmp_path / "run").folder
    plan = run / "plan.json"
    imported.IMPORTED.clear()
    with pytest.raises(OptionError, match="my_nets:normed is not a network of this package"):
        nin.train(splits, plan=plan, run=tmp_path / "refused")
    again = nin.train(splits, plan=plan, network="my_nets:normed", run=tmp_path / "again")
    assert weights(again.folder) == weights(run)
    with pytest.raises(OptionError, match="is my_nets:normed, not my_nets:unnormed"):
        nin.train(splits, plan=plan, network="my_nets:unnormed", run=tmp_path / "other")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my_nets:maps", r"must give 4 logits for each of its images .* and gives values of shape \(4, 26, 26\)"),
        ("my_nets:lazy", "my_nets:lazy has lazy layers, whose shapes are not known yet"),
        ("my_nets:other_size", "the network my_nets:other_size cannot take images of 1 channels and 28x28 pixels"),
        ("my_nets:missing", "cannot import the network my_nets:missing"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_a_folder_is_made(name: str, said: str, tmp_path: Path):
    with pytest.raises(OptionError, match=said) as caught:
        nin.train(tiny_splits(), network=name, epochs=1.0, run=tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_frozen_layers_stay_as_they_came(tmp_path: Path):
    result = nin.train(tiny_splits(), network="my_nets:frozen", epochs=1.0, run=tmp_path / "run")
    weights = result.classifier.network.state_dict()
    assert weights["0.weight"].eq(0.5).all()
    assert weights["5.weight"].std() > 0


def test_a_model_of_one_that_keeps_activations_is_saved_when_the_training_is_stopped(tmp_path: Path):
    def stop(event: Event) -> None:
        if isinstance(event, Step) and event.step == 2:
            raise KeyboardInterrupt

    splits = tiny_splits()
    result = nin.train(splits, network="my_nets:Shared", epochs=4.0, run=tmp_path / "run", on_event=stop)
    assert result.ended == "interrupted"
    found = nin.load(tmp_path / "run" / "model", network="my_nets:Shared", precision="float32")
    assert torch.equal(found.logits(splits.test.images), result.classifier.logits(splits.test.images))


@pytest.mark.parametrize("file_format", ["onnx", "torch"])
def test_one_that_cannot_be_traced_is_one_line(tmp_path: Path, file_format: Format):
    splits = tiny_splits()
    result = nin.train(splits, network="my_nets:Deciding", epochs=0.5, run=tmp_path / "run")
    with pytest.raises(ModelError, match="the network my_nets:Deciding cannot be exported") as caught:
        export(result.classifier, tmp_path / f"file{SUFFIXES[file_format]}", splits.test.images, format=file_format)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("file*"))


# --- Changes of a recipe ---


def test_changes_reach_the_plan_after_the_recipe_was_fitted_to_the_images(tmp_path: Path):
    changes = {"dropout": 0.25, "batch_size": 64, "shift": 7, "size": 99, "batch_norm": False}
    result = nin.train(tiny_splits(), epochs=0.5, changes=changes, run=tmp_path / "run")
    recipe = read_plan(result.folder / "plan.json").recipe
    assert {name: getattr(recipe, name) for name in changes} == changes
    assert result.classifier.config.preprocessing.size == 99


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dropuot": 0.5}, "a recipe has no field 'dropuot' to change: it has size, max_epochs,"),
        ({"dropout": 2}, "dropout must be from 0 to 0.9999, not 2"),
        ({"dropout": "much"}, "dropout has the wrong type or value"),
        ({"network": "vgg"}, "a recipe has no field 'network' to change"),
    ],
)
def test_changes_that_no_recipe_can_have_are_refused_at_once(changes: dict[str, object], said: str, tmp_path: Path):
    with pytest.raises(OptionError, match=said):
        nin.train("/nowhere", epochs=1.0, changes=changes, run=tmp_path / "run")


def test_the_figure_of_a_network_that_takes_one_size_only_is_drawn_at_it(tmp_path: Path):
    import_network("my_nets:other_size")
    words = [text.get_text() for text in structure_figure("my_nets:other_size", 1, 4, 32).axes[0].texts]
    assert "1024" in words


def test_a_model_is_not_loaded_as_another_network(tmp_path: Path):
    with pytest.raises(OptionError, match="the network of fashion-mnist-fast is nin, not my_nets:normed"):
        nin.load("fashion-mnist-fast", network="my_nets:normed")
