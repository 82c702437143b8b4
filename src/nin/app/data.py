"""How is `nin data` carried out? Prints where the data is, and proves that it is what its name says."""

from nin.app.options import Data
from nin.data.fashion_mnist import FILES, fashion_mnist


def main(options: Data) -> int:
    """Print where the data is, what it holds, and the hash of each file's uncompressed bytes."""
    splits = fashion_mnist(options.data)
    parts = {"training": splits.train, "validation": splits.validation, "test": splits.test}
    counts = ", ".join(f"{len(part):,} {name}" for name, part in parts.items())
    print(splits.folder)
    print(f"{counts} images; SHA-256 of the uncompressed files:")
    for name, (_, digest) in FILES.items():
        print(f"{digest}  {name}")
    return 0
