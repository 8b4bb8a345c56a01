#!/bin/bash
# limit: 400
# The Python package of WaveOS with real torch on the CPU.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=/usr/bin/python3
"$python" -c 'import torch' 2>/dev/null || { echo "torch is not installed for $python"; exit 77; }
export PYTHONDONTWRITEBYTECODE=1
"$python" -c 'import ast, sys
for name in sys.argv[1:]: ast.parse(open(name).read(), name, feature_version=(3, 8))' \
	gpu/python/*.py gpu/python/waveos/*.py tests/gpu/python/*.py tests/gpu/scripts/*.py
! command -v pyflakes3 >/dev/null || pyflakes3 gpu/python tests/gpu
"$python" -m unittest discover -s tests/gpu/python -t tests/gpu/python
