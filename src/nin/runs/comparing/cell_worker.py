"""What does the process of a cell do? Its job comes in as JSON; progress and outcome go out as lines of JSON."""

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import msgspec
import torch

from nin.data.load import load_dataset
from nin.errors import NinError, OptionError
from nin.files import read_json_lines
from nin.inference.load import load
from nin.networks.batch_norm import has_batch_norm
from nin.networks.imported import import_network, is_import_path
from nin.networks.registry import build_network, find_architecture
from nin.runs.comparing.cell import Inference, Job, Point, Progress, Read, Trained
from nin.runs.evaluate import images_per_second
from nin.runs.train import train
from nin.training.events import Event, Step
from nin.training.fit import Training

IMAGES = 256  # of a batch, in the measurement of inference
SECONDS_BETWEEN_MESSAGES = 0.5


def main() -> None:
    """Do the job on the standard input, and write what came of it on the standard output, as lines of JSON."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a network prints is not an answer
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer = _do(job, out)
    except (NinError, MemoryError) as error:
        answer: Any = {"failed": str(error) or type(error).__name__}
    except KeyboardInterrupt:
        os._exit(130)
    _send(out, answer)


def _do(job: Job, out: IO[bytes]) -> Any:
    if job.kind == "data":
        splits = [load_dataset(job.source, size=size) for size in job.sizes]
        return Read(len(splits[0].train))
    import_network(job.network)
    return _train(job, out) if job.kind == "train" else _measure_inference(job)


def _end_with_parent() -> None:
    """End this process when the one that started it has ended, however that was: its pipe then closes."""
    sys.stdin.buffer.read()
    os._exit(1)


class _Reporter:
    """Sends the progress of a training."""

    def __init__(self, out: IO[bytes]) -> None:
        self.out, self.last = out, 0.0

    def start(self, training: Training, folder: Path) -> None:
        """Begin with a training."""
        self.training = training

    def tell(self, event: Event) -> None:
        """Send a step, but not more often than anyone can read."""
        if isinstance(event, Step) and time.monotonic() - self.last > SECONDS_BETWEEN_MESSAGES:
            self.last = time.monotonic()
            _send(self.out, Progress(event.step / self.training.plan.steps, event.loss))


def _train(job: Job, out: IO[bytes]) -> Trained:
    reporter = _Reporter(out)
    architecture = find_architecture(job.network)
    if not job.changes["batch_norm"] and is_import_path(job.network):
        channels = load_dataset(job.source, size=architecture.sizes[0]).train.channels
        if has_batch_norm(build_network(job.network, channels, 2, architecture.default_size)):
            raise OptionError("it has batch norms of its own, so it cannot be trained without")
    result = train(
        job.source,
        network=job.network,
        recipe="quick",
        changes=job.changes,
        augmentation=job.augmentation,
        minutes=job.minutes,
        epochs=job.epochs,
        run=job.run,
        seed=job.seed,
        on_start=reporter.start,
        on_event=reporter.tell,
    )
    if result.ended == "interrupted":
        os._exit(130)
    return Trained(
        result.ended,
        result.troubles,
        result.classifier.config.preprocessing.size,
        result.epochs,
        result.parameters,
        result.multiply_adds,
        result.validation_accuracy,
        result.test_accuracy,
        result.images_per_second,
        result.seconds,
        _peak_memory(),
        _curve(Path(job.run)),
    )


def _curve(run: Path) -> tuple[Point, ...]:
    points: list[Point] = []
    seconds = 0.0
    for line in read_json_lines(run / "metrics.jsonl"):
        seconds += line["seconds"]
        fields = ("epoch", "train_loss", "validation_loss", "validation_accuracy")
        points.append(Point(seconds, *(line[field] for field in fields)))
    return tuple(points)


def _measure_inference(job: Job) -> Inference:
    classifier = load(Path(job.run, "model"))
    config = classifier.config
    generator = torch.Generator().manual_seed(0)
    shape = (IMAGES, config.in_channels, config.image_size, config.image_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return Inference(images_per_second(classifier, images), _peak_memory())


def _peak_memory() -> int | None:
    """Return how many bytes this process had at most, or allocated on the GPU where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    with contextlib.suppress(OSError, StopIteration):  # elsewhere than on Linux
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _send(out: IO[bytes], message: Any) -> None:
    """Write a message; end where nobody reads on, as after the comparison was killed."""
    try:
        out.write(msgspec.json.encode(message) + b"\n")
        out.flush()
    except OSError:
        os._exit(1)
