# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Kea's configuration on disk: the administrator's files, ours beside them, and what both are to become."""

from __future__ import annotations

import glob
import os
import typing as t
from dataclasses import asdict, dataclass

from . import files, kea_text
from .backend import Conflict
from .errors import DhcpError
from .files import FileChange
from .intent import GLOBAL, GLOBAL_SCOPE, SHARED_NETWORK, VENDOR, OptionSetting, Scope
from .kea_entries import (
    CLASS,
    RANKS,
    class_name,
    definitions_of,
    file_suffix,
    is_true,
    option_code,
    render_file,
    shown_value,
)
from .kea_text import Node
from .options import display, option_name

Texts = t.Dict[str, str]  # path as the include has it -> text


@dataclass
class Draft:
    """What the configuration is to become: the settings that remain ours, the files that change, what is in the way."""

    settings: t.List[OptionSetting]
    changes: t.List[FileChange]
    conflicts: t.List[Conflict]
    dhcp4: Node


class KeaConfiguration:
    """The files as they are now. Relative paths in them are relative to `cwd`, the server's working directory."""

    def __init__(self, config_file: str, cwd: str) -> None:
        self.config_file = config_file
        self._cwd = cwd
        self.dhcp4, self._texts = self._parse({})
        self._all_texts: Texts = {}

    # --- reading ---

    def _full(self, path: str) -> str:
        return os.path.join(self._cwd, path)

    def _is_own(self, path: str) -> bool:
        stem = os.path.splitext(os.path.basename(self.config_file))[0]
        directory, base = os.path.split(self._full(path))
        same = os.path.realpath(directory) == os.path.dirname(self.config_file)
        return same and base.startswith("autoprov-%s-" % stem) and base.endswith(".json")

    def _own_path(self, scope: Scope) -> str:
        directory, base = os.path.split(self.config_file)
        return os.path.join(directory, "autoprov-%s-%s.json" % (os.path.splitext(base)[0], file_suffix(scope)))

    def _own_files(self) -> t.List[str]:
        pattern = os.path.join(glob.escape(os.path.dirname(self.config_file)), "autoprov-*.json")
        return sorted(path for path in glob.glob(pattern) if self._is_own(path))

    def _load(self, path: str) -> str:
        """The text of one of the administrator's files; surrogates stand for bytes that are not UTF-8."""
        content = files.read_bytes(self._full(path))
        if content is None:
            main = path == self.config_file
            way_out = "name the right one with config_file" if main else "create it, or remove the include"
            raise DhcpError("%s does not exist; %s" % (path, way_out))
        return content.decode("utf-8", "surrogateescape")

    def _parse(self, texts: Texts) -> t.Tuple[Node, Texts]:
        """(Dhcp4, the text of every file read); a text in `texts` goes before the file."""
        reader = kea_text.Reader(lambda path: texts[path] if path in texts else self._load(path), self._is_own)
        try:
            root = reader.read(self.config_file)
        except kea_text.TextFault as exc:
            raise DhcpError("the configuration is invalid before any change: %s" % exc) from exc
        dhcp4 = root.get("Dhcp4")
        if dhcp4 is None or dhcp4.members is None:
            raise DhcpError(
                '%s holds no "Dhcp4" object; is it the configuration of Kea\'s DHCPv4 server?' % self.config_file
            )
        return dhcp4, reader.texts

    def whole(self) -> Node:
        """Dhcp4 as the server reads it, our own files among it."""
        reader = kea_text.Reader(self._load, lambda path: False)
        try:
            dhcp4 = reader.read(self.config_file).get("Dhcp4")
        except kea_text.TextFault as exc:
            raise DhcpError("the configuration is invalid: %s" % exc) from exc
        self._all_texts = reader.texts
        return t.cast("Node", dhcp4)

    def where(self, node: Node) -> str:
        """`file:line` of a value in the tree of `whole`."""
        return "%s:%d" % (self._full(node.source), kea_text.line_of(self._all_texts[node.source], node.start))

    def _place(self, dhcp4: Node, scope: Scope) -> t.Tuple[Node, str]:
        """The object in which the scope's array is, and the array's key. Raises DhcpError where there is none."""
        if RANKS[scope.kind] == CLASS:
            return dhcp4, "client-classes"
        if scope.kind == GLOBAL:
            return dhcp4, "option-data"
        candidates, key = dhcp4.items("shared-networks"), "name"
        if scope.kind != SHARED_NETWORK:
            inner = [item for network in candidates for item in network.items("subnet4")]
            candidates, key = dhcp4.items("subnet4") + inner, "subnet"
        for item in candidates:
            if item.text(key) == scope.name:
                return item, "option-data"
        known = [item.text(key) for item in candidates]
        more = ["%d more" % (len(known) - 10)] if len(known) > 10 else []
        raise DhcpError(
            "%s is not in %s; there: %s" % (scope, self.config_file, ", ".join(known[:10] + more) or "none")
        )

    # --- planning ---

    def draft(self, settings: t.Sequence[OptionSetting], on_conflict: str) -> Draft:
        """The configuration in which exactly `settings` are ours. Raises DhcpError with every fault found."""
        texts = {path: kea_text.restore_elements(text) for path, text in self._texts.items()}
        dhcp4, texts = self._parse(texts)
        kept, conflicts, texts = self._settle_conflicts(settings, dhcp4, texts, on_conflict)
        texts = self._place_includes(kept, texts)
        dhcp4, texts = self._parse(texts)
        own = self._render_own_files(kept, dhcp4)
        # Included files first, unneeded ones last: the configuration never names one that is not there.
        contents: t.List[t.Tuple[str, t.Optional[bytes]]] = [(path, text.encode()) for path, text in own.items()]
        contents += [(path, text.encode("utf-8", "surrogateescape")) for path, text in texts.items()]
        contents += [(path, None) for path in self._own_files() if path not in own]
        changes = [FileChange(self._full(path), files.read_bytes(self._full(path)), after) for path, after in contents]
        return Draft(kept, [change for change in changes if change.before != change.after], conflicts, dhcp4)

    def _settle_conflicts(
        self, settings: t.Sequence[OptionSetting], dhcp4: Node, texts: Texts, on_conflict: str
    ) -> t.Tuple[t.List[OptionSetting], t.List[Conflict], Texts]:
        """Find the administrator's entries for the same option at the same level; drop ours or theirs, as told."""
        kept: t.List[OptionSetting] = []
        conflicts: t.List[Conflict] = []
        faults: t.List[str] = []
        definitions = definitions_of(dhcp4)
        for item in settings:
            try:
                holder, key = self._place(dhcp4, item.scope)
            except DhcpError as exc:
                faults += exc.faults
                continue
            if key == "client-classes":
                if any(other.text("name") == class_name(item.scope) for other in holder.items(key)):
                    fault = "client class %s is already in the administrator's part; rename it there"
                    faults.append(fault % class_name(item.scope))
                kept.append(item)
                continue
            entries = [entry for entry in holder.items(key) if option_code(entry, definitions) == item.code]
            if entries and all(_does_the_same(entry, item) for entry in entries):
                continue  # theirs does what ours would
            for entry in entries:
                where = "%s:%d" % (self._full(entry.source), kea_text.line_of(texts[entry.source], entry.start))
                conflicts.append(Conflict(str(item.scope), item.code, shown_value(entry), display(item.data), where))
            if entries and on_conflict == "replace":
                texts = self._disable_entries(texts, item)
            if not entries or on_conflict == "replace":
                kept.append(item)
        if on_conflict == "fail":
            faults += [
                "option %s, %s: the administrator has set %s in %s, wanted is %s; choose on_conflict=replace or "
                "keep, or change it there"
                % (option_name(item.code), item.scope, item.existing, item.where, item.wanted)
                for item in conflicts
            ]
        if faults:
            raise DhcpError(*dict.fromkeys(faults), details={"conflicts": [asdict(item) for item in conflicts]})
        return kept, conflicts, texts

    def _disable_entries(self, texts: Texts, item: OptionSetting) -> Texts:
        while True:
            dhcp4, texts = self._parse(texts)
            holder, key = self._place(dhcp4, item.scope)
            array = t.cast("Node", holder.get(key))
            elements, definitions = array.elements or [], definitions_of(dhcp4)
            found = [index for index, entry in enumerate(elements) if option_code(entry, definitions) == item.code]
            if not found:
                return texts
            source = elements[found[0]].source
            try:
                texts = dict(texts, **{source: kea_text.disable_element(texts[source], array, found[0])})
            except kea_text.TextFault as exc:
                what = "option %s of %s cannot be replaced" % (option_name(item.code), item.scope)
                raise DhcpError("%s: %s" % (what, exc)) from exc

    def _general_paths(self, settings: t.Sequence[OptionSetting]) -> t.Set[str]:
        """Files whose include lines stay as long as anything is ours, even when nothing is in them.

        Whoever wrote the configuration may have put the lines there for good; the role does.
        """
        return {self._own_path(scope) for scope in (GLOBAL_SCOPE, Scope(VENDOR))} if settings else set()

    def _place_includes(self, settings: t.Sequence[OptionSetting], texts: Texts) -> Texts:
        """Our include lines: missing ones in, unneeded ones out, all others left where they stand."""
        needed = {self._own_path(item.scope): item.scope for item in settings}
        present = {path for text in texts.values() for path in kea_text.include_paths(text) if self._is_own(path)}
        for path in sorted(present - set(needed) - self._general_paths(settings)):
            texts = {source: kea_text.remove_include(text, path) for source, text in texts.items()}
        for path in [path for path in needed if path not in present]:
            dhcp4, texts = self._parse(texts)
            holder, key = self._place(dhcp4, needed[path])
            array = holder.get(key)
            if array is None:
                source = holder.source
                text = kea_text.insert_array_key(texts[source], holder, key, path)
            elif array.elements is None or array.source != array.end_source:
                raise DhcpError("%s of %s is not one list in one file; write it as one" % (key, needed[path]))
            else:
                source = array.source
                text = kea_text.insert_into_array(texts[source], array, path)
            texts = dict(texts, **{source: text})
        return texts

    def _render_own_files(self, settings: t.Sequence[OptionSetting], dhcp4: Node) -> t.Dict[str, str]:
        scopes = {self._own_path(item.scope): item.scope for item in settings}
        general = self._general_paths(settings)
        for scope in (GLOBAL_SCOPE, Scope(VENDOR)):
            holder, key = self._place(dhcp4, scope)
            array = holder.get(key)
            if array is not None and any(item.path in general for item in array.includes):
                scopes.setdefault(self._own_path(scope), scope)
        rendered = {}
        for path, scope in scopes.items():
            holder, key = self._place(dhcp4, scope)
            array = holder.get(key)
            includes = [item for item in (array.includes if array else []) if item.path == path]
            if len(includes) != 1:
                raise DhcpError(
                    "the include of %s stands %s; remove it from %s, it will be put where it belongs"
                    % (path, "more than once" if includes else "in a wrong place", self.config_file)
                )
            entries = [item for item in settings if self._own_path(item.scope) == path]
            rendered[path] = render_file(scope, entries, includes[0])
        return rendered

    # --- testing ---

    def test(self, changes: t.Sequence[FileChange], checker: t.Callable[[str], t.Optional[str]]) -> t.Optional[str]:
        """The checker's complaint about the configuration with `changes`, which are not made; None when there is none.

        Copies of all files stand beside the real ones while it looks: AppArmor lets Kea read nowhere else.
        """
        contents: t.Dict[str, t.Optional[bytes]] = {
            self._full(path): text.encode("utf-8", "surrogateescape") for path, text in self._texts.items()
        }
        contents.update({path: files.read_bytes(path) for path in self._own_files()})
        contents.update({change.path: change.after for change in changes})
        name = os.path.join(os.path.dirname(self.config_file), ".autoprov-test-%d-%d.json")
        copies = {path: name % (os.getpid(), index) for index, path in enumerate(sorted(contents))}
        try:
            for path, content in contents.items():
                if content is not None:
                    text = kea_text.rewrite_includes(
                        content.decode("utf-8", "surrogateescape"),
                        lambda other: copies.get(self._full(other), other),
                    )
                    data = text.encode("utf-8", "surrogateescape")
                    files.write_atomically(copies[path], data, like=self.config_file)
            complaint = checker(copies[self.config_file])
        finally:
            for copy in copies.values():
                files.remove(copy)
        for path, copy in copies.items():
            complaint = complaint.replace(copy, path) if complaint else complaint
        return complaint


def _does_the_same(entry: Node, item: OptionSetting) -> bool:
    return shown_value(entry) == display(item.data) and is_true(entry.get("always-send"), False)
