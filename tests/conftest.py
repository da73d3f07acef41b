"""How hard hypothesis tries: as usual, or ``SETPROTO_HYPOTHESIS=thorough`` for a night's run."""

import os

from hypothesis import HealthCheck, settings

# No deadline and no complaint about slow data: the time of an RSA key or of a busy machine is not a defect.
settings.register_profile(
    "default", deadline=None, max_examples=100, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=5_000)
settings.load_profile(os.environ.get("SETPROTO_HYPOTHESIS", "default"))
