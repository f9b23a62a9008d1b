"""The commands ``ecstfl train``, ``reproduce`` and ``study``: runs of a profile on a data set."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecstfl.cli.options import add_places, add_root, add_workers
from ecstfl.errors import UserError

if TYPE_CHECKING:  # torch takes seconds to import: --help must not wait for it
    from ecstfl.datasets.clipset import ClipSet
    from ecstfl.experiments.plan import Work
    from ecstfl.experiments.profiles import Profile
    from ecstfl.runs.places import Places


def add_train(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``train``."""
    parser.description = "Train one run of a profile to its last epoch and print its result."
    _add_data(parser)
    _add_settings(parser)
    parser.add_argument(
        "--method",
        default="ec-stfl",
        help="softmax, ec-stfl (default), center, contrastive-center, supcon or triplet",
    )
    parser.add_argument(
        "--form",
        choices=("patent", "paper", "released"),
        default=None,
        help="which published definition (default: the profile's)",
    )
    parser.add_argument("--fold", type=int, default=1, help="fold held out for test (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--validate",
        action="store_true",
        help="score the next fold in place of the test fold, which stays unseen: "
        "for choosing settings",
    )
    add_places(parser)
    parser.set_defaults(run=_train)


def _train(args: argparse.Namespace) -> int:
    from ecstfl.distributed import is_main_process, process_group
    from ecstfl.experiments.plan import choose_device, make_plan
    from ecstfl.experiments.profiles import get_profile
    from ecstfl.experiments.reproduce import reproduce
    from ecstfl.losses.methods import METHODS, LossConfig
    from ecstfl.runs.run_folder import run_directory

    _infer(args)
    profile = _profile(args, get_profile(args.profile))
    known = [m for m in profile.methods if m.method == args.method]
    same_form = [m for m in known if args.form in (None, m.form)]
    if known:
        method = same_form[0] if same_form else replace(known[0], form=args.form)
        if args.weight is not None and method.method != "softmax":
            method = replace(method, weight=args.weight)
    elif args.method not in METHODS:
        raise UserError(f"unknown method {args.method!r}: use one of {', '.join(METHODS)}")
    elif args.weight is None:
        raise UserError(f"--method {args.method} needs a --weight: no profile has chosen one")
    else:
        method = LossConfig(args.method, weight=args.weight)
    profile = replace(profile, methods=(method,))
    clipset = _open(args)
    places = _places(args, "-train")
    with process_group(choose_device(args.device)):
        plan = make_plan(
            profile,
            clipset,
            places,
            folds=(args.fold,),
            seeds=(args.seed,),
            evaluate="validation" if args.validate else "test",
        )
        reproduce(plan, places, _work(args, workers=1))
        if is_main_process():
            model = run_directory(places.results, plan.runs[0]) / "model.safetensors"
            print(f"The model, for ecstfl predict VIDEO --model FILE: {model}")
    return 0


def add_reproduce(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``reproduce``."""
    parser.description = (
        "Preprocess, train softmax-only and with EC-STFL, and write the table and "
        "the figures. Finished runs are reused, interrupted ones go on."
    )
    _add_data(parser)
    _add_settings(parser)
    parser.add_argument("--folds", type=int, nargs="+", metavar="K", help="folds to test")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="S", help="seeds of each method")
    parser.add_argument(
        "--methods",
        nargs="+",
        metavar="NAME",
        help="only these of the profile's methods, e.g. softmax ec-stfl:patent:0.1",
    )
    add_workers(parser, "runs trained side by side (default: one a core, or one on a GPU)")
    parser.add_argument(
        "--no-train", action="store_true", help="render the runs that are finished, train none"
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="DIR",
        help="compare with the runs of another results folder, e.g. results/landed/quick, and say "
        "whether the result is the same within its tolerance",
    )
    add_places(parser)
    parser.set_defaults(run=_reproduce)


def _reproduce(args: argparse.Namespace) -> int:
    from ecstfl.distributed import process_group
    from ecstfl.experiments.plan import choose_device, make_plan
    from ecstfl.experiments.profiles import choose_methods, get_profile
    from ecstfl.experiments.reproduce import reproduce

    _infer(args)
    work = _work(args, train=not args.no_train)
    profile = _profile(args, get_profile(args.profile))
    if args.methods:
        profile = choose_methods(profile, args.methods)
    places = _places(args)
    clipset = _open(args)
    with process_group(choose_device(args.device)):
        plan = make_plan(profile, clipset, places, folds=args.folds, seeds=args.seeds)
        reproduce(plan, places, work, against=args.against)
    return 0


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``study``."""
    parser.description = (
        "What does EC-STFL need in order to help? Train variations of a profile, each "
        "beside softmax-only under the same setting, score validation folds (never a test fold), "
        "and write study.csv, study.md and a figure."
    )
    _add_data(parser)
    _add_settings(parser)
    parser.add_argument(
        "--axes",
        nargs="+",
        default=["patent", "warmup", "tap"],
        metavar="AXIS",
        help="patent, paper, released (lambda of each form), center (lambda of center loss), "
        "bounded (features), people, noise (wrong labels), votes (of raters), warmup, tap, "
        "sampler, batch, epochs, width, cousins (default: patent warmup tap)",
    )
    parser.add_argument("--folds", type=int, nargs="+", metavar="K", help="test folds to leave out")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="S")
    add_workers(parser, "runs trained side by side")
    parser.add_argument("--draw-only", action="store_true", help="draw finished runs, train none")
    add_places(parser)
    parser.set_defaults(run=_study)


def _study(args: argparse.Namespace) -> int:
    from ecstfl.experiments.axes import plan_study
    from ecstfl.experiments.plan import make_plan
    from ecstfl.experiments.profiles import get_profile
    from ecstfl.experiments.study import study

    _infer(args)
    work = _work(args, train=not args.draw_only)
    places = _places(args, "-study")
    plan = make_plan(
        _profile(args, get_profile(args.profile)),
        _open(args),
        places,
        folds=args.folds,
        seeds=args.seeds,
        evaluate="validation",
    )
    trials, plan = plan_study(plan, args.axes)
    study(plan, trials, places, work)
    return 0


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        metavar="NAME|PATH",
        help="embedded, embedded-longtail, dfew, ravdess, crema-d, a folder with "
        "one sub-folder per expression, or a CSV (default: embedded)",
    )
    add_root(parser)
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="go on without clips that are missing or broken; the results then say so",
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="smoke, quick, full or paper (default: quick, or that of the runs in --results)",
    )
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        help="c3d, r3d18, resnet3d18, r2plus1d18, p3d, i3d, vgg11-lstm or resnet18-lstm; "
        "default: the profile's",
    )
    parser.add_argument(
        "--width", type=int, help="channels of the first convolution; default: the profile's"
    )
    parser.add_argument("--epochs", type=int, help="default: the profile's")
    parser.add_argument("--batch", type=int, help="clips a step; default: the profile's")
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        help="bf16: bfloat16 autocast, fast on GPUs and on CPUs with AVX512-BF16 or AMX, slow on "
        "others; default: the profile's",
    )
    parser.add_argument(
        "--optimizer",
        metavar="NAME",
        help="adamw, or muon: kernels and matrices by Muon, the rest by AdamW; default: the "
        "profile's",
    )
    parser.add_argument(
        "--augment",
        choices=("real",),
        help="real: vary light, colour, sharpness, noise, patches and stillness as well, for "
        "networks that are to meet real faces; default: the profile's",
    )
    parser.add_argument(
        "--compile",
        choices=("off", "on", "graphs"),
        help="on: the network through torch.compile; graphs: as CUDA graphs too (GPU only); "
        "other digits, so other runs; default: the profile's, which is off",
    )
    parser.add_argument(
        "--weight",
        type=float,
        metavar="LAMBDA",
        help="weight of EC-STFL; default: the profile's for C3D, a tenth of it with another "
        "--backbone, whose features nothing bounds",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")


def _infer(args: argparse.Namespace) -> None:
    """Fill in profile and data set, where none is given: those of the runs in ``--results``."""
    from ecstfl.experiments.plan import settings_of

    of_runs = {} if args.results is None else settings_of(args.results)
    if not of_runs.get("data", "").startswith("embedded"):
        of_runs.pop("data", None)  # where other data lie is not kept
    for name, default in (("profile", "quick"), ("data", "embedded")):
        if getattr(args, name) is None:
            setattr(args, name, of_runs.get(name, default))


def _work(args: argparse.Namespace, **more: Any) -> Work:
    from ecstfl.experiments.plan import Work

    settings = {"workers": getattr(args, "workers", None)} | more
    return Work(
        device=args.device,
        allow_missing=args.allow_missing,
        command=args.command_line,
        **settings,
    )


def _profile(args: argparse.Namespace, profile: Profile) -> Profile:
    """Apply the options of :func:`_add_settings` to a profile."""
    from ecstfl.clips.augment import for_real_faces
    from ecstfl.experiments.profiles import with_network

    if args.backbone is not None:
        profile = with_network(profile, args.backbone)
    backbone = profile.backbone
    if args.width is not None:
        backbone = replace(backbone, width=args.width)
    names = ("epochs", "batch", "precision", "compile", "optimizer")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    optim = replace(profile.optim, **given)
    methods = profile.methods
    if args.weight is not None:
        methods = tuple(  # two rows of one form become one
            dict.fromkeys(
                replace(m, weight=args.weight) if m.method == "ec-stfl" else m for m in methods
            )
        )
    augment = for_real_faces(profile.augment) if args.augment == "real" else profile.augment
    return replace(profile, backbone=backbone, optim=optim, methods=methods, augment=augment)


def _open(args: argparse.Namespace) -> ClipSet:
    from ecstfl.datasets.opening import open_data

    clipset = open_data(args.data, args.root, allow_missing=args.allow_missing, layout=args.layout)
    for note in clipset.notes:
        print(f"Note: {note}")
    return clipset


def _places(args: argparse.Namespace, suffix: str = "") -> Places:
    from ecstfl.runs.places import Places

    tag = _tag(args) + suffix
    return Places(args.results or Path("results") / tag, args.figures / tag, args.cache)


def _tag(args: argparse.Namespace) -> str:
    """Folder name below results/ and figures/: the profile, and the data when not embedded."""
    if args.data == "embedded":
        return args.profile
    kind = f"-{args.layout}" if args.layout else ""
    return f"{Path(args.data).stem}{kind}-{args.profile}"
