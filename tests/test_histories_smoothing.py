"""Walks per unit of position and of time, as options to compare with."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from fit_answers import covered

import petro_models as petro
from petro_models.errors import FitError
from petro_models.histories.problem import Histories
from petro_models.histories.simulate import simulate_history
from petro_models.histories.smoothing import (
    WALK_MYR,
    PathParts,
    node_coordinate,
    normals_of_walk,
    path_curves,
)
from petro_models.thermodynamics.bundled import bundled_table

OPTIONS = {
    "timeless": {},
    "per_position": {"smoothing": "per_position"},
    "per_time": {"smoothing": "per_time", "clock": "growth_rate"},
}
LAW = {"activation_energy_kJ_per_mol": 200.0, "growth_rate": 60.0}


def make(name: str) -> tuple[Histories, xr.Dataset]:
    """One grain of 30 points with three ages."""
    table = bundled_table("white2014")
    profiles, ages, truth = simulate_history(
        table, "heating", n_grains=1, n_positions=30, n_ages=3, seed=3
    )
    problem = Histories(profiles, table, ages, nodes=24, **OPTIONS[name])
    problem.priors["removed_final"] = 0.02
    return problem, truth


def walk(name: str, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Temperature and pressure along the grid of the axis, for walks of 100 C and 3 kbar."""
    problem, _ = make(name)
    layout = problem._known_layout()
    zero = np.zeros(normals.shape[-1])
    parts = [
        PathParts(np.array(value), np.array(amplitude), normals, zero)
        for value, amplitude in ((540.0, 100.0), (5.0, 3.0))
    ]
    curves = path_curves(name, layout, *parts, LAW, layout.wanted(np), np)
    return curves["temperature"]["grid"], curves["pressure"]["grid"]


def test_a_walk_per_position_gathers_its_amplitude_along_the_axis(
    generator: np.random.Generator,
) -> None:
    heat, load = walk("per_position", generator.normal(size=(4000, 24)))
    # Standard error of a standard deviation from 4000 draws: 1.1 %.
    assert heat[:, -1].std() == pytest.approx(100.0, rel=0.05)
    assert load[:, -1].std() == pytest.approx(3.0, rel=0.05)
    assert np.abs(heat[:, 0] - 540).max() == 0.0


def test_a_walk_per_time_takes_larger_steps_where_growth_is_slow() -> None:
    """Sizes of steps are the roots of the times that the growth law gives them."""
    problem, _ = make("per_time")
    layout = problem._known_layout()
    normals = np.zeros((1, 24))
    normals[0, 10] = 1.0
    heat, _ = walk("per_time", normals)
    law = {"activation_energy_kJ_per_mol": 200.0}
    slowness = layout.law.slowness(np.array(540.0), law, np)
    step = np.diff(node_coordinate(layout.axis))[9] * slowness / LAW["growth_rate"]
    assert heat[0, -1] - 540 == pytest.approx(100.0 * np.sqrt(step / WALK_MYR), rel=1e-6)


def test_normals_lead_back_to_the_walk() -> None:
    step = np.linspace(0.1, 0.3, 23)
    values = 540 + 60 * np.linspace(0, 1, 24) ** 2
    normals = normals_of_walk(values, 100.0, step)
    np.testing.assert_allclose(540 + 100 * np.cumsum(normals[1:] * step), values[1:])


@pytest.mark.parametrize("name", ["per_position", "per_time"])
def test_walks_are_the_same_in_the_model_and_in_the_answers(
    name: str, generator: np.random.Generator
) -> None:
    normals = generator.normal(size=24)
    problem, _ = make(name)
    layout = problem._known_layout()
    zero = np.zeros(24)
    parts = [
        PathParts(pt.as_tensor(v), pt.as_tensor(a), pt.as_tensor(normals), zero)
        for v, a in ((540.0, 100.0), (5.0, 3.0))
    ]
    curves = path_curves(name, layout, *parts, LAW, layout.wanted(pt), pt)
    symbolic = pytensor.function([], [curves[n]["grid"] for n in ("temperature", "pressure")])()
    for ours, theirs in zip(walk(name, normals[None]), symbolic, strict=True):
        np.testing.assert_allclose(ours[0], theirs, rtol=1e-10)


@pytest.mark.parametrize("name", ["per_position", pytest.param("per_time", marks=pytest.mark.slow)])
def test_a_walk_recovers_the_path_and_is_flagged(name: str) -> None:
    problem, truth = make(name)
    fit = problem.fit(draws=120, tune=150, chains=2, seed=1)
    for quantity in ("pressure_kbar", "temperature_C"):
        assert covered(fit["derived"][quantity], truth[quantity].to_numpy()) >= 0.8
    flags = {check.name: check for check in petro.check(fit)}
    assert flags["smoothing of the path"].verdict == "REVIEW"
    assert "timeless" in flags["smoothing of the path"].advice


def test_a_walk_through_inclusions_alone_has_a_finite_density() -> None:
    profiles, _, truth = simulate_history(
        bundled_table("white2014"), "heating", n_grains=1, n_positions=30, n_ages=0, seed=3
    )
    inclusions, _ = petro.simulate_inclusions(profiles, truth, n_inclusions=4, seed=1)
    for name in ("per_position", "per_time"):
        model = Histories(inclusions=inclusions, nodes=16, **OPTIONS[name]).model
        assert np.isfinite(float(model.compile_logp(mode="JAX")(model.initial_point())))


def test_the_default_is_timeless_and_not_flagged() -> None:
    problem, _ = make("timeless")
    assert problem.options["smoothing"] == "timeless"
    assert "path_length" in problem.priors
    assert "path_length" not in make("per_position")[0].priors


def test_a_walk_in_time_needs_a_rate_and_unknown_words_are_refused() -> None:
    table = bundled_table("white2014")
    profiles, _, _ = simulate_history(table, "heating", n_grains=1, n_ages=0, seed=1)
    with pytest.raises(FitError, match="clock='growth_rate'"):
        Histories(profiles, table, smoothing="per_time")
    with pytest.raises(FitError, match="did you mean 'per_time'"):
        Histories(profiles, table, smoothing="pertime")
