"""A model with other data: the same priors and forward model, data drawn from it observed."""

from collections.abc import Mapping

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.model.fgraph import clone_model

from petro_models.errors import FitError


def with_observed(model: pm.Model, values: Mapping[str, np.ndarray]) -> pm.Model:
    """Give the model with other values of some observed variables; the model stays as it is.

    Parameters
    ----------
    model
        Declared, with observed variables.
    values
        Observed variable -> its new values, of the same shape.

    Raises
    ------
    FitError
        If there is no such observed variable, or its shape differs.
    """
    clone = clone_model(model)
    observed = {rv.name: rv for rv in clone.observed_RVs}
    for name, value in values.items():
        if name not in observed:
            raise FitError(f"'{name}' is not observed; the model observes {', '.join(observed)}")
        variable = observed[name]
        old = clone.rvs_to_values[variable]
        new = pt.constant(np.asarray(value, dtype=old.dtype), name=name)
        if new.type.shape != old.type.shape:
            raise FitError(f"'{name}' has the shape {old.type.shape}, not {new.type.shape}")
        clone.rvs_to_values[variable] = new
        clone.values_to_rvs[new] = variable
    return clone
