"""Do imports run down the wings only, and does every file stay short and say what it is for?"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import nin
from nin.networks.registry import NETWORKS

WINGS = ("data", "networks", "training", "figures", "inference", "runs", "app")  # in the order in which data moves
SOURCES = Path(nin.__file__).parent
LONGEST = 250  # lines of a file
CLASSES = {network.target.partition(":")[2] for network in NETWORKS.values()}


def modules(folder: Path) -> Iterator[tuple[str, ast.Module]]:
    """Yield the path within `folder` and the syntax tree of every module below it."""
    for path in sorted(folder.rglob("*.py")):
        yield path.relative_to(folder).as_posix(), ast.parse(path.read_text())


def imported(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and full name of all that a module of `nin` imports of `nin`, wherever in it, or names in a string."""
    package = ["nin", *Path(path).parts[:-1]]
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*origin, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "nin" else [base]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # of importlib.import_module
            names = [node.value] if re.fullmatch(r"nin(\.[a-z_0-9]+)+(:\w+)?", node.value) else []
        for name in names:
            if re.match(r"nin\b", name):
                yield node.lineno, name


def wrong_imports(folder: Path) -> list[str]:
    """Return the imports that run up from a wing to one below it, from the root to a wing, or to the face of `nin`."""
    wrong: list[str] = []
    root_files = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    for path, tree in modules(folder):
        if path in ("__init__.py", "__main__.py"):
            continue
        allowed = WINGS[: WINGS.index(path.split("/")[0]) + 1] if "/" in path else ()
        for line, name in imported(path, tree):
            parts = re.split(r"[.:]", name)
            if len(parts) == 1 or parts[1] not in {*allowed, *root_files}:
                wrong.append(f"{path}:{line} imports {name}")
    return wrong


def test_imports_run_down_the_wings_only():
    assert wrong_imports(SOURCES) == []


def test_every_folder_is_a_wing_or_holds_no_code():
    assert {path.split("/")[0] for path, _ in modules(SOURCES) if "/" in path} == set(WINGS)


ALLOWED = {
    "__init__.py": "from nin.app.cli import main",  # the face is exempt
    "errors.py": "import math",
    "files.py": "from nin.errors import FileError",
    "data/images.py": "from nin.errors import DataError\nimport nin.files",
    "networks/nin.py": "from torch import nn\nfrom nin.data.images import Splits\nfrom .registry import NETWORKS",
    "networks/registry.py": "target = 'nin.networks.nin:NiN'",
    "app/cli.py": "def main():\n    from nin.runs.train import train\n    import ninja, pytest",
}


@pytest.mark.parametrize(
    ("path", "code", "name"),
    [
        ("data/images.py", "from nin.networks.nin import NiN", "nin.networks.nin"),
        ("data/images.py", "import torch, nin.networks.nin", "nin.networks.nin"),
        ("data/images.py", "if True:\n    def late():\n        from nin.runs import train", "nin.runs"),
        ("data/images.py", "from ..app.cli import main", "nin.app.cli"),
        ("data/images.py", "from .. import figures", "nin.figures"),
        ("figures/style.py", "import_module('nin.inference.classifier')", "nin.inference.classifier"),
        ("inference/classifier.py", "if TYPE_CHECKING:\n    from nin.runs.result import Result", "nin.runs.result"),
        ("runs/deep/down.py", "from ...app import cli", "nin.app"),
        ("metrics.py", "from nin.data.images import LabelledImages", "nin.data.images"),
        ("metrics.py", "from .data.images import LabelledImages", "nin.data.images"),
        ("app/train.py", "import nin", "nin"),
        ("app/train.py", "import nin as face", "nin"),
        ("app/train.py", "from nin import train", "nin.train"),
        ("app/train.py", "from nin import *", "nin.*"),
        ("app/train.py", "from nin.old_module import train", "nin.old_module"),
    ],
)
def test_an_import_that_runs_up_is_found_wherever_it_stands(tmp_path: Path, path: str, code: str, name: str):
    for allowed, content in ALLOWED.items():
        (tmp_path / allowed).parent.mkdir(exist_ok=True)
        (tmp_path / allowed).write_text(content)
    assert wrong_imports(tmp_path) == []
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(code)
    found = wrong_imports(tmp_path)
    assert len(found) == 1
    assert re.fullmatch(rf"{path}:\d imports {re.escape(name)}", found[0])


def test_no_file_is_longer_than_can_be_read_at_once():
    lengths = {path: len((SOURCES / path).read_text().splitlines()) for path, _ in modules(SOURCES)}
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


def test_every_module_says_what_it_is_for():
    assert [path for path, tree in modules(SOURCES) if not ast.get_docstring(tree)] == []


def asks_for_a_class(tree: ast.Module) -> list[int]:
    """Return the lines in which `isinstance` or `issubclass` is asked for one of the registry's networks."""
    return [
        call.lineno
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in {"isinstance", "issubclass"}
        and CLASSES & {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(call.args[1])}
    ]


def test_nothing_outside_the_networks_asks_which_network_it_has():
    asking = {path: asks_for_a_class(tree) for path, tree in modules(SOURCES) if not path.startswith("networks/")}
    assert {path: lines for path, lines in asking.items() if lines} == {}


@pytest.mark.parametrize("kind", ["NiN", "nn.Linear | NiN", "(NiN, str)", "nin.AlexNet"])
def test_asking_for_a_network_by_its_class_is_found(kind: str):
    assert asks_for_a_class(ast.parse(f"if x:\n    print(isinstance(network, {kind}))")) == [2]
    assert asks_for_a_class(ast.parse("isinstance(network, nn.Module) and NiN")) == []
