"""The data layer: open a dataset, iterate over it with a Loader."""

from hmtl.data.augmentation import Augmentation
from hmtl.data.batch import Batch, normalize
from hmtl.data.dataset import Dataset, concat
from hmtl.data.loader import Loader
from hmtl.data.opening import open_dataset

__all__ = ["Augmentation", "Batch", "Dataset", "Loader", "concat", "normalize", "open_dataset"]
