"""On which device torch computes."""

from ._validation import must_be, warn


def device_of(device):
    """The device to compute on: for "auto" a GPU when there is one.

    A model that was trained on a GPU may be asked where there is none: it warns, and takes the CPU.
    """
    import torch  # takes seconds, and texts alone need none

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if _is_here(_known(device)):
        return device
    warn(
        f"torch sees no device {str(device)!r} here, so the CPU computes. With "
        f"set_params(device='cpu') it does so without this warning."
    )
    return "cpu"


def check_device(device):
    """Refuse what torch does not know, and a GPU that it does not see."""
    if device != "auto" and not _is_here(_known(device)):
        remedy = "'auto' takes a GPU when there is one; torch has to be built for it."
        raise must_be("device", "one that torch sees here, such as 'cpu'", repr(device), remedy)


def _known(device):
    import torch

    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise must_be("device", "'auto' or a device of torch, say 'cuda'", repr(device)) from error


def _is_here(device):
    """Whether torch computes on it: "meta", for one, holds no numbers."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return torch.backends.mps.is_available()
    try:
        return torch.zeros(1, device=device).item() == 0
    except (RuntimeError, AssertionError, ImportError):
        return False
