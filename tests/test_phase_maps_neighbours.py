"""The Potts option: what neighbours say is learnt from the map, and helps where counts are few."""

import numpy as np
import pytest

from petro_models import PhaseMaps
from petro_models.phase_maps.neighbours import find_neighbours, pseudo_likelihood, relation
from petro_models.phase_maps.observations import flat_counts
from petro_models.phase_maps.pixel_draws import draw_pixels
from petro_models.phase_maps.pixels import PixelEngine
from petro_models.phase_maps.simulate import simulate_phase_maps

SHAPE = (60, 60)


@pytest.fixture(scope="module")
def few_counts():
    maps, spots, truth = simulate_phase_maps(80, 80, 4, 6, n_spots=40, counts_per_pixel=80, seed=1)
    return maps, spots, truth


def test_classes_that_never_meet_by_more_than_chance_have_the_relation_one(generator):
    labels = generator.choice(3, SHAPE, p=[0.5, 0.3, 0.2])
    found = relation(np.eye(3, dtype=np.float32)[labels.ravel()], SHAPE)
    # 7,080 meetings; the rarest pair is expected 283 times, so its share is known to 6 %.
    np.testing.assert_allclose(found, 1, atol=0.25)


def test_halves_of_a_map_meet_at_their_border_alone():
    labels = np.zeros(SHAPE, dtype=int)
    labels[:, 30:] = 1
    found = relation(np.eye(2, dtype=np.float32)[labels.ravel()], SHAPE)
    # Either way over each of 2 x 59 x 60 sides, 60 of them across; 20 more meetings by chance.
    meetings = 2 * 2 * 59 * 60
    across = (60 + 20 * 0.25) / (meetings + 20) / 0.25
    np.testing.assert_allclose(found[[0, 1], [1, 0]], across)
    np.testing.assert_allclose(np.diag(found), 2 - found[0, 1], rtol=1e-6)


def test_neighbours_that_say_nothing_change_no_likelihood(generator):
    chance = generator.dirichlet(np.ones(3), 500)
    nothing = np.zeros((500, 3))
    weight = np.array([0.2, 0.3, 0.5])
    assert pseudo_likelihood(1.0, nothing, chance, weight) == pytest.approx(0.0)


def test_pixels_in_any_order_learn_nothing_from_each_other(few_counts, generator):
    maps, spots, _ = few_counts
    engine = PixelEngine.at_anchors(PhaseMaps(maps, spots).observations)
    counts = flat_counts(maps)
    moved = {}
    for name, pixels in (("shuffled", generator.permutation(counts)), ("in place", counts)):
        near = find_neighbours(engine, pixels, (80, 80)).log_weight
        change = engine.class_probability(pixels, near) - engine.class_probability(pixels)
        moved[name] = float(np.abs(change).sum(axis=1).mean())
    # Some chance resemblance is learnt: a tenth of what the map in place teaches.
    assert moved["shuffled"] < 0.2 * moved["in place"]


def test_neighbours_help_fractions_where_counts_are_few_and_stay_honest(few_counts):
    maps, spots, truth = few_counts
    engine = PixelEngine.at_anchors(PhaseMaps(maps, spots).observations)
    counts = flat_counts(maps)
    known = truth["phase_fraction"].to_numpy().reshape(4, -1).T
    near = find_neighbours(engine, counts, (80, 80)).log_weight
    alone, helped = engine.compute(counts), engine.compute(counts, neighbours=near)
    errors = [np.sqrt(np.mean((a.fraction - known) ** 2)) for a in (alone, helped)]
    assert errors[1] < 0.75 * errors[0]
    mixed = (helped.fraction > 0.02) & (helped.fraction < 0.98)
    held = (known >= helped.fraction_low - 1e-5) & (known <= helped.fraction_high + 1e-5)
    assert 0.84 < held[mixed].mean() < 0.98
    # Sums and maps use the same weights.
    mean = engine.mean_fractions(counts, engine.parameters, near)
    whole = (helped.fraction * (1 - helped.unknown)[:, None]).sum(axis=0)
    np.testing.assert_allclose(mean, whole / (1 - helped.unknown).sum(), atol=0.006)


def test_the_option_runs_from_problem_to_pixel_draws(few_counts):
    maps, spots, _ = few_counts
    problem = PhaseMaps(maps, spots, neighbours="potts", pixels=400)
    fit = problem.fit("laplace", draws=60, chains=2, seed=1)
    derived = fit["derived"].to_dataset()
    assert 0.3 <= float(derived["neighbour_strength"]) <= 1.0
    region = (derived["y"] < derived["y"][12]) & (derived["x"] < derived["x"][12])
    region = region.transpose("y", "x")
    drawn = draw_pixels(problem, fit, region, draws=60, seed=2)["phase_fraction"]
    where = np.flatnonzero(region.to_numpy().ravel())
    mapped = derived["phase_fraction"].to_numpy().reshape(4, -1)[:, where].T
    # Draws of a pixel scatter; their mean over 144 pixels and 60 draws does not.
    np.testing.assert_allclose(drawn.mean(("draw", "pixel")), mapped.mean(axis=0), atol=0.02)
    again = PhaseMaps.from_options(problem.data, problem.options)
    assert again.model_id == problem.model_id
