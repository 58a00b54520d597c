"""Swagger works without a byte from another host."""

from __future__ import annotations

import re

import httpx

from tests.attack.target import Target


def test_docs_and_what_they_load_come_from_this_host_alone(target: Target) -> None:
    page = httpx.get(f"{target.address}/docs")
    assert page.status_code == 200
    addresses = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)""", page.text)
    assert len(addresses) >= 3
    for address in addresses:
        assert address.startswith("/")
        assert not address.startswith("//")
        assert httpx.get(f"{target.address}{address}").status_code == 200, address
    assert "http://" not in page.text
    assert "https://" not in page.text


def test_browser_is_told_to_load_from_no_other_host_and_to_show_the_page_in_no_frame(target: Target) -> None:
    """Swagger UI would ask validator.swagger.io about the description wherever the page is not on localhost."""
    page = httpx.get(f"{target.address}/docs")
    policy = page.headers["content-security-policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["frame-ancestors"] == "'none'"
    assert "unsafe-inline" not in directives["script-src"]
    assert not re.search(r"https?:|\*", policy)
    assert '"validatorUrl": null' in page.text
