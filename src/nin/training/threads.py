"""In how many threads is a step fastest, while other processes come and go?

The threads of an operation wait for each other at its end. Where another process has one of their cores, all wait until
it is that thread's turn: on two cores beside one busy process, a step in two threads can take five times as long as in
one (docs/lab-notes.md).
"""

from collections import deque
from collections.abc import Callable, Mapping
from statistics import median
from time import monotonic

from msgspec.structs import replace

from nin.training.fit import Revise
from nin.training.plan import Plan

SLOWER = 1.5  # times the fastest known: something else needs the cores
FASTER = 0.8  # times as long as before: another number of threads is worth it
STEPS_TO_JUDGE = 3
STEPS_TO_TRY = 2
SECONDS_BETWEEN_TRIES = 20.0  # twice as long after each that was not worth it


def follow_neighbours(paces: Mapping[int, float], clock: Callable[[], float] = monotonic) -> Revise:
    """Return a function for `Training.fit` that changes the number of threads when that makes the steps faster.

    With the most threads, fewer are tried when steps become slow; with fewer, the most are tried again from time to
    time. What was tried stands in the plan's `thread_changes`.

    Args:
        paces: the fastest known seconds of a step, by the number of threads.
        clock: gives the time in seconds.

    """
    fastest, counts = dict(paces), sorted(paces, reverse=True)
    recent: deque[float] = deque(maxlen=STEPS_TO_JUDGE)  # seconds of steps in the current number of threads
    before: tuple[int, float] | None = None  # while another is tried: the number until then, and its seconds
    last_step = last_seconds = None
    wait = SECONDS_BETWEEN_TRIES
    next_try = 0.0

    def revise(plan: Plan, step: int, seconds: float) -> Plan:
        """Return the plan with another number of threads from `step` on, or as it is."""
        nonlocal before, last_step, last_seconds, wait, next_try
        now, current = clock(), plan.threads_at(step - 1)
        if last_step is None or last_seconds is None:
            next_try = now if current == counts[0] else now + wait
        elif step > last_step:
            recent.append((seconds - last_seconds) / (step - last_step))
            fastest[current] = min(fastest.get(current, recent[-1]), recent[-1])
        last_step, last_seconds = step, seconds
        if before is not None:
            was, took = before
            if len(recent) < STEPS_TO_TRY and max(recent, default=0.0) <= took:
                return plan
            before = None
            if min(recent) <= FASTER * took:
                wait = SECONDS_BETWEEN_TRIES
                next_try = now if current == counts[0] else now + wait
                return plan
            next_try = now + wait
            wait *= 2
            return change(plan, step, was)
        if len(counts) < 2 or len(recent) < STEPS_TO_JUDGE or now < next_try:
            return plan
        if current == counts[0] and median(recent) <= SLOWER * fastest[current]:
            return plan
        before = current, median(recent)
        return change(plan, step, counts[1] if current == counts[0] else counts[0])

    def change(plan: Plan, step: int, threads: int) -> Plan:
        recent.clear()
        return replace(plan, thread_changes=(*(one for one in plan.thread_changes if one[0] < step), (step, threads)))

    return revise
