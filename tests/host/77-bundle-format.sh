#!/bin/bash
# Bundles as files: keys, roots, building and signing by several people in turn; what other people's tools make of them.
. "$(dirname "$0")/lib.sh"
cd "$TMP"
B() { "$BIN" bundle "$@"; }
rc_of() { # WANTED COMMAND...: runs it and compares its exit code; what it said is in $TMP/said
	local wanted=$1 rc=0
	shift
	"$@" >"$TMP/said" 2>&1 || rc=$?
	[ "$rc" -eq "$wanted" ] || fail "$*: exit $rc, not $wanted: $(cat "$TMP/said")"
}
id_of() { openssl pkey -pubin -in "$1" -outform DER | sha256sum | cut -d' ' -f1; }

# keys: openssl reads them, and names them alike; they are never overwritten
for k in alice bob carol mallory; do B keygen -o $k >/dev/null; done
[ "$(stat -c %a alice.pem)" = 600 ] || fail "mode of a secret key: $(stat -c %a alice.pem)"
openssl pkey -in alice.pem -pubout 2>/dev/null | cmp - alice.pub.pem || fail "public key of alice"
openssl genpkey -algorithm ED25519 -out dave.pem 2>/dev/null
openssl pkey -in dave.pem -pubout -out dave.pub.pem
rc_of 2 B keygen -o alice
rc_of 0 B keygen -o erin --json
[ "$(jq -r .key_id said)" = "$(id_of erin.pub.pem)" ] || fail "id of a key: $(cat said)"

# the first root, signed in turn
rc_of 0 B root init -o root.1.json --key alice=alice.pub.pem --key bob=bob.pub.pem --key dave=dave.pub.pem \
	--role all=alice,bob,dave:2 --role index=dave:1
rc_of 1 B root show root.1.json
rc_of 1 B root pin root.1.json --root "$ROOT"
rc_of 0 B sign root.1.json --key alice.pem
rc_of 1 B root show root.1.json
rc_of 0 B sign root.1.json --key dave.pem
rc_of 0 B root show root.1.json --json
jq -e '.good and .root.version == 1 and .root.roles.index.threshold == 1 and (.signed_by | sort) == ["alice", "dave"]' \
	said >/dev/null || fail "root: $(cat said)"
rc_of 0 B root pin root.1.json --root "$ROOT"
rc_of 2 B root pin root.1.json --root "$ROOT"

# a bundle: the same twice, nothing in it but what was asked for
mkdir -p shop/files/bin
printf '#!/bin/sh\necho shop\n' >shop/files/bin/shop
chmod +x shop/files/bin/shop
echo 'key: value' >shop/files/config.yaml
cat >shop/bundle.yaml <<'END'
kind: app
name: shop
version: 1.2.3
counter: 7
environments: [dev, prod]
flags: {fast: true}
trial: {for: 1m, boots: 2}
hooks:
  - {on: activate, do: restart-service, service: shop.service}
health:
  - {kind: http, target: "http://127.0.0.1:8080/", every: 5s, within: 500ms, failures: 3}
END
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(date +%s)
rc_of 0 B build --dir shop -o shop.wvb
cp shop.wvb first.wvb
rc_of 0 B build --dir shop -o shop.wvb
cmp first.wvb shop.wvb || fail "two builds of the same differ"
tar --zstd -tf shop.wvb >list
[ "$(sed -n '1p' list)" = manifest.json ] && [ "$(sed -n '2p' list)" = signatures.json ] || fail "entries: $(cat list)"
[ "$(wc -l <list)" -eq 4 ] || fail "entries: $(cat list)"
mkdir out && tar --zstd -xf shop.wvb -C out
for f in out/files/*; do
	[ "$(sha256sum <"$f" | cut -d' ' -f1)" = "$(basename "$f")" ] || fail "content of $f"
done
jq -cSj . out/manifest.json | cmp - out/manifest.json || fail "the manifest is not as jq -cS has it"
python3 - "$OLDPWD/docs/schemas/bundle-manifest.schema.json" out/manifest.json <<'END' || fail "schema"
import json, sys
from jsonschema import Draft7Validator
schema = json.load(open(sys.argv[1])); Draft7Validator.check_schema(schema)
good = json.load(open(sys.argv[2])); v = Draft7Validator(schema)
assert not list(v.iter_errors(good)), list(v.iter_errors(good))
for change in ({"script": "x"}, {"counter": 0}, {"kind": "firmware"}, {"name": "../x"}, {"devices": []}):
    assert list(v.iter_errors({**good, **change})), change
END
ln -s /etc/passwd shop/files/link
rc_of 2 B build --dir shop -o link.wvb
rm shop/files/link
echo 'script: rm -rf /' >>shop/bundle.yaml
rc_of 2 B build --dir shop -o script.wvb
grep -q script said || fail "an unknown key: $(cat said)"
sed -i '$d' shop/bundle.yaml

# thresholds
V() { B verify "$@" --root "$ROOT"; }
rc_of 1 V shop.wvb
rc_of 0 B sign shop.wvb --key alice.pem
rc_of 1 V shop.wvb
rc_of 0 B sign shop.wvb --key alice.pem # again: replaces, does not add
rc_of 0 B sign shop.wvb --key mallory.pem
rc_of 1 V shop.wvb --json
jq -e '.verified == false and .good_signatures == 1 and .threshold == 2 and (.signatures | length) == 2' said >/dev/null ||
	fail "one of two: $(cat said)"
rc_of 0 B sign shop.wvb --key dave.pem
rc_of 0 V shop.wvb --json
jq -e '.verified and .fits and .manifest.counter == 7' said >/dev/null || fail "verified: $(cat said)"
rc_of 0 V shop.wvb
[ -z "$(find "$ROOT/var/lib/waveos/trust" -name time.json)" ] || fail "verify wrote into the state"

# a signature checked by openssl alone: DSSE's encoding, made here by hand
rm -rf out && mkdir out && tar --zstd -xf shop.wvb -C out
type=application/vnd.waveos.bundle+json
printf 'DSSEv1 %d %s %d ' ${#type} $type "$(stat -c %s out/manifest.json)" >pae
cat out/manifest.json >>pae
for k in alice dave; do
	jq -r --arg id "$(id_of $k.pub.pem)" '.signatures[] | select(.keyid == $id) | .sig' out/signatures.json |
		base64 -d >sig
	openssl pkeyutl -verify -pubin -inkey $k.pub.pem -rawin -in pae -sigfile sig >/dev/null || fail "openssl: $k"
done
# and the other way: one made by openssl is taken
openssl pkeyutl -sign -inkey bob.pem -rawin -in pae -out sig
jq -cSj --arg id "$(id_of bob.pub.pem)" --arg sig "$(base64 -w0 sig)" \
	'.signatures = ([.signatures[] | select(.keyid != "'"$(id_of alice.pub.pem)"'")] + [{keyid: $id, sig: $sig}])' \
	out/signatures.json >new && mv new out/signatures.json
(cd out && tar --format=ustar -cf - manifest.json signatures.json files/*) | zstd -q >other.wvb
rc_of 0 V other.wvb --json
jq -e '.verified and ([.signatures[] | select(.result == "good") | .name] | sort) == ["bob", "dave"]' said >/dev/null ||
	fail "made by tar, zstd and openssl: $(cat said)"

# altered after it was signed: a file, the manifest, the order, a link for a file
name=$(basename "$(grep -l 'key: value' out/files/*)")
# repack [-r]: what is in out as a bundle, -r: in another order
repack() {
	local files=(out/files/*)
	[ -z "${1:-}" ] || mapfile -t files < <(printf '%s\n' "${files[@]}" | sort -r)
	tar --format=ustar -cf - -C out manifest.json signatures.json "${files[@]#out/}" | zstd -q >bad.wvb
}
cp out/files/"$name" keep
echo 'key: eulav' >out/files/"$name"
repack
rc_of 1 V bad.wvb
rm out/files/"$name" && ln -s /etc/hostname out/files/"$name"
repack
rc_of 1 V bad.wvb
rm out/files/"$name" && cp keep out/files/"$name"
repack -r
rc_of 1 V bad.wvb
sed -i 's/"counter":7/"counter":8/' out/manifest.json
repack
rc_of 1 V bad.wvb
sed -i 's/"counter":8/"counter":7/' out/manifest.json
(cd out && tar --format=pax -cf - manifest.json signatures.json files/*) | zstd -q >bad.wvb
rc_of 1 V bad.wvb
head -c -1 shop.wvb >bad.wvb
rc_of 1 V bad.wvb
rc_of 1 V /dev/null
rc_of 2 V none.wvb

# rotation: bob goes, carol comes; signed by old and new
rc_of 0 B root rotate root.1.json -o root.2.json --revoke bob --key carol=carol.pub.pem --role all=alice,carol,dave:2 \
	--role index=dave:1 --sign alice.pem --sign carol.pem
rc_of 1 B root show root.2.json --after root.1.json
rc_of 1 B root update root.2.json --root "$ROOT"
rc_of 0 B sign root.2.json --key dave.pem
rc_of 0 B root update root.2.json --root "$ROOT"
rc_of 1 B root update root.1.json --root "$ROOT"
rc_of 1 V other.wvb # bob's signature is none any more
rc_of 0 V shop.wvb
# a root of its own does not follow ours
rc_of 0 B root init -o evil.json --key mallory=mallory.pub.pem --sign mallory.pem
rc_of 1 B root update evil.json --root "$ROOT"
# a bundle brings the roots that a device is missing
rc_of 0 B root pin root.1.json --root "$TMP/old"
rc_of 0 B build --dir shop -o carried.wvb --carry root.2.json --sign carol.pem --sign dave.pem
rc_of 0 B verify carried.wvb --root "$TMP/old"
rc_of 1 B verify bad.wvb --root "$TMP/old"

# expiry
SOURCE_DATE_EPOCH=$(($(date +%s) - 91 * 86400))
rc_of 0 B build --dir shop -o old.wvb --sign alice.pem --sign dave.pem
rc_of 1 V old.wvb
grep -q expired said || fail "expired: $(cat said)"
unset SOURCE_DATE_EPOCH

# every subverb has help with examples
for v in keygen root build sign index verify "root init" "root rotate" "root show" "root pin" "root update"; do
	# shellcheck disable=SC2086
	rc_of 0 B $v --help
	grep -q Examples said || fail "help of $v"
done
rc_of 2 B nothing
