"""The zoo: published sizes, parity with torchvision, transcriptions, taps, and learning."""

import dataclasses
import json
import math

import pytest
import torch
from torch.nn import functional as F
from toy import FRAMES, SIZE, toy_config, toy_data
from vision import import_torchvision

from ecstfl.errors import UserError
from ecstfl.losses.joint import JointLoss
from ecstfl.models.backbones import (
    BACKBONES,
    TAPS,
    TITLES,
    BackboneConfig,
    build_backbone,
    embedding_size,
)
from ecstfl.models.cnn_lstm import VGG11, CnnLstm, ResNet18
from ecstfl.models.i3d import I3D, same_padding
from ecstfl.models.p3d import BLOCKS, P3D
from ecstfl.models.resnet3d import R3D18, R2Plus1D18, ResNet3D18
from ecstfl.models.tap import Tap
from ecstfl.predict.checkpoint import load_checkpoint
from ecstfl.runs.config import OptimConfig, canonical_json, from_dict
from ecstfl.runs.run_folder import run_directory
from ecstfl.training.loop import train_run

ZOO = tuple(name for name in BACKBONES if name != "c3d")


def count(model):
    return sum(p.numel() for p in model.parameters())


def small(name, **changes):
    return BackboneConfig(**({"name": name, "width": 8, "fc": 32, "dropout": 0.1} | changes))


def shake(model):
    """Give BatchNorm statistics and weights that are not the identity."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
    return model.eval()


# ---- sizes and parity --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "parameters"),
    [(R3D18, 33_371_472), (R2Plus1D18, 31_505_325), (ResNet3D18, 33_235_280), (I3D, 12_697_264)],
)
def test_full_width_parameters_for_400_classes(net, parameters):
    with torch.device("meta"):
        assert count(net(400)) == parameters


@pytest.mark.parametrize(("ours", "theirs"), [(R3D18, "r3d_18"), (R2Plus1D18, "r2plus1d_18")])
def test_torchvisions_state_dict_gives_torchvisions_logits(ours, theirs):
    models = import_torchvision()
    with torch.device("meta"):
        wide, published = ours(400), getattr(models.video, theirs)(num_classes=400)
    names = {k: v.shape for k, v in published.state_dict().items()}
    assert {k: v.shape for k, v in wide.state_dict().items()} == names
    assert [k for k, _ in wide.named_parameters()] == [k for k, _ in published.named_parameters()]
    reference = shake(getattr(models.video, theirs)(num_classes=7))
    model = ours(7).eval()
    model.load_state_dict(reference.state_dict())
    clips = torch.randn(2, 3, 6, 36, 28)
    with torch.inference_mode():
        torch.testing.assert_close(model(clips), reference(clips), rtol=1e-5, atol=1e-6)


def test_the_two_3d_resnets_differ_by_what_is_documented():
    with torch.device("meta"):
        difference = count(ResNet3D18(400)) - count(R3D18(400))
    stem = (7 - 3) * 7 * 7 * 3 * 64  # four more frames in the first kernel
    shortcuts = sum(c * 2 * c + 2 * 2 * c for c in (64, 128, 256))  # 1x1x1 and its BatchNorm
    assert difference == stem - shortcuts


def test_p3d_is_a_resnet_plus_the_temporal_convolutions():
    models = import_torchvision()
    with torch.device("meta"):
        model, flat = P3D(1000), models.resnet50()
    temporal = sum(
        blocks * (3 * m * m + 2 * m)  # 3x1x1 and its BatchNorm
        for blocks, m in zip(BLOCKS[:3], (64, 128, 256), strict=True)
    )
    assert count(model) == count(flat) + temporal


def test_p3ds_name_counts_its_layers():
    with torch.device("meta"):
        model = P3D(7, width=2)
    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Conv3d | torch.nn.Linear) and "downsample" not in name
    ]
    assert len(layers) == 63
    kinds = [b.kind for s in (1, 2, 3, 4) for b in getattr(model, f"layer{s}")]
    temporal = sum(BLOCKS[:3])
    assert "".join(kinds[:temporal]) == ("ABC" * temporal)[:temporal]
    assert set(kinds[temporal:]) == {"2d"}


def test_i3d_is_googlenet_inflated():
    models = import_torchvision()
    with torch.device("meta"):
        flat = models.googlenet(weights=None, init_weights=False, aux_logits=False)
        model = I3D(1000)
    inflated = 0
    for module in flat.modules():
        if isinstance(module, torch.nn.Conv2d):
            inflated += module.weight.numel() * module.kernel_size[0]
        else:
            inflated += sum(p.numel() for p in module.parameters(recurse=False))
    assert count(model) == inflated


@pytest.mark.parametrize("theirs", ["vgg11", "vgg11_bn", "resnet18"])
def test_a_trunk_is_torchvisions_2d_network_on_every_frame(theirs):
    models = import_torchvision()
    torch.manual_seed(0)
    if theirs == "resnet18":
        flat, trunk = models.resnet18(), ResNet18()
        flat.fc, flat.avgpool = torch.nn.Identity(), torch.nn.AdaptiveAvgPool2d(1)
        trunk = torch.nn.Sequential(trunk, torch.nn.AdaptiveAvgPool3d((None, 1, 1)))
        flat, state = shake(flat), flat.state_dict()
    else:
        with torch.device("meta"):
            whole = getattr(models, theirs)()  # its fully connected layers take 500 MB
        flat, trunk = whole.features.to_empty(device="cpu"), VGG11(batch_norm=theirs != "vgg11")
        for module in flat:
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        flat = shake(flat)
        state = flat.state_dict(prefix="features.")
    own = trunk[0] if theirs == "resnet18" else trunk
    own.load_state_dict({k: v.unsqueeze(2) if v.ndim == 4 else v for k, v in state.items()})
    clips = torch.randn(2, 3, 3, 64, 40)
    with torch.inference_mode():
        frames = flat(clips.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 3))  # (n, T, ...)
        ours = trunk.eval()(clips).transpose(1, 2)
        torch.testing.assert_close(ours.flatten(2), frames.flatten(2), rtol=1e-4, atol=1e-4)


# ---- transcriptions ----------------------------------------------------------------------------


def batch_norm(x, bn):
    return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)


def test_3d_resnet18_equals_its_transcription():
    model = shake(ResNet3D18(5, width=2))
    clips = torch.randn(2, 3, 9, 33, 28)
    x = F.relu(batch_norm(F.conv3d(clips, model.conv1.weight, None, (1, 2, 2), 3), model.bn1))
    x = F.max_pool3d(x, 3, 2, 1)
    for stage in range(1, 5):
        for number, block in enumerate(getattr(model, f"layer{stage}")):
            s = 2 if stage > 1 and number == 0 else 1
            y = F.relu(batch_norm(F.conv3d(x, block.conv1.weight, None, s, 1), block.bn1))
            y = batch_norm(F.conv3d(y, block.conv2.weight, None, 1, 1), block.bn2)
            shortcut = F.avg_pool3d(x, 1, s)  # type A, as its authors write it
            zeros = torch.zeros(2, y.shape[1] - x.shape[1], *y.shape[2:])
            x = F.relu(y + torch.cat([shortcut, zeros], 1))
    expected = F.linear(x.mean((2, 3, 4)), model.fc.weight, model.fc.bias)
    torch.testing.assert_close(model(clips), expected, rtol=1e-4, atol=1e-5)


def test_p3d_equals_its_transcription():
    model = shake(P3D(5, width=2))
    clips = torch.randn(2, 3, 16, 40, 40)
    x = F.relu(
        batch_norm(F.conv3d(clips, model.conv1.weight, None, (1, 2, 2), (0, 3, 3)), model.bn1)
    )
    x = F.max_pool3d(x, (2, 3, 3), 2, (0, 1, 1), ceil_mode=True)
    number = 0
    for stage in range(1, 5):
        for first, b in enumerate(getattr(model, f"layer{stage}")):
            s = (1, 2, 2) if stage > 1 and first == 0 else 1
            y = F.relu(batch_norm(F.conv3d(x, b.conv1.weight, None, s), b.bn1))

            def space(v, b=b):
                return F.relu(batch_norm(F.conv3d(v, b.conv_s.weight, padding=(0, 1, 1)), b.bn_s))

            def time(v, b=b):
                return F.relu(batch_norm(F.conv3d(v, b.conv_t.weight, padding=(1, 0, 0)), b.bn_t))

            if stage == 4:
                y = space(y)
            elif number % 3 == 0:
                y = time(space(y))
            elif number % 3 == 1:
                y = space(y) + time(y)
            else:
                y = space(y) + time(space(y))
            y = batch_norm(F.conv3d(y, b.conv2.weight), b.bn2)
            if "downsample.0.weight" in b.state_dict():
                x = batch_norm(F.conv3d(x, b.downsample[0].weight, None, s), b.downsample[1])
            x = F.relu(x + y)
            number += 1
        if stage < 4:
            x = F.max_pool3d(x, (2, 1, 1))
    assert x.shape[2] == 1  # 16 frames have become one
    expected = F.linear(x.mean((2, 3, 4)), model.fc.weight, model.fc.bias)
    torch.testing.assert_close(model(clips), expected, rtol=1e-4, atol=1e-5)


def test_i3d_equals_its_transcription():
    model = shake(I3D(5, width=4))
    clips = torch.randn(2, 3, 16, 56, 57)

    def pad(v, kernel, stride, value=0.0):
        ends = []
        for length, k, s in zip(v.shape[2:], kernel, stride, strict=True):
            total = max((math.ceil(length / s) - 1) * s + k - length, 0)
            ends = [total // 2, total - total // 2, *ends]
        return F.pad(v, ends, value=value)

    def unit(v, layer, k, s=1):
        v = F.conv3d(pad(v, (k,) * 3, (s,) * 3), layer.conv3d.weight, None, s)
        return F.relu(batch_norm(v, layer.bn))

    def pool(v, kernel, stride):  # minus infinity, where the network may put zeros
        return F.max_pool3d(pad(v, kernel, stride, -math.inf), kernel, stride)

    x = unit(clips, model.Conv3d_1a_7x7, 7, 2)
    x = pool(x, (1, 3, 3), (1, 2, 2))
    x = unit(unit(x, model.Conv3d_2b_1x1, 1), model.Conv3d_2c_3x3, 3)
    x = pool(x, (1, 3, 3), (1, 2, 2))
    for name in ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"):
        if name == "4b":
            x = pool(x, (3, 3, 3), (2, 2, 2))
        if name == "5b":
            x = pool(x, (2, 2, 2), (2, 2, 2))
        m = getattr(model, f"Mixed_{name}")
        x = torch.cat(
            [
                unit(x, m.b0, 1),
                unit(unit(x, m.b1a, 1), m.b1b, 3),
                unit(unit(x, m.b2a, 1), m.b2b, 3),
                unit(pool(x, (3, 3, 3), (1, 1, 1)), m.b3b, 1),
            ],
            1,
        )
    head = model.logits.conv3d
    expected = F.linear(x.mean((2, 3, 4)), head.weight.flatten(1), head.bias)
    torch.testing.assert_close(model(clips), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", [1, 2, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_same_padding_gives_the_ceiling(kernel, stride):
    for length in range(1, 20):
        before, after = same_padding(length, kernel, stride)
        if kernel >= stride:
            assert (length + before + after - kernel) // stride + 1 == math.ceil(length / stride)
        assert after - before in (0, 1)


def test_cnn_lstm_reads_frames_in_order_and_keeps_the_last_state():
    torch.manual_seed(0)
    model = CnnLstm("vgg11", 5, width=2, hidden=6, batch_norm=False).eval()
    clips = torch.randn(2, 3, 4, 32, 32)
    w_ih, w_hh, b_ih, b_hh = (p.detach() for p in model.lstm.parameters())
    h = c = torch.zeros(2, 6)
    for t in range(4):
        x = model.trunk(clips[:, :, t : t + 1]).mean((2, 3, 4))
        i, f, g, o = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    torch.testing.assert_close(model(clips), F.linear(h, model.fc.weight, model.fc.bias))


# ---- the tap, any size, bad input --------------------------------------------------------------


@pytest.mark.parametrize("name", BACKBONES)
def test_the_tap_is_what_the_classifier_sees_without_dropout(name):
    torch.manual_seed(0)
    model = build_backbone(small(name), FRAMES, SIZE).eval()
    classifier = {"c3d": "fc8", "i3d": "logits"}.get(name, "fc")
    clips = torch.randn(3, 3, FRAMES, SIZE, SIZE)
    with Tap(model, TAPS[name]) as tapped, Tap(model, classifier, of="input") as before:
        logits, embeddings = tapped(clips)
        torch.testing.assert_close(embeddings, before(clips)[1])
    assert logits.shape == (3, 7)
    expected = {"c3d": 32, "p3d": 256, "i3d": 128, "vgg11-lstm": 32, "resnet18-lstm": 32}
    assert embeddings.shape == (3, expected.get(name, 64))
    assert embedding_size(model, TAPS[name], FRAMES, SIZE) == embeddings.shape[1]


def test_measuring_the_embedding_changes_nothing():
    model = build_backbone(small("r3d18"), FRAMES, SIZE)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    random = torch.get_rng_state()
    embedding_size(model, "avgpool", FRAMES, SIZE)
    assert model.training
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize(("frames", "size"), [(1, 1), (3, 17), (16, 33)])
def test_any_input_size_works(name, frames, size):
    model = build_backbone(small(name, width=2), frames, size).eval()
    logits = model(torch.randn(2, 3, frames, size, size))
    assert logits.shape == (2, 7)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("shape", [(2, 3, 16, 16), (2, 1, 4, 16, 16)])
def test_wrong_shape_says_expected_and_got(name, shape):
    with pytest.raises(ValueError, match=r"\(n, 3, T, H, W\), got \(2, "):
        build_backbone(small(name, width=1), 4, 16)(torch.zeros(shape))


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize(
    ("bad", "error"),
    [({"width": 0}, UserError), ({"fc": 0}, UserError), ({"dropout": 1.0}, ValueError)],
)
def test_bad_arguments_are_refused(name, bad, error):
    with pytest.raises(error, match=next(iter(bad))):
        build_backbone(small(name, **bad), 4, 16)


def test_a_bad_trunk_is_refused():
    with pytest.raises(ValueError, match="trunk must be vgg11 or resnet18, got 'vgg16'"):
        CnnLstm("vgg16")


def test_configuration_of_a_backbone():
    assert BackboneConfig("i3d").tap == "avg_pool"
    assert dataclasses.replace(BackboneConfig(), name="p3d") == BackboneConfig("p3d")
    read = json.loads(json.dumps(dataclasses.asdict(BackboneConfig("i3d"))))
    assert from_dict(BackboneConfig, read) == BackboneConfig("i3d")
    assert BackboneConfig("i3d", tap="Mixed_5b").tap == "Mixed_5b"
    with pytest.raises(UserError, match="unknown backbone 'c4d': use one of c3d, r3d18"):
        BackboneConfig("c4d")
    with pytest.raises(UserError, match="r3d18 is defined with BatchNorm"):
        BackboneConfig("r3d18", batch_norm=False)
    with pytest.raises(UserError, match="r3d18 has no layer 'fc7' to tap: use avgpool or another"):
        build_backbone(BackboneConfig("r3d18", tap="fc7"), 4, 16)
    assert set(TITLES) == set(BACKBONES)


def test_the_default_c3d_is_spelled_as_ever():
    """Its spelling is in the name of every landed run."""
    assert canonical_json(dataclasses.asdict(BackboneConfig())) == (
        '{"batch_norm":true,"dropout":0.2,"fc":256,"fc_batch_norm":false,"name":"c3d",'
        '"open_start":false,"pool_first":false,"tap":"relu7","width":16}'
    )


@pytest.mark.parametrize("option", ["pool_first", "fc_batch_norm", "open_start"])
def test_options_of_c3d_are_refused_elsewhere_and_leave_earlier_names_alone(option):
    with pytest.raises(UserError, match=f"{option} is an option of c3d, not of p3d: leave it off"):
        BackboneConfig("p3d", **{option: True})
    clipset = toy_data()[0]
    plain = toy_config(clipset, backbone=small("c3d"))
    values = dataclasses.asdict(plain)
    del values["backbone"][option]  # as a file from before the option says it
    assert from_dict(type(plain), values).name == plain.name
    assert toy_config(clipset, backbone=small("c3d", **{option: True})).hash != plain.hash


def test_options_about_batch_norm_need_it():
    for option in ("pool_first", "open_start"):
        with pytest.raises(UserError, match=f"{option} is about BatchNorm after convolutions"):
            BackboneConfig(batch_norm=False, **{option: True})
    assert BackboneConfig(batch_norm=False, fc_batch_norm=True).fc_batch_norm


def test_the_tap_of_a_layer_with_batch_norm_is_what_batch_norm_bounds():
    assert BackboneConfig(fc_batch_norm=True).tap == "relu7"
    assert BackboneConfig(fc_batch_norm=True, tap="fc7") == BackboneConfig(
        fc_batch_norm=True, tap="bn7"
    )
    assert BackboneConfig(tap="fc7").tap == "fc7"
    config = small("c3d", fc_batch_norm=True, tap="fc7")
    model = build_backbone(config, FRAMES, SIZE)
    clips = torch.randn(40, 3, FRAMES, SIZE, SIZE)
    for size in (1, 1000):  # whatever fc7 does, each feature has mean 0 and variance 1 in a batch
        with torch.no_grad():
            model.fc7.weight.mul_(size)
            _, features = Tap(model, config.tap)(clips)
        torch.testing.assert_close(features.mean(0), torch.zeros(32), atol=1e-4, rtol=0)
        torch.testing.assert_close(
            features.var(0, unbiased=False), torch.ones(32), atol=1e-2, rtol=0
        )
    with pytest.raises(UserError, match="c3d has no layer 'bn9' to tap"):
        build_backbone(small("c3d", tap="bn9"), FRAMES, SIZE)


# ---- learning ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO)
def test_gradients_are_finite_and_reach_every_weight(name):
    torch.manual_seed(0)
    model = build_backbone(small(name), FRAMES, SIZE)
    clips, labels = torch.randn(14, 3, FRAMES, SIZE, SIZE), torch.arange(14) % 7
    clips[7] = clips[0]  # a duplicate: distance 0, where a plain norm has no gradient
    with Tap(model, TAPS[name]) as tapped:
        logits, embeddings = tapped(clips)
        total, parts = JointLoss(weight=0.5)(logits, embeddings, labels)
    total.backward()
    assert parts["ec_stfl"] > 0
    for weight, p in model.named_parameters():
        assert p.grad is not None, weight
        assert torch.isfinite(p.grad).all(), weight
    entry = next(iter(model.parameters()))
    joint = entry.grad.clone()
    model.zero_grad()
    F.cross_entropy(model(clips), labels).backward()
    assert not torch.allclose(joint, entry.grad)


@pytest.mark.parametrize(
    ("name", "width", "epochs"),
    [
        ("r3d18", 4, 12),
        pytest.param("resnet3d18", 4, 12, marks=pytest.mark.slow),
        pytest.param("r2plus1d18", 4, 12, marks=pytest.mark.slow),
        pytest.param("p3d", 4, 30, marks=pytest.mark.slow),
        pytest.param("i3d", 4, 20, marks=pytest.mark.slow),
        ("vgg11-lstm", 4, 16),
        pytest.param("resnet18-lstm", 4, 20, marks=pytest.mark.slow),
    ],
)
def test_a_small_variant_learns_the_moving_spots_with_ec_stfl(name, width, epochs, tmp_path):
    clipset, clips = toy_data()
    config = toy_config(
        clipset,
        backbone=small(name, width=width),
        optim=OptimConfig(epochs=epochs, batch=14, lr=5e-3),
    )
    run = train_run(config, clipset, clips, tmp_path, score_every=99)
    assert run["history"][-1]["train_war"] > 0.5  # chance is 1/7
    assert run["war"] > 0.4
    again = load_checkpoint(run_directory(tmp_path, config) / "model.safetensors")[1]
    assert type(again) is type(build_backbone(config.backbone, FRAMES, SIZE))
