"""The person in front of the camera: pose the mesh, fill the g-buffer, shade it."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .expression import FURROWS, UNIT_NAMES, UNITS, Parts, Style
from .furrows import WINDOW, load_relief
from .geometry import (
    HAIR,
    LASH,
    NECK_PIVOT,
    TEX_H,
    TEX_W,
    Head,
    tileable_noise,
)
from .identity import Identity
from .kernels import raster, raster_depth, raster_strands, shade, vertex_normals
from .scene import Scene

_AO_SIZE, _SHADOW_SIZE = 128, 288
_CURTAIN_AXIS_Z = 0.5


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3, 3) float32; positive yaw turns the face to image right, positive pitch looks down."""
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    return (
        np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        @ np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    ).astype(np.float32)


def unit_weights(
    head: Head, style: Style, units: np.ndarray, parts: dict[str, Parts] = UNITS
) -> np.ndarray:
    """(52,) face-unit weights of one frame's action units (23,), with the person's asymmetry."""
    weights = np.zeros(len(head.unit_index), np.float32)
    for name, level in zip(UNIT_NAMES, units, strict=True):
        if level <= 0:
            continue
        tilt = style.asymmetry[name]
        for part, gain, sided in parts[name]:
            if sided:
                weights[head.unit_index[part + "Left"]] += level * gain * (1 + tilt)
                weights[head.unit_index[part + "Right"]] += level * gain * (1 - tilt)
            else:
                weights[head.unit_index[part]] += level * gain
    return np.clip(weights, 0, 1.4)


def _light_matrix(direction: np.ndarray, size: int) -> np.ndarray:
    d = np.asarray(direction, np.float32)
    d = d / np.linalg.norm(d)
    up = np.array([0, 1, 0] if abs(d[1]) < 0.9 else [1, 0, 0], np.float32)
    x = np.cross(up, d)
    x /= np.linalg.norm(x)
    y = np.cross(d, x)
    centre, scale = np.array([0, 7.1, 0.5], np.float32), size / 4.4
    m = np.zeros((3, 4), np.float32)
    m[0, :3], m[1, :3], m[2, :3] = x * scale, -y * scale, d
    m[0, 3], m[1, 3] = size / 2 - x @ centre * scale, size / 2 + y @ centre * scale
    return m


def _sphere(count: int) -> np.ndarray:
    i = np.arange(count)
    y = 1 - 2 * (i + 0.5) / count
    r = np.sqrt(1 - y * y)
    return np.stack([r * np.cos(2.39996 * i), y, r * np.sin(2.39996 * i)], 1).astype(np.float32)


def ambient_visibility(points: np.ndarray, normals: np.ndarray, tri: np.ndarray) -> np.ndarray:
    """(n,) share of the sky each vertex sees, by depth maps from 22 directions."""
    seen, total = np.zeros(len(points), np.float32), np.full(len(points), 1e-4, np.float32)
    for d in _sphere(22):
        m = _light_matrix(d, _AO_SIZE)
        q = points @ m[:, :3].T + m[:, 3]
        depth = np.full((_AO_SIZE, _AO_SIZE), -1e9, np.float32)
        raster_depth(q[:, 0], q[:, 1], q[:, 2], tri, depth)
        col = np.clip(q[:, 0].astype(int), 0, _AO_SIZE - 1)
        row = np.clip(q[:, 1].astype(int), 0, _AO_SIZE - 1)
        clear = np.clip(1 - (depth[row, col] - q[:, 2] - 0.05) / 0.05, 0, 1)
        weight = np.maximum(0, normals @ d) * (1.0 if d[1] > -0.3 else 0.6)
        seen += weight * clear
        total += weight
    return np.clip(seen / total, 0, 1)


class _Mesh:
    """Pieces of geometry collected for one frame, numbered as the g-buffer numbers them."""

    def __init__(self) -> None:
        self.parts: list[tuple[np.ndarray, ...]] = []
        self.tris: list[np.ndarray] = []
        self.mats: list[np.ndarray] = []
        self.vertices = self.triangles = 0

    def add_points(
        self,
        points: np.ndarray,
        normals: np.ndarray,
        canon: np.ndarray,
        attr: np.ndarray,
        occlusion: np.ndarray,
        u: np.ndarray,
        v: np.ndarray,
    ) -> int:
        base = self.vertices
        self.parts.append((points, normals, canon, attr, occlusion, u, v))
        self.vertices += len(points)
        return base

    def add_triangles(self, tri: np.ndarray, mat: np.ndarray, base: int) -> int:
        first = self.triangles
        self.tris.append(tri + np.int32(base))
        self.mats.append(mat.astype(np.int32))
        self.triangles += len(tri)
        return first

    def joined(self) -> list[np.ndarray]:
        out = [np.concatenate(self.tris), np.concatenate(self.mats)]
        columns = zip(*self.parts, strict=True)
        return out + [np.ascontiguousarray(np.concatenate(c), dtype=np.float32) for c in columns]


class Figure:
    """One person in one scene; ``draw`` renders a frame.

    Buffers are reused from frame to frame, so one figure serves one thread.
    """

    def __init__(
        self, head: Head, identity: Identity, scene: Scene, apex: np.ndarray, oversample: int = 2
    ) -> None:
        self.head, self.id, self.scene = head, identity, scene
        self.n, self.oversample = scene.size * oversample, oversample
        n = self.n
        self.depth = np.zeros((n, n), np.float32)
        self.ids = np.zeros((n, n), np.int32)
        self.b0, self.b1 = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
        self.relief = np.zeros((TEX_H, TEX_W), np.float32)
        self.normals = np.zeros_like(head.vertices)
        self.apex = apex
        rng = np.random.default_rng(5)
        self.noise = tileable_noise(rng, 256, (1.1, 1.1))
        self.strand = tileable_noise(rng, 256, (1.0, 9.0))
        self.curls = tileable_noise(rng, 256, (2.2, 2.2))
        still = np.eye(3, dtype=np.float32)
        if "rest_ao" not in identity.extra:
            identity.extra["rest_ao"] = self._visibility(np.zeros_like(apex), still)
        self.rest_ao = identity.extra["rest_ao"]
        self.apex_ao = self._visibility(apex, still) if apex.any() else self.rest_ao

    def _visibility(self, weights: np.ndarray, turn: np.ndarray) -> np.ndarray:
        points, *_ = self.pose(weights, turn, still_body(), (0.0, 0.0))
        vertex_normals(points, self.head.tri, self.normals)
        return ambient_visibility(points, self.normals, self.head.tri)

    def pose(
        self,
        weights: np.ndarray,
        turn: np.ndarray,
        body: np.ndarray,
        gaze: tuple[float, float],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Posed points (n, 3), eye centres (2, 3) and gaze axes (2, 3)."""
        head, person = self.head, self.id
        active = np.nonzero(weights > 1e-4)[0]
        points = person.points.copy()
        if len(active):
            points += np.tensordot(weights[active], head.face_units[active], 1)
        axes = []
        look = rotation(gaze[0], gaze[1], 0)
        for e, ids in enumerate((head.left_eye, head.right_eye)):
            centre = person.eye_centres[e]
            points[ids] = (person.points[ids] - centre) @ look.T + centre
            axes.append(look @ np.array([0, 0, 1], np.float32))
        points += np.clip(person.cloth, 0, 1)[:, None] * head.normals * np.float32(0.07)
        points = self._turn(points, turn, body, head.vertices[:, 1])
        eyes = ((person.eye_centres - NECK_PIVOT) @ turn.T + NECK_PIVOT) @ body.T
        return (
            points,
            eyes.astype(np.float32),
            (np.stack(axes) @ turn.T @ body.T).astype(np.float32),
        )

    @staticmethod
    def _turn(
        points: np.ndarray, turn: np.ndarray, body: np.ndarray, height: np.ndarray
    ) -> np.ndarray:
        """Turn the head about the neck, the shoulders little, everything with the body."""
        k = np.clip((height - 5.75) / 0.6, 0, 1)
        k = (k * k * (3 - 2 * k))[:, None].astype(np.float32)
        turned = (points - NECK_PIVOT) @ turn.T + NECK_PIVOT
        return ((points * (1 - k) + turned * k) @ body.T).astype(np.float32)

    def project(self, points: np.ndarray, shift: tuple[float, float]) -> tuple[np.ndarray, ...]:
        """Screen x, y in oversampled pixels and 1/depth."""
        scene, n = self.scene, self.n
        focal = scene.face_share * n / 1.95 * scene.distance
        iz = (1 / (0.9 + scene.distance - points[:, 2])).astype(np.float32)
        x = n / 2 + (scene.offset[0] + shift[0]) * n + focal * points[:, 0] * iz
        y = n / 2 + (scene.offset[1] + shift[1]) * n - focal * (points[:, 1] - 7.12) * iz
        return x.astype(np.float32), y.astype(np.float32), iz

    def draw(
        self,
        weights: np.ndarray,
        units: np.ndarray,
        turn: np.ndarray,
        body: np.ndarray,
        gaze: tuple[float, float],
        shift: tuple[float, float],
        prop: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Render one frame.

        Returns:
            colour (size, size, 3) premultiplied linear, alpha (size, size), the 68 landmarks
            (68, 2) in frame pixels, and (68,) bool: seen, not behind anything.
        """
        head, person, scene = self.head, self.id, self.scene
        points, eyes, axes = self.pose(weights, turn, body, gaze)
        vertex_normals(points, head.tri, self.normals)
        normals = self.normals.copy()
        norm = float(self.apex @ self.apex)
        mix = float(np.clip(weights @ self.apex / norm, 0, 1)) if norm > 1e-6 else 0.0
        occlusion = self.rest_ao * (1 - mix) + self.apex_ao * mix
        self._carve(units)
        mesh = _Mesh()
        self.depth[:], self.ids[:] = 0, -1
        attr = np.zeros((len(points), 6), np.float32)
        attr[:, 0], attr[:, 1], attr[:, 2] = head.lips, head.inside_mouth, person.cloth
        base = mesh.add_points(
            points, normals, head.vertices, attr, occlusion, head.tex_u, head.tex_v
        )
        screen = self.project(points, shift)
        first = mesh.add_triangles(head.tri, head.tri_mat, base)
        raster(*screen, head.tri, self.depth, self.ids, self.b0, self.b1, first)
        first = mesh.add_triangles(head.lash_tri, np.full(len(head.lash_tri), LASH), base)
        raster_strands(
            *screen, head.lash_tri, head.lash_u, head.lash_v, head.lash_mask, np.float32(0.66),
            self.depth, self.ids, self.b0, self.b1, first, self.noise,
        )  # fmt: skip
        casters = [(points, head.tri)]
        if person.glasses is not None:
            self._add_solid(mesh, *person.glasses, turn, body, shift, rides=True)
        if person.hair.shells:
            casters += self._add_hair(mesh, points, normals, occlusion, turn, body, shift)
        if person.hair.curtain is not None:
            casters += self._add_curtain(mesh, turn, body, shift)
        if prop is not None:
            casters.append(self._add_solid(mesh, *prop, turn, body, shift, rides=False))
        landmarks, seen = self._landmarks(screen)
        shadow_matrix = _light_matrix(scene.light[0], _SHADOW_SIZE)
        shadow = np.full((_SHADOW_SIZE, _SHADOW_SIZE), -1e9, np.float32)
        for some, tri in casters:
            q = some @ shadow_matrix[:, :3].T + shadow_matrix[:, 3]
            raster_depth(q[:, 0], q[:, 1], q[:, 2], tri, shadow)
        colour = np.zeros((self.n, self.n, 3), np.float32)
        alpha = np.zeros((self.n, self.n), np.float32)
        camera = np.array([0, 7.15, 0.9 + scene.distance], np.float32)
        strand = self.curls if person.hair.name == "afro" else self.strand
        shade(
            colour, alpha, self.ids, self.b0, self.b1, *mesh.joined(), person.texture, self.relief,
            self.noise, strand, eyes, axes, person.eye_size, scene.light, scene.ambient, camera,
            shadow, shadow_matrix, person.colours, np.float32(scene.shine),
            np.float32(person.cloth_freq),
        )  # fmt: skip
        size = scene.size
        if self.oversample > 1:
            colour = cv2.resize(colour, (size, size), interpolation=cv2.INTER_AREA)
            alpha = cv2.resize(alpha, (size, size), interpolation=cv2.INTER_AREA)
        return colour, alpha, landmarks, seen

    def _carve(self, units: np.ndarray) -> None:
        relief, person = load_relief(), self.id
        level = dict(zip(UNIT_NAMES, units, strict=True))
        window = self.relief[WINDOW]
        window[:] = relief.pores
        for name, drivers in FURROWS.items():
            depth = 0.8 * person.furrow_rest[name]
            depth += person.furrow_gain * sum(g * float(level[u]) for u, g in drivers.items())
            if depth > 0.02:
                window += np.float32(min(depth, 1.2)) * relief.lines[name]

    def _landmarks(self, screen: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.head.landmarks
        x, y, iz = (a[chosen] for a in screen)
        col, row = x.astype(int), y.astype(int)
        inside = (col >= 0) & (row >= 0) & (col < self.n) & (row < self.n)
        col, row = np.clip(col, 0, self.n - 1), np.clip(row, 0, self.n - 1)
        # a little slack: lips, lids and lashes lie within about 1 % of the camera distance
        nearest = self.depth[row, col]
        seen = inside & (nearest * (1 / iz - 0.12) <= 1.0)
        return np.stack([x, y], 1) / self.oversample, seen

    def _add_solid(
        self,
        mesh: _Mesh,
        vertices: np.ndarray,
        tri: np.ndarray,
        mat: np.ndarray,
        turn: np.ndarray,
        body: np.ndarray,
        shift: tuple[float, float],
        rides: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        points = vertices
        if rides:
            points = (((vertices - NECK_PIVOT) @ turn.T + NECK_PIVOT) @ body.T).astype(np.float32)
        normals = np.zeros_like(points)
        vertex_normals(points, tri, normals)
        flat = np.zeros(len(points), np.float32)
        base = mesh.add_points(
            points, normals, vertices, np.zeros((len(points), 6), np.float32), flat + 1, flat, flat
        )
        first = mesh.add_triangles(tri, mat, base)
        raster(*self.project(points, shift), tri, self.depth, self.ids, self.b0, self.b1, first)
        return points, tri

    def _add_hair(
        self,
        mesh: _Mesh,
        points: np.ndarray,
        normals: np.ndarray,
        occlusion: np.ndarray,
        turn: np.ndarray,
        body: np.ndarray,
        shift: tuple[float, float],
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        hair, head = self.id.hair, self.head
        index = hair.index
        root, normal = points[index], normals[index]
        comb = hair.comb[index] @ turn.T @ body.T
        cover = hair.cover[index]
        rise = np.minimum(1, cover * 1.2)[:, None]
        direction = normal + 0.7 * comb
        shadowing = []
        noise = self.curls if hair.name == "afro" else self.strand
        for shell in range(hair.shells - 1, -1, -1):
            t = (shell + 1) / hair.shells
            p = (root + hair.length * (t * direction * (1 - 0.25 * t)) * rise).astype(np.float32)
            attr = np.zeros((len(p), 6), np.float32)
            attr[:, 3], attr[:, 4], attr[:, 5] = hair.strand_u[index], hair.strand_v[index], t
            base = mesh.add_points(
                p, normal, head.vertices[index], attr, np.maximum(occlusion[index], 0.5),
                head.tex_u[index], head.tex_v[index],
            )  # fmt: skip
            first = mesh.add_triangles(hair.tri, np.full(len(hair.tri), HAIR), base)
            # the lower shells are solid where covered; only the last ones thin out into tips
            layer = 0.10 + 0.75 * max(0.0, (t - 0.45) / 0.55) ** 1.3
            raster_strands(
                *self.project(p, shift), hair.tri, hair.strand_u[index], hair.strand_v[index],
                cover, np.float32(layer), self.depth, self.ids, self.b0, self.b1, first, noise,
            )  # fmt: skip
            if shell == hair.shells // 2:
                shadowing.append((p, hair.tri))
        return shadowing

    def _add_curtain(
        self, mesh: _Mesh, turn: np.ndarray, body: np.ndarray, shift: tuple[float, float]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        vertices, tri, u, v, cover = self.id.hair.curtain
        flat = np.zeros(len(vertices), np.float32)
        for t in (1.0, 0.5):
            centre = np.array([0, 1, _CURTAIN_AXIS_Z], np.float32)
            scaled = vertices.copy()
            scaled[:, [0, 2]] = (scaled[:, [0, 2]] - centre[[0, 2]]) * (0.93 + 0.07 * t) + centre[
                [0, 2]
            ]
            p = self._turn(scaled, turn, body, scaled[:, 1] + 0.25)
            normal = np.zeros_like(p)
            vertex_normals(p, tri, normal)
            attr = np.zeros((len(p), 6), np.float32)
            attr[:, 3], attr[:, 4], attr[:, 5] = u + 40 * t, v, 0.3 + 0.7 * t
            base = mesh.add_points(p, normal, vertices, attr, flat + 0.45 + 0.4 * t, flat, flat)
            first = mesh.add_triangles(tri, np.full(len(tri), HAIR), base)
            raster_strands(
                *self.project(p, shift), tri, u + np.float32(40 * t), v, cover,
                np.float32(0.30 if t == 1 else 0.06), self.depth, self.ids, self.b0, self.b1,
                first, self.strand,
            )  # fmt: skip
        return [(p, tri)]


def still_body() -> np.ndarray:
    """The body as it stands: no turn."""
    return np.eye(3, dtype=np.float32)
