"""Does `nin data` say where the data is, and prove it?"""

import gzip
import hashlib
from pathlib import Path

import pytest
from app.program import Nin


@pytest.mark.slow
def test_the_folder_the_numbers_of_images_and_the_hashes_are_printed(nin: Nin, fashion_mnist_folder: str):
    answer = nin("data", "--data", fashion_mnist_folder)
    assert (answer.returncode, answer.stderr) == (0, "")
    first, second, *lines = answer.stdout.splitlines()
    assert first == fashion_mnist_folder
    assert second.startswith("55,000 training, 5,000 validation, 10,000 test images")
    found = dict(line.split("  ")[::-1] for line in lines)
    labels = next(path for path in Path(fashion_mnist_folder).iterdir() if path.name.startswith("t10k-labels"))
    content = gzip.decompress(labels.read_bytes()) if labels.suffix == ".gz" else labels.read_bytes()
    assert found["t10k-labels-idx1-ubyte"] == hashlib.sha256(content).hexdigest()
    assert len(found) == 4
