"""The pixel pass: fractions and compositions of every pixel, given the global unknowns.

Given intensities, scatter, weights and calibration, pixels are independent. A pass over coarse
cells tells for every pixel which phase, pair or triple of phases it may be; on the nodes of that
patch, with the pure phases at its corners, fraction and composition are integrated exactly. Pixels
of one patch wait for each other over the tiles and are computed together, so that all work is
products of matrices.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from petro_models.inference.devices import choose_device
from petro_models.phase_maps import density
from petro_models.phase_maps.cells import Patch, cells_of_pixels, pair_patch, triple_patch
from petro_models.phase_maps.observations import Observations
from petro_models.phase_maps.pixel_density import (
    MapParameters,
    cell_log_weight,
    phase_moments,
)
from petro_models.phase_maps.pixel_kernels import (
    Coarse,
    Nodes,
    Outside,
    choose_patch,
    coarse_pass,
    integrate,
    sum_of_fractions,
)

_counting_cells, _coefficients = jax.jit(density.counting_cells), jax.jit(density.coefficients)
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


ON_CPU = BlockSizes(8192, (4096, 512))
"""Few enough for a processor's cache."""
ON_GPU = BlockSizes(TILE, (16_384, 2048))
SECONDS_A_CELL = 4e-8
"""What a pixel takes for each of its cells on two cores, by which a device is chosen."""
UNDER_WAY = 4
"""Blocks that a device may be ahead of what is stored."""
POSITION_BINS = 4
"""Bins of the fraction over which positions along axes are taken as smooth."""
EDGE_NODES = 12
TRIPLE_STEPS = 7


@dataclass(frozen=True)
class PixelAnswers:
    """What the pass finds, pixels first; k phases, o oxides, a axes.

    Attributes
    ----------
    fraction, fraction_sd, fraction_low, fraction_high, pure
        (n, k).
    unknown
        Probability that no phase explains the pixel (n,).
    evidence
        Log density of the counts under the best cell, less its expectation (n,).
    composition, composition_variance
        wt% and the variance that is the pixel's own, not of the calibration (n, o).
    total_variance
        Of the sum of the oxides, likewise (n,).
    axis_moment
        Fraction times position along each axis (n, a).
    """

    fraction: np.ndarray
    fraction_sd: np.ndarray
    fraction_low: np.ndarray
    fraction_high: np.ndarray
    pure: np.ndarray
    unknown: np.ndarray
    evidence: np.ndarray
    composition: np.ndarray
    composition_variance: np.ndarray
    total_variance: np.ndarray
    axis_moment: np.ndarray

    @classmethod
    def of_rows(
        cls,
        rows: np.ndarray,
        unknown: np.ndarray,
        evidence: np.ndarray,
        n_phases: int,
        n_oxides: int,
    ) -> "PixelAnswers":
        """Name the columns that `integrate` gives for each pixel, axes last (n, ...)."""
        ends = np.cumsum([*[n_phases] * 5, n_oxides, n_oxides, 1])
        fraction, sd, low, high, pure, *oxides, total, moment = np.split(rows, ends, axis=1)
        own = (fraction, sd, low, high, pure, unknown, evidence)
        return cls(*own, oxides[0], oxides[1], total[:, 0], moment)

    @classmethod
    def empty(cls, count: int, n_phases: int, n_oxides: int, n_axes: int) -> "PixelAnswers":
        """Make room for so many pixels."""
        width = _row_width(n_phases, n_oxides, n_axes)
        rows, unknown, evidence = (
            np.zeros(shape, dtype=np.float32) for shape in ((count, width), count, count)
        )
        return cls.of_rows(rows, unknown, evidence, n_phases, n_oxides)

    def part(self, begin: int, end: int) -> "PixelAnswers":
        """Take some of the pixels."""
        return replace(
            self, **{part.name: getattr(self, part.name)[begin:end] for part in fields(self)}
        )


class Waiting(NamedTuple):
    """Pixels of one patch: their places, counts, and probability of all cells.

    And what neighbours add to the log weight of each of the patch's cells, or None.
    """

    place: np.ndarray
    counts: np.ndarray
    posterior: np.ndarray
    neighbours: np.ndarray | None

    def joined(self, other: "Waiting") -> "Waiting":
        """Put others behind these."""
        near = None
        if self.neighbours is not None and other.neighbours is not None:
            near = np.concatenate([self.neighbours, other.neighbours])
        return Waiting(
            np.concatenate([self.place, other.place]),
            np.concatenate([self.counts, other.counts]),
            np.concatenate([self.posterior, other.posterior]),
            near,
        )

    def part(self, begin: int, end: int) -> "Waiting":
        """Take some of them."""
        mine = slice(begin, end)
        near = _rows(self.neighbours, mine)
        return Waiting(self.place[mine], self.counts[mine], self.posterior[mine], near)


@dataclass
class Rows:
    """What is known of all pixels, row by row; a device computes while earlier blocks are stored.

    Attributes
    ----------
    values
        The columns of `PixelAnswers`, without unknown and evidence (n, width).
    """

    values: np.ndarray
    _under_way: deque[tuple[np.ndarray, jax.Array]] = field(default_factory=deque)

    def add(self, place: np.ndarray, block: jax.Array) -> None:
        """Take a block that may still be under way: rows of these places, then padding."""
        self._under_way.append((place, block))
        self.store(UNDER_WAY)

    def store(self, still: int = 0) -> None:
        """Wait for blocks, oldest first, until so many are still under way."""
        while len(self._under_way) > still:
            place, block = self._under_way.popleft()
            self.values[place] = np.asarray(block)[: len(place)]


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
    composition, axis_composition, hidden_scatter
        wt% of each phase (k, o), its change along each axis (a, o), and the scatter of the true
        composition that the map does not see (k, o).
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
        pixels: int = 0,
    ) -> None:
        self.observations = replace(observations, cells=cells_of_pixels(observations.cells))
        self.parameters = MapParameters(*(np.asarray(value, float) for value in parameters))
        self.composition = np.asarray(composition)
        self.axis_composition = np.asarray(axis_composition).reshape(-1, self.composition.shape[1])
        self.hidden_scatter = np.asarray(hidden_scatter)
        anchors = observations.anchors
        self.frame = density.Frame(anchors.unknown_mean, anchors.unknown_sd)
        # In the frame's units squares stay small enough for single precision to tell log
        # densities apart by a hundredth.
        self._single_frame = density.Frame(*(np.float32(part) for part in self.frame))
        self.mean, self.covariance = (
            np.asarray(x) for x in phase_moments(self.parameters, self.observations)
        )
        n_cells = len(self.observations.cells.class_of_cell)
        self.device = choose_device(pixels * n_cells * SECONDS_A_CELL)
        self._sizes = ON_CPU if self.device.platform == "cpu" else ON_GPU
        self._moments = self._cell_moments(self.parameters)
        # Where the constants are, all that is computed with them is computed.
        self._coarse = jax.device_put(self._prepare_coarse(), self.device)
        self._outside = jax.device_put(self._prepare_outside(), self.device)
        self._patches: dict[tuple[int, ...], tuple[Nodes, np.ndarray]] = {}
        self.nodes_per_pair = self._choose_nodes()

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
        k, o = self.composition.shape
        rows = Rows(
            np.zeros((len(counts), _row_width(k, o, len(self.axis_composition))), np.float32)
        )
        unknown, evidence = np.empty((2, len(counts)), dtype=np.float32)
        waiting: dict[tuple[int, ...], Waiting] = {}
        whole = self._sizes.patch[0]
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
        anchors = self.observations.anchors
        unknown = (np.float32(anchors.unknown_mean), np.float32(anchors.unknown_sd))
        posterior = np.empty((len(counts), len(self._coarse.log_weight)), dtype=np.float32)
        evidence = np.empty(len(counts), dtype=np.float32)
        width = self._sizes.coarse
        for start in range(0, len(counts), width):
            block = np.asarray(counts[start : start + width], dtype=np.float32)
            inside = slice(start, start + len(block))
            padded = _padded(block, width)
            found = coarse_pass(padded, self._single_frame, self._coarse, unknown)
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
        moments = self._cell_moments(parameters)
        weight = cell_log_weight(parameters.class_weight, self.observations)
        table = density.coefficients(*moments, self.frame)
        total = np.zeros(self.composition.shape[0])
        for start in range(0, len(counts), TILE):
            block = _padded(np.asarray(counts[start : start + TILE], dtype=float), TILE)
            size = min(TILE, len(counts) - start)
            near = _rows(neighbours, slice(start, start + TILE))
            total += np.asarray(
                sum_of_fractions(
                    block,
                    np.arange(TILE) < size,
                    self.frame,
                    table,
                    weight,
                    self.observations.cells.fraction,
                    None if near is None else _padded(near, TILE),
                )
            )
        return total / len(counts)

    def moments_at(self, fraction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give mean and covariance of the counts at exact fractions (g, k)."""
        none = np.zeros((len(fraction), fraction.shape[1], fraction.shape[1]))
        found = _counting_cells(
            self.mean, self.covariance, fraction, none, self.observations.dead_share
        )
        return np.asarray(found[0]), np.asarray(found[1])

    def cell_log_chance(
        self, counts: np.ndarray, neighbours: np.ndarray | None = None
    ) -> np.ndarray:
        """Give the log probability of every cell of every pixel, unknown ones left out (n, c)."""
        table = density.coefficients(*self._moments, self.frame)
        inside = density.features(jnp.asarray(counts), self.frame) @ table
        inside = inside + cell_log_weight(self.parameters.class_weight, self.observations)[:-1]
        if neighbours is not None:
            inside = inside + neighbours[:, :-1]
        return np.asarray(inside - inside.max(axis=1, keepdims=True))

    def position_spread(self, phase: int) -> np.ndarray:
        """Give the covariance of a pure pixel's positions along its phase's axes (q, q)."""
        return np.asarray(self._patch((phase,))[0].bin_spread)[0].astype(float)

    # -- preparation -----------------------------------------------------------------------------

    def _cell_moments(self, parameters: MapParameters) -> tuple[jax.Array, jax.Array]:
        cells = self.observations.cells
        return density.counting_cells(
            *phase_moments(parameters, self.observations),
            cells.fraction,
            cells.spread,
            self.observations.dead_share,
        )

    def _prepare_coarse(self) -> Coarse:
        cells = self.observations.cells
        mean, covariance = self._moments
        size = mean.shape[1]
        log_root = 0.5 * np.linalg.slogdet(np.asarray(covariance))[1]
        n_cells = len(cells.class_of_cell)
        rows = np.arange(n_cells)
        to_single = np.zeros((n_cells + 1, len(self.composition)))
        to_single[rows[cells.is_pure], cells.fraction[cells.is_pure].argmax(axis=1)] = 1
        to_pair = np.zeros((n_cells + 1, max(1, len(cells.pairs))))
        to_triple = np.zeros((n_cells + 1, max(1, len(cells.triples))))
        paired, tripled = cells.pair_of_cell >= 0, cells.triple_of_cell >= 0
        to_pair[rows[paired], cells.pair_of_cell[paired]] = 1
        to_triple[rows[tripled], cells.triple_of_cell[tripled]] = 1
        # A pure pixel goes to the pair of its phase with the likeliest partner; half, so that a
        # pair that really holds it wins over two pure phases that each hold a half.
        for number, pair in enumerate(cells.pairs):
            for k in pair:
                to_pair[np.flatnonzero(cells.is_pure)[k], number] = 0.5
        log_peak = -log_root - 0.5 * size * density.LOG_TWO_PI
        parts = (
            density.coefficients(mean, covariance, self.frame),
            cell_log_weight(self.parameters.class_weight, self.observations),
            log_peak,
            to_single,
            to_pair,
            to_triple,
        )
        return Coarse(*(jnp.asarray(part, dtype=jnp.float32) for part in parts))

    def _prepare_outside(self) -> Outside:
        mean, covariance = (np.asarray(part) for part in self._moments)
        cells, dead = self.observations.cells, self.observations.dead_share
        direction = np.zeros_like(cells.fraction)
        variance = np.zeros(len(direction))
        for c in np.flatnonzero(cells.pair_of_cell >= 0):
            j, k = cells.pairs[cells.pair_of_cell[c]]
            direction[c, j], direction[c, k] = 1.0, -1.0
            variance[c] = cells.spread[c, j, j]
        slope = 1 / (1 + cells.fraction @ self.mean * dead) ** 2
        change = direction @ self.mean * slope
        gain = variance[:, None] * np.linalg.solve(covariance, change[..., None])[..., 0]
        oxides = np.column_stack([self.composition, self.composition.sum(axis=1)])
        middle = np.column_stack([cells.fraction, cells.fraction @ oxides])
        along = np.column_stack([direction, direction @ oxides])
        parts = (
            gain.T,
            (gain * mean).sum(axis=1),
            np.sqrt(3 * variance),
            variance * (1 - (gain * change).sum(axis=1)),
            np.column_stack([middle, middle**2]),
            np.column_stack([along, 2 * middle * along]),
            along**2,
            np.eye(len(direction))[:, cells.is_pure],
        )
        return Outside(*(jnp.asarray(part, dtype=jnp.float32) for part in parts))

    def _choose_nodes(self) -> int:
        """Take enough nodes that neighbours lie within a standard deviation of the fraction."""
        sharpest = 0.0
        for j, k in self.observations.cells.pairs:
            middle = 0.5 * (self.mean[j] + self.mean[k])
            noise = np.diag(middle) + 0.25 * (self.covariance[j] + self.covariance[k])
            step = self.mean[j] - self.mean[k]
            sharpest = max(sharpest, float(step @ np.linalg.solve(noise, step)))
        return int(np.clip(2 ** np.ceil(np.log2(max(sharpest, 1.0) ** 0.5)), 24, 192))

    def _patch(self, members: tuple[int, ...]) -> tuple[Nodes, np.ndarray]:
        """Give the nodes of a patch, and the cells that it holds."""
        if members not in self._patches:
            nodes, cells = self._prepare_patch(members)
            self._patches[members] = jax.device_put(nodes, self.device), cells
        return self._patches[members]

    def _prepare_patch(self, members: tuple[int, ...]) -> tuple[Nodes, np.ndarray]:
        cells, count = self.observations.cells, len(self.composition)
        weight = np.log(np.maximum(self.parameters.class_weight, 1e-300))
        corners = Patch(members, np.eye(count)[list(members)], weight[list(members)])
        parts, extra = [corners], [0.0]
        cell_of_node = list(np.flatnonzero(cells.is_pure)[list(members)])
        for pair in (pair for pair in cells.pairs if set(pair) <= set(members)):
            nodes = self.nodes_per_pair if len(members) == 2 else EDGE_NODES
            parts.append(pair_patch(count, pair, nodes))
            number = cells.pairs.index(pair)
            extra.append(weight[count + number])
            cell_of_node += list(cells.cells_along(number, parts[-1].fraction[:, pair[0]]))
        if len(members) == 3:
            parts.append(triple_patch(count, members, TRIPLE_STEPS))
            extra.append(weight[count + len(cells.pairs)] - np.log(len(cells.triples)))
            (own,) = np.flatnonzero(cells.triple_of_cell == cells.triples.index(members))
            cell_of_node += [own] * len(parts[-1].fraction)
        fraction = np.concatenate([patch.fraction for patch in parts])
        log_weight = np.concatenate(
            [patch.log_share + more for patch, more in zip(parts, extra, strict=True)]
        )
        return self._nodes(members, fraction, log_weight, np.array(cell_of_node))

    def _nodes(
        self,
        members: tuple[int, ...],
        fraction: np.ndarray,
        log_weight: np.ndarray,
        cell_of_node: np.ndarray,
    ) -> tuple[Nodes, np.ndarray]:
        dead, n_corners = self.observations.dead_share, len(members)
        cells = np.unique(cell_of_node)
        outside = np.ones(len(self.observations.cells.class_of_cell) + 1)
        outside[cells], outside[-1] = 0.0, 0.0
        mean, covariance = self.moments_at(fraction)
        own = fraction[:, list(members)]
        bins = _bins(own, n_corners)
        bin_fraction = bins.T @ fraction / bins.sum(axis=0)[:, None]
        axis_phase = self.observations.anchors.axis_phase
        axes = np.flatnonzero(np.isin(axis_phase, members))
        bin_mean, bin_covariance = self.moments_at(bin_fraction)
        loading = np.asarray(self.parameters.axis_counts).reshape(-1, len(dead))[axes]
        stretch = (1 + self.mean[axis_phase[axes]] * dead) ** 2
        slope = 1 / (1 + bin_fraction @ self.mean * dead) ** 2
        axis_fraction = bin_fraction[:, axis_phase[axes]]
        shift = axis_fraction[:, :, None] * (loading * stretch)[None] * slope[:, None, :]
        gain = np.linalg.solve(bin_covariance, shift.swapaxes(1, 2)).swapaxes(1, 2)
        # The gain is smooth over a bin; the expected counts it is applied to are each node's own.
        drift = np.einsum("gb,bqe,gbe->gq", bins, gain, bin_mean[None] - mean[:, None])
        before, width, lowest = _spans(own.T, n_corners)
        parts = (
            _coefficients(mean, covariance, self.frame),
            log_weight,
            cells[:, None] == cell_of_node,
            _averages(own, fraction[:, axis_phase[axes]], bins, drift),
            bin_mean,
            gain,
            np.eye(len(axes)) - gain @ shift.swapaxes(1, 2),
            before,
            width,
            lowest,
            outside,
            np.eye(len(self.composition))[list(members)],
            np.eye(len(axis_phase))[axes],
            self.composition[list(members)],
            self.axis_composition[axes],
        )
        return Nodes(*(jnp.asarray(part, dtype=jnp.float32) for part in parts)), cells

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
        cells = self.observations.cells
        chosen = np.asarray(choose_patch(posterior, self._coarse))
        singles = [(k,) for k in range(len(self.composition))]
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
        smallest = self._sizes.patch[-1]
        while begin < count:
            width = next((w for w in self._sizes.patch if w <= count - begin), smallest)
            part = pixels.part(begin, min(begin + width, count))
            block = integrate(
                _padded(part.counts, width),
                _padded(part.posterior, width),
                self._single_frame,
                self._outside,
                nodes,
                np.float32(self.hidden_scatter),
                None if part.neighbours is None else _padded(part.neighbours, width),
            )
            rows.add(part.place, block)
            begin += width


def _row_width(n_phases: int, n_oxides: int, n_axes: int) -> int:
    return 5 * n_phases + 2 * n_oxides + 1 + n_axes


def _rows(values: np.ndarray | None, index: slice | np.ndarray) -> np.ndarray | None:
    """Take some rows; of nothing, nothing."""
    return None if values is None else values[index]


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    """Repeat the first row up to a fixed length, so that programs are compiled once."""
    if len(values) == length:
        return values
    return np.concatenate([values, np.repeat(values[:1], length - len(values), axis=0)])


def _bins(fraction: np.ndarray, n_corners: int) -> np.ndarray:
    """Group the nodes: each corner alone, the others by the fractions of the members, (g, b)."""
    place = np.minimum((fraction * POSITION_BINS).astype(int), POSITION_BINS - 1)
    code = place @ (POSITION_BINS ** np.arange(fraction.shape[1]))
    code[:n_corners] = -1 - np.arange(n_corners)
    groups = np.unique(code)
    return (code[:, None] == groups).astype(float)


def _averages(own: np.ndarray, axis: np.ndarray, bins: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """Lay side by side what `integrate` averages over nodes, in the order it reads them.

    With f the members' fractions, a the fraction of each axis' phase, B the bins and d the drift
    of the position from its bin's: f, ff', B a, B f a, B a a', a d, f a d, B a a' d, a a' d d'.
    """
    along = axis * drift
    parts = (
        own,
        np.einsum("gm,gn->gmn", own, own),
        np.einsum("gb,gq->gbq", bins, axis),
        np.einsum("gb,gm,gq->gbmq", bins, own, axis),
        np.einsum("gb,gq,gr->gbqr", bins, axis, axis),
        along,
        np.einsum("gm,gq->gmq", own, along),
        np.einsum("gb,gq,gr->gbqr", bins, along, axis),
        np.einsum("gq,gr->gqr", along, along),
    )
    return np.concatenate([part.reshape(len(own), -1) for part in parts], axis=1)


def _spans(fraction: np.ndarray, n_corners: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rank the nodes by each member's fraction (m, g), for `Nodes.before`, `width`, `lowest`.

    Each node stands for the fractions nearest to it, the first and last inside for all to the
    ends. Corners, and nodes without the member, are atoms: their span has no width.
    """
    rows = np.arange(len(fraction))[:, None]
    order = np.argsort(fraction, axis=1, kind="stable")
    rank = np.empty_like(order)
    rank[rows, order] = np.arange(fraction.shape[1])
    ordered = fraction[rows, order]
    middle = 0.5 * (ordered[:, 1:] + ordered[:, :-1])
    inside = (order >= n_corners) & (ordered > 0)
    nothing = np.zeros_like(inside[:, :1])
    low = np.where(
        np.concatenate([nothing, inside[:, :-1]], axis=1),
        np.concatenate([ordered[:, :1], middle], axis=1),
        0.0,
    )
    high = np.where(
        np.concatenate([inside[:, 1:], nothing], axis=1),
        np.concatenate([middle, ordered[:, -1:]], axis=1),
        1.0,
    )
    width = np.where(inside, high - low, 0.0)[rows, rank]
    return rank[:, :, None] < rank[:, None, :], width, ordered[:, 0]
