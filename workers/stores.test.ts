import { expect, onTestFinished, test, vi } from 'vitest'
import { MemoryStore } from '../src/objectstore/stores/memory.ts'
import { UsageError } from '../src/util/errors.ts'
import { parseStoreDefinition, storesOfEnvironment } from './store-definitions.ts'
import { Stores, UnknownStoreError } from './stores.ts'

const BUCKET = 's3://bucket/some/prefix?endpoint=http://127.0.0.1:7070&region=eu-1&forcePathStyle=true'
const CONFIGURED = [
  { name: 'backup', url: 'file:///var/backups/app one' },
  { name: 'archive', url: BUCKET },
  { name: 'amazon', url: 's3://bucket/some/prefix' },
]

function open() {
  const opened: string[] = []
  const closed: string[] = []
  const stores = new Stores(CONFIGURED, (url) => {
    opened.push(url)
    const store = new MemoryStore()
    store.close = async () => void closed.push(url)
    return store
  })
  return { opened, closed, stores }
}

const { signal } = new AbortController()

test.each([
  ['backup', 'backup'],
  ['archive', 'archive'],
  ['file:///var/backups/app%20one', 'backup'],
  ['file:///var/backups/app%20one///', 'backup'],
  ['FILE://localhost/var//backups/./x/../app%20%6fne', 'backup'],
  [BUCKET, 'archive'],
  ['s3://bucket/some/prefix/?forcePathStyle=true&region=eu-1&endpoint=http%3A%2F%2F127.0.0.1%3A7070/', 'archive'],
  ['S3://bucket/some/%70refix?endpoint=HTTP://127.0.0.1:7070&region=eu-1', 'archive'],
  ['s3://bucket/some/prefix', 'amazon'],
])('a job names a store by its name or its URL, however that is written: %s', (reference, name) => {
  expect(open().stores.find(reference).name).toBe(name)
})

test.each([
  'other',
  'Backup',
  '',
  '__proto__',
  'constructor',
  'toString',
  '/var/backups/app one',
  'file:///var/backups',
  'file:///var/backups/app%20one/a.db',
  'file:///var/backups/app%20one/..',
  'file:///var/backups/app%20one/%2e%2e/elsewhere',
  'file:///var/backups/app%20one/..%2f..%2fetc',
  'file:///var/backups/APP%20ONE',
  'file:///var/backups/app%20one%00',
  'file:///var/backups/app%20one?x=1',
  'file:///var/backups/app%20one#x',
  'file://elsewhere/var/backups/app%20one',
  'file:///etc',
  'file:///root/.ssh',
  's3://bucket/some',
  's3://bucket/some/prefix/more',
  's3://bucket/some/prefix/../other',
  's3://bucket/some/prefix%2f..%2fother',
  's3://Bucket/some/prefix',
  's3://other/some/prefix',
  's3://bucket:443/some/prefix',
  's3://bucket/some/prefix?endpoint=http://169.254.169.254',
  's3://bucket/some/prefix?endpoint=http://127.0.0.1:7071&region=eu-1&forcePathStyle=true',
  's3://bucket/some/prefix?endpoint=https://127.0.0.1:7070&region=eu-1&forcePathStyle=true',
  's3://bucket/some/prefix?endpoint=http://127.0.0.1:7070@evil&region=eu-1',
  's3://bucket/some/prefix?endpoint=http://127.0.0.1:7070&endpoint=http://evil&region=eu-1',
  's3://me:hunter2@bucket/some/prefix',
  's3://bucket/some/prefix?accessKeyId=hunter2',
  's3://bucket/some/prefix#hunter2@bucket',
  'http://127.0.0.1/',
  'javascript:alert(1)',
  'data:,x',
])('no other store is used: %s', (reference) => {
  const { stores, opened } = open()
  expect(() => stores.borrow(signal).open(reference)).toThrow(UnknownStoreError)
  expect(() => stores.find(reference)).not.toThrow(/hunter2/)
  expect(opened).toEqual([])
})

test('the message says which definition is missing, and never more than some of it', () => {
  const { stores } = open()
  expect(() => stores.find('nightly')).toThrow(/--store nightly=URL, or add nightly=URL to LTXD_STORES/)
  expect(() => stores.find('s3://new/place')).toThrow(/--store NAME=s3:\/\/new\/place, or/)
  try {
    stores.find(`file:///${'x'.repeat(5_000_000)}`)
  } catch (error) {
    expect((error as Error).message.length).toBeLessThan(1200)
  }
  expect.assertions(3)
})

test('the environment decides which server is meant where a URL names none, for jobs as for the configuration', () => {
  vi.stubEnv('AWS_ENDPOINT_URL', 'http://127.0.0.1:9000')
  onTestFinished(() => void vi.unstubAllEnvs())
  const { stores } = open()
  expect(stores.find('s3://bucket/some/prefix').name).toBe('amazon')
  expect(stores.find('s3://bucket/some/prefix?endpoint=http://127.0.0.1:9000').name).toBe('amazon')
  expect(() => stores.find('s3://bucket/some/prefix?endpoint=http://127.0.0.1:9001')).toThrow(UnknownStoreError)
})

test('a store is opened once, by the URL of the configuration, and stays open between jobs', async () => {
  const { opened, closed, stores } = open()
  await stores.borrow(signal).open('file:///var/backups/app%20one/').put('key', Buffer.from('x'))
  expect(await stores.borrow(signal).open('backup').head('key')).toBeDefined()
  expect(opened).toEqual(['file:///var/backups/app one'])
  expect(closed).toEqual([])
  await stores.close()
  expect(closed).toEqual(opened)
})

test('a borrowed store ends with the signal', async () => {
  const control = new AbortController()
  const store = open().stores.borrow(control.signal).open('backup')
  control.abort(new Error('enough'))
  await expect(store.head('key')).rejects.toThrow('enough')
})

test('definitions are names and URLs without credentials', () => {
  expect(parseStoreDefinition(`archive=${BUCKET}`, '--store')).toEqual({ name: 'archive', url: BUCKET })
  expect(storesOfEnvironment({ LTXD_STORES: ' a=file:///a\n b=file:///b?x=y=z ' })).toEqual([
    { name: 'a', url: 'file:///a' },
    { name: 'b', url: 'file:///b?x=y=z' },
  ])
  expect(storesOfEnvironment({})).toEqual([])
  for (const wrong of [
    'file:///a',
    '=file:///a',
    'a b=file:///a',
    's3://b/p?region=x',
    'x'.repeat(65) + '=file:///a',
  ]) {
    expect(() => parseStoreDefinition(wrong, '--store'), wrong).toThrow(/^--store: expected NAME=URL/)
  }
  const secret = () => storesOfEnvironment({ LTXD_STORES: 'a=s3://me:hunter2@b/p' })
  expect(secret).toThrow(/^LTXD_STORES: the URL of a holds credentials: put them into AWS_ACCESS_KEY_ID/)
  expect(secret).not.toThrow(/hunter2/)
})

test('two stores of one name are rejected, unless they are one store', () => {
  const again = { name: 'amazon', url: 's3://bucket/some/prefix/' }
  expect(new Stores([...CONFIGURED, again]).names).toEqual(['backup', 'archive', 'amazon'])
  expect(() => new Stores([...CONFIGURED, { ...again, url: 's3://bucket/other' }])).toThrow(UsageError)
})
