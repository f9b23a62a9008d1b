"""How long until C3D is trained: this kit's recipe beside its earlier one and a plain port.

    python benchmarks/time_to_accuracy.py                              # fold 1, seed 0
    python benchmarks/time_to_accuracy.py --folds 1 2 3 4 5 --seeds 0 1 2 --json FILE

Contenders train C3D, softmax only, on the embedded clips (rendered, so SYNTHETIC), and are scored
on a validation fold after every epoch; no test fold is seen:

- ``recipe``: the quick profile's;
- ``earlier``: what this kit did before: BatchNorm before the pooling, none at fc6 and fc7, zero
  biases, AdamW at 1e-3, more augmentation, 75 epochs;
- ``plain``: the same without BatchNorm, as C3D was printed, dropout 0.5.

A contender runs until its accuracy stands at 80 %, or to its last epoch. They take turns on each
fold and seed. Time is that of one processor core, without the scoring: other work on the machine
changes it far less than the clock on the wall. A pass is one time through the training clips.
A file that exists is continued, so the work can be stopped at any time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from ecstfl.clips.augment import AugmentConfig
from ecstfl.clips.batches import ClipBatches
from ecstfl.clips.preprocess_set import preprocess
from ecstfl.datasets.embedded import open_embedded
from ecstfl.experiments.profiles import SOFTMAX, get_profile, plan_runs
from ecstfl.files import write_json
from ecstfl.models.backbones import BackboneConfig
from ecstfl.runs.config import OptimConfig
from ecstfl.runs.run_folder import provenance
from ecstfl.training.forward import network_in_training
from ecstfl.training.learner import new_learner
from ecstfl.training.loop import train_epoch
from ecstfl.training.reproducible import reproducible_arithmetic
from ecstfl.training.scoring import add_held_out_scores
from ecstfl.training.splits import split_clips

ROOT = Path(__file__).resolve().parents[1]
TARGETS = (0.7, 0.8)


def contenders():
    """Name -> profile."""
    recipe = replace(get_profile("quick"), methods=(SOFTMAX,))
    earlier = replace(
        recipe,
        augment=AugmentConfig(size=48, frames=8),
        backbone=BackboneConfig(),
        optim=OptimConfig(epochs=75, lr=1e-3),
    )
    plain = replace(earlier, backbone=BackboneConfig(batch_norm=False, dropout=0.5))
    return {"recipe": recipe, "earlier": earlier, "plain": plain}


def race(config, prepared):
    """Train until the last target is reached: [passes, core seconds or None] of each target."""
    clipset = prepared.clipset
    reached = dict.fromkeys(TARGETS)
    seconds = 0.0
    with reproducible_arithmetic("cpu"):
        learner = new_learner(config, "cpu")
        train, held_out = split_clips(clipset, config)
        train_clips, seen = (ClipBatches(prepared.clips, rows, "cpu") for rows in (train, held_out))
        labels, truth = (torch.from_numpy(clipset.labels[i]) for i in (train, held_out))
        with network_in_training(learner.model, config, "cpu") as network:
            for epoch in range(config.optim.epochs):
                started = time.process_time()
                record = train_epoch(learner, network, train_clips, labels, config, epoch)
                seconds += time.process_time() - started
                add_held_out_scores(record, learner.result, seen, truth, config)
                for target in TARGETS:
                    if reached[target] is None and record["held_out_war"] >= target:
                        reached[target] = (epoch + 1, round(seconds, 1))
                if all(reached.values()):
                    break
    return {
        "reached": {f"{t:g}": reached[t] for t in TARGETS},
        "passes": epoch + 1,
        "seconds": round(seconds, 1),
        "held_out_war": record["held_out_war"],
    }


def table(results):
    """Print mean passes and core seconds to each target, and how many runs reached it."""
    for name in contenders():
        runs = [r for key, r in results.items() if key.startswith(f"{name} ")]
        for target in TARGETS if runs else ():
            got = [r["reached"][f"{target:g}"] for r in runs if r["reached"][f"{target:g}"]]
            told = f"{name:8} {target:.0%}: {len(got)} of {len(runs)} run(s)"
            if got:
                passes, seconds = (statistics.mean(values) for values in zip(*got, strict=True))
                told += f", {passes:.1f} passes, {seconds:.0f} s of one core"
            print(told)


def main():
    """Race what is not in the file yet and print the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, nargs="+", default=[1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=[*contenders()], default=[*contenders()])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "ecstfl-cache")
    args = parser.parse_args()
    torch.set_num_threads(1)
    file = args.json
    results = json.loads(file.read_text())["runs"] if file and file.exists() else {}
    clips = open_embedded(ROOT / "data")
    prepared = preprocess(clips, get_profile("quick").preprocess, args.cache)
    for seed in args.seeds:
        for fold in args.folds:
            for name, profile in contenders().items():
                key = f"{name} fold {fold} seed {seed}"
                if key in results or name not in args.only:
                    continue
                (config,) = plan_runs(
                    profile, prepared.clipset, folds=(fold,), seeds=(seed,), evaluate="validation"
                )
                results[key] = race(config, prepared)
                print(key, results[key], flush=True)
                if file:
                    write_json(file, {"runs": results, "provenance": provenance()})
    table(results)


if __name__ == "__main__":
    main()
