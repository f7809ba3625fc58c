"""A remote by Pulp's names, on the wire."""

from __future__ import annotations

from typing import Any

import pytest
import trustme

from pulp_dl import Downloader, Remote, ToMemory
from pulp_dl.errors import TLSFailed
from pulp_dl.testing import FaultServer, ServerTLS, answer


async def test_a_client_certificate_a_password_and_headers_of_pulp_open_a_server(reactor: Any) -> None:
    authority = trustme.CA()
    ca = authority.cert_pem.bytes()
    server_identity = authority.issue_cert("localhost").private_key_and_cert_chain_pem.bytes()
    client = authority.issue_cert("elmer@example.org")
    options = {
        "ca_cert": ca.decode(),
        "client_cert": client.cert_chain_pems[0].bytes().decode(),
        "client_key": client.private_key_pem.bytes().decode(),
        "tls_validation": True,
        "username": "elmer",
        "password": "wabbit",
        "headers": [{"X-Bear": "1"}],
        "max_retries": 0,
    }
    async with FaultServer(reactor, answer(b"bear"), tls=ServerTLS(server_identity, ca)) as server:
        url = server.url("/bear.iso", "localhost")
        listing = ToMemory()
        async with Downloader(reactor, Remote.from_pulp({**options, "url": url})) as downloader:
            await downloader.download(url, listing)
        assert listing.data == b"bear"
        (request,) = server.requests
        assert request.get(b"authorization") == b"Basic ZWxtZXI6d2FiYml0"
        assert request.get(b"x-bear") == b"1"
        assert request.certificate is not None

        for wrong in ({**options, "ca_cert": None}, {**options, "client_cert": None, "client_key": None}):
            async with Downloader(reactor, Remote.from_pulp(wrong)) as downloader:
                with pytest.raises(TLSFailed):
                    await downloader.download(url, ToMemory())

        async with Downloader(reactor, Remote.from_pulp({**options, "ca_cert": None, "tls_validation": False})) as one:
            await one.download(url, ToMemory())
        assert len(server.requests) == 2
