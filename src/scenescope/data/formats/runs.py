"""Which pixels of a label map are connected: runs along the rows, joined where they touch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scenescope.labels import IGNORE

Labels = npt.NDArray[np.uint8]


class Runs:
    """The pixels of one label side by side in a row.

    Args:
        labels: H x W.

    Attributes:
        place: where each run begins, counted along the rows.
        length: its pixels.
        region: the number of its region, counted from 1 by their first pixels; 0 where it has no class.
        labels: the class of each region.
    """

    def __init__(self, labels: Labels) -> None:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        self.shape = labels.shape
        begins = np.ones(labels.shape, bool)
        begins[:, 1:] = labels[:, 1:] != labels[:, :-1]
        self.place = np.flatnonzero(begins)
        self.length = np.diff(self.place, append=labels.size)
        # Runs touch where a pixel is the same as the one below it; the first such pixel tells of each pair of runs.
        same = labels[1:] == labels[:-1]
        first = same & (begins[1:] | begins[:-1])
        run = np.cumsum(begins, dtype=np.int32) - 1
        upper = np.flatnonzero(first)
        touching = (np.ones(len(upper), np.int8), (run[upper], run[upper + labels.shape[1]]))
        _, numbered = connected_components(coo_array(touching, (len(self.place),) * 2), directed=False)
        of_run = labels.reshape(-1)[self.place]
        kept = of_run != IGNORE
        _, firsts, compact = np.unique(numbered[kept], return_index=True, return_inverse=True)
        rank = np.empty(len(firsts), np.int32)
        rank[np.argsort(firsts)] = np.arange(1, len(firsts) + 1)
        self.region = np.zeros(len(self.place), np.int32)
        self.region[kept] = rank[compact]
        self.labels = of_run[kept][np.sort(firsts)]

    def sum(self, values: npt.NDArray[np.number]) -> npt.NDArray[np.float64]:
        """Return the sum of a value of each run over each region."""
        return np.bincount(self.region, values, len(self.labels) + 1)[1:].astype(np.float64, copy=False)

    def sizes(self) -> npt.NDArray[np.int64]:
        """Return the pixels of each region."""
        return self.sum(self.length).astype(np.int64)

    def areas(self) -> npt.NDArray[np.int32]:
        """Return H x W, the number of the region of each pixel, 0 for none."""
        return np.repeat(self.region, self.length).reshape(self.shape)
