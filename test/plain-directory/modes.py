"""Two processes share databases in one directory. Prints what each of their steps gives: on a mount the same lines."""
import json, os, signal, sqlite3, subprocess, sys

WORKER = '''
import json, os, sqlite3, sys
open_ = {}
for line in sys.stdin:
    op, name, *rest = json.loads(line)
    try:
        if op == "open": open_[name] = sqlite3.connect(rest[0], isolation_level=None, timeout=rest[1]); value = "open"
        elif op == "close": open_.pop(name).close(); value = "closed"
        else: value = open_[name].execute(rest[0]).fetchall()
    except sqlite3.Error as error: value = str(error)
    print(json.dumps(value), flush=True)
'''


class Process:
    def __init__(self, name):
        self.name = name
        self.child = subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *order):
        self.child.stdin.write(json.dumps(order) + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def open(self, file, timeout=0):
        return self.ask("open", file, file, timeout)

    def sql(self, file, statement):
        return self.ask("sql", file, statement)

    def close(self, file):
        return self.ask("close", file)

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()


def say(*parts):
    print(json.dumps(parts))


def beside(file):
    return sorted(name[len(file):] for name in os.listdir(".") if name.startswith(file))


FILL = "insert into t select null, randomblob(500), 1 from (with recursive n(i) as (values (1) union all select i + 1 from n where i < 400) select i from n)"
STATE = "select count(*), sum(v), (select count(*) from pragma_integrity_check where integrity_check = 'ok') from t"


def begin(a, file, mode, *pragmas):
    a.open(file, 5)
    for pragma in pragmas: a.sql(file, "pragma " + pragma)
    say(file, a.sql(file, "pragma journal_mode = " + mode))
    a.sql(file, "create table t(id integer primary key, b, v)")
    say(file, a.sql(file, FILL))


def persist(a, b):
    """The journal stays, and is read beside by who reads."""
    file = "persist.db"
    begin(a, file, "persist", "cache_size = 5")
    b.open(file)
    for _ in range(5):
        a.sql(file, "update t set v = v + 1")
        say("reads", b.sql(file, STATE))
    say("beside", beside(file), os.path.getsize(file + "-journal") > 0)
    a.sql(file, "begin immediate"); a.sql(file, "update t set v = v + 10 where id < 20")
    say("reads beside a transaction", b.sql(file, STATE), "writes", b.sql(file, "delete from t"))
    a.sql(file, "update t set v = 99, b = randomblob(500)")
    say("reads beside one that spilled", b.sql(file, STATE))
    say("rolled back", a.sql(file, "rollback"), b.sql(file, STATE))
    a.sql(file, "begin"); a.sql(file, "update t set v = 77, b = randomblob(500)")
    a.kill()
    say("after the end of its writer", b.sql(file, STATE))
    say("writes", b.sql(file, "update t set v = v + 1"), b.sql(file, STATE), b.close(file))


def mapped(mode):
    def scenario(a, b):
        """Both map the file, which grows and shrinks."""
        file = "mapped-%s.db" % mode
        begin(a, file, mode, "mmap_size = 67108864")
        b.open(file, 5)
        say("mapped", b.sql(file, "pragma mmap_size = 67108864"))
        for _ in range(2):
            say("grows", a.sql(file, FILL), b.sql(file, STATE))
            say("changes", a.sql(file, "update t set v = v + 1 where id % 7 = 0"), b.sql(file, STATE))
            say("of the other", b.sql(file, "update t set v = v + 1 where id % 11 = 0"), a.sql(file, STATE))
        say("shrinks", a.sql(file, "delete from t where id > 300"), a.sql(file, "vacuum"), b.sql(file, STATE))
        say("grows", b.sql(file, FILL), a.sql(file, STATE), b.sql(file, STATE))
        say(a.close(file), b.sql(file, STATE), b.close(file))
    return scenario


def exclusive(mode):
    def scenario(a, b):
        """One has the database for itself, then shares it again."""
        file = "exclusive-%s.db" % mode
        begin(a, file, mode, "locking_mode = exclusive")
        say("beside", beside(file))
        b.open(file)
        for _ in range(3):
            say("alone", a.sql(file, "update t set v = v + 1"), b.sql(file, STATE), b.sql(file, "delete from t"))
        say("checkpoints", [a.sql(file, "pragma wal_checkpoint(%s)" % kind) for kind in ("passive", "full", "restart", "truncate")])
        a.sql(file, "update t set v = v + 1")
        a.sql(file, "begin"); a.sql(file, "update t set v = 0"); a.sql(file, "rollback")
        say("shares", a.sql(file, "pragma locking_mode = normal"), a.sql(file, STATE), b.sql(file, STATE), b.sql(file, "update t set v = v + 1"), a.sql(file, STATE))
        say("again", a.sql(file, "pragma locking_mode = exclusive"), a.close(file), b.close(file))
        a.open(file, 5)
        say("alone", a.sql(file, "pragma locking_mode = exclusive"), a.sql(file, STATE), a.sql(file, "update t set v = v + 1"), beside(file))
        b.open(file)
        say("locked", b.sql(file, STATE))
        a.sql(file, "begin"); a.sql(file, "update t set v = 55")
        a.kill()
        say("after its end", b.sql(file, STATE), b.sql(file, "update t set v = v + 1"), b.sql(file, STATE), b.close(file))
    return scenario


def upgraded(a, b):
    """A WAL that was shared by two, with wal-index, becomes one's own when the other has closed."""
    file = "upgraded.db"
    begin(a, file, "wal")
    b.open(file)
    say("both", b.sql(file, STATE), b.sql(file, "update t set v = v + 1"), a.sql(file, STATE))
    say("asks", a.sql(file, "pragma locking_mode = exclusive"), b.sql(file, STATE))
    say("the other goes", b.close(file), a.sql(file, "update t set v = v + 1"), a.sql(file, STATE))
    b.open(file)
    say("and comes back", b.sql(file, STATE))
    say("shares", a.sql(file, "pragma locking_mode = normal"), a.sql(file, STATE), b.sql(file, STATE), a.close(file), b.close(file))


os.chdir(sys.argv[1])
for scenario in [persist, mapped("wal"), mapped("delete"), *map(exclusive, ("delete", "truncate", "persist", "wal")), upgraded]:
    a, b = Process("a"), Process("b")
    try: scenario(a, b)
    finally:
        a.kill()
        b.kill()
