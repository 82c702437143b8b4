"""How are values written for people? Text that is safe to print, and durations."""


def printable(text: str) -> str:
    """Return `text` with everything that cannot be printed escaped: one line, no terminal codes, valid UTF-8."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def duration(seconds: int | float) -> str:
    """Write seconds in the units that fit: 4.2 s, 3 min 20 s, 9 h 5 min."""
    if seconds < 59.5:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
