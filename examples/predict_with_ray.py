"""How does an exported model predict millions of photos on a cluster? By Ray Data: each worker loads the file once.

    nin export cifar10 cifar10.onnx
    pip install "ray[data]" onnxruntime pillow
    python predict_with_ray.py cifar10.onnx photos/ answers/

writes Parquet files with a row for each photo: its path, label and probability, or why it could not be read. It needs
neither PyTorch nor this package: preprocessing, temperature and labels are in the file.
"""

import io
import json
import sys
from typing import Any

import numpy as np
import onnxruntime
import ray
from PIL import Image

MOST_PIXELS = 50_000_000


class Predictor:
    """A model in a worker: called with a batch of photos, returns a batch of answers."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # Ray starts a worker for each core
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        known = self.session.get_modelmeta().custom_metadata_map
        self.labels = np.array(json.loads(known["labels"]))
        self.height, self.width = map(int, known["image_size"].split("x"))
        self.mode = "RGB" if known["channels"] == "3" else "L"

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Predict the photos of a batch; one that cannot be read has an error in place of a label."""
        images = np.zeros((len(batch["bytes"]), len(self.mode), self.height, self.width), np.uint8)
        errors = [""] * len(images)
        for number, content in enumerate(batch["bytes"]):
            try:
                images[number] = self.prepare(content)
            except Exception as error:
                errors[number] = str(error) or type(error).__name__
        [probabilities] = self.session.run(["probabilities"], {"images": images})
        good = np.array([not error for error in errors])
        return {
            "path": batch["path"],
            "label": np.where(good, self.labels[probabilities.argmax(axis=1)], ""),
            "probability": np.where(good, probabilities.max(axis=1), np.nan),
            "error": np.array(errors),
        }

    def prepare(self, content: bytes) -> np.ndarray:
        """Return a photo as an image, (channels, height, width): resized whole, padded with its border's mean colour.

        That is what models of one's own photos, and cifar10, do with a photo ("preparation" in the file).
        """
        photo = Image.open(io.BytesIO(content))
        if photo.width * photo.height > MOST_PIXELS:
            raise ValueError(f"{photo.width} x {photo.height} pixels are too many")
        photo = photo.convert(self.mode)
        scale = min(self.width / photo.width, self.height / photo.height)
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
        resized = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
        pixels = np.asarray(resized).reshape(size[1], size[0], -1)
        border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
        canvas = Image.new(self.mode, (self.width, self.height), tuple(int(v) for v in border.mean(axis=0).round()))
        canvas.paste(resized, ((self.width - size[0]) // 2, (self.height - size[1]) // 2))
        return np.asarray(canvas).reshape(self.height, self.width, -1).transpose(2, 0, 1)


def main(model: str, photos: str, answers: str) -> None:
    """Predict every photo below a folder, and write the answers as Parquet."""
    with open(model, "rb") as file:  # noqa: PTH123
        content = ray.put(file.read())
    data = ray.data.read_binary_files(photos, include_paths=True)
    predicted = data.map_batches(
        Predictor, fn_constructor_args=(content,), batch_size=256, compute=ray.data.ActorPoolStrategy(size=2)
    )
    predicted.write_parquet(answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
