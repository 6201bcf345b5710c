#!/usr/bin/env python3
"""mkimage.py NAME OUT.tar - a container image out of the host's static busybox.

The tar is an OCI image layout (for ctr) and a docker archive (for podman) at
once: both formats only name blobs, so they can name the same ones. No registry
is asked for anything.
"""

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
APPLETS = ["cat", "httpd", "mv", "ping", "sh", "sleep", "true"]

# The first process of each container. It pings each address once, as the very
# first thing that the container does: a network that needs a moment longer
# than its ADD took (duplicate address detection, say) loses that packet. Where
# there is a verdict, there is the web server, too: it listens before it goes to
# the background.
INIT = b"""#!/bin/sh
for address; do
    if said=$(ping -c 1 -W 1 "$address" 2>&1); then echo "answered $address"
    else echo "lost $address: $said"; fi
done >/tmp/new
httpd -p 80 -h /www 2>>/tmp/new || echo 'lost the web server' >>/tmp/new
mv /tmp/new /tmp/verdict
exec sleep 3600
"""


def tar(members):
    """members: (name, bytes for a file | str for a symlink | None for a folder)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def main(name, path):
    blobs = []

    def blob(content, media_type):
        digest = hashlib.sha256(content).hexdigest()
        blobs.append((f"blobs/sha256/{digest}", content))
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    with open(shutil.which("busybox"), "rb") as file:
        busybox = file.read()
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "who"), "rb") as file:
        who = file.read()
    layer = blob(
        tar(
            [(folder, None) for folder in ("bin", "dev", "etc", "proc", "sys", "tmp", "www", "www/cgi-bin")]
            + [("bin/busybox", busybox), ("init", INIT), ("www/cgi-bin/who", who)]
            + [(f"bin/{applet}", "busybox") for applet in APPLETS]
        ),
        "application/vnd.oci.image.layer.v1.tar",
    )
    config = blob(
        json.dumps(
            {
                "architecture": MACHINES[os.uname().machine],
                "os": "linux",
                # Without a command it only stays alive: the image is that of CRI's pods, too.
                # An init ignores SIGTERM, and `podman rm -f` would wait 10 s for it.
                "config": {"Env": ["PATH=/bin"], "Cmd": ["sleep", "3600"], "StopSignal": "SIGKILL"},
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            }
        ).encode(),
        "application/vnd.oci.image.config.v1+json",
    )
    manifest = blob(
        json.dumps({"schemaVersion": 2, "config": config, "layers": [layer]}).encode(),
        "application/vnd.oci.image.manifest.v1+json",
    )
    manifest["annotations"] = {"io.containerd.image.name": name}

    where = {"config": blobs[1][0], "layer": blobs[0][0]}
    docker = [{"Config": where["config"], "RepoTags": [name], "Layers": [where["layer"]]}]
    with open(path, "wb") as out:
        out.write(
            tar(
                [
                    ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
                    ("index.json", json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()),
                    ("manifest.json", json.dumps(docker).encode()),
                ]
                + blobs
            )
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
