"""Drives `cent`, Centrifugo's own SDK: the same commands as ours, then each kind of error."""

import json
import sys

from cent import (
    BatchRequest,
    BroadcastRequest,
    CentApiResponseError,
    CentUnauthorizedError,
    Client,
    Disconnect,
    DisconnectRequest,
    HistoryRequest,
    InfoRequest,
    PublishRequest,
)

url, key, commands = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
kinds = {"publish": PublishRequest, "broadcast": BroadcastRequest, "disconnect": DisconnectRequest}
client = Client(url, key)
requests = [kinds[name](**params) for command in commands for name, params in command.items()]
replies = client.batch(BatchRequest(requests=requests)).replies
told = {"replies": [reply.model_dump() for reply in replies], "errors": []}
told["once"] = [
    client.publish(PublishRequest(channel="minimatics:user#1", data={}, idempotency_key="k")).offset
    for _ in "ab"
]
told["nodes"] = len(client.info(InfoRequest()).nodes)
told["history"] = len(client.history(HistoryRequest(channel="minimatics:user#1", limit=10)).publications)
client.disconnect(DisconnectRequest(user="bob", disconnect=Disconnect(code=4501, reason="signed out")))
try:
    client.publish(PublishRequest(channel="nobody:1", data={}))
except CentApiResponseError as error:
    told["errors"].append(error.code)
try:
    Client(url, "another").info(InfoRequest())
except CentUnauthorizedError:
    told["errors"].append(401)
print(json.dumps(told))
