"""The command ``ecstfl evaluate``: labelled clips and stills in, how good a model is out."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from ecstfl.cli.options import add_model, add_root
from ecstfl.errors import UserError
from ecstfl.files import cores

ABOUT_TRAINING: Final = {
    *("fold-missing", "fold-overlap", "group-across-folds", "class-not-in-every-fold"),
    *("one-fold", "one-group", "no-groups", "too-small-to-train", "too-small-to-map"),
}
"""What readers find that matters for training only; here nothing is trained."""

LEFT_OUT: Final = ("missing-clip", "lfs-pointer")
"""Errors of readers that leave out single clips; the rest is evaluated."""


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``evaluate``."""
    parser.description = (
        "Recognise labelled clips or stills (a still counts as a film of one frame) "
        "and write how often the model is right, with intervals over people, and what it mistakes "
        "for what. Recognises displayed expressions, not feelings; not for decisions about people. "
        "Exit code 0: all recognised, 1: some were left out (named), 2: bad input."
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="NAME|PATH",
        help="a folder with one sub-folder per expression, a CSV (path,label,group; stills "
        "as well), or embedded, wild, dfew, ravdess, crema-d",
    )
    add_root(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("evaluation"), help="folder (default: evaluation)"
    )
    add_model(parser)
    parser.set_defaults(run=run_evaluate)


def run_evaluate(args: argparse.Namespace) -> int:
    """Run ``ecstfl evaluate``."""
    from tqdm import tqdm

    from ecstfl.datasets.findings import usable_clips
    from ecstfl.datasets.opening import inspect_data
    from ecstfl.experiments.plan import choose_device
    from ecstfl.predict.batch import recognize_many
    from ecstfl.predict.checkpoint import default_model, load_checkpoint, statement
    from ecstfl.predict.evaluate import collect, draw_mistakes, measure, report, write
    from ecstfl.predict.recognizer import Options
    from ecstfl.video.files import content_sha256

    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {args.out} is a file: name a folder")
    seen = inspect_data(args.data, args.root, layout=args.layout)
    findings = tuple(f for f in seen.findings if f.kind not in ABOUT_TRAINING)
    # the only note on people's own clips is how their folds were made
    notes = () if seen.clipset.name in ("csv", "folder") else seen.clipset.notes
    seen = replace(seen, findings=findings, clipset=replace(seen.clipset, notes=notes))
    clipset = usable_clips(seen, allow=LEFT_OUT)
    clipset.labels  # noqa: B018 - a clip without label is told before any work
    options = Options(device=choose_device(args.device))
    model = args.model or default_model(args.results)
    config, _, model_notes = load_checkpoint(model)
    for note in clipset.notes:
        print(f"Note: {note}")

    n_workers = 1 if options.device == "cuda" else args.workers or cores()
    videos = [clip.source for clip in clipset]
    stream = recognize_many(videos, model, options, processes=n_workers)
    hidden = True if args.quiet else None  # None: no bar where stderr is no terminal
    answers = collect(
        clipset, tqdm(stream, total=len(videos), desc="clips", disable=hidden, leave=False)
    )
    for _, why in answers.left_out:
        print(f"ecstfl: {why}", file=sys.stderr)
    facts = measure(answers) | {
        "data": args.data if args.root or clipset.synthetic else Path(args.data).name,
        "model": model.name,
        "model_sha256": content_sha256(model),
        "statement": statement(config, model_notes),
        "command": args.command_line,
        "data_notes": list(clipset.notes),
    }
    write(args.out, facts, answers)
    draw_mistakes(args.out / "mistakes.png", answers, config.preprocess, n_workers)
    print(
        f"\n{report(facts)}\nWritten: evaluation.json, .md, clips.csv, mistakes.png in {args.out}"
    )
    absent = any(f.severity == "error" or f.kind == "not-a-video" for f in findings)
    return 1 if answers.left_out or absent else 0
