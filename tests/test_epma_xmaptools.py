import zipfile

import numpy as np
import pytest
from epma_files import (
    COUNTS,
    matrix,
    xmaptools,
    xmaptools_zip,
)

from petro_models import datasets
from petro_models.errors import DataError, FormatError
from petro_models.io import epma_source
from petro_models.io.epma import read_epma, read_phase_seeds, read_spots
from petro_models.phase_maps.data import validate_maps, validate_seeds, validate_spots


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
