"""Status records: small files beside the results that say what became of every item."""

import json
import os
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from petro_models.errors import FitError

type State = Literal["done", "failed", "running", "interrupted", "missing"]
STATES: tuple[State, ...] = ("done", "running", "failed", "interrupted", "missing")
FOLDER = "status"


@dataclass(frozen=True)
class Record:
    """What became of one item.

    Attributes
    ----------
    item
        Its name.
    state
        ``done``; ``failed`` with the reason in `message`; ``running``; ``interrupted``: it was
        begun by a process that is no more; ``missing``: nobody began it.
    message
        Why it failed, or a note of the work.
    host, pid
        Where.
    began
        When (UTC).
    seconds
        How long it took.
    """

    item: str
    state: State
    message: str = ""
    host: str = ""
    pid: int = 0
    began: str = ""
    seconds: float = 0.0

    @classmethod
    def begun(cls, item: str) -> "Record":
        """Say that this process computes an item from now on."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(item, "running", host=socket.gethostname(), pid=os.getpid(), began=now)


def write_record(folder: Path, index: int, record: Record) -> None:
    """Write the record of an item, whole or not at all."""
    write_json(_path(folder, index), asdict(record))


def read_records(folder: Path, items: Sequence[str]) -> list[Record]:
    """Read what became of all items of a run; unreadable records count as interrupted."""
    return [read_record(folder, index, item) for index, item in enumerate(items)]


def read_record(folder: Path, index: int, item: str) -> Record:
    """Read what became of one item."""
    try:
        stored = json.loads(_path(folder, index).read_text(encoding="utf-8"))
        record = Record(**stored)
    except FileNotFoundError:
        return Record(item, "missing")
    except (ValueError, TypeError):
        return Record(item, "interrupted", "its status record cannot be read")
    if record.state not in STATES or record.item != item:
        return Record(item, "interrupted", "its status record is of another run")
    if record.state == "running" and not may_be_alive(record.host, record.pid):
        return Record(**{**stored, "state": "interrupted", "message": "its process is no more"})
    return record


def count_states(records: Sequence[Record]) -> str:
    """Say in words how many items are in each state.

    Examples
    --------
    >>> count_states([Record("a", "done"), Record("b", "missing"), Record("c", "done")])
    '2 of 3 done, 1 missing'
    """
    number = Counter(record.state for record in records)
    rest = [f"{number[state]} {state}" for state in STATES[1:] if number[state]]
    return ", ".join([f"{number['done']} of {len(records)} done", *rest])


def may_be_alive(host: str, pid: int) -> bool:
    """Tell whether a process may still run; of other machines' processes nothing is known."""
    if host != socket.gethostname() or os.name == "nt":
        return True  # where signal 0 would end the process, it is not asked
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def write_json(path: Path, content: Any) -> None:
    """Write a small file to a name of its own and rename it.

    Raises
    ------
    FitError
        If the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        part.write_text(json.dumps(content), encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise FitError(f"{path}: cannot be written: {error.strerror or error}") from error


def _path(folder: Path, index: int) -> Path:
    return folder / FOLDER / f"{index:06d}.json"


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False
