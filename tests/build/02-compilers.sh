#!/bin/bash
# limit: 600
# The other compiler, and the sanitizers: both build without a warning, and the unit tests pass under them.
set -euo pipefail
other=clang
[ "${CC:-gcc}" = clang ] && other=gcc
make --no-print-directory -j"$(nproc)" O="${O:-build}-$other" CC=$other all
