"""The engine of a history: many grains on one growth coordinate, one path and one clock.

`Layout` knows where positions and dated zones stand on the common axis; its methods turn
parameters into pressure, temperature, time and removed garnet, for the model (PyTensor, one set
of parameters) and for the answers (NumPy, leading dims of draws) alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt

from petro_models.histories import forward
from petro_models.histories.arrays import HistoryArrays
from petro_models.histories.axis import GrowthAxis
from petro_models.histories.growth import GrowthLaw
from petro_models.histories.sections import off_centre

LEAST_SQUARE_UM2 = 1e-6
LEAST_SPAN = 1e-3
"""Of the growth coordinate, as a share of its end."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_TURNS = np.pi / 3 * np.arange(6)
_DISC = np.sqrt(2 / 3) * np.stack(
    [np.append(np.cos(_TURNS), [0.0, 0.0]), np.append(np.sin(_TURNS), [0.0, 0.0])]
)
_DISC_WEIGHTS = np.array([*[1 / 8] * 6, 1 / 8, 1 / 8])
"""Radon's seven points of the unit disc; the middle counts twice, so that there are eight."""


@dataclass(frozen=True)
class Layout:
    """Positions, zones and nucleations on the common axis.

    Attributes
    ----------
    axis, law
        The axis and the growth law.
    position_place, grid_place
        Places 0 to 1 of positions and of the grid of integrals.
    position_basis, grid_basis
        From the path's nodes to positions and grid; None for unknown places.
    part_sd
        Sizes of the parts of a path whose length or places are unknown, (..., node); else 1.
    inclusion_place, inclusion_basis
        As for positions, of inclusions.
    zone_place, zone_weight
        (zone, quadrature node): a dated zone averages over its volume.
    nucleation_place
        Of each grain's centre, (grain); 0 for what nucleated before the first analysis.
    grid_coordinate
        Growth coordinate at the grid of integrals, (grid).
    grown_share
        Share of the final garnet volume that had grown at each position.
    """

    axis: GrowthAxis
    law: GrowthLaw
    position_place: Any
    position_basis: Any
    grid_basis: Any
    inclusion_place: Any
    inclusion_basis: Any
    part_sd: Any
    zone_place: Any
    zone_weight: np.ndarray
    nucleation_place: Any
    grid_coordinate: Any
    grown_share: Any

    @classmethod
    def of(
        cls,
        arrays: HistoryArrays,
        axis: GrowthAxis,
        law: GrowthLaw,
        offset_um: Any,
        length: Any,
        spectral: bool = False,
        cut_um: Any = None,
    ) -> "Layout":
        """Lay out the data, for known offsets and length (NumPy) or unknown ones (PyTensor).

        Parameters
        ----------
        offset_um
            How far each grain's nucleation lags behind the first, (grain), in radius.
        length
            Length scale of the path, share of the axis.
        spectral
            Whether the path is made of sines, as it is where its length is unknown.
        cut_um
            How far each section misses its grain's centre, (section); None without sections.
        """
        known = all(isinstance(value, np.ndarray | None) for value in (offset_um, cut_um))
        xp: Any = np if known else pt
        sphere = Spheres.of(arrays, cut_um, xp)
        lag = offset_um if cut_um is None else offset_um + arrays.rim_radius_um - sphere.rim_um
        offset = coordinate_of_offset(lag, arrays, law.exponent)

        frame = Frame.of(arrays, axis, offset_um, offset, sphere, law.exponent)

        def place_of(coordinate: Any) -> Any:
            framed = coordinate if frame is None else frame.of_coordinate(coordinate, xp)
            return axis.place(framed, xp)

        def coordinate_of(grain: np.ndarray, radius_um: Any) -> Any:
            return offset[grain] + sphere.radius(grain, radius_um) ** law.exponent

        position = coordinate_of(arrays.grain, arrays.radius_um)
        position_place = place_of(position)
        held = arrays.inclusions
        inclusion_place = place_of(coordinate_of(held.grain, held.radius_um))
        count, sizes = axis.nodes.size, 1.0
        if spectral:
            sizes = forward.spectral_sd(length, count, np if isinstance(length, np.ndarray) else pt)

        def basis_of(place: Any) -> np.ndarray | None:
            if not isinstance(place, np.ndarray):
                return None
            if spectral:
                return forward.spectral_basis(place, count)
            return forward.path_basis(place, axis.nodes, length)

        radius, weight = zone_quadrature(arrays)
        zone = coordinate_of(arrays.zone_grain[:, None], radius)
        grid = axis.grid_coordinate
        return cls(
            axis=axis,
            law=law,
            position_place=position_place,
            position_basis=basis_of(position_place),
            grid_basis=basis_of(axis.grid_place),
            inclusion_place=inclusion_place,
            inclusion_basis=basis_of(inclusion_place),
            part_sd=sizes,
            zone_place=place_of(zone),
            zone_weight=weight,
            nucleation_place=place_of(offset),
            grid_coordinate=grid if frame is None else frame.to_coordinate(grid, xp),
            grown_share=forward.grown_share(
                position, offset, arrays.number_density, axis.end, law.exponent, xp
            ),
        )

    def wanted(self, xp: Any) -> dict[str, tuple[Any, Any]]:
        """Name the places of positions, inclusions and grid, each with its basis if known."""
        found = {
            "position": (self.position_place, self.position_basis),
            "inclusion": (self.inclusion_place, self.inclusion_basis),
            "grid": (self.axis.grid_place, self.grid_basis),
        }
        if xp is np:
            return found
        return {
            name: (pt.as_tensor(place), None if basis is None else pt.as_tensor(basis))
            for name, (place, basis) in found.items()
        }

    def in_units(self, resolved: int) -> np.ndarray:
        """Give 1 for the nodes that carry the unit of a path: those that analyses hold tightly.

        Parameters
        ----------
        resolved
            How many of the smoothest parts of the path the analyses resolve.
        """
        return (np.arange(self.axis.nodes.size) < resolved).astype(float)

    def clock(
        self, grid_temperature_C: Any, parameters: Mapping[str, Any], xp: Any
    ) -> tuple[Any, Any, Any]:
        """Give share of time on the grid (..., grid), duration (Myr) and rate (um^exponent/Myr)."""
        slowness = self.law.on_grid(grid_temperature_C, self.grid_coordinate, parameters, xp)
        share, total = forward.elapsed_share(slowness, self.grid_coordinate, xp)
        if "duration_Myr" in parameters:
            duration = parameters["duration_Myr"]
            return share, duration, total / duration
        rate = parameters["growth_rate"]
        return share, total / rate, rate

    def zone_share(self, share: Any, xp: Any) -> Any:
        """Give the mean share of time of each zone, over its volume (..., zone)."""
        space = np if isinstance(self.zone_place, np.ndarray) else xp
        grid = forward.even_weights(self.zone_place, self.axis.grid_place.size, space)
        return share @ (grid * self.zone_weight[..., None]).sum(axis=-2).T


@dataclass(frozen=True)
class Spheres:
    """From radii in a section to radii in the grain.

    Attributes
    ----------
    rim_um
        Radius of each grain, (grain).
    cut_um
        How far its section misses the centre, (grain); None: all pass through it.
    """

    rim_um: Any
    cut_um: Any

    @classmethod
    def of(cls, arrays: HistoryArrays, cut_um: Any, xp: Any) -> "Spheres":
        """Give the spheres of all grains from the cuts of the sections, (section) or None."""
        if cut_um is None:
            return cls(arrays.rim_radius_um, None)
        spread = (arrays.section_grain[None, :] == np.arange(arrays.n_grains)[:, None]) * 1.0
        cut = (spread * cut_um).sum(axis=-1)
        return cls(off_centre(arrays.rim_radius_um, cut), cut)

    def radius(self, grain: np.ndarray, radius_um: Any) -> Any:
        """Give the radius in the grain of points at a radius in its section."""
        return radius_um if self.cut_um is None else off_centre(radius_um, self.cut_um[grain])


@dataclass(frozen=True)
class Frame:
    """The growth coordinate as it would be if the largest section missed its centre by so much.

    The path stands on this coordinate: there the analyses of that section keep their places however
    far its cut is from the centre, and the unknown cut moves other grains and the clock only.

    Attributes
    ----------
    offset, cut_um
        Growth coordinate at the centre of that grain, and how far its section misses it.
    frame_offset, frame_cut_um
        The same in the frame.
    exponent
        The growth coordinate is the radius to this power.
    """

    offset: Any
    cut_um: Any
    frame_offset: Any
    frame_cut_um: float
    exponent: int

    @classmethod
    def of(
        cls,
        arrays: HistoryArrays,
        axis: GrowthAxis,
        offset_um: Any,
        offset: Any,
        sphere: "Spheres",
        exponent: int,
    ) -> "Frame | None":
        """Give the frame of an axis that was laid in one; `offset_um` leaves the cuts out."""
        if axis.frame_cut_um is None or sphere.cut_um is None:
            return None
        grain = arrays.largest_section
        rims = arrays.rim_radius_um
        lag = offset_um + rims - off_centre(rims, axis.frame_cut_um)
        own = coordinate_of_offset(lag, arrays, exponent)[grain]
        return cls(offset[grain], sphere.cut_um[grain], own, axis.frame_cut_um, exponent)

    def of_coordinate(self, coordinate: Any, xp: Any) -> Any:
        """Bring points of the growth coordinate into the frame."""
        here, there = (self.offset, self.cut_um), (self.frame_offset, self.frame_cut_um)
        return self._moved(coordinate, here, there, xp)

    def to_coordinate(self, framed: Any, xp: Any) -> Any:
        """Give the growth coordinate of points in the frame."""
        here, there = (self.offset, self.cut_um), (self.frame_offset, self.frame_cut_um)
        return self._moved(framed, there, here, xp)

    def _moved(self, points: Any, old: tuple[Any, Any], new: tuple[Any, Any], xp: Any) -> Any:
        """Keep distances from the middle of the section, and change that of its plane.

        What grew before the section's middle keeps its distance from it along the coordinate.
        """
        middle = old[0] + old[1] ** self.exponent
        before = xp.clip(middle - points, 0.0, np.inf)
        grown = xp.clip(xp.clip(points, middle, np.inf) - old[0], 1e-9, np.inf)
        square = grown ** (2 / self.exponent) - old[1] ** 2 + new[1] ** 2
        after = new[0] + xp.clip(square, LEAST_SQUARE_UM2, np.inf) ** (self.exponent / 2)
        return after - before


def resolved_parts(basis: np.ndarray, values: np.ndarray) -> int:
    """Count the smoothest parts of a path that point-by-point values resolve.

    A part counts where its share of the path's variance exceeds that of the noise.

    Parameters
    ----------
    basis
        From ordered nodes to positions, (position, node).
    values
        Point-by-point fits, (position), positions of one grain after another.
    """
    noise = 1.4826 * float(np.median(np.abs(np.diff(values, n=2)))) / np.sqrt(6.0)
    amplitude = float(np.median(np.abs(values - np.median(values)))) * 1.4826
    information = (amplitude / max(noise, 1e-6)) ** 2 * (basis**2).sum(axis=0)
    return int((information > 1).sum())


def coordinate_of_offset(offset_um: Any, arrays: HistoryArrays, exponent: int) -> Any:
    """Turn a lag in radius at the rim into a lag of the growth coordinate, (grain)."""
    if exponent == 1:
        return offset_um
    end = float(arrays.rim_radius_um.max())
    return end**exponent - (end - offset_um) ** exponent


def growth_coordinate(
    arrays: HistoryArrays,
    offset_um: np.ndarray,
    exponent: int,
    grain: np.ndarray,
    radius_um: np.ndarray,
    cut_um: np.ndarray | None = None,
) -> Any:
    """Give the growth coordinate of radii in grains of known offsets and cuts."""
    sphere = Spheres.of(arrays, cut_um, np)
    lag = offset_um + arrays.rim_radius_um - sphere.rim_um
    offset = coordinate_of_offset(lag, arrays, exponent)
    return offset[grain] + sphere.radius(grain, radius_um) ** exponent


def default_offsets_um(arrays: HistoryArrays) -> np.ndarray:
    """Give the lag of each grain if growth ended together: differences of the rims' radii."""
    return arrays.rim_radius_um.max() - arrays.rim_radius_um


def zone_quadrature(arrays: HistoryArrays) -> tuple[np.ndarray, np.ndarray]:
    """Give radii (um) and weights (zone, node) of the averages that dated zones are.

    A zone is a spherical shell, averaged over its volume; a spot is a disc on the section, averaged
    over its area (Radon's rule of seven points, exact to the fifth degree).
    """
    inner, outer = arrays.zone_inner_um[:, None], arrays.zone_outer_um[:, None]
    shell = inner + (outer - inner) * 0.5 * (_NODES + 1)
    weight = _WEIGHTS * np.maximum(shell, 1e-9) ** 2
    half = 0.5 * arrays.zone_spot_um[:, None]
    middle = 0.5 * (inner + outer)
    spot = np.hypot(middle + half * _DISC[0], half * _DISC[1])
    is_spot = half > 0
    return (
        np.where(is_spot, spot, shell),
        np.where(is_spot, _DISC_WEIGHTS, weight / weight.sum(axis=1, keepdims=True)),
    )


def axis_ends(
    arrays: HistoryArrays, offset_um: np.ndarray, exponent: int, cut_um: np.ndarray | None = None
) -> tuple[float, float]:
    """Give the growth coordinate of the first place that was observed and of the end of growth.

    A dated spot in a core that was not analysed is such a place; a dated zone is not, as it may
    reach to the centre.
    """
    if cut_um is not None:
        # Other grains may show earlier growth than the largest does.
        cut_um = np.where(arrays.section_grain == arrays.largest_section, cut_um, 0.0)

    def coordinate(grain: np.ndarray, radius_um: np.ndarray) -> np.ndarray:
        return growth_coordinate(arrays, offset_um, exponent, grain, radius_um, cut_um)

    observed = coordinate(*arrays.observed)
    spots = np.flatnonzero(arrays.zone_spot_um > 0)
    innermost = np.abs(arrays.zone_inner_um - 0.5 * arrays.zone_spot_um)[spots]
    dated = coordinate(arrays.zone_grain[spots], innermost)
    observed = np.concatenate([observed, dated])
    ends = [observed.max(), float(arrays.rim_radius_um.max()) ** exponent]
    if arrays.has_ages:
        ends.append(coordinate(arrays.zone_grain, arrays.zone_outer_um).max())
    start, end = float(observed.min()), float(max(ends))
    # A lone inclusion at the rim leaves no axis behind it: then the grain's centre begins it.
    return (start, end) if end - start > LEAST_SPAN * end else (0.0, end)
