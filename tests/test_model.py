"""The declared model: a plain PyMC model whose densities agree with direct formulas."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr
from scipy import integrate, stats

import petro_models as petro
from petro_models import Prior
from petro_models.inference.compiled import compile_model
from petro_models.inference.draws import quiet_libraries
from petro_models.mass_transfer import group_bridge
from petro_models.mass_transfer.simulate import simulate_mass_table

MOBILITIES = (
    "spike_and_slab", "coherent_spike_and_slab", "horseshoe", "student_t", "group_bridge(0.5)",
)  # fmt: skip


def suite(**options: float) -> xr.Dataset:
    settings = {"n_samples": 4, "n_elements": 8, "n_protolith": 3, "protolith_spread": 0.05}
    return simulate_mass_table(**(settings | options), seed=5)[0]


def log_likelihood(problem: petro.MassTransfer, mass_change: np.ndarray) -> float:
    compiled = compile_model(problem.model)
    return float(compiled.log_likelihood({"mass_change": mass_change}))


def exactly_known(table: xr.Dataset, **options: str) -> petro.MassTransfer:
    problem = petro.MassTransfer(table, **options)
    for name, number in {
        "protolith_offset": 0.0,
        "protolith_spread": 0.08,
        "protolith_dilution": 0.0,
        "mobility_scale": 0.6,
        "immobile_probability": 0.3,
    }.items():
        problem.priors[name] = number
    return problem


def test_spike_and_slab_density_is_the_sum_over_both_states() -> None:
    problem = exactly_known(suite())
    mass_change = np.array([0.1, -0.2, 0.3, 0.0])
    logs, spike = problem.logs, np.sqrt(0.08**2 + 0.03**2)
    slab = np.hypot(spike, 0.6)
    expected = stats.norm.logpdf(logs.protolith.value, logs.reference[:, None], 0.08).sum()
    mean = logs.reference[:, None] - mass_change
    for value, centre in zip(logs.altered.value, mean, strict=True):
        inside = stats.norm.logpdf(value, centre, spike).sum() + np.log(0.3)
        outside = stats.norm.logpdf(value, centre, slab).sum() + np.log(0.7)
        expected += np.logaddexp(inside, outside)
    assert log_likelihood(problem, mass_change) == pytest.approx(expected, rel=1e-10)


def test_mean_mobility_is_integrated_out_with_cells_below_detection() -> None:
    """Against numerical integration of the element's mean mobility, cell by cell."""
    table = suite(below_detection_share=0.2)
    problem = exactly_known(table, mobility="coherent_spike_and_slab")
    mass_change = np.array([0.1, -0.2, 0.3, 0.0])
    logs, spike = problem.logs, np.sqrt(0.08**2 + 0.03**2)
    slab = np.hypot(spike, 0.6)
    below = logs.altered.value <= logs.altered.floor
    assert below.any()

    def column(j: int, shift: float, sd: float) -> float:
        centre = logs.reference[j] - mass_change + shift
        cells = np.where(
            below[j],
            stats.norm.logcdf(logs.altered.value[j], centre, sd),
            stats.norm.logpdf(logs.altered.value[j], centre, sd),
        )
        return float(cells.sum())

    hidden = logs.protolith.value <= logs.protolith.floor
    expected = np.where(
        hidden,
        stats.norm.logcdf(logs.protolith.value, logs.reference[:, None], 0.08),
        stats.norm.logpdf(logs.protolith.value, logs.reference[:, None], 0.08),
    ).sum()
    grid = np.linspace(-6, 6, 4001)
    for j in range(len(logs.reference)):
        log_integrand = [column(j, a, slab) + stats.norm.logpdf(a, 0, 0.7) for a in grid]
        peak = max(log_integrand)
        integral = integrate.simpson(np.exp(np.array(log_integrand) - peak), x=grid)
        outside = peak + np.log(integral) + np.log(0.7)
        expected += np.logaddexp(np.log(0.3) + column(j, 0.0, spike), outside)
    # 15 nodes of Gauss-Hermite: the cells below detection are not a polynomial of the shift.
    assert log_likelihood(problem, mass_change) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("exponent", [0.3, 0.5, 1.0])
def test_group_bridge_density_integrates_to_one(exponent: float) -> None:
    """In two dimensions by direct quadrature in polar coordinates."""
    radius = np.exp(np.linspace(-14, 22, 4000))
    values = np.stack([radius, np.zeros_like(radius)], axis=1)
    constants = (np.zeros(2), np.array(0.05), np.array(0.4), np.ones(2))
    log_density = group_bridge.log_density(
        *(pt.as_tensor(array) for array in (values, *constants)),
        exponent=exponent,
    ).eval()
    total = integrate.trapezoid(2 * np.pi * radius**2 * np.exp(log_density), np.log(radius))
    assert total == pytest.approx(1.0, abs=2e-3)


def test_group_bridge_draws_follow_their_density(generator: np.random.Generator) -> None:
    """One dimension, q = 1, no smoothing to speak of: a Laplace distribution."""
    drawn = group_bridge.draw(
        np.zeros(1), np.array(1e-6), np.array(0.25), np.ones(1), generator, (4000,), exponent=1.0
    )
    assert stats.kstest(drawn[:, 0], stats.laplace(scale=0.25).cdf).pvalue > 0.01


@pytest.mark.parametrize("mobility", MOBILITIES)
def test_prior_predictive_rocks_are_rocks(mobility: str) -> None:
    """Half of the prior's altered rocks hold each element within a factor of ten."""
    problem = petro.MassTransfer(suite(), mobility=mobility)
    drawn = problem.prior_predictive(draws=200, seed=1)
    values = drawn["prior_predictive"]["altered_log_concentration"]
    factor = np.abs(values - xr.DataArray(problem.logs.reference, dims="element"))
    assert float(factor.median()) < np.log(10)
    assert np.isfinite(values).all()


def test_gradient_is_finite_far_from_the_data() -> None:
    """Cells below detection must not poison the gradient where a chain starts badly."""
    import jax

    problem = exactly_known(suite(below_detection_share=0.2), mobility="coherent_spike_and_slab")
    compiled = compile_model(problem.model)
    for far in (-60.0, 60.0):
        gradient = jax.grad(compiled.log_likelihood)({"mass_change": np.full(4, far)})
        assert np.isfinite(gradient["mass_change"]).all()


def test_model_is_a_plain_pymc_model(grant_problem: petro.MassTransfer) -> None:
    model = grant_problem.model
    assert isinstance(model, pm.Model)
    assert "mass_change" in str(pm.model_to_graphviz(model))
    done = pm.do(model, {"mass_change": np.array([0.05])})
    assert not done.free_RVs
    observed = pm.observe(model, {"mass_change": np.array([0.05])})
    assert "mass_change" in {rv.name for rv in observed.observed_RVs}
    with model, quiet_libraries():
        trace = pm.sample(
            50, tune=50, chains=1, random_seed=1, progressbar=False, nuts_sampler="numpyro",
            compute_convergence_checks=False,
        )  # fmt: skip
    assert trace["posterior"]["mass_change"].shape == (1, 50, 1)


def test_trend_needs_a_distance_and_the_bridge_refuses_hidden_cells() -> None:
    with pytest.raises(petro.DataError, match="needs the variable 'distance'"):
        petro.MassTransfer(suite(), mass_change="trend")
    with pytest.raises(petro.DataError, match="below detection"):
        petro.MassTransfer(suite(below_detection_share=0.2), mobility="group_bridge(0.5)")


def test_wrong_options_name_the_nearest() -> None:
    with pytest.raises(petro.FitError, match="did you mean 'horseshoe'"):
        petro.MassTransfer(suite(), mobility="horse_shoe")
    with pytest.raises(petro.FitError, match="did you mean 'pooled'"):
        petro.MassTransfer(suite(), mass_change="poled")
    with pytest.raises(petro.FitError, match="0 < q <= 2"):
        petro.MassTransfer(suite(), mobility="group_bridge(3)")


def test_a_prior_alone_may_stand_for_an_unmeasured_protolith_error(
    grant_problem: petro.MassTransfer,
) -> None:
    """One exact analysis, 'known to 5 %' by the user: the mass change is less certain."""
    exact = grant_problem.enumerate()
    grant_problem.priors["protolith_offset"] = Prior("Normal", mu=0, sigma=0.05, dims="element")
    wider = grant_problem.enumerate()
    frame = 0b11  # SiO2 and TiO2
    assert (
        wider.conditional(np.array([frame]))[1].item()
        > 1.5 * exact.conditional(np.array([frame]))[1].item()
    )
