"""What can a user get wrong? One tree of exceptions, so that one `except` catches all of ours.

Every message is one line: what was wrong, the value, what to do. The command line prints it and exits with 2.
"""


class NinError(ValueError):
    """Invalid input of any kind: the base of every exception that `nin` raises on purpose."""


class DataError(NinError):
    """A data set that is missing, damaged, not the one its name says, or of the wrong shape."""


class OptionError(NinError):
    """An option, recipe or argument out of its range."""


class FileError(NinError):
    """A file or folder that cannot be read or written."""


class RunError(NinError):
    """A run that cannot be started, resumed or reported."""


class ModelError(NinError):
    """A model folder that is missing, damaged, or of a network that this package does not have."""


class PhotoError(NinError):
    """A photo that cannot be read, or is larger than is safe to decode."""
