/**
 * The file that `ltxd init` writes: every key with its default, commented out where it has one. A test compares it with
 * the schema.
 */
export const CONFIG_TEMPLATE = `# ltxd.yml: read from ., ~/.config/ltxd or /etc, in this order, or named with --config.
# "ltxd config" prints the configuration in force. A commented key shows its default.
# \${VAR} and \${VAR:-default} insert environment variables; $$ is a dollar sign.
# Durations: 500ms, 30s, 10m, 24h, 7d. Sizes: 512KB, 64MB, 1GB (decimal), 64MiB (binary).

fuse:
  # The directory where applications open their databases. "ltxd mount DIR" overrides it.
  dir: ./mnt
  # Let users other than the one that runs ltxd use the mount. File permissions still apply.
  # allow-other: false
  # Who serves the kernel's requests: ltxd itself (direct), or libfuse 2 in a process of its own (fuse-native). The
  # latter needs an optional package, is slower, and works only for a node without a lease.
  # driver: direct
  # With "low", a thread of the lowest priority prevents a core from halting while requests come, and for 3 ms after
  # the last. On many virtual machines with two cores a commit is then two to four times as fast. The thread uses the
  # idle time of a core: do not set it in a container with a quota of processor time.
  # latency: normal
  # The owner of databases that come from a primary or a backup, and of the directories made for them. By default they
  # belong to whom they belong there. A number, because names of users differ between machines. Only a node that runs as
  # root can give files away. Files that applications make are the applications'.
  # uid: 1000
  # The same for the group, by its number.
  # gid: 1000
  # The same for the mode. A directory that is made for a database has an x wherever this mode has an r.
  # mode: "0640"
  # Patterns of the files that are databases, as in .gitignore: "*.db" (in any folder), "/*.db" (at the top) or
  # "data/**". By default every file that SQLite writes is a database.
  # databases: ["**"]
  # Other files: "serve" them as plain files, which are not replicated, or "refuse" them.
  # other-files: serve
  # Programs that still have files open when ltxd starts after a crash read what was there before, without an error,
  # until they open them anew. "warn" names them in the log, "stop" ends them (SIGTERM, after 5 s SIGKILL).
  # stale-clients: warn
  # On a replica: "auto" lets programs open databases for writing, and rejects what they write. After a promotion they
  # write on. "readonly" opens databases read-only, so that no program can begin a write transaction, which would delay
  # replication; after a promotion they must open them anew.
  # replica-writes: auto

data:
  # Databases and the LTX log. After a clean stop the databases are plain SQLite files. "--data DIR" overrides it.
  # dir: ./ltxd-data
  # The mode of this directory and of those in it; files have it without the x. By default only the user that runs ltxd
  # can read what is in it. The databases in files/ have the modes that applications give them.
  # mode: "0700"
  # How many past transactions the local log retains. It always retains those that recovery or the backup still needs.
  retention:
    # Older transactions are removed.
    # age: 10m
    # Beyond this size of one database's log, its oldest transactions are removed.
    # size: 1GB
  # The approximate size of each file of the log.
  # segment-size: 16MB
  # Who checkpoints a WAL database that several connections have open: ltxd, or the application. With ltxd, commits
  # hardly pay for checkpoints, and SQLite's WAL-reset bug cannot happen.
  # checkpoint: ltxd

backup:
  # Where transactions are shipped: file:///absolute/directory, or
  # s3://BUCKET/PREFIX?endpoint=…&region=…&forcePathStyle=true with credentials from the usual variables of AWS
  # (AWS_ACCESS_KEY_ID …). Without a URL there is no backup. "--backup URL" overrides it.
  # url: file:///var/backups/ltxd
  # The mode of a backup in a directory: of its directories, and, without the x, of its files. Their group is that of the
  # backup's own directory. Where another user owns that one, or one above it, the group is that of ltxd.
  # mode: "0700"
  # How long a commit may wait before it is shipped. The loss of the machine can cost this much. In a bucket each
  # interval with commits is a paid put: with 1s about $14 a month for a database that always commits, with 10s $2.
  # sync-interval: 1s
  # The intervals at which shipped files are compacted into level 1, 2, 3 …
  # levels: [30s, 5m, 1h]
  snapshot:
    # How often a snapshot of each database is written.
    # interval: 24h
    # How long snapshots are retained, and how far back a restore can go.
    # retention: 24h
  # How long a shipped file is retained once level 1 covers it.
  # level0-retention: 5m
  verify:
    # How often, at least, the node that ships lists the backup and measures whether the newest state can be restored
    # from what is there: nothing of it is missing, emptied, cut or replaced. What is found is healed at once. In a
    # bucket this is one listing of all databases, and one that is made anyway counts.
    # interval: 24h
  # Who compacts, makes snapshots and applies retention: the daemon, or workers ("ltxd worker", "ltxd scheduler").
  # compaction: daemon

lease:
  # Who is primary. With consul, the candidate that holds the lease in Consul; the other nodes follow it. With static,
  # this node, or the one at advertise-url if candidate is false. Without any of these keys the node is alone.
  # type: consul
  # Whether this node may become primary.
  # candidate: true
  # Ask the primary to hand off the lease as soon as this node has caught up.
  # promote: false
  # This node's name, for people and for .primary. Default: the machine's host name. "--hostname NAME" overrides it.
  # hostname: node-1
  # The URL at which peers reach this node's API. Default: the listen address. "--advertise-url URL" overrides it.
  # advertise-url: http://127.0.0.1:20202
  # How long a silent primary still holds the lease. After the loss of a primary no commit succeeds for this long.
  # At least 2s.
  # ttl: 10s
  # How long a replica waits before it reconnects to the primary.
  # reconnect-delay: 1s
  # How long a node does not acquire the lease after a handoff or a failed take-over.
  # demote-delay: 10s
  # How long a node that could lead leaves the lease to one that has more transactions. Default: lease.ttl.
  # yield: 10s
  # What a node without data does where the lease has no record, which is so before the first start, and after Consul
  # has lost its state. wait: it founds a cluster when no node with data has shown for two TTLs. never: it waits for
  # one. now: it founds a cluster at once, if there are no signs of one; "--found" says so for one start.
  # found: wait
  consul:
    # http://HOST:PORT, with a token http://:TOKEN@HOST:PORT. A path is a prefix of the key. "--consul URL" overrides
    # it, without a token, or LTXD_CONSUL_URL in the environment, with one.
    # url: http://127.0.0.1:8500
    # The key of the lease: one for each cluster.
    # key: ltxd/primary

stream:
  # On the primary: commits to a database are slowed down so that no connected replica lags by more than this. From half
  # of it on, they come at most as fast as the slowest replica applies, and at least one a second. A replica that
  # acknowledges nothing for 10 s, or is cut off, slows nothing down. By default replicas lag as much as they need.
  # max-lag: 5s
  # On a replica: large transactions (above 64 KB) and snapshots wait in files below temporary/spool until they are
  # applied, and a new one only comes while all of them have no more bytes than this. One alone may be larger. Small
  # transactions go on. By default they may have what the disk has free, but for 16 MiB.
  # spool-size: 1GB

redis:
  # The Redis server of the workers' queues: redis://HOST:PORT, with maxmemory-policy noeviction. A node itself needs
  # none.
  # "--redis URL" overrides it, without a password, or LTXD_REDIS_URL in the environment, with one.
  # url: redis://127.0.0.1:6379

# What to run once the mount is ready: a command, or a list of commands to run one after the other, of which the last
# is the application. No shell is involved. Its environment has the mount in LTXD_MOUNT. "ltxd mount -- CMD" overrides
# it.
# exec: []

# Exit when the start or the application fails. With false ltxd stays, unmounted, until it gets a signal.
# exit-on-error: true

# How long a stop may take. The application has a third of it after SIGTERM, before SIGKILL; the node then passes the
# lease and ships the rest. A node that may have transactions that are nowhere else then says so and exits with 1.
# stop-timeout: 25s

http:
  # The API: status, health, readiness, metrics. Loopback only; port 0 picks a free one. "--http ADDR" overrides it.
  # addr: 127.0.0.1:20202

ready:
  # What /ready answers while a database is not replicated, because it is encrypted and not in WAL mode: "ok", or
  # "fail" (503). Status and metrics count such databases in any case.
  # unreplicated: ok
  # What /ready answers while the backup of a database is damaged and not healed yet, or its compaction, snapshots,
  # retention or listings fail: "ok", or "fail" (503). Status and metrics say so in any case.
  # backup: ok

log:
  # trace, debug, info, warn, error. "--log-level LEVEL" overrides it.
  # level: info
  # text for people, json for programs.
  # format: text
`
