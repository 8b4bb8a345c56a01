#!/bin/bash
# limit: 400
# The commands in the documents work as they stand (tests/docs.sh).
set -eu
cd "$(dirname "$0")/../.."
unshare --mount --net --pid --fork true 2>/dev/null || {
	echo "no name spaces to run them in"
	exit 77
}
exec tests/docs.sh
