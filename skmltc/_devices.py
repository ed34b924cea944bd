"""On which device torch computes."""

from ._validation import must_be


def device_of(device):
    """The device that "auto" stands for, a GPU when there is one; others as they are."""
    import torch  # takes seconds, and texts alone need none

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(device):
    """Refuse what torch does not know, and a GPU where it sees none."""
    import torch

    try:
        kind = torch.device(device_of(device)).type
    except (RuntimeError, TypeError) as error:
        raise must_be("device", "'auto' or a device of torch, say 'cuda'", repr(device)) from error
    if kind == "cuda" and not torch.cuda.is_available():
        remedy = "'auto' takes a GPU when there is one; torch has to be built for it."
        raise must_be("device", "one that torch sees here, such as 'cpu'", repr(device), remedy)
