"""What people use today to read a mass change off a table, as baselines in the same table.

Every method answers the same question: ``mass_change`` = ln(M/M0) of each altered sample. The
slope of an isocon (altered against protolith concentration) is M0/M = exp(-mass_change).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats
from xarray.ufuncs import exp, expm1, isnan, log, sqrt

from petro_models.errors import ConfigurationError, DataError, PetroError, nearest
from petro_models.io.species import PARTS_PER_BILLION
from petro_models.mass_transfer.answers import labelled, membership, with_mass_change
from petro_models.mass_transfer.both_errors import least_squares_both_errors, most_consistent_set
from petro_models.mass_transfer.forward import mobility_from_log_ratio
from petro_models.mass_transfer.sparse_isocon import (
    Array,
    log_ratios,
    protolith_mean,
    sparse_isocon,
    sparse_isocon_bootstrap,
    stated_error,
    summarise_replicates,
)

__all__ = [
    "ague_bootstrap",
    "compare",
    "grant_isocon",
    "gresens",
    "least_squares_both_errors",
    "log_ratios",
    "most_consistent_set",
    "sparse_isocon",
    "sparse_isocon_bootstrap",
]


def gresens(
    table: xr.Dataset,
    immobile: Sequence[str] | None = None,
    volume_factor: float | xr.DataArray | None = None,
) -> xr.Dataset:
    """Composition-volume relations of Gresens (1967).

    Gain of element j per 100 g of protolith: ``fv (rho/rho0) C_j - C_0j`` with C in g per 100 g
    (his general equation), fv = V/V0 the volume factor. An element that did not move gives
    ``fv_j = (C_0j rho0) / (C_j rho)``; the geometric mean over the chosen elements is used.

    Parameters
    ----------
    table
        Mass-transfer table with ``density`` (sample) and ``protolith_density`` (protolith), in
        one unit, and the coordinate ``unit`` (element): wt%, %, ppm, ug/g, mg/kg or ppb.
    immobile
        Elements held immobile; or
    volume_factor
        V/V0, stated instead: a number, or one per sample.

    Returns
    -------
    xr.Dataset
        ``element_volume_factor`` (sample, element), ``volume_factor``, ``mass_change``,
        ``mass_ratio`` (sample), ``gain`` (sample, element; g per 100 g of protolith),
        ``gain_ratio`` (sample, element).

    Raises
    ------
    DataError
        Densities or units missing.
    ConfigurationError
        Not exactly one of ``immobile`` and ``volume_factor``.

    References
    ----------
    Gresens, R. L. (1967). Composition-volume relationships of metasomatism. Chemical Geology 2,
    47-65.
    """
    if (immobile is None) == (volume_factor is None):
        raise ConfigurationError("gresens needs either immobile elements or a volume_factor")
    density = log(_density(table, "density") / _density(table, "protolith_density"))
    ratios = log_ratios(table)
    element_factor = -ratios - density
    if immobile is not None:
        factor = element_factor.where(membership(table, immobile)).mean("element")
    else:
        factor = log(xr.zeros_like(density) + volume_factor)
    mass_change = factor + density
    protolith = protolith_mean(table) * _grams_per_100_g(table)
    gain_ratio = expm1(mobility_from_log_ratio(ratios, mass_change))
    result = xr.Dataset(
        {
            "element_volume_factor": labelled(exp(element_factor), "V/V0 if it did not move"),
            "volume_factor": labelled(exp(factor), "V/V0"),
            "gain": labelled(gain_ratio * protolith, "gain or loss", "g per 100 g protolith"),
        }
    )
    return with_mass_change(result, mass_change, ratios)


def grant_isocon(
    table: xr.Dataset, immobile: Sequence[str], scaling: str | Mapping[str, float] = "equal_slopes"
) -> xr.Dataset:
    """Isocon through a chosen set of elements (Grant 1986, 2005).

    The line C = slope * C_0 through the origin is fitted to the set, each element scaled so that
    its protolith value sits at a chosen place on the diagram. The answer depends on that scaling:

    - ``"equal_slopes"``: all at 1, so the slope is the mean of the slopes C/C_0;
    - ``"log_mean"``: exp of the mean log slope, the same whichever rock is called the protolith;
    - ``"ranked"``: at 1, 2, 3, ... in the order of ``immobile``, as isocon diagrams are drawn;
    - ``"unscaled"``: at the tabulated numbers, so ppm elements dominate;
    - a mapping element -> place.

    For Grant's (2005) table and set (Al2O3 SiO2 TiO2 Cu Sc) the published M/M0 = 1.016 comes out
    of ``"equal_slopes"`` (1.0156) and ``"log_mean"`` (1.0162), not of ``"ranked"`` (1.041).

    Parameters
    ----------
    table
        Mass-transfer table.
    immobile
        The chosen elements; those missing in a sample are left out there.
    scaling
        One of the names above, or the protolith's place on the diagram for each element.

    Returns
    -------
    xr.Dataset
        Per sample ``slope`` (M0/M), ``slope_standard_error`` (from the scatter; NaN for one
        element), ``number_used``, ``mass_change``, ``mass_ratio``; ``gain_ratio`` (sample,
        element).

    References
    ----------
    Grant, J. A. (1986). The isocon diagram. Economic Geology 81, 1976-1982.
    Grant, J. A. (2005). Isocon analysis. Physics and Chemistry of the Earth 30, 997-1004.
    """
    ratios = log_ratios(table)
    chosen = ratios.where(membership(table, immobile))
    count = (~isnan(chosen)).sum("element")
    if scaling == "log_mean":
        slope = exp(chosen.mean("element"))
        error = slope * chosen.std("element", ddof=1) / sqrt(count)
    else:
        place = _places(table, immobile, scaling)
        slopes = exp(chosen)
        weight = (place**2).where(~isnan(slopes), 0.0)
        total = weight.sum("element").where(count > 0)
        slope = (weight * slopes).sum("element") / total
        misfit = (weight * (slopes - slope) ** 2).sum("element")
        error = sqrt(misfit / (count - 1).where(count > 1) / total)
    result = xr.Dataset(
        {
            "slope": labelled(slope, "isocon slope M0/M"),
            "slope_standard_error": labelled(error, "standard error of the slope"),
            "number_used": labelled(count, "elements used"),
        }
    )
    return with_mass_change(result, -log(slope), ratios)


def ague_bootstrap(
    table: xr.Dataset,
    reference: str,
    replicates: int = 1000,
    seed: int = 0,
    relative_error: float | None = None,
    group: bool = False,
) -> xr.Dataset:
    """Bootstrap intervals of mass change and gains (after Ague & van Haren 1996).

    Protolith analyses are resampled with replacement, their ln C averaged, and the mass change
    taken from the one reference element: M/M0 = C_0/C. Where there is a single analysis,
    resampling says nothing, so ln C is drawn from its relative error instead.

    Parameters
    ----------
    table
        Mass-transfer table.
    reference
        Element held immobile.
    replicates, seed
        Number of replicates; seed of the random numbers.
    relative_error
        Relative error where the table states none; needed for single analyses without one.
    group
        False: every sample is a rock of its own. True: the samples are analyses of one altered
        rock, resampled like the protolith; the result has the one sample ``"all samples"``.

    Returns
    -------
    xr.Dataset
        ``mass_change``, ``mass_ratio`` (quantile, sample), ``gain_ratio`` (quantile, sample,
        element) at the 5, 50 and 95 percent points; NaN for an element that some replicate lacks.

    References
    ----------
    Ague, J. J. and van Haren, J. L. M. (1996). Assessing metasomatic mass and volume changes
    using the bootstrap. Economic Geology 91, 1169-1182.
    """
    ratios = log_ratios(table)
    membership(table, [reference])
    rng = np.random.default_rng(seed)
    protolith = _resampled(
        table, "protolith_concentration", "protolith", relative_error, replicates, rng
    )
    if group:
        altered = _resampled(table, "concentration", "sample", relative_error, replicates, rng)
        altered = altered[:, None]
        # labels of one sample (its depth, say) do not describe the group
        own = [name for name, label in ratios.coords.items() if "sample" in label.dims]
        ratios = ratios.isel(sample=[0]).drop_vars(own).assign_coords(sample=["all samples"])
    else:
        error = stated_error(table, "concentration", relative_error).transpose(*ratios.dims)
        logs = np.log(table["concentration"].transpose(*ratios.dims).to_numpy())
        altered = logs + error.to_numpy() * rng.standard_normal((replicates, *logs.shape))
    draws = altered - protolith[:, None]
    mass_change = -draws[..., list(table.element.to_numpy()).index(reference)]
    return summarise_replicates(mass_change, draws + mass_change[..., None], ratios)


def compare(
    table: xr.Dataset,
    *,
    immobile: Sequence[str] | None = None,
    q: Sequence[float] = (0.5, 1.0),
    reference: str | None = None,
    relative_error: float = 0.03,
    seed: int = 0,
) -> pd.DataFrame:
    """Run every classical method and put the answers into one tidy table.

    Parameters
    ----------
    table
        Mass-transfer table.
    immobile
        Chosen elements for the methods that need them.
    q
        Exponents of the sparse isocon.
    reference
        Reference element of the bootstrap.
    relative_error
        Relative error of a concentration where the table states none.
    seed
        Seed of the bootstraps.

    Returns
    -------
    pd.DataFrame
        A row per method and sample: method, sample, mass_ratio (M/M0), lower, upper (90 %
        interval; NaN where the method has none), immobile (elements chosen or found), note. A
        method that cannot run keeps its row and says why in ``note``.
    """
    methods = _methods(table, immobile, reference, relative_error, seed)
    for exponent in q:
        methods[f"sparse isocon, q = {exponent:g}"] = _sparse_rows(
            table, exponent, relative_error, seed
        )
    rows = []
    for name, run in methods.items():
        try:
            answers = list(run())
        except PetroError as error:
            answers = [_row(note=f"not run: {error}") for _ in table.sample]
        for sample, answer in zip(table.sample.to_numpy(), answers, strict=True):
            rows.append({"method": name, "sample": sample} | answer)
    return pd.DataFrame(rows)


Rows = Callable[[], Iterator[dict[str, object]]]


def _methods(
    table: xr.Dataset,
    immobile: Sequence[str] | None,
    reference: str | None,
    relative_error: float,
    seed: int,
) -> dict[str, Rows]:
    """Each method's name and how to make its rows; running is left to the caller."""

    def chosen() -> Sequence[str]:
        if not immobile:
            raise ConfigurationError("no immobile elements were chosen")
        return immobile

    def volume() -> Iterator[dict[str, object]]:
        result = gresens(table, chosen())
        for one in _each(result):
            yield _row(float(one.mass_ratio), immobile=chosen(), note="gives no interval")

    def isocon(scaling: str) -> Rows:
        def run() -> Iterator[dict[str, object]]:
            result = grant_isocon(table, chosen(), scaling)
            for one in _each(result):
                freedom = max(int(one.number_used) - 1, 1)
                half = stats.t.ppf(0.95, freedom) * float(one.slope_standard_error / one.slope)
                yield _row(
                    *_around(one, half), immobile=chosen(), note="t interval from the scatter"
                )

        return run

    def both(known: bool) -> Rows:
        def run() -> Iterator[dict[str, object]]:
            elements = chosen() if known else None
            result = least_squares_both_errors(table, elements, relative_error)
            for one in _each(result):
                inflated = np.sqrt(np.fmax(float(one.mswd), 1.0))
                half = stats.norm.ppf(0.95) * inflated * float(one.slope_standard_error / one.slope)
                names = one.element.to_numpy()[one.immobile.to_numpy()]
                note = f"MSWD {float(one.mswd):.2g}; errors inflated by its root if above 1"
                yield _row(*_around(one, half), immobile=names, note=note)

        return run

    def bootstrap() -> Iterator[dict[str, object]]:
        if reference is None:
            raise ConfigurationError("no reference element was named")
        result = ague_bootstrap(table, reference, seed=seed, relative_error=relative_error)
        for one in _each(result):
            low, middle, high = map(float, one.mass_ratio)
            yield _row(middle, low, high, [reference], "median of the bootstrap")

    return {
        "Gresens (1967)": volume,
        "Grant isocon, mean slope": isocon("equal_slopes"),
        "Grant isocon, mean log slope": isocon("log_mean"),
        "least squares, errors in both, chosen set": both(known=True),
        "least squares, errors in both, largest consistent set": both(known=False),
        "Ague bootstrap": bootstrap,
    }


def _sparse_rows(table: xr.Dataset, q: float, relative_error: float, seed: int) -> Rows:
    def run() -> Iterator[dict[str, object]]:
        result = sparse_isocon(table, q)
        spread = sparse_isocon_bootstrap(table, q, relative_error, seed=seed)
        best = result.isel(minimum=0)
        # two standard deviations of a difference of two logs
        near = (best.rms_mobility <= 2 * np.sqrt(2) * relative_error).to_numpy()
        names = best.element.to_numpy()[near]
        note = (
            f"{result.sizes['minimum']} local minima; elements within {2 * np.sqrt(2):.1f} errors"
        )
        for one, interval in zip(_each(best), _each(spread), strict=True):
            low, _, high = map(float, interval.mass_ratio)
            yield _row(float(one.mass_ratio), low, high, names, note)

    return run


def _row(
    mass_ratio: float = np.nan,
    lower: float = np.nan,
    upper: float = np.nan,
    immobile: Sequence[str] | np.ndarray = (),
    note: str = "",
) -> dict[str, object]:
    names = " ".join(map(str, immobile))
    if np.isnan(mass_ratio) and not note.startswith("not run"):
        note = "not run: what it needs was not measured in this sample"
    return {
        "mass_ratio": mass_ratio,
        "lower": lower,
        "upper": upper,
        "immobile": names,
        "note": note,
    }


def _each(result: xr.Dataset) -> Iterator[xr.Dataset]:
    return (result.isel(sample=index) for index in range(result.sizes["sample"]))


def _around(one: xr.Dataset, half: float) -> tuple[float, float, float]:
    ratio = float(one.mass_ratio)
    return ratio, float(ratio * np.exp(-half)), float(ratio * np.exp(half))


def _resampled(
    table: xr.Dataset,
    values: str,
    dim: str,
    relative_error: float | None,
    replicates: int,
    rng: np.random.Generator,
) -> Array:
    """Replicates (replicate, element) of the mean ln C over resampled analyses along ``dim``."""
    logs = np.log(table[values].transpose(dim, "element").to_numpy())
    pick = rng.integers(len(logs), size=(replicates, len(logs)))
    observed = ~np.isnan(logs[pick])
    count = observed.sum(axis=1)
    total = np.where(observed, logs[pick], 0.0).sum(axis=1)
    means = total / np.where(count > 0, count, np.nan)
    single = np.flatnonzero((~np.isnan(logs)).sum(axis=0) == 1)
    if len(single):
        error = stated_error(table.isel(element=single), values, relative_error).sum(dim)
        noise = rng.standard_normal((replicates, len(single))) * error.to_numpy()
        means[:, single] = np.nansum(logs[:, single], axis=0) + noise
    return means


def _places(
    table: xr.Dataset, immobile: Sequence[str], scaling: str | Mapping[str, float]
) -> xr.DataArray:
    """Where each element's protolith value sits on the isocon diagram (element)."""
    if scaling == "unscaled":
        return protolith_mean(table)
    if scaling == "equal_slopes":
        scaling = dict.fromkeys(immobile, 1.0)
    elif scaling == "ranked":
        scaling = {name: rank + 1.0 for rank, name in enumerate(immobile)}
    if isinstance(scaling, str):
        allowed = ["equal_slopes", "log_mean", "ranked", "unscaled"]
        raise ConfigurationError(f"scaling is '{scaling}'; {nearest(scaling, allowed)}")
    if lacking := [name for name in immobile if name not in scaling]:
        raise ConfigurationError(f"scaling gives no place for {', '.join(lacking)}")
    places = [scaling.get(str(name), 0.0) for name in table.element.to_numpy()]
    return xr.DataArray(places, coords={"element": table.element})


def _density(table: xr.Dataset, name: str) -> xr.DataArray:
    if name not in table or bool(isnan(table[name]).all()):
        raise DataError(
            f"the table has no {name}; composition-volume relations need both densities"
        )
    density = table[name]
    return density.mean("protolith") if "protolith" in density.dims else density


def _grams_per_100_g(table: xr.Dataset) -> xr.DataArray:
    if "unit" not in table.coords:
        raise DataError("the table has no unit of each element, so no gains in g per 100 g")
    factors = []
    for unit in map(str, table["unit"].to_numpy()):
        if unit not in PARTS_PER_BILLION:
            raise DataError(f"unit '{unit}' is unknown; {nearest(unit, PARTS_PER_BILLION)}")
        factors.append(PARTS_PER_BILLION[unit] / PARTS_PER_BILLION["wt%"])
    return xr.DataArray(factors, coords={"element": table.element})
