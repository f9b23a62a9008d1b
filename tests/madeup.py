"""Made-up runs: what run.json and features.npz would hold, without training anything."""

import dataclasses

import numpy as np
from toy import toy_config, toy_data

from ecstfl.metrics.recognition import confusion_matrix, recalls, uar, war


def made_up_run(config, right=0.5, *, scores=None, seed=0, clips=56):
    """Return (run, features) of a test fold where about a share ``right`` is recognised."""
    rng = np.random.default_rng([seed, config.fold, config.seed])
    labels = np.arange(clips) % 7
    predictions = np.where(rng.random(clips) < right, labels, rng.integers(0, 7, clips))
    confusion = confusion_matrix(labels, predictions)
    epochs = config.optim.epochs
    history = [
        {"epoch": e, "ce": 2.0 / e, "ratio": 0.9, "train_war": 0.5} for e in range(1, epochs + 1)
    ]
    for epoch, score in (scores or {}).items():
        history[epoch - 1] |= {"held_out_war": score, "held_out_uar": score}
    history[-1] |= {"held_out_war": war(confusion), "held_out_uar": uar(confusion)}
    run = {
        "schema": 1,
        "name": config.name,
        "config": dataclasses.asdict(config),
        "config_hash": config.hash,
        "synthetic": config.synthetic,
        "n_train": 4 * clips,
        "n_held_out": clips,
        "confusion": confusion.tolist(),
        "recalls": recalls(confusion).tolist(),
        "uar": uar(confusion),
        "war": war(confusion),
        "clusters": {"within_between": 0.7, "silhouette": 0.1, "purity": 0.5, "k": 10},
        "history": history,
        "seconds": 1.0,
        "device": "cpu",
        "finished": "2026-01-01T00:00:00Z",
        "provenance": {"commit": f"commit-of-seed-{config.seed}", "modified": False},
    }
    centres = np.random.default_rng(1).normal(0, 3, (7, 8))
    features = {
        "ids": np.array([f"fold{config.fold}-{i:03d}" for i in range(clips)]),
        "labels": labels.astype(np.int8),
        "predictions": predictions.astype(np.int8),
        "groups": np.array([f"g{i // 7}" for i in range(clips)]),
        "logits": np.eye(7, dtype=np.float32)[predictions],
        "embeddings": (centres[labels] + rng.normal(0, 1, (clips, 8))).astype(np.float16),
    }
    return run, features


def made_up_table(folds=(1, 2, 3), seeds=(0, 1), methods=(("softmax", 0.5), ("ec-stfl", 0.6))):
    """Return ``{config: (run, features)}`` for a whole plan."""
    clipset = toy_data()[0]
    return {
        config: made_up_run(config, right)
        for seed in seeds
        for fold in folds
        for method, right in methods
        for config in [toy_config(clipset, method=method, fold=fold, seed=seed, epochs=6)]
    }
