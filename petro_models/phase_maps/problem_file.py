"""What a problem file says of a phase-map problem: its keys, and how maps and spots are read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from petro_models import configuration_schema as schema
from petro_models import datasets
from petro_models.configuration_schema import Accepts, Key, Kind, Values
from petro_models.errors import ConfigurationError, nearest
from petro_models.io.epma import read_epma, read_phase_seeds, read_spots
from petro_models.phase_maps.inputs import merge_inputs
from petro_models.phase_maps.problem import DEFAULTS, FEWEST_PIXELS, OPTIONS

FORMULA = Accepts('a formula such as "SiO2"', lambda value: isinstance(value, str))

PROBLEM = {
    "axes": Key(
        schema.one_of(OPTIONS["axes"]),
        DEFAULTS["axes"],
        "axes of solid solution of each phase: as many as the counts call for, or none, one, two",
    ),
    "mixtures": Key(
        schema.one_of(OPTIONS["mixtures"]),
        DEFAULTS["mixtures"],
        "pixels of two and three phases and fine-grained ones, or pairs alone",
    ),
    "neighbours": Key(
        schema.one_of(OPTIONS["neighbours"]),
        DEFAULTS["neighbours"],
        "potts: a pixel is likelier what its neighbours are; auto: unless counts are very few",
    ),
    "smoothing": Key(
        schema.one_of(OPTIONS["smoothing"]),
        DEFAULTS["smoothing"],
        "within_phases: give composition maps smoothed along the axes beside the others",
    ),
    "pixels": Key(
        schema.whole(FEWEST_PIXELS),
        int(DEFAULTS["pixels"]),
        "pixels that the global unknowns are fitted to; all pixels are mapped",
    ),
}

DATA = {
    "maps": Key(
        schema.TEXT,
        meaning="folder, zip archive or file of the element maps; its format is recognised",
        example="maps",
        is_path=True,
    ),
    "spots": Key(
        schema.TEXT,
        meaning="spot analyses: Standards.txt, a JEOL .qnt folder, or a CSV or Excel table",
        example="spots.csv",
        is_path=True,
    ),
    "seeds": Key(
        schema.TEXT,
        meaning="a pixel of each phase: Classification.txt, or what holds it",
        example="maps",
        is_path=True,
    ),
    "dataset": Key(
        schema.one_of(datasets.MAPS),
        meaning="or a published map with its spots and seeds",
        example="alps",
    ),
    "phases": Key(
        schema.list_of(schema.TEXT, "a list of names")
        | schema.table_of(
            FORMULA | schema.NUMBERS, 'a table { name = "formula", { oxide = wt% } or "" }'
        ),
        meaning='names; of phases without spots the composition ("" where spots or seeds show it)',
        example={"Quartz": "SiO2", "Garnet": ""},
    ),
    "ignore": Key(schema.TEXTS, meaning="element names or files to leave out", example=["Topo"]),
    "group": Key(schema.TEXT, meaning="which map, where the path holds several", example="map1"),
    "dwell_s": Key(
        schema.NUMBER | schema.NUMBERS,
        meaning="seconds a pixel, for all or by element, where the files do not say",
        example=0.1,
    ),
    "dead_time_ns": Key(
        schema.NUMBER | schema.NUMBERS, meaning="dead time of the counters", example={"Si": 1200}
    ),
    "probe_current_nA": Key(schema.NUMBER, meaning="beam current", example=100),
    "step_um": Key(schema.NUMBER, meaning="distance of pixels in micrometres", example=2.0),
    "outside": Key(
        schema.one_of(("error", "drop", "unplace")),
        meaning="what becomes of spots outside the map",
        example="error",
    ),
}
PATHS = ("maps", "spots", "seeds")
CONDITIONS = ("ignore", "group", "dwell_s", "dead_time_ns", "probe_current_nA", "step_um")

PRIOR_EXAMPLE = """\
# matrix_scatter = 0.04                     # a known number, or a distribution:
# registration_shift = { distribution = "Normal", mu = 0, sigma = 1, dims = "direction" }"""


def settle(values: Values) -> Values:
    """Refuse keys that do not go together, and put the defaults of reading in."""
    if ("maps" in values) == ("dataset" in values):
        raise ConfigurationError(
            'give either maps = "PATH" or dataset = "NAME" '
            f"(published maps: {', '.join(datasets.MAPS)})"
        )
    if "dataset" in values:
        for name in values:
            if name not in ("dataset", "phases"):
                raise ConfigurationError(
                    f"{name} does not go with dataset = '{values['dataset']}', which is read as "
                    "published: leave it out, or name its files with maps, spots and seeds"
                )
        return values
    if not {"spots", "seeds", "phases"} & set(values):
        raise ConfigurationError(
            'nothing says what phases there are: give spots = "FILE", seeds = "FILE", or '
            'phases = { Quartz = "SiO2", ... }'
        )
    if "outside" in values and "spots" not in values:
        raise ConfigurationError("outside speaks of spots, and none are given: leave it out")
    return {"outside": "error"} | values if "spots" in values else values


def read(values: Values, folder: Path) -> xr.Dataset:
    """Read maps, spots and seeds that ``[data]`` names, and put them together."""
    phases = _phases(values.get("phases"))
    if "dataset" in values:
        parts = getattr(datasets, values["dataset"])()
        maps, spots, seeds = (*parts, None)[:3]
        return merge_inputs(maps, spots, phases, seeds)
    where = {name: _existing(name, folder / values[name]) for name in PATHS if name in values}
    conditions: dict[str, Any] = {name: values[name] for name in CONDITIONS if name in values}
    if isinstance(conditions.get("ignore"), str):
        conditions["ignore"] = [conditions["ignore"]]
    maps = read_epma(where["maps"], **conditions)
    spots = seeds = None
    if "spots" in where:
        spots = read_spots(where["spots"], maps, outside=values["outside"])
    if "seeds" in where:
        seeds = read_phase_seeds(where["seeds"], maps)
    return merge_inputs(maps, spots, phases, seeds)


def _phases(
    given: list[str] | dict[str, str | dict[str, float]] | None,
) -> list[str] | Mapping[str, str | Mapping[str, float] | None] | None:
    """Take an empty formula for none, as TOML has no word for nothing."""
    if isinstance(given, dict):
        return {name: value or None for name, value in given.items()}
    return given


def _existing(name: str, path: Path) -> Path:
    if path.exists():
        return path
    beside = sorted(other.name for other in path.parent.glob("*")) if path.parent.is_dir() else []
    hint = f": {nearest(path.name, beside)}" if 0 < len(beside) <= 20 else ""
    raise ConfigurationError(f"{name}: there is no file or folder {path}{hint}")


PHASE_MAPS = Kind(PROBLEM, DATA, settle, read, {}, PRIOR_EXAMPLE)
