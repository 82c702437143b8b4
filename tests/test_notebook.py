"""Does the notebook run from top to bottom? Cell after cell, with small data and short trainings."""

import ast
import json
from pathlib import Path

import matplotlib as mpl
import PIL.Image
import pytest
from runs.small import blank_figures, tiny_splits

from nin.data.load import NAMED

NOTEBOOK = Path(__file__).parents[1] / "docs" / "network-in-network.ipynb"
SMALL = "MINUTES, EPOCHS = 0.15, 0.5"


def run_cell(source: str, names: dict[str, object]) -> object:
    """Run a cell, and return the value of its last expression, which a notebook shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)  # noqa: S102
    return None if last is None else eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)  # noqa: S307


@pytest.mark.slow
def test_every_cell_of_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(NAMED, "fashion-mnist", lambda on_progress: tiny_splits())
    monkeypatch.setattr("nin.runs.run.run_figures", blank_figures)  # to draw them takes most of a small run
    mpl.use("agg")
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert sources[0].startswith("MINUTES")
    names: dict[str, object] = {}
    shown = [run_cell(source, names) for source in [SMALL, *sources[1:]]]
    assert shown[2] is True  # a 1x1 convolution is a dense layer at every pixel
    assert sum(isinstance(value, PIL.Image.Image) for value in shown) == 3
    printed = capsys.readouterr().out
    assert "0.0% of them in dense layers" in printed.replace("   0.0%", "0.0%")
    assert printed.count("validation accuracy") == 5
    assert (tmp_path / "runs").is_dir()


def test_its_outputs_are_of_one_run_from_top_to_bottom():
    code = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = [output["output_type"] for cell in code for output in cell["outputs"]]
    assert kinds.count("execute_result") >= 4
    assert "error" not in kinds
