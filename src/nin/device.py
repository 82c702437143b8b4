"""What does it compute on? The device, the precision, the threads, and PyTorch's settings in the process around."""

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TypeVar, get_args

import torch

from nin.choices import DeviceName, Precision, check_choice
from nin.errors import OptionError
from nin.launch import launched_processes, processes_here

Item = TypeVar("Item")

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # numbers of glibc's malloc.h


def find_device(name: DeviceName, way_out: str = "leave device at auto") -> torch.device:
    """Return the device that `name` means on this machine; "auto" takes an accelerator when there is one.

    `way_out` ends the message of the error.

    Raises:
        OptionError: this machine has no such device.

    """
    check_choice("device", name, DeviceName)
    here = torch.accelerator.current_accelerator(check_available=True)
    if here is not None and here.type == "mps" and launched_processes() > 1:
        here = None  # several processes cannot share it
    if name == "auto":
        return here if here is not None and here.type in get_args(DeviceName) else torch.device("cpu")
    if name != "cpu" and (here is None or here.type != name):
        has = "PyTorch finds no accelerator" if here is None else f"its accelerator is {here.type}"
        raise OptionError(f"device {name} is not available on this machine: {has}; {way_out}")
    return torch.device(name)


def fastest_precision(device: torch.device) -> Precision:
    """Return bf16 where the hardware multiplies in it; where it would only be emulated, float32 is faster."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        has = torch.cpu.get_capabilities()
        native = any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    else:
        native = False
    return "bfloat16" if native else "float32"


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return a context in which convolutions and matrix products on `device` are computed in `precision`."""
    # Without the cache: within a caller's autocast it would keep the weights of the first step.
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False)


def on_device_if_it_fits(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return the images on the device, or where they are if they need more than half of its free memory."""
    if device.type == "cuda" and images.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        return images
    return images.to(device)


def usable_threads() -> int:
    """Return with how many threads this process can compute: its processors, or 1 in a forked process.

    Processes that `torchrun` has started on this machine share them.
    """
    if _forked:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes_here())


class AdaptiveThreads:
    """Chooses with how many threads to compute on what other processes of this machine make.

    With one while they are slower: a thread that shares its core with one of them keeps all others waiting. With all
    threads once there is always something to compute on.
    """

    def __init__(self) -> None:
        self.waited = self.computed = 0.0  # seconds, the last time

    def waited_for(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield the items, and note how long each is waited for."""
        began = time.monotonic()
        for item in items:
            self.waited = time.monotonic() - began
            yield item
            began = time.monotonic()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Let PyTorch compute in the block with the number of threads that is best."""
        threads, began = torch.get_num_threads(), time.monotonic()
        if self.waited > self.computed / 10:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            self.computed = time.monotonic() - began


def keep_freed_memory() -> None:
    """Ask glibc's malloc to keep freed memory for the next training step or batch; elsewhere do nothing.

    By default it returns large blocks to the system at once, and the next step takes them again, page by page:
    thousands of page faults a step (docs/lab-notes.md has what that costs). It holds for the whole process; blocks over
    64 MB are kept for its main thread only.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    mallopt(MMAP_MAX, 0)  # a mapped block would be returned as soon as it is freed
    mallopt(TRIM_THRESHOLD, 2**31 - 1)
    mallopt(TOP_PAD, 64 << 20)


# --- PyTorch's settings in the process around ---


@contextmanager
def pytorch_defaults() -> Iterator[None]:
    """Run the block with PyTorch's own defaults, whatever the caller has set: float32, on the CPU, with gradients.

    Settings of the whole process, the number of threads and the CPU's generator among them, are put back afterwards.
    """
    dtype, threads, matmul = torch.get_default_dtype(), torch.get_num_threads(), torch.get_float32_matmul_precision()
    # Only where it is needed: each function of PyTorch takes longer under a default device.
    on_cpu = nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")
    devices = ["cpu", *({"cuda", "mps"} & {find_device("auto").type})]
    try:
        with ExitStack() as stack:
            for context in (on_cpu, torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng([])):
                stack.enter_context(context)
            for device in devices:
                stack.enter_context(torch.autocast(device, enabled=False))
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision(matmul)
        torch.set_num_threads(threads)


_forked = False


def _use_one_thread() -> None:
    """Compute in a single thread from now on.

    OpenMP's threads do not survive a fork: a child process that gives them work waits for ever
    (https://github.com/pytorch/pytorch/issues/17199).
    """
    global _forked
    _forked = True
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # at import, since nobody says when a program is going to fork
    os.register_at_fork(after_in_child=_use_one_thread)
