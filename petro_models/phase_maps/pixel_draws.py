"""Posterior draws of single pixels, made again for any region: maps keep only their moments."""

import numpy as np
import xarray as xr

from petro_models.errors import DataError
from petro_models.phase_maps.derived import engine_at, make_engine, parameter_draws
from petro_models.phase_maps.forward import evened_counts
from petro_models.phase_maps.neighbourhood import Neighbourhood
from petro_models.phase_maps.neighbours import NeighbourWeights, uses_neighbours
from petro_models.phase_maps.pixel_rows import padded
from petro_models.phase_maps.pixels import PixelEngine
from petro_models.phase_maps.problem import PhaseMaps

MOST_VALUES = 5e7
PIXELS_AT_ONCE = 1000
PROPOSALS, MIXED_AT_ONCE = 64, 128
"""Fractions of which one is picked for a mixed pixel, and the multiple to which such pixels are
filled up, so that few programs are compiled."""


def draw_pixels(
    problem: PhaseMaps, fit: xr.DataTree, region: xr.DataArray, draws: int = 200, seed: int = 0
) -> xr.Dataset:
    """Draw fractions and compositions of a region's pixels, global unknowns drawn along.

    All pixels of one draw share intensities and calibration, so that sums and differences over
    pixels have the right errors.

    Parameters
    ----------
    problem, fit
        The problem and its fit.
    region
        True where pixels are wanted (y, x).
    draws
        How many.
    seed
        Same seed, same draws.

    Returns
    -------
    xr.Dataset
        `phase_fraction` (draw, pixel, phase) and `composition` (draw, pixel, oxide; wt%), with
        the coordinates `row` and `column` of each pixel.

    Raises
    ------
    DataError
        If the region is empty, not of the map's shape, or too large for so many draws, or the fit
        is an older one that does not keep what neighbours say.
    """
    shape = (problem.data.sizes["y"], problem.data.sizes["x"])
    if region.shape != shape or not region.to_numpy().any():
        raise DataError(
            f"a region of draws must be a non-empty mask of the map's shape {shape}; got "
            f"{region.shape} with {int(region.sum())} pixels"
        )
    row, column = np.nonzero(region.to_numpy())
    width = problem.data.sizes["phase"] + problem.data.sizes["oxide"]
    if len(row) * draws * width > MOST_VALUES:
        most = int(MOST_VALUES / (len(row) * width))
        raise DataError(f"{len(row):,} pixels allow at most {most} draws at once; asked: {draws}")
    everywhere = problem.data["counts"].transpose("y", "x", "element")
    counts = everywhere.to_numpy()[row, column].astype(float)
    observed = problem.observations
    parameters = parameter_draws(fit["posterior"].to_dataset(), observed, problem.priors)
    near = None
    if uses_neighbours(problem.options["neighbours"], observed):
        learnt = Neighbourhood.from_answers(_answers_of_neighbours(fit))
        weights = NeighbourWeights(make_engine(observed, parameters), learnt, shape[1])
        near = weights.at(everywhere, row, column)
    generator = np.random.default_rng(seed)
    chosen = generator.integers(0, len(parameters.maps.intensity), draws)
    fractions, compositions = [], []
    for index in chosen:
        engine = engine_at(observed, *parameters.at(int(index)))
        parts = [
            draw_once(
                engine,
                counts[start : start + PIXELS_AT_ONCE],
                None if near is None else near[start : start + PIXELS_AT_ONCE],
                generator,
            )
            for start in range(0, len(counts), PIXELS_AT_ONCE)
        ]
        fractions.append(np.concatenate([fraction for fraction, _ in parts]))
        compositions.append(np.concatenate([composition for _, composition in parts]))
    return xr.Dataset(
        {
            "phase_fraction": (("draw", "pixel", "phase"), np.array(fractions), {"units": "1"}),
            "composition": (("draw", "pixel", "oxide"), np.array(compositions), {"units": "wt%"}),
        },
        {
            "phase": problem.data["phase"].to_numpy(),
            "oxide": problem.data["oxide"].to_numpy(),
            "row": ("pixel", row),
            "column": ("pixel", column),
        },
    )


def _answers_of_neighbours(fit: xr.DataTree) -> xr.Dataset:
    """Give the answers, and see that they tell what neighbours say."""
    derived = fit["derived"].to_dataset()
    if "neighbour_relation" not in derived:
        raise DataError("the fit does not say how pixels resemble their neighbours; fit again")
    return derived


def draw_once(
    engine: PixelEngine,
    counts: np.ndarray,
    neighbours: np.ndarray | None,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one state of every pixel: a cell, a fraction inside it, positions along the axes."""
    observed, cells = engine.state.observations, engine.state.observations.cells
    log_chance = engine.cell_log_chance(counts, neighbours)
    cell = (log_chance + generator.gumbel(size=log_chance.shape)).argmax(axis=1)
    fraction, mixed = cells.fraction[cell], np.flatnonzero(~cells.is_pure[cell])
    if mixed.size:
        fraction[mixed] = _draw_inside(engine, counts[mixed], cell[mixed], generator)
    stretch = cells.stretch[cell]
    mean, covariance = engine.state.moments_at(fraction, stretch)
    phase_of_axis = observed.anchors.axis_phase
    shift = engine.state.axis_shift(fraction)
    prior = stretch[:, None, None] ** 2
    gain = prior * np.linalg.solve(covariance, shift.swapaxes(1, 2)).swapaxes(1, 2)
    place = np.einsum("nae,ne->na", gain, counts - mean)
    left = prior * (np.eye(len(phase_of_axis)) - gain @ shift.swapaxes(1, 2))
    values, vectors = np.linalg.eigh(left)
    wide = vectors * np.sqrt(np.clip(values, 0, None))[:, None, :]
    place = place + np.einsum("nab,nb->na", wide, generator.normal(size=place.shape))
    moment = fraction[:, phase_of_axis] * place
    composition = fraction @ engine.state.composition + moment @ engine.state.axis_composition
    told, _, unseen = engine.state.beyond_axes.told(counts, fraction, fraction**2, moment)
    noise = np.sqrt(unseen) * generator.normal(size=composition.shape)
    return fraction, composition + np.asarray(told) + noise


def _draw_inside(
    engine: PixelEngine, counts: np.ndarray, cell: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Draw fractions inside cells by importance: evenly drawn ones, weighed by the counts."""
    count, length = len(cell), -(-len(cell) // MIXED_AT_ONCE) * MIXED_AT_ONCE
    counts, cell = padded(counts, length), padded(cell, length)
    cells = engine.state.observations.cells
    fraction = cells.draw_fractions(cell, PROPOSALS, generator)
    mean, covariance = engine.state.moments_at(
        fraction.reshape(-1, fraction.shape[-1]),
        np.repeat(cells.stretch[cell], PROPOSALS),
        evened=True,
    )
    factor = np.linalg.cholesky(covariance)
    residual = np.repeat(evened_counts(counts), PROPOSALS, axis=0) - mean
    white = np.linalg.solve(factor, residual[..., None])[..., 0]
    log_root = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    weight = (-0.5 * (white**2).sum(axis=1) - log_root).reshape(length, PROPOSALS)
    picked = (weight + generator.gumbel(size=weight.shape)).argmax(axis=1)
    return fraction[np.arange(count), picked[:count]]
