"""The pixel pass: fractions and compositions of every pixel, given the global unknowns.

Given intensities, scatter, weights and calibration, pixels are independent. A pass over coarse
cells tells for every pixel which phase, pair or triple of phases it may be; on the nodes of that
patch, with the pure phases at its corners, fraction and composition are integrated exactly. Pixels
of one patch wait for each other over the tiles and are computed together, so that all work is
products of matrices.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

import jax
import numpy as np

from petro_models.inference.devices import choose_device
from petro_models.phase_maps import density, forward
from petro_models.phase_maps.cells import cells_of_pixels
from petro_models.phase_maps.observations import Observations
from petro_models.phase_maps.pixel_density import MapParameters
from petro_models.phase_maps.pixel_kernels import (
    Nodes,
    choose_patch,
    coarse_pass,
    integrate,
    sum_of_fractions,
)
from petro_models.phase_maps.pixel_nodes import (
    MapState,
    coarse_cells,
    nodes_of_patch,
    nodes_per_pair,
    outside_cells,
)
from petro_models.phase_maps.pixel_rows import (
    PixelAnswers,
    Rows,
    Waiting,
    padded,
    row_width,
    rows_of,
)

TILE = 65_536


class BlockSizes(NamedTuple):
    """How many pixels are computed at once.

    Attributes
    ----------
    coarse
        Over the coarse cells.
    patch
        Of one patch: one of these, so that few programs are compiled.
    """

    coarse: int
    patch: tuple[int, ...]

    def of(self, members: tuple[int, ...]) -> tuple[int, ...]:
        """Give the sizes for a patch; three phases have nodes enough to fill a cache by few."""
        return self.patch if len(members) < 3 else self.patch[-1:]


ON_CPU = BlockSizes(8192, (4096, 512))
"""Few enough for a processor's cache."""
ON_GPU = BlockSizes(TILE, (16_384, 2048))
SECONDS_A_CELL = 4e-8
"""What a pixel takes for each of its cells on two cores, by which a device is chosen."""


class Neighbours(Protocol):
    """Tells what neighbours add to the log weight of cells; see `neighbours.NeighbourWeights`."""

    @property
    def width(self) -> int:
        """Columns of the map."""

    @property
    def tile(self) -> int:
        """Pixels of a tile of whole rows."""

    def of_rows(self, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give what the pixels of whole rows add for each other, and the posteriors with it."""


class PixelEngine:
    """Computes pixels of one map, tile by tile, at given values of the global unknowns.

    Parameters
    ----------
    observations
        Cells, frame and dims.
    parameters
        Of the map.
    composition, axis_composition, hidden_scatter, seen_scatter
        wt% of each phase (k, o), its change along each axis (a, o), the scatter of the true
        composition beyond the axes, and what the counts see of it (k, o).
    pixels
        How many it will compute: what decides on the device.
    """

    def __init__(
        self,
        observations: Observations,
        parameters: MapParameters,
        composition: np.ndarray,
        axis_composition: np.ndarray,
        hidden_scatter: np.ndarray,
        seen_scatter: np.ndarray,
        pixels: int = 0,
    ) -> None:
        self.state = MapState(
            replace(observations, cells=cells_of_pixels(observations.cells)),
            MapParameters(*(np.asarray(value, float) for value in parameters)),
            np.asarray(composition),
            np.asarray(axis_composition).reshape(-1, np.shape(composition)[1]),
            np.asarray(hidden_scatter),
            np.asarray(seen_scatter),
        )
        # In the frame's units squares stay small enough for single precision to tell log
        # densities apart by a hundredth.
        self._single_frame = density.Frame(*(np.float32(part) for part in self.state.frame))
        n_cells = len(self.state.observations.cells.class_of_cell)
        self.device = choose_device(pixels * n_cells * SECONDS_A_CELL)
        self._sizes = ON_CPU if self.device.platform == "cpu" else ON_GPU
        # Where the constants are, all that is computed with them is computed.
        self._coarse = jax.device_put(coarse_cells(self.state), self.device)
        self._outside = jax.device_put(outside_cells(self.state), self.device)
        self._beyond_axes = jax.device_put(self.state.beyond_axes, self.device)
        self._patches: dict[tuple[int, ...], tuple[Nodes, np.ndarray]] = {}
        self._nodes_per_pair = nodes_per_pair(self.state)

    @classmethod
    def at_anchors(cls, observations: Observations, pixels: int = 0) -> "PixelEngine":
        """Prepare the pass before any fit: at the anchors and the rough calibration."""
        anchors = observations.anchors
        return cls(
            observations,
            MapParameters(
                anchors.intensity, anchors.dispersion, anchors.axis_loading, anchors.class_weight
            ),
            observations.composition,
            anchors.axis_loading[:, observations.element_of_oxide] / observations.sensitivity,
            observations.scatter,
            np.zeros_like(observations.scatter),
            pixels,
        )

    def compute(
        self,
        counts: np.ndarray,
        advance: Callable[[int], None] | None = None,
        neighbours: Neighbours | None = None,
    ) -> PixelAnswers:
        """Compute pixels (n, e); `advance` hears how many are done after every tile.

        With `neighbours` the pixels are whole rows of the map, and weighed tile by tile.
        """
        k, o = self.state.composition.shape
        rows = Rows(
            np.zeros((len(counts), row_width(k, o, len(self.state.axis_composition))), np.float32)
        )
        unknown, evidence = np.empty((2, len(counts)), dtype=np.float32)
        waiting: dict[tuple[int, ...], Waiting] = {}
        size = TILE if neighbours is None else neighbours.tile
        for start in range(0, len(counts), size):
            stop = min(start + size, len(counts))
            posterior, added, evidence[start:stop] = self._weigh_tile(
                counts, start, stop, neighbours
            )
            unknown[start:stop] = posterior[:, -1]
            tile = np.asarray(counts[start:stop], dtype=np.float32)
            for members, pixels in self._by_patch(start, tile, posterior, added).items():
                if members in waiting:
                    pixels = waiting[members].joined(pixels)
                whole = self._sizes.of(members)[0]
                full = len(pixels.place) // whole * whole
                self._integrate(members, pixels.part(0, full), rows)
                waiting[members] = pixels.part(full, len(pixels.place))
            if advance:
                advance(stop)
        for members, pixels in waiting.items():
            self._integrate(members, pixels, rows)
        rows.store()
        return PixelAnswers.of_rows(rows.values, unknown, evidence, k, o)

    def coarse_posterior(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give probabilities of cells, unknown last (n, c + 1), and evidence (n,), pixels alone."""
        anchors = self.state.observations.anchors
        unknown = (np.float32(anchors.unknown_mean), np.float32(anchors.unknown_sd))
        posterior = np.empty((len(counts), len(self._coarse.log_weight)), dtype=np.float32)
        evidence = np.empty(len(counts), dtype=np.float32)
        width = self._sizes.coarse
        for start in range(0, len(counts), width):
            block = np.asarray(counts[start : start + width], dtype=np.float32)
            inside = slice(start, start + len(block))
            found = coarse_pass(padded(block, width), self._single_frame, self._coarse, unknown)
            posterior[inside], evidence[inside] = (np.asarray(x)[: len(block)] for x in found)
        return posterior, evidence

    def mean_fractions(
        self,
        counts: np.ndarray,
        parameters: MapParameters,
        neighbours: np.ndarray | None = None,
    ) -> np.ndarray:
        """Give the mean fractions (k,) of pixels at other values of the unknowns, by cells.

        What neighbours add to the log weight of each cell (n, c + 1) is nothing if None.
        """
        state = replace(self.state, parameters=parameters)
        table = density.coefficients(*state.evened_moments, state.frame)
        total = np.zeros(len(state.composition))
        for start in range(0, len(counts), TILE):
            block = padded(np.asarray(counts[start : start + TILE], dtype=float), TILE)
            size = min(TILE, len(counts) - start)
            near = rows_of(neighbours, slice(start, start + TILE))
            total += np.asarray(
                sum_of_fractions(
                    block,
                    np.arange(TILE) < size,
                    state.frame,
                    table,
                    state.log_weight,
                    state.observations.cells.fraction,
                    None if near is None else padded(near, TILE),
                )
            )
        return total / len(counts)

    def cell_log_chance(
        self, counts: np.ndarray, neighbours: np.ndarray | None = None
    ) -> np.ndarray:
        """Give the log probability of every cell of every pixel, unknown ones left out (n, c)."""
        table = density.coefficients(*self.state.evened_moments, self.state.frame)
        inside = density.features(forward.evened_counts(counts), self.state.frame) @ table
        inside = inside + self.state.log_weight[:-1]
        if neighbours is not None:
            inside = inside + neighbours[:, :-1]
        return np.asarray(inside - inside.max(axis=1, keepdims=True))

    def position_spread(self, phase: int) -> np.ndarray:
        """Give the covariance of a pure pixel's positions along its phase's axes (q, q)."""
        return np.asarray(self._patch((phase,))[0].bin_spread)[0].astype(float)

    # -- preparation -----------------------------------------------------------------------------

    def _patch(self, members: tuple[int, ...]) -> tuple[Nodes, np.ndarray]:
        """Give the nodes of a patch, and the cells that it holds."""
        if members not in self._patches:
            nodes, cells = nodes_of_patch(self.state, members, self._nodes_per_pair)
            self._patches[members] = jax.device_put(nodes, self.device), cells
        return self._patches[members]

    # -- tiles and blocks ------------------------------------------------------------------------

    def _weigh_tile(
        self, counts: np.ndarray, start: int, stop: int, neighbours: Neighbours | None
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Give probabilities of cells, what neighbours add to their weights, and evidence."""
        margin = neighbours.width if neighbours else 0
        first, last = max(start - margin, 0), min(stop + margin, len(counts))
        inside = slice(start - first, stop - first)
        alone, evidence = self.coarse_posterior(counts[first:last])
        if neighbours is None:
            return alone, None, evidence
        added, posterior = neighbours.of_rows(alone)
        return posterior[inside], added[inside], evidence[inside]

    def _by_patch(
        self, start: int, tile: np.ndarray, posterior: np.ndarray, added: np.ndarray | None
    ) -> dict[tuple[int, ...], Waiting]:
        """Give the pixels of the tile from `start` by patch."""
        cells = self.state.observations.cells
        chosen = np.asarray(choose_patch(posterior, self._coarse))
        singles = [(k,) for k in range(len(self.state.composition))]
        patches = [*singles, *cells.pairs, *cells.triples]
        order = np.argsort(chosen, kind="stable")
        ends = np.searchsorted(chosen[order], np.arange(len(patches) + 1))
        found = {}
        for number in np.flatnonzero(np.diff(ends)):
            mine = order[ends[number] : ends[number + 1]]
            near = None if added is None else added[np.ix_(mine, self._patch(patches[number])[1])]
            found[patches[number]] = Waiting(start + mine, tile[mine], posterior[mine], near)
        return found

    def _integrate(self, members: tuple[int, ...], pixels: Waiting, rows: Rows) -> None:
        (nodes, _), begin, count = self._patch(members), 0, len(pixels.place)
        sizes = self._sizes.of(members)
        while begin < count:
            width = next((w for w in sizes if w <= count - begin), sizes[-1])
            part = pixels.part(begin, min(begin + width, count))
            block = integrate(
                padded(part.counts, width),
                padded(part.posterior, width),
                self._single_frame,
                self._outside,
                nodes,
                self._beyond_axes,
                None if part.neighbours is None else padded(part.neighbours, width),
            )
            rows.add(part.place, block)
            begin += width
