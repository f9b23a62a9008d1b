"""A layer tapped by name gives logits and features, whatever wraps or follows it."""

from __future__ import annotations

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn

from ecstfl.losses.ec_stfl import written_out
from ecstfl.losses.joint import JointLoss
from ecstfl.models.tap import Tap


def net(inplace=False):
    torch.manual_seed(0)
    layers = OrderedDict(
        pool=nn.AdaptiveAvgPool3d(2),
        flat=nn.Flatten(),
        fc6=nn.Linear(24, 10),
        relu6=nn.ReLU(inplace),
        fc7=nn.Linear(10, 8),
        relu7=nn.ReLU(inplace),
        fc8=nn.Linear(8, 4),
    )
    return nn.Sequential(layers)


@pytest.fixture
def clips():
    return torch.randn(6, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("inplace", [False, True])
def test_gives_output_and_features_before_the_relu(clips, inplace):
    model = net(inplace)
    logits, emb = Tap(model, "fc7")(clips)
    assert torch.equal(logits, net()(clips))
    before = net()[:5](clips)
    assert torch.equal(emb, before)  # an in-place ReLU behind the layer does not reach it
    assert (emb < 0).any()


def test_input_of_the_classifier_is_after_the_relu(clips):
    _, emb = Tap(net(), "fc8", of="input")(clips)
    assert torch.equal(emb, net()[:6](clips))


def test_features_are_flattened(clips):
    _, emb = Tap(net(), "pool")(clips)
    assert emb.shape == (6, 24)


def test_gradients_pass_through_both(clips):
    model = net()
    tapped = Tap(model, "fc7")
    logits, emb = tapped(clips)
    emb.sum().backward(retain_graph=True)
    assert model.fc8.weight.grad is None
    assert model.fc6.weight.grad.norm() > 0
    logits.sum().backward()
    assert model.fc8.weight.grad.norm() > 0


def test_unknown_layer_lists_the_names():
    with pytest.raises(ValueError, match=r"expected one of pool, flat, fc6, .*fc8, got 'fc9'"):
        Tap(net(), "fc9")
    with pytest.raises(ValueError, match=r"got ''"):
        Tap(net(), "")
    with pytest.raises(ValueError, match=r"of: expected 'output' or 'input'"):
        Tap(net(), "fc7", of="weights")


def test_names_are_found_through_wrappers():
    class Wrapper(nn.Module):  # as DistributedDataParallel
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, x):
            return self.module(x)

    x = torch.randn(2, 3, 4, 4, 4)
    _, emb = Tap(Wrapper(net()), "fc7")(x)
    assert torch.equal(emb, net()[:5](x))
    with pytest.raises(ValueError, match=r"pool, flat"):
        Tap(Wrapper(net()), "fc9")


class Twice(nn.Module):
    def __init__(self, times):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.times = times

    def forward(self, x):
        for _ in range(self.times):
            x = self.fc(x)
        return x


@pytest.mark.parametrize("times", [0, 2])
def test_a_layer_that_does_not_run_once_is_told(times):
    tapped = Tap(Twice(times), "fc")
    with pytest.raises(ValueError, match=f"run once in a forward pass, got {times} runs"):
        tapped(torch.zeros(2, 3))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 5, batch_first=True)
        self.fc = nn.Linear(5, 2)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


def test_a_layer_that_gives_a_tuple_needs_select():
    x = torch.randn(4, 6, 3)
    with pytest.raises(ValueError, match=r"expected a tensor, got tuple; give select="):
        Tap(Recurrent(), "lstm")(x)
    model = Recurrent()
    _, emb = Tap(model, "lstm", select=lambda out: out[0][:, -1])(x)
    assert torch.equal(emb, model.lstm(x)[0][:, -1])


def test_a_layer_without_a_batch_is_told():
    with pytest.raises(ValueError, match=r"expected shape \(n, ...\), got \(3,\)"):
        Tap(Twice(1), "fc")(torch.zeros(3))


def test_close_removes_the_hook(clips):
    model = net()
    with Tap(model, "fc7") as tapped:
        tapped(clips)
        assert len(model.fc7._forward_hooks) == 1
    assert len(model.fc7._forward_hooks) == 0
    with pytest.raises(ValueError, match=r"or the tap is closed"):
        tapped(clips)


def test_two_taps_of_one_model_do_not_meet(clips):
    model = net()
    six, seven = Tap(model, "fc6"), Tap(model, "fc7")
    assert six(clips)[1].shape == (6, 10)
    assert seven(clips)[1].shape == (6, 8)
    assert six(clips)[1].shape == (6, 10)


def test_a_failed_pass_leaves_nothing_behind(clips):
    tapped = Tap(net(), "pool")
    with pytest.raises(RuntimeError):
        tapped(torch.zeros(2, 5, 4, 4, 4))
    assert tapped(clips)[1].shape == (6, 24)


def test_the_model_keeps_no_features(clips):
    tapped = Tap(net(), "fc7")
    tapped(clips)
    assert tapped._seen == []


def test_a_copy_taps_itself(clips):
    tapped = Tap(net(), "fc7")
    twin = copy.deepcopy(tapped)
    with torch.no_grad():
        twin.model.fc7.weight.zero_()
        twin.model.fc7.bias.fill_(3)
    assert torch.equal(twin(clips)[1], torch.full((6, 8), 3.0))
    assert not torch.equal(tapped(clips)[1], torch.full((6, 8), 3.0))


def test_compiled_equals_eager(clips):
    torch._dynamo.reset()
    tapped = Tap(net(), "fc7")
    expected = tapped(clips)
    compiled = torch.compile(tapped, backend="aot_eager")
    for _ in range(2):
        logits, emb = compiled(clips)
        torch.testing.assert_close((logits, emb), expected)
    emb.sum().backward()
    assert tapped.model.fc6.weight.grad.norm() > 0


@pytest.mark.parametrize("layer", ["pool", "fc6", "fc7", "relu7", "fc8"])
def test_any_layer_trains_with_the_joint_loss(clips, layer):
    """Claim 3-2: L = L_S + lambda L_EC-STFL of that layer, and its gradient at every weight."""
    y = torch.arange(6) % 3
    model = net()
    logits, emb = Tap(model, layer)(clips)
    total, _ = JointLoss(2.0)(logits, emb, y)
    total.backward()

    twin = net()  # the layers by hand, no tap and no joint loss
    x, values = clips, {}
    for name, module in twin.named_children():
        x = values[name] = module(x)
    expected = nn.functional.cross_entropy(x, y)
    expected = expected + 2.0 * written_out(values[layer].flatten(1).double(), y)
    expected.backward()
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    without = net()
    nn.functional.cross_entropy(without(clips), y).backward()
    for name, weight in model.named_parameters():
        same = twin.get_parameter(name).grad
        torch.testing.assert_close(weight.grad, same, rtol=1e-4, atol=1e-6)
        # EC-STFL reaches the layers up to its own, and no others; not the bias of its own layer,
        # which moves all features together
        if name.endswith("weight"):
            reached = layer != "pool" and name[2] <= layer[-1]  # fc6, fc7, fc8
            plain = without.get_parameter(name).grad
            assert torch.allclose(weight.grad, plain, atol=1e-6) != reached, name
