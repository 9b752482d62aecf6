"""Smoothing within phases: the field is found, and positions are its mean given the neighbours."""

import numpy as np
import pytest

from petro_models import PhaseMaps
from petro_models.phase_maps.cells import TAIL_STRETCH
from petro_models.phase_maps.pixels import PixelEngine
from petro_models.phase_maps.simulate import simulate_phase_maps
from petro_models.phase_maps.smoothing import STEPS, learn_field, smooth, smoothed_compositions

NOISE = 0.5


def draw_field(generator, size, shared, length):
    """Draw unit-variance positions on a grid whose correlation is shared x exp(-d / length)."""
    y, x = np.divmod(np.arange(size * size), size)
    apart = np.hypot(y[:, None] - y, x[:, None] - x)
    covariance = np.where(apart == 0, 1.0, shared * np.exp(-apart / length))
    drawn = np.linalg.cholesky(covariance) @ generator.normal(size=size * size)
    return drawn.reshape(size, size), covariance


def noisy(field, generator):
    return field + np.sqrt(NOISE) * generator.normal(size=field.shape)


def test_correlation_of_a_field_is_found_under_its_noise(generator):
    found = []
    for _ in range(8):
        field, _ = draw_field(generator, 40, 0.8, 4.0)
        found.append(learn_field(noisy(field, generator), np.ones((40, 40), bool), NOISE))
    at_one = [one.covariance(np.array([1.0]))[0] for one in found]
    # Eight maps of some (40/8)^2 independent patches each: sd 0.1 of a variance.
    assert np.mean(at_one) == pytest.approx(0.8 * np.exp(-1 / 4), abs=0.15)
    assert 1.5 < np.median([one.length for one in found]) < 8


def test_positions_that_are_independent_are_left_as_they_are(generator):
    field = generator.normal(size=(80, 80))
    position = noisy(field, generator) / (1 + NOISE)
    _, mean, variance = smooth(position, np.ones((80, 80), bool), NOISE / (1 + NOISE))
    # Of 6,400 products a correlation of 0.02 is chance.
    np.testing.assert_allclose(mean, position, atol=0.3)
    assert np.sqrt(np.mean((mean - position) ** 2)) < 0.07
    np.testing.assert_allclose(variance[10:-10, 10:-10], NOISE / (1 + NOISE), rtol=0.1)


def test_a_core_in_heavy_tails_keeps_its_position(generator):
    field, _ = draw_field(generator, 40, 0.8, 4.0)
    core = np.hypot(*np.mgrid[-20:20, -20:20]) < 5
    field[core] = 8.0
    # The pass estimates far pixels with a prior that is three times wider.
    shrunk = np.where(core, TAIL_STRETCH**2 / (TAIL_STRETCH**2 + NOISE), 1 / (1 + NOISE))
    position = shrunk * noisy(field, generator)
    left = NOISE / (1 + NOISE)
    _, mean, _ = smooth(position, np.ones(core.shape, bool), left, TAIL_STRETCH)
    inside = np.hypot(*np.mgrid[-20:20, -20:20]) < 3
    # Some 29 pixels of noise 0.7, averaged with their neighbours.
    assert mean[inside].mean() == pytest.approx(8.0, abs=0.5)
    _, taken_for_near, _ = smooth(position, np.ones(core.shape, bool), left)
    assert taken_for_near[inside].mean() > 10


def test_a_pixel_is_the_mean_of_the_field_given_the_counts_about_it(generator):
    size, is_phase = 30, generator.uniform(size=(30, 30)) < 0.8
    field, _ = draw_field(generator, size, 0.9, 5.0)
    position = noisy(field, generator) / (1 + NOISE)
    learnt, mean, variance = smooth(position, is_phase, NOISE / (1 + NOISE))
    observed = position * (1 + NOISE)
    for y, x in ((15, 15), (0, 7), (29, 29), (11, 22)):
        if not is_phase[y, x]:
            continue
        places = np.array([(y, x)]) + STEPS
        inside = ((places >= 0) & (places < size)).all(axis=1)
        places = places[inside]
        places = places[is_phase[places[:, 0], places[:, 1]]]
        apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
        system = learnt.covariance(apart) + NOISE * np.eye(len(places))
        to_pixel = learnt.covariance(np.linalg.norm(places - [y, x], axis=1))
        weight = np.linalg.solve(system, to_pixel)
        departure = observed[places[:, 0], places[:, 1]] - learnt.mean
        assert mean[y, x] == pytest.approx(learnt.mean + weight @ departure, abs=1e-6)
        assert variance[y, x] == pytest.approx(learnt.variance - weight @ to_pixel, abs=1e-6)
    np.testing.assert_array_equal(mean[~is_phase], position[~is_phase])


def test_smoothed_positions_are_better_and_their_intervals_hold_the_truth(generator):
    gaps, before, sd = [], [], []
    everywhere = np.ones((40, 40), bool)
    for _ in range(6):
        field, _ = draw_field(generator, 40, 1.0, 8.0)
        position = noisy(field, generator) / (1 + NOISE)
        _, mean, variance = smooth(position, everywhere, NOISE / (1 + NOISE))
        gaps.append(mean - field)
        before.append(position - field)
        sd.append(np.sqrt(variance))
    gaps, sd = np.array(gaps), np.array(sd)
    assert np.sqrt(np.mean(gaps**2)) < 0.7 * np.sqrt(np.mean(np.square(before)))
    # Learnt amplitudes of six maps differ from the truth by chance.
    assert 0.85 < np.mean(np.abs(gaps) < 1.645 * sd) < 0.95


@pytest.mark.slow
def test_zoning_of_garnet_is_read_better_from_the_smoothed_map():
    maps, spots, truth = simulate_phase_maps(80, 80, 3, 6, counts_per_pixel=400, seed=2)
    problem = PhaseMaps(maps, spots, smoothing="within_phases", pixels=1000)
    fit = problem.fit("laplace", draws=60, chains=2, seed=1)
    derived = fit["derived"].to_dataset()
    k = list(derived["phase"].values).index("Garnet")
    garnet = derived["pure_probability"].to_numpy()[k] > 0.9
    known = truth["composition"].sel(oxide="FeO").to_numpy()[garnet]
    errors = {}
    for name in ("composition", "composition_smoothed"):
        found = derived[name].sel(oxide="FeO").to_numpy()[garnet]
        sd = derived[f"{name}_sd"].sel(oxide="FeO").to_numpy()[garnet]
        # All garnet shares one error of the calibration, which one map cannot test.
        error = found - known - np.mean(found - known)
        errors[name] = np.sqrt(np.mean(error**2))
        assert np.mean(np.abs(error) < 1.645 * sd) > 0.85
    assert errors["composition_smoothed"] < 0.8 * errors["composition"]
    assert float(derived["smoothing_length"][0]) > 1
    # Nothing else is touched.
    away = derived["pure_probability"].max("phase").to_numpy() < 0.9
    np.testing.assert_array_equal(
        derived["composition"].to_numpy()[:, away],
        derived["composition_smoothed"].to_numpy()[:, away],
    )
    # A corner holds too few pixels of garnet to learn from.
    corner = derived.isel(y=slice(0, 9), x=slice(0, 9))
    engine = PixelEngine.at_anchors(problem.observations)
    few = smoothed_compositions(dict(corner.data_vars), engine)
    assert np.isnan(few["smoothing_length"]).all()
    np.testing.assert_array_equal(few["composition_smoothed"], corner["composition"])
