"""Compositions of groups of pixels of one phase, from their summed counts and drawn unknowns.

The estimate of one pixel leans towards the mean of its phase, as it should: it knows little. The
mean of many such estimates still leans, so a zoned phase comes out less zoned than it is. Summed
counts do not. Within one phase counts are proportional to content: with y the mean counts of a
group and b the background it holds ``K (y - b)`` wt%. K comes from the phase's own spots, each
against the counts of the group it lies in; where they are too few, from the fitted phase, as
``C / (I - b)`` with its composition C and intensity I.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from petro_models.inference.predictive import thin
from petro_models.phase_maps.averages import Groups
from petro_models.phase_maps.derived import parameter_draws
from petro_models.phase_maps.forward import counting_variance, true_counts
from petro_models.phase_maps.map_answers import position_of
from petro_models.phase_maps.problem import PhaseMaps

DRAWS = 400
FEWEST_SPOTS = 3


@dataclass(frozen=True)
class SpotCounts:
    """Analyses of one phase and the counts of where they lie.

    Attributes
    ----------
    spot
        Which of the problem's spots, (s,).
    counts, counts_sd
        Mean counts there and their error, (s, e).
    """

    spot: np.ndarray
    counts: np.ndarray
    counts_sd: np.ndarray


@dataclass(frozen=True)
class GroupCounts:
    """Mean counts of groups of pixels and their variance, (e, group)."""

    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, problem: PhaseMaps, groups: Groups) -> "GroupCounts":
        """Average the counts of a problem's pixels.

        The variance is that of counting, or of the pixels' own scatter where that is larger.
        """
        counts = groups.take(problem.data["counts"], "element")
        mean = groups.sums(counts) / groups.count
        counting = np.asarray(counting_variance(mean.T, problem.observations.dead_share)).T
        scatter = groups.sums((counts - mean[:, groups.group]) ** 2)
        own = scatter / np.maximum(groups.count - 1, 1)
        return cls(mean, np.maximum(counting, own) / groups.count)


@dataclass(frozen=True)
class GroupDraws:
    """Compositions of groups of pixels under draws of everything that the groups share.

    Attributes
    ----------
    composition
        wt% at the groups' own counts, (draw, group, oxide): what the calibration leaves open.
    with_counting
        The same with the counts drawn anew, (draw, group, oxide).
    per_count, background
        wt% per count, and the counts of none, (draw, oxide).
    """

    composition: np.ndarray
    with_counting: np.ndarray
    per_count: np.ndarray
    background: np.ndarray


def draw_group_compositions(
    problem: PhaseMaps,
    fit: xr.DataTree,
    groups: GroupCounts,
    phase: str,
    spots: SpotCounts | None = None,
    seed: int = 0,
) -> GroupDraws:
    """Draw the compositions of groups of pixels of one phase.

    Parameters
    ----------
    problem, fit
        The problem and its fit.
    groups
        Of pixels that hold this phase alone.
    phase
        Its label.
    spots
        At least `FEWEST_SPOTS` analyses of this phase to calibrate with; None: the fitted phase.
    seed
        Of the draws.
    """
    observed = problem.observations
    generator = np.random.default_rng(seed)
    posterior = thin(fit["posterior"].to_dataset(), DRAWS)
    draws = parameter_draws(posterior, observed, problem.priors)
    k, which = position_of(problem.data, "phase", phase), observed.element_of_oxide
    # The background under a phase scatters about that of the map.
    about = generator.normal(size=draws.spots.composition[:, k].shape)
    scatter = 1 + _drawn(problem, posterior, "background_scatter") * about
    background = observed.background * _drawn(problem, posterior, "background") * scatter
    if spots is None:
        net = np.maximum(draws.maps.intensity[:, k][:, which] - background, 1e-6)
        per_count = draws.spots.composition[:, k] / net
    else:
        per_count = _draw_per_count(problem, spots, background, generator)

    def composition(counts: np.ndarray) -> np.ndarray:
        """Give wt% (draw, group, o) of mean counts (..., group, e)."""
        true = np.asarray(true_counts(counts, observed.dead_share))[..., which]
        return per_count[:, None, :] * (true - background[:, None, :])

    error = np.sqrt(groups.variance).T
    noise = generator.normal(size=(len(per_count), *error.shape))
    return GroupDraws(
        composition(groups.mean.T),
        composition(groups.mean.T + error * noise),
        per_count,
        np.broadcast_to(background, per_count.shape),
    )


def _draw_per_count(
    problem: PhaseMaps, spots: SpotCounts, background: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Draw wt% per count (draw, o): the weighted mean of wt% over net counts of the spots.

    Where the spots scatter by more than their errors say, the mean's error grows by as much.
    """
    observed = problem.observations
    which = observed.element_of_oxide
    measured, error = (
        values[spots.spot] for values in (observed.spot_composition, observed.spot_error)
    )
    net = np.asarray(true_counts(spots.counts, observed.dead_share))[:, which]
    net = np.maximum(net - background[:, None, :], 0.3)
    ratio = measured / net
    relative = spots.counts_sd[:, which] / net
    # Without stated errors the scatter of the spots, below, is all there is.
    variance = (np.nan_to_num(error) / net) ** 2 + (ratio * relative) ** 2 + (1e-3 * ratio) ** 2
    known = np.isfinite(measured)
    weight = np.where(known, 1 / np.maximum(variance, 1e-300), 0.0)
    total = np.maximum(weight.sum(axis=1), 1e-300)
    mean = np.where(known, weight * np.nan_to_num(ratio), 0.0).sum(axis=1) / total
    misfit = np.where(known, weight * (np.nan_to_num(ratio) - mean[:, None]) ** 2, 0.0).sum(axis=1)
    excess = np.maximum(misfit / np.maximum(known.sum(axis=0) - 1, 1), 1.0)
    return mean + np.sqrt(excess / total) * generator.normal(size=mean.shape)


def _drawn(problem: PhaseMaps, posterior: xr.Dataset, name: str) -> np.ndarray:
    """Give a quantity of oxides or one for all, (draw or 1, oxide or 1)."""
    if name in posterior:
        values = posterior[name].stack(d=("chain", "draw")).transpose("d", ...).to_numpy()
        return values.reshape(len(values), -1)
    return np.atleast_1d(np.asarray(problem.priors.known(name), float))[None, :]
