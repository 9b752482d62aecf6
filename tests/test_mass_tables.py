from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from petro_models.errors import DataError, FormatError
from petro_models.io.mass_tables import read_mass_table
from petro_models.mass_transfer.data import mass_table, validate_mass_table

TABLE = """Sample,SiO2 (wt%),TiO2_wt%,Zr ppm,Nb [ug/g],Au_ppb
UA,46.45,1.29,80,5.5,2
A1,45.62,1.30,82,5.6,3
A2,44.10,1.35,84,5.7,4
"""


def write(folder: Path, text: str | bytes, name: str = "rocks.csv") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.fixture
def read(tmp_path):
    def _read(text, protolith="UA", *, name="rocks.csv", **options):
        return read_mass_table(write(tmp_path, text, name), protolith, **options)

    return _read


@pytest.fixture
def data_folder(real_data):
    return real_data / "mass_transfer"


# ---- what is read -------------------------------------------------------------------------


def test_table_follows_the_schema(read):
    table = read(TABLE)
    assert dict(table.sizes) == {"sample": 2, "protolith": 1, "element": 5}
    assert table["element"].values.tolist() == ["SiO2", "TiO2", "Zr", "Nb", "Au"]
    assert table["unit"].values.tolist() == ["wt%", "wt%", "ppm", "ppm", "ppb"]
    assert table["concentration"].sel(sample="A2", element="Zr") == 84
    assert table["protolith_concentration"].sel(protolith="UA", element="SiO2") == 46.45
    assert all("units" in table[name].attrs for name in table.data_vars)
    assert table.attrs["source"] == "rocks.csv"
    assert "units of SiO2, TiO2, Zr, Nb, Au taken from headers" in table.attrs["notes"]
    validate_mass_table(table)


def test_table_survives_a_netcdf_round_trip(read, tmp_path):
    table = read(TABLE)
    table.to_netcdf(tmp_path / "table.nc")
    with xr.open_dataset(tmp_path / "table.nc") as again:
        validate_mass_table(again.load())
        xr.testing.assert_allclose(again, table)


def test_semicolon_csv_with_decimal_commas_is_read(read):
    text = TABLE.replace(",", ";").replace(".", ",")
    table = read(text)
    xr.testing.assert_allclose(table, read(TABLE))
    assert "decimal commas" in table.attrs["notes"]


def test_tab_separated_windows_file_with_byte_order_mark_is_read(read):
    text = b"\xef\xbb\xbf" + TABLE.replace(",", "\t").replace("\n", "\r\n").encode()
    xr.testing.assert_allclose(read(text, name="rocks.tsv"), read(TABLE))


def test_windows_encoding_is_read_with_a_note(read):
    table = read(TABLE.replace("Nb [ug/g]", "Nb (µg/g)").encode("cp1252"))
    assert table["unit"].sel(element="Nb") == "ppm"
    assert "read as cp1252" in table.attrs["notes"]


def test_commas_that_may_be_thousands_are_refused(read):
    text = "Sample;Zr ppm;Ba ppm;Sr ppm\nUA;1,234;2,345;120\nA;1,200;2,100;100\n"
    with pytest.raises(FormatError, match=r"'1,234' may be a decimal comma or a thousands"):
        read(text)


def test_excel_sheet_is_chosen_and_noted(tmp_path):
    book = openpyxl.Workbook()
    first = book.active
    first.title = "Majors"
    for line in TABLE.splitlines():
        cells = line.split(",")
        first.append([cells[0], *(float(c) if c[0].isdigit() else c for c in cells[1:])])
    book.create_sheet("Notes").append(["nothing"])
    book.save(tmp_path / "rocks.xlsx")
    table = read_mass_table(tmp_path / "rocks.xlsx", "UA")
    assert table["concentration"].sel(sample="A1", element="SiO2") == 45.62
    assert "sheet 'Majors' read, not 'Notes'" in table.attrs["notes"]
    with pytest.raises(FormatError, match="did you mean 'Majors'"):
        read_mass_table(tmp_path / "rocks.xlsx", "UA", sheet="Major")


def test_excel_formula_without_result_is_an_error_not_a_gap(tmp_path):
    book = openpyxl.Workbook()
    for line in TABLE.splitlines():
        book.active.append(line.split(","))
    book.active["D3"] = "=1+1"
    book.save(tmp_path / "rocks.xlsx")
    with pytest.raises(FormatError, match=r"cell D3: a formula without a stored result"):
        read_mass_table(tmp_path / "rocks.xlsx", "UA")


def test_title_above_and_footnote_below_are_noted(read):
    text = "Table 1. Rocks,,,,,\n" + TABLE + "all by XRF,,,,,\n"
    table = read(text)
    assert table.sizes["sample"] == 2
    assert "line 1 above the header ignored: Table 1. Rocks" in table.attrs["notes"]
    assert "rocks.csv:6 ignored (no analysis): all by XRF" in table.attrs["notes"]


def test_row_of_units_below_the_header_is_read(read):
    table = read("Sample,SiO2,Zr,Nb\n,wt%,ppm,ug/g\nUA,50,80,5\nA1,51,81,6\n")
    assert table["unit"].values.tolist() == ["wt%", "ppm", "ppm"]
    assert "taken from the row of units" in table.attrs["notes"]
    with pytest.raises(DataError, match=r"rocks.csv:2, column 'Zr': 'pmm' is not a unit"):
        read("Sample,SiO2,Zr,Nb\n,wt%,pmm,ug/g\nUA,50,80,5\nA1,51,81,6\n")


def test_elements_in_rows_are_found_and_places_named_by_line(read):
    text = "species,unit,UA,A1\nSiO2,wt%,50,51\nZr,ppm,80,{}\nNb,ppm,5,6\n"
    table = read(text.format(81))
    assert table["sample"].values.tolist() == ["A1"]
    assert "elements stand in rows" in table.attrs["notes"]
    with pytest.raises(DataError, match=r"rocks.csv:3, row 'Zr', column 'A1', .*'oops' is not"):
        read(text.format("oops"))


def test_density_distance_and_profile_are_read(read):
    text = (
        "Site,Depth,bd,fresh,SiO2 wt%,Zr ppm,Nb ppm\n"
        "W1,0,1.2,0,50,80,5\nW1,10,,0,51,81,6\nW1,90,2.7,1,52,82,7\n"
    )
    options = {"sample_column": ["Site", "Depth"], "density": "bd", "distance": "Depth"}
    table = read(text, {"fresh": 1}, **options, distance_unit="cm", profile="Site")
    assert table["sample"].values.tolist() == ["W1 0", "W1 10"]
    assert table["protolith"].values.tolist() == ["W1 90"]
    np.testing.assert_array_equal(table["density"], [1.2, np.nan])
    assert table["protolith_density"].attrs["units"] == "g/cm3"
    assert table["distance"].attrs == {"units": "cm", "long_name": "Depth"}
    assert table["profile"].values.tolist() == ["W1", "W1"]
    with pytest.raises(DataError, match="distance is given without its unit"):
        read(text, {"fresh": 1}, **options)
    with pytest.raises(DataError, match="no column 'bdd'; did you mean 'bd'"):
        read(text, {"fresh": 1}, **(options | {"density": "bdd"}))


# ---- errors of measurement ----------------------------------------------------------------


def test_errors_stated_once_hold_for_all_cells(read):
    table = read(TABLE, errors=0.02)
    assert float(table["relative_error"].min()) == float(table["relative_error"].max()) == 0.02
    assert float(table["protolith_relative_error"].mean()) == pytest.approx(0.02)
    table = read(TABLE, errors={"Zr": 0.05})
    assert table["relative_error"].sel(element="Zr").values.tolist() == [0.05, 0.05]
    assert np.isnan(table["relative_error"].sel(element="Nb")).all()


def test_error_columns_become_relative_errors_of_one_sigma(read):
    text = (
        "Sample,SiO2 wt%,SiO2_rsd%,Zr ppm,Zr_2s,Au ppb,Au_1sd ppm\n"
        "UA,50,1,80,8,200,0.02\nA1,51,2,100,,300,0.03\n"
    )
    table = read(text)
    np.testing.assert_allclose(table["protolith_relative_error"], [[0.01, 0.05, 0.1]])
    np.testing.assert_allclose(table["relative_error"], [[0.02, np.nan, 0.1]])
    assert "errors of SiO2, Zr, Au taken from columns" in table.attrs["notes"]


def test_errors_given_twice_are_refused(read):
    text = "Sample,SiO2 wt%,Zr ppm,Zr_2s,Nb ppm\nUA,50,80,8,5\nA1,51,81,8,6\n"
    with pytest.raises(DataError, match=r"errors of Zr are given twice, by column 'Zr_2s'"):
        read(text, errors={"Zr": 0.05})
    table = read(text, errors={"Nb": 0.05})
    np.testing.assert_allclose(table["relative_error"], [[np.nan, 4 / 81, 0.05]])


@pytest.mark.parametrize("error", [5, 0, -0.1, float("nan")])
def test_percent_given_for_a_fraction_is_refused(read, error):
    with pytest.raises(DataError, match="give a fraction between 0 and 1"):
        read(TABLE, errors=error)


def test_error_column_in_vague_percent_is_refused(read):
    with pytest.raises(DataError, match=r"column 'Zr_rsd': percent of what\?.*'Zr_rsd%'"):
        read("Sample,SiO2 wt%,Zr ppm,Zr_rsd,Nb ppm\nUA,50,80,8,5\nA1,51,81,8,6\n")


# ---- cells --------------------------------------------------------------------------------


def test_censored_and_missing_cells_are_told_apart(read):
    text = (
        "Sample,SiO2 wt%,Zr ppm,Nb ppm,Y ppm\n"
        "DL,,,0.7,\nUA,50,80,5,20\nA1,51,<0.5,bdl,n.d.\nA2,50,82,b.d.l.,-\nA3,50,83,4,21\n"
    )
    table = read(text)
    assert table["detection_limit"].sel(sample="A1", element="Zr") == 0.5
    assert table["detection_limit"].sel(element="Nb").values[:2].tolist() == [0.7, 0.7]
    missing = np.isnan(table["concentration"].sel(sample="A1"))
    assert missing.values.tolist() == [False, True, True, True]
    assert np.isnan(table["detection_limit"].sel(sample="A1", element="Y"))
    assert "Y: 'n.d.' read as missing in 1 of 3 altered rocks" in table.attrs["notes"]
    assert "rocks.csv:2: detection limits taken from this row" in table.attrs["notes"]


def test_below_detection_without_limit_names_the_place_and_the_remedy(read):
    text = TABLE.replace("84", "bdl")
    with pytest.raises(DataError, match=r"rocks.csv:4, column 'Zr ppm', sample 'A2': 'bdl' says"):
        read(text)
    table = read(text, detection_limits={"zr": 3})
    assert table["detection_limit"].sel(sample="A2", element="Zr") == 3
    with pytest.raises(DataError, match="did you mean 'Zr'"):
        read(text, detection_limits={"Zn": 3})


def test_zero_is_an_error_unless_its_meaning_is_stated(read):
    text = TABLE.replace("84", "0")
    with pytest.raises(DataError, match=r":4, column 'Zr ppm', .*zero is not a possible"):
        read(text)
    assert np.isnan(read(text, zeros="missing")["concentration"].sel(sample="A2", element="Zr"))
    with pytest.raises(DataError, match="not below which limit"):
        read(text, zeros="below_detection")
    table = read(text, zeros="below_detection", detection_limits={"Zr": 1})
    assert table["detection_limit"].sel(sample="A2", element="Zr") == 1
    assert "Zr: zero read as below detection (< 1 ppm) in 1 of 2" in table.attrs["notes"]
    with pytest.raises(DataError, match="did you mean 'missing'"):
        read(text, zeros="misssing")


@pytest.mark.parametrize("zeros", ["error", "missing", "below_detection"])
def test_negative_is_always_an_error(read, zeros):
    with pytest.raises(DataError, match=r"sample 'A2': '-84' is negative"):
        read(TABLE.replace("84", "-84"), zeros=zeros, detection_limits={"Zr": 1})


@pytest.mark.parametrize("cell", ["abc", "8 4", "1e999", "1_0", "inf", "٣", "#DIV/0!", ">100"])
def test_text_in_a_number_column_names_file_line_sample_and_column(read, cell):
    with pytest.raises(DataError, match=r"rocks.csv:4, column 'Zr ppm', sample 'A2': ") as caught:
        read(TABLE.replace("84", cell))
    assert "Accepted: a number" in str(caught.value)


# ---- headers and units --------------------------------------------------------------------


def test_species_without_unit_is_refused_with_the_ways_to_state_it(read):
    text = TABLE.replace("Zr ppm", "Zr")
    with pytest.raises(DataError, match=r"no unit is stated for Zr\..*units=\{'Zr': 'ppm'\}"):
        read(text)
    assert read(text, units={"Zr": "mg/kg"})["unit"].sel(element="Zr") == "ppm"
    assert read(text, units="ppm")["unit"].values.tolist()[0] == "wt%"
    with pytest.raises(DataError, match=r"'ppmm' is not a unit known here; did you mean 'ppm'"):
        read(text, units={"Zr": "ppmm"})
    with pytest.raises(DataError, match="SiO2 is in wt% by the table and in ppm by the argument"):
        read(text, units={"Zr": "ppm", "SiO2": "ppm"})


def test_unknown_unit_in_a_header_is_refused_with_the_nearest(read):
    with pytest.raises(DataError, match=r"'pmm' after Zr is neither.*did you mean 'ppm'"):
        read(TABLE.replace("Zr ppm", "Zr_pmm"))


@pytest.mark.parametrize(
    ("header", "meant"), [("Si02", "SiO2"), ("AI2O3", "Al2O3"), ("TiO_2", "TiO2"), ("K20", "K2O")]
)
def test_misspelt_species_is_refused_with_the_right_name(read, header, meant):
    text = TABLE.replace("SiO2 (wt%)", f"{header} wt%")
    with pytest.raises(DataError, match=f"{header}.* looks like a misspelt.*did you mean '{meant}"):
        read(text)
    assert "SiO2" not in read(text, ignore=[f"{header} wt%"])["element"]


def test_capitals_do_not_matter_but_are_noted(read):
    table = read(TABLE.replace("SiO2", "SIO2").replace("Zr", "ZR"))
    assert table["element"].values.tolist()[:3] == ["SiO2", "TiO2", "Zr"]
    assert "column 'SIO2 (wt%)' read as SiO2" in table.attrs["notes"]


def test_other_columns_totals_and_loss_on_ignition_are_left_out_with_notes(read):
    text = TABLE.replace("\n", ",x,99,2.5\n").replace(",x,99,2.5", ",Horizon,Total,LOI", 1)
    table = read(text)
    assert table.sizes["element"] == 5
    for note in ("no species): Horizon", "'Total' ignored", "'LOI' left out of the elements"):
        assert note in table.attrs["notes"]


def test_repeated_column_names_are_refused(read):
    with pytest.raises(DataError, match=r"column name 'Zr ppm' stands twice \(columns 4 and 5\)"):
        read(TABLE.replace("Nb [ug/g]", "Zr ppm"))
    with pytest.raises(DataError, match="columns 'Zr ppm' and 'Zr_ppb' both give Zr"):
        read(TABLE.replace("Nb [ug/g]", "Zr_ppb"))


def test_element_dropped_for_want_of_protolith_is_noted(read):
    table = read(TABLE.replace("80,5.5", "n.a.,5.5"))
    assert "Zr" not in table["element"]
    assert "Zr dropped: no usable value in the protolith" in table.attrs["notes"]


def test_iron_given_twice_names_the_columns_and_the_remedy(read):
    text = TABLE.replace("Zr ppm", "FeO wt%").replace("Nb [ug/g]", "Fe2O3 wt%")
    with pytest.raises(DataError, match=r"iron is given more than once: 'FeO', 'Fe2O3'.*total"):
        read(text)
    assert read(text, ignore=["FeO"])["element"].values.tolist() == ["SiO2", "TiO2", "Fe2O3", "Au"]


def test_oxide_and_element_of_the_same_metal_are_refused(read):
    with pytest.raises(DataError, match=r"Ti is given more than once: 'TiO2', 'Ti'"):
        read(TABLE.replace("Zr ppm", "Ti ppm"))


def test_total_far_from_hundred_names_row_and_total(read):
    header = "Sample,SiO2,Al2O3,FeOT,MgO,CaO,Na2O,K2O,LOI\n"
    good, bad = "UA,50,15,10,8,9,3,1,3\n", "A1,50,15,10,8,9,3,1,20\n"
    with pytest.raises(DataError, match=r"rocks.csv:3, sample 'A1': .*add up to 116\.00"):
        read(header + good + bad, units="wt%")
    assert read(header + good + bad, units="wt%", totals="ignore").sizes["element"] == 7
    assert "LOI" not in read(header + good + bad.replace("20", "4"), units="wt%")["element"]


def test_more_than_the_whole_rock_is_a_wrong_unit(read):
    with pytest.raises(DataError, match="120 wt% is more than the whole rock"):
        read(TABLE.replace("Zr ppm", "Zr").replace("84", "120"), units="wt%")


# ---- samples and protolith ----------------------------------------------------------------


def test_unknown_protolith_lists_the_samples(read):
    with pytest.raises(DataError, match=r"no sample 'UB' to be.*did you mean 'UA'\? Allowed: UA"):
        read(TABLE, "UB")
    with pytest.raises(DataError, match="no column 'is_parent'"):
        read(TABLE, {"is_parent": 1})
    with pytest.raises(DataError, match="every row is protolith"):
        read(TABLE, ["UA", "A1", "A2"])
    with pytest.raises(DataError, match="no protolith is named"):
        read(TABLE, [])


def test_repeated_sample_label_names_both_lines(read):
    with pytest.raises(DataError, match=r"csv:4: sample label 'A1' .* at rocks.csv:3.*join"):
        read(TABLE.replace("A2", "A1"))


def test_rows_without_labels_are_numbered(read):
    text = "\n".join(line.split(",", 1)[1] for line in TABLE.splitlines())
    table = read(text, "1")
    assert table["sample"].values.tolist() == ["2", "3"]
    assert "rows numbered from 1" in table.attrs["notes"]


def test_ignored_name_that_is_not_there_is_refused(read):
    with pytest.raises(DataError, match=r"ignore='Zr pm' is neither.*did you mean 'Zr ppm'"):
        read(TABLE, ignore="Zr pm")
    assert read(TABLE, ignore=["A2", "Au"]).sizes == {"sample": 1, "protolith": 1, "element": 4}


# ---- broken files -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"Sample,SiO2 wt%,Zr ppm,Nb ppm\n", "a header only"),
        (b"a,b,c\n1,2,3\n", "no column is a species"),
        (b"Sample,Zr ppm\nUA,1\nA,\x00\n", "binary content"),
        (b"\xd0\xcf\x11\xe0junk", "old Excel file"),
        (b"PK\x03\x04junk", "not a readable Excel workbook"),
        (b"Sample,SiO2 wt%,Zr ppm\nUA,1,2\nA,1,2,3\nB,1,2\n", "rocks.csv:3: 4 cells"),
        (b"Sample,SiO2 wt%,Zr ppm\nUA,1,2\nA,1\nB,1,2\n", "rocks.csv:3: 2 cells"),
    ],
)
def test_broken_file_is_refused_clearly(read, content, message):
    with pytest.raises((DataError, FormatError), match=message):
        read(content)


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(FormatError, match=r"nowhere.csv: cannot be read \(No such file"):
        read_mass_table(tmp_path / "nowhere.csv", "UA")
    with pytest.raises(FormatError, match="Is a directory"):
        read_mass_table(tmp_path, "UA")


def outcome(file: Path, protolith: str, **options) -> str:
    """Message of the refusal, or the source of the valid table; other errors go through."""
    try:
        table = read_mass_table(file, protolith, **options)
    except (DataError, FormatError) as error:
        return str(error)
    validate_mass_table(table)
    return table.attrs["source"]


JUNK = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
    st.lists(
        st.sampled_from(
            [*TABLE.split(","), "\n", ",", ";", "\t", '"', "<", "bdl", "0", "Si02", "%", "LOI", "é"]
        ),
        max_size=40,
    ).map(lambda parts: ",".join(parts).encode()),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=JUNK, suffix=st.sampled_from([".csv", ".xlsx"]))
def test_any_bytes_give_a_table_or_a_clear_error(tmp_path, content, suffix):
    assert "junk" in outcome(write(tmp_path, content, f"junk{suffix}"), "UA", units="ppm")


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    place=st.integers(0, len(TABLE) - 1), damage=st.sampled_from([b"", b"\xff", b",", b"\n", b'"'])
)
def test_one_damaged_byte_gives_a_table_or_a_clear_error(tmp_path, place, damage):
    content = TABLE.encode()[:place] + damage + TABLE.encode()[place + 1 :]
    assert "rocks.csv" in outcome(write(tmp_path, content), "UA")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 0.999), damage=st.integers(1, 255))
def test_one_damaged_byte_of_a_workbook_gives_a_table_or_a_clear_error(tmp_path, place, damage):
    book = openpyxl.Workbook()
    for line in TABLE.splitlines():
        book.active.append(line.split(","))
    book.save(tmp_path / "whole.xlsx")
    content = bytearray((tmp_path / "whole.xlsx").read_bytes())
    content[int(place * len(content))] ^= damage
    assert "rocks.xlsx" in outcome(write(tmp_path, bytes(content), "rocks.xlsx"), "UA")


# ---- published tables ---------------------------------------------------------------------


def test_grant_table_with_elements_in_rows_is_read(data_folder):
    table = read_mass_table(
        data_folder / "grant2005_table1_UA_401.csv",
        "UA_unaltered",
        ignore=["immobile_in_gcdkit_example"],
    )
    assert dict(table.sizes) == {"sample": 1, "protolith": 1, "element": 20}
    assert table["unit"].sel(element=["SiO2", "Sc"]).values.tolist() == ["wt%", "ppm"]


def test_grant_table_with_its_flag_column_is_refused(data_folder):
    with pytest.raises(DataError, match=r"column 'immobile_in_gcdkit_example'.*zero"):
        read_mass_table(data_folder / "grant2005_table1_UA_401.csv", "UA_unaltered")


def test_toorongo_needs_units_and_shows_low_totals(data_folder):
    file = data_folder / "toorongo_nesbitt_young1989.csv"
    with pytest.raises(DataError, match="no unit is stated for SiO2, Al2O3"):
        read_mass_table(file, "1")
    with pytest.raises(DataError, match=r"toorongo\w+.csv:15, sample '14': .*add up to 83\.93"):
        read_mass_table(file, "1", units="wt%")


def test_laurels_wells_need_joined_labels_and_a_meaning_of_zero(data_folder):
    file = data_folder / "laurels_preserve_wells_fisher2017.csv"
    with pytest.raises(DataError, match=r"'LP_Well1' stands there already.*sample_column="):
        read_mass_table(file, {"is_parent": 1}, units="wt%")
    with pytest.raises(DataError, match=r"csv:2, column 'Na2O', .*zero is not a possible"):
        read_mass_table(file, {"is_parent": 1}, units="wt%", sample_column=["Site", "voTop"])


@pytest.mark.parametrize("keep", [1, 60, 500, 2000, -3, -40])
def test_truncated_published_table_is_read_or_refused_clearly(data_folder, tmp_path, keep):
    content = (data_folder / "toorongo_nesbitt_young1989.csv").read_bytes()[:keep]
    file = write(tmp_path, content)
    assert "rocks.csv" in outcome(file, "1", units="wt%", totals="ignore")


# ---- the builder and the validation -------------------------------------------------------

FRESH = pd.DataFrame({"SiO2": [46.45], "TiO2": [1.29], "Zr": [80.0]}, index=["UA"])
ALTERED = pd.DataFrame({"SiO2": [45.6, 44], "TiO2": [1.3, 1.4], "Zr": ["<90", 85]}, index=[1, 2])
UNITS = {"SiO2": "wt%", "TiO2": "wt%", "Zr": "ppm"}


def test_builder_reads_censored_cells_like_the_reader():
    table = mass_table(ALTERED, FRESH, UNITS, density=2.7, distance=[0, 5], distance_unit="m")
    assert table["sample"].values.tolist() == ["1", "2"]
    assert table["detection_limit"].sel(sample="1", element="Zr") == 90
    assert table["density"].values.tolist() == [2.7, 2.7]
    assert table.attrs["source"] == "in memory"


def test_builder_takes_errors_cell_by_cell():
    errors = pd.DataFrame({"Zr": [0.1, 0.2]}, index=[1, 2])
    table = mass_table(ALTERED, FRESH, UNITS, relative_errors=errors)
    assert table["relative_error"].sel(element="Zr").values.tolist() == [0.1, 0.2]
    assert np.isnan(table["protolith_relative_error"]).all()
    with pytest.raises(DataError, match="sample '9' has no analysis"):
        mass_table(ALTERED, FRESH, UNITS, relative_errors=errors.set_axis([1, 9]))


def test_builder_refuses_unknown_names_unless_units_name_them():
    altered, fresh = (frame.rename(columns={"Zr": "tracer"}) for frame in (ALTERED, FRESH))
    with pytest.raises(DataError, match="column 'tracer' is not a known species"):
        mass_table(altered, fresh, "wt%")
    named = {"SiO2": "wt%", "TiO2": "wt%", "tracer": "ppm"}
    assert "tracer" in mass_table(altered, fresh, named)["element"]


def test_builder_refuses_shared_labels_and_empty_tables():
    with pytest.raises(DataError, match="sample label '1' stands more than once"):
        mass_table(ALTERED, FRESH.set_axis(["1"]), UNITS)
    with pytest.raises(DataError, match="protolith has no analysis"):
        mass_table(ALTERED, FRESH.iloc[:0], UNITS)
    with pytest.raises(DataError, match=r"2 elements left.*at least three"):
        mass_table(ALTERED.drop(columns="Zr"), FRESH.drop(columns="Zr"), "wt%")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.drop_vars("detection_limit"), "variable 'detection_limit' is missing"),
        (lambda t: t.transpose(), "variable 'concentration' has dims"),
        (lambda t: t.drop_vars("unit"), "coordinate 'unit' is missing"),
        (lambda t: t.isel(element=[0, 1]), "'element' has 2 entries; at least 3"),
        (lambda t: t.isel(protolith=[]), "'protolith' has 0 entries"),
        (lambda t: t.isel(sample=[]), "'sample' has 0 entries"),
        (lambda t: t.isel(element=[0, 1, 2, 2]), "element label 'Zr' stands more than once"),
        (lambda t: t.assign_coords(unit=("element", ["wt%", "wt", "ppm"])), "unit 'wt'.*'wt%'"),
        (lambda t: t.assign(concentration=-t.concentration), "'SiO2' in sample '1' is -45.6"),
        (lambda t: t.assign(relative_error=0 * t.concentration), "relative_error of element"),
        (lambda t: t.assign(detection_limit=t.concentration), "has no detection limit"),
        (lambda t: t.assign(density=("sample", [2700.0, 2.7])), "is 2700; densities are in g/cm3"),
        (lambda t: t.assign_coords(element=["FeO", "Fe2O3*", "Zr"]), "iron is given more than"),
    ],
)
def test_validation_names_what_is_wrong(damage, message):
    table = mass_table(ALTERED, FRESH, UNITS)
    validate_mass_table(table)
    with pytest.raises(DataError, match=message):
        validate_mass_table(damage(table))
