"""Many videos side by side, each in a process of its own, so that a broken one stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch

from ecstfl import workers
from ecstfl.errors import UserError
from ecstfl.predict.annotate import annotate_video
from ecstfl.predict.recognizer import Options, Prediction, Recognizer

TIME_LIMIT: Final = 24 * 3600.0
"""Seconds for one video in a batch."""


def recognize_many(
    videos: list[Path],
    model: Path,
    options: Options | None = None,
    *,
    processes: int,
    annotate: dict[Path, Path] | None = None,
    time_limit: float = TIME_LIMIT,
) -> Iterator[tuple[int, Prediction | str]]:
    """Recognise videos side by side; one that fails, or crashes its decoder, stops no other.

    Args:
        videos: files or frame folders.
        model: model file.
        options: how videos are read.
        processes: at least 1.
        annotate: video -> annotated video to write.
        time_limit: seconds for one video.

    Yields:
        (index into ``videos``, its prediction or the sentence that says why there is none), in
        the order in which they finish.
    """
    jobs = [
        {"video": str(video), "annotate": str((annotate or {}).get(video, ""))} for video in videos
    ]
    setup = {"model": str(Path(model).absolute()), "options": asdict(options or Options())}
    results = workers.run(
        jobs,
        "ecstfl.predict.batch",
        "worker",
        setup,
        max(1, min(processes, len(jobs))),
        time_limit,
    )
    for index, result in results:
        if isinstance(result, str):
            yield index, f"{videos[index]}: {result}"
        elif result[0]["error"]:
            yield index, result[0]["error"]
        else:
            yield index, Prediction.from_dict(result[0]["prediction"])


def worker(setup: dict[str, Any]) -> Callable[[workers.Job], workers.Result]:
    """Return the function from a job to an answer that runs in each process."""
    torch.set_num_threads(1)
    recognizer = Recognizer(Path(setup["model"]), Options(**setup["options"]))

    def work(job: workers.Job) -> workers.Result:
        try:
            prediction = recognize_and_annotate(
                recognizer, Path(job["video"]), Path(job["annotate"]) if job["annotate"] else None
            )
        except UserError as error:
            return {"error": str(error)}, b""
        except Exception as error:  # one video must not end the batch; it is named
            return {"error": f"{job['video']}: {type(error).__name__}: {error}"}, b""
        return {"error": "", "prediction": prediction.as_dict()}, b""

    return work


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
