"""The same picture more than once: copied, saved again, made smaller, cropped a little, turned or mirrored."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from evaluation.dataset import Item
from train.audit.findings import Finding, Kind, Severity
from train.audit.looks import HASH_BITS, THUMBNAIL_PX, Looks, OnProgress, poses

CANDIDATE_BITS = 40
"""Pairs whose hashes differ in no more bits are looked at closely. On strawberries nearly all copies lie below that
were saved again, halved, mirrored, turned, brightened or cropped by up to 5 %, a quarter of those cropped by up to
10 %, and 0.07 % of unrelated pairs."""
NEAREST = 3
"""Candidates for each picture at most, the nearest first, so that close looks grow with pictures and not with pairs."""
NOT_ALIKE = 0.6
"""Pictures that correlate less, blurred and unaligned, are not looked at closely. 105 copies of strawberries reached
0.72 and more."""
SAME_PICTURE = 0.98
"""Correlation after alignment from which two pictures are one. All 77 planted copies of strawberries that were
candidates reached it; of 736 candidate pairs from different groups 8 did, each the same photograph to the eye."""
PERHAPS_SAME = 0.9
LARGEST_WARP = 0.2
ROWS_AT_ONCE = 512
ECC_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 25, 1e-4)
ECC_SMOOTHING_PX = 3
UNALIGNED_BLUR_PX = 3


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs of pictures with similar hashes, `[M]` each: `first` < `second`, and the pose in which `first` fits."""

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    pose: npt.NDArray[np.int64]
    bits: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Clusters:
    """Pictures that are one picture.

    `near` joins copies of any kind, `exact` copies of the very file; both list places of pictures, two or more each.
    """

    near: tuple[tuple[int, ...], ...]
    exact: tuple[tuple[int, ...], ...]


def find_clusters(
    items: Sequence[Item], looks: Looks, on_progress: OnProgress = lambda _done, _total: None
) -> Clusters:
    """Find copies: by the file's hash, and where `looks` has perceptual hashes by these, confirmed by alignment."""
    by_hash: dict[tuple[str, object], list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        by_hash[item.sha256, item.box].append(place)
    exact = [places for places in by_hash.values() if len(places) > 1]
    # One picture stands for its exact copies.
    single = np.array([places[0] for places in by_hash.values()], np.int64)
    edges: list[tuple[int, int]] = []
    if len(looks.hashes):
        found = candidates(looks.hashes[single], on_progress)
        first, second = single[found.first], single[found.second]
        same = _confirmed(looks.thumbnails, first, second, found.pose)
        edges += [(int(a), int(b)) for a, b in zip(first[same], second[same], strict=True)]
    edges += [(places[0], other) for places in exact for other in places[1:]]
    return Clusters(near=tuple(_joined(edges)), exact=tuple(map(tuple, exact)))


def candidates(hashes: npt.NDArray[np.uint8], on_progress: OnProgress = lambda _done, _total: None) -> Candidates:
    """Pairs of pictures whose hashes differ in at most `CANDIDATE_BITS`, in any pose of one of them.

    The Hamming distance of all pairs is a product of matrices of +1 and -1, done in blocks: exact, with memory that
    grows with the pictures alone. 20,000 pictures take 10 s of one core. A tree or a table of parts of the hashes would
    have nothing to leave out: `CANDIDATE_BITS` is more than a quarter of all bits.

    Args:
        hashes: `[N, 8, bytes]` uint8, packed bits, as in `Looks`.
        on_progress: Told (done, N).
    """
    n = len(hashes)
    plain = _signs(hashes[:, 0])
    blocks: list[npt.NDArray[np.int64]] = []
    for start in range(0, n, ROWS_AT_ONCE):
        rows = hashes[start : start + ROWS_AT_ONCE]
        hits: list[npt.NDArray[np.int64]] = []
        for pose in range(rows.shape[1]):
            agreement = _signs(rows[:, pose]) @ plain[start:].T
            row, column = np.nonzero(agreement >= HASH_BITS - 2 * CANDIDATE_BITS)
            bits = (HASH_BITS - agreement[row, column]).astype(np.int64) // 2
            hits.append(np.stack([row + start, column + start, np.full(len(row), pose), bits], axis=1))
        blocks.append(_nearest(np.concatenate(hits)))
        on_progress(min(start + ROWS_AT_ONCE, n), n)
    pairs = np.concatenate(blocks) if blocks else np.empty((0, 4), np.int64)
    return Candidates(*pairs.T)


def joined_groups(items: Sequence[Item], clusters: Clusters) -> list[str]:
    """Each item's group, where groups that share a picture have become one (named after the first)."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[item.group].append(place)
    edges = [(members[0], other) for members in places.values() for other in members[1:]]
    edges += [(cluster[0], other) for cluster in clusters.near for other in cluster[1:]]
    groups = [item.group for item in items]
    for cluster in _joined(edges):
        for place in cluster:
            groups[place] = items[cluster[0]].group
    return groups


def duplicate_findings(items: Sequence[Item], clusters: Clusters) -> list[Finding]:
    """One finding for each thing wrong with a cluster; what rests on the very bytes is certain, the rest likely."""
    findings = []
    exact = set(clusters.exact)
    for cluster in (*clusters.exact, *(c for c in clusters.near if c not in exact)):
        labels = list(dict.fromkeys(items[place].label for place in cluster))
        groups = {items[place].group for place in cluster}
        certain = cluster in exact
        files = tuple(items[place].file for place in cluster)
        severity = Severity.SERIOUS if certain else Severity.WARNING
        copies = f"{len(cluster)} copies of one file" if certain else f"{len(cluster)} pictures are the same one"
        if len(labels) > 1:
            findings.append(
                Finding(
                    kind=Kind.CONTRADICTION,
                    severity=severity,
                    sentence=f"{copies}, under {' and '.join(labels)}.",
                    files=files,
                    score=len(cluster),
                )
            )
        if len(groups) > 1:
            findings.append(
                Finding(
                    kind=Kind.LEAK,
                    severity=severity,
                    sentence=f"{copies}, in {len(groups)} groups.",
                    files=files,
                    score=len(cluster),
                )
            )
        if len(labels) == 1 and len(groups) == 1:
            findings.append(
                Finding(
                    kind=Kind.DUPLICATE,
                    severity=Severity.NOTE,
                    sentence=f"{copies}.",
                    files=files,
                    score=len(cluster),
                )
            )
    return findings


def _signs(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.unpackbits(packed, axis=-1).astype(np.float32) * 2 - 1


def _nearest(hits: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of rows (first, second, pose, bits): each pair once, in its best pose, and the nearest few for each first."""
    hits = hits[hits[:, 0] < hits[:, 1]]
    hits = hits[np.lexsort((hits[:, 2], hits[:, 3], hits[:, 1], hits[:, 0]))]
    repeated = np.zeros(len(hits), bool)
    repeated[1:] = (hits[1:, :2] == hits[:-1, :2]).all(axis=1)
    hits = hits[~repeated]
    hits = hits[np.lexsort((hits[:, 1], hits[:, 3], hits[:, 0]))]
    _, begin, counts = np.unique(hits[:, 0], return_index=True, return_counts=True)
    rank = np.arange(len(hits)) - np.repeat(begin, counts)
    nearest: npt.NDArray[np.int64] = hits[rank < NEAREST]
    return nearest


def _confirmed(
    thumbnails: npt.NDArray[np.uint8],
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    pose: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    def same(pair: tuple[int, int, int]) -> bool:
        one, other, turned = pair
        posed = poses(thumbnails[one])[turned]
        if _unaligned(posed, thumbnails[other]) < NOT_ALIKE:
            return False
        # Of a picture and its cropped copy only the copy lies wholly inside the other: that way round they align best.
        found = likeness(posed, thumbnails[other])
        if PERHAPS_SAME <= found < SAME_PICTURE:
            found = likeness(thumbnails[other], posed)
        return found >= SAME_PICTURE

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.fromiter(pool.map(same, zip(first, second, pose, strict=True)), bool, len(first))


def _unaligned(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Correlation of two thumbnails as they lie, too blurred to mind small shifts; 0 for a blank one."""
    blurred = [cv2.GaussianBlur(picture, (0, 0), UNALIGNED_BLUR_PX).astype(np.float32) for picture in (one, other)]
    first, second = (picture - picture.mean() for picture in blurred)
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum()) / norm if norm else 0.0


def likeness(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Correlation of two thumbnails after the best small affine alignment, 0 where there is none.

    Enhanced correlation coefficient (Evangelidis & Psarakis, PAMI 30, 2008): blind to gain and offset, so that a copy
    that was made brighter is still one. An alignment that moves a corner far is no copy but another picture.
    """
    warp = np.eye(2, 3, dtype=np.float32)
    try:
        found, warp = cv2.findTransformECC(  # type: ignore[call-overload]
            one, other, warp, cv2.MOTION_AFFINE, ECC_STEPS, None, ECC_SMOOTHING_PX
        )
    except cv2.error:  # no alignment, or nothing to align
        return 0.0
    stretched = float(np.abs(warp[:, :2] - np.eye(2)).max())
    shifted = float(np.abs(warp[:, 2]).max()) / THUMBNAIL_PX
    return float(found) if max(stretched, shifted) <= LARGEST_WARP and np.isfinite(found) else 0.0


def _joined(edges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, ...]]:
    """Connected components of a graph, each sorted, in the order of their first members."""
    parent: dict[int, int] = {}

    def root(at: int) -> int:
        while parent.setdefault(at, at) != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for one, other in edges:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    members: dict[int, list[int]] = defaultdict(list)
    for at in sorted(parent):
        members[root(at)].append(at)
    yield from (tuple(some) for _, some in sorted(members.items()))
