"""Light, camera and background of one clip, and the way from linear light to a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .geometry import fractal_noise

LIGHTS = ("soft", "side", "top", "back", "dim", "warm", "cold", "colour")
_LIGHT_ODDS = (0.32, 0.15, 0.08, 0.08, 0.09, 0.12, 0.12, 0.04)
BACKGROUNDS = ("room", "bokeh", "foliage", "gradient", "street")


@dataclass
class Scene:
    """What surrounds the person.

    Attributes:
        size: frame side in pixels.
        light_name, background_name: for the manifest.
        light: (4, 3) key direction, key colour, fill direction, fill colour.
        ambient: (3, 3) colour from above, from below, side tilt.
        shine: specular strength of the skin.
        face_share: height of the face as a share of the frame.
        distance: of the camera in decimetres.
        offset: (2,) of the head from the frame's middle, as a share of the frame.
        exposure, grade, saturation, gamma, blur, noise: the camera.
        backdrop: (b, b, 3) linear, b > size.
    """

    size: int
    light_name: str
    background_name: str
    light: np.ndarray
    ambient: np.ndarray
    shine: float
    face_share: float
    distance: float
    offset: np.ndarray
    exposure: float
    grade: np.ndarray
    saturation: float
    gamma: float
    blur: float
    noise: float
    backdrop: np.ndarray


def draw_scene(rng: np.random.Generator, size: int, difficulty: float) -> Scene:
    """Draw a scene; difficulty 0 is well lit and sharp, 1 as bad as it gets."""
    odds = np.array(_LIGHT_ODDS)
    odds[1:] *= 0.4 + 0.6 * difficulty
    name = str(rng.choice(LIGHTS, p=odds / odds.sum()))
    azimuth, elevation = rng.normal(0, 0.6), rng.uniform(0.2, 0.9)
    if name == "side":
        azimuth, elevation = rng.choice([-1, 1]) * rng.uniform(0.9, 1.4), rng.uniform(0, 0.5)
    elif name == "top":
        elevation = rng.uniform(1.0, 1.25)
    elif name == "back":
        azimuth = rng.choice([-1, 1]) * rng.uniform(1.9, 2.4)
    tint = {
        "warm": np.array([1, 0.82, 0.60]),
        "cold": np.array([0.84, 0.95, 1.08]),
        "colour": np.array([[1, 0.5, 0.6], [0.5, 0.68, 1.15], [0.68, 1, 0.78]][rng.integers(3)]),
    }.get(name, np.array([1, rng.uniform(0.9, 1), rng.uniform(0.8, 1)]))
    light = np.zeros((4, 3), np.float32)
    light[0] = (
        math.cos(elevation) * math.sin(azimuth),
        math.sin(elevation),
        math.cos(elevation) * math.cos(azimuth),
    )
    light[1] = rng.uniform(1.5, 2.2) * tint
    fill = azimuth + rng.choice([-1, 1]) * rng.uniform(1.0, 2.0)
    light[2] = (math.sin(fill) * 0.9, 0.2, abs(math.cos(fill)) + 0.2)
    light[2] /= np.linalg.norm(light[2])
    light[3] = rng.uniform(0.2, 0.6) * np.array(
        [rng.uniform(0.85, 1), 0.92, rng.uniform(0.85, 1.08)]
    )
    level = rng.uniform(0.5, 0.8) * (1.2 if name == "soft" else 0.75)
    ambient = np.zeros((3, 3), np.float32)
    ambient[0] = level * np.array([rng.uniform(0.88, 1), 0.95, rng.uniform(0.9, 1.12)])
    ambient[1] = level * 0.55 * np.array([1, rng.uniform(0.82, 0.95), rng.uniform(0.7, 0.9)])
    ambient[2] = rng.uniform(-0.4, 0.4, 3)
    exposure = rng.uniform(0.88, 1.22)
    if name == "dim":
        exposure *= 1 - 0.45 * (0.4 + 0.6 * difficulty)
    background_name, backdrop = draw_background(rng, int(size * 1.35))
    spread = 0.4 + 0.6 * difficulty
    return Scene(
        size=size,
        light_name=name,
        background_name=background_name,
        light=light,
        ambient=ambient,
        shine=float(rng.uniform(0.5, 1.3)),
        face_share=float(np.clip(rng.normal(0.58, 0.12 * spread + 0.03), 0.40, 0.80)),
        distance=float(rng.uniform(7.5, 14)),
        offset=np.clip(rng.normal(0, 0.06 * spread + 0.01, 2), -0.16, 0.16) + np.array([0, 0.02]),
        exposure=float(exposure),
        grade=rng.normal(1, 0.05, 3).astype(np.float32),
        saturation=float(rng.uniform(0.75, 1.1)),
        gamma=float(rng.uniform(0.92, 1.08)),
        blur=float(max(0.0, rng.normal(0.35, 0.45)) * size / 224 * difficulty),
        noise=float(abs(rng.normal(0, 0.018)) * difficulty),
        backdrop=backdrop,
    )


def draw_background(rng: np.random.Generator, n: int) -> tuple[str, np.ndarray]:
    """A blurred invented background: its name and (n, n, 3) linear float32."""
    name = str(rng.choice(BACKGROUNDS))

    def tone(low: float, high: float, tint: float) -> np.ndarray:
        k = rng.uniform(0, tint)
        return rng.uniform(low, high) * (1 - k) + rng.uniform(low, high, 3) * k

    c0, c1, c2 = tone(0.05, 0.7, 0.5), tone(0.05, 0.8, 0.5), tone(0.1, 0.95, 0.8)
    yy, xx = np.mgrid[0:n, 0:n].astype(np.float32) / n
    a = rng.uniform(0, 2 * np.pi)
    ramp = np.clip(0.5 + (xx - 0.5) * math.cos(a) + (yy - 0.5) * math.sin(a), 0, 1)[..., None]
    image = (c0 * (1 - ramp) + c1 * ramp).astype(np.float32)
    sigma = rng.uniform(2.5, 7) * n / 300
    if name in ("room", "street"):
        for _ in range(int(rng.integers(6, 26))):
            x, y = rng.uniform(-0.2, 1, 2) * n
            w, h = rng.uniform(0.04, 0.6) * n, rng.uniform(0.05, 0.8) * n
            colour = 0.5 * tone(0.02, 0.9, 0.6) * rng.uniform(0.4, 1)
            colour = np.clip(colour + 0.25 * (c0 + c1) * rng.uniform(0.3, 1.7), 0, 1)
            fill = -1 if rng.random() < 0.8 else 3
            corners = (int(x), int(y)), (int(x + w), int(y + h))
            cv2.rectangle(image, *corners, [float(v) for v in colour], fill)
    elif name == "bokeh":
        image *= 0.35
        for _ in range(int(rng.integers(15, 60))):
            colour = np.clip(c2 * rng.uniform(0.5, 1.5, 3) * rng.uniform(0.4, 1.3), 0, 1.4)
            centre = (int(rng.uniform(0, n)), int(rng.uniform(0, n)))
            cv2.circle(
                image, centre, int(rng.uniform(0.01, 0.06) * n), [float(v) for v in colour], -1
            )
    elif name == "foliage":
        leaves = fractal_noise(rng, (n, n), rng.uniform(10, 40), 4, 0.7)[..., None]
        green = np.array(
            [rng.uniform(0.25, 0.5), rng.uniform(0.35, 0.55), rng.uniform(0.15, 0.35)], np.float32
        )
        image = image * 0.4 + np.clip(0.35 + 0.35 * leaves, 0, 1) * green
    image = cv2.GaussianBlur(image, (0, 0), sigma)
    return name, (np.clip(image, 0, 1.5).astype(np.float32)) ** 1.6


def develop(
    scene: Scene,
    colour: np.ndarray,
    alpha: np.ndarray,
    shift: tuple[float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Put the figure on the background and turn linear light into a frame.

    Args:
        scene: the clip's scene.
        colour, alpha: (size, size, 3) premultiplied linear, and (size, size) coverage.
        shift: camera shake as a share of the frame.
        rng: draws the sensor noise.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    n = scene.size
    margin = (scene.backdrop.shape[0] - n) / 2
    move = np.float32(
        [[1, 0, -(margin - 0.6 * shift[0] * n)], [0, 1, -(margin - 0.6 * shift[1] * n)]]
    )
    back = cv2.warpAffine(scene.backdrop, move, (n, n), borderMode=cv2.BORDER_REFLECT)
    image = (colour + back * (1 - alpha)[..., None]) * (scene.exposure * scene.grade)
    if scene.blur > 0.25:
        image = cv2.GaussianBlur(image, (0, 0), scene.blur)
    image = np.maximum(image * np.float32(0.72), 0)
    image = image * (2.51 * image + 0.03) / (image * (2.43 * image + 0.59) + 0.14)  # filmic curve
    image = np.clip(image, 0, 1) ** np.float32(1 / 2.2)
    grey = image.mean(2, keepdims=True)
    image = np.clip(grey + (image - grey) * scene.saturation, 0, 1) ** np.float32(scene.gamma)
    if scene.noise > 0.001:
        image = image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(scene.noise)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
