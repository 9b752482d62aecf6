"""Oxide weights of an ideal formula: for phases that no spot was measured on."""

import re

from petro_models.errors import DataError

ATOMIC_WEIGHTS: dict[str, float] = {
    "H": 1.008, "Li": 6.94, "B": 10.81, "C": 12.011, "O": 15.999, "F": 18.998, "Na": 22.990,
    "Mg": 24.305, "Al": 26.982, "Si": 28.085, "P": 30.974, "S": 32.06, "Cl": 35.45, "K": 39.098,
    "Ca": 40.078, "Sc": 44.956, "Ti": 47.867, "V": 50.942, "Cr": 51.996, "Mn": 54.938,
    "Fe": 55.845, "Co": 58.933, "Ni": 58.693, "Cu": 63.546, "Zn": 65.38, "Rb": 85.468,
    "Sr": 87.62, "Y": 88.906, "Zr": 91.224, "Nb": 92.906, "Ba": 137.327, "La": 138.905,
    "Ce": 140.116, "Nd": 144.242, "Th": 232.038, "U": 238.029,
}  # fmt: skip
"""Standard atomic weights (IUPAC 2021, abridged to five digits)."""

OXIDE_OF: dict[str, tuple[str, float]] = {
    "Si": ("SiO2", 2), "Ti": ("TiO2", 2), "Al": ("Al2O3", 1.5), "Fe": ("FeO", 1),
    "Mn": ("MnO", 1), "Mg": ("MgO", 1), "Ca": ("CaO", 1), "Na": ("Na2O", 0.5), "K": ("K2O", 0.5),
    "P": ("P2O5", 2.5), "Cr": ("Cr2O3", 1.5), "Ni": ("NiO", 1), "Zn": ("ZnO", 1),
    "Ba": ("BaO", 1), "Sr": ("SrO", 1), "Zr": ("ZrO2", 2), "V": ("V2O3", 1.5),
    "S": ("SO3", 3), "C": ("CO2", 2), "H": ("H2O", 0.5), "Ce": ("Ce2O3", 1.5),
    "Y": ("Y2O3", 1.5), "La": ("La2O3", 1.5), "Nd": ("Nd2O3", 1.5), "Th": ("ThO2", 2),
    "U": ("UO2", 2), "Li": ("Li2O", 0.5), "B": ("B2O3", 1.5),
}  # fmt: skip
"""The oxide in which an element is reported, and its oxygens per cation."""


def oxide_weights(formula: str) -> dict[str, float]:
    """Give wt% of oxides of a formula such as ``SiO2`` or ``KAl2(AlSi3O10)(OH)2``.

    Raises
    ------
    DataError
        If the text is no formula, or an element has no usual oxide.

    Examples
    --------
    >>> round(oxide_weights("Mg2SiO4")["MgO"], 1)
    57.3
    """
    atoms = _atoms(formula)
    unknown = [e for e in atoms if e not in ATOMIC_WEIGHTS or (e not in OXIDE_OF and e != "O")]
    if unknown or "O" not in atoms or len(atoms) < 2:
        reason = f"no usual oxide of {', '.join(unknown)}" if unknown else "not an oxide's formula"
        raise DataError(f"formula '{formula}': {reason}; give {{oxide: wt%}} instead")
    weights = {}
    for element, number in atoms.items():
        if element == "O":
            continue
        oxide, oxygens = OXIDE_OF[element]
        weights[oxide] = number * (ATOMIC_WEIGHTS[element] + oxygens * ATOMIC_WEIGHTS["O"])
    total = sum(number * ATOMIC_WEIGHTS[element] for element, number in atoms.items())
    return {oxide: 100 * weight / total for oxide, weight in weights.items()}


def _atoms(formula: str) -> dict[str, float]:
    """Count atoms, brackets resolved from the inside."""
    token = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)|(\()|(\))(\d*\.?\d*)")
    stack: list[dict[str, float]] = [{}]
    position = 0
    while position < len(formula):
        match = token.match(formula, position)
        if match is None or (match[4] and len(stack) == 1):
            raise DataError(f"formula '{formula}' cannot be read at '{formula[position:]}'")
        position = match.end()
        if match[3]:
            stack.append({})
        elif match[4]:
            group = stack.pop()
            for element, number in group.items():
                stack[-1][element] = stack[-1].get(element, 0) + number * float(match[5] or 1)
        else:
            stack[-1][match[1]] = stack[-1].get(match[1], 0) + float(match[2] or 1)
    if len(stack) != 1 or not formula:
        raise DataError(f"formula '{formula}' has an open bracket or is empty")
    return stack[0]
