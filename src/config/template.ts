/**
 * What `ltxd init` writes: every key with its default, commented out where it has one. A test keeps it true to the
 * schema.
 */
export const CONFIG_TEMPLATE = `# ltxd.yml: looked for in ., ~/.config/ltxd and /etc, or named with --config.
# "ltxd config" prints what is in force. A commented key shows its default.
# \${VAR} and \${VAR:-default} put in environment variables; $$ is a dollar sign.
# Durations: 500ms, 30s, 10m, 24h, 7d. Sizes: 512KB, 64MB, 1GB (decimal), 64MiB (binary).

fuse:
  # The directory where applications open their databases. "ltxd mount DIR" overrides it.
  dir: ./mnt
  # Let users other than the one that runs ltxd use the mount (file permissions still apply).
  # allow-other: false
  # Who speaks with the kernel: ltxd itself (direct), or libfuse 2 in a process of its own (fuse-native, an optional package), slower and only for a node alone.
  # driver: direct
  # With "low", while requests come, and 3 ms longer, a thread of the lowest priority keeps a core from halting, which on many virtual machines of two cores makes
  # a commit two to four times as fast. It uses what is left of a core then; not for a container with a quota of processor time.
  # latency: normal
  # Which files are databases: patterns as .gitignore has them, such as "*.db" (in any folder), "/*.db" (at the top) or "data/**".
  # Without them every file that SQLite writes is one.
  # databases: ["**"]
  # All other files: serve them as plain files, which are not replicated; or refuse them.
  # other-files: serve

data:
  # Databases and the LTX log. Plain SQLite files once the node was stopped. "--data DIR" overrides it.
  # dir: ./ltxd-data
  # How much of a database's past the local log retains. What recovery or the backup still needs stays.
  retention:
    # Older transactions are removed.
    # age: 10m
    # Beyond this size of one database's log, the oldest transactions are removed.
    # size: 1GB
  # The log is a series of files of about this size.
  # segment-size: 16MB
  # Who checkpoints a WAL database that several connections have open: ltxd (commits hardly pay for it, and SQLite's WAL-reset bug cannot
  # happen), or the application.
  # checkpoint: ltxd

backup:
  # Where transactions are shipped: file:///absolute/directory, or s3://BUCKET/PREFIX?endpoint=…&region=…&forcePathStyle=true
  # with credentials as AWS programs take them (AWS_ACCESS_KEY_ID …). Without it there is no backup. "--backup URL" overrides it.
  # url: file:///var/backups/ltxd
  # How long a commit may wait before it is shipped: what the loss of the machine can cost.
  # sync-interval: 1s
  # Intervals at which shipped files are compacted into level 1, 2, 3 …
  # levels: [30s, 5m, 1h]
  snapshot:
    # How often a whole copy of each database is written.
    # interval: 24h
    # How long snapshots are kept, and with them the moments that can be restored.
    # retention: 24h
  # How long a shipped file stays once level 1 covers it.
  # level0-retention: 5m
  # Who compacts, makes snapshots and applies retention: the daemon, or workers ("ltxd worker", "ltxd scheduler").
  # compaction: daemon

lease:
  # Who is primary. consul: the candidate that holds the lease there, the others follow it. static: this node; or, where candidate
  # is false, the one at advertise-url. Without any of these keys this node is alone.
  # type: consul
  # Whether this node may become primary.
  # candidate: true
  # Ask the primary to hand over as soon as this node has caught up.
  # promote: false
  # This node's name, for people and for .primary: by default the machine's. "--hostname NAME" overrides it.
  # hostname: node-1
  # Where peers reach this node's API: by default where it listens. "--advertise-url URL" overrides it.
  # advertise-url: http://127.0.0.1:20202
  # How long a primary that falls silent keeps the lease: what its loss costs. At least 2s.
  # ttl: 10s
  # How long a replica waits before it connects to the primary again.
  # reconnect-delay: 1s
  # How long a node leaves the lease to others after it handed over, or failed to take over.
  # demote-delay: 10s
  consul:
    # http://HOST:PORT, with a token http://:TOKEN@HOST:PORT; a path stands before the key. "--consul URL" overrides it.
    # url: http://127.0.0.1:8500
    # One for each cluster.
    # key: ltxd/primary

redis:
  # Where the workers' queues are: redis://HOST:PORT, with maxmemory-policy noeviction. A node itself needs none.
  # url: redis://127.0.0.1:6379

# What to run once the mount is ready: a command, or a list that runs one after the other, the last being the
# application. No shell is involved. LTXD_MOUNT in its environment names the mount. "ltxd mount -- CMD" overrides it.
# exec: []

# Exit when the start or the application fails. With false ltxd stays, unmounted, until it gets a signal.
# exit-on-error: true

# At a stop, how long the application has after SIGTERM before SIGKILL.
# stop-timeout: 8s

http:
  # The API: status, health, readiness, metrics. Loopback only; port 0 picks a free one. "--http ADDR" overrides it.
  # addr: 127.0.0.1:20202

log:
  # trace, debug, info, warn, error. "--log-level LEVEL" overrides it.
  # level: info
  # text for people, json for programs.
  # format: text
`
