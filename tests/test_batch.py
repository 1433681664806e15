"""A batch as a whole: moved, copied into another, its labels by name."""

from dataclasses import replace

import pytest
import torch

from hmtl.data import Batch


def random_batch(seed: int, *, count: int = 4, views: int = 2, turns: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randint(0, 256, shape, generator=generator)

    pixels = [numbers(count, 6, 6, 3).to(torch.uint8) for _ in range(views)]
    return Batch(
        views=tuple(view.permute(0, 3, 1, 2) for view in pixels),
        pose=numbers(count, 3).float(),
        permutation=numbers(count, views, 9),
        turns=numbers(count, views, 9) if turns else None,
        index=numbers(count),
        valid=numbers(count) > 100,
        puzzled=numbers(count) > 100,
    )


def contents(batch: Batch) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in (*batch.views, *batch.labels().values())]


def test_labels_are_what_there_is_beside_the_images() -> None:
    names = ["pose", "permutation", "turns", "index", "valid", "puzzled"]
    assert list(random_batch(0, turns=True).labels()) == names
    assert list(random_batch(0).labels()) == [name for name in names if name != "turns"]
    batch = random_batch(0)
    assert all(label is getattr(batch, name) for name, label in batch.labels().items())


def test_a_batch_copied_into_another_overwrites_all_of_it_in_place() -> None:
    one, other = random_batch(1, turns=True), random_batch(2, turns=True)
    wanted, places = contents(one), [tensor.data_ptr() for tensor in other.views]
    one.copy_into(other)
    assert all(map(torch.equal, contents(other), wanted))
    assert all(map(torch.equal, contents(one), wanted))
    assert [tensor.data_ptr() for tensor in other.views] == places


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (random_batch(2, count=3), r"'pose': \(3, 3\)"),
        (random_batch(2, views=1), r"'permutation': \(4, 1, 9\)"),
        (random_batch(2, turns=True), "turns"),
        (replace(random_batch(2), permutation=None), "permutation"),
    ],
)
def test_a_batch_of_other_tensors_is_refused_before_anything_is_written(
    other: Batch, what: str
) -> None:
    before = contents(other)
    with pytest.raises(ValueError, match=f"a batch of .*{what}"):
        random_batch(1).copy_into(other)
    assert all(map(torch.equal, contents(other), before))


def test_to_keeps_what_is_missing_and_where_memory_lies() -> None:
    batch = random_batch(3)
    same = batch.to("cpu")
    assert same.turns is None
    assert all(map(torch.equal, contents(same), contents(batch)))
    assert batch.to("meta").images.stride() == batch.images.stride()
