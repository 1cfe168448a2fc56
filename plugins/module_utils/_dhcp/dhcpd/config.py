# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""ISC dhcpd's configuration on disk: the administrator's files, ours beside them, and what both are to become."""

from __future__ import annotations

import glob
import os
import typing as t
from collections import Counter
from dataclasses import asdict, dataclass

from .. import files
from ..backend import Conflict
from ..errors import DhcpError
from ..files import FileChange
from ..intent import GLOBAL_SCOPE, SHARED_NETWORK, OptionSetting, Scope
from ..options import display, option_name
from . import text as dhcpd_text
from .entries import RANKS, class_name, file_suffix, render_main, render_scope
from .precedence import may_concern
from .survey import CLASS, GLOBAL, NETWORK, SUBNET, Declared, Survey
from .text import Statement

Texts = t.Dict[str, str]  # path as the include has it -> text, one character for each byte
Tree = t.List[Statement]
_ENCODING = "latin-1"


@dataclass
class Draft:
    """What the configuration is to become: the settings that remain ours, the files that change, what is in the way."""

    settings: t.List[OptionSetting]
    changes: t.List[FileChange]
    conflicts: t.List[Conflict]
    #: Of the files as they will be, ours among them.
    survey: Survey


class DhcpdConfiguration:
    """The files as they are now. Relative paths in them are relative to `cwd`, the server's working directory."""

    def __init__(self, config_file: str, cwd: str) -> None:
        self.config_file = config_file
        self._cwd = cwd
        _tree, self._texts = self._parse({})

    # --- reading ---

    def _full(self, path: str) -> str:
        return os.path.realpath(os.path.join(self._cwd, path))

    @property
    def _stem(self) -> str:
        return os.path.splitext(os.path.basename(self.config_file))[0] + ".autoprov"

    def _is_own(self, path: str) -> bool:
        directory, base = os.path.split(os.path.join(self._cwd, path))
        same = os.path.realpath(directory) == os.path.dirname(self.config_file)
        placed = base.startswith((self._stem + "-subnet-", self._stem + "-network-")) and base.endswith(".conf")
        return same and (placed or base == self._stem + ".conf")

    def _own_path(self, scope: Scope) -> str:
        return os.path.join(os.path.dirname(self.config_file), self._stem + file_suffix(scope) + ".conf")

    def own_files(self) -> t.List[str]:
        pattern = os.path.join(glob.escape(os.path.dirname(self.config_file)), "*.conf")
        return sorted(path for path in glob.glob(pattern) if self._is_own(path))

    def _load(self, path: str) -> str:
        content = files.read_bytes(self._full(path))
        if content is None:
            main = path == self.config_file
            way_out = "name the right one with config_file" if main else "create it, or remove the include"
            raise DhcpError("%s does not exist; %s" % (path, way_out))
        return content.decode(_ENCODING)

    def _parse(self, texts: Texts, follow_own: bool = False) -> t.Tuple[Tree, Texts]:
        """(statements, the text of every file read); a text in `texts` goes before the file."""
        reader = dhcpd_text.Reader(
            lambda path: texts[path] if path in texts else self._load(path), self._is_own, follow_own
        )
        try:
            return reader.read(self.config_file), reader.texts
        except dhcpd_text.TextFault as exc:
            raise DhcpError("the configuration is invalid before any change: %s" % exc) from exc

    def survey(self) -> Survey:
        """What the files set today, ours among them."""
        return Survey(*self._parse({}, follow_own=True))

    # --- planning ---

    def draft(self, settings: t.Sequence[OptionSetting], on_conflict: str) -> Draft:
        """The configuration in which exactly `settings` are ours. Raises DhcpError with every fault found."""
        # What was put in last is taken out first: our lines went in when what was in the way was a comment already.
        stripped = self._without_our_lines()
        texts = {path: dhcpd_text.restore_statements(text) for path, text in stripped.items()}
        kept, conflicts, texts = self._settle_conflicts(settings, texts, on_conflict)
        own = self._render_own_files(kept, Survey(*self._parse(texts)))
        # Where nothing else changes, lines of ours stay where an administrator has seen, or moved, them.
        texts = {path: self._texts[path] if text == stripped[path] else text for path, text in texts.items()}
        texts = self._place_includes(kept, own, texts)
        final = Survey(*self._parse({**texts, **own}, follow_own=True))
        # Included files first, unneeded ones last: the configuration never names one that is not there.
        changes = [FileChange(path, files.read_bytes(path), text.encode(_ENCODING)) for path, text in own.items()]
        for path, text in texts.items():
            # What was read, not what is there by now: an administrator may be at work.
            changes.append(FileChange(self._full(path), self._texts[path].encode(_ENCODING), text.encode(_ENCODING)))
        changes += [FileChange(path, files.read_bytes(path), None) for path in self.own_files() if path not in own]
        return Draft(kept, [change for change in changes if change.before != change.after], conflicts, final)

    def _without_our_lines(self) -> Texts:
        tree, texts = self._parse(self._texts)
        for path in {path for path, _container in dhcpd_text.own_includes(tree)}:
            texts = {source: dhcpd_text.remove_include(text, path) for source, text in texts.items()}
        return texts

    def _line(self, item: Declared, texts: Texts) -> int:
        """The line in the file as it is now; `texts` are those without what is ours."""
        statement, current = texts[item.source][item.start : item.end], self._texts[item.source]
        return dhcpd_text.line_of(current, current.find(statement)) if current.count(statement) == 1 else item.line

    def _block_of(self, scope: Scope, survey: Survey) -> t.Optional[Statement]:
        """The block in which the scope's options are, None for the top. Raises DhcpError where there is none."""
        if RANKS[scope.kind] in (CLASS, GLOBAL):
            return None
        known = survey.networks if scope.kind == SHARED_NETWORK else survey.subnets
        name = scope.name.encode("utf-8").decode(_ENCODING)
        if len(known.get(name, ())) == 1:
            return known[name][0]
        if name in known:
            raise DhcpError("%s is in %s more than once; declare it once" % (scope, self.config_file))
        names = [other.encode(_ENCODING).decode("utf-8", "replace") for other in known]
        more = ["%d more" % (len(names) - 10)] if len(names) > 10 else []
        raise DhcpError(
            "%s is not in %s; there: %s" % (scope, self.config_file, ", ".join(names[:10] + more) or "none")
        )

    def _settle_conflicts(
        self, settings: t.Sequence[OptionSetting], texts: Texts, on_conflict: str
    ) -> t.Tuple[t.List[OptionSetting], t.List[Conflict], Texts]:
        """Find the administrator's statements for the same option at the same level; drop ours or theirs, as told."""
        tree, texts = self._parse(texts)
        survey = Survey(tree, texts)
        kept: t.List[OptionSetting] = []
        conflicts: t.List[Conflict] = []
        faults: t.List[str] = []
        in_the_way: t.Dict[t.Tuple[str, int], Declared] = {}
        for item in settings:
            try:
                self._block_of(item.scope, survey)
            except DhcpError as exc:
                faults += exc.faults
                continue
            if RANKS[item.scope.kind] == CLASS and class_name(item.scope) in survey.classes:
                fault = "class %s is already in the administrator's part; rename it there"
                faults.append(fault % class_name(item.scope))
            found = [other for other in survey.declared if _collides(other, item, survey)]
            for other in found:
                where = "%s:%d" % (self._full(other.source), self._line(other, texts))
                existing = other.value.shown + (" (%s)" % other.condition if other.condition else "")
                conflicts.append(Conflict(str(item.scope), item.code, existing, display(item.data), where))
            if not found or on_conflict == "replace":
                kept.append(item)
                in_the_way.update({(other.source, other.start): other for other in found})
        if on_conflict == "fail":
            faults += [
                "option %s, %s: the administrator has set %s in %s, wanted is %s; choose on_conflict=replace or "
                "keep, or change it there"
                % (option_name(item.code), item.scope, item.existing, item.where, item.wanted)
                for item in conflicts
            ]
        often = _included_often(tree)
        faults += [
            "%s is included more than once, so the option in line %d cannot be replaced for one place; move it there"
            % (other.source, other.line)
            for (source, _start), other in in_the_way.items()
            if source in often
        ]
        if faults:
            raise DhcpError(*dict.fromkeys(faults), details={"conflicts": [asdict(item) for item in conflicts]})
        for (source, start), other in sorted(in_the_way.items(), reverse=True):
            texts = dict(texts, **{source: dhcpd_text.disable_statement(texts[source], start, other.end)})
        return kept, conflicts, texts

    def _render_own_files(self, settings: t.Sequence[OptionSetting], survey: Survey) -> Texts:
        """Our files by path: one for each subnet and network of ours, and the main one where anything is for it."""
        scopes = {item.scope for item in settings}
        placed = sorted((scope for scope in scopes if RANKS[scope.kind] in (SUBNET, NETWORK)), key=str)
        own = {}
        also_always: t.Set[int] = set()
        for scope in placed:
            own_settings = [item for item in settings if item.scope == scope]
            own[self._own_path(scope)] = render_scope(scope, own_settings)
            for other in survey.request_lists:
                if CLASS < other.rank < RANKS[scope.kind] and may_concern(other, scope, survey):
                    also_always.update(item.code for item in own_settings)
        limited = [
            other.place.name for other in survey.request_lists if other.rank == CLASS and other.place.data is None
        ]
        if settings and (len(placed) < len(scopes) or also_always or limited):
            own[self._own_path(GLOBAL_SCOPE)] = render_main(settings, also_always, dict.fromkeys(limited))
        # UTF-8 as a file has it, one character for each byte as our texts have it.
        return {path: text.encode("utf-8").decode(_ENCODING) for path, text in own.items()}

    def _place_includes(self, settings: t.Sequence[OptionSetting], own: Texts, texts: Texts) -> Texts:
        """Our include lines: missing ones in, unneeded ones out, all others left where they stand."""
        needed = dict.fromkeys(own, GLOBAL_SCOPE)
        scopes = {self._own_path(item.scope): item.scope for item in settings}
        needed.update({path: scope for path, scope in scopes.items() if path in own})
        tree, texts = self._parse(texts)
        present = {path for path, _container in dhcpd_text.own_includes(tree)}
        wanted = {self._full(path) for path in needed}
        for path in sorted(path for path in present if self._full(path) not in wanted):
            texts = {source: dhcpd_text.remove_include(text, path) for source, text in texts.items()}
        there = {self._full(path) for path in present}
        for path in [path for path in needed if self._full(path) not in there]:
            tree, texts = self._parse(texts)
            block = self._block_of(needed[path], Survey(tree, texts))
            source = block.source if block is not None else self.config_file
            if source in _included_often(tree):
                raise DhcpError("%s is included more than once; %s cannot be told apart" % (source, needed[path]))
            if block is None:
                text = dhcpd_text.append_include(texts[source], path)
            else:
                text = dhcpd_text.insert_include(texts[source], block, path)
            texts = dict(texts, **{source: text})
        self._refuse_misplaced(needed, texts)
        return texts

    def _refuse_misplaced(self, needed: t.Mapping[str, Scope], texts: Texts) -> None:
        tree, texts = self._parse(texts)
        survey = Survey(tree, texts)
        found = [(self._full(path), container) for path, container in dhcpd_text.own_includes(tree)]
        for path, scope in needed.items():
            containers = [container for other, container in found if other == self._full(path)]
            if len(containers) != 1 or containers[0] is not self._block_of(scope, survey):
                raise DhcpError(
                    "the include of %s stands %s; remove it from %s, it will be put where it belongs"
                    % (path, "more than once" if len(containers) > 1 else "in a wrong place", self.config_file)
                )

    # --- testing ---

    def test(self, changes: t.Sequence[FileChange], checker: t.Callable[[str], t.Optional[str]]) -> t.Optional[str]:
        """The checker's complaint about the configuration with `changes`, which are not made; None when there is none.

        Copies of all files stand beside the real ones while it looks: AppArmor lets dhcpd read nowhere else.
        """
        contents: t.Dict[str, t.Optional[bytes]] = {
            self._full(path): text.encode(_ENCODING) for path, text in self._texts.items()
        }
        contents.update({path: files.read_bytes(path) for path in self.own_files()})
        contents.update({change.path: change.after for change in changes})
        name = os.path.join(os.path.dirname(self.config_file), ".autoprov-test-%d-%d.conf")
        copies = {path: name % (os.getpid(), index) for index, path in enumerate(sorted(contents))}
        try:
            for path, content in contents.items():
                if content is not None:
                    text = content.decode(_ENCODING)
                    try:
                        statements = dhcpd_text.parse(path, text)
                    except dhcpd_text.TextFault as exc:
                        return str(exc)
                    text = dhcpd_text.rewrite_includes(
                        text, statements, lambda other: copies.get(self._full(other), other)
                    )
                    files.write_atomically(copies[path], text.encode(_ENCODING), like=self.config_file)
            complaint = checker(copies[self.config_file])
        finally:
            for copy in copies.values():
                files.remove(copy)
        for path, copy in copies.items():
            complaint = complaint.replace(copy, path) if complaint else complaint
        return complaint


def _included_often(tree: Tree) -> t.Set[str]:
    """Files that more than one include brings in: what is changed in them changes several places."""
    counts: t.Counter[str] = Counter()

    def count(items: Tree) -> None:
        for item in items:
            if item.included is not None:
                counts[item.included] += 1
            count(item.children)

    count(tree)
    return {path for path, number in counts.items() if number > 1}


def _collides(other: Declared, item: OptionSetting, survey: Survey) -> bool:
    """Does the administrator's statement set the same option at the same level to something else?"""
    if other.code != item.code or other.ours:
        return False
    rank = RANKS[item.scope.kind]
    if other.is_space:  # option 43 of ours would win over it wherever both apply
        return other.rank <= rank and may_concern(other, item.scope, survey)
    if other.rank != rank or rank == CLASS:
        return False
    name = item.scope.name.encode("utf-8").decode(_ENCODING)
    return other.place.name == name and other.value.data != item.data
