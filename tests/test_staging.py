"""Labels as one block of bytes."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hmtl.data.staging import lay_out, tensors_in, write

TYPES = [torch.float32, torch.int64, torch.bool, torch.uint8, torch.float16]


@given(
    st.lists(
        st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 5), min_size=1, max_size=3)),
        min_size=1,
        max_size=7,
    )
)
def test_tensors_come_out_of_the_block_as_they_went_in(kinds) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randint(0, 2, shape, generator=generator).to(kind) for kind, shape in kinds]
    parts = lay_out(tensors)
    block = torch.full((parts[-1].end,), 255, dtype=torch.uint8)
    write(block, parts, tensors)
    found = tensors_in(block, parts)
    for before, after in zip(tensors, found, strict=True):
        assert after.dtype == before.dtype
        assert torch.equal(after, before)
    assert all(part.start % 8 == 0 for part in parts)
    assert all(a.end <= b.start for a, b in pairwise(parts))


def test_tensors_of_a_block_share_its_memory() -> None:
    parts = lay_out([torch.zeros(3, dtype=torch.bool), torch.zeros(2, 2)])
    block = torch.zeros(parts[-1].end, dtype=torch.uint8)
    tensors_in(block, parts)[1].fill_(1.0)
    assert block[8:].view(torch.float32).tolist() == [1.0] * 4


def test_strided_tensors_are_written_row_by_row() -> None:
    strided = torch.arange(12).view(3, 2, 2)[:, 0]
    parts = lay_out([strided])
    block = torch.zeros(parts[-1].end, dtype=torch.uint8)
    write(block, parts, [strided])
    assert torch.equal(tensors_in(block, parts)[0], strided)


def test_another_number_of_tensors_is_refused() -> None:
    parts = lay_out([torch.zeros(2)])
    with pytest.raises(ValueError, match="argument"):
        write(torch.zeros(8, dtype=torch.uint8), parts, [])
