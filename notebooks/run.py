"""Execute the notebooks of this folder: store their outputs, or check that the stored ones hold.

    python notebooks/run.py            execute every notebook in place and keep the outputs
    python notebooks/run.py --check    execute copies; fail if a cell raises, if a stored notebook
                                       was not executed from top to bottom, or if a number changed

A cell tagged ``compare`` holds numbers that must come out again: its printed text must have the
same words as the stored one, and each number must agree within 10 % or within one unit of the last
digit that is printed. Other cells need only run: pictures and the digits of a sampler may differ.

Every notebook runs in a kernel of the interpreter that runs this script, whatever kernels are
registered.
"""

import argparse
import math
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent
SECONDS_PER_CELL = 600
RELATIVE_TOLERANCE = 0.10
NUMBER = re.compile(r"(?<![A-Za-z0-9_.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class ThisInterpreter(AsyncKernelManager):
    """Start kernels with the running interpreter, registered or not."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """Say how to start the kernel."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        # Else the kernel warns that it talks over TCP, which here stays on this machine.
        command.append("--log-level=ERROR")
        return KernelSpec(argv=command, display_name="Python 3", language="python")


def main() -> int:
    """Run every notebook and say how it went; 0 if all is well."""
    parser = argparse.ArgumentParser(description="Execute the notebooks of this folder.")
    parser.add_argument("--check", action="store_true", help="execute copies and compare them")
    checking = parser.parse_args().check
    # Pictures go into the notebook even where the caller asked for another backend.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"

    files = sorted(FOLDER.glob("*.ipynb"))
    failed = 0
    for file in files:
        begin = time.perf_counter()
        problems = _check(file) if checking else _store(file)
        seconds = time.perf_counter() - begin
        print(f"{'FAIL' if problems else 'ok  '}  {file.name}  ({seconds:.0f} s)", flush=True)
        for problem in problems:
            print(f"      {problem}", flush=True)
        failed += bool(problems)
    done = "as stored" if checking else "executed and stored"
    print(f"{len(files) - failed} of {len(files)} notebooks {done}")
    return 1 if failed or not files else 0


def _store(file: Path) -> list[str]:
    """Execute a notebook in place; a notebook that fails is left as it was."""
    notebook = nbformat.read(file, as_version=4)
    problems = _execute(notebook, file.name)
    if not problems:
        unfinished = file.with_suffix(".tmp")
        nbformat.write(notebook, unfinished)
        unfinished.replace(file)
    return problems


def _check(file: Path) -> list[str]:
    """Execute a copy of a notebook and compare it with the stored one."""
    stored = nbformat.read(file, as_version=4)
    if problems := _order_of_execution(stored):
        return problems
    copy = nbformat.read(file, as_version=4)
    if problems := _execute(copy, file.name):
        return problems
    return [
        f"cell {index}: {difference}"
        for index, old, new in _code_cells(stored, copy)
        if "compare" in old.metadata.get("tags", [])
        and (difference := compare_texts(_text(old), _text(new)))
    ]


def _execute(notebook: NotebookNode, name: str) -> list[str]:
    """Execute all cells of a notebook in a fresh kernel; show what it wrote to stderr."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_manager_class=ThisInterpreter,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return [f"{_failed_cell(notebook)} {_last_line(str(error))}"]
    for index, cell, _ in _code_cells(notebook, notebook):
        for output in cell.outputs:
            if output.get("name") == "stderr":
                print(f"      {name}, cell {index} wrote to stderr:\n{output.text}", flush=True)
    return []


def _order_of_execution(notebook: NotebookNode) -> list[str]:
    """Say whether a stored notebook has outputs and was executed from top to bottom."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if not any(cell.outputs for cell in cells):
        return ["no outputs are stored: run `python notebooks/run.py`"]
    for expected, cell in enumerate(cells, start=1):
        if cell.execution_count != expected:
            index = notebook.cells.index(cell) + 1
            return [
                f"cell {index}: stored with execution count {cell.execution_count} instead of "
                f"{expected}: run `python notebooks/run.py`"
            ]
    return []


def compare_texts(stored: str, new: str) -> str:
    """Say where two printed texts differ by more than rounding; empty if nowhere."""
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (stored, new)]
    if words[0] != words[1]:
        return f"other words than stored\n        stored: {words[0]}\n        now:    {words[1]}"
    for old, now in zip(NUMBER.findall(stored), NUMBER.findall(new), strict=True):
        last_digit = max(_last_digit(old), _last_digit(now)) if "." in old + now else 0.0
        if not math.isclose(
            float(old), float(now), rel_tol=RELATIVE_TOLERANCE, abs_tol=1.001 * last_digit
        ):
            return f"{now} where {old} is stored"
    return ""


def _last_digit(number: str) -> float:
    """Give the value of one unit in the last printed digit: 0.01 for ``1.05``."""
    mantissa, _, exponent = number.lower().partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def _text(cell: NotebookNode) -> str:
    """Join what a cell printed and the plain text of its result; a minus sign is a hyphen."""
    parts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            parts.append(output.text)
        elif output.output_type in ("execute_result", "display_data"):
            parts.append(output.data.get("text/plain", ""))
    return "\n".join(parts).replace("\N{MINUS SIGN}", "-")


def _code_cells(
    first: NotebookNode, second: NotebookNode
) -> Iterator[tuple[int, NotebookNode, NotebookNode]]:
    """Pair the code cells of two versions of a notebook, counted from 1 over all cells."""
    pairs = zip(first.cells, second.cells, strict=True)
    for index, (one, other) in enumerate(pairs, start=1):
        if one.cell_type == "code":
            yield index, one, other


def _failed_cell(notebook: NotebookNode) -> str:
    """Name the cell at which execution stopped: the last that was begun."""
    begun = [
        index
        for index, cell, _ in _code_cells(notebook, notebook)
        if cell.execution_count is not None or cell.outputs
    ]
    return f"cell {begun[-1]}:" if begun else "first code cell:"


def _last_line(text: str) -> str:
    lines = [line for line in COLOUR.sub("", text).splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


if __name__ == "__main__":
    sys.exit(main())
