# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A phone that is not there: whether its file is, without ever using up a release.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import http.client
import ssl
import typing as t
from urllib.parse import urlsplit

from ansible_collections.autoprov.appliance.plugins.module_utils._site_check.items import Item, item

# What each vendor's phones ask for first, and what they say of themselves.
_ASKS = {
    "snom": ("snom{model}-{MAC}.htm", "Mozilla/4.0 (compatible; snom{model}-SIP 10.1.33.33 {MAC} SXM:0 UXM:0)"),
    "yealink": ("{mac}.cfg", "Yealink SIP-{model} 96.87.0.15 {colons}"),
    "gigaset": ("{mac}.xml", "Gigaset {model} IP PRO/83.V2.49.1+build.a546b91;{MAC}"),
}


def ask(url: str, phone: t.Mapping[str, str], ca_path: t.Optional[str], language: str, patience: float) -> Item:
    """Ask with HEAD, which releases nothing, for the file of a phone of the site (``vendor``, ``model``, ``mac``)."""
    mac = phone["mac"]
    places = {
        "mac": mac,
        "MAC": mac.upper(),
        "model": phone["model"],
        "colons": ":".join(mac[i : i + 2] for i in range(0, 12, 2)),
    }
    name, agent = (text.format(**places) for text in _ASKS[phone["vendor"]])
    place = urlsplit(url)
    subject = f"{phone['vendor']} {phone['model']} {mac}"
    target = f"{place.path.rpartition('/')[0]}/{name}"
    connection: http.client.HTTPConnection
    if place.scheme == "https":
        context = ssl.create_default_context(cafile=ca_path)
        connection = http.client.HTTPSConnection(place.hostname or "", place.port, timeout=patience, context=context)
    else:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=patience)
    try:
        connection.request("HEAD", target, headers={"User-Agent": agent})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return item("phone", subject, "not served", language, url=url, status=reason, mac=mac)
    finally:
        connection.close()
    # A Gigaset is asked for the ID of its label first: its file is there.
    served = status == 200 or (status == 401 and phone["vendor"] == "gigaset")
    shown = f"{place.scheme}://{place.netloc}{target}"
    return item("phone", subject, "served" if served else "not served", language, url=shown, status=status, mac=mac)
