"""One run in a folder at a time: a lock that names its holder and shows when it is stale."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from petro_models.cluster.records import may_be_alive
from petro_models.errors import FitError

NAME = "lock"
HEARTBEAT_S = 20.0
STALE_S = 300.0
"""A lock that was not touched for so long has lost its holder, whoever has its number now."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, and since when."""

    host: str
    pid: int
    since: str
    token: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder.

    A lock whose process is no more, or which has not been touched for five minutes, is taken over.

    Raises
    ------
    FitError
        If another run holds it; names host and process.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    mine = Holder(socket.gethostname(), os.getpid(), now, uuid4().hex)
    path = folder / NAME
    _acquire(path, mine)
    stop = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    beating.start()
    try:
        yield
    finally:
        stop.set()
        beating.join()
        if (holder := _read(path)) and holder.token == mine.token:
            path.unlink(missing_ok=True)


def holder_of(folder: Path) -> Holder | None:
    """Give who holds the lock of a folder; None where nobody does, or the lock is stale."""
    path = folder / NAME
    holder = _read(path)
    return holder if holder and not _is_stale(path, holder) else None


def refuse_if_held(folder: Path) -> None:
    """Refuse where another run is at work.

    Raises
    ------
    FitError
        If a living run holds the lock.
    """
    if holder := holder_of(folder):
        raise FitError(_message(folder / NAME, holder))


def _acquire(path: Path, mine: Holder) -> None:
    for _ in range(3):
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(asdict(mine), file)
            return
        except FileExistsError:
            _clear_if_stale(path)
        except OSError as error:
            raise FitError(f"{path}: cannot be written: {error.strerror or error}") from error
    raise FitError(f"{path}: other runs take this lock again and again")


def _clear_if_stale(path: Path) -> None:
    holder = _read(path)
    if holder is None:
        # Its maker may be between opening and writing: give it a moment.
        time.sleep(0.2)
        holder = _read(path)
    if holder and not _is_stale(path, holder):
        raise FitError(_message(path, holder))
    aside = path.with_name(f"{NAME}.stale.{uuid4().hex}")
    with suppress(FileNotFoundError):
        os.rename(path, aside)  # of several that saw it stale one succeeds
        aside.unlink()


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _is_stale(path: Path, holder: Holder) -> bool:
    if not may_be_alive(holder.host, holder.pid):
        return True
    try:
        return time.time() - path.stat().st_mtime > STALE_S
    except OSError:
        return True


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        with suppress(OSError):
            os.utime(path)


def _message(path: Path, holder: Holder) -> str:
    return (
        f"{path.parent}: another run is at work here ({holder}). Wait for it, name another folder, "
        f"or delete {path} if you know that it is no more"
    )
