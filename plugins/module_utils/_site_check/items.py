# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check found, and the words for it in English and German.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import typing as t

OK, WARNING, ERROR, SKIPPED = "ok", "warning", "error", "skipped"
ORDER = (ERROR, WARNING, SKIPPED, OK)


class Item(t.NamedTuple):
    """One line of the list."""

    check: str
    """``dns``, ``reach``, ``certificate``, ``time``, ``dhcp``, ``pnp`` or ``phone``."""
    subject: str
    state: str
    finding: str
    advice: str
    """What to do; empty where nothing is to be done."""


# What can be found, by name: the state, and finding and advice in English and German. {…} is filled in.
_FINDINGS: dict[str, tuple[str, tuple[str, str], tuple[str, str]]] = {
    "resolves": (OK, ("is {addresses}", ""), ("ist {addresses}", "")),
    "no name": (
        ERROR,
        ("does not exist: {reason}", "Check the spelling, and which DNS server this host asks."),
        ("gibt es nicht: {reason}", "Schreibweise prüfen, und welchen DNS-Server dieser Host fragt."),
    ),
    "no resolver": (
        ERROR,
        ("no DNS server answers: {reason}", "Let DNS (53/UDP and TCP) through, or name another server."),
        ("kein DNS-Server antwortet: {reason}", "DNS (53/UDP und TCP) durchlassen oder einen anderen Server nennen."),
    ),
    "reached": (OK, ("answers", ""), ("antwortet", "")),
    "refused": (
        ERROR,
        ("nobody listens", "Start the service that should listen there, and check its port."),
        ("dort hört niemand zu", "Den Dienst starten, der dort zuhören soll, und den Port prüfen."),
    ),
    "no way": (
        ERROR,
        ("no answer: {reason}", "Let TCP to there through; port_probe tells which rule drops it."),
        ("keine Antwort: {reason}", "TCP dorthin durchlassen; port_probe nennt die Regel, die es verwirft."),
    ),
    "trusted": (
        OK,
        ("{version}, valid for {days} more days", ""),
        ("{version}, noch {days} Tage gültig", ""),
    ),
    "ends soon": (
        WARNING,
        ("valid for {days} more days only", "Renew it; phones refuse it after that."),
        ("nur noch {days} Tage gültig", "Erneuern; danach weisen Telefone es ab."),
    ),
    "not trusted": (
        ERROR,
        ("a phone would refuse it: {reason}", "{way}"),
        ("ein Telefon würde es abweisen: {reason}", "{way_de}"),
    ),
    "no tls": (
        ERROR,
        ("no TLS: {reason}", "Check that this port is an HTTPS door, and not an HTTP one."),
        ("kein TLS: {reason}", "Prüfen, ob dieser Port eine HTTPS-Tür ist und keine für HTTP."),
    ),
    "right time": (OK, ("{offset:+.1f} s off this host", ""), ("{offset:+.1f} s neben diesem Host", "")),
    "wrong time": (
        ERROR,
        ("{offset:+.0f} s off this host", "Set this host's clock right (chrony), or name a time server that is right."),
        (
            "{offset:+.0f} s neben diesem Host",
            "Die Uhr dieses Hosts richten (chrony), oder einen richtigen Zeitserver nennen.",
        ),
    ),
    "no time": (
        ERROR,
        (
            "gives no time: {reason}",
            "Phones without time refuse certificates. Let 123/UDP through, or name another server.",
        ),
        (
            "gibt keine Zeit: {reason}",
            "Telefone ohne Zeit weisen Zertifikate ab. 123/UDP durchlassen, oder einen anderen nennen.",
        ),
    ),
    "told by dhcp": (OK, ("is told {url}", ""), ("erfährt {url}", "")),
    "dhcp": (
        ERROR,
        ("{reason}", "Run the role dhcp, or give the site's DHCP server the option 66 by hand."),
        ("{reason}", "Die Rolle dhcp laufen lassen, oder dem DHCP-Server Option 66 von Hand geben."),
    ),
    "dhcp not asked": (
        SKIPPED,
        ("could not ask: {reason}", "Run it as root, on a host in the phones' network."),
        ("konnte nicht fragen: {reason}", "Als root auf einem Host im Netz der Telefone laufen lassen."),
    ),
    "told by pnp": (OK, ("is told {url}", ""), ("erfährt {url}", "")),
    "pnp silent": (
        ERROR,
        ("nobody answers SIP PnP", "{way}"),
        ("niemand antwortet auf SIP PnP", "{way_de}"),
    ),
    "pnp elsewhere": (
        ERROR,
        ("{source} tells {url}", "Another server answers SIP PnP here: switch it off, or phones go there."),
        (
            "{source} nennt {url}",
            "Ein anderer Server antwortet hier auf SIP PnP: abschalten, sonst gehen Telefone dorthin.",
        ),
    ),
    "served": (OK, ("{url} is there for it", ""), ("{url} ist für es da", "")),
    "not served": (
        ERROR,
        ("{url}: status {status}", "Add the phone to the list of phones, or see: autoprov phone why {mac}"),
        ("{url}: Status {status}", "Das Telefon in die Liste aufnehmen, oder ansehen: autoprov phone why {mac}"),
    ),
    "broken": (
        ERROR,
        ("the check itself failed: {reason}", "Report it with the version of the collection."),
        ("die Prüfung selbst scheiterte: {reason}", "Mit der Version der Collection melden."),
    ),
}


def item(check: str, subject: str, what: str, language: str, **places: t.Any) -> Item:
    """An item in that language, ``en`` or ``de``."""
    state, *words = _FINDINGS[what]
    finding, advice = words[1 if language == "de" else 0]
    return Item(check, subject, state, finding.format(**places), advice.format(**places))


_STATES = {
    "en": {OK: "ok", WARNING: "warning", ERROR: "error", SKIPPED: "skipped"},
    "de": {OK: "gut", WARNING: "Warnung", ERROR: "Fehler", SKIPPED: "ausgelassen"},
}


def table(items: t.Sequence[Item], language: str) -> list[str]:
    """Lines for a person: what is wrong first, what to do below it."""
    states = _STATES[language]
    width = max((len(each.subject) for each in items), default=0)
    lines = []
    for each in sorted(items, key=lambda one: ORDER.index(one.state)):
        lines.append(f"{states[each.state]:<12}{each.check:<12}{each.subject:<{width}}  {each.finding}")
        if each.advice and each.state != OK:
            lines.append(" " * 12 + each.advice)
    return lines
