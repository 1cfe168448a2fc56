# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Which phones are to be registered, and with which URL. Checked once, all faults at once."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import urlsplit

from .models import is_released
from .proof import weakness
from .provider import Provider

_MAC = re.compile(r"[0-9a-f]{2}([:-]?)[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}")
_LABEL_ID = re.compile(r"[A-Z0-9]{4}")
_URL = re.compile(r"[!-~]+")
Phones = t.Mapping[str, t.Mapping[str, t.Any]]


class Wanted(t.NamedTuple):
    """How a phone is to stand."""

    mac: str
    #: None: it is not to be registered.
    url: t.Optional[str]
    label_id: str = ""


class Entry(t.NamedTuple):
    """An entry of the list, as far as it could be read."""

    place: str
    mac: str
    model: str
    label_id: str
    url: str
    present: bool


def option_faults(options: t.Mapping[str, t.Any], provider: t.Type[Provider]) -> t.List[str]:
    """What is wrong with the options that hold for the whole list."""
    faults = []
    endpoint = options.get("endpoint")
    if endpoint and not (_is_https(endpoint) and _URL.fullmatch(endpoint)):
        faults.append("endpoint is not an address by https without credentials; write https://host/path")
    for name in ("username", "password"):
        value = str(options[name])
        if not value or not value.isprintable():
            faults.append(f"{name} is empty or holds characters that none has (a line break?); copy it again")
    if ":" in str(options["username"]):
        faults.append("username holds a colon, which ends a user name on its way; check it")
    if options.get("purge") and not provider.lists:
        faults.append(f"{provider.title} does not tell what it has, so nothing can be purged; use state=absent")
    if not 1 <= int(options.get("endpoint_timeout") or 0) <= 600:
        faults.append("endpoint_timeout is outside 1..600")
    if not 0 <= int(options.get("retries") or 0) <= 10:
        faults.append("retries is outside 0..10")
    return faults


def parse_entries(
    entries: t.Sequence[t.Mapping[str, t.Any]], url: t.Optional[str], state: str, faults: t.List[str]
) -> t.List[Entry]:
    """The list with what holds for all of it filled in; ``faults`` takes what is wrong with spellings."""
    parsed: t.List[Entry] = []
    places: t.Dict[str, str] = {}
    for index, entry in enumerate(entries):
        place = f"phones[{index}]"
        spelled = str(entry.get("mac") or "").strip().lower()
        if not _MAC.fullmatch(spelled):
            faults.append(
                f"{place}: {str(entry.get('mac'))!r} is not a MAC address; write 12 hexadecimal digits in quotes, "
                "such as '00:04:13:92:2D:24'"
            )
            continue
        mac = re.sub("[^0-9a-f]", "", spelled)
        if mac in places:
            faults.append(f"{place}: {mac} stands in {places[mac]} already; leave one of them out")
            continue
        places[mac] = place
        parsed.append(
            Entry(
                f"{place} ({mac})",
                mac,
                str(entry.get("model") or ""),
                str(entry.get("mac_id") or "").strip().upper(),
                str(entry.get("url") or url or ""),
                (entry.get("state") or state) == "present",
            )
        )
    return parsed


def check(
    entries: t.Sequence[Entry], provider: t.Type[Provider], known: t.Optional[Phones], faults: t.List[str]
) -> t.List[Wanted]:
    """What is wanted of the entries; ``faults`` takes every reason against one.

    ``known`` is what the provisioning service tells of its phones; None where it was stated what the server behind the
    URL asks for.
    """
    wanted: t.List[Wanted] = []
    for entry in entries:
        if not entry.present:
            wanted.append(Wanted(entry.mac, None))
            continue
        found = [_url_fault(entry.url)]
        phone = known.get(entry.mac) if known is not None else None
        if known is not None and phone is None:
            found.append("the provisioning service does not know it; add it with the module phones first")
        elif phone is not None:
            found.append(weakness(phone))
        found.append(_model_fault(entry, provider, phone))
        found.append(_label_fault(entry, provider))
        faults += [f"{entry.place}: {fault}" for fault in found if fault]
        wanted.append(Wanted(entry.mac, entry.url, entry.label_id))
    return wanted


def _url_fault(url: str) -> t.Optional[str]:
    if not url:
        return "no url is given; give the one of the provisioning server, such as https://prov.example:50081/"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "url is not an address; write https://host:port/"
    if parts.username is not None or parts.password is not None:
        return (
            "url holds a user name or password, which the vendor's cloud would hand to whoever shows the MAC address; "
            "leave it out"
        )
    if not _URL.fullmatch(url):
        return "url holds a blank or a character that is not ASCII; escape it with %"
    if parts.scheme != "https":
        return (
            f"url begins with {parts.scheme or 'no scheme'}; it must be https, or passwords cross the internet readable"
        )
    if not host:
        return "url names no host; write https://host:port/"
    if parts.fragment:
        return "url has a part behind #, which is never sent; leave it out"
    return None


def _model_fault(entry: Entry, provider: t.Type[Provider], phone: t.Optional[t.Mapping[str, t.Any]]) -> t.Optional[str]:
    vendor = str(phone.get("vendor") or "") if phone else provider.vendor
    model = str(phone.get("model") or "") if phone else entry.model
    if phone and entry.model and entry.model.lower() != model.lower():
        return f"model {entry.model} is not what the provisioning service knows ({model}); leave model out"
    if not model:
        return "no model is given; it decides whether the phone may be registered"
    if vendor != provider.vendor:
        return f"a phone of {vendor} does not ask {provider.title}; choose a provider of {vendor}"
    if not is_released(provider.name, model):
        return (
            f"the model {model} is not released for {provider.title}; tell it its server by DHCP option 66, or type "
            "the path into its web interface (filter server_path)"
        )
    return None


def _label_fault(entry: Entry, provider: t.Type[Provider]) -> t.Optional[str]:
    if entry.label_id and not _LABEL_ID.fullmatch(entry.label_id):
        return "mac_id is not four letters or digits; copy what stands behind the MAC address on the label"
    if provider.needs_label_id and not entry.label_id:
        return "mac_id is missing; give the four characters that stand behind the MAC address on the label"
    return None


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return False
