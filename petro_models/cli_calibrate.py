"""The command `calibrate`: whether a problem's own intervals hold the truth as often as said."""

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
) -> None:
    """Draw data from a problem's own model, fit them, and rank the truths.

    The design of the data (samples, elements, spots, analyses) is that of the file; exit code 2
    if the posteriors are not calibrated.
    """
    from petro_models.calibration import calibrate_problem
    from petro_models.cli import NOT_PASSED
    from petro_models.configuration import load_configuration, make_problem
    from petro_models.io.fits import write_text
    from petro_models.io.staging import staged
    from petro_models.report.calibration_page import write_calibration_page

    configuration = load_configuration(problem_file)
    if method is not None:
        configuration = configuration.updated("sampler", method=method)
    sampler = configuration.sections["sampler"]
    result = calibrate_problem(
        make_problem(configuration),
        replicates,
        method=sampler["method"],
        draws=draws,
        chains=sampler["chains"],
        tune=sampler.get("tune"),
        seed=seed,
    )
    with staged(out) as stage:
        write_calibration_page(result, stage / "calibration.html")
        write_text(result.to_json(), stage / "calibration.json")
    for one in result.quantities:
        typer.echo(str(one))
    for status in result.status:
        if status.startswith("failed"):
            typer.echo(status, err=True)
    typer.echo(f"wrote {out / 'calibration.html'}")
    typer.echo(f"verdict: {result.verdict}")
    if result.verdict == "FAIL":
        raise typer.Exit(NOT_PASSED)
