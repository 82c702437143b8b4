"""Which images are nearly equal? A perceptual hash finds candidates, and a correlation of pixels confirms them.

Two photos of one kind of thing, such as two pairs of trousers on white, correlate highly, and so do not stand out. What
does stand out is measured in three steps.

1. An image becomes a thumbnail, of 28x28 pixels in grey or 10x10 in colour at most, and this a vector of length 1
   without brightness and contrast.
2. The vectors are whitened: along each direction they are divided by how much the images of this set vary along it, so
   that what they all have in common counts little. The variances are those of at most 10,000 images, shrunk towards
   white noise as if as many images of that as a vector has numbers were among them.
3. Two images are nearly equal if their distance in this space is well below that to other images, as in the ratio test
   of Lowe (IJCV 60, 2004, section 7.1): its square at most a fifth of the square to the fifth nearest of 2,000 images
   of the set. Of vectors of length 1 that square is 2 - 2 correlation, so pairs that correlate by less than 0.8 never
   are. Images that correlate by more with one of the two do not count among those 2,000: they may be nearly equal too.

Candidates are images whose hashes agree in some bits chosen at random, in one of 48 choices (bit sampling: Indyk,
Motwani, STOC 1998). A bit of the hash is the sign of the vector along one of the 64 directions in which the set varies
most: a pHash, with the set's own directions in place of those of a cosine transform. On Fashion-MNIST and CIFAR-10 that
finds 99 and 98 % of the pairs that a comparison of all with all does. Among few images all are compared with all.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import BFloat16, Float, Int64, UInt8
from torch import Tensor

SIDES = {1: 28}  # pixels a side, of a thumbnail of so many channels
SIDE = 10  # of one of other channels
FEW = 2_000  # images, of which all are compared with all
SAMPLE = 10_000  # images, of which the variances are computed
OTHERS = 2_000  # images, to which the distances are computed
NEAREST = 5  # of those, the one whose distance counts
RATIO = 0.2  # of the squares of the distances
ALIKE = 1 - RATIO  # correlation that nearly equal images have at least
BITS = 64  # of a hash
TABLES = 48  # choices of bits
DIFFERENT = 14  # bits that the hashes of nearly equal images may differ in
CROWD = 5  # pairs for each image, on average, of which no more are looked at for each choice
LEADING = 128  # directions, in which candidates are compared first
PAIRS = 100_000  # that are returned
STEP = 2_000  # images or pairs at a time


class NearPairs(NamedTuple):
    """Pairs of nearly equal images, the most alike ones first; `first` < `second` are positions.

    `complete` is False where there may be more, since too many images are too much alike to compare all with all.
    """

    first: Int64[np.ndarray, "pairs"]
    second: Int64[np.ndarray, "pairs"]
    correlation: Float[np.ndarray, "pairs"]
    complete: bool


def thumbnails_of(images: UInt8[Tensor, "images channels height width"]) -> UInt8[Tensor, "images numbers"]:
    """Return the pixels of each image's thumbnail, which are means over areas; equal images have equal ones."""
    side = SIDES.get(images.shape[1], SIDE)
    rows, columns = (max(1, pixels // (4 * side)) for pixels in images.shape[2:])
    pixels = images[:, :, ::rows, ::columns].float()  # a mean needs no more of them
    height, width = (min(side, pixels) for pixels in pixels.shape[2:])
    if pixels.shape[2:] != (height, width):
        pixels = F.adaptive_avg_pool2d(pixels, (height, width)).round()
    return pixels.flatten(1).byte()


def near_pairs(thumbnails: UInt8[Tensor, "images numbers"]) -> NearPairs:
    """Return the pairs of nearly equal images, by their thumbnails; none where they have fewer than 64 values."""
    count, numbers = thumbnails.shape
    if count < 2 or numbers < BITS:
        none = np.empty(0, dtype=np.int64)
        return NearPairs(none, none, np.empty(0), complete=True)
    space = _find_space(thumbnails[:: max(1, -(-count // SAMPLE))])
    first, second, complete = (
        _all_pairs(space.whiten(thumbnails)) if count <= FEW else _candidates(space.hashes(thumbnails))
    )
    wanted = np.unique(np.concatenate([first, second]))
    whitened = space.whiten(thumbnails[wanted])
    first, second = np.searchsorted(wanted, first), np.searchsorted(wanted, second)
    correlation = np.empty(0)
    for numbers in (LEADING, whitened.shape[1]):  # most pairs are not alike in the first directions already
        correlation = _correlations(F.normalize(whitened[:, :numbers].float()), first, second)
        alike = correlation >= ALIKE
        first, second, correlation = first[alike], second[alike], correlation[alike]

    others = space.whiten(thumbnails[:: max(1, count // OTHERS)]).float()
    distance = np.empty(len(wanted), dtype=np.float32)
    for some in np.array_split(np.unique(np.concatenate([first, second])), 1 + 2 * len(first) // STEP):
        distance[some] = _distances(whitened[some].float(), others)
    found = np.flatnonzero(1 - correlation <= RATIO * np.minimum(distance[first], distance[second]))
    found = found[np.argsort(-correlation[found], kind="stable")]
    complete = complete and len(found) <= PAIRS
    found = found[:PAIRS]
    return NearPairs(wanted[first[found]], wanted[second[found]], correlation[found], complete)


# --- The space in which images are compared ---


class _Space(NamedTuple):
    """The directions in which the vectors of a set vary, those first in which most, and how each is scaled."""

    directions: Float[Tensor, "numbers numbers"]
    scales: Float[Tensor, "numbers"]

    def hashes(self, thumbnails: UInt8[Tensor, "images numbers"]) -> UInt8[np.ndarray, "images bytes"]:
        """Return the hash of each image, in bytes."""
        directions = self.directions[:, 1 : BITS + 1]  # along the first, all are on the same side
        signs = [_vectors(some) @ directions > 0 for some in thumbnails.split(STEP)]
        return np.packbits(torch.cat(signs).numpy(), axis=1)

    def whiten(self, thumbnails: UInt8[Tensor, "images numbers"]) -> BFloat16[Tensor, "images numbers"]:
        """Return the vectors in this space, to 8 bits as there may be many: a correlation is off by some 0.0001."""
        whitened = torch.empty(thumbnails.shape, dtype=torch.bfloat16)
        scaled = self.directions * self.scales
        for begin in range(0, len(thumbnails), STEP):
            some = slice(begin, begin + STEP)
            whitened[some] = F.normalize(_vectors(thumbnails[some]) @ scaled)
        return whitened


def _vectors(thumbnails: UInt8[Tensor, "images numbers"]) -> Float[Tensor, "images numbers"]:
    """Return vectors of length 1 without brightness; 0 for thumbnails of one value."""
    pixels = thumbnails.float()
    return F.normalize(pixels - pixels.mean(dim=1, keepdim=True))


def _find_space(sample: UInt8[Tensor, "images numbers"]) -> _Space:
    vectors = _vectors(sample)
    count, numbers = vectors.shape
    variances, directions = torch.linalg.eigh(vectors.T @ vectors / max(1, count))
    noise = variances.mean() * numbers / max(1, count) + torch.finfo(torch.float32).tiny
    return _Space(directions.flip(1), (variances.clamp(min=0) + noise).rsqrt().flip(0))


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
    """Return half the square of each vector's distance to the fifth nearest of the others."""
    correlation = vectors @ others.T
    correlation[correlation >= ALIKE] = 0
    return 1 - correlation.topk(min(NEAREST, len(others)), dim=1).values[:, -1].clamp(min=0).numpy()


# --- Candidates ---


def _all_pairs(
    whitened: BFloat16[Tensor, "images numbers"],
) -> tuple[Int64[np.ndarray, "pairs"], Int64[np.ndarray, "pairs"], bool]:
    """Return the pairs of images that are alike, and that none was left out."""
    vectors = whitened.float()
    found: list[Tensor] = []
    for begin in range(0, len(vectors), STEP):
        some = (vectors[begin : begin + STEP] @ vectors.T).triu(begin + 1)
        found.append((some >= ALIKE).nonzero() + torch.tensor([begin, 0]))
    first, second = torch.cat(found).numpy().T
    return first, second, True


def _candidates(
    hashes: UInt8[np.ndarray, "images bytes"],
) -> tuple[Int64[np.ndarray, "pairs"], Int64[np.ndarray, "pairs"], bool]:
    """Return the pairs of images whose hashes are much alike, each pair once, and whether none was left out."""
    count = len(hashes)
    bits = np.unpackbits(hashes, axis=1)
    chosen = min(bits.shape[1], 20, count.bit_length() - 1)  # so that few images have the same by chance
    ones = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)  # of each byte
    powers = 2.0 ** np.arange(chosen, dtype=np.float32)
    generator = np.random.RandomState(0)
    found: list[np.ndarray] = []
    complete = True
    for _ in range(TABLES):
        choice = bits[:, generator.permutation(bits.shape[1])[:chosen]]
        keys = choice.astype(np.float32) @ powers  # exact, and faster than integers
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        at, step, looked = np.arange(count), 0, 0
        while len(at) and looked < CROWD * count:  # neighbours first, then images that are two steps apart, and so on
            step += 1
            at = at[: np.searchsorted(at, count - step)]
            at = at[keys[at + step] == keys[at]]
            looked += len(at)
            first, second = order[at], order[at + step]  # ascending, as the order is stable
            alike = ones[hashes[first] ^ hashes[second]].sum(axis=1) <= DIFFERENT
            found.append(first[alike] * count + second[alike])
        complete = complete and len(at) == 0
    pairs = np.sort(np.concatenate(found))
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # faster than np.unique
    return pairs // count, pairs % count, complete
