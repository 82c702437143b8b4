"""Does the loop learn, repeat itself, report what happens, and end a run that is dead?"""

import copy
import dataclasses
import math
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from msgspec.structs import replace
from program_around import SETTINGS, program_around
from torch import nn

from nin.data.images import LabelledImages, Splits
from nin.device import pytorch_defaults
from nin.errors import RunError
from nin.metrics import top1_accuracy
from nin.networks.forward import compute_logits
from nin.training import fit
from nin.training.augmentation import views_of_steps
from nin.training.data_parallel import seed_for_step
from nin.training.deadline import rescale
from nin.training.events import Event, Revision, State, Step, Trouble, Validation
from nin.training.fit import Training
from nin.training.named_recipes import d2l, quick
from nin.training.network import final_network, initial_network
from nin.training.plan import Plan, resolve
from nin.training.recipe import Recipe

CPU = torch.device("cpu")
# Two epochs of 16 steps, of a network at 16x16 that takes milliseconds.
SMALL = replace(quick(epochs=2.0), batch_size=32, size=16, bfloat16=False)
# NiN itself, at the smallest size that it takes.
NIN = replace(quick(epochs=2.0), batch_size=32, learning_rate=0.02)


def small_network(classes: int = 4) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.2), nn.Flatten(),
            nn.Linear(8 * 6 * 6, classes),
        )  # fmt: skip


def training(splits: Splits, recipe: Recipe = SMALL, network: nn.Module | None = None, seed: int = 0) -> Training:
    plan = resolve(recipe, splits.train, seed, CPU)
    return Training(network or small_network(), splits.train, splits.validation, plan)


def steps_of(events: list[Event]) -> list[int]:
    return [event.step for event in events if isinstance(event, Step)]


def same(one: nn.Module, other: nn.Module) -> bool:
    """Return whether two networks have the same bits in their state dicts."""
    return all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


def few(splits: Splits, images: int) -> Splits:
    """Return so many training images, and as many as matter little to validate on."""
    return Splits(splits.train.first(images), splits.validation.first(32), splits.test.first(32), splits.origin)


# --- Learning, and what is reported ---


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.slow
def test_it_learns_from_any_seed_and_the_final_network_keeps_what_was_learnt(splits: Splits, seed: int):
    # With the last ReLU in training, a class map dies for half of the seeds, and the accuracy ends at 0.45 to 0.81.
    data = Splits(splits.train.first(192), splits.validation.first(64), splits.test, splits.origin)
    plan = resolve(replace(NIN, epochs=3.0, batch_size=16), data.train, seed, CPU)
    run = Training(initial_network(plan), data.train, data.validation, plan)
    list(run.fit())
    assert run.validations[-1].validation_accuracy > 0.9
    assert run.validations[-1].train_loss < run.validations[0].train_loss
    final = final_network(run.network, plan, data.train)
    logits = compute_logits(final, data.test.images, plan.preprocessing)
    assert top1_accuracy(logits, data.test.labels) > 0.9


def test_events_come_in_order_and_report_every_step(splits: Splits):
    run = training(splits)
    events = list(run.fit())
    assert steps_of(events) == list(range(1, 33))
    assert [index for index, event in enumerate(events) if isinstance(event, Validation)] == [16, 34]
    assert [event.step for event in events if isinstance(event, State)] == [16, 32]
    assert [event for event in events if isinstance(event, Validation)] == run.validations
    assert (run.step, run.epoch, run.epochs_of(8), run.troubles) == (32, 2.0, 0.5, [])
    first = events[0]
    assert isinstance(first, Step)
    assert (first.epoch, first.images_per_second > 0) == (1 / 16, True)


def test_a_validation_is_the_mean_of_its_interval_and_the_network_on_the_validation_images(splits: Splits):
    run = training(splits)
    events = []
    for event in run.fit():
        events.append(event)
        if isinstance(event, Validation):
            break
    *steps, validation = events
    assert (validation.step, validation.epoch) == (16, 1.0)
    assert validation.train_loss == pytest.approx(sum(step.loss for step in steps) / 16, rel=1e-3)
    assert 0 < validation.train_accuracy < 1
    assert validation.images_per_second == pytest.approx(512 / validation.seconds)
    logits = compute_logits(run.network, splits.validation.images, run.plan.preprocessing)
    loss = F.cross_entropy(logits, splits.validation.labels, label_smoothing=SMALL.label_smoothing)
    assert validation.validation_loss == pytest.approx(loss.item(), rel=1e-5)
    assert validation.validation_accuracy == top1_accuracy(logits, splits.validation.labels)


def test_it_trains_any_module_and_colour_and_other_class_counts():
    images = torch.randint(0, 256, (64, 3, 20, 20), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = LabelledImages(images, torch.arange(64) % 2, ("a", "b"))
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    before = network[1].weight.clone()
    plan = resolve(replace(SMALL, batch_norm=False, epochs=1.0), data, 0, CPU)
    events = list(Training(network, data, data, plan).fit())
    assert [type(event) for event in events] == [Step, Step, Validation, State]
    assert not torch.equal(network[1].weight, before)


def test_a_clock_that_stands_still_ends_no_training(splits: Splits):
    data = few(splits, 64)
    plan = resolve(replace(SMALL, batch_norm=False), data.train, 0, CPU)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16 * 16, 4))
    events = list(Training(network, data.train, data.validation, plan, clock=lambda: 0.0).fit())
    assert all(event.images_per_second > 0 for event in events if isinstance(event, Step | Validation))


def test_the_d2l_recipe_trains_as_the_textbooks_loop_does(splits: Splits):
    recipe = replace(d2l(epochs=1.0), size=67, batch_size=32)
    data = few(splits, 96)
    plan = resolve(recipe, data.train, 0, CPU)
    network = initial_network(plan)
    textbook = copy.deepcopy(network).train()
    events = list(Training(network, data.train, data.validation, plan).fit())
    assert [type(event) for event in events] == [Step, Step, Step, Validation, State]

    sgd = torch.optim.SGD(textbook.parameters(), lr=0.1)
    losses = []
    for step, index in enumerate(views_of_steps(plan, 0, 3, 96).index):
        torch.manual_seed(seed_for_step(0, step))  # of the dropout
        images = F.interpolate(data.train.images[index] / 255, size=(67, 67), mode="bilinear")
        loss = F.cross_entropy(textbook(images), data.train.labels[index])
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    assert [event.loss for event in events[:3] if isinstance(event, Step)] == pytest.approx(losses, rel=1e-4)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, textbook.state_dict()[name], rtol=1e-3, atol=1e-5)


# --- The same plan gives the same weights ---


@pytest.mark.parametrize(
    "recipe",
    [
        NIN,
        pytest.param(
            replace(NIN, batch_norm=False, dropout=0.5, bfloat16=False, learning_rate=0.01), marks=pytest.mark.slow
        ),
    ],
)
def test_the_same_plan_gives_the_same_weights_bit_for_bit(splits: Splits, recipe: Recipe):
    data = few(splits, 64)
    networks = []
    for disturbance in range(2):
        torch.manual_seed(disturbance)
        plan = resolve(recipe, data.train, 0, CPU)
        networks.append(initial_network(plan))
        list(Training(networks[-1], data.train, data.validation, plan).fit())
    assert same(*networks)


def test_another_seed_trains_the_same_initial_network_otherwise(splits: Splits):
    runs = [training(splits, seed=seed) for seed in range(2)]
    for run in runs:
        next(run.fit())
    assert not torch.equal(runs[0].network[5].weight, runs[1].network[5].weight)


def test_no_two_steps_of_any_seeds_share_their_random_numbers():
    seeds = {seed_for_step(seed, step) for seed in range(50) for step in range(50)}
    assert len(seeds) == 50 * 50


# Dropout, flips and shifts, in bf16 with Muon, and in float32 with SGD alone.
VARIED = replace(SMALL, epochs=3.0, flip=True, shift=1)
NIN_VARIED = replace(NIN, epochs=3.0, dropout=0.3, flip=True, shift=1)


def resumed_from(run: Training, stops: tuple[int, ...], network: nn.Module) -> Iterator[tuple[list[Event], Training]]:
    """Train to the end, and from each of the states as well; yield the events and the training of each."""
    events, states = [], {}
    for event in run.fit():
        events.append(event)
        if isinstance(event, State) and event.step in stops:
            states[event.step] = copy.deepcopy(event)
    yield events, run
    images = LabelledImages(run.images, run.labels, run.validation.names)
    for stop in stops:
        again = Training(copy.deepcopy(network), images, run.validation, run.plan, states[stop])
        assert again.step == stop
        yield list(again.fit()), again


@pytest.mark.parametrize(
    "recipe",
    [VARIED, replace(VARIED, muon_learning_rate=0.0), pytest.param(NIN_VARIED, marks=pytest.mark.slow)],
    ids=["muon", "sgd", "nin in bf16"],
)
def test_from_any_state_it_goes_on_bit_for_bit(splits: Splits, recipe: Recipe, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fit, "SECONDS_PER_STATE", 0)
    data = few(splits, 96)
    plan = resolve(recipe, data.train, 0, CPU)
    network = initial_network(plan) if recipe is NIN_VARIED else small_network()
    run = Training(copy.deepcopy(network), data.train, data.validation, plan)
    stops = (5, 6)  # in the middle of an interval of 3 steps, and at its end
    (whole, through), *others = resumed_from(run, stops, network)
    assert steps_of(whole) == list(range(1, 10))
    for stop, (rest, resumed) in zip(stops, others, strict=True):
        assert steps_of(rest) == list(range(stop + 1, 10))
        assert same(resumed.network, through.network)
        timeless = [
            [replace(validation, seconds=0.0, images_per_second=0.0) for validation in one.validations]
            for one in (through, resumed)
        ]
        assert len(timeless[0]) == 3
        assert timeless[1] == timeless[0]


def test_the_time_of_an_interval_counts_what_was_done_before_it_was_resumed(splits: Splits):
    run = training(splits)
    events = run.fit()
    while run.step < 8:
        next(events)
    state = copy.deepcopy(run.state())
    assert 0 < state.interval_seconds <= state.elapsed
    state = dataclasses.replace(state, interval_seconds=1000.0)
    resumed = Training(small_network(), splits.train, splits.validation, run.plan, state)
    validation = next(event for event in resumed.fit() if isinstance(event, Validation))
    assert 1000 < validation.seconds < 1100


def test_a_state_of_another_network_is_one_clear_error(splits: Splits):
    run = training(splits)
    *_, state = run.fit()
    assert isinstance(state, State)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(256, 4))
    with pytest.raises(RunError, match="does not belong to this plan"):
        Training(plain, splits.train, splits.validation, run.plan, state)
    sgd = replace(run.plan, recipe=replace(SMALL, muon_learning_rate=0.0))
    with pytest.raises(RunError, match="does not belong to this plan"):
        Training(small_network(), splits.train, splits.validation, sgd, state)
    shorter = rescale(run.plan, 16, 8, 1)  # than the steps that were taken
    with pytest.raises(RunError, match="does not belong to this plan"):
        Training(small_network(), splits.train, splits.validation, shorter, state)


@pytest.mark.parametrize(("step", "ends"), [(17, [16, 24]), (20, [16, 24]), (5, [13])])
def test_a_revised_plan_is_followed_from_the_next_step(splits: Splits, step: int, ends: list[int]):
    run = training(splits, VARIED)
    shorter = rescale(run.plan, step, ends[-1] - step, 1)
    events = list(run.fit(revise=lambda plan, at, seconds: shorter if at >= step else plan))
    assert steps_of(events) == list(range(1, ends[-1] + 1))
    assert [event.plan for event in events if isinstance(event, Revision)] == [shorter]
    assert [event.step for event in events if isinstance(event, Validation)] == ends
    assert run.plan == shorter
    # What was executed is what is written down: the revised plan by itself gives the same weights.
    again = Training(small_network(), splits.train, splits.validation, shorter)
    list(again.fit())
    assert same(again.network, run.network)


def test_a_plan_whose_intervals_are_single_steps_is_revised_too(splits: Splits):
    run = training(few(splits, 32), replace(SMALL, epochs=3.0))
    longer = rescale(run.plan, 1, 9, 9)
    list(run.fit(revise=lambda plan, step, seconds: longer if step == 1 else plan))
    assert (run.step, len(run.validations)) == (10, 10)


def test_a_plan_may_be_revised_after_every_step_but_the_last(splits: Splits):
    asked = []

    def revise(plan: Plan, step: int, seconds: float) -> Plan:
        asked.append((step, seconds))
        return plan

    events = list(training(splits).fit(revise))
    assert [step for step, _ in asked] == list(range(1, 32))
    assert asked == sorted(asked, key=lambda one: one[1])
    assert not any(isinstance(event, Revision) for event in events)


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_the_program_around_change_no_weight(splits: Splits, setting: str):
    data = few(splits, 96)
    expected = training(data, replace(VARIED, epochs=1.0))
    list(expected.fit())
    with program_around(setting), pytorch_defaults():
        run = training(data, replace(VARIED, epochs=1.0))
        list(run.fit())
    assert same(run.network, expected.network)
    assert [validation.validation_loss for validation in run.validations] == [
        validation.validation_loss for validation in expected.validations
    ]


# --- Troubles ---


def test_logits_that_are_all_exactly_zero_are_a_dead_run_and_end_it(splits: Splits):
    plan = resolve(replace(NIN, batch_norm=False, final_relu=True), splits.train, 0, CPU)
    network = initial_network(plan)
    nn.init.constant_(network.n4[4].bias, -1e6)
    run = Training(network, splits.train, splits.validation, plan)
    [event] = run.fit()
    assert isinstance(event, Trouble)
    assert (event.kind, event.step) == ("dead", 1)
    assert event.message.startswith("every logit of the batch in step 1 is exactly zero: ")
    assert run.troubles == [event]


def test_a_loss_that_is_not_finite_is_a_dead_run_and_ends_it(splits: Splits):
    recipe = replace(SMALL, muon_learning_rate=0.0, learning_rate=1000.0, warm_up=0.0, momentum=0.99, weight_decay=1.0)
    run = training(splits, recipe)
    *before, event = run.fit()
    assert isinstance(event, Trouble)
    assert event.kind == "dead"
    assert event.step == run.step < 16
    assert event.message.startswith(("the loss became nan in step ", "the loss became inf in step "))
    assert {type(event) for event in before} <= {Step}


def test_a_network_that_breaks_in_the_last_step_of_an_interval_is_dead_too(splits: Splits):
    run = training(splits, replace(SMALL, epochs=1.0))
    events = []
    for event in run.fit():
        events.append(event)
        if isinstance(event, Step) and event.step == run.plan.steps:
            next(run.network.parameters()).data.fill_(math.nan)
    assert [type(event) for event in events[-2:]] == [Validation, Trouble]
    assert (run.troubles[-1].kind, run.troubles[-1].step) == ("dead", 16)


def test_a_run_that_does_not_learn_is_warned_of_once_resumed_or_not_and_goes_on():
    data = LabelledImages(torch.zeros(32, 1, 28, 28, dtype=torch.uint8), torch.arange(32) % 4, ("a", "b", "c", "d"))
    plan = resolve(replace(SMALL, epochs=150.0, warm_up=0.1, label_smoothing=0.0, learning_rate=0.01), data, 0, CPU)
    plan = replace(plan, steps_per_interval=(150,))
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 4))
    run = Training(network, data, data, plan)
    for stop in (60, 130):  # before the warning and after it
        events = run.fit()
        while run.step < stop:
            next(events)
        events.close()
        run = Training(network, data, data, plan, copy.deepcopy(run.state()))
    assert steps_of(list(run.fit())) == list(range(131, 151))
    assert [(trouble.kind, trouble.step) for trouble in run.troubles] == [("stalled", 115)]


@pytest.mark.parametrize(
    ("minutes", "epochs", "max_epochs", "said"),
    [
        (0.5, 0.125, 40.0, "there was time for less than 0.25 epochs."),
        (0.5, 0.25, 40.0, None),
        (0.5, 0.28, 40.0, None),
        (0.5, 0.125, 0.15, None),  # all the steps that the recipe has
        (None, 0.125, 40.0, None),  # as asked for
    ],
)
def test_minutes_that_had_time_for_too_few_epochs_are_warned_of_once_resumed_or_not(
    splits: Splits, minutes: float | None, epochs: float, max_epochs: float, said: str | None
):
    run = training(splits, replace(SMALL, epochs=epochs, max_epochs=max_epochs))
    run.plan = replace(run.plan, minutes=minutes)
    events = list(run.fit())
    troubles = [] if said is None else [("undertrained", run.plan.steps)]
    assert [(trouble.kind, trouble.step) for trouble in run.troubles] == troubles
    assert [event for event in events if isinstance(event, Trouble)] == run.troubles
    assert said is None or said in run.troubles[0].message
    last = next(event for event in events if isinstance(event, State))
    resumed = Training(run.network, splits.train, splits.validation, run.plan, copy.deepcopy(last))
    list(resumed.fit())
    assert resumed.troubles == run.troubles


def test_a_training_that_is_stopped_from_outside_says_after_which_step(splits: Splits):
    run = training(splits)
    events = run.fit()
    for _ in range(3):
        next(events)
    events.close()
    trouble = run.interrupt()
    assert (trouble.kind, trouble.step) == ("interrupted", 3)
    assert "after step 3 of 32;" in trouble.message
    assert run.troubles == [trouble]
    assert run.state().troubles == [{"kind": "interrupted", "step": 3, "message": trouble.message}]
