"""How many photos a second does `nin predict --jsonl` read and predict, and does its memory grow with their number?

    python benchmarks/streams.py --photos 100000 --folder /tmp/photos

makes JPEG photos of CIFAR-10's test images, enlarged to 320x240, unless the folder has them, and predicts all of them;
a plain loop of Pillow and PyTorch, which reads, resizes and predicts photo after photo, and `Classifier.predict` on a
list, which is how `nin predict` did it before it streamed, take a part of them, in turn. Prints Markdown.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
import tyro
from PIL import Image
from speed import heading

import nin

DIFFERENT = 2000  # photos; the others are links to them
ROUNDS = 2
COMMAND = [sys.executable, "-c", "from nin.app.cli import main; main()", "predict", "--jsonl"]


def main(folder: Path, photos: int = 100_000, part: int = 4000, model: str = "cifar10") -> None:
    """Measure, and print the page."""
    make_photos(folder, photos)
    names = [str(folder / f"{number:07d}.jpg") for number in range(part)]
    rounds = [(stream(names, model), plain(names, model), at_once(names, model)) for _ in range(ROUNDS)]
    print(heading())
    print(f"{part:,} JPEG photos of 320x240, {model}\n")
    print("| | photos/s | ratio to the plain loop |\n|---|---|---|")
    for number, name in enumerate(("nin predict --jsonl", "a plain loop, photo by photo", "a list at once, as before")):
        speed = median(part / one[number] for one in rounds)
        ratio = median(one[1] / one[number] for one in rounds)
        print(f"| {name} | {speed:,.0f} | {ratio:.2f} |")
    seconds, resident = watched(folder, model)
    first, most = resident[0], max(resident)
    print(f"\n{photos:,} photos took {seconds:.0f} s ({photos / seconds:,.0f} a second). Memory of the process and")
    print(f"its workers: {first:.0f} MB when the first answer was there, {most:.0f} MB at most.")


def make_photos(folder: Path, count: int) -> None:
    """Make the photos that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    images = nin.load_dataset("cifar10").parts()["test"].images
    for number in range(count):
        path = folder / f"{number:07d}.jpg"
        if path.exists():
            continue
        if number >= DIFFERENT:
            os.link(folder / f"{number % DIFFERENT:07d}.jpg", path)
            continue
        photo = Image.fromarray(images[number].permute(1, 2, 0).numpy()).resize((320, 240), Image.Resampling.BICUBIC)
        noisy = np.asarray(photo, np.int16) + np.random.default_rng(number).integers(-9, 10, (240, 320, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def stream(names: list[str], model: str) -> float:
    """Return the seconds of the command, with the names on standard input."""
    began = time.perf_counter()
    subprocess.run(
        [*COMMAND, "--model", model, "-"], input="\n".join(names), text=True, stdout=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - began


def plain(names: list[str], model: str) -> float:
    """Return the seconds of a loop as one writes it at first, with the same network."""
    began = time.perf_counter()
    classifier = nin.load(model, precision="float32")
    network, preprocessing = classifier.network, classifier.config.preprocessing
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    with torch.inference_mode():
        for name in names:
            photo = Image.open(name).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
            image = torch.from_numpy(np.array(photo)).permute(2, 0, 1) / 255
            network(((image - mean) / std)[None]).softmax(dim=1).max().item()
    return time.perf_counter() - began


def at_once(names: list[str], model: str) -> float:
    """Return the seconds of `predict` on all names."""
    began = time.perf_counter()
    nin.load(model).predict(names)
    return time.perf_counter() - began


def watched(folder: Path, model: str) -> tuple[float, list[float]]:
    """Return the seconds that all photos of a folder take, and the memory in MB from the first answer on."""
    answers = folder.with_name(f"{folder.name}.jsonl")
    answers.unlink(missing_ok=True)
    began, resident = time.perf_counter(), list[float]()
    with subprocess.Popen([*COMMAND, "--model", model, "--resume", answers, folder]) as process:
        while process.poll() is None:
            if answers.exists() and answers.stat().st_size:
                resident.append(sum(map(memory, family(process.pid))))
            time.sleep(1)
    return time.perf_counter() - began, resident


def family(process: int) -> list[int]:
    """Return a process and those that it has started."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        return [process, *(int(child) for task in tasks for child in (task / "children").read_text().split())]
    except OSError:
        return []


def memory(process: int) -> float:
    """Return the resident memory of a process in MB, 0 if it has ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


if __name__ == "__main__":
    tyro.cli(main)
