"""A marked copy names its session; nothing else does."""

import struct
import zlib

import chatpic
import numpy
import pytest

SESSIONS = [f"{n:08X}" for n in range(1, 200)] + ["E64F44F6"]


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


@pytest.fixture(scope="module")
def marker() -> chatpic.Watermarker:
    return chatpic.Watermarker(bytes(range(32)), image="a picture")


def test_a_copy_names_its_session(marker: chatpic.Watermarker) -> None:
    marked = marker.embed(picture(1), "E64F44F6")
    assert marked.shape == (512, 768, 3) and marked.dtype == numpy.uint8
    [match] = marker.trace(marked, SESSIONS, size=(768, 512))
    assert match.session == "E64F44F6"
    assert match.score > 8 and match.false_alarm <= 1e-6


def test_a_crop_names_its_session(marker: chatpic.Watermarker) -> None:
    marked = marker.embed(picture(2), "E64F44F6")
    [match] = marker.trace(numpy.ascontiguousarray(marked[40:460, 60:700]), SESSIONS, size=(768, 512))
    assert match.session == "E64F44F6"


def test_a_small_crop_names_its_session_with_the_original_at_hand(marker: chatpic.Watermarker) -> None:
    clean = picture(6)
    marked = marker.embed(clean, "E64F44F6")
    crop = numpy.ascontiguousarray(marked[150:342, 300:492])
    [match] = marker.trace(crop, SESSIONS, size=(768, 512), original=clean)
    assert match.session == "E64F44F6"


def test_a_file_gives_a_file_of_its_kind_that_names_its_session(marker: chatpic.Watermarker) -> None:
    marked = marker.embed(png(picture(7)), "E64F44F6")
    assert marked[:8] == b"\x89PNG\r\n\x1a\n"
    [match] = marker.trace(marked, SESSIONS, size=(768, 512))
    assert match.session == "E64F44F6"


def test_alpha_is_kept(marker: chatpic.Watermarker) -> None:
    rgb = picture(3)
    alpha = numpy.tile(numpy.arange(768, dtype=numpy.uint16) % 256, (512, 1)).astype(numpy.uint8)
    marked = marker.embed(numpy.dstack([rgb, alpha]), "E64F44F6")
    assert marked.shape == (512, 768, 4)
    assert (marked[:, :, 3] == alpha).all()


def test_the_innocent_are_not_named(marker: chatpic.Watermarker) -> None:
    clean = picture(4)
    assert marker.trace(clean, SESSIONS, size=(768, 512)) == []
    other = chatpic.Watermarker(bytes(32), image="a picture").embed(clean, "E64F44F6")
    assert marker.trace(other, SESSIONS, size=(768, 512)) == []


def test_bad_input_is_said_plainly(marker: chatpic.Watermarker) -> None:
    with pytest.raises(chatpic.ChatPicError):
        marker.embed(picture(5), "no session")
    with pytest.raises(chatpic.ChatPicError):
        marker.embed(numpy.zeros((4, 4, 2), numpy.uint8), "E64F44F6")
    with pytest.raises(chatpic.ChatPicError):
        marker.embed(b"no picture", "E64F44F6")
    with pytest.raises((ValueError, TypeError)):
        chatpic.Watermarker(b"short", image="x")
