#!/bin/bash
# Every link between documents, and every file that they name, exists.
set -eu
cd "$(dirname "$0")/../.."
git ls-files '*.md' >/dev/null 2>&1 || {
	echo "not a git checkout"
	exit 77
}
git ls-files -z '*.md' | xargs -0 python3 tests/check_links.py
