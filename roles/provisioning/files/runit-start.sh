#!/bin/sh
# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Waits for runit to take up a service, and starts runit where it does not run. Says "started" when something was done.
#
# usage: runit-start.sh SERVICE
set -eu
service=/etc/service/$1

taken_up() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do
        sv status "$service" >/dev/null 2>&1 && return
        sleep 0.5
    done
    return 1
}

case $(sv status "$service" 2>/dev/null || true) in
run:*) exit ;;
esac
# runsvdir looks every five seconds. Without one that watches /etc/service, start one that outlives this login.
if ! taken_up; then
    setsid -f runsvdir -P /etc/service </dev/null >/dev/null 2>&1
    taken_up || { echo "runit does not take up $service" >&2; exit 1; }
fi
sv -w 15 start "$service" >/dev/null || { sv status "$service" >&2; exit 1; }
echo started
