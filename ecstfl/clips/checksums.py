"""What a video is, whatever its name: the SHA-256 of its content, remembered between runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ecstfl.clips.config import PreprocessConfig
from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.errors import UserError
from ecstfl.faces.landmark_files import landmark_file
from ecstfl.files import write_json
from ecstfl.video.files import content_sha256


def with_checksums(clipset: ClipSet, cache_dir: str | Path, *, progress: bool = True) -> ClipSet:
    """Fill in the SHA-256 of clips whose set publishes none, so that runs are named by content.

    Without it, clips replaced under their old names would find the runs of the old clips. What
    was hashed is remembered while size and time of a file stay the same.

    Args:
        clipset: n clips.
        cache_dir: as for :func:`ecstfl.clips.preprocess_set.preprocess`, which then need not hash
            again.
        progress: show a bar when it takes long.

    Returns:
        The same clips; one that cannot be read keeps none, and ``preprocess`` names it.
    """
    if all(clip.sha256 for clip in clipset):
        return clipset
    memo = HashMemo(Path(cache_dir) / "hashes.json")

    def filled(clip: Clip) -> Clip:
        if clip.sha256:
            return clip
        try:
            return replace(clip, sha256=memo.sha256(Path(clip.source)))
        except UserError:
            return clip

    clips = _on_threads(filled, clipset, progress)
    memo.save()
    return replace(clipset, clips=tuple(clips))


def content_keys(
    clipset: ClipSet, config: PreprocessConfig, cache_dir: Path, progress: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """Return (clip id -> key of its content, clip id -> why it cannot be read)."""
    memo = HashMemo(cache_dir / "hashes.json")

    def key(clip: Clip) -> tuple[str, str]:
        try:
            digest = memo.sha256(Path(clip.source))
            if clip.sha256 and digest != clip.sha256.lower():
                return "", (
                    f"{clip.source} is damaged: its SHA-256 starts with {digest[:12]}, "
                    f"the data set says {clip.sha256[:12]}"
                )
            if config.reads_landmarks and config.alignment != "none":
                path = landmark_file(Path(config.landmarks), clip.id)
                digest = hashlib.sha256((digest + content_sha256(path)).encode()).hexdigest()
            return digest, ""
        except UserError as error:
            return "", str(error)

    answers = dict(zip(clipset.ids, _on_threads(key, clipset, progress), strict=True))
    memo.save()
    keys = {clip_id: digest for clip_id, (digest, _) in answers.items() if digest}
    return keys, {clip_id: why for clip_id, (_, why) in answers.items() if why}


def _on_threads(function: Callable[[Clip], Any], clipset: ClipSet, progress: bool) -> list[Any]:
    with ThreadPoolExecutor(4) as pool:  # hashing releases the interpreter lock
        bar = {"total": len(clipset), "desc": "checksums", "unit": "clip"}
        stream = pool.map(function, clipset.clips)
        # shown only when it takes long: DFEW's 15 GB the first time, not what is remembered
        return list(tqdm(stream, **bar, disable=not progress, leave=False, delay=2))


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
            write_json(self.path, self._known)
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
