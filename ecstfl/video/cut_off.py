"""Is a film all there? Most containers tell how many bytes they have, others how long they last.

A download that broke off and a card that was full leave files that still play up to some point.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final

_MP4: Final = frozenset(
    {b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"sidx", b"styp", b"mfra"}
    | {b"uuid", b"pnot", b"udta", b"meta", b"emsg", b"prft"}
)
"""Boxes of a film's outermost level; anything else behind them is somebody's appendix."""

_ASF: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE: Final = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def cut_off(path: Path, claimed: float | None = None, there: float | None = None) -> str | None:
    """Return what a film lacks at its end, in a sentence; None when nothing, or nothing is told.

    Bytes decide where the container tells them (MP4 and its kin, AVI, Matroska and WebM, ASF),
    which costs a few reads; else the length in time, when it is given.

    Args:
        path: a film.
        claimed: seconds that its header claims.
        there: seconds up to the end of its last packet.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            promised, indexed = _promised(file, size)
    except OSError:
        return None
    if promised is not None and promised > size:
        return f"cut off: {size:,} of {promised:,} bytes are there"
    if not indexed:
        return "cut off: the index at its end is missing"
    if promised is None and claimed and there is not None and there < claimed * 0.95 - 0.1:
        return f"cut off: {there:.1f} s of {claimed:.1f} s are there"
    return None


def _promised(file: BinaryIO, size: int) -> tuple[int | None, bool]:
    """(bytes that the container says it has or None, whether it has the index it needs)."""
    head = file.read(16)
    if head[4:8] in _MP4 and head[4:8] != b"meta":
        return _mp4(file, size)
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return _avi(file, size), True
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _matroska(file), True
    if head == _ASF:
        return _asf(file), True
    return None, True


def _mp4(file: BinaryIO, size: int) -> tuple[int, bool]:
    """Walk the boxes: (big-endian size, four letters, content), 64-bit sizes behind a 1."""
    at, seen = 0, set()
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind not in _MP4:
            break
        seen.add(kind)
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: up to the end of the file
            at = size
            break
        at += length
    return at, b"moov" in seen or b"mdat" not in seen


def _avi(file: BinaryIO, size: int) -> int | None:
    """One RIFF list after the other; a recorder that was killed leaves 0 or all ones."""
    at = 0
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if not head.startswith(b"RIFF"):
            break
        if length in (0, 2**32 - 1):
            return None
        at += 8 + length + length % 2
    return at - (at == size + 1)  # the last padding byte is often left out


def _matroska(file: BinaryIO) -> int | None:
    """The size of the one segment; live recordings leave it open."""
    file.seek(0)
    head = file.read(4096)
    at = 0
    while at + 12 <= len(head):
        name = head[at : at + 4]
        first = head[at + 4]
        if first == 0:
            return None
        width = 9 - first.bit_length()
        value = int.from_bytes(head[at + 4 : at + 4 + width], "big") & ((1 << 7 * width) - 1)
        at += 4 + width
        if name == b"\x18\x53\x80\x67":
            return None if value == (1 << 7 * width) - 1 else at + value
        if name != b"\x1a\x45\xdf\xa3":
            return None
        at += value
    return None


def _asf(file: BinaryIO) -> int | None:
    """The file size among the file's properties, unless it was broadcast."""
    file.seek(0)
    head = file.read(65536)
    at = head.find(_ASF_FILE)
    if at < 0 or len(head) < at + 92 or head[at + 88] & 1:
        return None
    return int.from_bytes(head[at + 40 : at + 48], "little") or None
