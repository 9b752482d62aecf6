"""Isopleths of an equilibrium table, on their own or behind a path, and the check of a table."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from petro_models.errors import DataError, nearest
from petro_models.inference.checks import Check
from petro_models.report import style
from petro_models.thermodynamics.tables import (
    COMPONENTS,
    EquilibriumTable,
    garnet_stable,
    validate_table,
)

KINK = 6.0
"""A node stands out where it departs from its neighbours' mean by so many typical departures."""
LONE_DEPARTURE = 0.02


@style.styled
def plot_isopleths(table: xr.Dataset, removed: float = 0.0) -> Figure:
    """Draw the isopleths of all four components over pressure and temperature.

    Parameters
    ----------
    table
        As `validate_table` wants it.
    removed
        Garnet taken out of the bulk, where the table has that axis.
    """
    equilibrium = EquilibriumTable.from_dataset(table)
    figure = style.new_figure(8.6, 7.0)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, name in zip(panels.ravel(), COMPONENTS, strict=True):
        axes.set(
            xlim=equilibrium.temperature_C[[0, -1]],
            ylim=equilibrium.pressure_kbar[[0, -1]],
            title=f"X {name}",
        )
        draw_isopleths(axes, equilibrium, name, removed, style.INK)
        quiet_garnet_out(axes, equilibrium, removed)
    figure.supxlabel("temperature (°C)", fontsize=10)
    figure.supylabel("pressure (kbar)", fontsize=10)
    return figure


def draw_isopleths(
    axes: Axes,
    table: EquilibriumTable,
    component: str,
    removed: float = 0.0,
    colour: str = style.MUTED,
) -> None:
    """Draw the isopleths of one component inside the window of the axes."""
    if component not in COMPONENTS:
        raise DataError(f"no component '{component}': {nearest(component, COMPONENTS)}")
    temperature, pressure, mesh = _mesh(axes)
    composition, absence = table.look_up(*mesh, removed)
    values = np.where(absence > 0.5, np.nan, composition[..., COMPONENTS.index(component)])
    low, high = np.nanquantile(values, [0.02, 0.98])
    lines = axes.contour(
        temperature, pressure, values, levels=_levels(low, high), colors=colour, linewidths=0.7,
        zorder=1,
    )  # fmt: skip
    axes.clabel(lines, fmt=f"{component} %.2f", fontsize=7)


def quiet_garnet_out(axes: Axes, table: EquilibriumTable, removed: float = 0.0) -> None:
    """Shade where the table has no garnet."""
    temperature, pressure, mesh = _mesh(axes)
    absent = table.absence(*mesh, removed)
    axes.contourf(
        temperature, pressure, absent, levels=[0.5, 1e9], colors=[style.FAINT], alpha=0.5, zorder=0
    )


def check_table(table: xr.Dataset) -> list[Check]:
    """Check a table for holes in garnet's field, lone nodes, sums and coarse cells.

    Parameters
    ----------
    table
        As `validate_table` wants it.

    Raises
    ------
    DataError
        If it breaks the schema.
    """
    validate_table(table)
    if "removed" not in table["X_alm"].dims:
        table = table.expand_dims(removed=[0.0])
    order = ("removed", "pressure_kbar", "temperature_C")
    values = np.stack([table[f"X_{n}"].transpose(*order).to_numpy() for n in COMPONENTS], -1)
    present = garnet_stable(table).transpose(*order).to_numpy()
    return [_holes(table, present), _lone_nodes(table, values), _coarseness(values)]


def _holes(table: xr.Dataset, present: np.ndarray) -> Check:
    """Count nodes without garnet whose four neighbours all have some."""
    inner = present[:, 1:-1, 1:-1]
    around = present[:, :-2, 1:-1] & present[:, 2:, 1:-1]
    around &= present[:, 1:-1, :-2] & present[:, 1:-1, 2:]
    where = np.argwhere(~inner & around)
    share = f"garnet at {present.mean():.0%} of the nodes"
    if not where.size:
        return Check("holes", "PASS", share)
    return Check(
        "holes",
        "REVIEW",
        f"{share}; {len(where)} lone nodes without, the first at {_inner_node(table, where[0])}",
        "compute these nodes again: the engine probably did not converge there",
    )


def _lone_nodes(table: xr.Dataset, values: np.ndarray) -> Check:
    """Find nodes that depart from both diagonals of neighbours alike: stray minima."""
    centre = values[:, 1:-1, 1:-1]
    mean = 0.25 * (values[:, :-2, 1:-1] + values[:, 2:, 1:-1])
    mean = mean + 0.25 * (values[:, 1:-1, :-2] + values[:, 1:-1, 2:])
    departure = np.abs(centre - mean).max(axis=-1)
    typical = float(np.nanmedian(departure))
    around = np.stack(
        [
            np.abs(np.roll(values, shift, axis)[:, 1:-1, 1:-1] - centre).max(axis=-1)
            for axis in (1, 2)
            for shift in (1, -1)
        ]
    ).min(axis=0)
    lone = (departure > max(KINK * typical, LONE_DEPARTURE)) & (around > LONE_DEPARTURE)
    where = np.argwhere(lone)
    finding = f"typical curvature between nodes {typical:.4f}"
    if not where.size:
        return Check("lone nodes", "PASS", finding)
    return Check(
        "lone nodes",
        "REVIEW",
        f"{finding}; {len(where)} nodes stand out, the first at {_inner_node(table, where[0])}",
        "compute these nodes again at slightly shifted P and T, and take the median",
    )


def _coarseness(values: np.ndarray) -> Check:
    """Judge the interpolation's error by leaving every second node out."""
    errors = []
    for axis in (1, 2):
        size = values.shape[axis]
        pick = [np.take(values, range(start, size - 2 + start, 2), axis) for start in (0, 1, 2)]
        shortest = min(part.shape[axis] for part in pick)
        first, middle, last = (np.take(part, range(shortest), axis) for part in pick)
        errors.append((middle - 0.5 * (first + last)).ravel())
    # Halving the step divides the error of linear interpolation by four.
    error = float(np.sqrt(np.nanmean(np.concatenate(errors) ** 2))) / 4
    finding = f"linear interpolation errs by some {error:.4f} (rms)"
    if error < 0.004:
        return Check("fineness", "PASS", finding)
    return Check("fineness", "REVIEW", finding, "make the table on a finer grid")


def _inner_node(table: xr.Dataset, index: np.ndarray) -> str:
    """Name a node, counted without the table's edge."""
    level, row, column = (int(i) for i in index + np.array([0, 1, 1]))
    return (
        f"{float(table['pressure_kbar'][row]):g} kbar, "
        f"{float(table['temperature_C'][column]):g} degC, "
        f"removed {float(table['removed'][level]):g}"
    )


def _mesh(axes: Axes) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    temperature = np.linspace(*axes.get_xlim(), 121)
    pressure = np.linspace(*axes.get_ylim(), 121)
    t, p = np.meshgrid(temperature, pressure)
    return temperature, pressure, (p, t)


def _levels(low: float, high: float) -> np.ndarray:
    step = next((s for s in (0.005, 0.01, 0.02, 0.05, 0.1) if (high - low) / s <= 9), 0.2)
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
