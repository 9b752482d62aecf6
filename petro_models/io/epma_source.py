"""Where the files of a map lie: a folder, or a zip archive that is read in memory only."""

import io
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from petro_models.errors import FormatError

MEMBER_LIMIT_BYTES = 2**30
"""Largest file that is read: a map of 8000 x 8000 pixels as text is about this long."""

_DEEPEST_FOLDER = 3
_MOST_FILES = 20_000
_DAMAGED_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class Source:
    """A folder or a zip archive, or a folder in one of them.

    `label` names it in messages, `names` are its files (relative, with forward slashes), and
    `chosen` is the one file that the caller pointed at, or "" for all of them.
    """

    label: str
    names: tuple[str, ...]
    folder: Path | None = None
    archive: bytes = field(default=b"", repr=False)
    prefix: str = ""
    chosen: str = ""

    def read(self, name: str) -> bytes:
        """Give the content of one file.

        Raises
        ------
        FormatError
            If it cannot be read, or is longer than `MEMBER_LIMIT_BYTES`.
        """
        if self.folder is not None:
            return read_bytes(self.folder / self.prefix / name, self.place(name))
        return _read_member(self.archive, self.prefix + name, self.place(name))

    def head(self, name: str, most: int = 8192) -> bytes:
        """Give the first bytes of one file, enough to recognise its format."""
        if self.folder is not None:
            return read_bytes(self.folder / self.prefix / name, self.place(name), most)
        return _read_member(self.archive, self.prefix + name, self.place(name), most)

    def text(self, name: str) -> str:
        """Give the content of one text file."""
        return decode(self.read(name), self.place(name))

    def place(self, name: str) -> str:
        """Name a file in a message."""
        return f"{self.label}/{name}" if self.label else name

    def below(self, folder: str) -> "Source":
        """Give the part of the source in one of its folders; "" is the source itself."""
        if not folder:
            return self
        inside = tuple(
            n.removeprefix(f"{folder}/") for n in self.names if n.startswith(f"{folder}/")
        )
        return replace(
            self, label=self.place(folder), names=inside, prefix=f"{self.prefix}{folder}/"
        )

    def folders(self) -> list[str]:
        """List the folders that hold files, shallowest first; "" is the source itself."""
        parents = {str(PurePosixPath(name).parent) for name in self.names}
        ordered = sorted(parents, key=lambda parent: (parent.count("/"), parent != ".", parent))
        return ["" if parent == "." else parent for parent in ordered]

    def files(self) -> list[str]:
        """List the files that lie directly in the source."""
        return [name for name in self.names if "/" not in name]


def open_source(path: Path) -> Source:
    """Open a folder, a zip archive, or the folder in which one file lies.

    Raises
    ------
    FormatError
        If there is nothing at `path`, or it is a damaged archive.
    """
    try:
        if path.is_dir():
            return Source(path.name, tuple(_files_below(path)), path)
        if not path.is_file():
            raise FormatError(f"{path}: there is no such file or folder.")
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: cannot be read ({error}).") from None
    if path.suffix.lower() == ".zip":
        content = read_bytes(path, path.name)
        return Source(path.name, tuple(_members(content, path.name)), archive=content)
    beside = [file.name for file in sorted(path.parent.iterdir()) if file.is_file()]
    return Source("", tuple(beside), path.parent, chosen=path.name)


def read_bytes(file: Path, place: str, most: int | None = None) -> bytes:
    """Read a file of moderate size, or the first bytes of any."""
    try:
        with file.open("rb") as handle:
            data = handle.read(MEMBER_LIMIT_BYTES + 1 if most is None else most)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FormatError(f"{place}: cannot be read ({reason}).") from None
    if len(data) > MEMBER_LIMIT_BYTES:
        raise FormatError(_too_long(place))
    return data


def decode(content: bytes, place: str) -> str:
    """Decode a text file of an instrument: UTF-8, or else the encoding of old Windows."""
    if b"\0" in content[:4096] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FormatError(f"{place}: binary content where text is expected.")
    encodings = ["utf-8-sig", "cp1252", "latin-1"]
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    for encoding in encodings:
        try:
            return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeError:
            continue
    raise FormatError(f"{place}: not a text file.")


def listed(names: Iterable[str], most: int = 12) -> str:
    """List file names in a message, not all if there are many."""
    every = list(names)
    more = f", ... ({len(every)} in all)" if len(every) > most else ""
    return (", ".join(every[:most]) or "nothing") + more


def _files_below(folder: Path) -> list[str]:
    """List files, relative, down to a few levels; the hidden folders of instruments count too."""
    names: list[str] = []
    folder = folder.resolve()
    for root, folders, files in folder.walk():
        relative = root.relative_to(folder)
        if len(relative.parts) >= _DEEPEST_FOLDER:
            folders.clear()
        folders[:] = sorted(name for name in folders if name not in (".git", "__MACOSX"))
        names += [(relative / name).as_posix() for name in sorted(files)]
        if len(names) > _MOST_FILES:
            raise FormatError(
                f"{folder.name}: more than {_MOST_FILES} files; give the folder of one map."
            )
    return names


def _members(content: bytes, place: str) -> list[str]:
    """List the files of an archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except _DAMAGED_ZIP as error:
        raise FormatError(f"{place}: not a readable zip archive ({error}).") from None
    names = [entry.filename for entry in entries]
    return [
        name
        for name in names
        if not name.startswith("__MACOSX/") and not PurePosixPath(name).name.startswith("._")
    ]


def _read_member(content: bytes, name: str, place: str, most: int | None = None) -> bytes:
    """Read one file of an archive, never more of it than the limit, whatever it claims."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(name) as member:
            data = member.read(MEMBER_LIMIT_BYTES + 1 if most is None else most)
    except KeyError:
        raise FormatError(f"{place}: no such file in the archive.") from None
    except _DAMAGED_ZIP as error:
        raise FormatError(f"{place}: cannot be read from the archive ({error}).") from None
    if len(data) > MEMBER_LIMIT_BYTES:
        raise FormatError(_too_long(place))
    return data


def _too_long(place: str) -> str:
    return (
        f"{place}: longer than {MEMBER_LIMIT_BYTES / 2**20:.0f} MiB, which no single map is; "
        "crop it, or save it in a binary format."
    )
