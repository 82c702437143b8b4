"""Which figures does an evaluation leave?"""

import torch
from synthetic import stripes

from nin.data.images import LabelledImages
from nin.metrics import evaluate_logits
from nin.runs.figures import evaluation_figures

TEST = stripes(20, seed=3)


def test_an_evaluation_is_drawn_with_its_most_confident_mistakes_if_there_are_any():
    logits = torch.nn.functional.one_hot(TEST.labels, 4).float()
    right = evaluate_logits(logits, TEST.labels, TEST.names)
    assert set(evaluation_figures(right, TEST)) == {"confusion.png", "reliability.png"}
    labels = TEST.labels.clone()
    labels[7] = (labels[7] + 1) % 4
    one_wrong = LabelledImages(TEST.images, labels, TEST.names)
    figures = evaluation_figures(evaluate_logits(logits, labels, TEST.names), one_wrong)
    assert set(figures) == {"confusion.png", "reliability.png", "mistakes.png"}
    words = " ".join(
        text.get_text() for text in figures["mistakes.png"].findobj(lambda part: hasattr(part, "get_text"))
    )
    assert "The only mistake" in words
    assert TEST.names[labels[7]] in words
