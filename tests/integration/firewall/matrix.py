# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every profile, asked with packets from the phones' network and from another one."""

from __future__ import annotations

from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.profiles import ANYBODY, PROFILES, Profile

from .walled_host import NETWORKS, OTHERS, PHONES, Port, WalledHost

#: A port that no profile opens.
NEIGHBOUR = ("tcp", 50079)


def ports_of(profile: Profile) -> list[Port]:
    """The ends of every range of a profile."""
    return list(dict.fromkeys((item.protocol, end) for item in profile.ports for end in (item.first, item.last)))


def assert_open_to_phones_only(host: WalledHost, profiles: list[str]) -> None:
    """All ports of these profiles are open to the phones' network, over IPv4 and IPv6, and to no other network."""
    chosen = [PROFILES[name] for name in profiles]
    every = list(dict.fromkeys([port for profile in PROFILES.values() for port in ports_of(profile)] + [NEIGHBOUR]))
    wanted = {port for profile in chosen if profile.group is None for port in ports_of(profile)}
    to_all = {port for profile in chosen if profile.who == ANYBODY for port in ports_of(profile)}
    groups = {profile.group for profile in PROFILES.values() if profile.group is not None}
    with host.listening(every, groups) as log:
        askers = [(sender, version) for sender in (PHONES, OTHERS) for version in (4, 6)]
        for (sender, version), answers in zip(askers, host.ask_all(askers, every), strict=True):
            found = {port for port, answer in answers.items() if answer == "open"}
            assert found == (wanted if sender == PHONES else to_all), (profiles, version, sender)
        # To a group, whose port may be open to it, or to everything the phones send; and from who has no address yet.
        messages, expected = [], []
        for profile in PROFILES.values():
            for item in profile.ports:
                port = (item.protocol, item.first)
                for sender in (PHONES, OTHERS):
                    if profile.group is not None:
                        messages.append((sender, "group", item.first, profile.group))
                        expected.append(sender == PHONES and (profile in chosen or port in wanted))
                    elif profile.who == ANYBODY:
                        messages.append((sender, "nobody", item.first, ""))
                        expected.append(port in to_all)
        assert dict(zip(messages, host.heard(log, messages), strict=True)) == dict(zip(messages, expected, strict=True))


def intent(*profiles: str) -> dict[str, list[str]]:
    """What the engine is asked for: these profiles, from the phones' network."""
    networks = list(NETWORKS[PHONES])
    return {"profiles": list(profiles), "networks": networks, "admin_networks": networks}
