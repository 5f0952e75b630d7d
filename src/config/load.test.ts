import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { toFileValue } from './effective.ts'
import { ConfigError } from './errors.ts'
import { loadConfig, type LoadOptions, parseConfig } from './load.ts'

const parse = (text: string, options: LoadOptions = {}) => parseConfig({ name: 'ltxd.yml', text }, options)

function problems(text: string, options: LoadOptions = {}): string[] {
  try {
    parse(text, options)
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
  return []
}

test('without a file and flags every key has its default', () => {
  expect(loadConfig({ paths: [] })).toEqual({
    fuse: {
      ...{ allowOther: false, driver: 'direct', latency: 'normal', owner: {}, databases: ['**'] },
      ...{ otherFiles: 'serve', staleClients: 'warn', replicaWrites: 'auto' },
    },
    data: {
      dir: resolve('ltxd-data'),
      mode: 0o700,
      retention: { ageMs: 600_000, sizeBytes: 1e9 },
      segmentSizeBytes: 16e6,
      checkpoint: 'ltxd',
    },
    exec: [],
    exitOnError: true,
    stopTimeoutMs: 25_000,
    http: { host: '127.0.0.1', port: 20202 },
    ready: { unreplicated: 'ok', backup: 'ok' },
    stream: {},
    log: { level: 'info', format: 'text' },
  })
})

test('a file sets the keys that it names, and the others have their defaults', () => {
  const config = parse(
    `
fuse:
  dir: /mnt/db
  allow-other: true
data:
  dir: \${DATA}
  retention: 5m
backup:
  url: file:///var/backups
  levels: [10s, 1m]
exec:
  - cmd: "migrate --to 'latest version'"
    if-candidate: true
  - node server.js
http:
  addr: "[::1]:0"
log:
  debug: true
`,
    { environment: { DATA: '/srv/data' } },
  )
  expect(config).toMatchObject({
    fuse: { dir: '/mnt/db', allowOther: true },
    data: { dir: '/srv/data', retention: { ageMs: 300_000, sizeBytes: 1e9 } },
    backup: {
      url: 'file:///var/backups',
      syncIntervalMs: 1_000,
      levelIntervalsMs: [10_000, 60_000],
      snapshot: { intervalMs: 86_400_000, retentionMs: 86_400_000 },
      ...{ level0RetentionMs: 300_000, verify: { intervalMs: 86_400_000 } },
    },
    exec: [{ argv: ['migrate', '--to', 'latest version'] }, { argv: ['node', 'server.js'] }],
    http: { host: '::1', port: 0 },
    log: { level: 'debug' },
  })
})

test('flags override the file, and their errors name the flag', () => {
  const flags = [
    { flag: 'DIR', path: ['fuse', 'dir'], value: '/b' },
    { flag: '--http', path: ['http', 'addr'], value: '0.0.0.0:80' },
  ]
  expect(parse('fuse: { dir: /a }', { flags: flags.slice(0, 1), application: ['run', 'it'] })).toMatchObject({
    fuse: { dir: '/b' },
    exec: [{ argv: ['run', 'it'] }],
  })
  expect(problems('fuse: { dir: /a }', { flags })).toEqual([
    expect.stringMatching(/^--http: http\.addr: "0\.0\.0\.0:80" would let other machines in/),
  ])
})

describe('an error names line and key', () => {
  test.each([
    [
      'fuse:\n  dir: /a\n  dri: direct\n',
      'ltxd.yml:3: fuse.dri: unknown key; known here: dir, allow-other, driver, latency',
    ],
    ['fuse:\n  driver: libfuse\n', 'ltxd.yml:2: fuse.driver: "libfuse" is not one of direct, fuse-native'],
    [
      'fuse:\n  driver: fuse-native\nlease:\n  consul:\n    url: http://127.0.0.1:8500\n',
      'ltxd.yml:2: fuse.driver: expected "direct" where lease is set: through "fuse-native" a node cannot tell',
    ],
    ['\n\nfuze: {}\n', 'ltxd.yml:3: fuze: unknown key; known here: fuse, data, backup,'],
    ['exec:\n  - cmd: a\n    args: b\n', 'ltxd.yml:3: exec[0].args: unknown key; known here: cmd, if-candidate'],
    ['data:\n  retention:\n    age: 10\n', 'ltxd.yml:3: data.retention.age: 10 is not a duration'],
    ['data:\n  retention: 5 minutes\n', 'ltxd.yml:2: data.retention.age: "5 minutes" is not a duration'],
    ['data:\n  segment-size: 1KB\n', 'ltxd.yml:2: data.segment-size: "1KB" is out of bounds: expected 64KB to 1GB'],
    ['data:\n  dir: 12\n', 'ltxd.yml:2: data.dir: 12 is not text'],
    ['backup:\n  url: file://backups\n', 'ltxd.yml:2: backup.url: "file://backups/" names a host'],
    ['backup:\n  url: s3:///x\n', 'ltxd.yml:2: backup.url: "s3:///x" names no bucket'],
    ['backup:\n  url: s3://me:hunter2@x/y\n', 'ltxd.yml:2: backup.url: contains credentials: put them into AWS_ACCESS'],
    ['backup:\n  url: /backups\n', 'ltxd.yml:2: backup.url: "/backups" is not a URL'],
    ['backup:\n  levels: [1m, 30s]\n', 'ltxd.yml:2: backup.levels: each level must be longer'],
    ['backup:\n  levels:\n    - 30s\n    - soon\n', 'ltxd.yml:4: backup.levels[1]: "soon" is not a duration'],
    ['backup:\n  snapshot:\n    retention: 1h\n', 'ltxd.yml:2: backup.snapshot: retention must not be shorter'],
    ['fuse:\n  allow-other: "yes"\n', 'ltxd.yml:2: fuse.allow-other: "yes" is not true or false'],
    ['fuse: /mnt\n', 'ltxd.yml:1: fuse: expected keys below it'],
    ['exec: "run \'it"\n', 'ltxd.yml:1: exec[0].cmd: "run \'it" has an unfinished quote or backslash'],
    ['log:\n  level: loud\n', 'ltxd.yml:2: log.level: "loud" is not one of trace, debug, info'],
    ['http:\n  addr: ":20202"\n', 'ltxd.yml:2: http.addr: ":20202" would let other machines in'],
    ['http:\n  addr: localhost:99999\n', 'ltxd.yml:2: http.addr: "localhost:99999" is not an address'],
    ['fuse:\n  dir: a\n  dir: b\n', 'ltxd.yml:3: Map keys must be unique'],
    ['fuse:\n\tdir: a\n', 'ltxd.yml:2: '],
    ['backup:\n  compaction: lambda\n', 'ltxd.yml:2: backup.compaction: "lambda" is not one of daemon, workers'],
    ['redis:\n  url: localhost\n', 'ltxd.yml:2: redis.url: is not a URL: expected redis://HOST:PORT'],
    ['redis:\n  url: http://localhost\n', 'ltxd.yml:2: redis.url: scheme "http:" is not known'],
    ['redis:\n  url: redis://localhost/jobs\n', 'ltxd.yml:2: redis.url: "/jobs" is not a database'],
    ['redis:\n  uri: redis://localhost\n', 'ltxd.yml:2: redis.uri: unknown key; known here: url'],
    ['data:\n  dir: ${NOPE_X}\n', 'ltxd.yml:2: environment variable NOPE_X is not set'],
    ['- fuse\n', 'ltxd.yml: expected keys'],
  ])('%j', (text, expected) => {
    expect(problems(text)).toEqual([expect.stringContaining(expected)])
  })
})

test('one error reports all problems', () => {
  expect(problems('fuse:\n  x: 1\n  y: 2\nlease:\n  databases: [a]\nlog:\n  format: xml\n')).toEqual([
    expect.stringContaining('ltxd.yml:5: lease.databases: not supported'),
    expect.stringContaining('ltxd.yml:2: fuse.x: unknown key'),
    expect.stringContaining('ltxd.yml:3: fuse.y: unknown key'),
    expect.stringContaining('ltxd.yml:7: log.format: "xml" is not one of text, json'),
  ])
})

describe('a lease', () => {
  const lease = (text: string) => parse(`lease:\n${text}`).cluster

  test('in Consul needs only its URL', () => {
    expect(lease('  consul: { url: http://127.0.0.1:8500/ }\n')).toEqual({
      type: 'consul',
      candidate: true,
      promote: false,
      hostname: hostname(),
      ttlMs: 10_000,
      ...{ reconnectDelayMs: 1_000, demoteDelayMs: 10_000, yieldMs: 10_000, found: 'wait' },
      consul: { url: 'http://127.0.0.1:8500', key: 'ltxd/primary' },
    })
    const consul = { flag: '--consul', path: ['lease', 'consul', 'url'], value: 'http://127.0.0.1:8500' }
    expect(parse('', { flags: [consul] }).cluster).toEqual(lease('  consul: { url: http://127.0.0.1:8500 }\n'))
  })

  test('may be written as in litefs.yml', () => {
    const text = `
lease:
  type: consul
  candidate: \${REGION == "ams"}
  promote: false
  advertise-url: "http://\${HOST}:20202"
  reconnect-delay: 2s
  demote-delay: 5s
  consul:
    url: "\${CONSUL}"
    key: app/primary
    ttl: 5s
exec:
  - cmd: migrate
    if-candidate: true
  - cmd: serve
`
    const environment = { REGION: 'iad', HOST: 'b', CONSUL: 'https://:t0ken@consul.example:8501/prefix' }
    const config = parse(text, { environment })
    expect(config.cluster).toMatchObject({
      type: 'consul',
      candidate: false,
      advertiseUrl: 'http://b:20202',
      ttlMs: 5_000,
      reconnectDelayMs: 2_000,
      demoteDelayMs: 5_000,
      consul: { url: 'https://:t0ken@consul.example:8501/prefix', key: 'app/primary' },
    })
    expect(config.exec).toEqual([{ argv: ['serve'] }])
    expect(JSON.stringify(toFileValue(config))).not.toContain('t0ken')
  })

  test('that is static names the primary', () => {
    expect(lease('  type: static\n  hostname: a\n')).toMatchObject({ type: 'static', candidate: true, hostname: 'a' })
    const text = '  type: static\n  candidate: false\n  hostname: a\n  advertise-url: http://127.0.0.1:20202/\n'
    expect(lease(text)).toMatchObject({ candidate: false, hostname: 'a', advertiseUrl: 'http://127.0.0.1:20202' })
  })

  test.each(['lease:\n', 'lease:\n  consul:\n', 'lease: { consul: {} }\n'])(
    'without any key is no lease: %j',
    (text) => {
      expect(parse(text).cluster).toBeUndefined()
    },
  )

  test.each([
    ['type: consul', 'ltxd.yml:1: lease.consul.url: is missing'],
    ['type: zookeeper', 'ltxd.yml:2: lease.type: "zookeeper" is not one of static, consul'],
    ['candidate: false', 'ltxd.yml:1: lease.advertise-url: is missing'],
    ['ttl: 10s', 'ltxd.yml:2: lease.ttl: is only for type: consul'],
    ['promote: true', 'ltxd.yml:2: lease.promote: needs type: consul'],
    ['{ type: static, consul: { url: "http://x" } }', 'lease.consul: is only for type: consul'],
    ['{ ttl: 3s, consul: { url: "http://x", ttl: 4s } }', 'lease.consul.ttl: repeats lease.ttl'],
    ['{ ttl: 1s, consul: { url: "http://x" } }', 'lease.ttl: "1s" is out of bounds: expected 2s to 1h'],
    ['{ consul: { url: "consul:8500" } }', 'lease.consul.url: scheme "consul:" is not known'],
    ['{ consul: { url: "http://x/?dc=a" } }', 'lease.consul.url: has a query'],
    ['{ consul: { uri: "http://x" } }', 'lease.consul.uri: unknown key; known here: url, key'],
    ['advertise-url: 127.0.0.1:20202', 'lease.advertise-url: "127.0.0.1:20202" is not a URL'],
    ['advertise-url: https://a:1', 'lease.advertise-url: scheme "https:" is not known to peers: expected http://'],
    ['advertise-url: http://a:1/x', 'lease.advertise-url: "http://a:1/x" has more than host and port'],
    ['consul: { url: "http://t0ken@x" }', 'lease.consul.url: has a user name'],
  ])('%s', (text, expected) => {
    const found = problems(`lease:\n  ${text}\n`)
    expect(found).toEqual([expect.stringContaining(expected)])
    expect(found.join()).not.toContain('t0ken')
  })
})

test('the URL of a bucket with parameters is accepted', () => {
  const url = 's3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=eu-west-1&forcePathStyle=true'
  expect(problems(`backup:\n  url: ${url}\n`)).toEqual([])
})

test('unsupported keys are rejected by name, except with a value that this version implements anyway', () => {
  expect(problems('durability: backup\n')).toEqual([expect.stringContaining('ltxd.yml:1: durability: only "local"')])
  expect(problems('proxy:\n  addr: ":8080"\n')).toEqual([expect.stringContaining('proxy is not supported')])
  expect(problems('lease:\n  consul:\n    url: http://localhost:8500\n    lock-delay: 1s\n')).toEqual([
    expect.stringContaining('ltxd.yml:4: lease.consul.lock-delay: not needed'),
  ])
  expect(problems('lease:\n  nonsense: 1\n')).toEqual([
    expect.stringContaining('ltxd.yml:2: lease.nonsense: unknown key'),
  ])
  const fine = 'durability: local\nhydrate: full\nlease: { type: static, candidate: true }\ndata: { compress: true }\n'
  expect(problems(fine)).toEqual([])
})

test('a password in the address of Redis is neither repeated in an error nor printed', () => {
  const config = parse('redis: { url: "redis://app:hunter2@queues:6379/1" }\n')
  expect(config.redis).toEqual({ url: 'redis://app:hunter2@queues:6379/1' })
  expect(toFileValue(config)).toMatchObject({ redis: { url: 'redis://redacted:redacted@queues:6379/1' } })
  expect(problems('redis: { url: "redis://app:hunter2@queues:6379/x" }\n').join()).not.toContain('hunter2')
})

test('an address that is not loopback is rejected', () => {
  const addr = (value: string) => parse(`http: { addr: ${JSON.stringify(value)} }`).http
  expect(addr('127.0.0.1:80')).toEqual({ host: '127.0.0.1', port: 80 })
  expect(addr('127.8.8.8:80')).toEqual({ host: '127.8.8.8', port: 80 })
  expect(addr('localhost:0')).toEqual({ host: 'localhost', port: 0 })
  expect(addr('20203')).toEqual({ host: '127.0.0.1', port: 20203 })
  expect(addr(':0')).toEqual({ host: '127.0.0.1', port: 0 })
  const open = ['0.0.0.0:80', '[::]:80', '10.0.0.1:80', 'example.com:80', '[::ffff:10.0.0.1]:80', '127.evil.com:80']
  for (const other of open) expect(() => addr(other), other).toThrow(/would let other machines in/)
})

test('mount, data directory and backup must not overlap', () => {
  expect(problems('fuse:\n  dir: /x\ndata:\n  dir: /x/data\n')).toEqual([
    expect.stringContaining('ltxd.yml:4: data.dir'),
  ])
  expect(problems('fuse: { dir: /x/mnt }\ndata: { dir: /x }\n')).toHaveLength(1)
  expect(problems('fuse: { dir: /x }\nbackup:\n  url: file:///x/y/../b\n')).toEqual([
    expect.stringContaining('ltxd.yml:3: backup.url'),
  ])
  expect(problems('fuse: { dir: /x }\ndata: { dir: /xdata }\n')).toEqual([])
})

test('a missing file is an error that names it', () => {
  expect(() => loadConfig({ file: '/nonexistent/ltxd.yml' })).toThrow(/\/nonexistent\/ltxd\.yml: there is no such file/)
})

test('fuse.databases is a list of patterns', () => {
  const { fuse } = parse('fuse: { databases: ["*.db", "/data/**"], other-files: refuse }')
  expect(fuse).toMatchObject({ databases: ['*.db', '/data/**'], otherFiles: 'refuse' })
  expect(problems('fuse: { databases: ["a[b"] }').join()).toMatch(/fuse\.databases.*"a\[b" has a bracket/)
  expect(problems('fuse: { databases: "*.db" }').join()).toMatch(/expected a list of patterns/)
  expect(problems('fuse: { databases: [] }').join()).toMatch(/at least one pattern/)
  expect(problems('fuse: { other-files: hide }').join()).toMatch(/serve, refuse/)
})
