"""How should threads wait for each other? Training speed alone and beside busy processes, by OpenMP's settings.

    python benchmarks/waiting.py --rounds 5

PyTorch's OpenMP threads spin while they wait at the end of each operation. A thread that spins holds the core that the
thread it waits for may need. Prints the median images/s of each setting beside 0, 1 and 2 busy processes, in rounds
in which the settings take turns, each in a process of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import tyro
from speed import heading

SETTINGS = {
    "as it is": {},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
}

PROGRAM = """
import json, sys, time
import torch
from nin.data.images import LabelledImages
from nin.training.events import Step
from nin.training.fit import Training
from nin.training.network import initial_network
from nin.training.plan import resolve
from nin.training.named_recipes import named_recipe

network, seconds = sys.argv[1], float(sys.argv[2])
recipe = named_recipe("quick", network, 100.0)
side, channels = (32, 3) if network == "nin-2013" else (28, 1)
pixels = torch.randint(0, 256, (2560, channels, side, side), dtype=torch.uint8)
images = LabelledImages(pixels, torch.arange(2560) % 10, tuple("0123456789"))
plan = resolve(recipe, images, 0, torch.device("cpu"))
steps, started, done = 0, None, 0
for event in Training(initial_network(plan), images, images.first(10), plan).fit():
    if isinstance(event, Step):
        if event.step == 3:
            started = time.perf_counter()
        if event.step > 3:
            done += recipe.batch_size
            if time.perf_counter() - started > seconds:
                break
print(json.dumps(done / (time.perf_counter() - started)))
"""


def main(rounds: int = 5, seconds: float = 8.0, network: str = "nin") -> None:
    """Measure and print."""
    print(heading())
    found: dict[tuple[str, int], list[float]] = {}
    for number in range(rounds):
        for neighbours in (0, 1, 2):
            for name, setting in SETTINGS.items():
                with busy(neighbours):
                    speed = measure(setting, network, seconds)
                found.setdefault((name, neighbours), []).append(speed)
                print(f"round {number}, {neighbours} beside, {name}: {speed:.0f}", file=sys.stderr, flush=True)
    print(f"| {network}, images/s | alone | beside one | beside two |\n|---|---|---|---|")
    for name in SETTINGS:
        cells = (spread(found[name, neighbours]) for neighbours in (0, 1, 2))
        print(f"| {name} | {' | '.join(cells)} |")


def spread(speeds: list[float]) -> str:
    """Write the median, the lowest and the highest."""
    return f"{median(speeds):.0f} ({min(speeds):.0f} to {max(speeds):.0f})"


def measure(setting: dict[str, str], network: str, seconds: float) -> float:
    """Return the images/s of a training in a process of its own."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", PROGRAM, network, str(seconds)]
    answer = subprocess.run(command, env=plain | setting, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many processes computing meanwhile, each on one core."""
    neighbours = [subprocess.Popen([sys.executable, "-c", "while True: sum(range(10**6))"]) for _ in range(count)]
    try:
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


if __name__ == "__main__":
    tyro.cli(main)
