"""Which files are taken out of an archive, once its hash is right?"""

import hashlib
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from nin.errors import DataError


def unpack(archive: Path, sha256: str, inner: str, names: Sequence[str]) -> None:
    """Write the files inner/NAME of a .tar.gz beside it, once its hash is verified; nothing else of it is written.

    Raises:
        DataError: there is no such archive, or it has another hash.

    """
    try:
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise DataError(f"it did not bring {archive.name}") from None
    if found != sha256:
        raise DataError(f"the SHA-256 of {archive.name} starts with {found[:8]}, and {sha256[:8]} was expected")
    wanted = {f"{inner}/{name}": name for name in names}
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            name = wanted.get(member.name)
            content = tar.extractfile(member) if name is not None and member.isreg() else None
            if name is not None and content is not None:
                with (archive.parent / name).open("wb") as file:
                    shutil.copyfileobj(content, file)
