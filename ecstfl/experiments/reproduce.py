"""The reproduction: from a plan to the table and the figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ecstfl.distributed import is_main_process
from ecstfl.evaluation.reproduced import reference_runs
from ecstfl.experiments.plan import Plan, Work, carry_out
from ecstfl.experiments.report import render
from ecstfl.runs.places import Places


def reproduce(
    plan: Plan, places: Places, work: Work | None = None, against: Path | None = None
) -> list[Path]:
    """Train what is missing of a plan and write its table and figures.

    Args:
        plan: see :func:`ecstfl.experiments.plan.make_plan`.
        places: where to read and write.
        work: how; default: on what there is.
        against: a results folder, of reference results for example, to compare with: see
            :mod:`ecstfl.evaluation.reproduced`.

    Returns:
        The files written or found up to date: table first, then figures.

    Raises:
        UserError: anything in the input or the folders that stops the work, in one sentence.
    """
    main = is_main_process()  # of several that torchrun started, the one that prints and writes
    work = work or Work()
    work = work if main else replace(work, say=lambda _: None)
    reference = [] if against is None else reference_runs(against, plan.runs)
    carry_out(plan, places, work)
    work.say("Step 3 of 3: table and figures")
    if not main:
        return []
    # what the reader found amiss in the data
    notes = () if plan.clipset.synthetic else plan.clipset.notes
    return render(plan.runs, places, work, data_notes=notes, reference=reference)
