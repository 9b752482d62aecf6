"""The Potts option: what neighbours say is learnt from the map, and helps where counts are few."""

import numpy as np
import pytest
import xarray as xr

from petro_models import PhaseMaps
from petro_models.errors import DataError
from petro_models.phase_maps.cells import PIXEL_EDGES, make_cells
from petro_models.phase_maps.derived import neighbour_weights
from petro_models.phase_maps.neighbourhood import (
    blocks_of,
    first_guess,
    fit_neighbourhood,
    learn_neighbourhood,
    log_odds,
    meeting_kinds,
    support,
)
from petro_models.phase_maps.neighbours import NeighbourWeights, uses_neighbours
from petro_models.phase_maps.observations import flat_counts
from petro_models.phase_maps.pixel_draws import draw_pixels
from petro_models.phase_maps.pixels import PixelEngine
from petro_models.phase_maps.simulate import simulate_phase_maps
from petro_models.phase_maps.summary import check_neighbours

SHAPE = (60, 60)


@pytest.fixture(scope="module")
def few_counts():
    maps, spots, truth = simulate_phase_maps(80, 80, 4, 6, n_spots=40, counts_per_pixel=80, seed=1)
    return maps, spots, truth


def known(labels, size):
    """Densities of pixels whose cells are known for sure (block, y, x, cell)."""
    return np.eye(size, dtype=np.float32)[labels][None]


def each_its_own(size):
    """Every two cells meet in a way of their own."""
    place = np.arange(size)
    pair = np.minimum.outer(place, place) * size + np.maximum.outer(place, place)
    return np.unique(pair, return_inverse=True)[1].reshape(size, size)


# -- what is learnt ------------------------------------------------------------------------------


def test_meetings_that_differ_by_the_names_of_the_phases_alone_are_of_one_kind():
    cells = make_cells(["a", "b", "c", "d"], edges=PIXEL_EDGES, heavy_tailed=[1])
    kind = meeting_kinds(cells)
    np.testing.assert_array_equal(kind, kind.T)
    # Cells of the pair a + b by ascending a, of c + d by ascending c.
    ab, cd = (np.flatnonzero(cells.pair_of_cell == pair) for pair in (0, 5))
    a, b, c, d = range(4)
    assert kind[a, ab[-1]] == kind[c, cd[-1]] == kind[b, ab[0]] == kind[d, cd[0]]
    assert kind[a, ab[-1]] != kind[a, ab[-2]]
    assert kind[c, ab[-1]] == kind[a, cd[0]] != kind[a, ab[-1]]
    assert kind[a, a] == kind[c, c] != kind[a, c]
    assert kind[ab[0], ab[1]] == kind[cd[4], cd[3]] != kind[ab[1], cd[0]]
    (tail,) = np.flatnonzero(cells.stretch > 1)
    assert len({kind[b, b], kind[b, tail], kind[tail, tail], kind[a, b]}) == 4
    # Six phases meet in every kind of way; a seventh adds none.
    most = [meeting_kinds(make_cells(names, edges=PIXEL_EDGES)) for names in ("abcdef", "abcdefg")]
    assert most[0].max() == most[1].max()
    by_side = meeting_kinds(cells, by_side=True)
    assert by_side[a, ab[-1]] == by_side[a, ab[-2]] != by_side[a, ab[2]]
    for number in range(kind.max() + 1):
        assert len(np.unique(by_side[kind == number])) == 1


def test_meetings_of_one_kind_have_one_relation_whatever_their_cells(generator):
    # Two pairs of labels; those of a pair lie beside each other five times as often.
    cells, kind = 4, np.array([[0, 1, 2, 2], [1, 0, 2, 2], [2, 2, 0, 1], [2, 2, 1, 0]])
    weight = np.array([0.4, 0.2, 0.3, 0.1])
    labels = np.empty((100, 40), dtype=int)
    labels[:, ::2] = generator.choice(cells, (100, 20), p=weight)
    chance = weight * np.where(kind == 1, 5.0, 1.0)
    chance /= chance.sum(axis=1, keepdims=True)
    beside = [generator.choice(cells, p=chance[label]) for label in labels[:, ::2].ravel()]
    labels[:, 1::2] = np.reshape(beside, (100, 20))
    _, found = first_guess(known(labels, cells), weight, kind)
    for number in range(3):
        assert np.ptp(found[kind == number]) == 0
    assert found[0, 1] > 1.5 * found[0, 0]
    assert found[0, 1] > 1.5 * found[0, 2]


def test_cells_that_meet_by_chance_alone_have_the_relation_one(generator):
    weight = np.array([0.5, 0.3, 0.2])
    labels = generator.choice(3, SHAPE, p=weight)
    share, found = first_guess(known(labels, 3), weight, each_its_own(3))
    # 7,080 meetings; the rarest pair is expected 283 times, so its share is known to 6 %.
    np.testing.assert_allclose(found, 1, atol=0.25)
    # Pixels at the edge meet fewer: 2 of 60 rows and columns.
    np.testing.assert_allclose(share, np.bincount(labels.ravel()) / labels.size, atol=0.01)


def test_halves_of_a_map_meet_at_their_border_alone():
    labels = np.zeros(SHAPE, dtype=int)
    labels[:, 30:] = 1
    _, found = first_guess(known(labels, 2), np.array([0.5, 0.5]), each_its_own(2))
    # Either way over each of 2 x 59 x 60 sides, 60 of them across; 20 more meetings by chance.
    meetings = 2 * 2 * 59 * 60
    across = (60 + 20 * 0.25) / (meetings + 20) / 0.25
    np.testing.assert_allclose(found[[0, 1], [1, 0]], across, rtol=1e-4)
    np.testing.assert_allclose(np.diag(found), 2 - across, rtol=1e-4)


def test_relation_is_learnt_from_pixels_that_are_known_by_chance_only(generator):
    # Stripes of three pixels; what each pixel's counts say is right by odds of some 4.5 to 1.
    labels = np.tile(np.repeat([0, 1], 3), 40)[None].repeat(120, axis=0)
    evidence = 1.5 * (2 * labels - 1) + np.sqrt(2 * 1.5) * generator.normal(size=labels.shape)
    nothing = np.full_like(evidence, -20.0)
    densities = np.exp(np.stack([-evidence / 2, evidence / 2, nothing], axis=-1))
    densities /= densities.max(axis=-1, keepdims=True)
    densities, cells = densities.astype(np.float32)[None], make_cells(["a", "b"], [])
    weight = np.array([0.5, 0.5, 1e-6])
    weight /= weight.sum()
    share, found = first_guess(densities, weight, meeting_kinds(cells))
    # Beside each other 2 of 3 meetings are alike, below each other all: 5 in 6, so 5/6 over 1/2;
    # the rounds, which start from 0.6 alike, end a little short of it.
    np.testing.assert_allclose(np.diag(found)[:2], 10 / 6, atol=0.1)
    np.testing.assert_allclose(share[:2], 0.5, atol=0.02)
    learnt = fit_neighbourhood(densities, share, found, weight, cells)
    said = log_odds(densities.reshape(-1, 3), learnt.share, learnt.relation)
    odds = learnt.strength * np.asarray(support(said.reshape(densities.shape)))[0]
    odds = (odds[..., 1] - odds[..., 0] + evidence)[1:-1, 1:-1]
    claimed, true = 1 / (1 + np.exp(-odds)), labels[1:-1, 1:-1]
    # Neighbours repeat each other, but not what the pixel's own counts say.
    for low, high in ((0.02, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 0.98)):
        inside = (claimed > low) & (claimed < high)
        # Some 1,000 pixels each.
        assert claimed[inside].mean() == pytest.approx(true[inside].mean(), abs=0.05)
    alone = 1 / (1 + np.exp(-evidence))[1:-1, 1:-1]
    right = [np.log(np.where(true == 1, p, 1 - p)).mean() for p in (alone, claimed)]
    assert right[1] > 0.5 * right[0]


def test_blocks_are_of_the_map_and_spread_over_it():
    assert blocks_of(60, 50, 32) == [(slice(0, 60), slice(0, 50))]
    rows, columns = zip(*blocks_of(1000, 2001, 32), strict=True)
    assert len(rows) == 32
    assert {part.stop - part.start for part in (*rows, *columns)} == {32}
    assert {y.stop - y.start for y, _ in blocks_of(10, 9000, 32)} == {10}
    assert max(part.stop for part in rows) == 1000
    assert max(part.stop for part in columns) == 2001
    assert min(part.start for part in (*rows, *columns)) == 0
    assert np.ptp([part.start for part in columns]) > 1500


def test_rows_and_scattered_pixels_are_weighed_alike(few_counts, generator):
    maps, spots, _ = few_counts
    problem = PhaseMaps(maps, spots)
    engine = PixelEngine.at_anchors(problem.observations)
    near = neighbour_weights(engine, problem.data["counts"])
    alone, _ = engine.coarse_posterior(flat_counts(problem.data))
    everywhere, _ = near.of_rows(alone)
    place = generator.choice(80 * 80, 500, replace=False)
    some = near.at(problem.data["counts"], *np.divmod(place, 80))
    np.testing.assert_allclose(some, everywhere[place], rtol=2e-4, atol=2e-4)


def test_tiles_of_rows_and_the_whole_map_agree(few_counts, monkeypatch):
    maps, spots, _ = few_counts
    problem = PhaseMaps(maps, spots)
    engine = PixelEngine.at_anchors(problem.observations)
    near = neighbour_weights(engine, problem.data["counts"])
    counts = flat_counts(problem.data)
    whole = engine.compute(counts, neighbours=near)
    monkeypatch.setattr(NeighbourWeights, "tile", 7 * 80)
    parts = engine.compute(counts, neighbours=near)
    np.testing.assert_allclose(parts.fraction, whole.fraction, atol=2e-4)
    np.testing.assert_allclose(parts.pure, whole.pure, atol=2e-4)


def test_pixels_in_any_order_learn_nothing_from_each_other(few_counts, generator):
    maps, spots, _ = few_counts
    problem = PhaseMaps(maps, spots)
    engine = PixelEngine.at_anchors(problem.observations)
    counts = flat_counts(problem.data)
    told = {}
    for name, pixels in (("shuffled", generator.permutation(counts)), ("in place", counts)):
        grid = problem.data["counts"].copy(data=pixels.T.reshape(problem.data["counts"].shape))
        share, relation, _ = learn_neighbourhood(engine, grid)
        told[name] = float((np.outer(share, share) * relation * np.log(relation)).sum())
    # What a meeting tells of a cell, in nats; some hundreds of relations fit some chance, and
    # that pure and mixed pixels occur as often as pixels alone say.
    assert told["in place"] > 1
    assert told["shuffled"] < 0.06


def test_neighbours_help_fractions_where_counts_are_few_and_stay_honest(few_counts):
    maps, spots, truth = few_counts
    problem = PhaseMaps(maps, spots)
    engine = PixelEngine.at_anchors(problem.observations)
    counts = flat_counts(problem.data)
    fraction = truth["phase_fraction"].to_numpy().reshape(4, -1).T
    near = neighbour_weights(engine, problem.data["counts"])
    alone, helped = engine.compute(counts), engine.compute(counts, neighbours=near)
    errors = [np.sqrt(np.mean((a.fraction - fraction) ** 2)) for a in (alone, helped)]
    assert errors[1] < 0.7 * errors[0]
    mixed = (helped.fraction > 0.02) & (helped.fraction < 0.98)
    held = (fraction >= helped.fraction_low - 1e-5) & (fraction <= helped.fraction_high + 1e-5)
    assert 0.84 < held[mixed].mean() < 0.98
    # Sums and maps use the same weights.
    place = np.arange(len(counts))
    added = near.at(problem.data["counts"], *np.divmod(place, 80))
    mean = engine.mean_fractions(counts, engine.state.parameters, added)
    whole = (helped.fraction * (1 - helped.unknown)[:, None]).sum(axis=0)
    np.testing.assert_allclose(mean, whole / (1 - helped.unknown).sum(), atol=0.006)


# With 120 counts a pixel that holds a twentieth of a second phase looks like a pure one.
@pytest.mark.parametrize(("counts_per_pixel", "bias"), [(600, 0.1), (120, 0.25)])
def test_probabilities_of_being_pure_come_true_and_neighbours_tell_most(counts_per_pixel, bias):
    maps, spots, truth = simulate_phase_maps(96, 96, counts_per_pixel=counts_per_pixel, seed=3)
    problem = PhaseMaps(maps, spots)
    assert uses_neighbours("auto", problem.observations)
    engine = PixelEngine.at_anchors(problem.observations)
    near = neighbour_weights(engine, problem.data["counts"])
    pure = truth["phase_fraction"].max("phase").to_numpy().ravel() > 0.999
    score = {}
    for name, told in (("alone", None), ("near", near)):
        claimed = engine.compute(flat_counts(problem.data), neighbours=told).pure.max(axis=1)
        score[name] = -np.log(np.clip(np.where(pure, claimed, 1 - claimed), 1e-4, 1)).mean()
    open_question = (claimed > 0.1) & (claimed < 0.9)
    # Some 200 and 500 pixels: sd 0.03.
    assert claimed[open_question].mean() == pytest.approx(pure[open_question].mean(), abs=bias)
    assert open_question.mean() < 0.06
    assert score["near"] < 0.45 * score["alone"]


@pytest.mark.parametrize(("counts_per_pixel", "used"), [(40, False), (120, True)])
def test_few_counts_leave_every_pixel_to_itself_unless_asked(counts_per_pixel, used):
    maps, spots, _ = simulate_phase_maps(40, 40, 3, 4, counts_per_pixel=counts_per_pixel, seed=1)
    observed = PhaseMaps(maps, spots).observations
    assert uses_neighbours("auto", observed) == used
    assert uses_neighbours("potts", observed)
    assert not uses_neighbours("none", observed)
    # Who asks for them all the same is told.
    warned = check_neighbours(xr.Dataset({"neighbour_strength": 1.0}), observed)
    assert [check.verdict for check in warned] == ([] if used else ["REVIEW"])
    assert not check_neighbours(xr.Dataset(), observed)


def test_a_map_of_two_rows_has_no_pixels_to_learn_from(few_counts):
    maps, spots, _ = few_counts
    problem = PhaseMaps(maps, spots)
    engine = PixelEngine.at_anchors(problem.observations)
    near = neighbour_weights(engine, problem.data["counts"].isel(y=slice(0, 2)))
    assert near.neighbourhood.strength == 0


def test_the_option_runs_from_problem_to_pixel_draws(few_counts):
    maps, spots, _ = few_counts
    problem = PhaseMaps(maps, spots, neighbours="potts", pixels=400)
    fit = problem.fit("laplace", draws=60, chains=2, seed=1)
    derived = fit["derived"].to_dataset()
    assert float(derived["neighbour_strength"]) > 0.3
    region = (derived["y"] < derived["y"][12]) & (derived["x"] < derived["x"][12])
    region = region.transpose("y", "x")
    drawn = draw_pixels(problem, fit, region, draws=60, seed=2)["phase_fraction"]
    where = np.flatnonzero(region.to_numpy().ravel())
    mapped = derived["phase_fraction"].to_numpy().reshape(4, -1)[:, where].T
    # Draws of a pixel scatter; their mean over 144 pixels and 60 draws does not.
    np.testing.assert_allclose(drawn.mean(("draw", "pixel")), mapped.mean(axis=0), atol=0.02)
    older = fit.copy()
    older["derived"] = xr.DataTree(derived.drop_vars("neighbour_relation"))
    with pytest.raises(DataError, match="fit again"):
        draw_pixels(problem, older, region)
    again = PhaseMaps.from_options(problem.data, problem.options)
    assert again.model_id == problem.model_id
