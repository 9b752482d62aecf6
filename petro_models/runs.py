"""From problem files to a run in a folder: which work a problem is, and which engine does it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from petro_models.calibration import Settings
from petro_models.cluster.calibrations import lay_down_calibration, plan_calibration
from petro_models.cluster.engine import Engine, SerialEngine, run_items
from petro_models.cluster.fits import FitItem, lay_down_fits, plan_fits
from petro_models.cluster.local import LocalEngine
from petro_models.cluster.locks import locked
from petro_models.cluster.work import (
    PLAN,
    RUN_FOLDER,
    Plan,
    open_work,
    read_plan,
    require_done,
    write_plan,
)
from petro_models.configuration import RESOLVED, Configuration, make_problem, resolve
from petro_models.errors import ConfigurationError, FitError
from petro_models.inference import progress
from petro_models.io.fits import write_text
from petro_models.phase_maps.problem import PhaseMaps
from petro_models.phase_maps.tiles import lay_down_tiles, plan_tiles
from petro_models.problem import InverseProblem, Method


def begin_run(configurations: Sequence[Configuration], target: Path) -> Path:
    """Lay a run down beside its results, or find the same one there; gives its folder.

    Parameters
    ----------
    configurations
        Checked problem files. One phase map is cut into tiles; of anything else, and of several,
        each is an item.
    target
        Folder of the results.

    Raises
    ------
    FitError
        If another run was begun there, or is at work there.
    PetroError
        If data, options or priors cannot be used.
    """
    folder = target / RUN_FOLDER
    problems = [make_problem(configuration) for configuration in configurations]
    first, output = configurations[0], configurations[0].sections["output"]
    tiled = problems[0] if len(problems) == 1 and isinstance(problems[0], PhaseMaps) else None
    items: list[FitItem] = []
    if tiled:
        names = {name: output[name] for name in ("fit", "report")}
        rows = first.sections["engine"].get("tile_rows")
        plan = plan_tiles(tiled, first.sections["sampler"], names, rows)
    else:
        items = [
            _item(*pair, target, len(problems))
            for pair in zip(configurations, problems, strict=True)
        ]
        plan = plan_fits(items)

    def lay_down() -> None:
        if tiled:
            lay_down_tiles(folder, tiled, plan)
            write_text(resolve(first, tiled, target), folder / RESOLVED)
        else:
            lay_down_fits(folder, items)

    return _begun(folder, plan, lay_down)


def fit_in_tiles(
    problem: PhaseMaps,
    out: str | Path,
    *,
    engine: str = "local",
    settings: Mapping[str, Any] | None = None,
    tile_rows: int | None = None,
    method: Method = "auto",
    draws: int = 1000,
    chains: int = 4,
    tune: int | None = None,
    seed: int = 0,
    progressbar: bool | None = None,
) -> Path:
    """Fit a phase map that is larger than memory, or that several processes shall share.

    The same call resumes after a fault; results do not depend on the engine.

    Parameters
    ----------
    problem
        Its counts may be a `numpy.memmap`: they are read part by part.
    out
        Folder of the results and of the run.
    engine, settings
        ``serial``, ``local`` or ``slurm``, and its settings as in the section ``[engine]`` of a
        problem file.
    tile_rows
        Rows of a tile; by default as many as have about half a million pixels.
    method, draws, chains, tune, seed
        As in `PhaseMaps.fit`.
    progressbar
        Whether to show one; by default where someone watches.

    Returns
    -------
    Path
        Of the fit, with its report beside it. Of a large map open it without loading:
        ``xarray.open_datatree(path)``.

    Raises
    ------
    ConfigurationError
        If there is no such engine; nothing is written then.
    FitError
        If items failed (what is done stays), another run was begun there, or is at work there.

    Examples
    --------
    >>> counts = np.load("counts.npy", mmap_mode="r")  # doctest: +SKIP
    >>> problem = petro.PhaseMaps(maps.assign(counts=(maps["counts"].dims, counts)), spots)
    ... # doctest: +SKIP
    >>> petro.fit_in_tiles(problem, "results", seed=1)  # doctest: +SKIP
    """
    sampler = {"method": method, "draws": draws, "chains": chains, "seed": seed}
    sampler |= {} if tune is None else {"tune": tune}
    names = {"fit": "fit.nc", "report": "report.html"}
    make_engine = engine_maker(engine, dict(settings or {}))
    plan = plan_tiles(problem, sampler, names, tile_rows)
    folder = Path(out).absolute() / RUN_FOLDER
    _begun(folder, plan, lambda: lay_down_tiles(folder, problem, plan))
    show = progress.is_watched() if progressbar is None else progressbar
    run_items(folder, make_engine, show)
    (fit,) = merge_run(folder)
    return fit


def merge_run(folder: Path) -> list[Path]:
    """Put the items of a finished run together; gives the files of the fits.

    Raises
    ------
    FitError
        If items are missing or failed.
    """
    run = open_work(folder)
    require_done(folder)
    with locked(folder):
        return run.merge()


def begin_calibration(problem: InverseProblem, settings: Settings, target: Path) -> Path:
    """Lay the replicates of a calibration down, or find the same ones there; gives the folder.

    Parameters
    ----------
    problem, settings
        As in `petro_models.calibration`.
    target
        Folder of the results.

    Raises
    ------
    FitError
        If another run was begun there, or is at work there, or the priors hardly ever draw data
        that the model can take.
    """
    folder = target / RUN_FOLDER
    plan = plan_calibration(problem, settings)
    return _begun(folder, plan, lambda: lay_down_calibration(folder, problem, settings))


def _begun(folder: Path, plan: Plan, lay_down: Callable[[], None]) -> Path:
    """Lay a run down and declare it, unless the same one is there; gives its folder."""
    with _made(folder), locked(folder):
        if (folder / PLAN).exists():
            _require_same(folder, plan)
            return folder
        lay_down()
        write_plan(folder, plan)
    return folder


def engine_maker(kind: str, settings: dict[str, Any]) -> Callable[[Path], Engine]:
    """Give what makes an engine for a folder.

    Parameters
    ----------
    kind
        ``serial``, ``local`` or ``slurm``.
    settings
        The section ``[engine]``.

    Raises
    ------
    ConfigurationError
        If there is no such engine.
    """
    workers = settings.get("workers")
    if kind == "serial":
        return SerialEngine
    if kind == "local":
        return lambda folder: LocalEngine(folder, workers)
    if kind != "slurm":
        raise ConfigurationError(f"engine '{kind}' does not compute by itself")

    from petro_models.cluster.slurm import SlurmEngine, SlurmSettings

    names = SlurmSettings.__dataclass_fields__
    given = {name: value for name, value in settings.items() if name in names}
    return lambda folder: SlurmEngine(folder, SlurmSettings(**given))


def _item(
    configuration: Configuration, problem: InverseProblem, target: Path, count: int
) -> FitItem:
    name = configuration.file.stem
    output = configuration.sections["output"]
    folder = target / name if count > 1 else target
    return FitItem(
        name,
        problem,
        configuration.sections["sampler"],
        {kind: output[kind] for kind in ("fit", "report")},
        {RESOLVED: resolve(configuration, problem, folder)},
    )


def _require_same(folder: Path, plan: Plan) -> None:
    before = read_plan(folder)
    if plan.identity != before.identity:
        raise FitError(
            f"{folder}: holds a run of other data, priors or settings ({before.kind}, identity "
            f"{before.identity}; now {plan.identity}). Name another folder with --out, or delete "
            "this one"
        )


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and take it away again where nothing was put into it."""
    new = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FitError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        yield
    except BaseException:
        for parent in new:
            with suppress(OSError):  # not empty
                parent.rmdir()
        raise
