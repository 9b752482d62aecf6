import logging
import math
import zipfile

import numpy as np
import pytest
from epma_files import (
    COLUMNS,
    COUNTS,
    ROWS,
    WRITERS,
    calcimage,
    cameca,
    csv_matrices,
    hdf5,
    jeol_native,
    jeol_text,
    jxa,
    matrix,
    numpy_archive,
    numpy_array,
    replace_in,
    tiff,
    xmaptools,
    xmaptools_zip,
)

from petro_models import datasets
from petro_models.errors import DataError, FormatError
from petro_models.io import epma_source
from petro_models.io.epma import read_epma, read_phase_seeds, read_spots
from petro_models.io.epma_jeol import dollar_values
from petro_models.io.epma_jxa import read_conditions
from petro_models.phase_maps.data import validate_maps, validate_seeds, validate_spots

FORMATS = {
    "jeol_text": "JEOL text maps (SUN era)",
    "jeol_native": "JEOL native binary maps (SUN era)",
    "jxa": "JEOL JXA-8230/8530F maps",
    "cameca": "Cameca text maps",
    "cameca_numbered": "Cameca text maps",
    "xmaptools": "XMapTools",
    "xmaptools_zip": "XMapTools (zip archive)",
    "calcimage": "CalcImage .DAT",
    "hdf5": "epmatools HDF5",
    "tiff": "TIFF stack with TOML sidecar",
    "numpy_array": "NumPy array with TOML sidecar",
    "numpy_archive": "NumPy archive with TOML sidecar",
    "csv_matrices": "CSV matrices with TOML sidecar",
}


# Every format


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_counts_and_says_what_it_was(name, tmp_path, caplog):
    path = WRITERS[name](tmp_path)
    with caplog.at_level(logging.INFO, "petro_models"):
        maps = read_epma(path)
    validate_maps(maps)
    assert maps["element"].values.tolist() == ["Al", "Si"]
    for element, image in COUNTS.items():
        np.testing.assert_array_equal(maps["counts"].sel(element=element), image)
    assert maps.attrs["format"] == FORMATS[name]
    assert f"read as {FORMATS[name]}: Al Si, 5 x 4 pixels" in caplog.text


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"xmaptools", "xmaptools_zip"}))
def test_every_format_that_states_the_step_gives_it_in_micrometres(name, tmp_path):
    maps = read_epma(WRITERS[name](tmp_path))
    assert maps["step_um"].item() == 4
    assert maps["x"].values.tolist() == [0, 4, 8, 12, 16]
    assert maps["y"].attrs["units"] == "um"


@pytest.mark.parametrize(
    "name", sorted(set(WRITERS) - {"xmaptools", "xmaptools_zip", "calcimage", "hdf5"})
)
def test_every_format_that_states_dwell_and_current_gives_them_in_our_units(name, tmp_path):
    maps = read_epma(WRITERS[name](tmp_path))
    assert maps["dwell_s"].values.tolist() == [0.05, 0.05]
    assert maps["probe_current_nA"].item() == pytest.approx(100)


@pytest.mark.parametrize("name", WRITERS)
def test_an_element_can_be_ignored_in_every_format(name, tmp_path):
    ignored = ["Al CNTS"] if name == "calcimage" else ["Al"]
    if name == "csv_matrices":
        (tmp_path / "al_counts.csv").unlink(missing_ok=True)
    assert read_epma(WRITERS[name](tmp_path), ignore=ignored)["element"].values.tolist() == ["Si"]


def test_conditions_of_the_caller_win_and_are_noted(tmp_path):
    maps = read_epma(
        xmaptools(tmp_path), dwell_s={"Si": 0.2}, dead_time_ns=1000, probe_current_nA=50, step_um=3
    )
    assert math.isnan(maps["dwell_s"].sel(element="Al").item())
    assert maps["dwell_s"].sel(element="Si").item() == 0.2
    assert maps["dead_time_ns"].values.tolist() == [1000, 1000]
    assert maps["probe_current_nA"].item() == 50
    assert maps["x"].values[1] == 3
    assert "step_um given by the caller" in maps.attrs["notes"]


def test_ignore_is_checked(tmp_path):
    folder = xmaptools(tmp_path)
    with pytest.raises(DataError, match=r"no file 'Si.tct'; did you mean 'Si.txt'"):
        read_epma(folder, ignore=["Si.tct"])
    with pytest.raises(DataError, match="give a list"):
        read_epma(folder, ignore="Si")
    with pytest.raises(FormatError, match="no map is left"):
        read_epma(folder, ignore=["Al", "Si.txt"])


def test_what_is_no_map_is_answered_with_what_is_known(tmp_path):
    with pytest.raises(FormatError, match="there is no such file or folder"):
        read_epma(tmp_path / "nothing")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(FormatError, match=r"holds notes.txt. Recognised: JEOL .*Cameca.*TIFF"):
        read_epma(tmp_path)
    with pytest.raises(FormatError, match=r"notes.txt: no format of EPMA maps"):
        read_epma(tmp_path / "notes.txt")


def test_a_folder_beside_the_archive_points_to_the_archive(real_data):
    with pytest.raises(FormatError, match=r"Is the map in alps.zip\? Then give the path"):
        read_epma(real_data / "epma" / "alps")


def test_several_maps_in_one_folder_are_listed(tmp_path):
    for name in ("1", "2"):
        (tmp_path / ".map" / name).mkdir(parents=True)
        jeol_text(tmp_path / ".map" / name)
    with pytest.raises(FormatError, match=r"several maps: .map/1, .map/2. Give the path of one"):
        read_epma(tmp_path)
    assert read_epma(tmp_path, group=".map/2").sizes["x"] == COLUMNS
    assert read_epma(tmp_path / ".map" / "1").sizes["x"] == COLUMNS
    with pytest.raises(FormatError, match=r"no map in '.map/3'; did you mean"):
        read_epma(tmp_path, group=".map/3")


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


# Cameca


def test_cameca_stage_starts_at_the_first_pixel(tmp_path):
    maps = read_epma(cameca(tmp_path))
    affine = maps["stage_to_pixel"].values
    np.testing.assert_allclose(affine @ [-1200, 3400, 1], [0, 0], atol=1e-9)
    np.testing.assert_allclose(affine @ [-1184, 3412, 1], [4, 3], atol=1e-9)
    assert maps["stage_to_pixel"].attrs["units"] == "um"


def test_cameca_counts_per_second_become_counts_again(tmp_path):
    cameca(tmp_path)
    for element, image in COUNTS.items():
        file = tmp_path / f"{element}_map.txt"
        head = file.read_text(encoding="cp1252").partition("Y Unit")[0]
        file.write_text(f"{head}Y Unit : cps\n{matrix(image * 20.0)}", encoding="cp1252")
    maps = read_epma(tmp_path)
    np.testing.assert_array_equal(maps["counts"].sel(element="Si"), COUNTS["Si"])
    assert "counts per second times dwell time" in maps.attrs["notes"]
    replace_in(tmp_path / "Al_map.txt", "60.0", "61.0", "cp1252")
    with pytest.raises(DataError, match="are no whole numbers, so that they were corrected"):
        read_epma(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("Line Number : 4", "Line Number : 6", FormatError, "4 rows of 5 .* 6 rows .* cut short"),
        ("Line Number : 4\n", "", FormatError, "the header lacks Line Number"),
        ("Y Unit : counts", "Y Unit : wt%", DataError, "is in 'wt%', not in counts"),
        ("Image : Al Ka", "Image : Qq Ka", FormatError, "'Qq', which is no element"),
        ("57\n", "", FormatError, "Al_map.txt:14: 4 numbers, but the lines before have 5"),
    ],
)
def test_damaged_cameca_maps_are_named(old, new, error, message, tmp_path):
    cameca(tmp_path)
    replace_in(tmp_path / "Al_map.txt", old, new, "cp1252")
    with pytest.raises(error, match=message):
        read_epma(tmp_path)


def test_cameca_dwell_without_a_unit_is_not_guessed(tmp_path):
    cameca(tmp_path)
    replace_in(tmp_path / "Al_map.txt", "Dwell Time (ms)", "Dwell Time", "cp1252")
    maps = read_epma(tmp_path)
    assert math.isnan(maps["dwell_s"].sel(element="Al").item())
    assert "has no unit and is not used" in maps.attrs["notes"]


# XMapTools


def test_files_that_are_no_element_are_left_out_with_a_note(tmp_path):
    xmaptools(tmp_path)
    for name in ("BSE.txt", "SiO2.txt", "readme.txt"):
        (tmp_path / name).write_text("nothing to see")
    maps = read_epma(tmp_path)
    assert maps["element"].values.tolist() == ["Al", "Si"]
    assert "not read: BSE.txt, SiO2.txt, readme.txt" in maps.attrs["notes"]


def test_element_names_may_have_any_capitals(tmp_path):
    xmaptools(tmp_path)
    (tmp_path / "Al.txt").rename(tmp_path / "AL.TXT")
    assert read_epma(tmp_path)["element"].values.tolist() == ["Al", "Si"]


def test_maps_of_unequal_shape_name_their_files(tmp_path):
    xmaptools(tmp_path)
    (tmp_path / "Si.txt").write_text(matrix(COUNTS["Si"][:3]))
    with pytest.raises(DataError, match=r"Si.txt: 3 rows and 5 columns, but .*Al.txt has 4 rows"):
        read_epma(tmp_path)


def test_zip_archives_are_read_in_memory_and_nothing_is_unpacked(tmp_path):
    path = xmaptools_zip(tmp_path)
    maps = read_epma(path)
    assert read_spots(path, maps).sizes["spot"] == 2
    assert read_phase_seeds(path, maps).sizes["phase"] == 2
    assert [file.name for file in tmp_path.rglob("*")] == ["map.zip"]


def test_zip_members_with_paths_outside_stay_harmless(tmp_path):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../Si.txt", matrix(COUNTS["Si"]))
    assert read_epma(path)["element"].values.tolist() == ["Si"]
    assert not (tmp_path.parent.parent / "Si.txt").exists()


def test_a_member_that_unpacks_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(epma_source, "MEMBER_LIMIT_BYTES", 2**16)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Si.txt", b"0 " * 2**16)
    assert path.stat().st_size < 2**10
    with pytest.raises(FormatError, match=r"Si.txt: longer than 0 MiB, which no single map is"):
        read_epma(path)


def test_damaged_archives_are_refused(tmp_path):
    path = xmaptools_zip(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FormatError, match=r"map.zip: not a readable zip archive"):
        read_epma(path)
    path.write_bytes(b"")
    with pytest.raises(FormatError, match=r"map.zip: not a readable zip archive"):
        read_epma(path)


def test_alps_map_has_the_published_counts_of_its_phases(real_data):
    maps, spots, seeds = datasets.alps()
    validate_maps(maps)
    validate_spots(spots, maps)
    validate_seeds(seeds, maps)
    assert " ".join(maps["element"].values) == "Al Ca Fe K Mg Mn Na Si"
    assert maps["counts"].shape == (8, 400, 500)
    assert maps["step_um"].item() == 1
    assert np.isnan(maps["dwell_s"]).all()
    assert spots.sizes == {"spot": 177, "oxide": 10}
    assert np.isfinite(spots["column"]).all()
    assert seeds["density_kg_m3"].values.tolist() == [3540, 2650, 2820, 2620]
    assert maps.attrs["citation"].startswith("Lanari")
    seen = maps["counts"].isel(x=seeds["column"].astype(int), y=seeds["row"].astype(int))
    for phase, element in {"Quartz": "Si", "Phengite": "K", "Chlorite": "Mg"}.items():
        assert seen.sel(element=element).idxmax("phase").item() == phase
    # Medians of single-phase spots; counting noise of one pixel is below 1 %.
    assert seen.sel(phase="Quartz", element="Si").item() == pytest.approx(25779, rel=0.06)
    assert seen.sel(phase="Chloritoid", element="Al").item() == pytest.approx(10371, rel=0.06)


# CalcImage


def test_quantified_calcimage_files_give_compositions_not_counts(tmp_path):
    maps = read_epma(calcimage(tmp_path, ("Al2O3 WT%", "SiO2 WT%")))
    assert "counts" not in maps
    assert maps["oxide"].values.tolist() == ["Al2O3", "SiO2"]
    np.testing.assert_array_equal(maps["wt_percent"].sel(oxide="SiO2"), COUNTS["Si"])
    with pytest.raises(DataError, match="hold wt%, not counts"):
        validate_maps(maps)


def test_calcimage_stage_is_fitted_to_its_pixels(tmp_path):
    maps = read_epma(calcimage(tmp_path))
    affine = maps["stage_to_pixel"].values
    np.testing.assert_allclose(affine @ [1.008, 2.012, 1], [2, 3], atol=1e-6)
    assert maps["stage_to_pixel"].attrs["units"] == "mm"


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("5\t4\t20\t9", "5\t5\t25\t9", FormatError, "20 pixels, but the first line says 5 x 5"),
        ("5\t4\t20\t9", "5\t4\t20\t8", FormatError, "the first line says 8"),
        ('"NX"', '"NZ"', FormatError, "the headers must hold NX, NY, X, Y"),
        ("\t3\t2\t8\t", "\t7\t2\t8\t", FormatError, "map.DAT:10: NX and NY name no pixel"),
        ("\t3\t2\t8\t", "\t2\t2\t8\t", FormatError, "stands on two lines"),
        ('"Al CNTS"', '"Qq WT%"', DataError, "'Qq WT%' is not an oxide"),
        ("\t1033\t", "\t10e3x\t", FormatError, "map.DAT:3: number 8: '10e3x' is not a number"),
        ("\t1033\t", "\t1033.5\t", DataError, "Si CNTS, NY 1, NX 1: 1033.5 is not a whole"),
    ],
)
def test_damaged_calcimage_files_are_named(old, new, error, message, tmp_path):
    file = calcimage(tmp_path)
    replace_in(file, old, new)
    with pytest.raises(error, match=message):
        read_epma(file)


# HDF5, TIFF, NumPy, CSV


def test_epmatools_demo_has_twelve_elements_and_labelled_phases(real_data):
    maps, spots, seeds = datasets.epmatools_demo()
    validate_maps(maps)
    validate_spots(spots)
    assert maps["counts"].shape == (12, 230, 270)
    assert "map 'COMPO' left out: an electron image" in maps.attrs["notes"]
    assert spots.sizes["spot"] == 16
    assert set(spots["phase"].values) == {"bt", "chl", "pa", "cd", "pl", "g", "st", "ms"}
    at = {"x": seeds["column"].astype(int), "y": seeds["row"].astype(int)}
    seen = maps["counts"].isel(at)
    # Each labelled phase is brightest in the element that makes it.
    brightest = {"Qtz": "Si", "Ru": "Ti", "Grt": "Mn", "Bt": "Na", "Chl": "Mg"}
    for phase, element in brightest.items():
        assert seen.sel(element=element).idxmax("phase").item() == phase


def test_map_sets_of_a_store_are_chosen_by_name(tmp_path):
    import h5py

    file = hdf5(tmp_path)
    with h5py.File(file, "a") as store:
        store["Other/maps/Fe"] = COUNTS["Al"]
    with pytest.raises(FormatError, match=r"several map sets: Demo, Other. Pass group='Demo'"):
        read_epma(file)
    assert read_epma(file, group="Other")["element"].values.tolist() == ["Fe"]
    with pytest.raises(FormatError, match="no map set 'Third'"):
        read_epma(file, group="Third")


def test_damaged_stores_are_refused(tmp_path):
    file = hdf5(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError, match=r"map.h5: not a readable HDF5 file"):
        read_epma(file)


def test_arrays_without_a_sidecar_say_what_to_write(tmp_path):
    for writer in (tiff, numpy_array):
        file = writer(tmp_path)
        (tmp_path / "map.toml").unlink()
        with pytest.raises(FormatError, match=r'Write map.toml beside it, with elements = \["Al"'):
            read_epma(file)


def test_npz_arrays_name_their_elements_themselves(tmp_path):
    file = numpy_archive(tmp_path)
    (tmp_path / "map.toml").unlink()
    assert read_epma(file)["element"].values.tolist() == ["Al", "Si"]


def test_the_sidecar_itself_may_be_given(tmp_path):
    tiff(tmp_path)
    maps = read_epma(tmp_path / "map.toml")
    assert maps["dead_time_ns"].sel(element="Si").item() == 1200
    np.testing.assert_allclose(maps["stage_to_pixel"].values @ [10.0, 20.0, 1], [4, 0], atol=1e-9)


def test_pickled_arrays_are_refused(tmp_path):
    file = numpy_array(tmp_path)
    np.save(file, np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match=r"map.npy: not a readable NumPy array .*allow_pickle"):
        read_epma(file)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("dwell_s", "dwell", FormatError, "'dwell' is not known; did you mean 'dwell_s'"),
        ('["Al", "Si"]', '["Al"]', DataError, "2 maps, but .* names 1 elements"),
        ('["Al", "Si"]', '["Al", "Sl"]', DataError, "'Sl' is not an element symbol"),
        ('["Al", "Si"]', '"Al"', FormatError, 'a list such as \\["Al", "Si"\\]'),
        ("elements =", "element =", FormatError, "'element' is not known; did you mean"),
        ("step_um = 4.0", 'step_um = "4"', FormatError, "step_um is '4', not a number"),
        ("Al = 1100", "Fe = 1100", FormatError, "dead_time_ns of 'Fe', which has no map"),
        ("[0.0, 250.0, -5000.0]", "[0.0]", FormatError, "column and row, three numbers each"),
        ("dwell_s = 0.05", "dwell_s = ", FormatError, "not TOML"),
    ],
)
def test_damaged_sidecars_are_named(old, new, error, message, tmp_path):
    file = tiff(tmp_path)
    replace_in(tmp_path / "map.toml", old, new)
    with pytest.raises(error, match=message):
        read_epma(file)


def test_a_csv_matrix_that_is_missing_or_torn_is_named(tmp_path):
    csv_matrices(tmp_path)
    replace_in(tmp_path / "al_counts.csv", "15,18", "15;18")
    with pytest.raises(FormatError, match=r"al_counts.csv:2: "):
        read_epma(tmp_path)
    (tmp_path / "al_counts.csv").unlink()
    with pytest.raises(FormatError, match=r"'al_counts.csv', the map of Al, is not there"):
        read_epma(tmp_path)


def test_a_tiff_page_that_is_cut_off_is_not_taken_for_zeros(tmp_path):
    file = tiff(tmp_path)
    content = file.read_bytes()
    for length in range(20, len(content) - 1, 7):
        file.write_bytes(content[:length])
        with pytest.raises((FormatError, DataError)):
            read_epma(file)


def test_real_data_that_are_not_there_say_where_to_put_them(monkeypatch, tmp_path):
    monkeypatch.setenv("PETRO_MODELS_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"epma/alps/alps.zip is not in the folder"):
        datasets.alps()
    with pytest.raises(DataError, match="minimal is not in the folder"):
        datasets.qntmap_minimal()
