"""What a problem file may hold: keys with the values they accept, and the check of a section."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import tomli_w
import xarray as xr

from petro_models.errors import ConfigurationError, nearest

type Values = dict[str, Any]
type Section = Mapping[str, Key]


@dataclass(frozen=True)
class Accepts:
    """What a key may hold: in words for messages, and as a test."""

    words: str
    holds: Callable[[Any], bool]
    choices: tuple[str, ...] = ()

    def __or__(self, other: "Accepts") -> "Accepts":
        return Accepts(
            f"{self.words} or {other.words}", lambda value: self.holds(value) or other.holds(value)
        )


@dataclass(frozen=True)
class Key:
    """One key of a section.

    Attributes
    ----------
    accepts
        What it may hold.
    default
        Value in force where the file gives none; None: the key is then not set.
    meaning
        A few words, for the template.
    example
        Shown in the template where there is no default.
    is_path
        Whether it names a file, relative to the problem file.
    """

    accepts: Accepts
    default: Any = None
    meaning: str = ""
    example: Any = None
    is_path: bool = False


@dataclass(frozen=True)
class Kind:
    """What the problem file of one kind of problem holds beyond the common sections.

    Attributes
    ----------
    problem, data
        Keys of the sections ``[problem]`` (besides ``kind``; they become the problem's options)
        and ``[data]``.
    settle
        From the checked values of ``[data]`` to those in force; refuses what does not go together.
    read
        From the settled values and the folder of the file to the problem's data.
    named_priors
        Prior name -> word -> what the word stands for, given the problem.
    prior_example
        Lines for the section ``[priors]`` of the template.
    """

    problem: Section
    data: Section
    settle: Callable[[Values], Values]
    read: Callable[[Values, Path], xr.Dataset]
    named_priors: Mapping[str, Mapping[str, Callable[[Any], Mapping[str, float]]]]
    prior_example: str = ""


def check_section(values: Mapping[str, Any], section: Section, place: str) -> Values:
    """Check keys and values of one section and put the defaults in.

    Raises
    ------
    ConfigurationError
        If a key is not known or its value not acceptable; `place` opens the message.
    """
    for name, value in values.items():
        if name not in section:
            raise ConfigurationError(f"{place}: no key is named '{name}': {nearest(name, section)}")
        accepts = section[name].accepts
        if accepts.holds(value):
            continue
        if accepts.choices and isinstance(value, str):
            choices = nearest(value, accepts.choices)
            raise ConfigurationError(f"{place}: {name} = '{value}' is not known: {choices}")
        raise ConfigurationError(
            f"{place}: {name} must be {accepts.words}; got {value!r} ({_type_name(value)})"
        )
    checked = {name: values.get(name, key.default) for name, key in section.items()}
    return {name: value for name, value in checked.items() if value is not None}


def template_lines(section: Section) -> Iterator[str]:
    """Write the keys of a section with their defaults; those without one are commented out."""
    for name, key in section.items():
        is_set = key.default is not None
        line = f"{name} = {_inline(key.default if is_set else key.example)}"
        yield f"{line if is_set else f'# {line}'}  # {key.meaning}"


def _inline(value: object) -> str:
    """Write a value on one line of TOML."""
    if isinstance(value, Mapping):
        parts = (tomli_w.dumps({key: part}).strip() for key, part in value.items())
        return f"{{ {', '.join(parts)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return tomli_w.dumps({"key": value}).removeprefix("key = ").strip()


def _type_name(value: object) -> str:
    names = {bool: "true or false", str: "text", dict: "table", list: "list", int: "whole number"}
    return names.get(type(value), "number" if isinstance(value, float) else type(value).__name__)


# -- what keys may hold --------------------------------------------------------------------------


def whole(low: int) -> Accepts:
    """Accept whole numbers from a lowest one."""
    return Accepts(
        f"a whole number, {low} or more",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= low,
    )


def one_of(names: tuple[str, ...]) -> Accepts:
    """Accept one of some words."""
    words = f'"{names[0]}"' if len(names) == 1 else f"one of {', '.join(names)}"
    return Accepts(words, lambda value: isinstance(value, str) and value in names, names)


def plain_file(suffixes: tuple[str, ...]) -> Accepts:
    """Accept file names without a folder, which cannot lead out of the output folder."""
    return Accepts(
        f"a file name without a folder, ending in {' or '.join(suffixes)}",
        lambda value: (
            isinstance(value, str)
            and PurePosixPath(value).name == value == PureWindowsPath(value).name
            and value.endswith(suffixes)
            and value not in suffixes
        ),
    )


def table_of(part: Accepts, words: str) -> Accepts:
    """Accept tables all of whose values a part accepts."""
    return Accepts(
        words, lambda value: isinstance(value, dict) and all(map(part.holds, value.values()))
    )


def list_of(part: Accepts, words: str) -> Accepts:
    """Accept lists all of whose entries a part accepts."""
    return Accepts(words, lambda value: isinstance(value, list) and all(map(part.holds, value)))


def is_number(value: object) -> bool:
    """Tell numbers, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


TEXT = Accepts("a text", lambda value: isinstance(value, str) and value != "")
TEXTS = TEXT | list_of(TEXT, "a list of texts")
FLAG = Accepts("true or false", lambda value: isinstance(value, bool))
NUMBER = Accepts("a number", is_number)
SHARE = Accepts("a number between 0 and 1", lambda value: is_number(value) and 0 < value < 1)
NUMBERS = table_of(NUMBER, "a table of numbers")
SCALAR = Accepts(
    "a text, number, true or false", lambda value: isinstance(value, str | int | float)
)
LABEL = Accepts(
    "a label", lambda value: TEXT.holds(value) or (is_number(value) and isinstance(value, int))
)
