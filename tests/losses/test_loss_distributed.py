"""k processes with a part of the batch each = one process with the whole batch."""

from __future__ import annotations

import socket
import traceback

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from ecstfl.distributed import gather, leave_process_group
from ecstfl.losses.ec_stfl import ECSTFLLoss
from ecstfl.losses.joint import JointLoss
from ecstfl.models.tap import Tap

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch without distributed")

CASES = {
    "patent": ([6, 6, 6], "patent", 3.0),
    "paper, unequal parts": ([3, 9, 6], "paper", 3.0),
    "released": ([6, 6, 6], "released", 3.0),
    "softmax only": ([4, 8, 6], "patent", 0.0),
}


def model():
    torch.manual_seed(0)
    return Tap(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double(), "0")


def data(n):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 6, generator=generator).double(), torch.arange(n) % 3


def step(net, joint, x, y):
    """Loss, parts and gradients of the weights of one step."""
    logits, embeddings = net(x)
    total, parts = joint(logits, embeddings, y)
    total.backward()
    gradients = [p.grad.tolist() for p in net.parameters()]
    return total.item(), {k: v.item() for k, v in parts.items()}, gradients


def work(rank, ranks, port, queue):
    try:
        dist.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=ranks
        )
        results = {}
        for name, (sizes, form, weight) in CASES.items():
            sizes = sizes[:ranks]
            x, y = data(sum(sizes))
            mine = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
            net = nn.parallel.DistributedDataParallel(model())
            results[name] = step(net, JointLoss(weight, form, gather=True), x[mine], y[mine])
        # rows come in the order of ranks, labels too
        part = torch.full((rank + 1, 2), float(rank), requires_grad=True)
        whole = gather(part)
        (whole * torch.arange(len(whole))[:, None]).sum().backward()
        results["gather"] = (
            whole.tolist(),
            part.grad.tolist(),
            gather(torch.tensor([rank])).tolist(),
        )
        loss = ECSTFLLoss(gather=True)
        loss(*data(4))
        results["counts"] = loss.counts()
        try:
            gather(torch.zeros(2, 3 + rank))
        except ValueError as error:
            results["mismatch"] = str(error)
        dist.barrier()
        del net
        leave_process_group()
        queue.put((rank, results))
    except Exception:
        queue.put((rank, traceback.format_exc()))


@pytest.fixture(scope="module", params=[2, 3])
def runs(request):
    """(ranks, results of each rank)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.get_context("forkserver")  # imports torch once, before any thread runs
    context.set_forkserver_preload(["ecstfl.losses.joint", "torch._dynamo"])
    queue = context.Queue()
    ranks = request.param
    processes = [
        context.Process(target=work, args=(r, ranks, port, queue), daemon=True)
        for r in range(ranks)
    ]
    for process in processes:
        process.start()
    try:
        results = dict(queue.get(timeout=600) for _ in processes)
    finally:
        for process in processes:
            process.join(timeout=60)
            process.kill()
    for result in results.values():
        assert not isinstance(result, str), result
    return ranks, [results[r] for r in range(ranks)]


@pytest.mark.parametrize("name", CASES)
def test_ranks_give_the_loss_and_the_gradients_of_one_process(runs, name):
    ranks, results = runs
    sizes, form, weight = CASES[name]
    total, parts, gradients = step(model(), JointLoss(weight, form), *data(sum(sizes[:ranks])))
    for result in results:
        other, other_parts, other_gradients = result[name]
        assert other == pytest.approx(total, rel=1e-12)
        assert other_parts == pytest.approx(parts, rel=1e-6)
        for mine, expected in zip(other_gradients, gradients, strict=True):
            torch.testing.assert_close(
                torch.tensor(mine, dtype=torch.float64),
                torch.tensor(expected, dtype=torch.float64),
                rtol=1e-9,
                atol=1e-12,
            )


def test_gather_keeps_the_order_of_ranks_and_sums_their_gradients(runs):
    ranks, results = runs
    start = 0
    for rank, result in enumerate(results):
        whole, gradient, labels = result["gather"]
        assert whole == [[float(r)] * 2 for r in range(ranks) for _ in range(r + 1)]
        expected = [[float(ranks * (start + i))] * 2 for i in range(rank + 1)]
        assert gradient == expected
        assert labels == list(range(ranks))
        start += rank + 1


def test_unequal_widths_are_told_on_every_rank(runs):
    _, results = runs
    for result in results:
        assert "expected equal trailing sizes on all ranks" in result["mismatch"]


def test_every_rank_counts_the_whole_batch_once(runs):
    _, results = runs
    for result in results:
        assert result["counts"]["batches"] == 1


def test_one_process_gathers_nothing():
    x = torch.randn(3, 2, requires_grad=True)
    assert gather(x) is x
