"""The cache of prepared clips: append-only, one packed file, never half an entry.

One folder per set of options; in it

* ``options.json``: what the clips were made with, for people;
* ``frames.bin``: prepared clips one after the other, each (T, S, S, 3) uint8;
* ``tracks.bin``: what aligned them (kept frames, matrices, boxes, points), float64;
* ``index.jsonl``: one line per finished clip: key of its content, row, checksums, coverage;
* ``verified.json``: of which state ``frames.bin`` was last read whole, and the rows found wrong.

A clip's line is written after its data. Killed in between, the data has no line and is
overwritten by the next run; a torn last line is cut off. The checksum guards against what a
power failure may leave. One process writes at a time (file lock); others wait and then find
the work done. ``frames.bin`` is one array: large sets are mapped (see :mod:`ecstfl.clips.array`),
which takes no memory and no time however large they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from ecstfl.clips.array import MappedClips
from ecstfl.errors import UserError
from ecstfl.video.files import content_sha256

try:
    import fcntl
except ImportError:  # Windows: no lock; two runs at once would do the same work twice
    fcntl = None  # type: ignore[assignment]

TRACK_COLUMNS = 1 + 6 + 4 + 10
"""frame number, matrix (2 x 3), box (x1 y1 x2 y2), five points (x, y)."""

IN_MEMORY = 512 * 2**20
"""Prepared clips up to this many bytes are read into memory; above, the file is mapped."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


@dataclass(frozen=True)
class Entry:
    """One line of the index.

    Attributes:
        key: of the clip's content.
        row: place in ``frames.bin``; -1 when there is nothing to store (no face, bad file).
        crc: of the row.
        n_source: frames read.
        n_kept: frames with a face.
        reason: why there is no row; empty otherwise.
        problems: damage that was read over.
        backend: name of the backend that ran.
        track: offset in ``tracks.bin``, bytes.
    """

    key: str
    row: int
    crc: int
    n_source: int
    n_kept: int
    reason: str
    problems: tuple[str, ...]
    backend: str
    track: int

    @property
    def coverage(self) -> float:
        """Share of frames with a face, 0..1."""
        return self.n_kept / max(1, self.n_source)


class ClipCache:
    """One folder of prepared clips (see the top of this module).

    Args:
        folder: created when missing.
        shape: (T, S, S, 3) of a prepared clip.
        options: written to ``options.json``.

    Raises:
        UserError: the folder cannot be made or read.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], options: dict[str, Any]) -> None:
        self.folder, self.shape = folder, shape
        self.row_bytes = int(np.prod(shape))
        self.entries: dict[str, Entry] = {}
        self._files: tuple[IO[bytes], IO[bytes], IO[bytes]] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make cache folder {folder}: {error.strerror}") from error
        if not (folder / "options.json").exists():
            text = json.dumps(options, indent=1, sort_keys=True)
            write_atomic(folder / "options.json", text.encode())
        self._end = self._load()

    def _load(self) -> int:
        """Read the index; return where its good part ends (bytes)."""
        self.entries.clear()
        self._rows = self._tracks = 0
        index = self.folder / "index.jsonl"
        try:
            data = index.read_bytes() if index.exists() else b""
            sizes = [
                (self.folder / n).stat().st_size if (self.folder / n).exists() else 0
                for n in ("frames.bin", "tracks.bin")
            ]
        except OSError as error:
            raise UserError(f"cannot read cache {self.folder}: {error.strerror}") from error
        good = 0
        for line in data.splitlines(keepends=True):
            try:
                raw = json.loads(line) if line.endswith(b"\n") else None
                entry = Entry(**(raw | {"problems": tuple(raw["problems"])}))
                track_end = entry.track + entry.n_kept * TRACK_COLUMNS * 8
                if (entry.row + 1) * self.row_bytes > sizes[0] or track_end > sizes[1]:
                    break
            except (ValueError, TypeError, KeyError):
                break
            good += len(line)
            self.entries[entry.key] = entry
            self._rows = max(self._rows, entry.row + 1)
            self._tracks = max(self._tracks, track_end)
        return good

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock; cut off what an interrupted run left; allow :meth:`add`."""
        try:
            lock = (self.folder / "lock").open("wb")
        except OSError as error:
            raise UserError(f"cannot write to cache {self.folder}: {error.strerror}") from error
        with lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._end = self._load()  # another run may have added clips meanwhile
            ends = (self._end, self._rows * self.row_bytes, self._tracks)
            names = ("index.jsonl", "frames.bin", "tracks.bin")
            with contextlib.ExitStack() as stack:
                files = [stack.enter_context((self.folder / n).open("ab")) for n in names]
                for file, end in zip(files, ends, strict=True):
                    file.truncate(end)
                self._files = (files[0], files[1], files[2])
                try:
                    yield
                finally:
                    self._files = None

    def add(
        self,
        key: str,
        frames: bytes,
        tracks: np.ndarray,
        n_source: int,
        reason: str,
        problems: tuple[str, ...],
        backend: str,
    ) -> Entry:
        """Append one finished clip (inside :meth:`writing`).

        Args:
            key: of its content.
            frames: the row's bytes; empty when there is none.
            tracks: (n_kept, :data:`TRACK_COLUMNS`) float64.
            n_source: frames read.
            reason: why there is no row.
            problems: damage that was read over.
            backend: name of the backend that ran.

        Raises:
            UserError: no space left, or another write error.
        """
        if self._files is None:
            raise RuntimeError("ClipCache.add outside of ClipCache.writing")
        index, rows, track_file = self._files
        if frames and len(frames) != self.row_bytes:
            raise ValueError(f"expected {self.row_bytes} bytes of frames, got {len(frames)}")
        entry = Entry(
            key,
            self._rows if frames else -1,
            zlib.crc32(frames),
            n_source,
            len(tracks),
            reason,
            problems,
            backend,
            self._tracks,
        )
        try:
            rows.write(frames)
            track_file.write(np.ascontiguousarray(tracks, np.float64).tobytes())
            rows.flush()
            track_file.flush()
            line = json.dumps(entry.__dict__, ensure_ascii=True).encode() + b"\n"
            index.write(line)
            index.flush()
        except OSError as error:
            raise UserError(f"cannot write to cache {self.folder}: {error.strerror}") from error
        self._rows += bool(frames)
        self._tracks += len(tracks) * TRACK_COLUMNS * 8
        self.entries[key] = entry
        return entry

    def read(self, entries: list[Entry]) -> tuple[np.ndarray | MappedClips, list[int]]:
        """Return the clips of entries that have a row, and the positions of damaged ones.

        What is read into memory is compared with its checksums each time; what is mapped, when
        the file is new or has changed since.

        Returns:
            ((n, T, S, S, 3) uint8 in memory or mapped, positions whose checksum is wrong).
        """
        n = len(entries)
        if not n:
            return np.zeros((0, *self.shape), np.uint8), []
        path, shape = self.folder / "frames.bin", (self._rows, *self.shape)
        mapped = np.memmap(path, np.uint8, "r", shape=shape)
        if n * self.row_bytes <= IN_MEMORY:
            clips = np.empty((n, *self.shape), np.uint8)
            damaged = []
            for i, entry in enumerate(entries):
                clips[i] = mapped[entry.row]
                if zlib.crc32(clips[i]) != entry.crc:
                    damaged.append(i)
            return clips, damaged
        wrong = self._wrong_keys()
        damaged = [i for i, entry in enumerate(entries) if entry.key in wrong]
        return MappedClips(mapped, [entry.row for entry in entries]), damaged

    def _wrong_keys(self) -> set[str]:
        """Keys of damaged rows; the file is read only when it is not the one last verified."""
        path, done = self.folder / "frames.bin", self.folder / "verified.json"
        status = path.stat()
        stamp = {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "rows": self._rows}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(done.read_bytes())
            if known["file"] == stamp:
                return set(known["wrong"])
        wrong = set()
        stored = sorted((e for e in self.entries.values() if e.row >= 0), key=lambda e: e.row)
        with path.open("rb") as file:
            for entry in tqdm(
                stored, desc="verifying", unit="clip", leave=False, delay=2, disable=None
            ):
                file.seek(entry.row * self.row_bytes)
                if zlib.crc32(file.read(self.row_bytes)) != entry.crc:
                    wrong.add(entry.key)
        with contextlib.suppress(UserError):  # a cache that may only be read is verified each time
            write_atomic(done, json.dumps({"file": stamp, "wrong": sorted(wrong)}).encode())
        return wrong

    def forget(self, keys: set[str]) -> None:
        """Rewrite the index without the given keys (damaged rows), inside :meth:`writing`."""
        if self._files is None:
            raise RuntimeError("ClipCache.forget outside of ClipCache.writing")
        index = self._files[0]
        kept = [e for e in self.entries.values() if e.key not in keys]
        text = b"".join(json.dumps(e.__dict__).encode() + b"\n" for e in kept)
        index.truncate(0)
        index.write(text)
        index.flush()
        self.entries = {e.key: e for e in kept}

    def tracks(self, entry: Entry) -> np.ndarray:
        """Return (n_kept, :data:`TRACK_COLUMNS`) float64 of one clip."""
        count = entry.n_kept * TRACK_COLUMNS
        with (self.folder / "tracks.bin").open("rb") as file:
            file.seek(entry.track)
            return np.frombuffer(file.read(count * 8), np.float64).reshape(-1, TRACK_COLUMNS)


class HashMemo:
    """SHA-256 of sources, remembered while size and modification time stay the same.

    Hashing 15 GB of video on every start would take longer than opening the cache.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, list[str]] = {}
        with contextlib.suppress(OSError, ValueError):
            loaded = json.loads(path.read_bytes())
            if isinstance(loaded, dict):
                self._known = loaded
        self._changed = False

    def sha256(self, source: Path) -> str:
        """Return the hash of a file or frame folder.

        Raises:
            UserError: it cannot be read.
        """
        name = str(source.absolute())
        stamp = _stamp(source)
        known = self._known.get(name)
        if isinstance(known, list) and len(known) == 2 and known[0] == stamp:
            return known[1]
        digest = content_sha256(source)
        self._known[name] = [stamp, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        """Write what was learnt."""
        if self._changed:
            write_atomic(self.path, json.dumps(self._known).encode())
            self._changed = False


def _stamp(source: Path) -> str:
    """Size and time of a file, or a checksum of those of a folder's entries."""
    try:
        if source.is_dir():
            with os.scandir(source) as scan:
                lines = sorted(f"{e.name}/{e.stat().st_size}/{e.stat().st_mtime_ns}" for e in scan)
            text = "\n".join(lines).encode(errors="surrogateescape")
            return f"{len(lines)}/{zlib.crc32(text)}/{zlib.adler32(text)}"
        status = source.stat()
        return f"{status.st_size}/{status.st_mtime_ns}"
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {source}: {getattr(error, 'strerror', None) or error}"
        ) from error
