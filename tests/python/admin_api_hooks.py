"""What the OpenAPI document of the admin API says in words only, for schemathesis.

Nothing here makes a wrong request right: it makes requests that the schema
calls valid agree with the sentences beside it, so that whatever the server
refuses of them is a finding. Requests meant to be wrong stay as they are.
"""

import datetime
import itertools
import os
import random
import re

import schemathesis
import urllib3.connection
from hypothesis import strategies as st

LABEL = st.from_regex(r"[a-z]([a-z0-9]{0,10})", fullmatch=True)
HOST = st.one_of(
    st.lists(LABEL, min_size=1, max_size=3).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map("[{}]".format),
)
MOMENT = st.datetimes(min_value=datetime.datetime(2030, 1, 1), max_value=datetime.datetime(2200, 1, 1))

schemathesis.openapi.format("destination", st.builds("{}:{}".format, HOST, st.integers(1, 65535)))
schemathesis.openapi.format("ip-network", st.ip_addresses().map(str))
schemathesis.openapi.format("date-time", MOMENT.map(lambda at: at.isoformat(timespec="milliseconds") + "Z"))

OWN_TOKEN, SPARE_TOKEN = os.environ.get("ADMIN_API_TOKEN_ID"), os.environ.get("ADMIN_API_SPARE_TOKEN_ID")
NUMBERS = itertools.count(1)
CURSOR = re.compile(r"[A-Za-z0-9_-]{8,1024}")
KEY = re.compile(r"[!-~]{1,128}")
PRECONDITIONS = {"If-Match": re.compile(r'"(0|[1-9][0-9]{0,17})"|\*'), "If-None-Match": re.compile(r"\*")}
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@schemathesis.hook
def before_call(context, case, kwargs):
    query, headers, path = case.query, case.headers, case.path_parameters
    # A cursor is one that a list gave: a made-up one is refused, as the tests of the API prove.
    if query and isinstance(query.get("cursor"), str) and CURSOR.fullmatch(query["cursor"]):
        del query["cursor"]
    # A key is for one request. The example in the document is one text for all.
    if headers and isinstance(headers.get("Idempotency-Key"), str) and KEY.fullmatch(headers["Idempotency-Key"]):
        headers["Idempotency-Key"] = f"fuzz-{next(NUMBERS)}"
    # Half of the names are of something that exists.
    if path and isinstance(path.get("workload"), str) and NAME.fullmatch(path["workload"]) and random.random() < 0.5:
        path["workload"] = f"seed-{random.randrange(SEEDS)}"
        if "measurement" in path:
            path["measurement"] = "v1"
    # Whoever revokes the token he works with works no more. Another that exists stands in its place: one
    # that does not would be taken for a token that was made and is not found.
    if path and path.get("token") == OWN_TOKEN:
        path["token"] = SPARE_TOKEN
    # In its coverage phase schemathesis sends "0" as a valid header, whatever the pattern says.
    if case.meta is not None and case.meta.generation.mode == schemathesis.GenerationMode.POSITIVE:
        for name, pattern in PRECONDITIONS.items():
            if headers and name in headers and not pattern.fullmatch(str(headers[name])):
                del headers[name]
    if isinstance(case.body, dict):
        # What expires did not expire yet. Moments of earlier answers did.
        if isinstance(case.body.get("expires"), str) and case.body["expires"].startswith("20") and case.body["expires"] < "2030":
            case.body["expires"] = "2031-01-01T00:00:00Z"
        in_order(case.body, "not_before", "expires", str)
        # A patch of one of them is judged with the other one that stands, which no schema knows: that one goes.
        if case.method.upper() == "PATCH" and ("not_before" in case.body) != ("expires" in case.body):
            case.body.setdefault("not_before", None)
            case.body.setdefault("expires", None)
        if isinstance(case.body.get("lease"), dict):
            in_order(case.body["lease"], "min_seconds", "max_seconds", (int, float))


def in_order(values, first, second, kind):
    """What comes first is not after what comes second; neither are two moments one."""
    low, high = values.get(first), values.get(second)
    if isinstance(low, kind) and isinstance(high, kind) and not isinstance(low, bool) and not isinstance(high, bool):
        if low > high:
            values[first], values[second] = high, low
        elif low == high and kind is str:
            del values[first]


# Every connection comes from another address of loopback: failed logins slow
# down the network that they come from, and a fuzzer's fail by the hundred.
CONNECT = urllib3.connection.HTTPConnection._new_conn


def from_somewhere(self):
    self.source_address = (f"127.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}", 0)
    return CONNECT(self)


urllib3.connection.HTTPConnection._new_conn = from_somewhere

# As many as admin_api.py makes.
SEEDS = 100
