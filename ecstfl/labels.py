"""The seven expressions, in the order of DFEW's tables (labels 1..7 there, 0..6 here)."""

from __future__ import annotations

from typing import Final

from ecstfl.errors import UserError

CLASSES: Final = ("Happy", "Sad", "Neutral", "Angry", "Surprise", "Disgust", "Fear")
"""Class names; position = label in this package = DFEW's label - 1."""

N_CLASSES: Final = len(CLASSES)

DFEW_COUNTS: Final = (2445, 1894, 2669, 2173, 1469, 145, 902)
"""Single-labelled DFEW clips per class (paper, section 4; sum 11,697)."""

SYNONYMS: Final = {
    "happiness": "Happy",
    "joy": "Happy",
    "sadness": "Sad",
    "anger": "Angry",
    "surprised": "Surprise",
    "disgusted": "Disgust",
    "fearful": "Fear",
}
"""Names accepted besides :data:`CLASSES`, in folders and lists alike."""


def label_index(name: str) -> int:
    """Return the label 0..6 of a class name or synonym, ignoring case and surrounding blanks.

    Raises:
        UserError: the name is neither one of :data:`CLASSES` nor of :data:`SYNONYMS`.
    """
    wanted = name.strip().lower()
    wanted = SYNONYMS.get(wanted, wanted).lower()
    for index, known in enumerate(CLASSES):
        if known.lower() == wanted:
            return index
    raise UserError(f"unknown expression {name!r}: use one of {', '.join(CLASSES)}")
