"""What engines run: an ordered list of items, each computed alone and written to its own place."""

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from petro_models.cluster.records import FOLDER, Record, read_records, write_json
from petro_models.errors import FitError

RUN_FOLDER = "run"
"""Name of the folder of a run, inside the folder of its results."""
PLAN = "plan.json"
FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """What a run computes; written last, so that a folder without it was never begun.

    Attributes
    ----------
    kind
        Of the work, a key of `Work.registry`.
    items
        Names, in order.
    leading
        How many of the first items the others need.
    identity
        What it computes, as a hash: a run is resumed only by one that computes the same.
    options
        The work's own.
    format
        Of the folder.
    """

    kind: str
    items: tuple[str, ...]
    leading: int
    identity: str
    options: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT


class Work(ABC):
    """Items to compute in a folder of a run.

    Whatever an item needs is in the folder, so that any process that sees the folder can compute
    it; it writes to its own file or region, so that no two items meet.

    Attributes
    ----------
    folder
        Of the run.
    plan
        What is to be computed.
    """

    kind: ClassVar[str]
    registry: ClassVar[dict[str, type["Work"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Work.registry[cls.kind] = cls

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan

    @abstractmethod
    def compute(self, index: int) -> str:
        """Compute one item and write it to its place; gives a note for its record."""

    @abstractmethod
    def merge(self) -> list[Path]:
        """Put the items, all of which are done, together in `target`; gives the files of fits."""

    @property
    def target(self) -> Path:
        """Folder of the results: the one that the run's stands in."""
        return self.folder.parent


def write_plan(folder: Path, plan: Plan) -> None:
    """Declare a run, all of whose inputs are in the folder.

    Raises
    ------
    FitError
        If the folder cannot be written.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    write_json(folder / PLAN, asdict(plan))


def read_plan(folder: Path) -> Plan:
    """Read what a run computes.

    Raises
    ------
    FitError
        If there is no run, or one that this version does not know.
    """
    path = folder / PLAN
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        plan = Plan(**{**stored, "items": tuple(map(str, stored["items"]))})
    except FileNotFoundError as error:
        raise FitError(
            f"{folder}: no run was begun here. Begin one with "
            "petro-models fit PROBLEM.toml --engine local (or slurm, array)"
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FitError(f"{path}: cannot be read as the plan of a run: {error}") from error
    if plan.format != FORMAT:
        raise FitError(f"{path}: of another version of petro_models (format {plan.format})")
    return plan


def open_work(folder: Path) -> Work:
    """Open the work of a run.

    Raises
    ------
    FitError
        If there is none that this version knows.
    """
    import petro_models.runs  # noqa: F401 - registers every kind of work

    plan = read_plan(folder)
    if plan.kind not in Work.registry:
        raise FitError(
            f"{folder / PLAN}: of another version of petro_models: no work is named '{plan.kind}'"
        )
    return Work.registry[plan.kind](folder, plan)


def records_of(folder: Path) -> list[Record]:
    """Read what became of every item of a run."""
    return read_records(folder, read_plan(folder).items)


def require_done(folder: Path) -> None:
    """Refuse while items are missing.

    Raises
    ------
    FitError
        Names the items that are not done, with their reasons.
    """
    records = records_of(folder)
    lacking = [record for record in records if record.state != "done"]
    if not lacking:
        return
    named = [
        f"  {record.item}: {record.state}{f' ({record.message})' if record.message else ''}"
        for record in lacking[:8]
    ]
    more = [f"  and {len(lacking) - 8} more"] if len(lacking) > 8 else []
    raise FitError(
        f"{folder.parent}: {len(lacking)} of {len(records)} items are not done, so there is "
        "nothing to merge yet; run the same command again to compute them:\n"
        + "\n".join([*named, *more])
    )


def identity_of(*parts: Any) -> str:
    """Hash what a run computes."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def seed_of(root: int, index: int) -> int:
    """Give the seed of an item: it depends on the root seed and the item, on nothing else."""
    sequence = np.random.SeedSequence(root, spawn_key=(index,))
    return int(sequence.generate_state(1, np.uint32)[0] >> 1)
