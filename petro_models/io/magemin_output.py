"""Read garnet from the text files of MAGEMin: pseudosection, THERMOCALC-like and Matlab output.

The layouts are those that MAGEMin 1.x and 2.x write into its folder ``output``:
``_pseudosection_output.txt`` (``--Verb=0``), ``_thermocalc_style_output.txt`` (``--Verb=1``) and
``_matlab_output.txt`` (``--out_matlab=1``). Melt counts as solid, fluid does not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from petro_models.errors import FormatError
from petro_models.io.equilibrium_grid import Points, read_text, table_from_points

GARNETS = ("g", "gt", "grt")
FLUIDS = ("H2O", "fl")
# End-member -> component of the X site and molar mass (g/mol).
END_MEMBERS = {
    "py": ("prp", 403.13),
    "alm": ("alm", 497.75),
    "spss": ("sps", 495.03),
    "gr": ("grs", 450.45),
    "kho": ("prp", 460.84),  # Mg3Fe2Si3O12
    "andr": ("grs", 508.18),
}
_ORDER = ("alm", "prp", "grs", "sps")
_TITLE = re.compile(r"\{\s*(\S+?)\s*,\s*(\S+?)\s*\}\s*kbar/")
_SIGNED = re.compile(r"[+-](?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf)", re.IGNORECASE)


@dataclass
class _Node:
    """One minimisation as it is read."""

    pressure_kbar: float
    temperature_C: float
    line: int
    converged: bool = True
    volumes: list[float] = field(default_factory=list)
    garnets: list[tuple[float, dict[str, float]]] = field(default_factory=list)


def read_magemin(path: str | Path) -> xr.Dataset:
    """Read a grid of minimisations.

    Points whose status is not 0 have no result (NaN everywhere); of two coexisting garnets the
    more abundant one is taken; both are counted in ``attrs["notes"]``.

    Raises
    ------
    FormatError
        If a line is not as MAGEMin writes it (the message names the line), or garnet has an
        end-member that is not known.
    DataError
        If the points do not fill a grid, or have no garnet.
    """
    name, lines = read_text(path)
    return table_from_points(magemin_points(lines, name), name, "MAGEMin")


def magemin_points(lines: list[str], source: str) -> Points:
    """Give the single results in one of MAGEMin's files, in the order they stand."""
    blocks = any(_TITLE.search(line) for line in lines)
    nodes = list(_read_blocks(lines, source) if blocks else _read_pseudosection(lines, source))
    if not nodes:
        raise FormatError(f"{source}: holds no result of MAGEMin.")
    return _collect(nodes)


def _collect(nodes: list[_Node]) -> Points:
    fractions = np.full((len(nodes), 4), np.nan)
    mode = np.full(len(nodes), np.nan)
    failed = doubled = 0
    for k, node in enumerate(nodes):
        if not node.converged:
            failed += 1
            continue
        mode[k] = 0.0
        if node.garnets:
            doubled += len(node.garnets) > 1
            volume, members = max(node.garnets, key=lambda item: item[0])
            mode[k] = volume / sum(node.volumes)
            fractions[k] = [members[name] for name in _ORDER]
    notes = []
    if failed:
        notes.append(f"{failed} point(s) did not converge")
    if doubled:
        notes.append(f"{doubled} point(s) have two garnets; the more abundant one is taken")
    return Points(
        pressure_kbar=np.array([node.pressure_kbar for node in nodes]),
        temperature_C=np.array([node.temperature_C for node in nodes]),
        fractions=fractions,
        garnet_mode=mode,
        places=[f"line {node.line}" for node in nodes],
        notes=tuple(notes),
    )


def _read_pseudosection(lines: list[str], source: str) -> Iterator[_Node]:
    """Read ``number status P T G ...`` lines, each followed by one line per phase."""
    node: _Node | None = None
    for number, line in enumerate(lines, start=1):
        place = f"{source}, line {number}"
        words = line.split()
        if not words or line.startswith("//"):
            continue
        if _is_number(words[0]):
            if node is not None:
                yield node
            if len(words) < 6 or not all(map(_is_number, words[:6])):
                raise FormatError(
                    f"{place}: expected 'number status P[kbar] T[C] G ...', found {line[:40]!r}."
                )
            node = _Node(float(words[2]), float(words[3]), number, converged=words[1] == "0")
        elif node is None:
            raise FormatError(f"{place}: a phase stands before the first point.")
        else:
            _add_phase(node, words, place)
    if node is not None:
        yield node


def _add_phase(node: _Node, words: list[str], place: str) -> None:
    """Add one phase: name, mode, density, variables, end-members, oxides, weight fraction."""
    try:
        density, variables = float(words[2]), int(words[3])
        position = 4 + variables
        members = {}
        while not _is_number(words[position]):
            members[words[position]] = float(words[position + 1])
            position += 2
        position += 1 + 2 * int(words[position])
        weight = float(words[position])
        if len(words) != position + 1:
            raise ValueError("there are more entries than it announces")
    except (IndexError, ValueError) as error:
        raise FormatError(
            f"{place}: phase {words[0]!r} is not as MAGEMin writes it ({error}); the line may be "
            "cut off."
        ) from None
    _add_volume(node, words[0], weight / density, members, place)


def _read_blocks(lines: list[str], source: str) -> Iterator[_Node]:
    """Read blocks that open with ``names {P, T} kbar/°C``."""
    starts = [number for number, line in enumerate(lines) if _TITLE.search(line)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        title = _TITLE.search(lines[start])
        place = f"{source}, line {start + 1}"
        if title is None or not all(map(_is_number, title.groups())):
            raise FormatError(f"{place}: pressure and temperature are not numbers.")
        node = _Node(float(title[1]), float(title[2]), start + 1)
        block = lines[start:end]
        members = _block_members(block, start, source)
        for number, name, volume in _block_volumes(block, start, source):
            garnet = members.pop(0)[1] if _is_garnet(name) and members else {}
            _add_volume(node, name, volume, garnet, f"{source}, line {number}")
        if not node.volumes:
            raise FormatError(
                f"{place}: the point has no table 'Stable mineral assemblage'; the file may be cut "
                "off."
            )
        yield node


def _block_members(block: list[str], start: int, source: str) -> list[tuple[str, dict[str, float]]]:
    """Give the end-member fractions of each garnet in a block, in mol."""
    found: list[tuple[str, dict[str, float]]] = []
    for offset, line in enumerate(block):
        if not line.startswith("End-members fraction"):
            continue
        by_weight = "[wt fr]" in line
        for names, values in zip(block[offset + 1 :: 2], block[offset + 2 :: 2], strict=False):
            words = values.split()
            if not names.strip() or not words:
                break
            if not _is_garnet(words[0]):
                continue
            keys = [key for key in names.split() if key != "-"]
            numbers = [value for value in words[1:] if value != "-"]
            if len(keys) != len(numbers) or not all(map(_is_number, numbers)):
                raise FormatError(
                    f"{source}, line {start + offset + 1}: the end-members of {words[0]!r} and "
                    "their fractions do not match."
                )
            members = dict(zip(keys, map(float, numbers), strict=True))
            if by_weight:
                members = {
                    key: value / END_MEMBERS[key][1] if key in END_MEMBERS else value
                    for key, value in members.items()
                }
            found.append((words[0], members))
        break
    return found


def _block_volumes(block: list[str], start: int, source: str) -> Iterator[tuple[int, str, float]]:
    """Give line, name and relative volume of each phase of 'Stable mineral assemblage'."""
    heads = [k for k, line in enumerate(block) if line.startswith("Stable mineral assemblage")]
    if not heads:
        return
    by_weight = "fraction[wt]" in block[heads[0] + 1] if heads[0] + 1 < len(block) else False
    for offset in range(heads[0] + 2, len(block)):
        line = block[offset]
        name = line[:6].strip()
        if not name or name == "SYS":
            return
        numbers = [float(text) for text in _SIGNED.findall(line[6:])]
        if len(numbers) < 6:
            raise FormatError(
                f"{source}, line {start + offset + 1}: phase {name!r} has {len(numbers)} numbers "
                "where MAGEMin writes 13; the file may be cut off."
            )
        if by_weight and numbers[5] == 0:
            raise FormatError(
                f"{source}, line {start + offset + 1}: phase {name!r} has a density of 0; the file "
                "may be damaged."
            )
        # Weight / density, or atoms x formulae per atom x volume of a formula.
        volume = numbers[0] / numbers[5] if by_weight else numbers[0] * numbers[1] * numbers[3]
        yield start + offset + 1, name, volume


def _add_volume(
    node: _Node, name: str, volume: float, members: dict[str, float], place: str
) -> None:
    if name in FLUIDS:
        return
    node.volumes.append(volume)
    if not _is_garnet(name):
        return
    if not members:
        raise FormatError(f"{place}: garnet has no end-members.")
    parts = dict.fromkeys(_ORDER, 0.0)
    for member, value in members.items():
        if member not in END_MEMBERS:
            raise FormatError(
                f"{place}: garnet's end-member {member!r} is not known; known: "
                f"{', '.join(END_MEMBERS)}."
            )
        parts[END_MEMBERS[member][0]] += max(value, 0.0)
    total = sum(parts.values())
    if not np.isfinite(total) or total <= 0:
        raise FormatError(f"{place}: garnet's end-members add to {total:g}.")
    node.garnets.append((volume, {key: value / total for key, value in parts.items()}))


def _is_garnet(name: str) -> bool:
    return name.partition("_")[0] in GARNETS


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
