# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""From the old files to the new ones and back, while the administrator may edit them too, under no lock."""

from __future__ import annotations

import typing as t

from .. import files
from ..errors import EditedMeanwhile
from ..files import FileChange
from . import edit
from . import text as kea_text

ATTEMPTS = 5


class FileSwitch:
    """A set of changes on its way. Owner, group and mode of a new file are those of `like`."""

    def __init__(self, changes: t.Sequence[FileChange], like: str, is_own: t.Callable[[str], bool]) -> None:
        self._changes = changes
        self._like = like
        self._is_own = is_own
        self._done: t.List[FileChange] = []

    def forward(self) -> None:
        """Write all, in order. Raises EditedMeanwhile when a file is no longer what the change was made for."""
        for change in self._changes:
            files.replace_unchanged(change.path, change.before, change.after, self._like)
            self._done.append(change)

    def back(self) -> None:
        """Put back what was written, last first. An edit that the administrator has made on top of ours is kept."""
        while self._done:
            change = self._done[-1]
            for _attempt in range(ATTEMPTS):
                try:
                    self._put_back(change)
                    break
                except EditedMeanwhile:
                    continue
            self._done.pop()

    def _put_back(self, change: FileChange) -> None:
        now = files.read_bytes(change.path)
        if now == change.after or self._is_own(change.path):
            files.replace_unchanged(change.path, now, change.before, self._like)
        elif now is not None and change.before is not None:
            files.replace_unchanged(change.path, now, self._without_ours(now, change.before), self._like)

    def _without_ours(self, now: bytes, before: bytes) -> bytes:
        """The administrator's text, without the lines of ours that were not in it before."""
        text, old = (content.decode("utf-8", "surrogateescape") for content in (now, before))
        for path in kea_text.include_paths(text):
            if self._is_own(path) and path not in kea_text.include_paths(old):
                text = edit.remove_include(text, path)
        if edit.restore_elements(old) == old:
            text = edit.restore_elements(text)
        return text.encode("utf-8", "surrogateescape")
