"""What does it compute on, and in which precision?"""

from typing import Literal, get_args

import torch

from nin.errors import OptionError
from nin.recipe import DeviceName

Precision = Literal["bfloat16", "float32"]


def find_device(name: DeviceName, way_out: str = "leave --device at auto") -> torch.device:
    """Find the device that `name` means here; "auto" takes an accelerator when there is one.

    `way_out` ends the message of the error.

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
        raise OptionError(f"device {name} is not here: this machine has {has}; {way_out}")
    return torch.device(name)


def fastest_precision(device: torch.device) -> Precision:
    """Give bf16 where the processor itself multiplies in it; where it would only imitate that, float32 is faster."""
    return "bfloat16" if _computes_in_bfloat16(device) else "float32"


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        return any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Compute convolutions in `precision` on `device`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
