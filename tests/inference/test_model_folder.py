"""Does a model survive the disk, is what is there already safe, and is a damaged model one clear line?"""

import errno
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from inference.untrained import CONFIG, IMAGES, classifier, network
from msgspec.structs import replace
from safetensors.torch import load_file, save_file
from torch import nn

import nin
from nin.data.photos.preparation import Preparation
from nin.errors import FileError, ModelError
from nin.inference.find_model import find_model
from nin.inference.model_folder import read_folder, save_folder
from nin.networks.batch_norm import with_batch_norm
from nin.networks.nin import NiN
from nin.networks.nin_2013 import NiN2013

FILES = ["config.json", "model.safetensors"]  # of a model without a card
PLAIN_CONFIG = {
    "architecture": "nin",
    "preprocessing": {"size": 67, "mean": [0.3], "std": [0.4]},
    "image_size": 28,
    "labels": ["a", "b", "c", "d"],
    "preparation": {"kind": "garment", "fit": "pad"},
    "temperature": 1.5,
}
HOTTER = replace(CONFIG, temperature=2.0)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- Saving ---


def test_the_folder_has_the_textbooks_tensor_names_and_its_config(tmp_path: Path):
    classifier().save(tmp_path / "model")
    assert sorted(contents(tmp_path / "model")) == FILES
    tensors = load_file(tmp_path / "model" / "model.safetensors")
    assert sorted(tensors) == sorted(NiN().state_dict())
    assert all(torch.equal(tensors[name], tensor) for name, tensor in network().state_dict().items())
    assert config_of(tmp_path / "model") == PLAIN_CONFIG
    config, loaded = read_folder(tmp_path / "model")
    assert config == CONFIG
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_how_photos_are_prepared_is_kept_with_the_model(tmp_path: Path):
    config = replace(CONFIG, preparation=Preparation("photo", "crop"))
    classifier(config).save(tmp_path)
    assert config_of(tmp_path) == PLAIN_CONFIG | {"preparation": {"kind": "photo", "fit": "crop"}}
    assert nin.load(tmp_path).config == config


@pytest.mark.parametrize("name", ["fashion-mnist", "fashion-mnist-fast"])
def test_a_config_that_does_not_say_how_photos_are_prepared_is_of_garments(name: str):
    assert "preparation" not in (find_model(name) / "config.json").read_text()
    assert nin.load(name).config.preparation == Preparation("garment")


def test_half_precision_is_read_as_float32(tmp_path: Path):
    save_folder(tmp_path / "half", network(), CONFIG, half=True)
    assert (tmp_path / "half" / "model.safetensors").stat().st_size < 4.1e6
    config, loaded = read_folder(tmp_path / "half")
    assert config == CONFIG
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, network().state_dict()[name].half().float())


def test_saving_replaces_a_model_and_leaves_everything_else_in_the_folder_alone(tmp_path: Path):
    folder = tmp_path / "model"
    save_folder(folder, network(), CONFIG, card="# The first")
    (folder / "notes.txt").write_text("mine")
    (folder / ".git").mkdir()
    inode = folder.stat().st_ino
    classifier(HOTTER).save(folder)
    assert nin.load(folder).config == HOTTER
    assert sorted(path.name for path in folder.iterdir()) == [".git", *FILES, "notes.txt"], "the card was of the first"
    assert (folder / "notes.txt").read_text() == "mine"
    assert folder.stat().st_ino == inode, "a person may stand in it"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("failing", [1, 2, 3])
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_model_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, fault: BaseException
):
    folder = tmp_path / "model"
    save_folder(folder, network(), CONFIG, card="# The first")
    before, writes = contents(folder), 0

    def fail(file: int) -> None:
        nonlocal writes
        writes += 1
        if writes == failing:
            raise fault

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", fail)
        with pytest.raises((FileError, KeyboardInterrupt)) as error:
            save_folder(folder, network(), HOTTER, card="# The second")
    assert isinstance(error.value, KeyboardInterrupt) or "No space left on device; make room" in str(error.value)
    assert contents(folder) == before


def test_a_first_save_that_fails_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(FileError, match="No space left"):
        classifier().save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["README.md", "config.json", "model.safetensors"])
def test_a_file_that_is_somebody_elses_is_refused_and_left_alone(tmp_path: Path, name: str):
    (tmp_path / name).write_text('{"mine": true}')
    with pytest.raises(ModelError, match=r"^\S+ holds something other than a model .* give another folder$"):
        classifier().save(tmp_path)
    assert contents(tmp_path) == {name: b'{"mine": true}'}


def test_a_place_that_is_no_folder_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "model"):
        with pytest.raises(FileError, match=r"^cannot write \S+: (File exists|Not a directory); make room or .*$"):
            classifier().save(place)


def test_saving_through_a_link_writes_where_it_points_to(tmp_path: Path):
    classifier().save(tmp_path / "model")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    classifier(HOTTER).save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert nin.load(tmp_path / "model").config.temperature == 2.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "model"]


def test_a_model_is_saved_into_the_folder_that_one_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    classifier().save(".")
    assert nin.load(".").config == CONFIG
    assert sorted(path.name for path in Path.cwd().iterdir()) == FILES


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere refuse such names")
def test_a_model_in_a_folder_whose_name_is_no_utf_8_is_saved_and_loaded(tmp_path: Path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    classifier().save(folder)
    assert torch.equal(nin.load(folder, device="cpu", precision="float32").logits(IMAGES), classifier().logits(IMAGES))


SAVE = "import sys, nin; nin.load('fashion-mnist-fast').save(sys.argv[1])"
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.mark.slow
@pytest.mark.skipif(not ROOT or not shutil.which("setpriv"), reason="needs root, to become somebody with less rights")
def test_ones_own_folder_inside_somebody_elses_is_written(tmp_path: Path):
    theirs, mine = tmp_path / "theirs", tmp_path / "theirs" / "mine"
    mine.mkdir(parents=True)
    os.chown(theirs, 12345, 12345)
    theirs.chmod(0o755)
    without_rights = ["setpriv", "--bounding-set=-dac_override,-fowner", "--inh-caps=-all"]
    probe = [*without_rights, "touch", theirs / "probe"]
    assert subprocess.run(probe, capture_output=True, check=False).returncode != 0
    subprocess.run([*without_rights, sys.executable, "-c", SAVE, mine], check=True)
    assert sorted(path.name for path in mine.iterdir()) == FILES


@pytest.mark.slow
@pytest.mark.skipif(not ROOT or not shutil.which("unshare"), reason="needs root, to mount a volume")
def test_an_empty_mounted_volume_is_written(tmp_path: Path):
    program = 'mount -t tmpfs -o size=64m none "$1" || exit 77; "$2" -c "$3" "$1" && [ -f "$1/model.safetensors" ]'
    command = ["unshare", "-m", "bash", "-c", program, "bash", tmp_path, sys.executable, SAVE]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode == 77 or "unshare" in answer.stderr:
        pytest.skip("this machine lets nobody mount")
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    "other",
    [NiN(1, 4, final_relu=False), NiN(1, 4, "avg"), NiN(3, 4), with_batch_norm(NiN(1, 4))],
    ids=["without its last ReLU", "average pool", "colour", "batch norm"],
)
def test_a_network_that_would_be_read_as_another_is_not_saved(other: nn.Module, tmp_path: Path):
    with pytest.raises(ModelError, match="is not the nin of its config"):
        classifier(made=other).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_of_nin_2013_too_only_the_plain_network_is_saved(tmp_path: Path):
    config = replace(CONFIG, architecture="nin-2013", preprocessing=replace(CONFIG.preprocessing, size=28))
    plain = NiN2013(1, 4)
    with_relu = NiN2013(1, 4)
    with_relu.n3.append(nn.ReLU())
    for other in (with_batch_norm(plain), with_relu, NiN(1, 4)):
        with pytest.raises(ModelError, match="is not the nin-2013 of its config") as caught:
            classifier(config, other).save(tmp_path / "model")
        assert "NiN" not in str(caught.value), "it says nothing of another network"
    classifier(config, plain).save(tmp_path / "model")
    read, loaded = read_folder(tmp_path / "model")
    assert read == config
    assert repr(loaded.eval()) == repr(plain)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


# --- Loading ---


def test_a_loaded_model_does_not_change_with_its_file(tmp_path: Path):
    classifier().save(tmp_path / "model")
    loaded = nin.load(tmp_path / "model", precision="float32")
    before = loaded.logits(IMAGES)
    path = tmp_path / "model" / "model.safetensors"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\x00" * (path.stat().st_size // 2))
    assert torch.equal(loaded.logits(IMAGES), before)


# Written by version 0.1.
OLD_CONFIG = """
{
  "architecture": "nin",
  "in_channels": 1,
  "classes": 4,
  "size": 67,
  "side": 28,
  "mean": [
    0.3
  ],
  "std": [
    0.4
  ],
  "labels": [
    "a",
    "b",
    "c",
    "d"
  ],
  "temperature": 1.5
}
"""


def test_a_model_of_version_0_1_still_loads_and_is_replaced_by_one_of_this(tmp_path: Path):
    classifier().save(tmp_path)
    (tmp_path / "config.json").write_text(OLD_CONFIG)
    loaded = nin.load(tmp_path, precision="float32")
    assert loaded.config == CONFIG
    loaded.save(tmp_path)
    assert config_of(tmp_path) == PLAIN_CONFIG


def config_of(folder: Path) -> dict[str, object]:
    """Return what config.json says, but for the hash of the weights, which must be right."""
    config = json.loads((folder / "config.json").read_text())
    assert config.pop("weights_sha256") == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return config


@pytest.mark.parametrize("name", ["model.safetensors", "README.md"])
def test_a_save_killed_between_two_files_is_noticed_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    classifier().save(tmp_path / "model")
    other = classifier(replace(CONFIG, temperature=2.0))
    with torch.no_grad():
        next(other.network.parameters()).mul_(2)
    rename = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if target.name == name:
            raise KeyboardInterrupt
        return rename(path, target)

    for folder in ("model", "new"):
        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                save_folder(tmp_path / folder, other.network, other.config, card="about it")
        if name == "model.safetensors":
            with pytest.raises(ModelError, match=r"same save|cannot read"):
                nin.load(tmp_path / folder)
        other.save(tmp_path / folder)
        assert nin.load(tmp_path / folder).config.temperature == 2.0


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def reconfigure(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    for name in changes.keys() & config["preprocessing"].keys():
        config["preprocessing"][name] = changes.pop(name)
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
        (lambda f: (f / "config.json").write_bytes(b" " * (2**24 + 1)), "16,777,217 bytes, too many"),
        (lambda f: reconfigure(f, architecture="resnet"), "resnet"),
        (lambda f: reconfigure(f, labels="ten"), "labels"),
        (lambda f: reconfigure(f, labels=["a", "b", "c"]), "needs floats of"),
        (lambda f: reconfigure(f, labels=[]), "from 1 to 100,000 labels"),
        (lambda f: reconfigure(f, labels=list(map(str, range(100_001)))), "from 1 to 100,000 labels"),
        (lambda f: reconfigure(f, mean=[1e999]), "not JSON|finite|number"),
        (lambda f: reconfigure(f, mean=[0.1, 0.2]), "a value for each channel"),
        (lambda f: reconfigure(f, preparation="garment"), "preparation"),
        (lambda f: reconfigure(f, preparation={"kind": "shirt"}), "shirt"),
        (lambda f: reconfigure(f, preparation={"kind": "photo", "fit": "zoom"}), "zoom"),
        (lambda f: reconfigure(f, preparation={"kind": "photo", "zoom": 2}), "zoom"),
        (lambda f: reconfigure(f, temperature=0), "temperature"),
        (lambda f: reconfigure(f, size=10**6), "config.json .* size must be from"),
        (lambda f: reconfigure(f, image_size=0), "image_size must be from"),
        (lambda f: reconfigure(f, size=30), "from 67x67 .*not 30x30"),
        (lambda f: reconfigure(f, labels=["a", "b\x1b[31m", "c", "d"]), "no text"),
        (lambda f: reconfigure(f, labels=["a", "a", "b", "c"]), "same"),
        (lambda f: reconfigure(f, surprise=1), "surprise"),
        (lambda f: reconfigure(f, mean=[0, 0, 0], std=[1, 1, 1]), r"n1\.0\.weight is F32 of"),
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
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match="pip install"):
        nin.load("someone/nin-fashion-mnist")
