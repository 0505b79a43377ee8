"""Pictures that tests share, made of noise."""

import struct
import zlib

import numpy


def picture(seed: int, height: int = 512, width: int = 768) -> numpy.ndarray:
    """A soft, textured picture: noise at several scales."""
    random = numpy.random.default_rng(seed)
    total = numpy.zeros((height, width))
    for scale in (4, 16, 64):
        coarse = random.normal(size=(height // scale + 2, width // scale + 2))
        rows = numpy.linspace(0, coarse.shape[0] - 1.01, height)
        columns = numpy.linspace(0, coarse.shape[1] - 1.01, width)
        top, left = rows.astype(int), columns.astype(int)
        down, right = (rows - top)[:, None], columns - left
        total += (
            coarse[numpy.ix_(top, left)] * (1 - down) * (1 - right)
            + coarse[numpy.ix_(top + 1, left)] * down * (1 - right)
            + coarse[numpy.ix_(top, left + 1)] * (1 - down) * right
            + coarse[numpy.ix_(top + 1, left + 1)] * down * right
        ) * scale**0.5
    grey = 128 + 12 * total / total.std() * 2
    return numpy.clip(grey[:, :, None] + [8, 0, -8], 0, 255).astype(numpy.uint8)


def png(pixels: numpy.ndarray) -> bytes:
    """A PNG file of an image of shape (height, width, 3)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
