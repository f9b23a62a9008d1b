"""Time is what the timestamps say, tags change no number, and what is cut off is named."""

import av
import cv2
import numpy as np
import pytest
from media import numbered, write_video
from PIL import Image

from ecstfl.errors import UserError
from ecstfl.video.cut_off import cut_off
from ecstfl.video.reading import read_frames, read_timed

NOISE = np.random.default_rng(0).integers(0, 256, (50, 64, 96, 3), dtype=np.uint8)


def seconds_of(path):
    return np.array([t for t, _ in read_timed(path)])


PAUSE = np.cumsum([0, *[40] * 19, 8000, *[40] * 19])  # a recording of a browser, paused for 8 s


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.webm", "libvpx"),
        ("a.mkv", "libx264"),
        ("a.mp4", "libx264"),
        ("a.mov", "mpeg4"),
        ("a.flv", "flv"),
        ("a.nut", "ffv1"),
    ],
)
def test_a_pause_lasts(tmp_path, name, codec):
    path = write_video(tmp_path / name, numbered(40), codec, pts=PAUSE)
    np.testing.assert_allclose(seconds_of(path), PAUSE / 1000, atol=0.002)


@pytest.mark.parametrize("gap", [4, 20, 1000, 60_000])  # slow motion ... a picture a minute
def test_slow_motion_and_time_lapse(tmp_path, gap):
    path = write_video(tmp_path / "a.mp4", numbered(10), pts=np.arange(10) * gap)
    np.testing.assert_allclose(seconds_of(path), np.arange(10) * gap / 1000)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.m2ts", "libx264", "yuv420p"),
        ("a.mpg", "mpeg2video", "yuv420p"),
        ("a.wmv", "wmv2", "yuv420p"),
        ("a.mxf", "mpeg2video", "yuv420p"),
        ("a.gif", "gif", "rgb8"),
        ("a.3gp", "mpeg4", "yuv420p"),
        ("a.ivf", "libvpx", "yuv420p"),
        ("a.m2v", "mpeg2video", "yuv420p"),
    ],
)
def test_constant_rates(tmp_path, name, codec, pix_fmt):
    path = write_video(tmp_path / name, NOISE[:20], codec, pix_fmt=pix_fmt)
    np.testing.assert_allclose(seconds_of(path), np.arange(20) / 25, atol=0.002)


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv", "a.ts", "a.mpg"])
def test_frames_that_are_decoded_in_another_order(tmp_path, name):
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video" if name == "a.mpg" else "libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *NOISE.shape[1:3], "yuv420p"
        stream.codec_context.max_b_frames = 2
        for k in range(60):
            image = np.roll(NOISE[0], k, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(seconds_of(path), np.arange(60) / 25, atol=0.002)


def test_a_bare_stream_tells_no_time_and_is_counted_out(tmp_path):
    path = write_video(tmp_path / "a.h264", numbered(10))
    np.testing.assert_allclose([t for t, _ in read_timed(path)], np.arange(10) / 25)


def test_films_of_stills_tell_their_time(tmp_path):
    pictures = [Image.fromarray(image) for image in numbered(5)]
    for ending in ("gif", "webp", "png", "avif"):
        path = tmp_path / f"a.{ending}"
        gaps = [100, 100, 900, 100, 100]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=gaps)
        problems = []
        seconds, frames = zip(*read_timed(path, problems), strict=True)
        np.testing.assert_allclose(seconds, [0, 0.1, 0.2, 1.1, 1.2], atol=0.01, err_msg=ending)
        assert np.ptp([frame.mean() for frame in frames]) > 200
        assert problems == []


def test_joined_recordings_go_on_and_never_back(tmp_path):
    part = write_video(tmp_path / "part.ts", numbered(50)).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(part + part)
    seconds = np.array([t for t, _ in read_timed(path)])
    assert len(seconds) >= 98
    assert (np.diff(seconds) > 0).all()
    assert seconds[-1] == pytest.approx(len(seconds) / 25, abs=0.2)


def test_pictures_tell_no_time(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for k, image in enumerate(numbered(3)):
        with av.open(str(folder / f"{k}.png"), "w", format="image2") as container:
            stream = container.add_stream("png", rate=1)
            stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "rgb24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
    assert [t for t, _ in read_timed(folder)] == [None] * 3


@pytest.mark.parametrize("encoding", ["latin-1", "cp1251", "shift-jis", "utf-16-le", "utf-8"])
@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.mp4"])
def test_tags_of_any_encoding_change_no_number(tmp_path, name, encoding):
    path = tmp_path / name
    text = {"cp1251": "Привет", "shift-jis": "こんにちは"}.get(encoding, "Größe é")
    with av.open(str(path), "w") as container:
        container.metadata["title"] = container.metadata["comment"] = "TITLE-OF-IT-ALL-AND-MORE"
        stream = container.add_stream("mpeg4", rate=50)
        stream.metadata["title"] = "TITLE-OF-IT-ALL-AND-MORE"
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in numbered(100):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert data.count(b"TITLE-OF-IT-ALL-AND-MORE") >= 1
    tag = text.encode(encoding).ljust(24)[:24]
    path.write_bytes(data.replace(b"TITLE-OF-IT-ALL-AND-MORE", tag))
    np.testing.assert_allclose(seconds_of(path), np.arange(100) / 50, atol=0.002)


def first_moov(path):
    """Move an MP4's index to its front, as a web server wants it."""
    with av.open(str(path)) as source:
        out = path.with_name("front.mp4")
        with av.open(str(out), "w", options={"movflags": "faststart"}) as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
    return out


def written(folder, name, codec):
    if name == "front.mp4":
        return first_moov(write_video(folder / "a.mp4", NOISE, codec))
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    return write_video(folder / name, NOISE, codec, pix_fmt=pix_fmt)


TELLING = [
    ("front.mp4", "libx264"),
    ("a.mkv", "libx264"),
    ("a.webm", "libvpx"),
    ("a.avi", "mjpeg"),
    ("a.avi", "mpeg4"),
    ("a.wmv", "wmv2"),
    ("a.flv", "flv"),
    ("a.mxf", "mpeg2video"),
    ("a.ivf", "libvpx"),
]


@pytest.mark.parametrize(("name", "codec"), TELLING)
def test_what_is_cut_off_is_named(tmp_path, name, codec):
    path = written(tmp_path, name, codec)
    problems = []
    assert len(list(read_frames(path, problems))) == 50
    assert problems == []
    data = path.read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    assert 20 <= len(list(read_frames(path, problems))) <= 40
    assert "cut off: " in problems[0]
    assert " are there" in problems[0]
    if name not in ("a.flv", "a.mxf", "a.ivf"):
        assert cut_off(path) == problems[0]  # a look at a few bytes is enough


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.3gp", "a.f4v"])
def test_a_film_whose_index_was_at_its_end(tmp_path, name):
    path = write_video(tmp_path / name, NOISE, "mpeg4" if name != "a.f4v" else "libx264")
    data = path.read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    with pytest.raises(UserError, match=r"it is cut off: [\d,]+ of [\d,]+ bytes are there"):
        read_frames(path)
    path.write_bytes(data[: data.index(b"moov") - 4])  # exactly before the index
    with pytest.raises(UserError, match="it is cut off: the index at its end is missing"):
        read_frames(path)


def test_a_fragmented_film(tmp_path):
    path = tmp_path / "a.mp4"
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10"})
        stream.height, stream.width, stream.pix_fmt = *NOISE.shape[1:3], "yuv420p"
        for image in NOISE:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    assert cut_off(path) is None
    data = path.read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    problems = []
    assert 20 <= len(list(read_frames(path, problems))) <= 40
    assert problems[0].startswith("cut off")


def test_live_recordings_and_appendices_are_whole(tmp_path):
    path = tmp_path / "live.webm"
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in numbered(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    problems = []
    assert len(list(read_frames(path, problems))) == 10
    for name, codec in (("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mkv", "libx264")):
        path = write_video(tmp_path / name, numbered(10), codec)
        path.write_bytes(path.read_bytes() + b"something else: \xff\xff\xff\xffmore" + bytes(99))
        assert len(list(read_frames(path, problems))) == 10
    assert problems == []


def test_sound_that_goes_on_is_no_lack(tmp_path):
    path = write_video(tmp_path / "a.flv", numbered(5), "flv", audio=True)
    problems = []
    assert len(list(read_frames(path, problems))) == 5
    assert problems == []


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_stills_that_are_cut_off(tmp_path, ending):
    noise = cv2.imencode(f".{ending}", NOISE[0])[1].tobytes()
    for k in range(2):
        (tmp_path / f"{k}.{ending}").write_bytes(noise)
    problems = []
    assert len(list(read_frames(tmp_path, problems))) == 2
    assert problems == []
    (tmp_path / f"1.{ending}").write_bytes(noise[: len(noise) * 2 // 3])
    assert len(list(read_frames(tmp_path, problems))) >= 1
    assert len(problems) == 1
    assert f"image 1.{ending} " in problems[0]
