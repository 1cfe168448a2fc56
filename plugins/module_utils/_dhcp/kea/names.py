# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What Kea calls the options of DHCPv4 (its standard definitions, the same in 2.2, 2.6 and 3.0). Data only."""

from __future__ import annotations

import typing as t

_FROM_1 = (
    "subnet-mask time-offset routers time-servers name-servers domain-name-servers log-servers cookie-servers "
    "lpr-servers impress-servers resource-location-servers host-name boot-size merit-dump domain-name swap-server "
    "root-path extensions-path ip-forwarding non-local-source-routing policy-filter max-dgram-reassembly "
    "default-ip-ttl path-mtu-aging-timeout path-mtu-plateau-table interface-mtu all-subnets-local broadcast-address "
    "perform-mask-discovery mask-supplier router-discovery router-solicitation-address static-routes "
    "trailer-encapsulation arp-cache-timeout ieee802-3-encapsulation default-tcp-ttl tcp-keepalive-interval "
    "tcp-keepalive-garbage nis-domain nis-servers ntp-servers vendor-encapsulated-options netbios-name-servers "
    "netbios-dd-server netbios-node-type netbios-scope font-servers x-display-manager dhcp-requested-address "
    "dhcp-lease-time dhcp-option-overload dhcp-message-type dhcp-server-identifier dhcp-parameter-request-list "
    "dhcp-message dhcp-max-message-size dhcp-renewal-time dhcp-rebinding-time vendor-class-identifier "
    "dhcp-client-identifier nwip-domain-name nwip-suboptions nisplus-domain-name nisplus-servers tftp-server-name "
    "boot-file-name mobile-ip-home-agent smtp-server pop-server nntp-server www-server finger-server irc-server "
    "streettalk-server streettalk-directory-assistance-server user-class slp-directory-agent slp-service-scope"
).split()

CODES: t.Dict[str, int] = {
    **{name: code for code, name in enumerate(_FROM_1, 1)},
    "fqdn": 81,
    "dhcp-agent-options": 82,
    "nds-servers": 85,
    "nds-tree-name": 86,
    "nds-context": 87,
    "bcms-controller-names": 88,
    "bcms-controller-address": 89,
    "client-last-transaction-time": 91,
    "associated-ip": 92,
    "client-system": 93,
    "client-ndi": 94,
    "uuid-guid": 97,
    "uap-servers": 98,
    "geoconf-civic": 99,
    "pcode": 100,
    "tcode": 101,
    "v6-only-preferred": 108,
    "netinfo-server-address": 112,
    "netinfo-server-tag": 113,
    "v4-captive-portal": 114,
    "auto-config": 116,
    "name-service-search": 117,
    "subnet-selection": 118,
    "domain-search": 119,
    "vivco-suboptions": 124,
    "vivso-suboptions": 125,
    "pana-agent": 136,
    "v4-lost": 137,
    "capwap-ac-v4": 138,
    "sip-ua-cs-domains": 141,
    "rdnss-selection": 146,
    "v4-portparams": 159,
    "option-6rd": 212,
    "v4-access-domain": 213,
}
