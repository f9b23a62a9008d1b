"""Things between the camera and the face: a hand, a microphone, something that passes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .geometry import CLOTH, HAND, PROP

OCCLUDERS = ("none", "hand", "mic", "pass")


def _capsule(p: np.ndarray, q: np.ndarray, r0: float, r1: float, flat: float = 1.0) -> tuple:
    """A closed tapered tube with round ends from p to q; ``flat`` squeezes it along z."""
    around, rings = 12, 4
    axis = (q - p) / (np.linalg.norm(q - p) + 1e-9)
    side = np.cross(axis, [0, 0, 1.0])
    side /= np.linalg.norm(side) + 1e-9
    third = np.cross(side, axis)
    profile = [
        (-r0 * math.cos(t), r0 * math.sin(t), 0) for t in np.linspace(0.02, np.pi / 2, rings)
    ]
    profile += [
        (r1 * math.sin(t), r1 * math.cos(t), 1) for t in np.linspace(0, np.pi / 2 - 0.02, rings)
    ]
    vertices = []
    for along, radius, end in profile:
        centre = (q if end else p) + axis * along
        for i in range(around):
            a = 2 * np.pi * i / around
            vertices.append(centre + radius * (math.cos(a) * side + flat * math.sin(a) * third))
    tris = []
    for r in range(len(profile) - 1):
        for i in range(around):
            a, b = r * around + i, r * around + (i + 1) % around
            tris += [(a, a + around, b), (b, a + around, b + around)]
    return np.array(vertices), np.array(tris)


def _join(parts: list[tuple], mats: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    vertices, tris, kinds, base = [], [], [], 0
    for (v, t), m in zip(parts, mats, strict=True):
        vertices.append(v)
        tris.append(t + base)
        kinds.append(np.full(len(t), m))
        base += len(v)
    return (
        np.concatenate(vertices).astype(np.float32),
        np.concatenate(tris).astype(np.int32),
        np.concatenate(kinds).astype(np.int32),
    )


def _hand_mesh(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A hand about 1.5 long, wrist at the origin, fingers up, palm to -z."""
    parts, mats = [], []
    curl, spread = rng.uniform(0.05, 0.35), rng.uniform(0.03, 0.12)
    # metacarpals side by side make a palm with relief
    for i in range(4):
        x = (i - 1.5) * 0.155
        knuckle = np.array([x * 1.12, 0.66 - 0.035 * abs(i - 1.3), 0.03])
        parts.append(_capsule(np.array([x * 0.72, 0.06, 0.0]), knuckle, 0.125, 0.105, 0.85))
        mats.append(HAND)
        point, pitch = knuckle, 0.1
        lean = (i - 1.5) * spread
        for length, r0, r1 in zip(
            np.array([0.30, 0.21, 0.16]) * (0.94, 1.06, 1.0, 0.78)[i],
            (0.090, 0.080, 0.070),
            (0.082, 0.072, 0.060),
            strict=True,
        ):
            pitch += curl
            step = np.array(
                [
                    math.sin(lean) * math.cos(pitch),
                    math.cos(lean) * math.cos(pitch),
                    -math.sin(pitch),
                ]
            )
            parts.append(_capsule(point, point + step * length, r0, r1))
            mats.append(HAND)
            point = point + step * length
    thumb = [
        np.array([0.20, 0.12, -0.02]),
        np.array([0.40, 0.36, -0.08]),
        np.array([0.46, 0.60, -0.10]),
    ]
    parts += [
        _capsule(thumb[0], thumb[1], 0.125, 0.095),
        _capsule(thumb[1], thumb[2], 0.090, 0.070),
    ]
    parts.append(
        _capsule(np.array([0.0, 0.02, 0]), np.array([0.0, -0.45, -0.02]), 0.17, 0.19, 0.75)
    )
    parts.append(
        _capsule(np.array([0.0, -0.42, -0.02]), np.array([0.0, -2.2, -0.2]), 0.24, 0.36, 0.85)
    )
    mats += [HAND, HAND, HAND, CLOTH]
    return _join(parts, mats)


def _microphone_mesh() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    head = _capsule(np.array([0, 0, 0.0]), np.array([0, 0.06, 0.0]), 0.17, 0.17)
    body = _capsule(np.array([0, -0.15, 0.0]), np.array([0, -1.6, -0.1]), 0.10, 0.08)
    fist = [
        _capsule(np.array([-0.16, y, 0.10]), np.array([0.16, y - 0.02, 0.10]), 0.085, 0.08)
        for y in (-0.75, -0.90, -1.05, -1.20)
    ]
    palm = _capsule(np.array([0.17, -0.72, -0.02]), np.array([0.15, -1.25, -0.02]), 0.16, 0.17)
    arm = _capsule(np.array([0.15, -1.3, -0.05]), np.array([0.5, -2.8, -0.2]), 0.2, 0.34)
    return _join([head, body, *fist, palm, arm], [PROP, PROP, HAND, HAND, HAND, HAND, HAND, CLOTH])


@dataclass
class Occluder:
    """One occluder over the time of a clip.

    Attributes:
        kind: one of OCCLUDERS.
        mesh: points, triangles, materials of a solid one; None for "pass".
    """

    kind: str
    frames: int
    begin: float
    length: float
    side: int
    tilt: float
    aim: tuple[float, float]
    mesh: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    width: float
    dark: np.ndarray

    def presence(self, frame: int) -> float:
        """0 (gone) .. 1 (in place); it moves in and out over a few frames."""
        edge = max(2.0, 0.2 * self.length)
        rise = (frame - self.begin) / edge
        fall = (self.begin + self.length - frame) / edge
        u = float(np.clip(min(rise, fall), 0, 1))
        return u * u * (3 - 2 * u)

    def solid(self, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Posed mesh at this frame in head space (camera towards +z), or None."""
        u = self.presence(frame)
        if self.mesh is None or u <= 0.01:
            return None
        v, tri, mat = self.mesh
        a = self.side * self.tilt
        turn = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
        flip = np.array([-self.side, 1, 1])
        place = np.array([self.side * self.aim[0], self.aim[1], 2.02])
        away = np.array([self.side * 0.9, -2.3, 0.2]) * (1 - u)
        return ((v * flip) @ turn.T + place + away).astype(np.float32), tri, mat

    def veil(self, frame: int, size: int) -> np.ndarray | None:
        """(size, size) coverage of something dark and out of focus that passes, or None."""
        if self.kind != "pass":
            return None
        share = (frame - self.begin) / max(1.0, self.length)
        if not 0 <= share <= 1:
            return None
        x = (-0.3 + 1.6 * share) * size
        x = x if self.side > 0 else size - x
        mask = np.zeros((size, size), np.float32)
        half = self.width * size / 2
        cv2.rectangle(mask, (int(x - half), -9), (int(x + half), size + 9), 1.0, -1)
        return cv2.GaussianBlur(mask, (0, 0), size * 0.025)


def draw_occluder(rng: np.random.Generator, kind: str, frames: int) -> Occluder:
    """Draw an occluder of one kind for a clip of so many frames."""
    mesh = None
    aim = (0.0, 0.0)
    tilt = 0.0
    if kind == "hand":
        mesh = _hand_mesh(rng)
        # wrist below the chin, fingers over cheek and mouth
        aim = (float(rng.uniform(0.10, 0.42)), float(rng.uniform(5.75, 6.15)))
        tilt = float(rng.uniform(-0.1, 0.45))
    elif kind == "mic":
        mesh = _microphone_mesh()
        aim = (float(rng.uniform(0.0, 0.25)), float(rng.uniform(6.28, 6.5)))
        tilt = float(rng.uniform(-0.45, 0.0))
    return Occluder(
        kind=kind,
        frames=frames,
        begin=float(rng.uniform(-0.2, 0.55) * frames),
        length=float(rng.uniform(0.35, 0.9) * frames),
        side=int(rng.choice([-1, 1])),
        tilt=tilt,
        aim=aim,
        mesh=mesh,
        width=float(rng.uniform(0.12, 0.3)),
        dark=rng.uniform(0.01, 0.1, 3).astype(np.float32),
    )
