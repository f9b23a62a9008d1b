"""Land a finished run as the checkpoint that comes with the package, with its model card.

    python -m tools.model_card RUN_DIR models/ --validation VALIDATION_RUN_DIR

writes ``ecstfl-small.safetensors`` (the run's weights; temperature and clip length in the header),
``MODEL_CARD.md``, ``reliability.png`` and ``model_card.json`` (every number of the card). All
numbers come out of the runs; nothing in the card is typed by hand. The form follows Mitchell et
al., "Model Cards for Model Reporting" (2019).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from ecstfl.datasets.embedded import open_embedded
from ecstfl.errors import UserError, one_sentence
from ecstfl.files import atomic_write, write_json
from ecstfl.labels import CLASSES
from ecstfl.metrics.intervals import Interval, bootstrap_interval, people
from ecstfl.models.model_file import (
    DIGEST,
    MAX_SHIPPED_BYTES,
    MODEL_FORMAT,
    NOTES,
    SHIPPED,
    ModelNotes,
    digest,
    model_bytes,
    read_model,
)
from ecstfl.predict.checkpoint import HONESTY
from ecstfl.predict.evaluate import size, tables
from ecstfl.predict.recognizer import THRESHOLD
from ecstfl.runs.config import RunConfig, canonical_json, from_dict, hash_clipset
from ecstfl.runs.run_folder import read_features, read_run
from tools.calibrate import Calibration, calibrate, reliability_figure


def land(
    run_dir: Path,
    out: Path,
    validation_runs: Sequence[Path] | None = None,
    *,
    clip_seconds: float | None = None,
    longest_seconds: float | None = None,
    data_note: str = "",
    joined: bool = False,
) -> list[Path]:
    """Write checkpoint and card of a finished run.

    Args:
        run_dir: directory of a finished run that scored its test fold.
        out: folder to write to.
        validation_runs: directories of validation runs with the same settings; by default those
            found beside the run and in neighbouring results folders.
        clip_seconds: typical length of a training clip; default: from the embedded data's
            manifest, when that is what the run was trained on.
        longest_seconds: length up to which a video is taken whole; default likewise.
        data_note: what else a reader should know of the data: how clips outside of the
            repository were made, say.
        joined: the run's data are the embedded clips of today and others (``data.generator join``).

    Returns:
        The files written.

    Raises:
        UserError: the run is unfinished or unusable, no validation run fits, or the file is
            larger than what is shipped.
    """
    run_dir, out = Path(run_dir), Path(out)
    run = read_run(run_dir)
    if run is None:
        raise UserError(f"no finished run in {run_dir}: it must hold run.json")
    config = from_dict(RunConfig, run["config"])
    if validation_runs is None:
        validation_runs = find_validation_runs(run_dir, config)
        if not validation_runs:
            raise UserError(
                f"no validation run fits {run_dir.name}; make one with: ecstfl train --validate "
                f"--profile {config.profile} --fold {config.fold} (and the same --data, --epochs, "
                "--batch, --weight), or name it with --validation"
            )
    calibration = calibrate(run_dir, validation_runs)
    typical, longest = _clip_lengths(config)
    notes = ModelNotes(
        temperature=calibration.temperature,
        calibrated_on=calibration.fitted_on,
        clip_seconds=clip_seconds or typical,
        longest_seconds=longest_seconds or longest,
        run=str(run["name"]),
        embedded=hash_clipset(open_embedded(verify=False)) if joined else "",
    )
    tensors, header = read_model(run_dir / "model.safetensors", MODEL_FORMAT)
    if json.loads(header["config"]) != json.loads(canonical_json(run["config"])):
        raise UserError(f"{run_dir / 'model.safetensors'} is not the model of its run.json")
    header = {k: v for k, v in header.items() if k != DIGEST} | {
        NOTES: canonical_json(asdict(notes))
    }
    content = model_bytes(tensors, header)
    if len(content) > MAX_SHIPPED_BYTES:
        raise UserError(
            f"{run_dir.name}: {len(content) / 1e6:.1f} MB is more than the "
            f"{MAX_SHIPPED_BYTES / 1e6:g} MB that may be shipped: land a smaller network"
        )
    facts = card_facts(run_dir, run, config, calibration, notes)
    facts |= {"bytes": len(content), "sha256_of_content": digest(tensors, header)}
    facts["data_note"] = data_note
    facts["parameters"] = int(
        sum(t.numel() for name, t in tensors.items() if "running" not in name and t.ndim)
    )
    with atomic_write(out / SHIPPED) as file:
        file.write(content)
    with atomic_write(out / "reliability.png") as file:
        file.write(_figure(calibration, config))
    write_json(out / "model_card.json", facts)
    with atomic_write(out / "MODEL_CARD.md") as file:
        file.write(render_card(facts).encode())
    return [out / n for n in (SHIPPED, "MODEL_CARD.md", "reliability.png", "model_card.json")]


def find_validation_runs(run_dir: Path, config: RunConfig) -> list[Path]:
    """Return finished validation runs of the same settings, in this and neighbouring folders."""
    found = []
    results = Path(run_dir).resolve().parents[1]
    for path in sorted(results.parent.glob("*/runs/*-val-*/run.json")):
        try:
            run = read_run(path.parent)
            other = from_dict(RunConfig, run["config"]) if run is not None else None
        except (UserError, KeyError, TypeError):
            continue  # somebody else's folder
        if other is not None and other == replace(config, evaluate="validation", seed=other.seed):
            found.append(path.parent)
    return found


def _clip_lengths(config: RunConfig) -> tuple[float, float]:
    """(typical, longest) seconds of the training clips, where their manifest tells."""
    if not config.data.startswith("embedded"):
        return ModelNotes.clip_seconds, ModelNotes.longest_seconds
    from ecstfl.datasets.embedded import read_manifest

    seconds = [float(row["frames"]) / float(row.get("fps") or 25) for row in read_manifest()]
    return round(float(np.median(seconds)), 3), round(max(seconds), 3)


def card_facts(
    run_dir: Path,
    run: dict[str, Any],
    config: RunConfig,
    calibration: Calibration,
    notes: ModelNotes,
) -> dict[str, Any]:
    """Return every number of the card, JSON-able."""
    features = read_features(run_dir)
    labels = features["labels"].astype(int)
    predicted = features["predictions"].astype(int)
    intervals = {
        name: asdict(bootstrap_interval(labels, predicted, features["groups"], name))
        for name in ("uar", "war")
    }
    p = softmax(features["logits"].astype(np.float64) / notes.temperature, axis=1)
    sure = p.max(1) >= THRESHOLD
    right = predicted == labels
    return {
        "run": run["name"],
        "config": run["config"],
        "config_hash": run["config_hash"],
        "synthetic": config.synthetic,
        "n_train": run["n_train"],
        "n_test": run["n_held_out"],
        "n_test_groups": len(set(people(features["groups"]).tolist())),
        "metrics": intervals,
        "recalls": run["recalls"],
        "confusion": run["confusion"],
        "calibration": calibration.as_dict(),
        "notes": asdict(notes),
        "threshold": THRESHOLD,
        "certain_share": float(sure.mean()),
        "certain_accuracy": float(right[sure].mean()) if sure.any() else None,
        "uncertain_accuracy": float(right[~sure].mean()) if not sure.all() else None,
        "seconds": run["seconds"],
        "device": run["device"],
        "provenance": run["provenance"],
        "finished": run["finished"],
    }


def render_card(facts: dict[str, Any]) -> str:
    """Return the card as Markdown."""
    config = facts["config"]
    where, loss, optim = config["preprocess"], config["loss"], config["optim"]
    net, view, came = config["backbone"], config["augment"], facts["provenance"]
    calibration, notes = facts["calibration"], facts["notes"]
    synthetic = facts["synthetic"]
    kind = "rendered faces (synthetic)" if synthetic else config["data"]
    uar, war = (Interval(**facts["metrics"][name]) for name in ("uar", "war"))
    method = (
        "cross-entropy alone"
        if loss["method"] == "softmax"
        else f"cross-entropy + {loss['weight']:g} x EC-STFL ({loss['form']} form), "
        f"tapped at {net['tap']}"
    )
    arithmetic = ", under bfloat16 autocast" if optim["precision"] == "bf16" else ""
    before, after = calibration["before"], calibration["after"]
    lines = [
        f"# Model card: {SHIPPED}",
        "",
        f"Trained on **{kind}**. {HONESTY}",
        "",
        "Written by `python -m tools.model_card` from finished runs; every number is in "
        "`model_card.json`.",
        "",
        "## What it is",
        "",
        f"- C3D of width {net['width']}, {facts['parameters']:,} parameters, "
        f"{facts['bytes'] / 1e6:.1f} MB, float32, safetensors",
        f"- input: {view['frames']} x {view['size']} x {view['size']} aligned face frames; "
        f"output: {', '.join(CLASSES)}",
        f"- trained with {method}{arithmetic}; "
        f"{optim['epochs']} epochs, batch {optim['batch']}, "
        f"seed {config['seed']}, {config['profile']} profile; the last epoch, chosen by no one",
        f"- optimiser: {_optimizer(optim)}; augmentation: {_augmentation(view)}",
        f"- faces: {where['backend']}, alignment {where['alignment']}, margin {where['margin']:g}, "
        f"{where['frames']} frames by {where['temporal']} at {where['size']} px (in the file's "
        "header; prediction uses the same)",
        f"- SHA-256 over weights and header: `{facts['sha256_of_content']}` (checked on loading)",
        f"- run `{facts['run']}`, code {came['ecstfl']} at commit "
        f"`{(came['commit'] or 'unknown')[:12]}`{' (modified)' if came['modified'] else ''}, "
        f"{facts['seconds'] / 60:.0f} min on {facts['device']}",
        "",
        "## Data",
        "",
        f"- {config['data']}{' (synthetic)' if synthetic else ''}: {facts['n_train']} clips to "
        f"train on, {facts['n_test']} clips of {facts['n_test_groups']} other identities to test "
        f"on (fold {config['fold']})",
        *([f"- {facts['data_note']}"] if facts.get("data_note") else []),
        f"- data hash `{config['data_hash'][:16]}`",
        "",
        "## How good it is",
        "",
        f"On the {'rendered ' if synthetic else ''}clips of fold {config['fold']}, none of whose "
        "identities was seen in training:",
        "",
        "| measure | value | 95 % interval |",
        "| --- | ---: | --- |",
        f"| UAR | {100 * uar.value:.1f} % | {100 * uar.low:.1f} to {100 * uar.high:.1f} |",
        f"| WAR (accuracy) | {100 * war.value:.1f} % | {100 * war.low:.1f} to "
        f"{100 * war.high:.1f} |",
        f"| chance | {100 / len(CLASSES):.1f} % | |",
        "",
        "Intervals: bootstrap over test identities; they do not cover the seed of the training.",
        "",
        "Confusion (rows: shown, columns: recognised; clips):",
        "",
        "| | " + " | ".join(CLASSES) + " | recall |",
        "| --- |" + " ---: |" * (len(CLASSES) + 1),
        *(
            f"| {name} | "
            + " | ".join(map(str, row))
            + (" | – |" if recall is None else f" | {100 * recall:.0f} % |")
            for name, row, recall in zip(CLASSES, facts["confusion"], facts["recalls"], strict=True)
        ),
        "",
        "## How far its probabilities can be trusted",
        "",
        f"Temperature {calibration['temperature']:.3f}, fitted on {calibration['fitted_on']} clips "
        "of a validation fold by runs with the same settings "
        f"({', '.join('`' + name + '`' for name in calibration['validation_runs'])}), "
        "measured on the test fold:",
        "",
        "| | as trained | with temperature |",
        "| --- | ---: | ---: |",
        f"| expected calibration error ({len(before['counts'])} bins) | "
        f"{100 * before['ece']:.1f} % | {100 * after['ece']:.1f} % |",
        f"| negative log-likelihood (nats) | {calibration['nll_before']:.3f} | "
        f"{calibration['nll_after']:.3f} |",
        "",
        "![reliability diagram](reliability.png)",
        "",
        f'Below a probability of {facts["threshold"]:g} the outcome is "uncertain". '
        f"{100 * facts['certain_share']:.0f} % of the test clips reach it"
        + _share(", and of those", facts["certain_accuracy"])
        + _share("; of the others", facts["uncertain_accuracy"])
        + ".",
        "",
        "## How a video is read",
        "",
        f"A video of up to {notes['longest_seconds']:g} s is taken whole, as in training; a longer "
        f"one through windows of {notes['clip_seconds']:g} s, each beginning half a window after "
        "the last. Means over windows are not calibrated themselves.",
        "",
        *_real_faces(facts.get("real", [])),
        "## Limits and misuse",
        "",
    ]
    if synthetic:
        lines += [
            "- It has seen rendered faces only. "
            + (
                "How far that carries over to real ones stands under Real faces, above."
                if facts.get("real")
                else "The numbers above say nothing about its accuracy on real faces, which has "
                "not been measured (`tools.real_faces`) and must be expected to be much lower."
            ),
            "- Whether it works equally well for people of any age, sex or skin colour has not "
            "been measured; the rendered identities' appearance groups are rendering parameters.",
        ]
    else:
        lines += [
            "- Results hold for clips like those of the data set; other cameras, cultures and ages "
            "have not been measured.",
        ]
    lines += [
        "- It recognises which of seven posed or acted displays a face resembles. A display is "
        "not a feeling: people show what they do not feel and feel what they do not show.",
        "- Not for decisions about people: not for hiring, policing, border control, teaching "
        "assessment, insurance, health or credit. Recognising emotions at work and in education "
        "is prohibited in the European Union (Regulation (EU) 2024/1689, Article 5).",
        "- For teaching and for studying the method, on material whose people agreed to it.",
        "",
    ]
    return "\n".join(lines)


def _real_faces(measured: list[dict[str, Any]]) -> list[str]:
    """Return the section of what :mod:`tools.real_faces` added; nothing when that is nothing."""
    if not measured:
        return []
    known = "None of these people was trained on. docs/predict.md has other programs' numbers."
    lines = ["## Real faces", "", known]
    for facts in measured:
        told = f"{facts['source']}; {facts['licence']}. {size(facts)}, measured with"
        lines += ["", f"### {facts['name']}", "", f"{told} `{facts['command']}`.", ""]
        lines += tables(facts)
    return [*lines, ""]


def _optimizer(optim: dict[str, Any]) -> str:
    if optim.get("optimizer") == "muon":
        return f"Muon {optim['muon_lr']:g} (kernels, matrices), AdamW {optim['lr']:g} (the rest)"
    return f"AdamW {optim['lr']:g}"


def _augmentation(view: dict[str, Any]) -> str:
    """Name every setting that changes a clip, with its strength."""
    plain = {"size", "frames", "crop"}  # what every clip goes through
    used = [f"{name} {value:g}" for name, value in view.items() if name not in plain and value]
    return ", ".join(used) or "none"


def _share(words: str, value: float | None) -> str:
    return "" if value is None else f"{words} {100 * value:.0f} % are right"


def _figure(calibration: Calibration, config: RunConfig) -> bytes:
    n = sum(calibration.after.counts)
    note = f"{config.data}{' (synthetic)' if config.synthetic else ''}, test fold {config.fold}, "
    note += f"n = {n} clips; temperature {calibration.temperature:.2f}"
    buffer = BytesIO()
    figure = reliability_figure(calibration.before, calibration.after, note)
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


@one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.model_card",
        description="Land a finished run as the shipped checkpoint, with its model card.",
    )
    parser.add_argument("run", type=Path, help="directory of the finished run")
    parser.add_argument("out", type=Path, nargs="?", default=Path("models"), help="default: models")
    parser.add_argument(
        "--validation",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="validation runs to fit the temperature on (default: those that fit, nearby)",
    )
    parser.add_argument("--clip-seconds", type=float, help="typical length of a training clip")
    parser.add_argument("--longest-seconds", type=float, help="take videos up to this length whole")
    parser.add_argument("--joined", action="store_true", help="embedded clips and others, joined")
    parser.add_argument("--data-note", default="", help="one more line on the data")
    args = parser.parse_args(arguments)
    written = land(
        args.run,
        args.out,
        args.validation,
        clip_seconds=args.clip_seconds,
        longest_seconds=args.longest_seconds,
        data_note=args.data_note,
        joined=args.joined,
    )
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
