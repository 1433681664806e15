"""LZF streams, whole and hostile: the fast decoder, its plain twin, and a third one in Python."""

import re

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import scene

from hmtl import _core

MOST_LITERALS, MOST_LENGTH, MOST_DISTANCE = 32, 264, 8192
DECODERS = [_core.lzf_decode, _core.lzf_decode_plain]


class BadStreamError(Exception):
    """The stream does not give what it should."""


def reference(data: bytes, size: int) -> bytes:
    """Return what a stream holds, a byte at a time; raise BadStreamError."""
    out, stream = bytearray(), iter(data)
    try:
        while (first := next(stream, None)) is not None and len(out) <= size:
            if first < 32:
                out += bytes([next(stream) for _ in range(first + 1)])
                continue
            length = first // 32 if first < 7 * 32 else 7 + next(stream)
            distance = first % 32 * 256 + next(stream) + 1
            for _ in range(length + 2):
                out.append(out[-distance])
    except (StopIteration, IndexError):
        raise BadStreamError("truncated, or a reference before the start") from None
    if len(out) != size:
        raise BadStreamError("another size")
    return bytes(out)


def literals(data: bytes) -> bytes:
    return bytes([len(data) - 1]) + data


def repeat(length: int, distance: int) -> bytes:
    """Return the token that repeats `length` (3 … 264) bytes from `distance` (1 … 8192) back."""
    high, low = divmod(distance - 1, 256)
    if length - 2 < 7:
        return bytes([(length - 2) * 32 + high, low])
    return bytes([7 * 32 + high, length - 9, low])


def outcome(decoder: object, data: bytes, size: int) -> bytes | str:
    """Return the bytes, or the words of the error."""
    try:
        return decoder(data, size)
    except _core.DecodeError as error:
        return str(error)


def assert_all_agree(data: bytes, size: int) -> None:
    fast, plain = (outcome(decoder, data, size) for decoder in DECODERS)
    assert fast == plain
    try:
        expected = reference(data, size)
    except BadStreamError:
        assert isinstance(fast, str)
    else:
        assert fast == expected


def structured(rng: np.random.Generator, tokens: int, wild: float) -> tuple[bytes, int]:
    """Return a stream and its size; `wild` is how often a reference may be a wrong one."""
    parts, size = [literals(rng.bytes(3))], 3
    for _ in range(tokens):
        if rng.random() < 0.4:
            count = int(rng.choice([1, 2, 3, rng.integers(1, 33), 32]))
            parts.append(literals(rng.bytes(count)))
        else:
            count = int(rng.choice([3, 4, 8, rng.integers(3, 20), rng.integers(3, 265)]))
            most = MOST_DISTANCE if rng.random() < wild else min(size, MOST_DISTANCE)
            near = min(most, int(rng.choice([4, 20, MOST_DISTANCE])))
            parts.append(repeat(count, int(rng.integers(1, near + 1))))
        size += count
    return b"".join(parts), size


def h5py_chunk(array: np.ndarray) -> bytes:
    """Return `array` as h5py packs it; it must be compressible."""
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", data=array, chunks=array.shape, compression="lzf")
        mask, data = dataset.id.read_direct_chunk((0,) * array.ndim)
    assert mask == 0
    return data


@pytest.mark.parametrize("decoder", DECODERS)
def test_what_h5py_packs_is_unpacked(decoder: object) -> None:
    noise = np.random.default_rng(1).integers(0, 4, (97, 61, 3), dtype=np.uint8)
    for array in (
        np.asarray(scene(224, 224)) // 4,
        np.asarray(scene(97, 61)) // 16 + noise,
        np.zeros((300, 7, 3), np.uint8),
        np.arange(9, dtype=np.uint8).repeat(60),
    ):
        assert decoder(h5py_chunk(array), array.nbytes) == array.tobytes()


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("distance", [*range(1, 36), 255, 256, 257, 600])
def test_every_length_is_repeated_from_every_distance(decoder: object, distance: int) -> None:
    before = np.random.default_rng(distance).bytes(distance)
    head = b"".join(literals(before[i : i + 32]) for i in range(0, distance, 32))
    tail = literals(b"the end") * 60  # so that what is repeated lies in front of the slack
    for length in range(3, MOST_LENGTH + 1):
        data = head + repeat(length, distance) + tail
        expected = (before * (length + 1))[: distance + length] + b"the end" * 60
        assert decoder(data, len(expected)) == expected


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=1500), st.integers(0, 4000))
def test_random_bytes_end_alike_in_all_decoders(data: bytes, size: int) -> None:
    assert_all_agree(data, size)


@settings(deadline=None, max_examples=300)
@given(
    seed=st.integers(0, 2**32),
    tokens=st.integers(0, 150),
    wild=st.sampled_from([0.0, 0.0, 0.02]),
    cut=st.sampled_from([0, 0, 0, 1, 2, 3, 40]),
    off=st.sampled_from([0, 0, 0, -1, 1, -40, 300]),
)
def test_streams_of_tokens_end_alike_in_all_decoders(
    seed: int, tokens: int, wild: float, cut: int, off: int
) -> None:
    data, size = structured(np.random.default_rng(seed), tokens, wild)

    assert_all_agree(data[: len(data) - cut], max(0, size + off))


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 2**32), changes=st.integers(1, 4))
def test_damaged_streams_end_alike_in_all_decoders(seed: int, changes: int) -> None:
    rng = np.random.default_rng(seed)
    data, size = structured(rng, 100, 0.0)
    damaged = bytearray(data)
    for at in rng.integers(0, len(data), changes):
        damaged[at] = rng.integers(256)

    assert_all_agree(bytes(damaged), size)


FRONT = literals(bytes(range(32))) * 20
"""640 bytes, enough for the wide copies; a stream may be hostile behind it or without it."""


SIZE, TOKEN, START = "LZF of another size", "truncated LZF, .* a token", "broken LZF, .* the start"


@pytest.mark.parametrize("front", [b"", FRONT], ids=["short", "behind 640 bytes"])
@pytest.mark.parametrize(
    ("stream", "size", "words", "at", "found"),
    [
        (b"", 5, SIZE, None, 0),
        (literals(b"abcd"), 5, SIZE, None, 4),
        (literals(b"abcdef"), 5, SIZE, None, None),
        (literals(b"abcde") + literals(b"f"), 5, SIZE, None, None),
        (literals(b"abc") + repeat(3, 1), 5, SIZE, None, None),
        (literals(b"abcde") + repeat(264, 2), 5, SIZE, None, None),
        (literals(b"abcde")[:-1], 5, TOKEN, 0, 0),
        (literals(b"ab") + b"\x20", 5, TOKEN, 3, 2),
        (literals(b"ab") + b"\xe0", 99, TOKEN, 3, 2),
        (literals(b"ab") + b"\xe0\x01", 99, TOKEN, 3, 2),
        (literals(b"a") + repeat(4, 900), 5, START, 2, 1),
        (literals(b"a") + repeat(20, 900) + FRONT, 661, START, 2, 1),
    ],
)  # fmt: skip
def test_hostile_streams_are_named(
    front: bytes, stream: bytes, size: int, words: str, at: int | None, found: int | None
) -> None:
    behind = len(front) // 33 * 32
    token = "" if at is None else f", byte {at + len(front)}"
    gave = "more" if found is None else f"{found + behind} bytes"
    line = f"{words}{token}: expected {size + behind:,} bytes, found {gave}: data"
    length = len(front + stream)

    for decoder in DECODERS:
        with pytest.raises(_core.DecodeError, match=rf"^{line} \({length:,} bytes\)$"):
            decoder(front + stream, size + behind)


def test_a_reference_to_the_first_byte_is_the_farthest() -> None:
    data = FRONT + repeat(3, 640)
    assert _core.lzf_decode(data, 643)[-3:] == bytes([0, 1, 2])
    with pytest.raises(_core.DecodeError, match="before the start"):
        _core.lzf_decode(FRONT + repeat(3, 641) + FRONT, 643 + 640)


@pytest.mark.parametrize("decoder", DECODERS)
def test_nothing_gives_nothing(decoder: object) -> None:
    assert decoder(b"", 0) == b""
    assert re.match("LZF of another size", str(outcome(decoder, b"\x00a", 0)))
