"""Default priors of mass transfer, each with its reason, and the geochemical immobility table."""

import numpy as np
import pandas as pd
from pymc_extras.prior import Prior

from petro_models.mass_transfer.logs import LogTable
from petro_models.priors import PriorSpecification

GEOCHEMICAL_IMMOBILITY: dict[str, float] = {
    **dict.fromkeys(["Al", "Ti", "Zr", "Hf", "Nb", "Ta", "Th", "Sc", "V", "Cr", "Y", "Ga"], 0.7),
    **dict.fromkeys(["Dy", "Ho", "Er", "Tm", "Yb", "Lu"], 0.7),
    **dict.fromkeys(["Si", "P", "Fe", "Tb", "Gd", "Ni", "Co"], 0.4),
}
"""Prior probability of immobility by cation; 0.2 for an element that is not listed.

High-field-strength elements, Al, Sc, V, Cr and heavy rare earths: usually immobile in aqueous
fluids of low to medium grade (MacLean & Kranidiotis 1987, Econ. Geol. 82, 951-962; Ague 2017,
Geochem. Geophys. Geosyst. 18, 2231-2255). A table to edit, not a law.
"""
OTHERWISE_MOBILE = 0.2


def cation(species: str) -> str:
    """Give the element symbol that a species starts with (``Al2O3`` -> ``Al``)."""
    return species[:2] if len(species) > 1 and species[1].islower() else species[:1]


def geochemical_immobility(species: list[str]) -> pd.Series:
    """Give an editable table of prior probabilities of immobility for a rock table's species.

    Examples
    --------
    >>> geochemical_immobility(["Al2O3", "K2O"]).to_dict()
    {'Al2O3': 0.7, 'K2O': 0.2}
    """
    values = [GEOCHEMICAL_IMMOBILITY.get(cation(name), OTHERWISE_MOBILE) for name in species]
    return pd.Series(values, index=species, name="immobile_probability")


def specifications(
    logs: LogTable, mobility: str, mass_change: str
) -> dict[str, PriorSpecification]:
    """Give every quantity of the model that is declared for these choices."""
    return {
        **_mass_change(logs, mass_change),
        **_protolith(logs),
        **_shared_error(logs),
        **_mobility(mobility),
    }


def _mass_change(logs: LogTable, structure: str) -> dict[str, PriorSpecification]:
    meaning = "mass change m = ln(M/M0)"
    if structure == "trend":
        span = float(logs.separation.max())
        return {
            "mass_change_mean": PriorSpecification(
                Prior("Normal", mu=0, sigma=0.5),
                (),
                "mean of ln(M/M0) along the traverse",
                "M/M0 from 0.4 to 2.7 with 95 %: most altered rocks",
            ),
            "trend_scale": PriorSpecification(
                Prior("HalfNormal", sigma=0.5),
                (),
                "sd of the smooth part of ln(M/M0)",
                "as wide as the prior of a single sample",
                support="positive",
            ),
            "trend_length": PriorSpecification(
                Prior("InverseGamma", alpha=3.0, beta=round(0.6 * span, 6)),
                (),
                "distance over which the trend forgets, unit of distance",
                "around 0.3 of the traverse; neither between samples nor beyond its ends",
                support="positive",
            ),
            "mass_change_scatter": PriorSpecification(
                Prior("HalfNormal", sigma=0.2),
                (),
                "sd of single samples about the trend",
                "samples differ by some 20 % from their neighbours",
                support="positive",
            ),
        }
    if structure == "pooled":
        default = Prior(
            "Normal",
            mu=Prior("Normal", mu=0, sigma=0.5),
            sigma=Prior("HalfNormal", sigma=0.3),
            dims="sample",
        )
        reason = "samples of one alteration share a mean; their scatter is learned"
    else:
        default = Prior("Normal", mu=0, sigma=0.5, dims="sample")
        reason = "M/M0 from 0.4 to 2.7 with 95 %: most altered rocks"
    return {
        "mass_change": PriorSpecification(
            default, ("sample",), meaning, reason, required_dims=("sample",), may_be_known=False
        )
    }


def _shared_error(logs: LogTable) -> dict[str, PriorSpecification]:
    if not logs.has_shared_error:
        return {}
    return {
        "shared_error": PriorSpecification(
            Prior("Normal", mu=0, sigma=1, dims="shared_shape"),
            ("shared_shape",),
            "error that analyses share, in standard deviations of each shape",
            "as calibration and modes of the map leave it; 0 forgets it",
        )
    }


def _protolith(logs: LogTable) -> dict[str, PriorSpecification]:
    uncertain = logs.protolith_has_information
    several = len(logs.coords["protolith"]) > 1
    return {
        "protolith_offset": PriorSpecification(
            Prior("Normal", mu=0, sigma=1, dims="element") if uncertain else 0.0,
            ("element",),
            "ln(true mean of the protolith / mean of its analyses)",
            "wide: the analyses decide"
            if uncertain
            else "one analysis without stated errors is taken as exact",
        ),
        "protolith_spread": PriorSpecification(
            Prior("LogNormal", mu=round(float(np.log(0.1)), 4), sigma=0.8, dims="element")
            if several
            else 0.0,
            ("element",),
            "natural spread of the protolith (sd of ln C)",
            "3 to 40 %, as fresh rocks of one unit vary"
            if several
            else "one analysis says nothing of the spread: the tolerance stands for it",
            "Fisher et al. (2017), Earth Surf. Process. Landforms 42, 2457-2468" if several else "",
            support="nonnegative",
        ),
        "protolith_dilution": PriorSpecification(
            Prior("Normal", mu=0, sigma=0.1, dims="protolith") if several else 0.0,
            ("protolith",),
            "ln(concentration in one protolith analysis / their mean), common to all elements",
            "10 %: fresh rocks differ by quartz, carbonate or water that dilutes all else alike"
            if several
            else "one analysis: nothing to compare",
        ),
        "tolerance": PriorSpecification(
            0.03,
            (),
            "how far an immobile element may move and still count as one (sd of ln C)",
            "3 %: the usual error of whole-rock analyses",
            support="positive",
        ),
    }


def _mobility(mobility: str) -> dict[str, PriorSpecification]:
    return {
        "spike_and_slab": _spike_and_slab,
        "coherent_spike_and_slab": _coherent_spike_and_slab,
        "horseshoe": _horseshoe,
        "student_t": _student_t,
        "group_bridge": _group_bridge,
    }[mobility]()


def _spike_and_slab() -> dict[str, PriorSpecification]:
    return {
        "immobile_probability": PriorSpecification(
            0.4,
            ("element",),
            "prior probability of being immobile in all samples",
            "flat over elements; replace by geochemical_immobility()",
            support="probability",
        ),
        "mobility_shift_scale": PriorSpecification(
            0.0,
            ("element",),
            "scale of the mean mobility, over the samples, of a mobile element (sd of ln ratio)",
            "0: a mobile element moves in each sample on its own",
            support="nonnegative",
        ),
        "mobility_scale": PriorSpecification(
            0.7,
            ("element",),
            "scale of the mobility x of a mobile element (sd of ln mass ratio)",
            "gains and losses of a factor of two are common, of ten are rare",
            support="positive",
        ),
    }


def _coherent_spike_and_slab() -> dict[str, PriorSpecification]:
    return {
        "immobile_probability": PriorSpecification(
            Prior("Beta", alpha=2, beta=3),
            ("element",),
            "prior probability of being immobile in all samples, one for all elements",
            "mean 0.4, learned from the elements",
            support="probability",
        ),
        "mobility_shift_scale": PriorSpecification(
            0.7,
            ("element",),
            "scale of the mean mobility, over the samples, of a mobile element (sd of ln ratio)",
            "gains and losses of a factor of two are common, of ten are rare",
            support="nonnegative",
        ),
        "mobility_scale": PriorSpecification(
            Prior("LogNormal", mu=-1.0, sigma=0.7, dims="element"),
            ("element",),
            "scatter of the mobility of a mobile element about its mean (sd of ln mass ratio)",
            "0.1 to 1.2: from a steady loss to a patchy one",
            support="positive",
        ),
    }


def _horseshoe() -> dict[str, PriorSpecification]:
    return {
        "global_scale": PriorSpecification(
            Prior("HalfNormal", sigma=0.3),
            (),
            "mobility that all elements share",
            "about half of the elements move",
            support="positive",
        ),
        "local_scale": PriorSpecification(
            Prior("HalfStudentT", nu=3, sigma=1, dims="element"),
            ("element",),
            "how much more one element moves than all",
            "a heavy tail lets single elements move; t with 3 degrees of freedom mixes where the "
            "half-Cauchy diverges",
            "Piironen & Vehtari (2017), Electron. J. Stat. 11, 5018-5051",
            support="positive",
        ),
        "slab_scale": PriorSpecification(
            1.0,
            (),
            "largest credible mobility (sd of ln mass ratio)",
            "a factor of e",
            support="positive",
        ),
    }


def _student_t() -> dict[str, PriorSpecification]:
    return {
        "mobility_scale": PriorSpecification(
            Prior("HalfNormal", sigma=0.5),
            (),
            "scale of the mobility x of all elements (sd of ln mass ratio)",
            "learned: half of the elements lie within it",
            support="positive",
        ),
        "mobility_precision": PriorSpecification(
            Prior("Gamma", alpha=1.0, beta=1.0, dims="element"),
            ("element",),
            "relative precision of each element's mobility (Gamma(nu/2, nu/2) makes it t_nu)",
            "two degrees of freedom: heavy tails",
            support="positive",
        ),
    }


def _group_bridge() -> dict[str, PriorSpecification]:
    return {
        "mobility_scale": PriorSpecification(
            Prior("LogNormal", mu=round(float(np.log(0.4)), 4), sigma=0.5),
            (),
            "typical mobility of an element (root mean square of x over samples)",
            "0.2 to 0.9: gains and losses of a factor of two are common",
            support="positive",
        )
    }
