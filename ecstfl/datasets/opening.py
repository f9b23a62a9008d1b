"""From a name on the command line to a :class:`~ecstfl.datasets.clipset.ClipSet`: one ``match``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ecstfl.datasets.clipset import ClipSet
from ecstfl.datasets.findings import Survey, opened
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
    match name_or_path:
        case "embedded" | "embedded-longtail" | "wild" if layout is None:
            return _open_embedded(name_or_path, root)
        case _:
            allow = ("missing-clip",) if allow_missing else ()
            return opened(survey_data(name_or_path, root, layout=layout), allow)


def survey_data(
    name_or_path: str, root: Path | None = None, *, layout: str | None = None
) -> Survey:
    """Like :func:`open_data`, with everything that was noticed.

    Raises:
        UserError: unknown name, missing root, or nothing there to survey.
    """
    if layout is not None and name_or_path != "dfew":
        raise UserError(f"--layout {layout}: only dfew comes in several layouts")
    match name_or_path:
        case "embedded" | "embedded-longtail" | "wild":
            return Survey(_open_embedded(name_or_path, root), layout="embedded")
        case "dfew":
            from ecstfl.datasets.dfew import survey_dfew

            return survey_dfew(_needed(name_or_path, root), layout)
        case "ravdess":
            from ecstfl.datasets.ravdess import survey_ravdess

            return survey_ravdess(_needed(name_or_path, root))
        case "crema-d":
            from ecstfl.datasets.cremad import survey_cremad

            return survey_cremad(_needed(name_or_path, root))
        case _:
            return _survey_own(name_or_path, root)


def _survey_own(name_or_path: str, root: Path | None) -> Survey:
    from ecstfl.datasets.folder import survey_csv, survey_folder

    path = Path(name_or_path)
    if name_or_path in ("folder", "csv") and root is not None and not path.exists():
        path = root
    if path.is_dir():
        return survey_folder(path)
    if path.is_file() and path.suffix.lower() == ".csv":
        return survey_csv(path)
    raise UserError(
        f"unknown data {name_or_path!r}: use {', '.join(NAMES)}, a folder with one sub-folder "
        "per expression, or a .csv file"
    )


def _open_embedded(name: str, root: Path | None) -> ClipSet:
    from ecstfl.datasets.embedded import open_embedded

    split = "wild" if name == "wild" else "default"
    prior = "longtail" if name == "embedded-longtail" else "balanced"
    return open_embedded(root, split=split, prior=prior)


def _needed(name: str, root: Path | None) -> Path:
    if root is None:
        raise UserError(f"data set {name} is not part of the package: give its folder with --root")
    return root
