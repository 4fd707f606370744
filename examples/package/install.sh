#!/bin/sh
# Runs in the folder of the unpacked package; what it makes stays in the slot.
set -eu
mkdir -p run
bin/greet > run/greeting.new
mv run/greeting.new run/greeting
