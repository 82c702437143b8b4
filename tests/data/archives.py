"""What does an npm registry on this machine answer? Archives for tests, and the answer that names one."""

import base64
import hashlib
import io
import json
import tarfile


def archive(members: dict[str, bytes], *links: str) -> bytes:
    """Return a .tar.gz with these files, after symbolic links of the given names to /etc/passwd."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in links:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def npm_package(name: str, members: dict[str, bytes]) -> bytes:
    """Return the archive of the package "name@version" with these files."""
    title, _, version = name.rpartition("@")
    described = json.dumps({"name": title, "version": version}).encode()
    return archive({**members, "package/package.json": described})


def npm_answer(name: str, url: str, packed: bytes) -> bytes:
    """Return what a registry says of the package "name@version" whose archive is at an address."""
    title, _, version = name.rpartition("@")
    integrity = f"sha512-{base64.b64encode(hashlib.sha512(packed).digest()).decode()}"
    one = {"name": title, "version": version, "dist": {"tarball": url, "integrity": integrity}}
    return json.dumps({"name": title, "versions": {version: one}, "dist-tags": {"latest": version}}).encode()
