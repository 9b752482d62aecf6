"""From draws to answers: gains and losses, immobile elements, frames, volume change."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.special import log_ndtr, logsumexp, ndtr, ndtri

from petro_models.io.species import PARTS_PER_BILLION
from petro_models.mass_transfer import forward, frames
from petro_models.mass_transfer.logs import Analyses, LogTable
from petro_models.mass_transfer.mobility import LOG_WEIGHTS, NODES

STATISTICS = ["mean", "sd", "q05", "q50", "q95"]
IMMOBILE_WIDTHS = 2.0
"""Under priors without an indicator, an element counts as immobile in a draw whose mobility (root
mean square over samples) is within this many widths of noise and tolerance."""


@dataclass(frozen=True)
class ParameterDraws:
    """Draws of what the mobility of an element depends on; leading axis: draw.

    Attributes
    ----------
    mass_change
        (draw, sample).
    offset, spread
        Of the protolith, (draw, element).
    tolerance
        (draw).
    shift_scale
        Scale of a mobile element's mean mobility, (draw, element); zeros where the prior has none.
    mobile_scale
        Scale of mobility of a mobile element, (draw, element); None where the prior has no scale.
    immobile_probability
        Prior probability of being immobile, (draw, element); None without an indicator.
    shared_error
        Scores of the shared errors, (draw, shared_shape).
    """

    mass_change: np.ndarray
    offset: np.ndarray
    spread: np.ndarray
    tolerance: np.ndarray
    shift_scale: np.ndarray
    mobile_scale: np.ndarray | None
    immobile_probability: np.ndarray | None
    shared_error: np.ndarray


def derive(
    table: xr.Dataset,
    logs: LogTable,
    parameters: ParameterDraws,
    modes: list[frames.Mode],
    shape: tuple[int, int],
    seed: int,
) -> xr.Dataset:
    """Compute every answer of a mass-transfer fit.

    Parameters
    ----------
    table
        The mass table (units, densities).
    logs
        The same on logarithms.
    parameters
        Posterior draws.
    modes
        Candidate frames.
    shape
        Numbers of chains and of draws per chain.
    seed
        For the draws of mobility given the parameters.

    Returns
    -------
    xr.Dataset
        ``mass_ratio`` and ``volume_ratio`` (chain, draw, sample); ``gain_loss`` (mass of the
        element gained per mass once there) and ``gain_loss_mass`` (g per 100 g of protolith)
        (statistic, sample, element); ``immobile_probability`` (element); and per frame
        ``frame_weight frame_label frame_mass_change frame_mass_ratio
        frame_immobile_probability frame_gain_loss frame_gain_loss_mass``, with
        ``frame_of_draw`` (chain, draw).
    """
    generator = np.random.default_rng(seed)
    elements, samples = logs.coords["element"], logs.coords["sample"]
    assigned, kept = _kept_frames(modes, parameters.mass_change)
    members = [assigned == index for index in range(len(kept))]
    parts = np.array([PARTS_PER_BILLION[str(unit)] for unit in table["unit"].values])
    unit_mass = parts / PARTS_PER_BILLION["wt%"]

    gain = np.full((len(STATISTICS), len(samples), len(elements)), np.nan)
    gain_mass = gain.copy()
    frame_gain = np.full((len(kept), *gain.shape), np.nan)
    frame_gain_mass = frame_gain.copy()
    immobile = np.empty((parameters.mass_change.shape[0], len(elements)))
    for j in range(len(elements)):
        mobility, immobile[:, j] = _element_mobility(logs, parameters, j, generator)
        ratio = np.expm1(mobility)
        protolith = np.exp(logs.reference[j] + parameters.offset[:, j]) * unit_mass[j]
        mass = ratio * protolith[:, None]
        gain[:, :, j] = _statistics(ratio)
        gain_mass[:, :, j] = _statistics(mass)
        for index, own in enumerate(members):
            if own.any():
                frame_gain[index, :, :, j] = _statistics(ratio[own])
                frame_gain_mass[index, :, :, j] = _statistics(mass[own])

    mass_ratio = np.exp(parameters.mass_change)
    frame_immobile = np.array([immobile[own].mean(axis=0) for own in members])
    draws = ("chain", "draw")
    dataset = xr.Dataset(
        {
            "mass_ratio": ((*draws, "sample"), mass_ratio.reshape(*shape, -1), {"units": "M/M0"}),
            "gain_loss": (
                ("statistic", "sample", "element"),
                gain,
                {"units": "gained mass of the element / its mass in the protolith"},
            ),
            "gain_loss_mass": (
                ("statistic", "sample", "element"),
                gain_mass,
                {"units": "g per 100 g of protolith"},
            ),
            "immobile_probability": ("element", immobile.mean(axis=0), {"units": "probability"}),
            "frame_weight": (
                "frame",
                np.array([own.mean() for own in members]),
                {"units": "posterior probability"},
            ),
            "frame_label": (
                "frame",
                np.array([frames.label(elements, row) for row in frame_immobile], dtype=object),
                {"units": "immobile elements, surest first"},
            ),
            "frame_mass_change": (
                ("frame", "statistic", "sample"),
                np.array([_statistics(parameters.mass_change[own]) for own in members]),
                {"units": "ln(M/M0)"},
            ),
            "frame_mass_ratio": (
                ("frame", "statistic", "sample"),
                np.array([_statistics(mass_ratio[own]) for own in members]),
                {"units": "M/M0"},
            ),
            "frame_immobile_probability": (
                ("frame", "element"),
                frame_immobile,
                {"units": "probability"},
            ),
            "frame_gain_loss": (
                ("frame", "statistic", "sample", "element"),
                frame_gain,
                {"units": "gained mass of the element / its mass in the protolith"},
            ),
            "frame_gain_loss_mass": (
                ("frame", "statistic", "sample", "element"),
                frame_gain_mass,
                {"units": "g per 100 g of protolith"},
            ),
            "frame_of_draw": (draws, assigned.reshape(shape), {"units": "index of frame"}),
        },
        {
            "element": elements,
            "sample": samples,
            "statistic": STATISTICS,
            "frame": np.arange(len(kept)),
            "chain": np.arange(shape[0]),
            "draw": np.arange(shape[1]),
        },
        {"interval": "90 %, equal-tailed (q05 to q95)"},
    )
    if "density" in table and "protolith_density" in table:
        dataset["volume_ratio"] = _volume_ratio(table, parameters.mass_change, shape)
    return dataset


def _volume_ratio(
    table: xr.Dataset, mass_change: np.ndarray, shape: tuple[int, int]
) -> xr.DataArray:
    protolith = float(np.exp(np.nanmean(np.log(table["protolith_density"].to_numpy()))))
    log_volume = forward.log_volume_change(mass_change, table["density"].to_numpy(), protolith)
    values = np.exp(log_volume).reshape(*shape, -1)
    return xr.DataArray(values, dims=("chain", "draw", "sample"), attrs={"units": "V/V0"})


def _kept_frames(
    modes: list[frames.Mode], mass_change: np.ndarray
) -> tuple[np.ndarray, list[frames.Mode]]:
    """Assign draws to frames, drop frames below the reported weight, order by weight."""
    assigned = frames.assign(modes, mass_change)
    weight = np.bincount(assigned, minlength=len(modes)) / assigned.size
    floor = min(frames.REPORTED_WEIGHT, weight.max())
    order = [index for index in np.argsort(-weight, kind="stable") if weight[index] >= floor]
    kept = [modes[index] for index in order]
    return frames.assign(kept, mass_change), kept


def _statistics(values: np.ndarray) -> np.ndarray:
    """Give mean, sd and quantiles over the leading axis: (statistic, ...)."""
    quantiles = np.quantile(values, [0.05, 0.5, 0.95], axis=0)
    return np.stack([values.mean(axis=0), values.std(axis=0), *quantiles])


def _element_mobility(
    logs: LogTable, parameters: ParameterDraws, j: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the mobility of one element, (draw, sample), and its P(immobile) in each draw."""
    cells = logs.altered
    expected = (logs.reference[j] + parameters.offset[:, j])[:, None] - parameters.mass_change
    expected = expected + parameters.shared_error @ logs.shared[:, j]
    noise = cells.error[j] ** 2 + parameters.spread[:, j, None] ** 2
    tolerance = np.broadcast_to(parameters.tolerance[:, None] ** 2, noise.shape)
    scale = None if parameters.mobile_scale is None else parameters.mobile_scale[:, j, None] ** 2
    centre = np.zeros((parameters.mass_change.shape[0], 1))
    chance: np.ndarray | None = None
    if scale is None:
        prior = np.full(noise.shape, np.inf)
    elif parameters.immobile_probability is None:
        prior = tolerance + scale
    else:
        immobile = _column_log_density(cells, j, expected, noise + tolerance)
        mobile, shift = _shifted_column(
            cells, j, expected, noise + tolerance + scale, parameters.shift_scale[:, j], generator
        )
        probability = parameters.immobile_probability[:, j]
        log_odds = np.log(probability) + immobile - np.log1p(-probability) - mobile
        chance = 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))
        is_immobile = generator.uniform(size=chance.shape) < chance
        prior = tolerance + np.where(is_immobile[:, None], 0.0, scale)
        centre = np.where(is_immobile, 0.0, shift)[:, None]
    mobility = centre + _draw_mobility(cells, j, expected + centre, noise, prior, generator)
    if chance is None:
        width = np.sqrt((noise + tolerance).mean(axis=1))
        root_mean_square = np.sqrt(np.nanmean(mobility**2, axis=1))
        chance = (root_mean_square <= IMMOBILE_WIDTHS * width).astype(float)
    return mobility, chance


def _column_log_density(
    cells: Analyses, j: int, expected: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """Give the log density of one column under normal cells, limits as probabilities below."""
    value, floor, measured = cells.value[j], cells.floor[j], cells.measured[j]
    z = (value - expected) / np.sqrt(variance)
    density = -0.5 * (z**2 + np.log(2 * np.pi * variance))
    return (measured * np.where(value <= floor, log_ndtr(z), density)).sum(axis=1)


def _shifted_column(
    cells: Analyses,
    j: int,
    expected: np.ndarray,
    variance: np.ndarray,
    shift_scale: np.ndarray,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Integrate out a column's mean shift, and draw it: log density and shift, (draw).

    Cells below detection are averaged over nodes, as in `mobility.spike_and_slab`; the shift is
    drawn from the nodes' weights.
    """
    above = (cells.measured[j] == 1) & (cells.value[j] > cells.floor[j])
    below = (cells.measured[j] == 1) & ~above
    inverse = 1 / variance[:, above]
    residual = (cells.value[j] - expected)[:, above]
    inflation = 1 + shift_scale**2 * inverse.sum(axis=1)
    score = (residual * inverse).sum(axis=1)
    known = -0.5 * (residual**2 * inverse - np.log(inverse / (2 * np.pi))).sum(axis=1)
    known += 0.5 * (shift_scale**2 / inflation * score**2 - np.log(inflation))
    mean, sd = shift_scale**2 / inflation * score, shift_scale / np.sqrt(inflation)
    if not below.any():
        return known, mean + sd * generator.normal(size=mean.shape)
    shift = mean[:, None] + sd[:, None] * NODES
    z = (cells.value[j] - expected)[:, None, below] - shift[:, :, None]
    weight = LOG_WEIGHTS + log_ndtr(z / np.sqrt(variance[:, None, below])).sum(axis=2)
    total = logsumexp(weight, axis=1)
    cumulative = np.cumsum(np.exp(weight - total[:, None]), axis=1)
    chosen = (cumulative < generator.uniform(size=mean.shape)[:, None]).sum(axis=1)
    return known + total, shift[np.arange(mean.size), chosen.clip(max=len(NODES) - 1)]


def _draw_mobility(
    cells: Analyses,
    j: int,
    expected: np.ndarray,
    noise: np.ndarray,
    prior: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Draw x (about its centre) given the cell; below detection the value itself is drawn first."""
    value, floor, measured = cells.value[j], cells.floor[j], cells.measured[j]
    total = np.sqrt(np.where(np.isinf(prior), 1.0, noise + prior))
    below = value <= floor
    upper = ndtr((value - expected) / total)
    uniform = generator.uniform(size=expected.shape)
    drawn = expected + total * ndtri(np.clip(uniform * upper, 1e-300, None))
    residual = np.where(below, drawn, value) - expected
    with np.errstate(invalid="ignore"):
        share = np.where(np.isinf(prior), 1.0, prior / (noise + prior))
    mean = share * residual
    sd = np.sqrt(share * noise)
    mobility = mean + sd * generator.normal(size=mean.shape)
    return np.where(measured == 1, mobility, np.nan)
