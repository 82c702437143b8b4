"""How fast do the models in the package predict, beside the plain network at 224x224, and how accurate is each?

    python benchmarks/predict.py

`Classifier.predict` on a batch of 256 uint8 pictures takes turns with the reference (eager, float32, contiguous, its
resize to 224x224 included) on the same batch; a ratio is the median over the rounds. Prints a page of Markdown.
"""

import time
from statistics import median

import reference
import torch
from speed import clocked

import nin
from nin.environment import processor
from nin.evaluation import evaluate

ROUNDS = 7
BATCH = 256


def main() -> None:
    """Measure both models in both precisions."""
    test = nin.fashion_mnist().test
    batch = test.images[:BATCH]
    plain = reference.network()
    theirs = clocked(lambda: reference.predict(plain, batch, 224), BATCH)
    print(
        f"{processor()}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n"
    )
    print("| model | size | test accuracy | computed in | images/s | reference at 224x224 | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name in ("fashion-mnist", "fashion-mnist-fast"):
        for precision in ("bfloat16", "float32"):
            classifier = nin.load(name, precision=precision)
            accuracy = evaluate(classifier.scores(test.images), test.labels).accuracy
            ours = clocked(lambda classifier=classifier: classifier.predict(batch), BATCH)
            rounds = [(theirs(), ours()) for _ in range(1 + ROUNDS)][1:]  # the first warms up
            their_speed, our_speed = (median(side) for side in zip(*rounds, strict=True))
            ratio = median(our / their for their, our in rounds)
            size = classifier.config.size
            print(
                f"| {name} | {size}x{size} | {accuracy:.4f} | {precision} | {our_speed:,.0f} | {their_speed:,.0f} | "
                f"{ratio:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
