"""Is a missing package of an extra named, and what brings it?"""

import sys

import pytest

from nin.errors import OptionError
from nin.extras import require


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    require("serve", "nin serve", "json")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    said = r"^nin serve needs the package uvicorn: pip install 'network-in-network\[serve\]'$"
    with pytest.raises(OptionError, match=said):
        require("serve", "nin serve", "json", "uvicorn")
