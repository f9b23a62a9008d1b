"""Score finished runs on the wild split: python -m tools.wild RESULTS OUT.

The wild split of the embedded data holds other people, and every difficulty at once: poses, light,
hands, weak expressions. Nothing is trained or chosen on it. What is written below OUT are runs as
any others: the same training, other clips scored.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ecstfl.clips.batches import ClipBatches
from ecstfl.clips.preprocess_set import preprocess
from ecstfl.datasets.clipset import ClipSet
from ecstfl.datasets.embedded import open_embedded
from ecstfl.errors import UserError, one_sentence
from ecstfl.files import write_json
from ecstfl.predict.checkpoint import load_checkpoint
from ecstfl.runs.run_folder import read_run
from ecstfl.training.finish import write_scores
from ecstfl.training.scoring import score_held_out


def score_run(folder: Path, clips: ClipSet, cache: Path, out: Path) -> float:
    """Score clips with a finished run's network and write a run of them below ``out``.

    Args:
        folder: of the run, with its ``model.safetensors``.
        clips: labelled clips of people whom no run was trained on.
        cache: preprocessed clips.
        out: the run is written to ``out/runs/<its name>``.

    Returns:
        WAR, in [0, 1].

    Raises:
        UserError: the run is not finished, has no network, or was trained on other clips than the
            embedded ones; or ``out`` holds a run of that name that is scored on other clips.
    """
    run = read_run(folder)
    if run is None:
        raise UserError(f"{folder} holds no finished run: name a folder with run.json")
    config, model, _ = load_checkpoint(folder / "model.safetensors")
    if config.data not in ("embedded", "embedded-longtail"):
        raise UserError(
            f"{folder} was trained on {config.data}, whose people may be among the clips: name a "
            "run on the embedded data"
        )
    target = out / "runs" / run["name"]
    there = read_run(target)
    if there is not None and there.get("scored_on") != clips.name:
        raise UserError(f"{target} holds the run that was trained: name another folder to write")
    ready = preprocess(clips, config.preprocess, cache)
    shown = ClipBatches(ready.clips, range(len(ready.clipset)), "cpu")
    scored = score_held_out(model, shown, config)
    scores = write_scores(target, ready.clipset, *scored)
    write_json(target / "run.json", {**run, **scores, "scored_on": clips.name})
    return scores["war"]


@one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Score each run below a results folder; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.wild", description="Score finished runs on the wild split."
    )
    parser.add_argument("results", type=Path, help="results folder with runs/ and their networks")
    parser.add_argument("out", type=Path, help="results folder to write")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="preprocessed clips")
    args = parser.parse_args(arguments)
    folders = sorted(path.parent for path in args.results.glob("runs/*/run.json"))
    if not folders:
        raise UserError(f"no finished run in {args.results / 'runs'}: name a results folder")
    clips = open_embedded(split="wild")
    for folder in folders:
        print(f"{folder.name}: WAR {score_run(folder, clips, args.cache, args.out):.1%}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
