"""Diffusion as the last forward stage: what it does to zoning, and to the path that is read off."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fit_answers import covered, verdict

import petro_models as petro
from petro_models.errors import DataError, FitError
from petro_models.histories import blurring
from petro_models.histories.inclusions import garnet_inclusions
from petro_models.histories.problem import Histories
from petro_models.histories.simulate import simulate_history
from petro_models.thermodynamics.bundled import bundled_table
from petro_models.thermodynamics.diffusion import diffuse

ROCK = {
    "n_grains": 1,
    "n_positions": 24,
    "n_ages": 3,
    "duration_Myr": 30.0,
    "largest_radius_um": 200.0,
    "seed": 3,
}


def grain() -> tuple[np.ndarray, ...]:
    """Two grains that grow over 20 Myr of heating, shells and rims, and the path."""
    shells = blurring.shell_places(blurring.SHELLS)
    sps, prp = 0.2 - 0.15 * shells, 0.05 + 0.08 * shells
    fractions = np.stack([1 - sps - prp - 0.1, prp, np.full_like(sps, 0.1), sps], axis=-1)
    time = np.linspace(0.0, 20.0, blurring.STEPS + 1)
    return (
        np.stack([fractions, fractions]),
        blurring.shell_edges_um(np.array([300.0, 100.0])),
        np.stack([20.0 * shells[:-1], 20.0 * shells[:-1]]),
        time,
        600 + 3.0 * time,
        np.full(time.size, 7.0),
    )


def test_grains_are_blurred_as_the_solver_blurs_each_alone() -> None:
    fractions, edges, formation, time, heat, load = grain()
    both = blurring.blur(fractions, edges, formation, time, heat, load)
    for row in range(2):
        grown, surface = fractions[row, :-1], fractions[row, -1]
        path = time, heat, load
        alone = diffuse(grown, edges[row], *path, formation[row], surface, steps=blurring.STEPS)
        np.testing.assert_allclose(both[row, :-1], alone - grown, atol=1e-12)
        np.testing.assert_array_equal(both[row, -1], 0.0)
    change = np.abs(np.asarray(both)).max(axis=(1, 2))
    assert change[1] > change[0], "the small grain is blurred more"


@pytest.mark.parametrize("slowing", [1.0, 4.0])
def test_steps_in_time_are_fine_enough_for_the_model(slowing: float) -> None:
    """Also where growth slows while it gets hotter: the last hundredth of it takes 6 Myr of 20."""
    fractions, edges, formation, *_ = grain()
    share = np.linspace(0.0, 1.0, 161)
    time = 20.0 * (1 - (1 - share) ** (1 / slowing))
    path = time, 600 + 3.0 * time, np.full(time.size, 7.0)
    found = blurring.blur(fractions, edges, formation, *path)
    exact = blurring.blur(fractions, edges, formation, *path, steps=40 * blurring.STEPS)
    # Analyses err by 0.004 at best, and diffusion changes 0.15 here.
    assert float(jnp.abs(found - exact).max()) < 0.002
    assert float(jnp.abs(exact).max()) > 0.1


def test_shell_values_are_read_off_at_radii() -> None:
    places = blurring.shell_places(blurring.SHELLS)
    values = np.stack([places, 2 * places])[:, :, None] * np.ones(4)
    at = np.array([0.25, 0.5, 0.75, 0.995, 1.0])
    found = blurring.at_radii(values, at, np.array([0, 1, 1, 1, 1]), np)
    np.testing.assert_allclose(found[:, 0], [0.25, 1.0, 1.5, 1.99, 2.0])


def test_the_model_with_diffusion_has_finite_slopes() -> None:
    """Gradients by JAX through the wrapped solver against finite differences, along the clock."""
    table = bundled_table("white2014")
    profiles, ages, _ = simulate_history(table, "hot", diffusion=True, **ROCK)
    problem = Histories(profiles, table, ages, diffusion=True, nodes=16)
    density = problem.model.compile_logp(mode="JAX")
    slope = problem.model.compile_dlogp(vars=[problem.model["duration_Myr"]], mode="JAX")
    point = problem.model.initial_point()
    ends = []
    for shift in (1e-4, -1e-4):
        moved = dict(point)
        moved["duration_Myr_log__"] = np.asarray(point["duration_Myr_log__"] + shift)
        ends.append(float(density(moved)))
    assert float(slope(point)[0]) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-4)


@pytest.fixture(scope="module")
def blurred() -> dict[bool, tuple[xr.DataTree, xr.Dataset]]:
    """Fits of one small, hot, blurred garnet with diffusion off and on."""
    table = bundled_table("white2014")
    profiles, ages, truth = simulate_history(table, "hot", diffusion=True, **ROCK)
    found = {}
    for on in (False, True):
        problem = Histories(profiles, table, ages, diffusion=on, nodes=24)
        problem.priors["removed_final"] = 0.02
        found[on] = (problem.fit(draws=200, tune=300, chains=2, seed=1), truth)
    return found


@pytest.mark.slow
def test_a_blurred_garnet_is_read_better_with_diffusion_on(
    blurred: dict[bool, tuple[xr.DataTree, xr.Dataset]],
) -> None:
    """Off: narrow bands in the wrong place. On: bands that hold the truth."""
    held = {
        on: [
            covered(fit["derived"][name], truth[name].to_numpy())
            for name in ("pressure_kbar", "temperature_C")
        ]
        for on, (fit, truth) in blurred.items()
    }
    assert min(held[False]) < 0.6
    # Over five such garnets the bands held 0.88 (pressure) and 0.93 (temperature) of the path; one
    # garnet's share of a smooth path strays to 0.7.
    assert np.mean(held[True]) >= 0.75
    assert np.mean(held[True]) > np.mean(held[False]) + 0.2


@pytest.mark.slow
def test_diffusion_that_matters_is_flagged_when_it_is_off(
    blurred: dict[bool, tuple[xr.DataTree, xr.Dataset]],
) -> None:
    assert verdict(blurred[False][0], "diffusion") == "REVIEW"
    assert verdict(blurred[True][0], "diffusion") == "PASS"


@pytest.mark.slow
def test_a_saved_fit_with_diffusion_is_the_same_problem_again(
    blurred: dict[bool, tuple[xr.DataTree, xr.Dataset]], tmp_path
) -> None:
    fit, _ = blurred[True]
    petro.save(fit, tmp_path / "fit.nc")
    again = petro.problem_of(petro.load(tmp_path / "fit.nc"))
    assert again.options["diffusion"] == "chakraborty_ganguly_1992"
    assert {"time_after_growth_Myr", "diffusivity_factor"} <= set(again.priors)


def test_time_after_growth_blurs_more() -> None:
    fractions, edges, formation, time, heat, load = grain()
    stay = [np.append(values, last) for values, last in ((time, 40.0), (heat, 660.0), (load, 7.0))]
    shorter = blurring.blur(fractions, edges, formation, time, heat, load)
    longer = blurring.blur(fractions, edges, formation, *stay)
    core = [float(jax.device_get(values)[0, 0, 3]) for values in (shorter, longer)]
    assert core[1] < core[0] < 0


def test_diffusion_needs_zoning_and_time() -> None:
    table = bundled_table("white2014")
    profiles, _, _ = simulate_history(table, "hot", n_grains=1, n_ages=0, seed=1)
    with pytest.raises(FitError, match="diffusion needs time"):
        Histories(profiles, table, growth_law="equilibrium_volume", diffusion=True)
    row = {
        "r_um": 300.0,
        "barometer": "line",
        "intercept_kbar": 2.0,
        "slope_kbar_per_C": 0.01,
        "sd_intercept_kbar": 0.3,
    }
    with pytest.raises(DataError, match="no profiles"):
        Histories(inclusions=garnet_inclusions(pd.DataFrame([row])), diffusion=True)
