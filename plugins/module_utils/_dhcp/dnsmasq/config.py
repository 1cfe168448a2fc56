# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Everything a dnsmasq reads at its start, in the order in which it reads it; files may be replaced by planned ones."""

from __future__ import annotations

import os
import stat
import typing as t
from dataclasses import dataclass

from .. import files
from ..errors import DhcpError
from . import text
from .text import Line

DEFAULT_FILE = "/etc/dnsmasq.conf"
#: Files of bare arguments, and whose arguments they are. dnsmasq reads them after everything else.
_ARGUMENT_FILES = {
    "dhcp-optsfile": "dhcp-option",
    "dhcp-optsdir": "dhcp-option",
    "dhcp-hostsfile": "dhcp-host",
    "dhcp-hostsdir": "dhcp-host",
}
Contents = t.Mapping[str, t.Optional[bytes]]


@dataclass(frozen=True)
class CommandLine:
    """What dnsmasq is started with."""

    #: (long name, argument) in order, without conf-file.
    options: t.Tuple[t.Tuple[str, str], ...] = ()
    main: str = DEFAULT_FILE
    #: Without a configuration file named, a missing one is none.
    main_given: bool = False
    #: The words themselves, without those that name configuration files and folders.
    words: t.Tuple[str, ...] = ()


@dataclass(frozen=True)
class Folder:
    """A folder whose files are read."""

    path: str
    filters: t.Tuple[str, ...]


class DnsmasqConfiguration:
    """Raises DhcpError where dnsmasq would not start for want of a file."""

    def __init__(self, command: CommandLine, cwd: str = "/", planned: t.Optional[Contents] = None) -> None:
        self._cwd = cwd
        self._planned = planned or {}
        self.main = os.path.realpath(os.path.join(cwd, command.main))
        self.lines: t.List[Line] = []
        #: Every file read that an administrator writes, as it is read.
        self.contents: t.Dict[str, bytes] = {}
        self.folders: t.List[Folder] = []
        #: Lines that name no other file, for a check of the whole from one stream: (line, file, number).
        self.stream: t.List[t.Tuple[bytes, str, int]] = []
        self._later: t.List[Line] = []
        for name, argument in command.options:
            self._take(Line(name, text.argument_words(argument), "", 0))
        if command.main_given or self._content(self.main) is not None:
            self._read_file(self.main, "%s does not exist; name the right one with config_file" % self.main)
        for line in self._later:
            self._read_arguments(line)

    def _full(self, given: str) -> str:
        return os.path.realpath(os.path.join(self._cwd, given))

    def _content(self, path: str) -> t.Optional[bytes]:
        return self._planned[path] if path in self._planned else files.read_bytes(path)

    def _take(self, line: Line) -> bool:
        """Is it a line that names other configuration? They are read at once."""
        argument = [word.text for word in line.words]
        if line.name == "conf-file" and argument:
            path = self._full(argument[0])
            self._read_file(
                path, "%s, which %s names, does not exist; create it, or remove that line" % (path, line.where)
            )
        elif line.name == "conf-dir" and argument:
            self._read_folder(Folder(self._full(argument[0]), tuple(item for item in argument[1:] if item)), line)
        elif line.name in _ARGUMENT_FILES and argument:
            self._later.append(line)
            return False
        else:
            self.lines.append(line)
            return False
        return True

    def _read_file(self, path: str, missing: str) -> None:
        if path in self.contents:
            return  # dnsmasq reads no file twice
        content = self._content(path)
        if content is None:
            raise DhcpError(missing)
        self.contents[path] = content
        lines = content.split(b"\n")
        for number, raw in enumerate(lines, 1):
            if number == len(lines) and not raw:
                break
            try:
                parsed = text.parse_line(raw.decode("latin-1"))
            except text.TextFault as exc:
                raise DhcpError(
                    "the configuration is invalid before any change: %s at %s:%d; repair it first" % (exc, path, number)
                ) from exc
            others = parsed is not None and self._take(Line(parsed[0], parsed[1], path, number))
            if not others:
                self.stream.append((raw, path, number))

    def _read_folder(self, folder: Folder, line: Line) -> None:
        self.folders.append(folder)
        try:
            names = set(os.listdir(folder.path))
        except OSError as exc:
            raise DhcpError(
                "the folder %s, which %s names, cannot be read: %s; create it, or remove that"
                % (folder.path, line.where, exc.strerror)
            ) from exc
        for path, content in self._planned.items():
            if os.path.dirname(path) == folder.path:
                (names.discard if content is None else names.add)(os.path.basename(path))
        for name in sorted(names, key=os.fsencode):
            path = os.path.join(folder.path, name)
            if text.is_read(name, folder.filters) and (path in self._planned or _is_file(path)):
                self._read_file(path, "%s does not exist" % path)

    def _read_arguments(self, line: Line) -> None:
        """A file of arguments (a folder of them). A missing one, or a bad line, does not stop dnsmasq."""
        given = self._full(line.words[0].text)
        paths = [given]
        if os.path.isdir(given):
            paths = [os.path.join(given, name) for name in sorted(os.listdir(given)) if text.is_read(name, ())]
        for path in paths:
            content = self._content(path) if path in self._planned or _is_file(path) else None
            if content is None or path in self.contents:
                continue
            self.contents[path] = content
            for number, raw in enumerate(content.split(b"\n"), 1):
                try:
                    words = text.parse_argument(raw.decode("latin-1"))
                except text.TextFault:
                    continue
                if words:
                    self.lines.append(Line(_ARGUMENT_FILES[line.name], words, path, number))


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False
