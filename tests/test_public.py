"""Are the public names there, and does asking for help stay light?"""

import subprocess
import sys

import pytest

import nin


def python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_every_public_name_loads_from_its_home():
    assert nin.__all__ == [
        "AlexNet", "Classifier", "LabelledImages", "NiN", "NinError", "Prediction", "VGG", "fashion_mnist", "fold",
        "load", "train", "with_batch_norm",
    ]  # fmt: skip
    for name in nin.__all__:
        assert getattr(nin, name).__name__ == name
    assert set(nin.__all__) <= set(dir(nin))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="ResNet"):
        _ = nin.ResNet


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert nin.__version__ == version("network-in-network")


@pytest.mark.parametrize(
    "program",
    [
        "import nin",
        "import nin.cli",
        "from nin.cli import parse\ntry: parse(['train', '--help'])\nexcept SystemExit: pass",
    ],
)
def test_help_needs_neither_torch_nor_matplotlib(program: str):
    heavy = python(
        f"{program}\nimport sys; print('HEAVY', [m for m in ('torch', 'matplotlib', 'numpy') if m in sys.modules])"
    )
    assert heavy.endswith("HEAVY []")
