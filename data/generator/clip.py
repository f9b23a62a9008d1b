"""One clip: frames and their truth."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ecstfl.errors import UserError
from ecstfl.labels import CLASSES, label_index

from .expression import UNIT_NAMES, UNITS, UNITS_SECOND, Manner, perform
from .figure import Figure, rotation, still_body, unit_weights
from .geometry import Head, load_head
from .identity import Identity, make_identity
from .occluders import OCCLUDERS, draw_occluder
from .scene import Scene, develop, draw_scene

FACELESS = ("black", "background", "away")
_LETTERS = list("abcdefghijklmnop rstuv ")


@dataclass(frozen=True)
class Clip:
    """A rendered clip with T frames.

    Attributes:
        frames: (T, size, size, 3) uint8 RGB.
        units: (T, 23) float32, action units in the order of UNIT_NAMES.
        landmarks: (T, 68, 2) float32 pixels, ibug-68 order; projected also where hidden.
        landmarks_seen: (T,) float32 share of landmarks in the frame and not behind anything.
        box: (T, 4) float32 x0, y0, x1, y1, landmarks raised to the hairline; NaN without face.
        pose: (T, 3) float32 yaw, pitch, roll of the head in degrees.
        visible: (T,) bool: a face is to be seen.
        info: what the manifest says.
    """

    frames: np.ndarray
    units: np.ndarray
    landmarks: np.ndarray
    landmarks_seen: np.ndarray
    box: np.ndarray
    pose: np.ndarray
    visible: np.ndarray
    info: dict = field(default_factory=dict)


def _path(rng: np.random.Generator, n: int, amplitude: float, knots: int) -> np.ndarray:
    knots_at = rng.normal(0, 1, knots)
    x = np.interp(np.linspace(0, knots - 1, n), np.arange(knots), knots_at)
    window = np.hanning(13) / np.hanning(13).sum()
    return np.convolve(np.pad(x, 6, "edge"), window, "valid") * amplitude


def _face_box(landmarks: np.ndarray) -> np.ndarray:
    """Box of the landmarks, raised by a third of the brow-chin height to reach the hairline."""
    x0, y0 = landmarks.min(0)
    x1, y1 = landmarks.max(0)
    return np.array([x0, y0 - 0.28 * (y1 - y0), x1, y1], np.float32)


def render_clip(
    identity: Identity | int,
    label: str,
    seed: int = 0,
    frames: int = 24,
    size: int = 224,
    difficulty: float = 0.35,
    occluder: str | None = None,
    faceless: str | None = None,
    take: int = 1,
    manner: Manner | None = None,
    every: int = 1,
) -> Clip:
    """Render one clip; the same arguments give the same clip.

    Args:
        identity: a person, or the number of one.
        label: one of ``ecstfl.labels.CLASSES``.
        seed: of the pack.
        frames: how many, at least 8.
        size: side of a frame in pixels, at least 64.
        difficulty: 0..1, scales every nuisance.
        occluder: force one of OCCLUDERS (None: drawn).
        faceless: force one of FACELESS, or "none" (None: drawn).
        take: another number gives another clip of the same person and expression.
        manner: how expressions are shown (None: as in the shipped clips).
        every: draw every frame (1), every second (2), ...: the same performance in fewer pictures.

    Raises:
        UserError: an argument is unknown or out of range.
    """
    label = CLASSES[label_index(label)]
    if not 8 <= frames <= 250:
        raise UserError(f"frames is {frames}: give 8 to 250")
    if not 1 <= every <= frames // 8:
        raise UserError(f"every is {every}: of {frames} frames, at least 8 must be drawn")
    if not 64 <= size <= 1024:
        raise UserError(f"size is {size} pixels: give 64 to 1024")
    if not 0 <= difficulty <= 1:
        raise UserError(f"difficulty is {difficulty}: give a number from 0 to 1")
    if occluder is not None and occluder not in OCCLUDERS:
        raise UserError(f"unknown occluder {occluder!r}: use one of {', '.join(OCCLUDERS)}")
    if faceless is not None and faceless not in (*FACELESS, "none"):
        raise UserError(f"unknown kind of face-less frames {faceless!r}: use {', '.join(FACELESS)}")
    head = load_head()
    person = identity if isinstance(identity, Identity) else make_identity(head, identity, seed)
    key = [seed, person.number, CLASSES.index(label), round(1000 * difficulty), take]
    rng = np.random.default_rng(key)
    scene = draw_scene(rng, size, difficulty)
    play = perform(rng, person.style, label, frames, difficulty, manner)
    parts = UNITS_SECOND if manner and manner.units == 2 else UNITS
    weights = [unit_weights(head, person.style, row, parts) for row in play.tracks]
    awake = [unit_weights(head, person.style, row * _NOT_BLINK, parts) for row in play.tracks]
    figure = Figure(head, person, scene, max(awake, key=lambda w: float(w.sum())))

    motion = _draw_motion(rng, frames, difficulty)
    yaw, pitch, roll, shake = motion.yaw, motion.pitch, motion.roll, motion.shake

    drawn = rng.choice(OCCLUDERS, p=_occluder_odds(difficulty))
    kind = str(drawn) if occluder is None else occluder
    thing = draw_occluder(rng, kind, frames)
    gap_kind, gap = _draw_gap(rng, frames, difficulty, faceless)
    bars = rng.random() < 0.10 * difficulty
    words = "".join(rng.choice(_LETTERS, 22)) if rng.random() < 0.15 * difficulty else ""
    body_yaw = 0.35 * motion.yaw0
    behind = (
        _bystander(rng, head, scene, person, size)
        if rng.random() < 0.2 * max(0, difficulty - 0.5)
        else None
    )

    out = np.zeros((frames, size, size, 3), np.uint8)
    landmarks = np.zeros((frames, 68, 2), np.float32)
    seen_share, visible = np.zeros(frames, np.float32), np.zeros(frames, bool)
    box, pose = np.full((frames, 4), np.nan, np.float32), np.zeros((frames, 3), np.float32)
    previous = shake[0]
    away = math.pi + rng.uniform(-0.3, 0.3)
    drawn_frames = np.arange(0, frames, every)
    for f in drawn_frames:
        hidden = gap[0] <= f < gap[1]
        turned = hidden and gap_kind == "away"
        turn = rotation(yaw[f] - body_yaw, pitch[f], roll[f])
        body = rotation(body_yaw + (away if turned else 0.0), 0, 0)
        if turned:
            turn = rotation(0.15 * (yaw[f] - body_yaw), 0.3 * pitch[f], 0)
        gaze = (
            float(motion.gaze_yaw[f] - 0.5 * yaw[f]),
            float(motion.gaze_pitch[f] + 0.35 * play.tracks[f, UNIT_NAMES.index("AU64")]),
        )
        shift = (float(shake[f, 0]), float(shake[f, 1]))
        colour, alpha, points, seen = figure.draw(
            weights[f], play.tracks[f], turn, body, gaze, shift, thing.solid(f)
        )
        if hidden and gap_kind == "background":
            colour, alpha = np.zeros_like(colour), np.zeros_like(alpha)
        if behind is not None and not hidden:
            alpha_b = behind[1] * (1 - alpha)
            colour, alpha = colour + behind[0] * (1 - alpha)[..., None], alpha + alpha_b
        colour, alpha = _motion_blur(colour, alpha, (shake[f] - previous) * size / every)
        previous = shake[f]
        veil = None if hidden else thing.veil(f, size)
        if veil is not None:
            colour = colour * (1 - veil)[..., None] + thing.dark * veil[..., None]
            alpha = alpha * (1 - veil) + veil
            row, col = (np.clip(points[:, i].astype(int), 0, size - 1) for i in (1, 0))
            seen = seen & (veil[row, col] < 0.5)
        image = develop(scene, colour, alpha, shift, rng)
        if bars:
            image[: size // 10] = 0
            image[-(size // 10) :] = 0
        if words:
            _subtitle(image, words)
        if hidden and gap_kind == "black":
            image[:] = 0
        out[f], landmarks[f] = image, points
        pose[f] = np.degrees([yaw[f] + (away if turned else 0), pitch[f], roll[f]])
        seen_share[f] = 0 if hidden else float(seen.mean())
        visible[f] = seen_share[f] >= 0.35
        if visible[f]:
            box[f] = _face_box(points)
    info = {
        "label": label,
        "identity": person.number,
        "frames": len(drawn_frames),
        "difficulty": round(difficulty, 3),
        "intensity": round(play.intensity, 3),
        "second": play.second,
        "second_amount": round(play.second_amount, 3),
        "speech": int(play.speech),
        "yaw_min": round(float(np.degrees(yaw.min())), 1),
        "yaw_max": round(float(np.degrees(yaw.max())), 1),
        "pitch_min": round(float(np.degrees(pitch.min())), 1),
        "pitch_max": round(float(np.degrees(pitch.max())), 1),
        "roll_min": round(float(np.degrees(roll.min())), 1),
        "roll_max": round(float(np.degrees(roll.max())), 1),
        "face_share": round(scene.face_share, 3),
        "light": scene.light_name,
        "background": scene.background_name,
        "occluder": kind,
        "faceless": gap_kind,
        "faceless_frames": int(((drawn_frames >= gap[0]) & (drawn_frames < gap[1])).sum()),
        "subtitle": int(bool(words)),
        "bars": int(bars),
        "bystander": int(behind is not None),
        **{f"votes_{c}": int(v) for c, v in zip(CLASSES, play.votes, strict=True)},
        **person.params,
    }
    told = (out, play.tracks, landmarks, seen_share, box, pose, visible)
    return Clip(*(each[drawn_frames] for each in told), info)


@dataclass(frozen=True)
class _Motion:
    """Head pose and gaze in radians and camera shake (frames, 2) as a share of the frame."""

    yaw0: float
    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    gaze_yaw: np.ndarray
    gaze_pitch: np.ndarray
    shake: np.ndarray


def _draw_motion(rng: np.random.Generator, n: int, difficulty: float) -> _Motion:
    spread = 0.4 + 0.6 * difficulty
    yaw0, pitch0, roll0 = rng.normal(0, 0.30 * spread), rng.normal(0, 0.10), rng.normal(0, 0.08)
    if rng.random() < 0.14 * max(0.0, difficulty - 0.3) / 0.7:
        yaw0 += rng.choice([-1, 1]) * rng.uniform(0.4, 0.8)
    swing = rng.uniform(0.4, 1.4 + 0.4 * difficulty)
    return _Motion(
        yaw0=float(yaw0),
        yaw=yaw0 + _path(rng, n, 0.11 * swing, 4),
        pitch=np.clip(pitch0 + _path(rng, n, 0.06 * swing, 4), -0.45, 0.45),
        roll=roll0 + _path(rng, n, 0.05 * swing, 4),
        gaze_yaw=_path(rng, n, 0.14, 5),
        gaze_pitch=_path(rng, n, 0.06, 5),
        shake=np.stack([_path(rng, n, 0.025 * swing * spread, 5) for _ in range(2)], 1),
    )


_NOT_BLINK = np.array([name != "AU45" for name in UNIT_NAMES], np.float32)


def _occluder_odds(difficulty: float) -> list[float]:
    return [1 - 0.30 * difficulty, 0.12 * difficulty, 0.08 * difficulty, 0.10 * difficulty]


def _draw_gap(
    rng: np.random.Generator, frames: int, difficulty: float, forced: str | None
) -> tuple[str, tuple[int, int]]:
    """Which frames show no face, and what they show instead."""
    wanted = rng.random() < 0.06 + 0.14 * difficulty
    kind, begin = str(rng.choice(FACELESS)), int(rng.integers(0, frames - 4))
    length = int(rng.integers(2, 6))
    if forced == "none" or (forced is None and not wanted):
        return "none", (0, 0)
    return forced or kind, (begin, min(frames, begin + length))


def _motion_blur(
    colour: np.ndarray, alpha: np.ndarray, velocity: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if np.hypot(*velocity) * 0.8 <= 1:
        return colour, alpha
    kernel = np.zeros((9, 9), np.float32)
    vx, vy = np.clip(velocity * 0.4, -4, 4)
    cv2.line(
        kernel, (round(4 - vx), round(4 - vy)), (round(4 + vx), round(4 + vy)), 1.0, 1, cv2.LINE_AA
    )
    kernel /= kernel.sum()
    return cv2.filter2D(colour, -1, kernel), cv2.filter2D(alpha, -1, kernel)


def _subtitle(image: np.ndarray, words: str) -> None:
    size = image.shape[0]
    at, font = (int(size * 0.12), int(size * 0.93)), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(image, words, at, font, size / 600, (0, 0, 0), 2, cv2.LINE_AA)
    cv2.putText(image, words, at, font, size / 600, (235, 235, 225), 1, cv2.LINE_AA)


def _bystander(
    rng: np.random.Generator, head: Head, scene: Scene, person: Identity, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Someone out of focus in the background, standing still: colour and alpha."""
    other = make_identity(head, 900_000 + int(rng.integers(1_000_000)), person.seed)
    offset = np.array([rng.choice([-1, 1]) * rng.uniform(0.30, 0.42), rng.uniform(-0.05, 0.15)])
    far = replace(scene, face_share=scene.face_share * rng.uniform(0.45, 0.65), offset=offset)
    none = np.zeros(len(head.unit_index), np.float32)
    figure = Figure(head, other, far, none, oversample=1)
    turn = rotation(float(rng.normal(0, 0.4)), 0, 0)
    colour, alpha, _, _ = figure.draw(
        none, np.zeros(len(UNIT_NAMES), np.float32), turn, still_body(), (0, 0), (0, 0)
    )
    sigma = size / 110
    return cv2.GaussianBlur(colour, (0, 0), sigma), cv2.GaussianBlur(alpha, (0, 0), sigma)
