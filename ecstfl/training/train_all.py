"""Train the runs of a plan, several side by side, each claimed by one process.

On the CPU each run has a process and its share of the cores to itself: small networks gain more
from that than from threads.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ecstfl.clips.preprocess_set import Prepared, preprocess
from ecstfl.datasets.clipset import ClipSet
from ecstfl.distributed import broadcast, is_main_process
from ecstfl.errors import UserError
from ecstfl.files import cores
from ecstfl.losses.methods import method_names
from ecstfl.runs.config import RunConfig
from ecstfl.runs.places import Places
from ecstfl.runs.run_folder import claim, finished_run, run_directory, sweep
from ecstfl.training.loop import train_run


def is_missing(config: RunConfig, places: Places) -> bool:
    """Whether a run is yet to be trained; the processes of one training must all think alike."""
    return broadcast(is_main_process() and finished_run(places.results, config) is None)


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
        with _Bars(configs) as bars:
            _train_pending(configs, prepared, places, device, bars.start, bars.epoch)
        return
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    arguments = (configs, clipset, places, device, max(1, cores() // workers), messages)
    processes = [
        context.Process(target=_worker, args=(*arguments, n), daemon=True) for n in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        with _Bars(configs) as bars:
            _follow(processes, messages, bars)
        for process in processes:  # one that is ended while it ends leaves its semaphores behind
            process.join(timeout=60)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        for config in configs:  # a process may have ended in the middle of a file
            sweep(run_directory(places.results, config))


def _follow(processes: list[Any], messages: Any, bars: _Bars) -> None:
    """Show what the processes report, until all are done or one has failed."""
    working = set(range(len(processes)))
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
        if kind == "start":
            bars.start(*content)
        elif kind == "epoch":
            bars.epoch(*content)
        elif kind == "error":
            raise UserError(content[0])
        elif kind == "crash":
            raise RuntimeError(f"a training process failed:\n{content[0]}")
        else:
            working.discard(content[0])


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

    def tell(kind: str, *content: Any) -> None:
        if os.getppid() != parent:
            sys.exit(1)  # nobody is listening any more; the checkpoint is written
        messages.put((kind, *content))

    try:
        prepared = preprocess(clipset, configs[0].preprocess, places.cache, progress=False)
        # Each worker starts at another run, so that they rarely want the same one.
        order = configs[number:] + configs[:number]
        _train_pending(
            order, prepared, places, device, partial(tell, "start"), partial(tell, "epoch")
        )
        messages.put(("done", number))
    except UserError as error:
        messages.put(("error", str(error)))
    except Exception:
        messages.put(("crash", traceback.format_exc()))


def _train_pending(
    configs: list[RunConfig],
    prepared: Prepared,
    places: Places,
    device: str,
    start: Callable[[RunConfig], None],
    epoch: Callable[[RunConfig, int, dict[str, float]], None],
) -> None:
    """Train what is neither finished nor claimed, until everything is finished."""
    trained = True
    while trained:  # else the rest is claimed by a process that will finish it
        trained = False
        pending = [c for c in configs if is_missing(c, places)]
        clear([c for c in configs if c not in pending], places)
        for config in pending:
            with _claimed(run_directory(places.results, config)) as mine:
                if not mine or not is_missing(config, places):
                    continue
                start(config)
                train_run(
                    config,
                    prepared.clipset,
                    prepared.clips,
                    places.results,
                    device=device,
                    progress=lambda done, _, record, config=config: epoch(config, done, record),
                )
                trained = True


@contextmanager
def _claimed(directory: Path) -> Iterator[bool]:
    """Claim a run; of the processes of one training the main one claims it for all."""
    with claim(directory) if is_main_process() else nullcontext(True) as mine:
        yield broadcast(mine)


def clear(finished: list[RunConfig], places: Places) -> None:
    """Remove the checkpoint that a process left when it died right after its last word."""
    for config in finished:
        (run_directory(places.results, config) / "checkpoint.pt").unlink(missing_ok=True)


class _Bars:
    """One tqdm bar a run: epochs, seconds left, and how many clips are right so far.

    Several runs have one more bar, of all their epochs. Only the main process draws.
    """

    def __init__(self, configs: list[RunConfig]) -> None:
        several = len(configs) > 1
        self._place = {config: i + several for i, config in enumerate(configs)}
        self._bars: dict[RunConfig, tqdm] = {}
        epochs = sum(config.optim.epochs for config in configs)
        self._all = self._bar("all runs", epochs, 0) if several else None

    def __enter__(self) -> _Bars:
        return self

    def _bar(self, name: str, epochs: int, place: int) -> tqdm:
        quiet = not is_main_process()
        return tqdm(total=epochs, desc=name, unit="epoch", position=place, disable=quiet)

    def start(self, config: RunConfig) -> None:
        """Open the bar of a run; from here its time is counted."""
        name = f"{method_names(config.loss)[-1]} fold {config.fold} seed {config.seed}"
        self._bars[config] = self._bar(name, config.optim.epochs, self._place[config])

    def epoch(self, config: RunConfig, done: int, record: dict[str, float]) -> None:
        """Show an epoch's record; the first one tells how many an earlier command has done."""
        bar = self._bars[config]
        before = bar.n
        if not before:
            before = bar.n = bar.initial = done - 1
            if self._all is not None:
                self._all.initial += before
                self._all.n += before
        told = {"CE": f"{record['ce']:.2f}", "training clips right": f"{record['train_war']:.0%}"}
        if "held_out_war" in record:
            told["held-out"] = f"{record['held_out_war']:.0%}"
        bar.set_postfix(told, refresh=False)
        bar.update(done - before)
        if self._all is not None:
            self._all.update(done - before)

    def __exit__(self, *_: object) -> None:
        for bar in [*self._bars.values(), *([self._all] if self._all is not None else [])]:
            bar.close()
