"""Does the example for clusters prepare photos as the package does, and answer for each?"""

import importlib.util
import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nin.data.photos.photo import read_photo
from nin.data.photos.preparation import Preparation, prepare

EXAMPLE = Path(__file__).parents[1] / "examples" / "predict_with_ray.py"


class Session:
    """What an ONNX Runtime session is to the example: it says that an image is as its brightest channel is."""

    def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert names == ["probabilities"]
        means = inputs["images"].astype(np.float32).mean(axis=(2, 3))
        return [means / np.maximum(1, means.sum(axis=1, keepdims=True))]

    def get_modelmeta(self) -> Any:
        labels = json.dumps(["red", "green", "blue"])
        known = {
            "labels": labels,
            "image_size": "12x12",
            "channels": "3",
            "preparation": '{"kind":"photo","fit":"pad"}',
        }
        return type("Meta", (), {"custom_metadata_map": known})


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("predict_with_ray", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.onnxruntime, "InferenceSession", lambda *_, **__: Session())
    return module


def photos() -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, 256, (90, 41, 4), np.uint8)
    made = []
    for image, options in (
        (Image.fromarray(noise[..., :3]), {"format": "PNG"}),
        (Image.fromarray(noise), {"format": "PNG"}),  # transparent here and there
        (Image.fromarray(noise[..., :3]), {"format": "JPEG", "exif": _turned()}),
        (Image.fromarray(noise[..., 0]), {"format": "BMP"}),
    ):
        file = io.BytesIO()
        image.save(file, **options)
        made.append(file.getvalue())
    return made


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_photos_become_the_images_that_the_package_makes_of_them(example: ModuleType):
    predictor = example.Predictor(b"")
    for photo in photos():
        expected = prepare(read_photo(photo), Preparation("photo"), 3, 12).image
        assert np.array_equal(predictor.prepare(photo), expected)


def test_each_photo_has_an_answer_or_an_error(example: ModuleType):
    file = io.BytesIO()
    Image.new("RGB", (30, 30), (0, 200, 0)).save(file, "PNG")
    batch = {"path": np.array(["a", "b"]), "bytes": np.array([file.getvalue(), b"%!PS-Adobe"], dtype=object)}
    answer = example.Predictor(b"")(batch)
    assert answer["label"].tolist() == ["green", ""]
    assert answer["probability"][0] == 1
    assert np.isnan(answer["probability"][1])
    assert answer["error"][0] == ""
    assert "identify" in answer["error"][1]
