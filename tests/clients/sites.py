"""Which kind of site each sample agent has."""

from callers import CallerSite
from sockets import SocketSite
from work_queue import QueueSite

SITES = {
    "python": QueueSite,
    "rust": QueueSite,
    "node": CallerSite,
    "go": CallerSite,
    "websocket": SocketSite,
}
