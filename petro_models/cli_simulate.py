"""The commands `petro-models simulate ...`: data with known truth, in files that are read back."""

from pathlib import Path
from typing import Annotated

import typer

from petro_models.io.staging import refuse_existing, staged

simulate_app = typer.Typer(help="Write data with known truth.")

Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]

PHASE_MAPS_PROBLEM = """\
# Fit this map: petro-models fit problem.toml
[problem]
kind = "phase-maps"

[data]
maps = "maps.toml"
spots = "spots.csv"
"""


@simulate_app.command("mass-transfer")
def simulate_mass_transfer(
    table_file: Annotated[Path, typer.Argument(metavar="OUT.csv")],
    samples: Annotated[int, typer.Option(help="Altered samples.")] = 5,
    elements: Annotated[int, typer.Option(help="Elements, 3 to 60.")] = 20,
    immobile_share: Annotated[float, typer.Option(help="Share of immobile elements.")] = 0.3,
    noise: Annotated[float, typer.Option(help="Scatter of immobile elements, sd of ln C.")] = 0.03,
    co_moving_share: Annotated[
        float, typer.Option(help="Share of mobile elements that move alike: a false frame.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Same seed, same table.")] = 0,
    force: Force = False,
) -> None:
    """Write a whole-rock table, and the truth behind it beside it (OUT.truth.toml)."""
    from petro_models.io.mass_tables_out import write_mass_table, write_truth
    from petro_models.mass_transfer.simulate import simulate_mass_table

    truth_file = table_file.with_suffix(".truth.toml")
    refuse_existing([table_file, truth_file], force)
    table, truth = simulate_mass_table(
        samples,
        elements,
        immobile_share,
        noise,
        co_moving_share=co_moving_share,
        seed=seed,
    )
    write_mass_table(table, table_file)
    write_truth(truth, truth_file)
    typer.echo(f'wrote {table_file} (read it with protolith = "P1" and totals = "ignore")')
    typer.echo(f"wrote {truth_file}")


@simulate_app.command("phase-maps")
def simulate_phase_maps(
    folder: Annotated[Path, typer.Argument(metavar="OUT_FOLDER")],
    height: Annotated[int, typer.Option(help="Rows of pixels.")] = 128,
    width: Annotated[int, typer.Option(help="Columns of pixels.")] = 128,
    phases: Annotated[int, typer.Option(help="Phases, 2 to 12.")] = 4,
    elements: Annotated[int, typer.Option(help="Elements, 3 to 20.")] = 8,
    counts: Annotated[float, typer.Option(help="Mean counts of a pixel, all elements.")] = 1000.0,
    mixed_share: Annotated[float, typer.Option(help="Share of mixed pixels.")] = 0.13,
    spots: Annotated[int, typer.Option(help="Spot analyses.")] = 60,
    scatter: Annotated[
        float, typer.Option(help="Relative scatter of intensities that no model knows of.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Same seed, same map.")] = 0,
    force: Force = False,
) -> None:
    """Write element maps, spots, a problem file that fits them, and the truth behind them."""
    from petro_models.io.epma_out import write_epma, write_spots
    from petro_models.phase_maps.simulate import simulate_phase_maps as simulate

    names = ("maps.toml", "maps.npy", "spots.csv", "problem.toml", "truth.nc")
    refuse_existing([folder / name for name in names], force)
    maps, analyses, truth = simulate(
        height,
        width,
        phases,
        elements,
        counts_per_pixel=counts,
        mixed_share=mixed_share,
        n_spots=spots,
        unmodelled_scatter=scatter,
        seed=seed,
    )
    with staged(folder) as stage:
        write_epma(maps, stage / "maps.toml")
        write_spots(analyses, stage / "spots.csv")
        truth.to_netcdf(stage / "truth.nc", engine="netcdf4")
        (stage / "problem.toml").write_text(PHASE_MAPS_PROBLEM, encoding="utf-8")
    for name in names:
        typer.echo(f"wrote {folder / name}")


@simulate_app.command("histories")
def simulate_histories(
    folder: Annotated[Path, typer.Argument(metavar="OUT_FOLDER")],
    path: Annotated[str, typer.Option(help="Path in pressure and temperature.")] = "clockwise",
    table: Annotated[str, typer.Option(help="Shipped garnet table.")] = "white2014",
    grains: Annotated[int, typer.Option(help="Garnets.")] = 3,
    positions: Annotated[int, typer.Option(help="Analyses of each garnet.")] = 40,
    ages: Annotated[int, typer.Option(help="Dated zones.")] = 3,
    noise: Annotated[float, typer.Option(help="Scatter of the fractions, one sd.")] = 0.004,
    inclusions: Annotated[
        int, typer.Option(help="Places with biotite and plagioclase enclosed in the first garnet.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Same seed, same garnets.")] = 0,
    force: Force = False,
) -> None:
    """Write garnet profiles, ages, inclusions, a problem file that fits them, and the truth."""
    import tomli_w

    from petro_models.histories.simulate import simulate_history
    from petro_models.histories.simulate_inclusions import simulate_inclusions
    from petro_models.io.history_out import (
        write_garnet_profiles,
        write_inclusions,
        write_zone_ages,
    )
    from petro_models.thermodynamics.bundled import bundled_table

    names = ["profiles.csv", "problem.toml", "truth.nc"]
    names += [f"{name}.csv" for name, n in (("ages", ages), ("inclusions", inclusions)) if n]
    refuse_existing([folder / name for name in names], force)
    profiles, dated, truth = simulate_history(
        bundled_table(table),
        path,
        n_grains=grains,
        n_positions=positions,
        n_ages=ages,
        noise=noise,
        seed=seed,
    )
    rims, numbers = (
        profiles[name].to_series().rename(str).to_dict()
        for name in ("rim_radius_um", "number_density")
    )
    data: dict[str, object] = {"profiles": "profiles.csv", "bundled_table": table}
    data |= {"ages": "ages.csv"} if dated is not None else {}
    data |= {"inclusions": "inclusions.csv"} if inclusions else {}
    data |= {"rim_radius_um": rims, "number_density": numbers}
    with staged(folder) as stage:
        write_garnet_profiles(profiles, stage / "profiles.csv")
        if dated is not None:
            write_zone_ages(dated, profiles, stage / "ages.csv")
        if inclusions:
            enclosed, _ = simulate_inclusions(profiles, truth, n_inclusions=inclusions, seed=seed)
            write_inclusions(enclosed, stage / "inclusions.csv")
        truth.to_netcdf(stage / "truth.nc", engine="netcdf4")
        problem = tomli_w.dumps({"problem": {"kind": "histories"}, "data": data})
        (stage / "problem.toml").write_text(problem, encoding="utf-8")
    for name in names:
        typer.echo(f"wrote {folder / name}")
