"""Whole-rock tables for mass transfer: the builder of the table that the model reads."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from petro_models.errors import DataError, nearest
from petro_models.io import cells
from petro_models.io import species as chemistry
from petro_models.mass_transfer.schema import PARTS, validate_mass_table

__all__ = ["mass_table", "validate_mass_table"]

Locate = Callable[[str, str], str]
"""Names the place of a cell in a message, from the sample label and the species ("" = the row)."""

RelativeErrors = float | Mapping[str, float] | pd.DataFrame | None
PerSample = float | Mapping[str, float] | Sequence[float] | pd.Series | None

TOTAL_RANGE = (85.0, 110.0)
"""Sums of wt% species outside this range stop the builder (unless totals="ignore")."""

_VOLATILES = ("H2O", "H2O+", "H2O-", "CO2", "SO3", "SO2", "S", "C", "F", "Cl")


def mass_table(
    altered: pd.DataFrame,
    protolith: pd.DataFrame,
    units: str | Mapping[str, str],
    *,
    relative_errors: RelativeErrors = None,
    protolith_relative_errors: RelativeErrors = None,
    detection_limits: Mapping[str, float] | None = None,
    zeros: str = "error",
    totals: str = "check",
    density: PerSample = None,
    protolith_density: PerSample = None,
    distance: PerSample = None,
    distance_unit: str | None = None,
    profile: str | Mapping[str, str] | Sequence[str] | pd.Series | None = None,
    source: str = "in memory",
    notes: Iterable[str] = (),
    where: Locate | None = None,
) -> xr.Dataset:
    """Build the table that the mass-transfer model reads, and validate it.

    Parameters
    ----------
    altered, protolith
        Analyses: one row per sample (index = label, unique over both tables), one column per
        species. Cells are numbers or texts such as "<0.5", "bdl" and "n.d.". Columns LOI and
        Total serve the check of totals and are then left out, with a note.
    units
        One of "wt%", "ppm", "ppb" for all columns, or a mapping species -> unit. A name that is
        not a known species is kept only if this mapping names it.
    relative_errors
        One-sigma relative error (0.02 = 2 %): one for all, per species, or a DataFrame per cell.
    protolith_relative_errors
        The same for the protolith; if None, `relative_errors` where that is no DataFrame.
    detection_limits
        Species -> limit, in the unit of the species, for cells that say "bdl".
    zeros
        What a zero means: "error", "below_detection" or "missing".
    totals
        "check" that wt% species sum to 85-110 (where SiO2, Al2O3 and at least six oxides are
        there), or "ignore".
    density, protolith_density
        g/cm3, one for all or per sample; NaN where unknown.
    distance, distance_unit
        Position of each altered sample along its traverse, and its unit, such as "cm".
    profile
        Label of the traverse or well of each altered sample.
    source, notes
        Kept in the attributes of the table.
    where
        Names the place of a cell in error messages (the file reader gives file and line).

    Returns
    -------
    xr.Dataset
        Dims `sample`, `protolith`, `element`; see `validate_mass_table`.

    Raises
    ------
    DataError
        If a cell, label, unit, error or total cannot be used as it stands.

    Examples
    --------
    >>> fresh = pd.DataFrame({"SiO2": [46.45], "TiO2": [1.29], "Zr": [80]}, index=["UA"])
    >>> altered = pd.DataFrame({"SiO2": [45.62], "TiO2": [1.30], "Zr": ["<90"]}, index=["401"])
    >>> table = mass_table(altered, fresh, {"SiO2": "wt%", "TiO2": "wt%", "Zr": "ppm"})
    >>> table.sizes["element"]
    3
    """
    cells.check_zeros(zeros)
    _check_choice("totals", totals, ("check", "ignore"))
    labels = _labels(altered, protolith)
    raw_altered, raw_protolith, own, remarks = _match_columns(altered, protolith, units, source)
    by_unit, unit_notes = chemistry.settle_units(own, units, source)
    limits = _detection_limits(detection_limits, by_unit, source)
    reading = _Reading(limits, zeros, totals, where or _in_memory(source), by_unit)
    rock = _read_analyses(raw_altered, labels[0], reading, "altered rocks")
    parent = _read_analyses(raw_protolith, labels[1], reading, "protolith analyses")
    kept = [name for name in rock.species if name != "LOI"]
    rock_errors = _relative_errors(relative_errors, rock, source)
    parent_errors = _relative_errors(
        _protolith_errors(relative_errors, protolith_relative_errors), parent, source
    )
    table = xr.Dataset(
        {
            **_variables("sample", "", rock, rock_errors),
            **_variables("protolith", "protolith_", parent, parent_errors),
        },
        coords={
            "sample": np.array(labels[0], dtype=str),
            "protolith": np.array(labels[1], dtype=str),
            "element": np.array(rock.species, dtype=str),
            "unit": ("element", np.array([by_unit[name] for name in rock.species], dtype=str)),
        },
        attrs={"source": source},
    ).sel(element=kept)
    _add_positions(table, density, protolith_density, distance, distance_unit, profile)
    table, dropped = _drop_unusable(table)
    all_notes = [*notes, *remarks, *unit_notes, *rock.notes, *parent.notes, *dropped]
    table.attrs["notes"] = "\n".join(dict.fromkeys(all_notes))
    validate_mass_table(table)
    return table


@dataclass(frozen=True)
class _Reading:
    """How cells are to be read."""

    limits: Mapping[str, float]
    zeros: str
    totals: str
    where: Locate
    units: Mapping[str, str]


@dataclass(frozen=True)
class _Analyses:
    """Cells as numbers: concentration and detection limit, (row, species)."""

    labels: list[str]
    species: list[str]
    value: np.ndarray
    limit: np.ndarray
    notes: list[str] = field(default_factory=list)


def _in_memory(source: str) -> Locate:
    """Name cells of tables that come from no file."""
    return lambda label, name: (
        f"{source}, sample {label!r}" + (f", column {name!r}" if name else "")
    )


def _labels(altered: pd.DataFrame, protolith: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Give the sample labels of both tables as unique texts."""
    for name, frame in (("altered", altered), ("protolith", protolith)):
        if not isinstance(frame, pd.DataFrame):
            raise DataError(f"{name} is a {type(frame).__name__}; give a pandas DataFrame.")
        if frame.empty:
            raise DataError(f"{name} has no analysis; at least one row and column are needed.")
    both = [str(label) for label in [*altered.index, *protolith.index]]
    twice = sorted({label for label in both if both.count(label) > 1})
    if twice:
        raise DataError(
            f"sample label {twice[0]!r} stands more than once in altered and protolith together; "
            "give every row its own index label."
        )
    return both[: len(altered)], both[len(altered) :]


def _match_columns(
    altered: pd.DataFrame, protolith: pd.DataFrame, units: str | Mapping[str, str], source: str
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str | None], list[str]]:
    """Give both tables the same canonical species columns, with the units in their headers."""
    named = {} if isinstance(units, str) else units
    own: dict[str, str | None] = {}
    notes: list[str] = []
    frames = []
    for frame in (altered, protolith):
        names: dict[Hashable, str] = {}
        for column in frame.columns:
            name, unit, note = _column(str(column), named, source)
            notes += [note] if note else []
            if name in names.values():
                raise DataError(f"{source}: species {name} stands in two columns; keep one.")
            if name:
                names[column] = name
                own[name] = own.get(name) or unit
        frames.append(frame[list(names)].set_axis(list(names.values()), axis="columns"))
    if not own:
        raise DataError(f"{source}: no column is a species such as 'SiO2' or 'Zr'.")
    rock, parent = (frame.reindex(columns=list(own)) for frame in frames)
    return rock, parent, own, notes


def _column(header: str, named: Mapping[str, str], source: str) -> tuple[str, str | None, str]:
    """Read one column label as (species, unit in the header, note); no species: left out."""
    if header in named and chemistry.element_of(header) is None:
        return header, None, f"{header!r} is not a known species; kept as labelled"
    read = chemistry.read_header(header)
    if read.role == "total":
        return "", None, f"column {header!r} ignored (a sum)"
    if read.role == "loss on ignition":
        return "LOI", "wt%", f"{header!r} left out of the elements (a sum of volatiles)"
    if read.role != "species":
        raise DataError(
            f"{source}: column {header!r} is not a known species. Drop it, or name its unit with "
            f"units={{{header!r}: 'ppm', ...}} to keep it."
        )
    return read.species, read.unit, read.note


def _check_choice(argument: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise DataError(f"{argument}={value!r} is not known; {nearest(str(value), allowed)}.")


def _detection_limits(
    limits: Mapping[str, float] | None, units: Mapping[str, str], source: str
) -> dict[str, float]:
    """Check the stated limits: known species, positive finite values."""
    checked = {}
    for name, limit in (limits or {}).items():
        species = chemistry.canonical_species(name, units, f"{source}, argument detection_limits")
        if not _is_number(limit) or not 0 < float(limit) < np.inf:
            raise DataError(
                f"detection_limits[{name!r}] is {limit!r}; a limit is a positive number, in the "
                f"unit of the species ({units[species]})."
            )
        checked[species] = float(limit)
    return checked


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _read_analyses(
    frame: pd.DataFrame, labels: list[str], reading: _Reading, group: str
) -> _Analyses:
    """Read every cell of one table."""
    species = list(frame.columns)
    raw = frame.to_numpy(dtype=object)
    value, limit = np.full(raw.shape, np.nan), np.full(raw.shape, np.nan)
    remarks: Counter[str] = Counter()
    for row, label in enumerate(labels):
        for column, name in enumerate(species):
            cell = raw[row, column]
            try:
                value[row, column], limit[row, column] = cells.read_cell(
                    cell, reading.limits.get(name), reading.zeros
                )
            except DataError as error:
                raise DataError(f"{reading.where(label, name)}: {error}") from None
            remark = _remark(cell, limit[row, column], reading.units[name])
            remarks.update([f"{name}: {remark}"] if remark else [])
    notes = [f"{remark} in {count} of {len(labels)} {group}" for remark, count in remarks.items()]
    analyses = _Analyses(labels, species, value, limit, notes)
    _check_magnitudes(analyses, reading)
    if reading.totals == "check":
        _check_totals(analyses, reading)
    return analyses


def _remark(cell: object, limit: float, unit: str) -> str:
    """Note a cell that could have meant something else."""
    text = str(cell).strip()
    if text.casefold() in ("n.d.", "nd", "n.d", "n/d"):
        return f"{text!r} read as missing"
    if cells.parse_number(text) == 0:
        meaning = f"below detection (< {limit:g} {unit})" if np.isfinite(limit) else "missing"
        return f"zero read as {meaning}"
    return ""


def _check_magnitudes(analyses: _Analyses, reading: _Reading) -> None:
    """Refuse more than a whole rock of one species: a unit must be wrong."""
    for column, name in enumerate(analyses.species):
        unit = reading.units[name]
        whole = 100 * chemistry.PARTS_PER_BILLION["wt%"] / chemistry.PARTS_PER_BILLION[unit]
        for row in np.flatnonzero(analyses.value[:, column] > whole):
            raise DataError(
                f"{reading.where(analyses.labels[row], name)}: {analyses.value[row, column]:g} "
                f"{unit} is more than the whole rock. Is the unit right?"
            )


def _check_totals(analyses: _Analyses, reading: _Reading) -> None:
    """Check that complete major-element analyses add up to about 100 wt%."""
    percent = [name for name in analyses.species if reading.units[name] == "wt%"]
    volatile = [name in (*_VOLATILES, "LOI") for name in percent]
    values = analyses.value[:, [analyses.species.index(name) for name in percent]]
    is_loss = np.array([name == "LOI" for name in percent], dtype=bool)
    is_solid = ~np.array(volatile, dtype=bool)
    is_single = ~is_solid & ~is_loss
    for label, row in zip(analyses.labels, values, strict=True):
        present = {name for name, cell in zip(percent, row, strict=True) if np.isfinite(cell)}
        oxides = [name for name in present if "O" in name and name != "LOI"]
        if not {"SiO2", "Al2O3"} <= present or len(oxides) < 6:
            continue
        # Loss on ignition contains the water and carbon dioxide that may be listed as well.
        loss = max(np.nansum(row[is_loss]), np.nansum(row[is_single]))
        total = float(np.nansum(row[is_solid]) + loss)
        is_whole = bool(np.isfinite(row[is_solid]).all())  # a gap makes any total low
        if (is_whole and total < TOTAL_RANGE[0]) or total > TOTAL_RANGE[1]:
            place = reading.where(label, "")
            raise DataError(
                f"{place}: the wt% species of sample {label!r} add up to {total:.2f}, outside "
                f"{TOTAL_RANGE[0]:g}-{TOTAL_RANGE[1]:g}. Check units and cells; if the analysis "
                "is right (volatiles not measured, say), pass totals='ignore'."
            )


def _protolith_errors(altered: RelativeErrors, protolith: RelativeErrors) -> RelativeErrors:
    """Share the stated precision of the laboratory with the protolith."""
    if protolith is None and not isinstance(altered, pd.DataFrame):
        return altered
    return protolith


def _relative_errors(errors: RelativeErrors, analyses: _Analyses, source: str) -> np.ndarray:
    """Spread relative errors over all cells that are not missing, (row, species)."""
    present = np.isfinite(analyses.value) | np.isfinite(analyses.limit)
    spread = np.full(present.shape, np.nan)
    place = f"{source}, relative errors"
    if isinstance(errors, pd.DataFrame):
        spread = _errors_by_cell(errors, analyses, place)
    elif isinstance(errors, Mapping):
        for name, error in errors.items():
            species = chemistry.canonical_species(name, analyses.species, place)
            spread[:, analyses.species.index(species)] = check_fraction(error, f"{place}[{name!r}]")
    elif errors is not None:
        spread[:] = check_fraction(errors, place)
    return np.where(present, spread, np.nan)


def _errors_by_cell(errors: pd.DataFrame, analyses: _Analyses, place: str) -> np.ndarray:
    """Align a table of relative errors with the analyses."""
    columns = [chemistry.canonical_species(str(c), analyses.species, place) for c in errors.columns]
    frame = errors.set_axis(columns, axis="columns").set_axis(
        [str(label) for label in errors.index], axis="index"
    )
    unknown = [label for label in frame.index if label not in analyses.labels]
    if unknown:
        raise DataError(
            f"{place}: sample {unknown[0]!r} has no analysis; "
            f"{nearest(unknown[0], analyses.labels)}."
        )
    if not frame.index.is_unique or not frame.columns.is_unique:
        raise DataError(f"{place}: a sample or a species stands there twice.")
    try:
        numbers = frame.astype(float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{place}: a cell is not a number ({error}).") from None
    aligned = numbers.reindex(index=analyses.labels, columns=analyses.species)
    return aligned.to_numpy(dtype=float, copy=True)


def check_fraction(error: object, place: str) -> float:
    """Check a relative error stated once for many cells."""
    if not _is_number(error) or not 0 < float(error) < 1:  # type: ignore[arg-type]
        raise DataError(
            f"{place}: {error!r} is not a relative error; give a fraction between 0 and 1 "
            "(0.02 for 2 %, one standard deviation)."
        )
    return float(error)  # type: ignore[arg-type]


def _variables(
    dim: str, prefix: str, analyses: _Analyses, errors: np.ndarray
) -> dict[str, tuple[tuple[str, str], np.ndarray, dict[str, str]]]:
    """Give the three variables of one group of rocks, with units."""
    arrays = (analyses.value, errors, analyses.limit)
    return {
        prefix + name: ((dim, "element"), array, {"units": units})
        for (name, units), array in zip(PARTS.items(), arrays, strict=True)
    }


def _add_positions(
    table: xr.Dataset,
    density: PerSample,
    protolith_density: PerSample,
    distance: PerSample,
    distance_unit: str | None,
    profile: str | Mapping[str, str] | Sequence[str] | pd.Series | None,
) -> None:
    """Add density, distance and profile where they are given."""
    for name, dim, given in (
        ("density", "sample", density),
        ("protolith_density", "protolith", protolith_density),
    ):
        if given is not None:
            array = _per_label(given, table[dim].values, name).astype(float)
            table[name] = (dim, array, {"units": "g/cm3"})
    if distance is not None:
        if not distance_unit:
            raise DataError("distance is given without its unit; pass distance_unit='cm', say.")
        long_name = str(getattr(distance, "name", None) or "distance along the profile")
        array = _per_label(distance, table["sample"].values, "distance").astype(float)
        table["distance"] = ("sample", array, {"units": distance_unit, "long_name": long_name})
    if profile is not None:
        names = _per_label(profile, table["sample"].values, "profile")
        table.coords["profile"] = ("sample", np.array([str(name) for name in names]))


def _per_label(given: object, labels: np.ndarray, what: str) -> np.ndarray:
    """Align one value, a mapping by label or a sequence with the samples."""
    if isinstance(given, pd.Series):
        given = {str(label): value for label, value in given.items()}
    if isinstance(given, Mapping):
        lacking = [label for label in labels if label not in given]
        if lacking:
            raise DataError(
                f"{what} is not given for sample {str(lacking[0])!r}; give NaN where unknown."
            )
        values = [given[label] for label in labels]
    elif isinstance(given, str) or np.ndim(given) == 0:  # type: ignore[arg-type]
        values = [given] * len(labels)
    else:
        values = list(given)  # type: ignore[call-overload]
    if len(values) != len(labels):
        raise DataError(f"{what} has {len(values)} values for {len(labels)} samples.")
    if what != "profile" and not all(_is_number(value) for value in values):
        raise DataError(f"{what} must be numbers (NaN where unknown).")
    return np.array(values)


def _drop_unusable(table: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """Drop elements that one side lacks altogether, or that were nowhere above detection."""
    notes = []
    keep = []
    for name in table["element"].values:
        one = table.sel(element=name)
        measured = {side: np.isfinite(one[f"{side}concentration"]) for side in ("", "protolith_")}
        usable = {
            side: bool((cells_ | np.isfinite(one[f"{side}detection_limit"])).any())
            for side, cells_ in measured.items()
        }
        if not usable["protolith_"]:
            notes.append(f"{name} dropped: no usable value in the protolith")
        elif not usable[""]:
            notes.append(f"{name} dropped: no usable value in the altered rocks")
        elif not any(bool(cells_.any()) for cells_ in measured.values()):
            notes.append(f"{name} dropped: below detection in every analysis")
        else:
            keep.append(name)
    if len(keep) < 3:
        reasons = f" ({'; '.join(notes)})" if notes else ""
        raise DataError(
            f"{table.attrs['source']}: {len(keep)} elements left{reasons}; mass transfer needs at "
            "least three elements measured in protolith and altered rocks."
        )
    return table.sel(element=keep), notes
