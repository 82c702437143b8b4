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
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
MOST_PIXELS = 50_000_000
PREPARATION = {"kind": "photo", "fit": "pad"}  # the one that `prepare` carries out


class Predictor:
    """A model in a worker: called with a batch of photos, returns a batch of answers."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a worker has a core
        self.session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        known = self.session.get_modelmeta().custom_metadata_map
        if json.loads(known["preparation"]) != PREPARATION:
            raise ValueError(f"photos of this model are prepared otherwise ({known['preparation']}): change `prepare`")
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
        """Return a photo as an image, (channels, height, width), as the package does for such models.

        Upright, on white where it is transparent, resized whole, and padded with the mean colour of its border.
        """
        photo = Image.open(io.BytesIO(content), formats=FORMATS)
        if photo.width * photo.height > MOST_PIXELS:
            raise ValueError(f"{photo.width} x {photo.height} pixels are too many")
        photo = ImageOps.exif_transpose(photo)
        if photo.has_transparency_data:
            white = Image.new("RGBA", photo.size, "white")
            photo = Image.alpha_composite(white, photo.convert("RGBA"))
        photo = photo.convert("RGB").convert(self.mode)
        scale = min(self.width / photo.width, self.height / photo.height)
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
        resized = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
        pixels = np.asarray(resized).reshape(size[1], size[0], -1)
        border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
        canvas = Image.new(self.mode, (self.width, self.height), tuple(int(v) for v in border.mean(axis=0).round()))
        canvas.paste(resized, ((self.width - size[0]) // 2, (self.height - size[1]) // 2))
        return np.asarray(canvas).reshape(self.height, self.width, -1).transpose(2, 0, 1)


def main(model: str, photos: str, answers: str, workers: str = "2") -> None:
    """Predict every photo below a folder in so many workers, and write the answers as Parquet."""
    import ray  # pyright: ignore[reportMissingImports] - no part of the tests

    with open(model, "rb") as file:  # noqa: PTH123
        content = file.read()
    data = ray.data.read_binary_files(photos, include_paths=True)
    predicted = data.map_batches(
        Predictor, fn_constructor_args=(content,), batch_size=256, compute=ray.data.ActorPoolStrategy(size=int(workers))
    )
    predicted.write_parquet(answers)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit("usage: python predict_with_ray.py MODEL.onnx PHOTOS ANSWERS [WORKERS]")
    main(*sys.argv[1:])
