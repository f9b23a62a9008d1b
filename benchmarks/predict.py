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

from ecstfl.predict.recognizer import Recognizer, Stream, timed


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
    for _ in range(args.repeats):
        stream = Stream(recognizer)
        wall, all_threads, own = time.perf_counter(), time.process_time(), time.thread_time()
        for _, frame, _ in stream.run(timed(args.video)):
            height, width = frame.shape[:2]
        wall, all_threads = time.perf_counter() - wall, time.process_time() - all_threads
        own = time.thread_time() - own
        seconds = stream.duration
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        pace = seconds / max(own, all_threads - own)
        print(
            f"{args.video.name}: {width} x {height}, {stream.n_frames} frames ({seconds:.1f} s): "
            f"wall {wall:.2f} s = {seconds / wall:.1f} x real time at load {load:.1f}; processor "
            f"{all_threads:.2f} s = {seconds / all_threads:.1f} x on one core; threads {own:.2f} + "
            f"{all_threads - own:.2f} s = {pace:.1f} x on two free cores"
        )


if __name__ == "__main__":
    main()
