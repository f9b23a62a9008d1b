"""Frames per second of decoding, detecting, aligning and the whole, side by side in one run.

    python benchmarks/faces.py [--video FILE] [--json OUT] [--rounds 5] [--scaling FOLDER]

Everything runs on one thread. Each round measures every contestant once, in turn, so that other
load on the machine hits all alike; times are CPU time of this process, medians over rounds.
Without ``--video`` a 640 x 360 clip is made from the public-domain portrait of scikit-image.
Contestants that are not installed are left out and named.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import scipy.linalg  # noqa: E402

from ecstfl import align, faces, preprocess, temporal, video  # noqa: E402

cv2.setNumThreads(1)


def portrait_video(path, frames=48):
    """Write a 640 x 360 clip: a virtual camera moves over the portrait."""
    import av
    from skimage import data

    image = data.astronaut()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for k in range(frames):
            move = cv2.getRotationMatrix2D(
                (225, 130), 8 * np.sin(k / 9), 1.3 + 0.2 * np.cos(k / 13)
            )
            move[:, 2] += np.array([320, 190]) - [225, 130]
            picture = cv2.warpAffine(image, move, (640, 360), borderMode=cv2.BORDER_REFLECT)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


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
    """face-alignment with a randomly initialised FAN (same arithmetic, meaningless points)."""
    import face_alignment
    import torch
    from face_alignment.models import FAN

    torch.set_num_threads(1)
    original = face_alignment.FaceAlignment._load_native
    face_alignment.FaceAlignment._load_native = lambda self, *a: FAN(4).eval()
    try:
        detector = face_alignment.FaceAlignment(
            face_alignment.LandmarksType.TWO_D,
            device="cpu",
            flip_input=False,
            compile=False,
            face_detector="folder",
        )
    finally:
        face_alignment.FaceAlignment._load_native = original
    if boxes is None:
        from face_alignment.detection.sfd.detect import batch_detect
        from face_alignment.detection.sfd.net_s3fd import s3fd

        net = s3fd().eval()

        def its_own(image):
            with torch.no_grad():
                batch_detect(net, torch.from_numpy(image.transpose(2, 0, 1).copy())[None], "cpu")
            height, width = image.shape[:2]  # a random detector finds nothing of use
            return [[width * 0.35, height * 0.2, width * 0.65, height * 0.9, 1.0]]

        class Detector:
            reference_scale = 195

            @staticmethod
            def detect_from_image(image):
                return its_own(image)

        detector.face_detector = Detector()
    else:
        detector.face_detector = faces._Boxes(boxes)
    return lambda frame: detector.get_landmarks_from_image(frame.copy())


def contestants(clip, path):
    """Name -> (function, frames it handles)."""
    retinaface = faces.RetinaFace()
    whole_frame = faces.RetinaFace()
    config = preprocess.PreprocessConfig(frames=16, size=112)
    points = np.stack([d.points5 for _, _, d in faces.track(clip, retinaface) if d is not None])
    matrices = align.alignment_matrices(points)
    oversample = align.supersampling(matrices)
    few = clip[:: max(1, len(clip) // 2)][:2]
    table = {
        "decode": (lambda: list(video.read_frames(path)), len(clip)),
        "detect: followed": (lambda: list(faces.track(clip, retinaface)), len(clip)),
        "detect: every frame whole": (
            lambda: list(faces.track(clip, whole_frame, follow=False)),
            len(clip),
        ),
        "align": (
            lambda: [
                align.warp(f, m, 112, oversample) for f, m in zip(clip, matrices, strict=False)
            ],
            len(clip),
        ),
        "whole: file to 16 x 112 x 112": (
            lambda: preprocess.preprocess_clip(path, config, retinaface),
            len(clip),
        ),
    }
    left_out = {}

    def add(name, make):
        try:
            detect = make()
        except Exception as error:
            left_out[name] = f"{type(error).__name__}: {error}"
            return
        table[name] = (lambda: [detect(f) for f in few], len(few))

    add("face-alignment: its S3FD + FAN (random weights)", face_alignment_random)
    add(
        "face-alignment: our boxes + FAN (random weights)",
        lambda: face_alignment_random(retinaface),
    )

    def mtcnn():
        from facenet_pytorch import MTCNN

        net = MTCNN(keep_all=True, device="cpu")
        return lambda frame: net.detect(frame, landmarks=True)

    def dlib_hog():
        import dlib

        finder = dlib.get_frontal_face_detector()
        return lambda frame: finder(frame, 0)

    add("MTCNN (facenet-pytorch)", mtcnn)
    add("dlib HOG (boxes only)", dlib_hog)
    return table, left_out


def measure(functions, rounds):
    """Median seconds of CPU time a call, all contestants once a round."""
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            function()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def temporal_table(rounds):
    """Median seconds of TIM three ways, and the largest difference between first and last."""
    frames = np.random.default_rng(0).integers(0, 256, (70, 112, 112, 3), dtype=np.uint8)
    functions = {
        "TIM 70 -> 16, 112 x 112: this package": lambda: temporal.tim(frames, 16),
        "TIM: through the Gram matrix": lambda: temporal.tim_published(frames, 16),
        "TIM: plain transcription": lambda: tim_plain(frames, 16),
        "linear interpolation": lambda: temporal.linear(frames, 16),
    }
    error = np.abs(temporal.tim(frames, 16) - tim_plain(frames, 16)).max()
    return measure(functions, rounds), float(error)


def scaling(folder):
    """Wall-clock clips/s over a folder with 1, 2, ... workers (needs an idle machine)."""
    from ecstfl.inputs import clipset_from_inputs

    data, _ = clipset_from_inputs([folder])
    result = {}
    for workers in range(1, preprocess._cores() + 1):
        with tempfile.TemporaryDirectory() as cache:
            start = time.perf_counter()
            preprocess.preprocess(data, preprocess.PreprocessConfig(), Path(cache), workers, False)
            result[workers] = len(data) / (time.perf_counter() - start)
    return result


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, help="a 640 x 360 video (default: made here)")
    parser.add_argument("--frames", type=int, default=48, help="of the video, at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scaling", type=Path, metavar="FOLDER", help="also measure over cores")
    parser.add_argument("--json", type=Path, metavar="OUT")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "portrait.mp4"
        portrait_video(path, args.frames)
        if args.video:
            import av

            clip = [
                f for f, _ in zip(video.read_frames(args.video), range(args.frames), strict=False)
            ]
            with av.open(str(path), "w") as container:  # the same frames as a file of that length
                stream = container.add_stream("libx264", rate=25)
                stream.height, stream.width = clip[0].shape[:2]
                stream.pix_fmt = "yuv420p"
                for frame in clip:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                container.mux(stream.encode(None))
        clip = list(video.read_frames(path))
        table, left_out = contestants(clip, path)
        seconds = measure({name: function for name, (function, _) in table.items()}, args.rounds)
        rates = {name: table[name][1] / seconds[name] for name in table}
        tim, error = temporal_table(args.rounds)
        cores = scaling(args.scaling) if args.scaling else {}
    whole = rates["whole: file to 16 x 112 x 112"]
    print(f"{clip[0].shape[1]} x {clip[0].shape[0]}, {len(clip)} frames, one thread, CPU time")
    for name, rate in rates.items():
        print(f"  {name:52s} {rate:8.1f} frames/s  {1000 / rate:8.2f} ms  {whole / rate:7.1f}")
    print("  (last column: how many times slower than the whole of this package)")
    for name, why in left_out.items():
        print(f"  left out: {name} ({why})")
    for name, value in tim.items():
        print(f"  {name:52s} {1000 * value:8.1f} ms")
    ratio = tim["TIM: plain transcription"] / tim["TIM 70 -> 16, 112 x 112: this package"]
    print(f"  plain / this package: {ratio:.1f}; largest difference {error:.1e}")
    for workers, rate in cores.items():
        print(f"  {workers} workers: {rate:.2f} clips/s (wall clock)")
    if args.json:
        result = {
            "machine": {
                "cpu": _cpu(),
                "system": platform.system(),
                "python": sys.version.split()[0],
                "opencv": cv2.__version__,
                "numpy": np.__version__,
            },
            "clip": [len(clip), *clip[0].shape],
            "rounds": args.rounds,
            "frames_per_second": rates,
            "left_out": left_out,
            "tim_seconds": tim,
            "tim_ratio": ratio,
            "tim_difference": error,
            "clips_per_second_by_workers": cores,
        }
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
