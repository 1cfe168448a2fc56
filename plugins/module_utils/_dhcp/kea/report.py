# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What a Kea configuration says today, for a person: what is set where, and who would win for a client."""

from __future__ import annotations

import typing as t

from ..backend import Answer, SetOption
from ..errors import DhcpError
from ..probe import Client
from .config import KeaConfiguration
from .entries import GLOBAL_LEVEL, HOOK, NETWORK, POOL
from .expression import Sketch, Verdict
from .levels import KeaOption, options_of, subnets_of
from .members import Members, sketch_of


class KeaReport:
    """One configuration, read in whole: the administrator's files and ours."""

    def __init__(self, configuration: KeaConfiguration) -> None:
        self._configuration = configuration
        dhcp4 = configuration.whole()
        self._options = options_of(dhcp4)
        self._members = Members(dhcp4)
        #: CIDR -> name of the shared network, or empty.
        self._networks = {item.text("subnet"): network for network, _around, item in subnets_of(dhcp4)}

    def set_options(self) -> t.List[SetOption]:
        """Every option set, what wins first."""
        return [self._shown(item) for item in self._options]

    def _shown(self, item: KeaOption, always_sent: bool = False) -> SetOption:
        return SetOption(
            level=item.level,
            name=item.host.mac or item.host.identifier if item.host is not None else item.name,
            code=item.code,
            value=item.value,
            ours=item.ours,
            where=self._configuration.where(item.entry),
            always_sent=item.always_send or always_sent,
            condition=item.condition,
        )

    def answer(self, code: int, client: Client, subnet: t.Optional[str]) -> Answer:
        """The first that surely applies, and what stands before it and may. Raises DhcpError for an unknown subnet."""
        if subnet is None and len(self._networks) == 1:
            subnet = next(iter(self._networks))
        if subnet is not None and subnet not in self._networks:
            raise DhcpError("subnet %s is not in %s" % (subnet, self._configuration.config_file))
        sketch = sketch_of(client, complete=False)
        winner: t.Optional[KeaOption] = None
        unless: t.List[SetOption] = []
        # Kea sends what wins, asked for or not, as soon as any level that applies says so.
        always_sent = False
        for item in self._options:
            verdict = self._applies(item, sketch, subnet) if item.code == code else False
            if verdict:
                winner = winner or item
                always_sent = always_sent or item.always_send
            elif verdict is None and winner is None:
                unless.append(self._shown(item))
        return Answer(code, self._shown(winner, always_sent) if winner else None, tuple(unless))

    def _applies(self, item: KeaOption, client: Sketch, subnet: t.Optional[str]) -> Verdict:
        if item.host is not None:
            return self._members.has_reservation(item.host, client, subnet)
        if item.client_class is not None:
            return self._members.belongs(item.name, client, subnet)
        if item.rank == HOOK:
            member = self._members.belongs(item.name, client, subnet) if item.name else True
            return None if member and item.conditional else member
        if item.rank == GLOBAL_LEVEL:
            return True
        if subnet is None:
            return None
        if item.rank == NETWORK:
            return item.name == self._networks[subnet]
        if item.rank == POOL and item.subnet == subnet and item.pools > 1:
            return None
        return item.subnet == subnet
