"""Private, temporary image sharing in which every viewing session is shown its own copy.

`ChatPic` is the whole life of a share: create, view, follow, burn, trace. `Watermarker` is the forensic mark alone, on
numpy arrays and image files. Calls that take time let other threads run, and have a twin ending in `_async` for
asyncio. What goes wrong is a `ChatPicError`.

`python -m chatpic` is the program `chatpic`: the site (`serve`), `trace` and the other commands.
"""

from ._chatpic import (
    Blocked,
    ChatPic,
    ChatPicError,
    Conflict,
    Cover,
    Dashboard,
    ImageInfo,
    Match,
    NotFound,
    OutOfRange,
    PasswordMissing,
    PasswordWrong,
    Plan,
    Receipt,
    Rejected,
    SessionInfo,
    SessionOver,
    Share,
    Swept,
    Throttled,
    TraceMatch,
    TraceReport,
    Unauthorized,
    Unavailable,
    View,
    Watermarker,
)

__all__ = [
    "Blocked",
    "ChatPic",
    "ChatPicError",
    "Conflict",
    "Cover",
    "Dashboard",
    "ImageInfo",
    "Match",
    "NotFound",
    "OutOfRange",
    "PasswordMissing",
    "PasswordWrong",
    "Plan",
    "Receipt",
    "Rejected",
    "SessionInfo",
    "SessionOver",
    "Share",
    "Swept",
    "Throttled",
    "TraceMatch",
    "TraceReport",
    "Unauthorized",
    "Unavailable",
    "View",
    "Watermarker",
]
