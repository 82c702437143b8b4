"""Does a model card hold the figures of its own run, in a form that the hub reads?"""

import importlib

import pytest
import yaml
from msgspec.structs import replace
from torch import nn

from nin.choices import MODELS
from nin.data.preprocessing import Preprocessing
from nin.inference.find_model import find_model
from nin.inference.model_card import model_card
from nin.inference.model_folder import Config
from nin.networks.imported import IMPORTED
from nin.networks.registry import NETWORKS

CONFIG = Config("nin", Preprocessing(67, (0.3,), (0.4,)), 28, ("shirt", "shoe"), temperature=1.25)
RESULT = {
    "parameters": 1_992_166,
    "evaluated": "test",
    "test_images": 10_000,
    "test_accuracy": 0.9412,
    "test_accuracy_low": 0.9364,
    "test_accuracy_high": 0.9457,
    "test_balanced_accuracy": 0.9021,
    "test_loss": 0.1834,
    "calibration_error": 0.0123,
    "seconds": 3000.0,
}
ENVIRONMENT = {
    "command": "nin train --recipe long", "nin": "0.1.0", "torch": "2.13.0", "processor": "a processor", "threads": 2,
    "started": "2026-11-22T10:00:00+00:00",
    "data": {
        "name": "Fashion-MNIST", "images": {"train": 55_000, "validation": 5000, "test": 10_000}, "width": 28,
        "height": 30, "preparation": "made light on dark",
    },
}  # fmt: skip


def test_the_card_says_what_was_measured_and_how():
    page = model_card(CONFIG, RESULT, ENVIRONMENT, load="fashion-mnist", notes=["Over three seeds.", "From one run."])
    for said in (
        "0.9412", "0.9364 to 0.9457", "10,000 images", "1.250", "0.0123", "1,992,166", "shirt, shoe", "67x67",
        'nin.load("fashion-mnist")', "Over three seeds.\n\nFrom one run.", "nin train --recipe long", "50.0 minutes",
        "| balanced test accuracy | 0.9021", "On Fashion-MNIST:", "grey images of 28x30 pixels",
        "photos, which are made light on dark", "55,000 images, with 5,000 for validation",
        "No choice was made by the test images",
    ):  # fmt: skip
        assert said in page
    assert "None" not in page


def test_without_test_images_the_card_gives_the_figures_of_the_validation_images_and_says_that_they_flatter():
    result = {name.replace("test", "validation"): value for name, value in RESULT.items()} | {"evaluated": "validation"}
    result |= {name: None for name in RESULT if name.startswith("test")}
    page = model_card(CONFIG, result, ENVIRONMENT)
    for said in (
        "| validation accuracy | 0.9412, 95 % interval 0.9364 to 0.9457 on 10,000 images",
        "| balanced validation accuracy | 0.9021", "There were no test images", "flatter",
        "than the validation images do",
    ):  # fmt: skip
        assert said in page
    assert "None" not in page
    assert "test accuracy" not in page


def test_images_of_the_networks_own_size_are_not_resized_and_one_thread_is_one():
    data = ENVIRONMENT["data"] | {"width": 32, "height": 32}
    config = replace(CONFIG, preprocessing=Preprocessing(32, (0.3,), (0.4,)))
    page = model_card(config, RESULT, ENVIRONMENT | {"data": data, "threads": 1})
    assert "images of 32x32 pixels like those it was trained on,\nor photos, which are made light on dark.\n" in page
    assert "resized to" not in page
    assert ", 1 thread, 50.0 minutes" in page


def test_a_long_list_of_classes_is_cut():
    page = model_card(replace(CONFIG, labels=tuple(f"class {number}" for number in range(1000))), RESULT, ENVIRONMENT)
    assert "class 48, class 49 and 950 more, which `config.json` has." in page
    assert "class 50" not in page


def test_its_head_is_what_the_hub_reads():
    _, head, _ = model_card(CONFIG, RESULT, ENVIRONMENT).split("---\n", 2)
    assert yaml.safe_load(head)["pipeline_tag"] == "image-classification"


def test_a_missing_figure_is_an_error_and_no_blank():
    with pytest.raises(Exception, match="test_loss"):
        model_card(CONFIG, {key: value for key, value in RESULT.items() if key != "test_loss"}, ENVIRONMENT)


def test_a_network_of_dense_layers_is_not_called_a_network_in_network():
    page = model_card(replace(CONFIG, architecture="alexnet"), RESULT, ENVIRONMENT)
    assert "The textbook's AlexNet, 1,992,166 parameters." in page
    assert "class map" not in page


@pytest.mark.parametrize(
    ("network", "pool", "home"),
    [("nin", "largest value", "nin.networks.nin.NiN"), ("nin-2013", "mean", "nin.networks.nin_2013.NiN2013")],
)
def test_the_card_says_how_the_class_maps_make_the_logits_and_whose_names_the_tensors_have(
    network: str, pool: str, home: str
):
    page = model_card(replace(CONFIG, architecture=network), RESULT, ENVIRONMENT)
    assert f"one class map for each class, whose {pool} is the class's logit." in page
    assert f"Tensor names are those of `{home}`." in page
    module, _, name = home.rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), name), nn.Module)


def test_the_commands_for_a_network_of_ones_own_work_and_names_of_classes_are_text(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(IMPORTED, "my_nets:make", NETWORKS["lenet"])
    config = replace(CONFIG, architecture="my_nets:make", labels=("__background__", "<b>bold</b>"))
    page = model_card(config, RESULT, ENVIRONMENT, load="my runs/model")
    assert "The network `my_nets:make`, 1,992,166 parameters." in page
    assert 'nin.load("my runs/model", network="my_nets:make")' in page
    assert "`nin evaluate DATA --model 'my runs/model' --network my_nets:make`" in page
    assert r"Its classes: \_\_background\_\_, \<b\>bold\</b\>. It" in page


def test_the_cards_of_the_package_are_of_their_models():
    for name, size in (("fashion-mnist", 131), ("fashion-mnist-fast", 67)):
        page = (find_model(name) / "README.md").read_text(encoding="utf-8")
        assert f'nin.load("{name}")' in page
        assert f"resized to {size}x{size}" in page
        assert "pictures" not in page
    for name, size in (("fashion-mnist-maps", 28), ("cifar10", 32)):
        page = (find_model(name) / "README.md").read_text(encoding="utf-8")
        assert f'nin.load("{name}")' in page
        assert f"images of {size}x{size} pixels" in page
        assert "resized to" not in page
    assert sorted(MODELS) == sorted(folder.name for folder in find_model("cifar10").parent.iterdir())
