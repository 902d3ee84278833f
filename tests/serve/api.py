"""The HTTP API of a real `crossfade serve`, asked by tools that know nothing of it.

Requests drawn from its OpenAPI description (schemathesis) get no server error and no
answer that the description does not have, and what is not in the description is refused.
/metrics is read by Prometheus' own parsers, and says what /v1/status says.

Usage: api.py CROSSFADE [SEED]
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

PLAN = """
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
rollout:
  steps:
    - { percentage: 10, duration_minutes: 60 }
    - { percentage: 100, duration_minutes: 60 }
deprecation: { deprecated_at: "2026-01-01", sunset_at: "2096-01-01" }
brownouts:
  - { name: first, start: "2095-10-01T10:00:00Z", minutes: 10, percentage: 5 }
"""

# Events never end; the bodies of the others are no JSON, and the Rust tests send them.
EXCLUDED = ["/v1/client-reports", "/v1/events", "/v1/module", "/v1/totals"]

# What a schema cannot say: which versions there are, when a rollout can be paused. And a
# missing `If-Match` is answered 428, as RFC 6585 has it.
CHECKS_LEFT_OUT = "positive_data_acceptance,missing_required_header"


def main():
    program, seed = sys.argv[1], int((sys.argv[2:] or [random.randrange(1 << 31)])[0])
    with tempfile.TemporaryDirectory() as directory:
        with open(f"{directory}/plan.yaml", "w") as plan:
            plan.write(PLAN)
        arguments = ["serve", f"{directory}/plan.yaml", "--data", f"{directory}/data"]
        server = subprocess.Popen(
            [program, *arguments, "--listen", "127.0.0.1:0"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
        )
        try:
            url = listening(server)
            with open(f"{directory}/data/operator.token") as file:
                token = file.read().strip()
            check_metrics(url)
            check_description(url, token, seed, directory)
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate()
    assert server.returncode == 143, f"it ended with {server.returncode}"


def listening(server):
    log = []
    for line in server.stderr:
        log.append(line)
        found = re.search(r"listening on (\S+)", line)
        if found:
            return found[1]
    raise SystemExit("it did not start:\n" + "".join(log))


def ask(url, path, accept="*/*", body=None):
    headers = {"accept": accept, "content-type": "application/json"}
    request = urllib.request.Request(url + path, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read().decode()


def check_metrics(url):
    report = {
        "node": "edge-1",
        "epoch": "00000000000000e1",
        "sequence": 1,
        "revision": 2,
        "versions": [
            {"version": "v1", "routed": 900, "requests": 900, "failures": 9, "latency": [[20, 900]]},
            {"version": "v2", "routed": 100, "requests": 100, "failures": 2, "latency": [[20, 100]]},
        ],
    }
    ask(url, "/v1/totals", body=json.dumps(report).encode() + b"\n")
    clients = {
        "node": "edge-1",
        "epoch": "00000000000000e1",
        "sequence": 1,
        "revision": 2,
        "versions": ["v1", "v2"],
        "clients": [
            {"key": f"user-{n}", "on": n % 2, "counts": [[n % 2, 3, 1, 1760000000, 1760000060]]}
            for n in range(7)
        ],
    }
    ask(url, "/v1/client-reports", body=json.dumps(clients).encode() + b"\n")
    status = json.loads(ask(url, "/v1/status"))
    formats = {"application/openmetrics-text": openmetrics, "text/plain": plain}
    for accept, parse in formats.items():
        families = list(parse(ask(url, "/metrics", accept)))
        assert all(family.documentation and family.type != "unknown" for family in families)
        found = {}
        for sample in (sample for family in families for sample in family.samples):
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value

        def value(name, **labels):
            # What is not known has no series, and is null in the status.
            return found.get((f"crossfade_{name}", frozenset(labels.items())))

        rollout, migration = status["rollout"], status["migration"]
        assert value("policy_revision") == status["revision"]
        assert value("weight_ratio") == rollout["percentage"] / 100
        assert value("rollout_step") == rollout["step"]
        assert value("rollout_phase", phase=rollout["phase"]) == 1
        assert value("gate_verdict", check="all", verdict=rollout["verdict"]) == 1
        failures = rollout["evidence"]["failures"]
        for proves in ["worse", "ok"]:
            labels = {"check": "failures", "proves": proves}
            assert value("gate_log_evidence", **labels) == failures[f"log_e_{proves}"]
            assert value("gate_threshold", **labels) == failures[f"threshold_{proves}"]
        for bound in ["low", "high"]:
            assert value("gate_failure_risk_ratio", bound=bound) == failures["ratio_interval"][bound]
        share = rollout["evidence"]["sample_ratio"]
        labels = {"check": "sample_ratio", "proves": "mismatch"}
        assert value("gate_log_evidence", **labels) == share["log_bf"]
        assert value("gate_threshold", **labels) == share["threshold"]
        for version, outcomes in migration["outcomes"].items():
            assert value("requests_total", version=version) == outcomes["requests"] > 0
            assert value("failures_total", version=version) == outcomes["failures"] > 0
            assert value("clients", version=version) == migration["clients"][version] in (3, 4)
        sunset = status["sunset"]
        assert value("sunset_ready") == 0
        for bound in ["at_most", "expected"]:
            assert value("sunset_dependent_clients", bound=bound) == sunset["depend"][bound]
        for check in sunset["checks"]:
            assert value("sunset_check", check=check["check"]) == check["ok"]
        assert value("clients_sampled") == 0
        life = json.loads(ask(url, "/v1/life"))
        assert value("life_phase", phase=life["phase"]) == 1
        assert value("brownout_running", brownout="first") == 0
        assert value("brownout_refused_requests_total", brownout="first") == 0
        assert value("nodes_reporting") == 1
        assert 0 <= value("report_age_seconds", node="edge-1") < 60
        assert value("reports_total") == 2
    print(f"metrics: {len(found)} series agree with /v1/status, in both formats")


def check_description(url, token, seed, directory):
    command = [
        f"{os.path.dirname(sys.executable)}/schemathesis", "run", f"{url}/v1/openapi.json",
        "--header", f"Authorization: Bearer {token}",
        "--phases", "examples,coverage,fuzzing",
        "--exclude-checks", CHECKS_LEFT_OUT,
        "--max-examples", "30",
        "--seed", str(seed),
        "--generation-database", "none",
        "--request-timeout", "70",
        "--suppress-health-check", "all",
        "--warnings", "off",
        "--no-color",
    ]
    for path in EXCLUDED:
        command += ["--exclude-path", path]
    print(f"schemathesis with seed {seed}: again with `api.py CROSSFADE {seed}`", flush=True)
    subprocess.run(command, check=True, cwd=directory)


main()
