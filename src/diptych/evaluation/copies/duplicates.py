"""Generated images that are training images: to the byte, and to the eye of a perceptual hash.

The perceptual hash (pHash) keeps of an image only whether each of its lowest spatial frequencies
lies above their median: the grey image is brought to 32 × 32, its DCT-II is taken, and of the
F × F lowest coefficients all but the mean brightness give one bit. Noise, brightness, contrast
and rescaling leave most bits as they are; a flip or a crop does not. Images without structure
have bits made of noise, so flat images are told apart and never matched.

F = 8 is the classic hash for photographs. Small simple images have too little variety for it: of
Fashion-MNIST's test images more than 1 % share its 63 bits with some training image. So F is 16
here, where the images are that large, and the bits that may differ are calibrated on real ones.

Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"
(thesis, Upper Austria University of Applied Sciences), section 3.2.1: the DCT hash.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from diptych.errors import DataError
from diptych.evaluation.quantise import to_bytes
from diptych.training.machine import cpu_has_bf16

__all__ = [
    "FREQUENCIES",
    "Duplicates",
    "calibrated_hamming",
    "duplicates_of_hashes",
    "exact_duplicates",
    "fewest_differing",
    "hamming_nearest",
    "perceptual_duplicates",
    "perceptual_hash",
]

SIZE = 32  # of the grey image
FREQUENCIES = 16
"""How many of the lowest spatial frequencies are kept each way, where images are as large."""
FLAT = 2.0
"""Grey levels of 255 of standard deviation below which an image is flat."""
BLOCK = 1024
ROWS = 256  # of the matrix of agreements held at once
EXACT = 256
"""Whole numbers up to this are exact in bfloat16."""


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Generated items that were found in the training set, each with its nearest one there.

    Attributes:
        pairs: int64 (P, 2), index of the generated and of the training item, the closest first.
        distance: int64 (P,), differing bits of the hashes, 0 for exact duplicates.
        found: bool (N,), which generated items have a pair.
        flat: bool (N,), generated images too flat for a hash; none for exact duplicates.
    """

    pairs: Tensor
    distance: Tensor
    found: Tensor
    flat: Tensor


def exact_duplicates(fake: Tensor, train: Tensor) -> Duplicates:
    """Return the items that equal a training item in every byte.

    Args:
        fake: (N, ...): images uint8 (N, H, W, C), or floating points, which are compared as
            float32.
        train: (M, ...), of the same shape and type apart from M.

    Returns:
        The pairs, each with the first equal training item.

    Raises:
        DataError: items of different shapes, or whole numbers against floating ones.
    """
    if fake.shape[1:] != train.shape[1:] or fake.is_floating_point() != train.is_floating_point():
        raise DataError(
            f"Items {tuple(fake.shape[1:])} {fake.dtype} cannot be equal to training items "
            f"{tuple(train.shape[1:])} {train.dtype}; bring them to one size and type."
        )
    first: dict[bytes, int] = {}
    for index, digest in enumerate(_digests(train)):
        first.setdefault(digest, index)
    pairs = [(i, first[d]) for i, d in enumerate(_digests(fake)) if d in first]
    which = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    found = torch.zeros(len(fake), dtype=torch.bool)
    found[which[:, 0]] = True
    return Duplicates(
        which, torch.zeros(len(which), dtype=torch.int64), found, torch.zeros_like(found)
    )


def perceptual_hash(images: Tensor, *, frequencies: int = FREQUENCIES) -> tuple[Tensor, Tensor]:
    """Return the hashes, and which images are too flat to have one.

    Args:
        images: uint8 (N, H, W, C) in 0..255, or floating (N, C, H, W) in 0..1.
        frequencies: F in 2..32; more than an image has pixels each way add only noise.

    Returns:
        bool (N, F² − 1), and bool (N,).

    Raises:
        DataError: not images, or F out of range.
    """
    if not 2 <= frequencies <= SIZE:
        raise DataError(f"A perceptual hash has 2 to {SIZE} frequencies, not {frequencies}.")
    cosines = _cosines(frequencies)
    hashes, flat = [], []
    for block in torch.split(images, BLOCK):
        grey = _grey(to_bytes(block)).cpu()
        low = (cosines @ grey @ cosines.T).flatten(1)[:, 1:]
        hashes.append(low > low.median(1, keepdim=True).values)
        flat.append(grey.flatten(1).std(1, correction=0) < FLAT)
    return torch.cat(hashes), torch.cat(flat)


def hamming_nearest(hashes: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each hash the fewest bits by which one of the base differs, and which does.

    Args:
        hashes: bool (N, B).
        base: bool (M, B), M ≥ 1.

    Returns:
        int64 (N,) bits, and int64 (N,) indices, the first of equals.
    """
    most, indices = [], []
    for agreement in _agreements(hashes, base):
        best = agreement.max(1)
        most.append(best.values.float())
        indices.append(best.indices)
    return _differing(torch.cat(most), hashes.shape[1]), torch.cat(indices)


def fewest_differing(hashes: Tensor, base: Tensor) -> Tensor:
    """Return the first half of :func:`hamming_nearest` in less time: int64 (N,) bits."""
    most = [agreement.amax(1).float() for agreement in _agreements(hashes, base)]
    return _differing(torch.cat(most), hashes.shape[1])


def _agreements(hashes: Tensor, base: Tensor) -> Iterator[Tensor]:
    """Equal bits less differing bits (ROWS, M), block by block in the same memory.

    They are whole numbers of at most B, exact in the type of the product.
    """
    native = hashes.device.type == "cpu" and cpu_has_bf16() and hashes.shape[1] <= EXACT
    dtype = torch.bfloat16 if native else torch.float32
    signs = (base.to(dtype) * 2 - 1).T
    room = torch.empty(min(ROWS, len(hashes)), len(base), dtype=dtype, device=hashes.device)
    for block in torch.split(hashes, ROWS):
        yield torch.mm(block.to(dtype) * 2 - 1, signs, out=room[: len(block)])


def _differing(agreement: Tensor, bits: int) -> Tensor:
    return ((bits - agreement) / 2).round().long()


def perceptual_duplicates(
    fake: Tensor, train: Tensor, *, hamming: int = 12, frequencies: int = FREQUENCIES
) -> Duplicates:
    """Return the images whose hash differs from a training image's in few bits.

    Images that look alike without being copies, such as simple ones, fall under this too: read
    the share beside that of unseen real images, see :func:`calibrated_hamming`.

    Args:
        fake: uint8 (N, H, W, C), or floating (N, C, H, W) in 0..1.
        train: likewise; the sizes may differ.
        hamming: the bits of F² − 1 that may differ.
        frequencies: F, see :func:`perceptual_hash`.

    Raises:
        DataError: not images, F out of range, or all training images are flat.
    """
    return duplicates_of_hashes(
        *perceptual_hash(fake, frequencies=frequencies),
        *perceptual_hash(train, frequencies=frequencies),
        hamming=hamming,
    )


def duplicates_of_hashes(
    hashes: Tensor, flat: Tensor, base: Tensor, base_flat: Tensor, *, hamming: int
) -> Duplicates:
    """Return the pairs of hashes that differ in at most `hamming` bits, flat images apart.

    Args:
        hashes: bool (N, B), of generated images.
        flat: bool (N,).
        base: bool (M, B), of training images.
        base_flat: bool (M,).
        hamming: the bits that may differ.

    Raises:
        DataError: all training images are flat.
    """
    usable = (~base_flat).nonzero()[:, 0]
    if not len(usable):
        raise DataError("All training images are flat, so none can be told from another.")
    found = (fewest_differing(hashes, base[usable]) <= hamming) & ~flat
    which = found.nonzero()[:, 0]
    if not len(which):
        return Duplicates(which.new_empty(0, 2), which, found, flat)
    distance, index = hamming_nearest(hashes[which], base[usable])
    order = distance.argsort(stable=True)
    pairs = torch.stack([which, usable[index]], 1)[order]
    return Duplicates(pairs, distance[order], found, flat)


def calibrated_hamming(distances: Tensor, *, bits: int, level: float = 0.01) -> int:
    """Return how many bits may differ so that at most a share `level` of unseen images is called.

    Args:
        distances: int64 (N,), bits from unseen real images to the nearest training image.
        bits: B, the length of a hash; never more than B/8 may differ.
        level: in 0..1.

    Returns:
        0..B/8; 0 also where equal hashes alone are more frequent than `level`: then the images
        are too simple for the hash.
    """
    shares = [float((distances <= most).double().mean()) for most in range(bits // 8 + 1)]
    return max((most for most, share in enumerate(shares) if share <= level), default=0)


def _digests(items: Tensor) -> list[bytes]:
    digests = []
    for part in torch.split(items.detach().cpu(), 4096):
        # Adding 0 turns −0 into 0, which is the same point in other bytes.
        same = part.float() + 0.0 if part.is_floating_point() else part
        rows = same.contiguous().numpy()
        digests += [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
    return digests


def _grey(images: Tensor) -> Tensor:
    """Return luma in 0..255, float64 (N, 32, 32); an alpha channel is ignored."""
    channels = images.double()
    if images.shape[1] >= 3:
        weights = channels.new_tensor([0.299, 0.587, 0.114])
        grey = (channels[:, :3] * weights[:, None, None]).sum(1, keepdim=True)
    else:
        grey = channels[:, :1]
    if grey.shape[2:] != (SIZE, SIZE):
        grey = functional.interpolate(grey, (SIZE, SIZE), mode="bilinear", antialias=True)
    return grey[:, 0]


def _cosines(frequencies: int) -> Tensor:
    """Return the lowest rows of the orthonormal DCT-II matrix, float64 (F, 32)."""
    frequency = torch.arange(frequencies, dtype=torch.float64)[:, None]
    place = torch.arange(SIZE, dtype=torch.float64) + 0.5
    matrix = (math.pi / SIZE * frequency * place).cos() * math.sqrt(2 / SIZE)
    matrix[0] /= math.sqrt(2)
    return matrix
