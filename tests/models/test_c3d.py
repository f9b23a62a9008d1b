"""C3D: the paper's numbers, an independent forward pass, and finite training."""

import pytest
import torch
from torch.nn import functional as F

from ecstfl.models.c3d import C3D


def count(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("classes", "parameters"), [(7, 78_024_455), (101, 78_409_573), (487, 79_991_015)]
)
def test_full_width_parameters(classes, parameters):
    with torch.device("meta"):  # shapes only: a full-width C3D takes 300 MB
        model = C3D(classes)
    assert count(model) == parameters
    convolutions = [m for n, m in model.named_modules() if n.startswith("conv")]
    assert sum(count(m) for m in convolutions) == 27_655_936
    assert model.fc6.in_features == 8192


def test_layer_names_and_order_are_the_papers():
    names = [n for n, m in C3D(width=2, fc=4, size=16).named_modules() if n[:4] in ("conv", "pool")]
    assert names == [
        *("conv1a", "pool1", "conv2a", "pool2", "conv3a", "conv3b", "pool3"),
        *("conv4a", "conv4b", "pool4", "conv5a", "conv5b", "pool5"),
    ]


OPTIONS = {
    "plain": {},
    "batch norm": {"batch_norm": True},
    "pool first": {"batch_norm": True, "pool_first": True},
    "fc too": {"fc_batch_norm": True},
    "all": {"batch_norm": True, "pool_first": True, "fc_batch_norm": True, "open_start": True},
}


def shaken(**options):
    """A small C3D whose BatchNorm has statistics that are not the identity."""
    torch.manual_seed(0)
    model = C3D(5, width=2, fc=6, frames=16, size=28, **options).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm3d | torch.nn.BatchNorm1d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return model


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_forward_equals_the_functional_transcription(options):
    model = shaken(**options)
    clips = torch.randn(3, 3, 16, 28, 28)

    def norm(x, number):
        b = getattr(model, f"bn{number}")
        if isinstance(b, torch.nn.Identity):
            return x
        return F.batch_norm(x, b.running_mean, b.running_var, b.weight, b.bias)

    x = clips
    for name in ("1a", "2a", "3a", "3b", "4a", "4b", "5a", "5b"):
        convolution = getattr(model, f"conv{name}")
        x = F.conv3d(x, convolution.weight, convolution.bias, padding=1)
        step = (1, 2, 2) if name == "1a" else 2
        pooled = name in ("1a", "2a", "3b", "4b", "5b")
        if pooled and model.pool_first:
            x = F.relu(norm(F.max_pool3d(x, step, step, ceil_mode=True), name))
        else:
            x = F.relu(norm(x, name))
            if pooled:  # after ReLU, as in the paper
                x = F.max_pool3d(x, step, step, ceil_mode=True)
    x = x.flatten(1)
    for number in (6, 7):
        layer = getattr(model, f"fc{number}")
        x = F.relu(norm(F.linear(x, layer.weight, layer.bias), number))
    expected = F.linear(x, model.fc8.weight, model.fc8.bias)
    torch.testing.assert_close(model(clips), expected)


def test_the_two_orders_have_the_same_weights_and_differ():
    first, last = shaken(**OPTIONS["pool first"]), shaken(**OPTIONS["batch norm"])
    last.load_state_dict(first.state_dict())
    clips = torch.randn(3, 3, 16, 28, 28)
    assert not torch.allclose(first.train()(clips), last.train()(clips), rtol=0.01)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_state_dict_comes_back(options):
    model, other = shaken(**options), C3D(5, width=2, fc=6, frames=16, size=28, **options)
    other.load_state_dict(model.state_dict())
    clips = torch.randn(2, 3, 16, 28, 28)
    assert torch.equal(other.eval()(clips), model(clips))


def test_parameters_of_the_options():
    with torch.device("meta"):
        plain = count(C3D(7))
        channels = 64 + 128 + 2 * 256 + 4 * 512
        assert count(C3D(7, batch_norm=True)) == plain + channels  # weight and bias for a bias
        assert count(C3D(7, fc_batch_norm=True)) == plain + 2 * 4096
        assert count(C3D(7, **OPTIONS["all"])) == plain + channels + 2 * 4096


def test_an_open_start_lets_most_numbers_pass_relu():
    def share_above_zero(**options):
        torch.manual_seed(0)
        model = C3D(width=4, fc=64, frames=8, size=48, batch_norm=True, **options)
        seen = []
        for name in ("bn1a", "bn2a", "bn3a", "bn5b", "bn7"):
            hook = lambda m, given, out: seen.append((out > 0).float().mean().item())  # noqa: E731
            getattr(model, name).register_forward_hook(hook)
        model(torch.randn(6, 3, 8, 48, 48))
        return seen

    closed = share_above_zero(pool_first=True, fc_batch_norm=True)
    opened = share_above_zero(pool_first=True, fc_batch_norm=True, open_start=True)
    assert max(closed) < 0.6
    assert min(opened) > 0.75
    model = C3D(width=2, fc=4, size=16, **OPTIONS["all"])
    pooled = {name: model.get_submodule(name).weight for name in ("bn1a", "bn2a", "bn3b", "bn5b")}
    assert all((weight == 0.7).all() for weight in pooled.values())
    assert (model.bn3a.weight == 1).all()
    assert all((model.get_submodule(n).bias == 1).all() for n in (*pooled, "bn3a", "bn6", "bn7"))


@pytest.mark.parametrize(("frames", "size"), [(1, 1), (8, 48), (16, 112), (5, 33)])
def test_any_input_size_works(frames, size):
    model = C3D(7, width=1, fc=3, frames=frames, size=size).eval()
    assert model(torch.zeros(2, 3, frames, size, size)).shape == (2, 7)


def test_wrong_shape_says_expected_and_got():
    with pytest.raises(ValueError, match=r"\(n, 3, 8, 16, 16\), got \(2, 3, 8, 16, 17\)"):
        C3D(width=1, fc=2, frames=8, size=16)(torch.zeros(2, 3, 8, 16, 17))


@pytest.mark.parametrize("bad", [{"width": 0}, {"dropout": 1.0}, {"frames": 0}])
def test_bad_arguments_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        C3D(**bad)


@pytest.mark.parametrize("option", ["pool_first", "open_start"])
def test_options_about_batch_norm_need_it(option):
    with pytest.raises(ValueError, match="set batch_norm"):
        C3D(width=1, fc=2, size=16, **{option: True})


def test_training_stays_finite_and_learns_four_clips():
    torch.manual_seed(0)
    model = C3D(7, width=4, fc=16, frames=8, size=24, dropout=0.0, batch_norm=True)
    model = model.to(memory_format=torch.channels_last_3d)
    clips, labels = torch.randn(4, 3, 8, 24, 24), torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(model(clips), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert losses[-1] < 0.2 < losses[0]
