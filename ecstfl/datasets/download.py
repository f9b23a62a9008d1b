"""``ecstfl data get ravdess|crema-d``: fetch a public data set from where its authors keep it.

What is fetched, how large it is and under which licence is shown before anything is; a download
that was cut off goes on where it stopped; every file is compared with the checksum in the
official record:

* RAVDESS: the Zenodo record lists name, size and md5 of every archive.
* CREMA-D: the official repository keeps its videos in git-lfs, so it lists size and sha256 of
  every video. The videos themselves come from the authors' mirror (the repository's own store
  has refused downloads for exceeding its quota); what arrives must match the official sha256.

No checksum is written down in this module. md5 finds damage, not malice; transport is https.
DFEW cannot be fetched: its authors hand it out on signed request.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import io
import ipaddress
import json
import os
import re
import shutil
import stat
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from tqdm import tqdm

from ecstfl import __version__
from ecstfl.datasets.findings import few
from ecstfl.errors import UserError

BLOCK: Final = 1 << 20
ATTEMPTS: Final = 5
TIMEOUT: Final = 60.0
"""Seconds without a byte before a connection counts as lost."""

LEDGER: Final = "ecstfl-download.json"
"""In the data folder: which archives are fetched, verified and unpacked."""

_PASSING: Final = frozenset({408, 425, 429})
_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO})

_CREMAD_COMMIT = "02f12b39b56c8424039d0a953b89d47fc47d380f"


@dataclass(frozen=True)
class Source:
    """Where a data set comes from and under which terms.

    Attributes:
        name: as on the command line.
        title: full name.
        home: page to read and cite.
        licence: name of the licence.
        licence_url: its text.
        terms: one sentence: what the licence asks.
        records: official addresses that list files, sizes and checksums.
        stores: git-lfs servers to fetch from, tried in this order (CREMA-D).
    """

    name: str
    title: str
    home: str
    licence: str
    licence_url: str
    terms: str
    records: tuple[str, ...]
    stores: tuple[str, ...] = ()


RAVDESS: Final = Source(
    name="ravdess",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)",
    home="https://zenodo.org/records/1188976",
    licence="CC BY-NC-SA 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    terms="not for commercial use; cite Livingstone and Russo, PLoS ONE 13(5): e0196391, 2018",
    records=("https://zenodo.org/api/records/1188976",),
)

CREMAD: Final = Source(
    name="crema-d",
    title="Crowd-sourced Emotional Multimodal Actors Dataset (CREMA-D)",
    home="https://github.com/CheyneyComputerScience/CREMA-D",
    licence="Open Database License 1.0, contents under the Database Contents License 1.0",
    licence_url="https://opendatacommons.org/licenses/odbl/1-0/",
    terms="attribute and share alike; cite Cao et al., IEEE Trans. Affective Computing 5(4), 2014; "
    "the authors ask users to fill in the form on the home page",
    records=(f"https://github.com/CheyneyComputerScience/CREMA-D/archive/{_CREMAD_COMMIT}.zip",),
    stores=(
        "https://gitlab.com/cs-cooper-lab/crema-d-mirror.git/info/lfs",
        "https://github.com/CheyneyComputerScience/CREMA-D.git/info/lfs",
    ),
)


@dataclass(frozen=True)
class RemoteFile:
    """A file as the official record lists it.

    Attributes:
        name: relative path it gets below the data folder.
        size: bytes.
        algorithm: ``md5`` or ``sha256``.
        digest: lower-case hexadecimal.
        url: where to fetch it; '' when a git-lfs server must be asked.
        headers: to send along, as the git-lfs server says.
    """

    name: str
    size: int
    algorithm: str
    digest: str
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Confirm = Callable[[str], bool]


def source_of(name: str) -> Source:
    """Return the source of a data set by name.

    Raises:
        UserError: it cannot be fetched.
    """
    match name:
        case "ravdess":
            return RAVDESS
        case "crema-d":
            return CREMAD
        case "dfew":
            raise UserError(
                "DFEW is handed out by its authors on signed request, never by download: see "
                "https://dfew-dataset.github.io/"
            )
        case _:
            raise UserError(f"nothing to fetch for {name!r}: use ravdess or crema-d")


def get_data(
    source: Source,
    root: Path | str,
    confirm: Confirm,
    actors: Iterable[int] | None = None,
    progress: bool = True,
) -> Path:
    """Fetch a data set into ``root``; what is there and verified is not fetched again.

    Args:
        source: :data:`RAVDESS` or :data:`CREMAD`.
        root: folder to fill.
        confirm: shown the description (source, size, licence), returns whether to go on.
        actors: only these (RAVDESS 1..24, CREMA-D 1001..1091); None takes all.
        progress: show bars.

    Returns:
        The folder to give to ``open_ravdess`` or ``open_cremad``.

    Raises:
        UserError: not confirmed, no connection, checksum wrong, disk full, or a record that is
            not understood.
    """
    folder = Path(root)
    chosen = None if actors is None else frozenset(actors)
    files = list_ravdess(source) if source.name == "ravdess" else list_cremad(source)
    files = [f for f in files if chosen is None or _actor_of(f.name) in chosen]
    if not files:
        raise UserError(f"{source.name}: no files for actors {few(map(str, sorted(chosen or ())))}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        todo = [f for f in files if not _have(folder, f)]
        if not todo:
            return folder
        if not confirm(describe(source, folder, files, todo)):
            raise UserError(f"{source.name}: nothing was downloaded, as you did not agree")
        _check_space(folder, todo)
        with _progress(source.name, progress, sum(f.size for f in todo)) as bar:
            if source.name == "ravdess":
                for remote in todo:
                    _get_archive(remote, folder, bar)
            else:
                for start in range(0, len(todo), 100):
                    for remote in ask_lfs(source.stores, todo[start : start + 100]):
                        fetch(remote, folder, bar)
    except OSError as problem:
        raise UserError(_disk_sentence(folder, problem)) from None
    return folder


def describe(
    source: Source, folder: Path, files: Sequence[RemoteFile], todo: Sequence[RemoteFile]
) -> str:
    """Say what would be fetched from where, how large it is, and under which licence."""
    hosts = sorted({urllib.parse.urlsplit(u).netloc for u in (*source.records, *source.stores)})
    todo_size, size = sum(f.size for f in todo), sum(f.size for f in files)
    return "\n".join(
        (
            source.title,
            f"  source:   {source.home} (files from {', '.join(hosts)})",
            f"  licence:  {source.licence}, {source.licence_url}",
            f"  terms:    {source.terms}",
            f"  size:     {len(files)} files, {size / 1e9:.2f} GB"
            f"; still to fetch: {len(todo)} files, {todo_size / 1e9:.2f} GB",
            f"  into:     {folder.resolve()}",
        )
    )


# --- what the official records list ------------------------------------------------------------


def list_ravdess(source: Source = RAVDESS) -> list[RemoteFile]:
    """List RAVDESS's speech video archives from its Zenodo record.

    Raises:
        UserError: no connection, or the record does not look as expected.
    """
    record_url = source.records[0]
    try:
        record = json.loads(_read(record_url, most=20 << 20))
        entries = [
            (e["key"], e["size"], e["checksum"], e["links"]["self"]) for e in record["files"]
        ]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{record_url}: not a Zenodo record as expected") from None
    files = []
    for key, size, checksum, link in entries:
        if not re.fullmatch(r"Video_Speech_Actor_\d\d\.zip", str(key)):
            continue
        algorithm, _, digest = str(checksum).partition(":")
        hosts = {urllib.parse.urlsplit(str(u)).hostname for u in (record_url, link)}
        if algorithm != "md5" or not re.fullmatch(r"[0-9a-f]{32}", digest) or len(hosts) != 1:
            raise UserError(f"{record_url}: {key} has no md5 or another host than the record")
        files.append(RemoteFile(str(key), int(size), algorithm, digest, str(link)))
    if not files:
        raise UserError(f"{record_url}: lists no Video_Speech_Actor_NN.zip")
    return sorted(files, key=lambda f: f.name)


def list_cremad(source: Source = CREMAD) -> list[RemoteFile]:
    """List CREMA-D's videos from the git-lfs pointers in the official repository.

    The archive of the repository (about 24 MB by its authors' account) holds, in place of each
    video, a text with its sha256 and size.

    Raises:
        UserError: no connection, or the archive does not look as expected.
    """
    url = source.records[0]
    files = []
    try:
        with zipfile.ZipFile(io.BytesIO(_read(url, most=256 << 20))) as archive:
            for info in archive.infolist():
                match = re.fullmatch(r"[^/]+/VideoFlash/([0-9A-Z_]+\.flv)", info.filename)
                if match is None:
                    continue
                if info.file_size > 1024:
                    raise UserError(f"{url}: {info.filename} is not a git-lfs pointer")
                text = archive.read(info).decode("ascii", "replace")
                found = re.search(r"^oid sha256:([0-9a-f]{64})\nsize (\d+)$", text, re.MULTILINE)
                if found is None:
                    raise UserError(f"{url}: {info.filename} is not a git-lfs pointer")
                name = f"VideoFlash/{match[1]}"
                files.append(RemoteFile(name, int(found[2]), "sha256", found[1]))
    except zipfile.BadZipFile:
        raise UserError(f"{url}: not a zip archive as expected") from None
    if not files:
        raise UserError(f"{url}: lists no VideoFlash/*.flv")
    return sorted(files, key=lambda f: f.name)


def ask_lfs(stores: Sequence[str], files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """Ask git-lfs servers where to fetch objects (the batch request of the git-lfs protocol).

    Args:
        stores: servers, tried in order until one knows all files.
        files: at most 100.

    Raises:
        UserError: no server hands them out.
    """
    body = {
        "operation": "download",
        "transfers": ["basic"],
        "objects": [{"oid": f.digest, "size": f.size} for f in files],
    }
    headers = {
        "Accept": "application/vnd.git-lfs+json",
        "Content-Type": "application/vnd.git-lfs+json",
    }
    refused = []
    for store in stores:
        try:
            data = _read(f"{store}/objects/batch", 20 << 20, json.dumps(body).encode(), headers)
            answers = {o["oid"]: o for o in json.loads(data)["objects"]}
            ready = []
            for remote in files:
                action = answers[remote.digest]["actions"]["download"]
                extra = {str(k): str(v) for k, v in (action.get("header") or {}).items()}
                ready.append(
                    RemoteFile(
                        remote.name,
                        remote.size,
                        remote.algorithm,
                        remote.digest,
                        str(action["href"]),
                        extra,
                    )
                )
            return ready
        except (ValueError, KeyError, TypeError):
            refused.append(f"{store}: does not hand out {files[0].name}")
        except UserError as problem:
            refused.append(str(problem))
    raise UserError(f"no server hands the files out now: {'; '.join(refused)}; try again later")


# --- fetching ----------------------------------------------------------------------------------


def fetch(remote: RemoteFile, folder: Path, bar: tqdm | None = None) -> Path:
    """Fetch one file, going on where an earlier try stopped, and verify it.

    The file appears under its name only when size and checksum are right; until then it is
    ``NAME.part``.

    Raises:
        UserError: no connection, wrong size or checksum.
        OSError: the disk.
    """
    target = _inside(folder, remote.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    if _verified(target, remote):
        if bar is not None:
            bar.update(remote.size)
        return target
    if part.exists() and bar is not None:
        bar.update(min(part.stat().st_size, remote.size))
    last = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(_pause(attempt))
        try:
            _continue(remote, part, bar)
            break
        except urllib.error.HTTPError as problem:
            last = f"the server answers {problem.code} {problem.reason}"
            if problem.code < 500 and problem.code not in _PASSING:
                raise UserError(f"{remote.url}: {last}") from None
        except (OSError, http.client.HTTPException) as problem:
            if getattr(problem, "filename", None) or getattr(problem, "errno", None) in _DISK:
                raise  # the disk, not the connection
            reason = getattr(problem, "reason", problem)
            last = " ".join(str(reason).split()) or type(problem).__name__
    else:
        raise UserError(
            f"{remote.url}: {last}; gave up after {ATTEMPTS} tries, run the same command again "
            "to go on"
        )
    if _digest(part, remote.algorithm) != remote.digest:
        part.unlink()
        raise UserError(
            f"{remote.name}: its {remote.algorithm} differs from the official record; the "
            "download was deleted, run the same command again"
        )
    os.replace(part, target)
    return target


def _continue(remote: RemoteFile, part: Path, bar: tqdm | None) -> None:
    """Fetch the bytes that ``part`` still lacks."""
    have = part.stat().st_size if part.exists() else 0
    if have > remote.size:
        part.unlink()
        have = _back(bar, remote.size)
    if have == remote.size:
        part.touch()
        return
    headers = dict(remote.headers)
    if have:
        headers["Range"] = f"bytes={have}-"
    with _open(remote.url, headers=headers) as answer:
        begins = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range") or "")
        resumed = answer.status == 206 and begins is not None and int(begins[1]) == have
        if have and not resumed:
            if answer.status == 206:
                part.unlink()
                _back(bar, have)
                raise ConnectionError("the server sent another range than asked")
            have = _back(bar, have)  # the server begins anew
        with part.open("ab" if resumed else "wb") as file:
            while have < remote.size:
                block = answer.read(min(BLOCK, remote.size - have))
                if not block:
                    raise ConnectionError(f"cut off after {have} of {remote.size} bytes")
                file.write(block)
                have += len(block)
                if bar is not None:
                    bar.update(len(block))
            if answer.read(1):
                file.close()
                part.unlink()
                raise UserError(f"{remote.url}: sends more than the {remote.size} bytes recorded")


def _back(bar: tqdm | None, count: int) -> int:
    """Take bytes that are thrown away off the bar; return how many are left: none."""
    if bar is not None:
        bar.update(-count)
    return 0


def _get_archive(remote: RemoteFile, folder: Path, bar: tqdm) -> None:
    """Fetch one archive of RAVDESS, unpack its video-only speech files, and delete it."""
    archive = fetch(remote, folder, bar)
    wanted = re.compile(r"(?:.*/)?02-01-[0-9-]+\.mp4")
    names = extract_zip(archive, folder, lambda name: wanted.fullmatch(name) is not None)
    if not names:
        raise UserError(f"{archive}: holds no 02-01-*.mp4 (video-only speech)")
    ledger = _ledger(folder)
    ledger[remote.name] = {
        remote.algorithm: remote.digest,
        "files": {name: (folder / name).stat().st_size for name in names},
    }
    temporary = folder / (LEDGER + ".tmp")
    temporary.write_text(json.dumps(ledger, indent=1), encoding="utf-8")
    os.replace(temporary, folder / LEDGER)
    archive.unlink()


def extract_zip(
    archive: Path, folder: Path, wanted: Callable[[str], bool] = lambda name: True
) -> list[str]:
    """Unpack a zip archive, never outside ``folder``.

    The whole list of members is checked before anything is written: absolute paths, ``..``,
    drive letters, backslashes, links, devices, encrypted members, two members of one name, and
    folders on disk that are links leading elsewhere.

    Args:
        archive: a zip file.
        folder: where to unpack.
        wanted: which members to unpack, by name.

    Returns:
        The names unpacked, relative to ``folder``.

    Raises:
        UserError: not a zip, damaged, or with such a member (named).
        OSError: the disk.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            seen: set[str] = set()
            for info in opened.infolist():
                _check_member(archive, info, seen)
            members = [i for i in opened.infolist() if not i.is_dir()]
            chosen = [i for i in members if wanted(i.filename)]
            free = shutil.disk_usage(folder).free
            need = sum(i.file_size for i in chosen)
            if need > free:
                raise UserError(
                    f"{archive}: {need / 1e9:.2f} GB to unpack, {free / 1e9:.2f} GB free"
                )
            for info in chosen:
                target = _inside(folder, info.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary = target.with_name(target.name + ".part")
                left = info.file_size
                with opened.open(info) as inner, temporary.open("wb") as file:
                    while block := inner.read(BLOCK):
                        left -= len(block)
                        if left < 0:
                            raise UserError(f"{archive}: {info.filename} is larger than it says")
                        file.write(block)
                os.replace(temporary, target)
            return [i.filename for i in chosen]
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zipfile.LargeZipFile) as problem:
        raise UserError(f"{archive}: damaged zip archive ({problem}); delete it") from None


def _check_member(archive: Path, info: zipfile.ZipInfo, seen: set[str]) -> None:
    name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
    path = PurePosixPath(name)
    reason = ""
    if not path.parts:
        reason = "has no name"
    elif path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        reason = "leads outside the folder"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        reason = "is a link or a device"
    elif info.flag_bits & 1:
        reason = "is encrypted"
    elif str(path).casefold() in seen:
        reason = "occurs twice"
    if reason:
        raise UserError(f"{archive}: member {name!r} {reason}; nothing was unpacked")
    seen.add(str(path).casefold())


# --- small parts -------------------------------------------------------------------------------


def _inside(folder: Path, name: str) -> Path:
    """Join a relative name to a folder, refusing anything that leaves it (links included)."""
    path = PurePosixPath(name)
    target = folder.joinpath(*path.parts)
    top = folder.resolve()
    outside = not target.parent.resolve().is_relative_to(top) or target.is_symlink()
    if path.is_absolute() or ".." in path.parts or outside:
        raise UserError(f"{name!r} leads outside {folder}; nothing was written")
    return target


def _have(folder: Path, remote: RemoteFile) -> bool:
    """Tell whether a file is there, whole and verified (an archive: unpacked)."""
    entry = _ledger(folder).get(remote.name)
    if isinstance(entry, dict) and entry.get(remote.algorithm) == remote.digest:
        files = entry.get("files", {})
        return bool(files) and all(
            (folder / name).is_file() and (folder / name).stat().st_size == size
            for name, size in files.items()
        )
    if remote.name.endswith(".zip"):
        return False  # perhaps fetched but not unpacked, which fetch() sees
    return _verified(folder / remote.name, remote)


def _verified(path: Path, remote: RemoteFile) -> bool:
    """Tell whether a file has the size and checksum of the official record."""
    return (
        path.is_file()
        and path.stat().st_size == remote.size
        and _digest(path, remote.algorithm) == remote.digest
    )


def _ledger(folder: Path) -> dict[str, Any]:
    path = folder / LEDGER
    with contextlib.suppress(OSError, ValueError):
        value = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(value, dict):
            return value
    return {}


def _actor_of(name: str) -> int:
    """RAVDESS: Video_Speech_Actor_07.zip -> 7; CREMA-D: VideoFlash/1001_DFA_... -> 1001."""
    found = re.search(r"Actor_(\d\d)\.zip|/(\d{4})_", name)
    return int(found[1] or found[2]) if found else -1


def _check_space(folder: Path, todo: Sequence[RemoteFile]) -> None:
    need = sum(f.size for f in todo)
    for remote in todo:
        part = folder / (remote.name + ".part")
        if part.exists():
            need -= min(part.stat().st_size, remote.size)
    free = shutil.disk_usage(folder).free
    if need > free:
        raise UserError(
            f"{folder}: {need / 1e9:.2f} GB to fetch, {free / 1e9:.2f} GB free on this disk"
        )


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _pause(attempt: int) -> float:
    return float(min(2**attempt, 30))


def _disk_sentence(folder: Path, problem: OSError) -> str:
    if problem.errno == errno.ENOSPC:
        return f"{folder}: the disk is full; make room and run the same command again to go on"
    return f"{folder}: cannot be written ({problem.strerror or problem})"


def _progress(text: str, shown: bool, total: int | None) -> tqdm:
    return tqdm(
        desc=text, total=total, unit="B", unit_scale=True, unit_divisor=1000, disable=not shown
    )


def _safe_url(url: str) -> str:
    """Let https pass, and http only to this machine itself.

    Raises:
        UserError: anything else.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url
    if parts.scheme == "http" and parts.hostname:
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(parts.hostname).is_loopback:
                return url
    raise UserError(f"{url}: only https addresses are fetched")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to https only, and do not carry credentials to another host."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: Any,
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        new = super().redirect_request(req, fp, code, msg, headers, _safe_url(newurl))
        if new is not None and urllib.parse.urlsplit(newurl).netloc != req.host:
            new.remove_header("Authorization")
        return new


def _open(
    url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> http.client.HTTPResponse:
    everything = {"User-Agent": f"ecstfl/{__version__}", **(headers or {})}
    request = urllib.request.Request(_safe_url(url), data=body, headers=everything)
    return urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT)


def _read(
    url: str, most: int, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """Read a whole answer of at most ``most`` bytes.

    Raises:
        UserError: no connection, an error from the server, or a longer answer.
    """
    last = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(_pause(attempt))
        try:
            with _open(url, body, headers) as answer:
                data = answer.read(most + 1)
            if len(data) > most:
                raise UserError(f"{url}: longer than the {most} bytes expected")
            return data
        except urllib.error.HTTPError as problem:
            last = f"the server answers {problem.code} {problem.reason}"
            if problem.code < 500 and problem.code not in _PASSING:
                break
        except (OSError, http.client.HTTPException) as problem:
            reason = getattr(problem, "reason", problem)
            last = " ".join(str(reason).split()) or type(problem).__name__
    raise UserError(f"{url}: {last}; check the connection")
