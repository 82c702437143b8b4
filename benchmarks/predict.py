"""How fast do the models in the package predict, beside the plain network at 224x224, and how accurate is each?

    python benchmarks/predict.py

`Classifier.predict` on a batch of 256 uint8 images takes turns with the reference (eager, float32, contiguous, its
resize to 224x224 included) on the same batch; a ratio is the median over the rounds. The reference profits from the
freed memory that a `Classifier` lets the process keep. Prints a page of Markdown.
"""

from statistics import median

import reference
from speed import heading, timed

import nin
from nin.choices import MODELS
from nin.metrics import top1_accuracy

ROUNDS = 7
BATCH = 256


def main() -> None:
    """Measure the models for Fashion-MNIST in both precisions."""
    test = nin.fashion_mnist().parts()["test"]
    batch = test.images[:BATCH]
    plain = reference.network()
    theirs = timed(lambda: reference.predict(plain, batch, 224), BATCH)
    print(heading())
    print("| model | size | test accuracy | precision | images/s | reference at 224x224 | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name in (model for model, data in MODELS.items() if data == "fashion-mnist"):
        for precision in ("bfloat16", "float32"):
            classifier = nin.load(name, precision=precision)
            accuracy = top1_accuracy(classifier.logits(test.images), test.labels)
            ours = timed(lambda classifier=classifier: classifier.predict(batch), BATCH)
            rounds = [(theirs(), ours()) for _ in range(1 + ROUNDS)][1:]  # the first is warm-up
            their_speed, our_speed = (median(side) for side in zip(*rounds, strict=True))
            ratio = median(our / their for their, our in rounds)
            size = classifier.config.preprocessing.size
            print(
                f"| {name} | {size}x{size} | {accuracy:.4f} | {precision} | {our_speed:,.0f} | {their_speed:,.0f} | "
                f"{ratio:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
