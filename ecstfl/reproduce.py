"""From a data set to the table and the figures: plan, preprocess, train, render.

The work is planned first and printed. Finished runs are reused and killed ones resumed, so the
same command can be stopped and given again at any time. On the CPU as many runs train side by
side as there are cores, each on its own: small networks gain more from that than from threads.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from ecstfl import changes
from ecstfl.augment import training_view
from ecstfl.backbones import TITLES
from ecstfl.clipset import ClipSet
from ecstfl.config import RunConfig, from_dict
from ecstfl.errors import UserError
from ecstfl.memory import is_out_of_memory
from ecstfl.parallel import crew, decide, wait
from ecstfl.preprocess import Prepared, preprocess, with_checksums
from ecstfl.profiles import Profile, method_names, plan_runs, select_clips
from ecstfl.runs import (
    atomic_write,
    claim,
    finished_run,
    move_aside,
    read_features,
    run_directory,
    write_json,
)
from ecstfl.table import build_table, markdown, to_csv, to_html, to_latex
from ecstfl.train import build_backbone, split_clips, train_run

SECONDS_A_FRAME = 0.005
"""Rough cost of decoding, detecting and aligning one 224-pixel frame on one core (for plans)."""


@dataclass(frozen=True)
class Places:
    """Where a reproduction reads and writes.

    Attributes:
        results: ``table.md``, ``changes.md``, both as CSV, and ``runs/``.
        figures: PNG, SVG and JSON.
        cache: preprocessed clips.
    """

    results: Path
    figures: Path
    cache: Path


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
        command: recorded beside each figure.
        say: prints one line.

    Returns:
        The files written or found up to date: table first, then figures.

    Raises:
        UserError: anything in the input or the folders that stops the work, in one sentence.
    """
    device = choose_device(device)
    ours = crew()  # alone, unless torchrun started several processes that have joined
    if not ours.first:
        say = _silent
    if clipset.aligned:  # DFEW's face versions: cut by the authors, not to be cut again
        profile = replace(profile, preprocess=replace(profile.preprocess, alignment="none"))
    clipset = select_clips(profile, clipset)
    if not ours.first:
        wait()  # the first reads the files; the others find what it remembers
    clipset = with_checksums(clipset, places.cache, progress=ours.first)
    if ours.first:
        wait()
    configs = plan_runs(profile, clipset, folds=folds, seeds=seeds, evaluate=evaluate)
    if ours.first:
        check_results(places.results, configs[0])
        if not resume:
            _set_aside(places.results, configs, say)
    todo = [c for c in configs if _is_missing(c, places)]
    if ours.first:
        _clear([c for c in configs if c not in todo], places)
    if not ours.alone:
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
        if not ours.first:
            wait()  # the first fills the cache
        prepared = preprocess(clipset, profile.preprocess, places.cache, progress=ours.first)
        if ours.first:
            wait()
        say(_preprocess_summary(prepared, time.perf_counter() - started))
        broken = [e for e in prepared.report["dropped"] if e["kind"] == "unreadable"]
        if broken and not allow_missing:
            raise UserError(
                f"{len(broken)} clip(s) of {clipset.name} cannot be read, first {broken[0]['id']}: "
                f"{broken[0]['reason']}; restore them, or go on without with --allow-missing"
            )
        if not len(prepared.clipset):
            raise UserError(f"no clip of {clipset.name} has a face that can be used: see above")
        if ours.first:
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
    if not ours.first:
        return []
    notes = () if clipset.synthetic else clipset.notes  # what the reader found amiss in the data
    return render(configs, places, command=command, data_notes=notes, say=say)


def _silent(_: str) -> None:
    """Say nothing: the first process of the training says it."""


def _is_missing(config: RunConfig, places: Places) -> bool:
    """Whether a run is yet to be trained; the processes of one training must all think alike."""
    return decide(crew().first and finished_run(places.results, config) is None)


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


def estimate_minutes(
    configs: list[RunConfig], prepared: Prepared, workers: int, device: str
) -> float:
    """Time two training steps of the first run and scale up: minutes for all ``configs``."""
    first = configs[0]
    a_clip = seconds_a_clip(first, prepared, workers, device, first.optim.precision)
    clips = sum(
        c.optim.epochs * len(split_clips(prepared.clipset, c)[0]) * 1.1 for c in configs
    )  # a tenth more: optimiser, and scoring the held-out fold for the curves
    return a_clip * clips / workers / 60


def seconds_a_clip(
    config: RunConfig, prepared: Prepared, workers: int, device: str, precision: str
) -> float:
    """Time the best of four training steps of a run, as one of ``workers``, after a first."""
    model = build_backbone(config.backbone, config.augment.frames, config.augment.size)
    model = model.to(device, memory_format=torch.channels_last_3d)
    stored = torch.from_numpy(np.ascontiguousarray(prepared.clips[: config.optim.batch]))
    stored = stored.to(device)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    try:
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            view = training_view(stored, config.augment, torch.Generator().manual_seed(0))
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                out = model(view)
            out.float().logsumexp(1).sum().backward()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return float("nan")  # the training itself will say which batch would fit
    finally:
        torch.set_num_threads(threads)
    return min(seconds[1:]) / len(stored)


def bfloat16_advice(config: RunConfig, prepared: Prepared, workers: int, device: str) -> str | None:
    """Return a sentence where bfloat16 is slower than float32, as on CPUs that emulate it."""
    if config.optim.precision != "bf16":
        return None
    ours, plain = (seconds_a_clip(config, prepared, workers, device, p) for p in ("bf16", "fp32"))
    if not ours >= 1.5 * plain:  # a busy machine can make either look slower than it is
        return None
    return (
        f"this {device} has no fast bfloat16: a step takes {ours / plain:.1f} times as long as in "
        "float32; --precision fp32 is the same training in other digits (and other runs)"
    )


def train_all(
    configs: list[RunConfig],
    clipset: ClipSet,
    prepared: Prepared,
    places: Places,
    *,
    workers: int,
    device: str,
) -> None:
    """Train runs, ``workers`` at a time, with one progress bar each.

    Several calls, also from several terminals, may share one results folder: a run is claimed
    while it is trained, and nobody trains a claimed or finished run.

    Raises:
        UserError: a run failed; the others' finished work is kept.
    """
    if workers == 1:
        with _Bars(configs if crew().first else []) as bars:
            _train_pending(configs, prepared, places, device, bars.epoch)
        return
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    threads = max(1, (os.cpu_count() or 1) // workers)
    arguments = (configs, clipset, places, device, threads, messages)
    processes = [
        context.Process(target=_worker, args=(*arguments, n), daemon=True) for n in range(workers)
    ]
    with _keeping_memory():
        for process in processes:
            process.start()
    try:
        with _Bars(configs) as bars:
            working = set(range(workers))
            while working:
                try:
                    kind, *content = messages.get(timeout=1.0)
                except queue.Empty:
                    dead = [n for n in working if processes[n].exitcode not in (None, 0)]
                    if dead and messages.empty():
                        raise UserError(
                            "a training process was killed (out of memory?); finished epochs are "
                            "kept: run the same command again, with --workers 1"
                        ) from None
                    continue
                if kind == "epoch":
                    bars.epoch(*content)
                elif kind == "error":
                    raise UserError(content[0])
                elif kind == "crash":
                    raise RuntimeError(f"a training process failed:\n{content[0]}")
                else:
                    working.discard(content[0])
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


@contextmanager
def _keeping_memory() -> Iterator[None]:
    """Start processes that keep freed memory, unless the environment says otherwise.

    glibc hands blocks of a step's size back to the system after every use, and getting them again
    costs a tenth of the step. Other libraries ignore this.
    """
    wanted = {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(2**36),
        "MALLOC_TOP_PAD_": str(2**26),
    }
    added = [name for name in wanted if name not in os.environ]
    os.environ.update({name: wanted[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _worker(
    configs: list[RunConfig],
    clipset: ClipSet,
    places: Places,
    device: str,
    threads: int,
    messages: Any,
    number: int,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(threads)
    parent = os.getppid()

    def epoch(config: RunConfig, done: int, record: dict[str, float]) -> None:
        if os.getppid() != parent:
            sys.exit(1)  # nobody is listening any more; the checkpoint is written
        messages.put(("epoch", config, done, record))

    try:
        prepared = preprocess(clipset, configs[0].preprocess, places.cache, progress=False)
        # Each worker starts at another run, so that they rarely want the same one.
        order = configs[number:] + configs[:number]
        _train_pending(order, prepared, places, device, epoch)
        messages.put(("done", number))
    except UserError as error:
        messages.put(("error", str(error)))
    except Exception:
        import traceback

        messages.put(("crash", traceback.format_exc()))


def _train_pending(
    configs: list[RunConfig],
    prepared: Prepared,
    places: Places,
    device: str,
    epoch: Callable[[RunConfig, int, dict[str, float]], None],
) -> None:
    """Train what is neither finished nor claimed, until everything is finished."""
    while True:
        pending = [c for c in configs if _is_missing(c, places)]
        if crew().first:
            _clear([c for c in configs if c not in pending], places)
        if not pending:
            return
        trained = False
        for config in pending:
            directory = run_directory(places.results, config)
            # of the processes of one training the first claims for all
            with claim(directory) if crew().first else nullcontext(True) as mine:
                if not decide(mine) or not _is_missing(config, places):
                    continue
                train_run(
                    config,
                    prepared.clipset,
                    prepared.clips,
                    places.results,
                    device=device,
                    progress=lambda done, _, record, config=config: epoch(config, done, record),
                )
                trained = True
        if not trained:
            return  # the rest is claimed by a process that will finish it


def _clear(finished: list[RunConfig], places: Places) -> None:
    """Remove the checkpoint that a process left when it died right after its last word."""
    for config in finished:
        (run_directory(places.results, config) / "checkpoint.pt").unlink(missing_ok=True)


class _Bars:
    """One tqdm bar a run, opened when its first epoch is reported."""

    def __init__(self, configs: list[RunConfig]) -> None:
        self._place = {config: i for i, config in enumerate(configs)}
        self._bars: dict[RunConfig, tqdm] = {}

    def __enter__(self) -> _Bars:
        return self

    def epoch(self, config: RunConfig, done: int, record: dict[str, float]) -> None:
        if config not in self._bars:
            self._bars[config] = tqdm(
                total=config.optim.epochs,
                initial=done - 1,
                desc=f"{method_names(config.loss)[-1]} fold {config.fold} seed {config.seed}",
                unit="epoch",
                position=self._place[config],
            )
        bar = self._bars[config]
        bar.update(done - bar.n)
        bar.set_postfix(
            {
                "CE": f"{record['ce']:.3f}",
                "train": f"{100 * record['train_war']:.0f}%",
                "ratio": f"{record['ratio']:.2f}",
            }
        )

    def __exit__(self, *_: object) -> None:
        for bar in self._bars.values():
            bar.close()


def render(
    configs: list[RunConfig],
    places: Places,
    *,
    command: str,
    data_notes: tuple[str, ...] = (),
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Write the table, what changed beside softmax-only, and the figures, from finished runs.

    Notes about the data stand below both tables.

    Returns:
        Their paths, the table's first.
    """
    table = build_table(places.results, configs)
    table = replace(table, marks=(*table.marks, *data_notes))
    text = markdown(table)
    written = []
    contents = {
        "table.md": text,
        "table.csv": to_csv(table),
        "table.html": to_html(table),
        "table.tex": to_latex(table),
    }
    runs = [run for c in configs if (run := finished_run(places.results, c)) is not None]
    if comparisons := changes.compare(runs):
        contents |= {
            "changes.md": changes.markdown(comparisons, table.marks),
            "changes.csv": changes.to_csv(comparisons),
        }
    for name, content in contents.items():
        with atomic_write(places.results / name) as file:
            file.write(content.encode())
        written.append(places.results / name)
    say("")
    say(text)
    if comparisons:
        say(contents["changes.md"])
    pair = _first_pair(configs, places.results)
    if pair is not None:
        written += _draw(pair, configs, places, command)
    for path in written:
        say(f"  {path}")
    return written


def _first_pair(configs: list[RunConfig], results: Path) -> tuple[RunConfig, RunConfig] | None:
    """Return softmax-only and the first EC-STFL run of the same fold and seed, both finished."""
    for config in configs:
        if config.loss.method != "softmax":
            continue
        for other in configs:
            if other.loss.method != "ec-stfl" or other.backbone != config.backbone:
                continue
            if (other.fold, other.seed) != (config.fold, config.seed):
                continue
            if all(finished_run(results, c) is not None for c in (config, other)):
                return config, other
    return None


def _draw(
    pair: tuple[RunConfig, RunConfig], configs: list[RunConfig], places: Places, command: str
) -> list[Path]:
    """Draw what is not up to date: a pair of runs closely, and all finished runs together."""
    from ecstfl import figures  # seaborn and UMAP cost seconds to import
    from ecstfl.forest import forest
    from ecstfl.peeking import can_peek, peeking
    from ecstfl.umap_grid import umap_grid

    runs = {c: run for c in configs if (run := finished_run(places.results, c)) is not None}
    features = {c: read_features(run_directory(places.results, c)) for c in pair}
    both = tuple(runs[c] for c in pair)
    # the same two methods on the same fold under every seed that both were trained with
    twins = [tuple(replace(c, seed=seed) for c in pair) for seed in {c.seed: 0 for c in runs}]
    twins = [pair, *(t for t in twins if t != pair and all(c in runs for c in t))]
    grid = [runs[c] for twin in twins for c in twin]

    def draw_grid() -> Figure:
        known = features | {
            c: read_features(run_directory(places.results, c)) for twin in twins[1:] for c in twin
        }
        return umap_grid([(tuple(runs[c] for c in t), tuple(known[c] for c in t)) for t in twins])

    everything = list(runs.values())
    drawings: dict[str, tuple[Sequence[dict[str, Any]], Callable[[], Figure]]] = {
        "umap": (both, lambda: figures.umap_pair(both, tuple(features[c] for c in pair))),
        "umap-grid": (grid, draw_grid),
        "confusion": (both, lambda: figures.confusion_pair(both)),
        "curves": (both, lambda: figures.learning_curves(both)),
    }
    if len(everything) > 2:
        drawings["confusion-pooled"] = (
            everything,
            lambda: figures.confusion_pooled(everything),
        )
    if changes.compare(everything):
        drawings["forest"] = (everything, lambda: forest(everything))
    if can_peek(everything):
        drawings["peeking"] = (everything, lambda: peeking(everything))
    written = []
    for name, (drawn, draw) in drawings.items():
        path = places.figures / name
        if not figures.up_to_date(path, drawn):
            figures.save_figure(draw(), path, drawn, command)
        written.append(path.with_suffix(".png"))
    return written


def check_results(results: Path, config: RunConfig) -> None:
    """Refuse a results folder that holds another data set's or profile's runs."""
    import json

    mine = {"data": config.data, "data_hash": config.data_hash, "profile": config.profile}
    path = results / "plan.json"
    if path.exists():
        try:
            theirs = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError):
            theirs = {}
        if theirs != mine:
            raise UserError(
                f"{results} holds runs of the {theirs.get('profile', '?')} profile on "
                f"{theirs.get('data', '?')} (another profile, data set or version of it): "
                "choose another folder with --results"
            )
    else:
        write_json(path, mine)


def _preprocess_summary(prepared: Prepared, seconds: float) -> str:
    kept, dropped = len(prepared.clipset), len(prepared.report["dropped"])
    text = f"  {kept} clips ready, {dropped} left out ({seconds:.0f} s)"
    for entry in prepared.report["dropped"][:3]:
        text += f"\n    left out: {entry['id']}: {entry['reason']}"
    return text


def load_config(run: dict[str, Any]) -> RunConfig:
    """Rebuild the configuration of a finished run."""
    return from_dict(RunConfig, run["config"])
