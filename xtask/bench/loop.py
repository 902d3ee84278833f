"""The least that a program in Python does with a line: read it, and write an answer.

`cargo xtask bench` runs it over the same file as `crossfade node`. It decides nothing
and counts nobody.
"""

import json
import sys

for line in sys.stdin:
    body = json.loads(line)["body"]
    reply = {"type": "users_response", "in_reply_to": body["msg_id"], "version": "v1", "canary": False}
    sys.stdout.write(json.dumps(reply, separators=(",", ":")) + "\n")
