#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Makes an image archive of one layer out of a folder, as `docker save` writes it and containerd imports it.

image.py FOLDER NAME:TAG OUT.tar ENTRYPOINT [ARGUMENT...]
"""
import hashlib
import io
import json
import os
import sys
import tarfile


def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def main():
    folder, name, out, entry = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]

    def owned_by_root(info):
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        info.mtime = 0
        return info

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for path in sorted(os.listdir(folder)):
            tar.add(os.path.join(folder, path), path, filter=owned_by_root)
    layer = layer.getvalue()
    config = json.dumps({
        "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
        "os": "linux",
        "config": {"Entrypoint": entry},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(out, "w") as tar:
        add(tar, config_name, config)
        add(tar, "layer.tar", layer)
        add(tar, "manifest.json", manifest)


if __name__ == "__main__":
    main()
