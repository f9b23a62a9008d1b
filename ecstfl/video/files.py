"""Which files are films and stills, what in a folder is never data, and what a file holds by hash.

Every command and every reader of data sets asks here, so that all say the same of a folder.
"""

from __future__ import annotations

import hashlib
import re
import stat
from pathlib import Path
from typing import Final

from ecstfl.errors import UserError

_FILMS: Final = """
.mp4 .mov .mkv .avi .webm .flv .wmv .mpg .mpeg .264 .265 .266 .3g2 .3gp .3gp2 .3gpp .amv
.apng .asf .avc .dav .dif .divx .dv .dvr-ms .evo .f4v .gif .gxf .h264 .h265 .h266 .h26l
.hevc .insv .ismv .ivf .m1v .m2p .m2t .m2ts .m2v .m4v .mj2 .mjpeg .mjpg .mk3d .mod .mp4v
.mpe .mpv .mts .mxf .nsv .nut .obu .ogm .ogv .psp .qt .rm .rmvb .swf .tod .tp .trp .ts .vc1
.vob .vro .vvc .wtv .xvid .y4m
"""
VIDEO_SUFFIXES: Final = frozenset(_FILMS.split())
"""Endings, in small letters, that are taken for films in a folder (any file is read by name)."""

_STILLS: Final = """
.jpg .jpeg .png .avif .bmp .dib .hdr .jfif .jp2 .jpe .mpo .pam .pbm .pgm .pnm .ppm .ras .sr
.tga .tif .tiff .webp
"""
IMAGE_SUFFIXES: Final = frozenset(_STILLS.split())
"""Endings, in small letters, of the stills of a frame folder."""

_LITTER: Final = frozenset(
    {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}  # Windows, macOS
    | {"__macosx", "$recycle.bin", "recycler", "system volume information", "lost+found"}
    | {"@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@sharebin"}  # NAS
    | {"network trash folder", "temporary items", "__pycache__", "lost.dir"}
)


def is_litter(path: Path | str) -> bool:
    """Whether a file or folder is something that a system or program leaves beside the data.

    By its own name, not by those of the folders above it: everything hidden (``.DS_Store``,
    AppleDouble ``._a.mp4``, ``.ipynb_checkpoints``, ``.@__thumb``), and what Windows, macOS and
    network storage add (``Thumbs.db``, ``__MACOSX``, ``@eaDir``, ``#recycle``, ...).
    """
    name = Path(path).name
    return name.startswith(".") or name.lower() in _LITTER


def is_video(path: Path) -> bool:
    """Whether a name ends as films do and is not litter; nothing is opened."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not is_litter(path)


def is_image(path: Path) -> bool:
    """Whether a name ends as stills do and is not litter; nothing is opened."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_litter(path)


def numeric_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that puts ``2.jpg`` before ``10.jpg`` (DFEW's 16-frame folders need it)."""
    parts = re.split(r"(\d+)", name)
    return tuple((1, int(p), "") if p.isdecimal() else (0, 0, p) for p in parts if p)


def listing(folder: Path) -> list[Path]:
    """Return what a folder holds, without litter, in numeric order.

    Raises:
        UserError: the folder cannot be listed.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not is_litter(entry)]
    except (OSError, ValueError) as error:
        raise UserError(f"cannot list folder {folder}: {reason(error)}") from error
    return sorted(entries, key=lambda p: (numeric_key(p.stem), p.suffix))


def frame_files(folder: Path) -> list[Path]:
    """Return the images of a frame folder in numeric order.

    Raises:
        UserError: the folder cannot be listed or holds no image.
    """
    files = [path for path in listing(folder) if is_image(path) and path.is_file()]
    if not files:
        raise UserError(f"folder {folder} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return files


def content_sha256(source: Path | str) -> str:
    """Return the SHA-256 (hex) of a file's bytes, or of a folder's image names and bytes.

    Raises:
        UserError: the source cannot be read.
    """
    source = Path(source)
    try:
        if source.is_dir():
            digest = hashlib.sha256()
            for path in frame_files(source):
                digest.update(f"{path.name}\0".encode(errors="surrogateescape"))
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            return digest.hexdigest()
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {source}: {reason(error)}") from error


def find_sources(root: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Find the videos and frame folders below a folder.

    A folder with images and no video or sub-folder is one source. Links are followed; a
    folder reached twice (a link loop) is entered once and named. Litter is neither.

    Returns:
        (sources in numeric order, [(path, reason)] for what was passed over: unreadable
        folders, link loops, pictures beside videos, and files that are neither).

    Raises:
        UserError: ``root`` is not a folder.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder")
    sources: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    entered: set[tuple[int, int]] = set()

    def visit(folder: Path) -> None:
        try:
            status = folder.stat()
            entries = listing(folder)
        except (OSError, UserError) as error:
            skipped.append((folder, f"cannot be read: {reason(error.__cause__ or error)}"))
            return
        if (status.st_dev, status.st_ino) in entered:
            skipped.append((folder, "a link to a folder already visited"))
            return
        entered.add((status.st_dev, status.st_ino))
        folders: list[Path] = []
        videos: list[Path] = []
        images: list[Path] = []
        for entry in entries:
            try:
                mode = entry.stat().st_mode
            except OSError as error:
                skipped.append((entry, f"cannot be read: {reason(error)}"))
                continue
            if stat.S_ISDIR(mode):
                folders.append(entry)
            elif is_video(entry):
                videos.append(entry)
            elif is_image(entry):
                images.append(entry)
            elif entry.suffix.lower() in (".heic", ".heif"):
                skipped.append((entry, "a HEIC picture cannot be read: save it as .jpg or .png"))
            else:
                skipped.append((entry, "neither a video nor an image by its name"))
        if images and not videos and not folders:
            sources.append(folder)
        else:
            skipped.extend((image, "a picture beside videos or folders") for image in images)
        sources.extend(videos)
        for sub in folders:
            visit(sub)

    visit(root)
    return sources, skipped


def reason(error: BaseException) -> str:
    """Return the short text of an error: without number, without path."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.strip().splitlines()[0][:200]
