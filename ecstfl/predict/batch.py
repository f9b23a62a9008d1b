"""Many videos side by side, each in a process of its own, so that a broken one stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import torch

from ecstfl import workers
from ecstfl.predict.annotate import annotate_video
from ecstfl.predict.prediction import Prediction
from ecstfl.predict.recognizer import Options, Recognizer

TIME_LIMIT: Final = 24 * 3600.0
"""Seconds for one video in a batch."""


def recognize_many(
    videos: list[Path],
    model: Path,
    options: Options | None = None,
    *,
    processes: int,
    annotate: dict[Path, Path] | None = None,
) -> Iterator[tuple[int, Prediction | str]]:
    """Recognise videos side by side; one that fails, or crashes its decoder, stops no other.

    Args:
        videos: files or frame folders.
        model: model file.
        options: how videos are read.
        processes: at least 1.
        annotate: video -> annotated video to write.

    Yields:
        (index into ``videos``, its prediction or the sentence that says why there is none), in
        the order in which they finish.
    """
    jobs = [(video, (annotate or {}).get(video)) for video in videos]
    stream = workers.run(
        partial(recognizing, Path(model).absolute(), options or Options()),
        jobs,
        [str(video) for video in videos],
        max(1, min(processes, len(jobs))),
        TIME_LIMIT,
    )
    with closing(stream):
        for index, prediction, problem in stream:
            yield index, problem or prediction


def recognizing(model: Path, options: Options) -> Callable[[tuple[Path, Path | None]], Prediction]:
    """Return what runs in each process: (video, where to write it annotated) -> prediction."""
    torch.set_num_threads(1)
    recognizer = Recognizer(model, options)
    return lambda job: recognize_and_annotate(recognizer, *job)


def recognize_and_annotate(
    recognizer: Recognizer,
    video: Path,
    out: Path | None,
    progress: Callable[[int], None] | None = None,
) -> Prediction:
    """Recognise one video and, when ``out`` is given, write the annotated one."""
    prediction = recognizer.recognize(video, track=out is not None, progress=progress)
    if out is not None:
        annotate_video(prediction, recognizer, out)
    return prediction
