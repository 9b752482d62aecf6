"""The engine of one machine: worker processes that are started anew when they are killed."""

import json
import logging
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from petro_models.cluster.engine import Advance, Engine
from petro_models.cluster.processes import number_of_cores, share_of_cores, visible_gpus
from petro_models.cluster.records import Record, write_record
from petro_models.cluster.work import read_plan

logger = logging.getLogger("petro_models")

ATTEMPTS = 3
"""How often an item is tried whose worker was killed."""


class LocalEngine(Engine):
    """Computes items in processes of this machine.

    Parameters
    ----------
    folder
        Of the run.
    workers
        How many; by default one a GPU, else one a core. Never more than GPUs where there are any.
    """

    def __init__(self, folder: Path, workers: int | None = None) -> None:
        super().__init__(folder)
        gpus = len(visible_gpus())
        self.workers = min(workers or gpus or number_of_cores(), gpus or sys.maxsize)
        self._processes: list[WorkerProcess] = []

    def run(self, indices: Sequence[int], advance: Advance) -> None:
        """Compute items; `advance` hears the record of each."""
        waiting, records = deque(indices), SimpleQueue[Record | BaseException]()
        self._share_cores(min(self.workers, len(waiting)))
        for process in self._processes:
            threading.Thread(
                target=self._serve, args=(process, waiting, records), daemon=True
            ).start()
        for _ in indices:
            while True:
                # Waiting without an end would make the main thread deaf to Ctrl-C.
                with suppress(Empty):
                    record = records.get(timeout=0.5)
                    break
            if isinstance(record, BaseException):
                raise record
            advance(record)

    def close(self) -> None:
        """End the workers, whatever they are at."""
        for process in self._processes:
            process.stop()

    def _share_cores(self, count: int) -> None:
        """Have so many processes, which share the cores: one alone has them all."""
        if len(self._processes) != count:
            self.close()
            self._processes = [WorkerProcess(self.folder, n, count) for n in range(count)]

    def _serve(
        self,
        process: "WorkerProcess",
        waiting: deque[int],
        records: "SimpleQueue[Record | BaseException]",
    ) -> None:
        try:
            while True:
                try:
                    index = waiting.popleft()
                except IndexError:
                    return
                records.put(self._compute(process, index))
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            records.put(error)

    def _compute(self, process: "WorkerProcess", index: int) -> Record:
        for _ in range(ATTEMPTS):
            if record := process.ask(index):
                return record
            logger.warning("item %d: %s; it is tried again", index, process.end)
        item = read_plan(self.folder).items[index]
        message = f"{process.end}, {ATTEMPTS} times; see {process.log}"
        record = Record(item, "failed", message)
        write_record(self.folder, index, record)
        return record


class WorkerProcess:
    """A worker process, started when it is first asked, and again after it was killed."""

    def __init__(self, folder: Path, position: int, workers: int) -> None:
        self.folder, self.position = folder, position
        self.log = folder / "logs" / f"worker-{position}.log"
        self.end = "its worker was not started"
        self._cores = ",".join(map(str, share_of_cores(position, workers)))
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def ask(self, index: int) -> Record | None:
        """Have an item computed; None if the process died over it."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{index}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except (OSError, ValueError):
            answer = ""
        if answer.endswith("\n"):
            return Record(**json.loads(answer))
        self.end = _how_it_ended(_ended(process))
        self._process = None
        return None

    def stop(self) -> None:
        """End the process, whatever it is at."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()
            _ended(self._process)

    def _start(self) -> "subprocess.Popen[str]":
        if self._stopped:
            raise KeyboardInterrupt
        self.log.parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "petro_models.cluster.worker"]
        with self.log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [*command, str(self.folder), str(self.position), self._cores],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        return self._process


def _ended(process: "subprocess.Popen[str]") -> int:
    """Wait for the end of a process and give its exit code."""
    code = process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not sent yet goes nowhere
                pipe.close()
    return code


def _how_it_ended(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        why = " (the system may have run out of memory)" if code == -signal.SIGKILL else ""
        return f"its worker was killed by {name}{why}"
    return f"its worker ended with exit code {code}"
