"""Simulated whole-rock tables: the truth is what was asked for, and the file says it all."""

import tomllib

import numpy as np
import pytest
import xarray as xr

from petro_models.errors import DataError
from petro_models.io.mass_tables import read_mass_table
from petro_models.io.mass_tables_out import write_mass_table, write_truth
from petro_models.mass_transfer.problem import MassTransfer
from petro_models.mass_transfer.schema import PARTS, validate_mass_table
from petro_models.mass_transfer.simulate import SPECIES, simulate_mass_table


def log_ratio(table: xr.Dataset) -> xr.DataArray:
    return np.log(table["concentration"]) - np.log(table["protolith_concentration"][0])


def test_same_seed_gives_the_same_table_and_another_seed_another():
    first, _ = simulate_mass_table(seed=3)
    again, _ = simulate_mass_table(seed=3)
    other, _ = simulate_mass_table(seed=4)
    xr.testing.assert_identical(first, again)
    assert not np.allclose(first["concentration"], other["concentration"])


def test_table_follows_the_schema_with_every_complication_at_once():
    table, _ = simulate_mass_table(
        n_protolith=4,
        protolith_spread=0.1,
        below_detection_share=0.1,
        missing_share=0.2,
        co_moving_share=0.3,
    )
    validate_mass_table(table)


def test_truth_and_table_obey_the_isocon_equation():
    table, truth = simulate_mass_table(n_samples=6, n_elements=12)
    expected = truth["mobility"] - truth["mass_change"]
    np.testing.assert_allclose(log_ratio(table), expected.transpose("sample", "element"))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_number_of_immobile_elements_is_exactly_the_share(share):
    _, truth = simulate_mass_table(n_elements=20, immobile_share=share)
    assert int(truth["immobile"].sum()) == round(share * 20)


def test_immobile_elements_scatter_by_the_noise_and_mobile_ones_by_both():
    _, truth = simulate_mass_table(n_samples=4000, noise=0.05, mobility_scale=0.4, seed=2)
    sd = truth["mobility"].std("sample")
    np.testing.assert_allclose(sd[truth["immobile"]], 0.05, rtol=0.06)
    np.testing.assert_allclose(sd[~truth["immobile"]], np.hypot(0.05, 0.4), rtol=0.06)


def test_mass_change_has_the_standard_deviation_asked_for():
    _, truth = simulate_mass_table(n_samples=4000, n_elements=3, mass_change_sd=0.25)
    assert float(truth["mass_change"].std()) == pytest.approx(0.25, rel=0.05)


def test_co_moving_elements_share_one_mobility_and_are_not_immobile():
    _, truth = simulate_mass_table(
        n_samples=400, co_moving_share=0.4, noise=0.02, mobility_scale=1.0
    )
    block = truth["mobility"].sel(element=truth["co_moving"])
    assert block.sizes["element"] == 8
    assert not bool((truth["co_moving"] & truth["immobile"]).any())
    assert float((block - block.mean("element")).std()) == pytest.approx(0.02, rel=0.1)
    assert float(block.mean("element").std()) == pytest.approx(1.0, rel=0.1)


def test_protolith_spread_scatters_protolith_and_altered_rocks_alike():
    table, truth = simulate_mass_table(
        n_samples=500, n_protolith=500, protolith_spread=0.2, noise=0.01, immobile_share=1.0
    )
    fresh = np.log(table["protolith_concentration"])
    altered = np.log(table["concentration"]) + truth["mass_change"]
    np.testing.assert_allclose(fresh.std("protolith"), 0.2, rtol=0.15)
    np.testing.assert_allclose(altered.std("sample"), np.hypot(0.2, 0.01), rtol=0.15)
    centre = truth["protolith_log_concentration"]
    np.testing.assert_allclose(fresh.mean("protolith"), centre, atol=0.05)


def test_shares_of_hidden_and_missing_cells_are_exact_and_limits_are_honest():
    table, _ = simulate_mass_table(
        n_samples=10, below_detection_share=0.1, missing_share=0.15, seed=5
    )
    whole, _ = simulate_mass_table(n_samples=10, seed=5)
    below = np.isfinite(table["detection_limit"])
    seen = np.isfinite(table["concentration"])
    assert int((~below & ~seen).sum()) == round(0.15 * 200)
    assert bool(seen.any("sample").all())
    assert bool(seen.any("element").all())
    limit = table["detection_limit"].max("sample")
    assert bool((whole["concentration"].where(below) < limit).where(below, True).all())
    assert not bool((table["concentration"].where(seen) < limit).any())
    only_hidden, _ = simulate_mass_table(n_samples=10, below_detection_share=0.1, seed=5)
    assert int(np.isfinite(only_hidden["detection_limit"]).sum()) == 20
    assert bool(np.isfinite(only_hidden["protolith_concentration"]).all())


def test_no_oxide_exceeds_the_whole_rock():
    for seed in range(30):
        table, _ = simulate_mass_table(n_samples=20, mass_change_sd=1.0, seed=seed)
        oxides = table["concentration"].sel(element=table["unit"] == "wt%")
        assert float(oxides.max()) < 100


def test_written_table_reads_back_as_it_was(tmp_path):
    table, _ = simulate_mass_table(
        n_samples=6,
        n_elements=40,
        n_protolith=3,
        protolith_spread=0.1,
        below_detection_share=0.1,
        missing_share=0.1,
    )
    file = write_mass_table(table, tmp_path / "rocks.csv")
    read = read_mass_table(file, ["P1", "P2", "P3"], totals="ignore")
    for coord in ("sample", "protolith", "element", "unit"):
        assert read[coord].values.tolist() == table[coord].values.tolist()
    for prefix in ("", "protolith_"):
        for name in PARTS:
            xr.testing.assert_allclose(read[prefix + name], table[prefix + name], rtol=1e-5)
    first = file.read_text().splitlines()
    assert first[0].startswith("sample,SiO2 wt%,TiO2 wt%")
    assert [line.split(",")[0] for line in first[1:]][:4] == ["P1", "P2", "P3", "A1"]


def test_errors_densities_and_distances_survive_the_file(tmp_path):
    table, _ = simulate_mass_table(n_samples=3, n_elements=4)
    table["relative_error"][:] = np.arange(1, 13).reshape(3, 4) / 100
    table["protolith_relative_error"][:] = 0.02
    table["density"] = ("sample", [2.7, 2.8, np.nan], {"units": "g/cm3"})
    table["protolith_density"] = ("protolith", [2.9], {"units": "g/cm3"})
    table["distance"] = ("sample", [0.0, 1.5, 3.0], {"units": "m", "long_name": "distance"})
    table = table.assign_coords(profile=("sample", ["east", "east", "west"]))
    file = write_mass_table(table, tmp_path / "rocks.csv")
    read = read_mass_table(
        file,
        "P1",
        density="density",
        distance="distance",
        distance_unit="m",
        profile="profile",
        totals="ignore",
    )
    for name in ("relative_error", "protolith_relative_error", "density", "distance"):
        xr.testing.assert_allclose(read[name], table[name], rtol=1e-5)
    assert float(read["protolith_density"].item()) == 2.9
    assert read["profile"].values.tolist() == ["east", "east", "west"]


def test_writing_refuses_an_element_no_header_can_say(tmp_path):
    table, _ = simulate_mass_table(n_samples=1, n_elements=3)
    table = table.assign_coords(element=["SiO2", "TiO2", "olivine"])
    with pytest.raises(DataError, match="'olivine' is not a known species"):
        write_mass_table(table, tmp_path / "rocks.csv")
    assert not list(tmp_path.iterdir())


def test_written_truth_names_immobile_elements_and_mass_changes(tmp_path):
    _, truth = simulate_mass_table(n_samples=2, co_moving_share=0.2, seed=9)
    content = tomllib.loads(write_truth(truth, tmp_path / "truth.toml").read_text())
    assert content["immobile"] == truth["element"].values[truth["immobile"].values].tolist()
    assert len(content["co_moving"]) == 4
    assert content["mass_change"] == {
        "A1": float(truth["mass_change"][0]),
        "A2": float(truth["mass_change"][1]),
    }
    assert content["settings"]["seed"] == 9


def test_model_recovers_mass_change_and_immobile_elements():
    table, truth = simulate_mass_table(n_samples=4, n_elements=12, immobile_share=0.5, seed=11)
    exact = MassTransfer(table).enumerate()
    generator = np.random.default_rng(0)
    _, mass_change, _ = exact.draw(2000, generator)
    low, high = np.quantile(mass_change, [0.005, 0.995], axis=0)
    assert ((low < truth["mass_change"].values) & (truth["mass_change"].values < high)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_elements": 61}, f"n_elements must be 3 to {len(SPECIES)}; got 61"),
        ({"n_samples": 0}, "n_samples must be 1 to 100000; got 0"),
        ({"immobile_share": 1.2}, "immobile_share must be 0 to 1; got 1.2"),
        ({"noise": -0.1}, "noise must be 0 to 1; got -0.1"),
        ({"seed": -1}, "seed must be 0 or more; got -1"),
        ({"immobile_share": 0.7, "co_moving_share": 0.5}, "ask for 14 \\+ 10 of 20 elements"),
        ({"missing_share": 0.95}, "can be missing here"),
        ({"below_detection_share": 0.5, "n_samples": 8}, "more than this rock can hide"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(DataError, match=message):
        simulate_mass_table(**settings)
