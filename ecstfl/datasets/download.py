"""``ecstfl data get ravdess|crema-d``: fetch a public data set from where its authors keep it.

Source, size and licence are shown before anything is fetched. Pooch downloads, tries again, and
compares every file with the checksum in the official record, so nothing is written down here:

* RAVDESS: the Zenodo record lists name, size and md5 of every archive.
* CREMA-D: the official repository keeps its videos in git-lfs, so its source archive lists size
  and sha256 of every video. They come from the authors' mirror (the repository's own store has
  refused downloads for exceeding its quota); what arrives must match the official sha256.

md5 finds damage, not malice; transport is https. DFEW cannot be fetched: its authors hand it out
on signed request.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pooch
import requests
from tqdm import tqdm

from ecstfl.datasets.findings import few
from ecstfl.errors import UserError
from ecstfl.files import atomic_write, write_json

RETRIES: Final = 4
TIMEOUT: Final = 60.0
"""Seconds without a byte before a connection counts as lost."""

LEDGER: Final = "ecstfl-download.json"
"""In the data folder: which archives are fetched, verified and unpacked."""

_CREMAD: Final = "CheyneyComputerScience/CREMA-D"
_COMMIT: Final = "02f12b39b56c8424039d0a953b89d47fc47d380f"


@dataclass(frozen=True)
class Source:
    """Where a data set comes from and under which terms.

    Attributes:
        name: as on the command line.
        title: full name.
        home: page to read and cite.
        licence: its name and address.
        terms: one sentence: what the licence asks.
        record: official address that lists files, sizes and checksums.
        stores: addresses before a file's name, tried in this order (CREMA-D).
        files: what its files are called, for those who fetch them by other means.
    """

    name: str
    title: str
    home: str
    licence: str
    terms: str
    record: str
    files: str
    stores: tuple[str, ...] = ()


RAVDESS: Final = Source(
    name="ravdess",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)",
    home="https://zenodo.org/records/1188976",
    licence="CC BY-NC-SA 4.0, https://creativecommons.org/licenses/by-nc-sa/4.0/",
    terms="not for commercial use; cite Livingstone and Russo, PLoS ONE 13(5): e0196391, 2018",
    record="https://zenodo.org/api/records/1188976",
    files="Actor_01/02-01-01-01-01-01-01.mp4, ... (unpacked from Video_Speech_Actor_*.zip)",
)

CREMAD: Final = Source(
    name="crema-d",
    title="Crowd-sourced Emotional Multimodal Actors Dataset (CREMA-D)",
    home=f"https://github.com/{_CREMAD}",
    licence="Open Database License 1.0, contents under the Database Contents License 1.0, "
    "https://opendatacommons.org/licenses/odbl/1-0/",
    terms="attribute and share alike; cite Cao et al., IEEE Trans. Affective Computing 5(4), 2014; "
    "the authors ask users to fill in the form on the home page",
    record=f"https://github.com/{_CREMAD}/archive/{_COMMIT}.zip",
    files="VideoFlash/1001_DFA_ANG_XX.flv, ...",
    stores=(
        "https://gitlab.com/cs-cooper-lab/crema-d-mirror/-/raw/HEAD/",
        f"https://media.githubusercontent.com/media/{_CREMAD}/{_COMMIT}/",
    ),
)


@dataclass(frozen=True)
class RemoteFile:
    """A file as the official record lists it: path below the data folder, bytes, checksum.

    ``digest`` is ``md5:...`` or ``sha256:...``; ``url`` is '' where a store is put before the name.
    """

    name: str
    size: int
    digest: str
    url: str = ""


def source_of(name: str) -> Source:
    """Return the source of a data set by name.

    Raises:
        UserError: it cannot be fetched.
    """
    if name == "dfew":
        raise UserError(
            "DFEW is handed out by its authors on signed request, never by download: see "
            "https://dfew-dataset.github.io/"
        )
    known = {"ravdess": RAVDESS, "crema-d": CREMAD}
    if name not in known:
        raise UserError(f"nothing to fetch for {name!r}: use ravdess or crema-d")
    return known[name]


def get_data(
    source: Source,
    root: Path | str,
    confirm: Callable[[str], bool],
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
        UserError: not confirmed, no connection, checksum wrong, an unsafe archive, disk full, or
            a record that is not understood.
    """
    folder = Path(root)
    chosen = None if actors is None else frozenset(actors)
    try:
        files = list_ravdess(source) if source.name == "ravdess" else list_cremad(source)
        files = [f for f in files if chosen is None or _actor_of(f.name) in chosen]
        if not files:
            wanted = few(map(str, sorted(chosen or ())))
            raise UserError(f"{source.name}: no files for actors {wanted}")
        folder.mkdir(parents=True, exist_ok=True)
        todo = [f for f in files if not _have(folder, f)]
        if not todo:
            return folder
        if not confirm(describe(source, folder, files, todo)):
            raise UserError(f"{source.name}: nothing was downloaded, as you did not agree")
        need, free = sum(f.size for f in todo), shutil.disk_usage(folder).free
        if need > free:
            raise UserError(
                f"{folder}: {need / 1e9:.2f} GB to fetch, {free / 1e9:.2f} GB free on this disk"
            )
        if source.name == "ravdess":
            for remote in todo:
                _get_archive(remote, folder, progress)
        else:
            store = _working_store(source, todo[0], folder)
            for remote in tqdm(todo, desc=source.name, unit="file", disable=not progress):
                fetch(remote, folder, store)
    except requests.RequestException as problem:
        raise UserError(
            f"{source.name} cannot be fetched now ({_short(problem)}): check the connection and "
            f"run the same command again to go on, or put {source.files} from {source.home} into "
            f"{folder} by other means"
        ) from None
    except OSError as problem:
        raise UserError(
            f"{folder}: cannot be written ({problem.strerror or problem}); make room or choose "
            "another folder, and run the same command again to go on"
        ) from None
    return folder


def describe(
    source: Source, folder: Path, files: Sequence[RemoteFile], todo: Sequence[RemoteFile]
) -> str:
    """Say what would be fetched from where, how large it is, and under which licence."""
    hosts = sorted({url.split("/")[2] for url in (source.record, *source.stores)})
    todo_size, size = sum(f.size for f in todo), sum(f.size for f in files)
    return "\n".join(
        (
            source.title,
            f"  source:   {source.home} (files from {', '.join(hosts)})",
            f"  licence:  {source.licence}",
            f"  terms:    {source.terms}",
            f"  size:     {len(files)} files, {size / 1e9:.2f} GB"
            f"; still to fetch: {len(todo)} files, {todo_size / 1e9:.2f} GB",
            f"  into:     {folder.resolve()}",
        )
    )


# --- what the official records list --------------------------------------------------------------


def list_ravdess(source: Source = RAVDESS) -> list[RemoteFile]:
    """List RAVDESS's speech video archives from its Zenodo record.

    Raises:
        UserError: the record does not look as expected.
        requests.RequestException: no connection.
    """
    try:
        files = [
            RemoteFile(e["key"], int(e["size"]), e["checksum"], e["links"]["self"])
            for e in json.loads(_read(source.record))["files"]
            if re.fullmatch(r"Video_Speech_Actor_\d\d\.zip", str(e["key"]))
        ]
        sound = all(re.fullmatch(r"md5:[0-9a-f]{32}", f.digest) for f in files)
    except (ValueError, KeyError, TypeError):
        files, sound = [], False
    if not files or not sound:
        raise UserError(
            f"{source.record}: not a Zenodo record that lists Video_Speech_Actor_NN.zip with md5"
        )
    return sorted(files, key=lambda f: f.name)


def list_cremad(source: Source = CREMAD) -> list[RemoteFile]:
    """List CREMA-D's videos from the git-lfs pointers in the official repository.

    The archive of the repository (about 24 MB by its authors' account) holds, in place of each
    video, a text with its sha256 and size.

    Raises:
        UserError: the archive does not look as expected.
        requests.RequestException: no connection.
    """
    files = []
    try:
        with zipfile.ZipFile(io.BytesIO(_read(source.record))) as archive:
            for info in archive.infolist():
                match = re.fullmatch(r"[^/]+/(VideoFlash/[0-9A-Z_]+\.flv)", info.filename)
                if match is None:
                    continue
                text = (
                    "" if info.file_size > 1024 else archive.read(info).decode("ascii", "replace")
                )
                found = re.search(r"^oid (sha256:[0-9a-f]{64})\nsize (\d+)$", text, re.MULTILINE)
                if found is None:
                    raise UserError(f"{source.record}: {info.filename} is not a git-lfs pointer")
                files.append(RemoteFile(match[1], int(found[2]), found[1]))
    except zipfile.BadZipFile:
        raise UserError(f"{source.record}: not a zip archive as expected") from None
    if not files:
        raise UserError(f"{source.record}: lists no VideoFlash/*.flv")
    return sorted(files, key=lambda f: f.name)


def _read(url: str) -> bytes:
    answer = requests.get(url, timeout=TIMEOUT)
    answer.raise_for_status()
    return answer.content


# --- fetching ------------------------------------------------------------------------------------


def fetch(
    remote: RemoteFile,
    folder: Path,
    store: str = "",
    progress: bool = False,
    retries: int = RETRIES,
) -> Path:
    """Fetch one file and verify it; it appears under its name only when the checksum is right.

    Raises:
        UserError: wrong checksum.
        requests.RequestException: no connection.
        OSError: the disk.
    """
    pooch.get_logger().setLevel("WARNING")
    keeper = pooch.create(
        folder,
        base_url=store,
        registry={remote.name: remote.digest},
        urls={remote.name: remote.url} if remote.url else None,
        retry_if_failed=retries,
    )
    downloader = pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 20, timeout=TIMEOUT)
    try:
        path = Path(keeper.fetch(remote.name, downloader=downloader))
    except ValueError as problem:
        if isinstance(problem, requests.RequestException):
            raise
        raise UserError(
            f"{remote.name}: its {remote.digest.split(':')[0]} differs from the official record; "
            "the download was deleted, run the same command again"
        ) from None
    os.umask(mask := os.umask(0o77))
    path.chmod(0o666 & ~mask)  # pooch's temporary files are private, whatever the user's umask
    path.with_name(f"{path.name}.part").unlink(missing_ok=True)  # of versions without pooch
    return path


def _working_store(source: Source, first: RemoteFile, folder: Path) -> str:
    """Return the first store that hands out what the official record lists."""
    refused = []
    for store in source.stores:
        try:
            fetch(first, folder, store, retries=1)
            return store
        except requests.RequestException as problem:
            refused.append(f"{store}: {_short(problem)}")
        except UserError as problem:  # a placeholder in place of the video, for example
            refused.append(f"{store}: {problem}")
    raise UserError(
        f"no server hands the files out now: {'; '.join(refused)}; try again later, or put "
        f"{source.files} from {source.home} into {folder} by other means"
    )


def _get_archive(remote: RemoteFile, folder: Path, progress: bool) -> None:
    """Fetch one archive of RAVDESS, unpack its video-only speech files, and delete it."""
    archive = fetch(remote, folder, progress=progress)
    names = unpack(archive, folder, r"(?:.+/)?02-01-[0-9-]+\.mp4")
    if not names:
        raise UserError(f"{archive}: holds no 02-01-*.mp4 (video-only speech)")
    sizes = {name: (folder / name).stat().st_size for name in names}
    entry = {"md5": remote.digest.removeprefix("md5:"), "files": sizes}
    write_json(folder / LEDGER, _ledger(folder) | {remote.name: entry})
    archive.unlink()


def unpack(archive: Path, folder: Path, wanted: str) -> list[str]:
    """Unpack the members of a zip archive whose names match ``wanted`` (a regular expression).

    ``zipfile`` and ``pooch.Unzip`` would rename a member that leads outside, write a link as a
    text file, and leave half a file behind when killed. Here an archive with anything of that
    kind is refused whole, before anything is written, and files appear complete or not at all.

    Returns:
        The names unpacked, relative to ``folder``.

    Raises:
        UserError: not a zip, damaged, or with such a member (named).
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if why := _unsafe(info):
                    raise UserError(
                        f"{archive}: member {info.filename!r} {why}; nothing was unpacked"
                    )
            chosen = [i for i in opened.infolist() if re.fullmatch(wanted, i.filename)]
            for info in chosen:
                target = folder / info.filename
                if not target.parent.resolve().is_relative_to(folder.resolve()):
                    raise UserError(f"{target} leads outside {folder} by a link: remove the link")
                with opened.open(info) as packed, atomic_write(target) as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
            return [info.filename for info in chosen]
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as problem:
        raise UserError(f"{archive}: damaged zip archive ({problem}); delete it") from None


def _unsafe(info: zipfile.ZipInfo) -> str:
    """Say what is wrong with a member, or return ''."""
    name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or ".." in name.split("/") or re.search(r"[\\:\0]", name):
        return "leads outside the folder"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    return "is encrypted" if info.flag_bits & 1 else ""


def _have(folder: Path, remote: RemoteFile) -> bool:
    """Tell whether a file is there, whole and verified (an archive: unpacked)."""
    path = folder / remote.name
    if remote.name.endswith(".zip"):
        entry = _ledger(folder).get(remote.name)
        if not isinstance(entry, dict) or f"md5:{entry.get('md5')}" != remote.digest:
            return False
        found = {n: (folder / n).stat().st_size for n in entry["files"] if (folder / n).is_file()}
        return bool(found) and found == entry["files"]
    algorithm, digest = remote.digest.split(":")
    return path.is_file() and pooch.file_hash(str(path), alg=algorithm) == digest


def _ledger(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        value = json.loads((folder / LEDGER).read_text(encoding="utf-8"))
        if isinstance(value, dict):
            return value
    return {}


def _actor_of(name: str) -> int:
    """RAVDESS: Video_Speech_Actor_07.zip -> 7; CREMA-D: VideoFlash/1001_DFA_... -> 1001."""
    found = re.search(r"Actor_(\d\d)\.zip|/(\d{4})_", name)
    return int(found[1] or found[2]) if found else -1


def _short(problem: requests.RequestException) -> str:
    """Return the short text of a connection error."""
    answer = problem.response
    if answer is not None:
        return f"{answer.url.split('/')[2]} answers {answer.status_code} {answer.reason}"
    return f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"
