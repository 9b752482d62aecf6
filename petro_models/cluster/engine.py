"""What engines have in common, and the loop that brings a run to its end with one of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from petro_models.cluster.locks import locked
from petro_models.cluster.records import Record, count_states, read_records
from petro_models.cluster.work import read_plan
from petro_models.errors import FitError
from petro_models.inference import progress

type Advance = Callable[[Record], None]


class Engine(ABC):
    """Computes items of a run somewhere; a context manager that ends its workers.

    Parameters
    ----------
    folder
        Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def run(self, indices: Sequence[int], advance: Advance) -> None:
        """Compute items, each with `perform`; `advance` hears the record of each."""

    @abstractmethod
    def close(self) -> None:
        """End the workers, whatever they are at."""

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class SerialEngine(Engine):
    """Computes items one after another in this process."""

    def run(self, indices: Sequence[int], advance: Advance) -> None:
        """Compute items; `advance` hears the record of each."""
        from petro_models.cluster.perform import perform

        for index in indices:
            advance(perform(self.folder, index))

    def close(self) -> None:
        """Do nothing: there are no workers."""


def run_items(folder: Path, make_engine: Callable[[Path], Engine], show: bool) -> list[Record]:
    """Compute all items of a run that are not done; gives the records of all.

    Parameters
    ----------
    folder
        Of the run.
    make_engine
        Called with the folder, only if there is anything to compute.
    show
        Whether to show a bar.

    Raises
    ------
    FitError
        If another run is at work in the folder, or an item fails that all others need.
    """
    plan = read_plan(folder)
    everything = range(len(plan.items))
    with locked(folder):
        records = read_records(folder, plan.items)
        if all(record.state == "done" for record in records):
            return records
        with progress.bar(plan.kind, show) as update, make_engine(folder) as engine:
            place = {item: index for index, item in enumerate(plan.items)}

            def advance(record: Record) -> None:
                records[place[record.item]] = record
                done = sum(each.state == "done" for each in records)
                update(done / len(records), count_states(records))

            for stage in (everything[: plan.leading], everything[plan.leading :]):
                engine.run([i for i in stage if records[i].state != "done"], advance)
                for record in records[: plan.leading]:
                    if record.state != "done":
                        raise FitError(f"{record.item}: {record.message}")
    return records
