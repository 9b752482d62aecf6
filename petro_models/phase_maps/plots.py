"""Figures of a phase-map fit: each takes the fit (or a transect) and returns a Figure."""

from petro_models.phase_maps.plot_maps import (
    plot_composition,
    plot_fraction,
    plot_phase_map,
    plot_residual,
    plot_rgb,
)
from petro_models.phase_maps.plot_spots import plot_calibration
from petro_models.phase_maps.plot_summaries import plot_histogram, plot_modes, plot_transect

__all__ = [
    "plot_calibration",
    "plot_composition",
    "plot_fraction",
    "plot_histogram",
    "plot_modes",
    "plot_phase_map",
    "plot_residual",
    "plot_rgb",
    "plot_transect",
]
