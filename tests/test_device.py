"""Is the device one that is here, is freed memory kept, and does what the program around has set do no harm?"""

import os
import platform
import subprocess
import sys
from typing import get_args, get_type_hints

import pytest
import torch
from program_around import SETTINGS, program_around

from nin.app import options
from nin.choices import DeviceName, Precision
from nin.device import autocast, fastest_precision, find_device, pytorch_defaults, usable_threads
from nin.errors import OptionError
from nin.training.plan import Plan


def python(program: str, threads: int = 1) -> str:
    """Run a program in a process of its own, with a time limit, and return what it printed."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    ).stdout.strip()


# --- Device, precision, threads ---


def test_a_device_that_is_not_here_is_refused_with_the_way_out():
    here = torch.accelerator.current_accelerator(check_available=True)
    missing = "mps" if here is not None and here.type == "cuda" else "cuda"
    with pytest.raises(
        OptionError, match=f"device {missing} is not available on this machine: .*; leave device at auto"
    ):
        find_device(missing)
    with pytest.raises(OptionError, match="; buy one"):
        find_device(missing, way_out="buy one")


def test_the_cpu_is_always_here_and_auto_takes_an_accelerator_where_there_is_one():
    here = torch.accelerator.current_accelerator(check_available=True)
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type == ("cpu" if here is None else here.type)


def test_the_command_line_and_the_plan_know_the_same_devices_and_precisions():
    assert options.DeviceName == DeviceName
    of_plan = get_type_hints(Plan)
    assert get_args(of_plan["device"]) == tuple(name for name in get_args(DeviceName) if name != "auto")
    assert of_plan["precision"] == Precision


def test_bf16_is_chosen_only_where_the_processor_multiplies_in_it(monkeypatch: pytest.MonkeyPatch):
    for has, expected in (({"avx2": True}, "float32"), ({"avx2": True, "avx512_bf16": True}, "bfloat16")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has)
        assert fastest_precision(torch.device("cpu")) == expected


@pytest.mark.parametrize(("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_autocast_computes_convolutions_in_the_precision_named(precision: str, dtype: torch.dtype):
    with autocast(torch.device("cpu"), precision):
        assert torch.nn.Conv2d(1, 1, 1)(torch.ones(1, 1, 2, 2)).dtype == dtype


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not say")
@pytest.mark.slow
def test_a_process_that_is_kept_to_one_processor_may_use_one_thread():
    program = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    assert python(f"{program}from nin.device import usable_threads; print(usable_threads())") == "1"
    assert usable_threads() == len(os.sched_getaffinity(0))


# --- Freed memory ---

FREED = """
import resource
from nin.device import keep_freed_memory

def blocks():
    return [b"x" * (20 << 20) for _ in range(6)]  # as large as the activations of a training step

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

{first}
held = blocks()
full = resident()
del held
given_back = full - resident()
for _ in range(10):
    before = faults()
    blocks()
print(given_back, faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
@pytest.mark.slow
def test_freed_memory_stays_with_the_process_and_is_there_for_the_next_allocation():
    given_back, _ = map(int, python(FREED.format(first="")).split())
    assert given_back > 110, "of 120 MiB; the default has changed: is keep_freed_memory still needed?"
    given_back, faults = map(int, python(FREED.format(first="keep_freed_memory()")).split())
    assert given_back < 10
    assert faults < 10


PREDICTED_AGAIN = """
import resource
import nin.inference.classifier, torch
{first}
images = torch.zeros(100, 1, 28, 28, dtype=torch.uint8)
classifier = nin.load("fashion-mnist-maps", device="cpu", precision="float32")
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    classifier.logits(images)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
AS_GLIBC_DOES = "nin.inference.classifier.keep_freed_memory = lambda: None"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
@pytest.mark.slow
def test_a_classifier_computes_a_batch_in_the_memory_of_the_last():
    kept, returned = (int(python(PREDICTED_AGAIN.format(first=first))) for first in ("", AS_GLIBC_DOES))
    assert returned > 10_000, "pages of 4 KiB, for 100 images; is keep_freed_memory still needed?"
    assert kept < returned / 5


# --- The program around ---


@pytest.mark.parametrize("setting", SETTINGS)
def test_within_pytorch_defaults_all_is_as_in_a_fresh_process_and_afterwards_as_it_was(setting: str):
    def settings() -> tuple[object, ...]:
        return (
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
        )

    fresh = settings()
    assert fresh == (torch.float32, torch.device("cpu"), True, False)
    with program_around(setting):
        around = settings()
        assert around != fresh
        with pytorch_defaults():
            assert settings() == fresh
            assert torch.zeros(1, requires_grad=True).add(1).requires_grad
        assert settings() == around
        with pytest.raises(KeyError), pytorch_defaults():
            raise KeyError
        assert settings() == around
    assert settings() == fresh


FORK = """
import multiprocessing, sys, torch
torch.set_num_threads(2)
{prepare}
def compute(number):
    return answer()
if __name__ == "__main__":
    expected = answer()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(compute, range(4)).get(timeout=40) == [expected] * 4
    print("answered in", torch.get_num_threads(), "threads")
"""
NETWORK = """
import nin.device
network = torch.nn.Conv2d(8, 64, 5, padding=2)
images = torch.ones(4, 8, 64, 64)
def answer():
    with torch.inference_mode():
        return network(images).shape
"""
CLASSIFIER = """
import nin
classifier = nin.load("fashion-mnist-fast")
def answer():
    return classifier.predict(torch.zeros(28, 28, dtype=torch.uint8))[0].label
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("prepare", [NETWORK, CLASSIFIER], ids=["network", "classifier"])
def test_a_process_forked_from_one_that_has_computed_answers_too(prepare: str):
    assert python(FORK.format(prepare=prepare), threads=2) == "answered in 2 threads"


def test_a_run_leaves_the_processs_settings_as_they_were():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    torch.set_float32_matmul_precision("medium")
    threads = torch.get_num_threads()
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16), pytorch_defaults():
            assert not torch.is_autocast_enabled("cpu")
            assert torch.get_float32_matmul_precision() == "highest"
            torch.manual_seed(7)
            torch.set_num_threads(threads + 1)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(3), expected)


def test_within_a_callers_autocast_a_changed_weight_counts():
    layer, image = torch.nn.Conv2d(1, 1, 1, bias=False), torch.ones(1, 1, 1, 1)
    device = torch.device("cpu")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for value in (1.0, 2.0):
            with torch.no_grad():
                layer.weight.fill_(value)
            with autocast(device, "bfloat16"):
                assert layer(image).item() == value
