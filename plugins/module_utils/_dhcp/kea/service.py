# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""A Kea that serves: made to load its files, and brought back to what it ran before when that goes wrong.

Measured on 2.2, 2.6 and 3.0: after a reload that failed, Kea may be alive and silent, while it says of itself that all
is well. Only a reload or a config-set that succeeds, or a restart, proves that it listens again.
"""

from __future__ import annotations

import time
import typing as t

from .. import supervision
from ..errors import DhcpError
from ..processes import Process
from .process import ControlSocket

#: Seconds until a Kea that was restarted must answer on its control socket.
RESTART_TIMEOUT = 30.0


class RunningKea:
    """Kea as it ran when we came: `before` is its configuration then."""

    def __init__(self, control_socket: ControlSocket, config_file: str, before: t.Dict[str, t.Any]) -> None:
        self._socket = control_socket
        self._config_file = config_file
        self.before = before
        #: Was it told to load something, so that it may be silent now?
        self.commanded = False
        self._restart_command: t.List[str] = []
        self._restart_fault = "it is not known how Kea is restarted; say it with restart_command"

    def remember_restart(self, process: t.Optional[Process], given: t.Sequence[str]) -> None:
        """Find out how it is restarted, as long as there is a process that tells."""
        if process is not None:
            try:
                self._restart_command = supervision.restart_command(process, given)
            except DhcpError as exc:
                self._restart_fault = str(exc)

    def current(self) -> t.Dict[str, t.Any]:
        """The configuration that it runs now. Raises DhcpError when it does not answer."""
        try:
            return self._socket.config_get()
        except ConnectionError as exc:
            raise DhcpError("Kea no longer answers on its control socket: %s" % exc) from exc

    def reload(self) -> None:
        """Have it read its files. Raises DhcpError when it refuses them."""
        self.commanded = True
        try:
            complaint = self._socket.config_reload()
        except ConnectionError as exc:
            raise self._gone(exc) from exc
        if complaint is not None:
            raise DhcpError("Kea refuses to load %s: %s" % (self._config_file, complaint))

    def set_back(self) -> None:
        """Give it the configuration that it ran before, whatever the files say."""
        try:
            complaint = self._socket.config_set(self.before)
        except ConnectionError as exc:
            raise self._gone(exc) from exc
        if complaint is not None:
            raise DhcpError("Kea refuses the configuration that it ran before: %s" % complaint)

    def _gone(self, exc: ConnectionError) -> DhcpError:
        return DhcpError("Kea's control socket %s is gone: %s" % (self._socket.path, exc))

    def bring_back(self, files_are_good: bool) -> None:
        """Have it run what it ran before, and prove it. Raises DhcpError with all that failed.

        Reading the old files leaves file and memory the same. Where that may fail or lead elsewhere it is given what it
        ran before: a file that the administrator has broken meanwhile must not be read again.
        """
        faults: t.List[str] = []
        for way in (self.reload, self.set_back) if files_are_good else (self.set_back,):
            try:
                way()
                if self.current() == self.before:
                    return
                faults.append("Kea runs something else than before")
            except DhcpError as exc:
                faults.append(str(exc))
        raise DhcpError(*dict.fromkeys(faults))

    def restart(self) -> None:
        """Restart it and wait until it answers. Raises DhcpError; nothing is done when it is not known how."""
        if not self._restart_command:
            raise DhcpError(self._restart_fault)
        supervision.run(self._restart_command)
        end = time.monotonic() + RESTART_TIMEOUT
        while True:
            try:
                self.current()
                return
            except DhcpError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    @property
    def can_restart(self) -> bool:
        return bool(self._restart_command)
