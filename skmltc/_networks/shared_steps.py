"""What a net does differently where several processes train it."""

import torch

from ..distributed import total
from .batches import Part


class SharedSteps:
    """Mixin of a skorch net: its steps are those of all processes, each with its part of a batch.

    Losses are means over documents. So that of a batch is the sum of the processes' losses, and its
    gradient that of their gradients, each times the share of the batch that it is of.
    """

    def train_step_single(self, batch, **fit_params):
        """Compute the loss and the gradients of the whole batch."""
        step = super().train_step_single(batch, **fit_params)
        parameters = [p for group in self.optimizer_.param_groups for p in group["params"]]
        return step | {"loss": summed(parameters, step["loss"].detach(), batch.share)}

    def validation_step(self, batch, **fit_params):
        """Compute the loss of the whole batch, if this is a part of one."""
        step = super().validation_step(batch, **fit_params)
        return step | {"loss": total(step["loss"] * batch.share)} if is_part(batch) else step

    def on_batch_end(self, net, batch=None, training=False, **step):
        """Correct how many documents the history counts: those of the whole batch."""
        name = f"{'train' if training else 'valid'}_batch_size"
        self.history.record_batch(name, batch.n_documents)


def summed(parameters, loss, share):
    """Sum the gradients over all processes, in one go with their losses.

    Parameters
    ----------
    parameters : list of parameters
        Their gradients become those of the batch. One that no process has stays None.
    loss : tensor of shape ()
    share : float
        Which share of the batch this process's gradients and loss are of.

    Returns
    -------
    tensor of shape ()
        The loss of the batch.
    """
    has_one = torch.tensor([p.grad is not None for p in parameters], device=loss.device)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    numbers = [g.flatten().float() for g in gradients] + [has_one.float(), loss.float()[None]]
    sums = total(torch.cat(numbers).mul_(share))
    *parts, n_having, loss = sums.split([len(n) for n in numbers])
    for parameter, part, is_there in zip(parameters, parts, n_having.tolist(), strict=True):
        parameter.grad = part.view_as(parameter).to(parameter.dtype) if is_there else None
    return loss[0]


def is_part(batch):
    """Whether a batch is a part of one that several processes share."""
    return isinstance(batch, Part)


def counts(batch):
    """Whether the documents of a batch count: a process may have none of its own."""
    return not is_part(batch) or batch.share > 0
