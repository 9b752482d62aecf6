"""The option of smoothing within phases: what a pixel's neighbours tell of its composition.

Along an axis of solid solution the positions of a phase's pixels are no longer independent but a
field whose correlation falls with distance d as ``c exp(-d / length)``; the rest, 1 - c, changes
from pixel to pixel. Amplitude, c and length are learnt from the products of neighbours' positions,
in which counting noise averages out. Given them, the position of a pixel is its mean given the
counts of all pixels of the phase within two pixels (simple kriging). Mixed pixels stay as they are.

Smoothed pixels err alike: sums, regions and transects are taken of the maps as they were.

References
----------
Cressie, N. (1993). Statistics for Spatial Data. Wiley, ch. 3.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.optimize import least_squares

from petro_models.phase_maps.cells import TAIL_STRETCH
from petro_models.phase_maps.pixels import PixelEngine

PURE = 0.9
"""Pixels that are one phase with this probability are smoothed, and smooth others."""
FEWEST_PIXELS = 100
FURTHEST = 2
"""Pixels to the furthest neighbour that is used."""
FAR = 2.5
"""Positions beyond this, in a phase of heavy tails, were estimated with the wider cell's prior."""
ABSENT = 1e9
"""Noise variance of a pixel that is not the phase."""
LENGTHS = (0.2, 100.0)
"""Bounds of the correlation length, pixels: below the least, neighbours tell nothing."""

STEPS = np.array(
    [
        (dy, dx)
        for dy in range(-FURTHEST, FURTHEST + 1)
        for dx in range(-FURTHEST, FURTHEST + 1)
        if dy**2 + dx**2 <= FURTHEST**2
    ]
)
"""Rows and columns to the pixels that are used, the pixel itself among them."""


class Field(NamedTuple):
    """How positions along an axis vary over a map: mean, variance, shared part c, length."""

    mean: float
    variance: float
    shared: float
    length: float

    def covariance(self, distance: np.ndarray) -> np.ndarray:
        """Give the covariance at distances, pixels."""
        apart = self.shared * np.exp(-distance / self.length)
        return self.variance * np.where(distance == 0, 1.0, apart)


def smoothed_compositions(
    maps: Mapping[str, xr.DataArray], engine: PixelEngine
) -> dict[str, xr.DataArray]:
    """Smooth the composition maps within phases.

    Parameters
    ----------
    maps
        `composition`, `composition_sd` (oxide, y, x), `phase_fraction`, `pure_probability`
        (phase, y, x) and `axis_position` (axis_name, y, x).
    engine
        The pixel pass that made them.

    Returns
    -------
    dict
        `composition_smoothed`, `composition_smoothed_sd` (oxide, y, x; wt%), and
        `smoothing_length` (axis_name; pixels), nan for phases of too few pixels.
    """
    composition = maps["composition"].to_numpy().astype(float)
    variance = maps["composition_sd"].to_numpy().astype(float) ** 2
    axis_phase = engine.state.observations.anchors.axis_phase
    heavy_tailed = engine.state.observations.cells.heavy_tailed
    lengths = np.full(len(axis_phase), np.nan)
    for k in np.unique(axis_phase):
        axes = np.flatnonzero(axis_phase == k)
        is_phase = maps["pure_probability"].to_numpy()[k] > PURE
        if is_phase.sum() < FEWEST_PIXELS:
            continue
        spread = engine.position_spread(int(k))
        fraction = np.maximum(maps["phase_fraction"].to_numpy()[k], 0.5)
        position = maps["axis_position"].to_numpy()[axes] / fraction
        # Along the eigenvectors of what the counts leave open the axes can be taken one by one.
        left, turn = np.linalg.eigh(spread)
        before = np.einsum("qr,qyx->ryx", turn, position)
        after, remaining = np.empty_like(before), np.empty_like(before)
        stretch = TAIL_STRETCH if k in heavy_tailed else 1.0
        for r in range(len(axes)):
            field, after[r], remaining[r] = smooth(before[r], is_phase, left[r], stretch)
            lengths[axes[r]] = field.length if field.shared else 0.0
        along = np.einsum("qr,qo->ro", turn, engine.state.axis_composition[axes])
        moved = np.einsum("ryx,ro->oyx", (after - before) * fraction, along)
        gained = np.einsum("ryx,ro->oyx", (remaining - left[:, None, None]) * fraction**2, along**2)
        composition[:, is_phase] += moved[:, is_phase]
        variance[:, is_phase] += gained[:, is_phase]
    like = maps["composition"].dims
    return {
        "composition_smoothed": xr.DataArray(
            composition.astype(np.float32),
            dims=like,
            attrs={"units": "wt%", "long_name": "composition, smoothed within phases"},
        ),
        "composition_smoothed_sd": xr.DataArray(
            np.sqrt(np.maximum(variance, 0.0)).astype(np.float32),
            dims=like,
            attrs={"units": "wt%", "long_name": "standard deviation; neighbours err alike"},
        ),
        "smoothing_length": xr.DataArray(
            lengths,
            dims="axis_name",
            attrs={"units": "pixel", "long_name": "correlation length along the phase's axes"},
        ),
    }


def smooth(
    position: np.ndarray, is_phase: np.ndarray, left: float, stretch: float = 1.0
) -> tuple[Field, np.ndarray, np.ndarray]:
    """Smooth positions along one axis.

    Parameters
    ----------
    position
        Mean of each pixel given its own counts and a standard normal prior (y, x).
    is_phase
        Where the map is the phase (y, x).
    left
        The variance that a pixel's own counts leave, 0 to 1.
    stretch
        How many times wider the prior of far pixels is.

    Returns
    -------
    tuple
        The field; mean and variance of each position given the neighbours' counts too (y, x),
        as they were elsewhere.
    """
    known = max(1.0 - left, 1e-6)
    noise = left / known
    wider = stretch**2 / (stretch**2 + noise)
    observed = position / np.where(np.abs(position) > FAR, wider, known)
    field = learn_field(observed, is_phase, noise)
    present = _shifted(is_phase)
    code = (present * 2.0 ** np.arange(len(STEPS))[:, None, None]).sum(axis=0).astype(int)
    patterns, index = np.unique(code[is_phase], return_inverse=True)
    weight, remaining = _kriging(field, noise, patterns)
    departures = _shifted(np.where(is_phase, observed - field.mean, 0.0))[:, is_phase]
    mean, variance = position.copy(), np.full(position.shape, left)
    mean[is_phase] = field.mean + np.einsum("nj,jn->n", weight[index], departures)
    variance[is_phase] = remaining[index]
    return field, mean, variance


def learn_field(observed: np.ndarray, is_phase: np.ndarray, noise: float) -> Field:
    """Learn the field from products of neighbours.

    Parameters
    ----------
    observed
        Position plus counting noise (y, x).
    is_phase
        Where the map is the phase (y, x).
    noise
        Variance of the counting noise.
    """
    mean = float(observed[is_phase].mean())
    departure = np.where(is_phase, observed - mean, 0.0)
    variance = max(float(np.mean(departure[is_phase] ** 2)) - noise, 1e-6)
    distance, product, meetings = [], [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (0, 4), (4, 0)):
        here = np.s_[: observed.shape[0] - dy, : observed.shape[1] - dx]
        there = np.s_[dy:, dx:]
        both = is_phase[here] & is_phase[there]
        if both.any():
            distance.append(np.hypot(dy, dx))
            product.append((departure[here] * departure[there])[both].mean() / variance)
            meetings.append(both.sum())
    if not distance:
        return Field(mean, variance, 0.0, LENGTHS[0])
    steps, found, weight = np.array(distance), np.array(product), np.sqrt(meetings)

    def misfit(values: np.ndarray) -> np.ndarray:
        shared, log_length = values
        return weight * (shared * np.exp(-steps / np.exp(log_length)) - found)

    low, high = np.log(LENGTHS)
    best = least_squares(misfit, [0.7, np.log(3.0)], bounds=([0.0, low], [1.0, high]))
    return Field(mean, variance, float(best.x[0]), float(np.exp(best.x[1])))


def _kriging(field: Field, noise: float, patterns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the weights of the pixels used (pattern, step) and the variance left (pattern,)."""
    present = (patterns[:, None] >> np.arange(len(STEPS))) & 1
    apart = np.linalg.norm(STEPS[:, None] - STEPS[None], axis=-1)
    prior = field.covariance(apart)
    to_pixel = field.covariance(np.linalg.norm(STEPS, axis=1))
    noises = np.where(present == 1, noise, ABSENT)
    system = prior[None] + noises[:, :, None] * np.eye(len(STEPS))
    weight = np.linalg.solve(system, np.broadcast_to(to_pixel[:, None], (*noises.shape, 1)))
    weight = weight[..., 0]
    return weight, field.variance - weight @ to_pixel


def _shifted(values: np.ndarray) -> np.ndarray:
    """Stack a map as seen from each step (step, y, x); beyond its edges it is zero."""
    framed = np.pad(values, FURTHEST)
    height, width = values.shape
    return np.stack(
        [
            framed[FURTHEST + dy : FURTHEST + dy + height, FURTHEST + dx : FURTHEST + dx + width]
            for dy, dx in STEPS
        ]
    )
