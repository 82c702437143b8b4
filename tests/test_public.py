"""Are the public names there, and does asking for help stay light?"""

import subprocess
import sys
from importlib.metadata import version

import pytest

import nin


def python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_every_public_name_loads_from_its_home():
    assert nin.__all__ == [
        "AlexNet", "Classifier", "Evaluation", "GoogLeNet", "LabelledImages", "LeNet", "NiN", "NiN2013", "NinError",
        "Prediction", "Recipe", "ResNet18", "Result", "Splits", "VGG", "evaluate", "fashion_mnist", "fold", "load",
        "load_dataset", "train", "with_batch_norm",
    ]  # fmt: skip
    for name in nin.__all__:
        assert getattr(nin, name).__name__ == name
    assert set(nin.__all__) <= set(dir(nin))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="ResNet"):
        _ = nin.ResNet


def test_the_version_is_the_installed_one():
    assert nin.__version__ == version("network-in-network")


def test_importing_nin_loads_neither_torch_nor_matplotlib_nor_numpy():
    program = "import nin, sys; print([name for name in ('torch', 'matplotlib', 'numpy') if name in sys.modules])"
    assert python(program) == "[]"


def test_the_help_of_every_command_needs_neither_torch_nor_matplotlib_nor_numpy():
    program = """
import sys
from typing import get_args
from nin.app.cli import parse
from nin.app.options import Command
commands = [kind.__name__.lower() for kind in get_args(Command)]
for arguments in [["--help"], *([command, "--help"] for command in commands)]:
    try:
        parse(arguments)
    except SystemExit as end:
        assert end.code == 0, arguments
print(*commands, [name for name in ("torch", "matplotlib", "numpy") if name in sys.modules])
"""
    said = python(program)
    assert said.splitlines()[-1] == "train compare predict serve evaluate export summary data report []"
    assert said.count("usage: nin") == 10
