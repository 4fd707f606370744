#!/bin/sh
# slacktide beside SimPy and nexosim on this machine; installs what it needs under target/peers.
exec python3 "$(dirname "$0")/run.py" "$@"
