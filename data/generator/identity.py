"""One invented person: shape of the head, skin, hair, clothes, glasses and manner of moving.

The numbers called gender, age and ancestry are blend weights of the MakeHuman targets. They are
rendering parameters and describe no people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from .expression import Style, draw_style
from .geometry import (
    AXIS_Z,
    FRAME,
    LENS,
    SKIN,
    TEX_BOTTOM,
    TEX_H,
    TEX_TOP,
    TEX_W,
    Head,
    azimuth,
    fractal_noise,
)

_SKIN_TONES = (
    (228, 188, 166), (222, 178, 152), (214, 166, 138), (208, 158, 126), (188, 136, 102),
    (160, 110, 80), (134, 90, 64), (108, 71, 52), (88, 58, 44),
)  # fmt: skip
_HAIR_TONES = (
    (22, 18, 16), (38, 27, 21), (60, 40, 28), (90, 60, 38), (128, 92, 58),
    (170, 134, 88), (196, 168, 120), (120, 54, 30), (140, 138, 135), (186, 184, 180),
)  # fmt: skip
_IRIS_TONES = (
    (70, 42, 24), (86, 56, 32), (104, 78, 46), (98, 104, 68), (92, 120, 138), (112, 138, 158),
    (116, 126, 128),
)  # fmt: skip
_LIPSTICKS = ((170, 48, 60), (190, 88, 96), (146, 40, 62), (200, 112, 104))
_PAIRED = (
    "-incr", "-decr", "-up", "-down", "-in", "-out", "-forward", "-backward", "-convex",
    "-concave", "-compress", "-uncompress",
)  # fmt: skip
_POSITIVE = ("-incr", "-up", "-out", "-forward", "-convex", "-compress")
# Shapes that look wrong at random amounts or are handled elsewhere.
_SKIPPED = (
    "head/head-age", "head/head-trans", "nose/nose-trans", "nose/nose-septumangle",
    "mouth/mouth-trans", "forehead/forehead-trans", "eyes/eye-push", "neck/neck-trans",
    "ears/ear-trans", "ears/ear-shape",
)  # fmt: skip
HAIRLINE_AZIMUTH = (0, 0.35, 0.62, 0.95, 1.15, 1.32, 1.62, 1.9, 3.2)


def srgb_to_linear(colour: np.ndarray | list | tuple) -> np.ndarray:
    """Undo the sRGB curve; values in 0..1, float32."""
    c = np.asarray(colour, np.float32)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)


def bump(x: np.ndarray, y: np.ndarray, cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
    """A Gaussian spot."""
    return np.exp(-(((x - cx) / sx) ** 2) - ((y - cy) / sy) ** 2)


@dataclass
class Hair:
    """Style and per-vertex arrays of the hair; ``name`` 'bald' has none."""

    name: str
    length: float = 0.0
    shells: int = 0
    cover: np.ndarray | None = None
    comb: np.ndarray | None = None
    strand_u: np.ndarray | None = None
    strand_v: np.ndarray | None = None
    index: np.ndarray | None = None
    tri: np.ndarray | None = None
    curtain: tuple[np.ndarray, ...] | None = None
    strands: float = 4.0
    hairline: np.ndarray | None = None


@dataclass
class Identity:
    """One person, ready to be posed (n vertices of the head).

    Attributes:
        number, seed: what it was drawn from.
        params: appearance parameters for the manifest.
        points: (n, 3) float32, shaped head at rest.
        eye_centres: (2, 3).
        cloth: (n,) float32, above 0.5 is cloth.
        texture: (3, TEX_H, TEX_W) linear skin colour.
        colours: (10, 3) linear, see ``kernels.shade``.
        furrow_rest, furrow_gain: depth of skin furrows at rest and when moving.
    """

    number: int
    seed: int
    params: dict[str, float | str]
    points: np.ndarray
    eye_centres: np.ndarray
    cloth: np.ndarray
    cloth_freq: float
    texture: np.ndarray
    colours: np.ndarray
    eye_size: np.ndarray
    hair: Hair
    furrow_rest: dict[str, float]
    furrow_gain: float
    style: Style
    glasses: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    extra: dict = field(default_factory=dict)


def make_identity(head: Head, number: int, seed: int, variety: float = 1.0) -> Identity:
    """Draw person ``number`` of the pack with this ``seed`` (about half a second).

    Args:
        head: the geometry.
        number: of the person.
        seed: of the pack.
        variety: how far mouths, eyes, noses, brows and lips differ from the mean; 1: as in the
            shipped data, 2: twice as far. Other faces than the shipped ones: train on them too,
            and a resting mouth is no longer taken for a smile.
    """
    rng = np.random.default_rng([seed, number, 11])
    male = float(np.clip(rng.choice([0.06, 0.94]) + rng.normal(0, 0.10), 0, 1))
    # adults only: 2/3 is a young adult, 1 is old
    age = float(np.clip(0.58 + 0.42 * rng.beta(1.3, 2.0), 0.58, 1.0))
    ancestry = rng.dirichlet([0.55, 0.55, 0.55]).astype(np.float32)  # African, Asian, European
    weight, muscle = (float(v) for v in np.clip(rng.normal(0.5, 0.18, 2), 0.05, 0.95))
    points = _shape(head, rng, male, age, ancestry, weight, muscle, variety)
    eyes = np.stack([points[head.left_eye].mean(0), points[head.right_eye].mean(0)])
    texture, colours, look = _paint(head, rng, male, age, ancestry, variety)
    hair = _style_hair(head, rng, male, ancestry, age, points)
    if hair.curtain is not None:  # hair holds the ears flat
        out = np.clip(np.abs(points[:, 0]) - 0.74, 0, None) * np.clip(head.ears * 2, 0, 1)
        points[:, 0] -= np.sign(points[:, 0]) * 0.75 * out
    texture = _paint_scalp(head, rng, texture, colours, hair, look)
    cloth, freq = _dress(head, rng, colours)
    glasses, glasses_name = _make_glasses(head, rng, points, eyes, colours)
    old = max(0.0, (age - 0.62) / 0.38)
    params = {
        "gender": round(male, 2),
        "age": round(age, 2),
        "african": round(float(ancestry[0]), 2),
        "asian": round(float(ancestry[1]), 2),
        "european": round(float(ancestry[2]), 2),
        "weight": round(weight, 2),
        "melanin": round(look["melanin"], 2),
        "hair": hair.name,
        "hair_grey": int(look["grey"]),
        "beard": look["beard"],
        "lipstick": int(look["lipstick"]),
        "glasses": glasses_name,
    }
    return Identity(
        number=number,
        seed=seed,
        params=params,
        points=points,
        eye_centres=eyes.astype(np.float32),
        cloth=cloth,
        cloth_freq=freq,
        texture=texture,
        colours=colours,
        eye_size=np.array([rng.uniform(0.45, 0.50), rng.uniform(0.32, 0.44)], np.float32),
        hair=hair,
        furrow_rest={
            "nasolabial": 0.12 + 0.5 * old,
            "forehead": 0.45 * old,
            "crow": 0.45 * old,
            "glabella": 0.3 * old,
            "marionette": 0.5 * old,
            "forehead_in": 0.0,
            "nose": 0.0,
            "chin": 0.0,
        },
        furrow_gain=float(
            rng.uniform(0.6, 1.1) * (0.65 + 0.5 * np.clip((age - 0.5) / 0.4, 0, 1.2))
        ),
        style=draw_style(rng),
        glasses=glasses,
    )


def _spread(rng: np.random.Generator, low: float, high: float, variety: float) -> float:
    """A number from low to high, at least; its distance from the middle grows with the variety."""
    middle = (low + high) / 2
    return middle + variety * (rng.uniform(low, high) - middle)


# --- shape ---------------------------------------------------------------------------------------


def _shape(
    head: Head,
    rng: np.random.Generator,
    male: float,
    age: float,
    ancestry: np.ndarray,
    weight: float,
    muscle: float,
    variety: float,
) -> np.ndarray:
    points = head.vertices.astype(np.float64).copy()
    ages = {
        "child": max(0.0, 1 - abs(age - 1 / 3) * 3),
        "young": max(0.0, 1 - abs(age - 2 / 3) * 3),
        "old": max(0.0, (age - 2 / 3) * 3),
    }

    def three(v: float, low: str, mid: str, high: str) -> dict[str, float]:
        return {low: max(0.0, 1 - 2 * v), mid: 1 - abs(2 * v - 1), high: max(0.0, 2 * v - 1)}

    muscles = three(muscle, "minmuscle", "averagemuscle", "maxmuscle")
    weights = three(weight, "minweight", "averageweight", "maxweight")
    for age_name, age_weight in ages.items():
        for gender, gender_weight in (("male", male), ("female", 1 - male)):
            both = age_weight * gender_weight
            if both < 1e-3:
                continue
            for share, name in zip(ancestry, ("african", "asian", "caucasian"), strict=True):
                key = f"{name}-{gender}-{age_name}"
                if key in head.macro_index:
                    points += both * share * head.macro[head.macro_index[key]]
            for m, mw in muscles.items():
                for w, ww in weights.items():
                    key = f"universal-{gender}-{age_name}-{m}-{w}"
                    if key in head.macro_index and mw * ww > 0:
                        points += both * mw * ww * head.macro[head.macro_index[key]]
    points += _local_shape(head, rng, variety)
    eye = 0.5 * (points[head.left_eye].mean(0) + points[head.right_eye].mean(0))
    canonical = 0.5 * (head.vertices[head.left_eye].mean(0) + head.vertices[head.right_eye].mean(0))
    span = points[head.left_eye].mean(0)[0] - points[head.right_eye].mean(0)[0]
    scale = 1 + (0.62 / span - 1) * 0.75
    points = (points - eye) * scale + canonical
    return _lower_arms(head, points).astype(np.float32)


def _local_shape(head: Head, rng: np.random.Generator, variety: float) -> np.ndarray:
    """Random head shape from the local targets, clipped so that no feature turns odd."""
    families: dict[str, list[str]] = {}
    for name in head.local_index:
        base = name.replace("/l-", "/").replace("/r-", "/")
        suffix = next((s for s in _PAIRED if base.endswith(s)), "")
        families.setdefault(base[: len(base) - len(suffix)], []).append(name)
    out = np.zeros_like(head.vertices, dtype=np.float64)
    for base, names in families.items():
        value, asymmetry = rng.normal(0, 1), rng.normal(0, 0.06)
        if base.startswith(_SKIPPED):
            continue
        spread = 0.22
        if base.startswith("nose"):  # there are twenty of these and they add up
            spread = 0.12
        elif base.startswith(("eyes", "mouth", "chin")):
            spread = 0.16
        elif base.startswith("ears") or len(names) == 1:
            spread = 0.12
        spread *= variety
        value = float(np.clip(value * spread, -1.7 * spread, 1.7 * spread))
        if base == "mouth/mouth-angles":  # a mouth that hangs at rest reads as sad
            value = 0.5 * value + 0.10
        if base in ("eyes/eye-height2", "eyes/eye-scale"):  # eyes a little larger read better
            value += 0.12
        positive = [n for n in names if n.endswith(_POSITIVE)]
        use = positive if value > 0 and positive else [n for n in names if n not in positive]
        for name in use:
            side = asymmetry if "/l-" in name else -asymmetry if "/r-" in name else 0.0
            out += abs(value) * (1 + side) * head.local[head.local_index[name]]
    return out


def _lower_arms(head: Head, points: np.ndarray) -> np.ndarray:
    """Turn the arms of the A-pose down, so that no shot shows them spread."""
    x = head.vertices[:, 0]
    outer = np.clip((np.abs(x) - 1.05) / 1.0, 0, 1)
    outer = outer * outer * (3 - 2 * outer) * (head.body & (head.vertices[:, 1] < 6))
    angle = -np.sign(x) * math.radians(36) * outer
    px, py = np.sign(x) * 1.35, 5.25
    dx, dy = points[:, 0] - px, points[:, 1] - py
    out = points.copy()
    out[:, 0] = np.where(outer > 0, px + np.cos(angle) * dx - np.sin(angle) * dy, points[:, 0])
    out[:, 1] = np.where(outer > 0, py + np.sin(angle) * dx + np.cos(angle) * dy, points[:, 1])
    return out


# --- skin ----------------------------------------------------------------------------------------


def _paint(
    head: Head,
    rng: np.random.Generator,
    male: float,
    age: float,
    ancestry: np.ndarray,
    variety: float,
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Skin colour (3, TEX_H, TEX_W) linear, the colour table (10, 3), and what was chosen."""
    shape = (TEX_H, TEX_W)
    x, y, z = (head.texel_xyz[..., i] for i in range(3))
    ax = np.abs(x)
    front = (z > 0.75) & head.texel_ok
    old = max(0.0, (age - 0.62) / 0.38)
    tone = np.clip(ancestry @ np.array([0.80, 0.36, 0.16]) + rng.normal(0, 0.10), 0.02, 0.98)
    scaled = tone * (len(_SKIN_TONES) - 1)
    i = min(int(scaled), len(_SKIN_TONES) - 2)
    f = scaled - i
    base = (np.array(_SKIN_TONES[i]) * (1 - f) + np.array(_SKIN_TONES[i + 1]) * f) / 255
    base = np.clip(base + rng.normal(0, 0.012, 3), 0.1, 0.97)
    linear = srgb_to_linear(base)
    skin = np.ones((3, *shape), np.float32) * linear[:, None, None]
    low, mid = fractal_noise(rng, shape, 14, 3), fractal_noise(rng, shape, 90, 3)
    pores = fractal_noise(rng, shape, 330, 2)
    fair = 1 - 0.55 * tone
    blush = (
        0.55 * bump(ax, y, 0.43, 6.93, 0.20, 0.16)
        + 0.5 * bump(ax, y, 0, 6.93, 0.14, 0.12)
        + 0.25 * bump(ax, y, 0, 6.35, 0.2, 0.12)
        + 0.25 * bump(ax, y, 0.85, 7.15, 0.12, 0.25)
    ) * rng.uniform(0.4, 1.2)
    blush = np.clip((blush + 0.12 * low + 0.06 * mid) * fair, -0.3, 1.2)
    skin[1] *= 1 - 0.26 * blush
    skin[2] *= 1 - 0.24 * blush
    dark = (
        0.16 * bump(ax, y, 0.29, 7.13, 0.17, 0.05) * rng.uniform(0.3, 1.3)
        + 0.12 * bump(ax, y, 0.3, 7.37, 0.2, 0.05)
        + 0.10 * bump(ax, y, 0.12, 7.25, 0.06, 0.08)
        + 0.06 * bump(ax, y, 0.0, 6.70, 0.10, 0.04)
    )
    skin *= 1 - dark
    skin[0] *= 1 + 0.04 * dark
    skin *= 1 + 0.04 * mid + 0.035 * low + 0.04 * pores
    if rng.random() < 0.35 * (1 - tone) + 0.25 * old:
        _spots(skin, rng, int(rng.integers(40, 220)), (1, 3), (0.16, 0.30, 0.36))
    _spots(skin, rng, int(rng.poisson(1.2)), (2, 4), (0.55, 0.6, 0.6))

    dark_share = float(np.clip(ancestry[0] + ancestry[1], 0, 1))
    p_dark = np.array([0.5, 0.24, 0.14, 0.06, 0.03, 0.01, 0.0, 0.02, 0, 0])
    p_light = np.array([0.06, 0.14, 0.2, 0.2, 0.15, 0.1, 0.06, 0.06, 0.02, 0.01])
    p = p_dark * dark_share + p_light * (1 - dark_share)
    if old > 0.35:
        p = p * (1 - old * 0.8)
        p[8] += old * 0.4
        p[9] += old * 0.15
    tone_index = int(rng.choice(10, p=p / p.sum()))
    hair = np.clip(np.array(_HAIR_TONES[tone_index]) / 255 * rng.uniform(0.85, 1.15), 0, 1)
    root = srgb_to_linear(hair * 0.82)
    tip = srgb_to_linear(
        np.clip(hair * (1.05 + rng.uniform(0.1, 0.35) * (1 - hair.mean())), 0, 0.9)
    )
    brow = srgb_to_linear(hair * (0.75 if hair.mean() < 0.5 else 0.55))
    strokes = _brow_strokes(rng, male, variety)
    skin = skin * (1 - strokes) + brow[:, None, None] * strokes

    beard = "none"
    if male > 0.5 and age > 0.6:
        names = ["none", "shadow", "stubble", "beard", "moustache", "goatee"]
        beard = str(rng.choice(names, p=[0.40, 0.24, 0.16, 0.08, 0.06, 0.06]))
    if beard != "none":
        cover = _beard_cover(rng, beard, ax, y, z, mid, front)
        skin = skin * (1 - 0.85 * cover) + brow[:, None, None] * (0.85 * cover)

    lip = linear * np.array([0.92, 0.60, 0.62]) * _spread(rng, 0.85, 1.05, variety)
    teeth = np.ones(3)
    if variety > 1:  # a spawned generator leaves the draws of the shipped people as they are
        more = rng.spawn(1)[0]
        lip *= np.exp(more.normal(0, 0.15 * (variety - 1), 3))
        # the shadow of the lips leaves the shipped people's teeth grey, real ones shine
        teeth *= 1 + (variety - 1) * more.uniform(0, 1)
    lipstick = bool(male < 0.5 and rng.random() < 0.35)
    if lipstick:
        paint = np.array(_LIPSTICKS[rng.integers(4)]) / 255 * rng.uniform(0.85, 1.1)
        lip = 0.65 * srgb_to_linear(np.clip(paint, 0, 1)) + 0.35 * lip
        skin *= 1 - 0.35 * rng.random() * bump(ax, y, 0.31, 7.345, 0.17, 0.035)
    skin *= 1 - 0.40 * bump(ax, y, 0.31, 7.328, 0.155, 0.010)  # the lash line
    iris_p = [0.45, 0.25, 0.12, 0.08, 0.04, 0.03, 0.03]
    if dark_share <= 0.6:
        iris_p = [0.12, 0.17, 0.17, 0.16, 0.15, 0.14, 0.09]
    iris = srgb_to_linear(
        np.clip(np.array(_IRIS_TONES[rng.choice(7, p=iris_p)]) / 255 * rng.uniform(0.9, 1.2), 0, 1)
    )
    colours = np.zeros((10, 3), np.float32)
    colours[0], colours[3], colours[4], colours[5] = lip, root, tip, iris
    colours[7], colours[9] = linear * rng.uniform(0.9, 1.05), teeth
    look = {
        "melanin": float(tone),
        "beard": beard,
        "lipstick": lipstick,
        "grey": tone_index >= 8,
    }
    return np.clip(skin, 0, 1).astype(np.float32), colours, look


def _spots(
    skin: np.ndarray,
    rng: np.random.Generator,
    count: int,
    radius: tuple[int, int],
    strength: tuple[float, float, float],
) -> None:
    if not count:
        return
    layer = np.zeros((TEX_H, TEX_W), np.uint8)
    for _ in range(count):
        cx = int(rng.normal(TEX_W / 2, 140))
        cy = int(rng.normal((TEX_TOP - 7.0) / (TEX_TOP - TEX_BOTTOM) * TEX_H, 80))
        shade = int(rng.integers(60, 220))
        cv2.circle(layer, (cx, cy), int(rng.integers(*radius)), shade, -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(layer, (0, 0), 0.9).astype(np.float32) / 255
    for channel in range(3):
        skin[channel] *= 1 - strength[channel] * soft


def _brow_strokes(rng: np.random.Generator, male: float, variety: float) -> np.ndarray:
    """(TEX_H, TEX_W) coverage of the eyebrows, drawn hair by hair."""
    layer = np.zeros((TEX_H, TEX_W), np.uint8)
    thick = _spread(rng, 0.75, 1.3, variety) * (1.15 if male > 0.5 else 0.85)
    arch, count = _spread(rng, 0.3, 1.2, variety), int(rng.uniform(200, 330))
    inner, outer = rng.uniform(0.09, 0.13), rng.uniform(0.50, 0.56)
    # the shipped people's brows lie within millimetres of each other, real ones do not
    level = 7.415 + rng.normal(0, 0.010) * (3 * variety - 2)

    def texel(px: float, py: float, sign: int) -> tuple[int, int]:
        pz = np.interp(px, [0, 0.1, 0.2, 0.35, 0.5, 0.6], [1.50, 1.50, 1.47, 1.42, 1.31, 1.2])
        u = (math.atan2(sign * px, pz - AXIS_Z) / (2 * np.pi) + 0.5) * (TEX_W - 1)
        v = (TEX_TOP - py) / (TEX_TOP - TEX_BOTTOM) * (TEX_H - 1)
        return int(u * 16), int(v * 16)

    for sign in (-1, 1):
        for _ in range(count):
            q = rng.beta(1.1, 1.2)
            px = inner + (outer - inner) * q
            py = level + arch * 0.07 * math.sin(min(q * 1.05, 1) * math.pi * 0.78) - 0.015 * q
            half = 0.040 * thick * (1 - q) ** 0.35 * (0.75 if q < 0.08 else 1)
            py += rng.uniform(-half, half)
            angle = math.radians(75 - 85 * min(1, q * 1.6)) + rng.normal(0, 0.22)
            length = rng.uniform(0.03, 0.06)
            end = (px + length * math.cos(angle), py + length * 0.6 * math.sin(angle))
            tone = int(rng.uniform(120, 235))
            cv2.line(layer, texel(px, py, sign), texel(*end, sign), tone, 1, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(layer, (0, 0), 0.75).astype(np.float32) / 255
    return soft * rng.uniform(0.85, 1.0)


def _beard_cover(
    rng: np.random.Generator,
    kind: str,
    ax: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    mid: np.ndarray,
    front: np.ndarray,
) -> np.ndarray:
    jaw = np.clip((6.78 + 0.25 * np.clip(ax - 0.35, 0, 1) - y + 0.05 * mid) / 0.16, 0, 1)
    jaw = jaw * np.clip((y - 5.95) / 0.2, 0, 1) * np.clip((z - 0.35) / 0.2, 0, 1)
    lip = bump(ax, y, 0.10, 6.765, 0.17, 0.045)
    chin = np.clip(1.5 * bump(ax, y, 0, 6.36, 0.2, 0.2), 0, 1)
    mouth = np.clip(1.6 * bump(ax, y, 0, 6.60, 0.25, 0.085), 0, 1)
    cover = {
        "shadow": jaw * 0.32,
        "stubble": jaw * 0.6,
        "beard": jaw,
        "moustache": np.clip(lip * 1.5, 0, 1),
        "goatee": chin,
    }[kind]
    if kind != "moustache":
        cover = np.maximum(cover, np.clip(lip * 1.3, 0, 1) * cover.max()) * (1 - mouth)
    grain = 0.8
    if kind != "shadow":
        grain = np.clip(0.86 + 0.20 * fractal_noise(rng, (TEX_H, TEX_W), 330, 2), 0, 1)
    return cv2.GaussianBlur((cover * front * grain).astype(np.float32), (0, 0), 0.7)


# --- hair ----------------------------------------------------------------------------------------


def _style_hair(
    head: Head,
    rng: np.random.Generator,
    male: float,
    ancestry: np.ndarray,
    age: float,
    points: np.ndarray,
) -> Hair:
    if male > 0.5:
        names = ["bald", "buzz", "short", "receding", "medium", "afro"]
        name = str(rng.choice(names, p=[0.09, 0.18, 0.42, 0.14, 0.10, 0.07]))
    else:
        names = ["short", "medium", "long", "bob", "bun", "afro"]
        name = str(rng.choice(names, p=[0.12, 0.18, 0.28, 0.22, 0.14, 0.06]))
    if name == "afro" and ancestry[0] < 0.35:
        name = "short" if male > 0.5 else "bob"
    if name == "receding" and age < 0.7:
        name = "short"
    line = 7.93 + rng.normal(0, 0.035) + (0.15 if name == "receding" else 0)
    corner = 0.10 if name == "receding" else rng.uniform(-0.05, 0.03)
    heights = (
        line, line + 0.01 + corner, line - 0.04 + corner, 7.68, 7.42, 7.05, 7.10, 6.75, 6.45,
    )  # fmt: skip
    length = {
        "bald": 0.0,
        "buzz": 0.03,
        "short": rng.uniform(0.09, 0.18),
        "receding": rng.uniform(0.06, 0.11),
        "medium": rng.uniform(0.18, 0.26),
        "long": rng.uniform(0.15, 0.20),
        "bob": rng.uniform(0.15, 0.20),
        "bun": 0.06,
        "afro": rng.uniform(0.35, 0.55),
    }[name]
    hair = Hair(name=name, length=length)
    v = head.vertices
    th, y = np.abs(azimuth(v)), v[:, 1]
    edge = np.interp(th, HAIRLINE_AZIMUTH, heights)
    hair_mode = str(rng.choice(["back", "side", "fringe"]))
    part = float(rng.uniform(-0.35, 0.35))
    lengths = {"long": (1.5, 2.3), "bob": (0.35, 0.75)}
    drop = rng.uniform(*lengths.get(name, (0.0, 0.1)))
    hair.strands = float(rng.choice([4, 5]))
    hair.hairline = np.array(heights)
    if name == "bald":
        hair.cover = np.zeros(len(v), np.float32)
    else:
        cover = np.clip((y - edge) / 0.16 + 0.25, 0, 2) * head.body
        cover *= 1 - np.clip(head.ears * 1.6, 0, 1)
        cover[(th > 1.1) & (th < 1.95) & (np.abs(v[:, 0]) > 0.80)] = 0
        hair.cover = cover.astype(np.float32)
        hair.shells = {"buzz": 4, "afro": 10}.get(name, 7)
        # strands run from a crown behind the top of the head to the hairline
        d = v - np.array([0, 7.45, 0.45])
        tilt = math.radians(28)
        yy = d[:, 1] * math.cos(tilt) - d[:, 2] * math.sin(tilt)
        zz = d[:, 1] * math.sin(tilt) + d[:, 2] * math.cos(tilt)
        around = np.arctan2(d[:, 0], zz)
        down = np.arctan2(np.hypot(d[:, 0], zz), yy)
        hair.strand_u = (around / (2 * np.pi) * 256 * hair.strands).astype(np.float32)
        hair.strand_v = (down * 60).astype(np.float32)
        if name == "afro":
            hair.strand_u, hair.strand_v = hair.strand_u * 1.0, hair.strand_v * 5
        comb = np.zeros_like(v)
        top, fringe = np.clip((y - 7.7) / 0.4, 0, 1), np.clip(1 - th / 1.0, 0, 1)
        side = np.sign(v[:, 0] - part + 1e-6)
        if name in ("short", "receding"):
            comb[:, 2] += top * (-0.6 if hair_mode == "back" else 0.5)
            comb[:, 0] += top * (0.7 if hair_mode == "side" else 0)
        if name in ("medium", "long", "bob"):
            comb[:, 0] += top * side * 0.5
            comb[:, 2] += fringe * (0.5 if hair_mode == "fringe" else -0.2)
            comb[:, 1] -= np.clip((th - 0.7) / 0.5, 0, 1) * 0.7
            if hair_mode == "fringe":
                comb[:, 1] -= fringe * 0.8
        hair.comb = comb.astype(np.float32)
        tri = head.tri[head.tri_mat == SKIN]
        tri = np.ascontiguousarray(tri[hair.cover[tri].max(1) > 0.02])
        hair.index, inverse = np.unique(tri, return_inverse=True)
        hair.tri = np.ascontiguousarray(inverse.reshape(tri.shape).astype(np.int32))
    if name in ("long", "bob"):
        hair.curtain = _curtain(rng, points, head, drop)
    hair.comb = hair.comb if hair.comb is not None else np.zeros_like(v)
    return hair


def _curtain(
    rng: np.random.Generator, points: np.ndarray, head: Head, drop: float
) -> tuple[np.ndarray, ...]:
    """Hair that falls beside and behind the face: a sheet around the head.

    Returns:
        points (k, 3), tri (t, 3), strand u and v (k,), cover (k,).
    """
    columns, rows = 57, 24
    start = rng.uniform(0.86, 1.0)
    th = np.linspace(-np.pi, np.pi, 2 * columns - 1)
    th = th[np.abs(th) >= start - 0.02]
    skin = head.body & (head.ears < 0.3)
    temple = skin & (np.abs(head.vertices[:, 1] - 7.4) < 0.2) & (head.vertices[:, 2] > 0.6)
    width = np.abs(points[temple, 0]).max() + 0.10
    back = points[skin & (np.abs(head.vertices[:, 1] - 7.5) < 0.3), 2].min() - 0.08
    length = 0.95 + drop
    vertices, tris, us, vs, cover = [], [], [], [], []
    for side in (th[th < 0], th[th > 0]):
        base, k = len(vertices), len(side)
        ragged = rng.uniform(0.0, 0.05, k)
        for r in range(rows):
            s = r / (rows - 1)
            y = 7.85 - s * length
            # starts inside the hair of the scalp, bulges over the ears, falls straight
            swell = 0.86 + 0.22 * np.clip(s * length / 0.55, 0, 1) ** 0.6
            low = np.clip((6.15 - y) / 0.6, 0, 1)
            for a in side:
                depth = AXIS_Z - back if abs(a) > np.pi / 2 else 0.62
                px = width * math.sin(a) * (swell + 0.04 * low) / (0.62 + 0.38 * abs(math.sin(a)))
                px = math.copysign(min(abs(px), width * (swell + 0.02)), px)
                outer = np.clip((abs(a) - start) / (np.pi / 2 - start), 0, 1)
                px *= 1 + 0.24 * outer * min(1.0, 1.4 * s) - 0.07 * (1 - outer) * s
                pz = AXIS_Z - 0.05 + depth * math.cos(a) * (0.92 + 0.06 * s)
                # over the shoulders the front locks come forward, the rest stays behind
                pz += low * (0.50 if abs(a) < 1.5 else -0.10)
                vertices.append((px, y, pz))
                us.append(a / (2 * np.pi) * 256 * 5)
                vs.append(s * length * 45)
                edge = (abs(a) - start) / 0.10
                tip = np.clip((1 - s - ragged[len(vertices) % k]) / 0.12, 0, 1) * 1.1
                cover.append(min(0.2 + 1.1 * edge, 0.1 + tip, 1.2))
        for r in range(rows - 1):
            for c in range(k - 1):
                q = base + r * k + c
                tris += [(q, q + 1, q + k), (q + 1, q + k + 1, q + k)]
    return (
        np.array(vertices, np.float32),
        np.array(tris, np.int32),
        np.array(us, np.float32),
        np.array(vs, np.float32),
        np.array(cover, np.float32),
    )


def _paint_scalp(
    head: Head,
    rng: np.random.Generator,
    texture: np.ndarray,
    colours: np.ndarray,
    hair: Hair,
    look: dict,
) -> np.ndarray:
    if hair.name == "bald":
        return np.ascontiguousarray(texture)
    x, y = head.texel_xyz[..., 0], head.texel_xyz[..., 1]
    th = np.abs(azimuth(head.texel_xyz))
    edge = np.interp(th, HAIRLINE_AZIMUTH, hair.hairline)
    ear = (th > 1.1) & (th < 1.95) & (np.abs(x) > 0.80)
    noise = fractal_noise(rng, (TEX_H, TEX_W), 260, 2)
    cover = np.clip((y - edge) / 0.12 + 0.2 + 0.3 * noise, 0, 1)
    cover = 0.85 * cover * (head.texel_ok & ~ear & (y > 6.3))
    return np.ascontiguousarray(
        texture * (1 - cover) + (colours[3] * 0.9)[:, None, None] * cover, dtype=np.float32
    )


# --- clothes and glasses -------------------------------------------------------------------------


def _dress(head: Head, rng: np.random.Generator, colours: np.ndarray) -> tuple[np.ndarray, float]:
    """Cloth mask (n,) that always covers shoulders and arms; sets two colours."""
    v = head.vertices
    neck = np.hypot(v[:, 0], v[:, 2] - 0.15)
    front = np.exp(-((np.arctan2(v[:, 0], v[:, 2] - 0.2) / 0.5) ** 2))
    cut = str(rng.choice(["crew", "vee", "collar"], p=[0.5, 0.25, 0.25]))
    top = {"crew": 5.72, "vee": 5.68, "collar": 6.02}[cut] + rng.normal(0, 0.03)
    dip = {"crew": 0.12, "vee": rng.uniform(0.3, 0.5), "collar": 0.0}[cut]
    by_height = (top - dip * front - v[:, 1]) / 0.12
    by_distance = np.where(v[:, 1] < 6.0, (neck - rng.uniform(0.78, 0.92)) / 0.12 - 3 * front, -9)
    mask = np.clip(np.maximum(by_height, by_distance) + 0.5, -1, 2) * head.body
    tone = rng.uniform(0.06, 0.85)
    tint = rng.uniform(0.05, 0.9, 3)
    mix = rng.uniform(0.15, 0.6)
    colours[1] = srgb_to_linear(np.clip(tone * (1 - mix) + tint * mix, 0, 1))
    colours[2] = srgb_to_linear(np.clip(rng.uniform(0.1, 0.9, 3) * 0.5 + 0.5 * tone, 0, 1))
    colours[8] = srgb_to_linear(rng.uniform(0.05, 0.5, 3))
    freq = float(rng.choice([0, 0, 0, 0, 0, 3.5, 6.0]))
    return mask.astype(np.float32), freq


def _make_glasses(
    head: Head,
    rng: np.random.Generator,
    points: np.ndarray,
    eyes: np.ndarray,
    colours: np.ndarray,
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray] | None, str]:
    name = str(rng.choice(["none", "clear", "sun"], p=[0.82, 0.15, 0.03]))
    rim, n = rng.uniform(0.010, 0.020), 30
    rx, ry, power = rng.uniform(0.20, 0.24), rng.uniform(0.14, 0.19), rng.uniform(2, 4)
    colours[6] = srgb_to_linear(
        np.clip(rng.choice([0.08, 0.15, 0.4]) * rng.uniform(0.6, 1.4, 3), 0, 1)
    )
    if name == "none":
        return None, name
    v0 = head.vertices
    bridge = (np.abs(v0[:, 0]) < 0.03) & (np.abs(v0[:, 1] - 7.3) < 0.06)
    front = max(points[head.eyelids > 0.5][:, 2].max() + 0.10, points[bridge][:, 2].max() + 0.03)
    vertices, tris, mats = [], [], []
    for e, sign in ((0, 1), (1, -1)):
        c, base = eyes[e], len(vertices)
        for i in range(n):
            ca, sa = math.cos(2 * np.pi * i / n), math.sin(2 * np.pi * i / n)
            sx = math.copysign(abs(ca) ** (2 / power), ca)
            sy = math.copysign(abs(sa) ** (2 / power), sa)
            for k in (1.0, 1 + rim / 0.1):
                px, py = c[0] + sign * 0.015 + rx * k * sx, c[1] - 0.02 + ry * k * sy
                vertices.append((px, py, front - 0.55 * max(0, abs(px) - 0.30) ** 1.5))
        for i in range(n):
            a, b = base + 2 * i, base + 2 * i + 1
            a2, b2 = base + 2 * ((i + 1) % n), base + 2 * ((i + 1) % n) + 1
            tris += [(a, b, a2), (b, b2, a2)]
            mats += [FRAME, FRAME]
        if name == "sun":
            hub = len(vertices)
            vertices.append((c[0] + sign * 0.015, c[1] - 0.02, front + 0.02))
            for i in range(n):
                tris.append((hub, base + 2 * i, base + 2 * ((i + 1) % n)))
                mats.append(LENS)
        t = len(vertices)
        px = c[0] + sign * (rx + 0.02)
        vertices += [(px, c[1] + 0.03, front - 0.12), (px, c[1] + 0.07, front - 0.12)]
        vertices += [(sign * 0.82, c[1] + 0.02, 0.55), (sign * 0.82, c[1] + 0.06, 0.55)]
        tris += [(t, t + 1, t + 2), (t + 1, t + 3, t + 2)]
        mats += [FRAME, FRAME]
    t, gap = len(vertices), abs(eyes[0][0]) - rx + 0.02
    vertices += [(sx * gap, eyes[0][1] + dy, front + 0.01) for sx in (-1, 1) for dy in (0.02, 0.05)]
    tris += [(t, t + 1, t + 2), (t + 1, t + 3, t + 2)]
    mats += [FRAME, FRAME]
    shape = (np.array(vertices, np.float32), np.array(tris, np.int32), np.array(mats, np.int32))
    return shape, name
