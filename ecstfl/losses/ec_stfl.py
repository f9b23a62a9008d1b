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
zero, in ``docs/loss.md``; ``ecstfl.losses.naive`` is the same mathematics in plain loops.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

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
# temporary memory grows with n, not n^2. Up to KEEP samples the blocks stay from the value to the
# gradient (134 MB at most); above, they are computed again.
_BLOCK_ENTRIES: Final = 2**20
_KEEP: Final = 4096

# Rows and columns of the tiles in which a CPU builds a symmetric product.
_TILE: Final = 64

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
    if not math.isfinite(embeddings.detach().sum().item()):
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


def _has_products(x: Tensor, p: float) -> bool:
    """Whether distances come from float64 products (fast) or from differences.

    L2 of features up to float32: the product of two float32 numbers is exact in float64, so
    that |x_i|^2 + |x_j|^2 - 2 x_i.x_j keeps more digits than the features have. Float64
    features have no such reserve, and L1 has no such formula.
    """
    return p == 2.0 and x.dtype != torch.float64 and _wide(x) == torch.float64


def _prepare(x: Tensor, p: float) -> Tensor:
    """Features z (n, d) in the dtype of the arithmetic; centred where products are used."""
    if not _has_products(x, p):
        return x if x.dtype == torch.float64 else x.float()
    z = x.double()
    return z.sub_(z.sum(dim=0), alpha=1 / len(z))  # in place: no second copy


# The rows of one block, or None for all rows at once: slicing takes as long as the arithmetic of
# a small batch.
Rows = slice | None


def _take(t: Tensor, rows: Rows) -> Tensor:
    return t if rows is None else t[rows]


def _gram(z: Tensor) -> Tensor:
    """<z_i, z_j>: (n, n). On a CPU, where arithmetic is dear, each tile and its mirror once."""
    n = len(z)
    if z.device.type != "cpu" or n <= _TILE:
        return z @ z.T
    gram = z.new_empty(n, n)
    for start in range(0, n, _TILE):
        rows, below = slice(start, start + _TILE), slice(start + _TILE, n)
        gram[rows, start:] = z[rows] @ z[start:].T
        gram[below, rows] = gram[rows, below].T
    return gram


def _by_products(z: Tensor, rows: Rows, square: Tensor | None = None) -> Tensor:
    """L2 distances of the rows of one block to all rows: (r, n), d_ii = 0.

    ``z``: centred float64 features; ``square``: |z_i|^2 (n,), needed for blocks only.
    """
    if rows is None or square is None:
        product = _gram(z)
        mine = square = product.diagonal()
    else:
        product, mine = z[rows] @ z.T, square[rows]
    d2 = (mine[:, None] + square).sub_(product, alpha=2)
    return d2.masked_fill_(d2 <= _TINY * mine[:, None], 0).sqrt_()


def _by_differences(z: Tensor, rows: Rows, p: float) -> Tensor:
    """The same distances, L1 or L2, from x_i - x_j: slower, and without any cancellation."""
    n = len(z)
    if rows is not None or n == 1:
        return torch.cdist(_take(z, rows), z, p=p, compute_mode="donot_use_mm_for_euclid_dist")
    # pdist visits each pair once and, on a CPU, is many times faster than cdist
    d = z.new_zeros(n, n)
    i, j = torch.triu_indices(n, n, 1, device=z.device)
    d[i, j] = torch.pdist(z, p)
    return d + d.T


def _pull(z: Tensor, products: bool, rows: Rows, d: Tensor, g: Tensor, p: float) -> Tensor:
    """Gradient of sum_{i<j} g_ij d_ij for the rows of one block: (r, dim); d_ij = 0 gives 0.

    ``g`` is used up.
    """
    if products:
        # sum_j k_ij (x_j - x_i) with k = -g/d: put -sum_j k_ij on the diagonal, one product
        k = g.div_(d).neg_().nan_to_num_(nan=0, posinf=0, neginf=0)
        k.diagonal(offset=0 if rows is None else rows.start).sub_(k.sum(dim=1))
        return k @ z
    # The public route to this kernel is autograd through cdist, which computes d once more.
    d, g = d.to(z), g.to(z)
    return torch.ops.aten._cdist_backward(g, _take(z, rows).contiguous(), z, p, d)


def _same(labels: Tensor, rows: Rows, dtype: torch.dtype) -> Tensor:
    """1 where j in N_i, else 0, for the rows of one block: (r, n)."""
    return (_take(labels, rows)[:, None] == labels).to(dtype)


# --------------------------------------------------------------------------------------------
# The forms: row sums a, b -> value and dL/dd_ij. Everything published differs only here.
# --------------------------------------------------------------------------------------------


def _row_sums(form: str, d: Tensor, same: Tensor, size: Tensor, rows: Rows) -> tuple[Tensor, ...]:
    """a_i, b_i and sum_j d_ij of the rows of one block, each (r,)."""
    total = d.sum(dim=1)
    mine = _take(size, rows)
    a = torch.linalg.vecdot(d, same) / mine
    if form == "released":  # b_i = sum of 1/(d_ij + eps) over negatives / (negatives + 1)
        inverse = torch.linalg.vecdot(1 - same, 1 / (d + RELEASED_EPS))
        return a, inverse / (len(size) - mine + 1), total
    # sum_j d_ij/|N_j| over *all* j: where j in N_i, |N_j| = |N_i|, so that this part of it is
    # a_i, and what is left is b_i, or rounding
    every = d @ size.reciprocal()
    b = every - a
    return a, b.masked_fill(b <= 64 * torch.finfo(d.dtype).eps * every, 0), total


def _value(form: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, and two vectors u, v (n,) from which `_slope` makes every dL/dd_ij.

    A term whose denominator is 0 (no other class in the batch, or every sample of another class
    at the same point) is left out: 0 with a zero gradient.
    """
    n = len(a)
    if form == "released":
        return (a * b).sum() / n**2, b / n**2, a / n**2
    if form == "paper":
        a, b = a.sum(), b.sum()
    u = b.masked_fill(b <= 0, torch.inf).reciprocal()  # 1/b, or 0 where the term is left out
    ratio = a * u
    return ratio.sum(), u.expand(n), (ratio * u).expand(n)


def _slope(
    form: str, u: Tensor, v: Tensor, d: Tensor, same: Tensor, size: Tensor, rows: Rows
) -> Tensor:
    """g_ij = dL/dd_ij + dL/dd_ji of the rows of one block: (r, n)."""
    u = u / size  # j in N_i: |N_i| = |N_j|
    pull = _take(u, rows)[:, None] + u
    if form == "released":
        v = v / (len(size) - size + 1)
        push = (_take(v, rows)[:, None] + v) / -((d + RELEASED_EPS) ** 2)
    else:  # -(v_i / |N_j| + v_j / |N_i|)
        w = size.reciprocal()
        push = torch.outer(_take(v, rows), w)
        push = torch.addr(push, _take(w, rows), v, beta=-1, alpha=-1)
    return push.lerp_(pull, same)  # exactly one or the other


class _Terms(NamedTuple):
    """What a loss is made of: row sums a_i, b_i, sum_j d_ij, and |N_i|, each (n,)."""

    a: Tensor
    b: Tensor
    total: Tensor
    size: Tensor


Solution = tuple[Tensor, _Terms, Tensor | None]
"""Loss, its terms and, where wanted, its gradient in the dtype of the loss."""


@torch.no_grad()
def _solve(x: Tensor, labels: Tensor, form: str, p: float, wanted: bool) -> Solution:
    """Value and closed-form gradient of one batch."""
    if len(x) ** 2 > _BLOCK_ENTRIES:
        return _solve_by_blocks(x, labels, form, p, wanted)
    wide, products = _wide(x), _has_products(x, p)
    z = _prepare(x, p)
    d = _by_products(z, None) if products else _by_differences(z, None, p).to(wide)
    same = _same(labels, None, wide)
    size = same.sum(dim=1)
    a, b, total = _row_sums(form, d, same, size, None)
    loss, u, v = _value(form, a, b)
    gradient = None
    if wanted:
        g = _slope(form, u, v, d, same, size, None)
        gradient = _pull(z, products, None, d, g, p).to(_result_dtype(x))
    return loss.to(_result_dtype(x)), _Terms(a, b, total, size), gradient


def _solve_by_blocks(x: Tensor, labels: Tensor, form: str, p: float, wanted: bool) -> Solution:
    """The same for a batch whose distances are too many to be held at once."""
    n, wide, products = len(x), _wide(x), _has_products(x, p)
    z = _prepare(x, p)
    # a norm, because z * z would be a second copy
    square = torch.linalg.vector_norm(z, dim=1).square() if products else None
    step = max(1, _BLOCK_ENTRIES // n)
    blocks = [slice(start, min(start + step, n)) for start in range(0, n, step)]
    # Made beforehand: small tensors left behind by each block would keep the memory of the large
    # ones from being used again.
    size, a, b, total = torch.empty(4, n, dtype=wide, device=x.device)
    for rows in blocks:
        size[rows] = _same(labels, rows, wide).sum(dim=1)
    kept = []

    def distances(rows: slice) -> Tensor:
        return _by_products(z, rows, square) if products else _by_differences(z, rows, p).to(wide)

    for rows in blocks:
        d, same = distances(rows), _same(labels, rows, wide)
        a[rows], b[rows], total[rows] = _row_sums(form, d, same, size, rows)
        if wanted and n <= _KEEP:
            kept.append(d)
    loss, u, v = _value(form, a, b)
    gradient = torch.empty_like(x, dtype=_result_dtype(x)) if wanted else None
    for number, rows in enumerate(blocks if wanted else ()):
        d = kept[number] if kept else distances(rows)
        g = _slope(form, u, v, d, _same(labels, rows, wide), size, rows)
        gradient[rows] = _pull(z, products, rows, d, g, p)
    return loss.to(_result_dtype(x)), _Terms(a, b, total, size), gradient


class _WithGradient(torch.autograd.Function):
    """A loss that was computed together with its gradient: the backward pass only multiplies."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, labels: Tensor, form: str, p: float, solution: Solution
    ) -> Tensor:
        ctx.form, ctx.p = form, p
        ctx.save_for_backward(x, labels, solution[2])
        return solution[0].clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, labels, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: differentiate a plain composition
            loss = _composed(x, labels, ctx.form, ctx.p)
            (result,) = torch.autograd.grad(loss, x, grad, create_graph=True)
        else:
            result = (grad * gradient).to(x.dtype)
        return result, None, None, None, None


def _composed(x: Tensor, labels: Tensor, form: str, p: float) -> Tensor:
    """The same loss from differentiable operations, for second derivatives; memory n^2 d."""
    z = x.to(_wide(x))
    difference = z[:, None] - z
    if p == 1.0:
        d = difference.abs().sum(dim=2)
    else:
        d2 = (difference * difference).sum(dim=2)
        d = torch.where(d2 > 0, torch.where(d2 > 0, d2, 1).sqrt(), 0)
    same = _same(labels, None, z.dtype)
    a, b, _ = _row_sums(form, d, same, same.sum(dim=1), None)
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


def _run(embeddings: Tensor, labels: Tensor, form: str, p: float) -> tuple[Tensor, _Terms]:
    """Checked arguments -> loss and its terms, outside autocast."""
    wanted = torch.is_grad_enabled() and embeddings.requires_grad
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        solution = _solve(embeddings, labels, form, p, wanted)
        loss, terms, _ = solution
        if wanted:
            loss = _WithGradient.apply(embeddings, labels, form, p, solution)
    return loss, terms


def _ratio(terms: _Terms) -> Tensor:
    """Mean distance within / between classes; 1 where undefined."""
    within = (terms.a * terms.size).sum()
    between = (terms.total.sum() - within).clamp(min=0)
    n, same = len(terms.size), terms.size.sum()
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
    return _ratio(_run(embeddings, labels, "patent", p)[1])


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
    loss, terms = _run(embeddings, labels, form, p)
    counts = torch.unique(labels, return_counts=True)[1]
    n, classes = len(labels), len(counts)
    factor = {"patent": (classes - 1) / n, "paper": classes - 1}.get(form)
    return BatchReport(
        n=n,
        classes=classes,
        alone=int((counts == 1).sum()),
        left_out=int((terms.b <= 0).sum()),
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
        loss, terms = _run(embeddings, labels, self.form, self.p)
        with torch.no_grad():
            left_out, alone = (terms.b <= 0).sum(), (terms.size == 1).sum()
            one_class = (terms.size == len(labels)).all()
            new = [torch.ones_like(left_out), one_class, alone, left_out]
            self._counts += torch.stack([value.to(self._counts) for value in new])
            if self.p != 2.0:
                terms = _run(embeddings, labels, "patent", 2.0)[1]
            return loss, _ratio(terms)

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
