"""How many times faster than real time `predict` is: `python benchmarks/predict.py MODEL VIDEO`.

On a shared machine the wall clock tells how busy the others are, so processor time is printed too:
of the whole process, and of its two threads (decoding and faces; alignment and network). With two
free cores the slower thread sets the pace.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import cv2
import torch

from ecstfl.predict.recognizer import Recognizer, Stream, frame_rate
from ecstfl.video.reading import read_frames


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    recognizer = Recognizer(args.model)
    fps = frame_rate(args.video) or 25.0
    first = next(read_frames(args.video))
    print(f"{args.video.name}: {first.shape[1]} x {first.shape[0]}, {fps:.2f} frames/s")
    for _ in range(args.repeats):
        stream = Stream(recognizer, fps)
        wall, all_threads, own = time.perf_counter(), time.process_time(), time.thread_time()
        frames = sum(1 for _ in stream.run(read_frames(args.video)))
        wall, all_threads = time.perf_counter() - wall, time.process_time() - all_threads
        own = time.thread_time() - own
        seconds = frames / fps
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        pace = seconds / max(own, all_threads - own)
        print(
            f"{frames} frames ({seconds:.1f} s): wall {wall:.2f} s = {seconds / wall:.1f} x real "
            f"time at load {load:.1f}; processor {all_threads:.2f} s = "
            f"{seconds / all_threads:.1f} x on one core; threads {own:.2f} + "
            f"{all_threads - own:.2f} s = {pace:.1f} x on two free cores"
        )


if __name__ == "__main__":
    main()
