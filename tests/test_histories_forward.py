"""Forward pieces of histories against closed forms, quadrature and each other."""

import io

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
from scipy.stats import multivariate_normal

from petro_models.errors import DataError, FitError, FormatError
from petro_models.histories import forward, grains
from petro_models.histories.arrays import HistoryArrays
from petro_models.histories.data import garnet_profiles, join, zone_ages
from petro_models.histories.growth import LAWS, arrhenius_slowness, growth_law
from petro_models.histories.problem import Histories
from petro_models.histories.simulate import PATHS, simulate_history
from petro_models.io.garnet_profiles import read_garnet_profiles, read_zone_ages
from petro_models.thermodynamics.bundled import bundled_table
from petro_models.thermodynamics.tables import EquilibriumTable


def test_closed_density_equals_the_normal_density_of_three_fractions(
    generator: np.random.Generator,
) -> None:
    """Closing 4 independent errors leaves a normal of rank 3 with covariance P V P'."""
    observed = np.array([0.55, 0.1, 0.2, 0.15])
    expected = observed + np.array([0.004, -0.002, -0.003, 0.001])
    variance = np.array([0.004, 0.003, 0.005, 0.002]) ** 2
    ones = np.ones(4)
    value = forward.closed_log_density(observed, expected, variance, ones, 1.0, np)
    projection = np.eye(4) - np.outer(observed, ones)
    covariance = projection @ np.diag(variance) @ projection.T
    exact = multivariate_normal(expected[1:], covariance[1:, 1:]).logpdf(observed[1:])
    assert float(value) == pytest.approx(exact, abs=1e-9)


def test_missing_fractions_carry_no_information() -> None:
    measured = np.array([0.0, 1.0, 1.0, 0.0])
    values = [
        forward.closed_log_density(
            np.array([any_number, 0.1, 0.2, any_number]), np.array([0.5, 0.11, 0.21, 0.18]),
            np.full(4, 1e-4), measured, 0.0, np,
        )
        for any_number in (0.25, 0.9)
    ]  # fmt: skip
    assert values[0] == values[1]
    exact = multivariate_normal([0.11, 0.21], 1e-4 * np.eye(2)).logpdf([0.1, 0.2])
    assert float(values[0]) == pytest.approx(exact)


def test_path_has_the_matern_covariance() -> None:
    points, nodes = np.linspace(0.0, 1.0, 37), np.linspace(0.0, 1.0, 48)
    exact = forward.matern52(np.abs(points[:, None] - points), 0.25)
    basis = forward.path_basis(points, nodes, 0.25)
    np.testing.assert_allclose(basis @ basis.T, exact, atol=2e-4)


@pytest.mark.parametrize(("length", "error"), [(0.2, 0.002), (0.4, 0.002), (0.7, 0.02)])
def test_sines_make_up_the_same_path_at_any_length(length: float, error: float) -> None:
    """The widened axis is 4 long: lengths beyond 0.5 begin to feel its ends."""
    points = np.linspace(0.0, 1.0, 37)
    exact = forward.matern52(np.abs(points[:, None] - points), length)
    basis = forward.spectral_basis(points, 48) * forward.spectral_sd(np.asarray(length), 48, np)
    np.testing.assert_allclose(basis @ basis.T, exact, atol=error)
    sizes = forward.spectral_sd(pt.as_tensor(length), 48, pt).eval()
    np.testing.assert_allclose(forward.spectral_basis(points, 48) * sizes, basis, atol=1e-9)


def test_a_path_at_unknown_places_is_that_at_known_ones() -> None:
    """Read off its values on the grid, a path of 40 C errs by less than 0.005 C.

    With continuous slopes: what moves the places is sampled by gradients.
    """
    generator = np.random.default_rng(3)
    nodes, grid = np.linspace(0.0, 1.0, 48), np.linspace(0.0, 1.0, 161)
    normals = 40.0 * generator.normal(size=(20, 48))
    places = np.sort(generator.uniform(size=200))
    values = normals @ forward.path_basis(grid, nodes, 0.25).T
    exact = normals @ forward.path_basis(places, nodes, 0.25).T
    found = forward.smooth_interpolation(values, places, np)
    assert np.abs(found - exact)[:, (places > 0.01) & (places < 0.99)].max() < 5e-3
    assert np.abs(found - exact).max() < 0.02
    np.testing.assert_allclose(forward.smooth_interpolation(values, grid, np), values, atol=1e-9)
    symbolic = forward.smooth_interpolation(pt.as_tensor(values), pt.as_tensor(places), pt).eval()
    np.testing.assert_allclose(symbolic, found, atol=1e-9)
    near = forward.smooth_interpolation(values, np.array([0.5 - 1e-6, 0.5, 0.5 + 1e-6]), np)
    np.testing.assert_allclose(near[:, 1] - near[:, 0], near[:, 2] - near[:, 1], rtol=1e-3)


def test_weights_of_a_grid_interpolate_as_reading_does() -> None:
    places = np.array([-0.2, 0.0, 0.003, 0.5, 0.77, 1.0, 1.3])
    values = np.cos(np.linspace(0.0, 5.0, 161)) + np.arange(3)[:, None]
    expected = forward.even_interpolation(values, places, np)
    np.testing.assert_allclose(values @ forward.even_weights(places, 161, np).T, expected)
    symbolic = forward.even_weights(pt.as_tensor(places), 161, pt).eval()
    np.testing.assert_allclose(symbolic, forward.even_weights(places, 161, np), atol=1e-12)


def test_elapsed_time_is_the_integral_of_slowness() -> None:
    coordinate = np.linspace(0.0, 900.0, 161)
    temperature = 520 + 0.1 * coordinate
    slowness = arrhenius_slowness(temperature, 200.0, np)
    share, total = forward.elapsed_share(slowness, coordinate, np)
    fine = np.linspace(0.0, 900.0, 200_001)
    exact = np.trapezoid(arrhenius_slowness(520 + 0.1 * fine, 200.0, np), fine)
    assert total == pytest.approx(exact, rel=2e-4)
    assert share[0] == 0.0
    assert share[-1] == pytest.approx(1.0)


def test_a_steadily_heated_rock_tells_the_time_by_its_temperature() -> None:
    coordinate = np.linspace(0.0, 1.0, 161) ** 2 * 900.0
    temperature = np.stack([480 + 120 * (coordinate / 900) ** 8, 500 + 0.1 * coordinate])
    law = growth_law("steady_heating")
    slowness = law.on_grid(temperature, coordinate, {}, np)
    share, total = forward.elapsed_share(slowness, coordinate, np)
    rise = temperature[:, -1:] - temperature[:, :1]
    # A standstill takes as long as 1 C; slowness is smoothed over a step of the grid.
    np.testing.assert_allclose(share, (temperature - temperature[:, :1]) / rise, atol=0.01)
    np.testing.assert_allclose(total, 900.0, rtol=0.01)
    symbolic = law.on_grid(pt.as_tensor(temperature), coordinate, {}, pt).eval()
    np.testing.assert_allclose(symbolic, slowness, rtol=1e-12)
    still = law.on_grid(np.full(161, 560.0), coordinate, {}, np)
    np.testing.assert_allclose(still, 1.0)


def test_grown_garnet_is_the_volume_of_all_grains() -> None:
    offset, density = np.array([0.0, 300.0]), np.array([2.0, 5.0])
    share = forward.grown_share(np.array([200.0, 600.0, 1000.0]), offset, density, 1000.0, 1, np)
    whole = 2 * 1000.0**3 + 5 * 700.0**3
    np.testing.assert_allclose(
        share, [2 * 200.0**3 / whole, (2 * 600.0**3 + 5 * 300.0**3) / whole, 1.0]
    )


def test_a_dated_zone_averages_over_its_volume() -> None:
    table = bundled_table("white2014")
    profiles, ages, _ = simulate_history(table, "heating", n_grains=2, n_ages=4, seed=2)
    problem = Histories(profiles, table, ages)
    radius, weight = grains.zone_quadrature(problem.arrays)
    inner, outer = problem.arrays.zone_inner_um, problem.arrays.zone_outer_um
    np.testing.assert_allclose(weight.sum(axis=1), 1.0)
    exact = 0.75 * (outer**4 - inner**4) / (outer**3 - inner**3)
    np.testing.assert_allclose((radius * weight).sum(axis=1), exact, rtol=1e-9)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_growth_laws_are_normal_at_the_reference_temperature(name: str) -> None:
    parameters = {
        "activation_energy_kJ_per_mol": 200.0,
        "isograd_temperature_C": 500.0,
        "reaction_entropy_J_per_mol_K": 50.0,
    }
    law = growth_law(name)
    slowness = law.slowness(np.array([540.0, 560.0, 600.0]), parameters, np)
    assert slowness[1] == pytest.approx(1.0)
    if "activation_energy_kJ_per_mol" in law.parameters:
        assert (np.diff(slowness) < 0).all()


def test_an_unknown_growth_law_is_answered_with_the_nearest() -> None:
    with pytest.raises(FitError, match="did you mean 'arrhenius'"):
        growth_law("arhenius")


@pytest.mark.parametrize("name", sorted(PATHS))
def test_simulated_profiles_are_the_table_at_the_truth_plus_noise(name: str) -> None:
    table = bundled_table("white2014")
    profiles, ages, truth = simulate_history(table, name, n_grains=3, n_ages=3, seed=4)
    read = EquilibriumTable.from_dataset(table)
    at = [truth[v].to_numpy() for v in ("pressure_kbar", "temperature_C", "removed")]
    assert read.absence(*at).max() == 0.0
    error = (profiles["composition"] - read.read(*at)).to_numpy()
    np.testing.assert_allclose(error.sum(axis=1), 0.0, atol=1e-12)
    assert error.std() == pytest.approx(0.004, rel=0.15)
    assert ages is not None
    np.testing.assert_allclose(ages["zone_age_Ma"], 90.0 - truth["zone_time_Myr"], atol=4 * 0.3)
    assert truth["removed"].max() <= 0.02


def test_grains_that_share_a_growth_coordinate_share_composition() -> None:
    """Radii at one time differ by the difference of the rims': the offset of the model."""
    table = bundled_table("white2014")
    profiles, _, truth = simulate_history(table, "heating", n_grains=3, n_ages=0, seed=1)
    arrays = HistoryArrays.of(join(profiles, table))
    place = grains.default_offsets_um(arrays)[arrays.grain] + arrays.radius_um
    order = np.argsort(place)
    assert (np.diff(truth["time_Myr"].to_numpy()[order]) > 0).all()


def test_profiles_and_ages_are_read_from_files(real_data) -> None:
    folder = real_data / "garnet_suites" / "clockwise"
    profiles = read_garnet_profiles(folder / "profiles.csv")
    ages = read_zone_ages(folder / "ages.csv", profiles)
    assert dict(profiles.sizes) == {"position": 146, "endmember": 4, "grain": 4}
    assert ages["zone_grain_index"].values.tolist() == [0, 0, 2]
    assert float(profiles["composition_sd"].mean()) == pytest.approx(0.004)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("r_um,X_prp\n5,0.1\n3,0.2\n", DataError, "must increase from core to rim"),
        ("r_um,X_prp\n5,12\n8,13\n", DataError, "percent"),
        ("r_um,X_pyrope\n5,0.1\n", FormatError, "'X_pyrope' is not known"),
        ("r_um,X_prp\n5,abc\n", FormatError, "row 1 of the data, column 'X_prp'"),
        ("X_prp\n0.1\n", FormatError, "r_um, r_mm or r_cm"),
        ("r_um,X_alm,X_prp,X_grs,X_sps\n5,0.5,0.1,0.1,0.1\n", DataError, "add up to 0.800"),
        ("r_um,X_prp,sd_prp\n5,0.1,0\n", DataError, "no error above 0"),
    ],
)
def test_a_bad_profile_is_refused_with_place_and_reason(
    tmp_path, text: str, error: type[Exception], message: str
) -> None:
    file = tmp_path / "profile.csv"
    file.write_text(text)
    with pytest.raises(error, match=message):
        read_garnet_profiles(file)


def test_radii_in_millimetres_become_micrometres(tmp_path) -> None:
    file = tmp_path / "profile.csv"
    file.write_text("r_mm,X_prp\n0.1,0.1\n0.2,0.12\n")
    assert read_garnet_profiles(file)["radius_um"].values.tolist() == [100.0, 200.0]


def test_a_real_traverse_is_read_with_its_own_headers(real_data) -> None:
    """Tabs, other headers and another order of columns; cut at its core, it is a profile."""
    file = real_data / "garnet_profiles" / "diffusiongarnet" / "1D" / "Data_Grt_1D.txt"
    names = {"Distance (um)": "r_um"} | {f"X{n}": f"X_{n}" for n in ("alm", "prp", "grs", "sps")}
    profile = read_garnet_profiles(file, columns=names, sd=0.005)
    assert profile.sizes["position"] == 871
    assert float(profile["composition"].sel(endmember="alm")[0]) == pytest.approx(0.81492492)


def test_ages_outside_their_grain_are_refused() -> None:
    profiles = garnet_profiles(pd.DataFrame({"r_um": [10, 100], "X_prp": [0.1, 0.1]}))
    frame = pd.read_csv(io.StringIO("r_um,age_Ma,sd_Ma\n500,90,0.3\n"))
    with pytest.raises(DataError, match="outside the grain's rim"):
        zone_ages(frame, profiles)


def test_ages_are_refused_where_the_growth_law_holds_no_time() -> None:
    table = bundled_table("white2014")
    profiles, ages, _ = simulate_history(table, "heating", n_ages=2, seed=2)
    with pytest.raises(DataError, match="holds no time"):
        Histories(profiles, table, ages, growth_law="equilibrium_volume")
