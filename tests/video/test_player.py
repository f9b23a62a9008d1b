"""What comes out is what a player shows: upright, in square pixels, the film and not its cover."""

import io
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from media import numbered, write_sound, write_video
from PIL import Image

from ecstfl.errors import UserError
from ecstfl.video.reading import read_frames, read_timed


def corner(n=3, height=48, width=80):
    """(n, H, W, 3): bright in the upper left quarter, and half as bright in the upper right."""
    frames = np.zeros((n, height, width, 3), np.uint8)
    frames[:, : height // 2, : width // 2] = 230
    frames[:, : height // 2, width // 2 :] = 115
    return frames


def close(seen, wanted):
    """Whether two pictures show the same, whatever the codec did to their edges."""
    assert seen.shape == wanted.shape
    return np.abs(seen.astype(int) - wanted).mean() < 6


# EXIF's number -> what is done to the stored picture: the eight orientations of a square
TURNS = {
    1: lambda im: im,
    2: lambda im: im[:, ::-1],
    3: lambda im: im[::-1, ::-1],
    4: lambda im: im[::-1],
    5: lambda im: im.swapaxes(0, 1),
    6: lambda im: im[::-1].swapaxes(0, 1),
    7: lambda im: im[::-1, ::-1].swapaxes(0, 1),
    8: lambda im: im[:, ::-1].swapaxes(0, 1),
}
# ... and the matrix (a, b, c, d) of a film: a stored point (x, y) is shown at (ax + cy, bx + dy)
MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def with_matrix(path, frames, turn):
    """An MP4 whose track header carries a display matrix, as phones write it."""
    data = bytearray(write_video(path, frames).read_bytes())
    where = data.index(b"tkhd") + 4 + 40  # version 0: the matrix stands 40 bytes in
    a, b, c, d = (int(v * 65536).to_bytes(4, "big", signed=True) for v in turn)
    data[where : where + 36] = a + b + bytes(4) + c + d + bytes(12) + (1 << 30).to_bytes(4, "big")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("number", TURNS)
def test_films_are_turned_and_mirrored(tmp_path, number):
    path = with_matrix(tmp_path / "a.mp4", corner(), MATRICES[number])
    assert close(next(read_frames(path)), TURNS[number](corner()[0]))


@pytest.mark.parametrize("number", [3, 6, 8])
def test_turned_films_look_as_in_opencv(tmp_path, number):
    path = with_matrix(tmp_path / "a.mp4", corner(), MATRICES[number])
    seen = cv2.VideoCapture(str(path)).read()[1]  # turns by itself, but does not mirror
    assert close(next(read_frames(path)), seen[..., ::-1])


def test_a_matrix_that_is_nearly_a_quarter_turn(tmp_path):
    path = with_matrix(tmp_path / "a.mp4", corner(), (0.05, 0.999, -0.999, 0.05))
    assert close(next(read_frames(path)), TURNS[6](corner()[0]))


def still(path, picture, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if path.suffix in (".jpg", ".avif") else {}
    Image.fromarray(picture).save(path, exif=exif.tobytes(), **options)
    return path


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff", "avif"])
def test_stills_are_turned_and_mirrored_by_name_and_in_folders(tmp_path, ending):
    for number, turn in TURNS.items():
        path = still(tmp_path / f"{number}.{ending}", corner()[0], number)
        (seen,) = read_frames(path)
        assert close(seen, turn(corner()[0])), number
    for number, seen in enumerate(read_frames(tmp_path), start=1):
        assert close(seen, TURNS[number](corner()[0])), number


def test_floating_point_stills_are_read_in_folders_too(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.tiff").write_bytes(
            cv2.imencode(".tiff", np.full((20, 30, 3), 0.5, np.float32))[1].tobytes()
        )
    assert [f.mean() for f in read_frames(tmp_path)] == [128, 128]
    assert next(read_frames(tmp_path / "a.tiff")).mean() == 128


def with_pixels(path, image, ratio, codec="libx264"):
    """A film of three times that picture that says that its pixels are of that shape."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "yuv420p"
        stream.codec_context.sample_aspect_ratio = ratio
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def squeezed(path, ratio, codec="libx264", side=240):
    """A film of a circle, squeezed so that pixels of that ratio make it round again."""
    canvas = np.zeros((side, side, 3), np.uint8)
    cv2.circle(canvas, (side // 2, side // 2), side // 3, (255, 255, 255), -1)
    width = round(side / ratio) // 2 * 2
    image = cv2.resize(canvas, (width, side), interpolation=cv2.INTER_AREA)
    return with_pixels(path, image, ratio, codec)


def roundness(frame):
    white = frame[..., 1] > 127
    wide, high = (np.ptp(np.flatnonzero(white.any(axis))) + 1 for axis in (0, 1))
    return wide / high


@pytest.mark.parametrize("ratio", [Fraction(4, 3), Fraction(16, 11), Fraction(8, 9), Fraction(2)])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.ts", "libx264"),
        ("a.avi", "mpeg4"),
        ("a.mov", "mpeg4"),
    ],
)
def test_pixels_that_are_not_square(tmp_path, name, codec, ratio):
    frame = next(read_frames(squeezed(tmp_path / name, ratio, codec)))
    assert roundness(frame) == pytest.approx(1, abs=0.03)
    assert min(frame.shape[:2]) >= 238  # no side is made smaller


def test_a_television_picture_of_4_to_3(tmp_path):
    # MPEG-2 tells the shape of the picture, not of its pixels
    path = with_pixels(tmp_path / "a.vob", corner(1, 144, 176)[0], Fraction(12, 11), "mpeg2video")
    seen = next(read_frames(path))
    assert close(seen, cv2.resize(corner(1, 144, 176)[0], (192, 144)))


def test_a_broadcast_that_changes_from_4_to_3_to_16_to_9(tmp_path):
    image = corner(1, 144, 176)[0]
    parts = [
        with_pixels(tmp_path / f"{k}.ts", image, ratio, "mpeg2video")
        for k, ratio in enumerate((Fraction(12, 11), Fraction(16, 11)))
    ]
    (tmp_path / "a.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    widths = [f.shape[1] for f in read_frames(tmp_path / "a.ts")]
    assert widths[:2] == [192] * 2  # the decoder knows of the change a frame too early
    assert widths[3:] == [256] * 3


def test_what_the_container_says_of_pixels_goes_before_the_stream(tmp_path):
    path = squeezed(tmp_path / "a.mp4", Fraction(1))
    data = bytearray(path.read_bytes())
    where = data.index(b"btrt")  # a box of twenty bytes that nobody needs becomes "pasp"
    data[where : where + 12] = b"pasp" + (3).to_bytes(4, "big") + (2).to_bytes(4, "big")
    path.write_bytes(data)
    assert roundness(next(read_frames(path))) == pytest.approx(1.5, abs=0.03)


def test_squeezed_and_turned(tmp_path):
    path = squeezed(tmp_path / "a.mp4", Fraction(2))
    data = bytearray(path.read_bytes())
    where = data.index(b"tkhd") + 4 + 40
    quarter = (0, 1, 0, -1, 0)  # the stored picture is stretched first, then turned
    data[where : where + 20] = b"".join((v << 16).to_bytes(4, "big", signed=True) for v in quarter)
    path.write_bytes(data)
    frame = next(read_frames(path))
    assert frame.shape == (240, 240, 3)
    assert roundness(frame) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("ratio", [Fraction(1, 1000), Fraction(5000, 1), Fraction(999, 1000)])
def test_a_ratio_that_no_camera_has_is_damage_and_a_rounded_one_is_square(tmp_path, ratio):
    path = with_pixels(tmp_path / "a.mkv", corner()[0], ratio)
    assert next(read_frames(path)).shape == (48, 80, 3)


def cover():
    data = io.BytesIO()
    Image.fromarray(np.full((400, 400, 3), 255, np.uint8)).save(data, "JPEG")
    return data.getvalue()


def with_cover(path, film):
    """A file with a cover first, then its film or, without one, sound."""
    picture = av.open(io.BytesIO(cover()))
    with av.open(str(path), "w", format="mp4" if path.suffix == ".m4a" else None) as container:
        art = container.add_stream_from_template(picture.streams.video[0])
        art.disposition = av.stream.Disposition.attached_pic
        if film is None:
            stream = container.add_stream("mp3" if path.suffix == ".mp3" else "aac", rate=16000)
            frames = []
            for k in range(20):
                silence = np.zeros((1, 1024), np.float32)
                frames.append(av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono"))
                frames[-1].sample_rate, frames[-1].pts = 16000, 1024 * k
        else:
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = *film.shape[1:3], "yuv420p"
            frames = [av.VideoFrame.from_ndarray(image, format="rgb24") for image in film]
        packet = next(picture.demux())
        packet.stream = art
        container.mux(packet)
        for frame in [*frames, None]:
            container.mux(stream.encode(frame))
    return path


@pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a.mp4"])
def test_sound_with_a_cover_is_sound_only(tmp_path, name):
    path = with_cover(tmp_path / name, None)
    with pytest.raises(UserError, match="sound only; its picture is a cover"):
        read_frames(path)
    with pytest.raises(UserError, match="sound only"):
        read_frames(write_sound(tmp_path / "plain.m4a"))


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_a_cover_is_not_the_film(tmp_path, name):
    read = list(read_frames(with_cover(tmp_path / name, numbered(6))))
    assert [f.shape for f in read] == [(48, 64, 3)] * 6


def two_films(path, first, second, default):
    """Two video streams; ``default`` is the number of the one that is marked, or None."""
    with av.open(str(path), "w") as container:
        streams = []
        for frames in (first, second):
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
            streams.append(stream)
        for number, stream in enumerate(streams):
            marked = number == default
            stream.disposition = av.stream.Disposition.default if marked else 0
        for stream, frames in zip(streams, (first, second), strict=True):
            for image in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "preview", "film", "default"),
    [
        ("a.mp4", numbered(8, 32, 32), numbered(8, 64, 96), 1),  # small, not marked, first
        ("b.mp4", numbered(1, 640, 640), numbered(8, 64, 96), None),  # one large frame first
        ("a.mkv", numbered(8, 32, 32), numbered(8, 64, 96), 1),
        ("a.ts", numbered(8, 32, 32), numbered(8, 64, 96), None),  # nothing marked: the larger
    ],
)
def test_a_preview_is_not_the_film(tmp_path, name, preview, film, default):
    read = list(read_frames(two_films(tmp_path / name, preview, film, default)))
    assert [f.shape for f in read] == [(64, 96, 3)] * 8


def test_a_small_film_that_is_marked_is_the_film(tmp_path):
    path = two_films(tmp_path / "a.mp4", numbered(8, 32, 32), numbered(8, 64, 96), 0)
    assert next(read_frames(path)).shape == (32, 32, 3)


def test_seconds_and_frames_come_together(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered(5), rate=10)
    seconds = [t for t, _ in read_timed(path)]
    np.testing.assert_allclose(seconds, np.arange(5) / 10)
    assert [t for t, _ in read_timed(still(tmp_path / "a.jpg", corner()[0], 1))] == [0.0]
