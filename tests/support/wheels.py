"""Wheels of empty packages, and the lines that lock them."""

import hashlib
import zipfile
from pathlib import Path


def make_wheel(folder: Path, name: str, version: str, tags: str = "py3-none-any") -> Path:
    """Write a wheel that pip installs.

    Args:
        folder: Folder for the wheel.
        name: Name of the package, as in the name of a wheel.
        version: Its version.
        tags: Python, ABI and platforms, as in the name of a wheel.
    """
    wheel = folder / f"{name}-{version}-{tags}.whl"
    info = f"{name}-{version}.dist-info"
    python, abi, platforms = tags.split("-")
    compatible = "".join(f"Tag: {python}-{abi}-{platform}\n" for platform in platforms.split("."))
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n{compatible}")
        archive.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return wheel


def lock_line(requirement: str, *wheels: Path) -> str:
    """Return the lines of a lock for a requirement, such as `name==1.0`, with the hashes of wheels."""
    hashes = (hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels)
    return " \\\n".join([requirement, *(f"    --hash=sha256:{digest}" for digest in hashes)]) + "\n"
