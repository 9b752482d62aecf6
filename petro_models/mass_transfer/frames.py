"""Competing frames: local maxima of the posterior density of mass change, and which draw is whose.

A block of elements that moved together fits as well as the immobile block, so the posterior may
have several maxima. Each is found by expectation-maximisation on the mixture whose indicators are
summed out, started from every element's own frame.
"""

from dataclasses import dataclass

import numpy as np

from petro_models.mass_transfer.enumeration import GaussianColumns

REPORTED_WEIGHT = 0.02
ITERATIONS = 200
SAME_FRAME = 3.0
"""Maxima closer than this many conditional standard deviations in every sample are one frame."""


@dataclass(frozen=True)
class Mode:
    """One local maximum of the density of mass change.

    Attributes
    ----------
    mass_change
        m at the maximum, (sample).
    sd
        Conditional standard deviation of m there, (sample).
    immobile_probability
        Probability of each element being immobile given m, (element).
    log_evidence
        Laplace approximation of the log of the mode's share of the evidence.
    """

    mass_change: np.ndarray
    sd: np.ndarray
    immobile_probability: np.ndarray
    log_evidence: float


def find_modes(columns: GaussianColumns, extra_starts: np.ndarray | None = None) -> list[Mode]:
    """Find the frames that the log ratios allow, the most probable first.

    Parameters
    ----------
    columns
        Log ratios, variances and priors; shared errors count as part of each element's variance.
    extra_starts
        Further mass changes to start from, (start, sample).
    """
    own = _own_frames(columns)
    starts = own if extra_starts is None else np.concatenate([own, extra_starts])
    mass_change = starts
    for _ in range(ITERATIONS):
        responsibility = _responsibility(columns, mass_change)
        updated = _update(columns, responsibility)[0]
        moved = np.abs(updated - mass_change).max()
        mass_change = updated
        if moved < 1e-9:
            break
    responsibility = _responsibility(columns, mass_change)
    sd = 1 / np.sqrt(_update(columns, responsibility)[1])
    log_density = _log_density(columns, mass_change)
    evidence = log_density + np.log(sd).sum(axis=1) + 0.5 * sd.shape[1] * np.log(2 * np.pi)
    modes: list[Mode] = []
    for index in np.argsort(-log_density):
        candidate = Mode(
            mass_change[index], sd[index], responsibility[index], float(evidence[index])
        )
        if not any(_is_same(candidate, mode) for mode in modes):
            modes.append(candidate)
    return sorted(modes, key=lambda mode: -mode.log_evidence)


def mode_weights(modes: list[Mode]) -> np.ndarray:
    """Give each mode's approximate share of the posterior (Laplace)."""
    evidence = np.array([mode.log_evidence for mode in modes])
    weight = np.exp(evidence - evidence.max())
    return weight / weight.sum()


def assign(modes: list[Mode], mass_change: np.ndarray) -> np.ndarray:
    """Give the nearest mode of each draw, in units of the modes' own widths, (draw)."""
    distance = np.stack(
        [(((mass_change - mode.mass_change) / mode.sd) ** 2).sum(axis=1) for mode in modes]
    )
    return distance.argmin(axis=0)


def label(elements: list[str], probability: np.ndarray, at_most: int = 8) -> str:
    """Name a frame by its immobile elements, the surest first; equals keep the table's order."""
    to_percent = -probability.round(2)
    order = [j for j in np.argsort(to_percent, kind="stable") if probability[j] >= 0.5]
    if not order:
        surest = elements[int(probability.argmax())]
        return f"no clear frame (nearest: {surest})"
    names = " ".join(elements[j] for j in order[:at_most])
    return names + (f" + {len(order) - at_most} more" if len(order) > at_most else "")


def _own_frames(columns: GaussianColumns) -> np.ndarray:
    """Take each element in turn as immobile: m = -r, gaps filled by the sample's median."""
    negative = -columns.log_ratio
    usable = np.isfinite(negative).any(axis=1)
    with np.errstate(all="ignore"):
        empty = ~np.isfinite(negative).any(axis=0)
        centre = np.where(
            empty, columns.prior_mean, np.nanmedian(np.where(empty, 0.0, negative), axis=0)
        )
    frames = np.where(np.isfinite(negative), negative, centre)[usable]
    return np.concatenate([frames, centre[None]])


def _component_log_density(columns: GaussianColumns, mass_change: np.ndarray) -> np.ndarray:
    """Give log density of each column, immobile and mobile: (2, start, element)."""
    observed = np.isfinite(columns.log_ratio)
    residual = np.where(observed, columns.log_ratio, 0.0) + mass_change[:, None, :]
    parts = []
    variances = (columns.mobile_variance, columns.immobile_variance)
    for variance, shared in zip(variances, columns.shared_by_state, strict=True):
        cell = -0.5 * (residual**2 / variance + np.log(2 * np.pi * variance))
        weight = np.where(observed, 1 / variance, 0.0)
        inflation = 1 + shared * weight.sum(axis=1)
        score = (weight * residual).sum(axis=2)
        rank_one = 0.5 * shared / inflation * score**2 - 0.5 * np.log(inflation)
        parts.append((cell * observed).sum(axis=2) + rank_one)
    probability = columns.immobile_probability
    return np.stack([parts[1] + np.log(probability), parts[0] + np.log1p(-probability)])


def _responsibility(columns: GaussianColumns, mass_change: np.ndarray) -> np.ndarray:
    immobile, mobile = _component_log_density(columns, mass_change)
    return np.exp(immobile - np.logaddexp(immobile, mobile))


def _log_density(columns: GaussianColumns, mass_change: np.ndarray) -> np.ndarray:
    immobile, mobile = _component_log_density(columns, mass_change)
    variance = np.diag(columns.prior_covariance)
    prior = -0.5 * (
        (mass_change - columns.prior_mean) ** 2 / variance + np.log(2 * np.pi * variance)
    )
    return np.logaddexp(immobile, mobile).sum(axis=1) + prior.sum(axis=1)


def _update(columns: GaussianColumns, responsibility: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    observed = np.isfinite(columns.log_ratio)
    ratio = np.where(observed, columns.log_ratio, 0.0)
    prior = 1 / np.diag(columns.prior_covariance)
    precision, score = prior, prior * columns.prior_mean
    states = (
        (1 - responsibility, columns.mobile_variance, columns.shared_by_state[0]),
        (responsibility, columns.immobile_variance, columns.shared_by_state[1]),
    )
    for share, variance, shared in states:
        weight = np.where(observed, 1 / (variance + shared[:, None]), 0.0)
        precision = precision + share @ weight
        score = score - share @ (weight * ratio)
    return score / precision, precision


def _is_same(one: Mode, other: Mode) -> bool:
    width = np.sqrt(one.sd**2 + other.sd**2)
    return bool((np.abs(one.mass_change - other.mass_change) < SAME_FRAME * width).all())
