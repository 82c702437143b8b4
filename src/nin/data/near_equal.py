"""Which images are nearly equal? A perceptual hash finds candidates, and a correlation of pixels confirms them.

Two photos of one thing, such as two trousers on white, correlate highly in most data sets, and so do not stand out. What
stands out is measured in three steps.

1. An image becomes a vector of its pixels, as many as 28x28 in grey or 12x12 in colour (means over areas), without its
   brightness and contrast: minus its mean, and divided by its length.
2. The vectors are whitened: along the directions in which the images of this set vary, each is scaled down by as much as
   they do, so that what all the images have in common counts little. Their second moment is that of at most 10,000
   images, shrunk towards white noise as if as many images of that as a vector has numbers had been seen too.
3. Two images are nearly equal if their distance in this space is well below that to other images, as in the ratio test
   of Lowe (IJCV 60, 2004, section 7.1): its square at most a fifth of the square to the fifth nearest of 2,000 images of
   the set. For whitened vectors of length 1, the square of a distance is 2 - 2 correlation, so pairs that correlate by
   less than 0.8 never are. Images by 0.8 or more, nearly equal themselves, do not count among those 2,000.

Candidates are images whose hashes agree in some bits chosen at random, of which there are 48 choices (bit sampling:
Indyk, Motwani, STOC 1998). Bit by bit, the hash is the sign of a vector along the 64 directions in which the set varies
most: a pHash with the set's own directions in place of those of a cosine transform.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import BFloat16, Float, Int64, UInt8
from torch import Tensor

SIDES = {1: 28}  # pixels a side, of an image of so many channels, that are compared
SIDE = 12  # of an image of other channels
SAMPLE = 10_000  # images, of which the second moment is computed
OTHERS = 2_000  # images, with which an image is compared to know how far others are
NEAREST = 5  # of those, the one whose distance counts
RATIO = 0.2  # of the squares of the distances
MOST_ALIKE = 1 - RATIO  # correlation that nearly equal images have at least
BITS = 64
TABLES = 48  # choices of bits
DIFFERENT = 14  # bits, in which the hashes of nearly equal images may differ
CROWD = 256  # images with the same chosen bits, each of which is compared with so many of the others
LEADING = 128  # directions, in which pairs are compared first
PAIRS = 100_000  # that are returned
STEP = 2_000  # images or pairs at a time

Read = Callable[[Int64[np.ndarray, "some"]], UInt8[Tensor, "some channels height width"]]


class NearPairs(NamedTuple):
    """Pairs of nearly equal images: `first` < `second` are positions, the most alike pair is the first.

    `complete` is False where there may be more, since too many images are too much alike to compare all with all.
    """

    first: Int64[np.ndarray, "pairs"]
    second: Int64[np.ndarray, "pairs"]
    correlation: Float[np.ndarray, "pairs"]
    complete: bool


class Space(NamedTuple):
    """The space in which the images of a set are compared, spanned by the directions in which they vary, most first."""

    directions: Float[Tensor, "numbers numbers"]
    scales: Float[Tensor, "numbers"]

    def hashes(self, vectors: Float[Tensor, "images numbers"]) -> UInt8[np.ndarray, "images bytes"]:
        """Return the 64 bits of each vector, in bytes."""
        # Without the first direction, in which the images differ from grey rather than from each other.
        return np.packbits((vectors @ self.directions[:, 1 : BITS + 1] > 0).numpy(), axis=1)

    def whiten(self, vectors: Float[Tensor, "images numbers"]) -> Float[Tensor, "images numbers"]:
        """Return the vectors in this space, of length 1; 0 for those of images of one colour."""
        return F.normalize(vectors @ (self.directions * self.scales))


def vectors_of(images: UInt8[Tensor, "images channels height width"]) -> Float[Tensor, "images numbers"]:
    """Return the pixels of each image as a vector of length 1 without brightness; 0 for images of one colour."""
    side = SIDES.get(images.shape[1], SIDE)
    height, width = (min(side, pixels) for pixels in images.shape[2:])
    pixels = images.float()
    if pixels.shape[2:] != (height, width):
        pixels = F.adaptive_avg_pool2d(pixels, (height, width))
    vectors = pixels.flatten(1)
    return F.normalize(vectors - vectors.mean(dim=1, keepdim=True))


def find_space(vectors: Float[Tensor, "images numbers"]) -> Space:
    """Return the space of images of which these vectors are a sample."""
    count, numbers = vectors.shape
    variances, directions = torch.linalg.eigh(vectors.T @ vectors / count)
    noise = numbers / count * variances.mean() + torch.finfo(torch.float32).tiny
    return Space(directions.flip(1), (variances.clamp(min=0) + noise).rsqrt().flip(0))


def near_pairs(
    positions: Int64[np.ndarray, "images"], hashes: UInt8[np.ndarray, "images bytes"], space: Space, read: Read
) -> NearPairs:
    """Return the pairs of nearly equal ones among the images at `positions`, all different, which `read` reads."""
    first, second, complete = _candidates(hashes)
    wanted = np.unique(np.concatenate([first, second]))
    whitened = _whitened(positions[wanted], space, read)
    first, second = np.searchsorted(wanted, first), np.searchsorted(wanted, second)
    for numbers in (LEADING, whitened.shape[1]):  # most are different enough in few directions
        correlation = _correlations(F.normalize(whitened[:, :numbers].float()), first, second)
        alike = correlation >= MOST_ALIKE
        first, second, correlation = first[alike], second[alike], correlation[alike]

    others = _whitened(positions[:: max(1, len(positions) // OTHERS)], space, read).float()
    distance = np.zeros(len(wanted), dtype=np.float32)
    for some in np.array_split(np.unique(np.concatenate([first, second])), 1 + len(first) // 1000):
        distance[some] = _distances(whitened[some].float(), others)
    near = 1 - correlation <= RATIO * np.minimum(distance[first], distance[second])
    found = np.flatnonzero(near)[np.argsort(-correlation[near], kind="stable")]
    complete = complete and len(found) <= PAIRS
    first, second, correlation = (values[found[:PAIRS]] for values in (first, second, correlation))
    return NearPairs(positions[wanted[first]], positions[wanted[second]], correlation, complete)


def _whitened(positions: Int64[np.ndarray, "some"], space: Space, read: Read) -> BFloat16[Tensor, "some numbers"]:
    """Return images in the space, to 8 bits, as there may be many; a correlation is off by about 0.0001 for it."""
    whitened = torch.empty(len(positions), len(space.scales), dtype=torch.bfloat16)
    for begin in range(0, len(positions), STEP):
        some = slice(begin, begin + STEP)
        whitened[some] = space.whiten(vectors_of(read(positions[some])))
    return whitened


def _correlations(
    vectors: Float[Tensor, "images numbers"], first: Int64[np.ndarray, "pairs"], second: Int64[np.ndarray, "pairs"]
) -> Float[np.ndarray, "pairs"]:
    correlations = np.empty(len(first), dtype=np.float32)
    for begin in range(0, len(first), STEP):
        some = slice(begin, begin + STEP)
        correlations[some] = (vectors[first[some]] * vectors[second[some]]).sum(dim=1).numpy()
    return correlations


def _distances(
    vectors: Float[Tensor, "some numbers"], others: Float[Tensor, "others numbers"]
) -> Float[np.ndarray, "some"]:
    """Return half the square of the distance of each vector to the fifth nearest of the others."""
    correlation = vectors @ others.T
    correlation[correlation >= MOST_ALIKE] = 0
    nearest = correlation.topk(min(NEAREST, len(others)), dim=1).values[:, -1]
    return (1 - nearest.clamp(min=0)).numpy()


def _candidates(
    hashes: UInt8[np.ndarray, "images bytes"],
) -> tuple[Int64[np.ndarray, "pairs"], Int64[np.ndarray, "pairs"], bool]:
    """Return the pairs of images whose hashes are much alike, each pair once, and whether none was left out."""
    count = len(hashes)
    bits = np.unpackbits(hashes, axis=1)
    chosen = min(bits.shape[1], max(4, min(20, count.bit_length())))  # so that few images have the same by chance
    ones = bits_of_bytes()
    generator = np.random.RandomState(0)
    found: list[np.ndarray] = []
    complete = True
    for _ in range(TABLES):
        choice = bits[:, generator.permutation(bits.shape[1])[:chosen]]
        keys = choice.astype(np.float32) @ (2.0 ** np.arange(chosen, dtype=np.float32))  # exact up to 24 bits
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        at, distance = np.arange(count), 0
        while len(at) and distance < CROWD:
            distance += 1
            at = at[: np.searchsorted(at, count - distance)]
            at = at[keys[at + distance] == keys[at]]
            first, second = order[at], order[at + distance]  # ascending, as the order is stable
            alike = ones[hashes[first] ^ hashes[second]].sum(axis=1) <= DIFFERENT
            found.append(first[alike] * count + second[alike])
        complete = complete and len(at) == 0
    pairs = np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # faster than np.unique
    return pairs // max(1, count), pairs % max(1, count), complete


def bits_of_bytes() -> UInt8[np.ndarray, "256"]:
    """Return how many bits are set in each byte."""
    return np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
