from collections.abc import Sequence
from typing import final, overload

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
    @overload
    def embed(self, image: _Pixels, session: str) -> _Pixels:
        """The session's copy of an image of shape (height, width, 3) or (height, width, 4), same shape."""

    @overload
    def embed(self, image: bytes, session: str) -> bytes:
        """The session's copy of an image file: JPEG of a JPEG, PNG of any other."""

    def trace(
        self,
        leaked: _Pixels | bytes,
        candidates: Sequence[str],
        *,
        size: tuple[int, int],
        original: _Pixels | bytes | None = None,
    ) -> list[Match]:
        """The sessions that a leaked picture was served to, best first; `size` is the marked image's
        (width, height). The image before it was marked, if it is still at hand, makes the search surer."""
