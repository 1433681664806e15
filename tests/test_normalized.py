"""Images as a network takes them: values, types, memory."""

import numpy as np
import pytest
import torch

from hmtl.data import normalize
from hmtl.data.normalizing import _normalize_by_torch

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def random_images(count: int, size: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def expected(images: torch.Tensor) -> torch.Tensor:
    """The definition, in float64."""
    mean, deviation = (torch.tensor(v, dtype=torch.float64) for v in (MEAN, DEVIATION))
    return (images.double() / 255 - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)


@pytest.mark.parametrize(("count", "size"), [(0, 8), (1, 1), (3, 33), (70, 40), (2, 500)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_every_type_holds_the_float32_values_rounded(count, size, dtype):
    images = random_images(count, size)
    floats = normalize(images)
    assert floats.dtype == torch.float32
    assert torch.allclose(floats.double(), expected(images), atol=1e-6)
    result = normalize(images, dtype=dtype)
    assert result.dtype == dtype
    assert torch.equal(result, floats.to(dtype))
    assert result.shape == images.shape
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert result.data_ptr() % 64 == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("layout", ["channels_last", "contiguous", "part", "every other"])
def test_given_memory_is_filled_and_returned_whatever_its_strides(dtype, layout):
    images = random_images(5, 24)
    whole = torch.full((10, 3, 24, 40), -77.0, dtype=dtype)
    if layout == "channels_last":
        whole = whole.contiguous(memory_format=torch.channels_last)
    out = {
        "channels_last": whole[:5, :, :, :24],
        "contiguous": torch.empty(5, 3, 24, 24, dtype=dtype),
        "part": whole[2:7, :, :, 8:32],
        "every other": whole[::2, :, :, :24],
    }[layout]
    before = whole.clone()
    assert normalize(images, out) is out
    assert torch.equal(out, normalize(images).to(dtype))
    out.fill_(-77.0)
    assert torch.equal(whole, before)


def test_images_of_any_strides_are_taken():
    images = random_images(4, 20)
    plain = normalize(images)
    assert torch.equal(normalize(images.contiguous()), plain)
    assert torch.equal(normalize(images[:, :, ::2, 3:]), plain[:, :, ::2, 3:])
    assert torch.equal(normalize(images.flip(-1)), plain.flip(-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("given", [False, True])
def test_torchs_operator_gives_the_same_values_to_a_rounding(dtype, given):
    """What devices without a kernel of ours do, here on the CPU."""
    images = random_images(3, 40)
    out = torch.empty(3, 3, 40, 40, dtype=dtype) if given else None
    result = _normalize_by_torch(images, out, dtype)
    assert result.dtype == dtype
    assert result is out or result.is_contiguous(memory_format=torch.channels_last)
    ours = normalize(images, dtype=dtype)
    step = torch.finfo(dtype).eps if dtype.itemsize == 2 else 0.0
    assert torch.allclose(result.double(), ours.double(), atol=1e-6, rtol=step)
    # A product and a sum that are rounded in between may fall to the other side of a middle.
    assert (result == ours).double().mean() > (0.99 if dtype.itemsize == 2 else 0.3)


def test_torchs_operator_takes_memory_of_any_strides():
    images = random_images(4, 20)
    out = torch.full((4, 3, 20, 40), -77.0, dtype=torch.bfloat16)
    _normalize_by_torch(images.contiguous(), out[..., ::2], torch.bfloat16)
    assert torch.allclose(out[..., ::2].float(), normalize(images), atol=0.02)
    assert (out[..., 1::2] == -77.0).all()


def test_fresh_results_do_not_share_memory():
    images = random_images(8, 224)
    first = normalize(images)
    kept = first.clone()
    normalize(255 - images)
    assert torch.equal(first, kept)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (torch.zeros(2, 3, 4, 4), {}, r"images must be uint8 \(N, 3, H, W\), got torch.float32"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), {}, r"images must be uint8 .* \(2, 4, 4\)"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), {}, "images must be uint8"),
        (None, {"out": torch.empty(1)}, r"out must be \(2, 3, 4, 4\) on cpu, got \(1,\) on cpu"),
        (None, {"out": torch.empty(2, 4, 4, 3)}, r"out must be \(2, 3, 4, 4\)"),
        (None, {"out": torch.empty(2, 3, 4, 4, device="meta")}, "on cpu, got .* on meta"),
        (None, {"out": torch.empty(2, 3, 4, 4, dtype=torch.uint8)}, "floating-point, got torch.u"),
        (None, {"dtype": torch.int32}, "must be floating-point, got torch.int32"),
        (
            None,
            {"out": torch.empty(2, 3, 4, 4), "dtype": torch.float16},
            "out must be of the dtype asked for, torch.float16, got torch.float32",
        ),
        (None, {"out": torch.empty(2, 3, 4, 4, requires_grad=True)}, "out must not require grad"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_rule(images, options, message):
    if images is None:
        images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match=message):
        normalize(images, **options)
