import numpy as np
import pandas as pd
import pytest
from epma_files import (
    CLASSIFICATION,
    STANDARDS,
    hdf5,
    jeol_spots,
    jeol_text,
    jxa,
    replace_in,
    xmaptools,
)

from petro_models import datasets
from petro_models.errors import DataError, FormatError
from petro_models.io.epma import read_epma, read_phase_seeds, read_spots
from petro_models.phase_maps.data import validate_maps, validate_spots


def test_the_edges_in_standards_place_spots_by_half_a_pixel(tmp_path):
    maps = read_epma(xmaptools(tmp_path))
    spots = read_spots(tmp_path, maps)
    validate_spots(spots, maps)
    # Left edge 1000, right 1020, top 2000, bottom 2016: pixels are 4 wide.
    assert spots["column"].values.tolist() == [0, 4]
    assert spots["row"].values.tolist() == [1, 3]
    affine = maps["stage_to_pixel"].values
    np.testing.assert_allclose(affine @ [1000, 2000, 1], [-0.5, -0.5], atol=1e-9)
    assert spots["wt_percent"].sel(oxide="SiO2").values.tolist() == [60.1, 99.0]


def test_seeds_are_counted_from_zero(tmp_path):
    maps = read_epma(xmaptools(tmp_path))
    seeds = read_phase_seeds(tmp_path / "Classification.txt", maps)
    assert seeds["phase"].values.tolist() == ["Mica", "Quartz"]
    assert seeds["column"].values.tolist() == [1, 4]
    assert seeds["row"].values.tolist() == [0, 3]
    assert seeds["density_kg_m3"].values.tolist() == [2820, 2650]


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("SiO2 Al2O3", "Si02 Al2O3", DataError, "did you mean 'SiO2'"),
        ("SiO2 Al2O3", "SiO2 Qq2O3", DataError, "'Qq2O3' is not an oxide"),
        ("SiO2 Al2O3 X Y", "X Y SiO2 Al2O3", FormatError, "last two columns must be X and Y"),
        ("1002 2006", "902 2006", DataError, "1 of 2 spots lie outside the map, first spot '1'"),
        ("60.1 20.2", "60.1 2o.2", FormatError, r"Standards.txt:8: Al2O3 is '2o.2', not a number"),
        ("0.1 1018 2014", "0.1 1018", FormatError, r"Standards.txt:9: 3 numbers, but 4 columns"),
        ("1000   1020", "1000   1000", FormatError, "four numbers, left right bottom top"),
        (STANDARDS.partition(">3")[2], "", FormatError, "nothing below '>3'"),
        (STANDARDS, "", FormatError, "no section '>1'"),
    ],
)
def test_damaged_standards_are_named(old, new, error, message, tmp_path):
    xmaptools(tmp_path)
    maps = read_epma(tmp_path)
    replace_in(tmp_path / "Standards.txt", old, new)
    with pytest.raises(error, match=message):
        read_spots(tmp_path / "Standards.txt", maps)


def test_spots_outside_can_be_dropped_in_reading(tmp_path):
    maps = read_epma(xmaptools(tmp_path))
    replace_in(tmp_path / "Standards.txt", "1002 2006", "902 2006")
    assert read_spots(tmp_path, maps, outside="drop")["spot"].values.tolist() == ["2"]


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("Quartz 5   4", "Quartz 5", FormatError, "a phase is three words"),
        ("Quartz 5   4", "Quartz 9   4", DataError, "seed of 'Quartz' lies outside the map"),
        ("2820\n", "", FormatError, "1 densities for 2 phases"),
        ("2820", "2.82", DataError, "density_kg_m3 of 'Mica' is 2.82"),
        (CLASSIFICATION, ">1 phases\n", FormatError, "no phase below '>1'"),
    ],
)
def test_damaged_classifications_are_named(old, new, error, message, tmp_path):
    maps = read_epma(xmaptools(tmp_path))
    replace_in(tmp_path / "Classification.txt", old, new)
    with pytest.raises(error, match=message):
        read_phase_seeds(tmp_path, maps)


def test_alps_spots_agree_with_the_map_only_in_the_right_orientation(real_data):
    maps, spots, _ = datasets.alps()
    column, row = (np.rint(spots[name].values).astype(int) for name in ("column", "row"))
    # Column 0 is the left edge, 25606 less half a pixel of 1: stage x falls along a row.
    np.testing.assert_allclose(spots["column"], 25606 - spots["stage_x"] - 0.5)
    np.testing.assert_allclose(spots["row"], spots["stage_y"] - 78788 - 0.5)
    silica = spots["wt_percent"].sel(oxide="SiO2").values
    image = maps["counts"].sel(element="Si").values
    # The nominal registration is off by two pixels, so that the agreement is not perfect.
    assert np.corrcoef(silica, image[row, column])[0, 1] > 0.5
    for flipped in (image[::-1], image[:, ::-1], image[::-1, ::-1]):
        assert abs(np.corrcoef(silica, flipped[row, column])[0, 1]) < 0.3


def test_seeds_of_labelled_clusters_lie_deepest_inside(tmp_path):
    file = hdf5(tmp_path)
    seeds = read_phase_seeds(file, read_epma(file))
    # Clusters 0 and 1 (rows 0 and 1) merge into one class, cluster 2 (rows 2 and 3) is the other.
    rows = seeds["row"].values.tolist()
    assert sorted(seeds["phase"].values) == ["High", "Low"]
    assert sorted(row // 2 for row in rows) == [0, 1]


def test_jeol_spots_keep_what_the_calibration_needs(tmp_path):
    maps = read_epma(jeol_text(jeol_spots(tmp_path)))
    spots = read_spots(tmp_path, maps)
    validate_spots(spots, maps)
    assert spots["phase"].values.tolist() == ["white mica", "Qtz"]
    np.testing.assert_allclose(spots["column"], [2, 0], atol=1e-9)
    np.testing.assert_allclose(spots["row"], [1, 3], atol=1e-9)
    assert np.isnan(spots["wt_percent"].sel(oxide="Al2O3")).values.tolist() == [False, True]
    assert spots["net_counts_per_s_uA"].sel(element="Si").values.tolist() == [600, 995]
    assert spots["spot_current_nA"].values == pytest.approx([10, 11])
    assert spots["peak_time_s"].values.tolist() == [10, 10]
    # Interpolated between the sides, at distances of 2 (minus) and 1 mm (plus) from the peak.
    assert spots["background_counts_per_s_uA"].sel(element="Si").values == pytest.approx([24, 22])


def test_real_jeol_spots_meet_their_phases_on_the_map(real_data):
    maps, spots = datasets.qntmap_minimal()
    validate_maps(maps)
    validate_spots(spots, maps)
    assert maps.attrs["format"] == "JEOL text maps (SUN era)"
    assert maps["dwell_s"].values.tolist() == [0.1, 0.1]
    assert maps["probe_current_nA"].item() == pytest.approx(100)
    column, row = (np.rint(spots[name].values).astype(int) for name in ("column", "row"))
    seen = maps["counts"].sel(element="Si").values[row, column]
    assert ((seen > 7000) == (spots["phase"] == "Qtz").values).all()
    peak, net, background = (
        spots[f"{name}_counts_per_s_uA"] for name in ("peak", "net", "background")
    )
    np.testing.assert_allclose(background, peak - net)
    assert background.sel(spot="1", element="Si").item() == 9790


@pytest.mark.parametrize(
    ("file", "old", "new", "error", "message"),
    [
        ("elem.qnt", "Al2O3", "Al2Q3", DataError, "'Al2Q3' is not an oxide"),
        ("wt.qnt", "2 1 99.5 99.5\n", "", FormatError, "spots, but .*wt.qnt has 1"),
        ("wt.qnt", "60.1 80.3", "", FormatError, "wt.qnt:1: .* cut short"),
        ("stg.qnt", "10.008", "10.108", DataError, "1 of 2 spots lie outside the map"),
        ("stg.qnt", " 20.004 11 0 0 white  mica", "", FormatError, "5 cells; stage x, y and z"),
        ("net.qnt", "995 995", "9a5 995", FormatError, "net.qnt:2: Si is '9a5', not a number"),
    ],
)
def test_damaged_jeol_spots_are_named(file, old, new, error, message, tmp_path):
    maps = read_epma(jeol_text(jeol_spots(tmp_path)))
    replace_in(tmp_path / ".qnt" / file, old, new)
    with pytest.raises(error, match=message):
        read_spots(tmp_path, maps)


def test_tables_of_spots_have_errors_positions_and_labels(tmp_path):
    file = tmp_path / "spots.csv"
    file.write_text(
        "spot,SiO2,SiO2_2s,FeOT wt%,Cr ppm,column,row,mineral,Total\n"
        "a,45.0,0.6,2.5,2000,1.5,2,mica,97.5\n"
        "b,99.5,,<0.1,,3,0,,99.5\n"
    )
    spots = read_spots(file, read_epma(xmaptools(tmp_path)))
    assert spots["spot"].values.tolist() == ["a", "b"]
    assert spots["oxide"].values.tolist() == ["SiO2", "FeO", "Cr"]
    assert spots["wt_percent_sd"].sel(oxide="SiO2").values[0] == pytest.approx(0.3)
    assert spots["wt_percent"].sel(oxide="Cr").values[0] == pytest.approx(0.2)
    assert spots["wt_percent"].sel(oxide="FeO").values.tolist() == [2.5, 0]
    assert spots["column"].values.tolist() == [1.5, 3]
    assert spots["phase"].values.tolist() == ["mica", ""]
    assert "column 'Total' not read" in spots.attrs["notes"]


def test_tables_of_spots_are_placed_by_the_stage(tmp_path):
    jeol_text(tmp_path)
    table = pd.DataFrame({"SiO2": [50.0], "X": [10.008], "Y": [20.004]})
    table.to_excel(tmp_path / "spots.xlsx", index=False)
    spots = read_spots(tmp_path / "spots.xlsx", read_epma(tmp_path))
    assert (spots["column"].item(), spots["row"].item()) == pytest.approx((2, 1))


def test_spots_that_cannot_be_placed_are_kept_with_a_note(tmp_path):
    file = hdf5(tmp_path)
    (tmp_path / "spots.csv").write_text("SiO2,X,Y\n50,1,2\n")
    spots = read_spots(tmp_path / "spots.csv", read_epma(file))
    assert np.isnan(spots["column"].item())
    assert "no spot could be placed" in spots.attrs["notes"]


def test_damaged_tables_of_spots_are_named(tmp_path):
    file = tmp_path / "spots.csv"
    for text, error, message in (
        ("Si02,MgO\n50,1\n", DataError, "spots.csv:1: .*did you mean 'SiO2'"),
        ("SiO2,MgO\n50,much\n", FormatError, "spots.csv:2: MgO is 'much', not a number"),
        ("name,place\na,b\n", DataError, "no column is an oxide"),
        ("SiO2,MgO\n", FormatError, "a line of headers, but no analyses"),
        ("SiO2,MgO,Al2O3_1s\n50,1,1\n", DataError, "column 'Al2O3_1s', but no Al2O3 itself"),
    ):
        file.write_text(text)
        with pytest.raises(error, match=message):
            read_spots(file)


def test_real_tables_of_analyses_are_read(real_data):
    folder = real_data / "epma" / "epmatools_demo"
    profile = read_spots(folder / "grt_profile.csv")
    assert profile.sizes == {"spot": 100, "oxide": 13}
    assert profile["wt_percent"].sel(spot="1", oxide="FeO").item() == 33.202


def test_folders_without_spots_or_seeds_say_what_they_hold(tmp_path):
    jxa(tmp_path)
    with pytest.raises(FormatError, match=r"no spot analyses .*data001.cnd"):
        read_spots(tmp_path)
    with pytest.raises(FormatError, match=r"no Classification.txt; data001.cnd"):
        read_phase_seeds(tmp_path)
    with pytest.raises(FormatError, match="no format of spot analyses is recognised"):
        read_spots(tmp_path / "data001.cnd")
