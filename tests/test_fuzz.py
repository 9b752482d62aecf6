"""Files at random: read validly or refused in one message, never a traceback of ours."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_epma_damage import DAMAGE, damaged, refusal

import petro_models as petro
from petro_models import cli
from petro_models.configuration import load_configuration, make_problem, template
from petro_models.errors import PetroError
from petro_models.histories.simulate import simulate_history
from petro_models.histories.simulate_inclusions import simulate_inclusions
from petro_models.io.fits import load, save
from petro_models.io.history_out import (
    write_garnet_profiles,
    write_inclusions,
    write_zone_ages,
)
from petro_models.problem import problem_of
from petro_models.thermodynamics.bundled import bundled_table

some = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
few = settings(some, max_examples=25)

WORDS = st.sampled_from(
    [
        "nan", "1e999", "-1", "0", '""', '"x"', "[]", "{}", "true", "1979-05-27", "'", "[", "=",
        "../../../etc/passwd", '"../out"', "\\", "\x00", "é", '"Normal"', "[problem]", "[data]",
    ]
)  # fmt: skip
EDITS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4), WORDS), min_size=1, max_size=4)


def edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    """Drop, double, move or rewrite lines of a text."""
    lines = text.splitlines()
    for place, how, word in edits:
        if not lines:
            break
        at = place % len(lines)
        line = lines[at]
        if how == 0:
            del lines[at]
        elif how == 1:
            lines.insert(at, line)
        elif how == 2:
            lines.append(lines.pop(at))
        elif how == 3:
            lines[at] = line.partition("=")[0] + "= " + word
        else:
            cells = line.split(",")
            cells[place % len(cells)] = word
            lines[at] = ",".join(cells)
    return "\n".join(lines) + "\n"


def passes_or_is_refused(read: Callable[[], object]) -> None:
    """Call; the package's own errors are fine if they say something, others pass through."""
    message = refusal(read)
    assert not message or len(message) > 10


# --- problem files ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data that the problem files below name."""
    made = tmp_path_factory.mktemp("problems")
    (made / "rocks.csv").write_bytes(petro.datasets.path("grant2005").read_bytes())
    profiles, ages, truth = simulate_history(
        bundled_table("white2014"), "heating", n_grains=2, n_positions=8, n_ages=2, seed=1
    )
    write_garnet_profiles(profiles, made / "garnets.csv")
    assert ages is not None
    write_zone_ages(ages, profiles, made / "ages.csv")
    inclusions = simulate_inclusions(profiles, truth, n_inclusions=6, seed=1)
    write_inclusions(
        inclusions[0] if isinstance(inclusions, tuple) else inclusions, made / "inclusions.csv"
    )
    return made


MASS = """[problem]
kind = "mass-transfer"
mobility = "spike_and_slab"
[data]
table = "rocks.csv"
protolith = "UA"
[priors]
tolerance = 0.04
mass_change = { distribution = "Normal", mu = 0, sigma = 0.3, dims = "sample" }
[sampler]
draws = 10
seed = 1
[output]
folder = "results"
"""
HISTORY = """[problem]
kind = "histories"
growth_law = "arrhenius"
[data]
profiles = "garnets.csv"
bundled_table = "white2014"
ages = "ages.csv"
[priors]
removed_final = 0.02
[sampler]
draws = 10
"""


@pytest.mark.parametrize("text", [MASS, HISTORY], ids=["mass-transfer", "histories"])
def test_the_problem_files_below_are_good_before_they_are_damaged(text: str, folder: Path) -> None:
    file = folder / "good.toml"
    file.write_text(text)
    assert make_problem(load_configuration(file)).model_id


@pytest.mark.parametrize("text", [MASS, HISTORY], ids=["mass-transfer", "histories"])
@some
@given(edits=EDITS)
def test_an_edited_problem_file_makes_a_problem_or_is_refused(
    text: str, folder: Path, edits: list[tuple[int, int, str]]
) -> None:
    file = folder / "edited.toml"
    file.write_text(edited(text, edits), encoding="utf-8")
    passes_or_is_refused(lambda: make_problem(load_configuration(file)).model_id)


@pytest.mark.parametrize("kind", ["mass-transfer", "phase-maps", "histories"])
@some
@given(edits=EDITS)
def test_an_edited_template_is_configured_or_refused(
    kind: str, folder: Path, edits: list[tuple[int, int, str]]
) -> None:
    file = folder / "template.toml"
    file.write_text(edited(template(kind), edits), encoding="utf-8")
    passes_or_is_refused(lambda: load_configuration(file))


@some
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_as_a_problem_are_one_message_on_the_command_line(
    folder: Path, content: bytes
) -> None:
    file = folder / "any.toml"
    file.write_bytes(content)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        assert cli.run(["fit", str(file), "--out", str(folder / "never")]) == cli.ERROR
    assert "Traceback" not in said.getvalue()
    assert "any.toml" in said.getvalue()
    assert not (folder / "never").exists()


def test_a_problem_file_cannot_write_outside_its_folder_unless_told_to(
    folder: Path, tmp_path: Path
) -> None:
    # An output folder is where its author says, as for any program; names of items are not paths.
    file = tmp_path / "outside.toml"
    file.write_text(
        MASS.replace('"rocks.csv"', f'"{folder / "rocks.csv"}"') + '[engine]\nkind = "local"\n'
    )
    configuration = load_configuration(file)
    assert configuration.output_folder == tmp_path / "results"
    with pytest.raises(PetroError):
        petro.Study(tmp_path).add("../outside", lambda: None)  # type: ignore[arg-type, return-value]


# --- tables of histories ---


@pytest.mark.parametrize("name", ["garnets.csv", "ages.csv", "inclusions.csv"])
@some
@given(edits=EDITS, damage=DAMAGE)
def test_a_damaged_table_of_a_history_is_read_validly_or_refused(
    name: str,
    folder: Path,
    edits: list[tuple[int, int, str]],
    damage: float | list[tuple[float, bytes]],
) -> None:
    good = (folder / name).read_bytes()
    profiles = petro.read_garnet_profiles(folder / "garnets.csv")
    readers = {
        "garnets.csv": petro.read_garnet_profiles,
        "ages.csv": lambda path: petro.read_zone_ages(path, profiles),
        "inclusions.csv": petro.read_inclusions,
    }
    for content in (edited(good.decode(), edits).encode(), damaged(good, damage)):
        file = folder / f"damaged_{name}"
        file.write_bytes(content)
        passes_or_is_refused(lambda file=file: readers[name](file))


# --- saved fits ---


@pytest.fixture(scope="module")
def saved(folder: Path) -> bytes:
    fit = petro.MassTransfer(petro.datasets.grant2005()).fit(draws=20, chains=2, seed=1)
    return save(fit, folder / "fit.nc").read_bytes()


@few
@given(damage=DAMAGE)
def test_a_damaged_fit_is_loaded_or_refused(
    saved: bytes, folder: Path, damage: float | list[tuple[float, bytes]]
) -> None:
    file = folder / "damaged.nc"
    file.write_bytes(damaged(saved, damage))
    passes_or_is_refused(lambda: problem_of(load(file)).model_id)
