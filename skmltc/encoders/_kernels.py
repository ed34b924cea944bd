"""Two operations that are written out for speed."""

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv1d, dropout, embedding_bag


class ByteDropout(nn.Module):
    """Dropout that decides by one random byte per number, so with a probability in 256ths.

    On a CPU torch draws a float for each number, which is a twelfth of the training of a CNN; to
    draw eight bytes at a time is ten times as fast. A GPU does all of it in one step.

    Parameters
    ----------
    p : float
        Share of the numbers that become zero, below 1.
    """

    def __init__(self, p):
        super().__init__()
        self.p = min(round(256 * p), 255) / 256

    def forward(self, batch):
        """Drop and scale while training; of any shape."""
        if not self.training or not self.p:
            return batch
        if batch.is_cuda:
            return dropout(batch, self.p)
        words = torch.empty(-(-batch.numel() // 8), dtype=torch.int64, device=batch.device)
        draws = words.random_(-(2**63), None).view(torch.uint8)[: batch.numel()]
        kept = (draws >= 256 * self.p).view(batch.shape)
        return batch * kept / (1 - self.p)


def window_maximum(vectors, weight, bias, lengths):
    """Filters on the windows of each text, and of each filter the maximum.

    Parameters
    ----------
    vectors : tensor of shape (batch, length, dim)
    weight : tensor of shape (filters, dim, width)
    bias : tensor of shape (filters,)
    lengths : tensor of int of shape (batch, 1)
        A text shorter than the filter has its first window alone.

    Returns
    -------
    tensor of shape (batch, filters)
    """
    if vectors.is_cuda:
        return _best(vectors, weight, bias, lengths)[0]
    return WindowMaximum.apply(vectors, weight, bias, lengths)


def _best(vectors, weight, bias, lengths):
    """The maxima, and the windows they are at."""
    maps = conv1d(vectors.transpose(1, 2), weight, bias)  # (batch, filters, windows)
    windows = torch.arange(maps.shape[2], device=maps.device)
    outside = windows >= (lengths - weight.shape[2] + 1).clamp(min=1)  # (batch, windows)
    return maps.masked_fill(outside[:, None], -torch.inf).max(dim=2)


class WindowMaximum(torch.autograd.Function):
    """`window_maximum` with a way back for a CPU.

    Of all windows only one per filter takes part in the gradient, so the way back is two sparse
    products. The convolution's own way back goes through every position, for zeros, and takes
    half of the training. On a GPU it is quick, and the sorting for the products is not.
    """

    @staticmethod
    def forward(ctx, vectors, weight, bias, lengths):
        """The maxima, (batch, filters)."""
        best, place = _best(vectors, weight, bias, lengths)
        ctx.save_for_backward(vectors, weight, place)
        return best

    @staticmethod
    @once_differentiable
    def backward(ctx, slope):
        """Gradients of vectors, weight and bias by that of the maxima, (batch, filters)."""
        vectors, weight, place = ctx.saved_tensors
        batch, length, dim = vectors.shape
        filters, _, width = weight.shape
        first = place + length * torch.arange(batch, device=place.device)[:, None]
        rows = first.T[:, None] + torch.arange(width, device=place.device)[:, None]
        slopes = slope.to(weight.dtype).T[:, None].expand(filters, width, batch)
        by_weight = embedding_bag(  # of each filter and offset, the vectors it was best on
            rows.reshape(-1, batch),
            vectors.reshape(-1, dim),
            mode="sum",
            per_sample_weights=slopes.reshape(-1, batch),
        ).view(filters, width, dim)
        order = rows.flatten().argsort()
        counts = rows.flatten().bincount(minlength=batch * length)
        by_vector = embedding_bag(  # of each vector, the filters and offsets that are best on it
            order // batch,
            weight.transpose(1, 2).reshape(-1, dim),
            counts.cumsum(0) - counts,
            mode="sum",
            per_sample_weights=slopes.flatten()[order],
        ).view(batch, length, dim)
        return by_vector, by_weight.transpose(1, 2), slope.sum(dim=0), None
