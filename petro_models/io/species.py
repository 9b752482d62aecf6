"""Names of chemical species, their units, and what a column header says about them."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from petro_models.errors import DataError, nearest

UNITS = ("wt%", "ppm", "ppb")
"""The units a concentration may have."""

PARTS_PER_BILLION = {"wt%": 1e7, "ppm": 1e3, "ppb": 1.0}
"""How many ppb one of each unit is."""

Role = Literal["species", "absolute error", "relative error", "loss on ignition", "total", "other"]


@dataclass(frozen=True)
class Header:
    """What one column header says.

    `species` is the canonical name, `unit` the unit the header states (or None), `sigmas` the
    number of standard deviations an error column holds, `note` what was decided in reading it.
    """

    role: Role
    species: str = ""
    unit: str | None = None
    sigmas: float = 1.0
    note: str = ""


def read_header(text: str) -> Header:
    """Read a column header such as ``SiO2``, ``Zr (ug/g)``, ``Zr_ppm_2s`` or ``Zr_rsd%``.

    Raises
    ------
    DataError
        If the header looks like a misspelt species (``Si02``), or names a species with a unit or
        an error that is not known.

    Examples
    --------
    >>> read_header("SiO2 [wt.%]").unit
    'wt%'
    """
    clean = unicodedata.normalize("NFKC", text).strip()
    special = _volatile_or_total(clean)
    if special is not None:
        return special
    found = _leading_species(clean)
    if found is None:
        _refuse_misspelling(text, clean)
        return Header("other")
    species, written, rest = found
    header = _read_suffix(text, species, rest)
    # 'y', 'n' or 's' alone is seldom an element: only the proper capital or a unit makes it one.
    if len(written) == 1 and written != species and header.unit is None:
        return Header("other")
    if header.role != "other" and written != species and not _is_iron_spelling(written):
        note = f"column {text.strip()!r} read as {species}"
        return Header(header.role, header.species, header.unit, header.sigmas, note)
    return header


def looks_like_species(text: str) -> bool:
    """Whether a header names a species, rightly spelt or nearly so."""
    try:
        return read_header(text).role in ("species", "absolute error", "relative error")
    except DataError:
        return True


def unit_of(text: str) -> str | None:
    """Give the unit that a spelling such as 'wt.%' or 'µg/g' stands for, or None."""
    return _UNIT_SPELLINGS.get(_compact(unicodedata.normalize("NFKC", text)))


def canonical_unit(text: str, where: str) -> str:
    """Give the unit that a spelling stands for; `where` opens the message when it is unknown."""
    unit = unit_of(str(text))
    if unit is None:
        raise DataError(
            f"{where}: {str(text)!r} is not a unit known here; {nearest(str(text), UNITS)} "
            "(wt.%, ug/g, mg/kg, g/t and ng/g are understood too)."
        )
    return unit


def canonical_species(name: str, allowed: Iterable[str], where: str) -> str:
    """Find `name` among the species of a table, whatever its capitals; else say which is near."""
    choices = list(allowed)
    if name in choices:
        return name
    for choice in choices:
        if choice.casefold() == str(name).casefold():
            return choice
    raise DataError(f"{where}: {name!r} is not a species of this table; {nearest(name, choices)}.")


def settle_units(
    own: Mapping[str, str | None], stated: str | Mapping[str, str] | None, where: str
) -> tuple[dict[str, str], list[str]]:
    """Join the units found beside the data with those the caller states.

    Parameters
    ----------
    own
        Species -> unit written in the table, or None.
    stated
        One unit for every species without its own, or a mapping species -> unit.
    where
        Opens the error messages (file name).

    Returns
    -------
    Species -> unit, and notes on where units came from.

    Raises
    ------
    DataError
        For a species without a unit, an unknown unit, or two units for one species.
    """
    given = _stated_units(own, stated, where)
    units: dict[str, str] = {}
    for species, unit in own.items():
        claim = given.get(species)
        if unit and claim and unit != claim and not isinstance(stated, str):
            raise DataError(
                f"{where}: {species} is in {unit} by the table and in {claim} by the argument "
                "units; take one of the two away."
            )
        if unit or claim:
            units[species] = unit or claim or ""
    lacking = [species for species in own if species not in units]
    if lacking:
        raise DataError(
            f"{where}: no unit is stated for {', '.join(lacking)}. Write it in the header "
            f"('{lacking[0]} ppm'), in a row of units below it, or pass "
            f"units={{'{lacking[0]}': 'ppm'}} (or one unit for all, units='wt%'); "
            f"if it is not an analysis, pass ignore=['{lacking[0]}']. Allowed: {', '.join(UNITS)}"
        )
    by_argument = [species for species, unit in own.items() if not unit]
    notes = [f"units of {', '.join(by_argument)} given by the caller"] if by_argument else []
    return units, notes


def element_of(species: str) -> str | None:
    """Give the chemical element a species measures, 'Al' for 'Al2O3'; None for unknown names."""
    return _ELEMENT_OF.get(species)


def repeated_elements(species: Iterable[str]) -> dict[str, list[str]]:
    """Find elements measured by more than one species (bound and free water may stand together)."""
    by_element: dict[str, list[str]] = {}
    for name in species:
        element = element_of(name)
        if element is not None:
            by_element.setdefault(element, []).append(name)
    if set(by_element.get("H", [])) == {"H2O+", "H2O-"}:
        del by_element["H"]
    return {element: names for element, names in by_element.items() if len(names) > 1}


def _stated_units(
    own: Mapping[str, str | None], stated: str | Mapping[str, str] | None, where: str
) -> dict[str, str]:
    """Spread the caller's units over the species of the table."""
    if stated is None:
        return {}
    if isinstance(stated, str):
        unit = canonical_unit(stated, f"{where}, argument units")
        return dict.fromkeys(own, unit)
    place = f"{where}, argument units"
    return {
        canonical_species(name, own, place): canonical_unit(unit, f"{place}[{name!r}]")
        for name, unit in stated.items()
    }


def _volatile_or_total(clean: str) -> Header | None:
    """Recognise loss on ignition and analytical totals, with or without a unit."""
    name = _compact(clean)
    for words, role in ((_LOSS, "loss on ignition"), (_TOTALS, "total")):
        for word in words:
            rest = name.removeprefix(word) if name.startswith(word) else "?"
            if rest == "" or rest in _UNIT_SPELLINGS:
                species = "LOI" if role == "loss on ignition" else "Total"
                return Header(role, species, _UNIT_SPELLINGS.get(rest))  # type: ignore[arg-type]
    return None


def _leading_species(clean: str) -> tuple[str, str, str] | None:
    """Split a header into (canonical species, the name as written, the rest)."""
    match = re.match(r"([A-Za-z][A-Za-z0-9]*[*+\-]?)(.*)$", clean, re.DOTALL)
    if match is None:
        return None
    name, rest = match.groups()
    if name[-1] in "*+-" and _resolve(name) is None:
        name, rest = name[:-1], name[-1] + rest
    species = _resolve(name)
    if species is not None:
        return species, name, rest
    # 'Zrppm' and 'SiO2wt%': the unit stands right behind the name.
    for length in range(len(name) - 1, 0, -1):
        glued = _compact(name[length:] + rest)
        if name[:length] in _ELEMENT_OF and glued in _UNIT_SPELLINGS:
            return name[:length], name[:length], name[length:] + rest
    return None


def _resolve(name: str) -> str | None:
    """Give the canonical species for a name in any capitals, or None."""
    if name in _ELEMENT_OF:
        return name
    return _BY_FOLDED_NAME.get(name.casefold())


def _read_suffix(text: str, species: str, rest: str) -> Header:
    """Read what follows the species name: total iron, a unit, an error, or nothing."""
    suffix = _compact(rest)
    if species in ("FeO", "Fe2O3") and rest[:1] != "/":
        total = re.match(r"(total|tot|t|\*)(.*)$", suffix)
        if total is not None:
            species, suffix = f"{species}T", total.group(2)
    if suffix == "" or suffix in _UNIT_SPELLINGS:
        return Header("species", species, _UNIT_SPELLINGS.get(suffix))
    header = _read_error_suffix(text, species, suffix)
    if header is not None:
        return header
    separated = rest[0] in " _([,-\t"
    if not separated or (len(species) == 1 and rest[0] not in "(["):
        return Header("other")  # a ratio, a sum, 'F test': not a column of this species
    raise DataError(
        f"column {text.strip()!r}: {rest.strip(' _()[],-')!r} after {species} is neither a unit "
        f"nor an error; {nearest(rest.strip(' _()[],-'), [*UNITS, '1s', '2s', 'rsd%'])}. Rename "
        f"the column, or leave it out with ignore=[{text.strip()!r}]."
    )


def _read_error_suffix(text: str, species: str, suffix: str) -> Header | None:
    """Recognise the suffixes of error columns."""
    relative = _RELATIVE_ERROR.fullmatch(suffix)
    absolute = _ABSOLUTE_ERROR.fullmatch(suffix)
    vague = relative is not None and "%" not in suffix
    if absolute is not None and "%" in (absolute["before"], absolute["after"]):
        vague = True
    if vague:
        raise DataError(
            f"column {text.strip()!r}: percent of what? Name relative errors '{species}_rsd%' "
            f"(percent of the value) and absolute ones '{species}_1s' (in the unit of {species}), "
            f"or leave the column out with ignore=[{text.strip()!r}]."
        )
    if relative is not None:
        return Header("relative error", species, None, float(relative["sigmas"] or 1))
    if absolute is not None:
        unit = _UNIT_SPELLINGS.get(absolute["before"] or absolute["after"])
        return Header("absolute error", species, unit, float(absolute["sigmas"] or 1))
    return None


def _refuse_misspelling(text: str, clean: str) -> None:
    """Raise if a header that names no species is a near miss of one: 'Si02', 'AI2O3', 'TiO_2'."""
    parts = [part for part in re.split(r"[\s_()\[\],-]+", clean) if part]
    for candidate in ("".join(parts[:1]), "".join(parts[:2])):
        meant = _BY_LOOK.get(_look(candidate))
        oxide_like = re.fullmatch(r"([A-Z][A-Za-z]?)\d?[O0]\d?", candidate)
        known = oxide_like and oxide_like[1].capitalize() in _ELEMENT_SET and len(candidate) > 2
        if meant is not None or known:
            alike = [oxide for oxide in _OXIDES if oxide_like and oxide.startswith(oxide_like[1])]
            hint = f"did you mean {meant!r}?" if meant else f"{nearest(candidate, alike)}."
            raise DataError(
                f"column {text.strip()!r} looks like a misspelt species: {hint} Correct the "
                f"header, or leave the column out with ignore=[{text.strip()!r}]."
            )


def _look(name: str) -> str:
    """Fold the characters that eyes and scanners confuse: 0 and O; 1, I and l."""
    return name.casefold().translate(str.maketrans("01i", "oll"))


def _compact(text: str) -> str:
    """Strip the punctuation people put around units: ' (wt. %)' -> 'wt%'."""
    return re.sub(r"[\s_.,:()\[\]\-]+", "", text.casefold())


def _is_iron_spelling(written: str) -> bool:
    """Whether a name is one of the usual spellings of total iron (no note is needed)."""
    return written in _IRON_SPELLINGS or written in ("FeO", "Fe2O3")


def _words(text: str) -> list[str]:
    """Split a list written as one string, to keep the tables below readable."""
    return text.split()


_UNIT_SPELLINGS = {
    **dict.fromkeys(
        _words(
            "wt% wt wtpct wtpercent weight% weightpercent mass% masspercent % pct percent g/100g"
        ),
        "wt%",
    ),
    **dict.fromkeys(_words("ppm ug/g μg/g mcg/g mg/kg g/t g/tonne"), "ppm"),
    **dict.fromkeys(_words("ppb ng/g ug/kg μg/kg mg/t"), "ppb"),
}
_LOSS = ("lossonignition", "loi")
_TOTALS = ("oxidetotal", "totaloxides", "totals", "total", "sum")
_UNIT_PATTERN = "|".join(sorted(map(re.escape, _UNIT_SPELLINGS), key=len, reverse=True))
_ABSOLUTE_ERROR = re.compile(
    rf"(?P<before>{_UNIT_PATTERN})?(?:±|\+/)?(?:(?P<sigmas>[12])(?:sigma|σ|stdev|std|sd|se|s)"
    rf"|(?:sigma|σ|stdev|std|sd|se|error|err|uncertainty|unc))(?P<after>{_UNIT_PATTERN})?"
)
_RELATIVE_ERROR = re.compile(r"%?(?P<sigmas>[12])?(?:rsd|relsd|relerror|relerr|relative|rel)%?")

_ELEMENTS = _words(
    "H Li Be B C N F Na Mg Al Si P S Cl K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Rb Sr Y "
    "Zr Nb Mo Ru Rh Pd Ag Cd In Sn Sb Te I Cs Ba La Ce Pr Nd Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta "
    "W Re Os Ir Pt Au Hg Tl Pb Bi Th U"
)
_ELEMENT_SET = set(_ELEMENTS)
_OXIDES = _words(
    "SiO2 TiO2 Al2O3 Fe2O3 FeO MnO MgO CaO Na2O K2O P2O5 H2O CO2 SO3 SO2 Cr2O3 V2O3 V2O5 NiO CoO "
    "CuO ZnO SrO BaO Li2O Rb2O Cs2O ZrO2 HfO2 Nb2O5 Ta2O5 WO3 MoO3 ThO2 UO2 U3O8 MnO2 Mn3O4 B2O3 "
    "BeO Ga2O3 GeO2 As2O3 As2O5 SnO2 Sb2O3 PbO Bi2O3 Sc2O3 Y2O3 La2O3 Ce2O3 CeO2 Pr2O3 Pr6O11 "
    "Nd2O3 Sm2O3 Eu2O3 Gd2O3 Tb2O3 Tb4O7 Dy2O3 Ho2O3 Er2O3 Tm2O3 Yb2O3 Lu2O3"
)
_IRON_SPELLINGS = _words(
    "FeOT FeOt FeO* FeOtot FeOTot FeOtotal Fe2O3T Fe2O3t Fe2O3* Fe2O3tot Fe2O3Tot Fe2O3total"
)
_ELEMENT_OF = {
    **{symbol: symbol for symbol in _ELEMENTS},
    **{oxide: re.match("[A-Z][a-z]?", oxide)[0] for oxide in _OXIDES},  # type: ignore[index]
    **dict.fromkeys(_IRON_SPELLINGS, "Fe"),
    "H2O+": "H",
    "H2O-": "H",
}
# Reversed, so that the first of several spellings (FeOT before FeOt) wins.
_BY_FOLDED_NAME = {name.casefold(): name for name in reversed(_ELEMENT_OF)} | {
    "tfeo": "FeOT",
    "tfe2o3": "Fe2O3T",
}
_BY_LOOK = {_look(oxide): oxide for oxide in reversed(_OXIDES)}
