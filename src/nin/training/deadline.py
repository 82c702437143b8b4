"""How does a run end in time on a machine whose speed varies? The plan is revised by the clock, every few seconds.

The learning rate then falls evenly in time, whatever the machine does, and reaches the end of its schedule with the
last step: a slow stretch costs steps, but never the decay.
"""

import time
from collections import deque
from collections.abc import Callable
from itertools import accumulate, pairwise

from msgspec.structs import replace

from nin.training.fit import Revise
from nin.training.pace import SECONDS_FOR_REPORT, Pace
from nin.training.plan import Plan

SECONDS_PER_REVISION = 3.0
WINDOW = 5.0  # seconds of training by which the pace of the next steps is judged: a short stall hardly counts
LONG_WINDOW = 30.0  # and that of validation and evaluation, which come later
STOPPED = 20  # times as long as before, and longer than the long window: then the process was stopped, not slow
TOLERANCE = 0.03  # a plan that is late or early by a smaller fraction of what is left stays as it is


def keep_deadline(
    deadline: float, pace: Pace, *, may_extend: bool = True, clock: Callable[[], float] = time.monotonic
) -> Revise:
    """Return a function for `Training.fit` that revises the plan so that the run ends in time.

    A process that was stopped for over half a minute (Ctrl-Z, a virtual machine that was frozen) ends that much
    later; a resume from a state afterwards does not know of it.

    Args:
        deadline: a time of `clock`.
        pace: as measured before the run.
        may_extend: whether a plan that would end early is made longer than it was at first, up to the recipe's
            `max_epochs`.
        clock: gives the time in seconds.

    """
    known: deque[tuple[float, int, float]] = deque()  # time, steps, and seconds of these, in the long window
    latest = (0.0, 0, 0.0)  # the same of the last call
    longest = interval = 0  # in steps, by the first plan; a revised one no longer tells

    def revise(plan: Plan, step: int, seconds: float) -> Plan:
        """Return the plan that ends in time if the machine stays as fast as it was in the last seconds.

        Args:
            plan: the plan so far.
            step: the number of steps taken.
            seconds: what they took since the training began or was resumed.

        """
        nonlocal deadline, latest, longest, interval
        left, now = plan.steps - step, clock()
        if not known:
            latest = (now, step, seconds)
            known.append(latest)
            # A tiny first plan has tiny intervals: validation is to take a tenth of the time at most.
            interval = max(*plan.steps_per_interval, int(10 * pace.validation / pace.step))
            most = int(plan.steps * plan.recipe.max_epochs / plan.recipe.epochs) if may_extend else 0
            longest = max(plan.steps, most)
        called, called_step, called_seconds = latest
        latest = (now, step, seconds)
        # Between two calls are steps, and a validation if an interval ended. A step before took so long; 0: not known.
        before = (called_seconds - known[0][2]) / max(1, called_step - known[0][1])
        validated = any(called_step < end <= step for end in accumulate(plan.steps_per_interval))
        expected = before * (step - called_step + validated * pace.validation / pace.step)
        if now - called > max(LONG_WINDOW, STOPPED * expected) and expected:
            deadline += now - called - expected
            known.clear()  # so that a second such time in a row is believed
            known.append(latest)
            return plan
        last, last_step, _ = known[-1]
        # Near the end a few steps are all that is left, and a machine that recovers could take them at once.
        soon = now - last < SECONDS_PER_REVISION and step - last_step <= left / 10
        if soon or left == 0 or step == last_step:
            return plan
        known.append((now, step, seconds))
        while len(known) > 2 and known[1][0] <= now - LONG_WINDOW:
            known.popleft()
        recent = next((one for one in reversed(known) if one[0] <= now - WINDOW), known[0])
        # A slow stretch counts only once it fills the window; its end counts at once, for the same reason.
        per_step, since_last, long = (
            (seconds - then) / (step - done) for _, done, then in (recent, known[-2], known[0])
        )
        per_step, slowdown = min(per_step, since_last), long / pace.step
        steps, intervals = _what_fits(
            deadline - now - slowdown * pace.evaluation - min(slowdown, 2.0) * SECONDS_FOR_REPORT, per_step,
            slowdown * pace.validation, step - plan.interval_at(step)[0], interval, longest - step,
        )  # fmt: skip
        return plan if abs(steps / left - 1) <= TOLERANCE else rescale(plan, step, steps, intervals)

    return revise


def _what_fits(
    seconds: float, per_step: float, per_validation: float, begun: int, interval: int, most: int
) -> tuple[int, int]:
    """Return how many steps fit, and in how many intervals of about `interval` steps; `begun` of the first are done."""
    steps = (seconds - per_validation * begun / interval) / (per_step + per_validation / interval)
    intervals = max(1, round((begun + min(steps, most)) / interval))
    return max(1, min(most, int((seconds - intervals * per_validation) / per_step))), intervals


def rescale(plan: Plan, step: int, left: int, intervals: int) -> Plan:
    """Return the plan with `left` steps still to take after `step`, in `intervals` validation intervals.

    The interval in which `step` lies is the first of them. What remains of the schedule is rescaled with the steps, so
    that the last step is made with the schedule's last factor.
    """
    begin, _ = plan.interval_at(step)
    ends = list(accumulate(plan.steps_per_interval))
    done = plan.steps_per_interval[: ends.index(begin) + 1 if begin else 0]
    whole = step - begin + left
    first = max(step - begin + 1, round(whole / intervals)) if intervals > 1 else whole
    further = min(intervals - 1, whole - first)
    rest = [round((whole - first) * part / further) for part in range(further + 1)] if further else []
    now, later = float(step), plan.breakpoints_after(float(step))
    ratio = (left - 0.5) / (later[-1][0] - now) if later else 1.0
    factors = ((now + (at - now) * ratio, factor) for at, factor in later)
    revision = ((now, plan.learning_rate_factor(now)), *factors)
    return replace(
        plan,
        steps_per_interval=(*done, first, *(end - start for start, end in pairwise(rest))),
        revisions=(*(one for one in plan.revisions if one[0][0] < step), revision),
    )
