"""How EC-STFL is computed: two matrix products, the gradient in closed form, no digits lost.

The formulas stand in :mod:`ecstfl.losses.ec_stfl`. Autograd through them takes n^2 d numbers,
and in float32 the usual shortcut for distances loses all digits of a collapsed class. Here

* L2 distances of features up to float32 come from one product of centred features in float64;
* the gradient is written down and computed with the value, as one more product; the backward pass
  only multiplies it by what comes from above.

=====================  =====================================================================
symbol                 variable
=====================  =====================================================================
d_ij                   ``d[i, j]``
j in N_i, |N_i|        ``same[i, j]`` (1 or 0), ``size[i]``
a_i                    ``a[i]``
b_i                    ``b[i]``; released form: c_i
dL/dd_ij + dL/dd_ji    ``g[i, j]``
=====================  =====================================================================

``docs/loss.md`` derives the gradient, the error bound and the subgradient at d = 0. Memory: about
40 bytes a pair (0.7 GB for a batch of 4,096).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

RELEASED_EPS: Final = 1e-6
"""The constant in 1/(d_ij + eps) of the released form."""

# A squared distance below 2 eps32^2 |x_i|^2 is rounding, not distance: the points agree to the
# precision of a float32 feature, and their distance is taken as exactly 0.
_TINY: Final = 2 * float(torch.finfo(torch.float32).eps) ** 2


class Sums(NamedTuple):
    """What a loss is made of: a_i, b_i, sum_j d_ij and |N_i|, each (n,)."""

    a: Tensor
    b: Tensor
    total: Tensor
    size: Tensor


def run(
    x: Tensor, labels: Tensor, form: str, p: float, again: Callable[..., Tensor] | None = None
) -> tuple[Tensor, Sums]:
    """Loss of one batch, and the sums it is made of; outside autocast.

    Args:
        x: (n, d) features, checked; the loss has a gradient where they need one.
        labels: (n,) integers.
        form: name of the form.
        p: order of the norm, 1 or 2.
        again: the same loss from differentiable operations, ``again(x, labels, form, p=p)``, for
            second derivatives; without it there is no gradient at all.
    """
    wanted = again is not None and torch.is_grad_enabled() and x.requires_grad
    with torch.autocast(device_type=x.device.type, enabled=False):
        loss, sums, gradient = _solve(x, labels, form, p, wanted)
        if wanted:
            loss = _WithGradient.apply(x, labels, form, p, again, loss, gradient)
    return loss, sums


@torch.no_grad()
def _solve(
    x: Tensor, labels: Tensor, form: str, p: float, wanted: bool
) -> tuple[Tensor, Sums, Tensor | None]:
    """Value, sums and (where wanted) gradient of one batch."""
    products = _has_products(x, p)
    z = _prepare(x, products)
    d = _by_products(z) if products else _by_differences(z, p).to(wide(x))
    same = (labels[:, None] == labels).to(d.dtype)
    size = same.sum(dim=1)
    a, b = _row_sums(form, d, same, size)
    total = d.sum(dim=1)
    loss, u, v = _value(form, a, b)
    gradient = None
    if wanted:
        g = _slope(form, u, v, d, same, size)
        gradient = _pull(z, products, d, g, p).to(_result_dtype(x))
    return loss.to(_result_dtype(x)), Sums(a, b, total, size), gradient


class _WithGradient(torch.autograd.Function):
    """A loss that was computed together with its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        labels: Tensor,
        form: str,
        p: float,
        again: Callable[..., Tensor],
        loss: Tensor,
        gradient: Tensor,
    ) -> Tensor:
        ctx.form, ctx.p, ctx.again = form, p, again
        ctx.save_for_backward(x, labels, gradient)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, labels, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            loss = ctx.again(x.to(wide(x)), labels, ctx.form, p=ctx.p).to(_result_dtype(x))
            (result,) = torch.autograd.grad(loss, x, grad, create_graph=True)
        else:
            result = (grad * gradient).to(x.dtype)
        return result, None, None, None, None, None, None


# Distances


def wide(x: Tensor) -> torch.dtype:
    """float64, or float32 on the one kind of device that has no float64."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def _result_dtype(x: Tensor) -> torch.dtype:
    """float64 for float64 features, float32 for all others."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _has_products(x: Tensor, p: float) -> bool:
    """Whether distances come from float64 products (fast) or from differences.

    L2 of features up to float32: the product of two float32 numbers is exact in float64, so
    that |x_i|^2 + |x_j|^2 - 2 x_i.x_j keeps more digits than the features have. Float64
    features have no such reserve, and L1 has no such formula.
    """
    return p == 2.0 and x.dtype != torch.float64 and wide(x) == torch.float64


def _prepare(x: Tensor, products: bool) -> Tensor:
    """Features z (n, d) in the dtype of the arithmetic; centred where products are used."""
    if not products:
        return x if x.dtype == torch.float64 else x.float()
    z = x.double()
    return z.sub_(z.sum(dim=0), alpha=1 / len(z))  # in place: no second copy


def _by_products(z: Tensor) -> Tensor:
    """L2 distances (n, n) of centred float64 features, d_ii = 0."""
    product = z @ z.T
    square = product.diagonal()
    d2 = (square[:, None] + square).sub_(product, alpha=2)
    return d2.masked_fill_(d2 <= _TINY * square[:, None], 0).sqrt_()


def _by_differences(z: Tensor, p: float) -> Tensor:
    """The same distances, L1 or L2, from x_i - x_j: slower, and without any cancellation."""
    n = len(z)
    d = z.new_zeros(n, n)
    i, j = torch.triu_indices(n, n, 1, device=z.device)
    d[i, j] = torch.pdist(z, p)  # each pair once: on a CPU many times faster than cdist
    return d + d.T


# The forms differ only in the next three functions.


def _row_sums(form: str, d: Tensor, same: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """a_i and b_i, each (n,); b_i is the c_i of the released form."""
    a = torch.linalg.vecdot(d, same) / size
    if form == "released":
        inverse = torch.linalg.vecdot(1 - same, 1 / (d + RELEASED_EPS))
        return a, inverse / (len(size) - size + 1)
    # sum_j d_ij/|N_j| over *all* j: where j in N_i, |N_j| = |N_i|, so that this part of it is
    # a_i, and what is left is b_i, or rounding
    every = d @ size.reciprocal()
    b = every - a
    return a, b.masked_fill(b <= 64 * torch.finfo(d.dtype).eps * every, 0)


def _value(form: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, and two vectors (n,): u = dL/da and v = -dL/db (released: dL/db).

    A term whose denominator is 0 is left out: 0 with a zero gradient.
    """
    n = len(a)
    if form == "released":
        return (a * b).sum() / n**2, b / n**2, a / n**2
    if form == "paper":
        a, b = a.sum(), b.sum()
    u = b.masked_fill(b <= 0, torch.inf).reciprocal()  # 1/b, or 0 where the term is left out
    ratio = a * u
    return ratio.sum(), u.expand(n), (ratio * u).expand(n)


def _slope(form: str, u: Tensor, v: Tensor, d: Tensor, same: Tensor, size: Tensor) -> Tensor:
    """g_ij = dL/dd_ij + dL/dd_ji: (n, n)."""
    u = u / size  # j in N_i: |N_i| = |N_j|
    pull = u[:, None] + u
    if form == "released":
        v = v / (len(size) - size + 1)
        push = (v[:, None] + v) / -((d + RELEASED_EPS) ** 2)
    else:  # -(v_i / |N_j| + v_j / |N_i|)
        w = size.reciprocal()
        push = torch.addr(torch.outer(v, w), w, v, beta=-1, alpha=-1)
    return push.lerp_(pull, same)  # exactly one or the other


def _pull(z: Tensor, products: bool, d: Tensor, g: Tensor, p: float) -> Tensor:
    """Gradient (n, dim) of sum_{i<j} g_ij d_ij; d_ij = 0 gives 0. ``g`` is used up."""
    if products:
        # sum_j k_ij (x_j - x_i) with k = -g/d: put -sum_j k_ij on the diagonal, one product
        k = g.div_(d).neg_().nan_to_num_(nan=0, posinf=0, neginf=0)
        k.diagonal().sub_(k.sum(dim=1))
        return k @ z
    # The public route to this kernel is autograd through cdist, which computes d once more.
    return torch.ops.aten._cdist_backward(g.to(z), z.contiguous(), z, p, d.to(z))


def within_between(sums: Sums) -> Tensor:
    """Mean distance within / between classes; 1 where it is not defined."""
    within = (sums.a * sums.size).sum()
    between = (sums.total.sum() - within).clamp(min=0)
    n, same = len(sums.size), sums.size.sum()
    pairs_within, pairs_between = same - n, n * n - same
    defined = (pairs_within > 0) & (pairs_between > 0) & (between > 0)
    ratio = (within / pairs_within.clamp(min=1)) / torch.where(
        defined, between / pairs_between.clamp(min=1), 1
    )
    return torch.where(defined, ratio, 1).float()
