"""What is in a data set, and what is wrong with it? (Interim file of the lead, to be replaced by the audit helper's.)"""

from dataclasses import dataclass
from typing import Any, Literal

from nin.data.images import Splits


@dataclass(frozen=True)
class Finding:
    """What was found."""

    severity: Literal["error", "warning", "note"]
    text: str


@dataclass(frozen=True)
class Audit:
    """What was found."""

    findings: tuple[Finding, ...]


def audit(splits: Splits) -> Audit:
    """Return what was found."""
    return Audit(())
