"""Make runs on synthetic images in processes that are killed, and resume them: a program for test_run.

python killed.py RUN [NAME N]...: for each NAME and N a process makes the run, or resumes it, and gets SIGKILL in the
N-th write of a file whose name matches NAME, a pattern of fnmatch, when half of it is on the disk. One more process
runs to the end. Each process's exit status is printed, minus the signal where one killed it, and whether there was a
report.

The processes are forks of this one, which has imported torch but computed nothing.
"""

import os
import re
import signal
import sys
import traceback
from fnmatch import fnmatch
from pathlib import Path

import torch
from runs.small import blank_figures, tiny_plan, tiny_splits

from nin.runs import run
from nin.runs.folder import read_state
from nin.training import fit
from nin.training.plan_file import read_plan


def kill_while_writing(pattern: str, number: int) -> None:
    """Have this process killed in the middle of a write."""
    sync, left = os.fsync, number

    def sync_or_kill(file: int) -> None:
        nonlocal left
        name = re.sub(r"^\.(.+)\.[0-9a-f]{8}\.tmp$", r"\1", Path(f"/proc/self/fd/{file}").readlink().name)
        left -= fnmatch(name, pattern)
        if left == 0:
            os.truncate(file, os.fstat(file).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        sync(file)

    os.fsync = sync_or_kill


def make_or_resume(folder: Path) -> None:
    """Make a run in `folder`; if it exists, resume it."""
    splits = tiny_splits()
    if folder.exists():
        run.run_plan(read_plan(folder / "plan.json"), splits, folder, resume=True, state=read_state(folder))
    else:
        # Everything that a state has to hold: Muon's and SGD's momentum, norms, dropout, flips, half an interval.
        plan = tiny_plan(splits, epochs=1.5, muon_learning_rate=0.05, dropout=0.2, flip=True)
        run.run_plan(plan, splits, folder)


def in_a_process(folder: Path, *kill: str) -> int:
    """Fork, make or resume the run there, and return the exit status, which is minus the signal that killed it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        if kill:
            kill_while_writing(kill[0], int(kill[1]))
        make_or_resume(folder)
    except BaseException:  # os._exit is silent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


torch.set_num_threads(1)
fit.SECONDS_PER_STATE, run.SHARE_FOR_STATES = 0, float("inf")  # a state after every step
run.run_figures = blank_figures
folder, *kills = sys.argv[1:]
for kill in [*zip(kills[::2], kills[1::2], strict=True), ()]:
    status = in_a_process(Path(folder), *kill)
    print(status, "report" if Path(folder, "report.html").exists() else "no report", flush=True)
