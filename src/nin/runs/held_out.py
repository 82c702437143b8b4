"""Which images of a source may judge a model? Those that its run held out, or that the source holds out itself."""

import os
from pathlib import Path

from torch import Tensor

from nin.choices import MODELS
from nin.data.images import LabelledImages, Splits
from nin.data.load import NAMED, load_dataset, read_source
from nin.data.progress import Progress, no_progress
from nin.data.read import Given
from nin.data.sources.huggingface import local_path
from nin.errors import RunError
from nin.inference.find_model import find_model
from nin.inference.model_folder import Config
from nin.runs.evaluate import evaluated_split
from nin.runs.split_record import load_again, read_record


def images_to_evaluate(
    source: str | None, model: str, config: Config, on_progress: Progress = no_progress
) -> tuple[str, str, LabelledImages]:
    """Return the data set's name; "test", "validation" or "all"; and those images, prepared as the model's.

    Args:
        source: as `nin.load_dataset` takes it; default: that of the run that the model lies in, or of the
            package's model, else "fashion-mnist".
        model: its name or folder. Where that lies in a run that trained on this source, its split is read again: the
            test images, or the validation images where there are none.
        config: the model's.
        on_progress: see `nin.load_dataset`.

    Returns:
        Of another source its test images, else its validation images; and where it is not split "all" of them.

    Raises:
        NinError: the images cannot be read, or are no longer those of the run.

    """
    given = _read(source, model, config, on_progress)
    if isinstance(given, Splits):
        return given.origin.name, *evaluated_split(given)
    for split in ("test", "validation"):
        if split in given.own:
            return given.origin.name, split, given.own[split]
    return given.origin.name, "all", given.pool


def images_to_calibrate(source: str | None, model: str, config: Config, on_progress: Progress = no_progress) -> Tensor:
    """Return images like those that the model was trained on; takes and raises what `images_to_evaluate` does.

    They are the training images of the source; where it is not split, all that it has.
    """
    given = _read(source, model, config, on_progress)
    return given.train.images if isinstance(given, Splits) else given.pool.images


def _read(source: str | None, model: str, config: Config, on_progress: Progress) -> Splits | Given:
    folder = find_model(model)  # it may be a link, and so may the model/ of a run
    record = read_record(folder.parent) or read_record(folder.resolve().parent)
    if source is None and record is not None and record.source is None:
        raise RunError(f"the images that {model} was trained on were in memory: give a SOURCE to evaluate it on")
    source = source or (record.source if record else None) or MODELS.get(model, "fashion-mnist")
    if record is not None and record.source and _is_same(source, record.source):
        return load_again(record, on_progress=on_progress)
    if source in NAMED:
        return load_dataset(source, on_progress=on_progress)
    return read_source(source, config.image_size, config.preparation, config.in_channels, on_progress=on_progress)


def _is_same(source: str, other: str) -> bool:
    """Return whether two sources are the same: the same name, or the same folder, by whatever path or link."""
    if source == other or source in NAMED or other in NAMED:
        return source == other
    if source.startswith("hf:") and other.startswith("hf:"):
        here = [local_path(one.removeprefix("hf:")) for one in (source, other)]
        return here[0] is not None and here[1] is not None and here[0].samefile(here[1])
    return all(map(os.path.exists, (source, other))) and Path(source).samefile(other)
