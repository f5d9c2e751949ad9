"""The HTTP meter: reserve, settle, release and usage for services in any language. Needs the extra ``fastapi``."""

from api_billing.metering.service.app import create_app

__all__ = ["create_app"]
