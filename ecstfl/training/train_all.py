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
from typing import Any

import torch
from tqdm import tqdm

from ecstfl.clips.preprocess_set import Prepared, preprocess
from ecstfl.datasets.clipset import ClipSet
from ecstfl.errors import UserError
from ecstfl.losses.methods import method_names
from ecstfl.runs.config import RunConfig
from ecstfl.runs.places import Places
from ecstfl.runs.run_folder import claim, finished_run, run_directory, sweep
from ecstfl.training.parallel import crew, decide
from ecstfl.training.train import train_run


def is_missing(config: RunConfig, places: Places) -> bool:
    """Whether a run is yet to be trained; the processes of one training must all think alike."""
    return decide(crew().first and finished_run(places.results, config) is None)


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
        for config in configs:  # a process may have ended in the middle of a file
            sweep(run_directory(places.results, config))


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
        pending = [c for c in configs if is_missing(c, places)]
        if crew().first:
            clear([c for c in configs if c not in pending], places)
        if not pending:
            return
        trained = False
        for config in pending:
            directory = run_directory(places.results, config)
            # of the processes of one training the first claims for all
            with claim(directory) if crew().first else nullcontext(True) as mine:
                if not decide(mine) or not is_missing(config, places):
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


def clear(finished: list[RunConfig], places: Places) -> None:
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
