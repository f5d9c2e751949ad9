"""Adapters: the meter in front of ASGI and WSGI applications, Starlette, FastAPI, Flask and Django."""
