"""Garnet end members and oxides: fractions on the X site against wt%."""

from typing import Any

import numpy as np

from petro_models.phase_maps.formula_weights import ATOMIC_WEIGHTS, OXIDE_OF

CATIONS = {"alm": "Fe", "prp": "Mg", "grs": "Ca", "sps": "Mn"}
"""What fills the X site of each end member, in the order of `thermodynamics.tables.COMPONENTS`."""
OXIDES = tuple(OXIDE_OF[cation][0] for cation in CATIONS.values())
"""Oxides of these cations: FeO MgO CaO MnO."""


def _oxide_weight(element: str) -> float:
    """Give the mass of the oxide per mole of the element, g."""
    return ATOMIC_WEIGHTS[element] + OXIDE_OF[element][1] * ATOMIC_WEIGHTS["O"]


_X_SITE = np.array([_oxide_weight(cation) for cation in CATIONS.values()])
_FRAMEWORK = {"SiO2": 3 * _oxide_weight("Si"), "Al2O3": 2 * _oxide_weight("Al")}


def garnet_oxides(fractions: Any) -> dict[str, Any]:
    """Give wt% of oxides of a garnet X3Al2Si3O12, all iron as FeO.

    Parameters
    ----------
    fractions
        Of almandine, pyrope, grossular and spessartine, (..., 4), adding up to 1.

    Returns
    -------
    dict
        Oxide -> wt%, (...).
    """
    site = 3 * fractions * _X_SITE
    total = site.sum(axis=-1) + sum(_FRAMEWORK.values())
    found = {oxide: 100 * weight / total for oxide, weight in _FRAMEWORK.items()}
    return found | {oxide: 100 * site[..., k] / total for k, oxide in enumerate(OXIDES)}


def garnet_fractions(wt_percent: Any) -> Any:
    """Give fractions of almandine, pyrope, grossular and spessartine, (..., 4).

    Fe, Mg, Ca and Mn over their sum, all iron as Fe2+.

    Parameters
    ----------
    wt_percent
        Of FeO, MgO, CaO and MnO, (..., 4).
    """
    moles = garnet_moles(wt_percent)
    return moles / moles.sum(axis=-1, keepdims=True)


def garnet_moles(wt_percent: Any) -> Any:
    """Give moles of Fe, Mg, Ca and Mn in 100 g from wt% of FeO, MgO, CaO and MnO, (..., 4)."""
    return wt_percent / _X_SITE
