"""What a face does over time: action-unit tracks for one of seven expressions.

The label is the dominant emotion prototype in the sense of EMFACS (Ekman, Friesen): happy 6+12,
sad 1+4+15, angry 4+7+23, surprise 1+2+5+26, disgust 9+10+15+16, fear 1+2+4+5+20, neutral none.
The clips are not separable by construction: people differ in gain and asymmetry and in what
their face does at rest, units lag or stay out, a second emotion, speech and blinks mix in, and
the window may cut the onset or the offset. One number, the difficulty, scales every nuisance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecstfl.labels import CLASSES

Parts = tuple[tuple[str, float, bool], ...]

UNITS: dict[str, Parts] = {
    "AU1": (("browInnerUp", 1.45, False),),
    "AU2": (("browOuterUp", 1.25, True),),
    "AU4": (("browDown", 1.3, True),),
    "AU5": (("eyeWide", 1.35, True),),
    "AU6": (("cheekSquint", 1.15, True), ("eyeSquint", 0.4, True)),
    "AU7": (("eyeSquint", 1.0, True),),
    "AU9": (("noseSneer", 1.4, True),),
    "AU10": (("mouthUpperUp", 1.0, True),),
    "AU12": (("mouthSmile", 1.25, True), ("mouthUpperUp", 0.18, True)),
    "AU14": (("mouthDimple", 0.9, True),),
    "AU15": (("mouthFrown", 1.35, True),),
    "AU16": (("mouthLowerDown", 1.0, True),),
    "AU17": (("mouthShrugLower", 1.05, False), ("mouthShrugUpper", 0.55, False)),
    "AU18": (("mouthPucker", 0.8, False),),
    "AU20": (("mouthStretch", 1.15, True),),
    "AU22": (("mouthFunnel", 0.8, False),),
    "AU23": (
        ("mouthPress", 0.9, True),
        ("mouthRollUpper", 0.4, False),
        ("mouthRollLower", 0.4, False),
    ),
    "AU24": (("mouthPress", 1.0, True),),
    "AU25": (("mouthLowerDown", 0.5, True), ("mouthUpperUp", 0.45, True), ("jawOpen", 0.1, False)),
    "AU26": (("jawOpen", 0.5, False),),
    "AU27": (("jawOpen", 0.85, False),),
    "AU45": (("eyeBlink", 1.0, True),),
    "AU64": (("eyeLookDown", 1.0, True),),
}
"""Action unit -> (ARKit face unit, gain, whether it has a left and a right side)."""

UNIT_NAMES = tuple(UNITS)

UNITS_SECOND = UNITS | {
    "AU12": (
        ("mouthSmile", 0.85, True),
        ("mouthStretch", 0.35, True),
        ("mouthDimple", 0.25, True),
        ("mouthUpperUp", 0.25, True),
    ),
    "AU23": (
        ("mouthRollUpper", 0.6, False),
        ("mouthRollLower", 0.6, False),
        ("mouthPucker", 0.15, False),
        ("mouthPress", 0.1, True),
    ),
    "AU24": (
        ("mouthPress", 0.3, True),
        ("mouthPucker", 0.35, False),
        ("mouthRollUpper", 0.3, False),
        ("mouthRollLower", 0.3, False),
    ),
}
"""The same, corrected at the mouth.

The face unit ``mouthPress`` widens the mouth and raises its corners, nearly as a smile does, so the
shipped clips' tightened and pressed lips (AU23, AU24, of anger and speech) widen it too. Lips that
tighten do not (FACS). And smiles raise the corners steeply: ``data/README.md``, Limits, has the
numbers."""

PROTOTYPES: dict[str, tuple[dict[str, float], dict[str, tuple[float, float]]]] = {
    "Happy": (
        {"AU6": 0.85, "AU12": 0.95},
        {"AU25": (0.75, 0.75), "AU26": (0.35, 0.5), "AU7": (0.2, 0.3)},
    ),
    "Sad": (
        {"AU1": 0.9, "AU4": 0.45, "AU15": 0.85},
        {"AU17": (0.5, 0.6), "AU64": (0.4, 0.4), "AU7": (0.2, 0.3), "AU25": (0.15, 0.3)},
    ),
    "Neutral": (
        {},
        {
            "AU12": (0.12, 0.15),
            "AU4": (0.12, 0.18),
            "AU1": (0.1, 0.15),
            "AU17": (0.12, 0.2),
            "AU14": (0.1, 0.3),
        },
    ),
    "Angry": (
        {"AU4": 1.0, "AU7": 0.75, "AU23": 0.75},
        {
            "AU5": (0.6, 0.5),
            "AU10": (0.25, 0.5),
            "AU25": (0.3, 0.8),
            "AU26": (0.2, 0.4),
            "AU17": (0.3, 0.4),
            "AU9": (0.15, 0.4),
        },
    ),
    "Surprise": (
        {"AU1": 0.9, "AU2": 0.95, "AU5": 0.75, "AU26": 0.85},
        {"AU25": (0.9, 0.4), "AU27": (0.3, 0.4)},
    ),
    "Disgust": (
        {"AU9": 1.0, "AU10": 0.7, "AU15": 0.45, "AU16": 0.4},
        {
            "AU4": (0.5, 0.5),
            "AU25": (0.4, 0.5),
            "AU17": (0.35, 0.5),
            "AU6": (0.3, 0.4),
            "AU7": (0.4, 0.4),
        },
    ),
    "Fear": (
        {"AU1": 0.9, "AU2": 0.5, "AU4": 0.55, "AU5": 0.95, "AU20": 0.85},
        {"AU26": (0.6, 0.45), "AU25": (0.75, 0.65), "AU7": (0.2, 0.3)},
    ),
}
"""Class -> (core units with strength, optional units with probability and strength)."""

FURROWS = {
    "forehead": {"AU2": 0.8, "AU1": 0.4},
    "forehead_in": {"AU1": 0.8},
    "glabella": {"AU4": 1.0},
    "crow": {"AU6": 0.9, "AU7": 0.25},
    "nasolabial": {"AU12": 0.8, "AU10": 0.7, "AU9": 0.5, "AU6": 0.2, "AU15": 0.1, "AU20": 0.2},
    "nose": {"AU9": 1.0},
    "chin": {"AU17": 0.9},
    "marionette": {"AU15": 0.7},
}
"""Furrow of the skin -> the units that deepen it."""

_CONFUSED_WITH = {
    "Happy": {"Neutral": 1.0, "Surprise": 0.3},
    "Sad": {"Neutral": 1.0, "Disgust": 0.4, "Fear": 0.4},
    "Neutral": {"Sad": 0.8, "Angry": 0.4, "Happy": 0.3},
    "Angry": {"Disgust": 0.8, "Neutral": 0.7},
    "Surprise": {"Fear": 0.9, "Neutral": 0.3},
    "Disgust": {"Angry": 1.0, "Sad": 0.4, "Neutral": 0.4},
    "Fear": {"Surprise": 1.0, "Sad": 0.5},
}
"""Which labels human raters tend to give instead (relative weights, used for the votes)."""


@dataclass(frozen=True)
class Style:
    """How one person moves: gain and asymmetry by unit, and what the face does at rest."""

    gain: dict[str, float]
    asymmetry: dict[str, float]
    rest: dict[str, float]


@dataclass(frozen=True)
class Performance:
    """One performance.

    Attributes:
        tracks: (frames, units) float32 intensities, about 0..1.4, in the order of UNIT_NAMES.
        intensity: 0..1, strength of the labelled emotion (1 for Neutral by convention).
        second: the class mixed in, or "".
        second_amount: its strength relative to the first, 0..0.5.
        speech: whether the mouth speaks.
        votes: (7,) int, ten simulated raters.
    """

    tracks: np.ndarray
    intensity: float
    second: str
    second_amount: float
    speech: bool
    votes: np.ndarray


def draw_style(rng: np.random.Generator) -> Style:
    """Draw how a person moves."""
    return Style(
        gain={u: float(np.clip(rng.normal(1, 0.2), 0.5, 1.45)) for u in UNIT_NAMES},
        asymmetry={u: float(rng.normal(0, 0.09)) for u in UNIT_NAMES},
        rest={
            u: float(np.clip(rng.normal(-0.03, 0.10), 0, 0.25))
            for u in ("AU1", "AU4", "AU12", "AU15", "AU17", "AU7", "AU5")
        },
    )


def _envelope(n: int, onset: float, apex: float, offset: float, start: float) -> np.ndarray:
    t = np.arange(n, dtype=np.float32)
    rise = np.clip((t - start) / max(onset, 1), 0, 1)
    fall = np.clip((t - start - onset - apex) / max(offset, 1), 0, 1)
    return (rise * rise * (3 - 2 * rise)) * (1 - fall * fall * (3 - 2 * fall))


@dataclass(frozen=True)
class Manner:
    """In which manner expressions are shown. The shipped clips are of the default one.

    Attributes:
        talk: share of clips in which the person talks while expressing, 0..1. None: as often and
            as simply as in the shipped clips, where the difficulty decides and little but the jaw
            moves.
        hold: share of clips that are in the expression from the first frame to the last, 0..1.
        units: 1: action units move the face as in the shipped clips; 2: corrected at the mouth, see
            :data:`UNITS_SECOND`.
    """

    talk: float | None = None
    hold: float = 0.0
    units: int = 1


_SHAPES = (
    {"AU26": 0.55, "AU25": 0.7},  # a
    {"AU26": 0.2, "AU25": 0.55, "AU20": 0.45},  # e, i
    {"AU26": 0.25, "AU25": 0.2, "AU18": 0.75, "AU22": 0.6},  # o, u
    {"AU24": 0.6, "AU17": 0.25},  # m, b, p
    {"AU25": 0.4, "AU10": 0.15, "AU16": 0.25},  # s, t: teeth nearly closed
    {},  # a pause
)
"""Mouth shapes of speech, as action units."""

_OPENING = ("AU25", "AU26", "AU27", "AU23", "AU24")
"""Units of the mouth's opening: while somebody talks, the words decide more than the mood."""


def talk(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Draw how a mouth moves in speech: a shape every 2 to 5 frames, and a smooth way between.

    Returns:
        Action unit -> (n,) float32 intensity.
    """
    times, shapes = [-int(rng.integers(1, 5))], [rng.integers(len(_SHAPES))]
    while times[-1] < n:
        times.append(times[-1] + int(rng.integers(2, 6)))
        shapes.append(rng.integers(len(_SHAPES)))
    loudness = rng.uniform(0.6, 1.1) * rng.uniform(0.8, 1.2, len(times))
    tracks = {}
    for unit in sorted({unit for shape in _SHAPES for unit in shape}):
        levels = [_SHAPES[shape].get(unit, 0.0) for shape in shapes]
        tracks[unit] = np.interp(np.arange(n), times, loudness * levels).astype(np.float32)
    return tracks


def perform(
    rng: np.random.Generator,
    style: Style,
    label: str,
    n: int,
    difficulty: float,
    manner: Manner | None = None,
) -> Performance:
    """Draw action-unit tracks of one clip.

    Args:
        rng: the clip's generator.
        style: of the person.
        label: one of ``ecstfl.labels.CLASSES``.
        n: frames.
        difficulty: 0 (full, clean expressions) .. 1.
        manner: default: as in the shipped clips.
    """
    manner = manner or Manner()
    tracks = {u: np.zeros(n, np.float32) for u in UNIT_NAMES}
    intensity = 1 - (1 - float(np.clip(rng.beta(2.2, 1.6), 0.12, 1))) * difficulty
    held = bool(manner.hold and rng.random() < manner.hold)

    def add(emotion: str, gain: float, start: float) -> None:
        core, optional = PROTOTYPES[emotion]
        onset = rng.uniform(0.15, 0.45) * n * (0.5 if emotion == "Surprise" else 1.0)
        apex, offset = rng.uniform(0.2, 0.6) * n, rng.uniform(0.2, 0.5) * n
        chosen = [(u, v, True) for u, v in core.items()]
        chosen += [(u, v, False) for u, (p, v) in optional.items() if rng.random() < p]
        for unit, strength, is_core in chosen:
            if is_core and len(core) > 2 and rng.random() < 0.10 * min(1.0, 2 * difficulty):
                continue
            envelope = _envelope(
                n, onset * rng.uniform(0.8, 1.25), apex, offset, start + rng.normal(0, 0.05) * n
            )
            if held:  # from 0.9 to 1.1 of its level and back: nobody is quite still
                envelope = 1 + 0.1 * np.sin(0.25 * np.arange(n) + 6.28 * rng.random())
            level = gain * strength * style.gain[unit] * rng.uniform(0.8, 1.2)
            tracks[unit] = np.maximum(tracks[unit], level * envelope)

    add(label, intensity if label != "Neutral" else 1.0, rng.uniform(-0.45, 0.2) * n)
    second, amount = "", 0.0
    if label != "Neutral" and rng.random() < 0.35 * difficulty:
        others = [c for c in CLASSES if c not in (label, "Neutral")]
        second, amount = str(rng.choice(others)), float(rng.uniform(0.2, 0.5))
        add(second, intensity * amount, rng.uniform(-0.3, 0.5) * n)
    for unit, level in style.rest.items():
        tracks[unit] = np.maximum(tracks[unit], level)
    speech = bool(rng.random() < (0.4 * difficulty if manner.talk is None else manner.talk))
    if speech and manner.talk is not None:
        for unit in _OPENING:
            tracks[unit] = 0.4 * tracks[unit]
        for unit, level in talk(rng, n).items():
            tracks[unit] = np.maximum(tracks[unit], level)
    elif speech:
        rate, level, phase = rng.uniform(0.1, 0.22), rng.uniform(0.15, 0.45), rng.uniform(0, 6.28)
        t = 2 * np.pi * rate * np.arange(n)
        jaw = 0.6 * np.sin(t + phase) + 0.4 * np.sin(1.7 * t + 1.3 * phase)
        jaw = (np.clip(jaw, 0, 1) * level).astype(np.float32)
        pucker = (0.7 * level * np.clip(np.sin(0.63 * t + 2), 0, 1)).astype(np.float32)
        tracks["AU26"] = np.maximum(tracks["AU26"], jaw)
        tracks["AU25"] = np.maximum(tracks["AU25"], 1.3 * jaw)
        tracks["AU18"] = np.maximum(tracks["AU18"], pucker)
    blink = int(rng.integers(2, n + 30))
    for i, level in enumerate((0.5, 1.0, 0.8, 0.3)):
        if blink + i < n:
            tracks["AU45"][blink + i] = level
    return Performance(
        tracks=np.stack([tracks[u] for u in UNIT_NAMES], 1).astype(np.float32),
        intensity=intensity,
        second=second,
        second_amount=amount,
        speech=speech,
        votes=simulate_votes(rng, label, intensity, second, amount),
    )


def simulate_votes(
    rng: np.random.Generator, label: str, intensity: float, second: str, amount: float
) -> np.ndarray:
    """Let ten simulated raters vote.

    A simple model, not a measurement: the weaker the expression, the more votes drift to what it
    is commonly confused with; a second emotion takes its share.

    Returns:
        (7,) int64, sums to 10.
    """
    strength = intensity if label != "Neutral" else 0.85
    weight = dict.fromkeys(CLASSES, 0.01)
    weight[label] += strength
    drift = 0.08 + 0.55 * (1 - strength)
    total = sum(_CONFUSED_WITH[label].values())
    for other, share in _CONFUSED_WITH[label].items():
        weight[other] += drift * share / total
    if second:
        weight[second] += 0.6 * amount * strength
    p = np.array([weight[c] for c in CLASSES])
    return rng.multinomial(10, p / p.sum())
