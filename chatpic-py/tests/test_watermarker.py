"""A marked copy names its session; nothing else does."""

import _thread
import asyncio
import os
import signal
import threading
import time
import zlib

import chatpic
import numpy
import pytest
from pictures import picture, png

SESSIONS = [f"{n:08X}" for n in range(1, 200)] + ["E64F44F6"]


@pytest.fixture(scope="module")
def marker() -> chatpic.Watermarker:
    return chatpic.Watermarker(bytes(range(32)), image="a picture")


@pytest.fixture(scope="module")
def record(marker: chatpic.Watermarker) -> bytes:
    """A record of an image of the size of all pictures here, which differ from it in nothing that these traces need."""
    return marker.prepare(picture(1)).record


def test_a_copy_names_its_session(marker: chatpic.Watermarker, record: bytes) -> None:
    marked = marker.embed(picture(1), "E64F44F6")
    assert marked.shape == (512, 768, 3) and marked.dtype == numpy.uint8
    [match] = marker.trace(marked, SESSIONS, record=record)
    assert match.session == "E64F44F6"
    assert match.score > 8 and match.score == round(match.score, 1)


def test_a_false_alarm_is_never_nothing_and_has_three_digits(marker: chatpic.Watermarker, record: bytes) -> None:
    marked = marker.embed(picture(1), "E64F44F6")
    [match] = marker.trace(marked, SESSIONS, record=record, original=picture(1))
    assert match.score > 25, "so sure that a double would say 0"
    assert 1e-100 <= match.false_alarm <= 1e-12
    assert float(f"{match.false_alarm:.2e}") == match.false_alarm
    assert float(repr(match).split("false_alarm=")[1].rstrip(")")) == match.false_alarm


def test_a_record_says_what_a_trace_needs_and_holds_no_pixels(marker: chatpic.Watermarker) -> None:
    plan = marker.prepare(png(picture(1)))
    assert plan.size == (768, 512) and plan.margin is not None and plan.margin > 1
    assert len(plan.record) < 300
    assert plan.record == marker.prepare(picture(1)).record
    for wrong in (b"", b"no record", plan.record.replace(b"768", b"20000").replace(b"512", b"20000")):
        with pytest.raises(chatpic.OutOfRange):
            marker.trace(picture(1), SESSIONS, record=wrong)
    with pytest.raises(chatpic.ChatPicError, match="another size"):
        marker.trace(picture(1), SESSIONS, record=plan.record, original=picture(1)[:500])


def test_a_crop_names_its_session(marker: chatpic.Watermarker, record: bytes) -> None:
    marked = marker.embed(picture(2), "E64F44F6")
    [match] = marker.trace(numpy.ascontiguousarray(marked[40:460, 60:700]), SESSIONS, record=record)
    assert match.session == "E64F44F6"


def test_a_small_crop_names_its_session_with_the_original_at_hand(marker: chatpic.Watermarker, record: bytes) -> None:
    clean = picture(6)
    marked = marker.embed(clean, "E64F44F6")
    crop = numpy.ascontiguousarray(marked[150:342, 300:492])
    [match] = marker.trace(crop, SESSIONS, record=record, original=clean)
    assert match.session == "E64F44F6"


def test_a_file_gives_a_file_of_its_kind_that_names_its_session(marker: chatpic.Watermarker, record: bytes) -> None:
    marked = marker.embed(png(picture(7)), "E64F44F6")
    assert marked[:8] == b"\x89PNG\r\n\x1a\n"
    [match] = marker.trace(marked, SESSIONS, record=record)
    assert match.session == "E64F44F6"


def test_alpha_is_kept(marker: chatpic.Watermarker) -> None:
    rgb = picture(3)
    alpha = numpy.tile(numpy.arange(768, dtype=numpy.uint16) % 256, (512, 1)).astype(numpy.uint8)
    marked = marker.embed(numpy.dstack([rgb, alpha]), "E64F44F6")
    assert marked.shape == (512, 768, 4)
    assert (marked[:, :, 3] == alpha).all()


def test_what_alpha_hides_is_not_in_a_copy_and_what_shows_names_its_session(marker: chatpic.Watermarker, record: bytes) -> None:
    clean = numpy.dstack([picture(8), numpy.full((512, 768), 255, numpy.uint8)])
    clean[:200, :300, 3] = 0
    marked = marker.embed(clean, "E64F44F6")
    assert (marked[:200, :300] == 0).all()
    for ground in 0, 255:
        alpha = marked[:, :, 3:].astype(numpy.float32) / 255
        shown = (marked[:, :, :3] * alpha + ground * (1 - alpha)).astype(numpy.uint8)
        [match] = marker.trace(shown, SESSIONS, record=record)
        assert match.session == "E64F44F6"
    crop = numpy.ascontiguousarray(marked[250:442, 300:492])
    [match] = marker.trace(crop, SESSIONS, record=record, original=clean)
    assert match.session == "E64F44F6"


def test_ink_whose_colour_can_carry_no_mark_is_refused(marker: chatpic.Watermarker) -> None:
    y, x = numpy.mgrid[:512, :768]
    ink = numpy.zeros((512, 768, 4), numpy.uint8)
    ink[:, :, 3] = numpy.where((y % 24 > 12) & (y % 24 < 20) & ((x // 3 + y // 24 * 7) % 5 < 2), 255, 0)
    with pytest.raises(chatpic.ChatPicError, match="does not carry"):
        marker.embed(ink, "E64F44F6")


def test_the_innocent_are_not_named(marker: chatpic.Watermarker, record: bytes) -> None:
    clean = picture(4)
    assert marker.trace(clean, SESSIONS, record=record) == []
    other = chatpic.Watermarker(bytes(32), image="a picture").embed(clean, "E64F44F6")
    assert marker.trace(other, SESSIONS, record=record) == []


def test_bad_input_is_said_plainly(marker: chatpic.Watermarker) -> None:
    with pytest.raises(chatpic.ChatPicError):
        marker.embed(picture(5), "no session")
    with pytest.raises(chatpic.ChatPicError):
        marker.embed(numpy.zeros((4, 4, 2), numpy.uint8), "E64F44F6")
    with pytest.raises(chatpic.ChatPicError):
        marker.embed(b"no picture", "E64F44F6")
    with pytest.raises((ValueError, TypeError)):
        chatpic.Watermarker(b"short", image="x")


def test_a_file_comes_in_by_the_intake_of_uploads(marker: chatpic.Watermarker, record: bytes) -> None:
    whole = png(picture(10))
    cut = whole[: len(whole) // 2]
    # Some readers fill up what is missing, and take a file of any size.
    long = whole + bytes(10 << 20)
    for wrong in (b"", cut, long):
        with pytest.raises(chatpic.Rejected):
            marker.embed(wrong, "E64F44F6")
        with pytest.raises(chatpic.Rejected):
            marker.trace(wrong, SESSIONS, record=record)
        with pytest.raises(chatpic.Rejected) as refused:
            marker.trace(whole, SESSIONS, record=record, original=wrong)
        assert refused.value.index == 1


def test_a_picture_too_large_is_refused_before_it_is_decoded(marker: chatpic.Watermarker, record: bytes) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (20_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    huge = numpy.broadcast_to(numpy.uint8(7), (8_100, 8_100, 3))
    for wrong in (bomb, huge):
        with pytest.raises(chatpic.Rejected, match="pixels"):
            marker.embed(wrong, "E64F44F6")
        with pytest.raises(chatpic.Rejected, match="pixels"):
            marker.prepare(wrong)
        with pytest.raises(chatpic.Rejected, match="pixels"):
            marker.trace(wrong, SESSIONS, record=record)


def test_a_jpeg_that_ends_early_is_refused(marker: chatpic.Watermarker) -> None:
    app = chatpic.ChatPic.in_memory()
    share = app.create([png(picture(10))])
    jpeg = app.view(share.id, share.link_key).image(0)
    assert marker.embed(jpeg, "E64F44F6")[:2] == b"\xff\xd8"
    with pytest.raises(chatpic.Rejected, match="not whole"):
        marker.embed(jpeg[: len(jpeg) // 3], "E64F44F6")


def test_the_bytes_of_a_file_may_be_in_any_kind_of_bytes(marker: chatpic.Watermarker) -> None:
    file = png(picture(1))
    marked = marker.embed(file, "E64F44F6")
    for kind in (bytearray, memoryview):
        assert marker.embed(kind(file), "E64F44F6") == marked
    assert marker.embed(memoryview(file + b"more")[:-4], "E64F44F6") == marked


def test_what_is_no_image_is_told_in_the_words_of_numpy(marker: chatpic.Watermarker) -> None:
    wrong = {
        "an array of uint16 of shape [512, 768, 3]": picture(1).astype(numpy.uint16),
        "an array of uint8 of shape [512, 768]": picture(1)[:, :, 0],
        "<class 'str'>": "photograph.jpg",
    }
    for found, given in wrong.items():
        with pytest.raises(TypeError) as told:
            marker.embed(given, "E64F44F6")
        assert str(told.value).endswith(f"numpy array of uint8 of shape (height, width, 3) or (height, width, 4), not {found}")


def test_a_candidate_that_is_named_twice_is_found_once(marker: chatpic.Watermarker) -> None:
    record, marked = marker.prepare(picture(1)).record, marker.embed(picture(1), "E64F44F6")
    found = marker.trace(marked, ["E64F44F6", "00C0FFEE", "e64f44f6"], record=record)
    assert [match.session for match in found] == ["E64F44F6"]


@pytest.fixture(scope="module")
def long_trace(marker: chatpic.Watermarker) -> tuple[bytes, float]:
    """A trace that finds nothing in a large picture: its record, and how long it takes."""
    record = marker.prepare(numpy.tile(picture(1), (4, 4, 1))).record
    begin = time.monotonic()
    assert marker.trace(picture(11), SESSIONS, record=record) == []
    return record, time.monotonic() - begin


def test_ctrl_c_stops_a_trace(marker: chatpic.Watermarker, long_trace: tuple[bytes, float]) -> None:
    record, whole = long_trace
    # A shell that starts this in the background has it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    begin = time.monotonic()
    threading.Timer(whole / 10, _thread.interrupt_main).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            marker.trace(picture(11), SESSIONS, record=record)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - begin < whole / 2 + 1


def test_a_cancelled_trace_makes_room_for_others(marker: chatpic.Watermarker, long_trace: tuple[bytes, float]) -> None:
    record, whole = long_trace

    async def cancel_and_go_on() -> None:
        # More than work at the same time.
        traces = [marker.trace_async(picture(11), SESSIONS, record=record) for _ in range(2 * (os.cpu_count() or 1))]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*traces), whole / 10)
        await marker.prepare_async(picture(12))

    begin = time.monotonic()
    asyncio.run(cancel_and_go_on())
    assert time.monotonic() - begin < whole


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


def test_a_copy_is_made_and_traced_in_asyncio(marker: chatpic.Watermarker, record: bytes) -> None:
    async def make_and_trace() -> list[chatpic.Match]:
        one, other = await asyncio.gather(
            marker.embed_async(picture(9), "E64F44F6"), marker.embed_async(picture(9), "00000001")
        )
        assert (one != other).any()
        return await marker.trace_async(one, SESSIONS, record=record)

    [match] = asyncio.run(make_and_trace())
    assert match.session == "E64F44F6"
