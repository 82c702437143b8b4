"""What was a run made with: which command, versions, machine, data?"""

import platform
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import nin
from nin.data import Splits
from nin.plan import Plan


def environment(plan: Plan, data: Splits, command: str) -> dict[str, Any]:
    """Give what `environment.json` holds: what made this run, with which versions, on what machine, from which data."""
    return {
        "command": command,
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "nin": nin.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": processor(),
        "device": torch.cuda.get_device_name() if plan.device == "cuda" else plan.device,
        "threads": plan.threads,
        "data": str(data.folder),
        "names": data.train.names,
    }


def commit() -> str | None:
    """Give the commit of the checkout that this package runs from, "+" behind it if files differ; None outside one."""
    package = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", package, *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # not somebody's project around a site-packages
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def processor() -> str:
    """Name the processor, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
