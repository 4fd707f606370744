#!/bin/sh
set -eu
mkdir -p run
echo "hello from 1.2, with a mistake" > run/greeting
