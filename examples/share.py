"""Share from Python, look, and find out who leaked: `python examples/share.py [PHOTOGRAPH..]` (pip install chatpic).

The second half does the same from asyncio, as a chat bot or a web application would.
"""

import asyncio
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import chatpic


def share_and_trace(app: chatpic.ChatPic, photographs: list[Path]) -> None:
    """A share's whole life, one step after the other."""
    share = app.create(photographs, expires_in=timedelta(days=1), max_views=5, password="s3cret")
    print(f"the link ends in /s/{share.id}#.., and is good until {share.expires_at:%d %B %H:%M} UTC")

    view = app.view(share.id, share.link_key, password="s3cret", country="DE")
    leaked = view.image(0)
    print(f"{view.session} looks from Germany; {view.views_left} views are left")

    app.burn(share.id, share.dashboard_key)
    [match] = app.trace(share.id, share.dashboard_key, leaked).matches
    print(f"the images are gone, and the leak is traced to {match.session} all the same")
    assert match.session == view.session


async def many_at_once(app: chatpic.ChatPic, photographs: list[Path]) -> None:
    """Ten people press *View* at the same moment; three of them get in."""
    share = await app.create_async(photographs, max_views=3)
    tries = (app.view_async(share.id, share.link_key) for _ in range(10))
    views = [view for view in await asyncio.gather(*tries, return_exceptions=True) if isinstance(view, chatpic.View)]
    copies = await asyncio.gather(*(view.image_async(0) for view in views))
    print(f"{len(views)} of 10 got in, and each was shown a copy of its own")
    assert len(set(copies)) == 3


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(__file__).resolve().parents[1]
        photographs = [Path(name) for name in sys.argv[1:]] or [here / "docs/pictures/viewer-desktop.webp"]
        app = chatpic.ChatPic.open(Path(folder) / "data")
        share_and_trace(app, photographs)
        asyncio.run(many_at_once(app, photographs))


if __name__ == "__main__":
    main()
