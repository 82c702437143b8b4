"""How are values written for people? Text that is safe to print, and durations."""

import unicodedata
from typing import Final

_JOINERS: Final = "\u200c\u200d"  # letters of Persian and of the scripts of India are told apart by them


def printable(text: str) -> str:
    """Return `text` with everything that cannot be printed escaped: one line, no terminal codes, valid UTF-8."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def not_text(text: str) -> str:
    """Return the first character of `text` that no name may have; "" where there is none.

    Spaces and letters of any script are fine. Line ends, control characters, marks that turn the direction of writing,
    and bytes that are not UTF-8 are not.
    """
    if text.isprintable():
        return ""
    strange = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return next((one for one in text if unicodedata.category(one) in strange and one not in _JOINERS), "")


def duration(seconds: int | float) -> str:
    """Write seconds in the units that fit: 4.2 s, 3 min 20 s, 9 h 5 min."""
    if seconds < 59.5:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
