import numpy as np
import pytest

from petro_models import datasets
from petro_models.errors import DataError
from petro_models.mass_transfer.data import validate_mass_table


def test_bundled_tables_are_listed_and_found():
    assert datasets.names() == ["grant2005", "toorongo1989"]
    assert all(datasets.path(name).is_file() for name in datasets.names())
    assert set(datasets.names()) < set(datasets.CITATIONS)


def test_unknown_table_is_answered_with_the_nearest():
    with pytest.raises(DataError, match="did you mean 'grant2005'"):
        datasets.path("grant2004")


def test_grant_table_is_the_published_one():
    table = datasets.grant2005()
    validate_mass_table(table)
    assert dict(table.sizes) == {"sample": 1, "protolith": 1, "element": 20}
    assert table["sample"].item() == "401"
    assert table["protolith"].item() == "UA"
    assert table["concentration"].sel(element="CO2").item() == 10.96
    assert table["unit"].sel(element="Sc").item() == "ppm"
    assert table.attrs["citation"].startswith("Grant, J.A. (2005)")


def test_toorongo_titanium_and_aluminium_frames_disagree():
    table = datasets.toorongo1989()
    validate_mass_table(table)
    assert dict(table.sizes) == {"sample": 14, "protolith": 1, "element": 10}
    ratio = table["protolith_concentration"].sel(protolith="1") / table["concentration"]
    weathered = ratio.sel(sample=["14", "15"])
    assert ((weathered.sel(element="TiO2") > 1.99) & (weathered.sel(element="TiO2") < 2.16)).all()
    assert (weathered.sel(element="Al2O3") < 0.57).all()


def test_toorongo_protolith_can_be_chosen():
    table = datasets.toorongo1989(["1", "2", "3"])
    assert table["protolith"].values.tolist() == ["1", "2", "3"]
    assert "1" not in table["sample"]


@pytest.mark.usefixtures("real_data")
def test_laurels_wells_have_depth_density_and_limits():
    table = datasets.laurels_preserve()
    validate_mass_table(table)
    assert dict(table.sizes) == {"sample": 73, "protolith": 28, "element": 29}
    assert set(table["profile"].values) == {"LP_Well1", "LP_Well2"}
    assert table["distance"].attrs["units"] == "cm"
    assert np.isfinite(table["density"]).sum() > 60
    limits = table["detection_limit"].sel(element="Na2O")
    assert int(np.isfinite(limits).sum()) == 18
    assert float(limits.max()) == 0.00562
    assert "smallest positive value" in table.attrs["notes"]
    assert "Fisher" in table.attrs["citation"]


def test_laurels_without_data_folder_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.delenv("PETRO_MODELS_DATA", raising=False)
    with pytest.raises(DataError, match="Set the environment variable PETRO_MODELS_DATA"):
        datasets.laurels_preserve()
    monkeypatch.setenv("PETRO_MODELS_DATA", str(tmp_path))
    with pytest.raises(DataError, match="is not in the folder that PETRO_MODELS_DATA names"):
        datasets.laurels_preserve()


def test_real_data_that_are_not_there_say_where_to_put_them(monkeypatch, tmp_path):
    monkeypatch.setenv("PETRO_MODELS_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"epma/alps/alps.zip is not in the folder"):
        datasets.alps()
    with pytest.raises(DataError, match="minimal is not in the folder"):
        datasets.qntmap_minimal()
