"""Pictures that were decoded already: what the core knows of them."""

from hmtl import _core


def test_a_decoded_source_is_laid_out_as_the_core_reads_it():
    fields = _core.DECODED_SOURCE.fields
    assert fields is not None
    assert {name: (str(kind), offset) for name, (kind, offset, *_) in fields.items()} == {
        "pixels": ("uint64", 0),
        "stride": ("int64", 8),
        "height": ("int32", 16),
        "width": ("int32", 20),
        "top": ("int32", 24),
        "left": ("int32", 28),
        "full_height": ("int32", 32),
        "full_width": ("int32", 36),
        "denominator": ("int32", 40),
    }
    assert _core.DECODED_SOURCE.itemsize == 48
