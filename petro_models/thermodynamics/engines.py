"""Make an equilibrium table with a thermodynamic engine that is installed on this machine.

No engine comes with petro_models. Two can be used if they are there: MAGEMin, an executable on the
PATH (Riel et al. 2022, Geochem. Geophys. Geosyst. 23, e2022GC010427), and Theriak of
Theriak-Domino through the package pytheriak (de Capitani & Petrakakis 2010, Am. Mineral. 95,
1006-1016). The grid is cut into pieces that run side by side, each in a folder of its own.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from petro_models.errors import ConfigurationError, DataError, FormatError, nearest
from petro_models.inference.progress import bar, is_watched
from petro_models.io.equilibrium_grid import Points, read_text, table_from_points
from petro_models.io.magemin_output import magemin_points

OXIDE_ORDER = {
    "mp": ("SiO2", "Al2O3", "CaO", "MgO", "FeO", "K2O", "Na2O", "TiO2", "O", "MnO", "H2O"),
}
"""Oxides of a MAGEMin database in the order its input file wants; FeO is total iron."""
POINTS_PER_PIECE = 50
"""Small enough for the progress bar to move, large enough that starting the engine costs little."""

type Bulk = Mapping[str, float]


@dataclass(frozen=True)
class MAGEMin:
    """MAGEMin as an engine.

    Attributes
    ----------
    executable
        Name on the PATH, or a path.
    database
        Thermodynamic database; "mp" is the metapelite set of White et al. (2014).
    oxides
        Order of oxides in the input, for databases other than "mp".
    timeout_s
        Longest time for one piece of the grid, seconds.
    """

    executable: str = "MAGEMin"
    database: str = "mp"
    oxides: tuple[str, ...] | None = None
    timeout_s: float = 3600.0

    def order(self) -> tuple[str, ...]:
        """Give the order of oxides in the input.

        Raises
        ------
        ConfigurationError
            If the database is not known and no order is given.
        """
        if self.oxides is not None:
            return self.oxides
        if self.database not in OXIDE_ORDER:
            raise ConfigurationError(
                f"the oxides of MAGEMin's database {self.database!r} are not known here; give "
                f"oxides=(...) in its order. Known: {', '.join(OXIDE_ORDER)}."
            )
        return OXIDE_ORDER[self.database]


@dataclass(frozen=True)
class Theriak:
    """Theriak, through pytheriak, as an engine.

    Attributes
    ----------
    programs_folder
        Folder with Theriak-Domino's programs.
    database
        Path of the thermodynamic database file.
    garnet
        How the database's garnet solution is called; phase names start with it.
    version
        Version of Theriak-Domino, for the record.
    """

    programs_folder: str
    database: str
    garnet: str = "GRT"
    version: str = "unknown"


def make_equilibrium_table(
    bulk: Bulk | Sequence[Bulk],
    pressure_kbar: Sequence[float] | np.ndarray,
    temperature_C: Sequence[float] | np.ndarray,
    engine: MAGEMin | Theriak | None = None,
    removed: Sequence[float] | None = None,
    workers: int = 2,
    progress: bool | None = None,
) -> xr.Dataset:
    """Compute garnet's composition and mode over a grid of pressure and temperature.

    Parameters
    ----------
    bulk
        Mol of each oxide (MAGEMin: FeO is total iron, O the oxygen beyond FeO, H2O as much as
        saturates) or of each element (Theriak). A sequence of bulks, with `removed`, gives a table
        with a fractionation axis.
    pressure_kbar, temperature_C
        Nodes along each axis, two or more, increasing.
    engine
        `MAGEMin` or `Theriak`; None takes MAGEMin from the PATH.
    removed
        Garnet volume taken out of each of the bulks / volume of the original solids, increasing.
    workers
        How many calculations run at once.
    progress
        Whether to show a bar; None shows it where someone watches.

    Returns
    -------
    xr.Dataset
        In the schema of `petro_models.io.equilibrium_tables`; nodes where the engine found no
        answer are NaN and counted in ``attrs["notes"]``. Save it with `write_equilibrium_table`.

    Raises
    ------
    ConfigurationError
        If the engine is not installed, or an argument cannot be used.
    FormatError
        If the engine stops with an error, or writes what cannot be read.
    DataError
        If garnet is nowhere on the grid.

    Examples
    --------
    >>> bulk = {"SiO2": 64.6, "Al2O3": 13.7, "CaO": 1.6, "MgO": 5.5, "FeO": 8.0, "K2O": 2.9,
    ...         "Na2O": 2.0, "TiO2": 0.9, "O": 0.65, "MnO": 0.18, "H2O": 40.0}
    >>> grid = np.linspace(3.0, 12.0, 41), np.linspace(450.0, 700.0, 41)
    >>> table = make_equilibrium_table(bulk, *grid, workers=8)  # doctest: +SKIP
    """
    chosen = MAGEMin() if engine is None else engine
    levels = [bulk] if isinstance(bulk, Mapping) else list(bulk)
    axis = _removed_axis(removed, len(levels), one_bulk=isinstance(bulk, Mapping))
    grid = _axis("pressure_kbar", pressure_kbar), _axis("temperature_C", temperature_C)
    if workers < 1:
        raise ConfigurationError(f"workers must be 1 or more; got {workers}.")
    nodes = np.stack([axis.ravel() for axis in np.meshgrid(*grid, indexing="ij")], axis=1)
    pieces = np.array_split(nodes, max(1, -(-len(nodes) // POINTS_PER_PIECE)))
    with _runner(chosen, levels, workers) as (executor, run):
        tasks = [(level, piece) for level in range(len(levels)) for piece in pieces]
        results = _run_all(executor, run, tasks, is_watched() if progress is None else progress)
    count = len(pieces)
    tables = [
        _assemble(results[k * count : (k + 1) * count], grid, chosen) for k in range(len(levels))
    ]
    table = tables[0] if axis is None else _stack(tables, axis)
    return table.assign_attrs(bulk=" | ".join(_describe(level) for level in levels))


def _run_all(
    executor: Executor,
    run: Callable[[int, np.ndarray], Points],
    tasks: list[tuple[int, np.ndarray]],
    progress: bool,
) -> list[Points]:
    """Run all pieces, in any order, and give their results in the order of `tasks`."""
    results: dict[int, Points] = {}
    total = sum(len(piece) for _, piece in tasks)
    with bar("Equilibrium table", progress) as update:
        futures = {executor.submit(run, *task): k for k, task in enumerate(tasks)}
        try:
            for future in as_completed(futures):
                results[futures[future]] = future.result()
                done = sum(len(points.garnet_mode) for points in results.values())
                update(done / total, f"{done} of {total} points")
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    return [results[k] for k in range(len(tasks))]


@contextmanager
def _runner(
    engine: MAGEMin | Theriak, levels: list[Bulk], workers: int
) -> Iterator[tuple[Executor, Callable[[int, np.ndarray], Points]]]:
    """Give an executor and what it runs on one level and piece of the grid."""
    if isinstance(engine, Theriak):
        from petro_models.thermodynamics import theriak_engine  # needs pytheriak

        with theriak_engine.runner(engine, levels, workers) as prepared:
            yield prepared
        return
    executable = shutil.which(engine.executable)
    if executable is None:
        raise ConfigurationError(
            f"MAGEMin is not installed: there is no executable {engine.executable!r} on the PATH. "
            "Build it from its source repository (ComputationalThermodynamics/MAGEMin), or use "
            "Theriak-Domino with engine=Theriak(...), or a table that petro_models ships."
        )
    amounts = [_ordered(level, engine.order()) for level in levels]

    def run(level: int, piece: np.ndarray) -> Points:
        return _run_magemin(executable, engine, amounts[level], piece)

    with ThreadPoolExecutor(workers) as executor:
        yield executor, run


def _run_magemin(
    executable: str, engine: MAGEMin, amounts: list[float], piece: np.ndarray
) -> Points:
    """Run MAGEMin on one piece of the grid in a folder of its own."""
    bulk = " ".join(f"{amount:.10g}" for amount in amounts)
    with tempfile.TemporaryDirectory(prefix="petro-magemin-") as name:
        folder = Path(name)
        rows = [f"0 {pressure:.10g} {heat:.10g} {bulk}\n" for pressure, heat in piece]
        (folder / "points.dat").write_text("".join(rows))
        command = [
            executable,
            "--Verb=0",
            "--File=points.dat",
            f"--n_points={len(piece)}",
            f"--db={engine.database}",
            "--sys_in=mol",
        ]
        try:
            finished = subprocess.run(
                command, cwd=folder, capture_output=True, timeout=engine.timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise FormatError(
                f"MAGEMin did not finish {len(piece)} points within {engine.timeout_s:g} s."
            ) from None
        output = folder / "output" / "_pseudosection_output.txt"
        if finished.returncode != 0 or not output.is_file():
            said = (finished.stderr or finished.stdout).decode(errors="replace").strip()
            wrote = "wrote its output" if output.is_file() else "wrote no output"
            raise FormatError(
                f"MAGEMin stopped with exit code {finished.returncode} and {wrote}. It said: "
                f"{said[-500:] or 'nothing'}"
            )
        _, lines = read_text(output)
    points = magemin_points(lines, "MAGEMin's output")
    if len(points.garnet_mode) != len(piece):
        raise FormatError(
            f"MAGEMin wrote {len(points.garnet_mode)} of {len(piece)} points and no error."
        )
    return points


def _assemble(
    results: list[Points], grid: tuple[np.ndarray, np.ndarray], engine: MAGEMin | Theriak
) -> xr.Dataset:
    """Put the pieces of one level together on the nodes that were asked for."""
    name = "MAGEMin" if isinstance(engine, MAGEMin) else "Theriak-Domino"
    failed = sum(int(np.isnan(points.garnet_mode).sum()) for points in results)
    joined = Points(
        pressure_kbar=np.concatenate([points.pressure_kbar for points in results]),
        temperature_C=np.concatenate([points.temperature_C for points in results]),
        fractions=np.concatenate([points.fractions for points in results]),
        garnet_mode=np.concatenate([points.garnet_mode for points in results]),
        places=[place for points in results for place in points.places],
        notes=(f"{failed} point(s) have no result",) if failed else (),
    )
    table = table_from_points(joined, f"made with {name}", name)
    axes = dict(zip(("pressure_kbar", "temperature_C"), grid, strict=True))
    for dim, values in axes.items():
        if table.sizes[dim] != values.size or not np.allclose(table[dim], values, atol=1e-4):
            raise FormatError(f"{name} computed other values of {dim} than were asked for.")
        table = table.assign_coords({dim: (dim, values, table[dim].attrs)})
    database = engine.database if isinstance(engine, MAGEMin) else Path(engine.database).name
    return table.assign_attrs(database=database)


def _stack(tables: list[xr.Dataset], removed: np.ndarray) -> xr.Dataset:
    """Join the levels of a fractionation axis."""
    table = xr.concat(tables, dim="removed", join="exact", combine_attrs="override")
    table = table.assign_coords(removed=("removed", removed, {"units": "1"}))
    notes = [
        f"removed = {level:g}: {item.attrs['notes']}"
        for level, item in zip(removed, tables, strict=True)
        if item.attrs["notes"]
    ]
    return table.assign_attrs(
        notes="; ".join(notes), units="removed 1; " + tables[0].attrs["units"]
    )


def _ordered(bulk: Bulk, order: tuple[str, ...]) -> list[float]:
    """Give the amounts in the engine's order; oxides that are not given are 0."""
    for oxide, amount in bulk.items():
        if oxide not in order:
            raise DataError(f"bulk: {oxide!r} is no oxide of the database; {nearest(oxide, order)}")
        if not np.isfinite(amount) or amount < 0:
            raise DataError(f"bulk: {oxide} is {amount:g}; give mol, 0 or more.")
    if not any(bulk.values()):
        raise DataError("bulk: all amounts are 0.")
    return [float(bulk.get(oxide, 0.0)) for oxide in order]


def _axis(name: str, values: Sequence[float] | np.ndarray) -> np.ndarray:
    nodes = np.asarray(values, dtype=float)
    if nodes.ndim != 1 or nodes.size < 2 or not (np.diff(nodes) > 0).all():
        raise ConfigurationError(f"{name} must hold two or more increasing values.")
    return nodes


def _removed_axis(
    removed: Sequence[float] | None, levels: int, one_bulk: bool
) -> np.ndarray | None:
    if one_bulk and removed is None:
        return None
    if one_bulk or removed is None or len(removed) != levels:
        given = "none" if removed is None else str(len(removed))
        raise ConfigurationError(
            f"a table with a fractionation axis needs one bulk for each value of removed; got "
            f"{levels} bulk(s) and {given}."
        )
    return _axis("removed", removed)


def _describe(bulk: Bulk) -> str:
    return " ".join(f"{name} {amount:g}" for name, amount in bulk.items()) + " mol"
