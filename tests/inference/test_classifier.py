"""Does a classifier answer as the network that was trained, whatever it is given, and does it survive the disk?"""

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import nin
from nin import runs
from nin.classifier import Classifier
from nin.errors import ModelError, NinError, PictureError
from nin.folding import fold, lift, with_batch_norm
from nin.initialisation import initialise
from nin.model_folder import Config, architecture, read_folder, save_folder
from nin.network import NiN
from nin.preprocessing import prepare

LABELS = ("a", "b", "c", "d")
CONFIG = Config("nin", 1, 4, 67, 28, (0.3,), (0.4,), LABELS, temperature=1.5)
CPU = torch.device("cpu")
IMAGES = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def network(classes: int = 4, in_channels: int = 1) -> NiN:
    torch.manual_seed(0)
    made = NiN(in_channels, classes)
    initialise(made, "he")
    return made.eval()


def classifier(config: Config = CONFIG) -> Classifier:
    return Classifier(network(config.classes, config.in_channels), config, device=CPU, precision="float32")


def test_probabilities_are_the_softmax_of_the_networks_scores_over_the_temperature():
    with torch.inference_mode():
        scores = network()(prepare(IMAGES, 67, CONFIG.mean, CONFIG.std))
    made = classifier()
    assert torch.allclose(made.scores(IMAGES), scores, atol=1e-5)
    assert torch.allclose(made.probabilities(IMAGES), (scores / 1.5).softmax(1), atol=1e-5)
    found = made.predict(IMAGES)
    assert [one.label for one in found] == [LABELS[i] for i in scores.argmax(1)]
    assert all(one.probability == max(one.probabilities.values()) == one.probabilities[one.label] for one in found)
    assert list(found[0].probabilities) == list(LABELS)
    assert made.labels == LABELS


@pytest.mark.parametrize("size", [67, 131])
def test_the_trained_twin_and_the_loaded_classifier_say_the_same_and_the_pooled_maps_are_the_scores(
    size: int, tmp_path: Path
):
    torch.manual_seed(1)
    start = NiN(1, 4, final_relu=False)
    initialise(start, "he")
    twin = with_batch_norm(start)
    for _ in range(5):  # norms that have seen pictures
        twin(prepare(IMAGES, size, CONFIG.mean, CONFIG.std))
    twin.eval()
    with torch.inference_mode():
        trained = twin(prepare(IMAGES, size, CONFIG.mean, CONFIG.std))
    folded = fold(twin)
    assert isinstance(folded, NiN)
    config = replace(CONFIG, size=size)
    Classifier(lift(folded, trained.min().item()), config).save(tmp_path / "model")

    loaded = nin.load(tmp_path / "model", device="cpu", precision="float32")
    assert torch.allclose(loaded.probabilities(IMAGES), (trained / 1.5).softmax(1), atol=1e-5)
    maps = loaded.class_maps(IMAGES)
    assert maps.shape == (5, 4, (size - 35) // 32, (size - 35) // 32)
    assert torch.equal(maps.amax((2, 3)), loaded.scores(IMAGES))


def test_whatever_way_the_pictures_are_given_they_are_the_same():
    made = classifier()
    expected = made.scores(IMAGES)
    framed = IMAGES.clone()  # dark at the border, so that nothing is negated
    framed[..., [0, -1], :] = framed[..., [0, -1]] = 0
    as_pil = [Image.fromarray(image[0].numpy()) for image in framed]
    assert torch.allclose(made.scores(as_pil), made.scores(framed), atol=1e-5)
    for given in (
        IMAGES.numpy(),
        IMAGES[:, 0],
        IMAGES.float() / 255,
        IMAGES.double().numpy() / 255,
        list(IMAGES),
        IMAGES.numpy()[..., ::-1].copy()[..., ::-1],
        (IMAGES.float() / 255).numpy().astype(">f4"),
        [image[0].numpy() for image in IMAGES],
        [IMAGES[:2], [IMAGES[2].numpy(), IMAGES[3:]]],
    ):
        assert torch.allclose(made.scores(given), expected, atol=1e-5)
    assert torch.allclose(made.scores(IMAGES[0, 0]), expected[:1], atol=1e-5)


def test_a_list_of_sizes_and_kinds_keeps_its_order(tmp_path: Path):
    Image.fromarray(IMAGES[1, 0].numpy()).resize((90, 40)).save(tmp_path / "one.png")
    given = [IMAGES[0], tmp_path / "one.png", torch.zeros(3, 1, 40, 50, dtype=torch.uint8), str(tmp_path / "one.png")]
    made = classifier()
    found = made.scores(given)
    assert found.shape == (6, 4)
    assert torch.allclose(found[0], made.scores(IMAGES[0])[0], atol=1e-5)
    assert torch.allclose(found[1], found[5], atol=1e-5)


def test_many_pictures_keep_their_order_over_the_batches():
    made = classifier()
    many = torch.randint(0, 256, (1, 1, 67, 67), dtype=torch.uint8).repeat(40, 1, 1, 1)
    many[:, 0, 0, 0] = torch.arange(40)
    given = [*IMAGES, many[:7], IMAGES, many[7:], *IMAGES]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("nin.classifier.at_once", lambda size: 6)
        found = made.scores(given)
    assert torch.allclose(found, made.scores(given), atol=1e-5)
    assert torch.allclose(found[12:17], made.scores(IMAGES), atol=1e-5)
    assert torch.allclose(found[5:12], made.scores(many[:7]), atol=1e-5)


def test_colour_pictures_have_three_channels():
    made = classifier(replace(CONFIG, in_channels=3, mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0)))
    assert made.scores(torch.zeros(3, 30, 30, dtype=torch.uint8)).shape == (1, 4)
    assert made.scores(Image.new("RGB", (60, 40), "red")).shape == (1, 4)
    with pytest.raises(NinError, match=r"images, 3, height, width.*not \(2, 1, 8, 8\)"):
        made.scores(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(2, 3, 28, 28, dtype=torch.uint8), r"\(images, 1, height, width\), not \(2, 3, 28, 28\)"),
        (torch.zeros(28, dtype=torch.uint8), "shape"),
        (torch.zeros(0, 1, 28, 28, dtype=torch.uint8), "shape"),
        (torch.zeros(1, 1, 28, 28, dtype=torch.int64), "uint8, or floats from 0 to 1, not int64"),
        (torch.full((1, 1, 28, 28), 2.0), "from 0 to 1, not from 2 to 2"),
        (torch.full((1, 1, 28, 28), float("nan")), "from 0 to 1"),
        (np.zeros((50, 40, 3), dtype=np.uint8), "may be one colour picture"),
        (torch.zeros(3, 50, 40, dtype=torch.uint8), "may be one colour picture"),
        (np.array([["a", "b"]]), "no picture"),
        (np.array([None]), "no picture"),
        ([7], "not int"),
        ([], "no picture was given"),
    ],
)
def test_what_is_no_picture_is_one_clear_line(given: object, message: str):
    with pytest.raises(NinError, match=message) as error:
        classifier().predict(given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [{"mean": (1e300,)}, {"std": (1e-320,)}, {"temperature": 1e-300}])
def test_scores_that_are_no_numbers_are_an_error_and_no_prediction(change: dict[str, object]):
    with pytest.raises(ModelError, match="not finite"):
        classifier(replace(CONFIG, **change)).predict(IMAGES)


def test_a_path_that_is_no_picture_says_so(tmp_path: Path):
    with pytest.raises(PictureError, match=r"missing\.png"):
        classifier().predict(tmp_path / "missing.png")


def test_dense_networks_have_no_class_maps():
    config = replace(CONFIG, architecture="alexnet")
    made = Classifier(architecture("alexnet", 1, 4, 67), config, device=CPU)
    assert made.scores(IMAGES).shape == (5, 4)
    with pytest.raises(NinError, match="alexnet has no class maps"):
        made.class_maps(IMAGES)


# ---------------------------------------------------------------------------------------------------------------------
# The folder


def test_the_folder_has_the_seeds_tensor_names_and_its_config(tmp_path: Path):
    classifier().save(tmp_path / "model")
    tensors = load_file(tmp_path / "model" / "model.safetensors")
    assert sorted(tensors) == sorted(NiN().state_dict())
    assert all(torch.equal(tensors[name], tensor) for name, tensor in network().state_dict().items())
    assert json.loads((tmp_path / "model" / "config.json").read_text()) == json.loads(json.dumps(asdict(CONFIG)))


def test_half_precision_is_read_as_float32(tmp_path: Path):
    save_folder(tmp_path / "half", network(), CONFIG, half=True)
    assert (tmp_path / "half" / "model.safetensors").stat().st_size < 4.1e6
    config, loaded = read_folder(tmp_path / "half")
    assert config == CONFIG
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, network().state_dict()[name].half().float())


def test_saving_replaces_a_model_whole_and_touches_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "model"
    classifier().save(folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def full(path: Path, content: bytes) -> None:
        raise runs.RunError("no space")

    with monkeypatch.context() as broken:
        broken.setattr("nin.model_folder.write", full)
        with pytest.raises(NinError, match="no space"):
            classifier(replace(CONFIG, temperature=2.0)).save(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    classifier(replace(CONFIG, temperature=2.0)).save(folder)
    assert nin.load(folder).config.temperature == 2.0
    assert [path.name for path in tmp_path.iterdir()] == ["model"]

    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="something else"):
        classifier().save(folder)
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_folder_of_somebody_elses_readme_is_left_alone(tmp_path: Path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ModelError, match="something else"):
        classifier().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, PermissionError(13, "Permission denied")])
def test_a_save_stopped_between_its_two_renames_loses_nothing(
    raised: type[KeyboardInterrupt] | OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    classifier().save(tmp_path / "model")
    rename = Path.rename

    def stopped(path: Path, target: Path) -> Path:
        if path.name.startswith(".model.new"):
            raise raised
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", stopped)
        with pytest.raises((KeyboardInterrupt, ModelError)):
            classifier(replace(CONFIG, temperature=2.0)).save(tmp_path / "model")
    assert nin.load(tmp_path / "model").config == CONFIG
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_saving_through_a_link_replaces_what_it_points_to(tmp_path: Path):
    classifier().save(tmp_path / "model")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    classifier(replace(CONFIG, temperature=2.0)).save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert nin.load(tmp_path / "model").config.temperature == 2.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "model"]


@pytest.mark.parametrize(
    "other",
    [
        NiN(1, 4, final_relu=False),
        NiN(1, 4, pool="average"),
        NiN(3, 4),
        with_batch_norm(NiN(1, 4)),
    ],
)
def test_a_network_that_would_be_read_as_another_is_not_saved(other: nn.Module, tmp_path: Path):
    with pytest.raises(ModelError, match="is not the nin of its config"):
        Classifier(other, CONFIG).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_loaded_model_does_not_change_with_its_file(tmp_path: Path):
    classifier().save(tmp_path / "model")
    loaded = nin.load(tmp_path / "model", precision="float32")
    before = loaded.scores(IMAGES)
    path = tmp_path / "model" / "model.safetensors"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\x00" * (path.stat().st_size // 2))
    assert torch.equal(loaded.scores(IMAGES), before)


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def reconfigure(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def cut(folder: Path, name: str, bytes_left: int) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:bytes_left])


def hostile(folder: Path, header: bytes, length: int | None = None) -> None:
    size = struct.pack("<Q", len(header) if length is None else length)
    (folder / "model.safetensors").write_bytes(size + header)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"cannot read .*config\.json"),
        (lambda f: (f / "model.safetensors").unlink(), r"cannot read .*model\.safetensors"),
        (lambda f: (f / "config.json").write_text("{"), "not JSON"),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "not JSON"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "not JSON"),
        (lambda f: (f / "config.json").write_text("[1]"), "not of a model"),
        (lambda f: reconfigure(f, architecture="resnet"), "resnet"),
        (lambda f: reconfigure(f, classes="ten"), "classes"),
        (lambda f: reconfigure(f, classes=10), "4 labels for 10 classes"),
        (lambda f: reconfigure(f, classes=10**9, labels=["a"]), "classes are from"),
        (lambda f: reconfigure(f, mean=[1e999]), "finite"),
        (lambda f: reconfigure(f, temperature=0), "temperature"),
        (lambda f: reconfigure(f, size=10**6), "size is from"),
        (lambda f: reconfigure(f, size=30), "at least 67x67, not 30x30"),
        (lambda f: reconfigure(f, labels=["a", "b\x1b[31m", "c", "d"]), "cannot be printed"),
        (lambda f: reconfigure(f, labels=["a", "a", "b", "c"]), "same"),
        (lambda f: reconfigure(f, surprise=1), "surprise"),
        (lambda f: reconfigure(f, in_channels=3, mean=[0, 0, 0], std=[1, 1, 1]), r"n1\.0\.weight is F32 of"),
        (lambda f: rewrite(f, lambda t: t.pop("n2.0.bias")), r"lacks the tensor 'n2\.0\.bias'"),
        (lambda f: rewrite(f, lambda t: t.update(more=torch.ones(1))), "a tensor too many, 'more'"),
        (lambda f: rewrite(f, lambda t: t.update({"n2.0.bias": torch.ones(3)})), r"n2\.0\.bias is F32 of \(3,\)"),
        (
            lambda f: rewrite(f, lambda t: t.update({"n2.0.bias": torch.ones(256, dtype=torch.int64)})),
            r"n2\.0\.bias is I64",
        ),
        (lambda f: rewrite(f, lambda t: t["n2.0.bias"].fill_(float("nan"))), "not finite"),
        (lambda f: cut(f, "model.safetensors", 100_000), "cannot read"),
        (lambda f: cut(f, "model.safetensors", 3), "cannot read"),
        (lambda f: cut(f, "model.safetensors", 0), "cannot read"),
        (lambda f: hostile(f, b"{}", length=2**63), "cannot read"),
        (lambda f: hostile(f, b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 99]}}'), "cannot read"),
        (lambda f: hostile(f, b"{}"), "lacks the tensor"),
    ],
)  # fmt: skip
def test_a_damaged_foreign_or_hostile_model_is_one_clear_line(
    change: Callable[[Path], object], message: str, tmp_path: Path
):
    folder = tmp_path / "model"
    classifier().save(folder)
    change(folder)
    with pytest.raises(ModelError, match=message) as error:
        nin.load(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


def test_a_pickle_under_the_name_of_safetensors_is_not_executed(tmp_path: Path):
    classifier().save(tmp_path)
    torch.save({"n1": nn.Linear(1, 1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="cannot read"):
        nin.load(tmp_path)


def test_a_model_that_is_nowhere_and_a_run_in_place_of_its_model_are_said(tmp_path: Path):
    with pytest.raises(ModelError, match=r"there is no model 'nowhere'.*fashion-mnist"):
        nin.load("nowhere")
    with pytest.raises(ModelError, match="there is no model"):
        nin.load("x" * 5000)
    classifier().save(tmp_path / "run" / "model")
    with pytest.raises(ModelError, match=r"give .*run/model"):
        nin.load(tmp_path / "run")


def test_a_hubs_model_needs_the_hubs_library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match="pip install"):
        nin.load("someone/nin-fashion-mnist")
