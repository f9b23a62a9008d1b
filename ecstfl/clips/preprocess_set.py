"""A whole set of clips: prepared on all cores, cached, resumed after a kill, reported.

Clips are cached one by one under the SHA-256 of their content and the options: a run that was
killed goes on where it stopped, sets that share clips share the work, and a renamed file is not
prepared again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from tqdm import tqdm

from ecstfl import __version__
from ecstfl import workers as processes
from ecstfl.clips.cache import ClipCache, DamagedClip, Entry, StoredClips, Track
from ecstfl.clips.checksums import content_keys
from ecstfl.clips.config import PreprocessConfig
from ecstfl.clips.preprocess import open_backend, preprocess_clip
from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.errors import UserError
from ecstfl.files import cores

IN_MEMORY: Final = 512 * 2**20
"""Prepared clips up to this many bytes are read into memory; above, each when it is asked for."""


@dataclass(frozen=True)
class Prepared:
    """A set of clips, prepared.

    Attributes:
        clips: (n, T, S, S, 3) uint8 RGB; larger sets (half a gigabyte) stay on disk.
        clipset: the n clips kept, in the same order.
        report: JSON-able: what was kept, dropped and why, coverage, speed, configuration.
        coverage: (n,) share of frames with a face, 0..1.
        track: function from a position 0..n-1 to what aligned that clip.
    """

    clips: np.ndarray | StoredClips
    clipset: ClipSet
    report: dict[str, Any]
    coverage: np.ndarray
    track: Callable[[int], Track] = field(repr=False, compare=False)


def preprocess(
    clipset: ClipSet,
    config: PreprocessConfig,
    cache_dir: Path,
    workers: int | None = None,
    progress: bool = True,
    time_limit: float = 600.0,
) -> Prepared:
    """Prepare every clip of a set, or open what was prepared before.

    A clip that cannot be read, has too few faces, crashes the decoder or takes longer than
    ``time_limit`` is named in the report and left out.

    Args:
        clipset: the clips. A set whose frames are aligned faces already (``clipset.aligned``) is
            prepared with ``alignment="none"``.
        config: how.
        cache_dir: folder of the cache; created when missing.
        workers: processes; by default one a core. 0 works in this process (for debugging:
            a decoder crash then takes it down, and no time limit holds).
        progress: show a progress bar on stderr.
        time_limit: seconds for one clip.

    Returns:
        The kept clips in the order of ``clipset``, and the report. No clip kept is a result.

    Raises:
        UserError: the backend is not available, or the cache cannot be written.
    """
    start = time.perf_counter()
    if clipset.aligned:
        config = replace(config, alignment="none")  # the report's configuration says so
    shape = (config.frames, config.size, config.size, 3)
    cache = ClipCache(Path(cache_dir) / config.key, shape)
    cache.open(config.options | {"ecstfl": __version__})
    keys, failures = content_keys(clipset, config, Path(cache_dir), progress)

    while True:
        entries = {key: entry for key in set(keys.values()) if (entry := cache.load(key))}
        todo = {keys[c.id]: c for c in clipset if keys.get(c.id, "") not in {"", *entries}}
        from_cache = sum(key in entries for key in keys.values())
        if todo:
            if config.alignment != "none" and not config.reads_landmarks:
                open_backend(config)  # a missing backend ends the run here, with one sentence
            with cache.writing():
                todo = {key: clip for key, clip in todo.items() if cache.load(key) is None}
                lost = _prepare(todo, config, cache, workers, progress, time_limit)
            failures |= {clip_id: lost[key] for clip_id, key in keys.items() if key in lost}
            entries |= {key: entry for key in keys.values() if (entry := cache.load(key))}
        kept, clipset_kept, report = _report(clipset, config, keys, entries, failures)
        clips = _open(cache, kept)
        if clips is not None:
            break

    seconds = time.perf_counter() - start
    report["from_cache"] = from_cache
    report["seconds"] = round(seconds, 3)
    report["clips_per_second"] = round(len(clipset) / max(seconds, 1e-9), 2)
    coverage = np.array([entry.coverage for entry in kept])
    return Prepared(clips, clipset_kept, report, coverage, lambda i: cache.track(kept[i]))


def _open(cache: ClipCache, kept: list[Entry]) -> np.ndarray | StoredClips | None:
    """Return the clips; None when damaged ones were found, which are to be prepared anew."""
    stored = StoredClips(cache, kept)
    if math.prod(stored.shape) > IN_MEMORY:
        return stored
    clips, whole = np.empty(stored.shape, np.uint8), True
    for row, entry in enumerate(kept):
        try:
            clips[row] = cache.frames(entry)
        except DamagedClip:
            whole = False
    return clips if whole else None


def _prepare(
    todo: dict[str, Clip],
    config: PreprocessConfig,
    cache: ClipCache,
    n_workers: int | None,
    progress: bool,
    time_limit: float,
) -> dict[str, str]:
    """Prepare clips into the cache; return key -> reason of those that may succeed next time."""
    jobs = [(key, clip.id, str(clip.source)) for key, clip in todo.items()]
    n_workers = min(cores() if n_workers is None else n_workers, len(jobs))
    names = [source for *_, source in jobs]
    stream = processes.run(partial(clip_maker, config, cache), jobs, names, n_workers, time_limit)
    lost = {}
    off = not progress or not jobs
    with (
        closing(stream),
        tqdm(total=len(jobs), desc="faces", unit="clip", disable=off, smoothing=0.05) as bar,
    ):
        for index, cache_problem, problem in stream:
            if cache_problem:
                raise UserError(cache_problem)
            if problem:
                lost[jobs[index][0]] = problem
            bar.update()
    return lost


def clip_maker(config: PreprocessConfig, cache: ClipCache) -> Callable[[tuple[str, str, str]], str]:
    """Return what runs in each process: (key, clip id, source) -> why the cache cannot be written.

    What is wrong with a clip is stored in its place, so that it is not tried again.
    """
    cv2.setNumThreads(1)

    def make(job: tuple[str, str, str]) -> str:
        key, clip_id, source = job
        backend = None if config.alignment == "none" else open_backend(config, clip_id)
        clip, reason = None, ""
        try:
            clip = preprocess_clip(Path(source), config, backend)
            if not len(clip.kept):
                reason = f"no face in {clip.n_source} frames"
        except UserError as error:
            # stored by content: another run may find the same bytes under another name
            reason = str(error).replace(source, "{source}")
        try:
            cache.save(key, clip, reason)
        except UserError as error:
            return str(error)
        return ""

    return make


def _report(
    clipset: ClipSet,
    config: PreprocessConfig,
    keys: dict[str, str],
    entries: dict[str, Entry],
    failures: dict[str, str],
) -> tuple[list[Entry], ClipSet, dict[str, Any]]:
    """Return the entries and the clips that are kept, and the report of all."""
    kept, keep, dropped, warnings, seen = [], [], [], [], []
    for clip in clipset:
        entry = None if clip.id in failures else entries.get(keys[clip.id])
        if entry is None:
            reason = failures.get(clip.id, f"{clip.source}: was not prepared")
        else:
            seen.append(entry)
            reason = entry.reason.replace("{source}", str(clip.source))
            if entry.problems:
                warnings.append({"id": clip.id, "problems": list(entry.problems)})
            if not reason and entry.coverage < config.min_coverage:
                reason = (
                    f"a face in {entry.n_kept} of {entry.n_source} frames "
                    f"({entry.coverage:.0%}), less than {config.min_coverage:.0%}"
                )
        keep.append(not reason)
        if entry is not None and not reason:
            kept.append(entry)
        else:
            # A clip without enough faces is a result; one that cannot be read is a defect.
            kind = "faces" if entry is not None and entry.n_source else "unreadable"
            source = str(clip.source)
            dropped.append({"id": clip.id, "source": source, "kind": kind, "reason": reason})
    coverages = [entry.coverage for entry in seen if entry.n_source]
    report = {
        "name": clipset.name,
        "synthetic": clipset.synthetic,
        "notes": list(clipset.notes),
        "config": asdict(config),
        "cache_key": config.key,
        "backends": sorted({entry.backend for entry in kept}),
        "n_clips": len(clipset),
        "n_kept": len(kept),
        "n_dropped": len(dropped),
        "dropped": dropped,
        "warnings": warnings,
        "mean_coverage": float(np.mean(coverages)) if coverages else None,
        "frames_read": sum(entry.n_source for entry in seen),
        "frames_kept": sum(entry.n_kept for entry in seen),
    }
    return kept, clipset.subset(keep), report
