#!/bin/sh
# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Changes the keys with which the service seals passwords, wherever they are kept: puts a new one first, or takes old
# ones out that seal nothing any more. Each change is complete or did not happen. Says "changed" when something was done.
#
# usage: exchange-key.sh add PROGRAM FOLDER | exchange-key.sh retire PROGRAM FOLDER ID...
set -eu
umask 077
action=$1 program=$2 folder=$3
shift 3
file=$folder/sealing.key credential=$folder/sealing.cred name=autoprov-sealing-key
kept=$file

# A credential is changed in memory, and sealed again before it takes the old one's place.
if [ -e "$credential" ]; then
    memory=$(mktemp -d /run/autoprov-key.XXXXXX)
    trap 'rm -rf "$memory"' EXIT
    file=$memory/sealing.key
    systemd-creds decrypt --name=$name "$credential" "$file" 2>/dev/null ||
        { echo "$credential does not open on this host; restore the key from your backup" >&2; exit 1; }
    kept=$credential
fi

before=$(cksum <"$file")
case $action in
add)
    # More than one: an exchange was broken off, and is to be finished first.
    [ "$(grep -c . "$file")" -gt 1 ] || "$program" generate-key --add "$file" >/dev/null
    ;;
retire)
    for id in "$@"; do
        "$program" retire-key --config "$folder/autoprovd.toml" "$file" "$id"
    done
    ;;
esac
[ "$(cksum <"$file")" != "$before" ] || exit 0

if [ "$kept" = "$credential" ]; then
    rm -f "$credential.new" # of an attempt that was broken off
    systemd-creds encrypt --name=$name "$file" "$credential.new" 2>/dev/null
    systemd-creds decrypt --name=$name "$credential.new" - 2>/dev/null | cmp -s - "$file" ||
        { echo "the new credential does not open; $credential is as it was" >&2; exit 1; }
    sync "$credential.new"
    mv "$credential.new" "$credential"
    sync "$folder"
fi
echo changed
