"""C3D by formula against the network itself: shapes, parameters, multiply-adds, reach."""

import pytest
import torch
from lessonkit.anatomy import c3d_layers, footprint, sensitivity, total
from torch.utils.flop_counter import FlopCounterMode

from ecstfl.models.c3d import C3D

SETTINGS = [
    {},
    {"width": 16, "fc": 256, "frames": 8, "size": 48, "batch_norm": True},
    {"width": 3, "fc": 5, "frames": 5, "size": 50},
]


@pytest.mark.parametrize("setting", SETTINGS, ids=["full", "quick", "odd"])
def test_layers_are_those_of_the_network(setting):
    """Shapes by hooks, parameters by counting, multiply-adds by PyTorch's own counter."""
    shapes = {}
    with torch.device("meta"):  # shapes only, no memory
        net = C3D(7, **setting)
        for name, module in net.named_children():
            module.register_forward_hook(
                lambda m, i, out, name=name: shapes.update({name: tuple(out.shape[1:])})
            )
        clips = torch.empty(1, *net.input_shape)
        with FlopCounterMode(display=False) as counter:
            net(clips)
    layers = c3d_layers(7, **setting)
    for layer in layers:
        assert layer.output == shapes[layer.name], layer.name
    own = {n: sum(p.numel() for p in m.parameters()) for n, m in net.named_children()}
    for layer in layers:
        norm = own.get(layer.name.replace("conv", "bn"), 0) if "conv" in layer.name else 0
        assert layer.parameters == own[layer.name] + norm, layer.name
    parameters, multiply_adds = total(layers)
    assert parameters == sum(p.numel() for p in net.parameters())
    assert 2 * multiply_adds == counter.get_total_flops()


def test_full_width_is_the_published_size():
    parameters, multiply_adds = total(c3d_layers())
    assert parameters == 78_024_455
    assert round(multiply_adds / 1e9, 1) == 38.5


@pytest.mark.parametrize("layer", ["conv1a", "pool1", "conv2a", "pool2", "conv3b", "pool3"])
def test_reach_is_where_the_gradient_arrives(layer):
    formula = next(x.reach for x in c3d_layers() if x.name == layer)
    assert footprint(layer, frames=32, size=64) == formula


def test_footprint_is_cut_off_by_a_small_input_and_names_bad_layers():
    assert footprint("pool3", frames=8, size=20) == (8, 20)
    with pytest.raises(ValueError, match="fc6"):
        footprint("fc6", frames=32, size=32)


def test_sensitivity_stays_inside_the_reach_and_prefers_the_middle():
    field = sensitivity("conv2a", width=2, frames=16, size=32, draws=2)
    assert field.shape == (16, 32, 32)
    assert field.sum().item() == pytest.approx(1, abs=1e-5)
    reach = next(x.reach for x in c3d_layers() if x.name == "conv2a")
    for axis, limit in ((0, reach[0]), (1, reach[1]), (2, reach[1])):
        others = tuple(k for k in range(3) if k != axis)
        assert int((field.sum(dim=others) > 0).sum()) <= limit
    middle = field[:, 13:21, 13:21].sum()
    assert middle > 0.5
    again = sensitivity("conv2a", width=2, frames=16, size=32, draws=2)
    torch.testing.assert_close(field, again)
