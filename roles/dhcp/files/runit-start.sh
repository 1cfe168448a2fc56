#!/bin/sh
# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Waits until runit has taken up a service, starting runit where none watches /etc/service, then sees that the service is up.
# Says "started" when there was something to do.
#
# usage: runit-start.sh SERVICE
set -eu
service=/etc/service/$1

wait_for_runit() { # runsvdir looks for new services every five seconds
    for _ in $(seq 14); do
        if sv status "$service" >/dev/null 2>&1; then return 0; fi
        sleep 0.5
    done
    return 1
}

case $(sv status "$service" 2>/dev/null || true) in run:*) exit 0 ;; esac
if ! wait_for_runit; then
    setsid -f runsvdir -P /etc/service </dev/null >/dev/null 2>&1
    wait_for_runit || { echo "runit does not take up $service" >&2; exit 1; }
fi
sv -w 15 start "$service" >/dev/null || { sv status "$service" >&2; exit 1; }
echo started
