#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Bills of materials of the agent: what it is linked with and what it loads when it needs it, from dpkg's data base.

sbom.py --binary FILE --version V --output BASE [--loaded SONAME]...

Writes BASE.cdx.json (CycloneDX 1.5) and BASE.spdx.json (SPDX 2.3), which say the same. The same bytes for the same machine:
times are SOURCE_DATE_EPOCH, identifiers come of the content.
"""
import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import uuid

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
NAMESPACE = uuid.UUID("6f3e3a52-9d0b-4c39-9d0c-6b1c7a0b7a11")
# short names of Debian's copyright files that are SPDX's under another name; what is not known stays a name
SPDX_IDS = {
    "gpl-2": "GPL-2.0-only", "gpl-2.0": "GPL-2.0-only", "gpl-2+": "GPL-2.0-or-later", "gpl-2.0+": "GPL-2.0-or-later",
    "gpl-3": "GPL-3.0-only", "gpl-3.0": "GPL-3.0-only", "gpl-3+": "GPL-3.0-or-later", "gpl-3.0+": "GPL-3.0-or-later",
    "lgpl-2": "LGPL-2.0-only", "lgpl-2+": "LGPL-2.0-or-later", "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-2.1+": "LGPL-2.1-or-later", "lgpl-3": "LGPL-3.0-only", "lgpl-3+": "LGPL-3.0-or-later",
    "lgpl-3.0+": "LGPL-3.0-or-later", "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause",
    "apache-2.0": "Apache-2.0", "mit": "MIT", "isc": "ISC", "zlib": "Zlib", "curl": "curl", "mit-x11": "MIT",
    "expat": "MIT", "cc0-1.0": "CC0-1.0", "bsl-1.0": "BSL-1.0", "openldap-2.8": "OLDAP-2.8",
}


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def libraries(path):
    """What the loader gives a program or library: real paths."""
    return {os.path.realpath(p) for p in re.findall(r"(/[^ ]+\.so[^ ]*)", output("ldd", path))}


def find_library(soname):
    for line in output("/sbin/ldconfig", "-p").splitlines():
        match = re.match(rf"\s*{re.escape(soname)} .*=> (/\S+)", line)
        if match:
            return match.group(1)
    sys.exit(f"sbom.py: no {soname} on this machine")


def owner(path):
    """The package of a file. dpkg may know its path with or without /usr."""
    for candidate in (path, path.removeprefix("/usr"), "/usr" + path):
        found = subprocess.run(["dpkg-query", "-S", candidate], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True, check=False).stdout
        if found:
            return found.split(": ")[0].split(",")[0]
    sys.exit(f"sbom.py: no package has {path}")


def licenses(package):
    """Short names of the package's copyright file, in its order; several are all of its parts' together."""
    try:
        with open(f"/usr/share/doc/{package}/copyright", encoding="utf-8", errors="replace") as f:
            text = f.read()
    except OSError:
        return []
    names = []
    for match in re.finditer(r"^License:[ \t]*(\S[^\n]*)$", text, re.M):
        name = match.group(1).strip()
        if name not in names:
            names.append(name)
    return names


def spdx_expression(names):
    """An expression, or None where a name is not SPDX's."""
    parts = []
    for name in names:
        terms = re.split(r"\s+(and|or|AND|OR)\s+", name.strip())
        words = []
        for term in terms:
            if term.lower() in ("and", "or"):
                words.append(term.upper())
            elif term.lower() in SPDX_IDS:
                words.append(SPDX_IDS[term.lower()])
            else:
                return None
        part = " ".join(words)
        parts.append(f"({part})" if len(words) > 1 and len(names) > 1 else part)
    return " AND ".join(sorted(set(parts))) or None


def collect(binary, loaded):
    """Packages by name: version, source, licenses, the files that are used of them with hashes, linked or loaded."""
    files = {path: "linked" for path in libraries(binary)}
    for soname in loaded:
        path = find_library(soname)
        for p in libraries(path) | {os.path.realpath(path)}:
            files.setdefault(p, "loaded")
    packages = {}
    for path in sorted(files):
        full = owner(path)
        version, source, arch, maintainer, home = output(
            "dpkg-query", "-W", "-f=${Version}\t${source:Package}\t${Architecture}\t${Maintainer}\t${Homepage}",
            full).split("\t")
        name = full.split(":")[0]
        p = packages.setdefault(name, {
            "name": name, "version": version, "source": source, "arch": arch, "maintainer": maintainer,
            "homepage": home, "licenses": licenses(name), "files": [], "use": "loaded",
            "purl": f"pkg:deb/debian/{name}@{version.replace(':', '%3A').replace('+', '%2B')}?arch={arch}"})
        p["files"].append((os.path.basename(path), sha256(path)))
        if files[path] == "linked":
            p["use"] = "linked"
    return [packages[name] for name in sorted(packages)]


def cyclonedx(binary_hash, version, packages):
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
    root = f"waveos-bpf@{version}"
    components = []
    for p in packages:
        expression = spdx_expression(p["licenses"])
        c = {"type": "library", "bom-ref": p["purl"], "name": p["name"], "version": p["version"], "purl": p["purl"],
             "supplier": {"name": p["maintainer"]},
             "scope": "required" if p["use"] == "linked" else "optional",
             "properties": [{"name": "waveos:debian:source", "value": p["source"]}] +
                           [{"name": f"waveos:sha256:{n}", "value": h} for n, h in p["files"]]}
        if len(p["files"]) == 1:
            c["hashes"] = [{"alg": "SHA-256", "content": p["files"][0][1]}]
        if expression:
            c["licenses"] = [{"expression": expression}]
        elif p["licenses"]:
            c["licenses"] = [{"license": {"name": n}} for n in p["licenses"]]
        if p["homepage"]:
            c["externalReferences"] = [{"type": "website", "url": p["homepage"]}]
        components.append(c)
    bom = {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {
            "timestamp": created,
            "tools": {"components": [{"type": "application", "name": "waveos-bpf packaging/release/sbom.py"}]},
            "component": {"type": "application", "bom-ref": root, "name": "waveos-bpf", "version": version,
                          "hashes": [{"alg": "SHA-256", "content": binary_hash}],
                          "licenses": [{"expression": "GPL-2.0-only"}],
                          "purl": f"pkg:generic/waveos-bpf@{version}"}},
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": [p["purl"] for p in packages]}],
    }
    text = json.dumps(bom, sort_keys=True)
    bom["serialNumber"] = f"urn:uuid:{uuid.uuid5(NAMESPACE, text)}"
    return bom


def spdx(binary_hash, version, packages):
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
    extracted, entries, relations = {}, [], []

    def reference(name):
        ref = "LicenseRef-debian-" + re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-")
        extracted[ref] = name
        return ref

    entries.append({
        "SPDXID": "SPDXRef-waveos-bpf", "name": "waveos-bpf", "versionInfo": version, "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False, "licenseConcluded": "GPL-2.0-only", "licenseDeclared": "GPL-2.0-only",
        "copyrightText": "NOASSERTION", "primaryPackagePurpose": "APPLICATION", "supplier": "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": binary_hash}]})
    for p in packages:
        ref = "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", p["name"])
        expression = spdx_expression(p["licenses"])
        if not expression and p["licenses"]:
            expression = " AND ".join(sorted({SPDX_IDS.get(n.lower()) or reference(n) for n in p["licenses"]}))
        entry = {
            "SPDXID": ref, "name": p["name"], "versionInfo": p["version"], "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": expression or "NOASSERTION",
            "copyrightText": "NOASSERTION", "primaryPackagePurpose": "LIBRARY", "supplier": "Organization: Debian",
            "sourceInfo": f"Debian source package {p['source']}; " + ", ".join(f"{n} sha256:{h}" for n, h in p["files"]),
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                              "referenceLocator": p["purl"]}]}
        if len(p["files"]) == 1:
            entry["checksums"] = [{"algorithm": "SHA256", "checksumValue": p["files"][0][1]}]
        if p["homepage"]:
            entry["homepage"] = p["homepage"]
        entries.append(entry)
        if p["use"] == "linked":
            relations.append({"spdxElementId": "SPDXRef-waveos-bpf", "relationshipType": "DYNAMIC_LINK",
                              "relatedSpdxElement": ref})
        else:
            relations.append({"spdxElementId": ref, "relationshipType": "OPTIONAL_DEPENDENCY_OF",
                              "relatedSpdxElement": "SPDXRef-waveos-bpf"})
    document = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"waveos-bpf-{version}",
        "creationInfo": {"created": created, "creators": ["Tool: waveos-bpf-packaging-release-sbom.py"]},
        "packages": entries,
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                           "relatedSpdxElement": "SPDXRef-waveos-bpf"}] + relations,
        "hasExtractedLicensingInfos": [
            {"licenseId": ref, "name": name,
             "extractedText": f"The license that the Debian copyright file of the package names {name}."}
            for ref, name in sorted(extracted.items())],
    }
    text = json.dumps(document, sort_keys=True)
    document["documentNamespace"] = f"https://spdx.org/spdxdocs/waveos-bpf-{version}-{uuid.uuid5(NAMESPACE, text)}"
    return document


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--loaded", action="append", default=[])
    options = parser.parse_args()
    packages = collect(options.binary, options.loaded)
    binary_hash = sha256(options.binary)
    for suffix, document in (("cdx", cyclonedx(binary_hash, options.version, packages)),
                             ("spdx", spdx(binary_hash, options.version, packages))):
        with open(f"{options.output}.{suffix}.json", "w", encoding="utf-8") as f:
            json.dump(document, f, indent=1, sort_keys=True)
            f.write("\n")
    print(f"{len(packages)} packages")


if __name__ == "__main__":
    main()
