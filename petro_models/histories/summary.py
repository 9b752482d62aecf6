"""What a fit of a history says in words: headline, its own checks, predictive statistics."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from pymc_extras.prior import Prior

from petro_models.histories.data import is_bulk_known, table_bulk
from petro_models.histories.growth import clock_name
from petro_models.histories.inclusion_summary import inclusion_checks, inclusion_statistics
from petro_models.inference.checks import Check
from petro_models.thermodynamics.diffusion import diffusion_matters

if TYPE_CHECKING:
    from petro_models.histories.arrays import HistoryArrays
    from petro_models.histories.problem import Histories

TABLE_REVIEW, TABLE_FAILURE = 0.006, 0.010
"""Error of the table in a fraction, one sd: beyond what mixing models are blamed for."""
CLOCK_IS_PRIOR = 0.9
"""Posterior over prior sd of the log duration from which on the prior is the clock."""
UNSEEN_SHARE = 0.05
EDGE_SHARE = 0.02
DIFFUSION_C = 620.0
"""From here on diffusion blurs garnets of some 100 um within a few Myr (Chakraborty & Ganguly
1992, Contrib. Mineral. Petrol. 111, 74-86)."""


def headline(problem: "Histories", fit: xr.DataTree) -> list[str]:
    """Say path, peak, time and clock in sentences."""
    derived = fit["derived"].to_dataset()
    sentences = []
    if problem.arrays.has_profiles and _table_fit(fit).verdict == "FAIL":
        sentences.append(
            "The table does not fit this garnet: its bulk is not the bulk that grew it, and the "
            "numbers below mean little."
        )
    if problem.arrays.has_profiles and not is_bulk_known(problem.data):
        sentences.append(
            "No bulk composition of this rock is known: the answers hold for "
            f"{_bulk_words(problem)}."
        )
    dim, prefix = problem.arrays.places[0]
    what = "analysis" if problem.arrays.has_profiles else "inclusion"
    first, last = (_conditions(derived, dim, prefix, place) for place in _ends(problem))
    sentences.append(
        f"Growth runs from {first} to {last} (medians with 90 % intervals, first to last {what})."
    )
    peak = _interval(derived, "peak_temperature_C", 0)
    pressure = _interval(derived, "peak_pressure_kbar", 1)
    sentences.append(
        f"The highest temperature during growth is {peak} degC, the highest pressure "
        f"{pressure} kbar."
    )
    if problem.law.has_clock:
        sentences.append(
            f"It took {_interval(derived, 'duration_Myr', 1)} Myr; {_clock_words(problem, fit)}."
        )
    else:
        sentences.append("This growth law holds no time.")
    if not problem.arrays.has_profiles:
        sentences.append(
            f"It rests on {problem.arrays.inclusions.count} equilibria of inclusions; errors that "
            "a calibration makes everywhere come on top."
        )
    elif not _is_offset_free(problem):
        sentences.append(
            "Temperatures and pressures are relative to the table: systematic errors of its "
            "thermodynamic data (some 25 degC and 0.5 kbar) come on top."
        )
    return sentences


def own_checks(problem: "Histories", fit: xr.DataTree) -> list[Check]:
    """Check the table's fit, the clock, the edge of garnet's field, unseen time and diffusion."""
    derived = fit["derived"].to_dataset()
    arrays = problem.arrays
    found = []
    if arrays.has_profiles:
        found = [_table_fit(fit), _bulk(problem), _table_edge(problem, derived)]
    if arrays.has_inclusions:
        found += inclusion_checks(problem, fit)
    if arrays.has_sections and not problem.priors.is_known("cut_offset_um"):
        found.append(_sections(fit))
    found += _smoothing(problem)
    if problem.law.has_clock:
        found += [_clock(problem, fit), _unseen_time(derived)]
    if arrays.has_profiles:
        found += [_diffusion(problem, fit, derived), *_fractionation(problem)]
    return found


def predictive_statistics(
    problem: "Histories", replicated: xr.Dataset
) -> dict[str, tuple[float, np.ndarray]]:
    """Compare residuals of profiles and inclusions with replicated ones.

    Of profiles: their likeness from point to point, and the largest.

    A table that does not fit leaves neighbours that err alike; noise does not. The mean profile was
    fitted to these very analyses, so residuals somewhat smaller and less alike than replicated ones
    are no fault: values below the replicates' lower fifth count as that fifth.
    """
    arrays = problem.arrays
    statistics = inclusion_statistics(replicated) if arrays.has_inclusions else {}
    if arrays.has_profiles:
        statistics |= _profile_statistics(arrays, replicated)
    return {name: _from_lower_fifth(*pair) for name, pair in statistics.items()}


def _profile_statistics(
    arrays: "HistoryArrays", replicated: xr.Dataset
) -> dict[str, tuple[float, np.ndarray]]:
    stacked = replicated["composition"].stack(__draw__=("chain", "draw"))
    values = stacked.transpose("__draw__", "position", "endmember").to_numpy()
    mean = values.mean(axis=0)
    spread = np.maximum(values.std(axis=0), 1e-12)
    observed = np.where(arrays.measured == 1, (arrays.composition - mean) / spread, 0.0)
    copies = np.where(arrays.measured == 1, (values - mean) / spread, 0.0)
    same = np.diff(arrays.grain) == 0
    statistics = {}
    if same.sum() > 8:
        statistics["likeness of neighbouring residuals"] = (
            float(_likeness(observed[None], same)[0]),
            _likeness(copies, same),
        )
    statistics["largest residual (sd)"] = (
        float(np.abs(observed).max()),
        np.abs(copies).max(axis=(1, 2)),
    )
    return statistics


def _from_lower_fifth(observed: float, copies: np.ndarray) -> tuple[float, np.ndarray]:
    """Raise what lies below the replicates' lower fifth to it: only excess speaks of misfit."""
    floor = float(np.quantile(copies, 0.2))
    return max(observed, floor), np.maximum(copies, floor)


def clock_ratio(fit: xr.DataTree) -> float:
    """Give posterior over prior standard deviation of the log duration."""
    name = "duration_Myr" if "duration_Myr" in fit["posterior"] else "growth_rate"
    if name not in fit["posterior"]:
        return 0.0
    posterior, prior = (np.log(fit[g][name].to_numpy()) for g in ("posterior", "prior"))
    return float(posterior.std() / prior.std())


def _likeness(residuals: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Give the mean product of neighbours' residuals over the mean square, per draw."""
    products = (residuals[:, 1:] * residuals[:, :-1])[:, same].mean(axis=(1, 2))
    return products / np.maximum((residuals**2).mean(axis=(1, 2)), 1e-12)


def _table_fit(fit: xr.DataTree) -> Check:
    if "model_error" not in fit["posterior"]:
        return Check("fit of the table", "PASS", "the table's error was given")
    median = fit["posterior"]["model_error"].median(("chain", "draw"))
    worst = float(median.max())
    names = fit["constant_data"].to_dataset()["endmember"].to_numpy().tolist()
    where = names[int(np.argmax(median.to_numpy()))] if median.ndim else "all"
    finding = f"the table errs by {worst:.4f} in X_{where} (1 sd, median), limit {TABLE_REVIEW}"
    if worst < TABLE_REVIEW:
        return Check("fit of the table", "PASS", finding)
    return Check(
        "fit of the table",
        "REVIEW" if worst < TABLE_FAILURE else "FAIL",
        finding,
        "the bulk of the table is not the bulk that grew this garnet: use a table with the "
        "fractionation axis of such growth, or the rock's own bulk",
    )


def _bulk(problem: "Histories") -> Check:
    """Tell whether anyone says that the table was made for this rock."""
    if is_bulk_known(problem.data):
        return Check("bulk of the table", "PASS", f"the rock's own: {_bulk_words(problem)}")
    return Check(
        "bulk of the table",
        "REVIEW",
        f"nothing says that this rock has {_bulk_words(problem)}",
        "make a table for the rock's analysed bulk (make_equilibrium_table) and say so with "
        "own_bulk=True; a table of another pelite has moved P by 4 kbar and more",
    )


def _bulk_words(problem: "Histories") -> str:
    name = table_bulk(problem.data.attrs, "table_")
    return (
        f"the bulk of the table, {name}"
        if name
        else "the bulk of the table, which it does not name"
    )


def _table_edge(problem: "Histories", derived: xr.Dataset) -> Check:
    table = problem.arrays.table
    shares = []
    for name, axis in (
        ("pressure_kbar", table.pressure_kbar),
        ("temperature_C", table.temperature_C),
    ):
        values = derived[f"{name}_draws"].to_numpy()
        shares.append(float(((values < axis[0]) | (values > axis[-1])).mean()))
    if max(shares) <= EDGE_SHARE:
        return Check("window of the table", "PASS", f"{max(shares):.1%} of the draws lie outside")
    return Check(
        "window of the table",
        "REVIEW",
        f"{max(shares):.0%} of the draws lie outside the table's window",
        "make a table over a wider window of pressure and temperature",
    )


def _smoothing(problem: "Histories") -> list[Check]:
    """Warn of the named options of smoothing."""
    warnings = {
        "per_position": "a walk per unit of radius is rougher than paths are, and holds growth of "
        "all rates alike",
        "per_time": "a walk per unit of time tells time by itself: of simulated durations its 90 % "
        "intervals held far fewer than 90 %",
    }
    chosen = problem.options["smoothing"]
    if chosen not in warnings:
        return []
    advice = "compare with smoothing='timeless'; do not report the duration of this fit alone"
    return [Check("smoothing of the path", "REVIEW", warnings[chosen], advice)]


def _sections(fit: xr.DataTree) -> Check:
    """Tell whether anything but the prior says how far sections miss the centres."""
    posterior, prior = (
        fit[group].to_dataset()["cut_offset_um"].std(("chain", "draw"))
        for group in ("posterior", "prior")
    )
    ratio = (posterior / prior).to_numpy()
    worst = float(np.max(ratio))
    grain = "all" if ratio.ndim == 0 else str(posterior["section"].to_numpy()[np.argmax(ratio)])
    finding = f"posterior / prior sd {worst:.2f} (grain {grain}), limit {CLOCK_IS_PRIOR}"
    if worst < CLOCK_IS_PRIOR:
        return Check("cut of the sections", "PASS", finding)
    return Check(
        "cut of the sections",
        "REVIEW",
        f"{finding}: nothing tells how far it misses the centre",
        "profile another grain through its centre, or give what is known of the cut as its prior",
    )


def _clock(problem: "Histories", fit: xr.DataTree) -> Check:
    ratio = clock_ratio(fit)
    finding = f"{_clock_words(problem, fit)}; posterior / prior sd of the log duration {ratio:.2f}"
    is_given = not isinstance(problem.priors[clock_name(problem.priors)], Prior)
    if is_given or (problem.arrays.has_ages and ratio < CLOCK_IS_PRIOR):
        return Check("source of the clock", "PASS", finding)
    return Check(
        "source of the clock",
        "REVIEW",
        finding,
        "time is the prior's, not the garnet's: date two zones, or put what is known of the growth "
        "rate or duration into its prior",
    )


def _clock_words(problem: "Histories", fit: xr.DataTree) -> str:
    priors, arrays = problem.priors, problem.arrays
    name = clock_name(problem.priors)
    what = "duration" if name == "duration_Myr" else "growth rate"
    if not isinstance(priors[name], Prior):
        return f"the clock is the given {what}"
    if not arrays.has_ages or clock_ratio(fit) >= CLOCK_IS_PRIOR:
        return f"the clock is the prior on the {what}: nothing else tells time"
    ages = arrays.zone_age_Ma
    oldest, youngest = int(np.argmax(ages)), int(np.argmin(ages))
    labels = arrays.coords["zone"]
    gap = float(ages[oldest] - ages[youngest])
    sd = float(np.hypot(arrays.zone_age_sd_Ma[oldest], arrays.zone_age_sd_Ma[youngest]))
    return (
        f"the clock is set by {ages.size} ages, first of all {labels[oldest]} against "
        f"{labels[youngest]} ({gap:.2f} +- {sd:.2f} Myr apart)"
    )


def _unseen_time(derived: xr.Dataset) -> Check:
    unseen = float(derived["growth_before_first_analysis_Myr"].sel(statistic="q50"))
    share = unseen / float(derived["duration_Myr"].sel(statistic="q50"))
    finding = f"growth before the first analysis took at least {share:.1%} of the duration"
    if share <= UNSEEN_SHARE:
        return Check("time before the first analysis", "PASS", f"{finding}, limit 5 %")
    return Check(
        "time before the first analysis",
        "REVIEW",
        f"{finding}, limit 5 %",
        "analyse closer to the core; the duration told is that since the first analysis",
    )


def _diffusion(problem: "Histories", fit: xr.DataTree, derived: xr.Dataset) -> Check:
    """Tell whether diffusion matters on the median path, and whether it is in the model."""
    hottest = float(derived["peak_temperature_C"].sel(statistic="q95"))
    if not problem.law.has_clock:
        if hottest < DIFFUSION_C:
            return Check("diffusion", "PASS", f"below {hottest:.0f} degC growth zoning is kept")
        return Check(
            "diffusion",
            "REVIEW",
            f"up to {hottest:.0f} degC: zoning of small grains may be blurred by diffusion",
            "compare large and small grains, and judge the time spent at the peak",
        )
    median = derived.sel(statistic="q50")
    time, first = np.unique(median["axis_time_Myr"].to_numpy(), return_index=True)
    temperature, pressure = (
        median[f"axis_{name}"].to_numpy()[first] for name in ("temperature_C", "pressure_kbar")
    )
    spacing = _spacing(problem)
    if problem.diffusivities:
        factor = _diffusivity_factor(problem, fit)
        verdict = diffusion_matters(
            spacing, factor[1] * time, temperature, pressure, problem.diffusivities
        )
        found = "{1:.2g} ({0:.2g} to {2:.2g}) times those of ".format(*factor)
        finding = f"in the model, diffusivities {found}{problem.diffusivities.name}"
        return Check("diffusion", "PASS", f"{finding}; {verdict.distances}")
    verdict = diffusion_matters(spacing, time, temperature, pressure)
    if not verdict.matters:
        return Check("diffusion", "PASS", verdict.message)
    return Check(
        "diffusion",
        "REVIEW",
        verdict.message,
        "fit with Histories(..., diffusion=True) and compare",
    )


def _diffusivity_factor(problem: "Histories", fit: xr.DataTree) -> np.ndarray:
    """Give the 5, 50 and 95 % quantiles of the diffusivities over the published ones."""
    name = "diffusivity_factor"
    known = problem.priors.is_known(name)
    values = problem.priors.known(name) if known else fit["posterior"][name].to_numpy()
    return np.quantile(values, (0.05, 0.5, 0.95))


def _spacing(problem: "Histories") -> float:
    """Give the median distance between neighbouring analyses, um; the rim's radius for one only."""
    arrays = problem.arrays
    same = np.diff(arrays.grain) == 0
    if not same.any():
        return float(arrays.rim_radius_um.min())
    return float(np.median(np.diff(arrays.radius_um)[same]))


def _fractionation(problem: "Histories") -> list[Check]:
    if problem.arrays.table.has_removed_axis:
        return []
    return [
        Check(
            "fractionation",
            "REVIEW",
            "the table has one bulk: garnet that grew is not taken out of it",
            "use a table with the axis 'removed'; where garnet keeps up with equilibrium this "
            "moves P and T by up to 1.6 kbar and 26 degC",
        )
    ]


def _is_offset_free(problem: "Histories") -> bool:
    return isinstance(problem.priors["temperature_offset_C"], Prior)


def _ends(problem: "Histories") -> tuple[int, int]:
    arrays = problem.arrays
    offset = problem._known_offsets()
    own = arrays if arrays.has_profiles else arrays.inclusions
    place = offset[own.grain] + own.radius_um
    return int(place.argmin()), int(place.argmax())


def _conditions(derived: xr.Dataset, dim: str, prefix: str, place: int) -> str:
    at = derived.isel({dim: place})
    temperature = _interval(at, f"{prefix}temperature_C", 0)
    return f"{temperature} degC, {_interval(at, f'{prefix}pressure_kbar', 1)} kbar"


def _interval(derived: xr.Dataset, name: str, decimals: int) -> str:
    low, middle, high = (float(derived[name].sel(statistic=key)) for key in ("q05", "q50", "q95"))
    return f"{middle:.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f})"
