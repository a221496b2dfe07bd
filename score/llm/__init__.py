"""An endpoint with its sampling: async chat calls with limits, retries, a circuit breaker and usage.

Only this package talks to models.
"""

from score.llm.endpoint import Endpoint
from score.llm.settings import Endpoints, EndpointSettings, Sampling
from score.llm.usage import Account, Completion, Usage, open_account

__all__ = [
    "Account",
    "Completion",
    "Endpoint",
    "EndpointSettings",
    "Endpoints",
    "Sampling",
    "Usage",
    "open_account",
]
