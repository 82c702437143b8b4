"""What was a run made with: which command, versions, machine, data?"""

import platform
import subprocess
from datetime import datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nin.data.images import Splits
from nin.data.photos.preparation import Preparation
from nin.distributed import processes
from nin.text import printable
from nin.training.plan import Plan

MOST_UNREADABLE = 100  # photos that could not be read, of which so many are written down


def environment(plan: Plan, data: Splits, command: str) -> dict[str, Any]:
    """Return what `environment.json` holds: command, versions, machine and data of a run."""
    device = torch.cuda.get_device_name() if plan.device == "cuda" else plan.device
    return machine(command) | {"device": device, "data": _data(data), "names": data.train.names}


def machine(command: str) -> dict[str, Any]:
    """Return command, time, versions and machine."""
    return {
        "command": printable(command),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "nin": version("network-in-network"),
        "commit": commit(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "processes": processes(),
    }


def _data(splits: Splits) -> dict[str, Any]:
    """Return what is known of the data: which they are, how many, of which size, and how they became images."""
    origin, (channels, height, width) = splits.origin, splits.train.images.shape[1:]
    unreadable = [(printable(key), printable(why)) for key, why in islice(origin.unreadable.items(), MOST_UNREADABLE)]
    return {
        "name": printable(origin.name),
        "place": printable(origin.place),
        "images": {name: len(part) for name, part in splits.parts().items()},
        "width": width,
        "height": height,
        "channels": channels,
        "order": printable(origin.order),
        "cut": origin.cut,
        "cut_seed": origin.seed,
        "preparation": in_words(origin.preparation),
        "unreadable_photos": len(origin.unreadable),
        "unreadable": unreadable,
        "notes": [printable(note) for note in origin.notes],
    }


def in_words(preparation: Preparation) -> str:
    """Say how photos become images."""
    if preparation.kind == "garment":
        return "trimmed, resized, sharpened, centred in a square and made light on dark, as Fashion-MNIST was"
    return {
        "pad": "turned upright, resized whole, and padded to a square with the mean colour of their border",
        "crop": "turned upright, cropped to the square in their middle, and resized",
        "stretch": "turned upright, and stretched or squeezed into a square",
    }[preparation.fit]


def commit() -> str | None:
    """Return the commit of the checkout this package runs from, with "+" if files differ; None outside a checkout."""
    package = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", package, *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # not somebody's project around a site-packages
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def processor() -> str:
    """Return the processor's name, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
