#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Says of files by what they were built: an in-toto statement (v1) with SLSA's provenance (v1), in a DSSE envelope.

provenance.py make --version V --revision R --source URI --builder URI [--key ED25519.pem] --output FILE ARTIFACT...
provenance.py verify --key ED25519.pub.pem --input FILE DIR     checks the signature, and every artifact that is in DIR

The key is one that `openssl genpkey -algorithm ed25519` makes. Without one the envelope has no signature, and says so.
What it claims is what the builder says of itself: no more than SLSA build level 1, level 2 where a hosted builder signs.
"""
import argparse
import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time

TYPE = "application/vnd.in-toto+json"
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))


def fail(text):
    sys.exit(f"provenance.py: {text}")


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def pae(payload):
    """What is signed (DSSE protocol 1.0.0)."""
    return b"DSSEv1 %d %s %d %s" % (len(TYPE), TYPE.encode(), len(payload), payload)


def openssl(arguments, data):
    # -rawin wants to know the size of its input, so no pipe
    with tempfile.NamedTemporaryFile() as f:
        f.write(data)
        f.flush()
        return subprocess.run(["openssl", "pkeyutl", "-rawin", "-in", f.name, *arguments], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def key_id(key, public):
    der = subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"] + (["-pubin"] if public else []),
                         check=True, stdout=subprocess.PIPE).stdout
    return hashlib.sha256(der).hexdigest()


def make(options):
    packages = subprocess.run(["dpkg-query", "-W", "-f=${Package}=${Version}\n", "gcc", "clang", "binutils", "bpftool",
                               "libc6-dev", "libbpf-dev", "libssl-dev", "zstd"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False).stdout.split()
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": os.path.basename(p), "digest": {"sha256": sha256(p)}} for p in sorted(options.artifacts)],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://waveos.invalid/build/make-release/v1",
                "externalParameters": {"source": options.source, "revision": options.revision,
                                       "version": options.version, "target": "make release"},
                "internalParameters": {"SOURCE_DATE_EPOCH": EPOCH},
                "resolvedDependencies": [{"uri": options.source, "digest": {"gitCommit": options.revision}}] +
                                        [{"uri": f"pkg:deb/debian/{p.replace('=', '@')}"} for p in packages]},
            "runDetails": {"builder": {"id": options.builder},
                           "metadata": {"invocationId": options.revision, "startedOn": when}}}}
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    signatures = []
    if options.key:
        r = openssl(["-sign", "-inkey", options.key], pae(payload))
        if r.returncode:
            fail(f"cannot sign: {r.stderr.decode().strip()}")
        signatures = [{"keyid": key_id(options.key, False), "sig": base64.b64encode(r.stdout).decode()}]
    with open(options.output, "w", encoding="utf-8") as f:
        json.dump({"payloadType": TYPE, "payload": base64.b64encode(payload).decode(), "signatures": signatures}, f)
        f.write("\n")


def verify(options):
    with open(options.input, encoding="utf-8") as f:
        envelope = json.load(f)
    payload = base64.b64decode(envelope["payload"])
    if envelope["payloadType"] != TYPE:
        fail(f"{options.input}: of type {envelope['payloadType']}")
    for s in envelope["signatures"]:
        with tempfile.NamedTemporaryFile() as sig:
            sig.write(base64.b64decode(s["sig"]))
            sig.flush()
            if openssl(["-verify", "-pubin", "-inkey", options.key, "-sigfile", sig.name], pae(payload)).returncode == 0:
                break
    else:
        fail(f"{options.input}: no signature of {options.key}")
    statement = json.loads(payload)
    if statement["predicateType"] != "https://slsa.dev/provenance/v1":
        fail(f"{options.input}: no provenance")
    found = 0
    for subject in statement["subject"]:
        path = os.path.join(options.directory, os.path.basename(subject["name"]))
        if not os.path.exists(path):
            continue
        if sha256(path) != subject["digest"]["sha256"]:
            fail(f"{path}: not the file that the provenance is of")
        found += 1
    if not found:
        fail(f"{options.directory}: none of the files that the provenance is of")
    definition = statement["predicate"]["buildDefinition"]["externalParameters"]
    print(f"{found} files built of {definition['source']} at {definition['revision']}")


def main():
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    m = verbs.add_parser("make")
    for name in ("version", "revision", "source", "builder", "output"):
        m.add_argument(f"--{name}", required=True)
    m.add_argument("--key")
    m.add_argument("artifacts", nargs="+")
    v = verbs.add_parser("verify")
    v.add_argument("--key", required=True)
    v.add_argument("--input", required=True)
    v.add_argument("directory")
    options = parser.parse_args()
    (make if options.verb == "make" else verify)(options)


if __name__ == "__main__":
    main()
