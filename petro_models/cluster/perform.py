"""Computing one item: what every engine calls, in whatever process it runs."""

import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from petro_models.cluster.records import Record, write_record
from petro_models.cluster.work import PLAN, Work, open_work
from petro_models.errors import PetroError

LONGEST_MESSAGE = 2000


def perform(folder: Path, index: int) -> Record:
    """Compute an item of a run and record what became of it; an error becomes a record.

    Parameters
    ----------
    folder
        Of the run.
    index
        Of the item.
    """
    work = _work_of(folder)
    begun, begin = Record.begun(work.plan.items[index]), time.perf_counter()
    try:
        write_record(folder, index, begun)
        record = replace(begun, state="done", message=work.compute(index))
    except Exception as error:  # noqa: BLE001 - one item's error must not lose the others
        record = replace(begun, state="failed", message=_in_words(error))
    record = replace(record, seconds=round(time.perf_counter() - begin, 3))
    try:
        write_record(folder, index, record)
    except PetroError as error:
        return replace(record, state="failed", message=_in_words(error))
    return record


def _work_of(folder: Path) -> Work:
    """Open the work of a run once in a process: preparing it may compile programs."""
    return _opened(folder, (folder / PLAN).stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _opened(folder: Path, _written: int) -> Work:
    return open_work(folder)


def _in_words(error: Exception) -> str:
    text = str(error) if isinstance(error, PetroError) else f"{type(error).__name__}: {error}"
    return text[:LONGEST_MESSAGE]
