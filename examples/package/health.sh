#!/bin/sh
# Does the device do its work?
set -eu
grep -q '^hello from 1.1$' run/greeting
