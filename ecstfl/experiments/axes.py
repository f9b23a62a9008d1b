"""Axes of a study: one setting of a profile varied, all others kept.

Where the setting concerns the network or its training and not only the loss, softmax-only is
trained under it too, so that every trial has a softmax-only twin of the same setting. The
long-tailed prior is another data set, not an axis: give ``--data embedded-longtail``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ecstfl.errors import UserError
from ecstfl.experiments.plan import Plan, check_folds
from ecstfl.experiments.profiles import CENTER, CONTRASTIVE_CENTER
from ecstfl.losses.methods import LossConfig
from ecstfl.metrics.intervals import Interval
from ecstfl.runs.config import RunConfig

# The forms differ in size by a factor of about the batch (patent to paper) and of 100 (patent to
# released): the weights are chosen so that lambda times the loss runs over the same range.
WEIGHTS = {
    "patent": (0.03, 0.1, 0.3, 1.0, 3.0),
    "paper": (1.0, 3.0, 10.0, 30.0, 100.0),  # 10 is the paper's
    "released": (3.0, 10.0, 30.0, 100.0, 300.0),  # 10 is the released code's
}
# Center loss is a sum over clips and dimensions, so it is large: at 1e-3 a run learned nothing.
CENTER_WEIGHTS = (1e-5, 1e-4, 1e-3)


@dataclass(frozen=True)
class Trial:
    """One point of an axis.

    Attributes:
        axis: what is varied, as a reader names it.
        value: this point's value, as a tick label.
        setting: the run that is tried, with fold 0 and seed 0 for any fold and seed.
    """

    axis: str
    value: str
    setting: RunConfig


@dataclass(frozen=True)
class Point:
    """What a trial gave.

    Attributes:
        trial: the point of its axis.
        war: (k,) of its k finished runs, in [0, 1]; ``softmax_war`` of the twins'.
        softmax_war: see ``war``.
        uar: likewise.
        within_between: (k,) in the tapped features of the held-out clips; NaN where undefined.
        one_aside: (k,) the same with one class set aside, that which leaves most of it: what falls
            here too is not the work of a single class. See :mod:`ecstfl.evaluation.without_class`.
        difference: WAR against softmax-only on the clips that both scored, with its interval over
            people (and seeds, when there are several), in [-1, 1].
        tighter: within/between against softmax-only, with its interval over folds (over seeds
            where there is one fold; NaN where there is one pair); below 0 is tighter.
    """

    trial: Trial
    war: tuple[float, ...]
    softmax_war: tuple[float, ...]
    uar: tuple[float, ...]
    within_between: tuple[float, ...]
    one_aside: tuple[float, ...]
    difference: Interval
    tighter: Interval


Axis = Callable[[RunConfig], list[Trial]]


def _weights(axis: str, losses: Sequence[LossConfig]) -> Axis:
    return lambda base: [
        Trial(axis, f"{loss.weight:g}", replace(base, loss=loss)) for loss in losses
    ]


def _of_loss(axis: str, name: str, values: Sequence) -> Axis:
    return lambda base: [
        Trial(axis, f"{v:g}", replace(base, loss=replace(base.loss, **{name: v}))) for v in values
    ]


def _of_training(axis: str, name: str, values: Callable[[int], Sequence[int]]) -> Axis:
    return lambda base: [
        Trial(axis, f"{v:g}", replace(base, optim=replace(base.optim, **{name: v})))
        for v in values(getattr(base.optim, name))
    ]


def _taps(base: RunConfig) -> list[Trial]:
    names = ("relu7", "fc7", "relu6") if base.backbone.name == "c3d" else (base.backbone.tap,)
    return [
        Trial("tapped layer", tap, replace(base, backbone=replace(base.backbone, tap=tap)))
        for tap in names
    ]


def _widths(base: RunConfig) -> list[Trial]:
    width = base.backbone.width
    return [
        Trial("width", f"{w}", replace(base, backbone=replace(base.backbone, width=w)))
        for w in (max(1, width // 2), width, 2 * width)
    ]


def _sampler(base: RunConfig) -> list[Trial]:
    # 3 of each of the 7 classes is the batch nearest to 24 that every class shares evenly.
    even = replace(base.optim, per_class=3, batch=21)
    return [
        Trial("batches", "plain", base),
        Trial("batches", "3 per class", replace(base, optim=even)),
    ]


def _bounded(base: RunConfig) -> list[Trial]:
    bounded, free = (
        replace(base, backbone=replace(base.backbone, fc_batch_norm=on)) for on in (True, False)
    )
    return [
        Trial("features", "bounded by BatchNorm", bounded),
        Trial("features", "not bounded", free),
    ]


def _people(base: RunConfig) -> list[Trial]:
    # As many steps as with the 120 people of the embedded data's three training folds.
    trials = [
        Trial("people to train on", f"{n}", _longer(replace(base, train_groups=n), 120 / n))
        for n in (20, 40, 80)
    ]
    return [*trials, Trial("people to train on", "all", base)]


def _longer(base: RunConfig, times: float) -> RunConfig:
    return replace(base, optim=replace(base.optim, epochs=round(times * base.optim.epochs)))


def _noise(base: RunConfig) -> list[Trial]:
    return [
        Trial("wrong labels", f"{share:.0%}", replace(base, label_noise=share))
        for share in (0.0, 0.2, 0.4)
    ]


def _votes(base: RunConfig) -> list[Trial]:
    return [Trial("raters a label", f"{n}", replace(base, votes=n)) for n in (1, 3, 10)]


def _other_losses(base: RunConfig) -> list[Trial]:
    losses = [CENTER, CONTRASTIVE_CENTER]
    losses += [LossConfig(name, weight=0.1) for name in ("supcon", "triplet")]
    return [Trial("other losses", loss.method, replace(base, loss=loss)) for loss in losses]


AXES: dict[str, Axis] = {
    **{
        form: _weights(f"lambda, {form} form", [LossConfig("ec-stfl", form, w) for w in weights])
        for form, weights in WEIGHTS.items()
    },
    "center": _weights(
        "lambda, center loss", [LossConfig("center", weight=w) for w in CENTER_WEIGHTS]
    ),
    "warmup": _of_loss("warm-up of lambda, share of training", "warmup", (0.0, 0.25, 0.5, 1.0)),
    "tap": _taps,
    "sampler": _sampler,
    "batch": _of_training("batch", "batch", lambda b: (b // 2, b, 2 * b)),
    "epochs": _of_training("epochs", "epochs", lambda e: (e // 2, e, 2 * e)),
    "bounded": _bounded,
    "people": _people,
    "noise": _noise,
    "votes": _votes,
    "width": _widths,
    "cousins": _other_losses,
}


def plan_study(plan: Plan, axes: Sequence[str]) -> tuple[list[Trial], Plan]:
    """Expand axes into trials and into the runs that they need, softmax-only included.

    Args:
        plan: of validation runs. Its settings stay; the profile's first EC-STFL method is the one
            that axes other than lambda's are tried with.
        axes: names from :data:`AXES`.

    Returns:
        The trials in the order of the axes, and the plan with each run once, seed by seed and
        fold by fold.

    Raises:
        UserError: an unknown axis, or a profile without EC-STFL.
    """
    for name in axes:
        if name not in AXES:
            raise UserError(f"unknown axis {name!r} of the study: use some of {', '.join(AXES)}")
    method = next((m for m in plan.profile.methods if m.method == "ec-stfl"), None)
    if method is None:
        raise UserError(f"the {plan.profile.name} profile has no EC-STFL method to study")
    templates = [run for run in plan.runs if run.loss == method]
    base = replace(templates[0], fold=0, seed=0)
    trials = [trial for name in axes for trial in AXES[name](base)]
    settings = list(dict.fromkeys(s for t in trials for s in (_softmax(t.setting), t.setting)))
    runs = [replace(s, fold=c.fold, seed=c.seed) for c in templates for s in settings]
    check_folds(plan.clipset, runs)
    return trials, replace(plan, runs=tuple(runs))


def _softmax(setting: RunConfig) -> RunConfig:
    """Return the softmax-only twin: one for all taps, which change nothing that it learns."""
    tap = "relu7" if setting.backbone.name == "c3d" else setting.backbone.tap
    return replace(setting, loss=LossConfig(), backbone=replace(setting.backbone, tap=tap))
