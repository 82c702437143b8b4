"""Is a package installed that only one of our extras brings?"""

import importlib

from nin.errors import OptionError


def require(extra: str, needed_by: str, *packages: str) -> None:
    """Import packages of the extra `extra`, such as "onnx"; `needed_by` begins the message where one is missing.

    Raises:
        OptionError: one cannot be imported.

    """
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise OptionError(
                f"{needed_by} needs the package {package}: pip install 'network-in-network[{extra}]'"
            ) from error
