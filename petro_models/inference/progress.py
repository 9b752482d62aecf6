"""How a long computation says where it is: a bar where someone watches, a line in a log."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

logger = logging.getLogger("petro_models")

_asked: ContextVar[bool | None] = ContextVar("asked", default=None)


@contextmanager
def shown(show: bool) -> Iterator[None]:
    """Show bars, or none, in what runs inside: as the caller of a long computation asked."""
    token = _asked.set(show)
    try:
        yield
    finally:
        _asked.reset(token)


def is_watched() -> bool:
    """Tell whether to show bars: as was asked, else where a terminal or a notebook is looking."""
    asked = _asked.get()
    return asked if asked is not None else sys.stderr.isatty() or "ipykernel" in sys.modules


@contextmanager
def bar(
    description: str, show: bool, *, log: bool = True
) -> Iterator[Callable[[float, str], None]]:
    """Show a bar from 0 to 1; yields ``update(fraction, message)``. Logs its end either way.

    Without `log` it does not: where the caller has more to say of the end.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not show) as progress:
        task = progress.add_task(description, total=1.0, note="")
        last = ""

        def update(fraction: float, message: str) -> None:
            nonlocal last
            last = message
            progress.update(task, completed=fraction, note=message)

        yield update
    if log:
        logger.info("%s: %s", description, last)
