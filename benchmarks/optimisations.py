"""What does each optimisation bring? Training steps of the plain network at 67x67, one change after the other.

    python benchmarks/optimisations.py

Each variant runs in a process of its own, since malloc's thresholds hold for a whole process. They take turns, since
the machine's speed drifts; a ratio is the median over the rounds.
"""

import subprocess
import sys
from contextlib import nullcontext
from statistics import median
from time import perf_counter
from typing import IO, cast

import reference
import torch
import torch.nn.functional as F

from nin.data.sources.fashion_mnist import fashion_mnist
from nin.device import autocast, find_device, keep_freed_memory
from nin.networks.forward import channels_last
from nin.training.named_recipes import quick
from nin.training.network import initial_network
from nin.training.optimizer import Optimizer
from nin.training.plan import resolve

ROUNDS, STEPS, BATCH = 7, 15, 128
VARIANTS = {
    "the reference: eager, float32, contiguous, DataLoader": set[str](),
    "the whole data set as one tensor, no DataLoader": {"tensor"},
    "and channels-last": {"tensor", "channels last"},
    "and bf16": {"tensor", "channels last", "bf16"},
    "and freed memory kept": {"tensor", "channels last", "bf16", "memory"},
    "that, with batch norm": {"tensor", "channels last", "bf16", "memory", "norm"},
    "that, with Muon": {"tensor", "channels last", "bf16", "memory", "norm", "muon"},
    "that, in batches of 256: quick's step": {"tensor", "channels last", "bf16", "memory", "norm", "muon", "256"},
}


def main() -> None:
    """Let the variants take turns, and print the table in Markdown."""
    workers = [
        subprocess.Popen([sys.executable, __file__, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in VARIANTS
    ]
    for worker in workers:
        ask(worker)  # warm-up
    rounds = [[ask(worker) for worker in workers] for _ in range(ROUNDS)]
    for worker in workers:
        worker.kill()
    print("| what | images/s | to the reference | to the row above |\n|---|---|---|---|")
    for row, name in enumerate(VARIANTS):
        speed = median(speeds[row] for speeds in rounds)
        ratio = median(speeds[row] / speeds[0] for speeds in rounds)
        gain = median(speeds[row] / speeds[max(0, row - 1)] for speeds in rounds)
        print(f"| {name} | {speed:,.0f} | {ratio:.2f} | {gain:.2f} |")


def ask(worker: subprocess.Popen[str]) -> float:
    """Let a worker make some steps, and return its images/s."""
    pipe_in, pipe_out = cast("IO[str]", worker.stdin), cast("IO[str]", worker.stdout)
    pipe_in.write("\n")
    pipe_in.flush()
    return float(pipe_out.readline())


def work(changes: set[str]) -> None:
    """Make steps whenever a line comes in, and answer with the images/s."""
    train = fashion_mnist().train.first(12_800)
    batch = 256 if "256" in changes else BATCH
    if "memory" in changes:
        keep_freed_memory()
    if not changes:
        steps = reference.train(train.images, train.labels, 67)
        for _ in sys.stdin:
            images, seconds = zip(*(next(steps) for _ in range(STEPS)), strict=True)
            print(sum(images) / sum(seconds), flush=True)
        return
    recipe = quick()
    plan = resolve(recipe, train, 0, find_device("cpu"))
    network = initial_network(plan) if "norm" in changes else reference.network()
    network.train()
    if "channels last" in changes:
        channels_last(network)
    muon = Optimizer(network, recipe, plan.precision) if "muon" in changes else None
    sgd = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in sys.stdin:
        started = perf_counter()
        for index in torch.randperm(len(train))[: STEPS * batch].view(STEPS, batch):
            images = plan.preprocessing(train.images[index])
            if "channels last" not in changes:
                images = images.contiguous()
            with autocast(torch.device("cpu"), "bfloat16") if "bf16" in changes else nullcontext():
                logits = network(images).float()
            loss = F.cross_entropy(logits, train.labels[index])
            sgd.zero_grad()
            loss.backward()
            if muon is None:
                sgd.step()
            else:
                muon.step(0.1)
            _ = loss.item()
        print(STEPS * batch / (perf_counter() - started), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        work(VARIANTS[sys.argv[1]])
