"""The end of a run: the held-out fold is scored, and features, model and ``run.json`` written."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ecstfl.clips.batches import ClipBatches
from ecstfl.datasets.clipset import ClipSet
from ecstfl.distributed import barrier, main_process_only, world_size
from ecstfl.files import write_json
from ecstfl.labels import CLASSES
from ecstfl.metrics.clusters import cluster_measures
from ecstfl.metrics.recognition import confusion_matrix, recalls, uar, war
from ecstfl.runs.config import RunConfig
from ecstfl.runs.run_folder import SCHEMA, provenance, read_run, save_model, write_features
from ecstfl.training.learner import History
from ecstfl.training.scoring import score_held_out


def finish(folder: Path, *arguments: Any) -> dict[str, Any]:
    """Write the run's files, ``run.json`` last; return its content, in every process."""
    _write(folder, *arguments)
    barrier()
    run = read_run(folder)
    assert run is not None  # the main process has just written it
    return run


@main_process_only
def _write(
    folder: Path,
    model: nn.Module,
    config: RunConfig,
    clipset: ClipSet,
    n_train: int,
    held_out: np.ndarray,
    test_clips: ClipBatches,
    history: History,
    seconds: float,
    device: str,
) -> None:
    logits, embeddings = score_held_out(model, test_clips, config)
    mask = np.isin(np.arange(len(clipset)), held_out)
    scores = write_scores(folder, clipset.subset(mask), logits, embeddings)
    save_model(folder / "model.safetensors", model, config)
    run = {
        "schema": SCHEMA,
        "name": config.name,
        "config": dataclasses.asdict(config),
        "config_hash": config.hash,
        "synthetic": config.synthetic,
        "classes": list(CLASSES),
        "n_train": n_train,
        **scores,
        "history": history,
        "seconds": round(seconds, 1),
        "device": device,
        "threads": torch.get_num_threads(),
        "processes": world_size(),
        "provenance": provenance(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_json(folder / "run.json", run)
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def write_scores(
    folder: Path, clips: ClipSet, logits: np.ndarray, embeddings: np.ndarray
) -> dict[str, Any]:
    """Write ``features.npz`` of n scored clips; return what ``run.json`` says of them.

    Args:
        folder: of the run.
        clips: the n clips, labelled.
        logits: (n, classes).
        embeddings: (n, d).
    """
    labels, predictions = clips.labels, logits.argmax(1)
    confusion = confusion_matrix(labels, predictions)
    try:
        clusters = cluster_measures(embeddings, labels, k=min(10, len(labels) - 1)).as_dict()
    except ValueError:  # one clip of each class has no within-class distance: not defined
        clusters = None
    write_features(
        folder,
        ids=np.array(clips.ids),
        labels=labels.astype(np.int8),
        groups=clips.groups,
        predictions=predictions.astype(np.int8),
        logits=logits,
        embeddings=embeddings,
    )
    return {
        "n_held_out": len(clips),
        "confusion": confusion.tolist(),
        "recalls": [None if np.isnan(r) else float(r) for r in recalls(confusion)],
        "uar": uar(confusion),
        "war": war(confusion),
        "clusters": clusters,
    }
