"""Reading videos: containers, variable rate, rotation, and files that are not what they say."""

import os

import cv2
import numpy as np
import pytest
from media import numbered, write_sound, write_video

from ecstfl.errors import UserError
from ecstfl.video import files
from ecstfl.video import reading as video


def levels(frames):
    return np.array([float(f.mean()) for f in frames])


CONTAINERS = [
    ("a.mp4", "libx264", "yuv420p"),
    ("a.mov", "mpeg4", "yuv420p"),
    ("a.mkv", "libx264", "yuv420p"),
    ("a.avi", "mjpeg", "yuvj420p"),
    ("a.flv", "flv", "yuv420p"),
    ("a.webm", "libvpx", "yuv420p"),
]


@pytest.mark.parametrize(("name", "codec", "pix_fmt"), CONTAINERS)
def test_containers(tmp_path, name, codec, pix_fmt):
    frames = numbered(10, 64, 96)
    path = write_video(tmp_path / name, frames, codec, pix_fmt=pix_fmt)
    problems = []
    read = list(video.read_frames(path, problems))
    assert len(read) == 10
    assert all(f.shape == (64, 96, 3) and f.dtype == np.uint8 for f in read)
    np.testing.assert_allclose(levels(read), levels(frames), atol=6)
    assert problems == []


def test_colours_are_rgb(tmp_path):
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    frames[..., 0] = 220
    read = next(video.read_frames(write_video(tmp_path / "red.mp4", frames)))
    assert read[..., 0].mean() > 200
    assert read[..., 1:].mean() < 30
    folder = tmp_path / "red"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), frames[0][..., ::-1])
    np.testing.assert_array_equal(next(video.read_frames(folder)), frames[0])


def test_variable_frame_rate_invents_no_frames(tmp_path):
    frames = numbered(12)
    pts = np.cumsum([0, 40, 40, 500, 40, 40, 40, 1500, 40, 40, 333, 40])
    path = write_video(tmp_path / "vfr.mp4", frames, pts=pts)
    read = levels(video.read_frames(path))
    np.testing.assert_allclose(read, levels(frames), atol=6)


def test_folder_in_numeric_order_with_every_kind_of_image(tmp_path):
    for number in range(1, 13):
        image = np.full((20, 30, 3), number * 20, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    (tmp_path / "notes.txt").write_text("not a frame")
    np.testing.assert_array_equal(levels(video.read_frames(tmp_path)), np.arange(1, 13) * 20)

    other = tmp_path / "kinds"
    other.mkdir()
    deep = np.full((20, 30, 3), 128 * 257, np.uint16)
    cv2.imwrite(str(other / "01.png"), deep)
    cv2.imwrite(str(other / "02.png"), np.full((20, 30), 128, np.uint8))
    cv2.imwrite(str(other / "03.png"), np.full((20, 30, 4), 128, np.uint8))
    cv2.imwrite(str(other / "04.bmp"), np.full((1, 1, 3), 128, np.uint8))
    cv2.imwrite(str(other / "05.tiff"), np.full((20, 30), 128 * 257, np.uint16))
    (other / "06.jpg").write_bytes(b"")
    (other / "07.jpg").write_bytes(b"this is no picture")
    problems = []
    read = list(video.read_frames(other, problems))
    assert [f.shape for f in read] == [(20, 30, 3)] * 3 + [(1, 1, 3), (20, 30, 3)]
    assert all(f.dtype == np.uint8 and (f == 128).all() for f in read)
    assert problems == ["image 06.jpg cannot be decoded", "image 07.jpg cannot be decoded"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["10.jpg", "9.jpg", "1.jpg"], ["1.jpg", "9.jpg", "10.jpg"]),
        (["00012_00010.jpg", "00012_00002.jpg"], ["00012_00002.jpg", "00012_00010.jpg"]),
        (["b2.png", "a10.png", "a2.png"], ["a2.png", "a10.png", "b2.png"]),
        (["007.jpg", "7.jpg", "x.jpg"], None),
    ],
)
def test_numeric_key(names, expected):
    ordered = sorted(names, key=files.numeric_key)
    assert expected is None or ordered == expected


def test_non_ascii_names_and_special_characters(tmp_path):
    for name in ("видео 1.mp4", "脸.mp4", "a%02d.mp4", "-x.mp4", "a:b.mp4", "é\n.mp4"):
        path = write_video(tmp_path / "plain.mp4", numbered(3))
        path = path.rename(tmp_path / name)
        assert len(list(video.read_frames(path))) == 3
        assert len(list(video.read_frames(str(path)))) == 3
    folder = tmp_path / "кадры"
    folder.mkdir()
    (folder / "1.png").write_bytes(cv2.imencode(".png", numbered(1)[0])[1].tobytes())
    assert len(list(video.read_frames(folder))) == 1


def bad(tmp_path, kind):
    good = write_video(tmp_path / "good.mp4", numbered(20), audio=True).read_bytes()
    path = tmp_path / f"{kind}.mp4"
    if kind == "missing":
        return path
    if kind == "sound only":
        return write_sound(path)
    content = {
        "empty": b"",
        "one byte": b"\0",
        "text": b"hello, this is a text file\n" * 100,
        "header only": good[:300],
        "cut off": good[: len(good) // 2],  # the index of an mp4 stands at its end
        "noise": np.random.default_rng(0).bytes(20_000),
        "zeros": bytes(20_000),
        "playlist": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "archive": b"PK\x03\x04" + bytes(5000),
    }[kind]
    path.write_bytes(content)
    return path


KINDS = ["missing", "sound only", "empty", "one byte", "text", "header only", "cut off", "noise"]
KINDS += ["zeros", "playlist", "archive"]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_files_are_named_with_a_reason(tmp_path, kind, capfd):
    path = bad(tmp_path, kind)
    with pytest.raises(UserError) as caught:
        list(video.read_frames(path))
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    expected = {"missing": "No such file", "sound only": "sound only", "empty": "is empty"}
    assert expected.get(kind, "cannot read") in message
    assert capfd.readouterr().err == ""  # libraries do not print over the report


def test_a_picture_with_the_name_of_a_video_is_remarked(tmp_path):
    for name, remarks in (("a.mp4", 1), ("a.jpg", 0)):
        path = tmp_path / name
        path.write_bytes(cv2.imencode(".jpg", numbered(1)[0])[1].tobytes())
        problems = []
        assert len(list(video.read_frames(path, problems))) == 1
        assert len(problems) == remarks
        assert all("still picture" in problem for problem in problems)


def test_a_playlist_opens_nothing_else(tmp_path):
    secret = write_video(tmp_path / "secret.mp4", numbered(3))
    lure = tmp_path / "lure.mp4"
    lure.write_text(f"ffconcat version 1.0\nfile '{secret}'\n")
    with pytest.raises(UserError, match="cannot read"):
        list(video.read_frames(lure))


def test_damage_in_the_middle_costs_frames_and_not_the_clip(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (30, 64, 64, 3), dtype=np.uint8)
    path = write_video(tmp_path / "a.avi", frames, "mjpeg", pix_fmt="yuvj420p")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    start = data.index(b"\xff\xd8", middle)  # one JPEG loses its head
    data[start : start + 600] = bytes(600)
    path.write_bytes(data)
    problems = []
    read = list(video.read_frames(path, problems))
    assert 26 <= len(read) <= 29
    assert len(problems) == 1
    assert "damaged packets were skipped" in problems[0]


def test_size_may_change_within_a_clip(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    for k, side in enumerate((20, 30, 10)):
        cv2.imwrite(str(folder / f"{k}.png"), np.zeros((side, side * 2, 3), np.uint8))
    assert [f.shape[:2] for f in video.read_frames(folder)] == [(20, 40), (30, 60), (10, 20)]


def test_1x1_and_8k(tmp_path):
    tiny = tmp_path / "tiny.png"
    cv2.imwrite(str(tiny), np.full((1, 1, 3), 9, np.uint8))
    (frame,) = video.read_frames(tiny)
    assert frame.shape == (1, 1, 3)
    huge = np.zeros((1, 4320, 7680, 3), np.uint8)
    path = write_video(tmp_path / "8k.avi", huge, "mjpeg", pix_fmt="yuvj420p")
    assert [f.shape for f in video.read_frames(path)] == [(4320, 7680, 3)]


def test_grey_sixteen_bit_and_alpha_video(tmp_path):
    for name, codec, pix_fmt in (
        ("grey.mkv", "ffv1", "gray"),
        ("deep.mkv", "ffv1", "gray16le"),
        ("alpha.mkv", "ffv1", "bgra"),
        ("ten.mkv", "ffv1", "yuv420p10le"),
    ):
        path = write_video(tmp_path / name, numbered(4), codec, pix_fmt=pix_fmt)
        read = list(video.read_frames(path))
        assert [f.dtype for f in read] == [np.uint8] * 4
        np.testing.assert_allclose(levels(read), levels(numbered(4)), atol=3)


def test_what_is_not_a_file(tmp_path):
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    with pytest.raises(UserError, match="loop"):
        video.read_frames(loop)
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="neither a file nor a folder"):  # and no waiting on it
        video.read_frames(pipe)
    with pytest.raises(UserError, match="holds no image"):
        video.read_frames(tmp_path)
    with pytest.raises(UserError, match="cannot read"):
        video.read_frames("a\0b.mp4")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads anything")
def test_unreadable_paths(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered(3))
    path.chmod(0)
    with pytest.raises(UserError, match="Permission denied"):
        list(video.read_frames(path))


def test_a_header_that_claims_too_much_is_refused(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", numbered(3, 64, 64))
    monkeypatch.setattr("ecstfl.video.picture.MAX_PIXELS", 1000)
    with pytest.raises(UserError, match="claims 64 x 64 pixels"):
        list(video.read_frames(path))


def test_reading_stops_early_without_leaking(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered(20))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(20):
        stream = video.read_frames(path)
        next(stream)
        stream.close()
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_find_sources(tmp_path):
    write_video(tmp_path / "b10.mp4", numbered(2))
    write_video(tmp_path / "b9.MOV", numbered(2), "mpeg4")
    sub = tmp_path / "happy" / "clip1"
    sub.mkdir(parents=True)
    cv2.imwrite(str(sub / "1.jpg"), numbered(1)[0])
    cv2.imwrite(str(tmp_path / "poster.png"), numbered(1)[0])
    (tmp_path / "read.me").write_text("x")
    (tmp_path / ".hidden.mp4").write_bytes(b"")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "self.mp4").symlink_to(tmp_path / "self.mp4")
    sources, skipped = files.find_sources(tmp_path)
    assert [s.relative_to(tmp_path).as_posix() for s in sources] == [
        "b9.MOV",
        "b10.mp4",
        "happy/clip1",
    ]
    reasons = {p.name: why for p, why in skipped}
    assert "already visited" in reasons["again"]
    assert "symbolic links" in reasons["self.mp4"]
    assert "neither a video nor an image" in reasons["read.me"]
    assert "a picture beside videos" in reasons["poster.png"]
    assert len(skipped) == 4
    with pytest.raises(UserError, match="is not a folder"):
        files.find_sources(tmp_path / "b10.mp4")


def test_content_sha256_follows_content_and_names(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered(3))
    digest = files.content_sha256(path)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(path.read_bytes())
    assert files.content_sha256(copy) == digest
    copy.write_bytes(path.read_bytes() + b"x")
    assert files.content_sha256(copy) != digest
    folder = tmp_path / "f"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), numbered(1)[0])
    one = files.content_sha256(folder)
    cv2.imwrite(str(folder / "2.png"), numbered(1)[0])
    two = files.content_sha256(folder)
    (folder / "2.png").rename(folder / "3.png")
    assert len({one, two, files.content_sha256(folder)}) == 3
    with pytest.raises(UserError, match="No such file"):
        files.content_sha256(tmp_path / "none.mp4")
