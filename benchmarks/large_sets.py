"""How much memory does a large set of photos take, and how soon does the second training start?

    python benchmarks/large_sets.py --images 20000

writes as many photos of 131x131 pixels, trains on 500 of them and then on all, for five steps of the recipe long, each
in a process of its own, and prints the highest memory of each and the seconds from the start of the program to its
first step: the first time, when the photos are decoded, and the second time.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import tyro
from PIL import Image

SIZE, CLASSES, STEPS = 131, 10, 5

PROGRAM = """
import json, sys, time
started = time.monotonic()
import nin
from nin.runs import run
from nin.training.named_recipes import long
from msgspec.structs import replace

folder, images, runs = sys.argv[1], int(sys.argv[2]), sys.argv[3]
recipe = replace(long(), name="large sets", epochs=5 * 256 / images, batch_size=256)
first = []


def note(event):
    first.append(time.monotonic() - started)


def stop(training, data, config, folder, ended):
    lines = dict(line.split(":") for line in open("/proc/self/status"))
    print(json.dumps({"seconds": first[0], "start": before[0], "peak": int(lines["VmHWM"].split()[0]) / 1e6}))
    sys.exit()


before = []
run._finish = stop
nin.train(folder, recipe=recipe, run=runs, on_event=note, on_start=lambda *_: before.append(time.monotonic() - started))
"""


def main(images: int = 20_000, folder: Path | None = None, repeats: int = 3) -> None:
    """Measure; photos are written into `folder`, and used again if they are there."""
    with TemporaryDirectory() as temporary:
        folder = folder or Path(temporary, "photos")
        few, many = folder / "few", folder / "many"
        write(few, 500)
        write(many, images)
        os.environ["XDG_CACHE_HOME"] = str(Path(temporary, "cache"))
        for name, place, count in (("500 photos", few, 500), (f"{images:,} photos", many, images)):
            found = [measure(place, count, Path(temporary, f"{place.name}-{number}")) for number in range(1 + repeats)]
            peaks, starts = [one["peak"] for one in found], [one["start"] for one in found]
            print(
                f"{name}: highest memory {median(peaks[1:]):.2f} GB (while decoding too: {peaks[0]:.2f} GB); from the "
                f"program's start to the first step {starts[0]:.1f} s, and {median(starts[1:]):.2f} s once decoded"
            )


def write(folder: Path, images: int) -> None:
    """Write JPEGs of coloured blocks in class folders."""
    if folder.exists():
        return
    random = np.random.default_rng(0)
    for number in range(images):
        place = folder / f"class {number % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        blocks = Image.fromarray(random.integers(0, 255, (9, 9, 3), dtype=np.uint8))
        blocks.resize((SIZE, SIZE), Image.Resampling.BILINEAR).save(place / f"{number}.jpg", quality=90)


def measure(folder: Path, images: int, run: Path) -> dict[str, float]:
    """Train a few steps in a process of its own, and return its highest memory in GB and its seconds."""
    command = [sys.executable, "-c", PROGRAM, str(folder), str(int(0.8 * images)), str(run)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    tyro.cli(main)
