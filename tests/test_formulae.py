"""Structural formulae against exact end members, published formulae and brute force."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from petro_models.errors import ConfigurationError, DataError
from petro_models.phase_maps.formula_weights import oxide_weights
from petro_models.phase_maps.formulae import known_minerals, structural_formula


def analysis(**oxides: float) -> xr.DataArray:
    return xr.DataArray(list(oxides.values()), coords={"oxide": list(oxides)})


def ideal(formula: str, *absent: str) -> xr.DataArray:
    """Analysis of an ideal formula; all iron as FeO, as a microprobe reports it."""
    weights = {name: value for name, value in oxide_weights(formula).items() if name != "H2O"}
    return analysis(**dict.fromkeys(absent, 0.0) | weights)


def cations(found: xr.Dataset) -> dict[str, float]:
    values = found.cations.to_series()
    return {str(ion): amount for ion, amount in values.items() if abs(amount) > 1e-9}


# ---- exact end members


END_MEMBERS = [
    ("garnet", "Fe3Al2Si3O12", "almandine", {"Fe2": 3, "Al": 2, "Si": 3}),
    ("garnet", "Mg3Al2Si3O12", "pyrope", {"Mg": 3, "Al": 2, "Si": 3}),
    ("garnet", "Ca3Al2Si3O12", "grossular", {"Ca": 3, "Al": 2, "Si": 3}),
    ("garnet", "Mn3Al2Si3O12", "spessartine", {"Mn": 3, "Al": 2, "Si": 3}),
    ("garnet", "Ca3Fe2Si3O12", "grossular", {"Ca": 3, "Fe3": 2, "Si": 3}),
    ("feldspar", "CaAl2Si2O8", "anorthite", {"Ca": 1, "Al": 2, "Si": 2}),
    ("feldspar", "NaAlSi3O8", "albite", {"Na": 1, "Al": 1, "Si": 3}),
    ("feldspar", "KAlSi3O8", "orthoclase", {"K": 1, "Al": 1, "Si": 3}),
    ("white mica", "KAl3Si3O10(OH)2", "muscovite", {"K": 1, "Al": 3, "Si": 3}),
    ("white mica", "KMgAlSi4O10(OH)2", "celadonite", {"K": 1, "Mg": 1, "Al": 1, "Si": 4}),
    ("white mica", "NaAl3Si3O10(OH)2", "paragonite", {"Na": 1, "Al": 3, "Si": 3}),
    ("white mica", "CaAl4Si2O10(OH)2", "margarite", {"Ca": 1, "Al": 4, "Si": 2}),
    ("biotite", "KMg3AlSi3O10(OH)2", "phlogopite", {"K": 1, "Mg": 3, "Al": 1, "Si": 3}),
    ("biotite", "KFe3AlSi3O10(OH)2", "annite", {"K": 1, "Fe2": 3, "Al": 1, "Si": 3}),
    ("biotite", "KMg2Al3Si2O10(OH)2", "eastonite", {"K": 1, "Mg": 2, "Al": 3, "Si": 2}),
    ("chlorite", "Mg5Al2Si3O10(OH)8", "clinochlore", {"Mg": 5, "Al": 2, "Si": 3}),
    ("chlorite", "Fe5Al2Si3O10(OH)8", "chamosite", {"Fe2": 5, "Al": 2, "Si": 3}),
    ("chlorite", "Mg4Al4Si2O10(OH)8", "amesite", {"Mg": 4, "Al": 4, "Si": 2}),
    ("chlorite", "Mg2Al4Si3O10(OH)8", "sudoite", {"Mg": 2, "Al": 4, "Si": 3}),
    ("chlorite", "Mg6Si4O10(OH)8", "Al-free chlorite", {"Mg": 6, "Si": 4}),
    ("chloritoid", "Fe2Al4Si2O10(OH)4", "Fe-chloritoid", {"Fe2": 2, "Al": 4, "Si": 2}),
    ("chloritoid", "Mg2Al4Si2O10(OH)4", "Mg-chloritoid", {"Mg": 2, "Al": 4, "Si": 2}),
    ("pyroxene", "NaAlSi2O6", "jadeite", {"Na": 1, "Al": 1, "Si": 2}),
    ("pyroxene", "NaFeSi2O6", "aegirine", {"Na": 1, "Fe3": 1, "Si": 2}),
    ("pyroxene", "Mg2Si2O6", "enstatite", {"Mg": 2, "Si": 2}),
    ("epidote", "Ca2Al2FeSi3O12(OH)", "epidote", {"Ca": 2, "Al": 2, "Fe3": 1, "Si": 3}),
    ("epidote", "Ca2Al3Si3O12(OH)", "clinozoisite", {"Ca": 2, "Al": 3, "Si": 3}),
    ("olivine", "Mg2SiO4", "forsterite", {"Mg": 2, "Si": 1}),
    ("olivine", "Fe2SiO4", "fayalite", {"Fe2": 2, "Si": 1}),
]
BASIC = ("SiO2", "Al2O3", "FeO", "MgO", "CaO", "Na2O", "K2O")


@pytest.mark.parametrize(("mineral", "formula", "member", "expected"), END_MEMBERS)
def test_an_ideal_end_member_gives_its_own_formula_and_fraction_one(
    mineral, formula, member, expected
):
    found = structural_formula(ideal(formula, *BASIC), mineral=mineral)
    assert cations(found) == pytest.approx(expected, abs=1e-9)
    assert found.end_member_fraction.sel(end_member=member).item() == pytest.approx(1, abs=1e-9)
    assert found.unassigned.item() == pytest.approx(0, abs=1e-9)


AMPHIBOLES = [
    ("Ca2Mg5Si8O22(OH)2", {"T Si": 8, "C Mg": 5, "B Ca": 2}, 0.0),
    ("Na2Mg3Al2Si8O22(OH)2", {"T Si": 8, "C Al": 2, "C Mg": 3, "B Na": 2}, np.nan),
    ("Na2Fe3Al2Si8O22(OH)2", {"T Si": 8, "C Al": 2, "C Fe2": 3, "B Na": 2}, 0.0),
    (
        "NaCa2Mg4Al3Si6O22(OH)2",
        {"T Si": 6, "T Al": 2, "C Al": 1, "C Mg": 4, "B Ca": 2, "A Na": 1},
        np.nan,
    ),
    ("Fe7Si8O22(OH)2", {"T Si": 8, "C Fe2": 5, "B Fe2": 2}, 0.0),
]


@pytest.mark.parametrize(("formula", "expected", "ferric"), AMPHIBOLES)
def test_an_ideal_amphibole_fills_its_sites(formula, expected, ferric):
    found = structural_formula(ideal(formula, *BASIC), mineral="amphibole")
    occupied = found.occupancy.to_series()
    occupied = {str(name): value for name, value in occupied.items() if abs(value) > 1e-9}
    assert occupied == pytest.approx(expected, abs=1e-9)
    if not np.isnan(ferric) and "Fe" in formula:
        assert found.ferric_ratio.item() == pytest.approx(ferric, abs=1e-9)


def test_riebeckite_lies_half_way_between_the_two_limits_of_schumacher():
    # Na2 Fe2+3 Fe3+2 Si8 O22 (OH)2 with 15 cations, A empty. As FeO only, 23 oxygens hold 8/22 x 23
    # Si; least Fe3+ from Si <= 8 and greatest from 15 cations without K agree: f = 22/23.
    found = structural_formula(ideal("Na2Fe5Si8O22(OH)2", *BASIC), mineral="amphibole")
    assert found.ferric_ratio.item() == pytest.approx(2 / 5)
    assert found.cations.sel(cation="Fe2").item() == pytest.approx(3)


def test_ferric_iron_lies_between_schumachers_limits_and_closes_the_charge():
    hornblende = analysis(
        SiO2=40.57, TiO2=2.45, Al2O3=12.82, Cr2O3=0.01, FeO=13.11, MnO=0.26, MgO=13.02, CaO=11.63,
        Na2O=2.20, K2O=0.92,
    )  # fmt: skip
    found = structural_formula(hornblende, mineral="hornblende")
    ions = found.cations.to_series()
    charge = {"Si": 4, "Ti": 4, "Al": 3, "Cr": 3, "Fe3": 3, "Na": 1, "K": 1}
    assert sum(amount * charge.get(ion, 2) for ion, amount in ions.items()) == pytest.approx(46)
    without = {ion: ions.drop(list(ion.split("+"))).sum() for ion in ("Ca+Na+K", "K", "Na+K")}
    # between "13 without Ca, Na, K" (greatest Fe3+) and "15 without Na, K" (least)
    assert without["Ca+Na+K"] > 13
    assert without["Na+K"] < 15
    halves = [structural_formula(hornblende, mineral="amp", ferric=share) for share in (0.0, 0.9)]
    totals = [half.cation_total.item() for half in halves]
    assert totals[1] < found.cation_total.item() < totals[0]


# ---- published formulae


PUBLISHED = [
    # Juva, Finland (Anthony et al., Handbook of Mineralogy, Diopside, analysis 1)
    (
        "pyroxene",
        {"SiO2": 54.66, "Al2O3": 0.07, "Fe2O3": 0.68, "FeO": 0.07, "MnO": 0.02, "MgO": 18.78,
         "CaO": 25.85, "Na2O": 0.0},
        {"Ca": 1.00, "Mg": 1.01, "Fe3": 0.02, "Si": 1.98}, 0.006,
    ),
    # Dutoitspan mine, Kimberley (the same, analysis 2)
    (
        "pyroxene",
        {"SiO2": 54.09, "TiO2": 0.28, "Al2O3": 1.57, "Fe2O3": 0.74, "Cr2O3": 2.03, "FeO": 1.47,
         "MnO": 0.09, "MgO": 16.96, "CaO": 21.10, "Na2O": 1.37, "K2O": 0.15},
        {"Ca": 0.82, "Fe2": 0.04, "Mg": 0.92, "Cr": 0.06, "Al": 0.07, "Fe3": 0.02, "Ti": 0.01,
         "Si": 1.96}, 0.006,
    ),
    # Natick, Rhode Island (the same, Chloritoid; their basis counts the measured water)
    (
        "chloritoid",
        {"SiO2": 23.91, "TiO2": 0.20, "Al2O3": 40.12, "Fe2O3": 1.23, "FeO": 27.06, "MnO": 0.16,
         "MgO": 0.51, "CaO": 0.04, "H2O": 7.03},
        {"Fe2": 1.89, "Mg": 0.06, "Mn": 0.01, "Al": 3.95, "Fe3": 0.08, "Ti": 0.01, "Si": 2.00},
        0.012,
    ),
    # Bon Accord, South Africa (the same, Liebenbergite)
    (
        "olivine",
        {"SiO2": 29.39, "FeO": 4.37, "CoO": 1.80, "NiO": 56.32, "MgO": 6.50},
        {"Ni": 1.52, "Mg": 0.33, "Fe2": 0.12, "Co": 0.05, "Si": 0.99}, 0.007,
    ),
    # April (Colgate University, course notes "Formulation")
    (
        "olivine", {"SiO2": 34.96, "FeO": 36.77, "MnO": 0.52, "MgO": 27.04},
        {"Mg": 1.140, "Fe2": 0.870, "Mn": 0.012, "Si": 0.989}, 0.0012,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("mineral", "oxides", "expected", "rounding"), PUBLISHED)
def test_published_analyses_give_their_published_formulae(mineral, oxides, expected, rounding):
    found = cations(structural_formula(analysis(**oxides), mineral=mineral))
    assert {ion: found[ion] for ion in expected} == pytest.approx(expected, abs=rounding)


@pytest.fixture
def minerals(real_data) -> xr.DataArray:
    table = pd.read_csv(real_data / "epma/epmatools_demo/minerals.csv").set_index("Comment")
    table = table.drop(columns="Total")
    return xr.DataArray(
        table.to_numpy(), coords={"spot": list(table.index), "oxide": list(table.columns)}
    )


def test_real_microprobe_analyses_fill_their_structures(minerals):
    ideal_sites = {
        "garnet": (["g-09", "g-10"], {"Z": 3, "Y": 2, "X": 3}, 0.01),
        "plagioclase": (["pl-08", "pl-22", "pl-23"], {"T": 4, "A": 1}, 0.06),
        "muscovite": (["ms-49", "ms-50"], {"T": 4, "M": 2}, 0.04),
        "biotite": (["bt-01", "bt-02"], {"T": 4, "M": 3}, 0.15),
        "chlorite": (["chl-04"], {"T": 4, "M": 6}, 0.1),
    }
    for mineral, (spots, sites, tolerance) in ideal_sites.items():
        found = structural_formula(minerals.sel(spot=spots), mineral=mineral)
        for site, number in sites.items():
            np.testing.assert_allclose(found.site_total.sel(site=site), number, atol=tolerance)
        assert (found.unassigned < 0.02).all()


def test_the_cations_agree_with_an_independent_program(minerals):
    # petropandas 0.2.3 (Lexa), rounded to three digits as it printed them for the same analyses
    spots = {"bt-01": "biotite", "chl-04": "chlorite", "pl-22": "feldspar", "ms-49": "muscovite"}
    printed = {
        "bt-01": {"Si": 2.735, "Ti": 0.056, "Al": 1.763, "Mg": 1.510, "Fe2": 0.808, "K": 0.844},
        "chl-04": {"Si": 2.604, "Al": 2.863, "Mg": 1.571, "Fe2": 2.893, "Mn": 0.006},
        "pl-22": {"Si": 2.697, "Ca": 0.279, "Na": 0.684, "K": 0.006},
        "ms-49": {"Si": 3.066, "Al": 2.807, "Ti": 0.035, "Na": 0.152, "K": 0.792},
    }
    for spot, mineral in spots.items():
        found = cations(structural_formula(minerals.sel(spot=spot), mineral=mineral))
        assert {i: found[i] for i in printed[spot]} == pytest.approx(printed[spot], abs=0.0007)


# ---- uncertainty


GARNET = {"SiO2": 37.2, "Al2O3": 20.6, "FeO": 33.4, "MnO": 1.1, "MgO": 4.3, "CaO": 1.6}


def test_propagated_errors_equal_the_scatter_of_draws():
    # an andradite-rich garnet with a little Al beside Si, away from every bound
    mean = analysis(SiO2=36.0, Al2O3=16.0, FeO=12.0, MnO=0.5, MgO=1.5, CaO=32.0)
    sd = mean * 0.002 + 0.01
    rng = np.random.default_rng(3)
    draws = mean + sd * xr.DataArray(rng.standard_normal((40_000, 6)), dims=("draw", "oxide"))
    found = structural_formula(mean, sd, mineral="garnet")
    scatter = structural_formula(draws, mineral="garnet").std("draw")
    # the sd of 40,000 draws is known to 0.35 %; Fe3+ is well away from its bound here
    assert found.ferric_ratio / found.ferric_ratio_sd > 3
    for name in ("cations", "occupancy", "end_member_fraction", "X_Mg", "ferric_ratio"):
        np.testing.assert_allclose(found[f"{name}_sd"], scatter[name], rtol=0.02, atol=1e-6)


@pytest.mark.parametrize("mineral", known_minerals())
def test_derivatives_are_exact_against_central_differences(mineral):
    composition = analysis(
        SiO2=44.0, TiO2=0.7, Al2O3=14.0, FeO=12.0, MnO=0.3, MgO=13.0, CaO=9.0, Na2O=2.0, K2O=1.0
    )
    step = 1e-4
    for oxide in composition.oxide.to_numpy():
        only = xr.where(composition.oxide == oxide, 1.0, 0.0)
        found = structural_formula(composition, only, mineral=mineral)
        low, high = (
            structural_formula(composition + sign * step * only, mineral=mineral)
            for sign in (-1, 1)
        )
        for name in ("cations", "site_total", "X_Mg", "cation_total"):
            slope = abs(high[name] - low[name]) / (2 * step)
            np.testing.assert_allclose(found[f"{name}_sd"], slope, rtol=1e-5, atol=1e-8)


def test_a_map_is_the_same_as_its_pixels_one_by_one():
    rng = np.random.default_rng(0)
    base = analysis(**GARNET)
    noise = xr.DataArray(rng.normal(0, 0.3, (150, 120, 6)), dims=("y", "x", "oxide"))
    pixels = (base + noise).assign_coords(y=np.arange(150.0), x=np.arange(120.0))
    found = structural_formula(pixels, xr.full_like(pixels, 0.3), mineral="Grt")  # two batches
    assert found.cations.dims == ("cation", "y", "x")
    assert found.cations.attrs["units"] == "1"
    for y, x in ((0, 0), (149, 119), (137, 2)):
        alone = structural_formula(pixels.isel(y=y, x=x), xr.full_like(base, 0.3), mineral="garnet")
        xr.testing.assert_allclose(found.isel(y=y, x=x), alone)


def test_end_members_of_a_series_always_add_up_to_one():
    rng = np.random.default_rng(1)
    table = xr.DataArray(
        rng.uniform(1, 30, (200, 7)), coords={"spot": np.arange(200), "oxide": list(BASIC)}
    )
    for mineral in ("garnet", "feldspar", "white mica", "biotite", "chlorite", "epidote"):
        found = structural_formula(table, mineral=mineral)
        np.testing.assert_allclose(found.end_member_fraction.sum("end_member"), 1, rtol=1e-9)


# ---- iron


def test_measured_ferric_iron_is_used_where_both_oxides_are_given():
    both = analysis(SiO2=37.0, Al2O3=16.0, Fe2O3=7.0, FeO=3.0, MgO=1.0, CaO=34.0)
    found = structural_formula(both, mineral="garnet")
    assert found.attrs["ferric"] == "measured"
    measured = (7.0 / 159.687) * 2
    expected = measured / (measured + 3.0 / 71.844)
    assert found.ferric_ratio.item() == pytest.approx(expected, rel=1e-4)


def test_total_iron_may_be_given_as_either_oxide():
    as_feo = analysis(**GARNET)
    as_fe2o3 = analysis(**GARNET | {"FeO": 33.4 * 159.687 / (2 * 71.844)}).assign_coords(
        oxide=["SiO2", "Al2O3", "Fe2O3T", "MnO", "MgO", "CaO"]
    )
    first, second = (structural_formula(x, mineral="garnet") for x in (as_feo, as_fe2o3))
    np.testing.assert_allclose(first.cations, second.cations.sel(cation=first.cation), rtol=1e-4)


def test_a_stated_share_of_ferric_iron_overrides_the_rule():
    biotite = analysis(SiO2=36.0, Al2O3=19.0, FeO=18.0, MgO=11.0, Na2O=0.3, K2O=9.2, TiO2=1.5)
    found = structural_formula(biotite, mineral="biotite", ferric=0.11)
    assert found.ferric_ratio.item() == pytest.approx(0.11)
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        structural_formula(biotite, mineral="biotite", ferric=1.4)
    with pytest.raises(ConfigurationError, match="did you mean 'none'"):
        structural_formula(biotite, mineral="biotite", ferric="non")
    with pytest.raises(ConfigurationError, match="needs both FeO and Fe2O3"):
        structural_formula(biotite, mineral="biotite", ferric="measured")


# ---- gaps and errors


def test_optional_oxides_count_as_zero_and_the_notes_say_so():
    found = structural_formula(analysis(**GARNET), mineral="garnet")
    assert found.attrs["notes"] == ["not analysed, taken as 0: Ti, Cr, Na, K"]
    table = xr.concat([analysis(**GARNET, TiO2=np.nan), analysis(**GARNET, TiO2=0.0)], "spot")
    both = structural_formula(table, mineral="garnet")
    np.testing.assert_allclose(both.cations[:, 0], both.cations[:, 1])


def test_analyses_that_lack_a_needed_oxide_become_nan_and_leave_the_others_alone():
    table = xr.concat([analysis(**GARNET), analysis(**GARNET | {"Al2O3": np.nan})], "spot")
    found = structural_formula(table, xr.full_like(table, 0.1), mineral="garnet")
    assert np.isfinite(found.cations.isel(spot=0)).all()
    assert np.isfinite(found.cations_sd.isel(spot=0)).all()
    for name in ("cations", "cations_sd", "X_Mg", "oxide_total"):
        assert np.isnan(found[name].isel(spot=1)).all()


def test_fluorine_and_water_stay_out_of_the_formula(minerals):
    with_f = minerals.sel(spot="bt-01")
    without = with_f.drop_sel(oxide=["F", "Cl"])
    first, second = (structural_formula(x, mineral="biotite") for x in (with_f, without))
    np.testing.assert_allclose(first.cations, second.cations)
    assert "not part of the formula: F, Cl" in first.attrs["notes"]


def test_unknown_minerals_are_answered_with_the_nearest():
    with pytest.raises(DataError, match="did you mean 'garnet'"):
        structural_formula(analysis(**GARNET), mineral="garnett")
    with pytest.raises(DataError, match="amphibole, biotite, chlorite"):
        structural_formula(analysis(**GARNET), mineral="quartz")


def test_missing_and_misspelt_oxides_are_named():
    with pytest.raises(DataError, match=r"white mica formula needs Na2O, K2O"):
        structural_formula(analysis(**GARNET), mineral="phengite")
    wrong = analysis(**GARNET).assign_coords(oxide=["Si02", "Al2O3", "FeO", "MnO", "MgO", "CaO"])
    with pytest.raises(DataError, match="did you mean 'SiO2'"):
        structural_formula(wrong, mineral="garnet")
    total = analysis(**GARNET, Total=98.0)
    with pytest.raises(DataError, match="'Total' is no oxide"):
        structural_formula(total, mineral="garnet")


def test_errors_that_do_not_fit_the_composition_are_refused():
    mean = analysis(**GARNET)
    with pytest.raises(DataError, match="same oxides in the same order"):
        structural_formula(mean, mean[::-1], mineral="garnet")
    with pytest.raises(DataError, match="negative"):
        structural_formula(mean, -mean, mineral="garnet")
    with pytest.raises(DataError, match="needs 'oxide'"):
        structural_formula(mean.rename(oxide="element"), mineral="garnet")
