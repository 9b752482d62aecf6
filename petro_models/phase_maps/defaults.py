"""Default priors of phase maps, each with its reason."""

import numpy as np
from pymc_extras.prior import Prior

from petro_models.phase_maps.observations import Observations
from petro_models.priors import PriorSpecification

GOLDSTEIN = "Goldstein et al. (2018), Scanning Electron Microscopy and X-Ray Microanalysis, 4th ed."


def specifications(observations: Observations) -> dict[str, PriorSpecification]:
    """Give every quantity of the model that is declared for these data."""
    chosen = {**_map(observations), **_calibration(observations)}
    if observations.has_spots:
        chosen |= _spots(observations)
    return chosen


def _map(observations: Observations) -> dict[str, PriorSpecification]:
    axes = {
        "axis_scale": PriorSpecification(
            Prior("LogNormal", mu=0.0, sigma=0.05, dims="axis_name"),
            ("axis_name",),
            "sd along each axis of solid solution / its anchor",
            "the anchor rests on thousands of pixels; more freedom makes a phase take in its "
            "mixtures",
            support="positive",
        )
    }
    return {
        "phase_intensity": PriorSpecification(
            Prior("Normal", mu=0.0, sigma=0.05, dims=("phase", "element")),
            ("phase", "element"),
            "ln(counts of the pure phase / its anchor)",
            "anchors are good to a few percent; wider lets rare phases take in their neighbours",
        ),
        "dispersion": PriorSpecification(
            Prior("LogNormal", mu=0.0, sigma=0.15, dims=("phase", "element")),
            ("phase", "element"),
            "relative scatter beyond counting and axes / its anchor",
            "the anchor rests on thousands of pixels; as for the axes",
            support="positive",
        ),
        **(axes if observations.has_axes else {}),
        "class_weight": PriorSpecification(
            Prior(
                "Dirichlet",
                a=np.ones(len(observations.cells.classes)),
                dims="pixel_class",
            ),
            ("pixel_class",),
            "shares of pure, mixed, fine-grained and unknown pixels on the map",
            "flat: the pixels decide",
            support="nonnegative",
            required_dims=("pixel_class",),
        ),
    }


def _calibration(observations: Observations) -> dict[str, PriorSpecification]:
    return {
        "sensitivity": PriorSpecification(
            Prior("Normal", mu=0.0, sigma=0.3, dims="oxide"),
            ("oxide",),
            "ln(counts per wt% / rough estimate from spots and formulae)",
            "the rough estimate is good to some ten percent",
        ),
        "background": PriorSpecification(
            Prior("LogNormal", mu=0.0, sigma=0.4, dims="oxide"),
            ("oxide",),
            "counts without the element / rough estimate",
            "the lowest phase bounds it",
            support="positive",
        ),
        "matrix_scatter": PriorSpecification(
            0.06,
            (),
            "scatter of ln(matrix factor) over phases and elements",
            "3 to 8 % on measured maps",
            GOLDSTEIN,
            support="positive",
        ),
        "background_scatter": PriorSpecification(
            0.2,
            (),
            "relative scatter of the background over phases",
            "continuum grows with mean atomic number",
            GOLDSTEIN,
            support="positive",
        ),
    }


def _spots(observations: Observations) -> dict[str, PriorSpecification]:
    transfer = {
        "transfer_scatter": PriorSpecification(
            0.3,
            (),
            "relative deviation of wt% along an axis from what its counts say",
            "slopes of 0.6 to 1 were met on a measured map; matrix effects vary along an axis",
            support="positive",
        )
    }
    return {
        **(transfer if observations.has_axes else {}),
        "spot_scatter": PriorSpecification(
            Prior("LogNormal", mu=0.0, sigma=0.4, dims=("phase", "oxide")),
            ("phase", "oxide"),
            "scatter of analyses about what the map says / rough estimate",
            "the rough estimate is the robust scatter of the phase's spots",
            support="positive",
        ),
        "scatter_seen": PriorSpecification(
            Prior("Beta", alpha=2.0, beta=2.0, dims="oxide"),
            ("oxide",),
            "correlation of an element's scatter in analyses and in counts, beyond the axes",
            "some of what counts scatter is composition, some relief and unmapped matter",
            support="probability",
        ),
        "registration_shift": PriorSpecification(
            Prior("Normal", mu=observations.first_shift, sigma=0.7, dims="direction"),
            ("direction",),
            "column and row to add to nominal spot positions, pixels",
            "the coarse registration is good to a pixel; places further off are not looked at",
        ),
        "registration_jitter": PriorSpecification(
            Prior("LogNormal", mu=-0.2, sigma=0.5),
            (),
            "scatter of single spots about the common shift, pixels",
            "about a pixel",
            support="positive",
        ),
        "registration_drift": PriorSpecification(
            Prior("LogNormal", mu=-1.0, sigma=0.5),
            (),
            "scatter of what spots measured one after the other are displaced by alike, pixels",
            "backlash and drift of a stage: about half a micrometre",
            support="positive",
        ),
        "registration_memory": PriorSpecification(
            Prior("LogNormal", mu=1.8, sigma=0.5),
            (),
            "number of spots over which that displacement is forgotten",
            "a traverse is some ten spots long",
            support="positive",
        ),
        "spot_targeting": PriorSpecification(
            Prior("LogNormal", mu=1.0, sigma=0.7),
            (),
            "odds by which spots are set on pure grains rather than where phases meet",
            "analysts aim at grains: some three to one",
            support="positive",
        ),
        "spot_outlier": PriorSpecification(
            Prior("Beta", alpha=1.0, beta=20.0),
            (),
            "share of analyses that no class explains",
            "some of a hundred hit cracks, edges or something unmapped",
            support="probability",
        ),
        "label_error": PriorSpecification(
            0.03, (), "share of wrong phase labels", "slips of the pen", support="probability"
        ),
    }
