#!/bin/sh
# The release is to say exactly this; it does not.
grep -q '^hello from 1.2$' run/greeting
