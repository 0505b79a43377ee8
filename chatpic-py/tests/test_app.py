"""The life of a share, from Python."""

import asyncio
import errno
import faulthandler
import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import chatpic
import pytest
from pictures import picture, png

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def photograph() -> bytes:
    return png(picture(1))


@pytest.fixture
def app(tmp_path: Path) -> chatpic.ChatPic:
    return chatpic.ChatPic.open(tmp_path / "data")


def test_a_share_is_made_viewed_followed_burned_and_traced(
    app: chatpic.ChatPic, photograph: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(photograph)
    share = app.create([path, photograph], expires_in=DAY, max_views=3, password="s3cret")
    assert share.max_views == 3 and share.password_required
    left = share.expires_at - datetime.now(timezone.utc)
    assert DAY - timedelta(minutes=5) < left <= DAY
    assert [(image.index, image.width, image.height) for image in share.images] == [(0, 768, 512), (1, 768, 512)]

    cover = app.cover(share.id)
    assert (cover.password_required, cover.image_count, cover.views, cover.views_left) == (True, 2, 0, 3)
    agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile"
    view = app.view(share.id, share.link_key, password="s3cret", country="DE", user_agent=agent)
    assert len(view.session) == 8 and int(view.session, 16) >= 0
    assert (view.views_before, view.views_left) == (0, 2)
    leaked = view.image(0)
    assert leaked[:2] == b"\xff\xd8" and view.images[0].media_type == "image/jpeg"
    assert view.image(0) == leaked, "the same bytes again"
    assert len(view.image(0, width=640)) < len(leaked)
    assert app.resume(share.id, view.token).image(0) == leaked

    other = app.view(share.id, share.link_key, password="s3cret")
    assert other.image(0) != leaked
    preview = app.preview(share.id, share.dashboard_key)
    assert preview.session == "UPLOADER" and preview.image(1)[:2] == b"\xff\xd8"

    dashboard = app.dashboard(share.id, share.dashboard_key)
    assert (dashboard.status, dashboard.views, dashboard.views_left) == ("active", 2, 1)
    assert sorted(dashboard.countries, key=str) == [("DE", 1), (None, 1)]
    assert [row.session for row in dashboard.sessions] == [other.session, view.session]
    assert (dashboard.sessions[1].country, dashboard.sessions[1].device) == ("DE", "phone")
    assert dashboard.sessions[1].images_seen == 1 and dashboard.next is None
    assert sum(views for _, views in dashboard.timeline) == 2
    assert dashboard.link_key == share.link_key and dashboard.receipt is None
    later = app.extend(share.id, share.dashboard_key, timedelta(hours=1))
    assert later - share.expires_at == timedelta(hours=1)
    assert app.keep_ledger(share.id, share.dashboard_key, timedelta(days=3)) < dashboard.ledger_until

    receipt = app.burn(share.id, share.dashboard_key)
    assert receipt.keys_destroyed and app.dashboard(share.id, share.dashboard_key).receipt.keys_destroyed
    assert receipt.objects_deleted > 0 and receipt.objects_pending == 0 and receipt.purged_at is not None
    with pytest.raises(chatpic.SessionOver):
        view.image(0)

    report = app.trace(share.id, share.dashboard_key, leaked)
    assert [match.session for match in report.matches] == [view.session]
    assert report.matches[0].image == 0 and report.matches[0].country == "DE"
    assert report.matches[0].evidence == "blind"
    assert report.matches[0].false_alarm <= 1e-6 and report.candidates >= 2
    assert app.trace(share.id, share.dashboard_key, photograph, original=path).matches == []


def test_what_one_opening_makes_another_finds(app: chatpic.ChatPic, photograph: bytes, tmp_path: Path) -> None:
    share = app.create([photograph], idempotency_key="sixteen characters")
    again = app.create([photograph], idempotency_key="sixteen characters")
    assert (share.id, share.link_key) == (again.id, again.link_key)
    other = chatpic.ChatPic.open(
        tmp_path / "unused",
        database=f"sqlite://{tmp_path}/data/chatpic.sqlite",
        blobs=f"file://{tmp_path}/data/blobs",
        secret=tmp_path / "data/secret",
    )
    nonce = bytes(range(16))
    view = app.view(share.id, share.link_key, nonce=nonce)
    assert other.view(share.id, share.link_key, nonce=nonce).session == view.session
    assert other.dashboard(share.id, share.dashboard_key).views == 1
    assert not (tmp_path / "unused").exists()
    with pytest.raises(chatpic.ChatPicError, match="secret does not fit"):
        chatpic.ChatPic.open(tmp_path / "data", secret=bytes(32))


def test_without_a_visible_mark_the_forensic_one_is_alone(photograph: bytes) -> None:
    app = chatpic.ChatPic.in_memory(visible_mark=False)
    share = app.create([photograph])
    view = app.view(share.id, share.link_key)
    report = app.trace(share.id, share.dashboard_key, view.image(0))
    assert [match.session for match in report.matches] == [view.session]


def test_every_refusal_is_an_exception_of_its_own(app: chatpic.ChatPic, photograph: bytes, tmp_path: Path) -> None:
    share = app.create([photograph], max_views=1, password="s3cret")
    keys = share.id, share.dashboard_key
    with pytest.raises(chatpic.NotFound):
        app.cover("nonsense")
    with pytest.raises(chatpic.NotFound):
        app.cover("A" * 16)
    for key in (share.dashboard_key, "nonsense", ""):
        with pytest.raises(chatpic.Unauthorized):
            app.view(share.id, key, password="s3cret")
    with pytest.raises(chatpic.Unauthorized):
        app.dashboard(share.id, share.link_key)
    with pytest.raises(chatpic.PasswordMissing):
        app.view(share.id, share.link_key)
    for _ in range(10):
        with pytest.raises(chatpic.PasswordWrong):
            app.view(share.id, share.link_key, password="guess", address="203.0.113.9")
    with pytest.raises(chatpic.Throttled) as throttled:
        app.view(share.id, share.link_key, password="s3cret", address="203.0.113.9")
    # Callers without an address are not one caller.
    for _ in range(11):
        with pytest.raises(chatpic.PasswordWrong):
            app.view(share.id, share.link_key, password="guess")
    assert timedelta(0) < throttled.value.retry_after <= timedelta(minutes=10)
    view = app.view(share.id, share.link_key, password="s3cret", address="192.0.2.7")
    for index in (1, -1, 2**70):
        with pytest.raises(chatpic.NotFound):
            view.image(index)
    with pytest.raises(chatpic.NotFound):
        app.view(share.id, share.link_key, password="s3cret", address="192.0.2.7")
    with pytest.raises(chatpic.SessionOver):
        app.resume(share.id, "nonsense")
    with pytest.raises(chatpic.Conflict):
        app.extend(*keys, DAY)

    with pytest.raises(chatpic.Rejected) as rejected:
        app.create([photograph, b"no picture"])
    assert rejected.value.index == 1
    with pytest.raises(chatpic.Rejected, match="larger than 10 MB"):
        app.create([bytes(10 * 1024 * 1024 + 1)])
    with pytest.raises(FileNotFoundError):
        app.create([tmp_path / "no such file"])
    for options in (
        {"max_views": 0},
        {"max_views": -1},
        {"max_views": 2**80},
        {"expires_in": timedelta(seconds=59)},
        {"expires_in": timedelta(days=31)},
        {"expires_in": -DAY},
        {"keep_ledger": timedelta(days=91)},
        {"password": "x" * 129},
        {"password": ""},
        {"idempotency_key": "short"},
    ):
        with pytest.raises(chatpic.OutOfRange):
            app.create([photograph], **options)
    with pytest.raises(chatpic.OutOfRange):
        app.create([])
    with pytest.raises(chatpic.OutOfRange):
        app.view(share.id, share.link_key, password="s3cret", country="Germany")
    with pytest.raises(chatpic.ChatPicError, match="no store for"):
        chatpic.ChatPic.open(tmp_path / "other", database="oracle://somewhere")
    for error in vars(chatpic).values():
        if isinstance(error, type) and issubclass(error, Exception):
            assert issubclass(error, chatpic.ChatPicError)


def test_a_file_that_is_not_there_is_named(app: chatpic.ChatPic, tmp_path: Path) -> None:
    missing = tmp_path / "holiday.jpg"
    with pytest.raises(FileNotFoundError) as failed:
        app.create([missing])
    assert (failed.value.errno, failed.value.filename) == (errno.ENOENT, str(missing))
    with pytest.raises(IsADirectoryError) as failed:
        app.create([tmp_path])
    assert failed.value.filename == str(tmp_path)


def test_what_proxies_send_for_an_unknown_country_is_unknown(app: chatpic.ChatPic, photograph: bytes) -> None:
    share = app.create([photograph])
    for unknown in ("XX", "T1", "ZZ", None):
        app.view(share.id, share.link_key, country=unknown)
    app.view(share.id, share.link_key, country="nz")
    assert app.dashboard(share.id, share.dashboard_key).countries == [(None, 4), ("NZ", 1)]


def test_nothing_secret_shows_in_a_repr(app: chatpic.ChatPic, photograph: bytes) -> None:
    share = app.create([photograph])
    view = app.view(share.id, share.link_key)
    shown = repr([app, share, view, app.dashboard(share.id, share.dashboard_key)])
    for secret in (share.link_key, share.dashboard_key, view.token):
        assert secret not in shown


def test_a_sweep_counts_what_it_did(app: chatpic.ChatPic, photograph: bytes) -> None:
    share = app.create([photograph])
    app.burn(share.id, share.dashboard_key)
    swept = app.sweep()
    assert (swept.ended, swept.orphans, swept.failed) == (0, 0, 0)


def test_an_open_installation_sweeps_by_itself(photograph: bytes, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with chatpic.ChatPic.open(data, sweep_every=timedelta(milliseconds=20)) as app:
        share = app.create([photograph], max_views=1)
        app.keep_ledger(share.id, share.dashboard_key, timedelta(0))
        app.burn(share.id, share.dashboard_key)
        deadline = datetime.now(timezone.utc) + timedelta(seconds=30)
        while datetime.now(timezone.utc) < deadline:
            try:
                app.dashboard(share.id, share.dashboard_key)
            except chatpic.Unauthorized:
                break
        else:
            pytest.fail("the ledger of a share that was to keep none is still there")
    with pytest.raises(chatpic.ChatPicError, match="closed"):
        app.sweep()
    app.close()


def test_the_sweep_can_be_left_to_the_host(photograph: bytes, tmp_path: Path) -> None:
    app = chatpic.ChatPic.open(tmp_path / "data", sweep_every=None)
    share = app.create([photograph])
    app.keep_ledger(share.id, share.dashboard_key, timedelta(0))
    app.burn(share.id, share.dashboard_key)
    assert app.dashboard(share.id, share.dashboard_key).status == "burned"
    assert app.sweep().forgotten == 1
    with pytest.raises(chatpic.Unauthorized):
        app.dashboard(share.id, share.dashboard_key)


def test_every_blocking_call_has_a_twin_to_be_awaited() -> None:
    for kind, alone in ((chatpic.ChatPic, {"in_memory"}), (chatpic.View, set()), (chatpic.Watermarker, set())):
        calls = {name for name, value in vars(kind).items() if not name.startswith("_") and callable(value)}
        calls |= {name for name, value in vars(kind).items() if isinstance(value, staticmethod)}
        blocking = {name for name in calls if not name.endswith("_async")} - alone
        assert blocking and {f"{name}_async" for name in blocking} == calls - blocking - alone


def test_the_whole_life_in_asyncio(photograph: bytes, tmp_path: Path) -> None:
    async def live() -> None:
        app = await chatpic.ChatPic.open_async(tmp_path / "data")
        share = await app.create_async([photograph], max_views=5)
        views = await asyncio.gather(
            *(app.view_async(share.id, share.link_key) for _ in range(20)), return_exceptions=True
        )
        granted = [view for view in views if isinstance(view, chatpic.View)]
        assert len(granted) == 5, "never more views than the limit"
        assert all(isinstance(view, chatpic.NotFound) for view in views if view not in granted)
        copies = await asyncio.gather(*(view.image_async(0) for view in granted))
        assert len(set(copies)) == 5
        assert (await app.resume_async(share.id, granted[0].token)).session == granted[0].session
        assert (await app.dashboard_async(share.id, share.dashboard_key)).views == 5
        report = await app.trace_async(share.id, share.dashboard_key, copies[3])
        assert [match.session for match in report.matches] == [granted[3].session]
        other = await app.create_async([photograph])
        assert (await app.cover_async(other.id)).image_count == 1
        assert (await app.preview_async(other.id, other.dashboard_key)).session == "UPLOADER"
        later = await app.extend_async(other.id, other.dashboard_key, DAY)
        assert later - other.expires_at == DAY
        await app.keep_ledger_async(other.id, other.dashboard_key, timedelta(0))
        assert (await app.burn_async(other.id, other.dashboard_key)).objects_pending == 0
        assert (await app.sweep_async()).failed == 0

    asyncio.run(live())


def test_giving_up_on_a_call_leaves_the_rest_in_order(photograph: bytes, tmp_path: Path) -> None:
    async def give_up() -> None:
        app = await chatpic.ChatPic.open_async(tmp_path / "data")
        share = await app.create_async([photograph])
        view = await app.view_async(share.id, share.link_key)
        leaked = await view.image_async(0)
        trace = asyncio.create_task(app.trace_async(share.id, share.dashboard_key, leaked))
        await asyncio.sleep(0)
        trace.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trace
        # Only one trace of a share runs at a time: the one given up on is over, or soon will be.
        while True:
            try:
                report = await app.trace_async(share.id, share.dashboard_key, leaked)
                break
            except chatpic.Conflict:
                await asyncio.sleep(0)
        assert [match.session for match in report.matches] == [view.session]

    asyncio.run(give_up())


def test_other_threads_run_while_a_call_blocks(app: chatpic.ChatPic, photograph: bytes, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(photograph,))
    writer.start()
    # The call reads what another thread writes meanwhile; if it kept the interpreter's lock, both would wait for ever.
    faulthandler.dump_traceback_later(60, exit=True)
    share = app.create([pipe])
    faulthandler.cancel_dump_traceback_later()
    writer.join()
    assert share.images[0].width == 768


@pytest.mark.parametrize("run", range(10))
def test_the_interpreter_ends_well_in_the_middle_of_a_call(run: int, photograph: bytes, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(photograph)
    script = f"""
import asyncio, chatpic
app = chatpic.ChatPic.in_memory()
async def main():
    share = await app.create_async([{str(picture)!r}])
    view = await app.view_async(share.id, share.link_key)
    for call in (view.image_async(0), app.trace_async(share.id, share.dashboard_key, await view.image_async(0))):
        asyncio.ensure_future(call)
    await asyncio.sleep(0)
asyncio.run(main())
print("done")
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_after_a_fork_the_child_opens_its_own(app: chatpic.ChatPic, photograph: bytes, tmp_path: Path) -> None:
    share = app.create([photograph])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                app.cover(share.id)
            except chatpic.ChatPicError as error:
                assert "fork" in str(error)
                assert chatpic.ChatPic.open(tmp_path / "data").cover(share.id).image_count == 1
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert app.cover(share.id).image_count == 1
