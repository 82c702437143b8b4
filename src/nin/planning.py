"""How do options become a plan, and the plan a run? `nin.train`, which the command line calls too."""

import shlex
from collections.abc import Callable
from operator import index
from pathlib import Path
from typing import get_args

import torch

from nin import experiment
from nin.data import LabelledImages, fashion_mnist
from nin.errors import OptionError
from nin.preprocessing import channel_statistics
from nin.recipe import DeviceName, NetworkName, Plan, Recipe, RecipeName, named
from nin.runs import refuse_existing
from nin.training import Event


def train(
    recipe: RecipeName = "quick",
    network: NetworkName = "nin",
    *,
    epochs: int | None = None,
    data: str | Path | None = None,
    run: str | Path | None = None,
    seed: int = 0,
    device: DeviceName = "auto",
    on_start: Callable[[Plan, Path], None] = experiment.unheard,
    on_event: Callable[[Event], None] = experiment.unheard,
) -> experiment.Result:
    """Train on Fashion-MNIST and leave a run folder: what `nin train` does, with the same options.

    Args:
        recipe: "quick" or "seed"; see `nin.recipe`.
        network: "nin", or a baseline by the same recipe.
        epochs: how many; the recipe's own number unless given.
        data: the folder of Fashion-MNIST's four files; found or fetched unless given.
        run: the run's folder, which must not exist; `runs/` and the time unless given.
        seed: 0 or more; decides the first weights, the order and dropout.
        device: "auto" takes an accelerator when there is one.
        on_start: called with the plan and the run's folder before the first step.
        on_event: called with every event of `nin.training.fit`.

    Raises:
        NinError: whatever of this cannot be done, in one line.

    """
    data, run = (None if path is None else Path(path) for path in (data, run))
    try:
        seed, epochs = index(seed), None if epochs is None else index(epochs)
    except TypeError:
        raise OptionError(f"seed and epochs are whole numbers, not {seed!r} and {epochs!r}") from None
    chosen = named(recipe, network, epochs)
    where = find_device(device)
    if not 0 <= seed < 2**63:
        raise OptionError(f"seed is a whole number from 0 to 2^63 - 1, not {seed}")
    if run is not None:
        refuse_existing(run)  # now, and not after the data was fetched
    splits = fashion_mnist(data)
    plan = resolve(chosen, splits.train, seed, where)
    options = {"network": network, "epochs": epochs, "data": data, "run": run, "seed": seed, "device": device}
    command = ["nin", "train", "--recipe", recipe]
    for option, value in options.items():
        if value not in (None, "nin", "auto"):
            command += [f"--{option}", str(value)]
    return experiment.run(plan, splits, run, command=shlex.join(command), on_start=on_start, on_event=on_event)


def resolve(recipe: Recipe, train: LabelledImages, seed: int, device: torch.device) -> Plan:
    """Resolve a recipe into a plan for these training images on this device.

    Raises:
        OptionError: fewer training images than a batch.

    """
    channels = train.images.shape[1]
    mean, std = channel_statistics(train.images) if recipe.normalise else ((0.0,) * channels, (1.0,) * channels)
    if len(train) < recipe.batch_size:
        raise OptionError(f"a batch of {recipe.batch_size} needs as many training images, and there are {len(train)}")
    return Plan(
        recipe,
        seed,
        sizes=(recipe.size,) * recipe.epochs,
        steps_per_epoch=len(train) // recipe.batch_size,
        classes=len(train.names),
        mean=mean,
        std=std,
        device=device.type,
        precision="bfloat16" if recipe.bfloat16 and computes_in_bfloat16(device) else "float32",
        threads=torch.get_num_threads(),
    )


def find_device(name: DeviceName) -> torch.device:
    """Find the device that `name` means here; "auto" takes an accelerator when there is one.

    Raises:
        OptionError: no such device on this machine.

    """
    if name not in get_args(DeviceName):
        raise OptionError(f"device is one of {', '.join(get_args(DeviceName))}, not {name!r}")
    here = torch.accelerator.current_accelerator(check_available=True)
    if name == "auto":
        return here if here is not None and here.type in get_args(DeviceName) else torch.device("cpu")
    if name != "cpu" and (here is None or here.type != name):
        has = "no accelerator that PyTorch can use" if here is None else here.type
        raise OptionError(f"device {name} is not here: this machine has {has}; leave --device at auto")
    return torch.device(name)


def computes_in_bfloat16(device: torch.device) -> bool:
    """Tell whether the processor itself multiplies in bf16; where it would only imitate that, float32 is faster."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        return any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False
