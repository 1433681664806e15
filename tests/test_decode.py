"""Decoding of JPEG, against Pillow where it reads the same."""

import io
import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from pictures import (
    JPEG,
    assert_covers,
    assert_same_samples,
    decode,
    exif,
    failure,
    pillow_rgb,
    rgb,
    scene,
)
from PIL import Image

from hmtl import _core


def jpeg(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **{"quality": 85, **options})
    return stream.getvalue()


def with_sampling(data: bytes, luma: int) -> bytes:
    """Replace the luma sampling factors in the header; the blocks stay where they are."""
    at = data.index(b"\xff\xc0")
    return data[: at + 11] + bytes([luma]) + data[at + 12 :]


def with_adobe_transform(data: bytes, transform: int) -> bytes:
    at = data.index(b"Adobe")
    return data[: at + 11] + bytes([transform]) + data[at + 12 :]


def with_segment(data: bytes, marker: int, payload: bytes) -> bytes:
    """Insert a marker segment behind SOI."""
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + data[2:]


def with_size(data: bytes, height: int, width: int) -> bytes:
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def jpeg_kinds() -> dict[str, bytes]:
    odd, even = scene(53, 45), scene(64, 64)
    cmyk = jpeg(odd.convert("CMYK"))
    return {
        "4:4:4": jpeg(odd, subsampling=0),
        "4:2:2": jpeg(odd, subsampling=1),
        "4:2:0": jpeg(odd, subsampling=2),
        "4:2:0 restarts": jpeg(odd, subsampling=2, restart_marker_blocks=2),
        "4:4:0": with_sampling(jpeg(scene(48, 48), subsampling=1), 0x12),
        "4:1:1": with_sampling(jpeg(even, subsampling=2), 0x41),
        "4:1:0": with_sampling(jpeg(even, subsampling=2), 0x14),
        "progressive": jpeg(odd, progressive=True),
        "progressive 4:4:4": jpeg(odd, progressive=True, subsampling=0),
        "grey": jpeg(odd.convert("L")),
        "grey 2x2": with_sampling(jpeg(odd.convert("L")), 0x22),
        "RGB": jpeg(odd, keep_rgb=True),
        "CMYK": cmyk,
        "YCCK": with_adobe_transform(cmyk, 2),
        "narrow": jpeg(scene(37, 3), subsampling=2),
        "flat": jpeg(scene(1, 41), subsampling=2),
        "one pixel": jpeg(scene(1, 1), subsampling=2),
    }


KINDS = jpeg_kinds()
PLANAR = {
    "4:4:4": (1, 1),
    "4:2:2": (2, 1),
    **dict.fromkeys(["4:2:0", "4:2:0 restarts", "narrow", "flat", "one pixel"], (2, 2)),
}


def pillow_ycc(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    image.draft("YCbCr", None)
    return np.asarray(image)


def upsample(plane: np.ndarray, h: int, v: int) -> np.ndarray:
    """Return libjpeg's smooth upsampling of (H, W) by h × v = 1 × 1, 2 × 1 or 2 × 2."""
    wide = plane.astype(int)
    if v == 2:
        padded = np.pad(wide, ((1, 1), (0, 0)), "edge")
        near = 3 * wide
        wide = np.stack([near + padded[:-2], near + padded[2:]], 1).reshape(-1, wide.shape[1])
    if h == 2:
        padded = np.pad(wide, ((0, 0), (1, 1)), "edge")
        left = 3 * wide + padded[:, :-2] + (8 if v == 2 else 1)
        right = 3 * wide + padded[:, 2:] + (7 if v == 2 else 2)
        wide = np.stack([left, right], 2).reshape(len(wide), -1) >> (2 * v)
    return wide


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_jpeg_equals_pillow(kind: str) -> None:
    picture = decode(KINDS[kind])

    expected = pillow_rgb(KINDS[kind])
    assert np.array_equal(rgb(picture), expected)
    assert (picture["height"], picture["width"]) == expected.shape[:2]
    assert picture["warnings"] == 0


def test_cmyk_without_adobe_marker_equals_pillow() -> None:
    data = KINDS["CMYK"].replace(b"Adobe", b"Other")

    assert np.array_equal(rgb(decode(data)), pillow_rgb(data))


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_region_equals_the_whole_there(kind: str, planes: bool) -> None:
    whole = decode(KINDS[kind], planes=planes)
    rng = np.random.default_rng(1)
    height, width = whole["height"], whole["width"]
    for _ in range(120):
        x0, x1 = np.sort(rng.uniform(-9, width + 9, 2))
        y0, y1 = np.sort(rng.uniform(-9, height + 9, 2))
        part = decode(KINDS[kind], planes=planes, region=(x0, y0, x1, y1), margin=2)
        assert_same_samples(part, whole)
        if x0 < width and y0 < height and x1 > 0 and y1 > 0:
            for plane in part["planes"]:
                assert_covers(plane, (x0, y0, x1, y1), 2)


@pytest.mark.parametrize("kind", ["4:2:0", "4:2:2", "4:4:4", "4:4:0", "4:1:1", "4:2:0 restarts"])
def test_every_first_row_and_column_of_a_crop_is_exact(kind: str) -> None:
    whole = decode(KINDS[kind])
    for y, x in [(y, (7 * y) % 40) for y in range(48)] + [(5, x) for x in range(45)]:
        part = decode(KINDS[kind], region=(x, y, x + 1, y + 1), margin=0)
        assert part["planes"][0]["pixels"].shape == (1, 1, 3)
        assert_same_samples(part, whole)


@pytest.mark.parametrize("kind", PLANAR)
def test_planes_are_those_in_the_file(kind: str) -> None:
    h, v = PLANAR[kind]
    picture = decode(KINDS[kind], planes=True)

    expected = pillow_ycc(KINDS[kind])
    height, width = expected.shape[:2]
    assert picture["space"] == "ycc"
    for index, plane in enumerate(picture["planes"]):
        x, y = (1, 1) if index == 0 else (h, v)
        assert (plane["scale_x"], plane["scale_y"]) == (1 / x, 1 / y)
        assert plane["pixels"].shape == (-(-height // y), -(-width // x), 1)
        assert (plane["full_height"], plane["full_width"]) == plane["pixels"].shape[:2]
    assert np.array_equal(picture["planes"][0]["pixels"][..., 0], expected[..., 0])
    if kind in ("narrow", "flat", "one pixel"):  # libjpeg upsamples so few columns otherwise
        return
    for index in (1, 2):
        full = upsample(picture["planes"][index]["pixels"][..., 0], h, v)[:height, :width]
        assert np.array_equal(full, expected[..., index])


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(PLANAR)))
def test_other_jpegs_come_as_rgb_where_planes_are_asked_for(kind: str) -> None:
    picture = decode(KINDS[kind], planes=True)

    assert np.array_equal(rgb(picture), pillow_rgb(KINDS[kind]))


@pytest.mark.parametrize(
    ("pixels", "denominator"),
    [(40, 8), (32, 8), (31.9, 4), (16, 4), (15.9, 2), (8, 2), (7, 1), (0, 1)],
)
def test_the_transform_is_scaled_where_four_pixels_remain(pixels: float, denominator: int) -> None:
    data = jpeg(scene(259, 261), subsampling=2)

    whole = decode(data, pixels_per_output=pixels, planes=True)
    part = decode(data, pixels_per_output=pixels, planes=True, region=(1, 1.5, 257, 258))

    plane = part["planes"][0]
    assert (plane["scale_x"], plane["scale_y"]) == (1 / denominator, 1 / denominator)
    assert (plane["full_height"], plane["full_width"]) == (
        -(-259 // denominator),
        -(-261 // denominator),
    )
    assert whole["space"] == part["space"] == ("rgb" if denominator > 1 else "ycc")
    if denominator > 1:
        assert_same_samples(part, decode(data, pixels_per_output=4 * denominator))
        reduced = np.asarray(scene(259, 261).reduce(denominator), dtype=int)
        assert np.abs(rgb(part)[:20, :20] - reduced[:20, :20]).mean() < 6


def test_scaled_crops_equal_the_whole_scaled_picture() -> None:
    data = jpeg(scene(259, 261), subsampling=2)
    rng = np.random.default_rng(2)
    for _ in range(60):
        x, y = rng.integers(0, 190, 2)
        part = decode(data, region=(x, y, x + 64, y + 70), pixels_per_output=8)
        assert part["planes"][0]["scale_x"] == 0.5
        assert_same_samples(part, decode(data, pixels_per_output=8))
        assert_covers(part["planes"][0], (x, y, x + 64, y + 70), 2)


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("kind", ["4:2:0", "4:2:0 restarts", "progressive", "grey", "CMYK"])
def test_a_truncated_jpeg_is_an_error_or_exact(kind: str, planes: bool) -> None:
    data = KINDS[kind]
    whole = decode(data, planes=planes)
    errors = 0
    for length in range(0, len(data), 7):
        message = failure(data[:length], planes=planes)
        if message is None:
            assert_same_samples(decode(data[:length], planes=planes), whole)
        else:
            errors += 1
            assert f"folder/a.file ({length:,} bytes)" in message
    assert errors >= len(data) // 7 - 1


def test_rows_above_the_cut_of_a_truncated_jpeg_can_be_had() -> None:
    data = jpeg(scene(450, 450), subsampling=2)
    cut = data[: len(data) * 3 // 4]

    part = decode(cut, region=(100, 20, 200, 200))

    assert_same_samples(part, decode(data))
    with pytest.raises(
        _core.DecodeError, match=r"^truncated JPEG, the data ends in row 3\d\d of 450: "
    ):
        decode(cut, region=(100, 20, 200, 440))


def test_a_jpeg_without_its_end_marker_is_read() -> None:
    data = KINDS["4:2:0"]

    assert np.array_equal(rgb(decode(data[:-2])), pillow_rgb(data))


def test_an_end_marker_amid_the_rows_is_an_error() -> None:
    data = KINDS["4:2:0"]
    cut = data[: len(data) - 120] + b"\xff\xd9"

    with pytest.raises(_core.DecodeError, match="truncated JPEG, the data ends in row"):
        decode(cut)


def test_a_stray_marker_amid_the_rows_is_an_error() -> None:
    data = KINDS["4:2:0"]
    broken = data[:-120] + b"\xff\xc4" + data[-118:]

    with pytest.raises(
        _core.DecodeError, match="broken JPEG, a stray marker cuts the data off in row"
    ):
        decode(broken)


def test_decoder_warnings_are_counted_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    data = KINDS["4:2:0"]
    at = data.index(b"\xff\xc0")
    padded = data[:at] + b"garbage" + data[at:]

    picture = decode(padded)

    assert picture["warnings"] == 1
    assert "extraneous bytes" in picture["first_warning"]
    assert np.array_equal(rgb(picture), pillow_rgb(data))
    assert capfd.readouterr() == ("", "")


def test_a_lost_restart_interval_is_counted_as_a_warning() -> None:
    data = KINDS["4:2:0 restarts"]
    first, second = data.index(b"\xff\xd1"), data.index(b"\xff\xd2")

    picture = decode(data[: first + 4] + data[second:])

    assert picture["warnings"] > 0


@pytest.mark.parametrize("data", [b"", b"\xff", b"hello", bytes(100), KINDS["4:2:0"][1:]])
def test_what_is_no_jpeg_is_named(data: bytes) -> None:
    message = rf"^not a JPEG \(no SOI marker\): folder/a.file \({len(data):,} bytes\)$"
    with pytest.raises(_core.DecodeError, match=message):
        decode(data)


def test_too_many_pixels_are_refused_before_they_are_allocated() -> None:
    bomb = with_size(KINDS["4:2:0"], 60_000, 60_000)
    message = (
        "^image has 60,000 × 60,000 pixels, more than max_pixels = 100,000,000: folder/a.file$"
    )
    with pytest.raises(_core.DecodeError, match=message):
        decode(bomb)
    with pytest.raises(_core.DecodeError, match="53 × 45 pixels, more than max_pixels = 2,384"):
        decode(KINDS["4:2:0"], max_pixels=53 * 45 - 1)
    assert decode(KINDS["4:2:0"], max_pixels=53 * 45)["height"] == 53


def test_a_progressive_jpeg_with_very_many_scans_is_refused() -> None:
    data = KINDS["progressive 4:4:4"]
    last = data.rindex(b"\xff\xda")
    bomb = data[:-2] + data[last:-2] * 600 + b"\xff\xd9"

    with pytest.raises(_core.DecodeError, match=r"^invalid JPEG \(more than 500 scans\): "):
        decode(bomb)


def test_twelve_bit_samples_are_refused() -> None:
    at = KINDS["4:2:0"].index(b"\xff\xc0")
    data = KINDS["4:2:0"][: at + 4] + b"\x0c" + KINDS["4:2:0"][at + 5 :]

    with pytest.raises(_core.DecodeError, match="12"):
        decode(data)


@pytest.mark.parametrize(("order", "kind"), [*product("<>", (1, 3, 4))])
def test_turned_pictures_are_refused_unless_exif_is_ignored(order: str, kind: int) -> None:
    plain = KINDS["4:2:0"]
    turned = with_segment(plain, 0xE1, b"Exif\0\0" + exif(6, order, kind))
    upright = with_segment(plain, 0xE1, b"Exif\0\0" + exif(1, order, kind))

    with pytest.raises(_core.DecodeError, match="EXIF orientation is 6, only 1 is read"):
        decode(turned)
    assert np.array_equal(rgb(decode(upright)), pillow_rgb(plain))
    assert np.array_equal(rgb(decode(turned, ignore_exif=True)), pillow_rgb(plain))


def test_hostile_exif_is_harmless() -> None:
    rng = np.random.default_rng(3)
    plain = KINDS["one pixel"]
    blocks = [exif(6)[:length] for length in range(len(exif(6)))]
    blocks += [
        b"II*\0" + struct.pack("<I", offset) for offset in (0, 7, 8, 9, 0xFFFFFFFF, 0x7FFFFFFF)
    ]
    blocks += [b"MM\0*" + struct.pack(">IH", 8, 0xFFFF) + bytes(12 * n) for n in range(4)]
    for _ in range(300):
        block = bytearray(exif(1, rng.choice(["<", ">"])))
        block[rng.integers(len(block))] = rng.integers(256)
        blocks.append(bytes(block))
    for block in blocks:
        for payload in (b"Exif\0\0" + block, b"Exif\0" + block, block):
            message = failure(with_segment(plain, 0xE1, payload))
            assert message is None or "EXIF orientation" in message


@pytest.mark.parametrize("kind", ["4:2:0", "4:2:0 restarts", "progressive", "grey", "CMYK"])
def test_damaged_jpegs_never_crash(kind: str) -> None:
    rng = np.random.default_rng(4)
    for _ in range(150):
        data = bytearray(KINDS[kind])
        for at in rng.integers(2, len(data), rng.integers(1, 4)):
            data[at] = rng.integers(256)
        region = None if rng.random() < 0.5 else (5.5, 7.5, 30, 40)
        options = {"planes": bool(rng.integers(2)), "region": region}
        if failure(bytes(data), **options) is None:
            assert decode(bytes(data), **options)["height"] > 0


@pytest.mark.parametrize("region", [(np.nan, 0, 1, 1), (0, 0, np.inf, 1)])
def test_a_region_that_is_not_finite_is_refused(region: tuple) -> None:
    with pytest.raises(ValueError, match="region must be finite"):
        decode(KINDS["4:2:0"], region=region)


@pytest.mark.parametrize(
    "region", [(-50, -50, -20, -20), (1e30, 1e30, 2e30, 2e30), (20, 20, 10, 10)]
)
@pytest.mark.parametrize("planes", [False, True])
def test_a_region_without_pixels_gives_samples_that_are_true(region: tuple, planes: bool) -> None:
    part = decode(KINDS["4:2:0"], region=region, planes=planes)

    assert_same_samples(part, decode(KINDS["4:2:0"], planes=planes))


def test_unknown_codecs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"codec must be in \[0, 5\], got 6 for folder/a.file"):
        decode(KINDS["4:2:0"], 6)


def test_names_may_hold_anything() -> None:
    with pytest.raises(_core.DecodeError, match=r"^not a JPEG .*: a.b .0 bytes.$"):
        _core.decode(data=b"", codec=JPEG, name="a\nb")
    with pytest.raises(_core.DecodeError, match="not a JPEG") as caught:
        _core.decode(data=b"", codec=JPEG, name=b"\xff.jpg")
    assert "\udcff.jpg" in str(caught.value)


@pytest.mark.data
def test_real_jpegs_equal_pillow(realdata: Path) -> None:
    for path in sorted(realdata.rglob("*.jpg")):
        data = path.read_bytes()
        assert np.array_equal(rgb(decode(data)), pillow_rgb(data))
        ycc = decode(data, planes=True)
        assert np.array_equal(ycc["planes"][0]["pixels"][..., 0], pillow_ycc(data)[..., 0])
        assert_same_samples(decode(data, region=(61, 62, 333, 344)), decode(data))
