"""Files whole in their place at the end, or not at all: one of them, or several at once."""

import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from petro_models.errors import ConfigurationError, FitError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; what is there at the end replaces `path`.

    Raises
    ------
    FitError
        If the folder does not exist or cannot be written.
    """
    target = Path(path)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            part = Path(folder) / target.name
            yield part
            _move(part, target, Path(folder))
    except OSError as error:
        raise FitError(f"{target}: cannot be written: {error.strerror or error}") from error


@contextmanager
def staged(folder: str | Path) -> Iterator[Path]:
    """Give a temporary folder; what is in it at the end moves to `folder`, else nothing does.

    Older files of the same names are replaced only then. After an error or Ctrl-C neither the
    temporary folder nor a folder made for it is left.

    Parameters
    ----------
    folder
        Made if it is not there, before anything is computed.

    Raises
    ------
    FitError
        If the folder cannot be made or written.
    """
    target = Path(folder)
    made = [parent for parent in (target, *target.parents) if not parent.exists()]
    try:
        try:
            target.mkdir(parents=True, exist_ok=True)
            temporary = tempfile.TemporaryDirectory(dir=target, prefix=".unfinished-")
        except OSError as error:
            raise FitError(f"{target}: cannot be written: {error.strerror or error}") from error
        with temporary as name:
            stage = Path(name)
            yield stage
            with _undisturbed():
                for part in list(stage.iterdir()):
                    _move(part, target / part.name, stage)
    except BaseException:
        for parent in made:
            with suppress(OSError):  # not empty, or never made
                parent.rmdir()
        raise


def refuse_existing(files: Sequence[Path], force: bool) -> None:
    """Refuse to replace files unless told to.

    Raises
    ------
    ConfigurationError
        If one is there.
    """
    for file in files:
        if file.exists() and not force:
            raise ConfigurationError(f"{file}: is there already; --force replaces it")


def _move(part: Path, target: Path, stage: Path) -> None:
    """Put a file or folder in the place of an older one."""
    try:
        if target.is_dir():
            os.replace(target, stage / f"previous-{target.name}")
        os.replace(part, target)
    except OSError as error:
        raise FitError(f"{target}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep Ctrl-C away while several files change places."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
