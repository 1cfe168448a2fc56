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

from .. import files
from ..backend import Conflict
from ..errors import DhcpError, EditedMeanwhile
from ..files import FileChange
from ..intent import GLOBAL, GLOBAL_SCOPE, SHARED_NETWORK, VENDOR, OptionSetting, Scope
from ..options import display, option_name
from . import edit as kea_edit
from . import hooks
from . import text as kea_text
from .entries import (
    CLASS,
    HOOK,
    RANKS,
    class_name,
    definitions_of,
    file_suffix,
    is_true,
    option_code,
    render_file,
    shown_value,
)
from .text import Node

Texts = t.Dict[str, str]  # path as the include has it -> text
_Places = t.Tuple[t.Dict[str, Node], t.Dict[str, Node]]


@dataclass
class Draft:
    """What the configuration is to become: the settings that remain ours, the files that change, what is in the way."""

    settings: t.List[OptionSetting]
    #: Those of them that the hook library flex_option sets.
    by_hook: t.List[OptionSetting]
    changes: t.List[FileChange]
    conflicts: t.List[Conflict]
    dhcp4: Node


class KeaConfiguration:
    """The files as they are now. Relative paths in them are relative to `cwd`, the server's working directory.

    With `content`, the configuration is that text, which the next draft puts in the place of what the file holds.
    """

    def __init__(self, config_file: str, cwd: str, content: t.Optional[str] = None) -> None:
        self.config_file = config_file
        self._cwd = cwd
        self._content = content
        self._replaced = files.read_bytes(config_file) if content is not None else None
        self._last: t.Tuple[Node, Texts]
        self._indexed: t.Tuple[t.Optional[Node], _Places] = (None, ({}, {}))
        self.dhcp4, self._texts = self._parse({})
        self._all_texts: Texts = {}

    # --- reading ---

    def _full(self, path: str) -> str:
        return os.path.join(self._cwd, path)

    def is_own(self, path: str) -> bool:
        stem = os.path.splitext(os.path.basename(self.config_file))[0]
        directory, base = os.path.split(self._full(path))
        same = os.path.realpath(directory) == os.path.dirname(self.config_file)
        return same and base.startswith("autoprov-%s-" % stem) and base.endswith(".json")

    def _own_path(self, scope: Scope) -> str:
        directory, base = os.path.split(self.config_file)
        return os.path.join(directory, "autoprov-%s-%s.json" % (os.path.splitext(base)[0], file_suffix(scope)))

    def _own_files(self) -> t.List[str]:
        pattern = os.path.join(glob.escape(os.path.dirname(self.config_file)), "autoprov-*.json")
        return sorted(path for path in glob.glob(pattern) if self.is_own(path))

    def _load(self, path: str) -> str:
        """The text of one of the administrator's files; surrogates stand for bytes that are not UTF-8."""
        if self._content is not None and path == self.config_file:
            return self._content
        content = files.read_bytes(self._full(path))
        if content is None:
            main = path == self.config_file
            way_out = "name the right one with config_file" if main else "create it, or remove the include"
            raise DhcpError("%s does not exist; %s" % (path, way_out))
        return content.decode("utf-8", "surrogateescape")

    def _parse(self, texts: Texts) -> t.Tuple[Node, Texts]:
        """(Dhcp4, the text of every file read); a text in `texts` goes before the file."""
        if texts and texts == self._last[1]:
            return self._last  # the tree of thousands of subnets takes a while
        reader = kea_text.Reader(lambda path: texts[path] if path in texts else self._load(path), self.is_own)
        try:
            root = reader.read(self.config_file)
        except kea_text.TextFault as exc:
            raise DhcpError("the configuration is invalid before any change: %s" % exc) from exc
        dhcp4 = root.get("Dhcp4")
        if dhcp4 is None or dhcp4.members is None:
            raise DhcpError(
                '%s holds no "Dhcp4" object; is it the configuration of Kea\'s DHCPv4 server?' % self.config_file
            )
        self._last = dhcp4, reader.texts
        return self._last

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
        if RANKS[scope.kind] == HOOK:
            return hooks.place(dhcp4, scope)
        if RANKS[scope.kind] == CLASS:
            return dhcp4, "client-classes"
        if scope.kind == GLOBAL:
            return dhcp4, "option-data"
        places = self._places(dhcp4)[scope.kind != SHARED_NETWORK]
        if scope.name in places:
            return places[scope.name], "option-data"
        known = list(places)
        more = ["%d more" % (len(known) - 10)] if len(known) > 10 else []
        raise DhcpError(
            "%s is not in %s; there: %s" % (scope, self.config_file, ", ".join(known[:10] + more) or "none")
        )

    def _places(self, dhcp4: Node) -> _Places:
        """(shared networks by name, subnets by CIDR) of a tree; of the same name, the first."""
        if self._indexed[0] is not dhcp4:
            networks: t.Dict[str, Node] = {}
            subnets: t.Dict[str, Node] = {}
            for item in dhcp4.items("shared-networks"):
                networks.setdefault(item.text("name"), item)
            nested = [item for network in dhcp4.items("shared-networks") for item in network.items("subnet4")]
            for item in dhcp4.items("subnet4") + nested:
                subnets.setdefault(item.text("subnet"), item)
            self._indexed = (dhcp4, (networks, subnets))
        return self._indexed[1]

    # --- planning ---

    def draft(
        self,
        settings: t.Sequence[OptionSetting],
        on_conflict: str,
        by_hook: t.Collection[OptionSetting] = (),
        library: str = "",
    ) -> Draft:
        """The configuration in which exactly `settings` are ours. Those in `by_hook` are (also) set by flex_option, the
        hook library that is called `library` there. Raises DhcpError with every fault found.
        """
        texts = {path: kea_edit.restore_elements(text) for path, text in self._texts.items()}
        dhcp4, texts = self._parse(texts)
        kept, conflicts, texts = self._settle_conflicts(settings, dhcp4, texts, on_conflict)
        hooked = [item for item in kept if item in by_hook]
        texts = self._place_includes(kept, hooked, texts)
        dhcp4, texts = self._parse(texts)
        own = self._render_own_files(kept, hooked, library, dhcp4)
        # Included files first, unneeded ones last: the configuration never names one that is not there.
        contents: t.List[t.Tuple[str, t.Optional[bytes]]] = [(path, text.encode()) for path, text in own.items()]
        contents += [(path, text.encode("utf-8", "surrogateescape")) for path, text in texts.items()]
        contents += [(path, None) for path in self._own_files() if path not in own]
        # What was there before is what was read: an edit since then must not pass for it.
        was = self._judged([])
        changes = [
            FileChange(path, was[path] if path in was else files.read_bytes(path), after)
            for path, after in ((self._full(path), after) for path, after in contents)
        ]
        changes = [change for change in changes if change.before != change.after]
        return Draft(kept, hooked, changes, conflicts, dhcp4)

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
                texts = dict(texts, **{source: kea_edit.disable_element(texts[source], array, found[0])})
            except kea_text.TextFault as exc:
                what = "option %s of %s cannot be replaced" % (option_name(item.code), item.scope)
                raise DhcpError("%s: %s" % (what, exc)) from exc

    def _general_paths(self, settings: t.Sequence[OptionSetting]) -> t.Set[str]:
        """Files whose include lines stay as long as anything is ours, even when nothing is in them.

        Whoever wrote the configuration may have put the lines there for good; the role does.
        """
        return {self._own_path(scope) for scope in (GLOBAL_SCOPE, Scope(VENDOR))} if settings else set()

    def _needed(
        self, settings: t.Sequence[OptionSetting], by_hook: t.Sequence[OptionSetting], dhcp4: Node
    ) -> t.Dict[str, Scope]:
        """Our files that something is in, with a scope that tells their place."""
        scopes = [item.scope for item in settings if item.code not in hooks.ONLY_BY_HOOK]
        if by_hook:
            scopes += [hooks.class_of(item) for item in by_hook]
            scopes.append(hooks.AMONG_THEIRS if hooks.their_parameters(dhcp4) is not None else hooks.OWN_ELEMENT)
        return {self._own_path(scope): scope for scope in scopes}

    def _place_includes(
        self, settings: t.Sequence[OptionSetting], by_hook: t.Sequence[OptionSetting], texts: Texts
    ) -> Texts:
        """Our include lines: missing ones in, unneeded ones out, all others left where they stand."""
        needed = self._needed(settings, by_hook, self._parse(texts)[0])
        present = {path for text in texts.values() for path in kea_text.include_paths(text) if self.is_own(path)}
        for path in sorted(present - set(needed) - self._general_paths(settings)):
            texts = {source: kea_edit.remove_include(text, path) for source, text in texts.items()}
        missing = [path for path in needed if path not in present]
        while missing:
            dhcp4, texts = self._parse(texts)
            insertions: t.Dict[str, t.List[kea_edit.Insertion]] = {}
            filled: t.List[Node] = []
            for path in list(missing):
                holder, key = self._place(dhcp4, needed[path])
                array = holder.get(key)
                if array is None:
                    if not holder.members:  # the next one needs a comma: in another round
                        if any(item is holder for item in filled):
                            continue
                        filled.append(holder)
                    insertion = kea_edit.insertion_of_array(texts[holder.source], holder, key, path)
                elif array.elements is None or array.source != array.end_source:
                    raise DhcpError("%s of %s is not one list in one file; write it as one" % (key, needed[path]))
                else:
                    insertion = kea_edit.insertion_into_array(texts[array.source], array, path)
                insertions.setdefault((array or holder).source, []).append(insertion)
                missing.remove(path)
            texts = dict(texts, **{source: kea_edit.insert(texts[source], new) for source, new in insertions.items()})
        return texts

    def _render_own_files(
        self, settings: t.Sequence[OptionSetting], by_hook: t.Sequence[OptionSetting], library: str, dhcp4: Node
    ) -> t.Dict[str, str]:
        scopes = self._needed(settings, by_hook, dhcp4)
        general = self._general_paths(settings)
        for scope in (GLOBAL_SCOPE, Scope(VENDOR)):
            holder, key = self._place(dhcp4, scope)
            array = holder.get(key)
            if array is not None and any(item.path in general for item in array.includes):
                scopes.setdefault(self._own_path(scope), scope)
        by_path: t.Dict[str, t.List[OptionSetting]] = {}
        for item in settings:
            if item.code not in hooks.ONLY_BY_HOOK:
                by_path.setdefault(self._own_path(item.scope), []).append(item)
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
            if RANKS[scope.kind] == HOOK:
                rendered[path] = hooks.render(scope, by_hook, includes[0], library)
                continue
            more = {hooks.class_of(item) for item in by_hook} if RANKS[scope.kind] == CLASS else ()
            rendered[path] = render_file(scope, by_path.get(path, []), includes[0], more)
        return rendered

    # --- while others edit ---

    def refuse_edited(self, changes: t.Sequence[FileChange]) -> None:
        """Raises EditedMeanwhile when a file on disk is neither what was read nor what `changes` made of it."""
        for path, content in self._judged(changes).items():
            if files.read_bytes(path) != content:
                raise EditedMeanwhile("%s was changed by somebody else while this ran; run it again" % path)

    def _judged(self, changes: t.Sequence[FileChange]) -> t.Dict[str, t.Optional[bytes]]:
        """What every file of the administrator's, and of `changes`, holds on disk once these are made."""
        judged: t.Dict[str, t.Optional[bytes]] = {
            self._full(path): text.encode("utf-8", "surrogateescape") for path, text in self._texts.items()
        }
        if self._content is not None:
            judged[self._full(self.config_file)] = self._replaced
        judged.update({change.path: change.after for change in changes})
        return judged

    def put_aside_edited(self, suffix: str) -> None:
        """Put back every file of the administrator's as it was read; what is there instead is kept with the suffix."""
        for path, content in self._judged([]).items():
            now = files.read_bytes(path)
            if now != content and content is not None:
                if now is not None:
                    files.write_atomically(path + suffix, now, like=path)
                files.write_atomically(path, content, like=path if now is not None else self.config_file)

    # --- testing ---

    def test(self, changes: t.Sequence[FileChange], checker: t.Callable[[str], t.Optional[str]]) -> t.Optional[str]:
        """The checker's complaint about the configuration with `changes`, which are not made; None when there is none.

        Copies of all files stand beside the real ones while it looks: AppArmor lets Kea read nowhere else.
        """
        contents = {path: files.read_bytes(path) for path in self._own_files()}
        contents.update(self._judged(changes))
        name = os.path.join(os.path.dirname(self.config_file), ".autoprov-test-%d-%d.json")
        copies = {path: name % (os.getpid(), index) for index, path in enumerate(sorted(contents))}
        try:
            for path, content in contents.items():
                if content is not None:
                    text = kea_edit.rewrite_includes(
                        content.decode("utf-8", "surrogateescape"),
                        lambda other: copies.get(self._full(other), other),
                    )
                    data = text.encode("utf-8", "surrogateescape")
                    files.write_atomically(copies[path], data, like=self.config_file, lasting=False)
            complaint = checker(copies[self.config_file])
        finally:
            for copy in copies.values():
                files.remove(copy)
        for path, copy in copies.items():
            complaint = complaint.replace(copy, path) if complaint else complaint
        return complaint


def _does_the_same(entry: Node, item: OptionSetting) -> bool:
    return shown_value(entry) == display(item.data) and is_true(entry.get("always-send"), False)
