"""From the patent's claims to code, proof and lesson: one table, kept true by a test.

Each link names code that exists, a test that exists and, where there is one, a lesson that uses
the code. :func:`broken` tells which links lead nowhere; :func:`markdown` renders the table.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Link:
    """One step of the method.

    Attributes:
        where: claim, paragraph or equation.
        what: in a few words.
        code: ``module.name`` inside the package.
        test: ``file::function`` inside ``tests/``.
        lesson: two digits; empty while no lesson uses the code.
    """

    where: str
    what: str
    code: str
    test: str
    lesson: str = ""


LINKS: Final = (
    Link(
        "claim 1 (2), claim 2 (2-1)",
        "video to frames",
        "video.read_frames",
        "test_video.py::test_containers",
    ),
    Link(
        "claim 2 (2-2)",
        "find the face, drop frames without one",
        "faces.RetinaFace",
        "test_faces.py::test_retinaface_finds_the_face_and_its_points",
    ),
    Link(
        "claim 2 (2-3)",
        "align the face by its landmarks",
        "align.similarity",
        "test_align.py::test_similarity_is_scikit_images",
    ),
    Link(
        "claim 2 (2-4)",
        "interpolate to the same number of frames",
        "temporal.tim",
        "test_temporal.py::test_tim_is_the_published_method",
        "03",
    ),
    Link(
        "claim 2 (2-4)",
        "choose key frames",
        "temporal.change_indices",
        "test_temporal.py::test_change_indices_find_the_changes",
        "03",
    ),
    Link(
        "claim 3 (3-1)",
        "a spatiotemporal backbone",
        "c3d.C3D",
        "test_c3d.py::test_full_width_parameters",
    ),
    Link(
        "claim 3 (3-2), [0040]",
        "attach the loss to one of the last layers",
        "tap.Tap",
        "test_tap.py::test_gives_output_and_features_before_the_relu",
    ),
    Link(
        "claim 3 (3-3), [0020]",
        "the EC-STFL loss",
        "loss.ec_stfl_loss",
        "test_loss.py::test_equals_the_naive_loop_in_value_and_gradient",
        "04",
    ),
    Link(
        "paper, Eq. 9",
        "one ratio of two double sums",
        "reference.paper",
        "test_loss.py::test_equals_the_naive_loop_in_value_and_gradient",
        "04",
    ),
    Link(
        "claim 4",
        "L = cross-entropy + λ EC-STFL",
        "loss.JointLoss",
        "test_loss_modules.py::test_joint_loss_is_the_sum",
    ),
    Link(
        "claim 1 (3), (4)",
        "train on some folds, test on another",
        "train.train_run",
        "test_train.py::test_test_clips_never_reach_training",
    ),
    Link(
        "Table 1",
        "UAR and WAR",
        "metrics.uar",
        "test_metrics.py::test_confusion_recalls_uar_war_are_scikit_learns",
        "07",
    ),
    Link(
        "Table 1",
        "from printed percent to whole clips",
        "audit.decode_hits",
        "test_audit.py::test_every_printed_row_is_whole_clips",
        "07",
    ),
)


def find(where: str) -> tuple[Link, ...]:
    """Return the links whose ``where`` contains the text.

    Raises:
        ValueError: there is none.
    """
    found = tuple(link for link in LINKS if where.lower() in link.where.lower())
    if not found:
        known = ", ".join(dict.fromkeys(link.where for link in LINKS))
        raise ValueError(f"expected part of one of {known}; got {where!r}")
    return found


def broken(root: Path, links: Sequence[Link] = LINKS) -> list[str]:
    """Return a sentence for each link that leads nowhere in the repository ``root``."""
    out = []
    for link in links:
        module, _, name = link.code.partition(".")
        try:
            getattr(importlib.import_module(f"ecstfl.{module}"), name)
        except (ImportError, AttributeError):
            out.append(f"{link.where}: there is no ecstfl.{link.code}")
        file, _, function = link.test.partition("::")
        path = root / "tests" / file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if not re.search(rf"^def {re.escape(function)}\(", text, re.MULTILINE):
            out.append(f"{link.where}: there is no test {link.test}")
        if link.lesson:
            sources = sorted((root / "notebooks" / "src").glob(f"{link.lesson}_*.py"))
            if not sources:
                out.append(f"{link.where}: there is no lesson {link.lesson}")
            elif not re.search(rf"\b{re.escape(name)}\b", sources[0].read_text(encoding="utf-8")):
                out.append(f"{link.where}: lesson {link.lesson} does not use {name}")
    return out


def markdown(links: Sequence[Link] = LINKS) -> str:
    """Return the table as Markdown."""
    lines = ["| source | what | code | proved by | lesson |", "|---|---|---|---|---|"]
    for link in links:
        file, _, function = link.test.partition("::")
        test = f"`{file}`: {function.removeprefix('test_').replace('_', ' ')}"
        lines.append(
            f"| {link.where} | {link.what} | `ecstfl.{link.code}` | {test} | {link.lesson or '–'} |"
        )
    return "\n".join(lines)
