"""Applications that die in the middle of a transaction of the system's SQLite. The interposer (interposer.c) ends them.

Each line of JSON on stdin orders one, forked from this process. `env` configures the interposer. `window` arms it for
the COMMIT alone (`commit`) or for the whole transaction (`transaction`). The answer has the application's output
(`committed`, or the error) and the signal that ended it."""

import json
import os
import sqlite3
import sys


def victim(order):
    armed = order["env"]["INTERPOSER_ARMED"]
    connection = sqlite3.connect(order["database"], timeout=20, isolation_level=None)
    for pragma in order["pragmas"]:
        connection.execute(f"PRAGMA {pragma}").fetchall()

    def arm():
        open(armed, "w").close()

    try:
        if order["window"] == "transaction":
            arm()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO entry VALUES (100, randomblob(600))")
        connection.execute("UPDATE entry SET filler = randomblob(700) WHERE n <= 12")
        connection.execute("UPDATE tally SET entries = entries + 1")
        if order["window"] == "commit":
            arm()
        connection.execute("COMMIT")
        yield "committed"
    except sqlite3.Error as error:
        yield f"error: {error}"
    finally:
        os.remove(armed)
    try:
        connection.close()
    except sqlite3.Error:
        pass


for line in sys.stdin:
    order = json.loads(line)
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.environ.update(order["env"])
        for said in victim(order):
            os.write(writable, said.encode())
        sys.exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    print(json.dumps({"said": said, "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}), flush=True)
