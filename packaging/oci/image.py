#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Writes an OCI image archive of a tree: the same bytes for the same tree, whenever and wherever it is made.

image.py --rootfs DIR --output FILE [--compression zstd|gzip|none] [--version V] [--revision R] [--name NAME:TAG]

Labels, entry point and the like are those of the Containerfile beside this file. Times are SOURCE_DATE_EPOCH
(default 0), owners 0. Prints a line of JSON: digests and sizes. Also leaves FILE's rootfs.tar beside it with --keep-tar.
"""
import argparse
import hashlib
import io
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tarfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}


def fail(text):
    sys.exit(f"image.py: {text}")


def containerfile(path, args):
    """The instructions of an image from scratch with one layer; anything else is an error."""
    config = {"Env": [], "Labels": {}}
    text = re.sub(r"\\\n", " ", open(path, encoding="utf-8").read())
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        rest = re.sub(r"\$([A-Z]+)", lambda m: args[m.group(1)], rest)
        if word in ("ENV", "LABEL"):
            for pair in shlex.split(rest):
                key, _, value = pair.partition("=")
                if word == "ENV":
                    config["Env"].append(pair)
                else:
                    config["Labels"][key] = value
        elif word in ("ENTRYPOINT", "CMD"):
            config["Entrypoint" if word == "ENTRYPOINT" else "Cmd"] = json.loads(rest)
        elif word == "USER":
            config["User"] = rest
        elif word == "STOPSIGNAL":
            config["StopSignal"] = rest
        elif word == "ARG" and rest in args:
            pass
        elif (word, rest) not in (("FROM", "scratch"), ("ADD", "rootfs.tar /")):
            fail(f"{path}: cannot do {line}")
    return config


def layer(root):
    """The tree as a tar: sorted, nothing in it of who made it and when."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder, folders, files in os.walk(root):
            folders.sort()
            # links to folders are among the folders
            names = sorted(files + [d for d in folders if os.path.islink(os.path.join(folder, d))])
            relative = os.path.relpath(folder, root)
            if relative != ".":
                names.insert(0, ".")
            for name in names:
                path = os.path.normpath(os.path.join(folder, name))
                info = tar.gettarinfo(path, os.path.relpath(path, root))
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                info.mtime = EPOCH
                if info.isreg():
                    # hard links would depend on how the tree was made
                    info.type, info.linkname, info.size = tarfile.REGTYPE, "", os.path.getsize(path)
                    with open(path, "rb") as f:
                        tar.addfile(info, f)
                else:
                    tar.addfile(info)
    return out.getvalue()


def compress(data, kind):
    if kind == "none":
        return data
    if kind == "gzip":
        command = ["gzip", "-9", "-n"]
    else:
        command = ["zstd", "-q", "--ultra", "-22", "--single-thread", "-c"]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


class Layout:
    """The folder of an OCI image as a tar."""

    def __init__(self):
        self.files = {}

    def blob(self, data, media_type, **more):
        digest = hashlib.sha256(data).hexdigest()
        self.files[f"blobs/sha256/{digest}"] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data), **more}

    def json_blob(self, value, media_type, **more):
        return self.blob(json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), media_type, **more)

    def write(self, path):
        temporary = path + ".new"
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for folder in ("blobs", "blobs/sha256"):
                info = tarfile.TarInfo(folder)
                info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, EPOCH
                tar.addfile(info)
            for name in sorted(self.files):
                info = tarfile.TarInfo(name)
                info.size, info.mode, info.mtime = len(self.files[name]), 0o644, EPOCH
                tar.addfile(info, io.BytesIO(self.files[name]))
        os.replace(temporary, path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rootfs", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--compression", choices=("zstd", "gzip", "none"), default="zstd")
    parser.add_argument("--version", default="0.0.0")
    parser.add_argument("--revision", default="unknown")
    parser.add_argument("--name", default=None)
    parser.add_argument("--keep-tar", action="store_true")
    options = parser.parse_args()
    name = options.name or f"waveos-bpf:{options.version}"
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))

    config = containerfile(f"{HERE}/Containerfile", {"VERSION": options.version, "REVISION": options.revision})
    data = layer(options.rootfs)
    if options.keep_tar:
        with open(os.path.join(os.path.dirname(options.output) or ".", "rootfs.tar"), "wb") as f:
            f.write(data)
    packed = compress(data, options.compression)
    oci = "application/vnd.oci.image"
    layout = Layout()
    layer_at = layout.blob(packed, f"{oci}.layer.v1.tar{'' if options.compression == 'none' else '+' + options.compression}")
    config_at = layout.json_blob({
        "created": created, "architecture": ARCH.get(platform.machine(), platform.machine()), "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest()]},
        "history": [{"created": created, "created_by": "packaging/oci/image.py"}],
    }, f"{oci}.config.v1+json")
    manifest_at = layout.json_blob({
        "schemaVersion": 2, "mediaType": f"{oci}.manifest.v1+json", "config": config_at, "layers": [layer_at],
        "annotations": config["Labels"],
    }, f"{oci}.manifest.v1+json", annotations={
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        "io.containerd.image.name": name if "/" in name else f"localhost/{name}",
    })
    layout.files["index.json"] = json.dumps({
        "schemaVersion": 2, "mediaType": f"{oci}.index.v1+json", "manifests": [manifest_at]}, sort_keys=True).encode()
    layout.files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    layout.write(options.output)
    print(json.dumps({"image": name, "digest": manifest_at["digest"], "tree": "sha256:" + hashlib.sha256(data).hexdigest(),
                      "layer_bytes": len(packed), "tree_bytes": len(data), "compression": options.compression}))


if __name__ == "__main__":
    main()
