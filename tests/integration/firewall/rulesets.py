# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of administrators, as they are found on hosts. None of them knows a port of a telephone."""

from __future__ import annotations

_USUAL = """
        ct state vmap { invalid : drop, established : accept, related : accept }
        iif "lo" accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
        ip protocol icmp accept
        tcp dport { 22, 80 } accept comment "ours, not yours"
"""

POLICY_DROPS = """
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;USUAL
    }
    chain forward { type filter hook forward priority filter; policy drop; }
}
""".replace("USUAL", _USUAL)

FINAL_REJECT = """
table inet filter {
    chain input {
        type filter hook input priority filter; policy accept;USUAL
        meta l4proto tcp counter reject with tcp reset
        counter reject with icmpx admin-prohibited
    }
}
""".replace("USUAL", _USUAL)

LIMITED_REJECT_AND_POLICY = """
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;USUAL
        pkttype host limit rate 5/second counter reject with icmpx admin-prohibited
        counter comment "the rest"
    }
}
""".replace("USUAL", _USUAL)

ONE_TABLE_FOR_EACH_VERSION = """
table ip guard {
    chain in { type filter hook input priority 10; policy drop;
        ct state established,related accept
        iifname "lo" accept
        tcp dport 22 accept
    }
}
table ip6 guard {
    chain in { type filter hook input priority -20; policy accept;
        ct state established,related accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        jump last
    }
    chain last {
        tcp dport 22 accept
        log prefix "dropped: "
        drop
    }
}
"""

SEVERAL_CHAINS = """
table inet one { chain a { type filter hook input priority -200; policy accept;
  tcp dport 1-1023 tcp dport != 22 drop; udp dport < 1024 drop
 }
}
table inet two { chain b { type filter hook input priority 300; policy drop; ct state established,related accept
  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
  iifname vmap { "lo" : accept, "phones0" : jump fromphones, "others0" : jump fromothers }
 }
 chain fromphones { udp dport 1 accept; counter
 }
 chain fromothers { udp dport 1 accept; counter
 }
}
"""

#: What protects stays in force: who is banned, and who comes too often.
BANNED = """
table inet filter {
    set banned { type ipv4_addr; flags interval; elements = { 198.18.1.66, 198.18.1.128/25 } }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif "lo" accept
        jump bans
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        tcp dport 22 accept
        counter reject with icmpx admin-prohibited
    }
    chain bans {
        ip saddr @banned counter drop
        meter often { ip saddr limit rate over 100000/second } counter drop
        return
    }
}
"""

#: As fail2ban makes it with its nftables actions.
FAIL2BAN = """
table inet f2b-table {
    set addr-set-sshd { type ipv4_addr; elements = { 198.18.1.66 } }
    chain f2b-chain {
        type filter hook input priority filter - 1; policy accept;
        ip saddr @addr-set-sshd reject with icmp port-unreachable
    }
}
"""

#: As `iptables-save` prints a host with Docker and fail2ban.
IPTABLES = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-USER - [0:0]
:f2b-sshd - [0:0]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -i lo -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "ssh; ask Jo" -j ACCEPT
-A INPUT -p tcp -m multiport --dports 80,443,8000:8010 -j ACCEPT
-A INPUT -m limit --limit 3/min -j LOG --log-prefix "dropped: "
-A INPUT -j REJECT --reject-with icmp-host-prohibited
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -j DOCKER
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-USER -j RETURN
-A f2b-sshd -s 198.18.1.77/32 -j REJECT --reject-with icmp-port-unreachable
-A f2b-sshd -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8888 -j DNAT --to-destination 172.17.0.2:80
COMMIT
"""

IP6TABLES = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p ipv6-icmp -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""

#: Whose rules others' packets meet, by name. `iptables` is loaded by iptables-restore.
CLOSED = {
    "a policy drops": POLICY_DROPS,
    "a final reject": FINAL_REJECT,
    "a limited reject and a policy": LIMITED_REJECT_AND_POLICY,
    "a table for each version of IP": ONE_TABLE_FOR_EACH_VERSION,
    "several chains, ranges and maps": SEVERAL_CHAINS,
    "bans before a final reject": BANNED,
}
