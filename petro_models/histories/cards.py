"""The cards of a history's report: path, time, profiles, rates, clock, baseline, data."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from petro_models.histories import plots
from petro_models.histories.data import is_bulk_known, table_bulk
from petro_models.histories.equilibria import KNOWN
from petro_models.histories.plot_inclusions import plot_inclusions
from petro_models.report.cards import Block, Card, Paragraph, Table, figure_card, interval, number
from petro_models.report.generic import is_point

if TYPE_CHECKING:
    from petro_models.histories.problem import Histories

BANDS = "90 %, equal-tailed"
KUWATANI = (
    "Kuwatani, T., Nagata, K., Yoshida, K., Okada, M., Toriumi, M. (2018) Bayesian probabilistic "
    "reconstruction of metamorphic P-T paths using inclusion geothermobarometry. Journal of "
    "Mineralogical and Petrological Sciences 113, 82-95."
)
MAGEMIN = (
    "Riel, N., Kaus, B.J.P., Green, E.C.R., Berlie, N. (2022) MAGEMin, an efficient Gibbs energy "
    "minimizer. Geochemistry, Geophysics, Geosystems 23, e2022GC010427."
)
ISOPLETHS = (
    "Spear, F.S., Selverstone, J. (1983) Quantitative P-T paths from zoned minerals. Contributions "
    "to Mineralogy and Petrology 83, 348-357."
)
MOST_ROWS = 40


def cards(problem: "Histories", fit: xr.DataTree) -> list[Card]:
    """Make the cards that only a history has.

    Parameters
    ----------
    problem
        The problem that was fitted.
    fit
        Its fit.
    """
    arrays = problem.arrays
    made = [path_card(fit, arrays.has_profiles, arrays.has_inclusions)]
    if problem.law.has_clock:
        made += [time_card(fit), rates_card(fit), clock_card(problem, fit)]
    if arrays.has_profiles:
        if "posterior_predictive" in fit.children and not is_point(fit):
            made.append(profiles_card(fit))
        made += [positions_card(problem, fit), baseline_card(problem, fit)]
    if arrays.has_inclusions:
        made += [inclusions_card(fit), equilibria_card(problem, fit)]
    return [*made, data_card(problem)]


def path_card(fit: xr.DataTree, has_profiles: bool, has_inclusions: bool) -> Card:
    """Show the path in pressure and temperature."""
    behind = []
    if has_profiles:
        behind.append(
            "grey: isopleths of grossular for the bulk before growth, shaded where garnet is absent"
        )
    if has_inclusions:
        behind.append(
            "thin lines: equilibria of inclusions (solid: thermometers, dashed: barometers)"
        )
    return figure_card(
        "Path",
        "path",
        plots.plot_path(fit),
        f"Pressure against temperature during growth: {_from_to(fit)}.",
        f"Shading: posterior density of the path; line: medians; crosses: {BANDS} at both ends; "
        f"{'; '.join(behind)}.",
    )


def time_card(fit: xr.DataTree) -> Card:
    """Show temperature and pressure through time."""
    return figure_card(
        "Through time",
        "time",
        plots.plot_time(fit),
        f"Temperature and pressure against time, {_value(fit, 'duration_Myr')} Myr in all.",
        f"Medians and bands ({BANDS}) at a given time; diamonds: dated zones.",
    )


def rates_card(fit: xr.DataTree) -> Card:
    """Show growth and heating rates."""
    return figure_card(
        "Rates",
        "rates",
        plots.plot_rates(fit),
        "Growth rate and heating rate against the radius of the largest grain.",
        f"Medians and bands ({BANDS}).",
    )


def clock_card(problem: "Histories", fit: xr.DataTree) -> Card:
    """Say where the duration comes from."""
    derived = fit["derived"].to_dataset()
    blocks: list[Block] = []
    if "duration_by_energy_Myr" in derived:
        rows = []
        for index, energy in enumerate(derived["energy"].to_numpy()):
            low, middle, high = (
                float(derived["duration_by_energy_Myr"].isel(energy=index).sel(statistic=key))
                for key in ("q05", "q50", "q95")
            )
            rows.append([f"{energy:.0f}", number(middle), interval(low, high)])
        blocks.append(
            Table(
                ["E (kJ/mol)", "duration (Myr)", BANDS],
                rows,
                "Duration at fixed activation energies: ages teach little about the energy.",
                frozenset({0, 1, 2}),
            )
        )
    card = figure_card(
        "Where the duration comes from",
        "clock",
        plots.plot_duration(fit),
        f"Prior and posterior of the duration; posterior {_value(fit, 'duration_Myr')} Myr.",
        f"Densities on a log scale; bars: {BANDS}, at fixed activation energies.",
        "prior_posterior",
    )
    return Card(card.title, card.anchor, card.section, [*card.blocks, *blocks])


def profiles_card(fit: xr.DataTree) -> Card:
    """Show how the profiles are fitted."""
    return figure_card(
        "Profiles",
        "profiles",
        plots.plot_profiles(fit),
        "Measured fractions of every grain along its radius, with replicated bands.",
        f"Points: analyses; bands: {BANDS}, of replicated analyses.",
        "predictive",
    )


def positions_card(problem: "Histories", fit: xr.DataTree) -> Card:
    """List pressure, temperature and time along every grain."""
    derived = fit["derived"].to_dataset()
    arrays = problem.arrays
    count = arrays.radius_um.size
    shown = np.unique(np.linspace(0, count - 1, min(count, MOST_ROWS)).round().astype(int))
    names = ["temperature_C", "pressure_kbar"]
    names += [name for name in ("time_Myr", "age_Ma") if name in derived]
    headings = {"temperature_C": "T (°C)", "pressure_kbar": "P (kbar)"}
    headings |= {"time_Myr": "time (Myr)", "age_Ma": "age (Ma)"}
    rows = []
    for row in shown:
        cells = [arrays.coords["grain"][arrays.grain[row]], f"{arrays.radius_um[row]:.0f}"]
        for name in names:
            low, middle, high = (
                float(derived[name].isel(position=row).sel(statistic=key))
                for key in ("q05", "q50", "q95")
            )
            cells.append(f"{number(middle, 4)} ({interval(low, high)})")
        rows.append(cells)
    more = "" if len(shown) == count else f" {len(shown)} of {count} positions."
    return Card(
        "Along the grains",
        "positions",
        "results",
        [
            Table(
                ["grain", "radius (µm)", *(headings[name] for name in names)],
                rows,
                f"Medians and intervals ({BANDS}).{more}",
                frozenset(range(1, 2 + len(names))),
            )
        ],
        [KUWATANI],
    )


def inclusions_card(fit: xr.DataTree) -> Card:
    """Show what single inclusions say, and the path through them."""
    return figure_card(
        "Inclusions along the grain",
        "inclusions",
        plot_inclusions(fit),
        "Temperature and pressure of the path and of single inclusions along the radius.",
        f"Bands: the path ({BANDS}); points: one equilibrium alone, at the pressure (temperature) "
        "of the path; bars: 90 % from the stated errors.",
        "predictive",
    )


def equilibria_card(problem: "Histories", fit: xr.DataTree) -> Card:
    """List the equilibria: P and T of the path there, and how far each is from it."""
    derived = fit["derived"].to_dataset()
    inclusions = problem.arrays.inclusions
    medians = derived.sel(statistic="q50")
    temperature, pressure = (
        medians[f"inclusion_{name}"].to_numpy() for name in ("temperature_C", "pressure_kbar")
    )
    alone = inclusions.single_estimates(temperature, pressure)
    score = inclusions.residuals(temperature, pressure, np) / problem.noise.total
    count = inclusions.count
    shown = np.unique(np.linspace(0, count - 1, min(count, MOST_ROWS)).round().astype(int))
    rows = []
    for row in shown:
        calibration = inclusions.calibration_names[inclusions.calibration_index[row]]
        cells = [inclusions.labels[row], calibration.replace("_", " ")]
        cells.append(f"{inclusions.radius_um[row]:.0f}")
        for name in ("temperature_C", "pressure_kbar"):
            low, middle, high = (
                float(derived[f"inclusion_{name}"].isel(inclusion=row).sel(statistic=key))
                for key in ("q05", "q50", "q95")
            )
            cells.append(f"{number(middle, 3)} ({interval(low, high)})")
        is_thermometer = inclusions.measures_temperature[row]
        single = f"{alone[0][row]:.0f} °C" if is_thermometer else f"{alone[1][row]:.1f} kbar"
        rows.append([*cells, single, f"{score[row]:+.1f}"])
    headings = ["inclusion", "equilibrium", "radius (µm)", "T (°C)", "P (kbar)", "alone", "misfit"]
    more = "" if len(shown) == count else f" {len(shown)} of {count} rows."
    note = (
        f"Medians and intervals ({BANDS}); alone: what the equilibrium gives on its own at the "
        f"path's P (T); misfit: residual over its standard deviation.{more}"
    )
    table = Table(headings, rows, note, frozenset({2, 3, 4, 5, 6}))
    return Card("Equilibria", "equilibria", "baselines", [table], [KUWATANI])


def baseline_card(problem: "Histories", fit: xr.DataTree) -> Card:
    """Compare with the point-by-point intersection of isopleths."""
    derived = fit["derived"].to_dataset()
    pressure, temperature, misfit = problem.points_alone()
    rows = []
    for name, unit, values in (
        ("temperature_C", "°C", temperature),
        ("pressure_kbar", "kbar", pressure),
    ):
        model = derived[name].sel(statistic="q50").to_numpy()
        band = derived[name].sel(statistic="q95") - derived[name].sel(statistic="q05")
        rows.append(
            [
                f"{name.split('_')[0]} ({unit})",
                f"{np.median(np.abs(values - model)):.2f}",
                f"{np.abs(values - model).max():.2f}",
                f"{float(band.median()):.2f}",
            ]
        )
    freedom = np.maximum(problem.arrays.measured.sum(axis=1) - problem.arrays.closed - 2, 1)
    text = (
        "Intersecting isopleths point by point leaves a misfit of "
        f"{np.median(misfit / freedom):.2f} per degree of freedom (median; 1 is expected from the "
        "stated errors)."
    )
    table = Table(
        ["", "median difference", "largest difference", f"width of the band ({BANDS})"],
        rows,
        "Point-by-point fits against the medians of this fit.",
        frozenset({1, 2, 3}),
    )
    return Card("Point by point", "points", "baselines", [Paragraph(text), table], [ISOPLETHS])


def data_card(problem: "Histories") -> Card:
    """Say what went in."""
    arrays = problem.arrays
    rows = [
        ["grains", str(arrays.n_grains)],
        ["analyses", str(arrays.radius_um.size)],
        ["equilibria of inclusions", str(arrays.inclusions.count)],
        ["dated zones", str(arrays.zone_age_Ma.size)],
        ["growth law", problem.law.meaning],
    ]
    references = [MAGEMIN] if arrays.has_profiles else []
    if arrays.has_profiles:
        rows += _table_rows(problem)
    for name in arrays.inclusions.calibration_names:
        rows.append([f"calibration {name.replace('_', ' ')}", KNOWN[name].error])
        references.append(KNOWN[name].reference)
    return Card("Data", "data", "data", [Table(["what", "value"], rows)], references)


def _table_rows(problem: "Histories") -> list[list[str]]:
    table = problem.arrays.table
    return [
        ["table", str(problem.data.attrs.get("table_title", "unnamed"))],
        ["engine", str(problem.data.attrs.get("table_engine", "not said"))],
        ["bulk of the table", table_bulk(problem.data.attrs, "table_") or "not said"],
        ["bulk of the rock", "that of the table" if is_bulk_known(problem.data) else "not known"],
        [
            "pressure of the table",
            f"{table.pressure_kbar[0]:g} to {table.pressure_kbar[-1]:g} kbar",
        ],
        [
            "temperature of the table",
            f"{table.temperature_C[0]:g} to {table.temperature_C[-1]:g} °C",
        ],
        ["removed garnet", "an axis of the table" if table.has_removed_axis else "one bulk"],
    ]


def _from_to(fit: xr.DataTree) -> str:
    derived = fit["derived"].to_dataset().sel(statistic="q50")
    parts = []
    for end in (0, -1):
        t, p = (float(derived[name][end]) for name in ("axis_temperature_C", "axis_pressure_kbar"))
        parts.append(f"{t:.0f} °C and {p:.1f} kbar")
    return " to ".join(parts)


def _value(fit: xr.DataTree, name: str) -> str:
    low, middle, high = (
        float(fit["derived"][name].sel(statistic=key)) for key in ("q05", "q50", "q95")
    )
    return f"{number(middle)} ({BANDS}: {interval(low, high)})"
