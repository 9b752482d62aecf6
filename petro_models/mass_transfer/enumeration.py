"""Exact posterior of mass change by summing over every set of immobile elements.

Given the set z of immobile elements, the log ratios and the mass changes are jointly Gaussian, so
the probability of each of the 2^p sets and the mass changes under it have closed forms. With

    r_ij = u_j - m_i + x_ij + e_ij,   u_j ~ N(0, c_j) shared by all samples (protolith error and,
                                      in a mobile element, its mean mobility),
    m ~ N(mean, V),   var(x_ij + e_ij) = d_ij (immobile) or d_ij + tau^2 (mobile),

the information on m is a sum over elements of ``diag(1/d_j) - w_j w_j' / (1/c_j + sum w_j)``,
``w_j = 1/d_j`` (a rank-one update for each element's shared error).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

CHUNK = 1 << 15
NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class GaussianColumns:
    """What the enumeration needs; arrays (element, sample) unless said otherwise.

    Attributes
    ----------
    log_ratio
        r = ln(C / C0), corrected for the protolith's expected offset; NaN where missing.
    immobile_variance, mobile_variance
        Variance of r about -m in an immobile and in a mobile element.
    shared_variance
        c, variance of the protolith's error that all samples share, (element).
    immobile_probability
        Prior probability of being immobile, (element).
    prior_mean, prior_covariance
        Of the mass changes, (sample) and (sample, sample).
    shift_variance
        Variance of the mean of x over the samples in a mobile element, (element) or 0.
    """

    log_ratio: np.ndarray
    immobile_variance: np.ndarray
    mobile_variance: np.ndarray
    shared_variance: np.ndarray
    immobile_probability: np.ndarray
    prior_mean: np.ndarray
    prior_covariance: np.ndarray
    shift_variance: float | np.ndarray = 0.0

    @property
    def is_separable(self) -> bool:
        """Whether samples are independent given the set: no shared error, no prior correlation."""
        off_diagonal = self.prior_covariance - np.diag(np.diag(self.prior_covariance))
        return not self.shared_by_state.any() and not off_diagonal.any()

    @property
    def shared_by_state(self) -> np.ndarray:
        """Variance that all samples of an element share if mobile (0) or immobile (1)."""
        return np.stack([self.shared_variance + self.shift_variance, self.shared_variance])


def enumeration_cost(n_elements: int, n_samples: int, separable: bool) -> float:
    """Estimate the floating-point operations of a full enumeration."""
    per_set = n_elements * n_samples * 3.0 if separable else n_samples**3 / 3 + n_samples**2 * 4
    return 2.0**n_elements * per_set


@dataclass(frozen=True)
class _Terms:
    """Contribution of each element to the log density and to the information on m.

    Leading axis: mobile (0), immobile (1); then element. `precision` is (2, element, sample) when
    samples are independent and (2, element, sample, sample) when they are not.
    """

    log_density: np.ndarray
    precision: np.ndarray
    score: np.ndarray


class Enumeration:
    """Every set of immobile elements with its exact probability.

    Parameters
    ----------
    columns
        The log ratios, variances and priors.

    Attributes
    ----------
    log_evidence
        ln of the marginal likelihood of the log ratios.
    probability
        Posterior probability of each set; bit j of a set's index says that element j is immobile.
    """

    def __init__(self, columns: GaussianColumns) -> None:
        self.columns = columns
        self.n_elements, self.n_samples = columns.log_ratio.shape
        self._terms = _separable_terms(columns) if columns.is_separable else _dense_terms(columns)
        log_weight = np.concatenate([self._log_weight(sets) for sets in self._chunks()])
        peak = log_weight.max()
        weight = np.exp(log_weight - peak)
        self.log_evidence = float(peak + np.log(weight.sum()))
        self.probability = weight / weight.sum()

    @cached_property
    def immobile_probability(self) -> np.ndarray:
        """Exact posterior probability of each element being immobile, (element)."""
        total = np.zeros(self.n_elements)
        for sets in self._chunks():
            total += self.probability[sets] @ _members(sets, self.n_elements)
        return total

    @cached_property
    def mean(self) -> np.ndarray:
        """Exact posterior mean of the mass changes, (sample)."""
        return self._moments[0]

    @cached_property
    def sd(self) -> np.ndarray:
        """Exact posterior standard deviation of the mass changes, (sample)."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        first, second = np.zeros(self.n_samples), np.zeros(self.n_samples)
        for sets in self._important_chunks():
            mean, covariance = self.conditional(sets)
            weight = self.probability[sets]
            first += weight @ mean
            second += weight @ (mean**2 + _diagonal(covariance))
        return first, np.sqrt(second - first**2)

    def probability_above(self, threshold: float) -> np.ndarray:
        """Give the exact posterior probability that each mass change exceeds a threshold."""
        total = np.zeros(self.n_samples)
        for sets in self._important_chunks():
            mean, covariance = self.conditional(sets)
            z = (mean - threshold) / np.sqrt(_diagonal(covariance))
            total += self.probability[sets] @ ndtr(z)
        return total

    def members(self, sets: np.ndarray) -> np.ndarray:
        """Tell which elements each set holds, (set, element) of 0 and 1."""
        return _members(sets, self.n_elements)

    def draw(
        self, size: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw independent sets and mass changes from the exact posterior.

        The sets are drawn by systematic resampling, so that their shares are exact to 1/size.

        Returns
        -------
        tuple of ndarray
            Sets (draw), mass changes (draw, sample) and the log posterior probability of the drawn
            set (draw), in random order.
        """
        points = (np.arange(size) + generator.uniform()) / size
        sets = np.searchsorted(np.cumsum(self.probability), points).clip(
            max=self.probability.size - 1
        )
        sets = generator.permutation(sets)
        unique, position = np.unique(sets, return_inverse=True)
        mean, covariance = self.conditional(unique)
        noise = generator.normal(size=(size, self.n_samples))
        if covariance.ndim == 2:
            mass_change = mean[position] + np.sqrt(covariance)[position] * noise
        else:
            root = np.linalg.cholesky(covariance)
            mass_change = mean[position] + np.einsum("dij,dj->di", root[position], noise)
        return sets, mass_change, np.log(self.probability[sets])

    def draw_shared_offset(
        self, sets: np.ndarray, mass_change: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Draw the protolith's error given each drawn set and mass change, (draw, element)."""
        columns = self.columns
        member = self.members(sets)
        immobile = member.astype(bool)
        variance = np.where(
            immobile[:, :, None], columns.immobile_variance, columns.mobile_variance
        )
        shift = np.where(immobile, 0.0, np.broadcast_to(columns.shift_variance, member.shape))
        observed = np.isfinite(columns.log_ratio)
        weight = np.where(observed, 1 / variance, 0.0)
        residual = np.where(observed, columns.log_ratio, 0.0) + mass_change[:, None, :]
        total = weight.sum(axis=2)
        # The column's mean shift is integrated out of the weights (rank-one update).
        shrink = 1 / (1 + shift * total)
        with np.errstate(divide="ignore"):
            precision = 1 / columns.shared_variance + shrink * total
        mean = shrink * (weight * residual).sum(axis=2) / precision
        return mean + generator.normal(size=mean.shape) / np.sqrt(precision)

    def conditional(self, sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give mean and covariance (its diagonal if samples are independent) of m in each set."""
        precision, score = self._information(sets)
        if precision.ndim == 2:
            return self.columns.prior_mean + score / precision, 1 / precision
        covariance = np.linalg.inv(precision)
        return self.columns.prior_mean + np.einsum("sij,sj->si", covariance, score), covariance

    def _information(self, sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        terms = self._terms
        precision = _sum_over_elements(terms.precision, sets)
        score = _sum_over_elements(terms.score, sets)
        covariance = self.columns.prior_covariance
        if precision.ndim == 2:
            return precision + 1 / np.diag(covariance), score
        return precision + np.linalg.inv(covariance), score

    def _log_weight(self, sets: np.ndarray) -> np.ndarray:
        precision, score = self._information(sets)
        covariance = self.columns.prior_covariance
        if precision.ndim == 2:
            quadratic = (score**2 / precision).sum(axis=1)
            log_determinant = np.log(precision * np.diag(covariance)).sum(axis=1)
        else:
            root = np.linalg.cholesky(precision)
            half = np.linalg.solve(root, score[:, :, None])[:, :, 0]
            quadratic = (half**2).sum(axis=1)
            log_determinant = 2 * np.log(_diagonal(root)).sum(axis=1)
            log_determinant += np.linalg.slogdet(covariance)[1]
        constant = _sum_over_elements(self._terms.log_density, sets)
        return constant + 0.5 * (quadratic - log_determinant)

    def _chunks(self) -> Iterator[np.ndarray]:
        count = 1 << self.n_elements
        size = CHUNK if self.columns.is_separable else max(64, CHUNK // self.n_samples**2)
        for start in range(0, count, size):
            yield np.arange(start, min(start + size, count))

    def _important_chunks(self) -> Iterator[np.ndarray]:
        sets = np.flatnonzero(self.probability > NEGLIGIBLE * self.probability.max())
        size = CHUNK if self.columns.is_separable else max(64, CHUNK // self.n_samples**2)
        for start in range(0, sets.size, size):
            yield sets[start : start + size]


def _members(sets: np.ndarray, n_elements: int) -> np.ndarray:
    return (sets[:, None] >> np.arange(n_elements)) & 1


def _diagonal(covariance: np.ndarray) -> np.ndarray:
    return covariance if covariance.ndim == 2 else np.diagonal(covariance, axis1=1, axis2=2)


def _sum_over_elements(terms: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Sum each element's term over its state in the set: one matrix product for all sets."""
    n_elements = terms.shape[1]
    flat = terms.reshape(2, n_elements, -1)
    total = flat[0].sum(axis=0) + _members(sets, n_elements).astype(float) @ (flat[1] - flat[0])
    return total.reshape(sets.size, *terms.shape[2:])


def _states(columns: GaussianColumns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give weights and residuals with zero weight where missing, and the constant log density."""
    observed = np.isfinite(columns.log_ratio)
    variance = np.stack([columns.mobile_variance, columns.immobile_variance])
    weight = np.where(observed, 1 / variance, 0.0)
    residual = np.where(observed, columns.log_ratio + columns.prior_mean, 0.0)
    log_norm = np.where(observed, -0.5 * np.log(2 * np.pi * variance), 0.0).sum(axis=2)
    probability = np.stack([1 - columns.immobile_probability, columns.immobile_probability])
    return weight, residual, log_norm + np.log(probability)


def _separable_terms(columns: GaussianColumns) -> _Terms:
    weight, residual, constant = _states(columns)
    return _Terms(
        log_density=constant - 0.5 * (weight * residual**2).sum(axis=2),
        precision=weight,
        score=-weight * residual,
    )


def _dense_terms(columns: GaussianColumns) -> _Terms:
    weight, residual, constant = _states(columns)
    shared = columns.shared_by_state
    total = weight.sum(axis=2)
    # c / (1 + c sum w): the rank-one correction, which vanishes with the shared error.
    factor = shared / (1 + shared * total)
    precision = np.einsum("kjs,st->kjst", weight, np.eye(residual.shape[1]))
    precision -= factor[:, :, None, None] * weight[:, :, :, None] * weight[:, :, None, :]
    weighted = np.einsum("kjst,jt->kjs", precision, residual)
    quadratic = (weighted * residual).sum(axis=2)
    return _Terms(
        log_density=constant - 0.5 * (quadratic + np.log1p(shared * total)),
        precision=precision,
        score=-weighted,
    )
