"""One connection of the system's SQLite. Each line of JSON on stdin is an order (old-sqlite.ts)."""

import json
import sqlite3
import sys

# SQLite's locks are not fair: beside another writer at full speed on a busy machine, 20 seconds were not always enough.
BUSY_S = 100


def connect(path):
    return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)


if sqlite3.sqlite_version_info >= (3, 51, 3):
    sys.exit(f"SQLite {sqlite3.sqlite_version} has no WAL-reset bug: a python3 with an older one is needed on the PATH")
connection = connect(sys.argv[1])


def write(order):
    """Runs transactions of one row each at full speed, with explicit checkpoints. Returns their results by kind."""
    said = {}
    kinds = order["checkpoints"]
    for i in range(order["count"]):
        connection.execute("INSERT INTO log(writer, n, filler) VALUES (?, ?, randomblob(200))", (order["writer"], i))
        connection.execute("UPDATE pages SET n = n + 1 WHERE id = abs(random()) % 500")
        if kinds and i % 40 == 39:
            kind = kinds[i // 40 % len(kinds)]
            busy = connection.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()[0]
            said.setdefault(kind, []).append(busy)
    return said


for line in sys.stdin:
    order = json.loads(line)
    try:
        if "open" in order:
            connection.close()
            connection = connect(order["open"])
            answer = {}
        elif "sql" in order:
            answer = {"result": connection.execute(order["sql"]).fetchall()}
        else:
            answer = {"result": write(order)}
    except sqlite3.Error as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
connection.close()
