"""Inclusions in garnet as labelled data: one equilibrium a row."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from petro_models.errors import DataError, nearest
from petro_models.histories.equilibria import KNOWN, LINE, group_equilibria
from petro_models.histories.labels import grain_labels, numbered
from petro_models.thermodynamics.barometers import check_composition

PLAIN_COLUMNS = ("grain", "r_um", "inclusion", "barometer", "residual_sd")


def garnet_inclusions(
    frame: pd.DataFrame,
    *,
    rim_radius_um: Mapping[str, float] | None = None,
    source: str = "in memory",
) -> xr.Dataset:
    """Build inclusions from a table, one equilibrium a row.

    Parameters
    ----------
    frame
        Columns ``r_um`` (distance from the grain's centre), ``barometer`` (a name of `KNOWN`), the
        inputs that it needs (``X_prp``, ``biotite_Mg``, ``intercept_kbar`` ...; empty elsewhere),
        their errors ``sd_X_prp`` ... (1 standard deviation; none: exact), optionally ``grain``,
        ``inclusion`` (a label) and ``residual_sd`` (replaces the published error of the
        calibration, in the unit of its residual).
    rim_radius_um
        Grain -> radius of its rim; the outermost inclusion by default. Profiles, where there are
        some, know better.
    source
        Kept in the attributes.

    Returns
    -------
    xr.Dataset
        As `validate_inclusions` wants it.

    Raises
    ------
    DataError
        If a column, barometer or value cannot be used.

    Examples
    --------
    >>> rows = {"r_um": [50, 400], "barometer": "line", "intercept_kbar": [2.0, 3.0],
    ...         "slope_kbar_per_C": 0.01, "sd_intercept_kbar": 0.5}
    >>> garnet_inclusions(pd.DataFrame(rows)).sizes["inclusion"]
    2
    """
    for column in ("r_um", "barometer"):
        if column not in frame:
            raise DataError(
                f"{source}: column {column!r} is missing; {nearest(column, map(str, frame))}"
            )
    if frame.empty:
        raise DataError(f"{source}: there is no inclusion: the table has headers but no rows")
    inputs = _input_columns(frame, source)
    grain = grain_labels(frame)
    grains = list(dict.fromkeys(grain))
    radius = frame["r_um"].to_numpy(float)
    rims = {name: float(radius[(grain == name).to_numpy()].max()) for name in grains}
    for name, value in (rim_radius_um or {}).items():
        if str(name) in rims:
            rims[str(name)] = float(value)
    values, errors = (
        np.array([_column(frame, f"{prefix}{name}") for name in inputs]).reshape(-1, len(frame)).T
        for prefix in ("", "sd_")
    )
    data = xr.Dataset(
        {
            "inclusion_radius_um": ("inclusion", radius, {"units": "um"}),
            "inclusion_grain": ("inclusion", grain.to_numpy(object)),
            "barometer_name": ("inclusion", frame["barometer"].astype(str).to_numpy(object)),
            "mineral_input": (("inclusion", "input"), values, {"units": "as the input says"}),
            "mineral_input_sd": (("inclusion", "input"), errors, {"units": "as the input says"}),
            "residual_sd": (
                "inclusion",
                _column(frame, "residual_sd"),
                {"units": "of the residual; NaN: the published error"},
            ),
            "rim_radius_um": ("grain", [rims[name] for name in grains], {"units": "um"}),
        },
        {"inclusion": _labels(frame, grain), "input": inputs, "grain": grains},
        attrs={"source": source},
    )
    validate_inclusions(data)
    return data


def validate_inclusions(data: xr.Dataset) -> None:
    """Check that a Dataset holds inclusions.

    The schema: dims ``inclusion`` (labels), ``input`` (names of mineral inputs), ``grain``;
    variables ``inclusion_radius_um inclusion_grain barometer_name residual_sd`` (inclusion),
    ``mineral_input mineral_input_sd`` (inclusion, input; NaN where not used), ``rim_radius_um``
    (grain).

    Raises
    ------
    DataError
        On the first violation, naming the inclusion.
    """
    names = ("inclusion_radius_um", "inclusion_grain", "barometer_name", "residual_sd",
             "mineral_input", "mineral_input_sd", "rim_radius_um")  # fmt: skip
    for name in names:
        if name not in data:
            hint = nearest(name, map(str, data.data_vars))
            raise DataError(f"inclusions: variable {name!r} is missing; {hint}")
    grains = [str(name) for name in data["grain"].values]
    rims = dict(zip(grains, data["rim_radius_um"].to_numpy(), strict=True))
    for row, label in enumerate(map(str, data["inclusion"].values)):
        radius, grain = (
            float(data["inclusion_radius_um"][row]),
            str(data["inclusion_grain"][row].item()),
        )
        if not np.isfinite(radius) or radius < 0:
            raise DataError(f"inclusions: {label!r} has radius {radius:g} um; give 0 or more")
        if grain not in rims:
            raise DataError(
                f"inclusions: {label!r} lies in grain {grain!r}, which has no profile; "
                f"{nearest(grain, grains)}"
            )
        if radius > rims[grain] * (1 + 1e-6):
            raise DataError(
                f"inclusions: {label!r} at {radius:g} um lies outside the rim of grain {grain!r} "
                f"({rims[grain]:g} um)"
            )
    if not (data["rim_radius_um"] > 0).all():
        raise DataError("inclusions: rim_radius_um must be above 0 for every grain")
    _check_equilibria(data)


def _check_equilibria(data: xr.Dataset) -> None:
    labels = [str(label) for label in data["inclusion"].values]
    for label, name in zip(labels, data["barometer_name"].values, strict=True):
        if str(name) not in KNOWN:
            raise DataError(
                f"inclusions: {label!r}: no thermobarometer is called {str(name)!r}: "
                f"{nearest(str(name), KNOWN)}"
            )
    stated = data["residual_sd"].to_numpy().astype(float)
    for row in np.flatnonzero(~np.isnan(stated) & ~(stated > 0)):
        raise DataError(
            f"inclusions: {labels[row]!r} has residual_sd {stated[row]:g}; give above 0"
        )
    for row, column in np.argwhere(data["mineral_input_sd"].to_numpy() < 0):
        raise DataError(
            f"inclusions: {labels[row]!r} has a negative sd_{data['input'].values[column]}"
        )
    for group in group_equilibria(data):
        first = labels[group.rows[0]]
        try:
            check_composition(group.calibration, group.composition)
        except DataError as error:
            raise DataError(f"inclusions: {first!r} and its like: {error}") from error
        if group.calibration is LINE:
            own = np.hypot(
                group.composition_sd["intercept_kbar"], np.nan_to_num(stated[group.rows])
            )
            for row in group.rows[~(own > 0)]:
                raise DataError(
                    f"inclusions: {labels[row]!r} is a line without an error: give "
                    "sd_intercept_kbar (1 standard deviation)"
                )


def _input_columns(frame: pd.DataFrame, source: str) -> list[str]:
    """Find the columns that hold inputs of some equilibrium; refuse those that nothing needs."""
    known = {
        name
        for item in KNOWN.values()
        for name in (*item.inputs, *item.optional, *item.range_inputs)
    }
    for column in map(str, frame.columns):
        name = column.removeprefix("sd_")
        if column not in PLAIN_COLUMNS and name not in known:
            raise DataError(
                f"{source}: column {column!r} is not known; "
                f"{nearest(column, [*PLAIN_COLUMNS, *sorted(known)])}"
            )
        if column.startswith("sd_") and name not in frame:
            raise DataError(f"{source}: there is {column!r} but no column {name!r}")
    return [column for column in map(str, frame.columns) if column in known]


def _column(frame: pd.DataFrame, name: str) -> np.ndarray:
    if name not in frame:
        return np.full(len(frame), np.nan)
    return frame[name].to_numpy(float)


def _labels(frame: pd.DataFrame, grain: pd.Series) -> list[str]:
    """Name inclusions as the table does where the names differ, else number them."""
    if "inclusion" not in frame:
        return numbered(list(grain))
    given = [str(value) for value in frame["inclusion"]]
    return given if len(set(given)) == len(given) else numbered(given)
