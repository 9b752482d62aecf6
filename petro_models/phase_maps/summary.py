"""What a phase-map fit says in words: headline, its own checks, predictive statistics."""

import numpy as np
import xarray as xr

from petro_models.inference.checks import Check
from petro_models.phase_maps.neighbours import FEW_COUNTS, typical_counts
from petro_models.phase_maps.observations import Observations

UNKNOWN_REVIEW, UNKNOWN_FAILURE = 0.05, 0.3
POOR_FIT_REVIEW = 0.05
OUTLIER_REVIEW = 0.1
COVERAGE_REVIEW = 0.8
QUANTILES = (0.1, 0.5, 0.9)


def headline(fit: xr.DataTree, observations: Observations) -> list[str]:
    """Say modes, mixed and unknown pixels, compositions and registration in sentences."""
    derived = fit["derived"].to_dataset()
    order = np.argsort(-derived["mode"].to_numpy())
    modes = ", ".join(
        f"{derived['phase'].values[k]} {100 * float(derived['mode'][k]):.1f} % "
        f"({100 * float(derived['mode_low'][k]):.1f}–{100 * float(derived['mode_high'][k]):.1f})"
        for k in order
    )
    mixed = 1 - float(derived["pure_probability"].sum("phase").mean())
    unknown = float(derived["unknown_probability"].mean())
    pixels = derived.sizes["y"] * derived.sizes["x"]
    sentences = [
        f"Modes by area (90 %, this model's structure taken for granted): {modes}.",
        f"Of {pixels:,} pixels {100 * (mixed - unknown):.1f} % hold more than one phase and "
        f"{100 * unknown:.1f} % no phase explains.",
        _precision_sentence(derived),
    ]
    if observations.has_spots and "registration_shift" in fit["posterior"]:
        shift = fit["posterior"].to_dataset()["registration_shift"]
        mean, sd = (
            shift.mean(("chain", "draw")).to_numpy(),
            shift.std(("chain", "draw")).to_numpy(),
        )
        sentences.append(
            f"Spots lie {float(mean[0]):+.2f} ± {float(sd[0]):.2f} columns and "
            f"{float(mean[1]):+.2f} ± {float(sd[1]):.2f} rows from their nominal positions "
            "(± one standard deviation)."
        )
    return sentences


def _precision_sentence(derived: xr.Dataset) -> str:
    sd = derived["composition_sd"].median(("y", "x"))
    parts = ", ".join(
        f"{oxide} {float(sd.sel(oxide=oxide)):.2g}" for oxide in derived["oxide"].values
    )
    return f"Median standard deviation of a pixel's composition, wt%: {parts}."


def own_checks(derived: xr.Dataset, observations: Observations, fit: xr.DataTree) -> list[Check]:
    """Check what only this problem knows."""
    found = [_unknown(derived), _evidence(derived, observations), _without_spots(observations)]
    found += check_neighbours(derived, observations)
    if observations.has_spots:
        found += [_outliers(fit), _spot_coverage(derived, observations)]
    return found


def check_neighbours(derived: xr.Dataset, observations: Observations) -> list[Check]:
    """Warn where neighbours counted although the map cannot tell how its pixels meet."""
    typical = typical_counts(observations)
    if "neighbour_strength" not in derived or typical >= FEW_COUNTS:
        return []
    return [
        Check(
            "neighbours of pixels",
            "REVIEW",
            f"a typical pixel has {typical:.0f} counts, limit {FEW_COUNTS}: too few to learn how "
            "pixels meet",
            "compare the map with that of neighbours='none'",
        )
    ]


def _unknown(derived: xr.Dataset) -> Check:
    share = float(derived["unknown_probability"].mean())
    finding = f"{100 * share:.1f} % of the map is not explained by any phase, limit 5 %"
    if share < UNKNOWN_REVIEW:
        return Check("unknown pixels", "PASS", finding)
    return Check(
        "unknown pixels",
        "REVIEW" if share < UNKNOWN_FAILURE else "FAIL",
        finding,
        "look at the map of unknown pixels: cracks and edges are rightly unknown; a missing "
        "phase needs a seed, a spot or a formula",
    )


def _evidence(derived: xr.Dataset, observations: Observations) -> Check:
    size = len(observations.coords["element"])
    # Half a chi-square: expected 1 % below this.
    limit = -(0.5 * (size + 2.33 * np.sqrt(2 * size) + 1.2 * 2.33) - 0.5 * size)
    known = derived["unknown_probability"] < 0.5
    share = float((derived["evidence"].where(known) < limit).sum() / known.sum())
    finding = f"{100 * share:.1f} % of the explained pixels fit worse than 1 in 100 should"
    if share < POOR_FIT_REVIEW:
        return Check("fit of the pixels", "PASS", finding)
    return Check(
        "fit of the pixels",
        "REVIEW",
        finding,
        "look at the evidence map: zoned or over-dispersed phases need axes='two'; patches of "
        "low evidence are phases that are not named",
    )


def _without_spots(observations: Observations) -> Check:
    names = []
    for k, name in enumerate(observations.cells.phases):
        labelled = (observations.spot_label == k).any()
        formula = np.isfinite(observations.known_composition[k]).any()
        near = np.abs(np.nan_to_num(observations.spot_composition) - observations.composition[k])
        close = (near < 3 * observations.scatter[k] + 1).all(axis=1).any() if len(near) else False
        if not (labelled or formula or close):
            names.append(name)
    if not names:
        return Check("phases without spots", "PASS", "every phase has spots or a formula")
    return Check(
        "phases without spots",
        "REVIEW",
        f"{', '.join(names)}: composition rests on the other phases' calibration alone",
        "analyse a spot in each, or give phases={name: formula}",
    )


def _outliers(fit: xr.DataTree) -> Check:
    if "spot_outlier" not in fit["posterior"]:
        return Check("spots off the model", "PASS", "their share is taken as known")
    share = float(fit["posterior"]["spot_outlier"].mean())
    finding = f"{100 * share:.0f} % of the spots agree with nothing near them, limit 10 %"
    if share < OUTLIER_REVIEW:
        return Check("spots off the model", "PASS", finding)
    return Check(
        "spots off the model",
        "REVIEW",
        finding,
        "check the spots' positions and labels, and whether a phase is missing",
    )


def _spot_coverage(derived: xr.Dataset, observations: Observations) -> Check:
    measured = observations.spot_composition
    low, high = derived["spot_predicted_low"].to_numpy(), derived["spot_predicted_high"].to_numpy()
    # A stated error widens what a measurement may show.
    inside = (measured >= low) & (measured <= high)
    share = float(inside[np.isfinite(measured)].mean())
    finding = f"90 % intervals predicted from the map hold {100 * share:.0f} % of the analyses"
    if share >= COVERAGE_REVIEW:
        return Check("spots against the map", "PASS", finding)
    return Check(
        "spots against the map",
        "REVIEW",
        finding,
        "see the calibration figure: phases whose spots scatter more than their pixels need axes",
    )


def predictive_statistics(
    observations: Observations, replicated: xr.Dataset
) -> dict[str, tuple[float, np.ndarray]]:
    """Compare median and spread of the total counts with replicated maps.

    By quantiles: what no phase explains is given a broad density, not a model to be tested.
    """
    total = observations.counts.sum(axis=1)
    low, middle, high = np.quantile(
        total, QUANTILES, weights=observations.weight, method="inverted_cdf"
    )
    drawn = replicated["counts"].sum("element").stack(__draw__=("chain", "draw"))
    lows, middles, highs = np.quantile(
        drawn.transpose("__draw__", ...).to_numpy(), QUANTILES, axis=1
    )
    return {
        "median of total counts": (float(middle), middles),
        "10 to 90 % range of total counts": (float(high - low), highs - lows),
    }
