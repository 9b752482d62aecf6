"""Diffusion in a sphere against closed forms, mass balance, finite differences and THERIA_G."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from petro_models.errors import DataError
from petro_models.thermodynamics.diffusion import (
    diffuse,
    diffusion_length_um,
    diffusion_matters,
)
from petro_models.thermodynamics.diffusivities import (
    CARLSON_2006,
    CHAKRABORTY_GANGULY_1992,
    CHU_AGUE_2015,
    SECONDS_PER_MYR,
    Diffusivities,
    self_diffusivity,
)

COMPONENTS = ("alm", "prp", "grs", "sps")
MATRIX = np.array([0.70, 0.10, 0.15, 0.05])


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def constant(*um2_per_Myr: float) -> Diffusivities:
    """Diffusivities that depend on nothing, in the order Fe, Mg, Ca, Mn."""
    logarithms = np.log(np.array(um2_per_Myr) / (1e12 * SECONDS_PER_MYR))
    return Diffusivities(
        name="constant",
        log_D0_m2_per_s=tuple(float(value) for value in logarithms),  # type: ignore[arg-type]
        energy_J=(0.0, 0.0, 0.0, 0.0),
        volume_J_per_kbar=(0.0, 0.0, 0.0, 0.0),
        sd_energy_J=(0.0, 0.0, 0.0, 0.0),
    )


def sphere(radius: np.ndarray, outer: float, D: float, time: float) -> np.ndarray:
    """Share of a surface step that has reached each radius (Crank 1975, eq. 6.18)."""
    n = np.arange(1, 400)[:, None]
    series = (-1.0) ** n / n * np.sin(n * np.pi * radius / outer)
    series = series * np.exp(-D * n**2 * np.pi**2 * time / outer**2)
    return 1.0 + 2.0 * outer / (np.pi * radius) * series.sum(axis=0)


def isothermal(duration: float, steps: int, T: float = 600.0) -> tuple[np.ndarray, ...]:
    times = np.linspace(0.0, duration, steps + 1)
    return times, np.full_like(times, T), np.full_like(times, 8.0)


def growth_zoning(shells: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """A bell of Mn, Mg rising to the rim, as prograde garnet has them."""
    edges = np.linspace(0.0, 600.0, shells + 1)
    radius = (edges[1:] + edges[:-1]) / 2
    Mn = 0.02 + 0.2 * np.exp(-((radius / 150.0) ** 2))
    Mg = 0.05 + 0.10 * (radius / 600.0) ** 2
    Ca = 0.18 - 0.08 * radius / 600.0
    return np.stack([1 - Mn - Mg - Ca, Mg, Ca, Mn], axis=1), edges


# --- closed forms ---


def test_a_surface_step_enters_a_sphere_as_the_closed_form_says() -> None:
    """One diffusivity for all: Crank's series. 200 shells and 400 steps reach 0.2 % of the step."""
    edges = np.linspace(0.0, 100.0, 201)
    radius = (edges[1:] + edges[:-1]) / 2
    start = np.tile(MATRIX, (200, 1))
    surface = MATRIX + np.array([-0.3, 0.1, 0.1, 0.1])
    for duration in (1.0, 5.0, 20.0):
        found = diffuse(
            start,
            edges,
            *isothermal(duration, 400),
            rim_fractions=surface,
            coefficients=constant(100.0, 100.0, 100.0, 100.0),
        )
        share = sphere(radius, 100.0, 100.0, duration)
        reached = (np.asarray(found) - MATRIX) / (surface - MATRIX)
        np.testing.assert_allclose(reached, share[:, None] * np.ones(4), atol=2e-3)


def test_a_small_step_of_four_cations_follows_the_eigenvectors_of_the_diffusion_matrix() -> None:
    """Where composition hardly varies the matrix is constant, and each eigenvector is a sphere."""
    D = np.array([60.0, 40.0, 20.0, 300.0])
    edges = np.linspace(0.0, 100.0, 201)
    radius = (edges[1:] + edges[:-1]) / 2
    kick = 1e-5 * np.array([-1.0, 2.0, 0.5, -1.5])
    found = np.asarray(
        diffuse(
            np.tile(MATRIX, (200, 1)),
            edges,
            *isothermal(4.0, 400),
            rim_fractions=MATRIX + kick,
            coefficients=constant(*D),
        )
    )
    matrix = np.diag(D[1:]) - np.outer(MATRIX[1:] * D[1:], D[1:] - D[0]) / (MATRIX @ D)
    values, vectors = np.linalg.eig(matrix)
    weights = np.linalg.solve(vectors, kick[1:])
    modes = np.stack([sphere(radius, 100.0, value, 4.0) for value in values], axis=1)
    expected = (modes * weights) @ vectors.T
    np.testing.assert_allclose(found[:, 1:] - MATRIX[1:], expected, atol=0.003 * 2e-5)


def test_diffusivity_is_the_arrhenius_law_of_the_paper_in_its_own_units() -> None:
    """Mn of Chakraborty & Ganguly: 5.1e-4 cm2/s, 60569 cal, 6.0 cm3 at 600 degC, 8 kbar."""
    work_cal = 6.0 * (8000.0 - 1.0) / 41.84
    expected_cm2_per_s = 5.1e-4 * np.exp(-(60569.0 + work_cal) / (1.987204 * 873.15))
    found = self_diffusivity(600.0, 8.0, MATRIX, CHAKRABORTY_GANGULY_1992)
    assert found[3] == pytest.approx(expected_cm2_per_s * 1e8 * SECONDS_PER_MYR, rel=1e-4)
    assert found[2] == pytest.approx(0.5 * found[0])


def test_coefficient_sets_differ_at_600_degrees_as_chu_and_ague_say() -> None:
    """Abstract: Fe and Mn half to one order faster, Ca about one order slower than Carlson's."""
    almandine = np.array([1.0, 0.0, 0.0, 0.0])
    newer, older = (
        self_diffusivity(600.0, 8.0, almandine, item) for item in (CHU_AGUE_2015, CARLSON_2006)
    )
    orders = np.log10(newer / older)
    assert 0.4 < orders[0] < 1.0
    assert 0.4 < orders[3] < 1.0
    assert orders[2] == pytest.approx(-1.0, abs=0.2)


# --- conservation ---


@pytest.mark.parametrize("item", [CHAKRABORTY_GANGULY_1992, CARLSON_2006, CHU_AGUE_2015])
def test_a_closed_garnet_keeps_every_cation(
    item: Diffusivities, generator: np.random.Generator
) -> None:
    """To rounding, whatever the zoning, the shells and the path."""
    start = generator.dirichlet(20 * MATRIX, size=40)
    edges = np.concatenate([[0.0], np.cumsum(generator.uniform(2.0, 30.0, 40))])
    times = np.linspace(0.0, 10.0, 21)
    path = (times, 550.0 + 20.0 * times, 6.0 + 0.3 * times)
    after = np.asarray(diffuse(start, edges, *path, coefficients=item))
    volume = np.diff(edges**3)
    np.testing.assert_allclose(volume @ after, volume @ start, rtol=1e-12)
    np.testing.assert_allclose(after.sum(axis=1), 1.0, rtol=1e-12)
    assert np.abs(after - start).max() > 0.01  # something did move


def test_a_closed_garnet_ends_in_its_mean_composition() -> None:
    start, edges = growth_zoning()
    after = diffuse(start, edges, *isothermal(1e4, 50), coefficients=constant(100, 80, 40, 200))
    mean = np.diff(edges**3) @ start / edges[-1] ** 3
    np.testing.assert_allclose(after, np.tile(mean, (60, 1)), atol=1e-6)


def test_forty_steps_are_enough_on_a_prograde_path() -> None:
    """First order in time: within 0.004 of sixteen times as many, where Mn loses 0.16."""
    start, edges = growth_zoning()

    def after(steps: int) -> np.ndarray:
        times = np.linspace(0.0, 15.0, steps + 1)
        return np.asarray(diffuse(start, edges, times, 520.0 + 10.0 * times, 6.0 + 0.2 * times))

    assert np.abs(after(40) - after(640)).max() < 0.004
    assert np.abs(after(640) - start).max() > 0.15


# --- growth ---


def test_a_shell_does_not_diffuse_before_it_has_grown() -> None:
    """Grown at the very end: nothing moves. Grown at half time: as if the path began there."""
    start, edges = growth_zoning()
    times, heat, load = isothermal(10.0, 40, T=680.0)
    late = diffuse(start, edges, times, heat, load, formation_Myr=np.full(60, 10.0))
    np.testing.assert_allclose(late, start, atol=1e-12)
    halfway = diffuse(start, edges, times, heat, load, formation_Myr=np.full(60, 5.0))
    second_half = diffuse(start, edges, times[20:], heat[20:], load[20:])
    np.testing.assert_allclose(halfway, second_half, atol=1e-12)


@pytest.mark.parametrize("generation", [7, 8, 9])
def test_garnets_of_theria_g_are_blurred_as_that_program_blurs_them(
    generation: int, real_data: Path
) -> None:
    """Rims that exchange with the matrix: Ca changes by up to 0.06 between growth and the peak.

    Without the activation volume, which THERIA_G evidently leaves out, all cations are met to a
    twelfth of what diffusion changed; with it to a half. A closed garnet is far off.
    """
    folder = real_data / "garnet_profiles" / "THERIA_G_synthetic"
    path = np.loadtxt(folder / "theriag_PTt.txt", usecols=(0, 1, 2), comments="T")
    profiles = pd.read_csv(folder / "final_profiles_after_diffusion.csv")
    grain = profiles[profiles["generation"] == generation]
    surface = grain[[f"X_{name}_growth" for name in COMPONENTS]].to_numpy()[-1]
    grain = grain[grain["r_outer_um"].diff().fillna(1.0) > 0]
    start = grain[[f"X_{name}_growth" for name in COMPONENTS]].to_numpy()
    end = grain[[f"X_{name}" for name in COMPONENTS]].to_numpy()
    edges = np.concatenate([[0.0], grain["r_outer_um"]])
    formation = grain["t_Myr_growth"].to_numpy()
    # Time is counted from the first garnet, at 477.9941 degC.
    first = np.interp(477.9941, path[:2, 0], path[:2, 2])
    times = np.linspace(formation[0], float(grain["t_Myr"].iloc[0]), 201)
    heat, load = (np.interp(times + first, path[:, 2], path[:, k]) for k in (0, 1))

    def misfit(item: Diffusivities, rim: np.ndarray | None) -> float:
        after = diffuse(start, edges, times, heat, load / 1000.0, formation, rim, item)
        return float(np.sqrt(((np.asarray(after) - end) ** 2).mean()))

    before = np.sqrt(((start - end) ** 2).mean())
    without = dataclasses.replace(CHAKRABORTY_GANGULY_1992, volume_J_per_kbar=(0.0, 0.0, 0.0, 0.0))
    assert np.abs(start - end).max() > 0.04
    assert misfit(without, surface) < before / 12
    assert misfit(CHAKRABORTY_GANGULY_1992, surface) < before / 2
    assert misfit(without, None) > before


def test_a_growing_garnet_before_the_matrix_leaves_what_has_not_grown_as_it_will_grow() -> None:
    """The surface is in equilibrium: shells to come change nothing, shells that are there do."""
    start, edges = growth_zoning()
    path = isothermal(10.0, 40, T=680.0)
    formation = np.where(np.arange(60) < 30, 0.0, 10.0)
    after = np.asarray(diffuse(start, edges, *path, formation, start[-1]))
    np.testing.assert_allclose(after[30:], start[30:], atol=1e-12)
    inner = np.asarray(diffuse(start[:30], edges[:31], *path, rim_fractions=start[30]))
    # Shell 30's middle stands for the surface, half a shell beyond it.
    np.testing.assert_allclose(after[:30], inner, atol=0.01)
    assert np.abs(after[:30] - start[:30]).max() > 0.05


# --- gradients ---


def test_gradients_agree_with_finite_differences() -> None:
    """Of one number of the blurred profile, in temperature, in formation time and in zoning."""
    start, edges = growth_zoning(20)
    times, heat, load = isothermal(8.0, 12, T=640.0)
    formation = np.linspace(0.0, 5.0, 20) + 0.111  # away from the ends of the steps
    target = jnp.linspace(-1.0, 1.0, 20)[:, None] * jnp.array([0.3, -1.0, 0.5, 2.0])

    def score(shift: jax.Array) -> jax.Array:
        after = diffuse(
            jnp.asarray(start) + shift[2] * target * 0.01,
            edges,
            times,
            jnp.asarray(heat) + shift[0],
            load,
            formation_Myr=jnp.asarray(formation) + shift[1],
        )
        return (after * target).sum()

    at = jnp.zeros(3)
    gradient = jax.grad(score)(at)
    for k, step in enumerate((0.1, 1e-4, 1e-3)):
        offset = step * jnp.eye(3)[k]
        numeric = (score(offset) - score(-offset)) / (2 * step)
        assert gradient[k] == pytest.approx(float(numeric), rel=1e-4), k


# --- when it matters ---


def test_diffusion_length_is_the_root_of_D_t_at_constant_conditions() -> None:
    times, heat, load = isothermal(7.0, 3, T=650.0)
    expected = np.sqrt(7.0 * self_diffusivity(650.0, 8.0, MATRIX, CHAKRABORTY_GANGULY_1992))
    np.testing.assert_allclose(diffusion_length_um(times, heat, load), expected)


def test_diffusion_matters_at_680_degrees_and_not_at_450() -> None:
    """10 um analyses, 10 Myr: growth zoning survives greenschist facies, not high grade."""
    cold = diffusion_matters(10.0, *isothermal(10.0, 5, T=450.0))
    hot = diffusion_matters(10.0, *isothermal(10.0, 5, T=680.0))
    assert not cold.matters
    assert "still that of growth" in cold.message
    assert hot.matters
    assert hot.cation == "Mn"
    assert hot.length_um > 10.0
    assert "include it" in hot.message


def test_impossible_shells_times_and_spacings_are_refused() -> None:
    start, edges = growth_zoning(3)
    times, heat, load = isothermal(1.0, 2)
    with pytest.raises(DataError, match="edges_um must increase"):
        diffuse(start, np.array([0.0, 5.0, 5.0, 9.0]), times, heat, load)
    with pytest.raises(DataError, match="time_Myr must increase"):
        diffuse(start, edges, np.zeros(3), heat, load)
    with pytest.raises(DataError, match="times of a path must increase"):
        diffusion_length_um([1.0, 0.0], [600.0, 600.0], [5.0, 5.0])
    with pytest.raises(DataError, match="one length"):
        diffusion_length_um([0.0, 1.0], [600.0], [5.0, 5.0])
    with pytest.raises(DataError, match="spacing must be more than 0"):
        diffusion_matters(0.0, times, heat, load)
