"""
The contracts as test classes, for whoever writes a protocol, a consumer or mirrors.

They are plain pytest classes with C{async def} methods.  They need pytest-twisted and hypothesis
(C{pip install pulp_dl[test]}), and no fixture.
"""

from __future__ import annotations

try:
    import pytest

    # So that a broken promise is shown with its values.
    pytest.register_assert_rewrite(
        "pulp_dl.testing.fetcher_checks",
        "pulp_dl.testing.fetcher_endings",
        "pulp_dl.testing.fetcher_trial",
        "pulp_dl.testing.consumer_checks",
        "pulp_dl.testing.consumer_trial",
        "pulp_dl.testing.mirrors_checks",
    )

    from .consumer_checks import ConsumerCase, check_consumer
    from .fetcher_checks import FetcherCase, check_fetcher
    from .mirrors_checks import MirrorsCase, check_mirrors
except ImportError as error:
    raise ImportError("the checks need pytest and hypothesis: pip install 'pulp_dl[test]'") from error

__all__ = ["ConsumerCase", "FetcherCase", "MirrorsCase", "check_consumer", "check_fetcher", "check_mirrors"]
