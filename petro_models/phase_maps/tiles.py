"""A phase map in tiles: the global unknowns once, then the pixels of whole rows at a time.

A tile reads its rows of the counts and writes its rows of the maps; it needs memory for its own
pixels alone. The first item samples the global unknowns and makes room for the maps.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import xarray as xr

from petro_models.cluster.regions import make_store, open_store, pieces, write_region
from petro_models.cluster.work import Plan, Work, identity_of
from petro_models.inference.draws import Sampled
from petro_models.inference.predictive import thin
from petro_models.io.fits import reading, save
from petro_models.io.staging import replacing, staged
from petro_models.phase_maps import defaults
from petro_models.phase_maps.derived import (
    KEPT_DRAWS,
    ParameterDraws,
    choose_for_sums,
    labelled,
    make_engine,
    parameter_draws,
    pixel_maps,
    whole_map_answers,
)
from petro_models.phase_maps.map_totals import MapTotals
from petro_models.phase_maps.neighbourhood import Neighbourhood, learn_neighbourhood
from petro_models.phase_maps.neighbours import NeighbourWeights, uses_neighbours
from petro_models.phase_maps.observations import Observations, flat_counts
from petro_models.phase_maps.pixel_rows import PixelAnswers
from petro_models.phase_maps.pixels import PixelEngine
from petro_models.phase_maps.problem import PhaseMaps
from petro_models.phase_maps.smoothing import smoothed_compositions
from petro_models.phase_maps.stored_observations import (
    observations_from,
    observations_to_dataset,
)
from petro_models.priors import Priors
from petro_models.problem import problem_of

PROBLEM, SAMPLED, NEIGHBOURHOOD, MAPS = (
    "problem.zarr",
    "sampled.nc",
    "neighbourhood.nc",
    "maps.zarr",
)
MOST_BYTES_IN_MEMORY = 2**28
"""Of the counts of a map; more of them are mapped from a file."""
TILE_PIXELS = 2**19
"""About how many pixels a tile has where nobody says: some seconds of work, 100 MB."""


class Prepared(NamedTuple):
    """What every tile needs, once a process."""

    observations: Observations
    draws: ParameterDraws
    engine: PixelEngine


class PixelTiles(Work):
    """The maps of one problem, by tiles of whole rows."""

    kind: ClassVar[str] = "phase-map tiles"

    def compute(self, index: int) -> str:
        """Sample the global unknowns, or compute the pixels of a tile."""
        return self._compute_globals() if index == 0 else self._compute_tile(index - 1)

    def merge(self) -> list[Path]:
        """Write the fit, as `PhaseMaps.fit` would have made it, and its report."""
        problem, names = self._load_problem(), self.plan.options["output"]
        with xr.open_datatree(self.folder / SAMPLED, engine="netcdf4") as tree:
            sampled = Sampled.from_tree(tree.load())
        log_likelihood = bool(self.plan.options["sampler"].get("log_likelihood", False))
        fit = problem.complete(
            sampled, log_likelihood=log_likelihood, derived=self._derived(sampled.seed)
        )
        with staged(self.target) as stage:
            save(fit, stage / names["fit"])
            problem.report(fit, stage / names["report"])
            for file in self.folder.glob("*.toml"):
                shutil.copyfile(file, stage / file.name)
        return [self.target / names["fit"]]

    # -- items -----------------------------------------------------------------------------------

    def _compute_globals(self) -> str:
        problem = self._load_problem()
        options = {k: v for k, v in self.plan.options["sampler"].items() if k != "log_likelihood"}
        sampled = problem.sample(**options)
        tree = sampled.to_tree()
        tree["observed"] = xr.DataTree(observations_to_dataset(problem.observations))
        with replacing(self.folder / SAMPLED) as part:
            tree.to_netcdf(part, engine="netcdf4")
        self._learn_neighbourhood()
        self._make_room()
        return f"{sampled.draws.sampler}, {sampled.seconds:.1f} s"

    def _learn_neighbourhood(self) -> None:
        if uses_neighbours(self._option("neighbours"), self._prepared.observations):
            learnt = learn_neighbourhood(self._prepared.engine, self._data["counts"])
            with replacing(self.folder / NEIGHBOURHOOD) as part:
                xr.Dataset(learnt.answers()).to_netcdf(part, engine="netcdf4")

    def _make_room(self) -> None:
        """Make the store of the maps: one row computed from nothing shows what they are."""
        ready, header = self._prepared, self._header
        rows = self._rows[0]
        engine, size = ready.engine, (rows.stop - rows.start) * header.sizes["x"]
        phases, oxides = engine.state.composition.shape
        nothing = PixelAnswers.empty(size, phases, oxides, len(engine.state.axis_composition))
        piece = xr.Dataset(pixel_maps(nothing, ready.draws, header.isel(y=rows)))
        sums = MapTotals.of(nothing).to_dataset()
        fixed = xr.Dataset(coords=labelled({}, header).coords)
        sizes = {"y": header.sizes["y"], "tile": len(self._rows)}
        make_store(self.folder / MAPS, fixed, piece.merge(sums), sizes)

    def _compute_tile(self, number: int) -> str:
        ready, rows = self._prepared, self._rows[number]
        piece = self._data.isel(y=rows)
        answers = self._answers(rows)
        maps = xr.Dataset(pixel_maps(answers, ready.draws, piece))
        write_region(self.folder / MAPS, maps, "y", rows.start)
        write_region(self.folder / MAPS, MapTotals.of(answers).to_dataset(), "tile", number)
        return f"{answers.unknown.size:,} pixels"

    def _derived(self, seed: int) -> xr.Dataset:
        """Give the answers of the whole map; its maps stay on disk until they are used."""
        ready, stored = self._prepared, open_store(self.folder / MAPS)
        found = whole_map_answers(
            ready.observations,
            ready.draws,
            ready.engine,
            MapTotals.added(stored),
            choose_for_sums(self._data["counts"], self._near, seed),
            self._header,
            seed,
        )
        if self._near:
            found |= self._near.neighbourhood.answers()
        maps = {
            str(name): xr.DataArray(values.variable)
            for name, values in stored.data_vars.items()
            if "y" in values.dims
        }
        if self._option("smoothing") == "within_phases":
            maps |= smoothed_compositions(maps, ready.engine)
        return labelled({**maps, **found}, self._header)

    # -- what items share ------------------------------------------------------------------------

    def _load_problem(self) -> PhaseMaps:
        with reading(self.folder / PROBLEM):
            data = xr.DataTree(self._header.assign(counts=self._counts()))
            tree = xr.DataTree(xr.Dataset(attrs=self._attributes), {"constant_data": data})
        problem = problem_of(tree)
        assert isinstance(problem, PhaseMaps)
        return problem

    def _counts(self) -> xr.DataArray:
        """Read the counts whole, those of a large map into a file that is mapped into memory."""
        stored = self._data["counts"]
        if stored.nbytes <= MOST_BYTES_IN_MEMORY:
            return stored.load()
        with tempfile.TemporaryFile(dir=self.folder) as file:  # no name; gone when unmapped
            mapped = np.memmap(file, stored.dtype, "w+", shape=stored.shape)
        for rows in self._rows:
            where = {"y": rows}
            index = tuple(where.get(str(dim), slice(None)) for dim in stored.dims)
            mapped[index] = stored.isel(where).to_numpy()
        return stored.copy(data=mapped)

    @cached_property
    def _data(self) -> xr.Dataset:
        """The problem's data; counts are read where they are used."""
        path = self.folder / PROBLEM
        return xr.open_zarr(path, group="constant_data", chunks=None, consolidated=False)

    @cached_property
    def _header(self) -> xr.Dataset:
        """The data without the counts, in memory."""
        return self._data.drop_vars("counts").load()

    @cached_property
    def _attributes(self) -> Mapping[str, Any]:
        return xr.open_zarr(self.folder / PROBLEM, chunks=None, consolidated=False).attrs

    @cached_property
    def _rows(self) -> list[slice]:
        return list(pieces(self._data.sizes["y"], self.plan.options["tile_rows"]))

    @cached_property
    def _prepared(self) -> Prepared:
        attributes = self._attributes
        with xr.open_datatree(self.folder / SAMPLED, engine="netcdf4") as tree:
            posterior = tree["posterior"].to_dataset().load()
            stored = tree["observed"].to_dataset().load()
        observed = observations_from(stored, self._header, json.loads(attributes["options"]))
        priors = Priors(defaults.specifications(observed), observed.coords)
        priors.from_toml(attributes["priors"])
        draws = parameter_draws(thin(posterior, KEPT_DRAWS), observed, priors)
        pixels = self._data.sizes["y"] * self._data.sizes["x"]
        return Prepared(observed, draws, make_engine(observed, draws, pixels))

    @cached_property
    def _near(self) -> NeighbourWeights | None:
        """What neighbours say of the map's pixels; None where each stands for itself."""
        ready = self._prepared
        if not uses_neighbours(self._option("neighbours"), ready.observations):
            return None
        with xr.open_dataset(self.folder / NEIGHBOURHOOD, engine="netcdf4") as stored:
            learnt = Neighbourhood.from_answers(stored.load())
        return NeighbourWeights(ready.engine, learnt, self._data.sizes["x"])

    def _option(self, name: str) -> str:
        return str(json.loads(self._attributes["options"])[name])

    def _answers(self, rows: slice) -> PixelAnswers:
        """Compute the pixels of some rows, those beside them being read as neighbours."""
        if self._near is None:
            return self._prepared.engine.compute(flat_counts(self._data.isel(y=rows)))
        height, width = self._data.sizes["y"], self._data.sizes["x"]
        first, last = max(rows.start - 1, 0), min(rows.stop + 1, height)
        counts = flat_counts(self._data.isel(y=slice(first, last)))
        answers = self._prepared.engine.compute(counts, neighbours=self._near)
        return answers.part((rows.start - first) * width, (rows.stop - first) * width)


def plan_tiles(
    problem: PhaseMaps,
    sampler: Mapping[str, Any],
    output: Mapping[str, str],
    tile_rows: int | None = None,
) -> Plan:
    """Cut a map into tiles.

    Parameters
    ----------
    problem
        To fit.
    sampler
        Arguments of `PhaseMaps.fit`.
    output
        Names of the files ``fit`` and ``report``.
    tile_rows
        Rows of a tile, which are also those of a chunk of the maps' store.
    """
    height, width = problem.data.sizes["y"], problem.data.sizes["x"]
    rows = min(tile_rows or max(1, TILE_PIXELS // width), height)
    tiles = [f"rows {tile.start} to {tile.stop - 1}" for tile in pieces(height, rows)]
    options = {"sampler": dict(sampler), "output": dict(output), "tile_rows": rows}
    identity = identity_of(PixelTiles.kind, problem.model_id, options)
    return Plan(PixelTiles.kind, ("global unknowns", *tiles), 1, identity, options)


def lay_down_tiles(folder: Path, problem: PhaseMaps, plan: Plan) -> None:
    """Write a problem into the folder of a run, its counts in chunks of tiles."""
    data, tree = problem.data.drop_encoding(), problem.to_tree()
    chunks = {**data["counts"].sizes, "y": plan.options["tile_rows"]}
    data["counts"].encoding["chunks"] = tuple(chunks.values())
    tree["constant_data"] = xr.DataTree(data)
    with replacing(folder / PROBLEM) as part:
        tree.to_zarr(part, consolidated=False)
