#!/bin/sh
# May this device be updated now? Enough room for what install.sh writes.
set -eu
free_kib=$(df -Pk . | awk 'NR == 2 { print $4 }')
[ "$free_kib" -ge 1024 ]
