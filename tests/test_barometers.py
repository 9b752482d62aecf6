"""Thermobarometers against printed values, against another program, and against a whole table.

PET is the program of Dachs (2004, Comput. Geosci. 30, 173-182): its manual prints the temperatures
and pressures that it finds for one set of mineral analyses, keyed in below.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from scipy.optimize import brentq

from petro_models.errors import DataError
from petro_models.thermodynamics.barometers import (
    BAROMETERS,
    barometer,
    catalogue,
    out_of_range,
    residual_sd,
    solve_pressure,
    solve_temperature,
)
from petro_models.thermodynamics.calibration import Barometer

MOLAR_MASS = {
    "SiO2": (60.084, 1, 2),
    "TiO2": (79.866, 1, 2),
    "Al2O3": (101.961, 2, 3),
    "FeO": (71.844, 1, 1),
    "MnO": (70.937, 1, 1),
    "MgO": (40.304, 1, 1),
    "CaO": (56.077, 1, 1),
    "Na2O": (61.979, 2, 1),
    "K2O": (94.196, 2, 1),
}


def cations(weights: dict[str, float], oxygens: float) -> dict[str, float]:
    """Cations per formula from oxides in wt%."""
    moles = {oxide: weight / MOLAR_MASS[oxide][0] for oxide, weight in weights.items()}
    oxygen = sum(amount * MOLAR_MASS[oxide][2] for oxide, amount in moles.items())
    return {
        oxide: amount * MOLAR_MASS[oxide][1] * oxygens / oxygen for oxide, amount in moles.items()
    }


@pytest.fixture(scope="module")
def pet() -> dict[str, float]:
    """The analyses that PET's manual uses, as inputs of the barometers."""
    garnet = cations(
        {"SiO2": 38.53, "Al2O3": 21.85, "MgO": 2.3, "FeO": 33.77, "MnO": 4.86, "CaO": 0.87}, 12
    )
    biotite = cations(
        {
            "SiO2": 36.31,
            "Al2O3": 19.74,
            "TiO2": 1.43,
            "MgO": 10.04,
            "FeO": 18.35,
            "MnO": 0.12,
            "CaO": 0.11,
            "Na2O": 0.28,
            "K2O": 7.9,
        },
        11,
    )
    mica = {"Mg": 0.48 / 40.304, "Fe": 0.74 / 71.844}
    plagioclase = cations(
        {"SiO2": 65.19, "Al2O3": 21.21, "CaO": 2.65, "Na2O": 10.95, "K2O": 0.11}, 8
    )
    divalent = sum(garnet[oxide] for oxide in ("MgO", "FeO", "MnO", "CaO"))
    alkali = sum(plagioclase[oxide] for oxide in ("CaO", "Na2O", "K2O"))
    return {
        "X_prp": garnet["MgO"] / divalent,
        "X_alm": garnet["FeO"] / divalent,
        "X_grs": garnet["CaO"] / divalent,
        "X_sps": garnet["MnO"] / divalent,
        "biotite_Mg": biotite["MgO"],
        "biotite_Fe": biotite["FeO"],
        "biotite_AlVI": biotite["Al2O3"] - (4 - biotite["SiO2"]),
        "biotite_Ti": biotite["TiO2"],
        "biotite_Mn": biotite["MnO"],
        "muscovite_Mg": mica["Mg"],
        "muscovite_Fe": mica["Fe"],
        "phengite_Mg": mica["Mg"],
        "phengite_Fe": mica["Fe"],
        "plagioclase_X_an": plagioclase["CaO"] / alkali,
    }


def inputs(calibration: Barometer, values: dict[str, float]) -> dict[str, float]:
    names = [*calibration.inputs, *calibration.optional]
    return {name: values[name] for name in names if name in values}


def temperature(name: str, pressure_kbar: float, **composition: float) -> float:
    return float(solve_temperature(barometer(name), pressure_kbar, composition))


@pytest.fixture
def anything() -> dict[str, float]:
    """Plausible values of every input of every barometer."""
    return {
        "X_prp": 0.13,
        "X_alm": 0.68,
        "X_grs": 0.12,
        "X_sps": 0.07,
        "biotite_Mg": 1.15,
        "biotite_Fe": 1.2,
        "biotite_AlVI": 0.45,
        "biotite_Ti": 0.1,
        "biotite_Mn": 0.01,
        "biotite_Ti_22O": 0.25,
        "muscovite_Mg": 0.1,
        "muscovite_Fe": 0.07,
        "phengite_Mg": 0.3,
        "phengite_Fe": 0.15,
        "hornblende_Mg": 2.0,
        "hornblende_Fe": 1.7,
        "plagioclase_X_an": 0.25,
        "rutile_Zr_ppm": 400.0,
        "quartz_Ti_ppm": 60.0,
        "TiO2_activity": 0.9,
        "intercept_kbar": 2.0,
        "slope_kbar_per_C": 0.01,
    }


# --- values printed in the papers themselves ---


@pytest.mark.parametrize("temperature_C", [550.0, 650.0, 799.0])
def test_ferry_spear_is_the_papers_fitted_line_at_the_pressure_of_its_experiments(
    temperature_C: float,
) -> None:
    """Eq. 1, ``ln K = -2109 / T + 0.782``; both equations are rounded, hence 0.3 degC."""
    exchange = np.exp(-2109.0 / (temperature_C + 273.15) + 0.782)
    found = temperature(
        "garnet_biotite_ferry_spear_1978",
        2.07,
        X_prp=exchange,
        X_alm=1.0,
        biotite_Mg=1.0,
        biotite_Fe=1.0,
    )
    assert found == pytest.approx(temperature_C, abs=0.3)


def test_bhattacharya_is_the_formula_of_the_abstract() -> None:
    """Written out anew from the abstract (P in bar), at 7 kbar."""
    Mg, Fe, Ca, Mn, Mg_biotite, pressure_bar = 0.15, 0.63, 0.14, 0.08, 0.55, 7000.0
    log_KD = np.log((Fe / Mg) / ((1 - Mg_biotite) / Mg_biotite))
    bracket = 2080 * Mg**2 - 6350 * Fe**2 - 13807 * Ca * (1 - Mn)
    bracket += 8540 * Fe * Mg * (1 - Mn) + 4215 * Ca * (Mg - Fe)
    expected = (20286 + 0.0193 * pressure_bar - bracket + 4441 * (2 * Mg_biotite - 1)) / (
        13.138 + 8.3143 * log_KD + 6.276 * Ca * (1 - Mn)
    )
    found = temperature(
        "garnet_biotite_bhattacharya_1992",
        7.0,
        X_prp=Mg,
        X_alm=Fe,
        X_grs=Ca,
        X_sps=Mn,
        biotite_Mg=Mg_biotite,
        biotite_Fe=1 - Mg_biotite,
    )
    assert found == pytest.approx(expected - 273.15, abs=1e-6)


@pytest.mark.parametrize(("KD", "run_C"), [(14.1, 700.0), (4.9, 900.0), (3.3, 1000.0)])
def test_krogh_raheim_returns_the_temperatures_of_its_experiments(KD: float, run_C: float) -> None:
    """Experiments at 30 kbar, p. 76; KD is printed with two figures, worth 2 degC."""
    found = temperature(
        "garnet_phengite_krogh_raheim_1978",
        30.0,
        X_prp=1 / (1 + KD),
        X_alm=KD / (1 + KD),
        phengite_Mg=1.0,
        phengite_Fe=1.0,
    )
    assert found == pytest.approx(run_C, abs=2.0)


@pytest.mark.parametrize("temperature_C", [650.0, 900.0, 1250.0])
def test_gasp_of_pure_phases_is_the_published_curve(temperature_C: float) -> None:
    """Abstract of Koziol & Newton (1988): P = 22.80 t - 1093 bar."""
    pure = {"X_prp": 1e-12, "X_alm": 1e-12, "X_grs": 1.0, "plagioclase_X_an": 1.0}
    found = solve_pressure(barometer("gasp_koziol_1989_kyanite"), temperature_C, pure)
    assert float(found) == pytest.approx((22.80 * temperature_C - 1093.0) / 1000.0, abs=1e-9)


def test_thomas_has_the_sensitivities_of_its_abstract() -> None:
    """About 20 degC for 1 kbar and about 1.2 kbar for 25 degC, at Ti of the experiments."""
    quartz = {"quartz_Ti_ppm": 30.0, "TiO2_activity": 1.0}
    at_10, at_11 = (temperature("ti_in_quartz_thomas_2010", p, **quartz) for p in (10.0, 11.0))
    assert at_11 - at_10 == pytest.approx(20.0, abs=1.0)
    hotter = solve_pressure(barometer("ti_in_quartz_thomas_2010"), at_10 + 25.0, quartz)
    assert float(hotter) - 10.0 == pytest.approx(1.2, abs=0.05)


def test_osborne_reproduces_its_worked_example() -> None:
    """P. 12: 100 ppm at 7.49 kbar with rutile: 700 degC. A flipped square would give 761."""
    found = temperature("ti_in_quartz_osborne_2022", 7.49, quartz_Ti_ppm=100.0, TiO2_activity=1.0)
    assert found == pytest.approx(700.0, abs=0.5)


def test_wu_chen_is_the_formula_of_the_abstract() -> None:
    Mg, Fe, AlVI, Ti = 1.0, 1.2, 0.4, 0.12
    ferrous = (1 - 0.116) * Fe
    total = ferrous + Mg + AlVI + Ti
    expected = np.exp(
        6.313
        + 0.224 * np.log(Ti / total)
        - 0.288 * np.log(ferrous / total)
        - 0.449 * np.log(Mg / total)
        + 0.15 * 0.6
    )
    found = temperature(
        "ti_in_biotite_wu_chen_2015",
        6.0,
        biotite_Mg=Mg,
        biotite_Fe=Fe,
        biotite_AlVI=AlVI,
        biotite_Ti=Ti,
    )
    assert found == pytest.approx(expected, rel=1e-9)


# --- values printed by another program ---


@pytest.mark.parametrize(
    ("name", "pressure_kbar", "expected_C", "tolerance_C"),
    [
        ("garnet_biotite_ferry_spear_1978", 3.0, 465.91, 0.01),
        ("garnet_biotite_ferry_spear_1978", 6.0, 475.92, 0.01),
        ("garnet_biotite_holdaway_2000", 1.0, 554.39, 0.01),
        ("garnet_biotite_holdaway_2000", 3.0, 559.52, 0.01),
        ("garnet_biotite_holdaway_2000", 6.0, 567.22, 0.01),
        ("garnet_biotite_holdaway_2000", 10.0, 577.49, 0.01),
        ("garnet_muscovite_hynes_forest_1988", 3.0, 491.091, 0.001),
        ("garnet_phengite_krogh_raheim_1978", 3.0, 405.136, 0.005),
        ("garnet_phengite_krogh_raheim_1978", 6.0, 445.196, 0.005),
    ],
)
def test_exchange_thermometers_agree_with_pet(
    pet: dict[str, float],
    name: str,
    pressure_kbar: float,
    expected_C: float,
    tolerance_C: float,
) -> None:
    """To the figures printed (the atomic weights of the two programs differ by 1e-5)."""
    found = temperature(name, pressure_kbar, **inputs(barometer(name), pet))
    assert found == pytest.approx(expected_C, abs=tolerance_C)


@pytest.mark.parametrize(
    ("temperature_C", "expected_bar"),
    [(400.0, 2928.187), (500.0, 5069.852), (600.0, 7211.516), (700.0, 9353.181)],
)
def test_gasp_agrees_with_pet(
    pet: dict[str, float], temperature_C: float, expected_bar: float
) -> None:
    """To 1 bar, what a difference of 1e-4 in atomic weights is worth."""
    gasp = barometer("gasp_koziol_1989_kyanite")
    found = solve_pressure(gasp, temperature_C, inputs(gasp, pet))
    assert 1000.0 * float(found) == pytest.approx(expected_bar, abs=1.0)


def test_graham_powell_agrees_with_pet(pet: dict[str, float]) -> None:
    """345.32 degC for PET's own ln KD of 2.3653 (it recalculates Fe3+ of the hornblende)."""
    ratio = np.exp(2.3653) * pet["X_prp"] / pet["X_alm"]
    found = temperature(
        "garnet_hornblende_graham_powell_1984",
        3.0,
        X_prp=pet["X_prp"],
        X_alm=pet["X_alm"],
        X_grs=pet["X_grs"],
        hornblende_Mg=ratio,
        hornblende_Fe=1.0,
    )
    assert found == pytest.approx(345.32, abs=0.01)


# --- consistency where two equations must meet ---


@pytest.mark.parametrize("pressure_kbar", [0.0, 5.0, 10.0])
def test_tomkins_meets_itself_where_alpha_turns_into_beta_quartz(pressure_kbar: float) -> None:
    """Along 573 degC + 25 degC/kbar; 4 degC is a seventh of the error taken."""
    boundary = 573.0 + 25.0 * pressure_kbar
    alpha = "zr_in_rutile_tomkins_2007_alpha_quartz"
    zirconium = brentq(
        lambda ppm: temperature(alpha, pressure_kbar, rutile_Zr_ppm=ppm) - boundary, 1.0, 5000.0
    )
    beta = temperature(
        "zr_in_rutile_tomkins_2007_beta_quartz", pressure_kbar, rutile_Zr_ppm=zirconium
    )
    assert beta == pytest.approx(boundary, abs=4.0)


@pytest.mark.parametrize("temperature_C", [600.0, 800.0, 900.0])
@pytest.mark.parametrize(
    ("quartz", "coesite", "tolerance_C"),
    [
        (
            "zr_in_rutile_tomkins_2007_alpha_quartz",
            "zr_in_rutile_tomkins_2007_coesite",
            2.0,
        ),
        ("zr_in_rutile_kohn_2020_quartz", "zr_in_rutile_kohn_2020_coesite", 3.0),
    ],
)
def test_zr_in_rutile_meets_itself_where_quartz_turns_into_coesite(
    temperature_C: float, quartz: str, coesite: str, tolerance_C: float
) -> None:
    """On the boundary of Bohlen & Boettcher (1982), P = 21.945 + 0.006901 T(K) kbar."""
    pressure_kbar = 21.945 + 0.006901 * (temperature_C + 273.15)
    zirconium = brentq(
        lambda ppm: temperature(quartz, pressure_kbar, rutile_Zr_ppm=ppm) - temperature_C,
        1.0,
        5000.0,
    )
    found = temperature(coesite, pressure_kbar, rutile_Zr_ppm=zirconium)
    assert found == pytest.approx(temperature_C, abs=tolerance_C)


@pytest.mark.parametrize(("temperature_C", "boundary_kbar"), [(600.0, 6.06), (700.0, 8.17)])
def test_gasp_of_kyanite_and_sillimanite_cross_on_the_polymorph_boundary(
    temperature_C: float, boundary_kbar: float
) -> None:
    """The two reactions differ by 2 (kyanite = sillimanite), whose boundary lies there."""
    minerals = {"X_prp": 0.1, "X_alm": 0.75, "X_grs": 0.1, "plagioclase_X_an": 0.3}

    def difference(pressure_kbar: float) -> float:
        first, second = (
            barometer(f"gasp_koziol_1989_{name}").residual(temperature_C, pressure_kbar, minerals)
            for name in ("kyanite", "sillimanite")
        )
        return first - second

    assert brentq(difference, 0.0, 20.0) == pytest.approx(boundary_kbar, abs=0.01)


# --- against equilibrium compositions of a thermodynamic model ---


def test_biases_against_the_white_2014_pelite_are_those_measured_before(real_data: Path) -> None:
    """Equilibrium garnet, biotite and plagioclase of 5384 nodes put back into the formulas."""
    table = xr.load_dataset(real_data / "garnet_tables" / "white2014_81x81.nc")
    pressure, heat = (axis.to_numpy() for axis in xr.broadcast(table.P_kbar, table.T_C))
    garnet = {name: table[name].to_numpy().astype(float) for name in ("X_prp", "X_alm", "X_grs")}
    garnet["X_sps"] = table["X_sps"].to_numpy().astype(float)
    with_garnet = np.isfinite(garnet["X_alm"])

    def misfit(name: str, chosen: np.ndarray, extra: dict[str, np.ndarray]) -> np.ndarray:
        item = barometer(name)
        minerals = {
            key: value[chosen] for key, value in (garnet | extra).items() if key in item.inputs
        }
        if item.measures == "temperature":
            return solve_temperature(item, pressure[chosen], minerals) - heat[chosen]
        return solve_pressure(item, heat[chosen], minerals) - pressure[chosen]

    magnesium = table["bi_MgNo"].to_numpy().astype(float)
    with_biotite = with_garnet & (table["wt_bi"].to_numpy() > 1e-4) & np.isfinite(magnesium)
    biotite = {"biotite_Mg": magnesium, "biotite_Fe": 1 - magnesium}
    assert with_biotite.sum() == 5384
    anorthite = {"plagioclase_X_an": table["X_an"].to_numpy().astype(float)}
    usable = with_biotite & (anorthite["plagioclase_X_an"] > 0)
    found = {
        "Ferry & Spear": misfit("garnet_biotite_ferry_spear_1978", with_biotite, biotite),
        "Bhattacharya": misfit("garnet_biotite_bhattacharya_1992", with_biotite, biotite),
        "GASP kyanite": misfit(
            "gasp_koziol_1989_kyanite", usable & (table["wt_ky"].to_numpy() > 0), anorthite
        ),
        "GASP sillimanite": misfit(
            "gasp_koziol_1989_sillimanite", usable & (table["wt_sill"].to_numpy() > 0), anorthite
        ),
    }
    expected = {
        "Ferry & Spear": (71.0, 44.0, 1.0),
        "Bhattacharya": (18.0, 14.0, 0.5),
        "GASP kyanite": (0.38, 0.13, 0.01),
        "GASP sillimanite": (0.61, 0.22, 0.01),
    }
    for name, (bias, spread, tolerance) in expected.items():
        assert found[name].mean() == pytest.approx(bias, abs=tolerance), name
        assert found[name].std() == pytest.approx(spread, abs=tolerance), name


# --- one form for all ---


@pytest.mark.parametrize("name", list(BAROMETERS))
def test_residual_is_the_same_in_numpy_jax_and_pytensor(
    name: str, anything: dict[str, float]
) -> None:
    """To rounding, on arrays, inside a compiled function."""
    item = barometer(name)
    values = inputs(item, anything)
    heat, pressure = np.array([480.0, 600.0, 720.0]), np.array([3.0, 8.0, 14.0])
    expected = item.residual(heat, pressure, values)
    assert expected.shape == (3,)

    with jax.enable_x64(True):
        compiled = jax.jit(lambda t, p, minerals: item.residual(t, p, minerals))
        through_jax = compiled(
            jnp.asarray(heat), jnp.asarray(pressure), {k: jnp.asarray(v) for k, v in values.items()}
        )
        np.testing.assert_allclose(through_jax, expected, rtol=1e-9, atol=1e-6)

    symbols = {key: pt.dscalar(key) for key in values}
    t, p = pt.dvector("t"), pt.dvector("p")
    function = pytensor.function(
        [t, p, *symbols.values()],
        item.residual(t, p, symbols),
        on_unused_input="ignore",
        mode="FAST_COMPILE",
    )
    np.testing.assert_allclose(
        function(heat, pressure, *values.values()), expected, rtol=1e-9, atol=1e-6
    )


@pytest.mark.parametrize("name", list(BAROMETERS))
def test_noise_is_the_published_error_seen_in_the_residual(
    name: str, anything: dict[str, float]
) -> None:
    """One published standard deviation off equilibrium is one standard deviation of residual.

    Within 10 %: residuals are not quite straight over 65 degC.
    """
    item = barometer(name)
    values = inputs(item, anything)
    if item.measures == "temperature":
        there = float(solve_temperature(item, 6.0, values))
        off = item.residual(there + item.sd_temperature_C, 6.0, values)
        spread = residual_sd(item, there, 6.0, values)
    else:
        there = float(solve_pressure(item, 600.0, values))
        error = np.hypot(item.sd_pressure_kbar, item.sd_pressure_relative * there)
        off = item.residual(600.0, there + error, values)
        spread = residual_sd(item, 600.0, there, values)
    assert abs(off) == pytest.approx(spread, rel=0.1)
    assert spread > 0


def test_solution_is_a_zero_of_the_residual_over_whole_arrays(anything: dict[str, float]) -> None:
    item = barometer("garnet_biotite_holdaway_2000")
    values = inputs(item, anything) | {"X_prp": np.array([[0.1], [0.2]])}
    pressure = np.array([2.0, 5.0, 9.0])
    found = solve_temperature(item, pressure, values)
    assert found.shape == (2, 3)
    np.testing.assert_allclose(item.residual(found, pressure, values), 0.0, atol=1e-3)
    assert (found[1] > found[0]).all()  # more Mg in garnet means hotter


def test_inclusion_is_a_line_in_pressure_and_temperature() -> None:
    line = {"intercept_kbar": 2.0, "slope_kbar_per_C": 0.015}
    item = barometer("quartz_in_garnet")
    assert float(solve_pressure(item, 600.0, line)) == pytest.approx(11.0)
    assert residual_sd(item, 600.0, 10.0, line) == pytest.approx(np.hypot(0.75, 1.0))


def test_catalogue_tells_what_was_verified_and_what_was_not() -> None:
    table = catalogue()
    assert list(table.index) == list(BAROMETERS)
    assert table.loc["ti_in_quartz_osborne_2022", "verified"]
    assert not table.loc["garnet_biotite_holdaway_2000", "verified"]
    for item in BAROMETERS.values():
        assert item.verified == (item.evidence != "another program")
        assert all((item.verification, item.reference, item.error))


# --- what lies outside is said ---


def test_conditions_and_minerals_outside_the_calibration_are_named(
    anything: dict[str, float],
) -> None:
    item = barometer("garnet_biotite_ferry_spear_1978")
    values = inputs(item, anything) | {"X_grs": 0.2, "X_sps": 0.1}
    messages = out_of_range(item, 500.0, 2.07, values)
    assert messages == (
        "garnet_biotite_ferry_spear_1978: temperature (degC) 500 to 500 lies outside the "
        "calibration, 550 to 800",
        "garnet_biotite_ferry_spear_1978: garnet Ca + Mn 0.3 to 0.3 lies outside the "
        "calibration, 0 to 0.2",
    )
    assert out_of_range(item, 600.0, 2.07, inputs(item, anything)) == ()
    assert "(1 of 2 values)" in out_of_range(item, np.array([500.0, 600.0]), 2.07, values)[0]


def test_a_wrong_name_is_answered_with_the_nearest(anything: dict[str, float]) -> None:
    with pytest.raises(DataError, match="did you mean 'ti_in_quartz_osborne_2022'"):
        barometer("ti_in_quartz_osborn")
    item = barometer("garnet_biotite_ferry_spear_1978")
    with pytest.raises(DataError, match=r"has no input 'biotite_Fe2': did you mean 'biotite_Fe'"):
        item.residual(600.0, 5.0, inputs(item, anything) | {"biotite_Fe2": 1.0})
    with pytest.raises(DataError, match="needs biotite_Mg, biotite_Fe"):
        item.residual(600.0, 5.0, {"X_prp": 0.1, "X_alm": 0.8})


@pytest.mark.parametrize(("value", "says"), [(0.0, "more than zero"), (np.nan, "not finite")])
def test_impossible_minerals_are_refused_before_solving(
    anything: dict[str, float], value: float, says: str
) -> None:
    item = barometer("garnet_biotite_ferry_spear_1978")
    with pytest.raises(DataError, match=f"biotite_Fe.*{says}"):
        solve_temperature(item, 5.0, inputs(item, anything) | {"biotite_Fe": value})


def test_no_pressure_is_found_where_the_equation_has_none(anything: dict[str, float]) -> None:
    item = barometer("garnet_hornblende_ravna_2000")
    with pytest.raises(DataError, match=r"no pressure between -20 and 60 kbar .* on pressure"):
        solve_pressure(item, 600.0, inputs(item, anything))
