import arviz as az
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytest
from jax.flatten_util import ravel_pytree

import petro_models as petro
from petro_models.errors import FitError
from petro_models.inference.compiled import compile_model
from petro_models.inference.convergence import convergence
from petro_models.inference.lifting import Family, trace
from petro_models.inference.nuts import sample_nuts
from petro_models.inference.whitened import sample_whitened
from petro_models.mass_transfer.simulate import simulate_mass_table

DRAWS, CHAINS = 400, 4
CLEAR, COMPETING, BROKEN, MISSING = 4, 4, 5, 6
"""Numbers of clear suites, and of the items after them."""


def suite(seed, n_elements=8, **settings):
    """Three altered rocks of which half the elements stayed: one clear frame unless told."""
    settings = {"immobile_share": 0.5} | settings
    table, _ = simulate_mass_table(n_samples=3, n_elements=n_elements, seed=seed, **settings)
    return petro.MassTransfer(table)


@pytest.fixture(scope="module")
def suites():
    competing = suite(3, immobile_share=0.375, co_moving_share=0.375)
    broken = suite(8)
    broken._starting_points = lambda: [{"mass_change": np.full(3, np.nan)}]
    return [*(suite(seed) for seed in range(CLEAR)), competing, broken, None]


@pytest.fixture(scope="module")
def sampled(suites):
    return petro.fit_many(suites, method="hmc", draws=DRAWS, chains=CHAINS, seed=1, keep_draws=True)


@pytest.fixture(scope="module")
def garnets():
    table = petro.bundled_table("white2014")
    problems = []
    for seed, path in enumerate(("heating", "clockwise")):
        profiles, _, _ = petro.simulate_history(
            table, path, n_grains=1, n_positions=10, n_ages=0, seed=seed
        )
        problems.append(petro.Histories(profiles, table, nodes=12, growth_law="equilibrium_volume"))
    return problems


def summary(fits, item, statistic):
    return fits["layout_0"]["mass_change"].sel(item=item, statistic=statistic).to_numpy()


def test_a_suite_with_a_closed_form_is_sampled_exactly(suites):
    fits = petro.fit_many(suites[: CLEAR + 1], draws=DRAWS, seed=1)
    assert (fits["status"]["status"] == "ok").all()
    assert (fits["status"]["method"] == "exact").all()
    assert fits.attrs["structures_compiled"] == 0
    for item in range(CLEAR + 1):
        truth = suites[item].enumerate()
        # Independent draws: four standard errors of a mean.
        gap = np.abs(summary(fits, item, "mean") - truth.mean)
        np.testing.assert_array_less(gap, 4 * truth.sd / np.sqrt(DRAWS * CHAINS))


def test_suites_sampled_side_by_side_agree_with_the_sum_over_all_sets(sampled, suites):
    assert sampled.attrs["structures_compiled"] == 1
    for item in range(CLEAR):
        truth = suites[item].enumerate()
        effective = float(sampled["status"]["ess_bulk"][item])
        gap = np.abs(summary(sampled, item, "mean") - truth.mean)
        np.testing.assert_array_less(gap, 4.5 * truth.sd / np.sqrt(effective))
        # A standard deviation from 1,000 effective draws is known to 2 %; its tails are heavier.
        np.testing.assert_allclose(summary(sampled, item, "sd"), truth.sd, rtol=0.15)
        assert sampled["status"]["status"][item] == "ok"


def test_a_suite_in_a_batch_agrees_with_pm_sample(sampled, suites):
    alone = sample_nuts(suites[0].model, draws=DRAWS, chains=CHAINS, seed=2).posterior
    own = sampled["items/0/posterior"].to_dataset()
    sd = alone["mass_change"].std(("chain", "draw")).to_numpy()
    for level in (0.05, 0.5, 0.95):
        one, two = (
            fit["mass_change"].quantile(level, ("chain", "draw")).to_numpy() for fit in (own, alone)
        )
        # Quantiles of two runs of some 1,000 effective draws differ by 0.1 sd in the tails.
        np.testing.assert_array_less(np.abs(one - two), 0.3 * sd)


def test_garnets_sampled_side_by_side_agree_with_the_one_item_path(garnets):
    fits = petro.fit_many(garnets, draws=1000, chains=CHAINS, seed=1, keep_draws=True)
    assert fits.attrs["structures_compiled"] == 1
    problem = garnets[0]
    start = problem.start_of_climb()
    alone = sample_whitened(problem.model, start, draws=1000, chains=CHAINS, tune=500, seed=5)
    one = problem.derive(fits["items/0"])
    two = problem._derive(alone, 0)
    # Two runs of some 400 effective draws: 0.07 sd of difference in a mean, 0.15 sd in a quantile
    # of 5 %; four times that for the worst of twenty.
    tolerance = {"mean": 0.28, "q05": 0.6, "q95": 0.6}
    for name in ("pressure_kbar", "temperature_C"):
        sd = two[name].sel(statistic="sd").to_numpy()
        for statistic, widths in tolerance.items():
            gap = np.abs((one[name] - two[name]).sel(statistic=statistic).to_numpy())
            np.testing.assert_array_less(gap, widths * sd)
        np.testing.assert_allclose(one[name].sel(statistic="sd"), sd, rtol=0.25)


def test_an_item_knows_nothing_of_its_neighbours_or_the_batch_size(sampled, suites):
    others = [None, suites[1], suite(9), suite(2), None, suite(11, n_elements=9)]
    fits = petro.fit_many(others, method="hmc", draws=DRAWS, seed=1, batch_size=3)
    assert fits.attrs["structures_compiled"] == 2
    sd = summary(sampled, 1, "sd")
    for statistic in ("mean", "q05", "q95"):
        gap = np.abs(summary(fits, 1, statistic) - summary(sampled, 1, statistic))
        # The same draws but for rounding: vectors of another length are summed in another order.
        np.testing.assert_array_less(gap, 1e-6 * sd)


def test_the_same_seed_gives_the_same_result_and_another_seed_another(suites):
    once, again, other = (
        petro.fit_many(suites[:2], draws=DRAWS, seed=seed)["layout_0"].to_dataset()
        for seed in (1, 1, 2)
    )
    assert once.identical(again)
    assert not once.equals(other)


def test_competing_frames_are_named_and_not_passed_off_as_one(sampled, suites):
    assert suites[COMPETING].competing_optima()
    status = sampled["status"].isel(item=COMPETING)
    assert status["status"] == "multimodal"
    assert "frames compete" in str(status["message"].values)


def test_a_broken_item_says_so_and_spares_the_rest(sampled):
    status = sampled["status"]
    assert status["status"][BROKEN] == "failed"
    assert "not finite" in str(status["message"][BROKEN].values)
    assert status["status"][MISSING] == "no_data"
    assert (status["status"][:CLEAR] == "ok").all()
    assert (status["layout"][[BROKEN, MISSING]] == -1).all()
    assert np.isfinite(sampled["layout_0"]["mass_change"]).all()


def test_an_item_that_cannot_even_be_declared_spares_the_rest(suites):
    def no_method():
        raise ZeroDivisionError("no rock")

    unspeakable = suite(0)
    unspeakable._choose_method = no_method
    fits = petro.fit_many([unspeakable, suites[1]], draws=50)
    assert list(fits["status"]["status"].values) == ["failed", "ok"]
    assert fits["status"]["message"][0] == "ZeroDivisionError: no rock"


def test_suites_of_unlike_structure_are_laid_out_apart(suites):
    fits = petro.fit_many([suites[0], suite(4, n_elements=9), suites[1]], draws=50)
    assert list(fits["status"]["layout"].values) == [0, 0, 0]
    larger, _ = simulate_mass_table(n_samples=4, n_elements=8, immobile_share=0.5, seed=1)
    fits = petro.fit_many([suites[0], petro.MassTransfer(larger)], draws=50)
    assert list(fits["status"]["layout"].values) == [0, 1]
    assert fits["layout_1"]["mass_change"].sizes == {"item": 1, "statistic": 5, "sample": 4}


def test_kept_draws_are_a_fit_that_the_problem_can_derive_from(sampled, suites):
    answers = suites[0].derive(sampled["items/0"])
    assert answers["mass_ratio"].sizes == {"chain": CHAINS, "draw": DRAWS, "sample": 3}
    with pytest.raises(FitError, match="another model"):
        suites[1].derive(sampled["items/0"])


def test_models_that_differ_in_numbers_share_functions_of_those_numbers(suites):
    family = Family(trace(suites[0].model))
    assert all(family.admit(trace(problem.model)) for problem in suites[1:3])
    lifted = family.lift()
    generator = np.random.default_rng(5)
    for row, problem in enumerate(suites[:3]):
        own = compile_model(problem.model)
        flat, restore = ravel_pytree({name: jnp.asarray(v) for name, v in own.initial.items()})
        flat = flat + generator.normal(size=flat.size)
        data = tuple(values[row] for values in lifted.stacked)
        expected = -own.log_prior(restore(flat)) - own.log_likelihood(restore(flat))
        assert float(lifted.negative(flat, data)) == pytest.approx(float(expected), rel=1e-12)


def test_a_number_that_needs_no_double_precision_makes_no_structure_of_its_own():
    def dated(age):
        with pm.Model() as model:
            start = pm.Normal("start", 0, 100)
            pm.Normal("age", start, 0.3, observed=np.float64(age))
        return model

    ages = (80.0, 80.1, 79.5)
    family = Family(trace(dated(ages[0])))
    assert all(family.admit(trace(dated(age))) for age in ages[1:])
    lifted = family.lift()
    for row, age in enumerate(ages):
        data = tuple(values[row] for values in lifted.stacked)
        # One standard deviation away: half a unit, if the age was not rounded to single precision.
        fall = lifted.log_likelihood(jnp.array([age]), data) - lifted.log_likelihood(
            jnp.array([age + 0.3]), data
        )
        assert float(fall) == pytest.approx(0.5, rel=1e-9)


def line(n_points, power=1, observed=1.0):
    with pm.Model() as model:
        slope = pm.LogNormal("slope", 0, 1)
        predictor = np.linspace(1, 2, n_points)
        pm.Normal("response", slope**power * predictor, 0.1, observed=observed * predictor)
    return model


def test_models_of_other_size_or_other_algebra_are_unlike():
    family = Family(trace(line(5)))
    assert family.admit(trace(line(5, observed=3.0)))
    assert not family.admit(trace(line(6)))
    with pm.Model() as other:
        slope = pm.LogNormal("slope", 0, 1)
        predictor = np.linspace(1, 2, 5)
        pm.Normal("response", pm.math.exp(slope) * predictor, 0.1, observed=predictor)
    assert not family.admit(trace(other))


def test_a_constant_that_steers_a_shape_makes_models_unlike():
    def first(count):
        with pm.Model() as model:
            values = pm.Normal("values", 0, 1, shape=5)
            pm.Normal("sum", values[:count].sum(), 1, observed=0.0)
        return model

    family = Family(trace(first(2)))
    assert not family.admit(trace(first(3)))


def test_convergence_equals_arviz():
    generator = np.random.default_rng(3)
    steps = generator.normal(size=(4, 500, 6))
    for draw in range(1, 500):
        steps[:, draw] += 0.8 * steps[:, draw - 1] * np.linspace(0, 1, 6)
    steps[0, :, 2] += 1.0
    found = convergence(steps)
    dataset = az.convert_to_datatree({"x": steps})["posterior"].to_dataset()
    assert found.r_hat == pytest.approx(float(az.rhat(dataset)["x"].max()), abs=2e-3)
    for kind, levels, value in (("bulk", None, found.bulk), ("tail", (0.05, 0.95), found.tail)):
        expected = float(az.ess(dataset, method=kind, prob=levels)["x"].min())
        # Both follow Geyer; they end the sum of autocorrelations at slightly different lags.
        assert value == pytest.approx(expected, rel=0.05)


def test_quantities_that_do_not_vary_are_left_out_of_convergence():
    assert np.isnan(convergence(np.ones((2, 10, 3))).r_hat)


@pytest.mark.filterwarnings("error")
def test_chains_that_stand_still_apart_do_not_converge_and_warn_of_nothing():
    found = convergence(np.repeat(np.arange(4.0)[:, None, None], 50, axis=1))
    assert found.r_hat == np.inf
    assert found.bulk < 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "hmcc"}, "did you mean 'hmc'"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"batch_size": -1}, "batch_size must be at least 1"),
    ],
)
def test_impossible_requests_are_refused_before_anything_runs(suites, options, message):
    with pytest.raises(FitError, match=message):
        petro.fit_many(suites, **options)
