"""A marked copy names its session; nothing else does."""

import asyncio

import chatpic
import numpy
import pytest
from pictures import picture, png

SESSIONS = [f"{n:08X}" for n in range(1, 200)] + ["E64F44F6"]


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


def test_what_alpha_hides_is_not_in_a_copy_and_what_shows_names_its_session(marker: chatpic.Watermarker) -> None:
    clean = numpy.dstack([picture(8), numpy.full((512, 768), 255, numpy.uint8)])
    clean[:200, :300, 3] = 0
    marked = marker.embed(clean, "E64F44F6")
    assert (marked[:200, :300] == 0).all()
    for ground in 0, 255:
        alpha = marked[:, :, 3:].astype(numpy.float32) / 255
        shown = (marked[:, :, :3] * alpha + ground * (1 - alpha)).astype(numpy.uint8)
        [match] = marker.trace(shown, SESSIONS, size=(768, 512))
        assert match.session == "E64F44F6"
    crop = numpy.ascontiguousarray(marked[250:442, 300:492])
    [match] = marker.trace(crop, SESSIONS, size=(768, 512), original=clean)
    assert match.session == "E64F44F6"


def test_ink_whose_colour_can_carry_no_mark_is_refused(marker: chatpic.Watermarker) -> None:
    y, x = numpy.mgrid[:512, :768]
    ink = numpy.zeros((512, 768, 4), numpy.uint8)
    ink[:, :, 3] = numpy.where((y % 24 > 12) & (y % 24 < 20) & ((x // 3 + y // 24 * 7) % 5 < 2), 255, 0)
    with pytest.raises(chatpic.ChatPicError, match="does not carry"):
        marker.embed(ink, "E64F44F6")


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


def test_a_file_comes_in_by_the_intake_of_uploads(marker: chatpic.Watermarker) -> None:
    whole = png(picture(10))
    cut = whole[: len(whole) // 2]
    # Some readers fill up what is missing, and take a file of any size.
    long = whole + bytes(10 << 20)
    for wrong in (b"", cut, long):
        with pytest.raises(chatpic.Rejected):
            marker.embed(wrong, "E64F44F6")
        with pytest.raises(chatpic.Rejected):
            marker.trace(wrong, SESSIONS, size=(768, 512))
        with pytest.raises(chatpic.Rejected) as refused:
            marker.trace(whole, SESSIONS, size=(768, 512), original=wrong)
        assert refused.value.index == 1


def test_an_array_of_any_layout_is_taken_and_never_changed(marker: chatpic.Watermarker) -> None:
    clean = picture(8)
    before = clean.copy()
    marked = marker.embed(clean, "E64F44F6")
    assert (clean == before).all() and not numpy.shares_memory(clean, marked)
    wide = numpy.zeros((512, 1536, 3), numpy.uint8)
    wide[:, ::2] = clean
    assert (marker.embed(wide[:, ::2], "E64F44F6") == marked).all(), "a view with gaps"
    assert (marker.embed(numpy.asfortranarray(clean), "E64F44F6") == marked).all(), "columns first"
    assert marked.flags.c_contiguous and marked.flags.writeable


def test_a_copy_is_made_and_traced_in_asyncio(marker: chatpic.Watermarker) -> None:
    async def make_and_trace() -> list[chatpic.Match]:
        one, other = await asyncio.gather(
            marker.embed_async(picture(9), "E64F44F6"), marker.embed_async(picture(9), "00000001")
        )
        assert (one != other).any()
        return await marker.trace_async(one, SESSIONS, size=(768, 512))

    [match] = asyncio.run(make_and_trace())
    assert match.session == "E64F44F6"
