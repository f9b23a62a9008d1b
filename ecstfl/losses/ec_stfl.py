"""The EC-STFL loss: as it is written (`written_out`), as a function, and as a module.

It clusters features: samples of one class come near each other, samples of other classes go away
(patent CN112101119A, claim 3; Jiang et al., *DFEW*, ACM MM 2020, arXiv 2008.05924, section 4.2).
:func:`written_out` is the mathematics, to be read. :func:`ec_stfl_loss` gives the same numbers; it
runs :mod:`ecstfl.losses.engine`, which needs less time and memory and keeps more digits.
``docs/loss.md`` derives the gradient; :mod:`ecstfl.losses.naive` is the same in plain loops.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from ecstfl import distributed
from ecstfl.losses import engine
from ecstfl.losses.checks import check_batch

FORMS: Final = ("patent", "paper", "released")
"""Names of the published forms."""

PUBLISHED_NORM: Final = {"patent": 2.0, "paper": 2.0, "released": 1.0}
"""Order of the norm in d_ij, by form; the patent does not state it, and L2 is taken."""


def written_out(x: Tensor, labels: Tensor, form: str = "patent", *, p: float = 2.0) -> Tensor:
    """EC-STFL as it is written: one line a symbol.

    x_i is the feature of sample i, d_ij = ||x_i - x_j||, N_i the samples of the batch with the
    label of i (i itself included) and |N_i| their number:

        a_i = sum over j in N_i      of d_ij / |N_i|    mean distance to the own class
        b_i = sum over j not in N_i  of d_ij / |N_j|    mean distances to the other classes, added

        patent    (claim 3)        L = sum_i a_i / b_i
        paper     (Eq. 9)          L = sum_i a_i / sum_i b_i
        released  (2024, with L1)  L = 1/n^2 sum_i a_i c_i
                                   c_i = sum over j not in N_i of 1/(d_ij + 1e-6)
                                         / (number of j not in N_i + 1)

    A term without a denominator is left out: there is no other class in the batch, or i lies on
    all samples of other classes.

    Args:
        x: (n, d) features, best in float64.
        labels: (n,) integers.
        form: ``patent``, ``paper`` or ``released``.
        p: order of the norm, 1 or 2; ``released`` was published with 1.

    Returns:
        Scalar of the features' dtype, with derivatives of any order. Takes n^2 d numbers.
    """
    d = distances(x, p)
    same = labels[:, None] == labels  # j in N_i
    size = same.sum(dim=1)  # |N_i|
    a = (d * same).sum(dim=1) / size
    if form == "released":
        c = (~same / (d + engine.RELEASED_EPS)).sum(dim=1) / ((~same).sum(dim=1) + 1)
        return (a * c).sum() / len(x) ** 2
    b = (d * ~same / size).sum(dim=1)
    if form == "paper":
        a, b = a.sum(), b.sum()
    return (a[b > 0] / b[b > 0]).sum()


def distances(x: Tensor, p: float) -> Tensor:
    """||x_i - x_j|| of order p: (n, n). Where it is 0, the derivative is taken as 0."""
    away = x[:, None] - x
    if p == 1:
        return away.abs().sum(dim=2)
    square = away.square().sum(dim=2)
    apart = square > 0
    return torch.where(apart, torch.where(apart, square, 1).sqrt(), 0)


def ec_stfl_loss(
    embeddings: Tensor,
    labels: Tensor,
    form: str = "patent",
    *,
    p: float | None = None,
) -> Tensor:
    """EC-STFL loss of one batch: the formulas of :func:`written_out`.

    Zero, with a zero gradient, when the batch holds one class only; a sample that is alone in its
    class has numerator 0. Float16, bfloat16 and float32 features are computed in float64 (L2) or
    float32 (L1), also inside autocast. Invariant to translating, rotating (L2) and permuting the
    batch and to renaming classes; ``patent`` and ``paper`` also to scaling the features.

    Args:
        embeddings: (n, d) features, any real floating dtype, finite.
        labels: (n,) integers on the same device; any values.
        form: ``patent``, ``paper`` or ``released``.
        p: order of the norm, 1 or 2; ``None`` takes the published one (2, 2, 1).

    Returns:
        Scalar >= 0: float64 for float64 embeddings, else float32. Differentiable once in closed
        form, twice by :func:`written_out`.

    Raises:
        ValueError: wrong rank, length, dtype or device, empty batch, nan or inf in the
            embeddings (unchecked inside torch.compile), unknown form or norm.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
        >>> y = torch.tensor([0, 0, 1, 1])
        >>> round(ec_stfl_loss(x, y).item(), 6)  # 0.5/4.5 + 0.5/3.5 + 0.5/3.5 + 0.5/4.5
        0.507937
    """
    p = check_form(form, p)
    check_batch(embeddings, labels)
    return engine.run(embeddings, labels, form, p, again=written_out)[0]


def check_form(form: str, p: float | None) -> float:
    """Return the order of the norm: ``p``, or the published one of ``form``.

    Raises:
        ValueError: unknown form or norm.
    """
    if form not in PUBLISHED_NORM:
        raise ValueError(f"form: expected one of {', '.join(FORMS)}, got {form!r}")
    p = PUBLISHED_NORM[form] if p is None else float(p)
    if p not in (1.0, 2.0):
        raise ValueError(f"p: expected 1, 2 or None (the published norm), got {p}")
    return p


class ECSTFLLoss(nn.Module):
    """`ec_stfl_loss` as a module that counts the batches it could not use.

    Args:
        form: ``patent``, ``paper`` or ``released``.
        p: order of the norm; ``None`` takes the published one.
        gather: collect the features of all `torch.distributed` ranks first, with gradients, so
            that the loss is that of the whole batch (see ``ecstfl.distributed``).

    Raises:
        ValueError: unknown form or norm.
    """

    def __init__(
        self, form: str = "patent", *, p: float | None = None, gather: bool = False
    ) -> None:
        super().__init__()
        self.p = check_form(form, p)
        self.form = form
        self.gather = gather
        # not persistent: counting must not change a checkpoint
        self.register_buffer("_counts", torch.zeros(4, dtype=torch.int64), persistent=False)

    def extra_repr(self) -> str:
        """Form and norm, as printed."""
        return f"form={self.form!r}, p={self.p:g}, gather={self.gather}"

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of (n, d) embeddings and (n,) labels; counts the batch."""
        return self.measure(embeddings, labels)[0]

    def measure(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(loss, within/between ratio); the ratio is L2 whatever the norm of the form."""
        if self.gather:
            embeddings, labels = distributed.gather(embeddings), distributed.gather(labels)
        check_batch(embeddings, labels)
        loss, sums = engine.run(embeddings, labels, self.form, self.p, again=written_out)
        with torch.no_grad():
            left_out, alone = (sums.b <= 0).sum(), (sums.size == 1).sum()
            one_class = (sums.size == len(labels)).all()
            new = [torch.ones_like(left_out), one_class, alone, left_out]
            self._counts += torch.stack([value.to(self._counts) for value in new])
            if self.p != 2.0:
                sums = engine.run(embeddings, labels, "patent", 2.0)[1]
            return loss, engine.within_between(sums)

    def counts(self) -> dict[str, int]:
        """Totals since the last reset.

        Returns:
            ``batches`` seen, ``one_class`` of them (zero loss, zero gradient), samples ``alone``
            in their class, and ``left_out`` terms without a denominator.
        """
        return dict(
            zip(("batches", "one_class", "alone", "left_out"), self._counts.tolist(), strict=True)
        )

    def reset_counts(self) -> None:
        """Set all counters to zero (at the start of an epoch)."""
        self._counts.zero_()
