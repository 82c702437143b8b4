"""With how many threads is a step fastest, while other processes come and go?

The threads of an operation wait for each other at its end. Where another process has one of their cores, all wait until
it is that thread's turn: with two threads on two cores, beside one busy process, a step can take ten times as long as
with one (docs/lab-notes.md).
"""

from collections import deque
from collections.abc import Callable, Mapping
from statistics import median
from time import monotonic

import torch
from msgspec.structs import replace

from nin.device import usable_threads
from nin.training.plan import Plan

SLOWER = 1.5  # times the fastest known: something else needs the cores
FASTER = 0.8  # times as long as before: another number of threads is worth it
STEPS_TO_JUDGE = 3
STEPS_TO_TRY = 2
SECONDS_BETWEEN_TRIES = 5.0  # four times as long after each that was not worth it


def thread_counts(plan: Plan) -> list[int]:
    """Return the numbers of threads to choose from, the most first: all, and half of them, on a CPU."""
    most = min(max(plan.threads, torch.get_num_threads()), usable_threads())
    return [most] if plan.device != "cpu" or most == 1 else [most, most // 2]


class ThreadTuner:
    """Changes the number of threads when that makes the steps faster: a `Revise` for `Training.fit`.

    With the most threads, fewer are tried when steps become slow; with fewer, the most are tried again from time to
    time. What was tried stands in the plan's `thread_changes`.

    Args:
        fastest: the fastest known seconds of a step, by the number of threads.
        clock: gives the time in seconds.

    """

    def __init__(self, fastest: Mapping[int, float], clock: Callable[[], float] = monotonic) -> None:
        self.fastest, self.clock = dict(fastest), clock
        self.counts = sorted(fastest, reverse=True)
        self.recent: deque[float] = deque(maxlen=STEPS_TO_JUDGE)  # seconds of steps with the current number of threads
        self.before: tuple[int, float] | None = None  # while another is tried: the number until then, and its seconds
        self.last: tuple[int, float] | None = None  # steps and seconds at the last call
        self.wait = SECONDS_BETWEEN_TRIES
        self.next_try = 0.0

    def __call__(self, plan: Plan, step: int, seconds: float) -> Plan:
        """Return the plan with another number of threads from `step` on, or as it is."""
        if len(self.counts) < 2:
            return plan
        current = plan.threads_at(step - 1)
        if self.last is None:
            self._allow_tries(current)
        elif step > self.last[0]:
            took = (seconds - self.last[1]) / (step - self.last[0])
            self.recent.append(took)
            self.fastest[current] = min(self.fastest.get(current, took), took)
        self.last = step, seconds
        if self.before is not None:
            return self._judge(plan, step, current, *self.before)
        if len(self.recent) < STEPS_TO_JUDGE or self.clock() < self.next_try:
            return plan
        most, fewer = self.counts
        usual = median(self.recent)
        if current == most and usual <= SLOWER * self.fastest[most]:
            return plan
        self.before = current, usual
        return self._change(plan, step, fewer if current == most else most)

    def _judge(self, plan: Plan, step: int, current: int, was: int, took: float) -> Plan:
        """Stay with what is being tried if it is faster, go back if it is not, or wait for another step."""
        if not self.recent or (len(self.recent) < STEPS_TO_TRY and self.recent[0] <= took):
            return plan
        self.before = None
        if min(self.recent) <= FASTER * took:
            self.wait = SECONDS_BETWEEN_TRIES
            self._allow_tries(current)
            return plan
        self.next_try = self.clock() + self.wait
        self.wait *= 4
        return self._change(plan, step, was)

    def _allow_tries(self, current: int) -> None:
        """Allow to try another number: at once with the most threads, which are tried only when they are slow."""
        self.next_try = self.clock() + (0.0 if current == self.counts[0] else self.wait)

    def _change(self, plan: Plan, step: int, threads: int) -> Plan:
        self.recent.clear()
        earlier = (one for one in plan.thread_changes if one[0] < step)
        return replace(plan, thread_changes=(*earlier, (step, threads)))
