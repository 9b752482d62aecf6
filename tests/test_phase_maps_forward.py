from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import beta, dirichlet, norm, poisson

from petro_models.phase_maps import forward
from petro_models.phase_maps.anchors import find_anchors
from petro_models.phase_maps.cells import (
    EVEN_EDGES,
    LEAST_PART,
    MOST_COUNT_CELLS,
    PIXEL_EDGES,
    TAIL_STRETCH,
    cells_of_counts,
    make_cells,
    pair_patch,
    triple_patch,
)

DRAWS = 200_000


def close_to_monte_carlo(given, samples, errors=5.0):
    """Whether a covariance lies within so many standard errors of the samples'."""
    found = np.cov(samples, rowvar=False)
    variance = np.diag(found)
    # For normal samples the error of a covariance is sqrt((s_ij^2 + s_ii s_jj) / n); mixtures of
    # bounded fractions have lighter tails, so this is not too small.
    error = np.sqrt((found**2 + np.outer(variance, variance)) / len(samples))
    return np.abs(np.asarray(given) - found) < errors * error


# -- dead time ---------------------------------------------------------------------------------


def brute_force_counter(rate, dead_time, windows, generator):
    """Count, one photon after the other, what a non-extending counter records in a dwell of 1."""
    warm_up = 20 * dead_time
    expected = rate * (1 + warm_up)
    gaps = generator.exponential(1 / rate, size=(windows, int(expected + 8 * np.sqrt(expected))))
    arrivals = np.cumsum(gaps, axis=1) - warm_up
    assert (arrivals[:, -1] > 1).all()
    recorded, blind_until = np.zeros(windows), np.full(windows, -np.inf)
    for arrival in arrivals.T:
        seen = arrival >= blind_until
        recorded += seen & (arrival >= 0) & (arrival < 1)
        blind_until = np.where(seen, arrival + dead_time, blind_until)
    return recorded


@pytest.mark.parametrize(("rate", "dead_share"), [(1500.0, 2e-4), (400.0, 2e-3)])
def test_dead_time_gives_mean_and_variance_of_a_counter_simulated_photon_by_photon(
    rate, dead_share, generator
):
    windows = 4000
    counts = brute_force_counter(rate, dead_share, windows, generator)
    mean = float(forward.observed_counts(rate, dead_share))
    variance = float(forward.counting_variance(mean, dead_share))
    assert counts.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / windows))
    # The variance of near-normal counts is found to sqrt(2 / n); Poisson's is 1.7 and 3.2 times it.
    assert counts.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / windows))
    assert mean > 1.5 * variance


def test_dead_time_follows_its_closed_form_and_is_undone_exactly():
    true, share = np.array([0.0, 1.0, 120.0, 9e3]), np.array([0.0, 1e-5, 3e-4, 1e-3])
    observed = forward.observed_counts(true[:, None], share)
    np.testing.assert_allclose(observed, true[:, None] / (1 + np.outer(true, share)), rtol=1e-14)
    np.testing.assert_allclose(
        forward.true_counts(observed, share), np.tile(true[:, None], 4), rtol=1e-10
    )


def test_a_counter_saturates_at_one_count_per_dead_time():
    assert float(forward.observed_counts(1e12, 2e-3)) == pytest.approx(500.0, rel=1e-6)


def test_without_dead_time_the_counting_variance_is_that_of_poisson_counts(generator):
    mean = np.array([2.0, 30.0, 4000.0])
    np.testing.assert_array_equal(forward.counting_variance(mean, 0.0), mean)
    drawn = generator.poisson(mean, size=(DRAWS, 3)).var(axis=0)
    np.testing.assert_allclose(drawn, mean, rtol=5 * np.sqrt(2.5 / DRAWS))


def test_dead_time_always_leaves_less_than_poisson_variance():
    observed = np.array([5.0, 80.0, 900.0])
    ratio = np.asarray(forward.counting_variance(observed, 5e-4)) / observed
    np.testing.assert_allclose(ratio, (1 - observed * 5e-4) ** 2, rtol=1e-12)
    assert (ratio < 1).all()


def test_an_element_without_counts_keeps_some_variance():
    assert float(forward.counting_variance(0.0, 0.0)) > 0


def test_calibration_gives_back_the_wt_percent_that_made_the_counts():
    wt, sensitivity, background = np.array([[37.5, 0.0], [20.0, 9.5]]), [12.0, 7.0], [30.0, 4.0]
    counts = wt * sensitivity + background
    found = forward.calibrated_composition(counts, np.array(background), np.array(sensitivity))
    np.testing.assert_allclose(found, wt, atol=1e-12)


# -- moments of phases and mixtures --------------------------------------------------------------


@pytest.fixture
def phases():
    """Three phases, two elements and one oxide; the first zoned along two axes, the last along one.

    Gives what `phase_covariance` takes.
    """
    return {
        "intensity": np.array([[400.0, 60.0], [90.0, 300.0], [20.0, 30.0]]),
        "dispersion": np.array([[0.05, 0.2], [0.02, 0.01], [0.1, 0.3]]),
        "scatter": np.array([[0.5], [0.2], [1.0]]),
        "axis_of_phase": np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
        "loading": np.array([[30.0, -8.0, 2.0], [-5.0, 6.0, 0.4], [4.0, 5.0, -1.0]]),
    }


COMPOSITION = np.array([[38.0], [61.0], [12.0]])


def draw_phases(phases, count, generator):
    """Draw counts and composition of each phase from their definition (count, phase, value)."""
    mean = np.concatenate([phases["intensity"], COMPOSITION], axis=1)
    sd = np.concatenate([phases["dispersion"] * phases["intensity"], phases["scatter"]], axis=1)
    drawn = mean + sd * generator.normal(size=(count, *mean.shape))
    z = generator.normal(size=(count, 3))
    for axis, members in enumerate(phases["axis_of_phase"].T):
        phase = int(members.argmax())
        drawn[:, phase] += z[:, axis, None] * phases["loading"][axis]
    return mean, drawn


def test_axes_and_dispersion_give_each_phase_the_covariance_of_its_draws(phases, generator):
    covariance = forward.phase_covariance(**phases)
    _, drawn = draw_phases(phases, DRAWS, generator)
    for k in range(3):
        assert close_to_monte_carlo(covariance[k], drawn[:, k]).all()


def test_mixed_cells_have_the_moments_of_mixtures_drawn_one_by_one(phases, generator):
    cells = make_cells(["a", "b", "c"], edges=(0.0, 0.5, 1.0))
    mean, drawn = draw_phases(phases, DRAWS, generator)
    found_mean, found_covariance = forward.mixed_moments(
        mean, forward.phase_covariance(**phases), cells.fraction, cells.spread
    )
    first_of_pair = int(np.flatnonzero(cells.pair_of_cell == 0)[0])
    half = np.zeros((DRAWS, 3))
    law = beta(0.5, 0.5)
    half[:, 0] = law.ppf(generator.uniform(law.cdf(LEAST_PART), law.cdf(0.5), size=DRAWS))
    half[:, 1] = 1 - half[:, 0]
    all_three = generator.dirichlet(np.ones(3), size=DRAWS)
    for cell, fraction in {
        first_of_pair: half,
        int(np.flatnonzero(cells.triple_of_cell == 0)[0]): all_three,
        len(cells.share) - 1: all_three,
    }.items():
        mixed = np.einsum("nk,nkd->nd", fraction, drawn)
        error = 5 * mixed.std(axis=0) / np.sqrt(DRAWS)
        assert (np.abs(found_mean[cell] - mixed.mean(axis=0)) < error).all()
        assert close_to_monte_carlo(found_covariance[cell], mixed).all()


def test_a_pure_cell_is_its_phase_alone_and_heavy_tails_are_a_wider_one(phases):
    cells = make_cells(["a", "b", "c"], heavy_tailed=[2])
    covariance = forward.phase_covariance(**phases)
    mean = np.concatenate([phases["intensity"], COMPOSITION], axis=1)
    found_mean, found_covariance = forward.mixed_moments(
        mean, covariance, cells.fraction, cells.spread, cells.stretch[:, None]
    )
    assert cells.is_pure.sum() == 4
    assert cells.heavy_tailed == (2,)
    np.testing.assert_allclose(found_mean[:4], mean[[0, 1, 2, 2]])
    np.testing.assert_allclose(found_covariance[:3], covariance)
    np.testing.assert_allclose(found_covariance[3], TAIL_STRETCH**2 * covariance[2])


@pytest.mark.parametrize("averaged", [1, 9])
def test_counting_adds_the_noise_of_one_pixel_or_of_an_average(averaged, generator):
    mean = np.array([[900.0, 250.0, 40.0]])
    covariance = np.array([[[400.0, -60.0, 10.0], [-60.0, 150.0, -3.0], [10.0, -3.0, 1.0]]])
    dead_share = np.array([2e-4, 5e-5])
    true = generator.multivariate_normal(mean[0], covariance[0], size=DRAWS)
    expected = true[:, :2] / (1 + true[:, :2] * dead_share)
    variance = expected * (1 - expected * dead_share) ** 2 + forward.SKEWNESS_ALLOWANCE
    sd = np.sqrt(variance / averaged)
    observed = np.concatenate(
        [expected + sd * generator.normal(size=sd.shape), true[:, 2:]], axis=1
    )
    found_mean, found = forward.with_counting(mean, covariance, dead_share, 1 / averaged)
    # To first order in the scatter over the mean, whose square is below 0.3 %.
    np.testing.assert_allclose(found_mean[0], observed.mean(axis=0), rtol=5e-4)
    close = close_to_monte_carlo(found[0], observed)
    np.testing.assert_allclose(found[0], np.cov(observed, rowvar=False), rtol=0.02, atol=0.5)
    assert close.mean() > 0.7


# -- evened counts -------------------------------------------------------------------------------


def sums_over_counts(expected):
    """Give mean, its derivative and variance of evened Poisson counts, and their skewness."""
    counts = np.arange(int(expected + 15 * np.sqrt(expected) + 40))
    chance, even = poisson.pmf(counts, expected), counts ** (2 / 3)
    mean = chance @ even
    slope = chance @ ((counts - expected) * even) / expected
    variance = chance @ (even - mean) ** 2
    return mean, slope, variance, chance @ (even - mean) ** 3 / variance**1.5


def test_evened_counts_have_the_moments_of_sums_over_all_counts():
    expected = np.geomspace(0.05, 3000, 60)
    mean, slope, variance, skewness = np.transpose([sums_over_counts(x) for x in expected])
    found = forward.evened_poisson(expected)
    np.testing.assert_allclose(found[0], mean, rtol=0.01)
    np.testing.assert_allclose(found[1], slope, rtol=0.02)
    np.testing.assert_allclose(found[2], variance, rtol=0.01)
    # That is what they are for: the skewness of counts themselves is 0.45 where five are expected.
    assert np.abs(skewness[expected > 5]).max() < 0.07


def test_a_normal_density_of_evened_counts_gives_poissons_chances():
    """Few counts too: those of one and a half expected are met to 0.03, and those of more better.

    Counts taken for normal themselves err by three times as much, and more in the tail.
    """
    for expected, close in ((1.5, 0.03), (5.0, 0.01), (40.0, 0.002)):
        counts = np.arange(int(expected + 5 * np.sqrt(expected)) + 1)
        chance = poisson.pmf(counts, expected)
        mean, covariance = forward.with_evened_counting(
            np.array([[expected]]), np.zeros((1, 1, 1)), np.zeros(1)
        )
        even = np.asarray(forward.evened_counts(counts))
        per_count = np.exp(forward.log_evening(counts[:, None]))
        found = norm(mean[0, 0], np.sqrt(covariance[0, 0, 0])).pdf(even) * per_count
        np.testing.assert_allclose(found, chance, atol=close)
        variance = expected + forward.SKEWNESS_ALLOWANCE
        themselves = norm(expected, np.sqrt(variance)).pdf(counts)
        assert np.abs(themselves - chance).max() > 2 * np.abs(found - chance).max()


@pytest.mark.parametrize("averaged", [1, 9])
def test_evened_counting_equals_counts_drawn_and_evened(averaged, generator):
    mean = np.array([[900.0, 30.0, 40.0]])
    covariance = np.array([[[900.0, -30.0, 10.0], [-30.0, 25.0, -3.0], [10.0, -3.0, 1.0]]])
    true = generator.multivariate_normal(mean[0], covariance[0], size=DRAWS)
    counts = generator.poisson(averaged * np.maximum(true[:, :2], 0)) / averaged
    observed = np.concatenate([counts ** (2 / 3), true[:, 2:]], axis=1)
    found_mean, found = forward.with_evened_counting(mean, covariance, np.zeros(2), 1 / averaged)
    np.testing.assert_allclose(found_mean[0], observed.mean(axis=0), rtol=2e-3)
    exact = np.cov(observed, rowvar=False)
    # Counts are whole numbers: a density of them is wider by what rounding hides.
    exact[[0, 1], [0, 1]] += (2 / 3) ** 2 / mean[0, :2] ** (2 / 3) / 12 / averaged
    np.testing.assert_allclose(found[0], exact, rtol=0.03, atol=0.05)


# -- cells ---------------------------------------------------------------------------------------


def moments_between(low, high):
    """Give probability, mean and variance of the fraction of a pair between two cuts."""
    low, high = np.clip([low, high], LEAST_PART, 1 - LEAST_PART)
    law = beta(0.5, 0.5)
    raw = [law.expect(lambda f, n=n: f**n, lb=low, ub=high) for n in range(3)]
    mean = raw[1] / raw[0]
    whole = law.cdf(1 - LEAST_PART) - law.cdf(LEAST_PART)
    return raw[0] / whole, mean, raw[2] / raw[0] - mean**2


def test_a_straight_boundary_cuts_a_pixel_as_the_cells_of_a_pair_have_it(generator):
    # Lines that meet the unit square anywhere, in any direction: by direction, as many as the
    # square is wide across it.
    angle = generator.uniform(0, np.pi / 2, 200_000)
    across, up = np.cos(angle), np.sin(angle)
    place = generator.uniform(size=angle.size) * (across + up)
    corners = [place, place - across, place - up, place - across - up]
    area = sum(
        sign * np.maximum(corner, 0) ** 2
        for sign, corner in zip((1, -1, -1, 1), corners, strict=True)
    ) / (2 * across * up)
    seen = (area > LEAST_PART) & (area < 1 - LEAST_PART)
    edges = np.linspace(0, 1, 21)
    found, _ = np.histogram(area[seen], edges, weights=(across + up)[seen])
    found /= found.sum()
    cells = make_cells(["a", "b"], edges=edges)
    share = cells.share[cells.pair_of_cell == 0]
    # The two laws differ by 0.014 at most, a uniform one by 0.038.
    assert np.abs(np.cumsum(share - found)).max() < 0.017
    assert np.abs(np.cumsum(0.05 - found)).max() > 0.035


@pytest.mark.parametrize("edges", [(0.0, 1.0), EVEN_EDGES, PIXEL_EDGES, (0.0, 0.03, 1.0)])
def test_cells_of_a_pair_add_up_to_the_same_law_wherever_it_is_cut(edges, generator):
    cells = make_cells(["a", "b", "c"], edges=edges)
    expected = np.array([moments_between(*cut) for cut in pairwise(edges)])
    for pair, (j, k) in enumerate(cells.pairs):
        mine = cells.pair_of_cell == pair
        mean = cells.fraction[mine]
        found = [cells.share[mine], mean[:, j], cells.spread[mine][:, j, j]]
        np.testing.assert_allclose(np.transpose(found), expected, rtol=1e-5)
        np.testing.assert_allclose(mean[:, j] + mean[:, k], 1)
        drawn = cells.draw_fractions(np.flatnonzero(mine), 20_000, generator)
        np.testing.assert_allclose(drawn.sum(axis=2), 1)
        error = 5 * np.sqrt(expected[:, 2] / 20_000)
        assert (np.abs(drawn[..., j].mean(axis=1) - expected[:, 1]) < error).all()
        np.testing.assert_allclose(drawn[..., j].var(axis=1), expected[:, 2], rtol=0.05)
        np.testing.assert_allclose(cells.spread[mine][:, j, k], -cells.spread[mine][:, j, j])
        # Halfway between two middles both count alike, and at the ends the last cell alone.
        halfway = np.concatenate([[0.0], (mean[1:, j] + mean[:-1, j]) / 2, [1.0]])
        near = cells.nearness(pair, np.concatenate([mean[:, j], halfway]))
        size = mine.sum()
        np.testing.assert_array_equal(near[~mine], 0)
        np.testing.assert_array_equal(near[mine][:, :size], np.eye(size))
        average = np.eye(size + 1)[:, :-1] + np.eye(size + 1)[:, 1:]
        average /= average.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(near[mine][:, size:], average.T)


def test_cells_of_three_phases_and_of_fine_mixtures_have_the_moments_of_a_dirichlet():
    cells = make_cells(["a", "b", "c", "d"])
    flat = dirichlet(np.ones(3))
    for number, three in enumerate(cells.triples):
        (cell,) = np.flatnonzero(cells.triple_of_cell == number)
        index = np.ix_(three, three)
        np.testing.assert_allclose(cells.fraction[cell][list(three)], flat.mean())
        np.testing.assert_allclose(cells.spread[cell][index], flat.cov(), atol=1e-15)
        assert cells.spread[cell].sum() == pytest.approx(0, abs=1e-15)
    fine = dirichlet(np.ones(4))
    np.testing.assert_allclose(cells.fraction[-1], fine.mean())
    np.testing.assert_allclose(cells.spread[-1], fine.cov(), atol=1e-15)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_triples_cut_into_cells_keep_the_moments_of_a_dirichlet(steps):
    cells = make_cells(["a", "b", "c", "d"], triple_steps=steps)
    flat = dirichlet(np.ones(3))
    for number, three in enumerate(cells.triples):
        mine = cells.triple_of_cell == number
        assert mine.sum() == steps**2
        share = cells.share[mine] * len(cells.triples)
        mean = cells.fraction[mine][:, three]
        np.testing.assert_allclose(share @ mean, flat.mean())
        between = np.einsum("c,ci,cj->ij", share, mean - 1 / 3, mean - 1 / 3)
        within = np.einsum("c,cij->ij", share, cells.spread[mine][:, three][:, :, three])
        np.testing.assert_allclose(between + within, flat.cov(), atol=1e-15)


def test_counts_of_few_phases_are_looked_at_in_narrow_cells_of_the_same_classes():
    for names in ("ab", "abc"):
        cells = make_cells(names, heavy_tailed=[0])
        narrow = cells_of_counts(cells)
        assert len(cells.share) < len(narrow.share) <= MOST_COUNT_CELLS
        assert narrow.classes == cells.classes
        assert narrow.heavy_tailed == cells.heavy_tailed
        shares = [np.bincount(c.class_of_cell, weights=c.share) for c in (cells, narrow)]
        np.testing.assert_allclose(*shares)
    six = make_cells("abcdef")
    assert cells_of_counts(six) is six


def test_every_class_but_the_unknown_has_cells_whose_shares_add_up_to_one():
    cells = make_cells(["a", "b", "c", "d"], heavy_tailed=[1, 3])
    share = np.bincount(cells.class_of_cell, weights=cells.share)
    assert len(share) == len(cells.classes) - 1
    np.testing.assert_allclose(share, 1)
    assert cells.classes[:5] == ["a", "b", "c", "d", "a + b"]
    assert cells.classes[-3:] == ["three phases", "fine mixture", "unknown"]


def test_three_phases_share_a_pixel_only_where_all_their_pairs_may():
    cells = make_cells(["a", "b", "c", "d"], pairs=[(0, 1), (1, 2), (0, 2), (2, 3)])
    assert cells.triples == ((0, 1, 2),)
    assert make_cells(["a", "b"]).classes == ["a", "b", "a + b", "unknown"]


def test_fractions_drawn_inside_cells_have_the_moments_of_the_cells(generator):
    cells = make_cells(["a", "b", "c", "d"])
    draws = 20_000
    for cell in range(len(cells.class_of_cell)):
        drawn = cells.draw_fractions(np.array([cell]), draws, generator)[0]
        np.testing.assert_allclose(drawn.sum(axis=1), 1)
        assert (drawn >= 0).all()
        error = np.sqrt(np.diag(cells.spread[cell]) / draws)
        assert (np.abs(drawn.mean(axis=0) - cells.fraction[cell]) <= 5 * error + 1e-12).all()
        covariance = np.cov(drawn, rowvar=False)
        # Bounded fractions: the error of a (co)variance is below sqrt(2 / n) of the variances.
        np.testing.assert_allclose(
            covariance, cells.spread[cell], atol=5 * np.sqrt(2 / draws) * error.max() ** 2 * draws
        )


def test_nodes_of_a_patch_integrate_the_fractions_as_densely_as_asked():
    pair = pair_patch(4, (1, 3), 40)
    weight = np.exp(pair.log_share)
    assert weight.sum() == pytest.approx(1)
    second = pair.fraction[:, 1] ** 2 + pair.spread[:, 1, 1]
    _, mean, variance = moments_between(0, 1)
    assert weight @ second == pytest.approx(mean**2 + variance)
    assert (np.diff(pair.fraction[:, 1]) > 0).all()
    triple = triple_patch(4, (0, 2, 3), 12)
    weight = np.exp(triple.log_share)
    np.testing.assert_allclose(triple.fraction.sum(axis=1), 1)
    assert (triple.fraction[:, [0, 2, 3]] > 0).all()
    np.testing.assert_allclose(weight @ triple.fraction, [1 / 3, 0, 1 / 3, 1 / 3], atol=1e-12)
    # With what each small triangle spans itself, the moments of a flat Dirichlet to the last digit.
    product = triple.fraction[:, :, None] * triple.fraction[:, None, :] + triple.spread
    assert weight @ product[:, 0, 2] == pytest.approx(1 / 12)
    assert weight @ product[:, 3, 3] == pytest.approx(1 / 6)
    np.testing.assert_allclose(triple.spread.sum(axis=2), 0, atol=1e-18)


# -- anchors -------------------------------------------------------------------------------------


def test_exchange_of_elements_is_an_axis_and_specks_of_one_element_are_dispersion(generator):
    cells = make_cells(["garnet", "quartz"])
    garnet, quartz = np.array([400.0, 300.0, 60.0]), np.array([900.0, 20.0, 30.0])
    sensitivity = np.array([20.0, 20.0, 20.0])
    exchange = generator.normal(size=(4000, 1)) * np.array([0.0, 40.0, -30.0])
    specks = generator.exponential(size=(4000, 1)) * np.array([0.0, 0.0, 25.0])
    counts = generator.poisson(np.concatenate([garnet + exchange, quartz + specks]).clip(0))
    anchors = find_anchors(
        counts, np.stack([garnet, quartz]), cells, np.zeros(3), sensitivity, [2, 2]
    )
    assert anchors.axis_phase.tolist() == [0]
    loading = anchors.axis_loading[0]
    np.testing.assert_allclose(loading[1] / loading[2], -40 / 30, rtol=0.15)
    assert anchors.dispersion[1, 2] * anchors.intensity[1, 2] > 10
    none = find_anchors(counts, np.stack([garnet, quartz]), cells, np.zeros(3), sensitivity, [0, 0])
    assert none.axis_phase.size == 0


def test_a_phase_whose_seed_lies_beside_a_speck_is_found_all_the_same(generator):
    """In the Alpine map the seed of quartz has six times the Ca of any other quartz."""
    cells = make_cells(["mica", "quartz"])
    mica, quartz = np.array([1750.0, 1050.0, 400.0, 90.0]), np.array([3700.0, 60.0, 30.0, 95.0])
    share = generator.uniform(size=(400, 1))
    pure = np.repeat([mica, quartz], [3000, 1000], axis=0)
    counts = generator.poisson(np.concatenate([pure, share * mica + (1 - share) * quartz]))
    speck = np.array([0.0, 0.0, 0.0, 500.0])
    sensitivity = np.array([38.0, 38.0, 38.0, 10.0])
    anchors = find_anchors(
        counts, np.stack([mica, quartz + speck]), cells, np.zeros(4), sensitivity, [2, 2], [0, 1]
    )
    np.testing.assert_allclose(anchors.intensity, [mica, quartz], rtol=0.02)
    assert anchors.class_weight[1] == pytest.approx(1000 / 4400, rel=0.05)
    # What is unlike a phase of known composition, or in two elements of four, is another phase.
    for wrong, pointed_at in ((speck, []), (speck + 500 * np.eye(4)[2], [0, 1])):
        first = np.stack([mica, quartz + wrong])
        other = find_anchors(counts, first, cells, np.zeros(4), sensitivity, [2, 2], pointed_at)
        np.testing.assert_array_equal(other.intensity[1], first[1])


def test_what_spots_of_small_grains_err_by_is_no_axis_of_solid_solution(generator):
    """Spots of small grains see their neighbours too: quartz with 14 % less Si, and some Al."""
    cells = make_cells(["mica", "quartz"])
    mica, quartz = np.array([1750.0, 1050.0, 400.0]), np.array([3700.0, 60.0, 30.0])
    counts = generator.poisson(np.repeat([mica, quartz], 3000, axis=0))
    first = np.stack([mica, quartz + np.array([-500.0, 40.0, 15.0])])
    anchors = find_anchors(counts, first, cells, np.zeros(3), np.full(3, 38.0), [2, 2])
    assert anchors.axis_phase.size == 0
    np.testing.assert_allclose(anchors.intensity[1], quartz, atol=5 * np.sqrt(3700 / 3000))
