"""Does a run that is killed at random moments end with the weights of a run that was never stopped?

    python benchmarks/kill.py RUN --into NEW

trains the plan of RUN again in NEW, kills it with SIGKILL five times, resumes it each time, and compares the weights.
"""

import hashlib
import random
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import tyro

NIN_TRAIN = [sys.executable, "-c", "from nin.app.cli import main; main()", "train"]


def main(run: Annotated[Path, tyro.conf.Positional], into: Path, kills: int = 5, longest: float = 60.0) -> None:
    """Kill and resume; `longest` is the most seconds that a process lives before it is killed."""
    command = [*NIN_TRAIN, "--plan", str(run / "plan.json"), "--run", str(into)]
    for number in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        moment = random.uniform(8, longest)  # noqa: S311 - seconds; before 8 there may be no run folder yet
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        else:
            print(f"it ended before kill {number + 1}: give a smaller --longest or a longer run")
            break
        states = sorted(path.name for path in into.glob("state/*.pt"))
        print(f"kill {number + 1} after {moment:.1f} s, states {states}", flush=True)
        command = [*NIN_TRAIN, "--resume", str(into)]
    else:
        subprocess.run(command, check=True)
    digests = [
        hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest() for folder in (run, into)
    ]
    print(*digests, "identical" if len(set(digests)) == 1 else "DIFFERENT")


if __name__ == "__main__":
    tyro.cli(main)
