"""Sparse isocon: the mass change under which as many elements as possible did not move.

Also the log ratios and their errors, which every method of :mod:`.classical` starts from.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.ufuncs import exp, expm1, isnan, log, sqrt

from petro_models.errors import ConfigurationError, DataError
from petro_models.mass_transfer.forward import mobility_from_log_ratio

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

QUANTILES = (0.05, 0.5, 0.95)
_ANNEALED = np.geomspace(1e-2, 1e-10, 9)
_SHARP = np.geomspace(1e-6, 1e-10, 5)
_TIE = 1e-9  # objectives closer than this (relative) count as equal


def sparse_isocon(
    table: xr.Dataset, q: float, minimum_distance: float = 1e-3, tolerance: float = 1e-6
) -> xr.Dataset:
    r"""Find every local minimum of the sparse isocon objective.

    .. math:: J_q(m) = \sum_j \Bigl(\frac{1}{n_j}\sum_i (r_{ij} + m_i)^2\Bigr)^{q/2}

    with the mean over the n_j samples in which element j is known.

    Parameters
    ----------
    table
        Mass-transfer table (``concentration`` (sample, element), ``protolith_concentration``
        (protolith, element)).
    q
        Exponent, 0 < q <= 2. Below 1 the objective picks a frame; 1 is the (geometric) median,
        2 the mean of all elements (the centred log-ratio gauge).
    minimum_distance
        Minima whose mass changes differ by less (root mean square over samples, ln units) are one.
    tolerance
        An element is ``pinned`` when its root-mean-square mobility is below this (ln units).

    Returns
    -------
    xr.Dataset
        Dims minimum (best first), sample, element: ``mass_change`` ln(M/M0), ``mass_ratio``,
        ``objective``, ``rms_mobility``, ``pinned``, ``number_of_starts`` (how many of the
        n_element + 2 smoothed starts ended there), and for the best minimum
        ``best_mass_change`` (sample) and ``gain_ratio`` (sample, element).

    Raises
    ------
    DataError
        A sample without any usable ratio, or a concentration that is not positive.
    ConfigurationError
        q outside (0, 2].

    Notes
    -----
    Our reconstruction after Kuwatani et al. (2020), Chemical Geology 532, 119345, from the
    published description; it was not compared with the paper's text.

    Iteratively reweighted least squares starts from every element's own frame (m_i = -r_ij), the
    median and the mean, with a smoothing that shrinks from 1e-2 to 1e-10. For q < 1 each
    element's own frame is itself a local minimum (the slope of \|x\|^q is infinite at zero), so
    those are kept too; one with ``number_of_starts`` 0 is such a cusp and nothing more.
    For one sample and q = 1 the minimum is the median of -r; with an even number of elements any
    point between the two central values is as good, and both ends are returned, the smaller
    mass change first. Equal objectives are always sorted by the smaller mass change.
    """
    _check_exponent(q)
    ratios = _usable_ratios(table)
    ratio, share = _filled(ratios.to_numpy())
    starts = _element_frames(ratios.to_numpy())
    centres = [(-ratios).median("element"), (-ratios).mean("element")]
    annealed = np.vstack([starts, *centres])
    points = _polish(_reweight(ratio, share, annealed, q, _ANNEALED), ratio, share, q)
    cusps = _cusps(points, starts, ratio, share, q)
    smoothed = np.arange(len(points) + len(cusps)) < len(points)
    points = np.vstack([points, cusps])
    objective = _objective(ratio, share, points, q)
    chosen, reached = _distinct(points, smoothed, objective, minimum_distance)
    return _describe(ratios, points[chosen], reached, q, tolerance)


def sparse_isocon_bootstrap(
    table: xr.Dataset,
    q: float,
    relative_error: float | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Percentile intervals of the best sparse-isocon minimum under analytical error.

    Every replicate perturbs ln C of the altered samples and the protolith mean (one draw, shared
    by all samples) and finds the best minimum anew. It is exact for one sample and q <= 1, where
    that minimum is an element's own frame; otherwise reweighting starts from the replicate's
    three best element frames and the best minimum of the table itself.

    Parameters
    ----------
    table
        Mass-transfer table.
    q
        Exponent, 0 < q <= 2.
    relative_error
        Standard deviation of ln C wherever the table states none.
    replicates, seed
        Number of replicates; seed of the random numbers.

    Returns
    -------
    xr.Dataset
        ``mass_change``, ``mass_ratio`` (quantile, sample) and ``gain_ratio`` (quantile, sample,
        element) at the 5, 50 and 95 percent points: a 90 % equal-tailed interval.
        When two frames compete the interval spans both: read it with :func:`sparse_isocon`.
    """
    _check_exponent(q)
    ratios = _usable_ratios(table)
    altered_error, protolith_error = relative_errors(table, relative_error)
    altered_error = altered_error.sel(element=ratios.element).fillna(0.0)
    protolith_error = protolith_error.sel(element=ratios.element).fillna(0.0)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((replicates, *ratios.shape)) * altered_error.to_numpy()
    shared = rng.standard_normal((replicates, 1, ratios.sizes["element"]))
    draws = ratios.to_numpy() + noise - shared * protolith_error.to_numpy()
    first = sparse_isocon(table, q)["best_mass_change"].to_numpy()
    mass_change = _best_of_replicates(draws, first, q)
    return summarise_replicates(mass_change, draws + mass_change[..., None], ratios)


def log_ratios(table: xr.Dataset) -> xr.DataArray:
    """Log ratios r_ij = ln(C_ij / C_0j), C_0j the geometric mean of the protolith analyses.

    Parameters
    ----------
    table
        Mass-transfer table; a missing or undetected concentration is NaN.

    Returns
    -------
    xr.DataArray
        (sample, element), dimensionless; NaN where either side is unknown.

    Raises
    ------
    DataError
        A concentration is zero or negative.
    """
    altered = log(_positive(table["concentration"]))
    ratios = altered - log(protolith_mean(table))
    ratios = ratios.transpose("sample", "element")
    return ratios.rename("log_ratio").assign_attrs(units="1", long_name="ln(C/C0)")


def protolith_mean(table: xr.Dataset) -> xr.DataArray:
    """Geometric mean of the protolith analyses (element), in the unit of each element."""
    logs = log(_positive(table["protolith_concentration"]))
    return exp(logs.mean("protolith")).rename("protolith_mean")


def relative_errors(
    table: xr.Dataset, relative_error: float | None
) -> tuple[xr.DataArray, xr.DataArray]:
    """Standard deviations of ln C_ij (sample, element) and of ln C_0j (element).

    The table's own errors come first, then ``relative_error``. C_0j is a mean of n analyses, so
    its error is the root of the summed squares over n.
    """
    altered = stated_error(table, "concentration", relative_error)
    single = stated_error(table, "protolith_concentration", relative_error)
    count = (~isnan(table["protolith_concentration"])).sum("protolith")
    mean_error = sqrt((single**2).sum("protolith")) / count.where(count > 0)
    return altered.transpose("sample", "element"), mean_error


def stated_error(table: xr.Dataset, values: str, relative_error: float | None) -> xr.DataArray:
    """Standard deviation of ln C of every analysis in ``values``; NaN where nothing was measured.

    Raises
    ------
    DataError
        A measured value without a stated error, and no ``relative_error``.
    """
    if relative_error is not None and not relative_error > 0:
        raise ConfigurationError(f"relative_error is {relative_error}; it must be above 0")
    errors = values.replace("concentration", "relative_error")
    measured = ~isnan(table[values])
    stated = table[errors] if errors in table else xr.full_like(table[values], np.nan)
    if relative_error is not None:
        stated = stated.fillna(relative_error)
    lacking = (measured & isnan(stated)).any([d for d in stated.dims if d != "element"])
    if bool(lacking.any()):
        names = ", ".join(map(str, table.element.to_numpy()[lacking.to_numpy()]))
        raise DataError(f"{errors}: not stated for {names}; give relative_error, e.g. 0.03")
    return stated.where(measured)


def summarise_replicates(mass_change: Array, mobility: Array, like: xr.DataArray) -> xr.Dataset:
    """Turn bootstrap replicates into the 5, 50 and 95 percent points.

    ``mass_change`` is (replicate, sample), ``mobility`` (replicate, sample, element), ``like``
    the log ratios whose sample and element labels the result carries.
    """
    # plain quantile, not nanquantile: a cell missing in one replicate is missing in all of them
    points = np.quantile(mass_change, QUANTILES, axis=0)
    moved = np.quantile(mobility, QUANTILES, axis=0)
    result = xr.Dataset(
        {
            "mass_change": (("quantile", "sample"), points, _units("1", "ln(M/M0)")),
            "mass_ratio": (("quantile", "sample"), np.exp(points), _units("1", "M/M0")),
            "gain_ratio": (
                ("quantile", "sample", "element"),
                np.expm1(moved),
                _units("1", "gain or loss / amount in the protolith"),
            ),
        },
        coords=dict(like.coords) | {"quantile": list(QUANTILES)},
    )
    return result.assign_attrs(interval="90 % equal-tailed", replicates=len(mass_change))


def _best_of_replicates(draws: Array, first: Array, q: float) -> Array:
    """Best minimum of each replicate (replicate, sample) of draws (replicate, sample, element)."""
    _, share = _filled(draws[0])
    ratio = np.where(np.isnan(draws), 0.0, draws)[:, None]
    frames = np.stack([_element_frames(draw) for draw in draws])
    objective = _objective(ratio, share, frames, q)
    exact = draws.shape[1] == 1 and q <= 1
    if not exact:
        order = np.argsort(objective, axis=1)[:, : 1 if q >= 1 else 3]
        frames = np.take_along_axis(frames, order[..., None], axis=1)
        known = np.broadcast_to(first, (len(draws), 1, len(first)))
        frames = _reweight(ratio, share, np.concatenate([frames, known], 1), q, _ANNEALED[::2], 100)
        objective = _objective(ratio, share, frames, q)
    size = np.abs(frames).sum(-1)
    ties = objective <= objective.min(axis=1, keepdims=True) * (1 + _TIE)
    pick = np.argmin(np.where(ties, size, np.inf), axis=1)
    return frames[np.arange(len(draws)), pick]


def _reweight(
    ratio: Array, share: Array, start: Array, q: float, smoothing: Array, iterations: int = 400
) -> Array:
    """Iteratively reweighted least squares from every start at once.

    ratio (..., sample, element) zero-filled, share (sample, element) = 1/n_j where observed else
    0, start (..., sample). Each step solves the weighted mean that majorises the smoothed
    objective, so that objective never rises.
    """
    mass_change = start
    weighted = ratio * share
    for epsilon in smoothing:
        for _ in range(iterations):
            square = _mean_square(ratio, share, mass_change)
            weight = (square + epsilon**2) ** (q / 2 - 1)
            above = np.einsum("...j,...ij->...i", weight, weighted)
            updated = -above / np.einsum("...j,ij->...i", weight, share)
            step = np.abs(updated - mass_change).max()
            mass_change = updated
            if step < 1e-11:
                break
    return mass_change


def _polish(points: Array, ratio: Array, share: Array, q: float) -> Array:
    """Move each point exactly onto its nearest element's frame if that is no worse."""
    nearest = np.argmin(_mean_square(ratio, share, points), axis=-1)
    known = share[:, nearest].T > 0
    snapped = np.where(known, -ratio[:, nearest].T, points)
    before = _objective(ratio, share, points, q)
    after = _objective(ratio, share, snapped, q)
    return np.where((after <= before * (1 + 1e-12))[:, None], snapped, points)


def _cusps(points: Array, frames: Array, ratio: Array, share: Array, q: float) -> Array:
    """Minima at an element's own frame that the smoothed starts can miss."""
    if q < 1:
        # only samples that lack the element are free to move
        others = _reweight(ratio, share, frames, q, _SHARP)
        return np.where(share.T > 0, frames, others)
    if q == 1:
        # an even count leaves a flat stretch; smoothing finds one point of it, not its two ends
        best = _objective(ratio, share, points, q).min()
        return frames[_objective(ratio, share, frames, q) <= best * (1 + _TIE)]
    return frames[:0]


def _distinct(
    points: Array, smoothed: Mask, objective: Array, minimum_distance: float
) -> tuple[list[int], list[int]]:
    """Indices of the distinct minima, best first, and the smoothed starts merged into each."""
    rounded = np.round(objective / max(objective.max(), 1e-300) / _TIE)
    order = np.lexsort((np.abs(points).sum(axis=1), rounded))
    chosen: list[int] = []
    reached: list[int] = []
    for index in order:
        distance = np.sqrt(np.mean((points[chosen] - points[index]) ** 2, axis=1))
        if len(chosen) and distance.min() < minimum_distance:
            reached[int(distance.argmin())] += int(smoothed[index])
        else:
            chosen.append(int(index))
            reached.append(int(smoothed[index]))
    return chosen, reached


def _describe(
    ratios: xr.DataArray, minima: Array, reached: list[int], q: float, tolerance: float
) -> xr.Dataset:
    ratio, share = _filled(ratios.to_numpy())
    rms = np.sqrt(_mean_square(ratio, share, minima))
    result = xr.Dataset(
        {
            "mass_change": (("minimum", "sample"), minima, _units("1", "ln(M/M0)")),
            "mass_ratio": (("minimum", "sample"), np.exp(minima), _units("1", "M/M0")),
            "objective": ("minimum", _objective(ratio, share, minima, q), _units("1", "J_q")),
            "rms_mobility": (("minimum", "element"), rms, _units("1", "rms of r + m")),
            "pinned": (("minimum", "element"), rms < tolerance, _units("1", "did not move")),
            "number_of_starts": ("minimum", reached, _units("1", "starts that ended here")),
        },
        coords=dict(ratios.coords) | {"minimum": np.arange(len(minima))},
    )
    best = result["mass_change"].isel(minimum=0, drop=True)
    result["best_mass_change"] = best.assign_attrs(_units("1", "ln(M/M0)"))
    result["gain_ratio"] = expm1(mobility_from_log_ratio(ratios, best)).assign_attrs(
        _units("1", "gain or loss / amount in the protolith")
    )
    return result.assign_attrs(q=q, tolerance=tolerance)


def _mean_square(ratio: Array, share: Array, mass_change: Array) -> Array:
    mobility = ratio + mass_change[..., None]
    return np.einsum("...ij,ij->...j", mobility * mobility, share)


def _objective(ratio: Array, share: Array, mass_change: Array, q: float) -> Array:
    return (_mean_square(ratio, share, mass_change) ** (q / 2)).sum(axis=-1)


def _filled(ratio: Array) -> tuple[Array, Array]:
    """Zero-filled ratios and each observed cell's share 1/n_j of its element's mean square."""
    observed = ~np.isnan(ratio)
    return np.where(observed, ratio, 0.0), observed / observed.sum(axis=0)


def _element_frames(ratio: Array) -> Array:
    """Start (element, sample) at each element's frame; a sample lacking it gets its median."""
    return np.where(np.isnan(ratio), np.nanmedian(-ratio, axis=1)[:, None], -ratio).T


def _usable_ratios(table: xr.Dataset) -> xr.DataArray:
    ratios = log_ratios(table).dropna("element", how="all")
    empty = ratios.sample.to_numpy()[isnan(ratios).all("element").to_numpy()]
    if ratios.sizes["element"] == 0 or len(empty):
        raise DataError(
            "no element is known in both the protolith and sample(s) "
            f"{', '.join(map(str, empty))}; leave those samples out"
        )
    return ratios


def _positive(concentration: xr.DataArray) -> xr.DataArray:
    wrong = (concentration <= 0).any([d for d in concentration.dims if d != "element"])
    if bool(wrong.any()):
        names = ", ".join(map(str, concentration.element.to_numpy()[wrong.to_numpy()]))
        raise DataError(
            f"{concentration.name}: zero or negative values of {names}; "
            "use NaN and a detection limit for what was not detected"
        )
    return concentration


def _check_exponent(q: float) -> None:
    if not 0 < q <= 2:
        raise ConfigurationError(f"q is {q}; it must be above 0 and at most 2")


def _units(units: str, long_name: str) -> dict[str, str]:
    return {"units": units, "long_name": long_name}
