"""How fast are exported files, beside the classifier in PyTorch and the textbook's network at 224x224?

    python benchmarks/export.py

For each model of the package: the classifier in bf16 and float32, the ONNX file in float32 and in int8. Images/s in
batches of 256 and of 1, taking turns, medians over the rounds; the latency of a single image as its median and 99th
percentile; and the accuracy on the test images. Prints a page of Markdown.
"""

import time
from collections.abc import Callable
from statistics import median, quantiles

import reference
from speed import heading
from torch import Tensor

import nin
from nin.choices import MODELS
from nin.data.load import load_dataset
from nin.inference.export import shape_of, to_onnx
from nin.inference.int8 import quantise
from nin.inference.parity import Run, onnx_runner
from nin.metrics import top1_accuracy

BATCH, ROUNDS, SINGLES = 256, 7, 300


def main() -> None:
    """Measure every model in every form."""
    print(heading())
    print(
        "| model | computed by | test accuracy | images/s in batches of 256 | ratio to the textbook's | "
        "one image, median | 99th percentile |"
    )
    print("|---|---|---|---|---|---|---|")
    plain = reference.network()
    for name, source in MODELS.items():
        splits = load_dataset(source)
        assert splits.test is not None, "the named sets have test images"  # noqa: S101
        images, labels = splits.test.images, splits.test.labels
        exact, fast = (nin.load(name, precision=precision) for precision in ("float32", "bfloat16"))
        content = to_onnx(exact, shape_of(images))
        quantised = quantise(content, splits.train.images, splits.test)
        forms: dict[str, tuple[Callable[[Tensor], object], float]] = {
            "PyTorch, bf16": (fast.probabilities, top1_accuracy(fast.logits(images), labels)),
            "PyTorch, float32": (exact.probabilities, quantised.float32.accuracy),
            "ONNX Runtime, float32": (_runner(onnx_runner(content)), quantised.float32.accuracy),
            "ONNX Runtime, int8": (_runner(onnx_runner(quantised.content)), quantised.int8.accuracy),
        }
        if images.shape[1] == 1:
            forms["the textbook's at 224x224"] = (lambda batch: reference.predict(plain, batch, 224), float("nan"))
        batches = [
            {form: _seconds(predict, images[:BATCH]) for form, (predict, _) in forms.items()}
            for _ in range(1 + ROUNDS)  # the first is warm-up
        ][1:]
        theirs = median(one["the textbook's at 224x224"] for one in batches) if images.shape[1] == 1 else float("nan")
        for form, (predict, accuracy) in forms.items():
            took = median(one[form] for one in batches)
            singles = sorted(_seconds(predict, images[i : i + 1]) for i in range(SINGLES))
            print(
                f"| {name} | {form} | {accuracy:.4f} | {BATCH / took:,.0f} | {theirs / took:.1f} | ".replace(
                    " nan ", " – "
                )
                + f"{1000 * median(singles):.2f} ms | {1000 * quantiles(singles, n=100)[-1]:.2f} ms |",
                flush=True,
            )


def _runner(run: Run) -> Callable[[Tensor], object]:
    return lambda batch: run(batch.numpy())


def _seconds(predict: Callable[[Tensor], object], batch: Tensor) -> float:
    started = time.perf_counter()
    predict(batch)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
