#!/bin/bash
# Keys and signatures against tools that others wrote: minisign and openssl take ours, we take theirs, and neither
# takes what was changed.
. "$(dirname "$0")/lib.sh"
command -v minisign >/dev/null || skip "no minisign"
command -v openssl >/dev/null || skip "no openssl"
CC=${CC:-cc}
command -v "$CC" >/dev/null || skip "no C compiler for tools/sign.c"

here=$(dirname "$0")
objects=("$O"/user/evidence/{sign,minisign}.o "$O"/user/core/{base64,io}.o)
# shellcheck disable=SC2046 # words on purpose
"$CC" -O1 -D_GNU_SOURCE -I"$here/../.." -o "$TMP/sign" "$here/tools/sign.c" "${objects[@]}" $(pkg-config --libs libcrypto) ||
	fail "cannot compile tools/sign.c"
cd "$TMP"
head -c 100000 /dev/urandom >message
cp message changed
printf x | dd of=changed bs=1 seek=50000 conv=notrunc status=none
cmp -s message changed && fail "the changed message is the same"

refuses() { # WHAT COMMAND...
	local what=$1
	shift
	! "$@" >out 2>&1 || fail "$what was accepted: $*"
}

# ours to theirs
./sign keygen secret.pem public.pem public.minisign
./sign sign secret.pem message raw.sig message.minisig
minisign -Vm message -p public.minisign -x message.minisig >out 2>&1 || fail "minisign refuses: $(cat out)"
grep -q 'signed for a test' out || fail "minisign does not show the trusted comment"
refuses "a changed message (minisign)" minisign -Vm changed -p public.minisign -x message.minisig
sed 's/signed for a test/signed for a joke/' message.minisig >joke.minisig
refuses "a changed trusted comment (minisign)" minisign -Vm message -p public.minisign -x joke.minisig
openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in message -sigfile raw.sig >out 2>&1 ||
	fail "openssl refuses: $(cat out)"
refuses "a changed message (openssl)" openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in changed -sigfile raw.sig
openssl pkey -in secret.pem -pubout -out derived.pem
cmp derived.pem public.pem || fail "openssl derives another public key"
openssl pkey -in secret.pem -out again.pem
cmp again.pem secret.pem || fail "openssl writes the secret key otherwise"

# theirs to ours
minisign -G -f -W -p their.pub -s their.key >out 2>&1 || fail "minisign -G: $(cat out)"
minisign -Sm message -s their.key -x their.minisig -t 'by minisign' >out 2>&1 || fail "minisign -S: $(cat out)"
./sign minisign their.pub message their.minisig || fail "a signature of minisign is refused"
refuses "a changed message" ./sign minisign their.pub changed their.minisig
refuses "another key" ./sign minisign public.minisign message their.minisig
openssl genpkey -algorithm ed25519 -out their.pem
openssl pkey -in their.pem -pubout -out their.pub.pem
openssl pkeyutl -sign -inkey their.pem -rawin -in message -out their.sig
./sign raw their.pub.pem message their.sig || fail "a signature of openssl is refused"
refuses "a changed message" ./sign raw their.pub.pem changed their.sig
./sign sign their.pem message ours.sig ours.minisig
cmp ours.sig their.sig || fail "one key gives two signatures"
