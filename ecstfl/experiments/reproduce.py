"""From a data set to the table and the figures: plan, preprocess, train, render.

The work is planned first and printed. Finished runs are reused and killed ones resumed, so the
same command can be stopped and given again at any time. :mod:`ecstfl.training.train_all` trains,
:mod:`ecstfl.experiments.report` renders.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from ecstfl.clips.checksums import with_checksums
from ecstfl.clips.preprocess_set import Prepared, preprocess
from ecstfl.datasets.clipset import ClipSet
from ecstfl.distributed import is_main_process, main_process_first, world_size
from ecstfl.errors import UserError
from ecstfl.evaluation.repeat import runs_to_meet
from ecstfl.experiments.profiles import Profile, plan_runs, select_clips
from ecstfl.experiments.report import render
from ecstfl.files import move_aside
from ecstfl.models.backbones import TITLES
from ecstfl.runs.config import RunConfig
from ecstfl.runs.places import Places, check_results
from ecstfl.runs.run_folder import claim, run_directory
from ecstfl.training.estimate import bfloat16_advice, estimate_minutes
from ecstfl.training.train_all import clear, is_missing, train_all


def reproduce(
    profile: Profile,
    clipset: ClipSet,
    places: Places,
    *,
    folds: tuple[int, ...] | None = None,
    seeds: tuple[int, ...] | None = None,
    evaluate: str = "test",
    workers: int | None = None,
    device: str = "auto",
    allow_missing: bool = False,
    resume: bool = True,
    train: bool = True,
    against: Path | None = None,
    command: str = "ecstfl reproduce",
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Run a profile on a data set and write its table and figures.

    Args:
        profile: what to run.
        clipset: labelled clips with folds.
        places: where to read and write.
        folds: folds to test, default the profile's.
        seeds: seeds, default the profile's.
        evaluate: ``test`` or ``validation``.
        workers: runs trained side by side; default: one a core on the CPU, one on a GPU.
        device: ``auto``, ``cpu`` or ``cuda``.
        allow_missing: go on without clips that cannot be read; else they stop the work, because
            a table over other clips than planned is another table.
        resume: use finished runs and go on with half-finished ones; False keeps them under
            another name and trains every run of the plan anew.
        train: False renders the runs that are finished and trains none.
        against: a results folder, of landed runs for example, to compare with: see
            :mod:`ecstfl.evaluation.repeat`.
        command: recorded beside each figure.
        say: prints one line.

    Returns:
        The files written or found up to date: table first, then figures.

    Raises:
        UserError: anything in the input or the folders that stops the work, in one sentence.
    """
    device = choose_device(device)
    main = is_main_process()  # of several that torchrun started; they work together on each run
    if not main:
        say = _silent
    if clipset.aligned:  # DFEW's face versions: cut by the authors, not to be cut again
        profile = replace(profile, preprocess=replace(profile.preprocess, alignment="none"))
    clipset = select_clips(profile, clipset)
    with main_process_first():  # it reads the files; the others find what it remembers
        clipset = with_checksums(clipset, places.cache, progress=main)
    configs = plan_runs(profile, clipset, folds=folds, seeds=seeds, evaluate=evaluate)
    landed = [] if against is None else runs_to_meet(against, configs)
    if main:
        check_results(places.results, configs[0])
        if not resume:
            _set_aside(places.results, configs, say)
    todo = [c for c in configs if is_missing(c, places)]
    if main:
        clear([c for c in configs if c not in todo], places)
    if world_size() > 1:
        workers = 1  # all processes are on one run
    if workers is None:
        workers = min(len(todo), os.cpu_count() or 1) if device == "cpu" else 1
    workers = max(1, min(workers, len(todo)))

    say(f"Plan: {profile.name} profile on {clipset.name}{' (synthetic)' * clipset.synthetic}")
    groups = len(set(clipset.groups.tolist()) - {""})
    say(f"  clips   {len(clipset)}" + (f" of {groups} identities" if groups else ""))
    net = profile.backbone
    say(
        f"  input   {profile.augment.frames} x {profile.augment.size} x {profile.augment.size}, "
        f"{TITLES[net.name]} width {net.width}, EC-STFL tapped at {net.tap}"
    )
    for config in configs:
        state = ("to train" if train else "missing") if config in todo else "finished, reused"
        say(f"  run     {config.name}: {config.optim.epochs} epochs, {state}")

    if todo and train:
        say(f"Step 1 of 3: faces and clips (cache: {places.cache})")
        started = time.perf_counter()
        with main_process_first():
            prepared = preprocess(clipset, profile.preprocess, places.cache, progress=main)
        say(_preprocess_summary(prepared, time.perf_counter() - started))
        broken = [e for e in prepared.report["dropped"] if e["kind"] == "unreadable"]
        if broken and not allow_missing:
            raise UserError(
                f"{len(broken)} clip(s) of {clipset.name} cannot be read, first {broken[0]['id']}: "
                f"{broken[0]['reason']}; restore them, or go on without with --allow-missing"
            )
        if not len(prepared.clipset):
            raise UserError(f"no clip of {clipset.name} has a face that can be used: see above")
        minutes = estimate_minutes(todo, prepared, workers, device)
        say(
            f"Step 2 of 3: training {len(todo)} run(s), {workers} at a time on {device}; "
            + ("memory may be short" if math.isnan(minutes) else f"about {minutes:.0f} min")
        )
        advice = bfloat16_advice(todo[0], prepared, workers, device)
        if advice is not None:
            say(f"  Note: {advice}")
        train_all(todo, clipset, prepared, places, workers=workers, device=device)
    elif todo:
        say(f"Steps 1 and 2 of 3: left out; {len(todo)} of {len(configs)} run(s) are missing")
    else:
        say("Steps 1 and 2 of 3: nothing to do, every run of this plan is finished")
    say("Step 3 of 3: table and figures")
    if not main:
        return []
    notes = () if clipset.synthetic else clipset.notes  # what the reader found amiss in the data
    return render(configs, places, command=command, data_notes=notes, landed=landed, say=say)


def _silent(_: str) -> None:
    """Say nothing: the main process says it."""


def _set_aside(results: Path, configs: list[RunConfig], say: Callable[[str], None]) -> None:
    """Rename the plan's run directories, so that nothing is lost and nothing is reused."""
    for config in configs:
        directory = run_directory(results, config)
        if directory.exists():
            with claim(directory) as mine:
                if not mine:
                    raise UserError(f"{directory} is being trained by another process: wait for it")
            say(f"  set aside: {move_aside(directory, 'earlier')}")


def choose_device(device: str) -> str:
    """Turn ``auto`` into ``cuda`` or ``cpu``; refuse a GPU that is not there."""
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"unknown device {device!r}: use auto, cpu or cuda")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("no CUDA GPU is usable here: use --device cpu (ecstfl doctor says more)")
    return device


def _preprocess_summary(prepared: Prepared, seconds: float) -> str:
    kept, dropped = len(prepared.clipset), len(prepared.report["dropped"])
    text = f"  {kept} clips ready, {dropped} left out ({seconds:.0f} s)"
    for entry in prepared.report["dropped"][:3]:
        text += f"\n    left out: {entry['id']}: {entry['reason']}"
    return text
