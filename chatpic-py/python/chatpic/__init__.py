"""ChatPic for Python: mark images for one viewing session each, and trace a leaked copy.

>>> import numpy
>>> marker = Watermarker(bytes(32), image="holiday")
>>> picture = numpy.random.default_rng(1).integers(0, 255, (480, 640, 3), numpy.uint8)
>>> marked = marker.embed(picture, "E64F44F6")
>>> [match.session for match in marker.trace(marked, ["E64F44F6", "00C0FFEE"], size=(640, 480))]
['E64F44F6']
"""

from ._chatpic import ChatPicError, Match, Watermarker

__all__ = ["ChatPicError", "Match", "Watermarker"]
