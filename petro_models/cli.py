"""The command line: `petro-models demo | fit | report | check | export | simulate ...`.

Exit codes: 0 good, 1 error, 2 a fit that did not pass its checks, 130 interrupted.
"""

# Everything heavy is imported inside the commands, so that help and usage errors are quick.
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.exceptions import TyperException

from petro_models import cli_runs
from petro_models.cli_calibrate import calibrate
from petro_models.cli_simulate import Force, simulate_app
from petro_models.errors import ConfigurationError, PetroError
from petro_models.io.staging import refuse_existing, staged

if TYPE_CHECKING:
    import xarray as xr

    from petro_models.configuration import Configuration
    from petro_models.inference.checks import Checks
    from petro_models.problem import InverseProblem

GOOD, ERROR, NOT_PASSED, INTERRUPTED = 0, 1, 2, 130
VERDICT_STYLES = {"PASS": "green", "REVIEW": "yellow", "FAIL": "bold red"}
NOTHING_WRITTEN = "interrupted: nothing was written"
WIDTH_OF_FILES = 160
"""Columns of a table that goes to a file or a pipe."""

app = typer.Typer(
    name="petro-models",
    help="Probabilistic models that read the history of a rock out of its chemistry.",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(simulate_app, name="simulate")
for command in (cli_runs.work, cli_runs.status, cli_runs.merge, calibrate):
    app.command()(command)


class Interrupted(Exception):
    """Ctrl-C; the message says what is complete."""


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    if code == INTERRUPTED:
        os._exit(code)  # compiled code may still run in the background: do not wait for it
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run the command line and give its exit code; expected errors become one message.

    Parameters
    ----------
    arguments
        As after ``petro-models`` in a shell.
    """
    try:
        code = app(list(arguments) or ["--help"], prog_name="petro-models", standalone_mode=False)
    except (PetroError, OSError) as error:
        _complain(str(error))
        return ERROR
    except TyperException as error:
        _complain(f"{error.format_message().rstrip('.')}. See petro-models --help")
        return ERROR
    except Interrupted as stop:
        _complain(str(stop), prefix="")
        return INTERRUPTED
    if code == INTERRUPTED:
        _complain(NOTHING_WRITTEN, prefix="")
    return code if isinstance(code, int) else GOOD


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"petro-models {version('petro_models')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


@app.command()
def fit(
    problem_files: Annotated[list[Path], typer.Argument(metavar="PROBLEM.toml")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same result.")] = None,
    draws: Annotated[int | None, typer.Option(help="Kept draws of each chain.")] = None,
    method: Annotated[
        str | None, typer.Option(help="auto, nuts, smc, exact, laplace or map.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="serial, local (processes), slurm or array.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes, or most jobs.")] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing unless the fit fails.")
    ] = False,
) -> None:
    """Fit the problem of a TOML file; write fit, report and the configuration in force.

    With an engine, or several files, the work is cut into items; the same command resumes it.
    """
    from petro_models.configuration import load_configuration

    options = {"seed": seed, "draws": draws, "method": method}
    engine_options = {"kind": engine, "workers": workers}
    configurations = []
    for file in problem_files:
        configuration = load_configuration(file).updated("sampler", **_given(options))
        configuration = configuration.updated("engine", **_given(engine_options))
        if out is not None:
            configuration = configuration.updated("output", folder=str(out.absolute()))
        configurations.append(configuration)
    if len(configurations) > 1 and out is None:
        raise ConfigurationError("several problems need --out, the folder of all their results")
    kind = configurations[0].sections["engine"]["kind"]
    if len(configurations) == 1 and kind == "serial":
        _fit_at_once(configurations[0], quiet)
    else:
        _fit_in_items(configurations, kind, quiet)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _fit_in_items(configurations: "list[Configuration]", engine: str, quiet: bool) -> None:
    """Fit by an engine, item by item; several fits are judged one by one."""
    from petro_models.io.fits import load
    from petro_models.problem import problem_of

    target = configurations[0].output_folder
    try:
        with _logging_silenced(quiet):
            files = cli_runs.compute_run(configurations, target, engine, quiet)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: finished items are kept in {target}; the same command resumes"
        ) from None
    failed = False
    for file in files:
        result = load(file)
        if not quiet:
            if len(files) == 1:
                _print_headline(problem_of(result), result)
            typer.echo(f"wrote {file}")
        try:
            _judge(result, quiet)
        except typer.Exit:
            failed = True
    if failed:
        raise typer.Exit(NOT_PASSED)


def _fit_at_once(configuration: "Configuration", quiet: bool) -> None:
    from petro_models.configuration import RESOLVED, make_problem, resolve

    problem = make_problem(configuration)
    if not quiet:
        for note in filter(None, problem.data.attrs.get("notes", "").splitlines()):
            typer.echo(f"note: {note}", err=True)
    folder, names = configuration.output_folder, configuration.sections["output"]
    with staged(folder) as stage:
        result = _fit(problem, configuration.sections["sampler"], quiet)
        _write(problem, result, stage / names["fit"], stage / names["report"])
        (stage / RESOLVED).write_text(resolve(configuration, problem, folder), encoding="utf-8")
    if not quiet:
        _print_headline(problem, result)
        for name in (names["fit"], names["report"], RESOLVED):
            typer.echo(f"wrote {folder / name}")
    _judge(result, quiet)


@app.command()
def report(
    fit_file: Annotated[Path, typer.Argument(metavar="FIT.nc")],
    report_file: Annotated[Path | None, typer.Argument(metavar="[REPORT.html]")] = None,
) -> None:
    """Write the report of a saved fit: one page that needs nothing else."""
    from petro_models.io.fits import load
    from petro_models.problem import problem_of

    saved = load(fit_file)
    target = report_file or fit_file.with_suffix(".html")
    if target == fit_file:
        raise ConfigurationError(f"{target}: the report would replace the fit; name another file")
    problem_of(saved).report(saved, target)
    typer.echo(f"wrote {target}")


@app.command()
def check(fit_file: Annotated[Path, typer.Argument(metavar="FIT.nc")]) -> None:
    """Print the verdicts on a saved fit; exit code 2 if it did not pass."""
    from petro_models.io.fits import load
    from petro_models.problem import check as verdicts_of

    verdicts = verdicts_of(load(fit_file))
    _print_verdicts(verdicts)
    if verdicts.verdict == "FAIL":
        raise typer.Exit(NOT_PASSED)


@app.command()
def export(
    fit_file: Annotated[Path, typer.Argument(metavar="FIT.nc")],
    folder: Annotated[Path, typer.Argument(metavar="OUT_FOLDER")],
) -> None:
    """Write the maps of a saved phase-map fit for other programs: XMapTools, GeoTIFF, PNG."""
    from petro_models.io.fits import load
    from petro_models.io.map_export import write_geotiff, write_png, write_xmaptools

    saved = load(fit_file)
    with staged(folder) as stage:
        for name, write in (
            ("xmaptools", write_xmaptools),
            ("geotiff", write_geotiff),
            ("png", write_png),
        ):
            write(saved, stage / name)
    for name in ("xmaptools", "geotiff", "png"):
        typer.echo(f"wrote {folder / name}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("out/demo"),
) -> None:
    """Fit a published table under two priors, and rocks, maps and a section of known truth."""
    from petro_models.demonstration import demonstrations, study_section

    done: list[Path] = []
    for one in demonstrations():
        typer.echo(f"\n{one.title}")
        with _interruptible(done), staged(out) as stage:
            result = _fit(one.problem, one.sampler, quiet=False)
            _write(one.problem, result, stage / f"{one.name}.nc", stage / f"{one.name}.html")
            one.write(stage)
        _print_headline(one.problem, result)
        if sentence := one.compare(result):
            typer.echo(sentence)
        done.append(out / f"{one.name}.html")
    typer.echo("\nSimulated thin section, truth known: maps, then history and alteration")
    with _interruptible(done):
        sentence = study_section(out)
    typer.echo(sentence)
    done.append(out / "thin_section.html")
    typer.echo("\nReports:")
    for file in done:
        typer.echo(f"  {file}")


@app.command()
def datasets(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    write: Annotated[Path | None, typer.Option(help="Copy the table there.")] = None,
    force: Force = False,
) -> None:
    """List the published tables and maps, or show or copy one, with the citation."""
    from petro_models import datasets as published
    from petro_models.errors import nearest

    if name is None:
        if write is not None:
            raise ConfigurationError("--write needs the name of a table")
        for each, citation in published.CITATIONS.items():
            kind = "phase-maps" if each in published.MAPS else "mass-transfer"
            outside = "" if each in published.names() else ", kept outside: PETRO_MODELS_DATA"
            place = f"  [{kind}{outside}]"
            typer.echo(f"{each}{place}\n    {citation}")
        return
    if name not in published.CITATIONS:
        raise ConfigurationError(
            f"no published data set is named '{name}': {nearest(name, published.CITATIONS)}"
        )
    if name in published.MAPS:
        if write is not None:
            raise ConfigurationError(
                f"{name} is a map kept in the folder PETRO_MODELS_DATA: it is not copied from here"
            )
        _print_map(getattr(published, name)())
        return
    if write is None:
        _print_table(getattr(published, name)())
        return
    target = write / f"{name}.csv" if write.is_dir() else write
    refuse_existing([target], force)
    _copy(published.path(name), target)
    typer.echo(f"wrote {target}\nCite: {published.CITATIONS[name]}")


@app.command()
def init(
    problem_file: Annotated[Path, typer.Argument(metavar="[OUT.toml]")] = Path("problem.toml"),
    kind: Annotated[
        str, typer.Option(help="mass-transfer, phase-maps or histories.")
    ] = "mass-transfer",
    force: Force = False,
) -> None:
    """Write a problem file to start from, every key explained."""
    from petro_models.configuration import template
    from petro_models.io.fits import write_text

    text = template(kind)
    refuse_existing([problem_file], force)
    write_text(text, problem_file)
    typer.echo(f"wrote {problem_file}: name your data in its section [data]")


# -- fitting -------------------------------------------------------------------------------------


def _fit(problem: "InverseProblem", sampler: dict[str, Any], quiet: bool) -> "xr.DataTree":
    """Fit where Ctrl-C is heard at once: compiled code would keep the main thread deaf."""
    options = {**sampler, **({"progressbar": False} if quiet else {})}
    with _logging_silenced(quiet):
        return _in_background(lambda: problem.fit(**options))


def _in_background[T](work: Callable[[], T]) -> T:
    future: Future[T] = Future()

    def target() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            future.set_exception(error)

    threading.Thread(target=target, daemon=True).start()
    while not future.done():
        wait([future], timeout=0.2)
    return future.result()


def _write(problem: "InverseProblem", result: "xr.DataTree", fit_file: Path, page: Path) -> None:
    from petro_models.io.fits import save

    save(result, fit_file)
    problem.report(result, page)


def _judge(result: "xr.DataTree", quiet: bool) -> None:
    """Exit with code 2 if the fit did not pass its checks, saying which."""
    from petro_models.problem import check as verdicts_of

    verdicts = verdicts_of(result)
    if not quiet:
        typer.echo(f"verdict: {verdicts.verdict}")
    if verdicts.verdict == "FAIL":
        for each in verdicts:
            if each.verdict == "FAIL":
                typer.echo(str(each), err=True)
        raise typer.Exit(NOT_PASSED)


# -- files ---------------------------------------------------------------------------------------


def _copy(source: Path, target: Path) -> None:
    with staged(target.parent) as stage:
        shutil.copyfile(source, stage / target.name)


@contextmanager
def _interruptible(done: Sequence[Path]) -> Iterator[None]:
    """Turn Ctrl-C into one line that says what is there, and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        complete = ", ".join(map(str, done))
        raise Interrupted(
            f"interrupted: complete are {complete}; nothing else was written"
            if done
            else NOTHING_WRITTEN
        ) from None


# -- talking -------------------------------------------------------------------------------------


def _complain(message: str, prefix: str = "error: ") -> None:
    typer.echo(f"{prefix}{message}", err=True)


@contextmanager
def _logging_silenced(quiet: bool) -> Iterator[None]:
    logger = logging.getLogger("petro_models")
    level = logger.level
    if quiet:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _print_headline(problem: "InverseProblem", result: "xr.DataTree") -> None:
    for sentence in problem.headline(result):
        typer.echo(sentence)


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_OF_FILES)


def _print_verdicts(verdicts: "Checks") -> None:
    table = Table("verdict", "check", "finding", "what to do")
    for each in verdicts:
        style = VERDICT_STYLES[each.verdict]
        # Text, because square brackets in findings are no markup.
        table.add_row(Text(each.verdict, style), *map(Text, (each.name, each.finding, each.advice)))
    table.add_section()
    table.add_row(Text(verdicts.verdict, VERDICT_STYLES[verdicts.verdict]), Text("overall"))
    _console().print(table)


def _print_table(data: "xr.Dataset") -> None:
    """Print the analyses of a table, elements in rows, as many as the width holds."""
    import xarray as xr

    console = _console()
    most = max(2, (console.width - 18) // 10)
    variable = "concentration"
    altered = data[variable].rename(sample="analysis")
    fresh = data[f"protolith_{variable}"].rename(protolith="analysis")
    both = xr.concat([fresh, altered], "analysis", join="outer")
    shown = both.isel(analysis=slice(most))
    table = Table("element", "unit", *map(str, shown["analysis"].values))
    for name in data["element"].values:
        row = shown.sel(element=name)
        cells = ("" if value != value else f"{value:g}" for value in row.values)
        table.add_row(str(name), str(row["unit"].item()), *cells)
    console.print(table)
    parents = ", ".join(map(str, data["protolith"].values))
    typer.echo(f"{both.sizes['analysis']} analyses; protolith: {parents}")
    if both.sizes["analysis"] > most:
        typer.echo(f"{both.sizes['analysis'] - most} more are not shown.")
    typer.echo(f"Cite: {data.attrs['citation']}")


def _print_map(parts: "tuple[xr.Dataset, ...]") -> None:
    """Print what a map, its spots and its seeds hold."""
    maps, spots, *seeds = parts
    elements = " ".join(map(str, maps["element"].values))
    typer.echo(f"{maps.sizes['x']} x {maps.sizes['y']} pixels, counts of {elements}")
    typer.echo(f"{spots.sizes['spot']} spots of {' '.join(map(str, spots['oxide'].values))}")
    if seeds:
        typer.echo(f"seeds of {' '.join(map(str, seeds[0]['phase'].values))}")
    typer.echo(f"Cite: {maps.attrs['citation']}")


if __name__ == "__main__":
    main()
