"""Does a step of training find the memory that the last one freed?"""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from dataclasses import replace
import resource, torch
from conftest import stripes
from nin import training
from nin.experiment import build
from nin.planning import resolve
from nin.recipe import quick
if sys.argv[1] == "give back":
    training.keep_freed_memory = lambda: None
data = stripes(512, seed=1)
plan = resolve(replace(quick(epochs=6.0), batch_size=128), data, 0, torch.device("cpu"))
faults = [
    resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for event in training.fit(build(plan, 1), data, data.subset(torch.arange(100)), plan)
    if isinstance(event, training.Step)
]
print(faults[-1] - faults[len(faults) // 2])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_a_step_finds_the_memory_that_the_last_one_freed():
    kept, given_back = (
        int(
            subprocess.run(
                [sys.executable, "-c", PROGRAM, freed],
                capture_output=True,
                check=True,
                cwd=Path(__file__).parent,
            ).stdout
        )
        for freed in ("keep", "give back")
    )
    assert kept < given_back / 5
