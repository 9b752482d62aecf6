import math

import numpy as np
import pytest
from epma_files import (
    COLUMNS,
    COUNTS,
    ROWS,
    jeol_native,
    jeol_text,
    jxa,
    matrix,
    replace_in,
)

from petro_models.errors import DataError, FormatError
from petro_models.io.epma import read_epma
from petro_models.io.epma_jeol import dollar_values
from petro_models.io.epma_jxa import read_conditions

# JEOL, SUN era


def test_stage_of_jeol_maps_points_to_pixel_centres_and_columns_run_to_smaller_x(tmp_path):
    maps = read_epma(jeol_text(tmp_path))
    affine = maps["stage_to_pixel"].values
    # The start position (10, 20) mm is the pixel of smallest x and y: last column, first row.
    np.testing.assert_allclose(affine @ [10, 20, 1], [COLUMNS - 1, 0], atol=1e-9)
    np.testing.assert_allclose(affine @ [10.016, 20.012, 1], [0, ROWS - 1], atol=1e-9)
    assert maps["stage_to_pixel"].attrs["units"] == "mm"


def test_text_and_native_maps_of_one_area_are_alike(tmp_path):
    for name, writer in (("text", jeol_text), ("native", jeol_native)):
        (tmp_path / name).mkdir()
        writer(tmp_path / name)
    text, native = (read_epma(tmp_path / name) for name in ("text", "native"))
    assert text.drop_attrs().equals(native.drop_attrs())


def test_one_file_of_a_jeol_folder_is_one_map(tmp_path):
    jeol_native(tmp_path)
    maps = read_epma(tmp_path / "2.map")
    assert maps["element"].values.tolist() == ["Si"]
    np.testing.assert_array_equal(maps["counts"][0], COUNTS["Si"])


@pytest.mark.parametrize("kind", ["<u4", ">u4", ">f8"])
def test_native_maps_of_other_types_are_read_by_their_size(kind, tmp_path):
    jeol_native(tmp_path)
    for n, image in enumerate(COUNTS.values(), start=1):
        (tmp_path / f"{n}.map").write_bytes(np.rot90(image).astype(kind).tobytes())
    maps = read_epma(tmp_path)
    np.testing.assert_array_equal(maps["counts"].sel(element="Si"), COUNTS["Si"])
    assert ("little-endian" in maps.attrs["notes"]) == (kind == "<u4")


def test_beam_scans_are_stored_row_by_row_and_have_no_stage(tmp_path):
    jeol_native(tmp_path)
    replace_in(tmp_path / "0.cnd", "S\t\t\tStage[S]", "B\t\t\tStage[S]")
    replace_in(tmp_path / "0.cnd", "1\t\t\tAccumulation", "3\t\t\tAccumulation")
    for n, image in enumerate(COUNTS.values(), start=1):
        (tmp_path / f"{n}.map").write_bytes(image.astype(">u2").tobytes())
    maps = read_epma(tmp_path)
    np.testing.assert_array_equal(maps["counts"].sel(element="Al"), COUNTS["Al"])
    assert np.isnan(maps["stage_to_pixel"]).all()
    assert maps["dwell_s"].values == pytest.approx([0.15, 0.15])
    assert "beam scan" in maps.attrs["notes"]


def test_a_truncated_native_map_is_refused_with_its_length(tmp_path):
    jeol_native(tmp_path)
    file = tmp_path / "1.map"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(FormatError, match=r"1.map: 37 bytes, but 5 x 4 pixels need 2 or 4 or 8"):
        read_epma(tmp_path)


def test_a_truncated_text_map_is_refused(tmp_path):
    jeol_text(tmp_path)
    file = tmp_path / "2_map.txt"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:3]))
    with pytest.raises(FormatError, match=r"2_map.txt: 3 rows of 4 .* 5 rows of 4. .* cut short"):
        read_epma(tmp_path)
    file.write_text("\n".join([*lines[:3], lines[3][:8]]))
    with pytest.raises(FormatError, match=r"2_map.txt:4: \d numbers, but the lines before have 4"):
        read_epma(tmp_path)


def test_an_element_without_its_map_is_named(tmp_path):
    jeol_text(tmp_path)
    (tmp_path / "2_map.txt").unlink()
    with pytest.raises(
        FormatError, match=r"No. 2, Si, but there is no 2_map.txt .*ignore=\['Si'\]"
    ):
        read_epma(tmp_path)
    assert read_epma(tmp_path, ignore=["Si"])["element"].values.tolist() == ["Al"]


def test_damaged_counts_of_a_text_map_are_named_by_their_place_in_the_file(tmp_path):
    jeol_text(tmp_path)
    replace_in(tmp_path / "1_map.txt", "57", "5x7")
    with pytest.raises(FormatError, match=r"1_map.txt:1: number 4: '5x7' is not a number"):
        read_epma(tmp_path)
    replace_in(tmp_path / "1_map.txt", "5x7", "-57")
    with pytest.raises(DataError, match=r"1_map.txt, row 1, column 4: -57 is negative"):
        read_epma(tmp_path)
    replace_in(tmp_path / "1_map.txt", "-57", "5.7")
    with pytest.raises(DataError, match=r"1_map.txt, row 1, column 4: 5.7 is not a whole number"):
        read_epma(tmp_path)


def test_an_element_mapped_twice_is_refused_with_the_remedy(tmp_path):
    jeol_text(tmp_path)
    replace_in(tmp_path / "2.cnd", "Si", "Al")
    with pytest.raises(DataError, match=r"second map of Al, besides .*ignore=\['2_map.txt'\]"):
        read_epma(tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("1.cnd", "Al", "Xx", "map 1 is of 'Xx', which is no element"),
        ("0.cnd", "5\t\t\tX-axis", "0\t\t\tX-axis", "columns is '0'; it is a whole number"),
        ("0.cnd", "50\t\t\tDwell", "fast\t\t\tDwell", "dwell is 'fast', not a number"),
        ("0.cnd", "X-axis Step Number", "lost", "the number of steps in x and y is missing"),
    ],
)
def test_damaged_conditions_are_named(file, old, new, message, tmp_path):
    jeol_text(tmp_path)
    if file == "0.cnd":
        replace_in(tmp_path / "1.cnd", "$XM_DWELL_TIME  50 msec\n", "")
    replace_in(tmp_path / file, old, new)
    with pytest.raises(FormatError, match=message):
        read_epma(tmp_path)


def test_real_native_map_has_the_stated_largest_count_and_a_smooth_image(real_data):
    file = real_data / "epma" / "jeol_native" / "7.map"
    maps = read_epma(file)
    assert maps["element"].values.tolist() == ["Si"]
    assert maps["counts"].shape == (1, 1000, 920)
    assert maps["counts"].max().item() == 1005
    assert maps["counts"].mean().item() == pytest.approx(182.8, abs=0.05)
    assert maps["dwell_s"].item() == 0.008
    assert maps["probe_current_nA"].item() == pytest.approx(198.8)
    assert maps["step_um"].item() == 4
    # Stated centre of the scan: between the pixels in the middle, to the stage's 1 um.
    centre = maps["stage_to_pixel"].values @ [20.838, 16.898, 1]
    np.testing.assert_allclose(centre, [(920 - 1) / 2, (1000 - 1) / 2], atol=0.3)
    # Neighbours resemble each other along both axes; with rows and columns mixed up they do not.
    image = maps["counts"].values[0].astype(float)
    for first, second in ((image[:, 1:], image[:, :-1]), (image[1:], image[:-1])):
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.8


def test_real_native_folder_lists_the_fourteen_maps_that_lack(real_data):
    with pytest.raises(FormatError, match="lacking in jeol_native: F, Na, Cr, K, S, Mg, Cl, Ca"):
        read_epma(real_data / "epma" / "jeol_native")


# JEOL, JXA-8230 and JXA-8530F


def test_stage_of_jxa_maps_has_its_middle_in_the_middle_and_its_corner_at_the_edge(tmp_path):
    affine = read_epma(jxa(tmp_path))["stage_to_pixel"].values
    np.testing.assert_allclose(affine @ [10, 20, 1], [2, 1.5], atol=1e-9)
    np.testing.assert_allclose(affine @ [10.010, 19.992, 1], [-0.5, -0.5], atol=1e-9)


def test_real_conditions_of_stage_and_beam_scans_are_read(real_data):
    folder = real_data / "epma" / "jeol_native"
    at = {
        name: read_conditions(dollar_values((folder / name).read_text()), name)
        for name in ("OK10VM-a.cnd", "ProbeScan.cnd", "data003.cnd")
    }
    stage, beam, small = at.values()
    assert (stage.element, stage.columns, stage.rows) == ("Si", 2000, 2000)
    assert (stage.step, stage.dwell_ms, stage.is_stage_scan) == ((0.5, 0.5), 12, True)
    assert stage.centre == (-19.1143, -18.6683)
    assert stage.current_A == pytest.approx(499.4e-9)
    assert (beam.columns, beam.rows, beam.dwell_ms) == (2000, 1500, 2)
    assert not beam.is_stage_scan
    assert math.isnan(beam.step[0])
    assert (small.element, small.columns, small.rows, small.largest) == ("Ti", 1800, 1600, 67)
    with pytest.raises(FormatError, match="XM_ELEM_NAME%0 is '', which is no element"):
        read_conditions(dollar_values((folder / "data006.cnd").read_text()), "data006.cnd")


def test_real_conditions_read_with_a_map_of_their_size(real_data, tmp_path):
    text = (real_data / "epma" / "jeol_native" / "data003.cnd").read_text()
    (tmp_path / "data003.cnd").write_text(text.replace("PIXELS%0 1800 1600", "PIXELS%0 5 4"))
    (tmp_path / "data003.csv").write_text(matrix(COUNTS["Al"], ","))
    electron = (real_data / "epma" / "jeol_native" / "data006.cnd").read_text()
    (tmp_path / "data006.cnd").write_text(electron)
    (tmp_path / "data006.csv").write_text(matrix(COUNTS["Si"], ","))
    maps = read_epma(tmp_path)
    assert maps["element"].values.tolist() == ["Ti"]
    assert "(COMPO) left out: an electron image" in maps.attrs["notes"]
    assert "largest count 57, but its conditions state 67" in maps.attrs["notes"]
    assert maps["probe_current_nA"].item() == pytest.approx(12.01)


def test_a_single_column_of_a_jxa_map_is_folded_into_rows(tmp_path):
    jxa(tmp_path)
    (tmp_path / "data001.csv").write_text("\n".join(map(str, COUNTS["Al"].ravel())))
    maps = read_epma(tmp_path)
    np.testing.assert_array_equal(maps["counts"].sel(element="Al"), COUNTS["Al"])


def test_native_jxa_maps_are_little_endian(tmp_path):
    jxa(tmp_path)
    (tmp_path / "data001.csv").unlink()
    (tmp_path / "data001.map").write_bytes(np.rot90(COUNTS["Al"]).astype("<u4").tobytes())
    maps = read_epma(tmp_path)
    np.testing.assert_array_equal(maps["counts"].sel(element="Al"), COUNTS["Al"])


def test_damaged_jxa_folders_are_named(tmp_path):
    jxa(tmp_path)
    replace_in(tmp_path / "data002.csv", "1033,", "")
    with pytest.raises(FormatError, match=r"data002.csv:2: 5 numbers, but the lines before have 4"):
        read_epma(tmp_path)
    (tmp_path / "data002.csv").unlink()
    with pytest.raises(FormatError, match=r"data002.csv, is missing.*ignore=\['Si'\]"):
        read_epma(tmp_path)
    with pytest.raises(FormatError, match=r"data002.csv, is missing"):
        read_epma(tmp_path / "data002.cnd")
    assert read_epma(tmp_path / "data001.csv")["element"].values.tolist() == ["Al"]


def test_rotated_scans_and_corrected_counts_are_noted(tmp_path):
    jxa(tmp_path)
    for n in (1, 2):
        file = tmp_path / f"data00{n}.cnd"
        replace_in(file, "ROTATION_ANGLE%0 0.0", "ROTATION_ANGLE%0 12.0")
        replace_in(file, "DEAD_TIME 0.000000", "DEAD_TIME 1.100000")
    maps = read_epma(tmp_path)
    assert np.isnan(maps["stage_to_pixel"]).all()
    assert maps["dead_time_ns"].values.tolist() == [0, 0]
    assert "rotated by 12 degrees" in maps.attrs["notes"]
    assert "corrected for dead time by the instrument" in maps.attrs["notes"]


def test_currents_that_differ_between_maps_are_averaged_with_a_note(tmp_path):
    jxa(tmp_path)
    replace_in(tmp_path / "data002.cnd", "1.000e-007", "1.100e-007")
    maps = read_epma(tmp_path)
    assert maps["probe_current_nA"].item() == pytest.approx(105)
    assert "probe current differs between maps (100 to 110 nA)" in maps.attrs["notes"]
