"""Is a device that is not here refused, and is the fastest precision one that the processor has?"""

import pytest
import torch

from nin.devices import autocast, fastest_precision, find_device
from nin.errors import OptionError


def test_a_device_that_is_not_here_is_refused():
    here = torch.accelerator.current_accelerator(check_available=True)
    missing = "mps" if here is not None and here.type == "cuda" else "cuda"
    with pytest.raises(OptionError, match=f"device {missing} is not here"):
        find_device(missing)
    assert find_device("cpu").type == "cpu"


def test_bf16_is_chosen_only_where_the_processor_multiplies_in_it(monkeypatch: pytest.MonkeyPatch):
    for has, expected in (({"avx2": True}, "float32"), ({"avx2": True, "avx512_bf16": True}, "bfloat16")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has)
        assert fastest_precision(torch.device("cpu")) == expected


@pytest.mark.parametrize(("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_autocast_computes_convolutions_in_the_precision_named(precision: str, dtype: torch.dtype):
    with autocast(torch.device("cpu"), precision):
        assert torch.nn.Conv2d(1, 1, 1)(torch.ones(1, 1, 2, 2)).dtype == dtype
