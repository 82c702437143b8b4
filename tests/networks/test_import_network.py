"""Can a network that is not ours be used by its import path, and only when the user names it?"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from nin.errors import OptionError
from nin.networks import imported
from nin.networks.imported import import_network, is_import_path
from nin.networks.registry import build_network, find_architecture, network_options

NETS = """
from torch import nn
from pathlib import Path
Path(__file__).with_suffix(".ran").touch()

def plain(in_channels, num_classes):
    return nn.Sequential(nn.Conv2d(in_channels, num_classes, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def sized(in_channels, num_classes, size=48, dropout=0.5):
    return nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(in_channels * size**2, num_classes))

def failing(in_channels, num_classes):
    raise KeyError("first line\\nsecond line")

def text(in_channels, num_classes):
    return "network"

constant = 3

class Nets:
    @staticmethod
    def inner(in_channels, num_classes):
        return plain(in_channels, num_classes)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a module `their_nets` on the path, and forget afterwards what was imported."""
    (tmp_path / "their_nets.py").write_text(NETS)
    (tmp_path / "broken_nets.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    imported.IMPORTED.clear()
    monkeypatch.delitem(sys.modules, "their_nets", raising=False)
    return tmp_path


def test_it_is_built_like_ours_once_it_was_named(module: Path):
    import_network("their_nets:plain")
    known = find_architecture("their_nets:plain")
    assert (known.title, known.cells, known.enlarges) == ("their_nets:plain", None, False)
    network = build_network("their_nets:plain", 3, 7, 28)
    assert network(torch.zeros(2, 3, 28, 28)).shape == (2, 7)
    import_network("their_nets:Nets.inner")
    assert isinstance(build_network("their_nets:Nets.inner", 1, 2, 28), nn.Module)


def test_it_is_given_the_options_that_it_has_and_its_own_size(module: Path):
    import_network("their_nets:sized")
    known = find_architecture("their_nets:sized")
    assert (known.default_size, known.sizes, known.enlarges) == (48, (48,), True)
    assert network_options("their_nets:sized") == {"size", "dropout"}
    network = build_network("their_nets:sized", 1, 4, 20, dropout=0.25)
    assert network[1].p == 0.25
    assert network(torch.zeros(1, 1, 20, 20)).shape == (1, 4)


def test_no_code_runs_for_a_name_that_the_user_has_not_given(module: Path):
    for look in (find_architecture, lambda name: build_network(name, 1, 10, 28), network_options):
        with pytest.raises(OptionError, match="their_nets:plain is not a network of this package"):
            look("their_nets:plain")
    assert not (module / "their_nets.ran").exists()
    import_network("their_nets:plain")
    assert (module / "their_nets.ran").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_nets:plain", "cannot import the network no_such_nets:plain: ModuleNotFoundError"),
        ("broken_nets:plain", "cannot import the network broken_nets:plain: ModuleNotFoundError"),
        ("their_nets:missing", "cannot import the network their_nets:missing: AttributeError"),
        ("their_nets:constant", "cannot import the network their_nets:constant: TypeError"),
        ("their_nets:failing", "their_nets:failing failed for 1 channels and 10 classes: KeyError: 'first line"),
        ("their_nets:text", "their_nets:text must return a torch.nn.Module, not str"),
    ],
)
@pytest.mark.usefixtures("module")
def test_what_cannot_be_used_is_one_line(name: str, said: str):
    def use() -> None:
        import_network(name)
        build_network(name, 1, 10, 28)

    with pytest.raises(OptionError) as caught:
        use()
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nin", "a.b", ":b", "a:", "a b:c", "C:\\nets", "../x:y", "a:b:c", "1a:b", ""])
def test_what_is_no_import_path_is_left_alone(name: str):
    assert not is_import_path(name)
    import_network(name)


@pytest.mark.slow
def test_the_command_line_finds_networks_in_its_own_folder(module: Path):
    program = [sys.executable, "-c", "from nin.app.cli import main; main()", "summary", "their_nets:plain"]
    answer = subprocess.run(program, cwd=module, capture_output=True, text=True, check=True)
    assert "their_nets:plain at 64x64, grey" in answer.stdout
