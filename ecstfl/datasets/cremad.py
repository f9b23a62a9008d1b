"""CREMA-D: 91 actors speak twelve sentences in six emotions.

Source: https://github.com/CheyneyComputerScience/CREMA-D, Open Database License 1.0 (contents:
Database Contents License 1.0). Files are ``VideoFlash/1001_DFA_ANG_XX.flv``: actor 1001..1091,
sentence, emotion (ANG DIS FEA HAP NEU SAD), level (LO MD HI, XX unspecified). There is no
Surprise. Each actor was asked for 82 takes (eleven sentences x six emotions, and "IEO" with
three levels of five emotions and one neutral); 7,442 of the 7,462 are published.
Reference: Cao et al., IEEE Transactions on Affective Computing 5(4), 2014.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.findings import (
    Inspection,
    existing_folder,
    listed,
    videos_below,
)
from ecstfl.datasets.folds import too_small
from ecstfl.errors import UserError
from ecstfl.labels import label_index

EMOTIONS: Final = {
    "ANG": "Angry",
    "DIS": "Disgust",
    "FEA": "Fear",
    "HAP": "Happy",
    "NEU": "Neutral",
    "SAD": "Sad",
}
"""CREMA-D emotion code -> class name; Surprise has none."""

SENTENCES: Final = (
    "DFA", "IEO", "IOM", "ITH", "ITS", "IWL", "IWW", "MTI", "TAI", "TIE", "TSI", "WSI",
)  # fmt: skip
ACTORS: Final = 91
CLIPS: Final = 7442
N_FOLDS: Final = 5

BROKEN: Final = ("1064_IEO_DIS_MD", "1064_TIE_SAD_XX", "1076_MTI_NEU_XX", "1076_MTI_SAD_XX")
"""Published takes that are known to be damaged; left out."""

_NAME = re.compile(r"(10\d\d)_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX|X)")
_POINTER = b"version https://git-lfs.github.com/spec/"


def fold_of(actor: int) -> int:
    """Return the fold 1..5 of actor 1001..1091: 1001 is in 1, 1002 in 2, ..., 1006 in 1 again.

    A fixed rule, so that a partly downloaded set has the same folds as the whole one.
    """
    return (actor - 1001) % N_FOLDS + 1


def inspect_cremad(root: Path | str) -> Inspection:
    """Look through a copy of CREMA-D and list everything that is not as published.

    Args:
        root: folder with ``VideoFlash`` (or the videos themselves) anywhere below it.

    Returns:
        Clips in the order of their names; group = actor, folds 1..5 by :func:`fold_of`.

    Raises:
        UserError: no file below ``root`` is named like a CREMA-D video.
    """
    top = existing_folder(root, "crema-d")
    takes: dict[str, Path] = {}
    strange, pointers, broken, twice = [], [], [], []
    for path in videos_below(top):
        match = _NAME.fullmatch(path.stem)
        shown = path.relative_to(top).as_posix()
        if match is None or not 1001 <= int(match[1]) <= 1000 + ACTORS:
            strange.append(shown)
        elif path.stem in takes:
            twice.append(shown)
        elif is_pointer(path):
            pointers.append(shown)
        elif path.stem in BROKEN:
            broken.append(path.stem)
        else:
            takes[path.stem] = path
    if not takes and not pointers and not broken:
        raise UserError(
            f"data set crema-d: no file below {top} is named like 1001_DFA_ANG_XX.flv; point "
            "--root at the folder that holds VideoFlash"
        )
    clips = tuple(
        Clip(
            id=name,
            source=path,
            label=label_index(EMOTIONS[name.split("_")[2]]),
            group=f"actor_{name[:4]}",
            fold=fold_of(int(name[:4])),
        )
        for name, path in sorted(takes.items())
    )
    known = {*takes, *broken, *(Path(p).stem for p in pointers)}
    here = sorted({name[:4] for name in known})
    gone = [str(a) for a in range(1001, 1001 + ACTORS) if str(a) not in here]
    # a few published names end in X instead of XX
    lost = [
        n for a in here for n in _takes_of(a) if n not in known and n.removesuffix("X") not in known
    ]
    if not gone and len(known) == CLIPS:
        lost = []  # complete: the published set itself lacks these
    notes = (
        "CREMA-D: acted speech; no Surprise, six of the seven classes; folds "
        f"are actor-disjoint ({len(here)} of {ACTORS} actors).",
    )
    clipset = ClipSet("crema-d", clips, notes=notes)
    warn = ("warning", "CREMA-D")
    placeholders = (
        f"{len(pointers)} files are git-lfs placeholders, not videos; run `ecstfl data get "
        "crema-d` or `git lfs pull`"
    )
    missing = (
        f"{len(lost)} takes of the actors present are missing (the complete published set lacks "
        "20 of its 7,462)"
    )
    unknown = "videos are not named like CREMA-D files, left out"
    damaged = "takes known to be damaged are left out"
    findings = (
        *listed("lfs-pointer", "error", top, placeholders, pointers),
        *listed("missing-clip", *warn, missing, lost),
        *listed("missing-actor", *warn, f"{len(gone)} of {ACTORS} actors are missing", gone),
        *listed("known-broken", "info", "CREMA-D", damaged, broken),
        *listed("unknown-name", *warn, unknown, strange),
        *listed("name-twice", *warn, "takes occur twice, the first by path is read", twice),
        *too_small(clipset, "get actors of several folds, for example --actors 1001-1005"),
    )
    layout = f"{len(takes)} takes of {len(here)} actors below {top}"
    return Inspection(clipset, findings, layout)


def is_pointer(path: Path) -> bool:
    """Tell whether a file is the short text that git-lfs leaves in place of the real one."""
    try:
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


def _takes_of(actor: str) -> list[str]:
    """Name the 82 takes an actor was asked for."""
    return [
        f"{actor}_{sentence}_{emotion}_{level}"
        for sentence in SENTENCES
        for emotion in EMOTIONS
        for level in (("LO", "MD", "HI") if (sentence == "IEO" and emotion != "NEU") else ("XX",))
    ]
