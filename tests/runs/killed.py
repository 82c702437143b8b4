"""Make a run on synthetic pictures, or go on with one, in a process that kills itself: for test_experiment.

python killed.py RUN [N]: with N, SIGKILL comes in the N-th file's write, when half of it is on the disk.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch
from conftest import stripes

from nin import runs, training
from nin.data import Splits
from nin.experiment import run
from nin.planning import read_plan, resolve
from nin.recipe import quick

training.SECONDS_PER_STATE = 0  # a state behind every step
folder = Path(sys.argv[1])
if len(sys.argv) > 2:
    left = int(sys.argv[2])
    sync = os.fsync

    def kill_in_the_middle(file: int) -> None:
        global left
        left -= 1
        if left == 0:
            os.truncate(file, os.fstat(file).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        sync(file)

    os.fsync = kill_in_the_middle

data = Splits(stripes(512, seed=1), stripes(128, seed=2), stripes(64, seed=3), Path("synthetic"))
if folder.exists():
    run(read_plan(folder / "plan.json"), data, folder, state=runs.read_state(folder))
else:
    recipe = replace(quick(epochs=1.5), batch_size=64, dropout=0.2, flip=True)
    run(resolve(recipe, data.train, 0, torch.device("cpu")), data, folder)
