from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats
from small_phase_maps import seeded_problem

from petro_models import PhaseMaps
from petro_models.phase_maps import pixels
from petro_models.phase_maps.cells import LEAST_PART, TAIL_SHARE, TAIL_STRETCH, with_heavy_tails
from petro_models.phase_maps.forward import (
    SKEWNESS_ALLOWANCE,
    observed_counts,
    true_counts,
    with_evened_counting,
)
from petro_models.phase_maps.observations import flat_counts
from petro_models.phase_maps.pixel_density import MapParameters
from petro_models.phase_maps.pixel_draws import draw_once
from petro_models.phase_maps.pixels import PixelEngine
from petro_models.phase_maps.simulate import simulate_phase_maps

# Quartz, garnet zoned in iron and magnesium, muscovite; few counts, so that much stays undecided.
INTENSITY = np.array([[95.0, 6.0, 5.0, 3.0], [45.0, 42.0, 55.0, 14.0], [62.0, 70.0, 8.0, 5.0]])
DISPERSION = np.array([[0.02, 0.02, 0.02, 0.02], [0.04, 0.04, 0.05, 0.06], [0.05, 0.03, 0.1, 0.1]])
LOADING = np.array([[0.0, -3.0, 9.0, -5.0]])
COMPOSITION = np.array([[100.0, 0.02, 0.02, 0.02], [37.5, 21.2, 31.0, 3.0], [46.5, 34.5, 1.5, 1.0]])
AXIS_COMPOSITION = np.array([[0.2, -0.5, 4.0, -1.5]])
HIDDEN = np.array([[0.1, 0.02, 0.02, 0.02], [0.4, 0.3, 0.5, 0.2], [0.6, 0.6, 0.2, 0.1]])
SEEN = 0.8 * HIDDEN
UNKNOWN_SHARE = 0.02


class Setting(NamedTuple):
    """An engine, and what it is made of."""

    engine: PixelEngine
    weights: np.ndarray


def make_setting(n_phases, mixtures, shares, *, heavy_tailed=False, brighter=1):
    """Make an engine for the first phases above, so much `brighter`, garnet on one axis."""
    problem, _ = seeded_problem(n_phases, ("Garnet",), mixtures=mixtures, size=48)
    phases = slice(0, n_phases)
    anchors = replace(
        problem.observations.anchors,
        intensity=brighter * INTENSITY[phases],
        dispersion=DISPERSION[phases],
        axis_phase=np.array([1]),
        axis_loading=brighter * LOADING,
        unknown_mean=brighter * INTENSITY.mean(axis=0),
        unknown_sd=4 * brighter * INTENSITY.max(axis=0),
    )
    observations = replace(
        problem.observations,
        anchors=anchors,
        dead_share=np.zeros(INTENSITY.shape[1]),
        cells=with_heavy_tails(problem.observations.cells, [1] if heavy_tailed else []),
    )
    weights = np.array([*shares, UNKNOWN_SHARE])
    weights /= weights.sum()
    assert len(weights) == len(observations.cells.classes)
    parameters = MapParameters(
        brighter * INTENSITY[phases], DISPERSION[phases], brighter * LOADING, weights
    )
    engine = PixelEngine(
        observations,
        parameters,
        COMPOSITION[phases],
        AXIS_COMPOSITION,
        HIDDEN[phases],
        SEEN[phases],
    )
    np.testing.assert_array_equal(observations.element_of_oxide, np.arange(4))
    return Setting(engine, weights)


@pytest.fixture(scope="module")
def two():
    return make_setting(2, "all", [0.45, 0.35, 0.2], heavy_tailed=True)


@pytest.fixture(scope="module")
def three_by_pairs():
    return make_setting(3, "pairs", [0.3, 0.25, 0.2, 0.08, 0.05, 0.1])


@pytest.fixture(scope="module")
def three_with_tails():
    return make_setting(3, "pairs", [0.3, 0.25, 0.2, 0.08, 0.05, 0.1], heavy_tailed=True)


@pytest.fixture(scope="module")
def three_with_triples():
    return make_setting(3, "all", [0.3, 0.25, 0.2, 0.07, 0.05, 0.08, 0.04])


@pytest.fixture(scope="module")
def three_bright():
    shares = [0.2, 0.15, 0.1, 0.1, 0.1, 0.1, 0.25]
    return make_setting(3, "all", shares, brighter=10)


def draw(setting, count, generator):
    """Draw pixels from the model: class, fractions, place along the axis, composition, counts."""
    intensity = setting.engine.state.parameters.intensity
    loading = setting.engine.state.parameters.axis_counts
    k = setting.engine.state.observations.cells.fraction.shape[1]
    classes = [*np.eye(k, dtype=bool)]
    for j, other in setting.engine.state.observations.cells.pairs:
        classes.append(np.isin(np.arange(k), [j, other]))
    if setting.engine.state.observations.cells.triples:
        classes.append(np.ones(k, bool))
    share = setting.weights[: len(classes)] / setting.weights[: len(classes)].sum()
    member = np.array(classes)[generator.choice(len(classes), count, p=share)]
    fraction = member * generator.exponential(size=(count, k))
    fraction /= fraction.sum(axis=1, keepdims=True)
    wider = np.ones(count)
    if setting.engine.state.observations.cells.heavy_tailed:
        in_tail = (fraction[:, 1] == 1) & (generator.uniform(size=count) < TAIL_SHARE)
        wider[in_tail] = TAIL_STRETCH
    z = wider * generator.normal(size=count)
    scatter = wider[:, None, None] * generator.normal(size=(count, k, 4))
    own = intensity * (1 + DISPERSION[:k] * scatter)
    expected = np.einsum("nk,nke->ne", fraction, own)
    expected = expected + (fraction[:, 1] * z)[:, None] * loading
    counts = generator.poisson(np.maximum(expected, 0.3)).astype(float)
    # What counts scatter beyond the axis is composition in part.
    alone = np.sqrt(HIDDEN[:k] ** 2 - SEEN[:k] ** 2) * generator.normal(size=(count, k, 4))
    local = COMPOSITION[:k] + SEEN[:k] * scatter + alone
    composition = np.einsum("nk,nko->no", fraction, local)
    composition += (fraction[:, 1] * z)[:, None] * AXIS_COMPOSITION
    return counts, fraction, composition


# -- direct quadrature --------------------------------------------------------------------------


def quadrature_nodes(setting, steps):
    """Give all fractions on a fine grid, their prior weights, and how wide the phases scatter.

    The first nodes are the pure phases, then garnet that scatters wider.
    """
    cells = setting.engine.state.observations.cells
    k = cells.fraction.shape[1]
    fractions, weights = [*np.eye(k), np.eye(k)[1]], [*setting.weights[:k]]
    tails = TAIL_SHARE * bool(cells.heavy_tailed)
    weights.append(weights[1] * tails)
    weights[1] *= 1 - tails
    middle = LEAST_PART + (1 - 2 * LEAST_PART) * (np.arange(steps) + 0.5) / steps
    share = stats.beta.pdf(middle, 0.5, 0.5)
    share /= share.sum()
    for number, (j, other) in enumerate(cells.pairs):
        fractions += list(np.outer(middle, np.eye(k)[j]) + np.outer(1 - middle, np.eye(k)[other]))
        weights += (setting.weights[k + number] * share).tolist()
    if cells.triples:
        n = 60
        inside = [(i, j, n - i - j) for i in range(1, n) for j in range(1, n - i)]
        fractions += list(np.array(inside) / n)
        weights += [setting.weights[k + len(cells.pairs)] / len(inside)] * len(inside)
    wider = np.ones(len(weights))
    wider[k] = TAIL_STRETCH
    return np.array(fractions), np.array(weights), wider


def quadrature(setting, counts, steps=250):
    """Integrate one pixel after the other over fractions and the place along the axis.

    Evened counts tell of fractions, and counts themselves of the place along the axis.
    """
    fraction, weight, wider = quadrature_nodes(setting, steps)
    k = fraction.shape[1]
    z = np.linspace(-12, 12, 121)
    place = stats.norm.pdf(z, scale=wider[:, None])
    log_weight = np.log(np.maximum(weight, 1e-300))
    mean = fraction @ INTENSITY[:k]
    moved = mean[:, None, :] + (fraction[:, 1, None] * z)[..., None] * LOADING
    scatter = wider[:, None] ** 2 * (fraction**2 @ (DISPERSION[:k] * INTENSITY[:k]) ** 2)
    variance = np.maximum(mean, 0.3) + SKEWNESS_ALLOWANCE + scatter
    sd = np.sqrt(variance)[:, None, :]
    axis = (wider * fraction[:, 1])[:, None] * LOADING
    evened = with_evened_counting(
        mean, scatter[:, :, None] * np.eye(4) + axis[:, :, None] * axis[:, None, :], np.zeros(4)
    )
    normals = [stats.multivariate_normal(*one) for one in zip(*evened, strict=True)]
    composition = (fraction @ COMPOSITION[:k])[:, None, :] + (fraction[:, 1, None] * z)[
        ..., None
    ] * AXIS_COMPOSITION
    together = fraction**2 @ (DISPERSION[:k] * INTENSITY[:k] * SEEN[:k])
    gain = (wider[:, None] * together / variance)[:, None, :]
    unseen = fraction**2 @ HIDDEN[:k] ** 2 - gain[:, 0] * together
    at_places = composition
    for one in counts:
        composition = at_places + gain * (one - moved)
        total = composition.sum(axis=2)
        log = np.array([normal.logpdf(one ** (2 / 3)) for normal in normals]) + log_weight
        at_node = np.exp(log - log.max())
        at_node /= at_node.sum()
        along = place * np.exp((-0.5 * ((one - moved) / sd) ** 2).sum(axis=2))
        chance = at_node[:, None] * along / along.sum(axis=1, keepdims=True)
        found = {"fraction": at_node @ fraction, "pure": at_node[:k].copy(), "at_node": at_node}
        found["pure"][1] += at_node[k]
        found["fraction_sd"] = np.sqrt(
            np.maximum(at_node @ fraction**2 - found["fraction"] ** 2, 0)
        )
        found["composition"] = np.einsum("gz,gzo->o", chance, composition)
        second = np.einsum("gz,gzo->o", chance, composition**2)
        hidden = at_node @ unseen
        found["composition_variance"] = second - found["composition"] ** 2 + hidden
        found["total_variance"] = (
            (chance * total**2).sum() - (chance * total).sum() ** 2 + hidden.sum()
        )
        found["axis_moment"] = fraction[:, 1] @ chance @ z
        yield fraction, found


def assert_interval(low, high, fraction, chance, limit):
    """Check the ends of a 90 % interval, a step of the grid either way."""
    reach, tolerance = 0.02, limit["tail"]
    assert chance[fraction < low - reach].sum() <= 0.05 + tolerance
    assert chance[fraction > high + reach].sum() <= 0.05 + tolerance
    if limit["tight"]:
        assert chance[fraction <= low + reach].sum() >= 0.05 - tolerance
        assert chance[fraction >= high - reach].sum() >= 0.05 - tolerance


TOLERANCES = {
    # Two phases: nodes against a finer grid, positions along the axis in bins of the fraction.
    "two": {
        "fraction": 0.003,
        "pure": 0.005,
        "wt": 0.15,
        "axis": 0.02,
        "tail": 0.01,
        "tight": True,
    },
    # Of more phases one pair or triple is integrated; what lies outside enters by coarse cells,
    # which may widen an interval but not shorten it.
    "three_by_pairs": {
        "fraction": 0.012,
        "pure": 0.03,
        "wt": 0.8,
        "axis": 0.12,
        "tail": 0.06,
        "tight": False,
    },
    "three_with_triples": {
        "fraction": 0.03,
        "pure": 0.05,
        "wt": 1.2,
        "axis": 0.12,
        "tail": 0.06,
        "tight": False,
    },
}


@pytest.mark.parametrize("name", list(TOLERANCES))
def test_the_pixel_pass_equals_direct_quadrature_on_a_fine_grid(name, request):
    setting, limit = request.getfixturevalue(name), TOLERANCES[name]
    counts, _, _ = draw(setting, 40, np.random.default_rng(5))
    answers = setting.engine.compute(counts)
    undecided = 0
    for i, (fraction, found) in enumerate(quadrature(setting, counts)):
        undecided += found["fraction_sd"].max() > 0.05
        for what, close in (("fraction", "fraction"), ("pure", "pure"), ("composition", "wt")):
            np.testing.assert_allclose(getattr(answers, what)[i], found[what], atol=limit[close])
        assert answers.axis_moment[i, 0] == pytest.approx(found["axis_moment"], abs=limit["axis"])
        for k in range(fraction.shape[1]):
            low, high = answers.fraction_low[i, k], answers.fraction_high[i, k]
            assert_interval(low, high, fraction[:, k], found["at_node"], limit)
    assert undecided > 5


class Told(NamedTuple):
    """Neighbours that add the same to all pixels."""

    added: np.ndarray
    width: int = 40
    tile: int = 40

    def of_rows(self, alone):
        """Give what is added, and the probabilities of the cells with it."""
        weight = alone * np.exp(self.added)
        added = np.tile(self.added, (len(alone), 1))
        return added.astype(np.float32), weight / weight.sum(axis=1, keepdims=True)


def test_what_neighbours_add_runs_evenly_along_a_pair_and_weighs_pure_phases_alone(two):
    counts, _, _ = draw(two, 40, np.random.default_rng(5))
    cells, limit = two.engine.state.observations.cells, TOLERANCES["two"]
    added = 1.5 * np.random.default_rng(6).normal(size=len(cells.class_of_cell) + 1)
    answers = two.engine.compute(counts, neighbours=Told(added))
    pair = np.flatnonzero(cells.pair_of_cell == 0)
    (wide,) = np.flatnonzero(cells.stretch > 1)
    moved = 0.0
    for i, (fraction, found) in enumerate(quadrature(two, counts)):
        along = np.interp(fraction[3:, 0], cells.fraction[pair, 0], added[pair])
        chance = found["at_node"] * np.exp([*added[:2], added[wide], *along])
        chance /= chance.sum()
        np.testing.assert_allclose(answers.fraction[i], chance @ fraction, atol=limit["fraction"])
        pure = [chance[0], chance[1] + chance[2]]
        np.testing.assert_allclose(answers.pure[i], pure, atol=limit["pure"])
        moved = max(moved, np.abs(chance @ fraction - found["fraction"]).max())
    assert moved > 10 * limit["fraction"]


def standard_deviations(setting, count):
    """Give standard deviations of the pass and of quadrature: fractions, wt%, totals."""
    counts, _, _ = draw(setting, count, np.random.default_rng(5))
    answers = setting.engine.compute(counts)
    exact = [found for _, found in quadrature(setting, counts, steps=150)]
    by_pass = (
        answers.fraction_sd,
        np.sqrt(answers.composition_variance),
        np.sqrt(answers.total_variance),
    )
    by_quadrature = (
        np.array([found["fraction_sd"] for found in exact]),
        np.sqrt([found["composition_variance"] for found in exact]),
        np.sqrt([found["total_variance"] for found in exact]),
    )
    return by_pass, by_quadrature


def test_standard_deviations_of_two_phases_equal_those_of_direct_quadrature(two):
    for found, exact, allowed in zip(*standard_deviations(two, 60), (0.003, 0.1, 0.1), strict=True):
        np.testing.assert_allclose(found, exact, rtol=0.12, atol=allowed)


def test_standard_deviations_among_three_phases_are_never_too_short(three_by_pairs):
    pairs = zip(*standard_deviations(three_by_pairs, 60), (0.005, 0.1, 0.1), strict=True)
    for found, exact, allowed in pairs:
        assert (found > 0.9 * exact - allowed).all()


def test_variances_of_pure_pixels_among_three_phases_are_not_inflated(three_by_pairs):
    (_, found, _), (_, exact, _) = standard_deviations(three_by_pairs, 120)
    counts, _, _ = draw(three_by_pairs, 120, np.random.default_rng(5))
    pure = three_by_pairs.engine.compute(counts).pure.max(axis=1) > 0.9
    assert pure.sum() > 20
    ratio = (found[pure] ** 2).sum(axis=0) / (exact[pure] ** 2).sum(axis=0)
    assert (ratio < 1.3).all()


# -- calibration on the model's own data ---------------------------------------------------------


@pytest.fixture(scope="module", params=["three_by_pairs", "three_with_tails"])
def own_data(request):
    """Data drawn from the model, and what the pass makes of them."""
    setting = request.getfixturevalue(request.param)
    counts, fraction, composition = draw(setting, 12_000, np.random.default_rng(9))
    return setting.engine.compute(counts), fraction, composition


def mean_ratio(squares, variances):
    """Give summed squares over summed variances, and the standard error of that ratio."""
    ratio = squares.sum() / variances.sum()
    error = np.sqrt(((squares - ratio * variances) ** 2).sum()) / variances.sum()
    return ratio, error


def test_errors_of_fractions_are_as_large_as_their_standard_deviations(own_data):
    answers, fraction, _ = own_data
    for k in range(3):
        for low, high in ((0.0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.0)):
            mine = (answers.fraction[:, k] >= low) & (answers.fraction[:, k] <= high)
            squares = (fraction[mine, k] - answers.fraction[mine, k]) ** 2
            ratio, error = mean_ratio(squares, answers.fraction_sd[mine, k].astype(float) ** 2)
            assert ratio == pytest.approx(1, abs=4 * error + 0.02)


def test_errors_of_compositions_are_no_larger_than_their_standard_deviations_say(own_data):
    answers, _, composition = own_data
    pure = answers.pure.max(axis=1) > 0.95
    # Where phases mix they are as large, too; of pure pixels see the quadrature above.
    for mine, least in ((pure, 0.3), (~pure, 0.92)):
        for o in range(4):
            squares = (composition[mine, o] - answers.composition[mine, o]) ** 2
            variances = answers.composition_variance[mine, o].astype(float)
            ratio, error = mean_ratio(squares, variances)
            assert least - 4 * error < ratio < 1.02 + 4 * error


def test_ninety_percent_intervals_hold_nine_fractions_of_ten_or_more_where_one_end_is_an_atom(
    own_data,
):
    answers, fraction, _ = own_data
    low, high = answers.fraction_low, answers.fraction_high
    held = (fraction >= low - 1e-5) & (fraction <= high + 1e-5)
    # Neither end is 0 or 1: the posterior is continuous, and coverage exact.
    inside = (low > 0.01) & (high < 0.99)
    number = int(inside.sum())
    assert number > 300
    error = np.sqrt(0.9 * 0.1 / number)
    assert held[inside].mean() == pytest.approx(0.9, abs=4 * error)
    assert held[~inside].mean() > 0.9


def test_intervals_hold_nine_fractions_of_ten_where_three_phases_meet_and_counts_are_many(
    three_bright,
):
    """The posterior is much narrower there than the triangles that nodes stand for."""
    counts, fraction, _ = draw(three_bright, 4000, np.random.default_rng(4))
    answers = three_bright.engine.compute(counts)
    # All three are surely there: no atom at 0 or 1.
    open_ended = (answers.fraction_low > 0.02).all(axis=1)
    assert open_ended.sum() > 400
    held = (fraction >= answers.fraction_low) & (fraction <= answers.fraction_high)
    error = np.sqrt(0.9 * 0.1 / open_ended.sum())
    for k in range(3):
        assert held[open_ended, k].mean() == pytest.approx(0.9, abs=3 * error + 0.02)
    squares = (fraction[open_ended] - answers.fraction[open_ended]) ** 2
    ratio, error = mean_ratio(squares, answers.fraction_sd[open_ended].astype(float) ** 2)
    assert ratio == pytest.approx(1, abs=4 * error + 0.05)


def test_probabilities_of_being_pure_come_true_as_often_as_they_say(own_data):
    answers, fraction, _ = own_data
    for k in range(3):
        said = answers.pure[:, k].astype(float)
        for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 1.001)):
            mine = (said >= low) & (said < high)
            if mine.sum() < 50:
                continue
            error = np.sqrt((said[mine] * (1 - said[mine])).sum()) / mine.sum()
            assert (fraction[mine, k] == 1).mean() == pytest.approx(
                said[mine].mean(), abs=4 * error + 0.005
            )


def test_evidence_of_the_models_own_pixels_follows_half_a_chi_square(three_by_pairs):
    generator = np.random.default_rng(2)
    counts, fraction, _ = draw(three_by_pairs, 6000, generator)
    pure = counts[fraction.max(axis=1) == 1][:3000]
    evidence = three_by_pairs.engine.compute(pure).evidence.astype(float)
    deviation = 2 * (0.5 * 4 - evidence)
    # Some pure pixels fit a mixture better, which makes the evidence a little too good.
    assert deviation.mean() == pytest.approx(4, abs=0.35)
    for level in (0.5, 0.9, 0.99):
        above = (deviation > stats.chi2(4).ppf(level)).mean()
        assert above == pytest.approx(1 - level, abs=0.25 * (1 - level) + 0.01)


def test_pixels_that_no_phase_explains_are_unknown_and_the_models_own_are_not(three_by_pairs):
    strange = np.array(
        [[5.0, 150.0, 150.0, 90.0], [200.0, 200.0, 0.0, 60.0], [0.0, 0.0, 0.0, 45.0]]
    )
    answers = three_by_pairs.engine.compute(strange)
    assert (answers.unknown > 0.999).all()
    assert (answers.evidence < -20).all()
    own, _, _ = draw(three_by_pairs, 2000, np.random.default_rng(3))
    assert three_by_pairs.engine.compute(own).unknown.mean() < UNKNOWN_SHARE


def test_draws_of_pure_pixels_in_the_tails_have_the_moments_of_the_pass(two):
    counts, _, _ = draw(two, 20_000, np.random.default_rng(12))
    counts = counts[counts[:, 2] > INTENSITY[1, 2] + 3 * LOADING[0, 2]]
    pure = two.engine.compute(counts).pure[:, 1] > 0.97
    assert pure.sum() > 20
    answers, number = two.engine.compute(counts[pure]), 500
    _, composition = draw_once(
        two.engine, np.repeat(counts[pure], number, axis=0), None, np.random.default_rng(3)
    )
    drawn = composition.reshape(-1, number, 4)
    sd = np.sqrt(answers.composition_variance)
    # The further half moves by more than two standard deviations of the axis.
    assert np.median(answers.axis_moment) > 2
    # Five standard errors of the draws, and the cells' coarser grid of fractions.
    np.testing.assert_array_less(np.abs(drawn.mean(axis=1) - answers.composition), 0.3 * sd + 0.02)
    np.testing.assert_allclose(np.median(drawn.std(axis=1) / sd, axis=0), 1, atol=0.1)


def test_counts_move_along_an_axis_as_dead_time_lets_them(two):
    """Against differences: the mixture of true counts, seen through the dead time."""
    state = two.engine.state
    dead = np.array([2e-3, 1e-3, 4e-3, 0.0])
    state = replace(state, observations=replace(state.observations, dead_share=dead))
    fraction = np.array([[0.0, 1.0], [0.7, 0.3], [1.0, 0.0]])

    def seen(position):
        pure = INTENSITY[:2] + np.outer([0.0, position], LOADING[0])
        return np.asarray(observed_counts(fraction @ np.asarray(true_counts(pure, dead)), dead))

    step = 1e-4
    slope = (seen(step) - seen(-step)) / (2 * step)
    np.testing.assert_allclose(state.axis_shift(fraction)[:, 0], slope, atol=1e-6)
    # Of a pure phase they move as its counts were seen to; of a mixture not quite by its fraction.
    np.testing.assert_allclose(slope[0], LOADING[0], atol=1e-6)
    assert abs(slope[1, 2] / (0.3 * LOADING[0, 2]) - 1) > 0.05


# -- the shape of the answers --------------------------------------------------------------------


def test_fractions_add_up_to_one_and_lie_in_their_intervals(own_data, three_with_triples):
    triples, _, _ = draw(three_with_triples, 3000, np.random.default_rng(4))
    for answers in (own_data[0], three_with_triples.engine.compute(triples)):
        np.testing.assert_allclose(answers.fraction.sum(axis=1), 1, atol=1e-4)
        assert (answers.pure.sum(axis=1) <= 1 + 1e-4).all()
        for name in ("fraction", "fraction_low", "fraction_high", "pure", "unknown"):
            values = getattr(answers, name)
            assert values.min() >= 0
            assert values.max() <= 1 + 1e-5
        assert (answers.fraction_low <= answers.fraction_high + 1e-6).all()
        assert (answers.fraction_sd >= 0).all()
        assert (answers.total_variance >= 0).all()


def test_answers_depend_neither_on_the_order_of_pixels_nor_on_the_tiles(
    three_with_triples, monkeypatch
):
    generator = np.random.default_rng(6)
    counts, _, _ = draw(three_with_triples, 9000, generator)
    together = three_with_triples.engine.compute(counts)
    order = generator.permutation(len(counts))
    heard = []
    monkeypatch.setattr(pixels, "TILE", 4096)
    apart = three_with_triples.engine.compute(counts[order], heard.append)
    assert heard == [4096, 8192, 9000]
    for name in together.__annotations__:
        # Variances are differences of squares in single precision.
        close = 0.006 if "variance" in name else 1e-4
        np.testing.assert_allclose(
            getattr(apart, name), getattr(together, name)[order], atol=close, err_msg=name
        )


def test_mean_fractions_of_a_map_agree_with_the_pass_pixel_by_pixel(three_by_pairs):
    counts, fraction, _ = draw(three_by_pairs, 12_000, np.random.default_rng(8))
    found = three_by_pairs.engine.mean_fractions(counts, three_by_pairs.engine.state.parameters)
    by_pixels = three_by_pairs.engine.compute(counts).fraction.mean(axis=0)
    np.testing.assert_allclose(found, by_pixels, atol=0.004)
    np.testing.assert_allclose(found, fraction.mean(axis=0), atol=0.008)


@pytest.mark.parametrize("seed", [1, 2])
def test_pure_pixels_of_few_counts_pass_for_mixtures_no_more_often_than_said(seed):
    """Three counts of an element that the phase lacks are no sign of another phase."""
    maps, spots, truth = simulate_phase_maps(
        96, 96, 4, 8, n_spots=40, counts_per_pixel=80, seed=seed
    )
    engine = PixelEngine.at_anchors(PhaseMaps(maps, spots).observations)
    chance = engine.compute(flat_counts(maps)).pure.max(axis=1)
    pure = truth["phase_fraction"].max("phase").to_numpy().ravel() > 0.999
    doubtful = (chance > 0.05) & (chance < 0.6)
    assert doubtful.sum() > 150
    # 200 pixels tell a share to 0.035; with the variance of Poisson's alone 0.28 and 0.33 more
    # were pure than said.
    assert pure[doubtful].mean() == pytest.approx(chance[doubtful].mean(), abs=0.12)
