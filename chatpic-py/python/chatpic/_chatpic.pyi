from collections.abc import Sequence
from typing import final

import numpy
import numpy.typing

__all__ = ["ChatPicError", "Match", "Watermarker"]

_Pixels = numpy.typing.NDArray[numpy.uint8]

class ChatPicError(Exception):
    """What ChatPic could not do, in words."""

@final
class Match:
    """A session that a leaked picture was served to."""

    @property
    def session(self) -> str:
        """The session ID, 8 hex digits."""

    @property
    def score(self) -> float:
        """How far the evidence stands out, in standard deviations."""

    @property
    def false_alarm(self) -> float:
        """The probability that any innocent candidate would score so high."""

@final
class Watermarker:
    """Marks copies of one image; carriers and codes are keyed by the secret and the image's name."""

    def __new__(cls, secret: bytes, *, image: str) -> Watermarker: ...
    def embed(self, pixels: _Pixels, session: str) -> _Pixels:
        """The session's copy of an image of shape (height, width, 3) or (height, width, 4), same shape."""

    def trace(self, leaked: _Pixels, sessions: Sequence[str], *, size: tuple[int, int]) -> list[Match]:
        """The sessions that a leaked picture was served to, best first; `size` is the marked image's
        (width, height)."""
