"""``ecstfl data get NAME``: fetch a public data set from where its authors keep it.

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
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

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
"""In the data folder: checksum and unpacked files (name -> bytes) of every archive."""


@dataclass(frozen=True)
class Source:
    """Where a data set comes from and under which terms.

    Attributes:
        name: as on the command line.
        about: full name, page to read and cite, licence and what it asks, a line each.
        record: official address that lists files, sizes and checksums.
        by_hand: what to fetch from where by other means.
        store: address before a file's name, where the record gives none (CREMA-D).
        members: what is unpacked of an archive; the group "name" is the file's place in the folder.
    """

    name: str
    about: str
    record: str
    by_hand: str
    store: str = ""
    members: str = ""


RAVDESS: Final = Source(
    name="ravdess",
    about="""\
Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)
  source:   https://zenodo.org/records/1188976
  licence:  CC BY-NC-SA 4.0, https://creativecommons.org/licenses/by-nc-sa/4.0/
  terms:    not for commercial use; cite Livingstone and Russo, PLoS ONE 13(5): e0196391, 2018""",
    record="https://zenodo.org/api/records/1188976",
    by_hand="Actor_01/02-01-01-01-01-01-01.mp4, ... (unpacked from Video_Speech_Actor_*.zip) from "
    "https://zenodo.org/records/1188976",
    members=r"(?P<name>(\w+/)*02-01-[0-9-]+\.mp4)",  # video without sound, speech
)

CREMAD: Final = Source(
    name="crema-d",
    about="""\
Crowd-sourced Emotional Multimodal Actors Dataset (CREMA-D)
  source:   https://github.com/CheyneyComputerScience/CREMA-D, files from its mirror at gitlab.com
  licence:  Open Database License 1.0, contents under the Database Contents License 1.0,
            https://opendatacommons.org/licenses/odbl/1-0/
  terms:    attribute and share alike; cite Cao et al., IEEE Trans. Affective Computing 5(4), 2014;
            the authors ask users to fill in the form on the source page""",
    record="https://github.com/CheyneyComputerScience/CREMA-D/archive/"
    "02f12b39b56c8424039d0a953b89d47fc47d380f.zip",
    by_hand="VideoFlash/1001_DFA_ANG_XX.flv, ... from "
    "https://github.com/CheyneyComputerScience/CREMA-D (git-lfs)",
    store="https://gitlab.com/cs-cooper-lab/crema-d-mirror/-/raw/HEAD/",
)


@dataclass(frozen=True)
class RemoteFile:
    """A file as the official record lists it.

    Attributes:
        name: path below the data folder.
        size: bytes.
        digest: ``md5:...`` or ``sha256:...``.
        url: where it is.
    """

    name: str
    size: int
    digest: str
    url: str


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
        raise UserError(f"nothing to fetch for {name!r}: use ravdess, crema-d or real-clips")
    return known[name]


def get_data(
    source: Source,
    root: Path | str,
    confirm: Callable[[str], bool],
    actors: Iterable[int] | None = None,
    progress: bool = True,
    files: list[RemoteFile] | None = None,
) -> Path:
    """Fetch a data set into ``root``; what is there and verified is not fetched again.

    Args:
        source: :data:`RAVDESS`, :data:`CREMAD`, or one with ``files``.
        root: folder to fill.
        confirm: shown source, size and licence, returns whether to go on.
        actors: only these (RAVDESS 1..24, CREMA-D 1001..1091); None takes all.
        progress: show bars.
        files: what to fetch, where it is known beforehand; None asks the official record.

    Returns:
        The folder to give to ``open_data``.

    Raises:
        UserError: not confirmed, no connection, checksum wrong, disk full, or a record that is
            not understood.
    """
    folder = Path(root)
    instead = f"put {source.by_hand} into {folder} by other means"
    try:
        if files is None:
            files = list_ravdess(source) if source.name == "ravdess" else list_cremad(source)
        if actors is not None:
            chosen = set(actors)
            files = [f for f in files if _actor_of(f.name) in chosen]
            if not files:
                wanted = few(map(str, sorted(chosen)))
                raise UserError(f"{source.name}: no files for actors {wanted}")
        todo = [f for f in files if not _have(folder, f)]
        if not todo:
            return folder
        need = sum(f.size for f in todo)
        amount = f"{need / 1e9:.2f} GB" if need > 1e8 else f"{need / 1e6:.1f} MB"
        size = f"{len(files)} files; to fetch: {len(todo)} files, {amount}"
        if not confirm(f"{source.about}\n  size:     {size}\n  into:     {folder.resolve()}"):
            raise UserError(f"{source.name}: nothing was downloaded, as you did not agree")
        folder.mkdir(parents=True, exist_ok=True)
        if need > (free := shutil.disk_usage(folder).free):
            raise UserError(
                f"{folder}: {need / 1e9:.2f} GB to fetch, {free / 1e9:.2f} GB free on this disk"
            )
        for remote in tqdm(todo, desc=source.name, unit="file", disable=not progress):
            path = fetch(remote, folder, progress and remote.size > 1e8, f", or {instead}")
            if _is_archive(path):
                entry = {"digest": remote.digest, "files": unpack(path, folder, source.members)}
                write_json(folder / LEDGER, _ledger(folder) | {remote.name: entry})
                path.unlink()
    except requests.RequestException as problem:
        raise UserError(
            f"{source.name} cannot be fetched now ({str(problem)[:200]}): check the connection and "
            f"run the same command again to go on, or {instead}"
        ) from None
    except OSError as problem:
        raise UserError(
            f"{folder}: cannot be written ({problem.strerror or problem}); make room or choose "
            "another folder, and run the same command again to go on"
        ) from None
    return folder


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
            for member in archive.namelist():
                match = re.fullmatch(r"[^/]+/(VideoFlash/[0-9A-Z_]+\.flv)", member)
                if match is None:
                    continue
                with archive.open(member) as file:
                    text = file.read(1024).decode("ascii", "replace")
                found = re.search(r"^oid (sha256:[0-9a-f]{64})\nsize (\d+)$", text, re.MULTILINE)
                if found is None:
                    raise UserError(f"{source.record}: {member} is not a git-lfs pointer")
                url = f"{source.store}{match[1]}"
                files.append(RemoteFile(match[1], int(found[2]), found[1], url))
    except zipfile.BadZipFile:
        raise UserError(f"{source.record}: not a zip archive as expected") from None
    if not files:
        raise UserError(f"{source.record}: lists no VideoFlash/*.flv")
    return sorted(files, key=lambda f: f.name)


def _read(url: str) -> bytes:
    answer = requests.get(url, timeout=TIMEOUT)
    answer.raise_for_status()
    return answer.content


def fetch(remote: RemoteFile, folder: Path, progress: bool = False, instead: str = "") -> Path:
    """Fetch one file; it appears under its name only when the checksum is right.

    Args:
        remote: the file.
        folder: where it belongs.
        progress: show a bar.
        instead: what else to do, told when the checksum is wrong.

    Raises:
        UserError: wrong checksum.
        requests.RequestException: no connection.
        OSError: the disk.
    """
    pooch.get_logger().setLevel("WARNING")
    keeper = pooch.create(
        folder,
        base_url="",
        registry={remote.name: remote.digest},
        urls={remote.name: remote.url},
        retry_if_failed=RETRIES,
    )
    downloader = pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 20, timeout=TIMEOUT)
    try:
        path = Path(keeper.fetch(remote.name, downloader=downloader))
    except requests.RequestException:  # some are ValueErrors, too
        raise
    except ValueError:
        raise UserError(
            f"{remote.name}: its {remote.digest.split(':')[0]} differs from the official record; "
            f"the download was deleted, run the same command again{instead}"
        ) from None
    os.umask(mask := os.umask(0o77))
    path.chmod(0o666 & ~mask)  # pooch's temporary files are private, whatever the user's umask
    return path


def unpack(archive: Path, folder: Path, members: str = RAVDESS.members) -> dict[str, int]:
    """Unpack the files that are wanted; each appears complete or not at all.

    Args:
        archive: ``.zip`` or ``.tar.gz``.
        folder: where to.
        members: see :class:`Source`; its names are plain words, so that none can lead out of the
            folder. Other members are left alone.

    Returns:
        Name relative to ``folder`` -> bytes.

    Raises:
        UserError: not an archive, damaged, or without such files.
    """
    sizes = {}
    try:
        for member, size, opened in _members(archive):
            if found := re.fullmatch(members, member):
                with opened() as packed, atomic_write(folder / found["name"]) as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
                sizes[found["name"]] = size
    except (zipfile.BadZipFile, tarfile.TarError, NotImplementedError, EOFError, zlib.error) as why:
        raise UserError(f"{archive}: damaged archive ({why}); delete it") from None
    if not sizes:
        raise UserError(f"{archive}: holds no file like {members}")
    return sizes


def _is_archive(path: Path) -> bool:
    return path.name.endswith((".zip", ".tar.gz"))


def _members(archive: Path) -> Iterator[tuple[str, int, Callable[[], IO[bytes]]]]:
    """Yield (name, bytes, how to open it) of every file in an archive."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                yield info.filename, info.file_size, partial(packed.open, info)
    else:
        with tarfile.open(archive) as packed:
            for entry in packed:
                if entry.isfile():
                    yield entry.name, entry.size, partial(packed.extractfile, entry)


def _have(folder: Path, remote: RemoteFile) -> bool:
    """Tell whether a file is there, whole and verified (an archive: unpacked)."""
    path = folder / remote.name
    if _is_archive(path):
        entry = _ledger(folder).get(remote.name, {})
        return entry.get("digest") == remote.digest and all(
            (folder / name).is_file() and (folder / name).stat().st_size == size
            for name, size in entry["files"].items()
        )
    algorithm, digest = remote.digest.split(":")
    return path.is_file() and pooch.file_hash(str(path), alg=algorithm) == digest


def _ledger(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        return json.loads((folder / LEDGER).read_text(encoding="utf-8"))
    return {}


def _actor_of(name: str) -> int:
    """RAVDESS: Video_Speech_Actor_07.zip -> 7; CREMA-D: VideoFlash/1001_DFA_... -> 1001."""
    found = re.search(r"Actor_(\d\d)\.zip|/(\d{4})_", name)
    return int(found[1] or found[2]) if found else -1
