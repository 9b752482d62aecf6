"""How far the answer depends on the structure: one map under several defensible models."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from petro_models.inference.draws import Draws
from petro_models.inference.whitened import sample_laplace
from petro_models.phase_maps.problem import PhaseMaps

STRUCTURES: dict[str, dict[str, str]] = {
    "as many axes as called for": {"axes": "auto", "mixtures": "all"},
    "one axis a phase": {"axes": "one", "mixtures": "all"},
    "no axes": {"axes": "none", "mixtures": "all"},
    "pairs only": {"axes": "auto", "mixtures": "pairs"},
    "pixels alone": {"axes": "auto", "mixtures": "all", "neighbours": "none"},
}
"""Structures that a careful analyst could defend, by name."""


def compare_structures(
    problem: PhaseMaps,
    structures: Mapping[str, Mapping[str, str]] = STRUCTURES,
    draws: int = 200,
    seed: int = 0,
) -> xr.Dataset:
    """Fit the problem's data under several structures, by normal approximation.

    Statistical intervals of modes take the structure for granted and are far too narrow alone:
    report the range over structures beside them.

    Parameters
    ----------
    problem
        Its data are used; its options give what a structure leaves open. Priors are the defaults,
        save those edited that every structure has.
    structures
        Name -> options of `PhaseMaps`.
    draws, seed
        Draws of each approximation.

    Returns
    -------
    xr.Dataset
        `mode`, `mode_sd` (structure, phase) and `unknown` (structure,); `mode_range` (phase), the
        largest less the smallest mode.
    """
    raw = problem.data.drop_vars(
        [name for name in problem.data.variables if str(name).startswith("anchor_")]
        + ["axis_name", "pixel_class"]
    )
    modes, sds, unknown = [], [], []
    fitted: dict[str, Draws] = {}
    for options in structures.values():
        other = PhaseMaps.from_options(raw, {**problem.options, **options})
        for name in problem.priors.edited:
            if name in other.priors:
                other.priors[name] = problem.priors[name]
        # What neighbours say is no part of the model: such structures share their draws.
        model = str({**other.options, "neighbours": None})
        if model not in fitted:
            fitted[model] = sample_laplace(
                other.model, other.start_of_climb(), draws=draws, chains=2, seed=seed
            )
        drawn = fitted[model]
        derived = other.derive_from(drawn, seed)
        modes.append(derived["mode"].to_numpy())
        sds.append(derived["mode_sd"].to_numpy())
        unknown.append(float(derived["unknown_probability"].mean()))
    table = np.array(modes)
    return xr.Dataset(
        {
            "mode": (("structure", "phase"), table, {"units": "1"}),
            "mode_sd": (("structure", "phase"), np.array(sds), {"units": "1"}),
            "unknown": ("structure", np.array(unknown), {"units": "1"}),
            "mode_range": ("phase", np.ptp(table, axis=0), {"units": "1"}),
        },
        {"structure": list(structures), "phase": problem.data["phase"].to_numpy()},
    )
