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
        code: ``package.module.name``.
        test: the name of a function somewhere in ``tests/``.
        lesson: name of the lesson that uses the code, ``04_formula``.
        section: the heading over the first cell there that uses it.
    """

    where: str
    what: str
    code: str
    test: str
    lesson: str = ""
    section: str = ""


LINKS: Final = (
    Link(
        "claim 1 (1)",
        "labelled videos, read and checked",
        "ecstfl.datasets.embedded.open_embedded",
        "test_balanced_and_long_tailed_priors",
        "01_data",
        "A clip is four axes of bytes",
    ),
    Link(
        "claim 1 (2), claim 2 (2-1)",
        "video to frames",
        "ecstfl.video.reading.read_frames",
        "test_containers",
        "02_faces",
        "Find",
    ),
    Link(
        "claim 2 (2-2)",
        "find the face, drop frames without one",
        "ecstfl.faces.retinaface.RetinaFace",
        "test_retinaface_finds_the_face_and_its_points",
        "02_faces",
        "Find",
    ),
    Link(
        "claim 2 (2-3)",
        "align the face by its landmarks",
        "ecstfl.faces.align.similarity",
        "test_similarity_is_scikit_images",
        "02_faces",
        "Exercise 2.3: The least-squares similarity",
    ),
    Link(
        "claim 2 (2-4)",
        "interpolate to the same number of frames",
        "ecstfl.clips.temporal.tim",
        "test_tim_is_the_published_method",
        "03_frames",
        "Three ways, one clip",
    ),
    Link(
        "claim 2 (2-4)",
        "choose key frames",
        "ecstfl.clips.temporal.change_indices",
        "test_change_indices_find_the_changes",
        "03_frames",
        "Exercise 3.1: Evenly spaced",
    ),
    Link(
        "claim 3 (3-1)",
        "a spatiotemporal backbone",
        "ecstfl.models.c3d.C3D",
        "test_full_width_parameters",
        "05_c3d",
        "Exercise 5.1: How many places?",
    ),
    Link(
        "claim 3 (3-1), paper",
        "other backbones",
        "ecstfl.models.backbones.BackboneConfig",
        "test_full_width_parameters_for_400_classes",
        "09_backbones",
        "Step 2: choose a network",
    ),
    Link(
        "claim 3 (3-2), [0040]",
        "attach the loss to one of the last layers",
        "ecstfl.models.tap.Tap",
        "test_gives_output_and_features_before_the_relu",
        "05_c3d",
        "Exercise 5.5: Tap a layer",
    ),
    Link(
        "claim 3 (3-3), [0020]",
        "the EC-STFL loss",
        "ecstfl.losses.ec_stfl.ec_stfl_loss",
        "test_equals_the_naive_loop_in_value",
        "04_formula",
        "Exercise 4.3: No loop",
    ),
    Link(
        "paper, Eq. 9",
        "one ratio of two double sums",
        "ecstfl.losses.naive.paper",
        "test_equals_the_naive_loop_in_value",
        "04_formula",
        "One name, several definitions",
    ),
    Link(
        "claim 4",
        "L = cross-entropy + λ EC-STFL",
        "ecstfl.losses.joint.JointLoss",
        "test_joint_loss_is_the_sum",
        "06_training",
        "The loop by hand",
    ),
    Link(
        "claim 1 (3), (4)",
        "train on some folds, test on another",
        "ecstfl.training.loop.train_run",
        "test_test_clips_never_reach_training",
        "06_training",
        "The loop by hand",
    ),
    Link(
        "beyond the patent",
        "nobody is in two folds",
        "ecstfl.datasets.folds.assign_folds",
        "test_folds_never_share_a_group",
        "01_data",
        "Exercise 1.4: Deal out people",
    ),
    Link(
        "beyond the patent",
        "how many of a class a batch holds",
        "ecstfl.training.samplers.MPerClassSampler",
        "test_every_class_present_has_m_and_counts_are_even",
        "06_training",
        "Exercise 6.2: Alone in a batch",
    ),
    Link(
        "Table 1",
        "UAR and WAR",
        "ecstfl.metrics.recognition.uar",
        "test_confusion_recalls_uar_war_are_scikit_learns",
        "07_table",
        "Exercise 7.1: UAR and WAR",
    ),
    Link(
        "Table 1",
        "from printed percent to whole clips",
        "lessonkit.audit.decode_hits",
        "test_every_printed_row_is_whole_clips",
        "07_table",
        "Exercise 7.2: Which integers fit?",
    ),
    Link(
        "Table 1",
        "an interval for a printed recall",
        "lessonkit.audit.wilson",
        "test_wilson_is_scipys",
        "07_table",
        "Exercise 7.3: Wilson's interval",
    ),
    Link(
        "beyond the patent",
        "how tight and how far apart the classes lie",
        "ecstfl.metrics.clusters.cluster_measures",
        "test_cluster_measures_see_clusters_and_only_clusters",
        "08_features",
        "By hand, by the package, by scikit-learn",
    ),
    Link(
        "claim 1 (5), claim 5",
        "recognise a video with the trained network",
        "ecstfl.predict.recognizer.Recognizer",
        "test_held_out_videos_get_the_evaluations_answers",
        "10_predict",
        "The model, and what it says about itself",
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
    tests = "".join(path.read_text(encoding="utf-8") for path in (root / "tests").rglob("*.py"))
    for link in links:
        module, _, name = link.code.rpartition(".")
        try:
            getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            out.append(f"{link.where}: there is no {link.code}")
        if f"def {link.test}(" not in tests:
            out.append(f"{link.where}: there is no test {link.test}")
        if link.lesson:
            source = root / "notebooks" / "src" / f"{link.lesson}.py"
            text = source.read_text(encoding="utf-8") if source.is_file() else ""
            used = sections_with(text, name)
            if not text:
                out.append(f"{link.where}: there is no lesson {link.lesson}")
            elif not used:
                out.append(f"{link.where}: lesson {link.lesson} does not use {name}")
            elif link.section != used[0]:
                out.append(
                    f"{link.where}: lesson {link.lesson} uses {name} first under {used[0]!r}, "
                    f"not under {link.section!r}"
                )
    return out


def sections_with(source: str, name: str) -> list[str]:
    """Return the headings of a lesson's source under which ``name`` is used, in order.

    A code cell uses it, or a text speaks of it as code. Imports are no use, nor is what students
    do not write or see (checks, solutions, hidden tests, wrong answers).
    """
    found: list[str] = []
    heading = ""
    for cell in re.split(r"^(?=# %%)", source, flags=re.MULTILINE)[1:]:
        first, _, rest = cell.partition("\n")
        if re.search(r'part="(header|setup|answer|check|hidden|wrong|right)"', first):
            continue
        parts = [rest]
        if "[markdown]" in first:
            parts = re.split(r"^(?=# ##)", rest, flags=re.MULTILINE)
        for part in parts:
            title = re.match(r"# ##+ (.+)", part)
            heading = title[1].strip() if title else heading
            if "[markdown]" in first:
                used = " ".join(re.findall(r"`[^`]+`", part))
            else:
                used = re.sub(r"^(from|import) [^\n(]*(\([^)]*\))?$", "", part, flags=re.MULTILINE)
            if heading and heading not in found and re.search(rf"\b{re.escape(name)}\b", used):
                found.append(heading)
    return found


def markdown(links: Sequence[Link] = LINKS) -> str:
    """Return the table as Markdown; lessons are linked from the folder where they lie."""
    lines = ["| source | what | code | proved by | lesson |", "|---|---|---|---|---|"]
    for link in links:
        test = link.test.removeprefix("test_").replace("_", " ")
        lesson = f"[{link.lesson[:2]}]({link.lesson}.ipynb): {link.section}" if link.lesson else "–"
        lines.append(f"| {link.where} | {link.what} | `{link.code}` | {test} | {lesson} |")
    return "\n".join(lines)
