"""Does a run of own images keep how they were read and split, and start from a model where it is asked to?"""

import shutil
from pathlib import Path

import pytest
import torch
from drawings import write_photos
from msgspec.structs import replace
from runs.small import RECIPE, weights

import nin
from nin.data.images import LabelledImages, Splits
from nin.errors import DataError, ModelError, NinError, OptionError, RunError
from nin.files import read_json, write_json
from nin.inference.model_folder import read_folder
from nin.runs.held_out import _is_same, images_to_evaluate
from nin.runs.result import Result
from nin.runs.split_record import read_record
from nin.training.plan_file import read_plan

SHORT = replace(RECIPE, batch_size=16, epochs=1.0)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", 20)


@pytest.fixture
def run(photos: Path, tmp_path: Path) -> Result:
    return nin.train(photos, recipe=SHORT, fit="stretch", run=tmp_path / "run")


def test_a_run_of_photos_is_done_again_from_its_plan_and_judged_on_what_it_held_out(
    run: Result, photos: Path, tmp_path: Path
):
    record = read_record(run.folder)
    assert record is not None
    assert (record.source, record.images) == (str(photos), {"train": 48, "validation": 6, "test": 6})
    assert run.classifier.config.preparation.fit == "stretch"
    assert read_folder(run.folder / "model")[0].preparation.fit == "stretch"
    again = nin.train(plan=run.folder / "plan.json", run=tmp_path / "again")
    assert weights(again.folder) == weights(run.folder)
    assert again.test_accuracy == run.test_accuracy

    config, model = run.classifier.config, str(run.folder / "model")
    for source in (None, str(photos)):
        name, split, images = images_to_evaluate(source, model, config)
        assert (name, split) == ("photos", "test")
        assert sorted(images.keys) == sorted(record.held_out["test"])
        assert nin.evaluate(run.classifier, images).accuracy == run.test_accuracy
    (tmp_path / "best").symlink_to(run.folder / "model")
    assert images_to_evaluate(str(photos), str(tmp_path / "best"), config)[1] == "test"
    moved = run.folder.rename(tmp_path / "elsewhere")
    run.folder.mkdir()
    for name in ("split.json", "model"):
        (run.folder / name).symlink_to(moved / name)
    assert images_to_evaluate(str(photos), model, config)[1] == "test"
    shutil.rmtree(run.folder)
    moved.rename(run.folder)
    (tmp_path / "link").symlink_to(photos)
    for other in (f"{tmp_path}/link", f"{tmp_path}/run/../photos/"):
        _, split, images = images_to_evaluate(other, model, config)
        assert (split, sorted(images.keys)) == ("test", sorted(record.held_out["test"])), "not those it was trained on"
    moved = shutil.copytree(photos, tmp_path / "elsewhere")
    name, split, images = images_to_evaluate(str(moved), model, config)
    assert (name, split, len(images)) == ("elsewhere", "all", 60)

    next((photos / "circle").iterdir()).unlink()
    with pytest.raises(
        RunError, match=r"^the images of .*photos are no longer those of the run \(48 train.*start a new run$"
    ):
        nin.train(plan=run.folder / "plan.json", run=tmp_path / "changed")
    assert not (tmp_path / "changed").exists()
    assert nin.train(moved, plan=run.folder / "plan.json", run=tmp_path / "moved").folder.exists()


def test_files_of_hugging_face_are_the_same_by_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.parquet", "b.parquet"):
        Path(name).touch()
    assert _is_same("hf:a.parquet", f"hf:{tmp_path}/a.parquet")
    assert _is_same(f"hf:{tmp_path}/x/../a.parquet", "hf:./a.parquet") == Path("x/..").exists()
    assert not _is_same("hf:b.parquet", f"hf:{tmp_path}/a.parquet")
    assert not _is_same("hf:owner/a", "hf:owner/b")
    assert _is_same("hf:owner/a", "hf:owner/a")


def test_images_in_memory_must_be_given_again(tmp_path: Path, splits: Splits):
    first = nin.train(splits, recipe=SHORT, run=tmp_path / "run")
    with pytest.raises(RunError, match="give them as the source"):
        nin.train(plan=first.folder / "plan.json", run=tmp_path / "again")
    again = nin.train(splits, plan=first.folder / "plan.json", run=tmp_path / "again")
    assert weights(again.folder) == weights(first.folder)


def test_a_plan_without_a_split_record_needs_a_source(tmp_path: Path, small_data: Splits):
    first = nin.train(recipe=SHORT, run=tmp_path / "run")
    (first.folder / "split.json").unlink()
    plan = first.folder / "plan.json"
    with pytest.raises(RunError, match=r"run has no split\.json, which says what images the plan is for: give their S"):
        nin.train(plan=plan, run=tmp_path / "refused")
    again = nin.train("fashion-mnist", plan=plan, run=tmp_path / "again")
    assert weights(again.folder) == weights(first.folder)


def test_a_training_may_start_from_a_model_of_other_classes(run: Result, tmp_path: Path):
    other = write_photos(tmp_path / "other", 20, ("square", "circle"), first=500, grey=True)
    model = tmp_path / "model"
    shutil.copytree(run.folder / "model", model)
    tuned = nin.train(other, recipe=SHORT, init_from=model, run=tmp_path / "tuned")
    config = tuned.classifier.config
    assert config.labels == ("circle", "square")
    assert config.preprocessing == run.classifier.config.preprocessing
    assert config.preparation == run.classifier.config.preparation
    assert config.in_channels == 3, "grey photos become what the model takes"
    start = read_plan(tuned.folder / "plan.json").start
    assert start is not None
    assert start.model == str(model)
    again = nin.train(plan=tuned.folder / "plan.json", run=tmp_path / "again")
    assert weights(again.folder) == weights(tuned.folder)
    fresh = nin.train(other, recipe=replace(SHORT, network="nin"), run=tmp_path / "fresh")
    assert weights(fresh.folder) != weights(tuned.folder)

    nin.Classifier(nin.NiN(3, 3), run.classifier.config).save(model)
    with pytest.raises(ModelError, match=r"which the plan starts from, has changed"):
        nin.train(plan=tuned.folder / "plan.json", run=tmp_path / "changed")
    with pytest.raises(OptionError, match="network cannot be given with init_from"):
        nin.train(other, init_from=model, network="vgg")
    with pytest.raises(ModelError, match="no model 'nowhere'"):
        nin.train(other, init_from="nowhere")


@pytest.mark.parametrize(
    ("labels", "said"),
    [([0] * 40, "class"), ([0] * 39 + [1], "class")],
    ids=["one class", "a class of one image"],
)
def test_what_cannot_be_trained_on_is_one_line_and_leaves_nothing(labels: list[int], said: str, tmp_path: Path):
    images = torch.arange(40 * 64, dtype=torch.uint8).view(40, 1, 8, 8)
    source = LabelledImages(images, torch.tensor(labels), ("a", "b")[: 1 + max(labels)])
    with pytest.raises(DataError, match=said):
        nin.train(source, recipe=SHORT, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_record_is_one_line(run: Result, tmp_path: Path):
    content = read_json(run.folder / "split.json")
    for wrong in ({"source": 5}, {"seed": "x"}, {"more": 1}):
        write_json(run.folder / "split.json", content | wrong)
        with pytest.raises(NinError, match=r"^[^\n]*split.json[^\n]*$"):
            nin.train(plan=run.folder / "plan.json", run=tmp_path / "again")
