"""Quartz inclusions in garnet (or any host): a straight line in P and T per inclusion."""

from petro_models.thermodynamics.calibration import Array


def entrapment_line(
    temperature_C: Array,
    pressure_kbar: Array,
    *,
    intercept_kbar: Array,
    slope_kbar_per_C: Array,
) -> Array:
    """``P - (intercept + slope T)`` kbar: how far (P, T) lies above the inclusion's isomeke.

    The line is the isomeke of the measured residual pressure, from the user's own elastic model
    (EosFit, EntraPT, ...), fitted over the temperatures of interest.
    """
    return pressure_kbar - intercept_kbar - slope_kbar_per_C * temperature_C
