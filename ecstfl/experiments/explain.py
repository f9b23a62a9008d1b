"""Where a number of the table comes from: its runs, their commits, and how to train them again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ecstfl.datasets.opening import NAMES as DATA_NAMES
from ecstfl.errors import UserError
from ecstfl.evaluation.rows import baseline_of, by_row, printed_name, row_names
from ecstfl.evaluation.table import HEAD, Table, build_table, grid
from ecstfl.experiments.profiles import get_profile
from ecstfl.labels import CLASSES
from ecstfl.runs.config import RunConfig
from ecstfl.runs.run_folder import finished_run, run_directory


def explain(results: Path, configs: list[RunConfig], cell: str) -> str:
    """Tell the runs, the settings and the commands behind one cell.

    Args:
        results: the folder whose ``runs/`` the table is built from.
        configs: the plan.
        cell: ``ROW:COLUMN``. ROW is the number of a line (1 is the first) or a part of its
            name that no other line has; COLUMN is a class, ``UAR`` or ``WAR``.

    Returns:
        Lines of text: the cell as it is drawn, how it was computed, and each run with its own
        value, directory, commit and command.

    Raises:
        UserError: no such cell, or nothing is finished.
    """
    table = build_table(results, configs)
    kind, line, column = _find_cell(table, cell)
    name, shown = line[0], line[HEAD.index(column)]
    text = [f"{name}, {column.split()[0]}: {shown or '(empty)'}"]
    if kind == "published":
        (row,) = [r for r in table.published if name.endswith(f": {r.method}")]
        return "\n".join([*text, f"printed in: {row.source}; not measured here"]) + "\n"

    planned = by_row(configs)
    names = row_names(list(planned))
    (key,) = [k for k, row in names.items() if row == name.removeprefix("difference: ")]
    text.append(_how(kind, column))
    if kind == "result":
        text += _beside(table, printed_name(key), shown, HEAD.index(column))
    text += _runs(results, planned[key], column, "runs")
    baseline = baseline_of(key, planned)
    if kind == "difference" and baseline is not None:
        text += _runs(results, planned[baseline], column, "runs of softmax-only")
    text += [f"mark: {mark}" for mark in table.marks]
    return "\n".join(text) + "\n"


def _find_cell(table: Table, cell: str) -> tuple[str, tuple[str, ...], str]:
    """Return the kind and the cells of a line, and the head of a column."""
    row, colon, column = (part.strip() for part in cell.rpartition(":"))
    columns = {head.split()[0].lower(): head for head in HEAD[1:-1]}
    if not colon or column.lower() not in columns:
        raise UserError(
            f"no cell {cell!r}: give ROW:COLUMN with a line's number or name and one of "
            f"{', '.join(head.split()[0] for head in HEAD[1:-1])}"
        )
    drawn = grid(table)
    lines = list(zip(drawn.kinds, drawn.lines, strict=True))
    if row.isdecimal():
        found = lines[int(row) - 1 : int(row)] if int(row) else []
    else:
        exact = [one for one in lines if one[1][0].lower() == row.lower()]
        found = exact or [one for one in lines if row.lower() in one[1][0].lower()]
    if not row or len(found) != 1:
        known = "; ".join(f"{number} {line[0]}" for number, (_, line) in enumerate(lines, 1))
        what = f"{len(found)} lines" if found else "no line"
        raise UserError(
            f"{what} called {row!r}: use the number or the whole name of one of {known}"
        )
    return *found[0], columns[column.lower()]


def _how(kind: str, column: str) -> str:
    what = {
        "UAR": "mean of the recalls of the classes that have test clips",
        "WAR": "share of right predictions",
    }.get(column.split()[0], f"share of the {column} clips that are recognised")
    if kind == "difference":
        return f"{what}, method minus softmax-only, on the predictions that both have"
    return f"{what}, over the pooled test predictions of the runs below"


def _beside(table: Table, name: str | None, measured: str, index: int) -> list[str]:
    """The printed value of the same network and method, where there is one."""
    for line in grid(table).lines:
        printed = line[index]
        if line[0] == f"published, DFEW: {name}" and printed and measured != "–":
            gap = float(measured.split()[0]) - float(printed)
            caveat = "" if not table.marks else " (see the marks: not the same experiment)"
            return [f"published on DFEW: {printed}, difference {gap:+.2f}{caveat}"]
    return []


def _runs(results: Path, configs: list[RunConfig], column: str, title: str) -> list[str]:
    text = [f"{title}:"]
    for config in configs:
        run = finished_run(results, config)
        directory = run_directory(results, config)
        if run is None:
            text.append(f"  {config.name}: not finished")
        else:
            name = column.split()[0]
            value = run["recalls"][CLASSES.index(name)] if name in CLASSES else run[name.lower()]
            shown = "no clips of it" if value is None else f"{100 * value:.2f}"
            origin = run["provenance"]
            commit = (origin.get("commit") or "unknown")[:10]
            commit += " and changes" if origin.get("modified") else ""
            text.append(
                f"  {config.name}: {shown} on {run['n_held_out']} clips, "
                f"{run['seconds']:.0f} s on {run['device']}, finished {run['finished']}, "
                f"commit {commit}"
            )
            text.append(f"    {directory / 'run.json'}")
        text.append(f"    {command(config)}")
    return text


def command(config: RunConfig) -> str:
    """Return the command that trains exactly this run, or where its settings can be read."""
    loss, optim = config.loss, config.optim
    try:
        profile = get_profile(config.profile)
        (method,) = [m for m in profile.methods if m.method == loss.method][:1]
    except (UserError, ValueError):
        return "no command: settings were given in code; all of them are in run.json"
    expected = replace(
        config,
        preprocess=profile.preprocess,
        augment=profile.augment,
        backbone=profile.backbone,
        optim=replace(profile.optim, epochs=optim.epochs, batch=optim.batch),
        loss=replace(method, form=loss.form, weight=loss.weight),
    )
    if expected != config:
        return "no command: settings were given in code; all of them are in run.json"
    data = config.data if config.data in DATA_NAMES else "PATH"
    parts = ["ecstfl train", f"--data {data}", f"--profile {config.profile}"]
    if not config.synthetic and data != "PATH":
        parts.append("--root DIR")
    parts.append(f"--method {loss.method}")
    if loss.form != method.form:
        parts.append(f"--form {loss.form}")
    if loss.weight != method.weight:
        parts.append(f"--weight {loss.weight!r}")
    if optim.epochs != profile.optim.epochs:
        parts.append(f"--epochs {optim.epochs}")
    if optim.batch != profile.optim.batch:
        parts.append(f"--batch {optim.batch}")
    parts.append(f"--fold {config.fold} --seed {config.seed}")
    if config.evaluate == "validation":
        parts.append("--validate")
    return " ".join(parts)
