"""Events: what a contract announces to the outside."""

from genlayer_localnet.std.shared.events import BaseEvent

__all__ = ("Event",)


class Event(BaseEvent):
    __doc__ = (BaseEvent.__doc__ or "").replace("Event)", "gl.Event)")
