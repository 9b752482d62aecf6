"""Theriak as an engine, through the package pytheriak; loaded only when it is asked for.

pytheriak writes its input into the working folder, so every worker is a process in a folder of its
own, with a copy of the database.
"""

import importlib
import importlib.util
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from petro_models.errors import ConfigurationError, DataError, FormatError
from petro_models.io.equilibrium_grid import Points

if TYPE_CHECKING:
    from petro_models.thermodynamics.engines import Bulk, Theriak

_CHARGES = {
    "SI": 4.0,
    "TI": 4.0,
    "AL": 3.0,
    "FE": 2.0,
    "MG": 2.0,
    "MN": 2.0,
    "CA": 2.0,
    "NA": 1.0,
    "K": 1.0,
    "H": 1.0,
    "O": -2.0,
}


@contextmanager
def runner(
    engine: "Theriak", levels: "list[Bulk]", workers: int
) -> Iterator[tuple[Executor, Callable[[int, np.ndarray], Points]]]:
    """Give a pool of processes and what they run on one level and piece of the grid.

    Raises
    ------
    ConfigurationError
        If pytheriak, Theriak or the database is not there.
    """
    if importlib.util.find_spec("pytheriak") is None:
        raise ConfigurationError(
            "Theriak needs the package pytheriak, which is not installed: 'pip install pytheriak', "
            "and Theriak-Domino itself."
        )
    programs, database = Path(engine.programs_folder), Path(engine.database)
    if not any((programs / name).is_file() for name in ("theriak", "theriak.exe")):
        raise ConfigurationError(f"{programs}: has no program 'theriak'.")
    if not database.is_file():
        raise ConfigurationError(f"{database}: there is no such database file.")
    bulks = [_therin_bulk(level) for level in levels]
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="petro-theriak-") as folder,
        ProcessPoolExecutor(
            workers, mp_context=context, initializer=_enter, initargs=(folder, engine)
        ) as executor,
    ):
        yield executor, partial(_run_level, engine, bulks)


def _enter(parent: str, engine: "Theriak") -> None:
    """Give a worker process a folder of its own with what Theriak looks for there."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    shutil.copy(engine.database, folder)
    settings = Path(engine.programs_folder).resolve() / "theriak.ini"
    if settings.is_file():
        shutil.copy(settings, folder)
    os.chdir(folder)


def _run_level(engine: "Theriak", bulks: list[str], level: int, piece: np.ndarray) -> Points:
    wrapper = importlib.import_module("pytheriak.wrapper")
    caller = wrapper.TherCaller(
        programs_dir=str(Path(engine.programs_folder).resolve()),
        database=Path(engine.database).name,
        theriak_version=engine.version,
        verbose=False,
    )
    fractions, mode = np.full((len(piece), 4), np.nan), np.full(len(piece), np.nan)
    for k, (pressure, heat) in enumerate(piece):
        try:
            answer = caller.minimisation(1000.0 * float(pressure), float(heat), bulks[level])
        except (ValueError, IndexError, OSError) as error:
            raise FormatError(
                f"Theriak at {pressure:g} kbar, {heat:g} degC wrote what pytheriak cannot read "
                f"({error}). Check the database and the bulk with Theriak itself."
            ) from None
        # A failed minimisation gives Theriak's text instead of a rock, in some versions alone.
        rock, elements = (answer, []) if isinstance(answer, str) else answer
        if not isinstance(rock, str):
            fractions[k], mode[k] = _garnet(rock, elements, engine.garnet)
    return Points(
        pressure_kbar=piece[:, 0],
        temperature_C=piece[:, 1],
        fractions=fractions,
        garnet_mode=mode,
        places=[f"point {k + 1}" for k in range(len(piece))],
    )


def _garnet(rock: Any, elements: list[str], garnet: str) -> tuple[np.ndarray, float]:
    """Give fractions and volume fraction of the most abundant garnet of a rock."""
    solids = rock.mineral_assemblage
    garnets = [mineral for mineral in solids if mineral.name.upper().startswith(garnet.upper())]
    if not garnets:
        return np.full(4, np.nan), 0.0
    most = max(garnets, key=lambda mineral: mineral.vol)
    amounts = dict(zip(map(str.upper, elements), most.composition_apfu, strict=True))
    # Iron is written as if all were Fe2+; what oxygen has too much is Fe3+.
    ferric = -sum(_CHARGES.get(element, 0.0) * amount for element, amount in amounts.items())
    ferrous = amounts.get("FE", 0.0) - max(ferric, 0.0)
    parts = np.array([ferrous, *(amounts.get(name, 0.0) for name in ("MG", "CA", "MN"))])
    return parts / parts.sum(), most.vol / sum(mineral.vol for mineral in solids)


def _therin_bulk(bulk: "Bulk") -> str:
    """Write a bulk as Theriak's input wants it, with oxygen to balance if it is not given."""
    amounts = {element.upper(): float(amount) for element, amount in bulk.items()}
    for element, amount in amounts.items():
        if element not in _CHARGES:
            raise DataError(
                f"bulk: {element!r} is no element known here; Theriak takes mol of elements "
                f"({', '.join(_CHARGES)})."
            )
        if not np.isfinite(amount) or amount < 0:
            raise DataError(f"bulk: {element} is {amount:g}; give mol, 0 or more.")
    # Theriak drops elements of amount 0, which would shift the order of the others.
    text = "".join(f"{name}({amount:.8g})" for name, amount in amounts.items() if amount > 0)
    if not text:
        raise DataError("bulk: all amounts are 0.")
    return text if "O" in amounts else text + "O(?)"
