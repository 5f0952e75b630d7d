/** Checks infra/compose.yml as far as possible without containers. */
import { access, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { ltxd } from './run.ts'

const INFRA = resolve(import.meta.dirname, '..', '..', 'infra')

interface Service {
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly volumes?: readonly string[]
  readonly depends_on?: readonly string[] | Readonly<Record<string, unknown>>
  readonly network_mode?: string
  readonly devices?: readonly string[]
  readonly cap_add?: readonly string[]
}

const compose = parse(await readFile(join(INFRA, 'compose.yml'), 'utf8'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}
const services = Object.entries(compose.services)
const withCommand = (name: string) => services.filter(([, { command }]) => command?.[0] === name)
const nodes = withCommand('mount')

/** `ltxd config` with the service's arguments and environment, and the paths of its files in this repository. */
async function effective({ command = [], environment = {}, volumes = [] }: Service): Promise<Effective> {
  const here = new Map(volumes.map((volume) => volume.split(':')).map(([from = '', to = '']) => [to, from]))
  const [, ...args] = command.map((word) => (here.has(word) ? resolve(INFRA, here.get(word) ?? '') : word))
  const [config = '', file = ''] = args
  expect(config).toBe('--config')
  const { code, stdout, stderr } = await ltxd(['config', '--config', file, '--json'], { env: environment })
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return JSON.parse(stdout) as Effective
}

interface Effective {
  readonly fuse: { readonly dir: string }
  readonly data: { readonly dir: string }
  readonly backup: { readonly url: string; readonly compaction: string }
  readonly lease: { readonly type: string; readonly hostname: string; readonly consul: { url: string; key: string } }
  readonly redis: { readonly url: string }
  readonly http: { readonly addr: string }
}

test('every service, file and volume that it names exists', async () => {
  for (const [, { depends_on = [], network_mode, volumes = [] }] of services) {
    const others = Array.isArray(depends_on) ? (depends_on as string[]) : Object.keys(depends_on)
    if (network_mode !== undefined) others.push(network_mode.replace(/^service:/, ''))
    expect(Object.keys(compose.services)).toEqual(expect.arrayContaining(others))
    for (const [source = ''] of volumes.map((volume) => volume.split(':'))) {
      if (source.startsWith('.')) await access(resolve(INFRA, source))
      else expect(Object.keys(compose.volumes)).toContain(source)
    }
  }
})

test('three nodes share a network namespace; each can mount, and has its own name, port and disk', async () => {
  expect(nodes).toHaveLength(3)
  const configs = await Promise.all(nodes.map(([, node]) => effective(node)))
  for (const [i, [name, node]] of nodes.entries()) {
    expect(node).toMatchObject({ network_mode: 'service:network', devices: ['/dev/fuse'], cap_add: ['SYS_ADMIN'] })
    expect(configs[i]).toMatchObject({ backup: { compaction: 'workers' }, lease: { type: 'consul', hostname: name } })
    const disks = (node.volumes ?? []).filter((volume) => volume.endsWith(`:${configs[i]?.data.dir}`))
    expect(disks).toHaveLength(1)
  }
  const distinct = (values: readonly (string | undefined)[]) => new Set(values).size
  expect(distinct(configs.map(({ http }) => http.addr))).toBe(3)
  expect(distinct(nodes.map(([, { volumes }]) => volumes?.find((volume) => volume.startsWith('data'))))).toBe(3)
  expect(distinct(configs.map(({ lease }) => lease.consul.key))).toBe(1)
})

test('nodes, worker and scheduler use the services in the same file', async () => {
  const all = [...nodes, ...withCommand('worker'), ...withCommand('scheduler')]
  expect(all).toHaveLength(5)
  const configs = await Promise.all(all.map(([, service]) => effective(service)))
  for (const { backup, lease, redis } of configs) {
    const endpoint = new URL(backup.url).searchParams.get('endpoint') ?? ''
    for (const url of [endpoint, lease.consul.url, redis.url]) {
      expect(Object.keys(compose.services)).toContain(new URL(url).hostname)
    }
  }
  expect(new Set(configs.map(({ backup }) => backup.url)).size).toBe(1)
})
