"""From what the user names to a :class:`~ecstfl.datasets.clipset.ClipSet`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.findings import Inspection, usable_clips
from ecstfl.errors import UserError

NAMES: Final = ("embedded", "embedded-longtail", "wild", "dfew", "ravdess", "crema-d")
"""Data sets known by name; anything else is a folder or a CSV."""


def open_data(
    name_or_path: str,
    root: Path | None = None,
    *,
    allow_missing: bool = False,
    layout: str | None = None,
) -> ClipSet:
    """Open a data set by name, or a folder or CSV of your own.

    Args:
        name_or_path: one of :data:`NAMES`, a folder ``<label>/*.mp4``, or a CSV file.
        root: where the data set lies; not needed for the embedded data.
        allow_missing: go on without listed clips that have no media; the notes then say so.
        layout: which of DFEW's kinds of clips to read, one of ``ecstfl.datasets.dfew.VERSIONS``; by
            default the first of them that is there. Other data sets have one layout.

    Raises:
        UserError: unknown name, missing root, or something wrong in the data.
    """
    allow = ("missing-clip",) if allow_missing else ()
    return usable_clips(inspect_data(name_or_path, root, layout=layout), allow)


def inspect_data(
    name_or_path: str, root: Path | None = None, *, layout: str | None = None
) -> Inspection:
    """Like :func:`open_data`, with everything that was noticed.

    Raises:
        UserError: unknown name, missing root, or nothing there to look at.
    """
    if layout is not None and name_or_path != "dfew":
        raise UserError(f"--layout {layout}: only dfew comes in several layouts")
    match name_or_path:
        case "embedded" | "embedded-longtail" | "wild":
            from ecstfl.datasets.embedded import open_embedded

            split = "wild" if name_or_path == "wild" else "default"
            prior = "longtail" if name_or_path == "embedded-longtail" else "balanced"
            return Inspection(open_embedded(root, split, prior), layout="embedded")
        case "dfew":
            from ecstfl.datasets.dfew import inspect_dfew

            return inspect_dfew(_needed(name_or_path, root), layout)
        case "ravdess":
            from ecstfl.datasets.ravdess import inspect_ravdess

            return inspect_ravdess(_needed(name_or_path, root))
        case "crema-d":
            from ecstfl.datasets.cremad import inspect_cremad

            return inspect_cremad(_needed(name_or_path, root))
        case _:
            return _inspect_own(name_or_path, root)


def clips_from_inputs(inputs: Sequence[Path | str]) -> tuple[ClipSet, list[tuple[Path, str]]]:
    """Turn videos, folders and CSV lists into one set; labels are taken where there are any.

    Folders and lists are read as :func:`open_data` reads them. Anything else is taken for a
    video file, whatever its name.

    Returns:
        (clips with unique ids, what was passed over and why).

    Raises:
        UserError: no input, a list that cannot be read, or no clip at all.
    """
    from ecstfl.datasets.csv_list import listed_clips
    from ecstfl.datasets.folder import clips_below, safe_id, unique_ids

    if not inputs:
        raise UserError("nothing to read: give a video, a folder or a CSV list")
    clips: list[Clip] = []
    passed: list[tuple[Path, str]] = []
    for path in map(Path, inputs):
        if path.suffix.lower() == ".csv" and path.exists():
            listed, findings, _ = listed_clips(path, need_labels=False)
            for finding in findings:
                if finding.kind not in ("missing-clip", "name-twice"):
                    raise UserError(finding.message)
            clips += listed
            passed += [(path.parent / f.items[0], f.message) for f in findings]
        elif path.is_dir():
            below, others = clips_below(path)
            clips += below
            passed += others or [(path, "no video and no frame folder in it")] * (not below)
        elif path.exists() or path.is_symlink():
            clips.append(Clip(safe_id(path.name), path))
        else:
            passed.append((path, "does not exist"))
    if not clips:
        where = ", ".join(map(str, inputs))
        why = f" (first passed over: {passed[0][0]}, {passed[0][1]})" if passed else ""
        raise UserError(f"no video and no frame folder in {where}{why}")
    return ClipSet("videos", unique_ids(clips)), passed


def _inspect_own(name_or_path: str, root: Path | None) -> Inspection:
    from ecstfl.datasets.csv_list import inspect_csv
    from ecstfl.datasets.folder import inspect_folder

    path = Path(name_or_path)
    if name_or_path in ("folder", "csv") and root is not None and not path.exists():
        path = root
    if path.is_dir():
        return inspect_folder(path)
    if path.is_file() and path.suffix.lower() == ".csv":
        return inspect_csv(path)
    raise UserError(
        f"unknown data {name_or_path!r}: use {', '.join(NAMES)}, a folder with one sub-folder "
        "per expression, or a .csv file"
    )


def _needed(name: str, root: Path | None) -> Path:
    if root is None:
        raise UserError(f"data set {name} is not part of the package: give its folder with --root")
    return root
