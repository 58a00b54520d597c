"""HTTP/1.1 with limits that uvicorn's own protocol lacks: the parser keeps a header until it ends, however long."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024
"""Request line and headers, or trailers, or whatever else comes without a byte of body."""

UNREAD_BYTES_MAX = 4 * 1024 * 1024
"""What is left of a body after its answer is read and dropped, so that the answer arrives; not for ever."""


class LimitedProtocol(HttpToolsProtocol):
    """Closes connections that send headers, or a body that was refused already, without end."""

    _bodiless_bytes = 0
    _unread_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._bodiless_bytes += len(data)
        super().data_received(data)
        if self._bodiless_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.send_400_response("The request's headers are too large.")
            else:
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._bodiless_bytes = self._unread_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._bodiless_bytes = 0
        if self.cycle.response_complete:
            self._unread_bytes += len(body)
            if self._unread_bytes > UNREAD_BYTES_MAX:
                self.transport.close()
        super().on_body(body)
