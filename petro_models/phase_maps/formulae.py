"""Structural formulae: from wt% of oxides to cations, sites and end members, with errors.

Works on one analysis, a table, a transect, a map or posterior draws alike: the dim `oxide` is
used up and all others stay. Errors go through the derivatives of the whole calculation, sites and
ferric iron included, exact to rounding: a step of 1e-30 along the imaginary axis has no
differences to cancel (Squire, W. and Trapp, G. (1998). Using complex variables to estimate
derivatives of real functions. SIAM Review 40, 110-112).
"""

import re
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from petro_models.errors import ConfigurationError, DataError, nearest
from petro_models.io import species as chemistry
from petro_models.phase_maps.formula_rules import (
    MINERALS,
    Array,
    Mineral,
    ferric_share,
    normalise,
    occupy,
    ratio,
)
from petro_models.phase_maps.formula_weights import ATOMIC_WEIGHTS

Outputs = dict[str, Array]

_IGNORED = ("H", "C", "F", "Cl", "S")
_ANALYSES_AT_ONCE = 16_384
_STEP = 1e-30


def structural_formula(
    composition: xr.DataArray,
    composition_sd: xr.DataArray | None = None,
    *,
    mineral: str,
    ferric: str | float | None = None,
) -> xr.Dataset:
    """Calculate the structural formula of a mineral.

    Parameters
    ----------
    composition
        wt% with the dim `oxide` (labels "SiO2", "FeO", "Fe2O3", "FeOT", ...) and any other dims
        (y, x, position, draw, ...). Draws need no `composition_sd`: each is calculated on its own.
        NaN of an oxide that the mineral can do without counts as 0.
    composition_sd
        One sigma of the same shape, independent between oxides; its effect is propagated to first
        order (exact derivatives). Where Fe3+ stands at its bound (0, or all iron), or a site is
        just full, first order is one-sided: use draws there.
    mineral
        amphibole, biotite, chlorite, chloritoid, epidote, feldspar, garnet, olivine, pyroxene,
        white mica, or a usual symbol or member of one ("Grt", "Ctd", "phengite", "Cpx").
    ferric
        None for the mineral's own rule (see :mod:`petro_models.phase_maps.formula_rules`), or as
        measured where both FeO and Fe2O3 are given; "none" or "all" for all iron as Fe2+ or Fe3+;
        "measured" to insist on measured FeO and Fe2O3; a number for Fe3+/(Fe2+ + Fe3+).

    Returns
    -------
    xr.Dataset
        `cations` (cation) per formula unit, with iron as "Fe2" and "Fe3"; `occupancy` (occupant),
        labelled "T Al" for Al on site T (coordinates `occupant_site`, `occupant_ion`);
        `site_total` (site); `end_member_fraction` (end_member; absent for amphibole);
        `X_Mg` = Mg/(Mg + Fe2+); `ferric_ratio` = Fe3+/Fe; `cation_total`; `unassigned` cations
        that found no site; `oxide_total` (wt%). Each has a twin ``_sd`` if errors were given.
        attrs: mineral, oxygens, ferric, notes.

    Raises
    ------
    DataError
        Unknown mineral (with the nearest name), oxides missing or unknown, dims that do not match.
    ConfigurationError
        An impossible `ferric`.

    Examples
    --------
    >>> import xarray as xr
    >>> olivine = xr.DataArray([36.0, 34.3, 29.7], coords={"oxide": ["SiO2", "FeO", "MgO"]})
    >>> round(float(structural_formula(olivine, mineral="olivine").X_Mg), 2)
    0.61
    """
    rules = find_mineral(mineral)
    oxides = _oxides(composition)
    _check_required(rules, oxides)
    share, how = _ferric_choice(rules, oxides, ferric)
    values = composition.transpose(..., "oxide")
    table = values.to_numpy().astype(float).reshape(-1, len(oxides))
    errors = None if composition_sd is None else _errors_like(composition_sd, values)
    filled, usable = _fill(rules, oxides, table)
    calculate = partial(_formula, rules, tuple(oxides), share)
    found = _in_batches(calculate, filled, errors)
    result = _as_dataset({n: np.where(usable, v, np.nan) for n, v in found.items()}, values)
    absent = [name for name in _usual(rules) if name not in map(_element, oxides)]
    notes = [f"not analysed, taken as 0: {', '.join(absent)}"] if absent else []
    skipped = [name for name in oxides if _element(name) in _IGNORED]
    if skipped:
        notes.append(f"not part of the formula: {', '.join(skipped)}")
    return result.assign_attrs(
        mineral=rules.name, oxygens=float(rules.oxygens), ferric=how, notes=notes
    )


def known_minerals() -> list[str]:
    """Names of the minerals whose formulae are known here."""
    return sorted(mineral.name for mineral in MINERALS)


def find_mineral(name: str) -> Mineral:
    """Find the rules of a mineral by its name, symbol or member, whatever the capitals.

    Raises
    ------
    DataError
        With the nearest name, if it is unknown.
    """
    by_name = {alias: mineral for mineral in MINERALS for alias in (mineral.name, *mineral.aliases)}
    wanted = re.sub(r"[\s_]+", " ", name.strip().casefold())
    if wanted not in by_name:
        close = nearest(wanted, by_name).split("Allowed")[0]
        raise DataError(
            f"no structural formula is known for the mineral '{name}'; {close}"
            f"Allowed: {', '.join(known_minerals())} and their usual symbols."
        )
    return by_name[wanted]


# Which oxides, which iron


def _oxides(composition: xr.DataArray) -> list[str]:
    """Labels of the dim `oxide`, checked."""
    if "oxide" not in composition.dims or "oxide" not in composition.coords:
        raise DataError(
            f"the composition has the dims {composition.dims}; it needs 'oxide', labelled 'SiO2', "
            "'Al2O3', ..."
        )
    oxides = [str(label) for label in composition["oxide"].to_numpy()]
    for name in oxides:
        if oxides.count(name) > 1:
            raise DataError(f"oxide {name} stands twice in the composition; keep one.")
        element = chemistry.element_of(name)
        plain = element in (*_IGNORED, None) or _parts(name) is not None
        if element is None or not plain or _element(name) not in (*ATOMIC_WEIGHTS, *_IGNORED):
            usual = ["SiO2", "TiO2", "Al2O3", "FeO", "Fe2O3", "MnO", "MgO", "CaO", "Na2O", "K2O"]
            raise DataError(
                f"'{name}' is no oxide that a formula can use; {nearest(name, usual)}, ... Leave "
                "out what is no oxide with composition.drop_sel(oxide=[...])."
            )
    iron = [name for name in oxides if _element(name) == "Fe"]
    if len(iron) > 1 and set(iron) != {"FeO", "Fe2O3"}:
        raise DataError(
            f"iron is given as {' and '.join(iron)}: give all of it in one, or FeO and Fe2O3 as "
            "measured separately."
        )
    return oxides


def _check_required(rules: Mineral, oxides: Sequence[str]) -> None:
    """Raise for elements that the mineral's formula cannot do without."""
    present = {_element(name) for name in oxides}
    missing = [name for name in rules.required if name not in present]
    if missing:
        raise DataError(
            f"a {rules.name} formula needs {', '.join(map(_usual_oxide, missing))}, which the "
            f"composition lacks (it has {', '.join(oxides)}). Where one is known to be absent, "
            "give it as 0."
        )


def _ferric_choice(
    rules: Mineral, oxides: Sequence[str], ferric: str | float | None
) -> tuple[float | str, str]:
    """Ratio of Fe3+ as a number, or "rule" or "measured"; and the same in words."""
    both = {"FeO", "Fe2O3"} <= set(oxides)
    if ferric is None:
        return ("measured", "measured") if both else ("rule", f"rule of {rules.name}")
    if isinstance(ferric, str):
        if ferric == "measured" and not both:
            raise ConfigurationError(
                "ferric='measured' needs both FeO and Fe2O3 in the composition, each measured."
            )
        words: dict[str, float | str] = {"none": 0.0, "all": 1.0, "measured": "measured"}
        if ferric not in words:
            raise ConfigurationError(
                f"ferric is '{ferric}'; {nearest(ferric, words)}, a number from 0 to 1, or None"
            )
        return words[ferric], ferric
    if not 0 <= ferric <= 1:
        raise ConfigurationError(f"ferric is {ferric}: the share of Fe3+ lies between 0 and 1")
    return float(ferric), f"Fe3+/Fe = {ferric:g}"


def _parts(oxide: str) -> tuple[str, int, int] | None:
    """Element, cations and oxygens of an oxide's name; None for other names."""
    plain = re.sub(r"(?i)(\*|t|tot|total)$", "", oxide) if oxide.startswith("Fe") else oxide
    match = re.fullmatch(r"([A-Z][a-z]?)(\d*)O(\d*)", plain)
    if match is None:
        return None
    return match[1], int(match[2] or 1), int(match[3] or 1)


def _element(oxide: str) -> str:
    """Chemical element that an oxide measures."""
    return chemistry.element_of(oxide) or oxide


def _usual(rules: Mineral) -> list[str]:
    """Elements that an analysis of the mineral usually reports."""
    usual = ["Si", "Ti", "Al", "Cr", "Fe", "Mn", "Mg", "Ca", "Na", "K"]
    ions = {ion.rstrip("23") for site in rules.sites for ion in site.ions}
    return [name for name in usual if name in ions]


def _usual_oxide(element: str) -> str:
    """Oxide in which an element is usually given."""
    usual = {"Si": "SiO2", "Al": "Al2O3", "Fe": "FeO", "Mg": "MgO", "Ca": "CaO"}
    return usual.get(element, f"{element}2O")


# The calculation


def _formula(
    rules: Mineral, oxides: tuple[str, ...], share: float | str, wt_percent: Array
) -> Outputs:
    """All outputs of analyses (analysis, oxide); arrays (analysis,) named "group/label"."""
    cations, charges = _moles(oxides, wt_percent)
    ferrous = normalise(cations, charges, rules.oxygens)
    if share == "measured":
        iron = cations["Fe2"]
        measured = _measured_ferric(oxides, wt_percent)
        fraction = np.where(iron.real > 0, measured / np.where(iron.real > 0, iron, 1.0), 0.0)
    elif share == "rule":
        fraction = ferric_share(rules, ferrous)
    else:
        fraction = np.full_like(cations["Fe2"], share)
    split = cations | {
        "Fe2": cations["Fe2"] * (1 - fraction),
        "Fe3": cations["Fe2"] * fraction,
    }
    final = normalise(split, charges | {"Fe3": 3.0}, rules.oxygens)
    occupancy, unassigned = occupy(rules, final)
    outputs = {f"cations/{ion}": amount for ion, amount in final.items()}
    outputs |= {f"occupancy/{name}": amount for name, amount in occupancy.items()}
    for site in rules.sites:
        own = [v for name, v in occupancy.items() if name.split()[0] == site.name]
        outputs[f"site_total/{site.name}"] = np.sum(own, axis=0)
    for name, value in rules.end_members(final, occupancy).items():
        outputs[f"end_member_fraction/{name}"] = value
    magnesium = final.get("Mg", np.zeros_like(unassigned))
    outputs["X_Mg"] = ratio(magnesium, magnesium + final["Fe2"])
    outputs["ferric_ratio"] = ratio(final["Fe3"], final["Fe2"] + final["Fe3"])
    outputs["cation_total"] = np.sum(list(final.values()), axis=0)
    outputs["unassigned"] = unassigned
    outputs["oxide_total"] = wt_percent.sum(axis=-1)
    return outputs


def _moles(oxides: tuple[str, ...], wt_percent: Array) -> tuple[dict[str, Array], dict[str, float]]:
    """Moles of cations with all iron as "Fe2", and the charge of each ion."""
    moles: dict[str, Array] = {"Fe2": np.zeros_like(wt_percent[..., 0])}
    charges = {"Fe2": 2.0}
    for column, oxide in enumerate(oxides):
        parts = _parts(oxide)
        if parts is None or parts[0] in _IGNORED:
            continue
        element, cations, oxygens = parts
        weight = cations * ATOMIC_WEIGHTS[element] + oxygens * ATOMIC_WEIGHTS["O"]
        amount = wt_percent[..., column] * (cations / weight)
        if element == "Fe":
            moles["Fe2"] = moles["Fe2"] + amount
        else:
            moles[element] = amount
            charges[element] = 2 * oxygens / cations
    return moles, charges


def _measured_ferric(oxides: tuple[str, ...], wt_percent: Array) -> Array:
    """Moles of Fe3+ from measured Fe2O3."""
    weight = 2 * ATOMIC_WEIGHTS["Fe"] + 3 * ATOMIC_WEIGHTS["O"]
    return wt_percent[..., oxides.index("Fe2O3")] * (2 / weight)


def _fill(rules: Mineral, oxides: Sequence[str], table: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Analyses with 0 for what may be missing, and which of them can be calculated."""
    needed = [_element(name) in rules.required for name in oxides]
    iron = [_element(name) == "Fe" for name in oxides]
    lacking = np.isnan(table) & np.array(needed) & ~np.array(iron)
    usable = ~lacking.any(axis=1)
    if "Fe" in rules.required:  # FeO or Fe2O3 will do
        usable &= ~np.isnan(table[:, iron]).all(axis=1)
    filled = np.nan_to_num(table, nan=0.0)
    usable &= filled.sum(axis=1) > 0
    # a harmless analysis in place of one that cannot be calculated keeps divisions quiet
    filled[~usable] = 1.0
    return filled, usable


def _errors_like(sd: xr.DataArray, values: xr.DataArray) -> Array:
    """Errors as a table (analysis, oxide); 0 where the analysis itself is missing."""
    try:
        aligned = sd.broadcast_like(values).transpose(*values.dims)
        same = aligned.sizes == values.sizes
        same &= bool((aligned["oxide"].to_numpy() == values["oxide"].to_numpy()).all())
    except ValueError:
        same = False
    if not same:
        raise DataError(
            f"composition_sd has the dims {dict(sd.sizes)} and the composition "
            f"{dict(values.sizes)}: they need the same oxides in the same order, and dims that fit."
        )
    errors = aligned.to_numpy().astype(float)
    if (errors < 0).any():
        raise DataError("composition_sd holds negative numbers; a standard deviation is >= 0.")
    return np.where(np.isnan(values.to_numpy()), 0.0, errors).reshape(-1, values.sizes["oxide"])


def _in_batches(
    calculate: Callable[[Array], Outputs], table: Array, errors: Array | None
) -> dict[str, Array]:
    """Run the calculation on batches of analyses; add the errors as "_sd" outputs."""
    parts: list[dict[str, Array]] = []
    for start in range(0, max(len(table), 1), _ANALYSES_AT_ONCE):
        batch = slice(start, start + _ANALYSES_AT_ONCE)
        found = calculate(table[batch])
        if errors is not None:
            for name, spread in _spread(calculate, table[batch], errors[batch]).items():
                found[_twin(name)] = np.where(np.isnan(found[name]), np.nan, spread)
        parts.append(found)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _spread(calculate: Callable[[Array], Outputs], table: Array, errors: Array) -> Outputs:
    """First-order errors: the root of the summed squares of derivative times sigma, by oxide."""
    variance: Outputs = {}
    for column in range(table.shape[1]):
        moved = table.astype(complex)
        moved[:, column] += 1j * _STEP * errors[:, column]
        for name, value in calculate(moved).items():
            variance[name] = variance.get(name, 0.0) + (value.imag / _STEP) ** 2
    return {name: np.sqrt(value) for name, value in variance.items()}


# The answer


def _twin(name: str) -> str:
    """Name of the error that belongs to an output."""
    group, slash, label = name.partition("/")
    return f"{group}_sd{slash}{label}"


_DIMS = {
    "cations": "cation",
    "occupancy": "occupant",
    "site_total": "site",
    "end_member_fraction": "end_member",
}
_MEANINGS = {
    "cations": ("cations per formula unit", "1"),
    "occupancy": ("cations on the site per formula unit", "1"),
    "site_total": ("cations on the site per formula unit", "1"),
    "end_member_fraction": ("fraction of the end member", "1"),
    "X_Mg": ("Mg/(Mg + Fe2+)", "1"),
    "ferric_ratio": ("Fe3+/(Fe2+ + Fe3+)", "1"),
    "cation_total": ("sum of cations per formula unit", "1"),
    "unassigned": ("cations without a site per formula unit", "1"),
    "oxide_total": ("sum of the oxides", "wt%"),
}


def _as_dataset(outputs: dict[str, Array], values: xr.DataArray) -> xr.Dataset:
    """Fold arrays (analysis,) back into the composition's dims, labels of a group in one dim."""
    others = values.isel(oxide=0, drop=True)
    groups: dict[str, dict[str, Array]] = {}
    for name, array in outputs.items():
        group, _, label = name.partition("/")
        groups.setdefault(group, {})[label] = array.reshape(others.shape)
    result = xr.Dataset(coords=others.coords)
    for group, members in groups.items():
        plain = group.removesuffix("_sd")
        meaning, units = _MEANINGS[plain]
        long_name = f"standard deviation of {meaning}" if group != plain else meaning
        dim = _DIMS.get(plain)
        if dim is None:
            data, dims = members[""], others.dims
        else:
            data, dims = np.stack(list(members.values())), (dim, *others.dims)
            result = result.assign_coords({dim: list(members)})
        result[group] = (dims, data, {"units": units, "long_name": long_name})
    pairs = [str(label).split() for label in result["occupant"].to_numpy()]
    return result.assign_coords(
        occupant_site=("occupant", [site for site, _ in pairs]),
        occupant_ion=("occupant", [ion for _, ion in pairs]),
    )
