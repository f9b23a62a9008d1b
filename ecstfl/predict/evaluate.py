"""How good a model is on labelled clips and stills that it was not trained on.

A model can order the classes well and still choose the wrong one, or be right on the whole and
wrong about one expression. So each has its number: the recall of each class (UAR, WAR), the rank
of the true class, how well two expressions are told apart whatever the threshold (AUC), and
whether the probabilities can be believed (ECE). Intervals are over people, never over clips.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.stats import rankdata

from ecstfl.clips.config import PreprocessConfig
from ecstfl.clips.contact_sheet import contact_sheet, save_png
from ecstfl.clips.preprocess_set import preprocess
from ecstfl.datasets.clipset import ClipSet
from ecstfl.datasets.findings import few
from ecstfl.errors import UserError
from ecstfl.files import write_csv, write_json, write_text
from ecstfl.labels import CLASSES, N_CLASSES
from ecstfl.metrics.calibration import reliability
from ecstfl.metrics.intervals import bootstrap_interval, jackknife, people
from ecstfl.metrics.recognition import confusion_matrix
from ecstfl.predict.prediction import Prediction

CHANCE_RANK: Final = (N_CLASSES + 1) / 2
"""Mean rank of the true class when all orders are equally likely."""

MOST_DRAWN: Final = 24
"""Mistakes on the contact sheet, the most confident first."""

Measured = dict[str, float | None]
"""``value``, ``low`` and ``high``; the ends are None where there are fewer than two people."""


@dataclass(frozen=True)
class Answers:
    """What a model says about labelled clips.

    Attributes:
        clipset: the n clips that it could read and find a face in, n >= 1.
        probabilities: (n, 7) in [0, 1], rows sum to 1.
        outcomes: (n,) class names, or "uncertain".
        notes: (n,) what must be known of a clip: damage, a person known from training; or "".
        left_out: (clip id, sentence that says why) of the others.
    """

    clipset: ClipSet
    probabilities: np.ndarray
    outcomes: tuple[str, ...]
    notes: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def predicted(self) -> np.ndarray:
        """(n,) the most probable class, 0..6, however improbable."""
        return self.probabilities.argmax(1)


def collect(clipset: ClipSet, stream: Iterable[tuple[int, Prediction | str]]) -> Answers:
    """Bring predictions, in whatever order they come, into the order of their clips.

    Args:
        clipset: the labelled clips.
        stream: (position in ``clipset``, prediction or the sentence that says why there is none),
            as :func:`ecstfl.predict.batch.recognize_many` yields them.

    Raises:
        UserError: not one clip has an answer.
    """
    came = dict(stream)
    good = {i: p for i, p in sorted(came.items()) if not isinstance(p, str)}
    bad = {i: p for i, p in sorted(came.items()) if isinstance(p, str)}
    if not good:
        first = next(iter(bad.values()), "no clip")
        raise UserError(f"not one of {len(clipset)} clips could be recognised (first: {first})")
    return Answers(
        clipset.subset([i in good for i in range(len(clipset))]),
        np.array([p.probabilities for p in good.values()], np.float64),
        tuple(p.outcome for p in good.values()),
        tuple("; ".join(p.problems) for p in good.values()),
        tuple((clipset.ids[i], why) for i, why in bad.items()),
    )


def measure(answers: Answers) -> dict[str, Any]:
    """Return every number about the answers, JSON-able; a class without clips has no entry.

    ``uar``, ``war``, each class's ``recall``, ``mean_rank`` (1: the true class is always the most
    probable, 7: always the least) and ``auc`` are :data:`Measured`: UAR, WAR and recalls with a
    percentile bootstrap over people, the others with a jackknife over people, 95 %. ``auc`` is
    None unless exactly two expressions are shown: the chance that a clip of the first has a
    larger log p(first) - log p(second) than a clip of the second. ``ece`` is the expected
    calibration error over ten bins.
    """
    labels, predicted, p = answers.clipset.labels, answers.predicted, answers.probabilities
    who = people(answers.clipset.groups)
    ranks = rankdata(-p, axis=1)[np.arange(len(labels)), labels]
    shown = np.unique(labels).tolist()

    def share(mask: np.ndarray, metric: str) -> Measured:
        found = asdict(bootstrap_interval(labels[mask], predicted[mask], who[mask], metric))
        return found if len(set(who[mask])) > 1 else found | {"low": None, "high": None}

    everything = np.ones(len(labels), bool)
    return {
        "n_clips": len(labels),
        "n_people": len(set(who)),
        "n_without_person": int((answers.clipset.groups == "").sum()),
        "n_uncertain": sum(outcome not in CLASSES for outcome in answers.outcomes),
        "uar": share(everything, "uar"),
        "war": share(everything, "war"),
        "mean_rank": _jackknifed(lambda mask: ranks[mask].mean(), who, (1, N_CLASSES)),
        "classes": {
            CLASSES[c]: {
                "n": int((labels == c).sum()),
                "recall": share(labels == c, "war"),
                "mean_rank": float(ranks[labels == c].mean()),
            }
            for c in shown
        },
        "auc": _told_apart(labels, p, who, *shown) if len(shown) == 2 else None,
        "ece": reliability(p, labels).ece,
        "confusion": confusion_matrix(labels, predicted).tolist(),
        "left_out": [{"clip": clip, "why": why} for clip, why in answers.left_out],
    }


def _told_apart(labels: np.ndarray, p: np.ndarray, who: np.ndarray, a: int, b: int) -> Any:
    from sklearn.metrics import roc_auc_score

    logs = np.log(np.maximum(p, np.finfo(float).tiny))
    score = logs[:, a] - logs[:, b]
    enough = all(len(set(who[labels == c])) > 1 for c in (a, b))  # one may be left out
    measured = _jackknifed(
        lambda mask: roc_auc_score(labels[mask] == a, score[mask]), who, (0, 1), enough
    )
    return {"of": CLASSES[a], "against": CLASSES[b], **measured}


def _jackknifed(
    statistic: Callable[[np.ndarray], float],
    who: np.ndarray,
    bounds: tuple[float, float],
    enough: bool = True,
) -> Measured:
    if len(set(who)) < 2 or not enough:
        value = float(statistic(np.ones(len(who), bool)))
        return {"value": value, "low": None, "high": None}
    value, low, high = (float(x[0]) for x in jackknife(statistic, who))
    return {"value": value, "low": max(low, bounds[0]), "high": min(high, bounds[1])}


def mistakes(confusion: list[list[int]]) -> list[tuple[str, str, int, float]]:
    """Return (shown, taken for, clips, share of the clips that show it), the most clips first."""
    return sorted(
        (
            (CLASSES[i], CLASSES[k], n, n / sum(row))
            for i, row in enumerate(confusion)
            for k, n in enumerate(row)
            if n and i != k
        ),
        key=lambda mistake: -mistake[2],
    )


def report(facts: dict[str, Any]) -> str:
    """Return the numbers of :func:`measure` as Markdown.

    Args:
        facts: the numbers with ``data``, ``model``, ``statement`` and ``data_notes`` (sentences).
    """
    out = facts["left_out"]
    lines = [f"# {facts['model']} on {facts['data']}", "", facts["statement"], ""]
    lines += [f"- {note}" for note in facts["data_notes"]]
    if facts["n_without_person"]:
        lines.append(
            f"- {facts['n_without_person']} clips name no person; each counts as one of its own, "
            "so intervals are too narrow if people recur."
        )
    if out:
        lines.append(f"- {len(out)} left out: {few(item['why'] for item in out)}")
    lines += [
        f"- {size(facts)}; the outcome of {facts['n_uncertain']} is uncertain. Every clip counts "
        "with its most probable class.",
        "",
    ]
    return "\n".join(lines + tables(facts)) + "\n"


def size(facts: dict[str, Any]) -> str:
    """Return how many clips of how many people were measured, in words."""
    who = "1 person" if facts["n_people"] == 1 else f"{facts['n_people']} people"
    return f"{facts['n_clips']} clips of {who}"


def tables(facts: dict[str, Any]) -> list[str]:
    """Return the numbers of :func:`measure` as three Markdown tables: all, by class, mistakes."""
    auc, rank = facts["auc"], facts["mean_rank"]
    lines = [
        "| measure | value | 95 % interval over people |",
        "| --- | ---: | --- |",
        f"| UAR (chance {100 / N_CLASSES:.1f} %) | {_cells(facts['uar'], 100)} |",
        f"| WAR (accuracy) | {_cells(facts['war'], 100)} |",
    ]
    if auc:
        lines.append(f"| AUC, {auc['of']} against {auc['against']} (0.5) | {_cells(auc)} |")
    lines += [
        f"| mean rank of the true class ({CHANCE_RANK:g}) | {_cells(rank)} |",
        f"| expected calibration error | {100 * facts['ece']:.1f} % | |",
        "",
        "| expression | n | mean rank | recall | 95 % interval over people |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for name in (name for name in CLASSES if name in facts["classes"]):
        of = facts["classes"][name]
        recall = _cells(of["recall"], 100)
        lines.append(f"| {name} | {of['n']} | {of['mean_rank']:.2f} | {recall} |")
    wrong = mistakes(facts["confusion"])
    if wrong:
        lines += ["", "| shown | taken for | n | share |", "| --- | --- | ---: | ---: |"]
        lines += [f"| {a} | {b} | {n} | {100 * part:.0f} % |" for a, b, n, part in wrong]
    return lines


def _cells(measured: Measured, percent: int = 0) -> str:
    value, low, high = (measured[end] for end in ("value", "low", "high"))
    shown = f"{100 * value:.1f} %" if percent else f"{value:.3f}"
    if low is None:
        return f"{shown} | too few people"
    return f"{shown} | " + (
        f"{100 * low:.1f} to {100 * high:.1f}" if percent else f"{low:.3f} to {high:.3f}"
    )


def write(out: Path, facts: dict[str, Any], answers: Answers) -> None:
    """Write ``evaluation.json``, ``evaluation.md`` and ``clips.csv`` (one row a clip).

    Raises:
        UserError: the folder cannot be written.
    """
    rows = []
    clips = zip(
        *(answers.clipset, answers.predicted, answers.outcomes, answers.probabilities),
        answers.notes,
        strict=True,
    )
    for clip, predicted, outcome, p, notes in clips:
        names = CLASSES[clip.label], CLASSES[predicted], outcome
        rows.append([clip.id, clip.group, *names, *(f"{x:.6f}" for x in p), notes])
    rows += [[clip, *[""] * (4 + N_CLASSES), why] for clip, why in answers.left_out]
    head = ["clip", "person", "shown", "recognised", "outcome", *CLASSES, "notes"]
    write_csv(out / "clips.csv", head, rows)
    write_text(out / "evaluation.md", report(facts))
    write_json(out / "evaluation.json", facts)


def draw_mistakes(path: Path, answers: Answers, config: PreprocessConfig, workers: int) -> int:
    """Draw the most confident mistakes: a frame with its face, and the crops the network saw.

    Args:
        path: PNG to write.
        answers: what the model said.
        config: the model's preprocessing.
        workers: processes.

    Returns:
        The number of mistakes drawn, at most :data:`MOST_DRAWN`.
    """
    predicted, sure = answers.predicted, answers.probabilities.max(1)
    wrong = np.flatnonzero(predicted != answers.clipset.labels)
    drawn = wrong[np.argsort(-sure[wrong], kind="stable")][:MOST_DRAWN].tolist()
    clips = tuple(answers.clipset.clips[i] for i in drawn)
    captions = {
        clip.id: f"{CLASSES[clip.label]} taken for {CLASSES[predicted[i]]}, p {sure[i]:.2f}: "
        f"{clip.id}"
        for i, clip in zip(drawn, clips, strict=True)
    }
    title = f"{answers.clipset.name}: {len(wrong)} of {len(predicted)} clips mistaken"
    # every clip has an answer, so every clip is drawn, however few frames show the face
    config = replace(config, min_coverage=0.0)
    with tempfile.TemporaryDirectory() as cache:
        chosen = replace(answers.clipset, clips=clips, notes=())
        prepared = preprocess(chosen, config, Path(cache), workers, progress=False)
        save_png(path, contact_sheet(prepared, MOST_DRAWN, title=title, captions=captions))
    return len(drawn)
