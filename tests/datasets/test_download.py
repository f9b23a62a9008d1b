"""Downloads against a server on this machine: nothing here leaves it."""

import argparse
import contextlib
import errno
import hashlib
import http.server
import io
import json
import stat
import threading
import urllib.request
import zipfile
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from miniatures import make_cremad, make_ravdess

from ecstfl.cli.data import add_data_parser, parse_numbers
from ecstfl.cli.main import main
from ecstfl.datasets import download
from ecstfl.datasets.cremad import open_cremad
from ecstfl.datasets.download import (
    CREMAD,
    RAVDESS,
    RemoteFile,
    ask_lfs,
    extract_zip,
    fetch,
    get_data,
    list_cremad,
    list_ravdess,
    source_of,
)
from ecstfl.datasets.ravdess import open_ravdess
from ecstfl.errors import UserError


@dataclass
class Site:
    """A small web site; ``faults`` says what goes wrong, by path."""

    url: str = ""
    files: dict = field(default_factory=dict)
    answers: dict = field(default_factory=dict)
    faults: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(download, "_pause", lambda attempt: 0.0)
    here = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            here.asked.append((self.path, body))
            status, answer = here.answers[self.path](body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def do_GET(self):
            wanted = self.headers.get("Range")
            here.asked.append((self.path, wanted))
            fault = here.faults.get(self.path, [])
            fault = fault.pop(0) if fault else None
            if fault == "503":
                self.send_error(503)
                return
            if fault and fault.startswith("to "):
                self.send_response(302)
                self.send_header("Location", fault[3:])
                self.end_headers()
                return
            data = here.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            start = 0
            if wanted and fault != "no ranges":
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                self.send_response(206)
                shown = start + 1 if fault == "wrong range" else start
                self.send_header("Content-Range", f"bytes {shown}-{len(data) - 1}/{len(data)}")
            else:
                self.send_response(200)
            if fault == "too long":
                data += b"more"
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            end = start + (len(data) - start) // 2 if fault == "cut" else len(data)
            self.wfile.write(data[start:end])

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
    return RemoteFile("sub/f.bin", len(DATA), "sha256", SHA, f"{site.url}/f.bin")


# --- one file --------------------------------------------------------------------------------


def test_fetch(remote, tmp_path):
    path = fetch(remote, tmp_path)
    assert path == tmp_path / "sub" / "f.bin"
    assert path.read_bytes() == DATA
    assert [p.name for p in path.parent.iterdir()] == ["f.bin"]


def test_a_cut_connection_goes_on_where_it_stopped(site, remote, tmp_path):
    site.faults["/f.bin"] = ["cut", "cut"]
    assert fetch(remote, tmp_path).read_bytes() == DATA
    half, quarter = len(DATA) // 2, len(DATA) * 3 // 4
    assert [r for _, r in site.asked] == [None, f"bytes={half}-", f"bytes={quarter}-"]


def test_a_later_run_goes_on(site, remote, tmp_path):
    part = tmp_path / "sub" / "f.bin.part"
    part.parent.mkdir()
    part.write_bytes(DATA[:1000])
    assert fetch(remote, tmp_path).read_bytes() == DATA
    assert site.asked == [("/f.bin", "bytes=1000-")]


@pytest.mark.parametrize("have", [len(DATA), len(DATA) + 5])
def test_what_is_left_of_a_run_may_be_whole_or_too_long(site, remote, tmp_path, have):
    part = tmp_path / "sub" / "f.bin.part"
    part.parent.mkdir()
    part.write_bytes((DATA + b"12345")[:have])
    assert fetch(remote, tmp_path).read_bytes() == DATA
    assert len(site.asked) == (0 if have == len(DATA) else 1)


@pytest.mark.parametrize("fault", ["no ranges", "wrong range"])
def test_servers_that_do_not_go_on(site, remote, tmp_path, fault):
    site.faults["/f.bin"] = ["cut", fault]
    assert fetch(remote, tmp_path).read_bytes() == DATA


def test_busy_server_is_asked_again(site, remote, tmp_path):
    site.faults["/f.bin"] = ["503", "503"]
    assert fetch(remote, tmp_path).read_bytes() == DATA


def test_giving_up_keeps_what_came(site, remote, tmp_path):
    site.faults["/f.bin"] = ["cut"] * download.ATTEMPTS
    with pytest.raises(UserError, match="run the same command again to go on"):
        fetch(remote, tmp_path)
    part = tmp_path / "sub" / "f.bin.part"
    assert len(part.read_bytes()) == len(DATA) - len(DATA) // 2**download.ATTEMPTS
    assert not (tmp_path / "sub" / "f.bin").exists()


def test_wrong_checksum(remote, tmp_path):
    with pytest.raises(UserError, match="differs from the official record"):
        fetch(replace(remote, digest="0" * 64), tmp_path)
    assert not list((tmp_path / "sub").iterdir())


def test_more_bytes_than_recorded(site, remote, tmp_path):
    site.faults["/f.bin"] = ["too long"]
    with pytest.raises(UserError, match="sends more"):
        fetch(remote, tmp_path)


def test_missing_on_the_server(site, remote, tmp_path):
    with pytest.raises(UserError, match="404"):
        fetch(replace(remote, url=f"{site.url}/gone"), tmp_path)
    assert len(site.asked) == 1


def test_no_connection(site, remote, tmp_path):
    with pytest.raises(UserError, match="gave up"):
        fetch(replace(remote, url="http://127.0.0.1:1/x"), tmp_path)


@pytest.mark.parametrize("url", ["http://example.org/x", "ftp://127.0.0.1/x", "file:///etc/hosts"])
def test_only_https_leaves_this_machine(site, remote, tmp_path, url):
    with pytest.raises(UserError, match="only https"):
        fetch(replace(remote, url=url), tmp_path)
    site.faults["/f.bin"] = [f"to {url}"]
    with pytest.raises(UserError, match=r"only https|is not allowed"):
        fetch(remote, tmp_path)


@pytest.mark.parametrize(("host", "kept"), [("a.example", True), ("b.example", False)])
def test_credentials_stay_with_their_host(host, kept):
    request = urllib.request.Request("https://a.example/x", headers={"Authorization": "secret"})
    new = download._Redirects().redirect_request(
        request, None, 302, "Found", {}, f"https://{host}/y"
    )
    assert new.has_header("Authorization") == kept


@pytest.mark.parametrize("name", ["../f.bin", "/f.bin", "sub/../../f.bin"])
def test_names_stay_inside(remote, tmp_path, name):
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(UserError, match="leads outside"):
        fetch(replace(remote, name=name), folder)
    assert not list(folder.iterdir())


def test_a_link_on_disk_is_not_followed(remote, tmp_path):
    folder, other = tmp_path / "in", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (folder / "sub").symlink_to(other)
    with pytest.raises(UserError, match="leads outside"):
        fetch(remote, folder)
    assert not list(other.iterdir())


class Bar:
    """Counts as a progress bar does; Ctrl-C comes at its nth step."""

    def __init__(self, total=0, stop=None):
        self.total, self.n, self.steps, self.stop = total, 0, [], stop

    def update(self, step):
        self.n += step
        self.steps.append(self.n)
        if self.stop is not None and len(self.steps) == self.stop:
            raise KeyboardInterrupt

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize(
    "faults", [[], ["cut", "cut"], ["cut", "no ranges"], ["cut", "wrong range"]]
)
def test_progress_ends_at_the_size_whatever_happens(site, remote, tmp_path, monkeypatch, faults):
    monkeypatch.setattr(download, "BLOCK", 1 << 16)
    site.faults["/f.bin"] = list(faults)
    bar = Bar()
    fetch(remote, tmp_path, bar)
    assert bar.n == len(DATA)
    assert max(bar.steps) == len(DATA)
    assert len(bar.steps) >= 16


def test_progress_counts_what_an_earlier_run_fetched(site, remote, tmp_path):
    part = tmp_path / "sub" / "f.bin.part"
    part.parent.mkdir()
    part.write_bytes(DATA[:1000])
    bar = Bar()
    fetch(remote, tmp_path, bar)
    assert (bar.steps[0], bar.n) == (1000, len(DATA))
    (part.parent / "f.bin").rename(part)
    part.write_bytes(DATA + b"more than there should be")
    bar = Bar()
    fetch(remote, tmp_path, bar)
    assert bar.n == len(DATA)
    bar = Bar()
    fetch(remote, tmp_path, bar)  # verified on disk: nothing is asked for
    assert bar.n == len(DATA)
    assert len(site.asked) == 2


def test_ctrl_c_keeps_what_came_and_the_next_run_goes_on(site, remote, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "BLOCK", 1 << 16)
    with pytest.raises(KeyboardInterrupt):
        fetch(remote, tmp_path, Bar(stop=5))
    assert not (tmp_path / "sub" / "f.bin").exists()
    have = (tmp_path / "sub" / "f.bin.part").stat().st_size
    assert have == 5 << 16
    assert fetch(remote, tmp_path).read_bytes() == DATA
    assert site.asked == [("/f.bin", None), ("/f.bin", f"bytes={have}-")]


@pytest.mark.parametrize("ranges", [True, False])
def test_leftovers_of_another_file_are_found_by_the_checksum(site, remote, tmp_path, ranges):
    part = tmp_path / "sub" / "f.bin.part"
    part.parent.mkdir()
    part.write_bytes(b"x" * 1000)
    if not ranges:  # the server begins anew, and so nothing of the leftovers remains
        site.faults["/f.bin"] = ["no ranges"]
        assert fetch(remote, tmp_path).read_bytes() == DATA
        return
    with pytest.raises(UserError, match="differs from the official record"):
        fetch(remote, tmp_path)
    assert list(part.parent.iterdir()) == []
    assert fetch(remote, tmp_path).read_bytes() == DATA


# --- archives --------------------------------------------------------------------------------


def make_zip(path, *members, **special):
    with zipfile.ZipFile(path, "w") as archive:
        for name in members:
            archive.writestr(name, name)
        for name, mode in special.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, "/etc/passwd")
    return path


def test_unpack(tmp_path):
    archive = make_zip(tmp_path / "a.zip", "x/a.txt", "x/y/b.txt", "c.txt")
    folder = tmp_path / "in"
    folder.mkdir()
    assert extract_zip(archive, folder, lambda n: n != "c.txt") == ["x/a.txt", "x/y/b.txt"]
    assert (folder / "x/y/b.txt").read_text() == "x/y/b.txt"
    assert not (folder / "c.txt").exists()


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "C:/evil", "..\\evil", "a\\..\\..\\evil", "C:evil"]
)
def test_traversal(tmp_path, name):
    info = zipfile.ZipInfo("x")
    info.filename = name
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good", "good")
        archive.writestr(info, "evil")
    folder = tmp_path / "deep" / "in"
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match="leads outside the folder; nothing was unpacked"):
        extract_zip(path, folder)
    assert not list(folder.iterdir())
    assert not list(tmp_path.rglob("*evil*"))


@given(name=st.text("ab./\\:~ \0é", min_size=1, max_size=12))
@settings(max_examples=200)
def test_no_name_leads_outside(tmp_path_factory, name):
    top = tmp_path_factory.mktemp("fuzz")
    info = zipfile.ZipInfo("x")
    info.filename = name
    with zipfile.ZipFile(top / "a.zip", "w") as archive:
        archive.writestr(info, "content")
    folder = top / "in"
    folder.mkdir()
    with contextlib.suppress(UserError, OSError):
        extract_zip(top / "a.zip", folder)
    outside = [p for p in top.rglob("*") if p != folder and not p.is_relative_to(folder)]
    assert outside == [top / "a.zip"]


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK])
def test_links_and_devices(tmp_path, mode):
    archive = make_zip(tmp_path / "a.zip", "good", evil=mode | 0o777)
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(UserError, match="'evil' is a link or a device"):
        extract_zip(archive, folder)
    assert not list(folder.iterdir())


def test_two_members_of_one_name(tmp_path):
    archive = make_zip(tmp_path / "a.zip", "x/File", "x/file")
    with pytest.raises(UserError, match="occurs twice"):
        extract_zip(archive, tmp_path)


def test_link_on_disk(tmp_path):
    archive = make_zip(tmp_path / "a.zip", "sub/file")
    folder, other = tmp_path / "in", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (folder / "sub").symlink_to(other)
    with pytest.raises(UserError, match="leads outside"):
        extract_zip(archive, folder)
    assert not list(other.iterdir())


@pytest.mark.parametrize("how", ["cut", "text", "flipped"])
def test_damaged_archive(tmp_path, how):
    path = make_zip(tmp_path / "a.zip", "x" * 50, "y" * 50)
    data = bytearray(path.read_bytes())
    if how == "cut":
        data = data[:100]
    elif how == "text":
        data = bytearray(b"<html>not found</html>")
    else:
        data[90] ^= 0xFF  # inside the first member: its CRC no longer holds
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        extract_zip(path, tmp_path)


def test_no_room_to_unpack(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "a.zip", "x")
    usage = type("Usage", (), {"free": 0})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"0\.00 GB free"):
        extract_zip(archive, tmp_path)


# --- RAVDESS ---------------------------------------------------------------------------------


@pytest.fixture
def ravdess(site, tmp_path):
    """Zenodo in small: a record, and one archive per actor with both modalities."""
    made = make_ravdess(tmp_path / "made", actors=(1, 3), most=1)
    entries = [{"key": "Audio_Song.zip", "size": 1, "checksum": "md5:0", "links": {"self": "x"}}]
    for actor in ("01", "03"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for video in sorted((made / f"Actor_{actor}").iterdir()):
                archive.write(video, f"Actor_{actor}/{video.name}")
                archive.writestr(f"Actor_{actor}/01{video.name[2:]}", "with sound")
        key = f"Video_Speech_Actor_{actor}.zip"
        site.files[f"/files/{key}"] = packed.getvalue()
        entries.append(
            {
                "key": key,
                "size": len(packed.getvalue()),
                "checksum": f"md5:{hashlib.md5(packed.getvalue()).hexdigest()}",
                "links": {"self": f"{site.url}/files/{key}"},
            }
        )
    site.files["/record"] = json.dumps({"files": entries}).encode()
    return replace(RAVDESS, records=(f"{site.url}/record",))


def test_ravdess_end_to_end(site, ravdess, tmp_path):
    root, shown = tmp_path / "root", []

    def confirm(text):
        shown.append(text)
        assert not [path for path, _ in site.asked if path.startswith("/files")]
        return True

    get_data(ravdess, root, confirm, progress=False)
    for word in ("zenodo.org/records/1188976", "CC BY-NC-SA 4.0", "2 files", "GB", str(root)):
        assert word in shown[0]
    assert sorted(p.name for p in root.iterdir()) == ["Actor_01", "Actor_03", download.LEDGER]
    assert {p.name[:2] for p in root.rglob("*.mp4")} == {"02"}
    assert len(open_ravdess(root)) == 14
    asked = len(site.asked)
    get_data(ravdess, root, confirm, progress=False)  # complete: only the record is read
    assert len(site.asked) == asked + 1
    assert len(shown) == 1


def test_ravdess_again_after_a_loss(site, ravdess, tmp_path):
    root = get_data(ravdess, tmp_path / "root", yes, progress=False)
    next((root / "Actor_03").iterdir()).unlink()
    site.asked.clear()
    get_data(ravdess, root, yes, progress=False)
    assert [p for p, _ in site.asked] == ["/record", "/files/Video_Speech_Actor_03.zip"]
    assert len(open_ravdess(root)) == 14


def test_an_archive_that_is_there_is_not_fetched_again(site, ravdess, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    name = "Video_Speech_Actor_01.zip"
    (root / name).write_bytes(site.files[f"/files/{name}"])
    get_data(ravdess, root, yes, progress=False)
    assert f"/files/{name}" not in [p for p, _ in site.asked]
    assert not (root / name).exists()


def test_only_some_actors(site, ravdess, tmp_path):
    get_data(ravdess, tmp_path / "root", yes, actors=[3], progress=False)
    assert Counter(p for p, _ in site.asked) == {
        "/record": 1,
        "/files/Video_Speech_Actor_03.zip": 1,
    }
    with pytest.raises(UserError, match="no files for actors 7"):
        get_data(ravdess, tmp_path / "root", yes, actors=[7], progress=False)


def test_nothing_without_consent(site, ravdess, tmp_path):
    with pytest.raises(UserError, match="did not agree"):
        get_data(ravdess, tmp_path / "root", lambda text: False, progress=False)
    assert [p for p, _ in site.asked] == ["/record"]


def test_full_disk_before_and_during(site, ravdess, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    with monkeypatch.context() as patch:
        patch.setattr(download.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(UserError, match="GB free on this disk"):
            get_data(ravdess, tmp_path / "root", yes, progress=False)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_continue", full)
    with pytest.raises(UserError, match="the disk is full"):
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
        b'{"files": [{"key": "Video_Speech_Actor_01.zip", "size": 1,'
        b' "checksum": "md5:00000000000000000000000000000000",'
        b' "links": {"self": "https://elsewhere.example/x"}}]}',
    ],
)
def test_strange_records(site, ravdess, record):
    site.files["/record"] = record
    with pytest.raises(UserError, match="/record"):
        list_ravdess(ravdess)


# --- CREMA-D ---------------------------------------------------------------------------------


def pointer(data):
    digest = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(data)}\n"


@pytest.fixture
def cremad(site, tmp_path):
    """The repository in small: an archive of pointers, and two git-lfs servers."""
    made = make_cremad(tmp_path / "made", actors=(1001, 1002), most=1)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("CREMA-D-abc/README.md", "read me")
        archive.writestr("CREMA-D-abc/AudioWAV/1001_DFA_ANG_XX.wav", pointer(b"sound"))
        for video in sorted((made / "VideoFlash").iterdir()):
            data = video.read_bytes()
            site.files[f"/objects/{hashlib.sha256(data).hexdigest()}"] = data
            archive.writestr(f"CREMA-D-abc/VideoFlash/{video.name}", pointer(data))
    site.files["/archive.zip"] = packed.getvalue()

    def batch(body):
        assert body["operation"] == "download"
        objects = [
            {
                **o,
                "actions": {
                    "download": {
                        "href": f"{site.url}/objects/{o['oid']}",
                        "header": {"X-Key": "k"},
                    }
                },
            }
            for o in body["objects"]
        ]
        return 200, {"transfer": "basic", "objects": objects}

    site.answers["/full/objects/batch"] = lambda body: (429, {"message": "over budget"})
    site.answers["/good/objects/batch"] = batch
    return replace(
        CREMAD,
        records=(f"{site.url}/archive.zip",),
        stores=(f"{site.url}/full", f"{site.url}/good"),
    )


def test_cremad_end_to_end(site, cremad, tmp_path):
    root, shown = tmp_path / "root", []
    get_data(cremad, root, lambda text: shown.append(text) or True, progress=False)
    for word in ("Open Database License", "12 files", "CREMA-D"):
        assert word in shown[0]
    clips = open_cremad(root)
    assert len(clips) == 12
    site.asked.clear()
    get_data(cremad, root, yes, progress=False)
    assert [p for p, _ in site.asked] == ["/archive.zip"]


def test_cremad_damage_on_disk_is_fetched_again(site, cremad, tmp_path):
    root = get_data(cremad, tmp_path / "root", yes, progress=False)
    video = root / "VideoFlash" / "1002_DFA_SAD_XX.flv"
    good = video.read_bytes()
    video.write_bytes(good[:-1] + b"\0")
    site.asked.clear()
    get_data(cremad, root, yes, progress=False)
    assert video.read_bytes() == good
    assert sum(p.startswith("/objects/") for p, _ in site.asked) == 1


def test_cremad_refused_everywhere(site, cremad, tmp_path):
    site.answers["/good/objects/batch"] = lambda body: (
        200,
        {"objects": [{"oid": o["oid"], "error": {"code": 404}} for o in body["objects"]]},
    )
    with pytest.raises(UserError, match="no server hands the files out"):
        get_data(cremad, tmp_path / "root", yes, progress=False)


def test_lfs_passes_headers_on(cremad):
    files = list_cremad(cremad)
    ready = ask_lfs(cremad.stores, files)
    assert [f.name for f in ready] == [f.name for f in files]
    assert all(f.headers == {"X-Key": "k"} for f in ready)


@pytest.mark.parametrize("member", ["no pointer", "x" * 5000, None])
def test_strange_archives(site, cremad, member):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        if member:
            archive.writestr("CREMA-D-abc/VideoFlash/1001_DFA_ANG_XX.flv", member)
    site.files["/archive.zip"] = packed.getvalue()
    with pytest.raises(UserError, match=r"archive\.zip"):
        list_cremad(cremad)


# --- the command -----------------------------------------------------------------------------


def run(*words):
    parser = argparse.ArgumentParser()
    add_data_parser(parser.add_subparsers())
    args = parser.parse_args(["data", "get", *map(str, words), "--quiet"])
    return args.run(args)


def test_command(ravdess, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(download, "RAVDESS", ravdess)
    root = tmp_path / "root"
    assert run("ravdess", "--root", root, "--actors", "1-3", "--yes") == 0
    shown = capsys.readouterr()
    assert "CC BY-NC-SA 4.0" in shown.err
    assert "next: ecstfl data doctor ravdess" in shown.out


@pytest.mark.parametrize(("answer", "agreed"), [("y", True), ("", False), ("no", False)])
def test_command_asks(ravdess, tmp_path, monkeypatch, answer, agreed):
    monkeypatch.setattr(download, "RAVDESS", ravdess)
    monkeypatch.setattr("sys.stdin", type("Tty", (), {"isatty": lambda self: True})())
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    if agreed:
        assert run("ravdess", "--root", tmp_path / "root") == 0
    else:
        with pytest.raises(UserError, match="did not agree"):
            run("ravdess", "--root", tmp_path / "root")


def test_command_needs_somebody_to_ask(ravdess, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "RAVDESS", ravdess)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(UserError, match="--yes"):
        run("ravdess", "--root", tmp_path / "root")


def get(*words):
    return main(["data", "get", *map(str, words), "--yes"])


def one_sentence(capsys):
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("ecstfl: ")]
    return line


def test_ctrl_c_in_the_command(site, ravdess, tmp_path, monkeypatch, capsys):
    """Exit code 130; the same command goes on inside the archive under way."""
    monkeypatch.setattr(download, "RAVDESS", ravdess)
    monkeypatch.setattr(download, "BLOCK", 1024)
    root = tmp_path / "root"
    with monkeypatch.context() as patch:
        patch.setattr(download, "_progress", lambda *_: Bar(stop=2))
        assert get("ravdess", "--root", root) == 130
    assert "the same command goes on" in capsys.readouterr().err
    with pytest.raises(UserError, match="unfinished download"):
        open_ravdess_or_find_nothing(root)
    site.asked.clear()
    assert get("ravdess", "--root", root) == 0
    assert ("/files/Video_Speech_Actor_01.zip", "bytes=2048-") in site.asked
    assert len(open_ravdess(root)) == 14


def open_ravdess_or_find_nothing(root):
    """With no video yet the reader says so; what is unfinished shows beside one."""
    video = root / "Actor_05" / "02-01-03-01-01-01-05.mp4"
    video.parent.mkdir()
    video.write_bytes(b"")
    try:
        return open_ravdess(root)
    finally:
        video.unlink()
        video.parent.rmdir()


@pytest.mark.parametrize("member", ["../evil.mp4", "/evil.mp4", "link"])
def test_an_evil_archive_is_refused_by_the_command(
    site, ravdess, tmp_path, monkeypatch, capsys, member
):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("Actor_01/02-01-03-01-01-01-01.mp4", b"good")
        info = zipfile.ZipInfo("x")
        info.filename = "Actor_01/02-01-04-01-01-01-01.mp4" if member == "link" else member
        info.external_attr = (stat.S_IFLNK if member == "link" else stat.S_IFREG | 0o644) << 16
        archive.writestr(info, "/etc/passwd")
    key, data = "Video_Speech_Actor_01.zip", packed.getvalue()
    site.files[f"/files/{key}"] = data
    record = json.loads(site.files["/record"])
    for entry in record["files"]:
        if entry["key"] == key:
            entry |= {"size": len(data), "checksum": f"md5:{hashlib.md5(data).hexdigest()}"}
    site.files["/record"] = json.dumps(record).encode()
    monkeypatch.setattr(download, "RAVDESS", ravdess)
    root = tmp_path / "deep" / "root"
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert get("ravdess", "--root", root, "--actors", "1", "--quiet") == 2
    said = one_sentence(capsys)
    assert key in said
    assert "nothing was unpacked" in said
    after = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert after - before == {root / key}  # the archive itself, to look at; nothing of its content


def test_a_full_disk_in_the_command(ravdess, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(download, "RAVDESS", ravdess)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_continue", full)
    assert get("ravdess", "--root", tmp_path / "root", "--quiet") == 2
    assert "the disk is full; make room" in one_sentence(capsys)


def test_a_wrong_checksum_in_the_command(site, ravdess, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(download, "RAVDESS", ravdess)
    data = bytearray(site.files["/files/Video_Speech_Actor_01.zip"])
    data[len(data) // 2] ^= 1
    site.files["/files/Video_Speech_Actor_01.zip"] = bytes(data)
    assert get("ravdess", "--root", tmp_path / "root", "--quiet") == 2
    said = one_sentence(capsys)
    assert "Video_Speech_Actor_01.zip: its md5 differs from the official record" in said
    assert not list((tmp_path / "root").rglob("*.mp4"))


def test_dfew_cannot_be_fetched(tmp_path, capsys):
    assert get("dfew", "--root", tmp_path) == 2
    assert "signed request" in one_sentence(capsys)
    with pytest.raises(UserError, match="signed request"):
        source_of("dfew")
    with pytest.raises(UserError, match="use ravdess or crema-d"):
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
