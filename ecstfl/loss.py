r"""The EC-STFL loss: every published form, as a function, a module and a joint training loss.

Symbols (patent CN112101119A, claim 3; paper = Jiang et al., ACM MM 2020, arXiv 2008.05924):
x_i is the feature of sample i in a batch of n, d_ij = ||x_i - x_j||, N_i the samples of the batch
with the label of x_i (x_i itself included), |N_i| their number.

========  ====================================================================  ====  =============
form      formula                                                               norm  source
========  ====================================================================  ====  =============
patent    sum_i [sum_{j in N_i} d_ij/|N_i|] / [sum_{j not in N_i} d_ij/|N_j|]   L2    claim 3
paper     [sum_i sum_{j in N_i} d_ij/|N_i|]                                     L2    paper, Eq. 9
          / [sum_i sum_{j not in N_i} d_ij/|N_j|]
released  1/n^2 sum_i mean_{j in N_i} d_ij                                      L1    2024 release
          * [sum_{j not in N_i} 1/(d_ij + 1e-6)] / (negatives of i + 1)
========  ====================================================================  ====  =============

The patent does not state the order of its norm; the plain norm is taken as L2.

=====================  =====================================================================
symbol                 variable
=====================  =====================================================================
x_i, n                 ``x[i]``, ``n``
d_ij                   ``d[i, j]``
j in N_i, |N_i|        ``same[i, j]``, ``size[i]``
numerator of i         ``a[i]``  = sum_{j in N_i} d_ij / |N_i|
denominator of i       ``b[i]``  = sum_{j not in N_i} d_ij / |N_j|   (released: see `_row_sums`)
dL/dd_ij + dL/dd_ji    ``g[i, j]``
=====================  =====================================================================

The gradient is written in closed form and derived, with the error bound and the subgradient at
zero, in ``docs/loss.md``; ``ecstfl.reference`` is the same mathematics in plain loops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecstfl import distributed

FORMS: Final = ("patent", "paper", "released")
"""Names of the published forms."""

PUBLISHED_NORM: Final = {"patent": 2.0, "paper": 2.0, "released": 1.0}
"""Order of the norm in d_ij, by form."""

RELEASED_EPS: Final = 1e-6
"""The constant in 1/(d_ij + eps) of the released form."""

# Distances are built in blocks of at most this many entries (8 MB in float64), so that the
# temporary memory grows with n, not n^2. Up to KEEP samples the blocks are kept for the backward
# pass (134 MB at most); above, they are computed again.
_BLOCK_ENTRIES: Final = 2**20
_KEEP: Final = 4096

# A squared distance below 2 eps32^2 |x_i|^2 is rounding, not distance: the points agree to the
# precision of a float32 feature, and their distance is taken as exactly 0.
_TINY: Final = 2 * float(torch.finfo(torch.float32).eps) ** 2


# --------------------------------------------------------------------------------------------
# Checks
# --------------------------------------------------------------------------------------------


def check_batch(embeddings: Tensor, labels: Tensor) -> None:
    """Check that embeddings are (n, d) finite floats and labels (n,) integers beside them.

    Raises:
        ValueError: they are not; the message tells what was expected, got, and where.
    """
    if not isinstance(embeddings, Tensor) or not isinstance(labels, Tensor):
        raise ValueError(
            "embeddings and labels: expected two torch tensors, "
            f"got {type(embeddings).__name__} and {type(labels).__name__}"
        )
    if embeddings.ndim != 2:
        raise ValueError(f"embeddings: expected shape (n, d), got {tuple(embeddings.shape)}")
    if not embeddings.is_floating_point():
        raise ValueError(f"embeddings: expected a real floating dtype, got {embeddings.dtype}")
    n, d = embeddings.shape
    if n == 0 or d == 0:
        raise ValueError(f"embeddings: expected n >= 1 and d >= 1, got shape ({n}, {d})")
    if tuple(labels.shape) != (n,):
        raise ValueError(f"labels: expected shape ({n},), got {tuple(labels.shape)}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels: expected an integer dtype, got {labels.dtype}")
    if labels.device != embeddings.device:
        raise ValueError(
            f"labels: expected device {embeddings.device} (as the embeddings), got {labels.device}"
        )
    # Reading a value would break the graph of torch.compile; there the caller answers for it.
    if torch.compiler.is_compiling():
        return
    # A nan or inf anywhere makes the sum non-finite: one cheap pass. The search comes only then,
    # and finds nothing where finite numbers overflowed the sum.
    if not torch.isfinite(embeddings.detach().sum()):
        bad = (~torch.isfinite(embeddings)).nonzero()
        if len(bad):
            i, k = bad[0].tolist()
            raise ValueError(
                f"embeddings: expected finite values, got {embeddings[i, k].item()} at "
                f"[{i}, {k}] ({len(bad)} such value(s) in all)"
            )


def _check_form(form: str, p: float | None) -> float:
    """Return the order of the norm: ``p``, or the published one of ``form``."""
    if form not in PUBLISHED_NORM:
        raise ValueError(f"form: expected one of {', '.join(FORMS)}, got {form!r}")
    p = PUBLISHED_NORM[form] if p is None else float(p)
    if p not in (1.0, 2.0):
        raise ValueError(f"p: expected 1, 2 or None (the published norm), got {p}")
    return p


# --------------------------------------------------------------------------------------------
# Distances
# --------------------------------------------------------------------------------------------


def _wide(x: Tensor) -> torch.dtype:
    """float64, or float32 on the one kind of device that has no float64."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def _by_products(x: Tensor, p: float) -> bool:
    """Whether distances come from float64 products (fast) or from differences.

    L2 of features up to float32: the product of two float32 numbers is exact in float64, so
    that |x_i|^2 + |x_j|^2 - 2 x_i.x_j keeps more digits than the features have. Float64
    features have no such reserve, and L1 has no such formula.
    """
    return p == 2.0 and x.dtype != torch.float64 and _wide(x) == torch.float64


def _prepare(x: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """Features z (n, d) in the dtype of the arithmetic, and |z_i|^2 (n,) for products.

    Centred where products are used; otherwise the squares are left empty.
    """
    if not _by_products(x, p):
        z = x if x.dtype == torch.float64 else x.float()
        return z, z.new_empty(0)
    z = x.double()
    z -= z.mean(dim=0)  # in place: no second copy
    return z, torch.linalg.vector_norm(z, dim=1).square()  # z * z would be that second copy


def _distances(z: Tensor, square: Tensor, rows: slice, p: float) -> Tensor:
    """Distances of ``z[rows]`` to all rows of the prepared features ``z``: (r, n), d_ii = 0."""
    n = len(z)
    if len(square):
        d2 = (square[rows, None] + square).addmm_(z[rows], z.T, alpha=-2)
        return torch.where(d2 > _TINY * square[rows, None], d2, 0).sqrt_()
    if len(range(*rows.indices(n))) == n and n > 1:
        # pdist visits each pair once and, on a CPU, is many times faster than cdist
        d = z.new_zeros(n, n)
        i, j = torch.triu_indices(n, n, 1, device=z.device)
        d[i, j] = torch.pdist(z, p)
        return d + d.T
    return torch.cdist(z[rows], z, p=p, compute_mode="donot_use_mm_for_euclid_dist")


def _pull(z: Tensor, square: Tensor, rows: slice, d: Tensor, g: Tensor, p: float) -> Tensor:
    """Gradient of sum_{i<j} g_ij d_ij for ``z[rows]``: (r, dim); a pair with d_ij = 0 gives 0."""
    if len(square):
        # sum_j k_ij (x_j - x_i) with k = -g/d: put -sum_j k_ij on the diagonal, one product
        k = torch.where(d > 0, g / -d, 0)
        k.diagonal(offset=rows.start).sub_(k.sum(dim=1))
        return k @ z
    # The public route to this kernel is autograd through cdist, which computes d once more.
    d, g = d.to(z.dtype), g.to(z.dtype)
    return torch.ops.aten._cdist_backward(g, z[rows].contiguous(), z, p, d)


def _blocks(n: int) -> list[slice]:
    """Row blocks of at most _BLOCK_ENTRIES distances."""
    step = max(1, _BLOCK_ENTRIES // n)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _class_sizes(labels: Tensor) -> Tensor:
    """|N_i| for each i: (n,) int64, also by blocks."""
    size = torch.empty_like(labels, dtype=torch.int64)
    for rows in _blocks(len(labels)):
        size[rows] = (labels[rows, None] == labels).sum(dim=1)
    return size


# --------------------------------------------------------------------------------------------
# The forms: row sums a, b -> value and dL/dd_ij. Everything published differs only here.
# --------------------------------------------------------------------------------------------


def _row_sums(form: str, d: Tensor, same: Tensor, size: Tensor, rows: slice) -> tuple[Tensor, ...]:
    """a_i, b_i and sum_j d_ij of the rows of one block, each (r,)."""
    a = (d * same).sum(dim=1) / size[rows]
    weights = torch.stack([1 / size, torch.ones_like(size)], dim=1)
    total, plain = (d @ weights).unbind(dim=1)  # sum_j d_ij/|N_j| over *all* j; sum_j d_ij
    if form == "released":  # b_i = sum of 1/(d_ij + eps) over negatives / (negatives + 1)
        inverse = torch.where(same, 0, 1 / (d + RELEASED_EPS))
        return a, inverse.sum(dim=1) / (len(size) - size[rows] + 1), plain
    # over j in N_i, |N_j| = |N_i|: that part of the total is a_i, and what is left is b_i, or
    # rounding
    b = total - a
    return a, torch.where(b > 64 * torch.finfo(d.dtype).eps * total, b, 0), plain


def _value(form: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, and two vectors u, v (n,) from which `_slope` makes every dL/dd_ij.

    A term whose denominator is 0 (no other class in the batch, or every sample of another class
    at the same point) is left out: 0 with a zero gradient.
    """
    n = len(a)
    if form == "released":
        return (a * b).sum() / n**2, b / n**2, a / n**2
    if form == "paper":
        a, b = a.sum().expand(n), b.sum().expand(n)
    defined = b > 0
    b = torch.where(defined, b, 1)
    ratio = torch.where(defined, a / b, 0)
    loss = ratio.sum() if form == "patent" else ratio[0]
    return loss, torch.where(defined, 1 / b, 0), ratio / b


def _slope(
    form: str, u: Tensor, v: Tensor, d: Tensor, same: Tensor, size: Tensor, rows: slice
) -> Tensor:
    """g_ij = dL/dd_ij + dL/dd_ji of the rows of one block: (r, n)."""
    u = u / size  # j in N_i: |N_i| = |N_j|
    pull = u[rows, None] + u
    if form == "released":
        v = v / (len(size) - size + 1)
        push = (v[rows, None] + v) / -((d + RELEASED_EPS) ** 2)
    else:  # -(v_i / |N_j| + v_j / |N_i|)
        push = torch.stack([v, 1 / size], 1)[rows] @ torch.stack([-1 / size, -v])
    return torch.where(same, pull, push)


class _ECSTFL(torch.autograd.Function):
    """Value and closed-form gradient, block by block.

    Returns (loss, left_out, within, between): the loss, the number of terms without a
    denominator, and the sums of d_ij over pairs within and between classes (i and j ordered).
    """

    @staticmethod
    def forward(ctx, x: Tensor, labels: Tensor, form: str, p: float) -> tuple[Tensor, ...]:  # noqa: ANN001
        n = len(x)
        z, square = _prepare(x, p)
        size = _class_sizes(labels).to(_wide(x))
        kept = []
        # made beforehand: small tensors left behind by each block would keep the memory of the
        # large ones from being used again
        a, b, total = size.new_empty(3, n)
        for rows in _blocks(n):
            d = _distances(z, square, rows, p).to(_wide(x))
            same = labels[rows, None] == labels
            a[rows], b[rows], total[rows] = _row_sums(form, d, same, size, rows)
            if n <= _KEEP:
                kept.append(d)
        loss, u, v = _value(form, a, b)
        left_out, within = (b <= 0).sum(), (a * size).sum()
        between = (total.sum() - within).clamp(min=0)
        ctx.form, ctx.p = form, p
        ctx.save_for_backward(x, labels, size, u, v, *([z, square, *kept] if n <= _KEEP else []))
        ctx.mark_non_differentiable(left_out, within, between)
        return loss.to(_result_dtype(x)), left_out, within, between

    @staticmethod
    def backward(ctx, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN001
        x, labels, size, u, v, *kept = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: differentiate a plain composition
            loss = _composed(x, labels, ctx.form, ctx.p)
            (result,) = torch.autograd.grad(loss, x, grad, create_graph=True)
            return result, None, None, None
        z, square, *kept = kept or _prepare(x, ctx.p)
        u, v = grad * u, grad * v
        result = torch.empty_like(x)
        for number, rows in enumerate(_blocks(len(x))):
            d = kept[number] if kept else _distances(z, square, rows, ctx.p).to(_wide(x))
            same = labels[rows, None] == labels
            g = _slope(ctx.form, u, v, d, same, size, rows)
            result[rows] = _pull(z, square, rows, d, g, ctx.p).to(x.dtype)
        return result, None, None, None


def _composed(x: Tensor, labels: Tensor, form: str, p: float) -> Tensor:
    """The same loss from differentiable operations, for second derivatives; memory n^2 d."""
    z = x.to(_wide(x))
    difference = z[:, None] - z
    if p == 1.0:
        d = difference.abs().sum(dim=2)
    else:
        d2 = (difference * difference).sum(dim=2)
        d = torch.where(d2 > 0, torch.where(d2 > 0, d2, 1).sqrt(), 0)
    same = labels[:, None] == labels
    size = same.sum(dim=1).to(z.dtype)
    a, b, _ = _row_sums(form, d, same, size, slice(0, len(x)))
    return _value(form, a, b)[0].to(_result_dtype(x))


def _result_dtype(x: Tensor) -> torch.dtype:
    """float64 for float64 features, float32 for all others."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


# --------------------------------------------------------------------------------------------
# Functions
# --------------------------------------------------------------------------------------------


def ec_stfl_loss(
    embeddings: Tensor,
    labels: Tensor,
    form: str = "patent",
    *,
    p: float | None = None,
) -> Tensor:
    """EC-STFL loss of one batch, differentiable once in closed form and twice by composition.

    Formula, symbols and sources: table at the head of this module. Zero (with a zero gradient)
    when the batch holds one class only; a sample that is alone in its class has numerator 0.
    Float16, bfloat16 and float32 features are computed in float64 (L2) or float32 (L1), also
    inside autocast. Invariant to translating, rotating (L2) and permuting the batch and to
    renaming classes; the forms ``patent`` and ``paper`` also to scaling the features.

    Args:
        embeddings: (n, d) features, any real floating dtype, finite.
        labels: (n,) integers on the same device; any values.
        form: ``patent``, ``paper`` or ``released``.
        p: order of the norm, 1 or 2; ``None`` takes the published one (2, 2, 1).

    Returns:
        Scalar >= 0: float64 for float64 embeddings, else float32.

    Raises:
        ValueError: wrong rank, length, dtype or device, empty batch, nan or inf in the
            embeddings (unchecked inside torch.compile), unknown form or norm.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
        >>> y = torch.tensor([0, 0, 1, 1])
        >>> round(ec_stfl_loss(x, y).item(), 6)  # 0.5/4.5 + 0.5/3.5 + 0.5/3.5 + 0.5/4.5
        0.507937
    """
    p = _check_form(form, p)
    check_batch(embeddings, labels)
    return _run(embeddings, labels, form, p)[0]


def _run(embeddings: Tensor, labels: Tensor, form: str, p: float) -> tuple[Tensor, ...]:
    """Checked arguments -> (loss, left_out, within sum, between sum), outside autocast."""
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        return _ECSTFL.apply(embeddings, labels, form, p)


def _ratio(size: Tensor, within: Tensor, between: Tensor) -> Tensor:
    """Mean distance within / between from sums over ordered pairs; 1 where undefined."""
    n, same = len(size), size.sum()
    pairs_within, pairs_between = same - n, n * n - same
    defined = (pairs_within > 0) & (pairs_between > 0) & (between > 0)
    ratio = (within / pairs_within.clamp(min=1)) / torch.where(
        defined, between / pairs_between.clamp(min=1), 1
    )
    return torch.where(defined, ratio, 1).float()


@torch.no_grad()
def within_between_ratio(embeddings: Tensor, labels: Tensor, *, p: float = 2.0) -> Tensor:
    """Mean distance within classes over mean distance between classes: free of n, C and scale.

    The one number that can be compared across forms, batch sizes and weights: 0 when every
    class is a point, about 1 when labels say nothing about the features.

    Args:
        embeddings: (n, d) features.
        labels: (n,) integers.
        p: order of the norm, 1 or 2.

    Returns:
        Scalar float32 >= 0 without gradient; 1 (no separation) where it is not defined: one
        class only, no two samples of one class, or all samples at one point.

    Raises:
        ValueError: as `ec_stfl_loss`.
    """
    p = _check_form("patent", p)
    check_batch(embeddings, labels)
    _, _, within, between = _run(embeddings.detach(), labels, "patent", p)
    return _ratio(_class_sizes(labels), within, between)


@dataclass(frozen=True)
class BatchReport:
    """What one batch looks like to the loss.

    Attributes:
        n: batch size.
        classes: classes present, C.
        alone: samples without a partner of their class (numerator 0).
        left_out: terms without a denominator; n when ``classes`` is 1.
        loss: value of the form asked for.
        size_free: the loss without its dependence on n and C: patent loss * (C-1)/n, paper
            loss * (C-1); both about d_within/d_between. ``None`` for the released form, whose
            value depends on the scale of the features too.
        ratio: `within_between_ratio`.
    """

    n: int
    classes: int
    alone: int
    left_out: int
    loss: float
    size_free: float | None
    ratio: float


@torch.no_grad()
def batch_report(
    embeddings: Tensor, labels: Tensor, form: str = "patent", *, p: float | None = None
) -> BatchReport:
    """Describe one batch; arguments and errors as `ec_stfl_loss`."""
    p = _check_form(form, p)
    check_batch(embeddings, labels)
    loss, left_out, _, _ = _run(embeddings.detach(), labels, form, p)
    counts = torch.unique(labels, return_counts=True)[1]
    n, classes = len(labels), len(counts)
    factor = {"patent": (classes - 1) / n, "paper": classes - 1}.get(form)
    return BatchReport(
        n=n,
        classes=classes,
        alone=int((counts == 1).sum()),
        left_out=int(left_out),
        loss=loss.item(),
        size_free=None if factor is None else loss.item() * factor,
        ratio=within_between_ratio(embeddings, labels).item(),
    )


# --------------------------------------------------------------------------------------------
# Modules
# --------------------------------------------------------------------------------------------


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
        self.p = _check_form(form, p)
        self.form = form
        self.gather = gather
        # not persistent: counting must not change a checkpoint
        self.register_buffer("_counts", torch.zeros(4, dtype=torch.int64), persistent=False)

    def extra_repr(self) -> str:
        """Form and norm, as printed."""
        return f"form={self.form!r}, p={self.p:g}, gather={self.gather}"

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of (n, d) embeddings and (n,) labels; counts the batch."""
        return self._measure(embeddings, labels)[0]

    def _measure(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(loss, within/between ratio); the ratio is L2 whatever the norm of the form."""
        if self.gather:
            embeddings, labels = distributed.gather(embeddings), distributed.gather(labels)
        check_batch(embeddings, labels)
        loss, left_out, within, between = _run(embeddings, labels, self.form, self.p)
        if self.p != 2.0:
            _, _, within, between = _run(embeddings.detach(), labels, "patent", 2.0)
        with torch.no_grad():
            size = _class_sizes(labels)
            one_class = (size == len(labels)).all()
            new = [torch.ones_like(left_out), one_class, (size == 1).sum(), left_out]
            self._counts += torch.stack([value.to(self._counts) for value in new])
            return loss, _ratio(size, within, between)

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


def constant(progress: float) -> float:
    """Schedule of lambda that leaves it as it is."""
    return 1.0


def warmup(start: float = 0.0, end: float = 0.1) -> Callable[[float], float]:
    """Schedule of lambda: 0 until ``start``, then linear to 1 at ``end`` (parts of training).

    Raises:
        ValueError: not 0 <= start < end <= 1.
    """
    if not 0 <= start < end <= 1:
        raise ValueError(f"warmup: expected 0 <= start < end <= 1, got {start} and {end}")
    return lambda progress: min(1.0, max(0.0, (progress - start) / (end - start)))


def weight_at(weight: float, schedule: Callable[[float], float], progress: float) -> float:
    """Lambda of the moment: ``weight * schedule(progress)``.

    Args:
        weight: lambda >= 0 of the whole training.
        schedule: progress 0..1 -> factor >= 0.
        progress: share of the training that is done, 0..1.

    Raises:
        ValueError: negative or non-finite weight, progress outside 0..1, or the schedule gives
            a negative or non-finite factor.
    """
    if not 0 <= weight < float("inf"):
        raise ValueError(f"weight (lambda): expected a finite number >= 0, got {weight}")
    if not 0 <= progress <= 1:
        raise ValueError(f"progress: expected 0..1, got {progress}")
    factor = float(schedule(progress))
    if not 0 <= factor < float("inf"):
        raise ValueError(f"schedule({progress}): expected a finite factor >= 0, got {factor}")
    return float(weight) * factor


class JointLoss(nn.Module):
    """L = L_S + lambda L_EC-STFL (claim 4; paper, Eq. 10).

    Args:
        weight: lambda >= 0; 0 trains on the softmax loss alone, and nothing of EC-STFL reaches
            the gradient. Not comparable across forms or batch sizes (docs/loss.md).
        form: ``patent``, ``paper`` or ``released``.
        p: order of the norm; ``None`` takes the published one.
        schedule: progress 0..1 -> factor >= 0 on lambda; see `set_progress`, `warmup`.
        class_weight: (classes,) weights of the softmax loss.
        label_smoothing: 0..1, of the softmax loss.
        gather: both losses over the batch of all `torch.distributed` ranks.

    Raises:
        ValueError: negative or non-finite weight, unknown form or norm.
    """

    def __init__(
        self,
        weight: float = 0.0,
        form: str = "patent",
        *,
        p: float | None = None,
        schedule: Callable[[float], float] = constant,
        class_weight: Tensor | None = None,
        label_smoothing: float = 0.0,
        gather: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing: expected 0..1, got {label_smoothing}")
        self.weight = float(weight)
        self.schedule = schedule
        self.label_smoothing = label_smoothing
        self.gather = gather
        self.ec_stfl = ECSTFLLoss(form, p=p)
        self.register_buffer("class_weight", class_weight, persistent=False)
        self.set_progress(0.0)

    def set_progress(self, progress: float) -> None:
        """Tell how much of the training is done, 0..1: sets ``current_weight`` by the schedule.

        Raises:
            ValueError: as :func:`weight_at`.
        """
        self.current_weight = weight_at(self.weight, self.schedule, progress)

    def extra_repr(self) -> str:
        """Lambda, as printed."""
        return f"weight={self.weight:g}, gather={self.gather}"

    def forward(
        self, logits: Tensor, embeddings: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Joint loss of one batch.

        Args:
            logits: (n, classes), before the softmax.
            embeddings: (n, d), output of the tapped layer.
            labels: (n,) integers 0..classes-1.

        Returns:
            Total (scalar, with gradient) and its parts without gradient: ``ce``, ``ec_stfl``
            (not multiplied by lambda) and ``ratio`` (mean within / mean between distance).

        Raises:
            ValueError: as `ec_stfl_loss`, or logits of another shape.
        """
        if logits.ndim != 2 or len(logits) != len(labels):
            raise ValueError(
                f"logits: expected shape ({len(labels)}, classes), got {tuple(logits.shape)}"
            )
        if not torch.compiler.is_compiling() and len(labels):
            # cross entropy would skip -100 in silence, and stop a GPU at any other wrong label
            low, high = torch.stack(torch.aminmax(labels)).tolist()
            if low < 0 or high >= logits.shape[1]:
                raise ValueError(
                    f"labels: expected 0..{logits.shape[1] - 1} for {logits.shape[1]} logits, "
                    f"got {low}..{high}"
                )
        if self.gather:
            logits, embeddings, labels = map(distributed.gather, (logits, embeddings, labels))
        with torch.autocast(device_type=logits.device.type, enabled=False):
            wide = logits if logits.dtype == torch.float64 else logits.float()
            ce = functional.cross_entropy(
                wide,
                labels.long(),
                weight=None if self.class_weight is None else self.class_weight.to(wide),
                label_smoothing=self.label_smoothing,
            )
        if self.current_weight == 0:
            loss, ratio = self.ec_stfl._measure(embeddings.detach(), labels)
            total = ce
        else:
            loss, ratio = self.ec_stfl._measure(embeddings, labels)
            total = ce + self.current_weight * loss
        return total, {"ce": ce.detach(), "ec_stfl": loss.detach(), "ratio": ratio}

    def counts(self) -> dict[str, int]:
        """As `ECSTFLLoss.counts`."""
        return self.ec_stfl.counts()

    def reset_counts(self) -> None:
        """As `ECSTFLLoss.reset_counts`."""
        self.ec_stfl.reset_counts()
