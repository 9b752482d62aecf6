"""Runs of many items on the command line: `work`, `status`, `merge`, and `fit` with an engine."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from petro_models.errors import ConfigurationError, FitError

if TYPE_CHECKING:
    from petro_models.cluster.records import Record
    from petro_models.configuration import Configuration

STATE_STYLES = {
    "done": "green",
    "running": "cyan",
    "failed": "bold red",
    "interrupted": "yellow",
    "missing": "dim",
}
MOST_SHOWN = 40
"""Items of one state that the table of a run names."""

Out = Annotated[Path, typer.Argument(metavar="OUT")]


def compute_run(
    configurations: "Sequence[Configuration]", target: Path, engine: str, quiet: bool
) -> list[Path]:
    """Begin or resume a run, compute what is missing and merge; gives the files of the fits.

    Gives none with the engine ``array``, which only lays the work down.

    Raises
    ------
    FitError
        If items failed; what is done stays.
    """
    from petro_models.runs import begin_run

    folder = begin_run(configurations, target)
    return compute_items(folder, engine, configurations[0].sections["engine"], quiet)


def compute_items(
    folder: Path, engine: str, settings: dict[str, Any], quiet: bool = False
) -> list[Path]:
    """Compute what is missing of a run that was laid down, and merge; gives the merged files.

    Gives none with the engine ``array``.

    Raises
    ------
    FitError
        If items failed; what is done stays.
    """
    from petro_models.cluster.engine import run_items
    from petro_models.inference import progress
    from petro_models.runs import engine_maker

    target = folder.parent
    if engine == "array":
        _explain_array(folder, target)
        return []
    show = progress.is_watched() and not quiet
    records = run_items(folder, engine_maker(engine, settings), show)
    if any(record.state != "done" for record in records):
        _print_records(records)
    return _merged(target)


def work(
    out: Out,
    array: Annotated[
        bool, typer.Option("--array", help="Which share: from the variables of a Slurm job array.")
    ] = False,
    task: Annotated[int | None, typer.Option(help="Which share, from 0.")] = None,
    tasks: Annotated[int | None, typer.Option(help="Of how many.")] = None,
) -> None:
    """Compute one share of a run that `fit` or `calibrate` laid down with --engine array."""
    from petro_models.cluster.array import Task, run_share, task_of
    from petro_models.cluster.processes import prepare_process

    if array == (task is not None) or (task is None) != (tasks is None):
        raise ConfigurationError("say which share: either --array, or --task 0 --tasks 10")
    prepare_process()
    share = task_of(os.environ) if task is None or tasks is None else Task(task, tasks)
    records = run_share(_run_folder(out), share, _say)
    failed = [record for record in records if record.state != "done"]
    typer.echo(f"task {share.place} of {share.count}: {len(records) - len(failed)} items done")
    if failed:
        raise FitError(f"{len(failed)} items failed; see petro-models status {out}")


def status(out: Out) -> None:
    """Show what became of every item of a run."""
    from petro_models.cluster.locks import holder_of
    from petro_models.cluster.records import count_states
    from petro_models.cluster.work import read_plan, records_of

    folder = _run_folder(out)
    plan, records = read_plan(folder), records_of(folder)
    holder = holder_of(folder)
    typer.echo(f"{plan.kind}: {count_states(records)}")
    typer.echo(f"at work: {holder}" if holder else "no run holds the folder")
    _print_records(records)


def merge(out: Out) -> None:
    """Put the items of a finished run together: the fit and its report."""
    for file in _merged(out):
        typer.echo(f"wrote {file}")


def _merged(target: Path) -> list[Path]:
    from petro_models.runs import merge_run

    return merge_run(_run_folder(target))


def _run_folder(out: Path) -> Path:
    from petro_models.cluster.work import RUN_FOLDER

    return (out / RUN_FOLDER).absolute()


def _explain_array(folder: Path, target: Path) -> None:
    from petro_models.cluster.work import read_plan

    count = len(read_plan(folder).items)
    last = min(count, 16) - 1
    typer.echo(
        f"laid down {count} items in {folder}. Submit them, for example as {last + 1} tasks, and "
        "again after a fault: finished items are skipped.\n"
        f"  sbatch --array=0-{last} --wrap 'petro-models work {target} --array'\n"
        f"  petro-models status {target}\n"
        f"  petro-models merge {target}"
    )


def _say(record: "Record") -> None:
    typer.echo(f"{record.item}: {record.state}, {record.seconds:.1f} s {record.message}".rstrip())


def _print_records(records: "Sequence[Record]") -> None:
    from petro_models.cli import _console

    table = Table("item", "state", "seconds", "where", "note")
    shown = dict.fromkeys(STATE_STYLES, 0)
    for record in records:
        shown[record.state] += 1
        if shown[record.state] > MOST_SHOWN:
            continue
        where = f"{record.host}:{record.pid}" if record.pid else ""
        seconds = f"{record.seconds:.1f}" if record.seconds else ""
        styled = Text(record.state, STATE_STYLES[record.state])
        table.add_row(Text(record.item), styled, seconds, where, Text(record.message))
    _console().print(table)
    for state, number in shown.items():
        if number > MOST_SHOWN:
            typer.echo(f"{number - MOST_SHOWN} more are {state}")
