from collections.abc import Callable
from pathlib import Path

import pytest
from epma_files import WRITERS, jeol_spots, jeol_text, xmaptools
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from petro_models.errors import PetroError
from petro_models.io.epma import read_epma, read_phase_seeds, read_spots
from petro_models.phase_maps.data import validate_maps, validate_seeds, validate_spots

# Bytes that change the meaning of text, besides any others.
TELLING = [byte.to_bytes() for byte in b'0123456789-+.eE,;\t\n %$"xyZ']
FLIPS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(TELLING) | st.binary(max_size=2)),
    min_size=1,
    max_size=5,
)
DAMAGE = st.one_of(st.floats(0, 1, exclude_max=True), FLIPS)
CHOICE = st.integers(0, 20)

many = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def damaged(content: bytes, damage: float | list[tuple[float, bytes]]) -> bytes:
    """Cut a file off, or put other bytes in the place of some."""
    if isinstance(damage, float):
        return content[: int(damage * len(content))]
    for place, new in damage:
        at = int(place * len(content))
        content = content[:at] + new + content[at + 1 :]
    return content


class Damaged:
    """Damages one of the files below a folder, and mends it."""

    def __init__(self, folder: Path, choice: int, damage: float | list[tuple[float, bytes]]):
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        self.file = files[choice % len(files)]
        self.content = self.file.read_bytes()
        self.damage = damage

    def __enter__(self) -> None:
        self.file.write_bytes(damaged(self.content, self.damage))

    def __exit__(self, *_: object) -> None:
        self.file.write_bytes(self.content)


def refusal(read: Callable[[], object]) -> str:
    """Give the message of the error, or "" if the file is read; other errors pass through."""
    try:
        read()
    except PetroError as error:
        return str(error)
    return ""


def read_validly(path: Path) -> None:
    maps = read_epma(path)
    assert maps.attrs["format"]
    if "counts" in maps:
        validate_maps(maps)


@pytest.mark.parametrize("name", WRITERS)
@many
@given(choice=CHOICE, damage=DAMAGE)
def test_a_damaged_map_is_read_validly_or_refused_clearly(name, tmp_path, choice, damage):
    for file in tmp_path.rglob("*.*"):
        file.unlink()
    path = WRITERS[name](tmp_path)
    with Damaged(tmp_path, choice, damage):
        message = refusal(lambda: read_validly(path))
    assert message == "" or ": " in message


@many
@given(choice=st.integers(1, 3), damage=DAMAGE)
def test_damaged_xmaptools_spots_and_seeds_are_read_validly_or_refused(tmp_path, choice, damage):
    xmaptools(tmp_path)
    maps = read_epma(tmp_path)
    with Damaged(tmp_path, choice, damage):
        messages = [
            refusal(lambda: validate_spots(read_spots(tmp_path, maps), maps)),
            refusal(lambda: validate_seeds(read_phase_seeds(tmp_path, maps), maps)),
        ]
    assert all(message == "" or ": " in message for message in messages)


@many
@given(choice=CHOICE, damage=DAMAGE)
def test_damaged_jeol_spots_are_read_validly_or_refused(tmp_path, choice, damage):
    if not (tmp_path / ".qnt").exists():
        jeol_text(jeol_spots(tmp_path))
    maps = read_epma(tmp_path)
    with Damaged(tmp_path / ".qnt", choice, damage):
        message = refusal(lambda: validate_spots(read_spots(tmp_path, maps), maps))
    assert message == "" or ": " in message


@many
@given(damage=DAMAGE)
def test_damaged_tables_of_spots_are_read_validly_or_refused(tmp_path, damage):
    file = tmp_path / "spots.csv"
    file.write_text("spot,SiO2,SiO2_2s,MgO ppm,column,row,phase\n1,45,0.6,2000,1.5,2,mica\n")
    with Damaged(tmp_path, 0, damage):
        message = refusal(lambda: validate_spots(read_spots(file)))
    assert message == "" or ": " in message


def test_damage_changes_what_is_read():
    assert damaged(b"abcdef", 0.5) == b"abc"
    assert damaged(b"abcdef", [(0.5, b"x"), (0.0, b"")]) == b"bcxef"
