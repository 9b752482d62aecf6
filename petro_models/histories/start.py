"""Where the sampler's climb starts: a robust least-squares path, and a clock through the ages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from petro_models.histories import defaults, forward, grains, prefit
from petro_models.histories.smoothing import normals_of_walk, position_steps, time_steps
from petro_models.inference.nuts import Point

if TYPE_CHECKING:
    from petro_models.histories.problem import Histories

LEAST_AMPLITUDE = {"temperature": 12.0, "pressure": 0.6}


def start_of_climb(problem: "Histories") -> Point:
    """Fit the path to the analyses, and give the free variables that stand for it.

    Parameters
    ----------
    problem
        With profiles.
    """
    layout, start, path = problem._known_layout(), {}, {}
    for name, unit in forward.PATH_UNITS.items():
        values = problem.points[0 if name == "pressure" else 1]
        guesses = {
            "mean": float(np.median(values)),
            "amplitude": max(float(np.std(values)), LEAST_AMPLITUDE[name]),
        }
        for key, guess in guesses.items():
            if problem.priors.is_known(f"{name}_{key}_{unit}"):
                guess = float(problem.priors.known(f"{name}_{key}_{unit}"))
            else:
                start[f"{name}_{key}_{unit}"] = np.asarray(guess)
            path[name, key] = guess
    nodes = prefit.fit_path(
        problem.arrays,
        layout.position_basis * layout.part_sd,
        path,
        problem.points,
        problem._central_removed(),
    )
    cut = problem.known_cuts()
    if cut is not None and not problem.priors.is_known("cut_offset_um"):
        start["cut_offset_um"] = cut
    start |= _start_of_clock(problem, layout, nodes["temperature"], path)
    if problem.options["smoothing"] != "timeless":
        return start | _start_of_walks(problem, layout, nodes, path)
    resolved = problem.resolved
    for name in forward.PATH_UNITS:
        # Nodes of size 1 are brought to the size that each has in the model.
        is_in_units = layout.in_units(resolved[name]) == 1
        size = path[name, "amplitude"] * layout.part_sd
        start[f"{name}_path"] = nodes[name] * np.where(is_in_units, size, 1.0)
    return start


def _start_of_clock(
    problem: "Histories",
    layout: grains.Layout,
    nodes: np.ndarray,
    path: Mapping[tuple[str, str], float],
) -> dict[str, np.ndarray]:
    """Fit age at the start and duration to the ages, along the fitted temperatures.

    Ages that are far off bend the path on the way up, and the climb ends on a lower summit.
    """
    arrays = problem.arrays
    if not arrays.has_ages:
        return {}
    basis = layout.grid_basis * layout.part_sd
    temperature = path["temperature", "mean"] + path["temperature", "amplitude"] * basis @ nodes
    parameters = problem.law_parameters() | {"duration_Myr": 1.0}
    share, _, total = layout.clock(temperature, parameters, np)
    elapsed = layout.zone_share(share, np)
    weight = 1 / arrays.zone_age_sd_Ma**2
    duration = _known_duration(problem, total)
    if duration is None:
        age, middle = (np.average(v, weights=weight) for v in (arrays.zone_age_Ma, elapsed))
        spread = float((weight * (elapsed - middle) ** 2).sum())
        slope = float((weight * (elapsed - middle) * (arrays.zone_age_Ma - age)).sum())
        if spread <= 0 or slope >= 0:
            return {}
        duration = -slope / spread
    values = {
        "age_at_start_Ma": np.average(arrays.zone_age_Ma + duration * elapsed, weights=weight),
        "duration_Myr": duration,
        "growth_rate": total / duration,
    }
    return {
        name: np.asarray(float(value))
        for name, value in values.items()
        if name in problem.priors and not problem.priors.is_known(name)
    }


def _known_duration(problem: "Histories", total: float) -> float | None:
    """Give the duration where it or the growth rate is a known number."""
    priors = problem.priors
    if "duration_Myr" in priors and priors.is_known("duration_Myr"):
        return float(priors.known("duration_Myr"))
    if "growth_rate" in priors and priors.is_known("growth_rate"):
        return float(total) / float(priors.known("growth_rate"))
    return None


def _start_of_walks(
    problem: "Histories",
    layout: grains.Layout,
    nodes: Mapping[str, np.ndarray],
    path: Mapping[tuple[str, str], float],
) -> dict[str, np.ndarray]:
    """Bring a smooth path on its nodes to the normals of a walk through it."""
    basis = _basis_at_nodes(problem, layout)
    values = {
        name: path[name, "mean"] + path[name, "amplitude"] * basis @ nodes[name]
        for name in forward.PATH_UNITS
    }
    if problem.options["smoothing"] == "per_position":
        step = position_steps(layout.axis)
    else:
        parameters = problem.law_parameters() | {
            "growth_rate": defaults.typical_growth_rate(problem.law)
        }
        step = time_steps(values["temperature"], layout, parameters)
    start: dict[str, np.ndarray] = {}
    for name, unit in forward.PATH_UNITS.items():
        amplitude = defaults.WALKED[name]
        for key, value in (("mean", values[name][0]), ("amplitude", amplitude)):
            if not problem.priors.is_known(f"{name}_{key}_{unit}"):
                start[f"{name}_{key}_{unit}"] = np.asarray(value)
            elif key == "amplitude":
                amplitude = float(problem.priors.known(f"{name}_{key}_{unit}"))
        start[f"{name}_path"] = normals_of_walk(values[name], amplitude, step)
    return start


def _basis_at_nodes(problem: "Histories", layout: grains.Layout) -> np.ndarray:
    """Give the basis that the path was fitted in, at the path's own nodes."""
    nodes = layout.axis.nodes
    if problem.is_length_known:
        return forward.path_basis(nodes, nodes, problem._length())
    return forward.spectral_basis(nodes, nodes.size) * layout.part_sd
