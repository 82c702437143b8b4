"""What can a user get wrong? One tree of exceptions, so that one `except` catches all of ours.

Every message is one line: what was wrong, the value, what to do. The command line prints it and exits with 2.
"""


def printable(text: str) -> str:
    """Escape what cannot be printed, so that a line stays one line and no terminal obeys it, whatever a file's name."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


class NinError(ValueError):
    """Anything that the caller can put right; the base of every exception that `nin` raises on purpose."""


class DataError(NinError):
    """A data set that is missing, damaged, another one than its name says, or not of the shape needed."""


class OptionError(NinError):
    """An option, recipe or argument out of its range."""


class RunError(NinError):
    """A run folder that cannot be made, written or read."""


class ModelError(NinError):
    """A model's folder that is missing, damaged, or of a network that this package does not have."""


class PictureError(NinError):
    """A picture's file that cannot be read, or is larger than is safe to decode."""
