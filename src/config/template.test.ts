import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { toFileValue } from './effective.ts'
import { loadConfig, parseConfig } from './load.ts'
import { KNOWN_KEYS } from './schema.ts'
import { CONFIG_TEMPLATE } from './template.ts'

/** The template with its commented keys uncommented. */
const allKeys = CONFIG_TEMPLATE.replace(/^( *)# ([a-z0-9-]+: \S.*)$/gm, '$1$2')

test('the template configures the defaults', () => {
  const { fuse, ...rest } = parseConfig({ name: 'template', text: CONFIG_TEMPLATE })
  const { fuse: defaultFuse, ...defaults } = loadConfig({ paths: [] })
  expect(rest).toEqual(defaults)
  expect({ ...fuse, dir: undefined }).toEqual({ ...defaultFuse, dir: undefined })
})

test('each commented key shows its default', () => {
  const backup = { flag: '--backup', path: ['backup', 'url'], value: 'file:///var/backups/ltxd' }
  const { fuse, ...rest } = parseConfig({ name: 'template', text: allKeys })
  const redis = { flag: '--redis', path: ['redis', 'url'], value: 'redis://127.0.0.1:6379' }
  const lease = [
    { flag: '--consul', path: ['lease', 'consul', 'url'], value: 'http://127.0.0.1:8500' },
    { flag: '--advertise-url', path: ['lease', 'advertise-url'], value: 'http://127.0.0.1:20202' },
    { flag: '--hostname', path: ['lease', 'hostname'], value: 'node-1' },
  ]
  const stream = [
    { flag: 'max-lag', path: ['stream', 'max-lag'], value: '5s' },
    { flag: 'spool-size', path: ['stream', 'spool-size'], value: '1GB' },
  ]
  const { fuse: _, ...defaults } = loadConfig({ paths: [], flags: [backup, redis, ...lease, ...stream] })
  expect(fuse).toMatchObject({ allowOther: false, driver: 'direct', latency: 'normal' })
  expect(rest).toEqual(defaults)
})

test('the template has every key', () => {
  const written = parse(allKeys) as Record<string, unknown>
  for (const [section, keys] of Object.entries(KNOWN_KEYS)) {
    if (section === 'exec') continue
    const value = section
      .split('.')
      .filter(Boolean)
      .reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], written)
    expect(Object.keys(value as object).sort(), section).toEqual([...keys].sort())
  }
})

test('the effective configuration, read back, is the same', () => {
  const flags = [
    { flag: 'DIR', path: ['fuse', 'dir'], value: '/mnt/x' },
    { flag: '--backup', path: ['backup', 'url'], value: 'file:///var/b' },
    { flag: '--http', path: ['http', 'addr'], value: '[::1]:8080' },
    { flag: '--redis', path: ['redis', 'url'], value: 'rediss://queues.example:6380/2' },
    { flag: '--consul', path: ['lease', 'consul', 'url'], value: 'https://consul.example:8501/team' },
    { flag: '--hostname', path: ['lease', 'hostname'], value: 'cost$' },
  ]
  const config = loadConfig({ paths: [], flags, application: ['sh', '-c', `echo "it's $HOME"`] })
  expect(parseConfig({ name: 'again', text: JSON.stringify(toFileValue(config)) })).toEqual(config)
})
