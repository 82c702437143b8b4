"""Which settings of PyTorch may the program around us have made? They are put back afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

SETTINGS = ("float64", "bfloat16", "meta", "no gradients", "inference mode")


@contextmanager
def program_around(setting: str) -> Iterator[None]:
    """Set another default dtype or device, or switch gradients off, as a program that uses `nin` may have done."""
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        if setting == "meta":
            torch.set_default_device("meta")
        elif setting == "no gradients":
            torch.set_grad_enabled(False)
        elif setting != "inference mode":
            torch.set_default_dtype(getattr(torch, setting))
        with torch.inference_mode() if setting == "inference mode" else nullcontext():
            yield
    finally:
        torch.set_default_device(None)
        torch.set_grad_enabled(gradients)
        torch.set_default_dtype(dtype)
