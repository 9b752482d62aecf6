"""The answers of a phase-map fit: maps with their uncertainty, modes, bulk, spots predicted."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from petro_models.inference import progress
from petro_models.inference.predictive import thin
from petro_models.phase_maps.map_totals import MapTotals
from petro_models.phase_maps.neighbourhood import learn_neighbourhood
from petro_models.phase_maps.neighbours import NeighbourWeights, uses_neighbours
from petro_models.phase_maps.observations import Observations, flat_counts
from petro_models.phase_maps.pixel_density import MapParameters, SpotParameters
from petro_models.phase_maps.pixel_rows import PixelAnswers
from petro_models.phase_maps.pixels import PixelEngine
from petro_models.phase_maps.smoothing import smoothed_compositions
from petro_models.phase_maps.spot_density import predict_spots, spot_pure_probability
from petro_models.priors import Priors

KEPT_DRAWS = 400
"""Draws of the global unknowns, evenly thinned, that anything is derived from."""
GLOBAL_DRAWS = 48
"""Draws of the global unknowns, shared by all pixels, that map-wide sums are taken over."""
PIXELS_FOR_SUMS = 30_000
SPOT_PARAMETERS, SPOT_REPEATS = 40, 10
"""Draws of the global unknowns, and of analyses for each, behind predictions at spots."""
UNKNOWN = 0.5
WT = {"units": "wt%"}


@dataclass(frozen=True)
class ParameterDraws:
    """Posterior draws of what the forward model takes, draws first.

    Attributes
    ----------
    maps
        Intensity, dispersion, axis counts, class weight.
    spots
        Composition, scatter and axis composition; registration.
    """

    maps: MapParameters
    spots: SpotParameters

    def at(self, index: int) -> tuple[MapParameters, SpotParameters]:
        """Give one draw."""
        return (
            MapParameters(*(value[index] for value in self.maps)),
            SpotParameters(*(value[index] for value in self.spots)),
        )

    @property
    def mean(self) -> tuple[MapParameters, SpotParameters]:
        """Give the posterior means."""
        return (
            MapParameters(*(value.mean(axis=0) for value in self.maps)),
            SpotParameters(*(value.mean(axis=0) for value in self.spots)),
        )


def parameter_draws(
    posterior: xr.Dataset, observations: Observations, priors: Priors
) -> ParameterDraws:
    """Turn the posterior's variables, or known numbers, into the forward model's parameters."""
    stacked = posterior.stack(__draw__=("chain", "draw")).transpose("__draw__", ...)
    count = stacked.sizes["__draw__"]
    anchors, shape = observations.anchors, observations.composition.shape

    def values(name: str, core: tuple[int, ...]) -> np.ndarray:
        found = stacked[name].to_numpy() if name in stacked else priors.known(name)[None]
        found = found.reshape(
            found.shape[0], *(1,) * (len(core) + 1 - found.ndim), *found.shape[1:]
        )
        return np.broadcast_to(found, (count, *core))

    k, e = anchors.intensity.shape
    a, o = anchors.axis_phase.size, shape[1]
    loading = np.broadcast_to(anchors.axis_loading, (count, a, e))
    if observations.has_axes:
        loading = loading * values("axis_scale", (a,))[:, :, None]
    maps = MapParameters(
        anchors.intensity * np.exp(values("phase_intensity", (k, e))),
        anchors.dispersion * values("dispersion", (k, e)),
        loading,
        values("class_weight", (len(observations.cells.classes),)),
    )
    composition = values("phase_composition", shape)
    sensitivity = observations.sensitivity * np.exp(values("sensitivity", (o,)))
    background = observations.background * values("background", (o,))
    if not observations.has_spots:
        none, zero = np.zeros((count, *shape)), np.zeros(count)
        no_spots = SpotParameters(
            composition,
            scatter=none,
            scatter_seen=none[:, 0],
            axis_composition=loading[:, :, observations.element_of_oxide] / sensitivity[:, None, :],
            shift=np.zeros((count, 2)),
            jitter=zero,
            drift=zero,
            memory=zero,
            targeting=zero,
            outlier=zero,
            label_error=zero,
            sensitivity=sensitivity,
            background=background,
        )
        return ParameterDraws(maps, no_spots)
    return ParameterDraws(
        maps,
        SpotParameters(
            composition,
            observations.scatter * values("spot_scatter", shape),
            values("scatter_seen", (o,)),
            values("axis_composition", (a, o)) if a else np.zeros((count, 0, o)),
            values("registration_shift", (2,)),
            values("registration_jitter", ()),
            values("registration_drift", ()),
            values("registration_memory", ()),
            values("spot_targeting", ()),
            values("spot_outlier", ()),
            values("label_error", ()),
            sensitivity,
            background,
        ),
    )


def derive(
    data: xr.Dataset,
    observations: Observations,
    priors: Priors,
    posterior: xr.Dataset,
    seed: int,
    options: Mapping[str, str],
) -> xr.Dataset:
    """Compute every pixel and what follows from the pixels.

    Parameters
    ----------
    data
        The problem's data.
    observations, priors
        Of the problem.
    posterior
        Draws of the free variables.
    seed
        Of the draws of map-wide sums and of spots.
    options
        Of the problem.

    Returns
    -------
    xr.Dataset
        Maps (float32), intervals 90 % equal-tailed; see the attributes of each variable.
    """
    draws = parameter_draws(thin(posterior, KEPT_DRAWS), observations, priors)
    counts = flat_counts(data)
    engine = make_engine(observations, draws, len(counts))
    potts = uses_neighbours(options["neighbours"], observations)
    near = neighbour_weights(engine, data["counts"]) if potts else None
    with progress.bar("pixels", progress.is_watched()) as update:
        answers = engine.compute(
            counts,
            lambda done: update(done / len(counts), f"{done:,} of {len(counts):,}"),
            near,
        )
    maps = pixel_maps(answers, draws, data)
    chosen = choose_for_sums(data["counts"], near, seed)
    found = whole_map_answers(
        observations, draws, engine, MapTotals.of(answers), chosen, data, seed
    )
    if near:
        found |= near.neighbourhood.answers()
    if options["smoothing"] == "within_phases":
        maps |= smoothed_compositions(maps, engine)
    return labelled({**maps, **found}, data)


def pixel_maps(
    answers: PixelAnswers, draws: ParameterDraws, data: xr.Dataset
) -> dict[str, xr.DataArray]:
    """Give the maps of pixels, of a whole map or of some of its rows.

    Parameters
    ----------
    answers
        Of the pixels, row by row.
    draws
        Whose scatter is the calibration's error.
    data
        With the sizes of these rows, and the phases.
    """
    return {**_fraction_maps(answers, data), **_composition_maps(answers, draws, data)}


def whole_map_answers(
    observations: Observations,
    draws: ParameterDraws,
    engine: PixelEngine,
    totals: MapTotals,
    chosen: tuple[np.ndarray, np.ndarray | None],
    data: xr.Dataset,
    seed: int,
) -> dict[str, xr.DataArray]:
    """Give what is one number for the whole map, and the spots predicted.

    Parameters
    ----------
    observations, draws, engine
        Of the map.
    totals
        Over all its pixels.
    chosen
        As `choose_for_sums` gives them.
    data
        The densities of the phases.
    seed
        Of the draws.
    """
    found = _phase_compositions(draws, observations)
    found |= _sums(engine, draws, totals, chosen, data, seed)
    if observations.has_spots:
        found |= _spots(draws, observations, seed)
    return found


def labelled(found: dict[str, xr.DataArray], data: xr.Dataset) -> xr.Dataset:
    """Put the answers together under the data's labels."""
    coords = {
        name: data[name]
        for name in ("phase", "oxide", "axis_name", "y", "x", "spot")
        if name in data.coords
    }
    result = xr.Dataset(found, coords)
    result = result.assign_coords(phase2=("phase2", data["phase"].to_numpy()))
    result.attrs["intervals"] = "90 %, equal-tailed"
    return result


def make_engine(observations: Observations, draws: ParameterDraws, pixels: int = 0) -> PixelEngine:
    """Prepare the pass over so many pixels at the posterior means."""
    return engine_at(observations, *draws.mean, pixels)


def engine_at(
    observations: Observations, maps: MapParameters, spots: SpotParameters, pixels: int = 0
) -> PixelEngine:
    """Prepare the pass over so many pixels at one draw."""
    hidden = _hidden_scatter(spots.scatter, spots.composition, observations)
    seen = np.minimum(spots.scatter_seen * spots.scatter, hidden)
    return PixelEngine(
        observations, maps, spots.composition, spots.axis_composition, hidden, seen, pixels
    )


def _hidden_scatter(
    scatter: np.ndarray, composition: np.ndarray, observations: Observations
) -> np.ndarray:
    """Take the stated error of the analyses from the spots' scatter: what the rock itself has.

    Where no errors are stated all scatter counts as the rock's.
    """
    error, measured = observations.spot_error, observations.spot_composition
    if not np.isfinite(error).any():
        return scatter
    relative = np.nanmedian(error / (measured + 1.0), axis=0)
    stated = np.nan_to_num(relative) * (composition + 1.0)
    return np.sqrt(np.maximum(scatter**2 - stated**2, 0.0))


def _fraction_maps(answers: PixelAnswers, data: xr.Dataset) -> dict[str, xr.DataArray]:
    names = {
        "phase_fraction": (answers.fraction, "fraction of the pixel"),
        "phase_fraction_sd": (answers.fraction_sd, "standard deviation of the fraction"),
        "phase_fraction_low": (answers.fraction_low, "5 % quantile of the fraction"),
        "phase_fraction_high": (answers.fraction_high, "95 % quantile of the fraction"),
        "pure_probability": (answers.pure, "probability that the pixel is this phase alone"),
    }
    best = answers.fraction.argmax(axis=1).astype(np.int8)
    best[answers.unknown > UNKNOWN] = -1
    maps = {
        name: _as_map(values, data, "phase", {"units": "1", "long_name": text})
        for name, (values, text) in names.items()
    }
    maps["unknown_probability"] = _as_map(
        answers.unknown,
        data,
        None,
        {"units": "1", "long_name": "probability that no phase explains the pixel"},
    )
    maps["evidence"] = _as_map(
        answers.evidence,
        data,
        None,
        {"units": "1", "long_name": "log density of the counts less its expectation"},
    )
    phases = ", ".join(map(str, data["phase"].to_numpy()))
    maps["phase_map"] = _as_map(
        best, data, None, {"units": "1", "long_name": f"index of the phase ({phases}); -1 unknown"}
    )
    return maps


def _composition_maps(
    answers: PixelAnswers, draws: ParameterDraws, data: xr.Dataset
) -> dict[str, xr.DataArray]:
    """Add the calibration's variance, which all pixels of a phase share, to the pixels' own."""
    shared = _calibration_covariance(draws.spots.composition)
    variance = answers.composition_variance.copy()
    for o in range(variance.shape[1]):
        variance[:, o] += np.einsum("nk,kl,nl->n", answers.fraction, shared[o], answers.fraction)
    if draws.spots.axis_composition.shape[1]:
        along = draws.spots.axis_composition.var(axis=0)
        variance += answers.axis_moment**2 @ along
    total_draws = draws.spots.composition.sum(axis=2)
    total_shared = np.atleast_2d(np.cov(total_draws, rowvar=False))
    total_variance = answers.total_variance + np.einsum(
        "nk,kl,nl->n", answers.fraction, total_shared, answers.fraction
    )
    return {
        "composition": _as_map(
            answers.composition, data, "oxide", WT | {"long_name": "composition"}
        ),
        "composition_sd": _as_map(
            np.sqrt(variance),
            data,
            "oxide",
            WT | {"long_name": "standard deviation, counting and calibration"},
        ),
        "total": _as_map(
            answers.composition.sum(axis=1),
            data,
            None,
            WT | {"long_name": "total of the mapped oxides"},
        ),
        "total_sd": _as_map(
            np.sqrt(total_variance), data, None, WT | {"long_name": "standard deviation of total"}
        ),
        "axis_position": _as_map(
            answers.axis_moment,
            data,
            "axis_name",
            {"units": "1", "long_name": "fraction times position along the axis"},
        ),
    }


def _calibration_covariance(composition: np.ndarray) -> np.ndarray:
    """Give the covariance of the phases' mean compositions, (o, k, k)."""
    centred = composition - composition.mean(axis=0)
    return np.einsum("sko,slo->okl", centred, centred) / max(len(composition) - 1, 1)


def _phase_compositions(
    draws: ParameterDraws, observations: Observations
) -> dict[str, xr.DataArray]:
    composition = draws.spots.composition
    dims = ("phase", "oxide")
    return {
        "phase_composition": xr.DataArray(composition.mean(axis=0), dims=dims, attrs=WT),
        "phase_composition_sd": xr.DataArray(composition.std(axis=0), dims=dims, attrs=WT),
        "calibration_covariance": xr.DataArray(
            _calibration_covariance(composition),
            dims=("oxide", "phase", "phase2"),
            attrs={"units": "wt%^2", "long_name": "covariance that all pixels share"},
        ),
        "axis_composition": xr.DataArray(
            draws.spots.axis_composition.mean(axis=0), dims=("axis_name", "oxide"), attrs=WT
        ),
    }


def neighbour_weights(engine: PixelEngine, counts: xr.DataArray) -> NeighbourWeights:
    """Learn from a map (element, y, x) what neighbours say of its pixels."""
    return NeighbourWeights(engine, learn_neighbourhood(engine, counts), counts.sizes["x"])


def choose_for_sums(
    counts: xr.DataArray, near: NeighbourWeights | None, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Choose the pixels of a map on which the global unknowns are moved.

    Returns
    -------
    tuple
        Their counts (pixel, e), and what neighbours add to the log weight of their cells.
    """
    height, width = counts.sizes["y"], counts.sizes["x"]
    generator = np.random.default_rng(seed)
    number = min(height * width, PIXELS_FOR_SUMS)
    row, column = np.divmod(np.sort(generator.choice(height * width, number, False)), width)
    y, x = (xr.DataArray(place, dims="pixel") for place in (row, column))
    some = counts.isel(y=y, x=x).transpose("pixel", "element").to_numpy()
    return some, None if near is None else near.at(counts, row, column)


def _sums(
    engine: PixelEngine,
    draws: ParameterDraws,
    totals: MapTotals,
    chosen: tuple[np.ndarray, np.ndarray | None],
    data: xr.Dataset,
    seed: int,
) -> dict[str, xr.DataArray]:
    """Give modes and bulk composition, the global unknowns' error being common to all pixels."""
    generator = np.random.default_rng([seed, 1])
    mode = totals.fraction_known / totals.known
    subset, near = chosen
    n_draws = len(draws.maps.intensity)
    picked = np.unique(np.linspace(0, n_draws - 1, min(GLOBAL_DRAWS, n_draws)).astype(int))
    centre = engine.mean_fractions(subset, engine.state.parameters, near)
    moved = np.stack(
        [engine.mean_fractions(subset, draws.at(int(i))[0], near) - centre for i in picked]
    )
    own = np.sqrt(totals.variance) / totals.pixels
    mode_draws = mode + moved + own * generator.normal(size=moved.shape)
    mode_draws = np.clip(mode_draws, 0, None)
    mode_draws /= mode_draws.sum(axis=1, keepdims=True)
    density = data["density_kg_m3"].to_numpy()
    weighted = np.isfinite(density).all()
    weight = mode_draws * (density if weighted else 1.0)
    weight /= weight.sum(axis=1, keepdims=True)
    bulk = np.einsum("sk,sko->so", weight, _mean_compositions(draws, totals, engine)[picked])
    words = "density-weighted" if weighted else "area-weighted: densities are not known"
    return {
        **_summarised("mode", mode_draws, "phase", {"units": "1", "long_name": "area fraction"}),
        **_summarised("bulk", bulk, "oxide", WT | {"long_name": f"bulk composition, {words}"}),
    }


def _mean_compositions(draws: ParameterDraws, totals: MapTotals, engine: PixelEngine) -> np.ndarray:
    """Give draws of each phase's mean composition over the map, zoning included (s, k, o)."""
    composition = draws.spots.composition.copy()
    area = np.maximum(totals.fraction, 1e-9)
    for a, k in enumerate(engine.state.observations.anchors.axis_phase):
        composition[:, k] += totals.axis_moment[a] / area[k] * draws.spots.axis_composition[:, a]
    return composition


def _summarised(
    name: str, values: np.ndarray, dim: str, attrs: dict[str, str]
) -> dict[str, xr.DataArray]:
    low, high = np.quantile(values, [0.05, 0.95], axis=0)
    parts = {"": values.mean(axis=0), "_sd": values.std(axis=0), "_low": low, "_high": high}
    return {
        f"{name}{suffix}": xr.DataArray(part, dims=dim, attrs=attrs)
        for suffix, part in parts.items()
    }


def _spots(draws: ParameterDraws, observations: Observations, seed: int) -> dict[str, xr.DataArray]:
    """Predict every analysis from the map alone, its own label unseen."""
    predicted = draw_analyses(draws, observations, np.random.default_rng(seed))
    dims = ("spot", "oxide")
    low, middle, high = np.quantile(predicted, [0.05, 0.5, 0.95], axis=0)
    pure = spot_pure_probability(*draws.mean, observations)
    return {
        "spot_pure_probability": xr.DataArray(
            pure,
            dims=("phase", "spot"),
            attrs={"units": "1", "long_name": "probability that the spot is this phase alone"},
        ),
        "spot_predicted": xr.DataArray(middle, dims=dims, attrs=WT),
        "spot_predicted_sd": xr.DataArray(predicted.std(axis=0), dims=dims, attrs=WT),
        "spot_predicted_low": xr.DataArray(low, dims=dims, attrs=WT),
        "spot_predicted_high": xr.DataArray(high, dims=dims, attrs=WT),
    }


def draw_analyses(
    draws: ParameterDraws, observations: Observations, generator: np.random.Generator
) -> np.ndarray:
    """Draw what analyses at every spot would give (draw, s, o), without gross outliers."""
    chosen = generator.integers(0, len(draws.maps.intensity), SPOT_PARAMETERS)
    return np.concatenate(
        [predict_spots(*draws.at(int(i)), observations, generator, SPOT_REPEATS) for i in chosen]
    )


def _as_map(
    values: np.ndarray, data: xr.Dataset, dim: str | None, attrs: dict[str, str]
) -> xr.DataArray:
    """Fold pixels (n, ...) into a map (..., y, x)."""
    shape = data.sizes["y"], data.sizes["x"]
    if dim is None:
        return xr.DataArray(values.reshape(shape), dims=("y", "x"), attrs=attrs)
    folded = np.ascontiguousarray(values.T, dtype=np.float32).reshape(-1, *shape)
    return xr.DataArray(folded, dims=(dim, "y", "x"), attrs=attrs)
