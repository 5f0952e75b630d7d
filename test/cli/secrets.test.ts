import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { fetchStatus } from '../../src/api/client.ts'
import { enqueue } from '../../workers/enqueue.ts'
import { SqlClient } from '../cluster/sql-client.ts'
import { BackgroundCommand } from '../harness/background.ts'
import { ConsulServer } from '../harness/consul-server.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { RedisServer } from '../harness/redis-server.ts'
import { findS3Server, freePort, S3Server } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'
import { readBucket } from '../upgrade/bucket.ts'
import { ltxd } from './run.ts'
import { Written } from './search.ts'

/** A canary stands in every place that takes a secret, and nowhere else: whatever a run writes is searched for it. */

const missing = [
  ...(['consul', 'redis-server'] as const).filter((tool) => findTool(tool) === undefined),
  ...(findS3Server('versitygw') ? [] : ['versitygw']),
]
if (missing.length > 0 && process.env.CI === 'true') throw new Error(`not installed: ${missing.join(', ')}`)

const REDIS_PASSWORD = 'canary-of-redis-71c3'
const CONSUL_TOKEN = 'canary-of-consul-94d0'
const WRONG_PASSWORD = 'canary-of-nobody-2e8f'
const SESSION_TOKEN = 'canary-of-session-5b6a'

describe.skipIf(missing.length > 0)('secrets', () => {
  let dir: string
  let config: string
  let redis: RedisServer
  let consul: ConsulServer
  let server: S3Server
  let backup: string
  let environment: Record<string, string>
  const before = { ...process.env }
  const written = new Written()
  const ends: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-secrets-')))
    config = join(dir, 'configuration')
    mkdirSync(config)
    redis = await RedisServer.start('--requirepass', REDIS_PASSWORD)
    ends.push(() => redis.stop())
    consul = await ConsulServer.start()
    ends.push(() => consul.stop())
    server = await S3Server.start('versitygw')
    ends.push(() => server.stop())
    backup = await server.freshUrl()
    environment = server.environment
    // What some packages print for it is part of a run.
    Object.assign(process.env, environment, { DEBUG: '*', NODE_DEBUG: 'http,net' })
  })

  afterAll(async () => {
    for (const end of ends.reverse()) await end()
    for (const name of Object.keys(process.env)) delete process.env[name]
    Object.assign(process.env, before)
    await rm(dir, { recursive: true, force: true })
  })

  const canaries = () => [
    REDIS_PASSWORD,
    CONSUL_TOKEN,
    WRONG_PASSWORD,
    SESSION_TOKEN,
    environment.AWS_SECRET_ACCESS_KEY!,
  ]
  const redisUrl = (password = REDIS_PASSWORD) => redis.url.replace('//', `//:${password}@`)
  const consulUrl = () => consul.url.replace('//', `//:${CONSUL_TOKEN}@`)

  async function run(name: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    const done = await ltxd(args, { cwd: dir, env })
    written.add(`output of ${name}`, done.stdout + done.stderr)
    return done
  }

  function start(name: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): BackgroundCommand {
    const command = new BackgroundCommand(args, join(dir, `${name}.log`), env, dir)
    ends.push(() => command.stop('SIGKILL'))
    return command
  }

  function configure(name: string, text: string): string {
    const file = join(config, name)
    writeFileSync(file, text)
    return file
  }

  test('are in nothing that a node, workers and commands write', async () => {
    const http = `127.0.0.1:${await freePort()}`
    const file = configure(
      'ltxd.yml',
      [
        `lease: { hostname: one, ttl: 3s, consul: { url: "${consulUrl()}" } }`,
        `backup: { url: "${backup}", sync-interval: 100ms }`,
        `redis: { url: "${redisUrl()}" }`,
        'log: { level: trace, format: json }',
      ].join('\n'),
    )
    const node = LtxdNode.start({
      mount: join(dir, 'mnt'),
      data: join(dir, 'data'),
      logFile: join(dir, 'node.log'),
      http,
      arguments: ['--config', file],
    })
    ends.push(() => node.destroy())
    await node.mounted()
    const status = () => fetchStatus(`http://${http}`).catch(() => undefined)
    await until('a primary', 60_000, async () => (await status())?.role === 'primary')
    const sql = new SqlClient(join(dir, 'mnt', 'a.db'))
    await sql.exec('pragma journal_mode=wal; create table t(x); insert into t values (1)')
    const shipped = async () => (await status())?.databases[0]?.backup?.txid !== undefined
    await until('the first upload', 60_000, shipped)

    // Secrets by the environment, and by the file.
    const worker = start(
      'worker',
      ['worker', '--store', `here=${backup}`, '--output-dir', 'out', '--log-level', 'trace'],
      {
        LTXD_REDIS_URL: redisUrl(),
      },
    )
    const scheduler = start('scheduler', ['scheduler', '--config', file])
    await Promise.all([worker.said(/worker ready/), scheduler.said(/schedules are up to date/)])
    const client = redis.client()
    ends.push(async () => client.disconnect())
    const base = { backup, database: 'a.db' }
    const jobs = [
      await enqueue(client, 'restore', { ...base, output: { path: 'a.db' } }),
      await enqueue(client, 'restore', { ...base, database: 'no.db', output: { key: 'x' } }),
      await enqueue(client, 'restore', { ...base, backup: 'unknown', output: { key: 'x' } }),
    ]
    await until('the jobs', 60_000, async () => {
      const states = await Promise.all(jobs.map((job) => job.getState()))
      return states.every((state) => state === 'completed' || state === 'failed')
    })
    expect(await jobs[0]!.getState()).toBe('completed')

    for (const [name, pid] of [
      ['node', node.pid],
      ['worker', worker.pid],
      ['scheduler', scheduler.pid],
    ] as const) {
      written.addProcesses(name, pid)
    }
    for (const path of ['/status', '/metrics', '/health', '/ready']) {
      written.add(path, await (await fetch(`http://${http}${path}`)).text())
    }
    for (const args of [
      ['status'],
      ['status', '--json'],
      ['config', '--json'],
      ['config'],
      ['backup', 'list', backup],
    ]) {
      const done = await run(args.join(' '), [
        ...args,
        '--config',
        file,
        ...(args[0] === 'status' ? ['--http', http] : []),
      ])
      expect(done, args.join(' ')).toMatchObject({ code: 0 })
    }
    await run('restore', ['restore', backup, 'a.db', '-o', 'restored.db'])
    for (const variable of ['LTXD_REDIS_URL', 'LTXD_CONSUL_URL'] as const) {
      const value = variable === 'LTXD_REDIS_URL' ? redisUrl() : consulUrl()
      const shown = await run(`config of ${variable}`, ['config'], { [variable]: value })
      expect(shown.code).toBe(0)
    }
    const items = await (await fetch(`${consul.url}/v1/kv/?recurse`)).text()
    const records = (JSON.parse(items) as { Value: string }[]).map(({ Value }) =>
      Buffer.from(Value, 'base64').toString(),
    )
    expect(records.length).toBeGreaterThan(0)
    written.add('the lease and what is beside it', records.join('\n'))

    await sql[Symbol.asyncDispose]()
    expect([await worker.stop(), await scheduler.stop()]).toEqual([0, 0])
    expect((await node.stop()).code).toBe(0)
    const bucket = /^s3:\/\/([^/]+)/.exec(backup)?.[1] ?? ''
    for (const { key, metadata, body } of await readBucket(server, bucket)) {
      written.add(`object ${key}`, JSON.stringify(metadata))
      written.add(`content of object ${key}`, body)
    }
    // Every command that Redis was sent, as it writes them down.
    written.addFiles(redis.dir)
  })

  test('are in no message about what failed', async () => {
    const port = await freePort()
    const wrong: [string, string[], NodeJS.ProcessEnv, RegExp][] = [
      [
        'a password that Redis rejects',
        ['worker', '--store', `x=${backup}`],
        { LTXD_REDIS_URL: redisUrl(WRONG_PASSWORD) },
        /cannot be used: WRONGPASS/,
      ],
      [
        'a Redis that is no URL',
        ['worker'],
        { LTXD_REDIS_URL: `redis//:${REDIS_PASSWORD}@h` },
        /LTXD_REDIS_URL: redis\.url/,
      ],
      [
        'a Consul that is no URL',
        ['config'],
        { LTXD_CONSUL_URL: `http:/:${CONSUL_TOKEN}@h:port` },
        /LTXD_CONSUL_URL: lease/,
      ],
      [
        'credentials in the URL of a store',
        ['worker'],
        { LTXD_STORES: `x=s3://me:${WRONG_PASSWORD}@b/p`, LTXD_REDIS_URL: redisUrl() },
        /LTXD_STORES: the URL of x holds credentials/,
      ],
      [
        'a secret key that the store rejects',
        ['backup', 'list', backup],
        { AWS_SECRET_ACCESS_KEY: WRONG_PASSWORD },
        /STORE|credentials/,
      ],
      [
        'a session token that the store rejects',
        ['backup', 'list', backup],
        { AWS_SESSION_TOKEN: SESSION_TOKEN, AWS_SECRET_ACCESS_KEY: WRONG_PASSWORD },
        /credentials/,
      ],
      [
        'a store that is not there',
        ['backup', 'list', `s3://b12/p?endpoint=http://127.0.0.1:${port}&region=x`],
        {},
        /cannot/,
      ],
    ]
    for (const [name, args, env, message] of wrong) {
      const done = await run(name, args, env)
      expect(done.code, name).not.toBe(0)
      expect(done.stderr, name).toMatch(message)
    }
    const file = configure(
      'wrong.yml',
      `backup: { url: "s3://me:${WRONG_PASSWORD}@bucket/p" }\nredis: { url: "redis//:${REDIS_PASSWORD}" }\n`,
    )
    expect(await run('a wrong file', ['config', '--config', file])).toMatchObject({ code: 2 })
    const lonely = start(
      'lonely',
      ['mount', join(dir, 'lonely'), '--data', 'lonely-data', '--http', '127.0.0.1:0', '--log-level', 'trace'],
      {
        LTXD_CONSUL_URL: `http://:${CONSUL_TOKEN}@127.0.0.1:${port}`,
      },
    )
    await lonely.said(/Consul/)
    expect(await lonely.stop()).toBe(0)
    const unreachable = start('unreachable', ['worker', '--store', 'x=file:///x'], {
      LTXD_REDIS_URL: `redis://:${REDIS_PASSWORD}@127.0.0.1:${port}`,
    })
    await unreachable.said(/Redis cannot be reached/)
    expect(await unreachable.stop()).toBe(0)
  })

  test('among the arguments are rejected, with the variable that takes them', async () => {
    const cases: [string[], RegExp][] = [
      [['worker', '--redis', redisUrl()], /^ltxd: --redis holds a password.*LTXD_REDIS_URL/],
      [['scheduler', '--redis', redisUrl(), '--backup', backup], /^ltxd: --redis holds .*LTXD_REDIS_URL/],
      [['mount', 'x', '--consul', consulUrl()], /^ltxd: --consul holds .*LTXD_CONSUL_URL/],
      [['config', `--consul=${consulUrl()}`], /^ltxd: --consul holds .*LTXD_CONSUL_URL/],
      [['mount', 'x', '--backup', `s3://me:${WRONG_PASSWORD}@b/p`], /^ltxd: --backup holds .*AWS_SECRET_ACCESS_KEY/],
      [['worker', '--store', `x=s3://me:${WRONG_PASSWORD}@b/p`], /^ltxd: --store holds .*AWS_SECRET_ACCESS_KEY/],
      [['restore', `s3://me:${WRONG_PASSWORD}@b/p`, 'a.db', '-o', 'y'], /^ltxd: a URL holds .*AWS_SECRET_ACCESS_KEY/],
    ]
    for (const [args, message] of cases) {
      const done = await run(`arguments ${args[0]} ${args[1]}`, args)
      expect(done.code).toBe(2)
      expect(done.stderr).toMatch(message)
    }
    for (const [command, names] of [
      ['worker', ['LTXD_REDIS_URL', 'LTXD_STORES', 'AWS_ACCESS_KEY_ID']],
      ['scheduler', ['LTXD_REDIS_URL']],
      ['mount', ['LTXD_CONSUL_URL']],
    ] as const) {
      const help = (await run(`help of ${command}`, [command, '--help'])).stdout
      for (const name of names) expect(help).toContain(name)
    }
  })

  test('are nowhere in what was written', () => {
    written.addFiles(dir, config)
    expect(written.size).toBeGreaterThan(60)
    expect(written.with(canaries())).toEqual([])
  })
})
