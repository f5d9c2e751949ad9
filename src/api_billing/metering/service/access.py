"""Who may ask the HTTP meter: a service with its token to meter, whoever administers it with another one for everything
else, a consumer with its API key for its own usage.

A consumer's name is only ever taken from its key. What a request with a key says beside it can narrow nothing and widen
nothing: naming another consumer is refused.
"""

from __future__ import annotations

import logging
import os

from fastapi import Request

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.identity.api_keys import read_key
from api_billing.metering.identity.extractors import MAX_CREDENTIAL_LENGTH, api_key
from api_billing.metering.meter import Meter
from api_billing.metering.request.http import MeteredRequest, TextHeaders
from api_billing.metering.request.identity import Extractor, Identity, identify
from api_billing.metering.service.problems import ServiceProblem
from api_billing.metering.stores.steps import Steps, arun
from api_billing.metering.web.tokens import Tokens, are_long, bearer_of
from api_billing.networks import canonical_name

_log = logging.getLogger("api_billing.metering.service")


class Access:
    """Checks tokens and keys. Of either token there may be several, with commas. Without ``admin_token`` nobody
    administers.

    Raises: InvalidSetting for a token that is too short, two that are the same, or without a pepper for keys.
    """

    def __init__(self, meter: Meter, service_token: str, admin_token: str = "") -> None:
        if not are_long(service_token):
            raise InvalidSetting(
                "the HTTP meter needs a service token of at least 16 bytes",
                hint='set API_BILLING_SERVICE_TOKEN: export API_BILLING_SERVICE_TOKEN="$(openssl rand -hex 32)"',
            )
        if admin_token and not are_long(admin_token):
            raise InvalidSetting("the admin token of the HTTP meter has at least 16 bytes")
        self._meter = meter
        self._service = Tokens(service_token)
        self._admin = Tokens(admin_token)
        self.has_admin = bool(admin_token)  # whether there is a token to administer with
        if self._admin.shares(self._service):
            raise InvalidSetting("the admin token is another one than the service token, which services have")
        pepper = meter.pepper() if meter.is_on else os.urandom(32)  # which the store is asked about
        # Cached, as a revocation reaches the next reservation by the profile's version.
        self.identify: Extractor = api_key(pepper, cache=meter.key_cache)
        # Reading has no such second look, so that a key is looked up each time.
        self._identify_reader: Extractor = api_key(pepper)

    def has_token(self, request: Request) -> bool:
        """Whether the request carries one of the two tokens."""
        credential = _credential(request)
        return self._service.is_shown(credential) or self._admin.is_shown(credential)

    def require_service(self, request: Request) -> None:
        """Raises: ServiceProblem unless the request carries the service token."""
        if not self._service.is_shown(_credential(request)):
            self._log_wrong("service", request)
            raise ServiceProblem("invalid_service_token", "Authorization: Bearer has to carry the service token.")

    def require_token(self, request: Request) -> None:
        """Raises: ServiceProblem unless the request carries one of the two tokens."""
        if not self.has_token(request):
            self.require_service(request)

    def require_admin(self, request: Request) -> None:
        """Raises: ServiceProblem unless the request carries the admin token."""
        if not self._admin.is_shown(_credential(request)):
            self._log_wrong("admin", request)
            raise ServiceProblem("invalid_admin_token", "Authorization: Bearer has to carry the admin token.")

    def _log_wrong(self, which: str, request: Request) -> None:
        if "authorization" in request.headers:
            where = request.client.host if request.client is not None else "a socket"
            what = "%s sent what is not the %s token, for %.100s"
            self._meter.seldom.log(_log, logging.WARNING, what, where, which, request.url.path, kind=which)

    async def reader(self, request: Request, consumer: str | None) -> str:
        """The consumer whose usage may be read. Raises: ServiceProblem."""
        credential = _credential(request)
        if self._service.is_shown(credential) or self._admin.is_shown(credential):
            if consumer is None:
                raise ServiceProblem("invalid_request", "query.consumer: a service has to name the consumer")
            return canonical_name(consumer)
        identity = await arun(self._identified(credential), self._meter.store.acall)
        if not isinstance(identity, Identity):
            raise ServiceProblem(
                "invalid_credentials", "Authorization: Bearer has to carry the service token or a valid API key."
            )
        if self._meter.hides_usage(identity.key):
            raise ServiceProblem("limited_key", "A key that is limited to some APIs, or has a cap, reads no usage.")
        if consumer is not None and canonical_name(consumer) != identity.consumer:
            raise ServiceProblem("other_consumer", "An API key reads the usage of its own consumer only.")
        return identity.consumer

    def _identified(self, credential: str) -> Steps[object]:
        if read_key(self._meter.pepper(), credential) is None:
            return None
        request = bearer("GET", "/", credential, self._meter.now_ms())
        return (yield from identify(self._identify_reader, request, self._meter.seldom))


def bearer(
    method: str, route: str, credential: str, at_ms: int, request_id: str = "", address: str = ""
) -> MeteredRequest:
    """A request as the meter's extractors see it, with nothing in it but a credential and an id."""
    headers = [("authorization", f"Bearer {credential}")] if credential else []
    if request_id:
        headers.append(("x-request-id", request_id))
    return MeteredRequest(method, route, TextHeaders(headers), route=route, client=address, at_ms=at_ms, body=b"")


def _credential(request: Request) -> str:
    values = request.headers.getlist("authorization")
    if len(values) != 1 or len(values[0]) > MAX_CREDENTIAL_LENGTH:
        return ""
    return bearer_of(values[0])
