"""GASP, the one-mineral thermometers and inclusions, with ranges, errors and checks."""

from collections.abc import Callable

from petro_models.thermodynamics import elastic, gasp, trace_elements
from petro_models.thermodynamics.calibration import Array, Barometer, Limit
from petro_models.thermodynamics.calibrations_exchange import biotite, garnet

_QUARTZ = {
    "quartz_Ti_ppm": "Ti in quartz, ppm by mass",
    "TiO2_activity": "activity of TiO2, 1 with rutile",
}
_RUTILE = {"rutile_Zr_ppm": "Zr in rutile with zircon and a silica phase, ppm by mass"}


def _gasp(polymorph: str, equation: Callable[..., Array], verification: str) -> Barometer:
    return Barometer(
        name=f"gasp_koziol_1989_{polymorph}",
        measures="pressure",
        equation=equation,
        inputs=garnet("X_prp", "X_alm", "X_grs")
        | {"plagioclase_X_an": "plagioclase Ca / (Ca + Na + K)"},
        temperature_range_C=(650.0, 1250.0),
        pressure_range_kbar=(0.0, 28.0),
        error="not stated; the family of GASP barometers is quoted at about 0.8 kbar",
        sd_pressure_kbar=0.8,
        reference="Koziol (1989), EOS 70, 493; Koziol & Newton (1988), Am. Mineral. 73, 216-223",
        evidence="another program",
        verification=verification,
    )


def _tomkins(field: str, equation: Callable[..., Array]) -> Barometer:
    return Barometer(
        name=f"zr_in_rutile_tomkins_2007_{field}",
        measures="temperature",
        equation=equation,
        inputs=dict(_RUTILE),
        temperature_range_C=(500.0, 1500.0),
        pressure_range_kbar=(0.0, 30.0),
        error="not at hand; 30 degC is taken",
        sd_temperature_C=30.0,
        reference="Tomkins et al. (2007), J. Metamorph. Geol. 25, 703-713",
        evidence="another program",
        verification=(
            "the constants agree with XMapTools; the equations meet within 4 degC where alpha "
            "turns into beta quartz and within 2 degC where quartz turns into coesite"
        ),
    )


def _kohn(field: str, equation: Callable[..., Array]) -> Barometer:
    return Barometer(
        name=f"zr_in_rutile_kohn_2020_{field}",
        measures="temperature",
        equation=equation,
        inputs=dict(_RUTILE),
        temperature_range_C=(470.0, 1500.0),
        pressure_range_kbar=(0.0, 40.0),
        error="about 15 degC, as quoted second-hand",
        sd_temperature_C=15.0,
        reference="Kohn (2020), Am. Mineral. 105, 963-971",
        evidence="another program",
        verification=(
            "the constants agree with XMapTools; the equations meet within 3 degC where quartz "
            "turns into coesite"
        ),
    )


_THOMAS = Barometer(
    name="ti_in_quartz_thomas_2010",
    measures="temperature",
    equation=trace_elements.ti_in_quartz_thomas_2010,
    inputs=dict(_QUARTZ),
    temperature_range_C=(700.0, 940.0),
    pressure_range_kbar=(5.0, 20.0),
    error=(
        "about 20 degC where P is known to 1 kbar (abstract); 0.1 in the activity costs 20-35 degC"
    ),
    sd_temperature_C=20.0,
    reference="Thomas et al. (2010), Contrib. Mineral. Petrol. 160, 743-759",
    evidence="printed value",
    verification=(
        "the equation of the abstract, and its sensitivities: 1 kbar is worth about 20 degC and "
        "25 degC about 1.2 kbar"
    ),
)
_OSBORNE = Barometer(
    name="ti_in_quartz_osborne_2022",
    measures="temperature",
    equation=trace_elements.ti_in_quartz_osborne_2022,
    inputs=dict(_QUARTZ),
    temperature_range_C=(550.0, 1050.0),
    pressure_range_kbar=(2.0, 30.0),
    limits=(Limit("Ti in quartz (ppm)", ("quartz_Ti_ppm",), lambda Ti: Ti, 8.0, 1971.0),),
    error="21 degC at 700 degC from the fit alone (p. 12)",
    sd_temperature_C=21.0,
    reference="Osborne et al. (2022), Contrib. Mineral. Petrol. 177, 31, eq. 8",
    evidence="printed value",
    verification="the worked example of p. 12: 100 ppm, 7.49 kbar and a_TiO2 = 1 give 700 degC",
)
_HENRY = Barometer(
    name="ti_in_biotite_henry_2005",
    measures="temperature",
    equation=trace_elements.ti_in_biotite_henry_2005,
    residual_units="1 (ln Ti)",
    inputs={"biotite_Ti_22O": "Ti per 22 oxygens of biotite"}
    | biotite("Mg")
    | {"biotite_Fe": "total Fe per formula of biotite"},
    temperature_range_C=(480.0, 800.0),
    pressure_range_kbar=(4.0, 6.0),
    limits=(
        Limit(
            "biotite Mg number",
            ("biotite_Mg", "biotite_Fe"),
            lambda Mg, Fe: Mg / (Mg + Fe),
            0.275,
            1.0,
        ),
        Limit("Ti per 22 oxygens", ("biotite_Ti_22O",), lambda Ti: Ti, 0.04, 0.60),
    ),
    error=(
        "24, 23 and 12 degC below 600, below 700 and below 800 degC (p. 319); graphitic "
        "peraluminous pelites with ilmenite or rutile"
    ),
    sd_temperature_C=24.0,
    reference="Henry et al. (2005), Am. Mineral. 90, 316-328, eq. 2",
    evidence="another program",
    verification=("the constants agree with thermobaroMin4EPMA; no printed value was at hand"),
)
_WU_CHEN = Barometer(
    name="ti_in_biotite_wu_chen_2015",
    measures="temperature",
    equation=trace_elements.ti_in_biotite_wu_chen_2015,
    residual_units="1 (ln degC)",
    inputs=biotite("Mg")
    | {"biotite_Fe": "total Fe per formula of biotite"}
    | biotite("AlVI", "Ti"),
    temperature_range_C=(450.0, 840.0),
    pressure_range_kbar=(1.0, 19.0),
    limits=(
        Limit(
            "biotite Ti share",
            ("biotite_Ti", "biotite_Mg", "biotite_Fe", "biotite_AlVI"),
            lambda Ti, Mg, Fe, Al: Ti / (Ti + Mg + 0.884 * Fe + Al),
            0.02,
            0.14,
        ),
    ),
    error="65 degC random; 72 % of the calibrants within 50 degC of garnet-biotite",
    sd_temperature_C=65.0,
    reference="Wu & Chen (2015), Sci. Bull. 60, 116-121, eq. 3",
    evidence="printed equation",
    verification="the equation that the abstract prints",
)
_QUARTZ_IN_GARNET = Barometer(
    name="quartz_in_garnet",
    measures="pressure",
    equation=elastic.entrapment_line,
    residual_units="kbar",
    inputs={
        "intercept_kbar": "pressure of the inclusion's isomeke at 0 degC, kbar",
        "slope_kbar_per_C": "slope of the isomeke, kbar per degC",
    },
    temperature_range_C=(400.0, 850.0),
    pressure_range_kbar=(0.0, 30.0),
    error=(
        "entrapment pressures within about 10 % (Thomas & Spear 2018) or 2 kbar (Bonazzi et al. "
        "2019) in experiments; inclusions can reset when hot"
    ),
    sd_pressure_kbar=0.75,
    sd_pressure_relative=0.10,
    reference="the user's isomeke; Thomas & Spear (2018), Contrib. Mineral. Petrol. 173, 42",
    evidence="printed equation",
    verification="a straight line: nothing to look up",
)
_GASP_KYANITE = (
    "pure phases give the published curve P = 22.80 t - 1093 bar (abstract of Koziol & Newton "
    "1988); PET prints 2928.187 to 9353.181 bar from 400 to 700 degC"
)
_GASP_SILLIMANITE = (
    "the activities are those of kyanite's barometer, which PET confirms; the end-member curves "
    "put kyanite = sillimanite at 6.06 kbar, 600 degC and 8.17 kbar, 700 degC, where it is"
)

CALIBRATIONS = (
    _gasp("kyanite", gasp.gasp_koziol_1989_kyanite, _GASP_KYANITE),
    _gasp("sillimanite", gasp.gasp_koziol_1989_sillimanite, _GASP_SILLIMANITE),
    _tomkins("alpha_quartz", trace_elements.zr_in_rutile_tomkins_2007_alpha_quartz),
    _tomkins("beta_quartz", trace_elements.zr_in_rutile_tomkins_2007_beta_quartz),
    _tomkins("coesite", trace_elements.zr_in_rutile_tomkins_2007_coesite),
    _kohn("quartz", trace_elements.zr_in_rutile_kohn_2020_quartz),
    _kohn("coesite", trace_elements.zr_in_rutile_kohn_2020_coesite),
    _THOMAS,
    _OSBORNE,
    _HENRY,
    _WU_CHEN,
    _QUARTZ_IN_GARNET,
)
