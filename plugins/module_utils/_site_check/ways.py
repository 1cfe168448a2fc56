# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, TCP and TLS: what a phone needs before it can ask for a file.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import socket
import ssl
import time
import typing as t

from ansible_collections.autoprov.appliance.plugins.module_utils._site_check.items import Item, item

_SOON_DAYS = 30
# OpenSSL's numbers of what is wrong with a certificate: in words, and the way out.
_FAULTS = {
    9: ("not valid yet", "noch nicht gültig", "Set the clock of whoever made it, or of this host.", "Die Uhr richten."),
    10: ("expired", "abgelaufen", "Renew it.", "Erneuern."),
    18: (
        "self-signed",
        "selbst ausgestellt",
        "Use one of an authority that phones trust, or give them this one (trusted certificates).",
        "Eines von einer Stelle nehmen, der Telefone vertrauen, oder ihnen dieses geben.",
    ),
    19: (
        "of an authority nobody knows",
        "von einer unbekannten Stelle",
        "Use an authority that phones trust, or give them its certificate.",
        "Eine Stelle nehmen, der Telefone vertrauen, oder ihnen deren Zertifikat geben.",
    ),
    20: (
        "its authority is not known, or the certificates between are missing",
        "Aussteller unbekannt, oder die Zwischenzertifikate fehlen",
        "Let the server send the whole chain; phones fetch no missing certificates.",
        "Der Server muss die ganze Kette senden; Telefone holen keine Zwischenzertifikate nach.",
    ),
    62: (
        "of another name",
        "für einen anderen Namen",
        "Make it for the name in the URL.",
        "Für den Namen in der URL ausstellen.",
    ),
    64: (
        "of another address",
        "für eine andere Adresse",
        "Make it for the address in the URL.",
        "Für die Adresse in der URL ausstellen.",
    ),
}


def resolve(name: str, language: str) -> t.Tuple[Item, t.List[str]]:
    """Whether the name has addresses, and which."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        what = "no resolver" if error.errno == socket.EAI_AGAIN else "no name"
        return item("dns", name, what, language, reason=error.strerror or str(error)), []
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    return item("dns", name, "resolves", language, addresses=", ".join(addresses)), addresses


def reach(host: str, port: int, language: str, patience: float) -> Item:
    """Whether somebody listens there."""
    subject = f"{host}:{port}"
    try:
        socket.create_connection((host, port), timeout=patience).close()
    except ConnectionRefusedError:
        return item("reach", subject, "refused", language)
    except OSError as error:
        return item("reach", subject, "no way", language, reason=error.strerror or str(error))
    return item("reach", subject, "reached", language)


def certificate(host: str, port: int, ca_path: t.Optional[str], language: str, patience: float) -> Item:
    """What a phone would think of the certificate there; it trusts ``ca_path``, else what this host trusts."""
    subject = f"{host}:{port}"
    context = ssl.create_default_context(cafile=ca_path)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        plain = socket.create_connection((host, port), timeout=patience)
        with context.wrap_socket(plain, server_hostname=host) as own:
            told, version = own.getpeercert() or {}, own.version() or "TLS"
    except ssl.SSLCertVerificationError as error:
        words = _FAULTS.get(error.verify_code)
        reason, reason_de, way, way_de = words or (
            error.verify_message,
            error.verify_message,
            "Replace it.",
            "Ersetzen.",
        )
        shown = reason_de if language == "de" else reason
        return item("certificate", subject, "not trusted", language, reason=shown, way=way, way_de=way_de)
    except ssl.SSLError as error:
        return item("certificate", subject, "no tls", language, reason=error.reason or str(error))
    except OSError as error:
        return item("certificate", subject, "no way", language, reason=error.strerror or str(error))
    days = int((ssl.cert_time_to_seconds(str(told["notAfter"])) - time.time()) // 86400)
    return item(
        "certificate", subject, "ends soon" if days < _SOON_DAYS else "trusted", language, days=days, version=version
    )
