# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""One list at one service, whichever it is: read, compare, change what differs, find out what became of it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .errors import CallError, NotAccepted, PhoneFault, RedirectError
from .hawk_rest import GigasetGrape, SnomSraps
from .intent import Wanted
from .provider import CREATE, REMOVE, UPDATE, Change, Provider, Registration, Standing
from .xml_rpc_providers import GigasetRedirect, SnomXmlRpc, YealinkRps
from .yealink_ymcs import YealinkYmcs

#: Every service; a new one is one more line, and its models in models.py.
PROVIDERS: t.Mapping[str, t.Type[Provider]] = {
    provider.name: provider
    for provider in (SnomSraps, SnomXmlRpc, YealinkYmcs, YealinkRps, GigasetGrape, GigasetRedirect)
}
_DONE = {CREATE: "created", UPDATE: "updated", REMOVE: "removed"}
_NOT_REGISTERED = "not registered"


@dataclass
class Outcome:
    """What happened, in plain data for the module's result."""

    created: t.List[str] = field(default_factory=list)
    updated: t.List[str] = field(default_factory=list)
    removed: t.List[str] = field(default_factory=list)
    unchanged: int = 0
    #: Phones that are not as they should be: MAC address, to why.
    failed: t.Dict[str, str] = field(default_factory=dict)
    notes: t.List[str] = field(default_factory=list)
    diff: t.Dict[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether anything was changed, or would be."""
        return bool(self.created or self.updated or self.removed)


def run(
    provider: Provider,
    wanted: t.Sequence[Wanted],
    purge: t.Sequence[str] = (),
    rewrite: bool = False,
    check_mode: bool = False,
) -> Outcome:
    """Have these phones stand as they are wanted. Raises RedirectError while nothing has been changed.

    ``purge`` names servers by their URLs: what the account sends there, and is not wanted, is removed. ``rewrite``
    writes URLs again that the service does not tell.
    """
    try:
        standing = provider.read([item.mac for item in wanted])
        wanted = [*wanted, *(_purged(provider, wanted, standing, purge) if purge else ())]
    except CallError as error:
        raise RedirectError(f"{error}. Nothing was changed") from None
    refused = {mac: found for mac, found in standing.items() if isinstance(found, PhoneFault)}
    if refused:
        raise RedirectError(*(f"{mac}: {fault}. Nothing was changed" for mac, fault in refused.items()))
    changes = _plan(wanted, standing, rewrite)
    outcome = Outcome(diff=_difference(changes), unchanged=len(wanted) - len(changes))
    unseen = sum(_is_unseen(item, standing, rewrite) for item in wanted)
    if unseen:
        outcome.notes.append(
            f"{provider.title} does not tell where it sends a phone: {unseen} that were registered already are left "
            "as they are; rewrite=true writes their URL again"
        )
    if check_mode:
        for change in changes:
            getattr(outcome, _DONE[change.verb]).append(change.mac)
    else:
        _apply(provider, {item.mac: item for item in wanted}, changes, rewrite, outcome)
    outcome.notes += provider.scheme.notes()
    return outcome


def _plan(wanted: t.Iterable[Wanted], standing: Standing, rewrite: bool) -> t.List[Change]:
    """What differs."""
    changes = []
    for item in wanted:
        before = standing.get(item.mac)
        if isinstance(before, PhoneFault):
            continue
        if item.url is None:
            if before is not None:
                changes.append(Change(item.mac, REMOVE, before=before))
        elif before is None:
            changes.append(Change(item.mac, CREATE, item.url, item.label_id))
        elif rewrite if before.url is None else before.url != item.url:
            changes.append(Change(item.mac, UPDATE, item.url, item.label_id, before))
    return changes


def _is_unseen(item: Wanted, standing: Standing, rewrite: bool) -> bool:
    before = standing.get(item.mac)
    return item.url is not None and isinstance(before, Registration) and before.url is None and not rewrite


def _apply(
    provider: Provider, wanted: t.Mapping[str, Wanted], changes: t.List[Change], rewrite: bool, outcome: Outcome
) -> None:
    """Make the changes. One whose outcome is not known is looked at, and made again where it is still due."""
    verbs = {change.mac: change.verb for change in changes}
    was_registered = {change.mac for change in changes if change.before is not None}
    for attempt in range(provider.transport.retries + 1):
        unknown: t.Dict[str, CallError] = {}
        for start in range(0, len(changes), provider.batch):
            batch = changes[start : start + provider.batch]
            try:
                made = provider.write(batch)
            except NotAccepted as refusal:
                made = dict.fromkeys((change.mac for change in changes[start:]), refusal)
            for mac, error in made.items():
                if error is None:
                    getattr(outcome, _DONE[verbs[mac]]).append(mac)
                elif isinstance(error, CallError) and error.may_be_done:
                    unknown[mac] = error
                else:
                    outcome.failed[mac] = str(error)
            if any(isinstance(error, NotAccepted) for error in made.values()):
                break
        if not unknown:
            break
        changes = _still_due(provider, wanted, unknown, verbs, rewrite, attempt, outcome)
    _look_again(provider, was_registered, outcome)


def _still_due(
    provider: Provider,
    wanted: t.Mapping[str, Wanted],
    unknown: t.Mapping[str, CallError],
    verbs: t.Mapping[str, str],
    rewrite: bool,
    attempt: int,
    outcome: Outcome,
) -> t.List[Change]:
    """What is left to do of changes whose outcome was not known."""
    provider.transport.pause(attempt, max(error.retry_after for error in unknown.values()))
    try:
        standing = provider.read(list(unknown))
    except CallError as error:
        for mac, first in unknown.items():
            outcome.failed[mac] = f"nobody knows whether it was done: {first}; and it could not be looked at: {error}"
        return []
    # An update of a URL that cannot be seen is due until the service says that it is done.
    unseen = rewrite or any(verbs[mac] == UPDATE for mac in unknown)
    due = _plan((wanted[mac] for mac in unknown), standing, unseen)
    # But what was to be created is there now: by this run.
    due = [change for change in due if not (verbs[change.mac] == CREATE and _is_there_unseen(change))]
    left = {change.mac for change in due}
    for mac, first in unknown.items():
        found = standing.get(mac)
        if isinstance(found, PhoneFault):
            outcome.failed[mac] = str(found)
        elif mac not in left:
            getattr(outcome, _DONE[verbs[mac]]).append(mac)
        elif attempt == provider.transport.retries:
            outcome.failed[mac] = f"it was not done: {first}"
    return [] if attempt == provider.transport.retries else due


def _is_there_unseen(change: Change) -> bool:
    return change.verb == UPDATE and change.before is not None and change.before.url is None


def _look_again(provider: Provider, was_registered: t.Set[str], outcome: Outcome) -> None:
    """Say of each phone that failed how it stands now, where that is not as it was."""
    failed = [mac for mac in outcome.failed if mac in was_registered]
    if not failed:
        return
    try:
        standing = provider.read(failed)
    except CallError:
        return
    for mac in failed:
        if standing.get(mac) is None:
            outcome.failed[mac] += ". It is not registered any more: run again"


def _purged(
    provider: Provider, wanted: t.Sequence[Wanted], standing: Standing, purge: t.Sequence[str]
) -> t.Iterator[Wanted]:
    """What else the account sends to these servers: to be removed. Phones of other sites stay."""
    servers = {_server(url) for url in purge}
    listed = {item.mac for item in wanted}
    others = [mac for mac in provider.list_registered() if mac not in listed]
    for mac, found in provider.read(others).items():
        if isinstance(found, Registration) and found.url and _server(found.url) in servers:
            standing[mac] = found
            yield Wanted(mac, None)


def _server(url: str) -> t.Tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or 443
    except ValueError:
        return "", "", 0


def _difference(changes: t.Sequence[Change]) -> t.Dict[str, str]:
    """Before and after, a line for each phone that differs."""
    before, after = [], []
    for change in sorted(changes, key=lambda change: change.mac):
        held = change.before
        before.append(f"{change.mac} {_NOT_REGISTERED if held is None else _shown(held.url)}\n")
        after.append(f"{change.mac} {_NOT_REGISTERED if change.verb == REMOVE else _shown(change.url)}\n")
    return {"before": "".join(before), "after": "".join(after)}


def _shown(url: t.Optional[str]) -> str:
    """A URL without what others may have put in front of its host."""
    if url is None:
        return "registered, with a URL that the service does not tell"
    if not url:
        return "registered, without a URL"
    scheme, found, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    hidden = "********@" + authority.rpartition("@")[2] if "@" in authority else authority
    return f"{scheme}{found}{hidden}{slash}{path}"
