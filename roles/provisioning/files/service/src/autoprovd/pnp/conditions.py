# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to hold for a phone to find its configuration by itself (zero-touch), and what does; in words to act on.

Read from what the service knows already: nothing is sent. A condition that nobody can know yet is neither met nor not.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, ip_address
from types import MappingProxyType
from typing import Any, NamedTuple

from autoprovd.clock import iso_time
from autoprovd.directory import PNP_FILE, Request
from autoprovd.pnp.ledger import TOLD, UNHEARD
from autoprovd.vendors import VENDORS

_FETCHING_SECONDS = 60.0
"""How long a phone may take from being told its address to asking there."""


class Standing(NamedTuple):
    """Where SIP PnP is answered at this moment."""

    wanted: tuple[str, ...] = ()
    """The interfaces that were named."""
    networks: tuple[tuple[str, IPv4Network], ...] = ()
    """The networks phones are answered in, each with the name of its interface."""
    hindrance: str = ""
    """Why not everywhere."""


class Condition(NamedTuple):
    """One thing that has to hold."""

    name: str
    """``model``, ``service``, ``network``, ``heard``, ``told`` or ``fetched``."""
    met: bool | None
    """None where nobody can know yet."""
    words: dict[str, str]
    """The same in each language, ``en`` and ``de``."""


# English and German of each finding; {…} is filled in.
_WORDS = MappingProxyType(
    {
        ("model", True): (
            "{title} {model} phones ask the network for their address when they start with factory settings.",
            "{title} {model} fragt mit Werkseinstellungen beim Start das Netz nach seiner Adresse.",
        ),
        ("model", False): (
            "{title} {model} phones are not known to ask the network (SIP PnP). Use option 66, or type {path} into the "
            "phone's web interface.",
            "Von {title} {model} ist nicht bekannt, dass es das Netz fragt (SIP PnP). Option 66 verwenden, oder {path} "
            "in der Weboberfläche des Telefons eintragen.",
        ),
        ("service", True): (
            "The appliance answers on {interfaces}.",
            "Die Appliance antwortet auf {interfaces}.",
        ),
        ("service", False): (
            "The appliance answers nobody: {hindrance}. Name the interface of the phones' network in "
            "provisioning_pnp_interfaces, give it an IPv4 address, and keep 5060/UDP free for it.",
            "Die Appliance antwortet niemandem: {hindrance}. Die Schnittstelle zum Netz der Telefone in "
            "provisioning_pnp_interfaces nennen, ihr eine IPv4-Adresse geben und 5060/UDP dort frei halten.",
        ),
        ("network", True): (
            "{address} is on the network of {interfaces}.",
            "{address} liegt im Netz von {interfaces}.",
        ),
        ("network", False): (
            "{address} is on none of the appliance's networks ({networks}). The question stays in the phone's own "
            "network: give the appliance an interface there, or use option 66.",
            "{address} liegt in keinem Netz der Appliance ({networks}). Die Frage bleibt im Netz des Telefons: der "
            "Appliance dort eine Schnittstelle geben, oder Option 66 verwenden.",
        ),
        ("network", None): (
            "Nobody knows yet which address the phone has. It has to be in {networks}.",
            "Noch ist nicht bekannt, welche Adresse das Telefon hat. Sie muss in {networks} liegen.",
        ),
        ("heard", True): (
            "It asked at {at} from {source}.",
            "Es hat um {at} von {source} gefragt.",
        ),
        ("heard", False): (
            "It never asked. Restart it with factory settings, in the appliance's network; let 5060/UDP to 224.0.1.75 "
            "through (firewall profile pnp_multicast), and let switches pass that group (IGMP snooping). A phone with "
            "an entry at its vendor's redirect service asks there first.",
            "Es hat nie gefragt. Mit Werkseinstellungen im Netz der Appliance neu starten; 5060/UDP an 224.0.1.75 "
            "durchlassen (Firewall-Profil pnp_multicast), auch auf Switches (IGMP-Snooping). Ein Telefon mit einem "
            "Eintrag im Redirect-Dienst des Herstellers fragt zuerst dort.",
        ),
        ("heard", None): (
            "It did not ask the network lately. It asked by HTTP, so it knows its address already.",
            "Es hat das Netz in letzter Zeit nicht gefragt. Es hat per HTTP gefragt, kennt seine Adresse also schon.",
        ),
        ("told", True): (
            "It was told its address, and acknowledged it.",
            "Ihm wurde seine Adresse genannt, und es hat bestätigt.",
        ),
        ("told", False): (
            "It was not told its address: {reason}.",
            "Ihm wurde seine Adresse nicht genannt: {reason}.",
        ),
        ("unheard", False): (
            "It did not acknowledge its address. Let UDP from the appliance to port 5060 of phones through, and back.",
            "Es hat seine Adresse nicht bestätigt. UDP von der Appliance zu Port 5060 der Telefone und "
            "zurück durchlassen.",
        ),
        ("fetched", True): (
            "It asked for its configuration after that.",
            "Danach hat es seine Konfiguration geholt.",
        ),
        ("fetched", False): (
            "It knows its address and never asked there. Let its network reach {path}, and check the certificate if "
            "that is HTTPS.",
            "Es kennt seine Adresse und hat dort nie gefragt. {path} aus seinem Netz erreichbar machen; bei HTTPS das "
            "Zertifikat prüfen.",
        ),
        ("fetched", None): (
            "It was told its address a moment ago.",
            "Seine Adresse wurde ihm gerade erst genannt.",
        ),
    }
)


def _condition(name: str, met: bool | None, variant: str | None = None, **places: str) -> Condition:
    english, german = _WORDS[variant or name, met]
    return Condition(name, met, {"en": english.format(**places), "de": german.format(**places)})


def conditions(shown: dict[str, Any], requests: Sequence[Request], standing: Standing, now: float) -> list[Condition]:
    """The conditions of one phone, in the order in which they come to matter; later ones only where they apply.

    ``shown`` has its ``vendor``, ``model``, ``address`` (or None) and ``server_path``; ``requests`` are its latest,
    oldest first; ``now`` is seconds since 1970.
    """
    room = VENDORS[shown["vendor"]]
    known = room.model(shown["model"])
    asks = known is not None and known.family in room.pnp_families
    found = [_condition("model", asks, title=room.title, model=shown["model"], path=shown["server_path"])]
    interfaces = ", ".join(dict.fromkeys(name for name, _network in standing.networks))
    if not standing.networks:
        hindrance = standing.hindrance or "no interface is up with an IPv4 address"
        return [*found, _condition("service", False, hindrance=hindrance)]
    found.append(_condition("service", True, interfaces=interfaces))
    if asks:
        found.append(_network(shown["address"] or (requests[-1].source if requests else None), standing))
        found += _exchange(shown["server_path"], requests, now)
    return found


def _network(address: str | None, standing: Standing) -> Condition:
    networks = ", ".join(f"{network} ({name})" for name, network in standing.networks)
    if address is None:
        return _condition("network", None, networks=networks)
    place = ip_address(address)
    beside = [name for name, network in standing.networks if place in network]
    return _condition("network", bool(beside), address=address, networks=networks, interfaces=", ".join(beside))


def _exchange(path: str, requests: Sequence[Request], now: float) -> list[Condition]:
    questions = [request for request in requests if request.file == PNP_FILE]
    if not questions:
        return [_condition("heard", None if requests else False)]
    last = questions[-1]
    at = (iso_time(last.at) or "")[:19].replace("T", " ") + " UTC"
    found = [_condition("heard", True, at=at, source=last.source)]
    if last.outcome != TOLD:
        variant = "unheard" if last.outcome == UNHEARD else None
        return [*found, _condition("told", False, variant, reason=last.reason)]
    found.append(_condition("told", True))
    fetched = any(request.at >= last.at for request in requests if request.file != PNP_FILE)
    met = fetched or (None if now - last.at < _FETCHING_SECONDS else False)
    return [*found, _condition("fetched", met, path=path)]


def hindrance(found: Sequence[Condition]) -> Condition | None:
    """The first condition that does not hold: what to do next."""
    return next((condition for condition in found if condition.met is False), None)
