#!/usr/bin/python3
# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ask SOURCE HOST PORT PATH…: the status of each answer, or what the network said, a line each."""

import http.client
import sys

source, host, port, *paths = sys.argv[1:]
for path in paths:
    connection = http.client.HTTPConnection(host, int(port), timeout=2, source_address=(source, 0))
    try:
        connection.request("GET", path)
        print(connection.getresponse().status)
    except TimeoutError:
        print("timeout")
    except OSError:
        print("rejected")
    finally:
        connection.close()
