"""Tells schemathesis, which loads this by SCHEMATHESIS_HOOKS, what real data look like: nothing is checked less."""

from conftest import png
from hypothesis import strategies
from schemathesis import openapi

PICTURES = strategies.sampled_from([png(height, width) for height, width in [(1, 1), (24, 32), (120, 90)]])

# Whatever a picture is called, it is told by its content.
for media_type in ("image/jpeg", "image/png", "image/gif", "image/webp"):
    openapi.media_type(media_type, PICTURES)

# ISO 8601 writes down years as well; these lie within every limit.
openapi.format("duration", strategies.sampled_from(["PT1M", "PT90S", "P1D", "P1W", "PT1H30M", "P2DT3H"]))
