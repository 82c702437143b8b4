"""Does `nin export` write a model, or say in one line why not?"""

import sys
from pathlib import Path

import pytest
from app.program import Nin, start
from data.idx_files import any_idx, write_files

from nin.data.sources.fashion_mnist import fashion_mnist


def test_what_cannot_be_exported_is_one_line(nin: Nin, tmp_path: Path):
    (tmp_path / "there.onnx").write_bytes(b"mine")
    for arguments, said in (
        (("nowhere", tmp_path / "a.onnx"), "there is no model 'nowhere'"),
        (("fashion-mnist", tmp_path / "there.onnx"), "FILE must be a new file that ends in .onnx"),
        (("fashion-mnist", tmp_path / "a.pt2"), "FILE must be a new file that ends in .onnx"),
        (("fashion-mnist", tmp_path / "a.pt2", "--format", "torch", "--int8"), "--int8 is for ONNX files"),
    ):
        answer = nin("export", *arguments)
        assert answer.returncode == 2
        assert said in answer.stderr
        assert answer.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]
    assert (tmp_path / "there.onnx").read_bytes() == b"mine"


def test_a_missing_package_is_named_before_images_are_read(nin: Nin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    answer = nin("export", "fashion-mnist-fast", tmp_path / "a.onnx", "--data", tmp_path / "nowhere")
    said = "nin: export to ONNX needs the package onnxscript: pip install 'network-in-network[onnx]'\n"
    assert answer == (2, "", said)


@pytest.mark.slow
def test_a_model_of_the_package_is_exported_to_int8_and_says_its_figures(fashion_mnist_folder: str, tmp_path: Path):
    splits = fashion_mnist(fashion_mnist_folder)
    contents: dict[str, bytes] = {}
    for prefix, images in (("train", splits.train.first(600)), ("t10k", splits.test.first(1000))):
        contents[f"{prefix}-images-idx3-ubyte"] = any_idx(images.images.squeeze(1).numpy())
        contents[f"{prefix}-labels-idx1-ubyte"] = any_idx(images.labels.numpy().astype("uint8"))
    folder = write_files(tmp_path / "some", contents, suffix="")
    (folder / "classes.txt").write_text("\n".join(splits.train.names))
    answer = start("export", "fashion-mnist-fast", tmp_path / "a.onnx", "--int8", "--data", folder)
    if answer.returncode:  # on a machine where it does not pay
        assert answer.stderr.startswith("nin: int8 is not faster on this machine: int8: accuracy 0.9")
        assert not (tmp_path / "a.onnx").exists()
        return
    assert "the float32 file gave the same labels on all 1,000 test images of" in answer.stdout
    assert (tmp_path / "a.onnx").stat().st_size < 3e6
