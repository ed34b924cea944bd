"""Memory of this process, in MB. Linux alone says it; elsewhere it is None.

Nothing of the package is imported, since rivals run in environments of their own.
"""

from pathlib import Path

MB = 1e6


def forget_peak():
    """Let the peak of this process be what it has now; Linux alone can."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")


def peak():
    """The most memory of this process since then, in MB; None where the system does not say."""
    return _status("VmHWM")


def resident():
    """Memory of this process now, in MB; None where the system does not say."""
    return _status("VmRSS")


def _status(name):
    path = Path("/proc/self/status")
    lines = path.read_text().splitlines() if path.exists() else []
    found = [int(line.split()[1]) for line in lines if line.startswith(name)]
    return round(found[0] * 1024 / MB, 1) if found else None
