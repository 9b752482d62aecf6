"""Sums over the pixels of a map, which add up over its tiles."""

from dataclasses import dataclass, fields

import numpy as np
import xarray as xr

from petro_models.phase_maps.pixel_rows import PixelAnswers


@dataclass(frozen=True)
class MapTotals:
    """Sums over pixels, in double precision; k phases, a axes.

    Attributes
    ----------
    pixels, known
        How many, and how many of them a phase explains.
    fraction, fraction_known, variance
        Of the fractions; of those times the probability that a phase explains the pixel; of the
        fractions' variances (k,).
    axis_moment
        Of fraction times position along each axis (a,).
    """

    pixels: float
    known: float
    fraction: np.ndarray
    fraction_known: np.ndarray
    variance: np.ndarray
    axis_moment: np.ndarray

    @classmethod
    def of(cls, answers: PixelAnswers) -> "MapTotals":
        """Add up the pixels of a map or tile."""
        known = 1.0 - answers.unknown.astype(float)
        return cls(
            float(len(known)),
            float(known.sum()),
            answers.fraction.sum(axis=0, dtype=float),
            np.einsum("nk,n->k", answers.fraction, known),
            np.einsum("nk,nk->k", answers.fraction_sd, answers.fraction_sd, dtype=float),
            answers.axis_moment.sum(axis=0, dtype=float),
        )

    def to_dataset(self) -> xr.Dataset:
        """Give the sums as one tile's piece of a store."""
        parts = {part.name: np.asarray(getattr(self, part.name), float) for part in fields(self)}
        dims = {"pixels": (), "known": (), "axis_moment": ("axis_name",)}
        return xr.Dataset(
            {
                f"total_{name}": (("tile", *dims.get(name, ("phase",))), values[None])
                for name, values in parts.items()
            }
        )

    @classmethod
    def added(cls, stored: xr.Dataset) -> "MapTotals":
        """Add up the sums of all tiles of a store."""
        parts = [stored[f"total_{part.name}"].sum("tile").to_numpy() for part in fields(cls)]
        return cls(float(parts[0]), float(parts[1]), *parts[2:])
