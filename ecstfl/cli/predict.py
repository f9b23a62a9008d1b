"""The command ``ecstfl predict``: videos in, expressions over time out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecstfl.cli.options import add_model
from ecstfl.errors import UserError
from ecstfl.files import cores
from ecstfl.labels import CLASSES

if TYPE_CHECKING:  # torch takes seconds to import: --help must not wait for it
    from ecstfl.predict.prediction import Prediction
    from ecstfl.predict.recognizer import Options

CSV_HEADER = (
    "video",
    "start",
    "end",
    "outcome",
    "expression",
    *CLASSES,
    "coverage",
    "faces",
    "frames",
    "why",
)

MAX_ROWS = 60
"""Rows of a printed table; files hold everything."""


def add_predict(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``predict``."""
    parser.description = (
        "Find the face, follow it, and say which expression it shows over time. "
        "Recognises displayed expressions, not feelings; not for decisions about people. "
        "Exit code 0: all recognised, 1: some could not be (named), 2: none."
    )
    add = parser.add_argument
    add("videos", nargs="+", type=Path, metavar="VIDEO", help="videos, folders of them, CSV lists")
    add(
        "--annotate",
        type=Path,
        metavar="OUT",
        help="write the video with box, aligned face, probabilities and timeline: OUT.mp4, or a "
        "folder for several videos",
    )
    add("--json", type=Path, metavar="OUT", help="write everything as JSON")
    add("--csv", type=Path, metavar="OUT", help="write one row a window as CSV")
    add("--window", type=float, metavar="SECONDS", help="length of a window in a long video")
    add("--step", type=float, metavar="SECONDS", help="from one window to the next")
    add(
        "--threshold",
        type=float,
        metavar="P",
        help="below this probability the outcome is 'uncertain' (default: 0.5)",
    )
    add_model(parser)
    parser.set_defaults(run=run_predict)


def run_predict(args: argparse.Namespace) -> int:
    """Run ``ecstfl predict``."""
    from ecstfl.datasets.opening import clips_from_inputs
    from ecstfl.experiments.plan import choose_device
    from ecstfl.predict.checkpoint import default_model, load_checkpoint, statement
    from ecstfl.predict.recognizer import THRESHOLD, Options

    options = Options(
        window=args.window,
        step=args.step,
        threshold=THRESHOLD if args.threshold is None else args.threshold,
        device=choose_device(args.device),
    )
    clipset, passed = clips_from_inputs(args.videos)
    videos = list(dict.fromkeys(clip.source for clip in clipset))
    failed = [f"{path}: {why}" for path, why in passed]
    annotate = _annotated_names(videos, args.annotate, args.videos)
    for out in (args.json, args.csv):
        if out is not None and any(_same(out, video) for video in videos):
            raise UserError(f"{out} is one of the videos: choose another name for the output")
    model = args.model or default_model(args.results)
    config, _, notes = load_checkpoint(model)  # a bad model is told before any work
    print(statement(config, notes))
    for sentence in failed:
        print(f"ecstfl: {sentence}", file=sys.stderr)

    predictions: list[Prediction] = []
    for prediction in _predictions(videos, model, options, annotate, args.workers, args.quiet):
        if isinstance(prediction, str):
            failed.append(prediction)
            print(f"ecstfl: {prediction}", file=sys.stderr)
            continue
        predictions.append(prediction)
        print()
        print(table(prediction), flush=True)
        if prediction.source in annotate:
            print(f"  annotated: {annotate[prediction.source]}")
    _write(args, model, predictions, failed, statement(config, notes))
    if failed:
        print(f"\n{len(predictions)} recognised; {len(failed)} not, named above")
    if not predictions:
        return 2
    return 1 if failed else 0


def _predictions(
    videos: list[Path],
    model: Path,
    options: Options,
    annotate: dict[Path, Path],
    n_workers: int | None,
    quiet: bool,
) -> Iterator[Prediction | str]:
    """Yield the prediction, or what is wrong, of each video in its order."""
    from tqdm import tqdm

    from ecstfl.predict.batch import recognize_and_annotate, recognize_many
    from ecstfl.predict.recognizer import Recognizer

    hidden = True if quiet else None  # None: no bar where stderr is no terminal
    n_workers = min(len(videos), n_workers or cores())
    if options.device == "cuda" or n_workers <= 1:
        import cv2

        cv2.setNumThreads(1)  # its threads cost more than they give on pictures of this size
        recognizer = Recognizer(model, options)
        for video in videos:
            with tqdm(desc=video.name[-24:], unit="frame", disable=hidden, leave=False) as bar:
                try:
                    answer = recognize_and_annotate(
                        recognizer, video, annotate.get(video), lambda n, bar=bar: bar.update()
                    )
                except UserError as error:
                    answer = str(error)
            yield answer  # after the bar is gone: what is printed then has a line of its own
        return
    done: dict[int, Prediction | str] = {}
    following = 0
    with tqdm(total=len(videos), desc="videos", disable=hidden, leave=False) as bar:
        for index, result in recognize_many(
            videos, model, options, processes=n_workers, annotate=annotate
        ):
            bar.update()
            done[index] = result
            while following in done:
                bar.clear()
                yield done.pop(following)
                following += 1


def table(prediction: Prediction) -> str:
    """Return what was recognised as text: one line for the video, one for each stretch of it."""
    from ecstfl.predict.annotate import clock

    lines = [
        f"{prediction.source}  ({clock(prediction.duration)}, {prediction.frames} frames, "
        f"{prediction.fps:.4g} frames/s)"
    ]
    lines += [f"  note: {sentence}" for sentence in prediction.problems]
    total = prediction.total
    second = sorted(zip(total.probabilities, CLASSES, strict=True), reverse=True)[1]
    lines.append(
        f"  {total.outcome}"
        + (f" ({total.why}; most like {total.expression})" if total.why else "")
        + f", p {max(total.probabilities):.2f}, next {second[1]} {second[0]:.2f}, "
        f"face in {100 * total.coverage:.0f} % of the frames"
    )
    rows = stretches(prediction.segments())
    if len(rows) > 1:
        lines.append(f"    {'time':<17} {'expression':<10} {'p':>5} {'faces':>6}")
        for start, end, outcome, p, coverage in rows[:MAX_ROWS]:
            when = f"{clock(start)} - {clock(end)}"
            shown = f"{p:5.2f} {100 * coverage:5.0f}%" if outcome != "no face" else ""
            lines.append(f"    {when:<17} {outcome:<10} {shown}".rstrip())
        if len(rows) > MAX_ROWS:
            lines.append(f"    ... {len(rows) - MAX_ROWS} more: use --csv or --json")
    return "\n".join(lines)


def stretches(segments: Any) -> list[tuple[float, float, str, float, float]]:
    """Join neighbouring segments of one outcome.

    Returns:
        Rows (start, end, outcome, mean probability of the most probable class, coverage); the
        outcome is ``no face`` where nothing was seen.
    """
    rows: list[list[Any]] = []
    for start, end, window in segments:
        outcome = "no face" if window is None else window.outcome
        p = 0.0 if window is None else max(window.probabilities) * (end - start)
        faces = 0.0 if window is None else window.coverage * (end - start)
        if rows and rows[-1][2] == outcome:
            rows[-1][1] = end
            rows[-1][3] += p
            rows[-1][4] += faces
        else:
            rows.append([start, end, outcome, p, faces])
    return [(s, e, o, p / max(e - s, 1e-9), c / max(e - s, 1e-9)) for s, e, o, p, c in rows]


def csv_rows(prediction: Prediction) -> Iterator[list[Any]]:
    """Yield one row a window, in the order of :data:`CSV_HEADER`."""
    for window in prediction.windows:
        yield [
            str(prediction.source),
            f"{window.start:.3f}",
            f"{window.end:.3f}",
            window.outcome,
            window.expression,
            *(f"{p:.6f}" for p in window.probabilities),
            f"{window.coverage:.4f}",
            window.faces,
            window.frames,
            window.why,
        ]


def _write(
    args: argparse.Namespace,
    model: Path,
    predictions: list[Prediction],
    failed: list[str],
    statement: str,
) -> None:
    from ecstfl.files import write_csv, write_json

    if args.json is not None:
        write_json(
            args.json,
            {
                "model": str(model),
                "statement": statement,
                "predictions": [p.as_dict() for p in predictions],
                "failed": failed,
            },
        )
    if args.csv is not None:
        rows = (row for prediction in predictions for row in csv_rows(prediction))
        write_csv(args.csv, CSV_HEADER, rows)


def _annotated_names(videos: list[Path], out: Path | None, inputs: list[Path]) -> dict[Path, Path]:
    """Video -> annotated video: ``out`` itself for one video, files in the folder for more."""
    if out is None:
        return {}
    if len(videos) == 1 and len(inputs) == 1 and not inputs[0].is_dir() and not out.is_dir():
        names = {videos[0]: out if out.suffix else out.with_suffix(".mp4")}
    else:
        if out.suffix.lower() == ".mp4" and not out.is_dir():
            raise UserError(
                f"--annotate {out}: several videos need a folder, not one file to share"
            )
        names, taken = {}, set()
        for video in videos:
            name, n = f"{video.stem}.mp4", 1
            while name in taken:
                n += 1
                name = f"{video.stem}-{n}.mp4"
            taken.add(name)
            names[video] = out / name
    for video in videos:
        for target in names.values():
            if _same(target, video):
                raise UserError(f"--annotate would overwrite the video {video}: name another place")
    return names


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
