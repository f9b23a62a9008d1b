"""A plan: which clips, which runs of them, and how to get them trained.

The plan is made and printed before anything costs time, and what would fail later is said then.
Finished runs are reused and killed ones resumed, so the same command can be stopped and given
again at any time.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ecstfl.clips.checksums import with_checksums
from ecstfl.clips.preprocess_set import Prepared, preprocess
from ecstfl.datasets.clipset import ClipSet
from ecstfl.distributed import is_main_process, main_process_first, world_size
from ecstfl.errors import UserError
from ecstfl.experiments.profiles import Profile, plan_runs, select_clips
from ecstfl.files import cores
from ecstfl.labels import CLASSES
from ecstfl.models.backbones import TITLES
from ecstfl.runs.config import RunConfig
from ecstfl.runs.places import Places, check_results
from ecstfl.training.estimate import bfloat16_advice, estimate_minutes
from ecstfl.training.splits import split_clips, training_labels
from ecstfl.training.train_all import clear, is_missing, train_all

MANY = 30
"""Runs above which the plan prints their number only."""


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        profile: the settings, as they are used with these clips.
        clipset: the labelled clips, with folds and checksums, before preprocessing.
        runs: every run, finished or not.
    """

    profile: Profile
    clipset: ClipSet
    runs: tuple[RunConfig, ...]


@dataclass(frozen=True)
class Work:
    """How a plan is carried out; none of it changes a result.

    Attributes:
        workers: runs trained side by side; None: one a core on the CPU, one on a GPU.
        device: ``auto``, ``cpu`` or ``cuda``.
        allow_missing: go on without clips that cannot be read; else they stop the work, because
            a table over other clips than planned is another table.
        train: False leaves out training: what is finished is rendered.
        command: recorded beside each figure.
        say: prints one line.
    """

    workers: int | None = None
    device: str = "auto"
    allow_missing: bool = False
    train: bool = True
    command: str = "ecstfl reproduce"
    say: Callable[[str], None] = print


def make_plan(
    profile: Profile,
    clipset: ClipSet,
    places: Places,
    *,
    folds: tuple[int, ...] | None = None,
    seeds: tuple[int, ...] | None = None,
    evaluate: str = "test",
) -> Plan:
    """Choose the clips of a profile and expand it into runs.

    Args:
        profile: what to run.
        clipset: labelled clips with folds.
        places: the cache remembers the clips' checksums.
        folds, seeds, evaluate: see :func:`ecstfl.experiments.profiles.plan_runs`.

    Raises:
        UserError: files or folds are missing, or too few clips are left to train on.
    """
    if clipset.aligned:  # DFEW's face versions: cut by the authors, not to be cut again
        profile = replace(profile, preprocess=replace(profile.preprocess, alignment="none"))
    clipset = select_clips(profile, clipset)
    with main_process_first():  # it reads the files; the others find what it remembers
        clipset = with_checksums(clipset, places.cache, progress=is_main_process())
    runs = plan_runs(profile, clipset, folds=folds, seeds=seeds, evaluate=evaluate)
    check_folds(clipset, runs)
    return Plan(profile, clipset, tuple(runs))


def settings_of(results: Path) -> dict[str, str]:
    """Return ``profile`` and ``data`` of the runs in a results folder; nothing where none are."""
    try:
        told = json.loads((results / "plan.json").read_text(encoding="utf-8"))
        return {name: str(told[name]) for name in ("profile", "data")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def check_folds(clipset: ClipSet, runs: Sequence[RunConfig]) -> None:
    """Refuse runs whose training clips are too few to tell anything apart.

    Raises:
        UserError: a part is empty, or fewer than two clips, or clips of one expression only, are
            left to train on; or more votes are asked for than there are.
    """
    fewest = max(2, world_size())  # BatchNorm has no variance for one clip
    for config in runs:
        train, _ = split_clips(clipset, config)
        shown = [CLASSES[label] for label in np.unique(training_labels(clipset, train, config))]
        if len(train) < fewest or len(shown) < 2:
            raise UserError(
                f"fold {config.fold} of {clipset.name} leaves {len(train)} clip(s) to train on "
                f"({', '.join(shown)}): at least {fewest} of two expressions are needed, "
                "add clips of other people"
            )


def carry_out(plan: Plan, places: Places, work: Work) -> None:
    """Print the plan and train what is missing of it.

    Raises:
        UserError: anything in the input or the folders that stops the work, in one sentence.
    """
    main, say = is_main_process(), work.say  # of several that torchrun started
    device = choose_device(work.device)
    if main:
        check_results(places.results, plan.runs[0])
    todo = [config for config in plan.runs if is_missing(config, places)]
    if main:
        clear([config for config in plan.runs if config not in todo], places)
    _tell(plan, todo, work)
    if not todo:
        say("Steps 1 and 2 of 3: nothing to do, every run of this plan is finished")
        return
    if not work.train:
        say(f"Steps 1 and 2 of 3: left out; {len(todo)} of {len(plan.runs)} run(s) are missing")
        return
    say(f"Step 1 of 3: faces and clips (cache: {places.cache})")
    started = time.perf_counter()
    with main_process_first():
        prepared = preprocess(plan.clipset, plan.profile.preprocess, places.cache, progress=main)
    say(_preprocess_summary(prepared, time.perf_counter() - started))
    _check_prepared(prepared, plan, todo, work.allow_missing)
    workers = work.workers or (min(len(todo), cores()) if device == "cpu" else 1)
    workers = min(workers, len(todo)) if world_size() == 1 else 1  # else all are on one run
    minutes = estimate_minutes(todo, prepared, workers, device)
    say(
        f"Step 2 of 3: training {len(todo)} run(s), {workers} at a time on {device}; "
        + ("memory may be short" if math.isnan(minutes) else f"about {minutes:.0f} min")
    )
    if advice := bfloat16_advice(todo[0], prepared, workers, device):
        say(f"  Note: {advice}")
    train_all(todo, plan.clipset, prepared, places, workers=workers, device=device)


def choose_device(device: str) -> str:
    """Turn ``auto`` into ``cuda`` or ``cpu``; refuse a GPU that is not there."""
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"unknown device {device!r}: use auto, cpu or cuda")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("no CUDA GPU is usable here: use --device cpu (ecstfl doctor says more)")
    return device


def _tell(plan: Plan, todo: Sequence[RunConfig], work: Work) -> None:
    profile, clipset, net, say = plan.profile, plan.clipset, plan.profile.backbone, work.say
    say(f"Plan: {profile.name} profile on {clipset.name}{' (synthetic)' * clipset.synthetic}")
    groups = len(set(clipset.groups.tolist()) - {""})
    say(f"  clips   {len(clipset)}" + (f" of {groups} identities" if groups else ""))
    say(
        f"  input   {profile.augment.frames} x {profile.augment.size} x {profile.augment.size}, "
        f"{TITLES[net.name]} width {net.width}, EC-STFL tapped at {net.tap}"
    )
    state = "to train" if work.train else "missing"
    if len(plan.runs) > MANY:
        done = len(plan.runs) - len(todo)
        say(f"  runs    {len(plan.runs)}: {done} finished, reused; {len(todo)} {state}")
        return
    for config in plan.runs:
        told = state if config in todo else "finished, reused"
        say(f"  run     {config.name}: {config.optim.epochs} epochs, {told}")


def _check_prepared(
    prepared: Prepared, plan: Plan, todo: Sequence[RunConfig], allow_missing: bool
) -> None:
    """Refuse clips that cannot be read, and folds from which too many faces are missing."""
    broken = [entry for entry in prepared.report["dropped"] if entry["kind"] == "unreadable"]
    if broken and not allow_missing:
        raise UserError(
            f"{len(broken)} clip(s) of {plan.clipset.name} cannot be read, first "
            f"{broken[0]['id']}: {broken[0]['reason']}; restore them, or go on without with "
            "--allow-missing"
        )
    if not len(prepared.clipset):
        raise UserError(f"no clip of {plan.clipset.name} has a face that can be used: see above")
    check_folds(prepared.clipset, todo)


def _preprocess_summary(prepared: Prepared, seconds: float) -> str:
    kept, dropped = len(prepared.clipset), len(prepared.report["dropped"])
    text = f"  {kept} clips ready, {dropped} left out ({seconds:.0f} s)"
    for entry in prepared.report["dropped"][:3]:
        text += f"\n    left out: {entry['id']}: {entry['reason']}"
    return text
