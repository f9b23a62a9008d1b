"""Which files of a folder are films and stills, and what is never data, at any depth."""

import shutil

import cv2
import numpy as np
import pytest
from media import numbered, write_video

from ecstfl.video import files
from ecstfl.video.reading import read_frames

FILMS = ["mp4", "m4v", "MOV", "qt", "mkv", "webm", "avi", "divx", "flv", "f4v", "wmv", "asf", "ts"]
FILMS += ["MTS", "m2ts", "m2t", "VOB", "mpg", "mpeg", "m2v", "3gp", "3g2", "ogv", "mxf", "dv"]
FILMS += ["y4m", "ivf", "h264", "hevc", "gif", "rm", "rmvb", "mod", "tod", "insv", "amv", "mjpg"]
NOT_FILMS = ["mp3", "m4a", "wma", "mka", "flac", "wav", "ogg", "txt", "srt", "ass", "json", "csv"]
NOT_FILMS += ["xmp", "thm", "lrv", "pdf", "zip", "dat", "sub", "idx", "nfo", "heic", "jpg", "py"]


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", numbered(1)[0])[1].tobytes())
    return path


def test_endings():
    assert {f".{e.lower()}" for e in FILMS} <= files.VIDEO_SUFFIXES
    assert not {f".{e}" for e in NOT_FILMS} & files.VIDEO_SUFFIXES
    assert not files.VIDEO_SUFFIXES & files.IMAGE_SUFFIXES
    assert all(e == e.lower() and e[0] == "." for e in files.VIDEO_SUFFIXES | files.IMAGE_SUFFIXES)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *(
            ("a.MTS", "libx264"),
            ("a.m2ts", "libx264"),
            ("a.VOB", "mpeg2video"),
            ("a.ts", "libx264"),
        ),
        *(("a.3gp", "mpeg4"), ("a.wmv", "wmv2"), ("a.mxf", "mpeg2video"), ("a.m2v", "mpeg2video")),
        *(("a.h264", "libx264"), ("a.ivf", "libvpx"), ("a.y4m", "rawvideo"), ("a.rm", "rv20")),
        *(("a.mjpg", "mjpeg"), ("a.asf", "wmv2"), ("a.nut", "ffv1"), ("a.f4v", "libx264")),
    ],
)
def test_films_of_many_endings_are_found_and_read(tmp_path, name, codec):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_video(tmp_path / name.lower(), numbered(12, 48, 64), codec, pix_fmt=pix_fmt)
    path = path.rename(tmp_path / name)
    assert files.find_sources(tmp_path) == ([path], [])
    assert len(list(read_frames(path))) >= 11


@pytest.mark.parametrize("ending", sorted(files.IMAGE_SUFFIXES - {".mpo", ".tga", ".hdr"}))
def test_stills_of_many_endings_are_found_and_read(tmp_path, ending):
    grey = np.full((48, 64, 3), 128, np.uint8)
    kind = {".jfif": ".jpg", ".pnm": ".ppm"}.get(ending, ending)
    if kind == ".jp2":
        pytest.importorskip("PIL.Image").fromarray(grey).save(tmp_path / "1.jp2")
    else:
        data = cv2.imencode(kind, grey[..., 0] if kind in (".pgm", ".pbm") else grey)[1]
        (tmp_path / f"1{ending}").write_bytes(bytes(data))
    assert files.find_sources(tmp_path) == ([tmp_path], [])
    for source in (tmp_path, tmp_path / f"1{ending}"):
        (seen,) = read_frames(source)
        assert seen.shape == (48, 64, 3)
        assert (
            ending == ".pbm" or np.abs(seen.astype(int) - 128).max() <= 2
        )  # .pbm is black or white


LITTER = [
    "._a.mp4",
    ".DS_Store",
    ".hidden.mp4",
    "Thumbs.db",
    "desktop.ini",
    "ehthumbs.db",
    "Icon\r",
]
LITTER_FOLDERS = [".ipynb_checkpoints", "@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", ".git"]
LITTER_FOLDERS += [".@__thumb", "System Volume Information", ".Trashes", "@Recycle", "lost+found"]


def test_litter_is_never_data_at_any_depth(tmp_path):
    home = tmp_path / "top"
    for folder in (home, home / "happy", home / "happy" / "ann"):
        folder.mkdir()
        for name in LITTER:
            (folder / name).write_bytes(b"\0\5\x16\7 of a Macintosh")
        for name in LITTER_FOLDERS:
            picture(folder / name / "a-checkpoint.png")
            shutil.copy(picture(folder / name / "deep" / "x.png"), folder / name / "x.mp4")
    film = write_video(home / "happy" / "ann" / "a.mp4", numbered(2))
    frames = home / "sad" / "1"
    for k in range(2):
        picture(frames / f"{k}.png")
        picture(frames / "@eaDir" / f"{k}.png" / "SYNOPHOTO_THUMB_M.png")
        (frames / f"._{k}.png").write_bytes(b"\0\5\x16\7")
    digest = files.content_sha256(frames)
    assert files.find_sources(home) == ([film, frames], [])
    problems = []
    assert len(list(read_frames(frames, problems))) == 2
    assert problems == []
    for path in sorted(frames.iterdir()):
        if files.is_litter(path):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert files.content_sha256(frames) == digest  # litter that comes later prepares nothing anew


def test_what_somebody_names_is_read_whatever_it_is_called(tmp_path):
    hidden = tmp_path / ".hidden" / "@eaDir"
    hidden.mkdir(parents=True)
    film = write_video(hidden / "a.mp4", numbered(2))
    assert files.find_sources(hidden) == ([film], [])
    assert len(list(read_frames(film.rename(hidden / ".a.dat")))) == 2


def test_a_picture_beside_videos_is_no_frame_folder(tmp_path):
    ann = tmp_path / "happy" / "ann"
    thumbnail = picture(ann / "thumbnail.png")
    films = [write_video(ann / name, numbered(2)) for name in ("a.mp4", "b.MTS")]
    found, skipped = files.find_sources(tmp_path)
    assert found == films
    assert skipped == [(thumbnail, "a picture beside videos or folders")]
    bob = picture(tmp_path / "sad" / "bob" / "1.png").parent
    assert files.find_sources(bob) == ([bob], [])
    crops = picture(bob / "crops" / "1.png").parent
    assert files.find_sources(bob)[0] == [crops]


def test_what_is_passed_over_is_named(tmp_path):
    for name in ("a.heic", "b.lrv", "c.mp3"):
        (tmp_path / name).write_bytes(b"x")
    found, skipped = files.find_sources(tmp_path)
    reasons = {path.name: why for path, why in skipped}
    assert found == []
    assert "HEIC" in reasons["a.heic"]
    assert "neither a video nor an image" in reasons["b.lrv"]
    assert set(reasons) == {"a.heic", "b.lrv", "c.mp3"}
