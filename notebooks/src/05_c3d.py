# Text source of lesson 05. Build: make notebooks ARGS=05
# ruff: noqa: E501 (prose in tables)

# %% [markdown] part="header"
# # 05 · C3D: the network that sees time
#
# Eight convolutions, five poolings, three fully connected layers, 78 million numbers: C3D is large and
# simple. Simple enough to know everything about it before it has seen a single clip.
#
# **You will learn to** *compute* shapes, *count* parameters and work, *trace* what one number can see,
# *avoid* the rounding trap at pool5, and *tap* a layer for the loss.
#
# | | |
# |---|---|
# | Before this | lessons 01 and 04; convolution, pooling and backpropagation |
# | Time | {{minutes}} min to run (quick profile, two CPU cores); no GPU is used |
# | Memory | {{memory}} at the peak; no GPU memory |
# | Data | one embedded clip (rendered), otherwise random numbers: nothing is trained here |
# | Source | CN112101119A claim 3 (3-1), (3-2), [0040]; Tran et al., ICCV 2015 |
# | Exercises | {{exercises}} |

# %% part="setup"
import numpy as np
import torch
from lessonkit import anatomy, lessons, plots_c3d
from lessonkit.checks import check, expect
from lessonkit.guess import guess_choice, guess_number, progress
from lessonkit.lessons import play
from torch import nn
from torch.nn import functional as F

from ecstfl.clips.config import PreprocessConfig
from ecstfl.clips.preprocess import preprocess_clip
from ecstfl.losses.ec_stfl import ec_stfl_loss
from ecstfl.models.c3d import C3D
from ecstfl.models.tap import Tap

settings = lessons.start("05")

# %% [markdown]
# ## Why three dimensions?
#
# Play a clip backwards. A smile that fades is then a smile that grows. A network that looks at each frame
# on its own and takes the mean cannot tell them apart. One whose kernel reaches into the next frame can:

# %%
draw = torch.Generator().manual_seed(0)
clip = torch.randn(1, 3, 8, 16, 16, generator=draw)
backwards = clip.flip(2)
flat = torch.randn(4, 3, 3, 3, generator=draw)  # looks at one frame
deep = torch.randn(4, 3, 3, 3, 3, generator=draw)  # looks at three
by_frame = lambda x: F.conv2d(x[0].transpose(0, 1), flat).relu().mean(dim=(0, 2, 3))  # noqa: E731
by_clip = lambda x: F.conv3d(x, deep).relu().mean(dim=(0, 2, 3, 4))  # noqa: E731
change = {}
for name, see in (("2-D, mean over frames", by_frame), ("3-D", by_clip)):
    change[name] = (see(clip) - see(backwards)).abs().max().item()
    print(f"{name:22s} forwards and backwards differ by {change[name]:.1e}")
assert change["2-D, mean over frames"] < 1e-5 < 1e-3 < change["3-D"]

# %% [markdown]
# ## Shapes by hand
#
# A kernel of k numbers slides over n numbers in steps of s, with p zeros added at both ends. It fits
#
# $$\left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1$$
#
# times. Some frameworks round **up** when they pool: the last window then hangs over the edge.

# %% [markdown] exercise="5.1" part="task" level=1
# ### Exercise 5.1: How many places?
#
# Write `places(n, kernel, stride, padding=0, ceil=False)`: the formula above, rounded down, or up when
# `ceil` is true. (The kernel is never smaller than the stride here.)
#
# <details><summary>Hint 1</summary><code>//</code> rounds down; <code>-(-a // b)</code> rounds up.</details>
# <details><summary>Hint 2</summary>Only the fraction is rounded; the 1 is added afterwards.</details>


# %% exercise="5.1" part="answer"
def places(n, kernel, stride, padding=0, ceil=False):
    """Return how many places a kernel takes along one axis."""
    ### BEGIN SOLUTION
    room = n + 2 * padding - kernel
    return (-(-room // stride) if ceil else room // stride) + 1
    ### END SOLUTION


# %% exercise="5.1" part="try"
print("conv, 112 pixels:          ", places(112, 3, 1, padding=1))
print("pool, 112 pixels:          ", places(112, 2, 2))
print("pool, 7 pixels, down and up:", places(7, 2, 2), places(7, 2, 2, ceil=True))

# %% exercise="5.1" part="check" points=1
with check("5.1"):
    expect(
        places,
        (17, 5, 1, 2),
        answer=17,
        mistakes={
            "Padding stands at both ends.": 15,
            "These are the steps. The place where the kernel starts counts, too.": 16,
            "The kernel needs room: it cannot start in the last places.": 21,
        },
    )
    expect(
        places,
        (7, 2, 2, 0, True),
        answer=4,
        mistakes={
            "`ceil` is true: the fraction is rounded up.": 3,
        },
    )

# %% exercise="5.1" part="hidden" points=1
### BEGIN HIDDEN TESTS
with check("5.1"):
    for n, k, s, p in ((112, 3, 1, 1), (7, 2, 2, 0), (10, 3, 2, 1), (5, 5, 1, 0), (16, 3, 2, 0)):
        conv = F.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, k), stride=s, padding=p)
        value = places(n, k, s, p)
        assert value == conv.shape[2], (
            f"n {n}, kernel {k}, stride {s}, padding {p}: expected {conv.shape[2]}, got {value}"
        )
    for n, k, s in ((7, 2, 2), (8, 2, 2), (1, 1, 1), (9, 3, 2), (10, 3, 2), (13, 4, 3)):
        pool = F.max_pool1d(torch.zeros(1, 1, n), k, s, ceil_mode=True)
        value = places(n, k, s, ceil=True)
        assert value == pool.shape[2], (
            f"n {n}, kernel {k}, stride {s}, rounded up: expected {pool.shape[2]}, got {value}"
        )
### END HIDDEN TESTS


# %% exercise="5.1" part="wrong" about="pads at one end only"
def places(n, kernel, stride, padding=0, ceil=False):
    room = n + padding - kernel
    return (-(-room // stride) if ceil else room // stride) + 1


# %% exercise="5.1" part="wrong" about="always rounds down"
def places(n, kernel, stride, padding=0, ceil=False):
    return (n + 2 * padding - kernel) // stride + 1


# %% exercise="5.1" part="wrong" about="forgets the first place"
def places(n, kernel, stride, padding=0, ceil=False):
    room = n + 2 * padding - kernel
    return -(-room // stride) if ceil else room // stride


# %% exercise="5.1" part="wrong" about="only divides by the stride"
def places(n, kernel, stride, padding=0, ceil=False):
    return -(-(n + 2 * padding) // stride) if ceil else (n + 2 * padding) // stride


# %% exercise="5.1" part="right" about="count the places"
def places(n, kernel, stride, padding=0, ceil=False):
    count, at = 1, 0
    while at + stride + kernel <= n + 2 * padding:
        count, at = count + 1, at + stride
    return count + (ceil and at + kernel < n + 2 * padding)


# %% [markdown]
# With that, the whole network. The left column is the formula (`lessonkit.anatomy`), the right one comes
# from a real C3D on PyTorch's *meta* device, which knows shapes and holds no numbers:

# %%
layers = anatomy.c3d_layers()
shapes = {}
with torch.device("meta"):
    full = C3D(7)
    for name, module in full.named_children():
        keep = lambda module, given, out, name=name: shapes.update({name: tuple(out.shape[1:])})  # noqa: E731
        module.register_forward_hook(keep)
    full(torch.empty(1, 3, 16, 112, 112))
print(f"{'input':7s} {'3 x 16 x 112 x 112':>20s}")
for layer in layers:
    print(f"{layer.name:7s} {' x '.join(map(str, layer.output)):>20s}   {shapes[layer.name]}")
    assert layer.output == shapes[layer.name]

# %% [markdown]
# ## The trap at pool5
#
# At 112 pixels all poolings but one meet even numbers. pool5 meets 7. Caffe, in which C3D was written,
# rounds up to 4; PyTorch rounds down to 3 unless told otherwise. Then fc6 sees 512 · 3 · 3 = 4608 numbers
# and not 8192, and no published weights fit. Some copies of C3D pad by one instead:

# %%
row = torch.tensor([[[1.0, 5.0, 2.0, 8.0, 3.0, 9.0, 4.0]]])
pooled = {
    "round down": F.max_pool1d(row, 2, 2),
    "round up": F.max_pool1d(row, 2, 2, ceil_mode=True),
    "pad by one": F.max_pool1d(row, 2, 2, padding=1),
}
print("cells:     ", row.flatten().int().tolist())
for name, value in pooled.items():
    print(f"{name:11s}", value.flatten().int().tolist())
assert pooled["round up"].shape == pooled["pad by one"].shape
assert not torch.equal(pooled["round up"], pooled["pad by one"])
plots_c3d.pool_windows(7)

# %% [markdown]
# Two of them have the right shape and give other numbers. A network trained with one and run with the
# other gets no error message, just other features. This package rounds up, in every pooling.
#
# ## 78 million parameters

# %%
memory = guess_number(
    "05-memory",
    "How many of the 78 million sit in the three fully connected layers, in percent?",
    0,
    100,
    unit="%",
)
memory

# %% [markdown] exercise="5.2" part="task" level=2
# ### Exercise 5.2: Count them
#
# Write `parameters(width=64, fc=4096, classes=7, cells=16)`: all parameters of a C3D without BatchNorm.
# The eight convolutions 1a, 2a, 3a, 3b, 4a, 4b, 5a, 5b have `width` times 1, 2, 4, 4, 8, 8, 8, 8 output
# channels, and 3 x 3 x 3 kernels. The first sees 3 channels, each other one the outputs of the one before. fc6 sees
# `cells` places of the last one's channels (1 x 4 x 4 = 16 at full size) and has `fc` units, like fc7; fc8 has
# `classes`. Every output channel and every unit has a **bias**.
#
# <details><summary>Hint 1</summary>A convolution has (27 · inputs + 1) · outputs parameters.</details>
# <details><summary>Hint 2</summary>Pooling has none. fc6 has (8 · width · cells + 1) · fc.</details>


# %% exercise="5.2" part="answer"
def parameters(width=64, fc=4096, classes=7, cells=16):
    """Return the number of trainable numbers of a C3D."""
    ### BEGIN SOLUTION
    count, inputs = 0, 3
    for factor in (1, 2, 4, 4, 8, 8, 8, 8):
        count += (27 * inputs + 1) * factor * width
        inputs = factor * width
    count += (inputs * cells + 1) * fc
    count += (fc + 1) * fc
    return count + (fc + 1) * classes
    ### END SOLUTION


# %% exercise="5.2" part="try"
print(f"{parameters():,}")
print(f"{parameters(width=16, fc=256, cells=4):,}")

# %% exercise="5.2" part="check" points=1
with check("5.2"):
    expect(
        parameters,
        (2, 3, 5, 4),
        answer=27475,
        mistakes={
            "Each output channel and each unit has a bias: where are they?": 27378,
            "The kernels reach through time: 3 x 3 x 3 = 27, not 9.": 9367,
            "There are eight convolutions: 3b, 4b and 5b are missing.": 11883,
            "fc6 sees `cells` places: the argument is not used.": 27715,
            "The convolutions do not follow `width`: is their count a fixed number?": 27662115,
        },
    )

# %% exercise="5.2" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("5.2"):
    for wide, units, classes, side in (
        (64, 4096, 101, 112),
        (16, 256, 7, 112),
        (2, 3, 5, 32),
        (4, 8, 7, 48),
    ):
        with torch.device("meta"):
            net = C3D(classes, width=wide, fc=units, size=side)
        wanted = sum(p.numel() for p in net.parameters())
        value = parameters(wide, units, classes, net.fc6.in_features // (8 * wide))
        assert value == wanted, (
            f"width {wide}, fc {units}, {classes} classes: expected {wanted:,}, got {value:,}"
        )
### END HIDDEN TESTS


# %% exercise="5.2" part="wrong" about="no biases"
def parameters(width=64, fc=4096, classes=7, cells=16):
    count, inputs = 0, 3
    for factor in (1, 2, 4, 4, 8, 8, 8, 8):
        count += 27 * inputs * factor * width
        inputs = factor * width
    return count + inputs * cells * fc + fc * fc + fc * classes


# %% exercise="5.2" part="wrong" about="flat kernels: 9 instead of 27"
def parameters(width=64, fc=4096, classes=7, cells=16):
    count, inputs = 0, 3
    for factor in (1, 2, 4, 4, 8, 8, 8, 8):
        count += (9 * inputs + 1) * factor * width
        inputs = factor * width
    return count + (inputs * cells + 1) * fc + (fc + 1) * fc + (fc + 1) * classes


# %% exercise="5.2" part="wrong" about="one convolution a stage: the b layers are missing"
def parameters(width=64, fc=4096, classes=7, cells=16):
    count, inputs = 0, 3
    for factor in (1, 2, 4, 8, 8):
        count += (27 * inputs + 1) * factor * width
        inputs = factor * width
    return count + (inputs * cells + 1) * fc + (fc + 1) * fc + (fc + 1) * classes


# %% exercise="5.2" part="wrong" about="fc6 sees 3 x 3 places: the rounding trap"
def parameters(width=64, fc=4096, classes=7, cells=9):
    count, inputs = 0, 3
    for factor in (1, 2, 4, 4, 8, 8, 8, 8):
        count += (27 * inputs + 1) * factor * width
        inputs = factor * width
    return count + (inputs * 9 + 1) * fc + (fc + 1) * fc + (fc + 1) * classes


# %% exercise="5.2" part="wrong" about="right for the published width only"
def parameters(width=64, fc=4096, classes=7, cells=16):
    convolutions = 27655936
    return convolutions + (512 * cells + 1) * fc + (fc + 1) * fc + (fc + 1) * classes


# %% [markdown]
# ## And 38 billion multiplications
#
# Parameters fill memory; what fills time is how often each of them is used. A weight of a convolution is
# used at every place, one of a fully connected layer once.

# %%
slowest = guess_choice(
    "05-time", "Where does the time go?", ["into the convolutions", "into both", "into fc6 and fc7"]
)
slowest

# %% [markdown] exercise="5.3" part="task" level=1
# ### Exercise 5.3: What does a layer cost?
#
# Write `multiply_adds(inputs, outputs, shape, kernel=(3, 3, 3))`: the multiplications (each with its addition)
# of one convolution with `inputs` and `outputs` channels, where `shape` = (T, H, W) is the shape of its
# **output**. Biases are not counted.
#
# <details><summary>Hint 1</summary>One output number costs a product for each number under the kernel, in
# each input channel.</details>
# <details><summary>Hint 2</summary>And there are outputs · T · H · W output numbers.</details>


# %% exercise="5.3" part="answer"
def multiply_adds(inputs, outputs, shape, kernel=(3, 3, 3)):
    """Return the multiply-adds of one convolution on one clip."""
    ### BEGIN SOLUTION
    a, b, c = kernel
    T, H, W = shape
    return a * b * c * inputs * outputs * T * H * W
    ### END SOLUTION


# %% exercise="5.3" part="try"
print(f"conv1a: {multiply_adds(3, 64, (16, 112, 112)) / 1e9:.2f} billion")
print(f"conv2a: {multiply_adds(64, 128, (16, 56, 56)) / 1e9:.2f} billion")

# %% exercise="5.3" part="check" points=1
with check("5.3"):
    expect(
        multiply_adds,
        (2, 5, (2, 3, 4), (1, 3, 3)),
        answer=2160,
        mistakes={
            "The kernel sees every input channel.": 1080,
            "A multiplication and its addition count as one.": 4320,
            "These are the weights. Each is used at every place of the output.": 90,
            "The kernel is (1, 3, 3) here: is the argument used?": 6480,
        },
    )

# %% exercise="5.3" part="hidden" points=1
### BEGIN HIDDEN TESTS
with check("5.3"):
    from torch.utils.flop_counter import FlopCounterMode

    for cin, cout, size, k, stride in (
        (3, 4, (6, 8, 10), (3, 3, 3), 1),
        (2, 3, (5, 9, 7), (1, 3, 3), 1),
        (4, 2, (8, 8, 8), (3, 1, 5), 2),
    ):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            net = nn.Conv3d(cin, cout, k, stride=stride)
            out = net(torch.empty(1, cin, *size))
        wanted = counter.get_total_flops() // 2
        value = multiply_adds(cin, cout, tuple(out.shape[2:]), k)
        assert value == wanted, (
            f"{cin} to {cout} channels, kernel {k}, output {tuple(out.shape[2:])}: expected {wanted}, got {value}"
        )
### END HIDDEN TESTS


# %% exercise="5.3" part="wrong" about="forgets the input channels"
def multiply_adds(inputs, outputs, shape, kernel=(3, 3, 3)):
    return int(np.prod(kernel)) * outputs * int(np.prod(shape))


# %% exercise="5.3" part="wrong" about="counts multiplications and additions apart"
def multiply_adds(inputs, outputs, shape, kernel=(3, 3, 3)):
    return 2 * int(np.prod(kernel)) * inputs * outputs * int(np.prod(shape))


# %% exercise="5.3" part="wrong" about="counts the weights: used once"
def multiply_adds(inputs, outputs, shape, kernel=(3, 3, 3)):
    return int(np.prod(kernel)) * inputs * outputs


# %% exercise="5.3" part="wrong" about="always a 3 x 3 x 3 kernel"
def multiply_adds(inputs, outputs, shape, kernel=(3, 3, 3)):
    return 27 * inputs * outputs * int(np.prod(shape))


# %%
parameters_in_all, work_in_all = anatomy.total(layers)
print(f"{parameters_in_all:,} parameters, {work_in_all / 1e9:.2f} billion multiply-adds a clip")
assert parameters_in_all == sum(p.numel() for p in full.parameters()) == 78_024_455
assert round(work_in_all / 1e9, 1) == 38.5
plots_c3d.price_list(layers)

# %%
connected = [layer for layer in layers if layer.name.startswith("fc")]
share = sum(layer.parameters for layer in connected) / parameters_in_all
memory.truth(100 * share, "Two matrices: fc6 and fc7.")

# %%
share = sum(layer.multiply_adds for layer in connected) / work_in_all
slowest.truth(
    "into the convolutions", f"The fully connected layers do {100 * share:.1f} % of the work."
)

# %% [markdown]
# Memory sits in the fully connected layers, time in the convolutions. To make C3D cheap for two CPU
# cores, three knobs turn: **width** (channels; parameters and work of the inner layers fall with its
# square), **size** (pixels; work falls with its square) and **frames**.

# %%
cheaper = guess_number(
    "05-cheaper",
    "The quick profile: a quarter of the channels, 48 pixels for 112, 8 frames for 16. How many times less work?",
    1,
    500,
)
cheaper

# %% closed=true
play(
    plots_c3d.c3d_price,
    still=False,
    width=(4, 64, 4),
    fc=[64, 256, 1024, 4096],
    frames=[8, 16],
    size=[48, 64, 112],
)

# %% closed=true
ladder = {
    "as published": {},
    "fc 256": {"fc": 256},
    "and width 16": {"fc": 256, "width": 16},
    "and 48 x 48 pixels": {"fc": 256, "width": 16, "size": 48},
    "and 8 frames: the quick profile": {"fc": 256, "width": 16, "size": 48, "frames": 8},
}
cheap = anatomy.total(anatomy.c3d_layers(**ladder["and 8 frames: the quick profile"]))
assert 35 < parameters_in_all / cheap[0] < 45
assert 150 < work_in_all / cheap[1] < 170
plots_c3d.c3d_prices(ladder)

# %%
cheaper.truth(work_in_all / cheap[1], "16 times by width, 5 by pixels, 2 by frames: roughly.")

# %% [markdown]
# The quick profile does a 160th of the work: that is why a laptop can train it at all. It is not the
# patent's network any more, and every table made with it says so.
#
# ## What one number sees
#
# A number in conv1a depends on 3 x 3 x 3 input numbers. One in conv2a depends on 3 x 3 x 3 numbers of pool1, and
# each of those on several pixels. Go through the layers along one axis and keep two numbers: the
# **reach** $r$ (how many input places one output number sees) and the **step** $j$ (how far apart two neighbours
# of the output look in the input). Before the first layer both are 1; then each layer with kernel $k$ and
# stride $s$ does
#
# $$r \leftarrow r + (k - 1)\, j, \qquad j \leftarrow s\, j.$$

# %% [markdown] exercise="5.4" part="task" level=3
# ### Exercise 5.4: The receptive field
#
# Write `reaches(layers)` for a list of (kernel, stride) pairs along one axis: the list of the reach after
# each layer.
#
# <details><summary>Hint 1</summary>Two numbers are carried along, and one of them is collected.</details>
# <details><summary>Hint 2</summary>The reach uses the step from <em>before</em> the layer: update it first.</details>
# <details><summary>Hint 3</summary>A pooling of 2, stride 2, then a kernel of 3: reaches 2, then 2 + 2 · 2 = 6.</details>


# %% exercise="5.4" part="answer"
def reaches(layers):
    """Return the reach after each (kernel, stride) layer."""
    ### BEGIN SOLUTION
    reach, step, out = 1, 1, []
    for kernel, stride in layers:
        reach += (kernel - 1) * step
        step *= stride
        out.append(reach)
    return out
    ### END SOLUTION


# %% exercise="5.4" part="try"
C, P, keep = (3, 1), (2, 2), (1, 1)  # convolution, pooling, and pool1 along time
space = [C, P, C, P, C, C, P, C, C, P, C, C, P]
time = [C, keep, C, P, C, C, P, C, C, P, C, C, P]
names = [layer.name for layer in layers if layer.reach]
for name, pixels, frames in zip(names, reaches(space), reaches(time), strict=True):
    print(f"{name:7s} {frames:3d} frames, {pixels:3d} x {pixels} pixels")

# %% exercise="5.4" part="check" points=1
with check("5.4"):
    expect(
        reaches,
        ([(2, 2), (3, 1), (3, 2), (3, 1)],),
        answer=[2, 6, 10, 18],
        mistakes={
            "The kernels just add up. Behind a stride of 2, neighbours are 2 pixels apart.": 20.0,
            "The reach grows by the step from before the layer: update the step last.": 48.0,
            "Kernels are multiplied. A kernel adds (kernel - 1) steps.": [2, 6, 18, 54],
            "The step is the product of all strides so far, not the last one.": [2, 6, 8, 12],
            "A kernel of 3 adds two neighbours, not three.": [3, 9, 15, 27],
        },
    )

# %% exercise="5.4" part="hidden" points=3
### BEGIN HIDDEN TESTS
with check("5.4"):
    draw = np.random.default_rng(0)
    for _ in range(5):
        plan = [(int(draw.integers(1, 5)), int(draw.integers(1, 4))) for _ in range(4)]
        line = torch.ones(1, 1, 400, requires_grad=True)
        out, wanted = line, []
        for kernel, stride in plan:
            out = F.conv1d(out, torch.ones(1, 1, kernel), stride=stride)
            middle = out[0, 0, out.shape[2] // 2]
            grad = torch.autograd.grad(middle, line, retain_graph=True)[0].flatten()
            seen = grad.nonzero()
            wanted.append(int(seen.max() - seen.min()) + 1)
        value = list(reaches(plan))
        assert value == wanted, f"layers {plan}: expected {wanted}, got {value}"
    assert list(reaches([])) == [], "no layer, no reach"
### END HIDDEN TESTS


# %% exercise="5.4" part="wrong" about="forgets the step: kernels just add up"
def reaches(layers):
    reach, out = 1, []
    for kernel, _ in layers:
        reach += kernel - 1
        out.append(reach)
    return out


# %% exercise="5.4" part="wrong" about="takes the step after the layer"
def reaches(layers):
    reach, step, out = 1, 1, []
    for kernel, stride in layers:
        step *= stride
        reach += (kernel - 1) * step
        out.append(reach)
    return out


# %% exercise="5.4" part="wrong" about="multiplies kernels"
def reaches(layers):
    reach, out = 1, []
    for kernel, _ in layers:
        reach *= kernel
        out.append(reach)
    return out


# %% exercise="5.4" part="wrong" about="the last step only, not the product of all"
def reaches(layers):
    reach, before, out = 1, 1, []
    for kernel, stride in layers:
        reach += (kernel - 1) * before
        before = stride
        out.append(reach)
    return out


# %% exercise="5.4" part="wrong" about="adds the whole kernel, not kernel - 1"
def reaches(layers):
    reach, step, out = 1, 1, []
    for kernel, stride in layers:
        reach += kernel * step
        step *= stride
        out.append(reach)
    return out


# %% [markdown]
# Do not believe a formula that you can test. The gradient of *one* output number is not zero exactly where
# it looks. So: a C3D with all weights 1 (no path cancels another) and means for maxima (no path is blocked),
# and a look at where the gradient arrives.

# %%
probed = settings.choose(
    smoke=("conv1a", "conv2a", "pool2"),
    quick=("conv1a", "pool1", "conv2a", "pool2", "conv3a", "conv3b", "pool3", "conv4b", "pool5"),
    full=tuple(layer.name for layer in layers if layer.reach),
)
for layer in layers:
    if layer.name in probed:
        large = layer.reach[1] > 40
        found = anatomy.footprint(layer.name, *((96, 192) if large else (32, 64)))
        print(f"{layer.name:7s} formula {layer.reach}, gradient {found} (frames, pixels)")
        assert found == layer.reach

# %%
name, frames = lessons.embedded_clip("Surprise", 21)
face = preprocess_clip(frames, PreprocessConfig(size=112)).frames[0]
plots_c3d.reach_on_face(face, layers, ("conv2a", "conv3b", "conv4b", "conv5b"))

# %% [markdown]
# From conv4a on, a number sees more frames than the clip has: the rest are the zeros of the padding. Up to
# conv3b the network knows parts of 26 x 26 pixels (an eye, a corner of the mouth); behind it, faces.
#
# Reach says what *can* matter. What *does*, before any training? Draw random networks and average the
# size of the gradient:

# %% closed=true
draws = settings.choose(smoke=2, quick=6, full=30)
fields = {}
for layer in layers:
    if layer.name in ("conv2a", "conv3b", "conv4b"):
        field = anatomy.sensitivity(layer.name, width=4, draws=draws)
        assert torch.isfinite(field).all()
        fields[layer.name] = (field.numpy(), layer.reach[1])
share = {name: plots_c3d.half_area(field.sum(axis=0)) for name, (field, _) in fields.items()}
assert all(part < 0.4 for part in share.values())
plots_c3d.effective_fields(fields)

# %% [markdown]
# An even field would need half of its places for half of the influence. But many paths lead from its middle
# to the number and few from its rim, so the middle wins (Luo et al. 2016). The face in the middle of an aligned crop is where this network looks first.
#
# ## Where to tap
#
# The loss of lesson 04 wants one vector a clip: its [tap](../docs/glossary.md#tap). Claim 3 takes it "after any of the last fully connected
# layers"; the embodiment [0040] takes the second to last, fc7. It does not say: before or after its ReLU?
#
# A **forward hook** reads a layer of any network without changing the network.

# %% [markdown] exercise="5.5" part="task" level=2
# ### Exercise 5.5: Tap a layer
#
# Write `tap(net, layer, clips)`: run `net(clips)` and return the output of the layer with the name `layer`,
# flattened to (n, d). It must still carry its **gradient** (the loss needs it), and the network must be left
# as it was: **no hook** may stay behind.
#
# <details><summary>Hint 1</summary><code>net.get_submodule(layer)</code> finds it;
# <code>register_forward_hook(f)</code> calls <code>f(module, inputs, output)</code> and returns a handle.</details>
# <details><summary>Hint 2</summary>Let the hook append to a list. <code>handle.remove()</code> takes it off.</details>
# <details><summary>Hint 3</summary><code>out.flatten(1)</code> keeps the clips apart. No <code>detach</code>, no
# <code>no_grad</code>.</details>


# %% exercise="5.5" part="answer"
def tap(net, layer, clips):
    """Return the output (n, d) of a layer while net looks at clips, with gradient."""
    ### BEGIN SOLUTION
    seen = []
    handle = net.get_submodule(layer).register_forward_hook(lambda m, given, out: seen.append(out))
    try:
        net(clips)
    finally:
        handle.remove()
    return seen[0].flatten(1)
    ### END SOLUTION


# %% exercise="5.5" part="try"
torch.manual_seed(0)
small = C3D(7, width=2, fc=16, frames=4, size=16, dropout=0.0).eval()
clips = torch.randn(5, 3, 4, 16, 16)
for layer in ("fc6", "fc7", "relu7", "fc8", "pool5"):
    print(f"{layer:6s}", tuple(tap(small, layer, clips).shape))

# %% exercise="5.5" part="check" points=1
with check("5.5"):
    net_ = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    expect(
        tap,
        (net_, "0", torch.ones(6, 3)),
        look=np.shape,
        answer=[6, 4],
        mistakes={
            "This is what the network gives at its end: the output of layer 0 is asked for.": 8.0,
            "This is what goes into the layer: the hook gets (module, inputs, output).": [6, 3],
            "The six clips have become one long row: `flatten(1)` keeps them apart.": [24],
        },
    )
    assert not any(m._forward_hooks for m in net_.modules()), (
        "a hook stays behind and would run at every later call: `remove` its handle"
    )
    assert tap(net_, "0", torch.ones(6, 3)).requires_grad, (
        "the features carry no gradient, so a loss on them teaches nothing: no `detach`, no `no_grad`"
    )

# %% exercise="5.5" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("5.5"):
    torch.manual_seed(1)
    net = C3D(7, width=2, fc=8, frames=4, size=16, dropout=0.0).eval()
    some = torch.randn(3, 3, 4, 16, 16)
    for layer in ("fc7", "relu7", "conv3b"):
        value = tap(net, layer, some)
        with Tap(net, layer) as tapped:
            wanted = tapped(some)[1]
        assert tuple(value.shape) == tuple(wanted.shape), (
            f"{layer}: expected shape {tuple(wanted.shape)}, got {tuple(value.shape)}"
        )
        assert torch.allclose(value, wanted), f"{layer}: other numbers than the layer gives"
        assert value.requires_grad, f"{layer}: the gradient is lost"
        assert not net.get_submodule(layer)._forward_hooks, f"{layer}: a hook stays behind"
    tap(net, "fc7", some).sum().backward()
    assert net.conv1a.weight.grad.abs().sum() > 0, "the gradient must reach the first layer"
### END HIDDEN TESTS


# %% exercise="5.5" part="wrong" about="leaves its hook in the network"
def tap(net, layer, clips):
    seen = []
    net.get_submodule(layer).register_forward_hook(lambda m, given, out: seen.append(out))
    net(clips)
    return seen[0].flatten(1)


# %% exercise="5.5" part="wrong" about="cuts the gradient off"
def tap(net, layer, clips):
    seen = []
    handle = net.get_submodule(layer).register_forward_hook(
        lambda m, given, out: seen.append(out.detach())
    )
    net(clips)
    handle.remove()
    return seen[0].flatten(1)


# %% exercise="5.5" part="wrong" about="returns the logits"
def tap(net, layer, clips):
    return net(clips).flatten(1)


# %% exercise="5.5" part="wrong" about="returns what goes into the layer"
def tap(net, layer, clips):
    seen = []
    handle = net.get_submodule(layer).register_forward_hook(
        lambda m, given, out: seen.append(given[0])
    )
    net(clips)
    handle.remove()
    return seen[0].flatten(1)


# %% exercise="5.5" part="wrong" about="flattens the clips away"
def tap(net, layer, clips):
    seen = []
    handle = net.get_submodule(layer).register_forward_hook(lambda m, given, out: seen.append(out))
    net(clips)
    handle.remove()
    return seen[0].flatten()


# %% [markdown]
# The package's `Tap` does that, returns logits and features together, and works inside `torch.compile`. Now
# compare fc7 before and after its ReLU, on the same clips, in a network fresh from the shop:

# %%
torch.manual_seed(3)
n = settings.choose(smoke=14, quick=42, full=140)
net = C3D(7, width=4, fc=256, frames=8, size=32, dropout=0.5).eval()
clips, labels = torch.randn(n, 3, 8, 32, 32), torch.arange(n) % 7
values, losses = {}, {}
for layer in ("fc6", "fc7", "relu7"):
    with Tap(net, layer) as tapped:
        logits, features = tapped(clips)
    values[layer] = features.detach().numpy()
    losses[layer] = ec_stfl_loss(features, labels).item()
    print(f"{layer:6s} {features.shape[1]} numbers a clip, patent-form loss {losses[layer]:.3f}")
    assert np.isfinite(values[layer]).all()
assert (values["relu7"] >= 0).all()
assert np.array_equal(np.maximum(values["fc7"], 0), values["relu7"])
plots_c3d.tapped(values)

# %% [markdown]
# * **fc7**: all numbers, of both signs. The loss can move each of them.
# * **relu7**: the negative half is 0, and a 0 has no slope: a unit that is off for two clips says nothing about
#   their distance, and gets no pull. But it is what fc8 sees, so what the loss clusters is what is classified.
# * The **input of fc8** is relu7 after dropout: in training half of it is 0 by chance, and the distance of two
#   equal clips is then not 0. Distances measure dropout as well as clips.
#
# The package taps `relu7` by default, and `fc7` with an option; which one is better is a question for lesson 06
# and its folds, not for taste.
#
# ## Checkpoint

# %% part="quiz"
question(
    "You double the width of every layer (fc stays). The parameters of conv4b ...",
    ["double", "quadruple", "grow eightfold"],
    right=2,
    why=[
        "Inputs and outputs both double.",
        "27 times inputs times outputs: both double.",
        "The kernel does not grow, only the channels on both sides.",
    ],
)

# %% part="quiz"
question(
    "A copy of C3D pads pool5 by (0, 1, 1) and loads published weights without complaint. Is it the same network?",
    [
        "Yes, the shapes agree",
        "No: its windows take other cells, so fc6 sees other numbers",
        "No: it has more parameters",
    ],
    right=2,
    why=[
        "Shapes agree, windows do not: compare the row of seven cells above.",
        "Cells 0 | 1 2 | 3 4 | 5 6 instead of 0 1 | 2 3 | 4 5 | 6.",
        "Pooling has no parameters, padded or not.",
    ],
)

# %% part="quiz"
question(
    "conv5b reaches over 68 frames, the clip has 16. What do the other 52 hold?",
    ["Frames of the next clip", "Zeros from the padding", "The first frame, repeated"],
    right=2,
    why=[
        "Clips of a batch never see each other in a convolution.",
        "Every convolution adds zeros at both ends of time.",
        "That would be another kind of padding; this one is zeros.",
    ],
)

# %%
progress()

# %% [markdown]
# ## Summary
#
# * 78,024,455 parameters, two thirds of them in fc6 and fc7; 38.5 billion multiply-adds, nearly all in the
#   convolutions.
# * pool5 meets an odd 7: round up, or say that you do not.
# * Reach grows by (k - 1) times the step; a gradient proves it. Its middle counts most.
# * Tap with a hook. Before or after ReLU, with or without dropout: the patent leaves it open, so write down
#   what you did.
#
# ## What can go wrong
#
# * `ceil_mode` forgotten: fc6 does not fit, or fits after "fixing" it to 4608.
# * Axes swapped: (n, T, 3, H, W) for (n, 3, T, H, W) runs when T is 3.
# * FLOPs and multiply-adds mixed up: a factor of 2 between papers.
# * An in-place ReLU behind a tapped layer: the features change after you took them. `Tap` takes a copy.
#
# ## Further reading
#
# * Tran et al., *Learning spatiotemporal features with 3D convolutional networks*, ICCV 2015.
# * Luo et al., *Understanding the effective receptive field in deep convolutional neural networks*, NeurIPS 2016.
# * `ecstfl/models/c3d.py` and `notebooks/lessonkit/anatomy.py`: the network, and everything about it, in a few hundred lines.
# * [The other networks](../docs/backbones.md), and where each is tapped.
#
# Next: 06, training.
