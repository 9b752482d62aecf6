"""The engine of a plain job array: each task computes its share, found from the environment."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from petro_models.cluster.locks import refuse_if_held
from petro_models.cluster.perform import perform
from petro_models.cluster.records import Record, read_record
from petro_models.cluster.work import read_plan
from petro_models.errors import FitError

LOOK_S = 2.0


@dataclass(frozen=True)
class Task:
    """One task of a job array: its place from 0, and of how many."""

    place: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.place < self.count:
            raise FitError(f"task {self.place} of {self.count}: tasks are counted from 0")


def task_of(environment: Mapping[str, str]) -> Task:
    """Read which task of a Slurm job array this is.

    Raises
    ------
    FitError
        If the variables are not there, or the array's indices leave some out.
    """
    try:
        index = int(environment["SLURM_ARRAY_TASK_ID"])
        count = int(environment["SLURM_ARRAY_TASK_COUNT"])
        first = int(environment.get("SLURM_ARRAY_TASK_MIN", "0"))
        step = int(environment.get("SLURM_ARRAY_TASK_STEP", "1"))
        last = int(environment.get("SLURM_ARRAY_TASK_MAX", str(first + (count - 1) * step)))
    except (KeyError, ValueError) as error:
        raise FitError(
            "this is no task of a job array: SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT are "
            "not set. Start it with sbatch --array=0-9, or name --task 0 --tasks 10"
        ) from error
    if (last - first) // step + 1 != count:
        raise FitError(
            f"the job array's {count} tasks leave out indices between {first} and {last}: give "
            f"all of them, such as --array=0-{count - 1}; finished items are skipped anyway"
        )
    return Task((index - first) // step, count)


def run_share(folder: Path, task: Task, advance: Callable[[Record], None]) -> list[Record]:
    """Compute a task's share of a run, finished items left out; gives its records.

    The first task computes the items that all others need; the others wait for them.

    Parameters
    ----------
    folder
        Of the run.
    task
        Which share.
    advance
        Hears the record of each item computed.

    Raises
    ------
    FitError
        If a run with another engine is at work in the folder, or an item fails that all need.
    """
    refuse_if_held(folder)
    plan = read_plan(folder)
    others = range(plan.leading, len(plan.items))
    share = [*others[task.place :: task.count]]
    if task.place == 0:
        share = [*range(plan.leading), *share]
    records = []
    for index in share:
        if index >= plan.leading:
            _await_leading(folder, plan.items[: plan.leading])
        record = read_record(folder, index, plan.items[index])
        if record.state != "done":
            record = perform(folder, index)
            advance(record)
        records.append(record)
    return records


def _await_leading(folder: Path, items: tuple[str, ...]) -> None:
    for index, item in enumerate(items):
        while (record := read_record(folder, index, item)).state != "done":
            if record.state == "failed":
                raise FitError(f"{item}: {record.message}")
            time.sleep(LOOK_S)
