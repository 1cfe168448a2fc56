# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that outlives the module that started it, so that a playbook can tell how far it is.

A module says nothing until it ends. The first call starts the program and waits a while; further calls wait on, and
bring the last line it said, until it has ended.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
import typing as t

_PREFIX = "autoprov-job-"
_TICK_SECONDS = 0.05
_WRITTEN = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_CHANNELS = (("given", os.O_RDONLY), ("output", _WRITTEN), ("errors", _WRITTEN))
"""Where standard input, output and error of the program lead."""


class JobError(Exception):
    """Why nothing can be said of a job."""


class Ended(t.NamedTuple):
    """What a program left behind."""

    status: int
    output: str
    errors: str


class Job:
    """A program under way, known by its folder, which root alone can read."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    @classmethod
    def start(cls, command: list[str], given: str) -> Job:
        """Start a program that reads ``given``."""
        job = cls(tempfile.mkdtemp(prefix=_PREFIX))
        job._write("given", given)
        if os.fork() == 0:
            os.setsid()  # Ansible's connection may end; the work goes on
            if os.fork():
                os._exit(0)
            job._run(command)
        os.wait()
        return job

    @classmethod
    def found(cls, folder: str) -> Job:
        """The job of an earlier call. Raises ``JobError`` when there is none: the folder may be anybody's word."""
        name = os.path.join(tempfile.gettempdir(), _PREFIX)
        try:
            about = os.lstat(folder)
        except OSError:
            about = None
        own = about is not None and stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
        if not own or not re.fullmatch(re.escape(name) + r"[a-z0-9_]+", folder):
            raise JobError(f"there is no job {folder}; run the task again")
        return cls(folder)

    def wait(self, seconds: float) -> Ended | None:
        """What it left behind, with its folder removed; None when it has not ended after so long."""
        until = time.monotonic() + seconds
        while not os.path.exists(self._path("status")):
            if time.monotonic() >= until:
                return None
            time.sleep(_TICK_SECONDS)
        ended = Ended(int(self._read("status")), self._read("output"), self._read("errors"))
        shutil.rmtree(self.folder, ignore_errors=True)
        return ended

    def last_line(self) -> str:
        """What it said last, on standard error."""
        lines = self._read("errors").splitlines()
        return lines[-1] if lines else ""

    def _run(self, command: list[str]) -> t.NoReturn:
        """In a process of its own, whose only way to speak is the folder."""
        status = 127
        try:
            for number, (name, flags) in enumerate(_CHANNELS):
                os.dup2(os.open(self._path(name), flags, 0o600), number)
            try:
                status = subprocess.call(command, close_fds=True)
            except OSError as error:
                os.write(2, f"{command[0]} cannot be started: {error.strerror}\n".encode())
        finally:
            self._write("status.new", str(status))
            os.rename(self._path("status.new"), self._path("status"))
            os._exit(0)

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def _read(self, name: str) -> str:
        try:
            with open(self._path(name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def _write(self, name: str, content: str) -> None:
        with open(self._path(name), "w", encoding="utf-8") as file:
            file.write(content)
