"""The Grafana dashboard, made from the table of metrics: dashboard.py [--write].

The table stands in docs/operations.md, where a unit test compares it with base/metrics.c. What is
shown where is said below; a metric that nothing below names gets a panel of its own under "Other", so
that each is on the dashboard. Without --write the file is only compared.
"""

import json
import re
import sys
from pathlib import Path

TABLE = Path("docs/operations.md")
DASHBOARD = Path("deploy/helm/sluice/files/dashboard.json")
ROW = re.compile(r"^\| `(sluice_\w+)` \| (counter|gauge) \| ([\w, ]*) \| (.*) \|$", re.M)

# Label values that a reader chooses, and the metric that knows them.
VARIABLES = {"stream": "sluice_lag_seconds", "table": "sluice_exports_late",
             "sink": "sluice_delivered_total"}
# How the gauges of several workers become one number, and by what. Others: the largest, by labels.
GAUGES = {
    "sluice_time_to_loss_seconds": ("min", None),
    "sluice_credentials_expiry_seconds": ("min", ["instance"]),
    "sluice_shards": ("sum", None),
    "sluice_shards_behind": ("sum", None),
    "sluice_sink_holds_shards": ("sum", None),
    "sluice_poll_limit": ("sum", None),
    "sluice_poll_units_month": ("sum", None),
    "sluice_poll_cost_dollars_month": ("sum", None),
    "sluice_sink_unanswered_bytes": ("sum", None),
    "sluice_inflight_bytes": ("max", ["instance"]),
    "sluice_inflight_limit_bytes": ("max", ["instance"]),
    "sluice_aws_clock_offset_seconds": ("max", ["instance"]),
    "sluice_build_info": ("count", None),
}
# Rows of panels; a panel is a title and its metrics (without sluice_).
LAYOUT = {
    "Is anything wrong?": {
        "Time to loss": ["time_to_loss_seconds"],
        "Lag": ["lag_seconds"],
        "Gaps, repairs and warnings of loss": ["gaps_total", "repairs_total", "loss_warnings_total"],
        "Dead letters and dropped records": ["dead_letters_total", "dropped_total"],
        "Streams that stand still for too many of them": ["dead_letters_over"],
        "Held streams": ["stream_held"],
        "Workers by version": ["build_info"],
    },
    "Streams": {
        "Records read": ["records_total"],
        "Bytes read": ["record_bytes_total"],
        "Shards by state": ["shards"],
        "Shards that are behind": ["shards_behind"],
        "Reads of shards": ["polls_total", "poll_limit"],
        "Filtered records": ["filtered_total"],
        "New attributes": ["new_attributes_total"],
        "Read units of 30 days": ["poll_units_month"],
        "Cost of reading, dollars in 30 days": ["poll_cost_dollars_month"],
    },
    "Sinks": {
        "Delivered events": ["delivered_total"],
        "Delivered bytes": ["delivered_bytes_total"],
        "Not yet answered": ["sink_unanswered_bytes"],
        "Shards that wait for the sink": ["sink_holds_shards"],
        "Dead letters sent": ["dead_letters_sent_total"],
        "Sent again": ["sink_retries_total"],
        "Large records, bytes of their objects": ["large_objects_total", "large_object_bytes_total"],
        "Rolls": ["rolls_total"],
        "Age of the oldest roll": ["roll_age_seconds"],
        "Control events, changed partitions": ["control_events_total", "partition_changes_total"],
    },
    "Exports": {
        "Complete up to": ["export_age_seconds"],
        "Windows behind, exports late": ["export_windows_behind", "exports_late"],
        "Data files": ["export_files"],
        "Exports that AWS ended, and gaps": ["export_attempts_total", "export_gaps_total"],
        "Rows loaded": ["export_records_total"],
        "Bytes loaded and billed": ["export_bytes_total", "export_billed_bytes_total"],
    },
    "Workers": {
        "Bytes in flight, and their limit": ["inflight_bytes", "inflight_limit_bytes"],
        "Waits for memory": ["credit_waits_total"],
        "Calls to AWS": ["aws_calls_total"],
        "Connections opened": ["connections_opened_total"],
        "Credentials expire in": ["credentials_expiry_seconds"],
        "Credentials renewed": ["credential_refreshes_total"],
        "AWS's clock minus ours": ["aws_clock_offset_seconds"],
        "Saves, and seconds spent on them": ["saves_total", "save_seconds_total"],
        "Errors of the store": ["store_errors_total"],
        "Sessions begun and ended": ["sessions_total", "sessions_ended_total"],
    },
}
PANEL_WIDTH, PANEL_HEIGHT, GRID = 8, 7, 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Drift(Exception):
    """The layout and the table of metrics do not fit."""


def metrics(page):
    """The table: name → (type, labels, meaning)."""
    table = page.partition("<!-- metrics -->\n")[2].partition("<!-- end -->")[0]
    return {name: (kind, labels.split(", ") if labels else [], meaning)
            for name, kind, labels, meaning in ROW.findall(table)}


def unit(name):
    for part, grafana in (("_seconds_total", "short"), ("_bytes_total", "Bps"), ("_total", "ops"),
                          ("_seconds", "s"), ("_bytes", "bytes"), ("_dollars", "currencyUSD")):
        if part in name:
            return grafana
    return "short"


def target(name, kind, labels, letter):
    chosen = ",".join([f'{label}=~"${label}"' for label in labels if label in VARIABLES])
    series = f'{name}{{job=~"$job"{"," + chosen if chosen else ""}}}'
    if kind == "counter":
        way, by, series = "sum", labels, f"rate({series}[$__rate_interval])"
    else:
        way, by = GAUGES.get(name, ("max", None))
        by = labels if by is None else by
    return {"datasource": SOURCE, "refId": letter,
            "expr": f"{way} by ({', '.join(by)}) ({series})" if by else f"{way}({series})",
            "legendFormat": " ".join([name.removeprefix("sluice_"), *(f"{{{{{b}}}}}" for b in by)])}


def panel(number, title, names, table, x, y):
    return {"id": number, "type": "timeseries", "title": title, "datasource": SOURCE,
            "description": "\n\n".join(f"`{name}`: {table[name][2]}" for name in names),
            "gridPos": {"h": PANEL_HEIGHT, "w": PANEL_WIDTH, "x": x, "y": y},
            "fieldConfig": {"defaults": {"unit": unit(names[0])}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"},
                        "tooltip": {"mode": "multi", "sort": "desc"}},
            "targets": [target(name, *table[name][:2], chr(ord("A") + i))
                        for i, name in enumerate(names)]}


def rows(table):
    layout = {title: {name: ["sluice_" + metric for metric in names]
                      for name, names in panels.items()} for title, panels in LAYOUT.items()}
    placed = [name for panels in layout.values() for names in panels.values() for name in names]
    for name in [*placed, *GAUGES, *VARIABLES.values()]:
        if name not in table:
            raise Drift(f"{name} is in the layout, and no metric of {TABLE}")
    for name in placed:
        if placed.count(name) > 1:
            raise Drift(f"{name} is in two panels")
    other = {name.removeprefix("sluice_"): [name] for name in table if name not in placed}
    return {**layout, **({"Other": other} if other else {})}


def panels(table):
    made, y = [], 0
    for title, wanted in rows(table).items():
        made.append({"id": len(made) + 1, "type": "row", "title": title, "collapsed": False,
                     "panels": [], "gridPos": {"h": 1, "w": GRID, "x": 0, "y": y}})
        y += 1
        for i, (name, names) in enumerate(wanted.items()):
            made.append(panel(len(made) + 1, name, names, table, i * PANEL_WIDTH % GRID,
                              y + i * PANEL_WIDTH // GRID * PANEL_HEIGHT))
        y += -(-len(wanted) * PANEL_WIDTH // GRID) * PANEL_HEIGHT
    return made


def variable(name, metric):
    query = f"label_values({metric}, {name})"
    return {"name": name, "type": "query", "datasource": SOURCE, "query": query,
            "definition": query, "multi": True, "includeAll": True, "allValue": ".*",
            "refresh": 2, "sort": 1, "current": {"text": "All", "value": "$__all"}}


def dashboard(table):
    variables = {"job": "sluice_build_info", **VARIABLES}
    return {"title": "Sluice", "uid": "sluice", "tags": ["sluice"], "schemaVersion": 39,
            "editable": True, "graphTooltip": 1, "refresh": "30s", "timezone": "browser",
            "time": {"from": "now-6h", "to": "now"},
            "templating": {"list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                *(variable(name, metric) for name, metric in variables.items())]},
            "panels": panels(table)}


def main(write):
    try:
        now = json.dumps(dashboard(metrics(TABLE.read_text())), indent=1) + "\n"
    except Drift as error:
        print(f"dashboard: {error}")
        return 1
    if DASHBOARD.exists() and DASHBOARD.read_text() == now:
        print("dashboard: it has every metric")
        return 0
    if write:
        DASHBOARD.write_text(now)
        print(f"dashboard: wrote {DASHBOARD}")
        return 0
    print(f"dashboard: {DASHBOARD} is not what the metrics make; ./dev lint deploy --write")
    return 1


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
