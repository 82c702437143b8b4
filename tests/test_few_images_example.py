"""Does the example of few images keep the first ones of each class, and all that the network is tested on?"""

import importlib.util
from pathlib import Path

import pytest
from torch import Tensor

from nin.data.images import Splits
from nin.data.load import load_dataset
from nin.errors import OptionError

EXAMPLE = Path(__file__).parents[1] / "examples" / "few_images.py"


def test_a_folder_of_few_images_is_written(splits: Splits, tmp_path: Path):
    spec = importlib.util.spec_from_file_location("few_images", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.main(splits, 8, tmp_path / "few")
    few = load_dataset(tmp_path / "few")
    assert few.train.names == splits.train.names
    for part, each in (("train", 8), ("validation", 2), ("test", None)):
        kept, all_of_it = few.parts()[part], splits.parts()[part]
        for label in range(4):
            first = all_of_it.images[all_of_it.labels == label][:each]
            assert contents(kept.images[kept.labels == label]) == contents(first)
    assert [len(few.train), len(few.validation), len(few.test)] == [4 * 8, 4 * 2, len(splits.test)]
    with pytest.raises(OptionError, match="in a new folder"):
        example.main(splits, 8, tmp_path / "few")


def contents(images: Tensor) -> list[bytes]:
    """Return the pixels of each image, in an order that does not depend on theirs."""
    return sorted(image.numpy().tobytes() for image in images)
