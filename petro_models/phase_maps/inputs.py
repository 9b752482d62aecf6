"""From maps, spots and the names of phases to the one dataset that a problem holds."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from sklearn.mixture import GaussianMixture

from petro_models.errors import DataError, nearest
from petro_models.io.species import element_of
from petro_models.phase_maps.formula_weights import oxide_weights
from petro_models.phase_maps.registration import coarse_shift, local_counts

type PhaseNames = Sequence[str] | Mapping[str, str | Mapping[str, float] | None]

MOST_CLUSTERS = 8
INTENSITIES = ("net_counts_per_s_uA", "background_counts_per_s_uA")
"""Of the spots: kept for qntmap, which calibrates by them; the model does not use them."""
RICH_WT_PERCENT = 30.0
"""What the phase richest in an element is taken to hold where no spots tell."""
SEED_REACH = 2
"""Pixels on each side of a seed that are taken to be the same phase."""


def merge_inputs(
    maps: xr.Dataset,
    spots: xr.Dataset | None = None,
    phases: PhaseNames | None = None,
    seeds: xr.Dataset | None = None,
) -> xr.Dataset:
    """Put maps, spots, seeds and names of phases into one dataset.

    Parameters
    ----------
    maps, spots, seeds
        As the readers give them.
    phases
        Names of the phases; or name -> formula such as ``"SiO2"``, or name -> oxide -> wt%, or
        None where spots or seeds show the phase. Without names: the labels of the spots, else the
        seeds, else clusters of the spots.

    Returns
    -------
    xr.Dataset
        Dims element, y, x, phase; spot and oxide; with `first_intensity` (phase, element), what
        each phase roughly emits.

    Raises
    ------
    DataError
        If a phase has neither spot, seed nor composition, or nothing says what phases there are.
    """
    if spots is not None and not spots.sizes.get("spot"):
        spots = None
    if spots is not None:
        _require_positions(spots)
    shift = np.zeros(2)
    if spots is not None:
        shift = coarse_shift(maps, spots)
    names, labels = _phase_names(phases, spots, seeds)
    composition = phases if isinstance(phases, Mapping) else {}
    oxides = _oxides(maps, spots, composition)
    known = _known_compositions(names, composition, oxides)
    data = maps.copy()
    if "counts" in data and data["counts"].sizes["element"] < 2:
        raise DataError("phases are told apart by at least two elements; the map has one")
    data = data.assign_coords(phase=np.array(names, dtype=str), oxide=oxides)
    data["cation"] = ("oxide", np.array([_cation(maps, spots, oxide) for oxide in oxides]))
    data["formula_wt_percent"] = (("phase", "oxide"), known, {"units": "wt%"})
    density = np.full(len(names), np.nan)
    if spots is not None:
        data = data.assign_coords(spot=spots["spot"].to_numpy().astype(str))
        for source, target in (("column", "spot_column"), ("row", "spot_row")):
            data[target] = ("spot", spots[source].to_numpy().astype(float), {"units": "pixel"})
        data["spot_order"] = ("spot", order_of(spots), {"units": "1"})
        data["spot_label"] = ("spot", np.array(labels, dtype=str))
        for name in ("wt_percent", "wt_percent_sd"):
            values = (
                spots[name].sel(oxide=oxides) if name in spots else spots["wt_percent"] * np.nan
            )
            data[name] = (("spot", "oxide"), values.to_numpy().astype(float), {"units": "wt%"})
        for name in INTENSITIES:
            if name in spots:
                own = spots[name].reindex(element=data["element"].to_numpy())
                data[f"spot_{name}"] = own.transpose("spot", "element").drop_vars("spot")
        data["first_shift"] = (("direction",), shift, {"units": "pixel"})
        data = data.assign_coords(direction=["column", "row"])
    if seeds is not None:
        for name in ("column", "row"):
            column = [_seed_value(seeds, phase, name) for phase in names]
            data[f"seed_{name}"] = ("phase", column, {"units": "pixel"})
        density = np.array([_seed_value(seeds, phase, "density_kg_m3") for phase in names])
    data["density_kg_m3"] = ("phase", density, {"units": "kg/m3"})
    first = _first_intensities(data, spots, shift, names, labels, seeds, known)
    data["first_intensity"] = (("phase", "element"), first, {"units": "counts"})
    rough = _rough_sensitivity(data, spots, shift, first)
    data["rough_sensitivity"] = ("element", rough, {"units": "counts per wt%"})
    data.attrs["spot_source"] = "" if spots is None else str(spots.attrs.get("source", ""))
    data.attrs["notes"] = "\n".join(_notes(maps, spots, seeds))
    return data


def _notes(*parts: xr.Dataset | None) -> list[str]:
    """Join what the readers noted of maps, spots and seeds, each line once."""
    lines = [
        line
        for part in parts
        if part is not None
        for line in str(part.attrs.get("notes", "")).splitlines()
    ]
    return list(dict.fromkeys(line for line in lines if line.strip()))


def order_of(spots: xr.Dataset) -> np.ndarray:
    """Give each spot's place in the order of measurement: as stated, else as listed."""
    if "order" in spots:
        return spots["order"].to_numpy().astype(float)
    return np.arange(spots.sizes["spot"], dtype=float)


def _require_positions(spots: xr.Dataset) -> None:
    placed = np.isfinite(spots["column"].to_numpy()) & np.isfinite(spots["row"].to_numpy())
    if not placed.all():
        names = [str(name) for name in spots["spot"].to_numpy()[~placed]]
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        raise DataError(
            f"spots {', '.join(names[:8])}{more} have no position on the map: leave them out "
            "(spots.isel(spot=...)), or give their column and row"
        )


def _phase_names(
    phases: PhaseNames | None, spots: xr.Dataset | None, seeds: xr.Dataset | None
) -> tuple[list[str], list[str]]:
    """Give the phases' names and a label for every spot (empty where it has none)."""
    labels = [] if spots is None else [str(label) for label in spots["phase"].to_numpy()]
    if phases is not None:
        names = list(phases)
        for label in sorted({label for label in labels if label}):
            if label not in names:
                raise DataError(
                    f"spots are labelled '{label}', which is none of the phases: "
                    f"{nearest(label, names)}; clear such labels or name the phase"
                )
    elif any(labels):
        names = list(dict.fromkeys(label for label in labels if label))
        if seeds is not None:
            names += [str(n) for n in seeds["phase"].to_numpy() if str(n) not in names]
    elif seeds is not None:
        names = [str(name) for name in seeds["phase"].to_numpy()]
    elif spots is not None:
        names, labels = _clusters(spots)
    else:
        raise DataError(
            "nothing says what phases there are: give spots, seeds, or phases={name: formula}"
        )
    if len(names) < 2:
        raise DataError(f"a phase map needs two phases or more; got {', '.join(names) or 'none'}")
    return names, labels


def _clusters(spots: xr.Dataset) -> tuple[list[str], list[str]]:
    """Name groups of alike spots, their number chosen by the Bayesian information criterion."""
    values = spots["wt_percent"].fillna(0.0).to_numpy()
    scaled = np.sqrt(np.maximum(values, 0.0))
    fits = [
        GaussianMixture(
            count, covariance_type="diag", reg_covar=0.02, n_init=3, random_state=0
        ).fit(scaled)
        for count in range(2, min(MOST_CLUSTERS, len(scaled) // 4) + 1)
    ]
    if not fits:
        raise DataError("too few spots to group them into phases: label them, or give seeds")
    best = min(fits, key=lambda fit: fit.bic(scaled))
    sure = best.predict_proba(scaled).max(axis=1) > 0.9
    group = best.predict(scaled)
    order = np.argsort(-np.bincount(group, minlength=best.n_components))
    names = [f"group {number + 1}" for number in range(best.n_components)]
    name_of = {int(old): names[new] for new, old in enumerate(order)}
    return names, [name_of[int(g)] if s else "" for g, s in zip(group, sure, strict=True)]


def _oxides(
    maps: xr.Dataset,
    spots: xr.Dataset | None,
    composition: Mapping[str, str | Mapping[str, float] | None],
) -> list[str]:
    """Give the oxides whose element is mapped, one an element."""
    elements = [str(e) for e in maps["element"].to_numpy()]
    if spots is not None:
        candidates = [str(oxide) for oxide in spots["oxide"].to_numpy()]
    else:
        candidates = list(
            dict.fromkeys(o for value in composition.values() for o in _as_oxides(value))
        )
    chosen: dict[str, str] = {}
    for oxide in candidates:
        cation = _cation(maps, spots, oxide)
        if cation in elements and cation not in chosen:
            chosen[cation] = oxide
    if not chosen:
        raise DataError(
            f"no oxide of the spots or formulae ({', '.join(candidates) or 'none'}) belongs to a "
            f"mapped element ({', '.join(elements)}): without one nothing can be calibrated"
        )
    return list(chosen.values())


def _cation(maps: xr.Dataset, spots: xr.Dataset | None, oxide: str) -> str:
    if spots is not None and "cation" in spots.coords and oxide in spots["oxide"].to_numpy():
        return str(spots["cation"].sel(oxide=oxide).item())
    return element_of(oxide) or oxide


def _as_oxides(value: str | Mapping[str, float] | None) -> dict[str, float]:
    if value is None:
        return {}
    return oxide_weights(value) if isinstance(value, str) else dict(value)


def _known_compositions(
    names: Sequence[str],
    composition: Mapping[str, str | Mapping[str, float] | None],
    oxides: Sequence[str],
) -> np.ndarray:
    """Give wt% (phase, oxide) of phases with a formula; NaN for the others."""
    known = np.full((len(names), len(oxides)), np.nan)
    for row, name in enumerate(names):
        given = _as_oxides(composition.get(name))
        if given:
            known[row] = [given.get(oxide, 0.0) for oxide in oxides]
    return known


def _seed_value(seeds: xr.Dataset, phase: str, name: str) -> float:
    if name not in seeds or phase not in seeds["phase"].to_numpy():
        return np.nan
    return float(seeds[name].sel(phase=phase))


def _first_intensities(
    data: xr.Dataset,
    spots: xr.Dataset | None,
    shift: np.ndarray,
    names: Sequence[str],
    labels: Sequence[str],
    seeds: xr.Dataset | None,
    known: np.ndarray,
) -> np.ndarray:
    """Give rough counts (phase, element) from seeds, else labelled spots, else compositions."""
    counts = data["counts"].to_numpy()
    first = np.full((len(names), counts.shape[0]), np.nan)
    at_spots = None if spots is None else local_counts(maps=data, spots=spots, shift=shift)
    for row, name in enumerate(names):
        column = np.nan if seeds is None else _seed_value(seeds, name, "column")
        if np.isfinite(column) and seeds is not None:
            place = round(_seed_value(seeds, name, "row")), round(column)
            first[row] = _around(counts, name, *place)
        elif at_spots is not None and name in labels:
            first[row] = np.median(at_spots[np.array(labels) == name], axis=0)
    missing = np.isnan(first).any(axis=1)
    if missing.any():
        first[missing] = _from_compositions(data, spots, at_spots, names, missing, known)
    return np.maximum(first, 0.3)


def _rough_sensitivity(
    data: xr.Dataset, spots: xr.Dataset | None, shift: np.ndarray, first: np.ndarray
) -> np.ndarray:
    """Give rough counts per wt% of every element: the spots' line, else from the richest phase."""
    rough = first.max(axis=0) / RICH_WT_PERCENT
    if spots is None:
        return rough
    at_spots = local_counts(data, spots, shift)
    measured = spots["wt_percent"].sel(oxide=data["oxide"].to_numpy()).to_numpy()
    elements = [str(e) for e in data["element"].to_numpy()]
    for o, cation in enumerate(data["cation"].to_numpy()):
        e = elements.index(str(cation))
        ok = np.isfinite(measured[:, o])
        wt, counts = measured[ok, o], at_spots[ok, e]
        if len(wt) > 4 and wt.std() > 0.1 and np.corrcoef(wt, counts)[0, 1] > 0.7:
            rough[e] = np.polyfit(wt, counts, 1)[0]
    return rough


def _around(counts: np.ndarray, name: str, row: int, column: int) -> np.ndarray:
    _, height, width = counts.shape
    if not (0 <= row < height and 0 <= column < width):
        raise DataError(
            f"the seed of {name} (column {column}, row {row}) lies outside the map of {width} "
            f"columns and {height} rows"
        )
    rows = slice(max(0, row - SEED_REACH), row + SEED_REACH + 1)
    columns = slice(max(0, column - SEED_REACH), column + SEED_REACH + 1)
    return np.median(counts[:, rows, columns], axis=(1, 2))


def _from_compositions(
    data: xr.Dataset,
    spots: xr.Dataset | None,
    at_spots: np.ndarray | None,
    names: Sequence[str],
    missing: np.ndarray,
    known: np.ndarray,
) -> np.ndarray:
    """Predict counts of phases known by composition, by each element's line through the spots."""
    bare = [n for n, m, c in zip(names, missing, known, strict=True) if m and np.isnan(c).all()]
    if bare:
        raise DataError(
            f"{', '.join(bare)}: no labelled spot, seed or composition shows what it looks like; "
            "label a spot, give a seed, or give phases={name: formula}"
        )
    if spots is None or at_spots is None:
        raise DataError(
            "without spots, every phase needs a seed: compositions alone do not say how many "
            "counts a wt% gives"
        )
    elements = [str(e) for e in data["element"].to_numpy()]
    cations = [str(c) for c in data["cation"].to_numpy()]
    measured = spots["wt_percent"].sel(oxide=data["oxide"].to_numpy()).to_numpy()
    predicted = np.empty((missing.sum(), len(elements)))
    for e, element in enumerate(elements):
        lowest = np.quantile(data["counts"].to_numpy()[e], 0.02)
        predicted[:, e] = lowest
        if element in cations:
            o = cations.index(element)
            ok = np.isfinite(measured[:, o])
            slope, origin = np.polyfit(measured[ok, o], at_spots[ok, e], 1)
            predicted[:, e] = np.maximum(origin + slope * known[missing, o], lowest)
    return predicted
