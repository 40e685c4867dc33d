"""A model behind an OpenAI-compatible server, as a policy. HTTP and JSON; no torch."""

from minirl.endpoint.address import Server
from minirl.endpoint.client import Patience
from minirl.endpoint.journal import Journal
from minirl.endpoint.policy import EndpointPolicy
from minirl.endpoint.spend import Cap, CapReached, Prices, Spent
from minirl.endpoint.wire import Sampling

__all__ = [
    "Cap",
    "CapReached",
    "EndpointPolicy",
    "Journal",
    "Patience",
    "Prices",
    "Sampling",
    "Server",
    "Spent",
]
