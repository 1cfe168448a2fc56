# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the configuration that the running Kea has, as Kea itself tells it on its control socket."""

import socket

with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
    connection.settimeout(10)
    connection.connect("/run/kea/kea4-ctrl-socket")
    connection.sendall(b'{"command": "config-get"}')
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
print(answer.decode())
