"""The command `calibrate`: whether a problem's own intervals hold the truth as often as said."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    problem_file: Annotated[Path, typer.Argument(metavar="PROBLEM.toml")],
    out: Annotated[Path, typer.Option(help="Folder of the page and the figures.")] = Path(
        "calibration"
    ),
    replicates: Annotated[int, typer.Option(min=10, help="Data sets to draw and fit.")] = 50,
    draws: Annotated[int, typer.Option(min=10, help="Kept draws of each chain.")] = 500,
    method: Annotated[str | None, typer.Option(help="As of fit; by default the file's.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same result.")] = 0,
    engine: Annotated[
        str | None, typer.Option(help="serial, local (processes), slurm or array.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes, or most jobs.")] = None,
    together: Annotated[
        bool, typer.Option("--together", help="Sample all data sets side by side by one program.")
    ] = False,
) -> None:
    """Draw data from a problem's own model, fit them, and rank the truths.

    The design of the data (samples, elements, spots, analyses) is that of the file; exit code 2
    if the posteriors are not calibrated. With an engine each data set is an item; the same command
    resumes.
    """
    from petro_models.calibration import Settings, calibrate_problem
    from petro_models.cli import NOT_PASSED, _given
    from petro_models.cli_runs import compute_items
    from petro_models.cluster.calibrations import PAGE, Calibrations, write_calibration
    from petro_models.cluster.work import read_plan
    from petro_models.configuration import load_configuration, make_problem
    from petro_models.errors import ConfigurationError
    from petro_models.runs import begin_calibration

    configuration = load_configuration(problem_file)
    if method is not None:
        configuration = configuration.updated("sampler", method=method)
    options = _given({"kind": engine, "workers": workers})
    configuration = configuration.updated("engine", **options)
    sampler, how = (configuration.sections[name] for name in ("sampler", "engine"))
    settings = Settings(
        replicates, sampler["method"], draws, sampler["chains"], sampler.get("tune"), seed
    )
    if together and how["kind"] != "serial":
        raise ConfigurationError(
            f"data sets sampled --together are one item, and engine '{how['kind']}' shares out "
            "items: leave one of the two out"
        )
    problem = make_problem(configuration)
    if how["kind"] == "serial":
        result = calibrate_problem(problem, **asdict(settings), together=together)
        write_calibration(result, out)
    else:
        folder = begin_calibration(problem, settings, out.absolute())
        if not compute_items(folder, how["kind"], how):
            return
        result = Calibrations(folder, read_plan(folder)).result()
    for one in result.quantities:
        typer.echo(str(one))
    for status in result.status:
        if status.startswith("failed"):
            typer.echo(status, err=True)
    typer.echo(f"wrote {out / PAGE}")
    typer.echo(f"verdict: {result.verdict}")
    if result.verdict == "FAIL":
        raise typer.Exit(NOT_PASSED)
