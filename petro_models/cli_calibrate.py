"""The command `calibrate`: whether a problem's own intervals hold the truth as often as said."""

import json
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
) -> None:
    """Draw data from a problem's own model, fit them, and rank the truths.

    The design of the data (samples, elements, spots, analyses) is that of the file; exit code 2
    if the posteriors are not calibrated. With an engine each data set is an item; the same command
    resumes.
    """
    from petro_models.calibration import Settings, calibrate_problem
    from petro_models.cli import NOT_PASSED
    from petro_models.cli_runs import compute_items
    from petro_models.cluster.calibrations import FIGURES, PAGE, write_calibration
    from petro_models.configuration import load_configuration, make_problem
    from petro_models.runs import begin_calibration

    configuration = load_configuration(problem_file)
    if method is not None:
        configuration = configuration.updated("sampler", method=method)
    given = {"kind": engine, "workers": workers}
    configuration = configuration.updated(
        "engine", **{name: value for name, value in given.items() if value is not None}
    )
    sampler, how = (configuration.sections[name] for name in ("sampler", "engine"))
    settings = Settings(
        replicates, sampler["method"], draws, sampler["chains"], sampler.get("tune"), seed
    )
    problem = make_problem(configuration)
    if how["kind"] == "serial":
        write_calibration(calibrate_problem(problem, **asdict(settings)), out)
    elif not compute_items(begin_calibration(problem, settings, out.absolute()), how["kind"], how):
        return
    found = json.loads((out / FIGURES).read_text(encoding="utf-8"))
    for name, figures in found["quantities"].items():
        covered, chance = figures["coverage of 90 % intervals"], figures["p of uniform ranks"]
        typer.echo(f"{name}: 90 % intervals hold {covered:.3f}, ranks p = {chance:.2g}")
    for status in found["failures"]:
        typer.echo(status, err=True)
    typer.echo(f"wrote {out / PAGE}")
    typer.echo(f"verdict: {found['verdict']}")
    if found["verdict"] == "FAIL":
        raise typer.Exit(NOT_PASSED)
