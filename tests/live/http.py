"""A person at a browser without JavaScript: cookies, forms, redirects on request."""

from __future__ import annotations

import http.client
import http.cookies
import json
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Page:
    status: int
    headers: http.client.HTTPMessage
    text: str

    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def location(self) -> str:
        return self.headers.get("Location", "")

    def config(self) -> dict[str, Any]:
        """The bell's configuration in the page."""
        found = re.search(r'<script[^>]*id="nb-config"[^>]*>(.*?)</script>', self.text, re.DOTALL)
        assert found, f"no nb-config in the page:\n{self.text[:2000]}"
        return json.loads(found[1])  # type: ignore[no-any-return]


class Visitor:
    def __init__(self, url: str, cookies: dict[str, str] | None = None) -> None:
        self._host = urllib.parse.urlsplit(url).netloc
        self.url = url
        self.cookies = dict(cookies or {})

    def get(self, path: str, **headers: str) -> Page:
        return self._send("GET", path, None, headers)

    def post(self, path: str, fields: dict[str, Any] | None = None, **headers: str) -> Page:
        """Fill in and send a form."""
        form = {"csrfmiddlewaretoken": self._csrf_token(), **(fields or {})}
        body = urllib.parse.urlencode(form, doseq=True)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} | headers
        return self._send("POST", path, body, headers)

    def post_json(self, path: str, value: Any, **headers: str) -> Page:
        return self.post_text(path, json.dumps(value), **headers)

    def post_text(self, path: str, body: str, **headers: str) -> Page:
        """Send something as JSON, whether it is or not."""
        headers = {
            "Content-Type": "application/json",
            "X-CSRFToken": self._csrf_token(),
        } | headers
        return self._send("POST", path, body, headers)

    def post_chunked(self, path: str, chunks: list[bytes]) -> Page:
        """Send a body bit by bit, without saying how long it will be."""
        headers = {
            "Content-Type": "application/json",
            "X-CSRFToken": self._csrf_token(),
            "Transfer-Encoding": "chunked",
        }
        return self._send("POST", path, iter(chunks), headers)

    def _csrf_token(self) -> str:
        if "csrftoken" not in self.cookies:
            self.cookies["csrftoken"] = "c" * 32
        return self.cookies["csrftoken"]

    def _send(
        self, method: str, path: str, body: str | Iterator[bytes] | None, headers: dict[str, str]
    ) -> Page:
        sent = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "Origin": self.url,
        } | headers
        connection = http.client.HTTPConnection(self._host, timeout=30)
        try:
            connection.request(method, path, body, sent, encode_chunked="Transfer-Encoding" in sent)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        for line in response.headers.get_all("Set-Cookie", []):
            for name, morsel in http.cookies.SimpleCookie(line).items():
                if morsel.value:
                    self.cookies[name] = morsel.value
                else:
                    self.cookies.pop(name, None)
        return Page(response.status, response.headers, text)
