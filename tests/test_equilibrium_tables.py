"""Equilibrium tables: read between nodes alike in three libraries, with true gradients."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.interpolate import RegularGridInterpolator

from petro_models.errors import DataError
from petro_models.io.equilibrium_tables import read_equilibrium_table
from petro_models.thermodynamics.bundled import BUNDLED, bundled_table
from petro_models.thermodynamics.isopleths import check_table, plot_isopleths
from petro_models.thermodynamics.tables import COMPONENTS, EquilibriumTable


@pytest.fixture(scope="module")
def white() -> EquilibriumTable:
    return EquilibriumTable.from_dataset(bundled_table("white2014"))


@pytest.fixture
def points(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points strictly inside cells: pressure, temperature, removed."""
    count = 60
    cells = generator.integers(0, 40, (2, count)) + generator.uniform(0.05, 0.95, (2, count))
    return 2 + 0.25 * cells[0], 450 + 6.25 * cells[1], generator.uniform(0.0005, 0.0495, count)


def test_linear_reading_is_trilinear_interpolation(
    white: EquilibriumTable, points: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    pressure, temperature, removed = points
    axes = (white.removed, white.pressure_kbar, white.temperature_C)
    oracle = RegularGridInterpolator(axes, white.composition)
    expected = oracle(np.stack([removed, pressure, temperature], axis=-1))
    np.testing.assert_allclose(white.read(pressure, temperature, removed), expected, atol=1e-12)


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_reading_agrees_over_numpy_jax_and_pytensor(
    white: EquilibriumTable, points: tuple[np.ndarray, np.ndarray, np.ndarray], method: str
) -> None:
    expected = white.read(*points, method=method)
    in_jax = white.read(*map(jnp.asarray, points), method=method, xp=jnp)
    np.testing.assert_allclose(in_jax, expected, atol=1e-10)
    symbols = [pt.dvector(name) for name in ("p", "t", "r")]
    graph = white.read(*symbols, method=method, xp=pt)
    compiled = pytensor.function(symbols, graph, mode="FAST_COMPILE")
    np.testing.assert_allclose(compiled(*points), expected, atol=1e-10)


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_gradients_equal_finite_differences_inside_cells(
    white: EquilibriumTable, points: tuple[np.ndarray, np.ndarray, np.ndarray], method: str
) -> None:
    pressure, temperature, removed = map(jnp.asarray, points)

    def total(p: jax.Array, t: jax.Array) -> jax.Array:
        weight = jnp.arange(1.0, 5.0)
        return (white.read(p, t, removed, method=method, xp=jnp) * weight).sum()

    slopes = jax.grad(total, argnums=(0, 1))(pressure, temperature)
    step = 1e-5
    for axis, slope in enumerate(slopes):
        moved = [[pressure, temperature] for _ in range(2)]
        for sign, pair in zip((1, -1), moved, strict=True):
            pair[axis] = pair[axis] + sign * step
        ahead, behind = (
            (white.read(p, t, removed, method=method, xp=jnp) * jnp.arange(1.0, 5.0)).sum(-1)
            for p, t in moved
        )
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), atol=1e-6)


def test_cubic_slopes_do_not_jump_at_nodes_and_linear_ones_do(white: EquilibriumTable) -> None:
    node, side = white.temperature_C[15], 1e-4
    jumps = {}
    for method in ("linear", "cubic"):
        values = white.read(np.full(3, 6.1), node + side * np.array([-1, 0, 1]), 0.0, method=method)
        jumps[method] = np.abs(np.diff(values, n=2, axis=0)).max() / side
    assert jumps["cubic"] < 1e-5
    assert jumps["linear"] > 1e-4


def test_nodes_are_reproduced_and_fractions_add_to_one(white: EquilibriumTable) -> None:
    pressure, temperature = white.pressure_kbar[20], white.temperature_C[25]
    for method in ("linear", "cubic"):
        values = white.read(pressure, temperature, 0.008, method=method)
        np.testing.assert_allclose(values, white.composition[2, 20, 25], atol=1e-12)
        assert values.sum() == pytest.approx(1.0, abs=1e-12)


def test_absence_of_garnet_costs_more_the_farther_away(white: EquilibriumTable) -> None:
    inside = white.absence(np.array([6.0]), np.array([570.0]))
    far = white.absence(np.full(4, 2.0), np.array([455.0, 465.0, 475.0, 485.0]))
    beyond = white.absence(np.array([12.5]), np.array([570.0]))
    assert inside[0] == 0.0
    assert (np.diff(far) < 0).all()
    assert far[0] > 1
    # Half a kbar beyond the window is two cells of 0.25 kbar.
    assert beyond[0] == pytest.approx(2.0)


def test_what_garnet_would_be_is_read_where_the_engine_told_it_and_counts_as_absent_still(
    tmp_path: Path,
) -> None:
    """Read back from a file too."""
    whole = bundled_table("pelite_high_pressure").isel(
        pressure_kbar=slice(4, 14), temperature_C=slice(18, 28)
    )
    assert bool((whole["garnet_mode"] > 0).all())
    cut = whole["temperature_C"] >= float(whole["temperature_C"][6])
    told = whole.assign(garnet_mode=whole["garnet_mode"].where(cut, 0.0))
    untold = told.assign({f"X_{n}": told[f"X_{n}"].where(cut) for n in COMPONENTS})
    told.to_netcdf(tmp_path / "told.nc")
    complete = EquilibriumTable.from_dataset(whole)
    for table in (told, read_equilibrium_table(tmp_path / "told.nc")):
        read = EquilibriumTable.from_dataset(table)
        np.testing.assert_allclose(read.composition, complete.composition, atol=1e-12)
        np.testing.assert_array_equal(read.node_absence[0, :, 6:], 0)
        np.testing.assert_array_equal(read.node_absence[0, 3, :6], [6, 5, 4, 3, 2, 1])
    nearest = EquilibriumTable.from_dataset(untold)
    np.testing.assert_array_equal(nearest.node_absence, read.node_absence)
    np.testing.assert_array_equal(nearest.composition[0, 3, 0], nearest.composition[0, 3, 6])


def test_uneven_axes_are_read_linearly_and_refused_by_the_cubic_method() -> None:
    table = bundled_table("pelite_high_pressure").isel(temperature_C=[0, 1, 3, 6, 10, 20, 40])
    read = EquilibriumTable.from_dataset(table)
    node = read.read(10.0, float(table["temperature_C"][4]))
    np.testing.assert_allclose(node, read.composition[0, 12, 4], atol=1e-12)
    with pytest.raises(DataError, match="evenly spaced"):
        read.read(10.0, 500.0, method="cubic")


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_shipped_tables_pass_the_schema_and_say_their_engine(name: str) -> None:
    table = bundled_table(name)
    EquilibriumTable.from_dataset(table)
    assert "MAGEMin" in table.attrs["engine"]
    assert {check.verdict for check in check_table(table)} <= {"PASS", "REVIEW"}


def test_shipped_table_errs_as_the_suite_says(real_data, white: EquilibriumTable) -> None:
    truth = pd.read_csv(real_data / "garnet_suites" / "clockwise" / "truth.csv")
    exact = truth[[f"X_{name}" for name in COMPONENTS]].to_numpy()
    at = [truth[column].to_numpy() for column in ("P_kbar", "T_C", "removed")]
    error = white.read(*at) - exact
    np.testing.assert_allclose(
        np.sqrt((error**2).mean(axis=0)), [0.0028, 0.0005, 0.0010, 0.0025], atol=6e-5
    )


def test_check_finds_a_hole_and_a_lone_node() -> None:
    table = bundled_table("pelite_high_pressure").copy(deep=True)
    for name in COMPONENTS:
        table[f"X_{name}"][20, 20] = np.nan
    assert check_table(table)[0].verdict == "REVIEW"
    table = bundled_table("pelite_high_pressure").copy(deep=True)
    table["X_alm"][20, 20] += 0.1
    table["X_grs"][20, 20] -= 0.1
    verdict = check_table(table)[1]
    assert verdict.verdict == "REVIEW"
    assert "14 kbar, 525 degC" in verdict.finding


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_vars("X_grs"), "X_grs"),
        (lambda t: t.assign(X_alm=2 * t["X_alm"]), "add|is .* at a node, not 1"),
        (lambda t: t.assign_coords(pressure_kbar=1000 * t["pressure_kbar"]), "bar or GPa"),
        (lambda t: t.isel(temperature_C=slice(None, None, -1)), "must increase"),
        (lambda t: t.assign(X_alm=t["X_alm"] * np.nan), "absent at every node"),
    ],
)
def test_a_damaged_table_is_refused_with_its_reason(change, message: str) -> None:
    with pytest.raises(DataError, match=message):
        EquilibriumTable.from_dataset(change(bundled_table("white2014")))


def test_isopleths_can_be_drawn() -> None:
    figure = plot_isopleths(bundled_table("white2014"), removed=0.01)
    assert len(figure.axes) == 4
    assert all(axes.collections for axes in figure.axes)


def test_a_level_without_garnet_is_refused() -> None:
    table = bundled_table("white2014").copy(deep=True)
    for name in COMPONENTS:
        table[f"X_{name}"][3] = np.nan
    with pytest.raises(DataError, match=r"removed = 0\.015"):
        EquilibriumTable.from_dataset(table)
