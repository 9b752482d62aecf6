"""Compositions of groups of pixels of one phase, from their summed counts and drawn unknowns.

The estimate of one pixel leans towards the mean of its phase, as it should: it knows little. The
mean of many such estimates still leans, so a zoned phase comes out less zoned than it is. Summed
counts do not: where y is their mean over a group, I the phase's intensity, b the background and C
the phase's composition, the group holds ``C (y - b) / (I - b)``, as within one phase counts are
proportional to content.
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


@dataclass(frozen=True)
class GroupDraws:
    """Compositions of groups of pixels under draws of everything that the groups share.

    Attributes
    ----------
    composition
        wt% at the groups' own counts, (draw, group, oxide): what the calibration leaves open.
    with_counting
        The same with the counts drawn anew, (draw, group, oxide).
    """

    composition: np.ndarray
    with_counting: np.ndarray


def draw_group_compositions(
    problem: PhaseMaps, fit: xr.DataTree, groups: Groups, phase: str, seed: int = 0
) -> GroupDraws:
    """Draw the compositions of groups of pixels of one phase.

    Parameters
    ----------
    problem, fit
        The problem and its fit.
    groups
        Pixels that hold this phase alone, at least one in each group.
    phase
        Its label.
    seed
        Of the counting noise.
    """
    observed = problem.observations
    posterior = thin(fit["posterior"].to_dataset(), DRAWS)
    draws = parameter_draws(posterior, observed, problem.priors)
    k, which = position_of(problem.data, "phase", phase), observed.element_of_oxide
    rest = draws.spots.composition[:, k]
    background = observed.background * _background(problem, posterior)
    net = np.maximum(draws.maps.intensity[:, k][:, which] - background, 1e-6)

    def composition(counts: np.ndarray) -> np.ndarray:
        """Give wt% (draw, group, o) of mean counts (..., group, e)."""
        true = np.asarray(true_counts(counts, observed.dead_share))[..., which]
        return (rest / net)[:, None, :] * (true - background[:, None, :])

    counts = groups.take(problem.data["counts"], "element")
    mean = groups.sums(counts) / groups.count
    noise = np.random.default_rng(seed).normal(size=(len(rest), *mean.T.shape))
    error = np.sqrt(_variance(counts, mean, groups, observed.dead_share)).T
    return GroupDraws(composition(mean.T), composition(mean.T + error * noise))


def _background(problem: PhaseMaps, posterior: xr.Dataset) -> np.ndarray:
    """Give the background relative to what it was taken for, (draw, oxide) or (1, oxide)."""
    if "background" in posterior:
        return posterior["background"].stack(d=("chain", "draw")).transpose("d", ...).to_numpy()
    known = np.asarray(problem.priors.known("background"), float)
    return np.broadcast_to(known, (1, problem.data.sizes["oxide"]))


def _variance(
    counts: np.ndarray, mean: np.ndarray, groups: Groups, dead_share: np.ndarray
) -> np.ndarray:
    """Give the variance of mean counts, (e, group): of counting, or the pixels' own if larger."""
    counting = np.asarray(counting_variance(mean.T, dead_share)).T
    scatter = groups.sums((counts - mean[:, groups.group]) ** 2)
    own = scatter / np.maximum(groups.count - 1, 1)
    return np.maximum(counting, own) / groups.count
