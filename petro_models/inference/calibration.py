"""Simulation-based calibration: whether posteriors hold the truth as often as they say.

For data simulated from the prior, the rank of the truth among posterior draws is uniform if, and
as far as it can show only if, model, sampler and code agree (Talts et al. 2018, arXiv:1804.06788;
Modrak et al. 2023, Bayesian Anal. 20, 461-488).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

NOMINAL = 0.90


@dataclass(frozen=True)
class Calibration:
    """How the truths of one quantity fell into their posteriors.

    Attributes
    ----------
    name
        The quantity.
    pit
        Randomised rank of each truth among its draws, scaled to (0, 1).
    covered
        Whether each truth lay in its 90 % equal-tailed interval.
    """

    name: str
    pit: np.ndarray
    covered: np.ndarray

    @property
    def coverage(self) -> float:
        """Share of truths inside their 90 % intervals."""
        return float(self.covered.mean())

    @property
    def p_uniform(self) -> float:
        """Probability of ranks as uneven as these if calibrated (Kolmogorov-Smirnov)."""
        return float(stats.kstest(self.pit, "uniform").pvalue)

    @property
    def p_covered(self) -> float:
        """Probability of a coverage so far from 90 % if calibrated (binomial)."""
        return float(stats.binomtest(int(self.covered.sum()), self.covered.size, NOMINAL).pvalue)

    def __str__(self) -> str:
        return (
            f"{self.name:<28} {self.pit.size:>6} truths   90 % coverage {self.coverage:.3f}   "
            f"uniform ranks p = {self.p_uniform:.3f}"
        )


def calibrate(
    name: str,
    truths: Sequence[float],
    draws: Sequence[np.ndarray],
    generator: np.random.Generator,
) -> Calibration:
    """Rank truths among independent posterior draws.

    Parameters
    ----------
    name
        The quantity.
    truths
        One number a simulated data set.
    draws
        Posterior draws of the same quantity, one array a data set, nearly independent.
    generator
        Breaks ties and fills the gaps between ranks.
    """
    pit, covered = np.empty(len(truths)), np.empty(len(truths), dtype=bool)
    for index, (truth, values) in enumerate(zip(truths, draws, strict=True)):
        below, ties = int((values < truth).sum()), int((values == truth).sum())
        rank = below + generator.uniform(0, ties + 1)
        pit[index] = rank / (values.size + 1)
        low, high = np.quantile(values, [(1 - NOMINAL) / 2, (1 + NOMINAL) / 2])
        covered[index] = low <= truth <= high
    return Calibration(name, pit, covered)


def calibrate_probabilities(
    name: str,
    outcomes: Sequence[bool],
    probabilities: Sequence[float],
    generator: np.random.Generator,
) -> Calibration:
    """Rank yes-or-no truths against their posterior probabilities.

    The randomised probability integral transform of a Bernoulli quantity: uniform if the
    probabilities are calibrated. An outcome counts as covered if it is not in a tail of 10 %.
    """
    chance = np.asarray(probabilities, dtype=float)
    happened = np.asarray(outcomes, dtype=bool)
    uniform = generator.uniform(size=chance.size)
    pit = np.where(happened, (1 - chance) + uniform * chance, uniform * (1 - chance))
    return Calibration(name, pit, np.abs(pit - 0.5) <= NOMINAL / 2)


def reliability(
    outcomes: Sequence[bool], probabilities: Sequence[float], n_bins: int = 5
) -> list[tuple[float, float, int]]:
    """Bin probabilities: mean probability, observed frequency and count of each filled bin."""
    chance = np.asarray(probabilities, dtype=float)
    happened = np.asarray(outcomes, dtype=float)
    index = np.minimum((chance * n_bins).astype(int), n_bins - 1)
    return [
        (
            float(chance[index == b].mean()),
            float(happened[index == b].mean()),
            int(np.sum(index == b)),
        )
        for b in range(n_bins)
        if (index == b).any()
    ]
