"""Many clips into one pack: parallel, resumable rendering, then manifest, truth and checksums.

While rendering, each clip is a video in ``clips/`` or ``wild/`` and a part (truth and manifest
row) in ``.parts/``. Both appear under their names only when complete, so an interrupted run
leaves nothing half-written and the next run goes on. ``finish`` gathers the parts.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ecstfl.errors import UserError
from ecstfl.labels import CLASSES, DFEW_COUNTS, label_index

from .clip import Clip, render_clip
from .expression import UNIT_NAMES, Manner
from .geometry import load_head
from .identity import Identity, make_identity

FPS = 25
FOLDS = 5
LANDMARK_STEPS = 8
"""Landmarks are stored in eighths of a pixel, as differences from frame to frame."""
FOLDERS = {"default": "clips", "wild": "wild"}
FIRST_IDENTITY = {"default": 0, "wild": 1000}
CHECKED = ("manifest.csv", "truth.npz", "LICENSE")
"""Files under checksum beside the clips."""
MANIFEST_HEAD = (
    "clip",
    "file",
    "split",
    "label",
    "identity",
    "fold",
    "longtail",
    "frames",
    "fps",
    "seed",
)


@dataclass(frozen=True)
class PackConfig:
    """What to render.

    Attributes:
        split: "default" or "wild"; decides the folder and which identities (wild has its own).
        identities: how many people.
        classes: which expressions.
        takes: clips per person and expression.
        frames: fewest and most frames of a clip.
        size: frame side in pixels.
        difficulty: lowest and highest, drawn uniformly per clip.
        seed: of everything.
        manner: how expressions are shown.
        variety: how far people differ; see ``identity.make_identity``.
        every: draw every frame (1), or every second, third, ... only, in as much less time; the
            videos then have 25 / every frames a second.
    """

    split: str = "default"
    identities: int = 200
    classes: tuple[str, ...] = CLASSES
    takes: int = 1
    frames: tuple[int, int] = (24, 26)
    size: int = 224
    difficulty: tuple[float, float] = (0.2, 0.5)
    seed: int = 2021
    manner: Manner = field(default_factory=Manner)
    variety: float = 1.0
    every: int = 1

    def checked(self) -> PackConfig:
        """Return self with class names in their usual spelling.

        Raises:
            UserError: an option is unknown or out of range.
        """
        if self.split not in FOLDERS:
            raise UserError(f"unknown split {self.split!r}: use default or wild")
        if not 1 <= self.identities <= 1000:
            raise UserError(f"identities is {self.identities}: give 1 to 1000")
        if not 1 <= self.takes <= 20:
            raise UserError(f"clips is {self.takes}: give 1 to 20 per identity and class")
        low, high = self.frames
        if not 8 <= low <= high <= 250:
            raise UserError(f"frames is {low}-{high}: give a range within 8-250, such as 24-26")
        if not 64 <= self.size <= 1024 or self.size % 2:
            raise UserError(f"size is {self.size} pixels: give an even number from 64 to 1024")
        low, high = self.difficulty
        if not 0 <= low <= high <= 1:
            raise UserError(f"difficulty is {low}-{high}: give a range within 0-1, such as 0.2-0.5")
        for name, share in (("talk", self.manner.talk or 0.0), ("hold", self.manner.hold)):
            if not 0 <= share <= 1:
                raise UserError(f"{name} is {share}: give a share of the clips from 0 to 1")
        if self.manner.units not in (1, 2):
            raise UserError(f"units is {self.manner.units}: use 1 (as shipped) or 2")
        if not 0 <= self.variety <= 3:  # not NaN either
            raise UserError(f"variety is {self.variety}: give a number from 0 to 3")
        if not 1 <= self.every <= self.frames[0] // 8:
            raise UserError(
                f"every is {self.every}: of {self.frames[0]} frames, at least 8 must be drawn"
            )
        return replace(self, classes=tuple(CLASSES[label_index(c)] for c in self.classes))


@dataclass(frozen=True)
class Task:
    """One clip to render."""

    clip: str
    file: str
    label: str
    identity: int
    take: int
    frames: int
    difficulty: float


def plan(config: PackConfig) -> list[Task]:
    """All clips of a pack, person by person (so that an early subset is already balanced)."""
    tasks = []
    first = FIRST_IDENTITY[config.split]
    prefix = "w" if config.split == "wild" else "c"
    for identity in range(first, first + config.identities):
        for label in config.classes:
            for take in range(1, config.takes + 1):
                rng = np.random.default_rng([config.seed, identity, CLASSES.index(label), take, 77])
                low, high = config.difficulty
                name = f"{prefix}{identity:04d}_{label.lower()}" + (f"_{take}" if take > 1 else "")
                tasks.append(
                    Task(
                        clip=name,
                        file=f"{FOLDERS[config.split]}/{name}.mp4",
                        label=label,
                        identity=identity,
                        take=take,
                        frames=int(rng.integers(config.frames[0], config.frames[1] + 1)),
                        difficulty=round(float(rng.uniform(low, high)), 3),
                    )
                )
    return tasks


def render_pack(
    root: Path,
    config: PackConfig,
    workers: int = 1,
    progress: bool = True,
    overwrite: bool = False,
) -> int:
    """Render what is missing of a pack; returns the number of clips rendered now.

    Args:
        root: folder of the pack.
        config: what to render.
        workers: processes.
        progress: show a bar.
        overwrite: start over where a finished pack lies whose parts are gone (a checkout).

    Raises:
        UserError: bad options, a finished pack or an unfinished one with other options there,
            or no disk space.
    """
    config = config.checked()
    if (root / "manifest.csv").is_file() and not (root / ".parts").is_dir() and not overwrite:
        raise UserError(
            f"{root} holds a finished pack; choose another --root, or --overwrite to render it anew"
        )
    _prepare(root, config)
    left = [t for t in plan(config) if not _is_done(root, t)]
    _require_space(root, len(left), config)
    people: dict[int, list[Task]] = {}
    for task in left:
        people.setdefault(task.identity, []).append(task)
    bar = tqdm(total=len(left), desc=f"render {config.split}", unit="clip", disable=not progress)
    try:
        for done in _run(root, config, list(people.values()), workers):
            bar.update(done)
    finally:
        bar.close()
        for stale in _partial_files(root):
            stale.unlink(missing_ok=True)
    return len(left)


def _run(root: Path, config: PackConfig, people: list[list[Task]], workers: int) -> Iterator[int]:
    if workers <= 1:
        for tasks in people:
            for task in tasks:
                yield _render_person(root, config, [task])
        return
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_render_person, root, config, tasks) for tasks in people]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BrokenProcessPool:
            raise UserError(
                "a rendering process died, probably for want of memory; run the same command "
                "again with fewer --workers"
            ) from None
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@lru_cache(maxsize=1)  # clips come person by person; one person takes about 20 MB
def _person(number: int, seed: int, variety: float) -> Identity:
    return make_identity(load_head(), number, seed, variety)


def _render_person(root: Path, config: PackConfig, tasks: list[Task]) -> int:
    for task in tasks:
        clip = render_clip(
            _person(task.identity, config.seed, config.variety),
            task.label,
            config.seed,
            task.frames,
            config.size,
            task.difficulty,
            take=task.take,
            manner=config.manner,
            every=config.every,
        )
        _store(root, config, task, clip)
    return len(tasks)


def _part_of(root: Path, task: Task) -> Path:
    return root / ".parts" / f"{task.clip}.npz"


def _is_done(root: Path, task: Task) -> bool:
    return _part_of(root, task).is_file() and (root / task.file).is_file()


def _partial_files(root: Path) -> list[Path]:
    return [p for d in (".", *FOLDERS.values(), ".parts") for p in (root / d).glob("*.part")]


def _prepare(root: Path, config: PackConfig) -> None:
    try:
        for folder in (FOLDERS[config.split], ".parts"):
            (root / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write to {root}: {error.strerror}; choose another --root"
        ) from None
    for stale in _partial_files(root):
        stale.unlink(missing_ok=True)
    options = root / ".parts" / f"options-{config.split}.json"
    # how many people may grow later; everything else must stay as it was
    wanted = {k: v for k, v in json.loads(json.dumps(asdict(config))).items() if k != "identities"}
    before = json.loads(options.read_text()) if options.is_file() else wanted
    # packs begun before there was a choice
    before = {"variety": 1.0, "every": 1, **before}
    before["manner"] = asdict(Manner()) | before.get("manner", {})
    if before != wanted:
        raise UserError(
            f"{root} holds an unfinished pack with other options; give the same options to go on "
            f"or delete {root / '.parts'} to start over"
        )
    _write(options, json.dumps(wanted).encode())


def _require_space(root: Path, clips: int, config: PackConfig) -> None:
    need = int(clips * (30_000 * (config.size / 224) ** 2 + 20_000) * config.frames[1] / 26)
    free = shutil.disk_usage(root).free
    if free < need:
        raise UserError(
            f"not enough disk space in {root}: about {need / 1e6:.0f} MB needed, "
            f"{free / 1e6:.0f} MB free; free some or choose another --root"
        )


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise UserError(f"cannot write {path}: {reason}") from None


def encode(frames: np.ndarray, fps: int | Fraction = FPS) -> bytes:
    """H.264 in mp4: (T, H, W, 3) uint8 RGB -> the file's bytes (yuv420p, crf 25)."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "25", "preset": "slow", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return out.getvalue()


def _store(root: Path, config: PackConfig, task: Task, clip: Clip) -> None:
    video = encode(clip.frames, Fraction(FPS, config.every))
    row = {
        "clip": task.clip,
        "file": task.file,
        "split": config.split,
        **{k: v for k, v in clip.info.items() if k in ("label", "identity", "frames")},
        "fps": FPS if config.every == 1 else FPS / config.every,
        "seed": config.seed,
        "take": task.take,
        **clip.info,
        "sha256": hashlib.sha256(video).hexdigest(),
    }
    eighths = np.rint(clip.landmarks * LANDMARK_STEPS).astype(np.int16)
    part = io.BytesIO()
    np.savez_compressed(
        part,
        row=np.array(json.dumps(row)),
        units=clip.units.astype(np.float16),
        landmarks=np.diff(eighths, axis=0, prepend=np.zeros_like(eighths[:1])),
        landmarks_seen=clip.landmarks_seen.astype(np.float16),
        box=clip.box.astype(np.float16),
        pose=clip.pose.astype(np.float16),
        visible=clip.visible,
    )
    _write(root / task.file, video)
    _write(_part_of(root, task), part.getvalue())


# --- finishing ---------------------------------------------------------------------------------


def finish(root: Path) -> dict[str, int]:
    """Write manifest.csv, truth.npz and SHA256SUMS from the parts of all splits in ``root``.

    Only people with all their clips are kept, so every fold stays balanced; other clips' files
    are left out of the manifest and deleted.

    Returns:
        Number of clips by split.

    Raises:
        UserError: nothing is rendered yet, or a video does not match its part.
    """
    parts = sorted((root / ".parts").glob("*.npz"))
    if not parts:
        raise UserError(f"nothing to finish in {root / '.parts'}: render some clips first")
    rows: list[dict] = []
    arrays: dict[str, list[np.ndarray]] = {}
    for path in parts:
        with np.load(path, allow_pickle=False) as part:
            row = json.loads(str(part["row"]))
            row["_arrays"] = {k: part[k] for k in part.files if k != "row"}
        rows.append(row)
    kept: list[dict] = []
    counts = {}
    for split in FOLDERS:
        mine = _whole_people([r for r in rows if r["split"] == split])
        if mine:
            assign_folds(mine, seed=mine[0]["seed"])
            kept += sorted(
                mine, key=lambda r: (r["identity"], CLASSES.index(r["label"]), r["take"])
            )
            counts[split] = len(mine)
    offsets = [0]
    for row in kept:
        data = root / row["file"]
        if not data.is_file() or hashlib.sha256(data.read_bytes()).hexdigest() != row["sha256"]:
            raise UserError(f"{data} does not match its part; delete it and render again")
        for key, value in row.pop("_arrays").items():
            arrays.setdefault(key, []).append(value)
        offsets.append(offsets[-1] + row["frames"])
    columns = [
        *MANIFEST_HEAD,
        *(k for k in kept[0] if k not in (*MANIFEST_HEAD, "sha256")),
        "sha256",
    ]
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept)
    _write(root / "manifest.csv", table.getvalue().encode())
    truth = io.BytesIO()
    np.savez_compressed(
        truth,
        clip=np.array([row["clip"] for row in kept]),
        offset=np.array(offsets, np.int64),
        unit_names=np.array(UNIT_NAMES),
        landmark_steps=np.array(LANDMARK_STEPS),
        **{key: np.concatenate(value) for key, value in arrays.items()},
    )
    _write(root / "truth.npz", truth.getvalue())
    wanted = {root / row["file"] for row in kept}
    for folder in FOLDERS.values():
        for file in (root / folder).glob("*.mp4"):
            if file not in wanted:
                file.unlink()
    write_checksums(root)
    return counts


def _whole_people(rows: list[dict]) -> list[dict]:
    by_person: dict[int, list[dict]] = {}
    for row in rows:
        by_person.setdefault(row["identity"], []).append(row)
    most = max((len(v) for v in by_person.values()), default=0)
    return [row for v in by_person.values() if len(v) == most for row in v]


def assign_folds(rows: list[dict], seed: int) -> None:
    """Set ``fold`` and ``longtail`` of each row, in place.

    Folds split people, dealt out after sorting by appearance so that every fold sees about the
    same mix. The long tail keeps DFEW's class proportions, as evenly over the folds as whole
    clips allow, with the most frequent class complete.
    """
    rng = np.random.default_rng([seed, 5])
    look = {row["identity"]: (row["gender"] > 0.5, row["melanin"]) for row in rows}
    order = sorted(look, key=lambda i: (look[i], i))
    fold_of: dict[int, int] = {}
    for start in range(0, len(order), FOLDS):
        block = order[start : start + FOLDS]
        for person, fold in zip(block, rng.permutation(FOLDS)[: len(block)], strict=True):
            fold_of[person] = int(fold) + 1
    for row in rows:
        row["fold"], row["longtail"] = fold_of[row["identity"]], 0
    top = max(DFEW_COUNTS)
    for label, count in zip(CLASSES, DFEW_COUNTS, strict=True):
        mine = [row for row in rows if row["label"] == label]
        quota = max(1, round(len(mine) * count / top)) if mine else 0
        by_fold = [[r for r in mine if r["fold"] == f] for f in range(1, FOLDS + 1)]
        for clips in by_fold:
            rng.shuffle(clips)
        turn = int(rng.integers(FOLDS))
        while quota and any(by_fold):
            clips = by_fold[turn % FOLDS]
            if clips:
                clips.pop()["longtail"] = 1
                quota -= 1
            turn += 1


def write_checksums(root: Path) -> None:
    """Write SHA256SUMS over all clips, manifest, truth and licence (``sha256sum -c`` reads it)."""
    files = [root / name for name in CHECKED if (root / name).is_file()]
    for folder in FOLDERS.values():
        files += sorted((root / folder).glob("*.mp4"))
    lines = [
        f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(root).as_posix()}\n"
        for f in files
    ]
    _write(root / "SHA256SUMS", "".join(lines).encode())
