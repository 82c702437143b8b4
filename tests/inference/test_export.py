"""Does an exported file say what the classifier says, to software that knows nothing of us?"""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from app.program import ENVIRONMENT
from synthetic import stripes

from nin.data.images import LabelledImages
from nin.data.preprocessing import Preprocessing
from nin.errors import ModelError, OptionError
from nin.inference.classifier import Classifier
from nin.inference.export import ExportedModel, export, metadata, to_onnx
from nin.inference.int8 import Figures, Quantised, quantise
from nin.inference.model_folder import Config
from nin.inference.parity import compare
from nin.networks.nin_2013 import NiN2013
from nin.networks.registry import NETWORKS

PROGRAM = Path(__file__).with_name("export_program.py")
LABELS = ("cat", "dog", "naïve", 'a "quoted" label')


def run_program(*arguments: object) -> dict[str, Any]:
    """Return by how much each output of each file differs from the classifier's."""
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert (answer.returncode, answer.stderr) == (0, "")
    return json.loads(answer.stdout)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, float]]]:
    """Export NiN2013 of small colour images; return the file, and the differences."""
    folder = tmp_path_factory.mktemp("small")
    return folder / "model.onnx", run_program("nin-2013", 16, 3, 12, folder)


@pytest.mark.slow
def test_every_output_of_every_file_is_the_classifiers(small: tuple[Path, dict[str, dict[str, float]]]):
    _, found = small
    assert len(found) == 8
    for way, outputs in found.items():
        assert set(outputs) == {"probabilities", "logits", "class_maps"}
        assert max(outputs.values()) < 1e-4, way


@pytest.mark.slow
def test_every_network_of_the_registry_exports(tmp_path: Path):
    found = run_program("registry", tmp_path)
    assert {*found, "nin-2013"} == set(NETWORKS)
    for name, ways in found.items():
        for way, outputs in ways.items():
            assert ("class_maps" in outputs) == (NETWORKS[name].cells is not None)
            assert max(outputs.values()) < 1e-3, (name, way)


@pytest.mark.slow
def test_the_file_is_whole_and_says_what_it_is(small: tuple[Path, object]):
    model = onnx.load(small[0])
    onnx.checker.check_model(model)
    assert not [tensor for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["labels"]) == list(LABELS)
    assert said["image_size"] == "12x12"
    assert json.loads(said["preparation"])["kind"] == "garment"
    assert float(said["temperature"]) == 1.7
    (images,) = model.graph.input
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    dimensions = [one.dim_param or one.dim_value for one in images.type.tensor_type.shape.dim]
    assert dimensions == ["batch", 3, 12, 12]
    assert [output.name for output in model.graph.output] == ["probabilities", "logits", "class_maps"]


@pytest.mark.slow
def test_onnx_runtime_reads_it_where_there_is_neither_torch_nor_our_package(small: tuple[Path, object], tmp_path: Path):
    for name in ("numpy", "numpy.libs", "onnxruntime", "flatbuffers", "google", "packaging"):
        spec = importlib.util.find_spec(name) if "." not in name else None
        place = Path(next(iter(spec.submodule_search_locations))) if spec else Path(np.__file__).parents[1] / name
        if place.exists():
            (tmp_path / name).symlink_to(place)
    program = f"""
import sys
sys.path.append({str(tmp_path)!r})
import numpy, onnxruntime
for name in ("torch", "nin"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(name + " is there")
session = onnxruntime.InferenceSession({str(small[0])!r})
images = numpy.zeros((3, 3, 12, 12), numpy.uint8)
probabilities, logits, maps = session.run(None, {{"images": images}})
assert probabilities.shape == logits.shape == (3, 4)
assert abs(probabilities.sum(axis=1) - 1).max() < 1e-5
assert abs(maps.mean(axis=(2, 3)) - logits).max() < 1e-4
print("read")
"""
    answer = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert answer.stdout == "read\n", answer.stderr


def classifier(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    config = Config("nin-2013", Preprocessing(16, (0.3,), (0.2,)), 28, ("a", "b", "c", "d"), temperature=0.5)
    return Classifier(NiN2013(1, 4), config, device=torch.device("cpu"), precision="float32")


def test_a_module_of_it_leaves_the_classifier_as_it_was():
    ours = classifier()
    before = ours.network.n2[0].weight.stride()
    module = ExportedModel(ours, (28, 28))
    images = stripes(3, seed=1).images
    probabilities, logits, maps = module(images)
    torch.testing.assert_close(logits, ours.logits(images))
    torch.testing.assert_close(maps, ours.class_maps(images))
    torch.testing.assert_close(probabilities, ours.probabilities(images))
    assert ours.network.n2[0].weight.stride() == before


def test_a_channel_without_contrast_stays_zero():
    torch.manual_seed(0)
    config = Config("nin-2013", Preprocessing(16, (0.3,), (0.0,)), 16, ("a", "b"))
    ours = Classifier(NiN2013(1, 2), config, precision="float32")
    images = torch.randint(0, 256, (2, 1, 16, 16), dtype=torch.uint8)
    torch.testing.assert_close(ExportedModel(ours, (16, 16))(images)[1], ours.logits(images))


def test_a_file_that_says_something_else_is_an_error():
    ours, other = classifier(), classifier(seed=1)
    images = stripes(20, seed=1).images

    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        return {"probabilities": other.probabilities(torch.from_numpy(batch)).numpy()}

    with pytest.raises(ModelError, match=r"the exported model differs from the classifier by .* nothing was written"):
        compare(run, ours, images)
    assert compare(lambda batch: {"probabilities": ours.probabilities(batch).numpy()}, ours, images).images == 20

    def unfinished(batch: np.ndarray) -> dict[str, np.ndarray]:
        found = ours.probabilities(batch).numpy()
        found[0, found[0].argmax()] = np.nan  # the label is the same
        return {"probabilities": found}

    with pytest.raises(ModelError, match="differs from the classifier by inf"):
        compare(unfinished, ours, images)


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path):
    (tmp_path / "mine.onnx").write_text("mine")
    images = stripes(20, seed=1).images
    for name, said in (("mine.onnx", "new file that ends in .onnx, not"), ("a.pt2", "ends in .onnx")):
        with pytest.raises(OptionError, match=re.escape(said)):
            export(classifier(), tmp_path / name, images)
    assert (tmp_path / "mine.onnx").read_text() == "mine"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(OptionError, match=r"needs the package onnxscript: pip install 'network-in-network\[onnx\]'"):
        to_onnx(classifier(), None)


def test_metadata_of_a_file_of_any_size():
    assert metadata(classifier(), None)["image_size"] == "any"


# --- int8 ---


@pytest.mark.parametrize(
    ("int8", "float32", "said"),
    [
        (Figures(0.94, 200.0, 300.0), Figures(0.94, 100.0, 100.0), None),
        (Figures(0.9381, 200.0, 300.0), Figures(0.94, 100.0, 100.0), None),
        (Figures(0.9379, 200.0, 300.0), Figures(0.94, 100.0, 100.0), r"int8 costs 0\.21 points of accuracy"),
        (Figures(0.94, 99.0, 300.0), Figures(0.94, 100.0, 100.0), "int8 is not faster on this machine"),
        (Figures(0.94, 200.0, 99.0), Figures(0.94, 100.0, 100.0), "int8 is not faster on this machine"),
    ],
)
def test_int8_is_refused_unless_it_pays(int8: Figures, float32: Figures, said: str | None):
    found = Quantised(b"", int8, float32)
    if said is None:
        found.check()
        return
    with pytest.raises(OptionError, match=said) as caught:
        found.check()
    assert "images/s one at a time" in str(caught.value)


@pytest.mark.slow
def test_sums_of_products_in_int8_fit_16_bits(small: tuple[Path, object], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nin.inference.int8.SECONDS_OF_TIMING", 0)
    images = torch.randint(0, 256, (64, 3, 12, 12), dtype=torch.uint8)
    labelled = LabelledImages(images, torch.arange(64) % len(LABELS), LABELS)
    content = quantise(small[0].read_bytes(), images, labelled).content
    stored = [onnx.numpy_helper.to_array(one) for one in onnx.load_from_string(content).graph.initializer]
    weights = [array for array in stored if array.dtype == np.int8 and array.ndim == 4]
    assert len(weights) == 9
    # x86 processors without VNNI add two products in 16 bits: 2 * 255 * 64 fits, and 2 * 255 * 127 saturates.
    assert max(np.abs(array.astype(int)).max() for array in weights) == 64
